"""An entry that wants to be admitted, and the rules on who signs it and where it stands in its issuer's chain."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.entries import claimants
from whorl.entries.claimants import issuer_keys
from whorl.entries.keys import PublicKey
from whorl.entries.kinds import KIND_NUMBERS, IssuerPublic, Kind, Policy, Role, State, Status
from whorl.entries.leaf import NO_HASH, Leaf, entry_id
from whorl.entries.statement import SignedEntry, Statement
from whorl.registry.parties import owners_of, with_sharing
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts, KeyFacts, OrganisationFacts, View

CLOCKS_DIFFER: Final = timedelta(minutes=10)

ROLES: Final[dict[Kind, frozenset[Role]]] = {
    "organisation": frozenset(),
    "key": frozenset(),
    "policy": frozenset(),
    "model": frozenset({"submitter"}),
    "dataset": frozenset({"submitter"}),
    "fingerprint": frozenset({"submitter", "examiner", "bureau"}),
    "finding": frozenset({"examiner"}),
    "commitment": frozenset({"submitter", "examiner"}),
    "opening": frozenset({"submitter", "examiner"}),
    "notice": frozenset({"submitter", "bureau"}),
    "response": frozenset({"submitter", "bureau"}),
    "dispute": frozenset({"submitter", "bureau"}),
    "statusmap": frozenset({"bureau"}),
}
STATE_ROLES: Final[dict[State, frozenset[Role]]] = {
    "verified": frozenset({"bureau"}),
    "withdrawn": frozenset({"submitter", "examiner", "bureau"}),
    "reviewed": frozenset({"reviewer"}),
    "refused": frozenset({"reviewer"}),
    "dismissed": frozenset({"chamber"}),
    "upheld": frozenset({"chamber"}),
    "annulled": frozenset({"chamber"}),
    "renewed": frozenset({"submitter", "bureau"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A signed entry whose issuer is known, and the log, index and time at which it would be entered."""

    entry: SignedEntry
    leaf: Leaf
    issuer: KeyFacts
    organisation: OrganisationFacts
    view: View
    origin: str
    index: int
    at: datetime
    replaying: bool

    @property
    def statement(self) -> Statement:
        return self.entry.statement

    def shares_a_key_with(self, organisations: Collection[bytes]) -> bool:
        """Whether the issuer's organisation has a key in common with one of these, directly or through a third one.

        The key that signed counts for whoever registered it, whatever is said of it since. This is left to the bureau
        that takes the entry: keys can be shared in a log that it had not read yet, and no mirror that read it first may
        find the entry, or what is said about it, inadmissible for that.
        """
        if self.replaying:
            return False
        own = owners_of([self.statement.issuer], self.view) | with_sharing([self.organisation.hash], self.view)
        return not own.isdisjoint(with_sharing(organisations, self.view))

    def policy(self) -> Policy:
        """The policy in force in the log; every kind but the first three needs one."""
        found = self.view.policy(self.origin, self.index)
        if found is None:
            raise Refusal(
                "no_policy",
                f"expected a policy in force in {self.origin}, found none; its bureau enters organisation, keys and "
                "policy before anything else",
            )
        return found


def unreadable(digest: bytes, entry: EntryFacts | None) -> Refusal:
    """The refusal of what speaks of an entry, where a rule asks what that says and nobody can tell here."""
    if entry is not None and entry.waits:
        return Refusal(
            "not_yet_readable",
            f"expected what is spoken of to count here, found {entry_id(digest)}, which waits for other logs to be "
            "read; try again later",
        )
    return Refusal(
        "not_readable",
        f"expected what is spoken of to be readable here, found {entry_id(digest)}, which was erased, is not shown to "
        "this bureau or does not count; speak of another entry, or ask a bureau that can read it",
    )


def readable_notice(target: EntryFacts, view: View) -> EntryFacts:
    """The notice that a response, a dispute or a vote is about, by way of a dispute or directly.

    Raises
    ------
    Refusal
        If what it says, or what the dispute says, cannot be read here.
    """
    notice: EntryFacts | None = target
    if target.kind == "dispute":
        if target.statement is None:
            raise unreadable(target.hash, target)
        notice = view.entry(target.statement.target)
    if notice is None or notice.kind != "notice":
        raise unreadable(target.hash, target)
    if notice.statement is None:
        raise unreadable(notice.hash, notice)
    return notice


def require_fitting_leaf(statement: Statement, leaf: Leaf) -> None:
    """That the leaf says what the statement says. That it commits to the envelope is for `require_commitment`."""
    pairs = (
        ("class", "public", leaf.leaf_class),
        ("kind", KIND_NUMBERS[statement.kind], leaf.kind),
        ("issuer", statement.issuer, leaf.issuer),
        ("sequence", statement.sequence, leaf.sequence),
        ("previous leaf", statement.previous, leaf.previous),
        ("target", statement.target, leaf.target),
    )
    for what, said, found in pairs:
        if said != found:
            raise Refusal(
                "leaf_mismatch",
                f"expected a leaf with the statement's {what} ({_shown(said)}), found {_shown(found)}; make the leaf "
                "from the signed statement",
            )


