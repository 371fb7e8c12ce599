"""``whorl case`` on the demo's models, from the opening to the tombstone, as people type it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_case import model_at
from typer.testing import CliRunner, Result

from whorl.cases import analysing
from whorl.cli.case import case
from whorl.entries.keys import encode_public, new_issuer_key, write_key_file

ROLES = ("manager", "complainant", "respondent", "analyst", "replicator", "reviewer")
Run = Callable[..., Result]


class Desk:
    """A folder with a case, everybody's keys and the files that they write."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.case = folder, folder / "case"
        self.public: dict[str, list[str]] = {}
        for number, role in enumerate((*ROLES, "appeal_reviewer", "stranger")):
            key = new_issuer_key(lambda size, number=number: bytes([number]) * size)  # type: ignore[misc]
            (folder / f"{role}.json").write_bytes(write_key_file(key))
            (folder / f"{role}.json").chmod(0o600)
            self.public[role] = list(map(encode_public, key.public_keys))

    def run(self, *arguments: object, by: str | None = None) -> Result:
        key = () if by is None else ("--key", str(self.folder / f"{by}.json"))
        return CliRunner().invoke(case, [*map(str, arguments), *key])

    def do(self, verb: str, *arguments: object, by: str, status: int = 0) -> dict[str, Any]:
        done = self.run(verb, self.case, *arguments, "--json", by=by)
        assert done.exit_code == status, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout) if status in (0, 3) else {"error": done.stderr}
        return shown

    def file(self, name: str, document: object) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    def template(self, kind: str) -> Any:
        return json.loads(self.run("template", kind).stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def opening(desk: Desk) -> Path:
    stated = desk.template("opening")
    stated["parties"] = [{"name": f"The {role}", "role": role, "keys": desk.public[role]} for role in ROLES]
    stated["questioned"]["name"], stated["reference"]["name"] = "suspect", "base"
    return desk.file("opening", stated)


def line_up(desk: Desk, *, positive: str = "base-q8.gguf", negative: str = "stranger") -> Path:
    def one(name: str, model: str) -> dict[str, str]:
        return {"name": name, "path": str(model_at(model))}

    stated = desk.template("line-up") | {
        "questioned": one("suspect", "suspect"),
        "reference": one("base", "base"),
        "decoys": [one("stranger one", "twin"), one("stranger two", "passerby")],
        "positive_controls": [one("known copy", positive)],
        "negative_controls": [one("known stranger", negative)],
        "draw": {"decoys": 2},
    }
    return desk.file("line-up", stated)


def frozen(desk: Desk, **controls: str) -> None:
    desk.do("new", "--opening", opening(desk), by="manager")
    desk.do("propose", "--propositions", desk.file("both", desk.template("propositions")), by="manager")
    files = ("--protocol", desk.file("protocol", desk.template("protocol")), "--line-up", line_up(desk, **controls))
    assert desk.do("freeze", *files, "--quiet", by="manager")["stage"] == "frozen"


def test_a_case_from_its_opening_to_its_tombstone(desk: Desk) -> None:
    frozen(desk)
    refused = desk.run("analyse", desk.case, "--quiet", by="analyst")
    assert (refused.exit_code, "rule 6" in refused.stderr) == (1, True)
    assert desk.do("acquire", "--quiet", by="manager")["stage"] == "acquiring"

    secret = (desk.case / "line-up.json").read_bytes()
    (desk.case / "line-up.json").unlink()  # the analyst has no code key, and needs none
    assert desk.do("analyse", "--quiet", by="analyst")["stage"] == "analysing"
    shown = json.loads(desk.run("show", desk.case, "--json").stdout)
    assert "known copy" not in json.dumps(shown)
    assert len(shown["findings"]) == 5
    (desk.case / "line-up.json").write_bytes(secret)

    unblinded = desk.do("unblind", by="manager")
    assert (unblinded["stage"], unblinded["failed_controls"]) == ("unblinded", [])
    assert unblinded["reply_until"] is not None
    early = desk.run("review", desk.case, "--checklist", desk.file("list", desk.template("checklist")), by="reviewer")
    assert (early.exit_code, "rule 20" in early.stderr) == (1, True)

    log = desk.folder / "training.log"
    log.write_text("step 1 loss 5.3\n")
    desk.do("acquire", "--document", log, "--title", "Training log", "--how", "sent by e-mail", by="respondent")
    desk.do("respond", "--statement", "We trained Lark ourselves.", "--exhibit", "D-1", by="respondent")
    assert desk.do("replicate", "--quiet", by="replicator")["stage"] == "replicated"
    desk.do("review", "--checklist", desk.file("list", desk.template("checklist")), by="reviewer")
    remarks = desk.file("remarks", {"limitations": ["Both models are small."]})
    assert desk.do("opinion", "--remarks", remarks, by="analyst")["stage"] == "opined"
    desk.do("close", "--outcome", "completed", "--reasons", "The opinion was issued.", by="manager")

    desk.do("appeal", "--ground", "method", "--text", "No model like ours is in the population.", by="respondent")
    judge = [part for key in desk.public["appeal_reviewer"] for part in ("--public", key)]
    desk.do("join", "--name", "The judge", "--role", "appeal_reviewer", *judge, by="manager")
    decided = desk.do("decide", "--result", "annulled", "--reasons", "It has none.", by="appeal_reviewer")
    assert decided["stage"] == "decided"

    shown = json.loads(desk.run("show", desk.case, "--json").stdout)
    outcomes = {one["name"]: one["relation"] for one in shown["findings"]}
    assert outcomes == {
        "suspect": "derived",
        "known copy": "derived",
        "known stranger": "none_found",
        "stranger one": "none_found",
        "stranger two": "none_found",
    }
    assert (shown["hearing"], shown["void"], shown["exhibit_faults"]) == ("answered", False, [])
    text = desk.run("show", desk.case).stdout
    assert "the respondent answered" in text
    assert "questioned: suspect" in text
    assert "appeal_decided" in text

    assert desk.do("expunge", "--ground", "annulment", by="manager")["stage"] == "expunged"
    assert not (desk.case / "line-up.json").exists()
    assert not [one for one in (desk.case / "exhibits").rglob("*") if one.is_file()]
    gone = json.loads(desk.run("show", desk.case, "--json").stdout)
    assert (gone["case"], gone["title"], gone["parties"]) == (shown["case"], None, [])
    assert [one["kind"] for one in gone["events"]][:-1] == [one["kind"] for one in shown["events"]]
    assert "Case, its opening erased" in desk.run("show", desk.case).stdout


def test_missing_and_altered_exhibits_are_noticed(desk: Desk) -> None:
    frozen(desk)
    desk.do("acquire", "--quiet", by="manager")
    assert desk.run("show", desk.case).exit_code == 0
    first, second = sorted(one for one in (desk.case / "exhibits").glob("??/*"))[:2]
    first.unlink()
    second.write_bytes(b"something else")
    done = desk.run("show", desk.case, "--json")
    assert (done.exit_code, len(json.loads(done.stdout)["exhibit_faults"])) == (1, 2)
    said = " ".join(done.stderr.split())
    assert "expected every exhibit that an event names, found 2 missing or altered" in said


def test_a_replication_that_differs_prints_where(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen(desk)
    desk.do("acquire", "--quiet", by="manager")
    desk.do("analyse", "--quiet", by="analyst")
    desk.do("unblind", by="manager")

    def otherwise(first: object, second: object, *, where: str) -> tuple[float, list[str]]:
        return 0.25, [f"{where}.conclusion.statement: 'one' and 'another'"]

    monkeypatch.setattr(analysing, "differences", otherwise)
    made = desk.do("replicate", "--quiet", by="replicator", status=3)
    assert [one["largest_difference"] for one in made["differing"]] == [0.25] * 5
    done = desk.run("replicate", desk.case, "--quiet", by="replicator")
    assert done.exit_code == 3
    assert "finding.conclusion.statement: 'one' and 'another'" in done.stdout
    assert "largest difference of a figure: 0.25" in done.stdout
    monkeypatch.undo()
    assert desk.do("replicate", "--quiet", by="replicator")["differing"] == []


def test_a_respondent_who_was_not_heard_is_not_passed_over(desk: Desk) -> None:
    frozen(desk)
    desk.do("acquire", "--quiet", by="manager")
    desk.do("analyse", "--quiet", by="analyst")
    desk.do("unblind", by="manager")
    desk.do("close", "--outcome", "withdrawn", "--reasons", "The complaint was withdrawn.", by="manager")
    shown = json.loads(desk.run("show", desk.case, "--json").stdout)
    assert (shown["hearing"], shown["signed"]["respondent"]) == ("not_heard", None)
    text = " ".join(desk.run("show", desk.case).stdout.split())
    assert "the respondent was NOT heard" in text
    assert "no event is signed by the respondent" in text


def test_a_void_run_says_so(desk: Desk) -> None:
    frozen(desk, negative="base-q8.gguf", positive="sibling")
    desk.do("acquire", "--quiet", by="manager")
    desk.do("analyse", "--quiet", by="analyst")
    unblinded = desk.do("unblind", by="manager", status=3)
    assert unblinded["stage"] == "void"
    assert any("came out as derived" in why for why in unblinded["failed_controls"])
    assert desk.do("close", "--outcome", "void", "--reasons", "A control failed.", by="manager")["stage"] == "closed"
    desk.do("expunge", "--ground", "retention", by="manager")
    assert json.loads(desk.run("show", desk.case, "--json").stdout)["void"]
    assert "the run is void, nothing in it counts" in " ".join(desk.run("show", desk.case).stdout.split())


REFUSED = [
    (("propose", "--propositions", "nothing.json"), 2, "expected propositions"),
    (("freeze", "--protocol", "opening.json", "--line-up", "opening.json"), 2, "expected a protocol"),
    (("acquire", "--title", "Log"), 2, "expected --document FILE as well"),
    (("acquire",), 1, "rule 6"),
    (("unblind",), 1, "rule 6"),
    (("respond",), 2, "expected --statement TEXT"),
    (("respond", "--statement", "a\u202eb"), 2, "found fault with statement"),
    (("opinion",), 1, "freeze it first"),
    (("close", "--outcome", "completed", "--reasons", "done"), 1, "rule 26"),
    (("expunge", "--ground", "retention"), 1, "rule 29"),
    (("expunge", "--ground", "retention", "--event", "7"), 2, "events that are still there"),
    (("appeal", "--ground", "weather", "--text", "x"), 2, "found fault with grounds"),
    (("join", "--name", "X", "--role", "replicator", "--public", "ed25519:AAAA"), 2, "expected a public key"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), REFUSED)
def test_what_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int, message: str
) -> None:
    monkeypatch.chdir(desk.folder)
    desk.do("new", "--opening", opening(desk), by="manager")
    done = desk.run(arguments[0], desk.case, *arguments[1:], by="manager")
    assert (done.exit_code, done.stdout) == (status, "")
    assert message in " ".join(done.stderr.split())
    assert len(json.loads(desk.run("show", desk.case, "--json").stdout)["events"]) == 1


def test_a_stranger_and_a_case_that_is_there(desk: Desk) -> None:
    stated = opening(desk)
    refused = desk.run("new", desk.case, "--opening", stated, by="stranger")
    assert (refused.exit_code, "unknown key" in refused.stderr) == (1, True)
    assert not desk.case.exists()
    desk.do("new", "--opening", stated, by="manager")
    again = desk.run("new", desk.case, "--opening", stated, by="manager")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    both = desk.file("both", desk.template("propositions"))
    refused = desk.run("propose", desk.case, "--propositions", both, by="stranger")
    assert (refused.exit_code, "unknown key" in refused.stderr) == (1, True)
    assert [one.name for one in desk.folder.iterdir() if one.name.endswith("partial")] == []


@pytest.mark.parametrize("verb", ["show", "analyse", "expunge"])
def test_a_folder_that_is_no_case(desk: Desk, verb: str) -> None:
    desk.case.mkdir()
    more = ("--ground", "retention") if verb == "expunge" else ()
    done = desk.run(verb, desk.case, *more, by=None if verb == "show" else "manager")
    assert (done.exit_code, "expected the folder of a case" in done.stderr) == (2, True)
