"""The URL of a server, as a user types it: checked, and split into what is called and what may be shown."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from whorl.core.errors import InputError
from whorl.endpoints.keys import could_be_key
from whorl.endpoints.quoting import shown

_VERSION: Final = re.compile(r"v[0-9]+[a-z0-9]*")
_HOST_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_LONGEST: Final = 2000
_SHORTEST_SECRET: Final = 20  # shorter ones are versions and dates, which answers may hold too


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an endpoint is.

    Parameters
    ----------
    base : the base URL without user, password, query and fragment; fit to be shown
    query : what is sent after each path, as it was typed; it may hold a key
    """

    base: str
    query: str = field(default="", repr=False)

    def below(self, path: str) -> str:
        """The URL to call for a path."""
        return f"{self.base}{path}?{self.query}" if self.query else f"{self.base}{path}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values in the query that look like a key: they are treated as keys."""
        values = (value for _, value in parse_qsl(self.query))
        return tuple(value for value in values if len(value) >= _SHORTEST_SECRET and could_be_key(value))


def address_of(url: str) -> Address:
    """Read a base URL; ``/v1`` is added to a path that names no version.

    Raises
    ------
    InputError
        If it is not http or https, names no host, or holds a user or password.
    """
    if len(url) > _LONGEST or not re.fullmatch(r"[\x21-\x7e]*", url):
        raise InputError(f"expected a URL of at most {_LONGEST} visible ASCII characters, found another")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its message may quote a password
        raise InputError("expected http://HOST:PORT or https://HOST, found a URL that cannot be read") from None
    if "@" in parts.netloc:
        raise InputError(
            "expected a URL without user and password, found one with them; "
            "give a key in an environment variable or the keyring"
        )
    if parts.scheme not in ("http", "https") or not host or not _is_host(host):
        raise InputError(
            f"expected http:// or https:// and a host, found '{shown(f'{parts.scheme}://{parts.netloc}')}'"
        )
    path = parts.path.rstrip("/")
    if not any(_VERSION.fullmatch(segment) for segment in path.split("/")):
        path += "/v1"
    shown_host = f"[{host}]" if ":" in host else host
    place = shown_host if port is None else f"{shown_host}:{port}"
    return Address(base=f"{parts.scheme}://{place}{path}", query=parts.query)


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
