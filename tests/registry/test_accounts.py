"""Tokens open what they say and no longer than they say; the audit trail tells what was done."""

import re
import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from sample_entries import WHEN
from sqlalchemy import select, text

from whorl.registry.accounts import (
    LONGEST_LIFE,
    AuditRecord,
    Grant,
    TokenError,
    audit_trail,
    issue_token,
    open_token,
    record_audit,
    revoke_token,
    tokens_of,
)
from whorl.registry.database import Database
from whorl.registry.database_errors import RegistryError
from whorl.registry.tables import tokens

LATER = WHEN + timedelta(days=30)
ORGANISATION = b"o" * 32


def issue(database: Database, **changes: object) -> str:
    options: dict[str, object] = {
        "scopes": frozenset({"read", "submit"}),
        "organisation": ORGANISATION,
        "label": "build server",
        "now": WHEN,
        "expires_at": LATER,
        "random_bytes": secrets.token_bytes,
    }
    with database.writing() as connection:
        return issue_token(connection, **{**options, **changes})  # type: ignore[arg-type]


def use(database: Database, token: str, *, days: float = 1, address: str | None = "192.0.2.7") -> Grant:
    with database.reading() as connection:
        return open_token(connection, token, now=WHEN + timedelta(days=days), address=address)


def test_a_token_opens_what_it_says_and_is_not_kept(database: Database) -> None:
    token = issue(database)
    assert re.fullmatch(r"whorl_[a-z2-7]{52}", token)  # 256 bits
    grant = use(database, token)
    assert grant.scopes == {"read", "submit"}
    assert (grant.organisation, grant.network, grant.label) == (ORGANISATION, None, "build server")
    assert (grant.issued_at, grant.expires_at, grant.revoked_at) == (WHEN, LATER, None)
    with database.reading() as connection:
        row = connection.execute(select(tokens)).one()
    assert token.removeprefix("whorl_").encode() not in b"".join(
        part if isinstance(part, bytes) else str(part).encode() for part in row
    )
    assert grant.id not in token


@pytest.mark.parametrize(
    "shown", ["", "whorl_", "whorl_" + "a" * 52, "\udcff", "x" * 100_000, "whorl_\x00", "' OR 1=1 --"]
)
def test_what_is_no_token_opens_nothing(database: Database, shown: str) -> None:
    token = issue(database)
    for text_shown in (shown, token[:-1], token.upper(), token + " ", "x" + token):
        with pytest.raises(TokenError, match="found an unknown one"):
            use(database, text_shown)


def test_two_tokens_are_never_the_same(database: Database) -> None:
    assert issue(database) != issue(database)
    with database.reading() as connection:
        assert len(tokens_of(connection, ORGANISATION)) == 2
        assert tokens_of(connection, b"p" * 32) == []


def test_a_token_ends_when_it_says(database: Database) -> None:
    token = issue(database)
    assert use(database, token, days=29.999).label == "build server"
    for days in (30, 31, 4000):
        with pytest.raises(TokenError, match="found one that expired at 2026-03-31"):
            use(database, token, days=days)


def test_a_token_that_was_revoked_opens_nothing(database: Database) -> None:
    token, other = issue(database), issue(database)
    grant = use(database, token)
    with database.writing() as connection:
        assert revoke_token(connection, grant.id, now=WHEN + timedelta(days=2))
        assert not revoke_token(connection, grant.id, now=WHEN + timedelta(days=3))
        assert not revoke_token(connection, "ab" * 32, now=WHEN)
        with pytest.raises(RegistryError, match="expected a token's id of 64 hex digits"):
            revoke_token(connection, token, now=WHEN)
        revoked = replace(grant, revoked_at=WHEN + timedelta(days=2))
        assert revoked in tokens_of(connection, ORGANISATION)
    with pytest.raises(TokenError, match="found one that was revoked"):
        use(database, token)
    assert use(database, other).id != grant.id


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.9"], ["192.0.3.0", "2001:db8::1", "", "x", None]),
        ("2001:db8::/32", ["2001:db8::1"], ["2001:db9::1", "192.0.2.1", None]),
        ("198.51.100.7", ["198.51.100.7"], ["198.51.100.8"]),
    ],
)
def test_a_token_can_be_tied_to_a_network(
    database: Database, network: str, inside: list[str], outside: list[str | None]
) -> None:
    token = issue(database, network=network)
    for address in inside:
        assert use(database, token, address=address).network is not None
    for address in outside:
        with pytest.raises(TokenError, match="found it coming from another address"):
            use(database, token, address=address)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expires_at": WHEN}, "expected a token that expires within 366 days"),
        ({"expires_at": WHEN + LONGEST_LIFE + timedelta(seconds=1)}, "expected a token that expires within 366 days"),
        ({"network": "192.0.2.1/24"}, "expected a network such as"),
        ({"network": "everywhere"}, "expected a network such as"),
    ],
)
def test_tokens_that_cannot_be_are_not_issued(database: Database, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        issue(database, **changes)
    with database.reading() as connection:
        assert connection.execute(select(tokens)).all() == []


def test_a_scope_that_nobody_gave_is_damage(database: Database) -> None:
    token = issue(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE tokens SET scopes = 'read everything'"))
    with pytest.raises(RegistryError, match="unknown scope 'everything'"):
        use(database, token)


def test_the_audit_trail_is_told_backwards(database: Database) -> None:
    with database.writing() as connection:
        for number in range(5):
            record_audit(
                connection,
                at=WHEN + timedelta(seconds=number),
                actor=f"token {number}",
                action="submit",
                subject='entry "\x00\n{NULL}\u202e' + "x" * 600,
                outcome="refused",
            )
    with database.reading() as connection:
        trail = audit_trail(connection)
        assert [record.number for record in trail] == [5, 4, 3, 2, 1]
        assert audit_trail(connection, most=2) == trail[:2]
        assert audit_trail(connection, before=4, most=2) == trail[2:4]
        assert trail[4] == AuditRecord(
            number=1,
            at=WHEN,
            actor="token 0",
            action="submit",
            subject='entry "\ufffd\ufffd{NULL}\ufffd'.ljust(500, "x"),
            outcome="refused",
        )


def test_what_was_rolled_back_is_not_told(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        _record_and_fail(connection)
    with database.reading() as connection:
        assert audit_trail(connection) == []


def _record_and_fail(connection: object) -> None:
    record_audit(connection, at=WHEN, actor="a", action="b", subject="c", outcome="d")  # type: ignore[arg-type]
    raise ZeroDivisionError
