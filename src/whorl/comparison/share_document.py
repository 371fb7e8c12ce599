"""The shares of a merge as they are stored: ``whorl.shares/1``, specified in ``docs/specs/shares.md``."""

from typing import Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from whorl.core.evidence import Document, Subject

Outcome: TypeAlias = Literal["share", "not_established", "common_start", "none_found", "inconclusive", "not_comparable"]
Conclusion: TypeAlias = Literal["shares", "common_start", "none_found", "inconclusive"]
Pairing: TypeAlias = Literal["as_stored", "reordered", "rotated", "with_another"]

FITTING: Final[tuple[Outcome, ...]] = ("share", "not_established", "common_start")
"""Outcomes of candidates of which something fits: only the first says that trained weights do."""


class CandidateShare(Document):
    """What the questioned model holds of one candidate."""

    candidate: Subject
    outcome: Outcome
    of: Literal["weights", "change_from_base"] | None = Field(description="what the share is a share of")
    share: float | None = Field(
        ge=0, description="the multiple of it, of trained weights, that is established; null with any other outcome"
    )
    fitted: float | None = Field(ge=0, description="the multiple of it that fits in the sum, whatever that comes of")
    lower: float | None = Field(
        ge=0, description="95 % interval of what fits, over layers, and what an unnamed relative may explain"
    )
    upper: float | None = Field(ge=0)
    proportion: float | None = Field(ge=0, le=1, description="share over the sum of all candidates' shares")
    p: float | None = Field(gt=0, le=1, description="of shuffled rows; null where this model chose the pairing")
    pairing: Pairing | None = Field(description="how neurons were paired; with_another: by another candidate's link")
    layers: tuple[float | None, ...] = Field(
        description="the multiple that fits in each questioned layer; null: no counterpart there"
    )
    kinship: str | None = Field(
        description="why what fits is trained weights, a common start, or not to be told; null where nothing fits"
    )
    detail: str

    @model_validator(mode="after")
    def _consistent(self) -> "CandidateShare":
        values = (self.lower, self.fitted, self.upper)
        numbers = [value for value in values if value is not None]
        if len(numbers) not in (0, 3):
            raise ValueError("what fits comes with both ends of its interval, or not at all")
        if numbers != sorted(numbers):
            raise ValueError(f"what fits, {self.fitted}, lies outside its interval [{self.lower}, {self.upper}]")
        if numbers and self.outcome in ("inconclusive", "not_comparable"):
            raise ValueError(f"{self.outcome} must not come with a number")
        if not numbers and self.outcome in FITTING:
            raise ValueError(f"{self.outcome} needs its number")
        if self.share != (self.fitted if self.outcome == "share" else None):
            raise ValueError("what fits is a share where trained weights are established, and only there")
        if (self.kinship is None) == (self.outcome in FITTING):
            raise ValueError("what fits beyond chance, and nothing else, comes with what it comes of")
        return self


class Shares(Document):
    """Everything that was asked about shares, found, and could not be found."""

    schema_: Literal["whorl.shares/1"] = Field(alias="schema")
    whorl_version: str
    questioned: Subject
    base: Subject | None
    conclusion: Conclusion
    statement: str
    candidates: tuple[CandidateShare, ...]
    base_share: float | None = Field(
        ge=0, description="multiple of the base in the sum; null where it is no part of it"
    )
    unexplained: float | None = Field(
        ge=0, le=1, description="share of the questioned rows (with a base: of their change) that the sum leaves over"
    )
    condition: float | None = Field(ge=1, description="condition number of the terms' cosines")
    whole_layers: bool = Field(description="every layer holds a candidate wholly or not at all, and they differ")
    limits: tuple[str, ...]
    parameters: dict[str, int | float | str]

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)

    @property
    def exit_code(self) -> Literal[0, 3]:
        """The command line's exit status for this document."""
        return 3 if self.conclusion == "inconclusive" else 0
