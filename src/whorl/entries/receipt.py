"""Receipts: one file with which a stranger checks an entry offline, and the steps of that check.

A receipt holds the entry, its proof of inclusion with the cosignatures, the entries that say whose key signed it, and
a proof of what the status map says of it. What is trusted beforehand is a policy: which logs and witnesses, how many.
Format and steps: ``docs/specs/receipt.md``.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.entries.anchors import Stamps, TimestampAuthority, check_stamps
from whorl.entries.claimants import Claimant, ProvenStatement, claimant_of
from whorl.entries.kinds import Kind, StatusMapHead
from whorl.entries.leaf import Leaf, entry_id, parse_leaf, require_commitment, sealed_target
from whorl.entries.statement import SignedEntry, Statement, open_entry
from whorl.entries.status_map import Absent, StatusProof, verify_status
from whorl.log.merkle import leaf_hash, verify_inclusion
from whorl.log.policy import Policy, check_tree_head
from whorl.log.proofs import parse_proof
from whorl.log.tree_heads import SignedTreeHead

MAX_RECEIPT_BYTES: Final = 1 << 22
_MAX_AUTHORITY: Final = 8

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class StoredEntry(Document):
    """An entry and the proof that a log has it; without envelope and salt, its content was erased or is not shown."""

    leaf: Base64
    envelope: Base64 | None
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    proof: Annotated[str, Field(max_length=200_000, description="C2SP tlog-proof")]


class StoredStatus(Document):
    """What the status map says of the entry, and the entry that holds the map's root."""

    map: StoredEntry
    authority: Annotated[tuple[StoredEntry, ...], Field(max_length=_MAX_AUTHORITY)]
    proof: StatusProof


