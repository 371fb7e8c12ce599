"""What a comparison of answers may say: four verdicts that are never mixed, and what stands behind them.

`Behaviour.model_dump_json()` is the ``--json`` of ``whorl compare``, ``identify`` and ``check-api`` where endpoints are
asked. Format: ``docs/specs/behaviour.md``.
"""

from typing import Final, Literal, TypeAlias

from pydantic import Field

from whorl.core.evidence import Document, StoredDocument

EndpointOutcome: TypeAlias = Literal["same", "changed", "inconclusive"]
RelatedOutcome: TypeAlias = Literal["supported", "none_found", "inconclusive"]
LearnedOutcome: TypeAlias = Literal["candidates", "none_of_these", "inconclusive"]
UNKNOWN: Final = "unknown"
LEVEL: Final = 0.02
"""Largest conformal p of a line, of shared weights and of a teacher: with 50 controls, to pass every one of them."""


class AskedModel(Document):
    """One side: an endpoint as it was asked."""

    name: str
    transcript: str = Field(description="digest of the transcript, or of the population it was taken from")
    address: str = Field(description="where it was asked; 'population' for a control model")
    served_models: tuple[str, ...] = Field(description="model names that the endpoint reported")
    answered: int = Field(ge=0)
    asked: int = Field(ge=0)
    flags: tuple[str, ...] = Field(description="what was odd about the endpoint")


class Controls(Document):
    """The population behind calibrated statements."""

    digest: str
    models: int = Field(ge=0, description="control models that answered these questions")
    families: int = Field(ge=0)


class Candidate(Document):
    """A known line or teacher that was considered, best first."""

    name: str
    score: float
    p: float | None


class Verdict(Document):
    """One answer. Which of the figures are given says what kind of statement it is."""

    outcome: str
    log10_lr: float | None = Field(default=None, description="capped ratio against its least favourable alternative")
    p: float | None = Field(default=None, ge=0, le=1)
    score: float | None = None
    power: float | None = Field(
        default=None, ge=0, le=1, description="how probably the contrary would have been seen, over control models"
    )
    explained_by: str | None = Field(
        default=None, description="circumstance of unrelated models that stand as near: era, language, ..."
    )
    reason: str = Field(description="one or two sentences for people")
    candidates: tuple[Candidate, ...] = ()


class Verdicts(StoredDocument):
    """Four questions with a null hypothesis each. None supports another."""

    endpoint: Verdict = Field(description="same | changed | inconclusive: is it the same endpoint distribution?")
    line: Verdict = Field(description="name of the known line, or unknown, or inconclusive")
    weights_related: Verdict = Field(
        alias="weights-related", description="supported | none_found | inconclusive: are trained weights shared?"
    )
    learned_from: Verdict = Field(
        alias="learned-from", description="candidates | none_of_these | inconclusive: was it trained on answers?"
    )


class BehaviourEvidence(Document):
    """One statistic, whichever way it points."""

    family: str = Field(description="family of probes")
    method: str = Field(description="name/version")
    outcome: Literal["measured", "not_testable"]
    value: float | None
    p: float | None = Field(ge=0, le=1, description="calibrated over control models where there are enough")
    controls: int = Field(ge=0)
    speaks_to: Literal["endpoint", "weights-related", "learned-from", "description"]
    detail: str


class ControlScores(Document):
    """A score and what control models give: a calibrated p is its rank among them."""

    speaks_to: Literal["weights-related", "learned-from"]
    title: str
    value: float
    controls: tuple[float, ...] = Field(description="of the questioned model and controls unrelated to both sides")
    reference_controls: tuple[float, ...] = Field(description="of controls that were held against the reference")


class ProfilePoint(Document):
    """Share of answers with a property at one place of a profile."""

    place: str
    share: float = Field(ge=0, le=1)
    count: int = Field(ge=1)


class Profile(Document):
    """A described property of one endpoint, e.g. facts found by position in a long text. Describes, never accuses."""

    title: str
    of: str
    points: tuple[ProfilePoint, ...]


class ConductRow(Document):
    """How often each class of conduct was seen on one kind of request."""

    stratum: str
    of: str
    classes: dict[str, int]


class Behaviour(StoredDocument):
    """Everything a comparison of answers asked, found and could not find."""

    schema_: Literal["whorl.behaviour/1"] = Field(default="whorl.behaviour/1", alias="schema")
    whorl_version: str
    task: Literal["compare", "identify", "check_api"]
    questioned: AskedModel
    reference: AskedModel | None
    claimed: str | None = Field(description="the model that the endpoint is said to serve")
    battery: str = Field(description="name and digest of the questions")
    population: Controls | None
    statement: str = Field(description="one or two sentences that can be quoted without being wrong")
    warnings: tuple[str, ...] = Field(default=(), description="what must be known before any verdict is read")
    verdicts: Verdicts
    evidence: tuple[BehaviourEvidence, ...]
    similarities: tuple[ControlScores, ...]
    profiles: tuple[Profile, ...]
    conduct: tuple[ConductRow, ...]
    limits: tuple[str, ...]
    parameters: dict[str, int | float | str]

    @property
    def exit_code(self) -> Literal[0, 3]:
        """3 where every verdict that was asked for is inconclusive."""
        return 3 if all(verdict.outcome == "inconclusive" for verdict in self.asked_for) else 0

    @property
    def asked_for(self) -> tuple[Verdict, ...]:
        """The verdicts that the task is about."""
        found = self.verdicts
        if self.task == "identify":
            return (found.line, found.learned_from)
        if self.task == "check_api":
            return (found.endpoint,)
        return (found.endpoint, found.line, found.weights_related, found.learned_from)
