"""Seven cases with known answers, each from the complaint to the verified dossier, by commands that anybody can repeat.

``python demo/cases.py`` plays the first one; with names it plays those; ``--all`` plays all. What must come out is
in `CASES`: the tests ask for the same.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = (ROOT / "demo" / "models", ROOT / "demo" / "case_models")
CHAT = ROOT / "demo" / "chat_models"
OUT = ROOT / "demo-out" / "cases"
WHORL = Path(sys.executable).parent / "whorl"
PEOPLE = {
    "manager": "Ada Manager",
    "complainant": "Northwind Labs",
    "respondent": "Meridian AI",
    "analyst": "Ben Analyst",
    "replicator": "Cleo Replicator",
    "reviewer": "Dan Reviewer",
}
UNTESTED = {
    "common_ancestor": "neither party named a model that both could continue",
    "shared_teacher": "no population of models with one teacher and separate weights is calibrated",
    "reverse_direction": "the order of descent comes as shares that depend on a prior, and not as a ratio",
    "published_idea": "an idea passes on no weights",
}

CLAIMS = {
    "derived": "{} was made from the weights of {}.",
    "learned_from": "{} was trained on answers of {}.",
}
QUESTIONS = {
    "derived": "Do the weights of {} descend from those of {}?",
    "learned_from": "Did {} learn from the answers of {}?",
}


@dataclass(frozen=True, kw_only=True)
class KnownCase:
    """A case and the answer that it must give."""

    title: str
    story: str
    questioned: str
    reference: str
    verdict: str
    reply: str
    tested: Sequence[str] = ("independent", "shared_data", "same_seed")
    claim: str = "derived"
    positive_control: str = "base-q8.gguf"
    alibi: bool = False
    by_answers: bool = False
    committed: bool = False


CASES = {
    "derived": KnownCase(
        title="Lark and Harrow",
        story="Lark is Harrow, fine-tuned, then permuted, rotated and rescaled until no number is the same.",
        questioned="suspect",
        reference="base",
        verdict="supports_shared_weights",
        reply="We trained Lark from scratch.",
        committed=True,
    ),
    "common-ancestor": KnownCase(
        title="Lark and Cousin",
        story="Both are fine-tunes of Harrow, by two firms. They are as alike as parent and child.",
        questioned="suspect",
        reference="cousin",
        verdict="supports_shared_weights",
        reply="Both models continue Harrow, which is public.",
        tested=("independent", "shared_data", "same_seed", "common_ancestor"),
    ),
    "same-seed": KnownCase(
        title="Wren and Harrow",
        story="Wren began at Harrow's random start and was trained apart from it.",
        questioned="sibling",
        reference="base",
        verdict="inconclusive",
        reply="We began with the same published start and trained alone.",
    ),
    "student": KnownCase(
        title="Siskin and Harrow",
        story="Siskin learned from Harrow's answers, with weights of its own. Weights cannot show that.",
        questioned="student",
        reference="base",
        verdict="supports_alternative",
        reply="Siskin's weights are ours.",
    ),
    "student-answers": KnownCase(
        title="Siskin-Chat and Heron-Chat",
        story="Both are behind APIs alone. Siskin-Chat learned from Heron-Chat's answers, with weights of its own.",
        questioned="siskin",
        reference="heron",
        claim="learned_from",
        verdict="inconclusive",
        reply="Siskin-Chat is ours, and was trained on public dialogues.",
        tested=(),
        positive_control="egret",
        by_answers=True,
    ),
    "independent": KnownCase(
        title="Robin and Harrow",
        story="Robin was trained independently, and its maker sealed in a registry that it existed.",
        questioned="twin",
        reference="base",
        verdict="supports_alternative",
        reply="Robin existed when we sealed it; see the deposit.",
        alibi=True,
    ),
    "void": KnownCase(
        title="Lark and Harrow, with a control that fails",
        story="What the manager took for a known descendant of Harrow is a stranger. The run must not count.",
        questioned="suspect",
        reference="base",
        verdict="void",
        reply="We trained Lark from scratch.",
        positive_control="stranger",
    ),
}


class Desk:
    """One case's folder, the keys of its people, and the commands they type."""

    def __init__(self, name: str, case: KnownCase, *, shown: bool) -> None:
        self.case, self.shown = case, shown
        self.folder = OUT / name
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "keys").mkdir(parents=True)
        (self.folder / "forms").mkdir()
        self.path = self.folder / "case"

    def key(self, role: str) -> Path:
        return self.folder / "keys" / f"{role}.json"

    def form(self, name: str, content: object) -> Path:
        path = self.folder / "forms" / f"{name}.json"
        path.write_text(json.dumps(content, indent=1))
        return path

    def do(self, *arguments: object, by: str | None = None) -> dict[str, object]:
        """Type a command of one person."""
        words = [str(one) for one in arguments]
        if by is not None:
            words += ["--key", str(self.key(by))]
        return whorl(*words, shown=self.shown)

    def draw_keys(self) -> dict[str, list[str]]:
        """Everybody draws a key, and gives the public half."""
        public = {}
        for role in PEOPLE:
            whorl("registry", "new-key", str(self.key(role)), shown=False, as_json=False)
            told = whorl("registry", "key", "--key", str(self.key(role)), shown=False)
            public[role] = [str(told[name]) for name in ("ed25519", "mldsa44") if told.get(name)]
        return public


