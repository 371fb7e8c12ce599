"""Blobs that nothing refers to: handed in ahead of an entry that never came.

Whoever hands in an entry has a day to do so after its blobs. Erasing an entry removes its blobs at once; this is for
the others.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from whorl.registry.blobs import BlobFolder
from whorl.registry.database import Database
from whorl.registry.derived_rows import unreferenced

KEPT: Final = timedelta(days=1)
_AT_ONCE: Final = 500


def forgotten_blobs(database: Database, blobs: BlobFolder, *, at: datetime) -> list[str]:
    """Digests of blobs that were stored over a day ago and that no entry refers to."""
    found: list[str] = []
    for digests in _in_groups(_stored_before(blobs, at - KEPT)):
        with database.reading() as connection:
            found += unreferenced(connection, digests)
    return found


def remove_forgotten(connection: Connection, blobs: BlobFolder, digests: list[str], *, at: datetime) -> int:
    """Remove those of the blobs that are still forgotten; how many there were.

    Parameters
    ----------
    connection : of the writing transaction, so that nobody enters what refers to them meanwhile
    """
    old = [digest for digest in digests if _stored_at(blobs, digest) < at - KEPT]
    return sum(blobs.delete(digest) for digest in unreferenced(connection, old))


def _stored_before(blobs: BlobFolder, limit: datetime) -> Iterator[str]:
    return (digest for digest in blobs.digests() if _stored_at(blobs, digest) < limit)


def _stored_at(blobs: BlobFolder, digest: str) -> datetime:
    name = digest.removeprefix("sha256:")
    try:
        seconds = (blobs.path / name[:2] / name[2:]).stat().st_mtime
    except FileNotFoundError:  # removed meanwhile
        return datetime.max.replace(tzinfo=UTC)
    return datetime.fromtimestamp(seconds, UTC)


def _in_groups(digests: Iterator[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for digest in digests:
        group.append(digest)
        if len(group) == _AT_ONCE:
            yield group
            group = []
    if group:
        yield group
