"""Whether an entry may be entered into a log: pure rules, the same for a bureau, for its mirrors and for auditors.

In this order; the first that an entry does not fit is the code of its `Refusal`.

1. The leaf says what the statement says; that it commits to the envelope is for `whorl.entries.leaf`. What others are
   judged by is for everybody to see.
2. The issuer is known. An organisation introduces its own root keys.
3. Every key of the issuer signed, and every key that the entry introduces; leaving out ML-DSA-44 is no choice.
4. The key was not revoked.
5. Its role fits the kind of the entry, or the vote.
6. An entry of a root key is signed by as many root keys as its organisation asks for.
7. It was signed for this log.
8. The entry is the next in the issuer's chain: replay, equivocation, gap and a wrong previous leaf are told apart.
9. The log has a policy; only its bureau enters policies and status maps.
10. The key has not expired, and the entry is not issued more than ten minutes ahead.
11. The target is known and of a kind that fits.
12. The subject is the issuer's to speak of: keys, content, commitments, openings, parties.
13. A notice brings what it needs: findings, independent examiners, all tests counted, a claim not made before.
14. Nobody votes in their own case.

Rules 1 to 9 are asked of the entry's own log alone: every bureau that reads it comes to the same. The others look at
clocks, at other logs, and at what other entries say, which not everybody is shown.

Details and codes: ``docs/specs/admission.md``.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from whorl.entries.kinds import KIND_NUMBERS, Kind, Organisation, Status
from whorl.entries.leaf import Leaf
from whorl.entries.statement import SignedEntry
from whorl.registry.candidate import (
    Candidate,
    chamber_signers,
    complete_signers,
    require_fitting_leaf,
    require_issuer_signed,
    require_next_in_chain,
    require_not_ahead,
    require_not_expired,
    require_not_revoked,
    require_possession,
    require_role,
    root_signers,
    stated_keys,
)
from whorl.registry.refusals import Refusal
from whorl.registry.subjects import known_target, require_fitting_subject
from whorl.registry.view import KeyFacts, OrganisationFacts, View
from whorl.registry.votes import is_bureau
from whorl.registry.voting import require_admissible_vote

_NOT_SEALED: Final[frozenset[Kind]] = frozenset(
    {"organisation", "key", "policy", "statusmap", "status", "dispute", "response", "opening"}
)
_PUBLIC: Final[frozenset[Kind]] = frozenset({"organisation", "key", "policy", "statusmap", "status", "dispute"})
_BEFORE_POLICY: Final[frozenset[Kind]] = frozenset({"organisation", "key", "policy"})
_OF_ITS_LOG: Final[frozenset[Kind]] = frozenset({"key", "policy", "statusmap"})

PUBLIC_NUMBERS: Final = frozenset(KIND_NUMBERS[kind] for kind in _PUBLIC)
"""Kinds, as leaves number them, whose content everybody may see and no mirror can do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An entry that fits the rules.

    Parameters
    ----------
    organisation : leaf hash of the entry of the issuer's organisation
    signers : ids of the issuers that signed and count: the issuer, further root keys; in votes of the chamber, further
        keys that may sign such votes in this log
    """

    organisation: bytes
    signers: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An entry that keeps the rules of its own log, 1 to 9.

    Parameters
    ----------
    candidate : what the other rules are asked of; None for an organisation's entry, for which there are no others
    """

    admitted: Admitted
    candidate: Candidate | None


def admit(
    entry: SignedEntry, leaf: Leaf, view: View, *, origin: str, index: int, at: datetime, replaying: bool = False
) -> Admitted:
    """Check an entry against the rules.

    Parameters
    ----------
    view : the state before this entry
    origin, index : the log that takes the entry, and where
    at : the time by the clock of the bureau that takes it. A mirror gives a time by which the entry was surely not
        yet in the log, such as that of its look at the log before: then no rule of time fails that need not have
    replaying : whether a mirror asks. What only the bureau that takes an entry can know is then left to it: whether
        the issuer's clock was ahead, how many commitments came within 30 days, and whether numbers are missing in the
        issuer's chain, as entries that are not shown to the mirror, or that it holds back, are missing there

    Raises
    ------
    Refusal
        With the code of the first rule that does not hold.
    """
    placed = place(entry, leaf, view, origin=origin, index=index, at=at, replaying=replaying)
    if placed.candidate is not None:
        require_timely(placed.candidate)
        require_fitting(placed.candidate)
    return placed.admitted


