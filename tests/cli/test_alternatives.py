"""``whorl alternatives``: the ancestor test and the filtration, as either side runs, files and attacks them."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from whorl.cases.filtering import Filtration
from whorl.comparison.ancestor_document import AncestorTest
from whorl.core.digest import digest_bytes
from whorl.dossiers.events import Acquired
from whorl.dossiers.heard import heard
from whorl.dossiers.wording import wording_faults

Run = Callable[..., Result]

DEMO = Path(__file__).parents[2] / "demo"
BASE, SIBLING, SUSPECT, STUDENT, TWIN = (DEMO / "models" / n for n in ("base", "sibling", "suspect", "student", "twin"))
COUSIN, STRANGER, PASSERBY = (DEMO / "case_models" / name for name in ("cousin", "stranger", "passerby"))
AT = "2026-11-02T09:00:00Z"


def said(done: Result) -> str:
    """What was printed, checked for what no sentence may say, as running text."""
    lines = [line for line in done.stdout.splitlines() if not line.startswith("File  ")]  # a path stays whole
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert wording_faults(text) == ()
    return text


def stated(path: Path, **members: Any) -> Path:
    path.write_text(json.dumps({"schema": "whorl.filters/1"} | members))
    return path


def a_filter(**changed: str) -> dict[str, str]:
    return {
        "id": "respondent-1",
        "layer": "architecture",
        "element": "width",
        "ground": "standard",
        "by": "respondent",
        "reason": "most models of this size have it",
        "source": "Harbour Models, survey of 40 models, 2025-01-10",
        "at": AT,
    } | changed


def a_contest(name: str = "respondent-1", **changed: str) -> dict[str, str]:
    return {"filter": name, "by": "complainant", "reason": "it was rare then", "at": AT} | changed


@pytest.mark.parametrize(("one", "other"), [(SUSPECT, COUSIN), (COUSIN, SUSPECT)])
def test_two_children_of_one_ancestor_are_never_read_as_a_descent(run: Run, one: Path, other: Path) -> None:
    done = run("alternatives", "ancestor", BASE, one, other, "--json")
    test = AncestorTest.model_validate_json(done.stdout)
    assert test.reading in ("common_ancestor", "undecided")
    assert done.exit_code == (3 if test.reading == "undecided" else 0)
    assert {kept.possibility for kept in test.possibilities if kept.standing == "open"} >= {"siblings"}


def test_the_ancestor_test_says_figures_and_what_stays_open(run: Run) -> None:
    done = run("alternatives", "ancestor", BASE, SUSPECT, COUSIN, "--quiet")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "A common ancestor")
    text = said(done)
    test = AncestorTest.model_validate_json(run("alternatives", "ancestor", BASE, SUSPECT, COUSIN, "--json").stdout)
    assert test.beta is not None
    for words in (
        f"beta {test.beta.value:.2f} [{test.beta.lower:.2f}, {test.beta.upper:.2f}]",
        "Calibrated on 17 families",
        "What stays open - Two trainings of the ancestor, on other text",
        "What the figures speak against, without excluding it - The questioned model continues the reference",
        "What this does not show",
    ):
        assert words in text
    assert text.count("log10 ratio") >= 4


@pytest.mark.parametrize(
    ("questioned", "reference", "reading"),
    [
        (SIBLING, SUSPECT, None),
        (STUDENT, COUSIN, None),
        (STRANGER, PASSERBY, None),
        (BASE, COUSIN, "unchanged"),
        (DEMO / "models" / "base-q8.gguf", COUSIN, "undecided"),
    ],
)
def test_what_the_figures_do_not_tell_ends_with_three(
    run: Run, questioned: Path, reference: Path, reading: str | None
) -> None:
    done = run("alternatives", "ancestor", BASE, questioned, reference, "--quiet")
    assert done.exit_code == 3
    assert said(done)
    test = AncestorTest.model_validate_json(
        run("alternatives", "ancestor", BASE, questioned, reference, "--json").stdout
    )
    assert (test.reading, test.ratios) == (reading, ())


def test_a_model_against_itself_is_no_descent(run: Run) -> None:
    done = run("alternatives", "ancestor", BASE, COUSIN, COUSIN, "--json")
    assert AncestorTest.model_validate_json(done.stdout).reading == "on_the_way"


def test_weight_decay_is_told_as_a_share_and_never_as_a_percentage(run: Run, tmp_path: Path) -> None:
    shorter = shutil.copytree(COUSIN, tmp_path / "shorter")
    weights = shorter / "model.safetensors"
    data = weights.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    halves = np.frombuffer(data[start:], "<u2").astype(np.uint32) << 16  # bfloat16
    values = (halves.view(np.float32) * np.float32(0.9)).view(np.uint32) >> 16
    weights.write_bytes(data[:start] + values.astype("<u2").tobytes())
    text = said(run("alternatives", "ancestor", BASE, shorter, COUSIN, "--quiet"))
    assert "of a change is the ancestor itself made shorter or longer (weight decay)" in text


@pytest.mark.parametrize("command", ["ancestor", "filtration"])
def test_the_file_is_the_document_and_nothing_is_overwritten(run: Run, tmp_path: Path, command: str) -> None:
    kinds: dict[str, type[AncestorTest] | type[Filtration]] = {"ancestor": AncestorTest, "filtration": Filtration}
    models = (BASE, SUSPECT, COUSIN) if command == "ancestor" else (SUSPECT, COUSIN, "--ancestor", BASE)
    file = tmp_path / "document.json"
    done = run("alternatives", command, *models, "-o", file, "--json")
    assert file.read_text() == done.stdout
    kinds[command].model_validate_json(done.stdout)
    for other, message in ((file, "exists already"), (SUSPECT / "config.json", "lies in the input")):
        before = other.read_bytes()
        again = run("alternatives", command, *models, "-o", other)
        assert (again.exit_code, again.stdout, message in again.stderr) == (2, "", True), again.stderr
        assert other.read_bytes() == before
    assert "whorl case acquire" in said(run("alternatives", command, *models, "-o", tmp_path / "second.json"))


def test_a_case_in_which_the_file_is_filed_hears_its_figures(run: Run, tmp_path: Path) -> None:
    for command, models, about in (
        ("ancestor", (BASE, SUSPECT, COUSIN), True),
        ("filtration", (SUSPECT, COUSIN), None),
    ):
        file = tmp_path / f"{command}.json"
        run("alternatives", command, *models, "-o", file, "--quiet")
        data = file.read_bytes()
        exhibit = Acquired(
            code="D-1",
            access="document",
            digest=digest_bytes(data),
            blob=digest_bytes(data),
            how="made by the respondent",
            acquired_at=AT,
            filed_by="respondent",
            title="What else explains it",
        )
        document = json.loads(data)
        found = heard(exhibit, data, models=(document["questioned"]["digest"], document["reference"]["digest"]))
        assert found is not None
        assert found.analysis == document["schema"]
        assert about is None or found.about is about


def broken(folder: Path, *, keep: int | None = None, config: bytes | None = None) -> Path:
    shutil.copytree(BASE, folder)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    if keep is not None:
        weights.write_bytes(data[:keep])
    if config is not None:
        (folder / "config.json").write_bytes(config)
    return folder


def test_broken_models_end_with_two_and_print_nothing(run: Run, tmp_path: Path) -> None:
    stored = tmp_path / "cousin.whorl"
    assert run("fingerprint", COUSIN, "-o", stored, "--quiet").exit_code == 0
    bad = (
        broken(tmp_path / "short", keep=1000),
        broken(tmp_path / "empty", keep=0),
        broken(tmp_path / "config", config=b"{"),
        tmp_path / "nowhere",
        stored,
    )
    for model in bad:
        for arguments in (("ancestor", BASE, SUSPECT, model), ("filtration", SUSPECT, model)):
            done = run("alternatives", *arguments, "--quiet")
            assert (done.exit_code, done.stdout) == (2, ""), (model, done.stderr)
            assert model.name in done.stderr


def test_weights_that_are_no_numbers_are_no_traceback(run: Run, tmp_path: Path) -> None:
    folder = broken(tmp_path / "nan")
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4096:] = b"\xff" * 4096
    weights.write_bytes(bytes(data))
    for arguments in (("ancestor", BASE, folder, COUSIN), ("ancestor", folder, SUSPECT, COUSIN)):
        done = run("alternatives", *arguments, "--json", "--quiet")
        assert done.exit_code in (2, 3), done.stderr
        if done.exit_code == 3:
            assert AncestorTest.model_validate_json(done.stdout).ratios == ()
    assert run("alternatives", "filtration", SUSPECT, folder, "--quiet").exit_code in (0, 2, 3)


def test_what_a_public_ancestor_has_alike_is_filtered_and_nothing_is_left(run: Run) -> None:
    done = run("alternatives", "filtration", SUSPECT, COUSIN, "--ancestor", BASE, "--json", "--quiet")
    assert done.exit_code == 3
    text = said(run("alternatives", "filtration", SUSPECT, COUSIN, "--ancestor", BASE, "--quiet"))
    assert text.startswith("These filters leave nothing to compare")
    found = Filtration.model_validate_json(done.stdout)
    assert [one.name for one in found.ancestors] == ["base"]
    assert {one.ground for one in found.filters} == {"public_ancestor"}
    assert {one.by for one in found.filters} == {"analyst"}
    assert all(found.ancestors[0].digest in one.source for one in found.filters)
    assert sum(layer.compared for layer in found.residues[0].layers) == 0
    assert {one.id for one in found.filters} >= {f"ancestor-{found.ancestors[0].digest[7:15]}.architecture.width"}


def test_the_digests_are_those_that_a_case_keeps_of_its_models(run: Run) -> None:
    test = AncestorTest.model_validate_json(run("alternatives", "ancestor", BASE, SUSPECT, COUSIN, "--json").stdout)
    found = Filtration.model_validate_json(run("alternatives", "filtration", SUSPECT, COUSIN, "--json").stdout)
    assert (found.questioned, found.reference) == (test.questioned, test.reference)


def test_without_an_ancestor_everything_is_compared(run: Run) -> None:
    done = run("alternatives", "filtration", SUSPECT, COUSIN, "--quiet")
    assert done.exit_code == 0
    text = said(done)
    assert "Of what no filter takes out, 15 of 15 agree No filter was set" in text
    assert "nothing else explains" not in text  # strangers of one shape agree as well
    assert "no share of copying" in text
    assert "architecture/width" in text


def test_both_sides_state_filters_and_contests_and_both_results_are_said(run: Run, tmp_path: Path) -> None:
    theirs = stated(
        tmp_path / "respondent.json",
        elements=[{"layer": "recipe", "name": "schedule", "questioned": "cosine", "reference": "cosine"}],
        filters=[a_filter(), a_filter(id="respondent-2", layer="recipe", element="schedule", ground="published_paper")],
    )
    ours = stated(tmp_path / "complainant.json", contests=[a_contest()])
    named = ("--filters", theirs, "--filters", ours)
    found = Filtration.model_validate_json(run("alternatives", "filtration", SUSPECT, COUSIN, *named, "--json").stdout)
    assert [one.filters for one in found.residues] == ["all", "uncontested"]
    agreeing = [sum(layer.agreeing for layer in one.layers) for one in found.residues]
    assert agreeing == [14, 15]
    assert "recipe" in [layer.layer for layer in found.residues[0].layers]
    text = said(run("alternatives", "filtration", SUSPECT, COUSIN, *named, "--quiet"))
    for words in (
        "By uncontested filters alone",
        "architecture, by respondent, standard: most models of this size have it (Harbour Models",
        "Contested - by complainant: it was rare then: architecture/width",
        "architecture/width (contested)",
    ):
        assert words in text


def test_a_whole_ancestor_can_be_contested_and_by_whom_is_kept(run: Run, tmp_path: Path) -> None:
    objection = {"model": "base", "by": "complainant", "reason": "it was published after both", "at": AT}
    file = stated(tmp_path / "contest.json", model_contests=[objection])
    named = ("--ancestor", BASE, "--filters", file)
    found = Filtration.model_validate_json(run("alternatives", "filtration", SUSPECT, COUSIN, *named, "--json").stdout)
    assert {one.standing for one in found.standings} == {"contested"}
    assert [sum(layer.agreeing for layer in one.layers) for one in found.residues] == [0, 15]
    assert {(one.by, one.reason) for one in found.contests} == {("complainant", "it was published after both")}
    own = stated(tmp_path / "own.json", model_contests=[objection | {"by": "analyst"}])
    done = run("alternatives", "filtration", SUSPECT, COUSIN, "--ancestor", BASE, "--filters", own)
    assert (done.exit_code, "cannot contest it" in done.stderr) == (2, True)


def test_two_ancestors_filter_under_names_of_their_own(run: Run) -> None:
    named = ("--ancestor", BASE, "--ancestor", TWIN)
    found = Filtration.model_validate_json(run("alternatives", "filtration", SUSPECT, COUSIN, *named, "--json").stdout)
    assert len({one.id for one in found.filters}) == len(found.filters) > 15
    assert datetime.fromisoformat(found.filters[0].at)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ancestor", COUSIN), "one of the two itself"),
        (("--ancestor", SUSPECT), "one of the two itself"),
        (("--ancestor", BASE, "--ancestor", BASE), "found it twice"),
        (("--by", "The Thief"), "--by: expected a role"),
        (("--by", "thief"), "--by: "),
        (("--panel", "base"), "expected --prompts TABLE"),
        (("--filters", BASE), "config.json"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, arguments: tuple[object, ...], message: str) -> None:
    done = run("alternatives", "filtration", SUSPECT, COUSIN, *arguments, "--quiet")
    assert (done.exit_code, done.stdout) == (2, "")
    if message != "config.json":  # a folder is no file, however the system says so
        assert message in " ".join(done.stderr.split())


HOSTILE: dict[str, bytes | dict[str, Any]] = {
    "expected JSON in UTF-8": b"{",
    "expected a JSON object": b"[]",
    "more than once": b'{"schema": "whorl.filters/1", "schema": "whorl.filters/2"}',
    "levels": b'{"schema": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "expected at most 1048576 bytes": b" " * ((1 << 20) + 1),
    "fault with schema": {"schema": "whorl.exhibits/1"},
    "Extra inputs": {"schema": "whorl.filters/1", "verdict": "guilty"},
    "NaN": b'{"schema": "whorl.filters/1", "elements": NaN}',
    "fault with filters.0.ground": {"schema": "whorl.filters/1", "filters": [a_filter(ground="luck")]},
    "an element that was compared, found recipe/width": {
        "schema": "whorl.filters/1",
        "filters": [a_filter(layer="recipe")],
    },
    "every filter once": {"schema": "whorl.filters/1", "filters": [a_filter(), a_filter()]},
    "a filter that was set": {"schema": "whorl.filters/1", "contests": [a_contest("nothing")]},
    "cannot contest it": {
        "schema": "whorl.filters/1",
        "filters": [a_filter()],
        "contests": [a_contest(by="respondent")],
    },
    "every element once": {
        "schema": "whorl.filters/1",
        "elements": [{"layer": "architecture", "name": "width", "questioned": "1", "reference": "1"}],
    },
    "names an offence": {"schema": "whorl.filters/1", "filters": [a_filter(reason="they stole it")]},
    "gives a percentage": {
        "schema": "whorl.filters/1",
        "filters": [a_filter()],
        "contests": [a_contest(reason="it is 90 % copied")],
    },
    "fault with filters.0.at": {"schema": "whorl.filters/1", "filters": [a_filter(at="2026-13-45T00:00:00Z")]},
    "found one of nobody": {
        "schema": "whorl.filters/1",
        "model_contests": [{"model": "nobody", "by": "complainant", "reason": "x", "at": AT}],
    },
}


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_filters_end_with_two_and_print_nothing(run: Run, tmp_path: Path, message: str) -> None:
    content, file = HOSTILE[message], tmp_path / "filters.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    done = run("alternatives", "filtration", SUSPECT, COUSIN, "--filters", file, "--quiet", "-o", tmp_path / "out.json")
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert message in " ".join(done.stderr.split()).replace("'", "")
    assert not (tmp_path / "out.json").exists()


def answers(path: Path, *, datasets: tuple[str, ...] = ("set",), rename: str = "cousin") -> Path:
    """Ten prompts: the ancestor explains two, the panel one, and on five of the rest both models agree."""
    panel = {f"panel-{number}": [f"p{number}-{prompt}" for prompt in range(10)] for number in range(3)}
    reference = [f"r-{prompt}" for prompt in range(10)]
    rows = {
        rename: reference,
        "suspect": [*reference[:8], "own-8", "own-9"],
        "base": [*reference[:2], *(f"b-{prompt}" for prompt in range(2, 10))],
    } | panel
    rows["panel-0"][2] = reference[2]
    lines = ["dataset,model,prompt_id,response"]
    for dataset in datasets:
        lines += [
            f"{dataset},{model},q{prompt},{text}" for model, texts in rows.items() for prompt, text in enumerate(texts)
        ]
    path.write_text("\n".join(lines) + "\n")
    return path


PANEL = ("--panel", "panel-0", "--panel", "panel-1", "--panel", "panel-2")


def test_prompts_without_a_public_explanation_are_kept_and_counted(run: Run, tmp_path: Path) -> None:
    table = answers(tmp_path / "answers.csv")
    asked = (SUSPECT, COUSIN, "--ancestor", BASE, "--prompts", table, *PANEL)
    done = run("alternatives", "filtration", *asked, "--json", "--quiet")
    assert done.exit_code == 0  # prompts are left, though no element is
    found = Filtration.model_validate_json(done.stdout)
    (prompts,) = found.prompts
    assert (prompts.kept, prompts.agreeing) == (tuple(f"q{number}" for number in range(3, 10)), 5)
    assert prompts.explained == {"base": 2, "panel-0": 1, "panel-1": 0, "panel-2": 0}
    assert found.answers == (digest_bytes(table.read_bytes()),)
    text = said(run("alternatives", "filtration", *asked, "--quiet"))
    assert "On 7 prompts without a public explanation at hand" in text
    assert "Explained base 2, panel-0 1" in text


def test_a_contested_panel_model_gives_two_results_with_its_reason(run: Run, tmp_path: Path) -> None:
    objection = {"model": "panel-0", "by": "complainant", "reason": "it continues the reference", "at": AT}
    file = stated(tmp_path / "contest.json", model_contests=[objection])
    asked = (SUSPECT, COUSIN, "--prompts", answers(tmp_path / "a.csv"), *PANEL, "--filters", file, "--quiet")
    done = run("alternatives", "filtration", *asked)
    assert (done.exit_code, "at least 3 panel models, found 2" in " ".join(done.stderr.split())) == (2, True)
    table = answers(tmp_path / "b.csv")
    with table.open("a") as lines:
        lines.writelines(f"set,panel-3,q{number},z{number}\n" for number in range(10))
    more = (SUSPECT, COUSIN, "--prompts", table, *PANEL, "--panel", "panel-3", "--filters", file, "--quiet")
    found = Filtration.model_validate_json(run("alternatives", "filtration", *more, "--json").stdout)
    assert [(one.filters, len(one.kept)) for one in found.prompts] == [("all", 9), ("uncontested", 10)]
    assert [one.model for one in found.model_contests] == ["panel-0"]
    assert "by complainant: it continues the reference: panel-0" in said(run("alternatives", "filtration", *more))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "found 0 once those contested"),
        (("--panel", "nobody", "--panel", "panel-1", "--panel", "panel-2"), "none of 'nobody'"),
        ((*PANEL, "--panel", "suspect"), "to be different models"),
        ((*PANEL, "--called", "nobody=x"), "--called: expected MODEL=NAME"),
        ((*PANEL, "--called", "cousin"), "--called: expected MODEL=NAME"),
        ((*PANEL, "--called", "cousin=else"), "none of 'else'"),
        ((*PANEL, "--dataset", "other"), "--dataset: expected one of set"),
    ],
)
def test_a_panel_that_cannot_be_asked_is_refused(run: Run, tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    done = run("alternatives", "filtration", SUSPECT, COUSIN, "--prompts", answers(tmp_path / "a.csv"), *more)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())


def test_other_names_and_several_data_sets_are_told_apart(run: Run, tmp_path: Path) -> None:
    table = answers(tmp_path / "a.csv", datasets=("one", "two"), rename="northwind/cousin")
    asked = (SUSPECT, COUSIN, "--prompts", table, *PANEL, "--called", "cousin=northwind/cousin", "--quiet")
    done = run("alternatives", "filtration", *asked)
    assert (done.exit_code, "one of the 2 data sets: one, two" in " ".join(done.stderr.split())) == (2, True)
    found = Filtration.model_validate_json(
        run("alternatives", "filtration", *asked, "--dataset", "two", "--json").stdout
    )
    assert (found.prompts[0].dataset, found.prompts[0].reference) == ("two", "northwind/cousin")


def test_the_template_of_filters_is_one_that_is_accepted(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "filters.json"
    file.write_text(run("alternatives", "template", "filters").stdout)
    done = run("alternatives", "filtration", SUSPECT, COUSIN, "--filters", file, "--quiet")
    assert done.exit_code == 0, done.stderr
    assert "by respondent, published paper" in said(done)
