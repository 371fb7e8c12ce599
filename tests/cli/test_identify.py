"""``whorl register`` and ``whorl identify``: a hit is a lead, and what counts is the test of the pair."""

import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import fake_engine
import pytest
import sample_findings as samples
from typer.testing import Result

from whorl.core.digest import digest_bytes
from whorl.core.evidence import Finding
from whorl.entries.kinds import Fingerprint
from whorl.entries.leaf import parse_entry_id
from whorl.fingerprints.weight_fingerprint import SEARCH_SCHEME
from whorl.registry.issuing import Issue, Issuer
from whorl.registry.local import open_registry, system_clock
from whorl.registry.refusals import Refusal

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
        path = tmp_path / "registry"
        for content in contents:
            model = tmp_path / content.decode()
            model.write_bytes(content)
            assert run("register", model, "--registry", path, "--quiet").exit_code == 0
        return path

    return hold


def test_registering_says_entry_and_digest(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(TABLE)
    path = tmp_path / "registry"
    result = run("register", model, "--registry", path, "--name", "Northwind Base", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert len(said.pop("entry")) == 52
    assert said == {
        "schema": "whorl.registration/1",
        "name": "Northwind Base",
        "claimant": "Unnamed claimant",
        "digest": digest_bytes(b"weights"),
        "registry": str(path),
    }
    assert "Northwind Base" in run("register", model, "--registry", path, "--name", "Northwind Base").stdout


def test_the_same_claim_is_entered_once(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(TABLE)
    path = tmp_path / "registry"
    entries = [json.loads(run("register", model, "--registry", path, "--json").stdout)["entry"] for _ in range(2)]
    other = json.loads(run("register", model, "--registry", path, "--name", "Other", "--json").stdout)["entry"]
    assert entries[0] == entries[1] != other


def test_a_registered_model_has_a_receipt_that_holds(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(TABLE)
    path, receipt = tmp_path / "registry", tmp_path / "receipt.json"
    claim = ("--claimant", "Northwind Labs", "--jurisdiction", "NL")
    assert run("register", model, "--registry", path, "--receipt", receipt, *claim).exit_code == 0
    done = run("verify", receipt, "--policy", path / "policy.txt", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["claimant"]["name"] == "Northwind Labs"
    assert found["body"]["content"] == digest_bytes(b"content of weights")
    again = tmp_path / "again.json"
    assert run("registry", "receipt", found["entry"], "--registry", path, "-o", again).exit_code == 0
    assert run("verify", again, "--policy", path / "policy.txt").exit_code == 0


def test_a_sealed_model_shows_to_the_holder_of_the_receipt_alone(
    run: Run, answers: Answers, model: Path, tmp_path: Path
) -> None:
    answers(TABLE)
    path, receipt = tmp_path / "registry", tmp_path / "receipt.json"
    assert run("register", model, "--registry", path, "--sealed").exit_code == 2
    done = run("register", model, "--registry", path, "--sealed", "--receipt", receipt, "--claimant", "Northwind Labs")
    assert done.exit_code == 0, done.stderr
    found = json.loads(run("verify", receipt, "--policy", path / "policy.txt", "--json").stdout)
    assert (found["sealed"], found["claimant"]["name"]) == (True, "Northwind Labs")
    assert json.loads(run("identify", model, "--registry", path, "--json").stdout)["leads"] == []


def test_the_registry_may_come_from_the_environment(
    run: Run, answers: Answers, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(TABLE)
    monkeypatch.setenv("WHORL_REGISTRY", str(tmp_path / "elsewhere"))
    assert run("register", model).exit_code == 0
    assert (tmp_path / "elsewhere" / "registry.json").is_file()


def test_leads_are_tested_and_the_strongest_comes_first(run: Run, registry: Callable[..., Path], model: Path) -> None:
    path = registry(*TABLE)
    result = run("identify", model, "--registry", path, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (list(document), document["ignored"]) == (["leads", "ignored"], [])
    assert [lead["name"] for lead in document["leads"]] == ["third", "fourth", "second", "first"]
    of_entries = {"entry", "name", "claimant", "level", "standing", "fingerprint_standing", "taken_by"}
    assert [set(lead) for lead in document["leads"]] == [of_entries | {"score", "finding"}] * 4
    assert Finding.model_validate_json(json.dumps(document["leads"][0]["finding"])) == TABLE[b"third"]
    assert len({lead["entry"] for lead in document["leads"]}) == 4
    assert {(lead["claimant"], lead["level"]) for lead in document["leads"]} == {("Unnamed claimant", 0)}


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
    result = run("identify", model, "--registry", tmp_path / "none")
    assert result.exit_code == 2
    assert "none" in result.stderr
    assert not (tmp_path / "none").exists()


def test_what_speaks_against_an_entry_is_said_before_its_test(
    run: Run, registry: Callable[..., Path], model: Path
) -> None:
    path = registry(b"third")
    (lead,) = json.loads(run("identify", model, "--registry", path, "--json").stdout)["leads"]
    assert (lead["standing"], lead["taken_by"]) == ("good", None)
    assert "Standing" not in run("identify", model, "--registry", path).stdout
    assert run("notice", "vote", lead["entry"], "withdrawn", "--reason", "Mistake.", "--registry", path).exit_code == 0
    (lead,) = json.loads(run("identify", model, "--registry", path, "--json").stdout)["leads"]
    assert lead["standing"] == "withdrawn"
    assert "the model's entry is withdrawn" in run("identify", model, "--registry", path).stdout


def test_a_withdrawn_claim_is_not_taken_for_one_that_was_made(
    run: Run, answers: Answers, model: Path, tmp_path: Path
) -> None:
    answers(TABLE)
    path = tmp_path / "registry"
    first = json.loads(run("register", model, "--registry", path, "--json").stdout)["entry"]
    assert run("notice", "vote", first, "withdrawn", "--reason", "Mistake.", "--registry", path).exit_code == 0
    again = json.loads(run("register", model, "--registry", path, "--json").stdout)["entry"]
    assert again != first
    assert json.loads(run("register", model, "--registry", path, "--json").stdout)["entry"] == again


def test_a_fingerprint_of_another_model_says_nothing_of_the_one_it_is_hung_on(
    run: Run, registry: Callable[..., Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry takes none; one that breaks the rules, or a mirrored log, may hold it."""
    path = registry(b"first")
    (lead,) = json.loads(run("identify", model, "--registry", path, "--json").stdout)["leads"]
    key = tmp_path / "mallory.json"
    assert run("registry", "new-key", key).exit_code == 0
    assert run("registry", "introduce", "--claimant", "Meridian AI", "--key", key, "--registry", path).exit_code == 0
    vector = fake_engine.FakeFingerprint(name="suspect", data=b"weights").search_vector()
    body = Fingerprint(
        method="whorl.weight_fingerprint/1",
        model_content=digest_bytes(b"content of first"),
        blob=digest_bytes(b"weights"),
        tool="whorl 0.1.0",
        scheme=SEARCH_SCHEME,
        vector=base64.b64encode(vector.tobytes()).decode(),
    )
    issues = [Issue(body=body, target=parse_entry_id(lead["entry"]))]
    signer = Issuer(key, now=system_clock, random_bytes=secrets.token_bytes)
    with open_registry(path) as opened:
        with pytest.raises(Refusal) as caught:
            signer.issue(opened, issues)
        assert caught.value.code == "blob_missing"
        opened.put_blob([b"weights"])
        with pytest.raises(Refusal) as caught:
            signer.issue(opened, issues)
        assert caught.value.code == "blob_differs"
        monkeypatch.setattr("whorl.registry.sequencer.require_brought", lambda *_: None)
        signer.issue(opened, issues)
    document = json.loads(run("identify", model, "--registry", path, "--json").stdout)
    assert [one["fingerprint_standing"] for one in document["leads"]] == ["good"]
    assert [one["entry"] for one in document["leads"]] == [lead["entry"]]
    (ignored,) = document["ignored"]
    assert (ignored["entry"], ignored["taken_by"]) == (lead["entry"], "Meridian AI")
    assert "Ignored entry" in run("identify", model, "--registry", path).stdout