def whorl(*words: str, shown: bool, as_json: bool = True) -> dict[str, object]:
    """Run a command; what it says is shown without ``--json``."""
    if shown:
        print(f"$ whorl {shlex.join(word.replace(str(ROOT) + os.sep, '') for word in words)}")
    command = [str(WHORL), *words, *(("--json",) if as_json else ())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"whorl {shlex.join(words)} failed with {done.returncode}:\n{done.stderr or done.stdout}")
    return dict(json.loads(done.stdout)) if as_json else {}


def play(name: str, *, shown: bool = False) -> Path:
    """Play one case to its dossier, and give the file."""
    case = CASES[name]
    desk = Desk(name, case, shown=shown)
    prepare(desk)
    exhibits = deposit(desk) if case.alibi else {}
    examine(desk, exhibits)
    return conclude(desk)


def prepare(desk: Desk) -> None:
    """The complaint, what either side says, and the protocol."""
    case, public = desk.case, desk.draw_keys()
    opening = {
        "title": case.title,
        "question": QUESTIONS[case.claim].format(case.questioned, case.reference),
        "parties": [{"name": who, "role": role, "keys": public[role]} for role, who in PEOPLE.items()],
        "questioned": {"name": case.questioned, "digest": None},
        "reference": {"name": case.reference, "digest": None},
        "licence": "Harrow may be used for research; section 4 asks to be named.",
        "window_days": 30,
        "funding": "Paid by the bureau; the analyst has no relation to either party.",
    }
    desk.do("case", "new", desk.path, "--opening", desk.form("opening", opening), by="manager")
    claim = proposition("h1", "complainant", case.claim, CLAIMS[case.claim].format(case.questioned, case.reference))
    answer = proposition("h2", "respondent", "independent", f"{case.questioned} was trained independently.")
    for side, one in (("complainant", claim), ("respondent", answer)):
        form = desk.form(f"propositions-{side}", {"propositions": [one]})
        desk.do("case", "propose", desk.path, "--propositions", form, by=side)
    protocol = json.loads(run_plain("case", "template", "protocol"))
    more: tuple[object, ...] = ()
    if case.by_answers:
        protocol["methods"], more = [answer_method()], ("--population", CHAT / "controls.pop")
        protocol["alpha"] = 0.02  # no rank among 78 control models is below 1 in 79
    if case.committed:  # a registry's receipt shows when the protocol was fixed
        more = (*more, "--commit", desk.folder / "registry", "--claimant", "Bureau of the case")
    protocol["treatments"] = [
        {"alternative": one["alternative"], "tested": one["alternative"] in case.tested, "how": how(case, one)}
        for one in protocol["treatments"]
    ]
    desk.do(
        "case", "freeze", desk.path, "--protocol", desk.form("protocol", protocol),
        "--line-up", desk.form("line-up", line_up(case)), *more, by="manager",
    )  # fmt: skip


def line_up(case: KnownCase) -> dict[str, object]:
    """Candidates for the line-up: two decoys, a control known to descend from the reference, and a stranger."""
    if case.by_answers:
        decoys, stranger = ["robin", "plover"], "dunlin"
    else:
        decoys = [one for one in ("twin", "student", "passerby") if one != case.questioned][:2]
        stranger = "passerby" if case.positive_control == "stranger" else "stranger"
    standing = asked_member if case.by_answers else member
    return {
        "schema": "whorl.line-up-candidates/1",
        "questioned": standing(case.questioned),
        "reference": standing(case.reference),
        "decoys": [standing(one) for one in decoys],
        "positive_controls": [standing(case.positive_control)],
        "negative_controls": [standing(stranger)],
    }


def answer_method() -> dict[str, object]:
    """The comparison of answers, with the digests of the control models and of what they were asked."""
    told = whorl("population", "show", str(CHAT / "controls.pop"), shown=False)
    (battery,) = told["batteries"]  # type: ignore[misc]
    parameters = {"population": told["digest"], "models": told["models"], "battery": battery["digest"]}
    return {"group": "behaviour", "method": "answer_comparison/1", "parameters": parameters}


