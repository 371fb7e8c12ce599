"""Rows of `logs`: the logs that this registry holds, its own and those it mirrors."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from whorl.registry.database_errors import RegistryError, damaged
from whorl.registry.tables import entries, logs

MAX_LOGS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """A log as far as it is stored here.

    Parameters
    ----------
    size : how many of its entries are stored, from index 0 without a gap
    head : the newest signed tree head, which may be ahead of ``size``
    """

    id: int
    origin: str
    own: bool
    size: int
    head: bytes | None


def add_log(connection: Connection, origin: str, *, own: bool) -> StoredLog:
    """Begin to hold a log; one that is held already is given back as it is.

    Raises
    ------
    ValueError
        If it is held as a mirror and asked for as one's own, or the other way round, or there are too many.
    """
    held = stored_logs(connection)
    for log in held:
        if log.origin == origin:
            if log.own != own:
                raise ValueError(f"the log {origin} is held as {'own' if log.own else 'mirrored'} already")
            return log
    if len(held) >= MAX_LOGS:
        raise ValueError(f"a registry holds at most {MAX_LOGS} logs")
    number = int(connection.execute(select(func.coalesce(func.max(logs.c.id), 0))).scalar_one()) + 1
    connection.execute(insert(logs).values(id=number, origin=origin, own=int(own), size=0, head=None))
    return StoredLog(id=number, origin=origin, own=own, size=0, head=None)


def stored_logs(connection: Connection) -> list[StoredLog]:
    """All logs held, in the order in which they were added."""
    return [_log(row) for row in connection.execute(_ALL)]


def stored_log(connection: Connection, origin: str) -> StoredLog | None:
    """One log by its origin."""
    row = connection.execute(_BY_ORIGIN, {"sought": origin}).first()
    return None if row is None else _log(row)


_ALL: Final = select(logs).order_by(logs.c.id).limit(MAX_LOGS)
_BY_ORIGIN: Final = select(logs).where(logs.c.origin == bindparam("sought"))


def _log(row: Any) -> StoredLog:
    if not isinstance(row.origin, str) or row.size < 0:
        raise damaged(f"log {row.id} cannot be read")
    return StoredLog(id=row.id, origin=row.origin, own=bool(row.own), size=row.size, head=row.head)


def require_whole(connection: Connection, log: StoredLog) -> None:
    """Check that no row of a log is gone: cheap, as only the rows of an index are counted.

    Raises
    ------
    RegistryError
        If there are fewer rows than the log has entries: nothing may be signed on top of that.
    """
    rows = connection.execute(_COUNT, {"log": log.id}).scalar_one()
    if rows != log.size:
        raise RegistryError(
            f"the registry's database: expected the {log.size} entries of {log.origin}, found {rows}: rows were "
            "removed or added. Nothing was signed. See what is damaged with `whorl registry fsck`, and restore a backup"
        )


_COUNT: Final = select(func.count()).select_from(entries).where(entries.c.log == bindparam("log"))