class Receipt(StoredDocument):
    """The file: everything that is needed to check one entry but the policy."""

    schema_: Literal["whorl.receipt/1"] = Field(default="whorl.receipt/1", alias="schema")
    entry: StoredEntry
    authority: Annotated[tuple[StoredEntry, ...], Field(max_length=_MAX_AUTHORITY)] = Field(
        description="the organisation's entry, and that of the key that signed, if it is no root key"
    )
    status: StoredStatus | None = None
    timestamps: Annotated[tuple[Base64, ...], Field(max_length=4)] = Field(
        default=(), description="RFC 3161 tokens over the leaf hash"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the status map said of an entry, as of a size of the log.

    Parameters
    ----------
    good : True if nothing speaks against it, False if an entry does, None if the receipt has no status
    against : id of the entry that speaks against it
    log_size, at : the state of the log that the map covers, and when its quorum had cosigned it
    """

    good: bool | None
    against: str | None = None
    log_size: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEntry:
    """What is established once every step has passed.

    Parameters
    ----------
    claimant : who signed, by the organisation's entry; never "owner"
    not_after : when a quorum of witnesses had seen the entry in the log, or two time-stamp authorities its leaf,
        whichever is earlier; None where neither is known
    not_before : when a tree head of another log that the entry quotes was first cosigned; None if it quotes none
    post_quantum : whether an ML-DSA-44 signature of the issuer was checked beside the Ed25519 one
    """

    id: str
    kind: Kind
    statement: Statement
    sealed: bool
    claimant: Claimant
    origin: str
    index: int
    not_after: datetime | None
    not_before: datetime | None
    witnesses: tuple[str, ...]
    post_quantum: bool
    stamps: Stamps
    standing: Standing


class _Trust:
    """The policy, and the tree heads that were checked against it already: proofs of one receipt share them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._checked: dict[bytes, SignedTreeHead] = {}

    def tree_head(self, note: bytes) -> SignedTreeHead:
        if note not in self._checked:
            self._checked[note] = check_tree_head(note, self.policy)
        return self._checked[note]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A leaf that is proven to be in a log, whatever it stands for."""

    leaf: Leaf
    index: int
    size: int
    origin: str
    cosigned_at: dict[str, int]
    quorum_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proven(_Placed):
    """The same with what it stands for."""

    entry: SignedEntry


def parse_receipt(data: bytes, *, origin: str) -> Receipt:
    """Read a receipt; nothing in it is checked yet.

    Raises
    ------
    InputError
        If it is none.
    """
    parse_json_object(data, what=origin, max_bytes=MAX_RECEIPT_BYTES)
    try:
        return Receipt.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"{origin}: expected a receipt of schema whorl.receipt/1, found fault with {first_fault(error)}"
        ) from None


def verify_receipt(
    receipt: Receipt, policy: Policy, *, authorities: Sequence[TimestampAuthority] = ()
) -> VerifiedEntry:
    """Check a receipt against a policy; the steps are those of ``docs/specs/receipt.md``.

    Parameters
    ----------
    policy : the logs, witnesses and quorum that are trusted beforehand
    authorities : the time-stamp authorities that are trusted beforehand; without any, time stamps are not looked at

    Raises
    ------
    VerificationError
        If a step fails; the message names it.
    InputError
        If a part is malformed.
    """
    trust = _Trust(policy)
    # (1) a log of the policy holds the leaf, under a tree head that its quorum cosigned
    # (2) the leaf commits to this envelope, and the statement in it gives this leaf
    _require_content(receipt, trust)
    proven = _proven(receipt.entry, trust, what="entry")
    # (3) the key that signed belongs to an organisation that entered it in the same log before
    authority = [_statement(stored, trust) for stored in receipt.authority]
    claimant = claimant_of(_as_statement(proven), authority)
    # (4) the issuer signed with all of its keys
    proven.entry.require_signed(claimant.keys)
    # (5) what the status map says, and as of when
    standing = Standing(good=None) if receipt.status is None else _standing(receipt.status, proven, trust)
    # (6) it was made after the tree head that it quotes, and before witnesses or time-stamp authorities saw it
    not_before = _not_before(proven, trust)
    tokens = [stored_bytes(token) for token in receipt.timestamps] if authorities else []
    stamps = check_stamps(tokens, proven.leaf.hash, authorities)
    seen = [at for at in (_instant(proven.quorum_at), stamps.not_after) if at is not None]
    not_after = min(seen, default=None)
    if not_before is not None and not_after is not None and not_before > not_after:
        raise VerificationError(
            f"step 6: the entry quotes a tree head that was first cosigned at {_shown(not_before)}, yet was seen "
            f"by {_shown(not_after)}: the witnesses contradict each other, and its time is not established"
        )
    return VerifiedEntry(
        id=entry_id(proven.leaf.hash),
        kind=proven.entry.statement.kind,
        statement=proven.entry.statement,
        sealed=proven.leaf.leaf_class == "sealed",
        claimant=claimant,
        origin=proven.origin,
        index=proven.index,
        not_after=not_after,
        not_before=not_before,
        witnesses=tuple(proven.cosigned_at),
        post_quantum=any(key.algorithm == "mldsa44" for key in claimant.keys),
        stamps=stamps,
        standing=standing,
    )


def stored_bytes(text: str) -> bytes:
    """Bytes of a base64 field.

    Raises
    ------
    InputError
        If it is not canonical base64.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise InputError("receipt: expected canonical base64, found something else; fetch the receipt again")
    return data


def _placed(stored: StoredEntry, trust: _Trust) -> _Placed:
    leaf_bytes = stored_bytes(stored.leaf)
    proof = parse_proof(stored.proof)
    opened = trust.tree_head(proof.tree_head_note)
    verify_inclusion(leaf_hash(leaf_bytes), proof.index, opened.head.size, proof.path, opened.head.root)
    times = trust.policy.times(opened.cosigned)
    return _Placed(
        leaf=parse_leaf(leaf_bytes),
        index=proof.index,
        size=opened.head.size,
        origin=opened.head.origin,
        cosigned_at=times,
        quorum_at=trust.policy.quorum_at(times),
    )


def _proven(stored: StoredEntry, trust: _Trust, *, what: str) -> _Proven:
    placed = _placed(stored, trust)
    leaf = placed.leaf
    if stored.envelope is None or stored.salt is None:
        raise VerificationError(f"step 2: the content of the {what} {entry_id(leaf.hash)} is not in the receipt")
    envelope, salt = stored_bytes(stored.envelope), bytes.fromhex(stored.salt)
    require_commitment(leaf, envelope, salt=salt)
    entry = open_entry(envelope)
    if leaf.leaf_class == "public":
        fits = entry.leaf(salt) == leaf
    else:  # the bureau's chain and no kind: only the target can be compared
        fits = leaf.target == sealed_target(entry.statement.target, salt=salt)
    if not fits:
        raise VerificationError(
            f"step 2: the {what} {entry_id(leaf.hash)} says something else than its leaf in the log; refuse it"
        )
    if entry.statement.log != placed.origin:
        raise VerificationError(
            f"step 2: the {what} {entry_id(leaf.hash)} was signed for {entry.statement.log}, and stands in "
            f"{placed.origin}, where it does not count; refuse it"
        )
    return _Proven(
        leaf=leaf,
        entry=entry,
        index=placed.index,
        size=placed.size,
        origin=placed.origin,
        cosigned_at=placed.cosigned_at,
        quorum_at=placed.quorum_at,
    )


def _require_content(receipt: Receipt, trust: _Trust) -> None:
    """Refuse a receipt without the entry's content, saying what is known without it."""
    if receipt.entry.envelope is not None and receipt.entry.salt is not None:
        return
    placed = _placed(receipt.entry, trust)
    known = "its standing is unknown"
    if receipt.status is not None:
        standing = _standing(receipt.status, placed, trust)
        known = "nothing speaks against it" if standing.good else f"entry {standing.against} speaks against it"
        known += f", as of log size {standing.log_size}"
    raise VerificationError(
        f"step 2: entry {entry_id(placed.leaf.hash)} is number {placed.index} of {placed.origin}, and its content is "
        f"not in the receipt: it was erased, is hidden, or is not for you to see; {known}"
    )


def _statement(stored: StoredEntry, trust: _Trust) -> ProvenStatement:
    return _as_statement(_proven(stored, trust, what="authority"))


def _as_statement(proven: _Proven) -> ProvenStatement:
    return ProvenStatement(hash=proven.leaf.hash, origin=proven.origin, index=proven.index, entry=proven.entry)


def _standing(status: StoredStatus, proven: _Placed, trust: _Trust) -> Standing:
    head = _proven(status.map, trust, what="status map")
    body = head.entry.statement.body
    if not isinstance(body, StatusMapHead) or head.origin != proven.origin or head.leaf.leaf_class != "public":
        raise VerificationError(
            "step 5: expected the root of a status map in the log that holds the entry, found another entry"
        )
    # Mirrors check the last entry of the tree heads that they cosign: an older map says nothing of what came since.
    if head.index != head.size - 1 or body.log_size != head.index:
        raise VerificationError(
            f"step 5: expected a status map of all {head.size - 1} entries before the last one, which it is itself, "
            f"found number {head.index}, of the first {body.log_size} entries; fetch the receipt again"
        )
    if head.index <= proven.index:
        raise VerificationError(
            f"step 5: expected a status map after entry {proven.index}, found number {head.index}; fetch the "
            "receipt again"
        )
    authority = [_statement(stored, trust) for stored in status.authority]
    issuer = claimant_of(_as_statement(head), authority)
    head.entry.require_signed(issuer.keys)
    if not any(one.index == 0 and entry_id(one.hash) == issuer.organisation for one in authority):
        raise VerificationError(
            "step 5: expected a status map by the bureau that runs the log, whose organisation is its first entry, "
            f"found one by {issuer.name!r}"
        )
    found = verify_status(status.proof, proven.leaf.hash, root=bytes.fromhex(body.root), size=body.size)
    return Standing(
        good=isinstance(found, Absent),
        against=None if isinstance(found, Absent) else entry_id(found.value),
        log_size=body.log_size,
        at=_instant(head.quorum_at),
    )


def _not_before(proven: _Proven, trust: _Trust) -> datetime | None:
    quoted = proven.entry.statement.after
    if quoted is None:
        return None
    opened = trust.tree_head(quoted.encode())
    if opened.head.origin == proven.origin:
        raise VerificationError(
            "step 6: expected a tree head of another log, found one of the log that holds the entry: its operator "
            "could have known the root before"
        )
    # The first to cosign, whoever that is: a witness that lies can only make the bound weaker.
    return _instant(min(trust.policy.times(opened.cosigned).values(), default=None))


def _shown(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _instant(seconds: int | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise VerificationError(f"a witness states a time of {seconds} seconds, which is no date") from None


def encode(data: bytes) -> str:
    """Bytes as a base64 field."""
    return base64.b64encode(data).decode()


def write_receipt(
    entry: StoredEntry,
    authority: Sequence[StoredEntry],
    status: StoredStatus | None,
    timestamps: Sequence[bytes] = (),
) -> bytes:
    """The bytes of a receipt file."""
    receipt = Receipt(
        entry=entry, authority=tuple(authority), status=status, timestamps=tuple(encode(one) for one in timestamps)
    )
    return receipt.model_dump_json(indent=1).encode() + b"\n"
