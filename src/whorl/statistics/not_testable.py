"""Why a behavioural statistic has no value: said by a type, never by NaN, 0 or a score in the middle."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTestable:
    """Why two models have no score on these items.

    Parameters
    ----------
    reason : ``too_few_items`` after missing answers were left out; ``no_variation`` where every outcome was certain or
        the same, so that agreement says nothing
    detail : what was expected, what was found and what to do, for people
    """

    reason: Literal["too_few_items", "no_variation"]
    detail: str
