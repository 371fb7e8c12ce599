"""Signed tree heads of the logs that are held: the newest one, and the first one of every size.

The first tree head that has an entry bounds the entry's time, by its witnesses; the newest one says how it stands now.
"""

from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from whorl.log.notes import parse_note
from whorl.log.tree_heads import parse_tree_head
from whorl.registry.log_rows import stored_log
from whorl.registry.tables import heads, logs

_OF_SIZE: Final = select(heads.c.size).where(heads.c.log == bindparam("log"), heads.c.size == bindparam("size"))
_FIRST: Final = (
    select(heads.c.note)
    .where(heads.c.log == bindparam("log"), heads.c.size > bindparam("index"))
    .order_by(heads.c.size)
    .limit(1)
)


def record_head(connection: Connection, origin: str, note: bytes) -> None:
    """Store a signed tree head, which the caller checked, as the newest one of its log.

    Raises
    ------
    ValueError
        If the log is not held, or has a larger tree head already.
    """
    size = parse_tree_head(parse_note(note).text).size
    log = stored_log(connection, origin)
    if log is None:
        raise ValueError(f"the log {origin} is not held here")
    if log.head is not None and parse_tree_head(parse_note(log.head).text).size > size:
        raise ValueError(f"the log {origin} has a larger tree head than one of size {size} already")
    connection.execute(update(logs).where(logs.c.id == log.id).values(head=note))
    if connection.execute(_OF_SIZE, {"log": log.id, "size": size}).first() is None:
        connection.execute(insert(heads).values(log=log.id, size=size, note=note))


def newest_head(connection: Connection, origin: str) -> bytes | None:
    """The note of the newest tree head; None where none was stored."""
    log = stored_log(connection, origin)
    return None if log is None else log.head


def first_head(connection: Connection, origin: str, index: int) -> bytes | None:
    """The note of the first stored tree head that has the entry at an index; None where none has it yet."""
    log = stored_log(connection, origin)
    row = None if log is None else connection.execute(_FIRST, {"log": log.id, "index": index}).first()
    return None if row is None else row.note
