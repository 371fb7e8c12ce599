"""Keys come from two places only and are shown in none."""

import copy
import json
import pickle
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import InputError
from whorl.endpoints.keys import MARK, Key, Redaction, key_from_environment, key_from_keyring

SECRET = "sk-northwind-42"


def test_nothing_shows_a_key() -> None:
    key = Key(SECRET, origin="test")
    shown = [repr(key), str(key), f"{key}", f"{[key]!r}", str([key]), repr({"key": key})]
    assert not any("northwind" in text for text in shown)
    assert not hasattr(key, "__dict__")
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not stored"):
            leak(key)
    assert key.reveal() == SECRET


def test_a_key_comes_from_the_environment() -> None:
    assert key_from_environment("WHORL_KEY", {"WHORL_KEY": f" {SECRET}\n"}).reveal() == SECRET
    for environment in ({}, {"WHORL_KEY": "  "}):
        with pytest.raises(InputError, match="environment variable WHORL_KEY, which is not set or empty"):
            key_from_environment("WHORL_KEY", environment)


@pytest.mark.parametrize("secret", ["short", "with space in it", "line\nbreak-in-it", "schlüssel-123", "x" * 5000])
def test_what_is_no_key_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(InputError, match="expected a key of 8 to 4096 visible ASCII characters") as caught:
        key_from_environment("WHORL_KEY", {"WHORL_KEY": secret})
    assert secret not in str(caught.value)


def keyring_that(answers: str) -> tuple[types.ModuleType, types.ModuleType]:
    package, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")

    class KeyringError(Exception):
        pass

    def get_password(service: str, user: str) -> str | None:
        if answers == "fails":
            raise KeyringError("no backend")
        return answers if (service, user) == ("meridian", "auditor") else None

    package.get_password = get_password  # type: ignore[attr-defined]
    errors.KeyringError = KeyringError  # type: ignore[attr-defined]
    return package, errors


def test_a_key_comes_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    package, errors = keyring_that(SECRET)
    monkeypatch.setitem(sys.modules, "keyring", package)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    assert key_from_keyring("meridian", "auditor").reveal() == SECRET
    with pytest.raises(InputError, match="holds no key for service 'meridian', user 'nobody'"):
        key_from_keyring("meridian", "nobody")


def test_a_keyring_that_cannot_be_read_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    package, errors = keyring_that("fails")
    monkeypatch.setitem(sys.modules, "keyring", package)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    with pytest.raises(InputError, match="no backend; put the key in an environment variable"):
        key_from_keyring("meridian", "auditor")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(InputError, match="pip install keyring"):
        key_from_keyring("meridian", "auditor")


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_written_form_of_a_key_survives(secret: str, before: str, after: str) -> None:
    redaction = Redaction([secret])
    clear = [secret, secret.upper(), json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3], repr(secret)[1:-1]]
    coded = ["".join(f"{mark}{ord(each):02x}" for each in secret) for mark in ("%", "\\u00", "\\x")]
    for form in clear + coded:
        assert redaction.text(f"{before} {form} {after}").count(MARK) >= 1
        assert form not in redaction.body(f"{before} {form} {after}".encode()).decode().replace(MARK, "")


def test_redaction_leaves_json_json_and_everything_else_as_it_was() -> None:
    redaction = Redaction([SECRET])
    body = json.dumps({"path": f"C:\\{SECRET}\\\\", "quoted": f'"{SECRET}"', "other": "sk-northwind-4"}).encode()
    assert json.loads(redaction.body(body)) == {
        "path": f"C:\\{MARK}\\\\",
        "quoted": f'"{MARK}"',
        "other": "sk-northwind-4",
    }
    assert Redaction([]).text(SECRET) == SECRET
    assert Redaction([]).body(body) == body
