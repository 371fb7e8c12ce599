"""Transcripts on the command line: compare, identify, check-api and populations made of them, end to end."""

import json
from functools import cache
from pathlib import Path

import pytest
from simulated_endpoints import Simulated
from typer.testing import CliRunner

from whorl.cli.main import app
from whorl.core.behaviour import Behaviour
from whorl.endpoints.exchange import EndpointName, Reply
from whorl.probes.battery import Battery
from whorl.probes.families import battery
from whorl.probes.transcript import Answered, Header
from whorl.probes.transcript_file import continue_transcript, start_transcript

CONTROLS = 50


@cache
def questions(seed: int = 3) -> Battery:
    return battery("low_entropy", seed).model_copy(update={"items": battery("low_entropy", seed).items[:12]})


def write_transcript(path: Path, model: Simulated, asked: Battery) -> Path:
    header = Header(
        whorl_version="0.1.0",
        endpoint=EndpointName(kind="openai_chat", address="http://127.0.0.1:1/v1", model=model.name),
        battery=asked,
        capabilities=None,
        started="2026-11-26T12:00:00Z",
    )
    with start_transcript(path, header) as file:
        for item in asked.items:
            for draw, text in enumerate(model.answers(item)):
                reply = Reply(
                    text=text,
                    finish="stop",
                    served_model=model.name,
                    status=200,
                    request="{}",
                    response="{}",
                    started="2026-11-26T12:00:00Z",
                    seconds=0.1,
                )
                file.add(Answered(item=item.id, draw=draw, reply=reply))
        file.end("complete")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transcripts of Northwind, a swap, and 50 controls with their population."""
    made = tmp_path_factory.mktemp("transcripts")
    (made / "controls").mkdir()
    models = [Simulated(f"control-{number:02d}") for number in range(CONTROLS)]
    paths = [write_transcript(made / "controls" / f"{one.name}.jsonl", one, questions()) for one in models]
    paths.append(write_transcript(made / "controls" / "northwind.jsonl", Simulated("northwind"), questions()))
    write_transcript(made / "again.jsonl", Simulated("again", base="northwind"), questions())
    write_transcript(made / "swapped.jsonl", Simulated("somebody"), questions())
    write_transcript(made / "other.jsonl", Simulated("northwind"), questions(4))
    rows = "".join(f"{path.stem},{path.stem},,same_family\n" for path in paths)
    (made / "controls" / "lineage.csv").write_text("model,family,base,relation\n" + rows)
    code, _, err = run("population", "build", *paths, "-o", made / "p.pop", "-q")
    assert code == 0, err
    return made


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_a_genuine_endpoint_is_found_no_different_with_the_power_stated(folder: Path) -> None:
    claim = ("check-api", folder / "again.jsonl", "--claims", "northwind", "-P", folder / "p.pop", "-q")
    code, out, err = run(*claim, "--json")
    assert (code, err) == (0, "")
    found = Behaviour.model_validate_json(out)
    assert found.task == "check_api"
    assert found.claimed == "northwind"
    assert found.verdicts.endpoint.outcome == "same"
    assert found.statement.startswith("No difference from northwind was found; a swap to a model of another line")
    assert "No difference from northwind was found" in run(*claim)[1].replace("\n", " ")


def test_a_swapped_endpoint_differs(folder: Path) -> None:
    claim = ("check-api", folder / "swapped.jsonl", "--claims", "northwind", "-P", folder / "p.pop", "-q", "--json")
    code, out, _ = run(*claim)
    assert code == 0
    assert json.loads(out)["verdicts"]["endpoint"]["outcome"] == "changed"


def test_without_controls_no_difference_is_no_answer(folder: Path) -> None:
    reference = folder / "controls" / "northwind.jsonl"
    code, out, _ = run("check-api", folder / "again.jsonl", "--claims", "northwind", "--reference", reference, "-q")
    assert code == 3
    assert "unknown what would have been seen" in out.replace("\n", " ")


def test_compare_writes_the_document_and_the_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    reference = folder / "controls" / "northwind.jsonl"
    words = ("compare", folder / "swapped.jsonl", reference, "-P", folder / "p.pop", "--html", page, "--json", "-q")
    code, out, _ = run(*words)
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == "whorl.behaviour/1"
    assert list(document["verdicts"]) == ["endpoint", "line", "weights-related", "learned-from"]
    assert document["verdicts"]["weights-related"]["outcome"] != "supported"
    assert document["population"]["models"] == CONTROLS  # the reference is not its own control
    assert "swapped" in page.read_text()


def test_identify_names_the_line_or_says_unknown(folder: Path) -> None:
    known = json.loads(run("identify", folder / "again.jsonl", "-P", folder / "p.pop", "--json", "-q")[1])
    unknown = json.loads(run("identify", folder / "swapped.jsonl", "-P", folder / "p.pop", "--json", "-q")[1])
    assert known["verdicts"]["line"]["outcome"] in ("northwind", "unknown")
    assert known["verdicts"]["line"]["candidates"][0]["name"] == "northwind"
    assert unknown["verdicts"]["line"]["outcome"] == "unknown"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("compare", "again.jsonl", "other.jsonl"), "are answers to different questions"),
        (("compare", "again.jsonl", "controls"), "found one of each"),
        (("compare", "again.jsonl", "swapped.jsonl", "-P", "again.jsonl"), "expected a population"),
        (("identify", "again.jsonl"), "give --population FILE"),
        (("check-api", "again.jsonl", "--claims", "northwind"), "expected answers of the genuine model"),
        (("check-api", "again.jsonl", "--claims", "nobody", "-P", "p.pop"), "has no answers of 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_said(folder: Path, words: tuple[str, ...], complaint: str) -> None:
    places = [str(folder / word) if (folder / word).exists() else word for word in words]
    code, out, err = run(*places)
    assert (code, out) == (2, "")
    assert complaint in err.replace("\n       ", " ")


def warnings_of(*words: object) -> list[str]:
    code, out, err = run(*words, "--json", "-q")
    assert code in (0, 3), err
    return list(Behaviour.model_validate_json(out).warnings)


@pytest.mark.parametrize("name", ["renamed", "northwind"])
def test_a_suspect_that_is_among_the_controls_is_said_to_be_and_measures_nothing(
    folder: Path, tmp_path: Path, name: str
) -> None:
    own = tmp_path / f"{name}.jsonl"
    own.write_bytes((folder / "controls" / "northwind.jsonl").read_bytes())
    page = tmp_path / "page.html"
    words = ("identify", own, "-P", folder / "p.pop", "--html", page, "-q")
    found = Behaviour.model_validate_json(run(*words, "--json")[1])
    [warning] = found.warnings
    assert warning.startswith(f"{name}: in the population the same answers stand under the name northwind (")
    assert "neither control nor possible teacher" in warning
    assert warning in " ".join(run(*words)[1].split())
    assert "the same answers stand under the name northwind" in page.read_text()
    # Fifty controls are left; the line that it stands for stays one that is known.
    assert found.population is not None
    assert found.population.models == CONTROLS
    assert found.verdicts.line.outcome == "northwind"
    assert found.verdicts.line.p == pytest.approx(1 / (CONTROLS + 1))
    assert "northwind" not in [one.name for one in found.verdicts.learned_from.candidates]
    assert found.verdicts.learned_from.outcome != "candidates"


def test_a_suspect_of_a_controls_name_with_other_answers_is_told_apart(folder: Path, tmp_path: Path) -> None:
    namesake = tmp_path / "control-07.jsonl"
    namesake.write_bytes((folder / "swapped.jsonl").read_bytes())
    found = Behaviour.model_validate_json(run("identify", namesake, "-P", folder / "p.pop", "--json", "-q")[1])
    [warning] = found.warnings
    assert warning.startswith("control-07: the population has a model of this name, control-07 (")
    assert found.population is not None
    assert found.population.models == CONTROLS  # northwind in its place
    assert found.verdicts.line.outcome == "unknown"


def test_strangers_and_relatives_give_no_warning(folder: Path) -> None:
    for name in ("again", "swapped"):
        assert warnings_of("identify", folder / f"{name}.jsonl", "-P", folder / "p.pop") == []


def cut(path: Path, to: Path, *, lines: int, torn: int = 0) -> Path:
    """The first lines of a transcript, and some bytes of the next."""
    whole = path.read_bytes().splitlines(keepends=True)
    to.write_bytes(b"".join(whole[:lines]) + (whole[lines][:torn] if torn else b""))
    return to


@pytest.mark.parametrize("torn", [0, 30])
def test_a_transcript_without_its_seal_is_called_incomplete(folder: Path, tmp_path: Path, torn: int) -> None:
    whole = folder / "again.jsonl"
    count = len(whole.read_bytes().splitlines()) - 2  # without header and seal
    part = cut(whole, tmp_path / "part.jsonl", lines=1 + count // 2, torn=torn)
    genuine = folder / "controls" / "northwind.jsonl"
    page = tmp_path / "page.html"
    for words in (
        ("compare", part, genuine),
        ("compare", genuine, part),
        ("identify", part, "-P", folder / "p.pop"),
        ("check-api", part, "--claims", "northwind", "--reference", genuine),
        ("check-api", genuine, "--claims", "northwind", "--reference", part),
    ):
        said = f"incomplete: {count // 2} of {count} questions, no seal."
        assert [said in warning for warning in warnings_of(*words)] == [True], words
        assert said in " ".join(run(*words, "--html", page, "-q")[1].split())
        assert said in page.read_text()


def test_answers_without_a_seal_are_not_taken_for_a_whole_run(folder: Path, tmp_path: Path) -> None:
    whole = folder / "again.jsonl"
    lines = len(whole.read_bytes().splitlines())
    unsealed = cut(whole, tmp_path / "unsealed.jsonl", lines=lines - 1)
    [warning] = warnings_of("identify", unsealed, "-P", folder / "p.pop")
    assert f"incomplete: {lines - 2} of {lines - 2} questions, no seal." in warning


def test_a_run_that_was_stopped_is_called_incomplete(folder: Path, tmp_path: Path) -> None:
    part = cut(folder / "again.jsonl", tmp_path / "part.jsonl", lines=40)
    with continue_transcript(part) as file:
        file.end("budget")
    [warning] = warnings_of("identify", part, "-P", folder / "p.pop")
    assert "incomplete: 39 of " in warning
    assert "sealed as budget" in warning
