"""Words for a bounded ratio, from a scale that is data: named, versioned, translatable.

Scales conflict ("strong" starts at 100 in some and at 1,000 in others), so that a word is never given without the name
of its scale and the number.
"""

from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Final, Literal

from pydantic import Field, model_validator

from whorl.core.evidence import Document, LikelihoodRatio, StoredDocument

SCHEMA: Final = "whorl.verbal-scale/1"


class Band(Document):
    """One step of a scale."""

    above_log10: float = Field(ge=0, description="log10 of the ratio from which it applies; 0 itself has no band")
    support: str = Field(min_length=1)


class VerbalScale(StoredDocument):
    """A scale of words for support, the same for both propositions."""

    schema_: Literal["whorl.verbal-scale/1"] = Field(default=SCHEMA, alias="schema")
    id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    language: str = Field(description="BCP 47")
    source: str
    bands: tuple[Band, ...] = Field(min_length=1, description="rising, the first from 0")
    neither: str
    first: str = Field(description="with {support}")
    alternative: str = Field(description="with {support}")

    @model_validator(mode="after")
    def _rises(self) -> "VerbalScale":
        starts = [band.above_log10 for band in self.bands]
        if starts[0] != 0 or any(low >= high for low, high in pairwise(starts)):
            raise ValueError(f"expected bands that start at 0 and rise, found {starts}")
        if not all(text.count("{support}") == 1 for text in (self.first, self.alternative)):
            raise ValueError("expected {support} once in the wording for each proposition")
        return self


class VerbalLabel(Document):
    """Words for one ratio, and where they come from.

    Parameters
    ----------
    support : the band's words; None where neither proposition is supported
    favours : which proposition
    statement : the whole sentence
    """

    scale: str = Field(description="id/version of the scale")
    support: str | None
    favours: Literal["first", "alternative", "neither"]
    statement: str


def verbal_label(ratio: LikelihoodRatio, scale: VerbalScale) -> VerbalLabel:
    """Words for the bounded value of a ratio. A plain number has no words: it has no caps.

    A band holds from its first number up to below the next; a ratio of exactly 1 supports neither proposition.

    Raises
    ------
    TypeError
        If given anything but a `LikelihoodRatio`.
    """
    if not isinstance(ratio, LikelihoodRatio):
        raise TypeError(f"expected a LikelihoodRatio, which carries its caps, got {type(ratio).__name__}")
    size, name = abs(ratio.log10_lr), f"{scale.id}/{scale.version}"
    if size == 0:
        return VerbalLabel(scale=name, support=None, favours="neither", statement=scale.neither)
    support = next(band.support for band in reversed(scale.bands) if size >= band.above_log10)
    favours: Literal["first", "alternative"] = "first" if ratio.log10_lr > 0 else "alternative"
    wording = scale.first if favours == "first" else scale.alternative
    return VerbalLabel(scale=name, support=support, favours=favours, statement=wording.replace("{support}", support))


@lru_cache(maxsize=1)
def shipped_scale() -> VerbalScale:
    """The scale that comes with this release."""
    return VerbalScale.model_validate_json(
        files("whorl.statistics").joinpath("verbal_scale.json").read_text(encoding="utf-8")
    )
