"""Transcripts on the command line: compare, identify, check-api and populations made of them, end to end."""

import json
from functools import cache
from pathlib import Path

import pytest
from simulated_endpoints import Simulated
from typer.testing import CliRunner

from whorl.cli.main import app
from whorl.comparison.behaviour_document import Behaviour
from whorl.endpoints.exchange import EndpointName, Reply
from whorl.probes.battery import Battery
from whorl.probes.families import battery
from whorl.probes.transcript import Answered, Header
from whorl.probes.transcript_file import start_transcript

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
