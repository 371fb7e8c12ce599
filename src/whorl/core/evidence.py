"""What a comparison may say: evidence of six kinds, and the finding that holds all of it.

These are the documents that are stored, shown and signed, hence pydantic: frozen, strict, no unknown fields.
`Finding.model_dump_json()` is the ``--json`` of ``whorl compare``.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Access: TypeAlias = Literal["weights", "fingerprint"]
Tier: TypeAlias = Literal["T0", "T1", "T2", "T3", "T4", "T5"]
Relation: TypeAlias = Literal["identical", "derived", "shared_initialisation", "none_found", "inconclusive"]
Alternative: TypeAlias = Literal["independent", "same_data", "same_seed", "common_ancestor"]
Transformation: TypeAlias = Literal[
    "fine_tuned",
    "rotated",
    "permuted",
    "rescaled",
    "quantised",
    "pruned",
    "width_pruned",
    "layers_dropped",
    "layers_repeated",
    "vocabulary_changed",
    "merged",
    "moe_upcycled",
    "reinitialised_parts",
    "lora",
]


class Document(BaseModel):
    """Base of stored documents: frozen, strict, closed, and free of NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StoredDocument(Document):
    """A document with a ``schema`` of its own, which Python keeps under another name."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)


class Subject(Document):
    """One side of a comparison."""

    name: str
    digest: str = Field(description="digest of the model's content: every matrix, vector and token, not its files")
    description: str = Field(description="format and shape for people: 'Llama, 32 layers x 4096, GGUF v3'")
    access: Access


class PValue(Document):
    """An exact or conservative tail bound under a named null hypothesis."""

    outcome: Literal["p_value"] = "p_value"
    tier: Tier
    method: str = Field(description="name/version")
    log10_p: float = Field(le=0)
    null: str
    assumptions: tuple[str, ...]
    statistic: dict[str, float]
    detail: str


class EValue(Document):
    """Evidence with expectation at most 1 under the null. Averages stay valid; products only of independent ones."""

    outcome: Literal["e_value"] = "e_value"
    tier: Tier
    method: str
    log10_e: float
    null: str
    assumptions: tuple[str, ...]
    statistic: dict[str, float]
    detail: str


class Score(Document):
    """A value without an exact null: what it is, what unrelated models give, and an interval."""

    outcome: Literal["score"] = "score"
    tier: Tier
    method: str
    value: float
    lower: float
    upper: float
    unrelated_at_most: float | None = Field(
        description="the level unrelated models are not expected to pass; None where not measured"
    )
    statistic: dict[str, float]
    detail: str

    @model_validator(mode="after")
    def _interval_holds_value(self) -> "Score":
        if not self.lower <= self.value <= self.upper:
            raise ValueError(f"score {self.value} outside its interval [{self.lower}, {self.upper}]")
        return self


def plain_score(*, tier: Tier, method: str, value: float, statistic: dict[str, float], detail: str) -> Score:
    """A figure that is a fact about these two models, with nothing estimated and no level to hold it against."""
    return Score(
        tier=tier,
        method=method,
        value=value,
        lower=value,
        upper=value,
        unrelated_at_most=None,
        statistic=statistic,
        detail=detail,
    )


class LikelihoodRatio(Document):
    """How much more probable the scores are if trained weights are shared than under one named alternative.

    Never without its interval, its caps and its population: an uncapped ratio has no type. Ratios are not multiplied.
    """

    outcome: Literal["likelihood_ratio"] = "likelihood_ratio"
    tier: Tier
    method: str
    alternative: Alternative
    log10_lr: float = Field(description="the interval's end nearer 0, after every cap; 0 where the interval spans 0")
    central: float = Field(description="log10 of the calibrated ratio before intervals and caps")
    lower: float = Field(description="delete-one-family jackknife, 95 %")
    upper: float
    caps: dict[str, float] = Field(min_length=1, description="log10 of the largest |ratio| each cap allows")
    families: tuple[int, int] = Field(description="families behind the numerator and behind the alternative")
    population: str = Field(description="digest of the reference population")
    statistic: dict[str, float]
    detail: str

    @model_validator(mode="after")
    def _bounded(self) -> "LikelihoodRatio":
        if abs(self.log10_lr) > min(self.caps.values()) + 1e-9:
            raise ValueError(f"log10 ratio {self.log10_lr} is beyond its caps {self.caps}")
        if not self.lower <= self.central <= self.upper:
            raise ValueError(f"log10 ratio {self.central} outside its interval [{self.lower}, {self.upper}]")
        return self


class Power(Document):
    """How probably a copy of the reference, changed in a named way, would have been seen."""

    outcome: Literal["power"] = "power"
    tier: Tier
    method: str
    change: str = Field(description="what was done to the simulated copies, for people")
    probability: float = Field(ge=0, le=1)
    lower: float = Field(ge=0, le=1)
    upper: float = Field(ge=0, le=1)
    simulated: int = Field(ge=1)
    statistic: dict[str, float]
    detail: str

    @model_validator(mode="after")
    def _interval_holds_value(self) -> "Power":
        if not self.lower <= self.probability <= self.upper:
            raise ValueError(f"power {self.probability} outside its interval [{self.lower}, {self.upper}]")
        return self


class NotComparable(Document):
    """Why a method gave no answer. A missing signal is this, never 0.5, NaN or a silent reweighting."""

    outcome: Literal["not_comparable"] = "not_comparable"
    tier: Tier
    method: str
    reason: Literal[
        "shapes_differ",
        "no_shared_vocabulary",
        "too_little_data",
        "needs_weights",
        "architecture",
        "not_needed",
        "not_validated",
    ]
    detail: str


Evidence: TypeAlias = Annotated[
    PValue | EValue | Score | LikelihoodRatio | Power | NotComparable, Field(discriminator="outcome")
]


class LayerMatch(Document):
    """One questioned layer and where it comes from."""

    questioned: int
    reference: int | None = Field(description="None: no reference layer corresponds")
    agreement: float = Field(ge=0, le=1, description="share of neurons whose two views name the same counterpart")
    neurons: int = Field(ge=0, description="how many questioned neurons were examined")
    similarity: float = Field(description="median cosine of matched neurons after alignment; 0 where none matched")
    coincidences: int | None = Field(description="neurons found at their own position; None where not counted")
    heads: float | None = Field(description="share of attention heads with a counterpart; None where not compared")


class Direction(Document):
    """Posterior over who comes from whom; sums to 1."""

    questioned_from_reference: float = Field(ge=0, le=1)
    reference_from_questioned: float = Field(ge=0, le=1)
    common_ancestor: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> "Direction":
        total = self.questioned_from_reference + self.reference_from_questioned + self.common_ancestor
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the three shares of a direction sum to {total}, not 1")
        return self


class EstablishedTransformation(Document):
    """One change between reference and questioned, with what established it."""

    name: Transformation
    detail: str


class Conclusion(Document):
    """The finding in one value. ``relation`` speaks of weights only."""

    relation: Relation
    statement: str = Field(description="one sentence a journalist can quote without being wrong")
    log10_p: float | None = Field(description="the exact tier's bound; None where none ran")
    log10_lr: float | None = Field(
        description="the least favourable bounded ratio of shared training against independent training, the same "
        "data or a common start; None where no population covers the case"
    )
    direction: Direction | None
    direction_reason: str
    transformations: tuple[Transformation, ...]


class Finding(StoredDocument):
    """Everything a comparison asked, found and could not find."""

    schema_: Literal["whorl.finding/1"] = Field(alias="schema")
    whorl_version: str
    questioned: Subject
    reference: Subject
    conclusion: Conclusion
    evidence: tuple[Evidence, ...]
    layers: tuple[LayerMatch, ...]
    unmatched_reference_layers: tuple[int, ...]
    transformations: tuple[EstablishedTransformation, ...]
    limits: tuple[str, ...] = Field(description="what this finding does not show, in plain words")
    parameters: dict[str, int | float | str] = Field(description="method parameters and seeds, enough to recompute")

    @property
    def exit_code(self) -> Literal[0, 3]:
        """The command line's exit status for this finding."""
        return 3 if self.conclusion.relation == "inconclusive" else 0
