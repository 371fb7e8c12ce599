"""Documents as exhibits: deposits, dated papers, logs and access records, with ranges of how far each can be relied on.

What a document says weighs by how probable it is that it would be there and pass its audit under either proposition:
under the one that makes it true, that it was kept and passes; under the other, that somebody set out to forge it and
got it past the audit. Both sides may argue about these probabilities, so they are ranges. Document:
``whorl.documents/1``; method page: ``docs/methods/documents.md``.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from whorl.core.evidence import Document, StoredDocument
from whorl.dossiers.events import ALTERNATIVES, Alternative
from whorl.entries.kinds import Digest, EntryId, Instant, Origin, parse_instant

SCHEMA: Final = "whorl.documents/1"
LEAST_FAILURE: Final = 1e-4
"""No process is taken to fail less often than this, and one party's documents fail together: no ratio is infinite."""
LEAST_KEPT: Final = 1e-3
"""A document that is kept and passes more rarely than this, if it is true, would make a ratio out of nothing."""
LEAST_TOLD: Final = 0.1
"""log10 of a ratio; one that is nearer to 1 speaks for nothing."""
MOST_DOCUMENTS: Final = 24
MOST_ALIBIS: Final = 4
NODES: Final = ("proposition", "derived", "ancestor", "shared_data", "access", "similarity")
"""Names that the net has for itself: no exhibit has one of them as its code."""

Scenario: TypeAlias = Literal["derived"] | Alternative
SCENARIOS: Final[tuple[Scenario, ...]] = ("derived", *ALTERNATIVES)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Kind: TypeAlias = Literal["training_log", "data_manifest", "publication", "access_record", "correspondence", "other"]


class Range(Document):
    """What a probability is agreed to lie between."""

    lower: float = Field(ge=0, le=1)
    upper: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.lower > self.upper:
            raise ValueError(f"the lower end {self.lower} is above the upper end {self.upper}")
        return self

    @property
    def middle(self) -> float:
        """Halfway."""
        return (self.lower + self.upper) / 2


CERTAIN: Final = Range(lower=1.0, upper=1.0)
NEVER: Final = Range(lower=0.0, upper=0.0)


class DatedDocument(Document):
    """A document that one side filed, and how far it can be relied on.

    ``true_under`` are the scenarios in which what it says is true; under others it is true all the same with
    probability ``true_otherwise`` (a paper is there whether or not anybody followed it). The rest is the testimony of
    Dawid and Mortera: competence (``kept``), veracity (``genuine_passes``), forgery (``attempted``, ``forged_passes``).
    """

    code: Name
    kind: Kind
    filed_by: Name
    says: Text
    true_under: Annotated[tuple[Scenario, ...], Field(max_length=len(SCENARIOS))] | Literal["access"] = Field(
        description="the scenarios that make it true, or access: true wherever there was access to the reference"
    )
    true_otherwise: Range = NEVER
    kept: Range = Field(description="if it is true: that such a document was kept and is produced")
    genuine_passes: Range = Field(description="if it is genuine: that it passes its audit")
    attempted: Range = Field(description="if it is not true and its party is willing to forge: that it forges this one")
    forged_passes: Range = Field(description="if it is forged: that it passes its audit")
    grounds: Text = Field(description="where the ranges come from")

    @model_validator(mode="after")
    def _can_be_there(self) -> "DatedDocument":
        least = min(self.kept.lower, self.genuine_passes.lower)
        if least < LEAST_KEPT:
            raise ValueError(
                f"document {self.code}: expected kept and genuine_passes of at least {LEAST_KEPT}, found {least}: what "
                "cannot be there if it is true cannot be filed"
            )
        return self


class Attested(Document):
    """The registry entry that an alibi's time was read off, whose receipt was verified offline."""

    entry: EntryId
    log: Origin
    index: int = Field(ge=0)
    standing: Literal["good", "unknown"] = Field(description="what the receipt says of anything against the entry")
    content: Digest | None = Field(default=None, description="of the questioned model, which an opened member has")
    members: int | None = Field(default=None, ge=1, description="of the sealed list: its owner chose which to open")


