"""Release keys and commitments: one opening for one commitment, and no secret in any message."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from whorl.core.digest import canonical_json, digest_bytes
from whorl.core.errors import InputError, VerificationError
from whorl.weights.release_key import (
    Commitment,
    ReleaseKey,
    commitment_to,
    new_key,
    read_commitment,
    read_key,
    verify_opening,
)

SECRET, SALT = bytes(range(32)), bytes(range(100, 132))
DIGEST = "sha256:" + "0a" * 32
KEY = new_key(
    key=SECRET,
    salt=SALT,
    model=DIGEST,
    fingerprint="sha256:" + "0b" * 32,
    dither=0.01,
    created=datetime(2026, 11, 24, 12, 30, 15, tzinfo=timezone(timedelta(hours=2))),
)
SECRETS = (SECRET.hex(), SALT.hex(), str(SECRET), str(SALT))


def written(path: Path, document: ReleaseKey | Commitment | str, **changes: Any) -> Path:
    text = document if isinstance(document, str) else json.dumps(document.model_dump(mode="json") | changes)
    path.write_text(text)
    return path


def test_key_and_commitment_come_back_from_their_files(tmp_path: Path) -> None:
    assert read_key(written(tmp_path / "key", KEY)) == KEY
    assert read_commitment(written(tmp_path / "commitment", commitment_to(KEY))) == commitment_to(KEY)
    assert KEY.secret == SECRET
    assert KEY.created == "2026-11-24T10:30:15Z"


def test_the_commitment_is_the_digest_that_the_specification_names() -> None:
    document = {
        "schema": "whorl.release-key/1",
        "method": "keyed_dither/1",
        "model": DIGEST,
        "fingerprint": "sha256:" + "0b" * 32,
        "dither": 0.01,
        "created": "2026-11-24T10:30:15Z",
        "key": SECRET.hex(),
        "salt": SALT.hex(),
    }
    tagged = canonical_json({"kind": "whorl.release-key/1", "value": document})
    assert commitment_to(KEY).commitment == digest_bytes(tagged)


def test_neither_commitment_nor_repr_shows_the_key() -> None:
    shown = commitment_to(KEY).model_dump_json() + repr(KEY) + str(KEY)
    assert not any(secret in shown for secret in SECRETS)


def test_only_the_committed_key_opens_the_commitment() -> None:
    commitment = commitment_to(KEY)
    verify_opening(KEY, commitment)
    for change in ({"salt": SECRET.hex()}, {"key": SALT.hex()}, {"dither": 0.02}, {"created": "2020-01-01T00:00:00Z"}):
        with pytest.raises(VerificationError, match="does not open") as caught:
            verify_opening(KEY.model_copy(update=change), commitment)
        assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "change", [{"model": "sha256:" + "ff" * 32}, {"dither": 0.02}, {"created": "2020-01-01T00:00:00Z"}]
)
def test_an_altered_commitment_is_told_apart(change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError, match="was altered"):
        verify_opening(KEY, commitment_to(KEY).model_copy(update=change))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "whorl.release-key/2"},
        {"method": "keyed_dither/2"},
        {"key": SECRET.hex()[:-2]},
        {"key": SECRET.hex()[:-1] + "G"},
        {"key": None},
        {"salt": ""},
        {"model": "5b38"},
        {"fingerprint": 7},
        {"dither": 0.0},
        {"dither": 0.2},
        {"dither": "0.01"},
        {"created": "yesterday"},
        {"created": "2026-11-24T10:30:15+02:00"},
        {"remark": SECRET.hex()},
    ],
)
def test_a_key_with_a_wrong_field_is_refused_without_showing_it(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a release key") as caught:
        read_key(written(tmp_path / "key", KEY, **change))
    assert next(iter(change)) in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "a", "schema": "b"}', "\x80", '{"key": NaN}', "[" * 5000])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="expected a release key"):
        read_key(path)


def test_an_endless_or_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most"):
        read_key(written(tmp_path / "long", " " * 70_000 + "{}"))
    with pytest.raises(InputError, match="cannot be opened"):
        read_key(tmp_path / "nowhere")
    with pytest.raises(InputError, match="regular file"):
        read_key(tmp_path)


@pytest.mark.parametrize("change", [{"schema": "whorl.commitment/2"}, {"commitment": "sha256:00"}, {"key": "00"}])
def test_a_broken_commitment_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a commitment"):
        read_commitment(written(tmp_path / "commitment", commitment_to(KEY), **change))


def test_a_key_is_no_commitment_and_the_reverse(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a commitment") as caught:
        read_commitment(written(tmp_path / "key", KEY))
    assert not any(secret in str(caught.value) for secret in SECRETS)
    with pytest.raises(InputError, match="expected a release key"):
        read_key(written(tmp_path / "commitment", commitment_to(KEY)))


def test_a_key_is_made_of_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        new_key(key=b"", salt=SALT, model=DIGEST, fingerprint=DIGEST, dither=0.01, created=datetime.now(UTC))
