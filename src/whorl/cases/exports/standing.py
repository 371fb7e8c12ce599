"""What an export may say of two models: as much as the opinion in force supports, and nothing without one."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pydantic import Field

from whorl.cases.case import Case, CaseView
from whorl.cases.opining import confirmed_opinion
from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.dossiers.composing import speaks_for
from whorl.dossiers.events import Alternative, CodedMember
from whorl.dossiers.issued_opinion import Issued, issued_opinion
from whorl.dossiers.opinion import Headline, Opinion, Weighed

Support: TypeAlias = Literal["descent", "shared_weights", "learning"]
Kind: TypeAlias = Literal["weights", "learning"]

_OTHER_WAYS_TO_SHARE: Final[tuple[Alternative, ...]] = ("common_ancestor", "reverse_direction")
"""Alternatives under which the two models share trained weights, and the questioned one does not descend."""


class StatedRatio(Document):
    """A ratio of the opinion, log10, as an export shows it: what counts is the bounded value."""

    against: Alternative
    bounded: float = Field(description="after interval and every cap")
    central: float
    lower: float
    upper: float
    caps: dict[str, float]
    families: tuple[int, int]
    population: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An unblinded case and its opinion in force, composed again from the case's own exhibits.

    Parameters
    ----------
    opinion, digest, version : None where no opinion is in force that can be checked
    withheld : then, why; one sentence
    """

    view: CaseView
    questioned: CodedMember
    reference: CodedMember
    opinion: Opinion | None
    digest: str | None
    version: int | None
    withheld: str | None


def standing_of(case: Case) -> Standing:
    """Read a case and check the opinion that an export would repeat.

    Raises
    ------
    InputError
        If the case is not unblinded, what names the models was erased, or an exhibit is missing.
    VerificationError
        If the case does not hold, or the opinion is not the one that follows from it.
    """
    view = case.read()
    questioned, reference = _models(view)
    issued, withheld = _issued(view)
    if issued is None:
        return Standing(
            view=view,
            questioned=questioned,
            reference=reference,
            opinion=None,
            digest=None,
            version=None,
            withheld=withheld,
        )
    return Standing(
        view=view,
        questioned=questioned,
        reference=reference,
        opinion=confirmed_opinion(case, view, issued).opinion,
        digest=issued.event.document,
        version=issued.event.version,
        withheld=None,
    )


def support_of(opinion: Opinion) -> Support | None:
    """What the opinion supports; None where its verdict supports no relation, or no finding is of the claim's kind.

    Descent needs a ratio against every other way to share weights: without, the findings may as well show an ancestor
    of both, or the other order.
    """
    if opinion.verdict == "supports_shared_weights":
        return "shared_weights"
    if opinion.verdict != "supports_claim":
        return None
    kind = kind_of_findings(opinion)
    if kind != "weights":
        return kind
    return "descent" if set(_OTHER_WAYS_TO_SHARE).isdisjoint(not_excluded(opinion)) else "shared_weights"


def kind_of_findings(opinion: Opinion) -> Kind | None:
    """What the opinion's verdict is about; None where it is on learning from answers and no answer was looked at."""
    if opinion.claim == "derived" or opinion.verdict == "supports_shared_weights":
        return "weights"
    return "learning" if any(one.group in ("behaviour", "memorisation") for one in opinion.findings) else None


def ratio_behind(opinion: Opinion) -> StatedRatio | None:
    """The ratio that the support rests on: the headline, or that of shared weights where only they are supported."""
    return stated(opinion, opinion.shared_weights if opinion.verdict == "supports_shared_weights" else opinion.headline)


def stated(opinion: Opinion, headline: Headline | None) -> StatedRatio | None:
    """A headline of the opinion with the caps, families and population that it may not be shown without."""
    if headline is None:
        return None
    (ratio,) = (
        one.evidence.emerged
        for one in opinion.treated
        if isinstance(one, Weighed) and one.alternative == headline.against
    )
    return StatedRatio(
        against=headline.against,
        bounded=headline.log10_lr,
        central=headline.central,
        lower=headline.lower,
        upper=headline.upper,
        caps=ratio.caps,
        families=ratio.families,
        population=ratio.population,
    )


def not_excluded(opinion: Opinion) -> tuple[Alternative, ...]:
    """Alternatives that were not tested, or against which the ratio does not speak for the claim.

    It does where something is left after interval and caps, and the central value is clear: as for the verdict.
    """
    return tuple(
        one.alternative
        for one in opinion.treated
        if not isinstance(one, Weighed) or not speaks_for(one.evidence.emerged)
    )


def _models(view: CaseView) -> tuple[CodedMember, CodedMember]:
    state = view.state
    if state.opened is None or state.protocol is None or state.unblinded is None:
        raise InputError(
            "expected a case that is unblinded and whose opening, protocol and code key were not erased, found one at "
            f"the stage {state.stage!a} without; export it after `whorl case unblind`, or as case-jsonld"
        )
    members = {member.code: member for member in state.unblinded.members}
    (questioned,) = state.members_in("questioned")
    return members[questioned], members[state.protocol.line_up.reference]


def _issued(view: CaseView) -> tuple[Issued | None, str | None]:
    state = view.state
    if state.failed_controls:
        return None, "The run is void: a control did not come out as it must, and no ratio of it counts."
    issued = issued_opinion(view.events)
    if issued is None and state.annulled:
        return None, "An appeal annulled the opinion, and no other was issued."
    if issued is None:
        return None, "No opinion is in force."
    if issued.unfounded:
        return None, "Events that the opinion rests on were erased, so it cannot be checked."
    return issued, None
