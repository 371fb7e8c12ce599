"""The terminal text of a comparison of answers: 80 columns, four answers, no control codes, careful words."""

import re
from pathlib import Path

import pytest
import sample_behaviours as samples
from rich.cells import cell_len

from whorl.cli.behaviour_text import print_behaviour
from whorl.comparison.behaviour_wording import TITLES, is_asked, is_lead, outcome_words, verdicts_of

EVERY_SAMPLE = pytest.mark.parametrize("name", samples.ALL)
TAME = pytest.mark.parametrize("name", [name for name in samples.ALL if name != "hostile"])
NEVER = re.compile(r"theft|thief|stole|steal|guilt|fraud|clone|copied|copying|plagiar|pirat|infring|proof|\bprove")
SCREEN = 54
LONGEST_SCREEN = 76  # whatever an endpoint calls itself


def printed(name: str, capsys: pytest.CaptureFixture[str], page: Path | None = None) -> str:
    print_behaviour(samples.ALL[name](), page=page)
    return capsys.readouterr().out


def flowed(text: str) -> str:
    return " ".join(text.split())


@EVERY_SAMPLE
def test_every_line_fits_80_columns_and_sends_no_control_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(name, capsys)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) <= (LONGEST_SCREEN if name == "hostile" else SCREEN)


@TAME
def test_the_four_answers_each_have_a_line_of_their_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = samples.ALL[name]()
    text = printed(name, capsys)
    labels = [match[1] for match in re.finditer(r"^(Endpoint|Line|Weights|Learned from) {2,}\S", text, re.MULTILINE)]
    assert labels == list(TITLES.values())
    for asking, verdict in verdicts_of(found.verdicts).items():
        assert outcome_words(asking, verdict) in flowed(text)
        if is_asked(found, asking):
            assert verdict.reason in flowed(text)


@TAME
def test_the_words_accuse_nobody_and_give_no_share(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(name, capsys)
    assert not NEVER.search(text.lower())
    assert "%" not in text
    assert "What this does not show" in text


@TAME
def test_lines_and_candidates_are_leads(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = verdicts_of(samples.ALL[name]().verdicts)
    leads = sum(is_lead(asking, verdict) for asking, verdict in verdicts.items())
    assert flowed(printed(name, capsys)).count("(a lead, not a finding)") == leads


def test_the_end_user_reads_what_would_have_been_seen(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("no_difference", capsys)
    assert text.startswith("No difference found\n")
    assert f"{samples.SWAP} 0.98" in flowed(text)
    assert flowed(text).count("(not what was asked)") == 3
    assert "Claims        Meridian AI Instruct 7B" in text


def test_the_statement_is_not_repeated_as_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    text = flowed(printed("supported", capsys))
    assert text.count("more than models do that were trained on each other's answers") == 1


def test_what_is_described_stands_apart_and_what_could_not_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("changed", capsys)
    described = text.partition("Described, and no part of the answers above\n")[2].partition("\n\n")[0]
    assert described.startswith("  Safety failures: agreement beyond the items z = 3.1")
    assert "Wrong answers" not in described
    silent = text.partition("What could not run\n")[2].partition("\n\n")[0]
    assert "Preferences: expected at least 30 items that both models answered, found 16" in flowed(silent)
    assert "1733 of 2506 questions answered" in text


def test_without_a_population_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("no_population", capsys)
    assert text.startswith("Weights: it cannot be told\n")
    assert "Population    none: only a difference could be shown" in text


def test_oddities_of_the_endpoint_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "odd: 2 model names were reported: northwind-8b" in printed("supported", capsys)


def test_warnings_stand_before_any_answer(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("known_line", capsys)
    before = flowed(text.partition("Questioned ")[0])
    assert samples.INCOMPLETE in before.replace(" Warning ", " ")
    assert samples.ITSELF in before
    assert text.count("\nWarning  ") == 2
    assert "Warning" not in printed("supported", capsys)


def test_the_last_line_says_where_the_report_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("teacher", capsys).splitlines()[-1] == "Full report   add --html FILE for it"
    there = Path("somewhere") / "report.html"
    assert printed("teacher", capsys, there).splitlines()[-1] == f"Full report   {there}"


def test_markup_in_names_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    marked = samples.asked_model("[bold red]x[/] :smile:")
    print_behaviour(samples.supported().model_copy(update={"questioned": marked}))
    assert "[bold red]x[/] :smile:" in capsys.readouterr().out


def test_endless_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    endless = "word " * 20_000
    verdict = samples.inconclusive(endless)
    whole = samples.supported()
    print_behaviour(
        whole.model_copy(
            update={"statement": endless, "verdicts": samples.verdicts(verdict, verdict, verdict, verdict)}
            | {"limits": (endless,) * 9, "evidence": ()}
        )
    )
    text = capsys.readouterr().out
    assert len(text) < 10_000
    assert "And 6 more, in the full report." in text
