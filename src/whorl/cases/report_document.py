"""The report of a case as a document: everything that a page or a printed copy shows, already in words.

Both outputs are made from it and from nothing else, so that they cannot say different things.
"""

from dataclasses import dataclass

from whorl.cases.report_wording import Standing
from whorl.comparison.pictures import LayerPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioLine:
    """The ratio against one tested alternative; numbers are log10.

    Parameters
    ----------
    bounded, central, interval : the same in words
    caps : name, log10 with the sign of the central value, and words
    headline : whether this is the least favourable one
    without : the headline in words, were this alternative excluded otherwise; None where no other was tested
    """

    alternative: str
    meaning: str
    log10: float
    log10_central: float
    lower: float
    upper: float
    bounded: str
    central: str
    interval: str
    caps: tuple[tuple[str, float, str], ...]
    families: tuple[int, int]
    population: str
    band: str
    scale: str
    headline: bool
    without: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlineLine:
    """The answer in one line; ``support`` is the scale's word for the bounded value."""

    against: str
    support: str
    bounded: str
    central: str
    interval: str
    log10: float
    band: str
    scale: str
    cap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who takes part."""

    name: str
    role: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLine:
    """A proposition that was filed."""

    side: str
    about: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExhibitLine:
    """One thing that was examined."""

    code: str
    what: str
    digest: str
    access: str
    how: str
    at: str
    filed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One event of the chain; ``who`` is a name, or the key where the name was erased."""

    number: int
    at: str
    what: str
    detail: str
    who: str
    role: str
    hash: str
    erased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolLines:
    """What was fixed before anything was acquired."""

    at: str
    event: int
    methods: tuple[tuple[str, str, str], ...]
    populations: tuple[str, ...]
    treatments: tuple[tuple[str, bool, str], ...]
    stop_rule: str
    exclusions: str
    alpha: str
    line_up: str
    commitment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlLine:
    """A model of known truth, what it must give and what it gave."""

    code: str
    role: str
    name: str
    expected: str
    got: str
    behaved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The ratio that the population gives for one score; log10."""

    score: float
    central: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLine:
    """One score of the case, on what its population gives for it.

    Parameters
    ----------
    low, high : least and largest value in the population
    threshold : where the ratio would fall below 2; None where it does so nowhere, or counts for nothing anyway
    walls : caps for and against, log10
    curve : empty where the score does not stand alone in its cell
    """

    group: str
    alternative: str
    name: str
    meaning: str
    value: float
    low: float
    high: float
    threshold: float | None
    limit: str
    walls: tuple[float, float]
    ratio: str
    families: tuple[int, int]
    pairs: tuple[int, int]
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustLine:
    """How far ratios of one cell can be trusted: held-out ratios of its population, and the case's among them.

    Parameters
    ----------
    cllr, cllr_cal : cost in bits, and what of it the best monotone recalibration would save
    mean : of the ratios for which the alternative holds
    misleading : share of ratios below 1 under descent, and of ratios above 1 under the alternative
    central : the case's ratio before caps, log10; None where no case is shown
    reached : share of ratios that are at least as large, under descent and under the alternative
    tippett : log10 ratio, and the shares that are at least as large under descent and under the alternative; empty
        where every held-out ratio is 1
    entropy : log10 prior odds, and the bits of surprise with these ratios, recalibrated at best, and without any
    """

    group: str
    alternative: str
    families: tuple[int, int]
    pairs: tuple[int, int]
    cllr: float
    cllr_cal: float
    mean: float
    misleading: tuple[float, float]
    central: float | None
    reached: tuple[float, float]
    tippett: tuple[tuple[float, float, float], ...]
    entropy: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingLine:
    """One finding on the questioned model and the reference."""

    group: str
    method: str
    relation: str
    detail: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardLine:
    """An analysis that a side filed."""

    code: str
    title: str
    filed_by: str
    about: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactLine:
    """An exact test."""

    method: str
    bound: str
    null: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionLine:
    """What the groups of evidence say together against one alternative."""

    alternative: str
    groups: tuple[tuple[str, str], ...]
    mean: str
    fused: str
    best: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyLine:
    """What the respondent answered."""

    declined: bool
    statement: str
    alternatives: tuple[ClaimLine, ...]
    exhibits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationLine:
    """Findings made again."""

    tool: str
    count: int
    agrees: bool
    tolerance: str
    largest: str
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewLines:
    """What the reviewer answered."""

    accepted: bool
    reasons: str
    points: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppealLine:
    """An appeal, and what became of it."""

    grounds: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """Everything that is shown of one case.

    Parameters
    ----------
    standing : whether there is an opinion to show; figures are given for "issued" alone
    version : "Opinion 1", or empty
    at : time of the last event: the report is as old as that
    origin, strange : whose population the ratios rest on, and whether this release does not know it
    layer_lines : questioned layer, reference layer, share of neurons that agree
    unheard : whether the respondent's window passed, or the case was closed, without an answer
    untried : ratios whose population keeps no held-out ratios
    """

    generator: str
    standing: Standing
    standing_meaning: str
    verdict: str
    statement: str
    version: str
    changed: str
    case: str
    head: str
    at: str
    title: str
    question: str
    questioned: str
    reference: str
    claim: str
    licence: str
    funding: str
    people: tuple[Person, ...]
    propositions: tuple[ClaimLine, ...]
    headline: HeadlineLine | None
    shared: HeadlineLine | None
    ratios: tuple[RatioLine, ...]
    untested: tuple[tuple[str, str], ...]
    heard: tuple[HeardLine, ...]
    origin: str
    strange: bool
    exhibits: tuple[ExhibitLine, ...]
    events: tuple[EventLine, ...]
    protocol: ProtocolLines | None
    deviations: tuple[str, ...]
    limitations: tuple[str, ...]
    controls: tuple[ControlLine, ...]
    failed: tuple[str, ...]
    findings: tuple[FindingLine, ...]
    layers: LayerPicture | None
    layer_lines: tuple[tuple[int, str, str], ...]
    exact: tuple[ExactLine, ...]
    scores: tuple[ScoreLine, ...]
    trust: tuple[TrustLine, ...]
    untried: tuple[str, ...]
    fusion: tuple[FusionLine, ...]
    replies: tuple[ReplyLine, ...]
    reply_until: str
    unheard: bool
    replications: tuple[ReplicationLine, ...]
    review: ReviewLines | None
    appeals: tuple[AppealLine, ...]
    decisions: tuple[tuple[str, str], ...]
    closed: tuple[str, str] | None
    priors: tuple[tuple[str, str], ...]
    bands: tuple[tuple[str, str], ...]
    scale: str
    scale_source: str
