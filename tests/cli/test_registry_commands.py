"""``whorl registry``, ``notice``, ``register``, ``alibi`` and ``bureau`` as people use and mistype them."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import sample_findings as samples
from typer.testing import Result

from whorl.core.evidence import Finding

Run = Callable[..., Result]
Answers = Callable[[Finding | BaseException], None]

NOBODY = "a" * 52
LONG = "x" * 4001


@pytest.fixture
def place(run: Run, tmp_path: Path) -> Path:
    """A registry that knows the default key as Northwind Labs."""
    folder = tmp_path / "registry"
    made = ("--origin", "bureau.example/one", "--name", "Harbour Bureau", "--jurisdiction", "NL")
    assert run("registry", "create", folder, *made).exit_code == 0
    assert run("registry", "introduce", "--claimant", "Northwind Labs", "--registry", folder).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("registry", "introduce", "--claimant", ""), "--claimant: "),
        (("registry", "introduce", "--claimant", "x" * 201), "--claimant: expected at most 200 characters"),
        (("registry", "introduce", "--claimant", "Northwind\u202eLabs"), "--claimant: "),
        (("registry", "introduce", "--claimant", "Other", "--jurisdiction", "nl"), "--jurisdiction: "),
        (("notice", "respond", NOBODY, "--text", LONG), "--text: expected at most 4000 characters, found 4001"),
        (("notice", "dispute", NOBODY, "--grounds", "a\tb"), "--grounds: "),
        (("notice", "vote", NOBODY, "withdrawn", "--reason", LONG), "--reason: expected at most 4000"),
        (("notice", "vote", NOBODY, "withdrawn", "--reason", "x", "--evidence", "abc"), "--evidence: expected the id"),
        (("notice", "file", NOBODY, "--title", "", "--text", "x"), "--title: "),
        (("notice", "file", NOBODY, "--title", "x", "--text", "x", "--reference", "abc"), "--reference: expected the"),
        (("bureau", "rules", "--chamber", "ab" * 32, "--threshold", 3), "--threshold: expected at most 1"),
        (("bureau", "rules", "--chamber", "abc"), "--chamber: "),
        (("bureau", "rules", "--reply-seconds", 10**12), "--reply-seconds: "),
    ],
)
def test_plain_bad_input_is_named_with_what_was_expected(
    run: Run, place: Path, command: tuple[object, ...], said: str
) -> None:
    done = run(*command, "--registry", place)
    assert (done.exit_code, said in " ".join(done.stderr.split())) == (2, True), done.stderr


def test_a_card_needs_an_address(run: Run, place: Path, tmp_path: Path) -> None:
    done = run("bureau", "card", "--url", "http://x y", "-o", tmp_path / "card.json", "--registry", place)
    assert (done.exit_code, "--url: " in done.stderr, (tmp_path / "card.json").exists()) == (2, True, False)


@pytest.mark.parametrize(
    "bad", [("--claimant", ""), ("--claimant", "a\u202eb"), ("--jurisdiction", "nl"), ("--name", "a\tb")]
)
def test_nothing_is_made_before_the_input_is_found_good(
    run: Run, answers: Answers, model: Path, tmp_path: Path, bad: tuple[str, str]
) -> None:
    answers(samples.derived())
    done = run("register", model, "--registry", tmp_path / "new", "--key", tmp_path / "key.json", *bad)
    assert (done.exit_code, f"{bad[0]}: " in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_spelt_otherwise_gives_its_name_in_the_spelling_of_names(
    run: Run, answers: Answers, tmp_path: Path
) -> None:
    answers(samples.derived())
    model = tmp_path / f" {unicodedata.normalize('NFD', 'café')}"
    model.write_bytes(b"weights")
    done = run("register", model, "--registry", tmp_path / "new", "--json")
    assert (done.exit_code, json.loads(done.stdout)["name"]) == (0, "café")


def test_the_claimant_is_whose_key_signs(run: Run, answers: Answers, model: Path, place: Path) -> None:
    answers(samples.derived())
    said = json.loads(run("register", model, "--registry", place, "--json").stdout)
    assert said["claimant"] == "Northwind Labs"
    for command in (("register", model), ("registry", "introduce")):
        other = run(*command, "--registry", place, "--claimant", "Meridian AI")
        assert (other.exit_code, "--claimant: expected 'Northwind Labs'" in other.stderr) == (2, True)


def test_a_root_key_is_revoked_by_a_spare_one(run: Run, tmp_path: Path, place: Path) -> None:
    key, spare = tmp_path / "key.json", tmp_path / "spare.json"
    alone = run("registry", "key", "--json").stdout
    done = run("registry", "revoke-key", json.loads(alone)["file"], "--reason", "Lost.", "--registry", place)
    assert done.exit_code == 2
    assert "whorl registry introduce --key FILE --root SPARE" in " ".join(done.stderr.split())
    for path in (key, spare):
        assert run("registry", "new-key", path).exit_code == 0
    claim = ("registry", "introduce", "--claimant", "Meridian AI", "--key", key, "--root", spare, "--registry", place)
    assert run(*claim).exit_code == 0
    assert run(*claim).exit_code == 2  # roots are named once
    revoke = ("registry", "revoke-key", key, "--reason", "Stolen.", "--compromised-since", "0", "--registry", place)
    assert run(*revoke, "--key", spare).exit_code == 0
    assert "key_revoked" not in run(*revoke, "--key", spare).stdout
    assert run("registry", "revoke-key", spare, "--reason", "a\tb", "--key", spare, "--registry", place).exit_code == 2


def _deposit(run: Run, place: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    note, deposit, opened = tmp_path / "note.txt", tmp_path / "deposit", tmp_path / "opened.json"
    note.write_text("the order of the training data")
    done = run("alibi", "deposit", note, "-o", deposit, "--registry", place, "--json")
    assert done.exit_code == 0, done.stderr
    assert run("alibi", "show", deposit / "sealed.json", "--member", 0, "-o", opened).exit_code == 0
    return opened, deposit / "commitment-receipt.json", json.loads(done.stdout)["commitment"]


def test_an_alibi_says_its_standing_its_log_and_its_time(run: Run, place: Path, tmp_path: Path) -> None:
    opened, receipt, commitment = _deposit(run, place, tmp_path)
    check = ("alibi", "check", opened, "--policy", place / "policy.txt", "--receipt")
    done = run(*check, receipt)
    assert (done.exit_code, "nobody attests when" in done.stdout) == (3, True)
    assert "note.txt" in done.stdout
    assert "bureau.example/one, entry" in done.stdout
    assert "Sealed as claimed" not in done.stdout
    assert json.loads(run(*check, receipt, "--json").stdout)["standing"] == {"good": True, "against": None}

    silent = tmp_path / "silent.json"
    silent.write_text(json.dumps(json.loads(receipt.read_text()) | {"status": None}))
    done = run(*check, silent)
    assert (done.exit_code, "standing is unknown" in done.stdout) == (3, True)
    assert "Sealed as claimed" not in done.stdout

    vote = ("notice", "vote", commitment, "withdrawn", "--reason", "Mistake.", "--registry", place)
    assert run(*vote).exit_code == 0
    withdrawn = tmp_path / "withdrawn.json"
    assert run("registry", "receipt", commitment, "-o", withdrawn, "--registry", place).exit_code == 0
    done = run(*check, withdrawn)
    assert (done.exit_code, "NOT in good standing" in done.stdout) == (1, True)
    assert "Sealed as claimed" not in done.stdout
    assert json.loads(run(*check, withdrawn, "--json").stdout)["standing"]["good"] is False


def test_a_deposit_that_fails_says_what_it_left(run: Run, place: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("x")
    done = run("alibi", "deposit", note, "-o", tmp_path / "d", "--registry", place, "--claimant", "Meridian AI")
    assert (done.exit_code, "sealed.json is kept" in " ".join(done.stderr.split())) == (2, True), done.stderr


@pytest.mark.parametrize("place", ["http://127.0.0.1:1", "nothing", "empty"])
def test_a_log_that_cannot_be_read_is_not_said_to_fail(run: Run, tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    made = ("--origin", "bureau.example/one", "--name", "Harbour Bureau", "--jurisdiction", "NL")
    assert run("registry", "create", tmp_path / "r", *made).exit_code == 0
    where = place if place.startswith("http") else tmp_path / place
    done = run("log", "verify", where, "--policy", tmp_path / "r" / "policy.txt", "--quiet")
    assert (done.exit_code, "does not hold" in done.stderr) == (2, False), done.stderr
    assert run("log", "verify", tmp_path / "r" / "log", "--policy", tmp_path / "r" / "policy.txt").exit_code == 0
