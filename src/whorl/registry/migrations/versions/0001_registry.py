"""The first tables of the registry.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, LargeBinary, Text

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make all tables; nothing was there before."""
    _make_logs_and_entries()
    _make_tokens_and_audit()
    _make_derived_tables()


def _make_logs_and_entries() -> None:
    op.create_table(
        "logs",
        _number("id", primary_key=True),
        Column("origin", _WORDS, nullable=False),
        Column("own", _NUMBER, CheckConstraint("own IN (0, 1)", name="own_flag"), nullable=False),
        _number("size"),
        Column("head", LargeBinary),
        sqlite_strict=True,
    )
    op.create_index("logs_by_origin", "logs", ["origin"], unique=True)
    op.create_table(
        "heads",
        Column("log", _NUMBER, ForeignKey("logs.id"), nullable=False, primary_key=True, autoincrement=False),
        _number("size", primary_key=True),
        Column("note", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "entries",
        _number("id", primary_key=True),
        Column("log", _NUMBER, ForeignKey("logs.id"), nullable=False),
        _number("idx"),
        _hash("hash"),
        Column("leaf", LargeBinary, nullable=False),
        _hash("issuer", nullable=True),
        Column("sequence", _NUMBER),
        _hash("target", nullable=True),
        Column("kind", _NUMBER),
        _hash("organisation", nullable=True),
        _hash("claim", nullable=True),
        _number("seen_at"),
        Column("stamped_at", _NUMBER),
        Column("signers", LargeBinary, nullable=False),
        Column("shown", LargeBinary, nullable=False),
        Column("counts", _NUMBER, CheckConstraint("counts = 1", name="counts_or_null")),
        Column("fault", _WORDS),
        Column("erased_at", _NUMBER),
        _hash("salt", nullable=True),
        Column("envelope", LargeBinary),
        CheckConstraint("(counts IS NULL) = (fault IS NOT NULL)", name="faulty_does_not_count"),
        CheckConstraint(
            "counts IS NULL OR (length(leaf) = 140 AND issuer IS NOT NULL AND sequence IS NOT NULL)",
            name="leaf_counts",
        ),
        CheckConstraint("(envelope IS NULL) = (salt IS NULL)", name="salt_with_envelope"),
        CheckConstraint("erased_at IS NULL OR envelope IS NULL", name="erased_is_gone"),
        sqlite_strict=True,
    )
    op.create_index("entries_by_index", "entries", ["log", "idx"], unique=True)
    op.create_index("entries_by_hash", "entries", ["hash", "counts"], unique=True)
    op.create_index("entries_by_chain", "entries", ["issuer", "log", "counts", "sequence"], unique=True)
    _partial("entries_by_target", ["target", "id"], "target IS NOT NULL AND counts = 1")
    _partial("entries_by_claim", ["claim", "id"], "claim IS NOT NULL AND counts = 1")
    _partial("commitments_by_organisation", ["organisation", "seen_at", "id"], "kind = 8 AND counts = 1")
    _partial("erased_by_hash", ["hash"], "erased_at IS NOT NULL")
    _partial("policies_by_log", ["log", "idx"], "kind = 3 AND counts = 1")
    _partial("entries_by_kind", ["kind", "id"], "counts = 1")
    _partial("faulty_entries", ["log", "fault", "idx"], "counts IS NULL")
    _partial("faulty_entries_by_target", ["target", "id"], "target IS NOT NULL AND counts IS NULL")
    _partial("faulty_entries_by_kind", ["kind", "id"], "counts IS NULL")


def _make_tokens_and_audit() -> None:
    op.create_table(
        "tokens",
        _hash("digest", primary_key=True),
        Column("scopes", Text, nullable=False),
        _hash("organisation", nullable=True),
        Column("network", Text),
        Column("label", Text, nullable=False),
        _number("issued_at"),
        _number("expires_at"),
        Column("revoked_at", _NUMBER),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("tokens_by_organisation", "tokens", ["organisation"])
    op.create_table(
        "audit",
        _number("id", primary_key=True),
        _number("at"),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("outcome", Text, nullable=False),
        sqlite_strict=True,
    )


def _make_derived_tables() -> None:
    op.create_table(
        "names",
        Column("word", _WORDS, nullable=False, primary_key=True),
        _entry(primary_key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("names_by_entry", "names", ["entry", "word"])
    op.create_table(
        "digests",
        _hash("digest", primary_key=True),
        Column("role", _WORDS, nullable=False, primary_key=True),
        _entry(primary_key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vectors",
        _entry(primary_key=True),
        Column("scheme", _WORDS, nullable=False),
        _number("dimension"),
        Column(
            "vector", LargeBinary, CheckConstraint("length(vector) = dimension", name="int8_vector"), nullable=False
        ),
        sqlite_strict=True,
    )
    op.create_index("vectors_by_scheme", "vectors", ["scheme", "dimension", "entry"])
    op.create_table(
        "organisations",
        _hash("hash", primary_key=True),
        _entry(),
        Column("log", _NUMBER, ForeignKey("logs.id"), nullable=False),
        Column("name", Text, nullable=False),
        Column("jurisdiction", Text, nullable=False),
        Column("roots", LargeBinary, nullable=False),
        _number("threshold"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "keys",
        _hash("id", primary_key=True),
        Column("log", _NUMBER, ForeignKey("logs.id"), nullable=False, primary_key=True, autoincrement=False),
        _hash("organisation"),
        _hash("introduced"),
        Column("ed25519", LargeBinary, nullable=False),
        Column("mldsa44", LargeBinary),
        Column("roles", Text, nullable=False),
        Column("is_root", _NUMBER, CheckConstraint("is_root IN (0, 1)", name="root_flag"), nullable=False),
        Column("not_after", _NUMBER),
        Column("revoked_at", _NUMBER),
        Column("compromised_since", _NUMBER),
        Column("trusted_until", _NUMBER),
        sqlite_strict=True,
    )
    op.create_index("keys_by_organisation", "keys", ["organisation"])
    _partial("compromised_keys", ["id", "log"], "compromised_since IS NOT NULL", table="keys")


def _number(name: str, *, primary_key: bool = False) -> Column[Any]:
    return Column(name, _NUMBER, nullable=False, primary_key=primary_key, autoincrement=False)


def _hash(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[Any]:
    length = CheckConstraint(f"length({name}) = 32", name=f"{name}_length")
    return Column(name, LargeBinary, length, nullable=nullable, primary_key=primary_key)


def _entry(*, primary_key: bool = False) -> Column[Any]:
    return Column(
        "entry", _NUMBER, ForeignKey("entries.id"), nullable=False, primary_key=primary_key, autoincrement=False
    )


def _partial(name: str, columns: list[str], condition: str, *, table: str = "entries") -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
