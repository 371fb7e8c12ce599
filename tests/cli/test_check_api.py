"""``whorl check-api``: what must not be lost, and what must not be told."""

from collections.abc import Callable
from pathlib import Path

from answering_server import AnsweringServer, answering
from typer.testing import Result

Run = Callable[..., Result]


def probe(run: Run, server: AnsweringServer, path: Path) -> None:
    asked = run("probe", server.url, "--model", "northwind", "--battery", "quick", "-o", path, "-q")
    assert asked.exit_code == 0


def test_a_key_in_the_address_is_in_no_output(run: Run, tmp_path: Path) -> None:
    genuine, page = tmp_path / "genuine.jsonl", tmp_path / "page.html"
    with answering() as server:
        assert (
            run("probe", server.url, "--model", "northwind", "--battery", "quick", "-o", genuine, "-q").exit_code == 0
        )
        words = ("--claims", "northwind", "--model", "northwind", "--reference", genuine, "--html", page)
        result = run("check-api", f"{server.url}?api_key=SECRET123", *words, "--json")
    assert result.exit_code in (0, 3), result.stderr
    assert page.exists()
    for told in (result.stdout, result.stderr, page.read_text()):
        assert "SECRET123" not in told


def test_answers_are_not_replaced_by_the_page(run: Run, tmp_path: Path) -> None:
    genuine = tmp_path / "genuine.jsonl"
    with answering() as server:
        assert (
            run("probe", server.url, "--model", "northwind", "--battery", "quick", "-o", genuine, "-q").exit_code == 0
        )
        both = tmp_path / "both"
        sent = len(server.bodies)
        words = ("--claims", "northwind", "--model", "northwind", "--reference", genuine)
        result = run("check-api", server.url, *words, "-o", both, "--html", both)
        assert result.exit_code == 2
        assert len(server.bodies) == sent
    again = run("check-api", genuine, "--claims", "northwind", "--reference", genuine, "-o", tmp_path / "new.jsonl")
    assert again.exit_code == 2
    assert "is a transcript already" in again.stderr
