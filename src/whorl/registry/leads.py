"""Searching a registry for the models that a fingerprint may come from: named leads, never findings.

Between the database, whose rows are the truth, and the search index (`whorl.registry.search_index`), which is derived
and catches up with the rows whenever it is asked. Vectors of another scheme or length are never compared.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from sqlalchemy import Connection, bindparam, select

from whorl.core.arrays import Doubles
from whorl.core.errors import InputError
from whorl.entries.kinds import Fingerprint, Model
from whorl.entries.leaf import entry_id
from whorl.registry.database import Database
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, numbered_entries
from whorl.registry.levels import claimant_level
from whorl.registry.reading import ANYBODY, Reader, withheld
from whorl.registry.search_index import SearchIndex
from whorl.registry.search_vectors import (
    Hit,
    SearchIndexError,
    VectorRow,
    Vectors,
    check_vector,
    directions,
    exact_scores,
    scheme_id,
)
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import entries, vectors
from whorl.registry.view import EntryFacts, View

MAX_LEADS: Final = 200
PER_CLAIMANT: Final = 5
_SPARE: Final = 2  # so many times the hits asked for are looked at, as some may not be shown

_ROWS: Final = (
    select(vectors.c.entry, vectors.c.vector, entries.c.organisation)
    .join_from(vectors, entries, vectors.c.entry == entries.c.id)
    .where(
        vectors.c.scheme == bindparam("scheme"),
        vectors.c.dimension == bindparam("dimension"),
        vectors.c.entry > bindparam("after"),
    )
    .order_by(vectors.c.entry)
    .limit(PAGE)
)
_NUMBERS: Final = select(vectors.c.entry).where(
    vectors.c.scheme == bindparam("scheme"), vectors.c.dimension == bindparam("dimension")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A model worth a pairwise test.

    Parameters
    ----------
    entry, name, content : id of the model's entry, its name, and the digest of its content where one is claimed
    claimant, level : name of the organisation that claims the model, and how well that is backed (L0 to L4)
    standing, fingerprint_standing : of the model's entry, and of the fingerprint's
    taken_by : name of the organisation that entered the fingerprint, where it is not the claimant
    fingerprint, blob : id of the fingerprint's entry, and the digest under which the fingerprint is stored
    score : cosine of the search vectors, both taken from the population's mean; -1 to 1
    """

    entry: str
    name: str
    content: str | None
    claimant: str
    level: int
    standing: Standing
    fingerprint_standing: Standing
    taken_by: str | None
    fingerprint: str
    blob: str
    score: float


