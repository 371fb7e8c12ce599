"""Rows of `entries`: adding them, and finding them by leaf hash, place, chain, target, claim, digest and kind.

Every query is a range of one index, and long answers are read a page at a time. What does not say otherwise gives
entries that count, in the order in which this bureau saw them. Who may see what an entry says is for the caller:
`whorl.entries.handling.may_see`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, literal_column, select, text, tuple_, update

from whorl.entries.kinds import KIND_NUMBERS, KINDS, Kind
from whorl.entries.leaf import parse_leaf
from whorl.log.merkle import leaf_hash
from whorl.registry.bulk import insert_rows, padded
from whorl.registry.database_errors import damaged
from whorl.registry.log_rows import stored_log
from whorl.registry.stored_entry import StoredEntry, entry_columns, raw_digest, read_row
from whorl.registry.tables import COMMITMENT, POLICY, Instant, digests, entries, logs, microseconds
from whorl.registry.view import LeafPlace

PAGE: Final = 256  # times the largest envelope is what a page can take in memory: 64 MiB

_MANY: Final = 10_000  # rows of leaves alone

_COLUMNS: Final = tuple(column.name for column in entries.columns)
_in_order: Final = itemgetter(*_COLUMNS)
_INSTANTS: Final = tuple(column.name for column in entries.columns if isinstance(column.type, Instant))

# Literals, not parameters: only then do the databases see that a partial index applies.
_COUNTS: Final = entries.c.counts == literal_column("1")
_ROWS: Final = select(entries, logs.c.origin).join_from(entries, logs)
_PAGED: Final = _ROWS.where(_COUNTS, entries.c.id > bindparam("after")).order_by(entries.c.id).limit(PAGE)

_LAST: Final = select(func.coalesce(func.max(entries.c.id), 0))
_BY_HASH: Final = _ROWS.where(entries.c.hash == bindparam("sought"), _COUNTS)
_ANY_BY_HASH: Final = _ROWS.where(entries.c.hash == bindparam("sought")).limit(1)
_BY_INDEX: Final = _ROWS.where(
    entries.c.log == bindparam("log"), entries.c.idx.between(bindparam("first"), bindparam("last"))
).order_by(entries.c.idx)
_LEAVES: Final = (
    select(entries.c.idx, entries.c.hash, entries.c.leaf)
    .join_from(entries, logs)
    .where(logs.c.origin == bindparam("origin"), entries.c.idx.between(bindparam("first"), bindparam("last")))
    .order_by(entries.c.idx)
)
_ENTERED: Final = select(entries.c.hash, entries.c.log).where(
    entries.c.hash.in_(bindparam("sought", expanding=True)), _COUNTS
)
_LOG_OF: Final = select(logs.c.id).where(logs.c.origin == bindparam("origin")).scalar_subquery()
_OF_ISSUER: Final = (entries.c.issuer == bindparam("issuer")) & (entries.c.log == _LOG_OF) & _COUNTS
_DOES_NOT_COUNT: Final = text("entries.counts IS NULL")
_STANDING: Final = entries.c.organisation.is_not(None) | (entries.c.counts == literal_column("1"))
_STANDS: Final = (
    select(entries.c.id).where(entries.c.hash == bindparam("sought"), entries.c.log == _LOG_OF, _STANDING).limit(1)
)
_STANDING_BY_HASH: Final = (
    _ROWS.where(entries.c.hash == bindparam("sought"), _DOES_NOT_COUNT, entries.c.organisation.is_not(None))
    .order_by(entries.c.id)
    .limit(1)
)
_PLACE: Final = (
    select(
        entries.c.id,
        entries.c.hash,
        entries.c.idx,
        entries.c.kind,
        entries.c.organisation,
        entries.c.counts,
        logs.c.origin,
    )
    .join_from(entries, logs)
    .where(entries.c.hash == bindparam("sought"), _STANDING)
)
_STANDING_IN_CHAIN: Final = (
    select(entries.c.hash)
    .where(
        entries.c.issuer == bindparam("issuer"),
        entries.c.log == _LOG_OF,
        _DOES_NOT_COUNT,
        entries.c.sequence == bindparam("number"),
        entries.c.organisation.is_not(None),
    )
    .order_by(entries.c.id)
    .limit(1)
)
_OWN_CHAIN: Final = (
    select(entries.c.sequence, entries.c.leaf)
    .where(_OF_ISSUER, entries.c.sequence > bindparam("after"))
    .order_by(entries.c.sequence)
    .limit(_MANY)
)
_IN_CHAIN: Final = _ROWS.where(_OF_ISSUER, entries.c.sequence == bindparam("number"))
_CHAIN: Final = (
    _ROWS.where(_OF_ISSUER, entries.c.sequence > bindparam("after")).order_by(entries.c.sequence).limit(PAGE)
)
_LEAVES_SIGNED: Final = tuple(
    select(entries.c.id, entries.c.hash, entries.c.idx, entries.c.sequence)
    .where(
        entries.c.issuer == bindparam("issuer"),
        entries.c.log == _LOG_OF,
        counting,
        _STANDING,
        tuple_(entries.c.sequence, entries.c.id) > tuple_(bindparam("sequence"), bindparam("id")),
    )
    .order_by(entries.c.sequence, entries.c.id)
    .limit(_MANY)
    for counting in (_COUNTS, _DOES_NOT_COUNT)
)
_CHAIN_END: Final = (
    select(entries.c.sequence, entries.c.hash).where(_OF_ISSUER).order_by(entries.c.sequence.desc()).limit(1)
)
_LAST_NUMBERS: Final = (
    select(entries.c.issuer, func.max(entries.c.sequence).label("sequence"))
    .where(entries.c.issuer.in_(bindparam("issuers", expanding=True)), entries.c.log == _LOG_OF, _COUNTS)
    .group_by(entries.c.issuer)
    .subquery()
)
_CHAIN_ENDS: Final = select(entries.c.issuer, entries.c.sequence, entries.c.hash).join_from(
    _LAST_NUMBERS,
    entries,
    (entries.c.issuer == _LAST_NUMBERS.c.issuer)
    & (entries.c.log == _LOG_OF)
    & (entries.c.sequence == _LAST_NUMBERS.c.sequence)
    & _COUNTS,
)
_POLICY: Final = (
    _ROWS.where(
        entries.c.log == bindparam("log"),
        entries.c.idx < bindparam("index"),
        entries.c.kind == literal_column(str(POLICY)),
        _COUNTS,
    )
    .order_by(entries.c.idx.desc())
    .limit(1)
)
_ABOUT: Final = _PAGED.where(entries.c.target == bindparam("sought"))
# Not the bare column: by its index a database would look through all entries of these kinds.
_ABOUT_OF_KINDS: Final = _ABOUT.where((entries.c.kind + literal_column("0")).in_(bindparam("kinds", expanding=True)))
_FAULTY_ABOUT: Final = (
    _ROWS.where(entries.c.target == bindparam("sought"), _DOES_NOT_COUNT, entries.c.id > bindparam("after"))
    .where(
        entries.c.organisation.is_not(None),
        # Not the bare column, as above.
        (entries.c.kind + literal_column("0")).in_(bindparam("kinds", expanding=True)),
    )
    .order_by(entries.c.id)
    .limit(PAGE)
)
_WITH_CLAIM: Final = _PAGED.where(entries.c.claim == bindparam("sought"))
_COMMITMENTS: Final = (
    _ROWS.where(
        entries.c.organisation == bindparam("organisation"),
        entries.c.kind == literal_column(str(COMMITMENT)),
        _COUNTS,
        tuple_(entries.c.seen_at, entries.c.id) > tuple_(bindparam("since", type_=Instant), bindparam("after")),
    )
    .order_by(entries.c.seen_at, entries.c.id)
    .limit(PAGE)
)
_WITH_DIGEST: Final = (
    select(entries, logs.c.origin)
    .join_from(digests, entries, digests.c.entry == entries.c.id)
    .join(logs, entries.c.log == logs.c.id)
    .where(
        digests.c.digest == bindparam("digest"),
        digests.c.role == bindparam("role"),
        digests.c.entry > bindparam("after"),
    )
    .order_by(digests.c.entry)
    .limit(PAGE)
)
_NUMBERED: Final = _ROWS.where(entries.c.id.in_(bindparam("sought", expanding=True)))
_ERASED: Final = select(entries.c.hash, entries.c.erased_at).where(
    entries.c.hash.in_(bindparam("sought", expanding=True)), entries.c.erased_at.is_not(None)
)
_ANY_ERASED: Final = (
    select(entries.c.id)
    .where(entries.c.hash.between(bindparam("least"), bindparam("largest")), entries.c.erased_at.is_not(None))
    .limit(1)
)
_OF_KIND: Final = (
    _ROWS.where(entries.c.kind == bindparam("kind"), _COUNTS, entries.c.id < bindparam("before"))
    .order_by(entries.c.id.desc())
    .limit(bindparam("most"))
)
_FAULTS: Final = select(entries.c.idx, entries.c.fault).where(
    entries.c.log == bindparam("log"),
    entries.c.fault >= bindparam("start"),
    entries.c.fault < bindparam("end"),
    _DOES_NOT_COUNT,
)
_COUNT_OF_FAULTS: Final = select(func.count()).where(
    entries.c.log == bindparam("log"),
    entries.c.fault >= bindparam("start"),
    entries.c.fault < bindparam("end"),
    _DOES_NOT_COUNT,
)
_FAULTY_OF_KIND: Final = (
    _ROWS.where(entries.c.kind == bindparam("kind"), _DOES_NOT_COUNT, entries.c.id > bindparam("after"))
    .order_by(entries.c.id)
    .limit(PAGE)
)


def insert_entries(connection: Connection, stored: Sequence[StoredEntry]) -> list[int]:
    """Add entries at the end of their logs, in the order given; without their content, where that was erased here.

    Returns
    -------
    their row numbers, which grow in the order in which this bureau saw them

    Raises
    ------
    ValueError
        If an entry is not the next one of its log, or contradicts its leaf.
    RegistryError
        If it counts and another that counts has its leaf, or its number in the issuer's chain.
    """
    sizes: dict[str, tuple[int, int]] = {}
    number = int(connection.execute(_LAST).scalar_one())
    erased = erased_among(connection, [entry.hash for entry in stored])
    rows: list[tuple[Any, ...]] = []
    for entry in stored:
        if entry.origin not in sizes:
            log = stored_log(connection, entry.origin)
            if log is None:
                raise ValueError(f"the log {entry.origin} is not held here")
            sizes[entry.origin] = log.id, log.size
        log_id, size = sizes[entry.origin]
        if entry.index != size:
            raise ValueError(f"expected entry {size} of {entry.origin} next, got {entry.index}")
        sizes[entry.origin] = log_id, size + 1
        number += 1
        if entry.hash in erased:
            entry = replace(entry, envelope=None, salt=None, erased_at=erased[entry.hash])
        values = entry_columns(entry) | {"id": number, "log": log_id, "idx": entry.index}
        for name in _INSTANTS:
            values[name] = values[name] and microseconds(values[name])
        rows.append(_in_order(values))
    insert_rows(connection, entries, rows)
    for log_id, size in sizes.values():
        connection.execute(update(logs).where(logs.c.id == log_id).values(size=size))
    return list(range(number - len(rows) + 1, number + 1))


def erased_among(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, datetime]:
    """Which of these leaf hashes were erased here, and when: their content is not taken again."""
    found: dict[bytes, datetime] = {}
    if not digests or connection.execute(_ANY_ERASED, {"least": min(digests), "largest": max(digests)}).first() is None:
        return found
    for first in range(0, len(digests), PAGE):
        rows = connection.execute(_ERASED, {"sought": padded(digests[first : first + PAGE])})
        found.update((row.hash, row.erased_at) for row in rows)
    return found


def find_entry(connection: Connection, digest: bytes) -> StoredEntry | None:
    """The entry with this leaf hash: the one that counts, or else a faulty one."""
    row = counting_row(connection, digest) or connection.execute(_ANY_BY_HASH, {"sought": digest}).first()
    return None if row is None else read_row(row)


def stands_in_log(connection: Connection, digest: bytes, *, origin: str) -> bool:
    """Whether a leaf with this hash stands in a log, by `StoredEntry.stands`."""
    return connection.execute(_STANDS, {"sought": digest, "origin": origin}).first() is not None


def standing_entry(connection: Connection, digest: bytes) -> StoredEntry | None:
    """The entry with this leaf hash that counts, or else one that only stands in its log."""
    row = counting_row(connection, digest) or connection.execute(_STANDING_BY_HASH, {"sought": digest}).first()
    return None if row is None else read_row(row)


def place_of(connection: Connection, digest: bytes) -> LeafPlace | None:
    """Where a leaf stands, without what the entry says."""
    found = connection.execute(_PLACE, {"sought": digest}).all()
    if not found:
        return None
    row = min(found, key=lambda one: (one.counts is None, one.id))
    kind = None if row.kind is None else KINDS[row.kind]
    return LeafPlace(hash=row.hash, origin=row.origin, index=row.idx, kind=kind, organisation=row.organisation)


def counting_row(connection: Connection, digest: bytes) -> Row[Any] | None:
    """The row of the entry that counts with this leaf hash, not checked yet by `read_row`."""
    return connection.execute(_BY_HASH, {"sought": digest}).first()


def entries_of_log(
    connection: Connection, origin: str, *, start: int = 0, stop: int | None = None
) -> Iterator[StoredEntry]:
    """Entries ``start`` to ``stop`` - 1 of a log, faulty ones too, a page in memory at a time."""
    log = stored_log(connection, origin)
    if log is None:
        return
    end = log.size if stop is None else min(stop, log.size)
    for first in range(start, end, PAGE):
        last = min(first + PAGE, end) - 1
        rows = connection.execute(_BY_INDEX, {"log": log.id, "first": first, "last": last}).all()
        if [row.idx for row in rows] != list(range(first, last + 1)):
            raise damaged(f"entries {first} to {last} of {origin} are not all there")
        yield from map(read_row, rows)


def leaves_of_log(connection: Connection, origin: str, *, start: int, stop: int) -> list[bytes]:
    """Leaves ``start`` to ``stop`` - 1 of a log, as they stand in it.

    Raises
    ------
    RegistryError
        If one of them is missing, or is not the one of the row's hash.
    """
    rows = connection.execute(_LEAVES, {"origin": origin, "first": start, "last": stop - 1}).all()
    if [row.idx for row in rows] != list(range(start, stop)):
        raise damaged(f"entries {start} to {stop - 1} of {origin} are not all there")
    for row in rows:
        if leaf_hash(row.leaf) != row.hash:
            raise damaged(f"entry {row.idx} of {origin} cannot be read (its leaf has another hash)")
    return [row.leaf for row in rows]


def entered_among(connection: Connection, digests: Sequence[bytes], *, origin: str) -> frozenset[bytes]:
    """Which of these leaf hashes are those of entries that count in a log."""
    log = stored_log(connection, origin)
    found: set[bytes] = set()
    for first in range(0, len(digests), PAGE):
        rows = connection.execute(_ENTERED, {"sought": padded(digests[first : first + PAGE])})
        found.update(row.hash for row in rows if log is not None and row.log == log.id)
    return frozenset(found)


def sealed_among(connection: Connection, commits: Collection[bytes], *, issuer: bytes, origin: str) -> frozenset[bytes]:
    """Which of these commitments a sealed leaf of an issuer holds; the whole chain in that log is looked through."""
    found: set[bytes] = set()
    after = -1
    while rows := connection.execute(_OWN_CHAIN, {"issuer": issuer, "origin": origin, "after": after}).all():
        leaves = (parse_leaf(row.leaf) for row in rows)
        found.update(leaf.commit for leaf in leaves if leaf.leaf_class == "sealed" and leaf.commit in commits)
        after = rows[-1].sequence
    return frozenset(found)


def counting_entries(connection: Connection, *, after: int = 0) -> Iterator[tuple[int, StoredEntry]]:
    """Row numbers and all entries that count, from the one after a row number."""
    return _paged(connection, _PAGED, {}, after=after)


def numbered_entries(connection: Connection, numbers: Sequence[int]) -> dict[int, StoredEntry]:
    """Entries by row numbers, in the order asked for; what is no row is left out."""
    rows: dict[int, Row[Any]] = {}
    for first in range(0, len(numbers), PAGE):
        found = connection.execute(_NUMBERED, {"sought": padded(numbers[first : first + PAGE])})
        rows.update((row.id, row) for row in found)
    return {number: read_row(rows[number]) for number in numbers if number in rows}


def entries_about(connection: Connection, target: bytes, *kinds: Kind) -> Iterator[StoredEntry]:
    """Entries whose leaf names a target, of some kinds or, if none is named, of every kind."""
    if not kinds:
        return _entries(_paged(connection, _ABOUT, {"sought": target}))
    numbers = sorted(KIND_NUMBERS[kind] for kind in kinds)
    return _entries(_paged(connection, _ABOUT_OF_KINDS, {"sought": target, "kinds": padded(numbers)}))


def faulty_about(connection: Connection, target: bytes, *kinds: Kind) -> Iterator[StoredEntry]:
    """Entries of some kinds whose leaf names a target, which do not count and whose leaf stands in its log."""
    numbers = padded(sorted(KIND_NUMBERS[kind] for kind in kinds))
    return _entries(_paged(connection, _FAULTY_ABOUT, {"sought": target, "kinds": numbers}))


def entries_with_claim(connection: Connection, claim: bytes) -> Iterator[StoredEntry]:
    """Notices that make a claim."""
    return _entries(_paged(connection, _WITH_CLAIM, {"sought": claim}))


def entries_with_digest(connection: Connection, digest: str, *, role: str) -> Iterator[StoredEntry]:
    """Entries that name a ``sha256:`` digest in one of the roles of `whorl.registry.derived_rows.Role`."""
    return _entries(_paged(connection, _WITH_DIGEST, {"digest": raw_digest(digest), "role": role}))


def commitments_since(connection: Connection, organisation: bytes, since: datetime) -> Iterator[StoredEntry]:
    """Commitments of an organisation that were seen at or after a time, in the order of these times."""
    after = 0
    while rows := connection.execute(
        _COMMITMENTS, {"organisation": organisation, "since": since, "after": after}
    ).all():
        yield from map(read_row, rows)
        since, after = rows[-1].seen_at, rows[-1].id


def policy_before(connection: Connection, origin: str, index: int) -> StoredEntry | None:
    """The last policy in a log before an index."""
    log = stored_log(connection, origin)
    row = None if log is None else connection.execute(_POLICY, {"log": log.id, "index": index}).first()
    return None if row is None else read_row(row)


def entry_in_chain(connection: Connection, issuer: bytes, sequence: int, *, origin: str) -> StoredEntry | None:
    """The entry with this sequence number that an issuer signed in a log."""
    row = connection.execute(_IN_CHAIN, {"issuer": issuer, "origin": origin, "number": sequence}).first()
    return None if row is None else read_row(row)


def standing_in_chain(connection: Connection, issuer: bytes, sequence: int, *, origin: str) -> bytes | None:
    """Leaf hash of the first entry with this number that does not count and stands in the log."""
    sought = {"issuer": issuer, "origin": origin, "number": sequence}
    return connection.execute(_STANDING_IN_CHAIN, sought).scalar()


def entries_of_issuer(connection: Connection, issuer: bytes, *, origin: str) -> Iterator[StoredEntry]:
    """All entries that an issuer signed in a log, in the order of its chain."""
    after = -1
    while rows := connection.execute(_CHAIN, {"issuer": issuer, "origin": origin, "after": after}).all():
        yield from map(read_row, rows)
        after = rows[-1].sequence


def leaves_of_issuer(connection: Connection, issuer: bytes, *, origin: str) -> Iterator[tuple[bytes, int]]:
    """Leaf hash and index of all that an issuer signed in a log and that stands there, whether it counts or not."""
    for query in _LEAVES_SIGNED:
        sequence, number = -1, 0
        sought = {"issuer": issuer, "origin": origin}
        while rows := connection.execute(query, {**sought, "sequence": sequence, "id": number}).all():
            yield from ((row.hash, row.idx) for row in rows)
            sequence, number = rows[-1].sequence, rows[-1].id


def chain_end(connection: Connection, issuer: bytes, *, origin: str) -> tuple[int, bytes] | None:
    """Sequence number and leaf hash of the last entry that an issuer signed in a log."""
    row = connection.execute(_CHAIN_END, {"issuer": issuer, "origin": origin}).first()
    return None if row is None else (row.sequence, row.hash)


def chain_ends(connection: Connection, issuers: Sequence[bytes], *, origin: str) -> dict[bytes, tuple[int, bytes]]:
    """The ends of several issuers' chains in a log, of those who signed something there."""
    rows = connection.execute(_CHAIN_ENDS, {"issuers": padded(issuers), "origin": origin})
    return {row.issuer: (row.sequence, row.hash) for row in rows}


