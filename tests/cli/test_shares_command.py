"""``whorl shares``: what is printed, and with which status it ends."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from whorl.comparison.share_document import Shares

Run = Callable[..., Result]

DEMO = Path(__file__).parents[2] / "demo" / "models"


def test_the_document_is_printed_alone(run: Run) -> None:
    done = run("shares", DEMO / "suspect", DEMO / "base", DEMO / "twin", "--json")
    assert done.exit_code == 0
    found = Shares.model_validate_json(done.stdout)
    assert [one.candidate.name for one in found.candidates] == ["base", "twin"]
    assert [one.outcome for one in found.candidates] == ["share", "none_found"]


def test_the_summary_names_shares_intervals_and_limits(run: Run) -> None:
    done = run("shares", DEMO / "base", DEMO / "base", DEMO / "student", "--quiet")
    assert done.exit_code == 0
    assert "1.00 of the weights of base" in done.stdout
    assert "Shared        trained weights, its own or an ancestor's" in done.stdout.splitlines()
    assert "interval 0.99 to 1.01" in done.stdout
    assert "paired by position" in done.stdout
    assert "Nothing found" in done.stdout
    assert "What this does not show" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("others", [(), ("twin",)])
def test_a_common_start_is_shown_as_one_and_never_as_a_share(others: tuple[str, ...], run: Run) -> None:
    named = [DEMO / name for name in ("base", *others)]
    done = run("shares", DEMO / "sibling", *named, "--quiet")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert "Share         none established" in lines
    assert "Shared        a common start; the two were trained apart" in lines
    assert "holds" not in done.stdout
    assert "A common start alone is no reuse of training" in done.stdout
    assert max(map(len, lines)) <= 80
    document = Shares.model_validate_json(run("shares", DEMO / "sibling", *named, "--json").stdout)
    assert (document.conclusion, document.candidates[0].outcome, document.candidates[0].share) == (
        "common_start",
        "common_start",
        None,
    )


def test_what_cannot_be_told_ends_with_three(run: Run) -> None:
    done = run("shares", DEMO / "suspect", DEMO / "base", "--base", DEMO / "base")
    assert done.exit_code == 3
    assert "Inconclusive: it is the base itself" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DEMO / "base", DEMO / "nowhere"), "found nothing there"),
        ((DEMO / "base", DEMO / "twin", "--base", DEMO / "nowhere"), "found nothing there"),
        ((DEMO / "base",), "CANDIDATE"),
    ],
)
def test_bad_input_ends_with_two_and_prints_nothing(run: Run, arguments: tuple[object, ...], message: str) -> None:
    done = run("shares", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""
