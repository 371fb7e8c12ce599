"""A small registry's entries, signed for real: an organisation, its key, models, fingerprints, a notice."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from whorl.entries.handling import CLEAR
from whorl.entries.keys import IssuerKey, encode_public, new_issuer_key
from whorl.entries.kinds import Body, Fingerprint, IssuerPublic, Kind, Model, Organisation
from whorl.entries.leaf import NO_HASH, Leaf, commitment, sealed_target
from whorl.entries.statement import Statement, open_entry
from whorl.entries.subject import subject_of
from whorl.registry.entry_rows import insert_entries
from whorl.registry.log_rows import add_log, stored_log
from whorl.registry.replaying import replay
from whorl.registry.stored_entry import StoredEntry

ORIGIN = "bureau.example/north"
WHEN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def issuer(number: int, *, post_quantum: bool = False) -> IssuerKey:
    return new_issuer_key(lambda size: hashlib.shake_256(b"%d" % number).digest(size), post_quantum=post_quantum)


def public(key: IssuerKey) -> IssuerPublic:
    return IssuerPublic(
        ed25519=encode_public(key.ed25519.public),
        mldsa44=None if key.mldsa44 is None else encode_public(key.mldsa44.public),
    )


@dataclass
class Entrant:
    """An issuer who signs one entry after another; what it makes counts unless a fault is given."""

    key: IssuerKey
    organisation: bytes | None = None
    chain: list[bytes] = field(default_factory=list)
    count: int = 0

    def entry(
        self,
        kind: Kind,
        body: Body,
        *,
        origin: str = ORIGIN,
        index: int = 0,
        target: bytes = NO_HASH,
        seconds: int = 0,
        sealed: bool = False,
        fault: str | None = None,
        claim: bytes | None = None,
    ) -> StoredEntry:
        name, subject = subject_of(body, body.model_dump(mode="json"))
        statement = Statement(
            kind=kind,
            name=name,
            digest=subject,
            log=origin,
            issuer=self.key.id,
            sequence=len(self.chain),
            previous=self.chain[-1] if self.chain else NO_HASH,
            target=target,
            issued_at=WHEN,
            handling=CLEAR,
            after=None,
            body=body,
        )
        self.count += 1
        salt = hashlib.sha256(self.key.id + b"%d" % self.count).digest()
        envelope = statement.sign(self.key)
        leaf = open_entry(envelope).leaf(salt)
        if sealed:
            leaf = Leaf(
                leaf_class="sealed",
                kind=0,
                issuer=leaf.issuer,
                sequence=leaf.sequence,
                previous=leaf.previous,
                target=sealed_target(target, salt=salt),
                commit=commitment(envelope, salt=salt),
            )
        if fault is None:
            self.chain.append(leaf.hash)
        if kind == "organisation":
            self.organisation = leaf.hash
        return StoredEntry(
            origin=origin,
            index=index,
            leaf=leaf.to_bytes(),
            kind=None if sealed else kind,
            organisation=self.organisation,
            envelope=envelope,
            salt=salt,
            seen_at=WHEN + timedelta(seconds=seconds),
            signers=frozenset({self.key.id}),
            claim=claim,
            fault=fault,
        )


def organisation(name: str, *roots: IssuerKey) -> Organisation:
    return Organisation(name=name, jurisdiction="NO", roots=tuple(map(public, roots)))


def model(name: str, *, publisher: str = "Northwind Labs") -> Model:
    return Model(
        publisher=publisher,
        name=name,
        content=digest(f"content of {name}"),
        files={"model.safetensors": digest(f"file of {name}")},
    )


def fingerprint(name: str, vector: bytes = bytes(range(16)), *, scheme: str = "tokens/1") -> Fingerprint:
    return Fingerprint(
        method="whorl.weight-fingerprint/1",
        model_content=digest(f"content of {name}"),
        blob=digest(f"fingerprint of {name}"),
        tool="whorl 0.1.0",
        scheme=scheme,
        vector=base64.b64encode(vector).decode(),
    )


def add(connection: Connection, *entries: StoredEntry, own: bool = True) -> list[StoredEntry]:
    """Add entries at the ends of their logs, whatever their index says, and replay those that count."""
    placed: list[StoredEntry] = []
    numbers: list[int] = []
    for entry in entries:
        add_log(connection, entry.origin, own=own)
        log = stored_log(connection, entry.origin)
        assert log is not None
        placed.append(replace(entry, index=log.size))
        numbers += insert_entries(connection, placed[-1:])
    replay(connection, numbered(numbers, placed))
    return placed


def numbered(numbers: Sequence[int], entries: Sequence[StoredEntry]) -> list[tuple[int, StoredEntry, Statement]]:
    return [
        (number, entry, open_entry(entry.envelope).statement)
        for number, entry in zip(numbers, entries, strict=True)
        if entry.fault is None and entry.envelope is not None
    ]