class StatedDeposit(Document):
    """What a side states of a deposit; when it was made, and in which entry, its receipt says.

    ``early_access`` is the probability that the questioned model's maker had the reference before it could be reached
    by anybody outside; ``failure`` that the whole procedure proves a wrong time, at least `LEAST_FAILURE`.
    """

    code: Name
    filed_by: Name
    reference_reachable_from: Instant
    early_access: Range
    failure: Range
    grounds: Text

    @model_validator(mode="after")
    def _never_certain(self) -> "StatedDeposit":
        if self.failure.lower < LEAST_FAILURE:
            raise ValueError(
                f"alibi {self.code}: expected a failure of at least {LEAST_FAILURE}, found {self.failure.lower}; "
                "m blind trials without a failure allow 1 - 0.05**(1/m)"
            )
        return self


class Alibi(StatedDeposit):
    """A registry receipt: the questioned model existed by a time that log, witnesses or time stamps prove.

    It weighs only if that time lies before the reference could be reached by anybody outside.
    """

    existed_by: Instant = Field(description="not after, of the verified receipt: never a clock of the party's own")
    attested: Attested | None = Field(default=None, description="null where a side only states the time")

    @property
    def in_time(self) -> bool:
        """Whether the questioned model existed before the reference could be reached."""
        return parse_instant(self.existed_by) < parse_instant(self.reference_reachable_from)


class Log10Range(Document):
    """An interval of a log10 ratio."""

    lower: float = Field(ge=-12, le=12)
    upper: float = Field(ge=-12, le=12)

    @model_validator(mode="after")
    def _ordered(self) -> "Log10Range":
        if self.lower > self.upper:
            raise ValueError(f"the lower end {self.lower} is above the upper end {self.upper}")
        return self


class Exhibits(Document):
    """Everything that goes into the net.

    ``similarity`` is the one ratio of all similarity evidence against each alternative: several are fused or emerged
    before, never multiplied. Documents are multiplied with it since they say how a model was made, not what it does;
    those of one party share that party's willingness to forge.
    """

    documents: Annotated[tuple[DatedDocument, ...], Field(max_length=MOST_DOCUMENTS)] = ()
    alibis: Annotated[tuple[Alibi, ...], Field(max_length=MOST_ALIBIS)] = ()
    willing: dict[Name, Range] = Field(description="for every party that filed a document: that it would forge at all")
    access: Range = Field(
        default=CERTAIN, description="that there was access to the reference, if the questioned model is not derived"
    )
    similarity: dict[Alternative, Log10Range] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> "Exhibits":
        codes = [*(one.code for one in self.documents), *(one.code for one in self.alibis)]
        if len(set(codes)) < len(codes):
            raise ValueError("expected a code of its own for every exhibit")
        if taken := sorted(set(codes) & set(NODES)):
            raise ValueError(f"expected codes such as D-1, found {taken[0]!r}, which the net calls something else")
        missing = {one.filed_by for one in self.documents} - self.willing.keys()
        if missing:
            raise ValueError(f"expected a range of willingness to forge for every party, none for {sorted(missing)}")
        return self

    def with_alibi(self, alibi: Alibi) -> "Exhibits":
        """The same and one more alibi."""
        return self.model_validate({**dict(self), "alibis": (*self.alibis, alibi)})


class Moved(Document):
    """What the ratio becomes if one range is set to either of its ends, all others in the middle."""

    parameter: str
    at_lower: float
    at_upper: float


class DocumentRatio(Document):
    """log10 of P(exhibits | derived) / P(exhibits | alternative): least, central and largest over all ranges."""

    against: Alternative
    lower: float
    central: float
    upper: float
    exact: bool = Field(description="the ends are those of all corners of the ranges; otherwise of a search among them")
    tornado: tuple[Moved, ...] = Field(description="largest effect first")

    @property
    def bounded(self) -> float:
        """The end nearer 0, which is what may be claimed; 0 where the interval spans it."""
        return max(self.lower, 0.0) + min(self.upper, 0.0)


class DocumentsWeight(StoredDocument):
    """The weight of all exhibits; ratios only, whatever anybody believed before."""

    schema_: Literal["whorl.documents/1"] = Field(default=SCHEMA, alias="schema")
    exhibits: Exhibits
    ratios: tuple[DocumentRatio, ...] = Field(min_length=1)
    remarks: tuple[str, ...]
    prior_free: Literal[True] = True

    @property
    def least_favourable(self) -> DocumentRatio:
        """The ratio against whichever alternative explains the exhibits best."""
        return min(self.ratios, key=lambda ratio: (ratio.bounded, ratio.central))

    @property
    def exit_code(self) -> Literal[0, 3]:
        """The command line's exit status: 3 where the least favourable ratio may be 1 or about 1."""
        return 3 if abs(self.least_favourable.bounded) < LEAST_TOLD else 0
