"""Analyses that a side filed as documents of a case: what they say in figures, heard beside the opinion.

They move no ratio. A side chose what to analyse and against what, and nobody made it again. What stands here is taken
from the document's own numbers and words of a closed list, so that no sentence of a side becomes one of the opinion.
"""

from typing import Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.events import Acquired, Alternative, DocumentCode, Role
from whorl.entries.kinds import Digest
from whorl.entries.names import Name, Text

MAX_HEARD_BYTES: Final = 1 << 22
_FARTHEST: Final = 12.0
"""log10 of the largest ratio that an analysis may state; caps are far below."""
Analysis: TypeAlias = Literal["whorl.ancestor/1", "whorl.filtration/1", "whorl.documents/1"]
Layer: TypeAlias = Literal["purpose", "architecture", "tokenizer", "recipe", "weights", "behaviours"]
_View = TypeVar("_View", bound="_Read")


class Heard(Document):
    """One analysis of a side."""

    code: DocumentCode
    title: Name
    filed_by: Role
    document: Digest
    analysis: Analysis
    about: bool | None = Field(
        description="whether it is on the weights of the questioned model and the reference; null where it names none"
    )
    says: Text


class _Read(BaseModel):
    """The few members of a document that are looked at; the rest is for whoever opens it."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class _Side(_Read):
    digest: str


class _Ratio(_Read):
    against: Literal["common_ancestor", "same_data"]
    log10_lr: float = Field(ge=-_FARTHEST, le=_FARTHEST)


class _Ancestor(_Read):
    questioned: _Side
    reference: _Side
    reading: Literal[
        "questioned_holds_reference",
        "reference_holds_questioned",
        "common_ancestor",
        "on_the_way",
        "unchanged",
        "undecided",
        None,
    ]
    ratios: tuple[_Ratio, ...] = Field(max_length=10)

    @model_validator(mode="after")
    def _each_once(self) -> "_Ancestor":
        _require_once([one.against for one in self.ratios])
        return self


class _LayerResidue(_Read):
    layer: Layer
    elements: int = Field(ge=0, le=10**6)
    filtered: int = Field(ge=0, le=10**6)
    compared: int = Field(ge=0, le=10**6)
    agreeing: int = Field(ge=0, le=10**6)

    @model_validator(mode="after")
    def _adds_up(self) -> "_LayerResidue":
        if self.filtered + self.compared != self.elements or self.agreeing > self.compared:
            raise ValueError("the counts do not add up")
        return self


class _Residue(_Read):
    filters: Literal["all", "uncontested"]
    layers: tuple[_LayerResidue, ...] = Field(max_length=20)


class _Filtration(_Read):
    questioned: _Side | None = None
    reference: _Side | None = None
    residues: tuple[_Residue, ...] = Field(max_length=2)


class _Bounds(_Read):
    against: Alternative
    lower: float = Field(ge=-_FARTHEST, le=_FARTHEST)
    upper: float = Field(ge=-_FARTHEST, le=_FARTHEST)

    @model_validator(mode="after")
    def _ordered(self) -> "_Bounds":
        if self.lower > self.upper:
            raise ValueError("the lower end is above the upper one")
        return self


class _Documents(_Read):
    ratios: tuple[_Bounds, ...] = Field(max_length=10)

    @model_validator(mode="after")
    def _each_once(self) -> "_Documents":
        _require_once([one.against for one in self.ratios])
        return self


def _require_once(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError("one alternative stands there twice")


_READINGS: Final = {
    "questioned_holds_reference": "the questioned model's change holds the whole of the reference's",
    "reference_holds_questioned": "the reference's change holds the whole of the questioned model's",
    "common_ancestor": "either change has a part of its own, as those of a common ancestor's descendants do",
    "on_the_way": "one lies on the way of the other from the ancestor",
    "unchanged": "one of the two is the ancestor, hardly changed",
    "undecided": "undecided",
}


def heard(exhibit: Acquired, data: bytes, *, models: tuple[str | None, str | None]) -> Heard | None:
    """What a filed document says, if it is one of the analyses that a release knows; None otherwise.

    Parameters
    ----------
    data : the document's bytes, whose digest was checked
    models : digests of the weights of the questioned model and the reference; None where only answers were to be had
    """
    told = _told(data, models)
    if told is None or exhibit.title is None:
        return None
    analysis, about, says = told
    return Heard(
        code=exhibit.code,
        title=exhibit.title,
        filed_by=exhibit.filed_by,
        document=exhibit.digest,
        analysis=analysis,
        about=about,
        says=says,
    )


def _told(data: bytes, models: tuple[str | None, str | None]) -> tuple[Analysis, bool | None, str] | None:
    if len(data) > MAX_HEARD_BYTES or data.lstrip()[:1] != b"{":
        return None
    try:
        schema = parse_json_object(data, what="document", max_bytes=MAX_HEARD_BYTES, max_depth=32).get("schema")
    except InputError:
        return None
    match schema:
        case "whorl.ancestor/1" if (test := _read(_Ancestor, data)) is not None:
            return "whorl.ancestor/1", models == (test.questioned.digest, test.reference.digest), _ancestor(test)
        case "whorl.filtration/1" if (record := _read(_Filtration, data)) is not None:
            sides = (record.questioned, record.reference)
            about = None if None in sides else models == tuple(side and side.digest for side in sides)
            return "whorl.filtration/1", about, _filtration(record)
        case "whorl.documents/1" if (weight := _read(_Documents, data)) is not None:
            return "whorl.documents/1", None, _documents(weight)
    return None


def _read(view: type[_View], data: bytes) -> _View | None:
    try:
        return view.model_validate_json(data)
    except ValidationError:
        return None


def _ancestor(test: _Ancestor) -> str:
    if test.reading is None:
        return "The ancestor test gave no figures."
    ratios = "".join(
        f"; the filer's log10 ratio against {_spoken(one.against)} {one.log10_lr:.2f}" for one in test.ratios
    )
    return f"Reading of the filer's ancestor test: {_READINGS[test.reading]}{ratios}."


def _filtration(record: _Filtration) -> str:
    said = []
    for residue in record.residues:
        layers = ", ".join(
            f"{_spoken(one.layer)}: {one.agreeing} of {one.compared} left agree, {one.filtered} of {one.elements} "
            "filtered"
            for one in residue.layers
        )
        filters = "all of its filters" if residue.filters == "all" else "uncontested filters alone"
        said.append(f"By {filters}: {layers or 'nothing was compared'}.")
    return " ".join(said) or "Nothing was compared."


def _documents(weight: _Documents) -> str:
    ratios = "; ".join(
        f"log10 ratio against {_spoken(one.against)} between {one.lower:.2f} and {one.upper:.2f}"
        for one in weight.ratios
    )
    return f"By the ranges of reliability that the filer assumed: {ratios or 'no ratio'}."


def _spoken(name: str) -> str:
    return name.replace("_", " ")
