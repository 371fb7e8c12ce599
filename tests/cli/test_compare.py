"""``whorl compare``: what is printed, what is written, and what is refused before any work."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sample_findings as samples
from typer.testing import Result

from whorl.comparison import report
from whorl.core.evidence import Finding

Run = Callable[..., Result]
Answers = Callable[[Finding | BaseException], None]


def test_the_summary_says_relation_exact_figure_and_layers(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.derived())
    result = run("compare", model, other)
    assert result.exit_code == 0
    assert result.stdout.startswith("Trained weights are shared\n")
    assert "Exact test    p <= 10^-312 by position, if the two were independent\n" in result.stdout
    assert "+####################+" in result.stdout
    assert "reference layers without a counterpart: 7, 15" in result.stdout
    assert "Grid containment (T1): needs the weights themselves" in result.stdout


def test_limits_that_are_not_shown_are_counted(run: Run, answers: Answers, model: Path, other: Path) -> None:
    answers(samples.finding("none_found", "Nothing.", limits=("one.", "two.", "three.", "four.", "five.")))
    text = run("compare", model, other).stdout
    assert "three.\n  And 2 more, in the full report.\n" in text


@pytest.mark.parametrize("name", samples.ALL)
def test_every_summary_fits_80_columns_and_sends_no_control_codes(
    name: str, run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.ALL[name]())
    text = run("compare", model, other).stdout
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(("name", "status"), [("derived", 0), ("none_found", 0), ("inconclusive", 3)])
@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_only_inconclusive_exits_with_3(
    name: str, status: int, option: str, run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.ALL[name]())
    assert run("compare", model, other, option).exit_code == status


@pytest.mark.parametrize("name", samples.ALL)
def test_json_is_the_finding_and_nothing_else(name: str, run: Run, answers: Answers, model: Path, other: Path) -> None:
    finding = samples.ALL[name]()
    answers(finding)
    result = run("compare", model, other, "--json")
    assert Finding.model_validate_json(result.stdout) == finding
    assert json.loads(result.stdout)["schema"] == "whorl.finding/1"
    assert result.stderr == ""


def test_the_page_is_written_and_named(run: Run, answers: Answers, model: Path, other: Path, tmp_path: Path) -> None:
    answers(samples.derived())
    page = tmp_path / "report.html"
    result = run("compare", model, other, "--html", page)
    assert "report.html" in result.stdout.replace("\n", "").replace(" ", "")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert not list(tmp_path.glob(".whorl-*"))


def test_an_earlier_page_is_replaced_and_any_other_file_is_not(
    run: Run, answers: Answers, model: Path, other: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    answers(samples.derived())
    run("compare", model, other, "--html", page)
    answers(samples.none_found())
    assert run("compare", model, other, "--html", page).exit_code == 0
    assert "No relation found" in page.read_text()

    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    result = run("compare", model, other, "--html", notes)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert notes.read_text() == "mine"


def test_an_input_is_never_overwritten(run: Run, answers: Answers, model: Path, other: Path) -> None:
    answers(AssertionError("compared although the output was refused"))
    result = run("compare", model, other, "--html", other)
    assert result.exit_code == 2
    assert "lies in the input itself" in result.stderr
    assert other.read_bytes() == b"other weights"


@pytest.mark.parametrize("output", ["missing/report.html", "model.fake/report.html", "."])
def test_an_impossible_output_is_refused_before_the_work(
    output: str, run: Run, answers: Answers, model: Path, other: Path, tmp_path: Path
) -> None:
    answers(AssertionError("compared although the output was refused"))
    assert run("compare", model, other, "--html", tmp_path / output).exit_code == 2


def test_a_full_disk_leaves_nothing_behind(
    run: Run, answers: Answers, model: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    answers(samples.derived())
    monkeypatch.setattr(os, "fsync", no_space)
    result = run("compare", model, other, "--html", tmp_path / "report.html")
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.fake", "other.fake"]


def test_a_missing_input_is_named(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(AssertionError("compared although an input is missing"))
    result = run("compare", model, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
    assert result.stdout == ""


def test_a_missing_template_engine_is_named_before_the_work(
    run: Run, answers: Answers, model: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(AssertionError("compared although no page can be made"))
    report._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("compare", model, other, "--html", tmp_path / "report.html")
    assert result.exit_code == 2
    assert "pip install 'whorl[report]'" in result.stderr
