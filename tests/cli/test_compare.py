"""``whorl compare``: what is printed, what is written, and what is refused before any work."""

import json
import os
import re
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


def test_the_weight_of_evidence_has_one_bounded_line_for_each_alternative(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.derived())
    text = run("compare", model, other).stdout
    assert "  vs independent training at least 10^0.8  central 6.0 [5.6, 6.4], cap 1.1\n" in text
    assert "  vs a common start alone 1 not excluded   central 0.2 [-0.2, 0.6], cap 1.1\n" in text
    assert "  Least favourable: 1 not excluded, against a common start alone.\n" in text
    assert "population Meridian population 3, sha256:5a175a175a17." in " ".join(text.split())
    assert "A common ancestor passes on trained weights too" in text


def test_opposing_ratios_and_missing_ones_are_told_once(run: Run, answers: Answers, model: Path, other: Path) -> None:
    answers(samples.none_found())
    text = run("compare", model, other).stdout
    assert "  vs independent training at most 10^-0.5  central -1.0 [-1.2, -0.9], cap -0.8\n" in text
    assert "  vs same training data   about 1          central -1.2 [-1.4, -1.0], cap -0.1\n" in text
    assert "  vs a common start alone no ratio: no layers correspond\n" in text
    assert text.count("no layers correspond") == 2
    assert "What could not run" not in text
    assert "A common ancestor passes" not in text
    assert "no part of them" not in text


def test_a_low_ratio_beside_a_strong_exact_test_is_explained(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.shared_initialisation())
    text = run("compare", model, other).stdout
    assert "p <= 10^-74 by position" in text
    assert "Ratios weigh how neurons agree; the exact test is no part of them.\n" in text


def test_ratios_that_are_missing_do_not_fill_what_could_not_run(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.inconclusive())
    text = run("compare", model, other).stdout
    unanswered = text.partition("What could not run")[2]
    assert "Index coincidences" in unanswered
    assert "ratio" not in unanswered
    assert "Least favourable" not in text
    assert "not known: no drift of real children was measured" in text


def test_what_would_have_been_seen_is_said_where_nothing_was(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.none_found())
    text = run("compare", model, other).stdout
    assert "  100 % [78 %, 100 %] fine-tuned for half as long as pre-training\n" in text
    assert "  6 % [<1 %, 42 %]    with 60 % of the weights set to zero\n" in text
    answers(samples.derived())
    assert "Would have seen" not in run("compare", model, other).stdout


def test_direction_is_a_posterior_in_whole_percents_or_what_the_key_says(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(samples.derived())
    text = run("compare", model, other).stdout
    assert "Direction     66 % questioned from reference, <1 % reverse, 33 % common ancestor\n" in text
    assert "(all three taken as equally probable before)" in " ".join(text.split())
    answers(samples.deep())
    text = run("compare", model, other).stdout
    assert "Direction     the key's dither is in the released copy alone; this holds where\n" in text
    assert "%" not in text
    answers(samples.shared_initialisation())
    assert "Direction     not told: Both sides moved" in run("compare", model, other).stdout


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
    assert not re.search(r"-0\.0(?!\d)", text)
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
