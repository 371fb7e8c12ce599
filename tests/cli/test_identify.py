"""``whorl register`` and ``whorl identify``: a hit is a lead, and what counts is the test of the pair."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sample_findings as samples
from typer.testing import Result

from whorl.core.digest import digest_bytes
from whorl.core.evidence import Finding

Run = Callable[..., Result]
Table = dict[bytes, Finding]
Answers = Callable[[Finding | BaseException | Table], None]

TABLE: Table = {
    b"first": samples.none_found(),
    b"second": samples.inconclusive(),
    b"third": samples.derived(),
    b"fourth": samples.shared_initialisation(),
}


@pytest.fixture
def registry(run: Run, answers: Answers, tmp_path: Path) -> Callable[..., Path]:
    """A registry that holds models with the given bytes."""

    def hold(*contents: bytes) -> Path:
        answers(TABLE)
        path = tmp_path / "registry.sqlite"
        for content in contents:
            model = tmp_path / content.decode()
            model.write_bytes(content)
            assert run("register", model, "--registry", path, "--quiet").exit_code == 0
        return path

    return hold


def test_registering_says_entry_and_digest(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(TABLE)
    path = tmp_path / "registry.sqlite"
    result = run("register", model, "--registry", path, "--name", "Northwind Base", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "schema": "whorl.registration/1",
        "entry": 1,
        "name": "Northwind Base",
        "digest": digest_bytes(b"weights"),
        "registry": str(path),
    }
    assert "Northwind Base" in run("register", model, "--registry", path, "--name", "Northwind Base").stdout


def test_the_registry_may_come_from_the_environment(
    run: Run, answers: Answers, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(TABLE)
    monkeypatch.setenv("WHORL_REGISTRY", str(tmp_path / "elsewhere.sqlite"))
    assert run("register", model).exit_code == 0
    assert (tmp_path / "elsewhere.sqlite").is_file()


def test_leads_are_tested_and_the_strongest_comes_first(run: Run, registry: Callable[..., Path], model: Path) -> None:
    path = registry(*TABLE)
    result = run("identify", model, "--registry", path, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(document) == ["leads"]
    assert [lead["name"] for lead in document["leads"]] == ["third", "fourth", "second", "first"]
    assert [set(lead) for lead in document["leads"]] == [{"entry", "name", "score", "finding"}] * 4
    assert Finding.model_validate_json(json.dumps(document["leads"][0]["finding"])) == TABLE[b"third"]
    assert [lead["entry"] for lead in document["leads"]] == [3, 4, 2, 1]


def test_equal_relations_go_by_search_score(
    run: Run, answers: Answers, registry: Callable[..., Path], model: Path
) -> None:
    path = registry(*TABLE)
    answers(samples.derived())
    leads = json.loads(run("identify", model, "--registry", path, "--json").stdout)["leads"]
    scores = [lead["score"] for lead in leads]
    assert len(set(scores)) == 4
    assert scores == sorted(scores, reverse=True)


def test_top_limits_the_leads(run: Run, registry: Callable[..., Path], model: Path) -> None:
    path = registry(*TABLE)
    assert len(json.loads(run("identify", model, "--registry", path, "--top", "2", "--json").stdout)["leads"]) == 2
    assert run("identify", model, "--registry", path, "--top", "0").exit_code == 2


@pytest.mark.parametrize(
    ("held", "status"),
    [((b"first",), 0), ((b"first", b"second"), 3), ((b"second", b"third"), 0), ((b"second", b"fourth"), 0)],
)
def test_3_means_nothing_established_and_something_inconclusive(
    held: tuple[bytes, ...], status: int, run: Run, registry: Callable[..., Path], model: Path
) -> None:
    assert run("identify", model, "--registry", registry(*held)).exit_code == status


def test_the_text_calls_a_hit_a_lead(run: Run, registry: Callable[..., Path], model: Path) -> None:
    text = run("identify", model, "--registry", registry(b"third")).stdout
    assert "1. third" in text
    assert "Trained weights are shared" in text
    assert "A search hit is a lead, never a finding" in text


def test_a_registry_that_is_not_there_is_not_made(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(TABLE)
    result = run("identify", model, "--registry", tmp_path / "none.sqlite")
    assert result.exit_code == 2
    assert "none.sqlite" in result.stderr
    assert not (tmp_path / "none.sqlite").exists()
