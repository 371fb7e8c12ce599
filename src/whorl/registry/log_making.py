"""The log made from the rows: what a crash kept from it, or all of it after a restoration."""

from typing import Final

from sqlalchemy import Connection

from whorl.core.progress import Progress, silent
from whorl.log.folder import LogFolder
from whorl.log.notes import parse_note
from whorl.log.tree_heads import parse_tree_head
from whorl.registry.entry_rows import leaves_of_log
from whorl.registry.heads import first_head
from whorl.registry.log_rows import stored_log

_AT_ONCE: Final = 4096


def append_rows(connection: Connection, log: LogFolder, *, progress: Progress = silent) -> None:
    """Put the rows that the log does not have yet into it.

    It stops on the way at the size of every tree head that was recorded, so that the log has the partial tiles of each
    again: receipts of entries that came under an older tree head need them.
    """
    held = stored_log(connection, log.origin)
    size, end = log.size, 0 if held is None else held.size
    while size < end:
        stop = min(end, size + _AT_ONCE, _next_head(connection, log.origin, size) or end)
        log.append(leaves_of_log(connection, log.origin, start=size, stop=stop))
        size = stop
        progress("log made", size, end)


def _next_head(connection: Connection, origin: str, size: int) -> int | None:
    note = first_head(connection, origin, size)
    return None if note is None else parse_tree_head(parse_note(note).text).size