class LeadSearch:
    """Searches one registry; a context manager. Any number of threads may search.

    Parameters
    ----------
    folder : of the derived search files, one folder below it for each scheme
    now : this bureau's clock
    """

    def __init__(self, database: Database, folder: Path, *, now: Callable[[], datetime]) -> None:
        self._database = database
        self._folder = folder
        self._now = now
        self._lock = Lock()
        self._open: dict[tuple[str, int], tuple[SearchIndex, int]] = {}
        self._temporary: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads of the search; its files are whole."""
        with self._lock:
            for index, _ in self._open.values():
                index.close()
            self._open.clear()
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None

    def find(
        self, vector: Vectors, *, scheme: str, top: int, per_claimant: int = PER_CLAIMANT, reader: Reader = ANYBODY
    ) -> list[Lead]:
        """The models whose search vectors are nearest, best first.

        Parameters
        ----------
        vector : int8, shape (dimension,)
        scheme : of the search vector, as fingerprint entries name it
        per_claimant : at most so many of one claimant, so that a flood of entries hides nobody else's
        reader : who asks; what they may not see is no lead for them

        Raises
        ------
        InputError
            If the vector is malformed.
        """
        if vector.ndim != 1 or not vector.size:
            raise SearchIndexError(f"expected a search vector, found an array of shape {vector.shape}")
        check_vector(vector, vector.size)
        top = min(top, MAX_LEADS)
        index = self._caught_up(scheme, vector.size)
        if index is None:
            return []
        hits = index.search(vector, top=top * _SPARE, per_group=per_claimant * _SPARE)
        return self._named(hits, reader, top=top, per_claimant=per_claimant)

    def scores(self, vector: Vectors, others: Vectors, *, scheme: str) -> Doubles:
        """Scores of vectors that are in no index, by the population's mean of this registry.

        Parameters
        ----------
        vector, others : int8, shapes (dimension,) and (n, dimension), from `check_vector`
        """
        index = self._caught_up(scheme, vector.size)
        origin = np.zeros(vector.size) if index is None else index.origin
        return exact_scores(others, directions(vector[None], origin)[0], origin)

    def _named(self, hits: Sequence[Hit], reader: Reader, *, top: int, per_claimant: int) -> list[Lead]:
        leads: list[Lead] = []
        claimed: dict[int, int] = {}
        with self._database.reading() as connection:
            found = numbered_entries(connection, [hit.key for hit in hits])
            for hit in hits:
                if len(leads) == top:
                    break
                if hit.key not in found or claimed.get(hit.group, 0) == per_claimant:
                    continue
                lead = _lead(connection, found[hit.key], hit.score, reader, at=self._now())
                if lead is not None:
                    claimed[hit.group] = claimed.get(hit.group, 0) + 1
                    leads.append(lead)
        return leads

    def _caught_up(self, scheme: str, dimension: int) -> SearchIndex | None:
        """The index with every row that is in the database now; None where there is no vector of the kind."""
        with self._lock, self._database.reading() as connection:
            opened = self._open.get((scheme, dimension))
            if opened is None:
                if next(_rows(connection, scheme, dimension, after=0), None) is None:
                    return None
                opened = self._opened(connection, scheme, dimension)
            index, last = opened
            for page in _rows(connection, scheme, dimension, after=last):
                index.add(_sound(page, dimension))
                last = page[-1].entry
            self._open[scheme, dimension] = index, last
            return index

    def _writable(self) -> Path:
        """Where search files may be: they are made again from the database where the registry may only be read."""
        if os.access(self._folder if self._folder.exists() else self._folder.parent, os.W_OK):
            return self._folder
        if self._temporary is None:
            self._temporary = TemporaryDirectory(prefix="whorl-search-")
        return Path(self._temporary.name)

    def _opened(self, connection: Connection, scheme: str, dimension: int) -> tuple[SearchIndex, int]:
        name = scheme_id(scheme, dimension)
        folder = self._writable() / hashlib.sha256(name.encode()).hexdigest()[:32]
        index = SearchIndex.open(folder, scheme=name, dimension=dimension)
        if index.needs_rebuild is not None:
            index.rebuild(
                row for page in _rows(connection, scheme, dimension, after=0) for row in _sound(page, dimension)
            )
            return index, _last(index)
        there = set(connection.execute(_NUMBERS, {"scheme": scheme, "dimension": dimension}).scalars())
        gone = [key for key in index.keys().tolist() if key not in there]  # erased since
        if gone:
            index.remove(gone)
        return index, _last(index)


def search_vector_of(fingerprint: bytes, *, origin: str) -> tuple[str, Vectors]:
    """Scheme and search vector of a stored fingerprint.

    Parameters
    ----------
    origin : where the bytes came from, for messages

    Raises
    ------
    FingerprintError
        If it is none.
    """
    from whorl.fingerprints.weight_fingerprint import SEARCH_SCHEME, parse_fingerprint

    return SEARCH_SCHEME, parse_fingerprint(fingerprint, origin=origin).search_vector()


def _last(index: SearchIndex) -> int:
    keys = index.keys()
    return int(keys[-1]) if len(keys) else 0


def _rows(connection: Connection, scheme: str, dimension: int, *, after: int) -> Iterator[Sequence[Any]]:
    parameters = {"scheme": scheme, "dimension": dimension}
    while page := connection.execute(_ROWS, {**parameters, "after": after}).all():
        yield page
        after = page[-1].entry


def _sound(page: Iterable[Any], dimension: int) -> list[VectorRow]:
    """Rows of a page that can be compared: a vector that says nothing must not keep others from being found."""
    sound = []
    for row in page:
        try:
            vector = check_vector(np.frombuffer(row.vector, np.int8), dimension)
        except SearchIndexError:
            continue
        sound.append(VectorRow(key=row.entry, group=_group(row.organisation), vector=vector))
    return sound


def _group(organisation: bytes | None) -> int:
    """The number of a claimant in the index: 63 bits of the organisation's leaf hash."""
    return int.from_bytes((organisation or b"")[:8]) >> 1


def _lead(connection: Connection, stored: StoredEntry, score: float, reader: Reader, *, at: datetime) -> Lead | None:
    view = DatabaseView(connection)
    taken = facts_of(stored)
    model = None if taken.statement is None else view.entry(taken.statement.target)
    if model is None or any(withheld(one, reader, view, at=at) is not None for one in (taken, model)):
        return None
    assert taken.statement is not None
    assert model.statement is not None
    body, claim = taken.statement.body, model.statement.body
    if not isinstance(body, Fingerprint) or not isinstance(claim, Model):
        raise InputError(f"entry {entry_id(stored.hash)}: expected a fingerprint of a model, found something else")
    if body.model_content != claim.content:  # in a mirrored log: nobody hangs another model's fingerprint on it
        return None
    return Lead(
        entry=entry_id(model.hash),
        name=claim.name if claim.revision is None else f"{claim.name} {claim.revision}",
        content=claim.content,
        claimant=_name(model.organisation, view) or "",
        level=claimant_level(model, view).level,
        standing=entry_standing(model, view, at=at).standing,
        fingerprint_standing=entry_standing(taken, view, at=at).standing,
        taken_by=taker_beside(taken, model, view),
        fingerprint=entry_id(taken.hash),
        blob=body.blob,
        score=score,
    )


def taker_beside(taken: EntryFacts, model: EntryFacts, view: View) -> str | None:
    """Name of the organisation that entered a fingerprint on a model; None where it is the model's claimant."""
    return None if taken.organisation == model.organisation else _name(taken.organisation, view) or "somebody unknown"


def _name(organisation: bytes | None, view: View) -> str | None:
    facts = None if organisation is None else view.organisation(organisation)
    return None if facts is None else facts.name
