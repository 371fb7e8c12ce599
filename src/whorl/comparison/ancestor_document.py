"""The ancestor test as it is stored: ``whorl.ancestor/1``."""

from typing import Literal, TypeAlias

from pydantic import Field

from whorl.comparison.ancestor_changes import Pairing
from whorl.core.evidence import Document, NotComparable, StoredDocument, Subject

Reading: TypeAlias = Literal[
    "questioned_holds_reference",
    "reference_holds_questioned",
    "common_ancestor",
    "on_the_way",
    "unchanged",
    "undecided",
]
Possibility: TypeAlias = Literal[
    "questioned_from_reference",
    "reference_from_questioned",
    "siblings",
    "siblings_same_text",
    "unpublished_parent",
    "wrong_ancestor",
    "merge_of_reference",
    "merge_of_questioned",
    "interpolation",
]


class Figure(Document):
    """A figure, its standard error and its 95 % interval over blocks of weights."""

    value: float
    error: float = Field(ge=0)
    lower: float
    upper: float


class BandFigures(Document):
    """What is held of a change in its major and in its minor directions."""

    major: Figure
    minor: Figure
    trend: float = Field(description="log(minor / major)")
    wholeness: float = Field(le=0, description="-|log minor|; 0 where the whole change is held")


class AncestorRatio(Document):
    """How much more probable the figures are if the questioned model was trained from the reference.

    None is given against the reverse direction: a merge of the one with a third model has the figures of the other's
    parent, so that three models alone do not tell who came first. Dates do.
    """

    against: Literal["common_ancestor", "same_data"]
    log10_lr: float = Field(description="the interval's end nearer 0, after every cap; 0 where it spans 0")
    central: float
    lower: float
    upper: float
    caps: dict[str, float]
    families: tuple[int, int]


class Kept(Document):
    """One possibility, and how the figures leave it; none is ever excluded."""

    possibility: Possibility
    standing: Literal["open", "disfavoured"]
    reason: str


class AncestorTest(StoredDocument):
    """What the test found, and everything that may be behind it."""

    schema_: Literal["whorl.ancestor/1"] = Field(alias="schema")
    whorl_version: str
    ancestor: Subject
    questioned: Subject
    reference: Subject
    outcome: NotComparable | None = Field(description="why there are no figures; null where there are")
    reading: Reading | None
    statement: str
    beta: Figure | None
    gamma: Figure | None
    cosine: Figure | None
    of_reference: BandFigures | None
    of_questioned: BandFigures | None
    lengths: tuple[float, float] | None = Field(description="of the two changes, in lengths of the ancestor")
    ranks: tuple[float, float, float] | None = Field(
        description="effective rank of either change and of their difference, medians over matrices"
    )
    scaled: tuple[float, float] | None = Field(description="share of each change that is the ancestor made shorter")
    pairing: tuple[Pairing, Pairing] | None
    left_out: tuple[str, ...]
    ratios: tuple[AncestorRatio, ...]
    possibilities: tuple[Kept, ...]
    limits: tuple[str, ...]
    reference_population: str = Field(description="digest of the documented pairs")
    parameters: dict[str, int | float | str]

    @property
    def exit_code(self) -> Literal[0, 3]:
        """The command line's exit status: 3 where nothing can be read off the figures, or there are none."""
        return 3 if self.reading in (None, "unchanged", "undecided") else 0

    @property
    def least_favourable(self) -> AncestorRatio | None:
        """The ratio against whichever alternative explains the figures best."""
        return min(self.ratios, key=lambda ratio: ratio.log10_lr, default=None)
