"""How well a claim on a model is backed: levels L0 to L4, each with its reasons. A claimant is never called owner.

=====  ==========================================================================================================
L0     the claimant says so
L1     a bureau verified the claimant's organisation
L2     somebody else, a bureau or an examiner that one verified, took a fingerprint of the claimed content
L3     two of them did, of different organisations at home with different bureaus
L4     the claimant sealed the content before its first release, and before anybody else claimed it, and opened it
=====  ==========================================================================================================

A level says what was shown of the claim, not that it is true: anybody can have a fingerprint taken of open weights.
Claims on one content or name stand side by side, the earliest evidence first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from whorl.entries.kinds import Fingerprint, Model, parse_instant
from whorl.registry.findings import EVER
from whorl.registry.parties import persons_beside
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import acts_as, flaw_of, is_vouched_for, verified_by

Level: TypeAlias = Literal[0, 1, 2, 3, 4]

_INDEPENDENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One reason for a level, and the leaf hashes of the entries that give it."""

    level: Level
    because: str
    by: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimantLevel:
    """What backs one claim on a model.

    Parameters
    ----------
    model : leaf hash of the claim
    claimant : leaf hash of the organisation that made it
    grounds : all that was found, lowest level first; L0 always
    earliest : when this bureau first saw the claim, or what was sealed for it
    """

    model: bytes
    claimant: bytes | None
    grounds: tuple[Ground, ...]
    earliest: datetime

    @property
    def level(self) -> Level:
        """The highest level that is backed."""
        return self.grounds[-1].level


def claimant_level(model: EntryFacts, view: View) -> ClaimantLevel:
    """What backs a claim on a model."""
    self_declared = Ground(level=0, because="the claimant says so", by=(model.hash,))
    sealed = _sealed_before_release(model, view)
    found = (self_declared, _verified(model, view), *_fingerprinted(model, view), None if sealed is None else sealed[0])
    return ClaimantLevel(
        model=model.hash,
        claimant=model.organisation,
        grounds=tuple(ground for ground in found if ground is not None),
        earliest=model.seen_at if sealed is None else min(model.seen_at, sealed[1]),
    )


def competing_claims(models: Iterable[EntryFacts], view: View) -> tuple[ClaimantLevel, ...]:
    """Claims on one content or one name, side by side, earliest evidence first; none is left out and none wins.

    Parameters
    ----------
    models : entries found under one content digest or one name
    """
    claims = (claimant_level(model, view) for model in models)
    return tuple(sorted(claims, key=lambda claim: (claim.earliest, claim.model)))


def _verified(model: EntryFacts, view: View) -> Ground | None:
    by = () if model.organisation is None else verified_by(model.organisation, view)
    return Ground(level=1, because="a bureau verified the claimant's organisation", by=by) if by else None


def _fingerprinted(model: EntryFacts, view: View) -> Sequence[Ground]:
    """L2 and L3: fingerprints of the claimed content, entered on this claim by others than the claimant."""
    content = _content(model)
    about = () if content is None else view.about(model.hash, "fingerprint")
    taken = [entry for entry in about if _is_recomputed(entry, model, view)]
    if not taken:
        return []
    by = tuple(entry.hash for entry in taken)
    grounds = [Ground(level=2, because="somebody else took a fingerprint of the claimed content", by=by)]
    independent = persons_beside(taken, frozenset(), view)
    if independent >= _INDEPENDENT and len({entry.origin for entry in taken}) >= 2:
        because = "organisations at home with different bureaus took fingerprints of the claimed content"
        grounds.append(Ground(level=3, because=because, by=by))
    return grounds


def _is_recomputed(entry: EntryFacts, model: EntryFacts, view: View) -> bool:
    body = None if entry.statement is None else entry.statement.body
    own = frozenset() if model.organisation is None else frozenset({model.organisation})
    return (
        isinstance(body, Fingerprint)
        and body.model_content == _content(model)
        and entry.organisation is not None
        and persons_beside([entry], own, view) == 1
        and (acts_as("bureau", entry, view) or acts_as("examiner", entry, view))
        and is_vouched_for(entry, view)
        and flaw_of(entry, view) is None
    )


def _sealed_before_release(model: EntryFacts, view: View) -> tuple[Ground, datetime] | None:
    """L4, and since when: the first of the claimant's commitments that shows the content and came before all else."""
    content = _content(model)
    if content is None or model.organisation is None or _released(model) is None:
        return None
    others = [claim.seen_at for claim in view.models(content) if claim.organisation != model.organisation]
    before = min([_released(model) or model.seen_at, *others])
    for commitment in sorted(view.commitments(model.organisation, EVER), key=lambda one: (one.seen_at, one.hash)):
        opened = [
            entry.hash
            for entry in view.about(commitment.hash, "opening")
            if entry.kind == "opening" and content in entry.shown and flaw_of(entry, view) is None
        ]
        if opened and commitment.seen_at < before and flaw_of(commitment, view) is None:
            because = (
                "the claimant sealed the content before its release, as the claimant dates it, and opened it later"
            )
            return Ground(level=4, because=because, by=(commitment.hash, *opened)), commitment.seen_at
    return None


def _content(model: EntryFacts) -> str | None:
    body = None if model.statement is None else model.statement.body
    return body.content if isinstance(body, Model) else None


def _released(model: EntryFacts) -> datetime | None:
    body = None if model.statement is None else model.statement.body
    return parse_instant(body.released) if isinstance(body, Model) and body.released is not None else None