def complete_signers(entry: SignedEntry, issuers: Iterable[Sequence[PublicKey]]) -> frozenset[bytes]:
    """`whorl.entries.claimants.complete_signers`, as a rule of admission.

    Raises
    ------
    Refusal
        If one of the keys is named with a signature that is not its own.
    """
    try:
        return claimants.complete_signers(entry, issuers)
    except VerificationError as error:
        raise Refusal("bad_signature", str(error)) from error


def require_possession(entry: SignedEntry, introduced: Iterable[Sequence[PublicKey]]) -> frozenset[bytes]:
    """Ids of the keys that an entry makes known, all of which signed it: nobody registers the key of somebody else.

    The statement names organisation and log, so the signature is of no use for another one.

    Raises
    ------
    Refusal
        If one of them did not sign, with its ML-DSA-44 key too where it has one.
    """
    wanted = list(introduced)
    signers = complete_signers(entry, wanted)
    missing = [keys[0].id.hex() for keys in wanted if keys[0].id not in signers]
    if missing:
        raise Refusal(
            "missing_signature",
            f"expected every key that the entry makes known to sign it, root keys in reserve too, which shows that its "
            f"holder has it and wants it there; found {len(missing)} that did not with all of its keys, the first "
            f"{missing[0][:16]}...; let its holder sign the entry, or leave it out",
        )
    return signers


def stated_keys(public: IssuerPublic) -> tuple[PublicKey, ...]:
    """The keys that an entry states, Ed25519 first."""
    try:
        return issuer_keys(public)
    except InputError as error:
        raise Refusal("malformed_key", str(error)) from error


def require_issuer_signed(candidate: Candidate) -> None:
    """Signed with all keys of the issuer."""
    if candidate.statement.issuer not in complete_signers(candidate.entry, [candidate.issuer.public]):
        names = " and ".join(key.algorithm for key in candidate.issuer.public)
        raise Refusal(
            "missing_signature",
            f"expected a signature with every key of the issuer ({names}), found one missing; sign with all of them",
        )


def require_not_revoked(key: KeyFacts, *, origin: str, index: int) -> None:
    """The issuer's key was not revoked before this index."""
    if key.revoked_at is not None and index >= key.revoked_at:
        raise Refusal(
            "key_revoked",
            f"expected a key in force, found one revoked at index {key.revoked_at} of {origin}; sign with another key "
            "of the organisation",
        )


def require_not_expired(key: KeyFacts, *, at: datetime) -> None:
    """The issuer's key had not expired."""
    if key.not_after is not None and at > key.not_after:
        raise Refusal(
            "key_expired",
            f"expected a key in force, found one that expired at {key.not_after:%Y-%m-%d %H:%M:%S} UTC; the "
            "organisation's root keys can add a new one",
        )


def require_role(candidate: Candidate) -> None:
    """The key may sign for this kind of entry, or for this vote; a root key may sign for everything."""
    statement = candidate.statement
    what = f"{statement.body.state} vote" if isinstance(statement.body, Status) else statement.kind
    allowed = STATE_ROLES[statement.body.state] if isinstance(statement.body, Status) else ROLES[statement.kind]
    if not candidate.issuer.is_root and not allowed & candidate.issuer.roles:
        raise Refusal(
            "role",
            f"expected a key with the role {_any_of(allowed)} for an entry of kind {what}, found one with "
            f"{_any_of(candidate.issuer.roles)}; sign with another key, or let the root keys add one",
        )


def root_signers(candidate: Candidate) -> frozenset[bytes]:
    """Ids of the root keys in force at this index that signed; for an entry by a root key they reach the threshold."""
    if not candidate.issuer.is_root:
        return frozenset()
    organisation = candidate.organisation
    roots = [candidate.view.key(root, origin=candidate.origin) for root in organisation.roots]
    in_force = [root.public for root in roots if root is not None and _in_force(root, candidate)]
    signers = complete_signers(candidate.entry, in_force)
    if len(signers) < organisation.threshold:
        raise Refusal(
            "too_few_roots",
            f"expected signatures of {organisation.threshold} root keys of {organisation.name!r}, found "
            f"{len(signers)} that are complete; let more of its root keys sign",
        )
    return signers


def chamber_signers(candidate: Candidate) -> frozenset[bytes]:
    """Ids of the keys that signed a vote of the chamber and may do so in this log; others for other entries: none.

    Whether the chamber has these keys, and in whose case they have no vote, is asked when votes are counted
    (`whorl.registry.votes.ruling`). What depends on it must not depend on what a mirror was shown of the case; nor on
    when it looked: the entry's own time says whether a key had expired that signs beside the issuer.
    """
    body = candidate.statement.body
    if not isinstance(body, Status) or "chamber" not in STATE_ROLES[body.state]:
        return frozenset()
    named = [bytes.fromhex(key_id) for key_id, _ in candidate.entry.envelope.signatures]
    known = [candidate.view.key(key_id, origin=candidate.origin) for key_id in named]
    signing = {key.public[0].id: key for key in known if key is not None}
    complete = complete_signers(candidate.entry, [key.public for key in signing.values()])
    at = candidate.statement.issued_at
    return frozenset(
        key_id
        for key_id, key in signing.items()
        if key_id in complete
        and (key.is_root or "chamber" in key.roles)
        and _in_force(key, candidate)
        and (key.not_after is None or at <= key.not_after)
    )


