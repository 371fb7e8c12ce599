"""The registry's tables, the same in SQLite and in PostgreSQL.

`logs`, `heads`, `entries`, `tokens` and `audit` hold what came from outside. `names`, `digests`, `vectors`,
`organisations` and `keys` are derived: `whorl.registry.replaying.rebuild_derived` makes them again from the
entries. Indexes are for 10^7 entries: every look-up below is a range of one of them.
Meaning of the columns: ``docs/specs/registry-storage.md``.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from whorl.entries.kinds import KIND_NUMBERS
from whorl.registry.database_errors import damaged

SCHEMA_VERSION: Final = "0001"
VERSION_TABLE: Final = "registry_version"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
POLICY: Final = KIND_NUMBERS["policy"]
COMMITMENT: Final = KIND_NUMBERS["commitment"]

# STRICT tables of SQLite know INTEGER, TEXT and BLOB; PostgreSQL compares text by code point only when told to.
Number: Final = BigInteger().with_variant(Integer(), "sqlite")
Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of a moment with a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a stored time needs a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A moment as microseconds since 1970, so that both databases keep and compare it alike."""

    impl = Number
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        try:
            return None if value is None else _EPOCH + timedelta(microseconds=value)
        except OverflowError:
            raise damaged(f"expected a time, found {value} microseconds") from None


metadata: Final = MetaData()


def _hash(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[bytes]:
    return Column(
        name,
        LargeBinary,
        CheckConstraint(f"length({name}) = 32", name=f"{name}_length"),
        nullable=nullable,
        primary_key=primary_key,
    )


def _entry(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "entry", Number, ForeignKey("entries.id"), nullable=False, primary_key=primary_key, autoincrement=False
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


logs: Final = Table(
    "logs",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("origin", Words, nullable=False),
    Column("own", Number, CheckConstraint("own IN (0, 1)", name="own_flag"), nullable=False),
    Column("size", Number, nullable=False),
    Column("head", LargeBinary),
    Index("logs_by_origin", "origin", unique=True),
    sqlite_strict=True,
)

heads: Final = Table(
    "heads",
    metadata,
    Column("log", Number, ForeignKey("logs.id"), nullable=False, primary_key=True, autoincrement=False),
    Column("size", Number, nullable=False, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    sqlite_strict=True,
)

entries: Final = Table(
    "entries",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("log", Number, ForeignKey("logs.id"), nullable=False),
    Column("idx", Number, nullable=False),
    _hash("hash"),
    Column("leaf", LargeBinary, nullable=False),
    _hash("issuer", nullable=True),
    Column("sequence", Number),
    _hash("target", nullable=True),
    Column("kind", Number),
    _hash("organisation", nullable=True),
    _hash("claim", nullable=True),
    Column("seen_at", Instant, nullable=False),
    Column("stamped_at", Instant),
    Column("signers", LargeBinary, nullable=False),
    Column("shown", LargeBinary, nullable=False),
    Column("counts", Number, CheckConstraint("counts = 1", name="counts_or_null")),
    Column("fault", Words),
    Column("erased_at", Instant),
    _hash("salt", nullable=True),
    Column("envelope", LargeBinary),
    CheckConstraint("(counts IS NULL) = (fault IS NOT NULL)", name="faulty_does_not_count"),
    CheckConstraint(
        "counts IS NULL OR (length(leaf) = 140 AND issuer IS NOT NULL AND sequence IS NOT NULL)", name="leaf_counts"
    ),
    CheckConstraint("(envelope IS NULL) = (salt IS NULL)", name="salt_with_envelope"),
    CheckConstraint("erased_at IS NULL OR envelope IS NULL", name="erased_is_gone"),
    Index("entries_by_index", "log", "idx", unique=True),
    # Nulls are distinct in a unique index: any number of faulty copies, one that counts.
    Index("entries_by_hash", "hash", "counts", unique=True),
    Index("entries_by_chain", "issuer", "log", "counts", "sequence", unique=True),
    Index(
        "entries_by_target",
        "target",
        "id",
        **_where("target IS NOT NULL AND counts = 1"),
    ),
    Index(
        "entries_by_claim",
        "claim",
        "id",
        **_where("claim IS NOT NULL AND counts = 1"),
    ),
    Index(
        "commitments_by_organisation",
        "organisation",
        "seen_at",
        "id",
        **_where(f"kind = {COMMITMENT} AND counts = 1"),
    ),
    Index("erased_by_hash", "hash", **_where("erased_at IS NOT NULL")),
    Index("policies_by_log", "log", "idx", **_where(f"kind = {POLICY} AND counts = 1")),
    Index("entries_by_kind", "kind", "id", **_where("counts = 1")),
    Index("faulty_entries", "log", "fault", "idx", **_where("counts IS NULL")),
    Index("faulty_entries_by_target", "target", "id", **_where("target IS NOT NULL AND counts IS NULL")),
    Index("faulty_entries_by_kind", "kind", "id", **_where("counts IS NULL")),
    sqlite_strict=True,
)

tokens: Final = Table(
    "tokens",
    metadata,
    _hash("digest", primary_key=True),
    Column("scopes", Text, nullable=False),
    _hash("organisation", nullable=True),
    Column("network", Text),
    Column("label", Text, nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Index("tokens_by_organisation", "organisation"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    sqlite_strict=True,
)

names: Final = Table(
    "names",
    metadata,
    Column("word", Words, nullable=False, primary_key=True),
    _entry(primary_key=True),
    Index("names_by_entry", "entry", "word"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

digests: Final = Table(
    "digests",
    metadata,
    _hash("digest", primary_key=True),
    Column("role", Words, nullable=False, primary_key=True),
    _entry(primary_key=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

vectors: Final = Table(
    "vectors",
    metadata,
    _entry(primary_key=True),
    Column("scheme", Words, nullable=False),
    Column("dimension", Number, nullable=False),
    Column("vector", LargeBinary, CheckConstraint("length(vector) = dimension", name="int8_vector"), nullable=False),
    Index("vectors_by_scheme", "scheme", "dimension", "entry"),
    sqlite_strict=True,
)

organisations: Final = Table(
    "organisations",
    metadata,
    _hash("hash", primary_key=True),
    _entry(),
    Column("log", Number, ForeignKey("logs.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("jurisdiction", Text, nullable=False),
    Column("roots", LargeBinary, nullable=False),
    Column("threshold", Number, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

keys: Final = Table(
    "keys",
    metadata,
    _hash("id", primary_key=True),
    Column("log", Number, ForeignKey("logs.id"), nullable=False, primary_key=True, autoincrement=False),
    _hash("organisation"),
    _hash("introduced"),
    Column("ed25519", LargeBinary, nullable=False),
    Column("mldsa44", LargeBinary),
    Column("roles", Text, nullable=False),
    Column("is_root", Number, CheckConstraint("is_root IN (0, 1)", name="root_flag"), nullable=False),
    Column("not_after", Instant),
    Column("revoked_at", Number),
    Column("compromised_since", Number),
    Column("trusted_until", Instant),
    Index("keys_by_organisation", "organisation"),
    Index("compromised_keys", "id", "log", **_where("compromised_since IS NOT NULL")),
    sqlite_strict=True,
)

DERIVED: Final = (names, digests, vectors, organisations, keys)
