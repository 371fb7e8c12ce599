"""Searching what was sealed here, for another bureau: how many candidates there are, and nothing else.

Only a fingerprint whose maker allowed it is compared: one under the label ``bureaus``, or under ``named`` with the
bureau that asks among the recipients; an empty list means nobody. An entry under ``clear``, which is what an entry has
whose maker said nothing, is not compared, nor is one under ``own``. Handing out a number is handing out something:
see ``docs/specs/service.md``, "What is sealed elsewhere".
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
from sqlalchemy import Connection, bindparam, literal_column, select

from whorl.core.errors import InputError
from whorl.entries.handling import Handling
from whorl.entries.kinds import Fingerprint
from whorl.entries.statement import open_entry
from whorl.registry.database import Database
from whorl.registry.entry_rows import PAGE, numbered_entries
from whorl.registry.leads import LeadSearch
from whorl.registry.search_vectors import SearchIndexError, Vectors, check_vector, scheme_id
from whorl.registry.stored_entry import digest_text, raw_digest, read_row
from whorl.registry.tables import entries, logs

LEAD_LEVELS: Final = {"whorl.weight_fingerprint/1 search vector;2080;int8": 0.5}
"""Score from which a sealed fingerprint is a candidate, for each scheme that is compared, as `scheme_id` names them.

What a level finds and what not: ``docs/methods/registry_search.md``, "Under seal".
"""
MOST_TOLD: Final = 10
"""So many stands for so many or more."""

_BLOCK: Final = 4096
_SEALED: Final = (
    select(entries, logs.c.origin)
    .join_from(entries, logs)
    .where(
        entries.c.kind.is_(None),
        entries.c.counts == literal_column("1"),
        entries.c.envelope.is_not(None),
        entries.c.id > bindparam("after"),
    )
    .order_by(entries.c.id)
    .limit(PAGE)
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorQuestion:
    """Is something sealed that lies near this search vector (int8, shape (dimension,))?"""

    scheme: str
    vector: Vectors

    def __post_init__(self) -> None:
        name = scheme_id(self.scheme, self.vector.size)
        if name not in LEAD_LEVELS:
            raise SearchIndexError(
                f"expected a vector of a scheme that is compared under seal ({', '.join(LEAD_LEVELS)}), found "
                f"{name[:200]!a}; nothing was compared. Make the fingerprint with a whorl release of that scheme"
            )
        check_vector(self.vector, self.vector.size)

    @property
    def level(self) -> float:
        """Score from which there is a candidate."""
        return LEAD_LEVELS[scheme_id(self.scheme, self.vector.size)]

    @property
    def digest(self) -> str:
        """SHA-256 over the vector's bytes: by it both bureaus' audit trails name the question."""
        return digest_text(hashlib.sha256(self.vector.tobytes()).digest())

    @property
    def about(self) -> str:
        return "vector"

    def __str__(self) -> str:
        return f"{self.about} {self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentQuestion:
    """Is a fingerprint of the content with this ``sha256:`` digest sealed?"""

    content: str

    def __post_init__(self) -> None:
        raw_digest(self.content)

    @property
    def digest(self) -> str:
        return self.content

    @property
    def about(self) -> str:
        return "content"

    def __str__(self) -> str:
        return f"{self.about} {self.digest}"


SealedQuestion: TypeAlias = VectorQuestion | ContentQuestion
"""What one bureau asks another; making one raises `InputError` for what is no question."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """A sealed fingerprint that some bureau may find; ``vector`` is None where it has none that is sound."""

    number: int
    content: str
    handling: Handling
    scheme: str | None
    vector: Vectors | None


class SealedSearch:
    """Counts candidates among the sealed fingerprints that are held here; any number of threads may ask.

    Each fingerprint that may be found takes the bytes of its vector and of its label in memory.

    Parameters
    ----------
    leads : the search of this registry, whose population's mean is taken out of sealed vectors too
    """

    def __init__(self, database: Database, leads: LeadSearch) -> None:
        self._database = database
        self._leads = leads
        self._lock = Lock()
        self._rows: list[_Row] = []
        self._last = 0

    def count(self, question: SealedQuestion, *, asking: frozenset[str]) -> int:
        """How many contents are candidates, at most `MOST_TOLD`.

        Parameters
        ----------
        asking : the names of the bureau that asks, as handling labels spell them: its log's origin, its root key's id
        """
        rows = [row for row in self._caught_up() if may_be_found(row.handling, asking)]
        if isinstance(question, ContentQuestion):
            near = [row for row in rows if row.content == question.content]
        else:
            near = list(self._near(rows, question))
        with self._database.reading() as connection:  # erased or opened meanwhile: not sealed any more
            held = numbered_entries(connection, [row.number for row in near])
        there = {number for number, entry in held.items() if entry.kind is None and entry.envelope is not None}
        return min(MOST_TOLD, len({row.content for row in near if row.number in there}))

    def _near(self, rows: Sequence[_Row], question: VectorQuestion) -> Iterator[_Row]:
        size = question.vector.size
        fitting = [(row, row.vector) for row in rows if row.scheme == question.scheme and row.vector is not None]
        fitting = [(row, vector) for row, vector in fitting if vector.size == size]
        for start in range(0, len(fitting), _BLOCK):
            block = fitting[start : start + _BLOCK]
            stacked = np.stack([vector for _, vector in block])
            scores = self._leads.scores(question.vector, stacked, scheme=question.scheme)
            yield from (row for (row, _), score in zip(block, scores, strict=True) if score >= question.level)

    def _caught_up(self) -> Sequence[_Row]:
        with self._lock:
            with self._database.reading() as connection:
                for number, row in _sealed(connection, after=self._last):
                    self._last = number
                    if row is not None:
                        self._rows.append(row)
            return tuple(self._rows)


def may_be_found(handling: Handling, asking: frozenset[str]) -> bool:
    """Whether the maker allowed a bureau with these names to find a sealed fingerprint."""
    match handling.label:
        case "bureaus":
            return True
        case "named":
            return not asking.isdisjoint(handling.recipients)
        case "clear" | "own":
            return False


def _sealed(connection: Connection, *, after: int) -> Iterator[tuple[int, _Row | None]]:
    """Row numbers of sealed entries, each with its fingerprint, if it is one that somebody may find."""
    while page := connection.execute(_SEALED, {"after": after}).all():
        for row in page:
            after = row.id
            stored = read_row(row)
            assert stored.envelope is not None
            statement = open_entry(stored.envelope).statement
            body, handling = statement.body, statement.handling
            findable = handling.label == "bureaus" or bool(handling.recipients)
            if not isinstance(body, Fingerprint) or not findable:
                yield after, None
                continue
            yield (
                after,
                _Row(
                    number=after,
                    content=body.model_content,
                    handling=handling,
                    scheme=body.scheme,
                    vector=_vector(body.vector),
                ),
            )


def _vector(text: str | None) -> Vectors | None:
    """A sealed vector, whose soundness nobody checked before; None if it says nothing."""
    if text is None:
        return None
    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), np.int8)
        return check_vector(vector, vector.size) if vector.size else None
    except (binascii.Error, InputError):
        return None