def _in_force(key: KeyFacts, candidate: Candidate) -> bool:
    return key.revoked_at is None or candidate.index < key.revoked_at


def require_next_in_chain(leaf: Leaf, statement: Statement | None, view: View, *, origin: str, replaying: bool) -> None:
    """The entry follows the issuer's last one in this log. Whoever signs two statements of one number equivocates.

    A mirror may lack entries of a log that breaks the rules. To it, an entry fits whose number is free and whose
    neighbour before it, if one stands here, is the one that it names, or else stands in the same log. So a chain leads
    back to what introduced its key, and nobody copies it into another log.

    Parameters
    ----------
    statement : None for a sealed leaf
    """
    if replaying:
        if view.link(leaf.issuer, leaf.sequence, origin=origin) is not None:
            raise _used_number(leaf, statement, view, origin=origin)
        before = view.link(leaf.issuer, leaf.sequence - 1, origin=origin) if leaf.sequence else None
        if before is not None and before != leaf.previous:
            raise _wrong_previous(leaf, before)
        # Or it could be one of another log.
        if leaf.sequence and before is None and not view.holds(leaf.previous, origin=origin):
            raise Refusal(
                "wrong_previous",
                f"expected an entry that names a leaf of its issuer in {origin}, found {_shown(leaf.previous)}, which "
                "does not stand there",
            )
        return
    last = view.chain(leaf.issuer, origin=origin)
    due, previous = (0, NO_HASH) if last is None else (last[0] + 1, last[1])
    if leaf.sequence < due:
        raise _used_number(leaf, statement, view, origin=origin)
    if leaf.sequence > due:
        raise Refusal("gap", f"expected the issuer's entry {due}, found {leaf.sequence}; enter those between first")
    if leaf.previous != previous:
        raise _wrong_previous(leaf, previous)


def standing_organisation(leaf: Leaf, view: View, *, origin: str, index: int) -> bytes | None:
    """Whose entry a leaf shows, if it stands in its log as a mirror sees it; None if it does not.

    It stands if its key is known there, not revoked before, and it is the next of that key's chain: what the leaves and
    keys of the log show, whatever the entry says and whoever is shown it. So it stands for everybody or for nobody.
    """
    key = view.key(leaf.issuer, origin=origin)
    if key is None:
        return None
    try:
        require_not_revoked(key, origin=origin, index=index)
        require_next_in_chain(leaf, None, view, origin=origin, replaying=True)
    except Refusal:
        return None
    return key.organisation


def require_not_ahead(candidate: Candidate) -> None:
    """The issuer's clock is not ahead; only the bureau that takes the entry can tell."""
    ahead = candidate.statement.issued_at - candidate.at
    if not candidate.replaying and ahead > CLOCKS_DIFFER:
        raise Refusal(
            "from_the_future",
            f"expected an entry issued by {candidate.at:%Y-%m-%d %H:%M:%S} UTC, give or take ten minutes, found one of "
            f"{candidate.statement.issued_at:%Y-%m-%d %H:%M:%S}; set the clock and sign again",
        )


def _wrong_previous(leaf: Leaf, previous: bytes) -> Refusal:
    return Refusal(
        "wrong_previous",
        f"expected an entry that names the issuer's leaf before it, {_shown(previous)}, found {_shown(leaf.previous)}; "
        "take the last leaf from this log and sign again",
    )


def _used_number(leaf: Leaf, statement: Statement | None, view: View, *, origin: str) -> Refusal:
    """A replay where the same statement is in the log, or cannot be compared; two different ones are equivocation."""
    digest = view.link(leaf.issuer, leaf.sequence, origin=origin)
    there = None if digest is None else view.entry(digest)
    if there is not None and there.issuer != leaf.issuer:  # another key introduced this one: nothing was signed twice
        return _wrong_previous(leaf, there.hash)
    if there is None or there.statement is None or statement is None or there.statement == statement:
        named = "" if digest is None else f" as {entry_id(digest)}"
        return Refusal(
            "replay",
            f"expected a new entry, found number {leaf.sequence} of this issuer, which is in the log already{named}; "
            "nothing needs to be done",
        )
    return Refusal(
        "equivocation",
        f"expected one entry of number {leaf.sequence} of this issuer, found another one than {entry_id(there.hash)}: "
        "the issuer signed two. Keep both envelopes, they prove it",
    )


def _shown(value: object) -> str:
    return f"{value.hex()[:16]}..." if isinstance(value, bytes) else str(value)


def _any_of(roles: Iterable[Role]) -> str:
    return " or ".join(sorted(roles)) or "root"
