"""The opinion on a case: how probable the findings are under the claim and under each alternative. Never the reverse.

It is composed from the chain, the findings and the populations by a pure function, so that whoever checks a dossier
composes it again: nothing in it but the analyst's remarks is taken on trust. Format: ``docs/specs/opinion.md``.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, ValidationError

from whorl.core.errors import InputError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.answers_again import AnswerRelation
from whorl.dossiers.events import Alternative, Claim, Group, LineUpCode, MemberRole, MethodName, Outcome, Verdict
from whorl.dossiers.heard import Heard
from whorl.entries.kinds import Digest, HashHex
from whorl.entries.names import Name, Text
from whorl.statistics.verbal_scale import VerbalLabel
from whorl.statistics.weight_of_evidence import WeightOfEvidence

SCHEMA: Final = "whorl.opinion/1"
MAX_DEPTH: Final = 12


class Remarks(Document):
    """What the analyst adds in words; it moves no number."""

    deviations: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    limitations: Annotated[tuple[Text, ...], Field(max_length=50)] = ()


class FoundPair(Document):
    """A finding on the questioned model and the reference."""

    group: Group
    method: MethodName
    document: Digest
    relation: str


class AnswerFinding(Document):
    """A finding on the answers of the questioned model and the reference: a rank among control models, and no ratio."""

    method: MethodName
    document: Digest
    relation: AnswerRelation
    weights_related: str = Field(description="verdict of the finding: supported, none_found, inconclusive")
    learned_from: str = Field(description="verdict of the finding: candidates, none_of_these, inconclusive")
    p: float | None = Field(gt=0, le=1, description="the less favourable of both verdicts' ranks")
    log10_lr: float | None = Field(description="capped ratio of shared weights, as the finding has it; not weighed")
    power: float | None = Field(
        ge=0, le=1, description="how probably shared weights would have been seen, among unaltered answers of controls"
    )
    oddities: int = Field(ge=0, description="what was odd about the questioned endpoint: flags of the finding")
    controls: int = Field(ge=0)
    families: int = Field(ge=0)
    population: Digest | None
    recorded_early: bool = Field(description="whether a recording began before the protocol was fixed")


class ExactTest(Document):
    """A bound that holds by symmetry, without any population."""

    method: str
    log10_p: float = Field(le=0)
    null: str


class Control(Document):
    """A model of known truth in the line-up, and whether it came out as it must."""

    code: LineUpCode
    role: MemberRole
    name: Name
    method: MethodName
    outcome: Outcome
    behaved: bool


class Threshold(Document):
    """Where a ratio would stop to count: the value of its score below which it falls under 2."""

    group: str
    score: str
    value: float
    falls_below_2_at: float | None = Field(description="null: it does so nowhere in the population's range")


class Weighed(Document):
    """An alternative that was tested: fused, mean and best single ratio, all shown."""

    outcome: Literal["tested"] = "tested"
    alternative: Alternative
    evidence: WeightOfEvidence
    label: VerbalLabel
    thresholds: tuple[Threshold, ...]
    headline_without: float | None = Field(description="log10 headline if this alternative were excluded otherwise")


class NotWeighed(Document):
    """An alternative that was not tested, and why. It is not thereby excluded."""

    outcome: Literal["untested"] = "untested"
    alternative: Alternative
    reason: Text


Treated: TypeAlias = Annotated[Weighed | NotWeighed, Field(discriminator="outcome")]


class Headline(Document):
    """The ratio against the alternative that explains the findings best: log10, bounded by every cap."""

    against: Alternative
    log10_lr: float
    lower: float
    central: float
    upper: float


class Opinion(StoredDocument):
    """One version of the opinion, whole."""

    schema_: Literal["whorl.opinion/1"] = Field(default=SCHEMA, alias="schema")
    case: HashHex
    protocol_sequence: int = Field(description="number of the event that fixed the protocol")
    claim: Claim
    questioned: Name
    reference: Name
    findings: tuple[FoundPair, ...]
    exact: tuple[ExactTest, ...]
    answers: tuple[AnswerFinding, ...]
    treated: tuple[Treated, ...]
    heard: tuple[Heard, ...] = Field(description="analyses that a side filed; they move no ratio")
    headline: Headline | None = Field(description="least favourable tested alternative; null where none was tested")
    shared_weights: Headline | None = Field(
        description="the same among alternatives under which no trained weights are shared"
    )
    verdict: Verdict
    statement: Text
    controls: tuple[Control, ...]
    failed_controls: tuple[Text, ...]
    remarks: Remarks
    populations: tuple[Digest, ...]
    prior_free: Literal[True] = True


def parse_opinion(data: bytes, *, what: str, most: int) -> Opinion:
    """Read an opinion; its numbers are not checked yet.

    Raises
    ------
    InputError
        If it is none.
    """
    parse_json_object(data, what=what, max_bytes=most, max_depth=MAX_DEPTH)
    try:
        return Opinion.model_validate_json(data)
    except ValidationError as error:
        raise InputError(f"{what}: expected {SCHEMA}, found fault with {first_fault(error)}") from None
