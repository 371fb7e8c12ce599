"""Rows derived from what entries say, to find them by: words of names, digests, search vectors.

They are made from the statements and can be made again. Erasing an entry removes them.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sqlalchemy import Connection, bindparam, delete, func, select

from whorl.entries.kinds import (
    Body,
    Dataset,
    Dispute,
    FindingEntry,
    Fingerprint,
    Model,
    Opening,
    Organisation,
    Response,
)
from whorl.entries.statement import Statement
from whorl.registry.bulk import insert_rows
from whorl.registry.name_rows import PAGE, words_of
from whorl.registry.stored_entry import raw_digest
from whorl.registry.tables import digests, names, vectors

Role: TypeAlias = Literal["content", "file", "subject", "blob"]
"""What an entry names a digest as: content that it claims, one of its files, content that it speaks of, a blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What an entry can be found by.

    Parameters
    ----------
    digests : ``sha256:`` digests with what the entry names them as
    vector : scheme and int8 numbers of a search vector
    """

    words: frozenset[str] = frozenset()
    digests: frozenset[tuple[Role, str]] = frozenset()
    vector: tuple[str, bytes] | None = None

    @property
    def blobs(self) -> frozenset[str]:
        """Digests of the blobs that the entry refers to."""
        return _blobs(self.digests)


def derive(statement: Statement) -> Derived:
    """What a statement can be found by."""
    body = statement.body
    return Derived(
        words=frozenset(word for name in _names(body) for word in words_of(name)),
        digests=_digests(body),
        vector=_vector(body) if isinstance(body, Fingerprint) else None,
    )


def blobs_of(statement: Statement) -> frozenset[str]:
    """Digests of the blobs that a statement refers to."""
    return _blobs(_digests(statement.body))


def insert_derived(connection: Connection, derived: Sequence[tuple[int, Derived]]) -> None:
    """Add the rows of entries, by their row numbers."""
    words = [(word, number) for number, one in derived for word in one.words]
    named = [(raw_digest(digest), role, number) for number, one in derived for role, digest in one.digests]
    found = [(number, one.vector[0], len(one.vector[1]), one.vector[1]) for number, one in derived if one.vector]
    for table, rows in ((names, words), (digests, named), (vectors, found)):
        insert_rows(connection, table, rows)


def delete_derived(connection: Connection, number: int, derived: Derived) -> None:
    """Remove what an entry can be found by."""
    connection.execute(delete(names).where(names.c.entry == number))
    for role, digest in derived.digests:
        connection.execute(
            delete(digests).where(
                digests.c.digest == raw_digest(digest), digests.c.role == role, digests.c.entry == number
            )
        )
    connection.execute(delete(vectors).where(vectors.c.entry == number))


def unreferenced(connection: Connection, candidates: Iterable[str]) -> list[str]:
    """Those of the blobs, by their digests, that no entry refers to; sealed entries that are held here count too."""
    return sorted(
        digest
        for digest in candidates
        if connection.execute(_REFERENCE, {"digest": raw_digest(digest)}).first() is None
    )


def vector_schemes(connection: Connection) -> list[tuple[str, int, int]]:
    """Scheme, dimension and number of all kinds of search vectors."""
    return [(row.scheme, row.dimension, row.number) for row in connection.execute(_SCHEMES)]


def vectors_of(
    connection: Connection, scheme: str, dimension: int, *, after: int = 0
) -> Iterator[list[tuple[int, bytes]]]:
    """Row numbers of entries and their int8 search vectors of one scheme and length, in pages.

    Vectors of several schemes or lengths are never compared. Whoever keeps the last row number can go on after it.
    """
    parameters = {"scheme": scheme, "dimension": dimension}
    while rows := connection.execute(_VECTORS, {**parameters, "after": after}).all():
        yield [(row.entry, row.vector) for row in rows]
        after = rows[-1].entry


_REFERENCE: Final = (
    select(digests.c.entry).where(digests.c.digest == bindparam("digest"), digests.c.role == "blob").limit(1)
)
_SCHEMES: Final = (
    select(vectors.c.scheme, vectors.c.dimension, func.count().label("number"))
    .group_by(vectors.c.scheme, vectors.c.dimension)
    .order_by(vectors.c.scheme, vectors.c.dimension)
)
_VECTORS: Final = (
    select(vectors.c.entry, vectors.c.vector)
    .where(
        vectors.c.scheme == bindparam("scheme"),
        vectors.c.dimension == bindparam("dimension"),
        vectors.c.entry > bindparam("after"),
    )
    .order_by(vectors.c.entry)
    .limit(PAGE)
)


def _names(body: Body) -> tuple[str, ...]:
    match body:
        case Organisation(name=name):
            return (name,)
        case Model(publisher=publisher, name=name) | Dataset(publisher=publisher, name=name):
            return publisher, name
        case _:
            return ()


def _digests(body: Body) -> frozenset[tuple[Role, str]]:
    match body:
        case Model(content=content, files=files):
            return _named("content", content) | _named("file", *files.values())
        case Fingerprint(model_content=content, blob=blob):
            return _named("subject", content) | _named("blob", blob)
        case Dataset(content=content, manifest=manifest):
            return _named("content", content) | _named("blob", manifest)
        case FindingEntry(questioned=questioned, reference=reference, blob=blob):
            return _named("subject", questioned, reference) | _named("blob", blob)
        case Opening(blob=blob):
            return _named("blob", blob)
        case Response(blobs=blobs) | Dispute(blobs=blobs):
            return _named("blob", *blobs)
        case _:
            return frozenset()


def _blobs(found: frozenset[tuple[Role, str]]) -> frozenset[str]:
    return frozenset(digest for role, digest in found if role == "blob")


def _named(role: Role, *found: str | None) -> frozenset[tuple[Role, str]]:
    return frozenset((role, digest) for digest in found if digest is not None)


def _vector(body: Fingerprint) -> tuple[str, bytes] | None:
    if body.scheme is None or body.vector is None:
        return None
    try:
        return body.scheme, base64.b64decode(body.vector, validate=True)
    except binascii.Error:  # no such fingerprint is admitted
        return None
