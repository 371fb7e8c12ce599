"""Are the blobs what their names say, and are those there that entries refer to?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress
from whorl.registry.blobs import BlobFolder
from whorl.registry.entry_rows import PAGE
from whorl.registry.registry_reader import MAX_BLOB_BYTES
from whorl.registry.stored_entry import digest_text
from whorl.registry.tables import digests, entries, logs

_REFERRED: Final = (
    select(digests.c.digest, func.max(logs.c.own).label("own"))
    .join_from(digests, entries, digests.c.entry == entries.c.id)
    .join(logs, entries.c.log == logs.c.id)
    .where(digests.c.role == "blob", digests.c.digest > bindparam("after"))
    .group_by(digests.c.digest)
    .order_by(digests.c.digest)
    .limit(PAGE)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blobs:
    """How many there are, and to how many of them nothing refers: they came before an entry that did not."""

    blobs: int
    unreferenced: int


def check_blobs(
    blobs: BlobFolder, connection: Connection | None, *, note: Callable[[str, str], None], progress: Progress
) -> Blobs:
    """Hash every blob again, and look for those that the own log's entries refer to.

    Parameters
    ----------
    connection : where to find which are referred to; None if that is not known
    note : takes a place and what is wrong there
    """
    referred = iter(()) if connection is None else _referred(connection)
    due = next(referred, None)
    count = unreferenced = 0
    for digest in blobs.digests():
        count += 1
        progress("blobs checked", count, 0)
        while due is not None and due[0] < digest:
            _missing(due, note)
            due = next(referred, None)
        if due is not None and due[0] == digest:
            due = next(referred, None)
        else:
            unreferenced += 1
        try:
            blobs.get(digest, max_bytes=MAX_BLOB_BYTES)
        except (InputError, VerificationError) as error:
            note(f"blob {digest}", str(error))
    while due is not None:
        _missing(due, note)
        due = next(referred, None)
    return Blobs(blobs=count, unreferenced=unreferenced if connection is not None else 0)


def _missing(due: tuple[str, bool], note: Callable[[str, str], None]) -> None:
    digest, own = due
    if own:  # blobs of others stay with them
        note(f"blob {digest}", "an entry refers to it and it is not here; store it again, or restore a backup")


def _referred(connection: Connection) -> Iterator[tuple[str, bool]]:
    """Digests of all blobs that entries refer to, in order, and whether one of the own log does."""
    after = b""
    while rows := connection.execute(_REFERRED, {"after": after}).all():
        yield from ((digest_text(row.digest), bool(row.own)) for row in rows)
        after = rows[-1].digest
