"""The figures of a finding as flat numbers: what calibration reads, and what a calibrated ratio is computed from."""

from collections.abc import Iterable

from whorl.comparison.zoo import PairClass, Side
from whorl.core.evidence import Access, Document, Evidence, PValue, Score


class MeasuredPair(Document):
    """What a comparison of one pair gave; ``figures`` holds every figure of every score as ``method.figure``."""

    questioned: str
    reference: str
    truth: PairClass
    families: tuple[str, str]
    older: Side | None
    whole: bool
    access: Access
    relation: str
    transformations: tuple[str, ...]
    layers: tuple[int, int]
    figures: dict[str, float]


def figures_of(evidence: Iterable[Evidence]) -> dict[str, float]:
    """Every figure of every score and exact test, under ``method.figure``."""
    figures: dict[str, float] = {}
    for item in evidence:
        if isinstance(item, Score):
            figures[f"{item.method}.value"] = item.value
        elif isinstance(item, PValue):
            figures[f"{item.method}.log10_p"] = item.log10_p
        if isinstance(item, Score | PValue):
            figures.update({f"{item.method}.{name}": value for name, value in item.statistic.items()})
    return figures