def latest_entries(
    connection: Connection, kind: Kind, *, most: int, before: int | None = None
) -> list[tuple[int, StoredEntry]]:
    """Row numbers and entries of a kind, the newest first.

    Parameters
    ----------
    most : how many at most; never more than `PAGE`
    before : only those with a smaller row number, to turn the page
    """
    parameters = {"kind": KIND_NUMBERS[kind], "before": 2**62 if before is None else before, "most": min(most, PAGE)}
    return [(row.id, read_row(row)) for row in connection.execute(_OF_KIND, parameters)]


def faulty_entries(connection: Connection, kind: Kind) -> Iterator[StoredEntry]:
    """Entries of a kind that do not count and whose leaf stands in its log."""
    after = 0
    while rows := connection.execute(_FAULTY_OF_KIND, {"kind": KIND_NUMBERS[kind], "after": after}).all():
        yield from (one for one in map(read_row, rows) if one.stands)
        after = rows[-1].id


def faults_of_log(connection: Connection, log: int, begins: str) -> dict[int, str]:
    """Index and fault of the entries of a log whose fault begins so; the log by its number."""
    found = connection.execute(_FAULTS, {"log": log, **_beginning(begins)})
    return {row.idx: row.fault for row in found}


def count_of_faults(connection: Connection, log: int, begins: str) -> int:
    """How many entries of a log have a fault that begins so; the log by its number."""
    return int(connection.execute(_COUNT_OF_FAULTS, {"log": log, **_beginning(begins)}).scalar_one())


def _beginning(begins: str) -> dict[str, str]:
    return {"start": begins, "end": begins[:-1] + chr(ord(begins[-1]) + 1)}


def _entries(numbered: Iterator[tuple[int, StoredEntry]]) -> Iterator[StoredEntry]:
    for _, entry in numbered:
        yield entry


def _paged(
    connection: Connection, query: Select[Any], parameters: dict[str, Any], *, after: int = 0
) -> Iterator[tuple[int, StoredEntry]]:
    while rows := connection.execute(query, {**parameters, "after": after}).all():
        for row in rows:
            yield row.id, read_row(row)
        after = rows[-1].id