def deposit(desk: Desk) -> Mapping[str, Path]:
    """The respondent sealed in a registry that the model exists, and opens it now: receipt and opened member."""
    sealed, registry, opened = desk.folder / "alibi", desk.folder / "registry", desk.folder / "opened.json"
    model = member(desk.case.questioned)["path"]
    named = ("--claimant", PEOPLE["respondent"], "--jurisdiction", "BR")
    desk.do("alibi", "deposit", model, "-o", sealed, "--registry", registry, *named, by="respondent")
    whorl("alibi", "show", str(sealed / "sealed.json"), "-m", "0", "-o", str(opened), shown=desk.shown, as_json=False)
    return {"Receipt of a sealed deposit": sealed / "commitment-receipt.json", "What was sealed in it": opened}


def examine(desk: Desk, exhibits: Mapping[str, Path]) -> None:
    """Take the exhibits, compare them under codes, and see who was who."""
    desk.do("case", "acquire", desk.path, by="manager")
    for title, document in exhibits.items():
        desk.do(
            "case", "acquire", desk.path, "--document", document, "--title", title,
            "--how", "handed in by the respondent", by="respondent",
        )  # fmt: skip
    desk.do("case", "analyse", desk.path, by="analyst")
    desk.do("case", "unblind", desk.path, by="manager")


def conclude(desk: Desk) -> Path:
    """The reply, the second analyst, the review, the opinion, and the file that all of it ends in."""
    dossier = desk.folder / "case.dossier"
    if desk.case.verdict == "void":
        desk.do("case", "close", desk.path, "--outcome", "void", "--reasons", "A control failed.", by="manager")
    else:
        desk.do("case", "respond", desk.path, "--statement", desk.case.reply, by="respondent")
        desk.do("case", "replicate", desk.path, by="replicator")
        checklist = json.loads(run_plain("case", "template", "checklist"))
        desk.do("case", "review", desk.path, "--checklist", desk.form("checklist", checklist), by="reviewer")
        desk.do("case", "opinion", desk.path, by="analyst")
        reasons = "An opinion was given."
        desk.do("case", "close", desk.path, "--outcome", "completed", "--reasons", reasons, by="manager")
    page, printed = desk.folder / "report.html", desk.folder / "report.pdf"
    desk.do("case", "report", desk.path, "-o", page, "--pdf", printed)
    desk.do(
        "dossier", "build", desk.path, "-o", dossier,
        "--add", f"report.html={page}", "--add", f"report.pdf={printed}", by="manager",
    )  # fmt: skip
    desk.do("dossier", "verify", dossier, *trusted(desk.folder))
    return dossier


def trusted(folder: Path) -> tuple[str, ...]:
    """The policy of the registry that the case was committed to, where there is one."""
    policy = folder / "registry" / "policy.txt"
    return ("--policy", str(policy)) if policy.exists() else ()


def member(name: str) -> dict[str, str]:
    return {"name": name, "path": str(next(folder / name for folder in MODELS if (folder / name).exists()))}


def asked_member(name: str) -> dict[str, object]:
    """A model that is only asked: its transcript, and the endpoint that the transcript's first line names."""
    path = CHAT / f"{name}.jsonl"
    with path.open(encoding="utf-8") as file:
        asked = json.loads(file.readline())["entry"]["endpoint"]
    endpoint = {"address": asked["address"], "model": asked["model"]}
    return {"name": name, "transcript": str(path), "endpoint": endpoint}


def proposition(number: str, side: str, alternative: str, statement: str) -> dict[str, str]:
    return {"id": number, "level": "source", "side": side, "alternative": alternative, "statement": statement}


def how(case: KnownCase, treatment: Mapping[str, str]) -> str:
    if treatment["alternative"] in case.tested:
        return "by fingerprint_comparison/1 on the population of the release"
    if case.by_answers:
        return "answers are ranked among control models, and have no calibrated ratio against one alternative"
    return UNTESTED[treatment["alternative"]]


def run_plain(*words: str) -> str:
    done = subprocess.run([str(WHORL), *words], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"whorl {shlex.join(words)} failed with {done.returncode}:\n{done.stderr or done.stdout}")
    return done.stdout


def main(names: Sequence[str]) -> None:
    """Play the named cases and say how they ended."""
    for name in CASES if "--all" in names else names or ["derived"]:
        case = CASES[name]
        print(f"\n=== {case.title}: {case.story}\n")
        dossier = play(name, shown=True)
        print(f"\n{run_plain('dossier', 'verify', str(dossier), *trusted(dossier.parent))}")


if __name__ == "__main__":
    main(sys.argv[1:])
