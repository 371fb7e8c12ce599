"""Keys kept in different places sign one entry: an organisation with a spare root, and a key that is added."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def place(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    made = ("--origin", "bureau.example/one", "--name", "Harbour Bureau", "--jurisdiction", "NL")
    assert run("registry", "create", folder, *made).exit_code == 0
    return folder


def drawn(run: Run, path: Path) -> tuple[Path, Path, str]:
    """A new key: its file, its public half as others get it, its id."""
    assert run("registry", "new-key", path).exit_code == 0
    public = path.with_suffix(".public")
    public.write_text(run("registry", "key", "--key", path, "--json").stdout)
    return path, public, json.loads(public.read_text())["id"]


def said(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).split())


def test_an_organisation_is_registered_with_a_spare_root_that_never_comes_here(
    run: Run, tmp_path: Path, place: Path
) -> None:
    key, _, own = drawn(run, tmp_path / "key.json")
    spare, public, spare_id = drawn(run, tmp_path / "spare.json")
    stranger, _, _ = drawn(run, tmp_path / "stranger.json")
    draft = tmp_path / "draft.json"
    claim = ("registry", "introduce", "--claimant", "Meridian AI", "--key", key, "--root", public, "--registry", place)
    refused = run(*claim)
    assert (refused.exit_code, "--root: expected a private key" in said(refused)) == (2, True)
    assert "whorl registry cosign FILE" in said(refused)
    drafted = run(*claim, "--draft", draft, "--json")
    assert drafted.exit_code == 0, drafted.stderr
    assert json.loads(drafted.stdout)["waiting"] == [spare_id]
    enter = ("registry", "enter-draft", draft, "--registry", place)
    early = run(*enter)
    assert (early.exit_code, spare_id[:16] in said(early), own[:16] in said(early)) == (2, True, False)
    looked = run("registry", "cosign", draft)
    assert (looked.exit_code, "Meridian AI" in said(looked), "has not signed yet" in said(looked)) == (0, True, True)
    for said_of_it in (f"Drafted by key {own}", "Jurisdiction ZZ", "Website none", "Threshold 1 of 2 roots"):
        assert said_of_it in said(looked)
    other = run("registry", "cosign", draft, "--key", stranger)
    assert (other.exit_code, "makes the key" in said(other)) == (2, True)
    assert run("registry", "cosign", draft, "--key", spare).exit_code == 0
    again = run("registry", "cosign", draft, "--key", spare)
    assert (again.exit_code, "found its signature on it" in said(again)) == (2, True)
    done = run(*enter, "--json")
    assert done.exit_code == 0, done.stderr
    assert run(*claim, "--draft", tmp_path / "other.json").exit_code == 2  # roots are named once
    revoke = ("registry", "revoke-key", key, "--reason", "Stolen.", "--registry", place)
    assert run(*revoke, "--key", spare).exit_code == 0
    assert run("registry", "fsck", "--registry", place).exit_code == 0


def test_a_key_kept_elsewhere_is_added_and_revoked_by_its_public_half(run: Run, tmp_path: Path, place: Path) -> None:
    key, _, _ = drawn(run, tmp_path / "key.json")
    other, public, other_id = drawn(run, tmp_path / "other.json")
    here = ("--key", key, "--registry", place)
    assert run("registry", "introduce", "--claimant", "Meridian AI", *here).exit_code == 0
    add = ("registry", "add-key", public, "--role", "submitter", *here)
    refused = run(*add)
    assert (refused.exit_code, "expected a private key" in said(refused)) == (2, True)
    draft = tmp_path / "draft.json"
    assert run(*add, "--draft", draft).exit_code == 0
    signed = run("registry", "cosign", draft, "--key", other)
    assert (signed.exit_code, f"{other_id}, signed" in said(signed), "submitter" in said(signed)) == (0, True, True)
    assert run("registry", "enter-draft", draft, "--registry", place).exit_code == 0
    twice = run("registry", "add-key", other, "--role", "examiner", *here)
    assert (twice.exit_code, "expected a new key" in said(twice)) == (2, True)
    own = run("registry", "add-key", key, "--role", "examiner", *here)
    assert (own.exit_code, "expected a new key" in said(own)) == (2, True)
    other.unlink()  # lost
    assert run("registry", "revoke-key", public, "--reason", "Lost.", *here).exit_code == 0


def test_a_draft_that_was_altered_or_is_none_is_refused(run: Run, tmp_path: Path, place: Path) -> None:
    key, _, _ = drawn(run, tmp_path / "key.json")
    spare, public, _ = drawn(run, tmp_path / "spare.json")
    draft = tmp_path / "draft.json"
    claim = ("registry", "introduce", "--claimant", "Meridian AI", "--key", key, "--root", public, "--registry", place)
    assert run(*claim, "--draft", draft).exit_code == 0
    assert run("registry", "cosign", draft, "--key", spare).exit_code == 0
    read = json.loads(draft.read_text())
    for change in ({"log": "bureau.example/two"}, {"envelope": read["envelope"][:-4]}, {"salt": "ab"}):
        draft.write_text(json.dumps(read | change))
        done = run("registry", "enter-draft", draft, "--registry", place)
        assert (done.exit_code, "expected" in said(done), "Traceback" in said(done)) == (2, True, False)
    for text in ("", "[]", "{}", json.dumps({"schema": "whorl.draft-entry/1"})):
        draft.write_text(text)
        assert run("registry", "cosign", draft).exit_code == 2
    broken = json.loads(public.read_text()) | {"id": "ab" * 32}
    public.write_text(json.dumps(broken))
    done = run(*claim, "--draft", tmp_path / "other.json")
    assert (done.exit_code, "expected a public key" in said(done)) == (2, True)