def place(
    entry: SignedEntry, leaf: Leaf, view: View, *, origin: str, index: int, at: datetime, replaying: bool = False
) -> Placed:
    """Check an entry against the rules of its own log.

    Parameters
    ----------
    view, origin, index, at, replaying : as in `admit`

    Raises
    ------
    Refusal
        With the code of the first rule that does not hold; always a certain one.
    """
    # (1) the leaf
    require_fitting_leaf(entry.statement, leaf)
    _require_public(entry)
    if isinstance(entry.statement.body, Organisation):
        admitted = _admit_organisation(entry, entry.statement.body, leaf, view, origin=origin, replaying=replaying)
        return Placed(admitted=admitted, candidate=None)
    # (2) the issuer
    candidate = candidate_of(entry, leaf, view, origin=origin, index=index, at=at, replaying=replaying)
    # (3) to (6) the signatures
    require_issuer_signed(candidate)
    require_not_revoked(candidate.issuer, origin=origin, index=index)
    require_role(candidate)
    roots = root_signers(candidate)
    chamber = chamber_signers(candidate)
    # (7) log, (8) chain, (9) policy, (12) subjects of the log itself
    _require_this_log(entry, origin)
    require_next_in_chain(leaf, entry.statement, view, origin=origin, replaying=replaying)
    if candidate.statement.kind not in _BEFORE_POLICY:
        candidate.policy()
    if candidate.statement.kind in _OF_ITS_LOG:
        require_fitting_subject(candidate, None)
    signers = frozenset({candidate.statement.issuer}) | roots | chamber
    return Placed(admitted=Admitted(organisation=candidate.organisation.hash, signers=signers), candidate=candidate)


def candidate_of(
    entry: SignedEntry, leaf: Leaf, view: View, *, origin: str, index: int, at: datetime, replaying: bool
) -> Candidate:
    """An entry with its issuer, which its log knows (2).

    Raises
    ------
    Refusal
        If the log does not know the key.
    """
    issuer, organisation = _issuer(entry.statement.issuer, view, origin=origin)
    return Candidate(
        entry=entry,
        leaf=leaf,
        issuer=issuer,
        organisation=organisation,
        view=view,
        origin=origin,
        index=index,
        at=at,
        replaying=replaying,
    )


def require_timely(candidate: Candidate) -> None:
    """Check what clocks say (10)."""
    require_not_expired(candidate.issuer, at=candidate.at)
    require_not_ahead(candidate)


def require_fitting(candidate: Candidate) -> None:
    """Check the rules that look at other entries, of whichever log (11 to 14).

    Raises
    ------
    Refusal
        With the code of the first rule that does not hold. A mirror that reads other logs can ask again later.
    """
    if candidate.statement.kind in _OF_ITS_LOG:
        return
    target = known_target(candidate)
    require_fitting_subject(candidate, target)
    if isinstance(candidate.statement.body, Status):
        assert target is not None
        require_admissible_vote(candidate, target)


def admit_sealed(leaf: Leaf, view: View, *, origin: str, index: int, at: datetime, replaying: bool = False) -> Admitted:
    """Check a sealed leaf, which shows nothing but the key of the bureau that took it and its place in that chain.

    Parameters
    ----------
    view, origin, index, at, replaying : as in `admit`

    Raises
    ------
    Refusal
        If it is not the next leaf of a key in force of the bureau that runs the log.
    """
    if leaf.leaf_class != "sealed":
        raise Refusal("leaf_mismatch", "expected a sealed leaf, found a public one, which needs its envelope")
    key, organisation = _issuer(leaf.issuer, view, origin=origin)
    require_not_revoked(key, origin=origin, index=index)
    if not is_bureau(organisation, index, view) or not (key.is_root or "bureau" in key.roles):
        raise Refusal("not_the_bureau", f"expected a sealed leaf under a key of the bureau of {origin}, found another")
    require_next_in_chain(leaf, None, view, origin=origin, replaying=replaying)
    require_not_expired(key, at=at)
    return Admitted(organisation=organisation.hash, signers=frozenset())


