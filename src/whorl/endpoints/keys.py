"""Keys: where they may come from, and how they are kept out of everything that is stored or shown.

A key comes from an environment variable or the system's keyring, never from a command line or a file. What a server
sends back passes through `Redaction` before anything else reads it, since servers echo keys in bodies, headers and
error messages. Forms that are found, in upper or lower case: as it is, percent-encoded, and with JSON or Python
escapes. A server that sends
the key back in a form of its own making (in base64, in pieces) is not caught.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from whorl.core.errors import InputError

MARK: Final = "[key removed]"
SHORTEST_KEY: Final = 8  # below that, removing every occurrence would also remove what is no key
_KEY: Final = re.compile(r"[\x21-\x7e]{8,4096}")


class Key:
    """A secret that is shown by nothing: not by ``repr``, ``str``, ``format`` or ``vars``."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str, *, origin: str) -> None:
        if not could_be_key(secret):
            raise InputError(
                f"{origin}: expected a key of {SHORTEST_KEY} to 4096 visible ASCII characters, found "
                f"{len(secret)} characters{' with others among them' if len(secret) >= SHORTEST_KEY else ''}; "
                "a server that needs no key is asked without one"
            )
        self._secret = secret

    def reveal(self) -> str:
        """The secret, for the one header that carries it."""
        return self._secret

    def __repr__(self) -> str:
        return "Key(...)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not stored")


def could_be_key(value: str) -> bool:
    """Whether a value has the form of a key."""
    return _KEY.fullmatch(value) is not None


def key_from_environment(variable: str, environment: Mapping[str, str]) -> Key:
    """The key in an environment variable, without white space around it.

    Raises
    ------
    InputError
        If the variable is not set, or holds no key.
    """
    secret = environment.get(variable, "").strip()
    if not secret:
        raise InputError(f"expected a key in the environment variable {variable}, which is not set or empty; export it")
    return Key(secret, origin=f"environment variable {variable}")


def key_from_keyring(service: str, user: str) -> Key:
    """The key that the system's keyring holds for a service and a user. Needs the package ``keyring``.

    Raises
    ------
    InputError
        If the package is missing, the keyring cannot be read, or holds no such key.
    """
    advice = "put the key in an environment variable instead"
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise InputError(f"reading the keyring needs the package keyring (pip install keyring); or {advice}") from error
    try:
        secret = keyring.get_password(service, user)
    except KeyringError as error:
        raise InputError(f"the keyring cannot be read: {error}; {advice}") from error
    if not secret:
        raise InputError(f"the keyring holds no key for service {service!r}, user {user!r}; add it, or {advice}")
    return Key(secret.strip(), origin=f"keyring entry {service!r}, {user!r}")


class Redaction:
    """Replaces every occurrence of some secrets by a fixed mark."""

    def __init__(self, secrets: Iterable[str]) -> None:
        pattern = "|".join(_anyhow_written(secret) for secret in secrets)
        self._text = re.compile(pattern, re.IGNORECASE) if pattern else None
        self._bytes = re.compile(pattern.encode("ascii"), re.IGNORECASE) if pattern else None

    def text(self, text: str) -> str:
        """The text without the secrets."""
        return text if self._text is None else self._text.sub(MARK, text)

    def body(self, body: bytes) -> bytes:
        """The bytes without the secrets; the mark is ASCII and stands unchanged within a JSON string."""
        return body if self._bytes is None else self._bytes.sub(MARK.encode("ascii"), body)


def _anyhow_written(secret: str) -> str:
    return "".join(_character(character) for character in secret)


def _character(character: str) -> str:
    escaped = r"\\{0,3}" if character in "\"'/\\" else ""
    return rf"(?:{escaped}{re.escape(character)}|(?:\\{{1,4}}(?:u00|x)|%){ord(character):02x})"
