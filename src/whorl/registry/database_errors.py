"""What went wrong with the database, in words that say what to do about it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from whorl.core.errors import InputError

BUSY_SECONDS: Final = 30

_RESTORE: Final = "restore it from a backup, or mirror its log into a new registry"
_BUSY: Final = f"another program held it for over {BUSY_SECONDS} seconds; try again when that has ended"
_FULL: Final = "the disk is full; nothing was written; free some space and try again"
_CONTRADICTION: Final = (
    "it refuses what contradicts its entries, such as a second entry in one place; nothing was written; check it with "
    "`whorl registry fsck`"
)
_REMEDIES: Final = {
    sqlite3.SQLITE_NOTADB: "expected a registry, found a file that is no SQLite database; check the path",
    sqlite3.SQLITE_CORRUPT: f"the database is damaged; {_RESTORE}",
    sqlite3.SQLITE_TOOBIG: f"it holds a value larger than any entry; {_RESTORE}",
    sqlite3.SQLITE_READONLY: "it cannot be written; change its permissions, or copy it to a folder you may write to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened or made; check that its folder exists and may be written to",
    sqlite3.SQLITE_IOERR: "it cannot be read or written; check the disk and its permissions, then try again",
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CONSTRAINT: _CONTRADICTION,
}
# SQLSTATE by its first letters, the longest that fits: PostgreSQL, appendix A.
_SERVER_REMEDIES: Final = {
    "08": "the connection was lost; nothing was written; check the server and try again",
    "23": _CONTRADICTION,
    "25006": "it cannot be written; connect to the primary server, as a user who may write",
    "28": "the server refused the user or the password; check them in the address",
    "3D": "there is no such database; make it with createdb, or check the address",
    "42501": "the user may not do this; grant it the rights on the database",
    "53": "the server is out of disk, memory or connections; nothing was written; free some and try again",
    "53100": _FULL,
    "55P03": _BUSY,
    "57": "the server is starting, stopping or cancelled the work; nothing was written; try again",
    "XX": f"the server reports damage; {_RESTORE}",
}
_NO_SERVER: Final = "no PostgreSQL server answers there, or the connection was lost; check the address and the server"


class RegistryError(InputError):
    """A registry cannot be used, or refuses what it was given; nothing was written."""


def damaged(what: str) -> RegistryError:
    """The error for a stored row that cannot be what this program wrote."""
    return RegistryError(f"the registry's database is damaged: {what}; {_RESTORE}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise every error of the database driver as a `RegistryError`.

    Parameters
    ----------
    where : the database's path or address, without a password
    """
    try:
        yield
    except DBAPIError as error:
        _raise(where, error.orig, error)
    except sqlite3.Error as error:
        _raise(where, error, error)
    except UnicodeDecodeError as error:  # SQLite quotes a damaged schema in its message, which Python cannot read then
        raise RegistryError(f"{where}: {_REMEDIES[sqlite3.SQLITE_CORRUPT]}") from error
    except PoolTimeoutError as error:
        raise RegistryError(
            f"{where}: all connections were in use for over {BUSY_SECONDS} seconds; try again"
        ) from error


def _raise(where: str, cause: BaseException | None, error: Exception) -> NoReturn:
    remedy = _sqlite_remedy(cause) if isinstance(cause, sqlite3.Error) else _server_remedy(cause)
    raise RegistryError(f"{where}: {remedy}") from error


def _sqlite_remedy(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _REMEDIES.get(code, f"SQLite reports: {str(error)[:200]}; {_RESTORE}")


def _server_remedy(error: BaseException | None) -> str:
    fields: Any = error.args[0] if error is not None and error.args else None
    if not isinstance(fields, dict):  # pg8000 gives the server's fields by their letters, or a text of its own
        return f"{_NO_SERVER} (the driver reports: {str(error)[:120]})"
    state = str(fields.get("C", ""))
    for letters in (state, state[:2]):
        if letters in _SERVER_REMEDIES:
            return _SERVER_REMEDIES[letters]
    return f"PostgreSQL reports: {str(fields.get('M', 'nothing'))[:200]} ({state}); see the server's log"