def require_sealable(entry: SignedEntry, view: View, *, origin: str, index: int, at: datetime) -> None:
    """Check what is to be sealed, which only the bureau that takes it can see.

    Raises
    ------
    Refusal
        If no key in force of this log signed it, it stands in its issuer's chain (where the gap would show), or it is
        of a kind that others are checked with.
    """
    key, organisation = _issuer(entry.statement.issuer, view, origin=origin)
    if entry.statement.issuer not in complete_signers(entry, [key.public]):
        raise Refusal("missing_signature", "expected a signature with every key of the issuer, found one missing")
    require_not_revoked(key, origin=origin, index=index)
    require_not_expired(key, at=at)
    _require_this_log(entry, origin)
    if key.is_root and organisation.threshold > 1:
        raise Refusal("too_few_roots", "expected a signing key of the organisation, found one of its root keys")
    if entry.statement.sequence != 0:
        raise Refusal("sealed_chain", "expected a sealed entry to stand in no chain (sequence 0), found one that does")
    if entry.statement.kind in _NOT_SEALED:
        raise Refusal("sealed_kind", f"expected an entry that can be sealed, found one of kind {entry.statement.kind}")


def _require_this_log(entry: SignedEntry, origin: str) -> None:
    """What was signed for one log fits no other, so that nobody enters it there for its issuer."""
    if entry.statement.log != origin:
        raise Refusal(
            "wrong_log",
            f"expected an entry that was signed for {origin}, found one for {entry.statement.log}; enter it there, or "
            "sign one that names this log",
        )


def _require_public(entry: SignedEntry) -> None:
    """No mirror could tell why an entry lost its standing, or who may sign, by an entry that it may not see."""
    if entry.statement.kind in _PUBLIC and entry.statement.handling.label != "clear":
        raise Refusal(
            "not_public",
            f"expected the label `clear` on an entry of kind {entry.statement.kind}, by which others are judged, found "
            f"`{entry.statement.handling.label}`; enter it for everybody to see",
        )


def _admit_organisation(
    entry: SignedEntry, body: Organisation, leaf: Leaf, view: View, *, origin: str, replaying: bool
) -> Admitted:
    """An organisation introduces its root keys: its first root issues it, and all of them sign, spare ones too."""
    roots = [stated_keys(root) for root in body.roots]
    if entry.statement.issuer != roots[0][0].id:
        raise Refusal(
            "unknown_issuer",
            "expected an organisation's entry to be issued by its first root key, found another issuer",
        )
    signers = require_possession(entry, roots)
    _require_this_log(entry, origin)
    require_next_in_chain(leaf, entry.statement, view, origin=origin, replaying=replaying)
    if entry.statement.sequence != 0 or any(view.key(root[0].id, origin=origin) is not None for root in roots):
        raise Refusal("key_known", "expected root keys that are new to this log, found one that is known; draw others")
    return Admitted(organisation=leaf.hash, signers=signers)


def _issuer(key_id: bytes, view: View, *, origin: str) -> tuple[KeyFacts, OrganisationFacts]:
    key = view.key(key_id, origin=origin)
    organisation = None if key is None else view.organisation(key.organisation)
    if key is None or organisation is None:
        homes = [log for log in view.logs_of(key_id) if log != origin]
        if homes:
            raise Refusal(
                "wrong_log",
                f"expected an entry of an organisation at home in {origin}, found a key of one at home in "
                f"{', '.join(homes)[:300]}; enter it there, and the bureau of this log will mirror it",
            )
        raise Refusal(
            "unknown_issuer",
            f"expected a key that an organisation of this log entered before, found {key_id.hex()[:16]}...; register "
            "the organisation, or let its root keys add this key",
        )
    return key, organisation
