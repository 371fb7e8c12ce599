"""Describing one endpoint: its conduct by kind of request, and where in a long text it finds things.

Descriptions, never evidence of lineage.
"""

from collections.abc import Sequence
from typing import Final

from whorl.comparison.asked import Asked, items_of
from whorl.core.behaviour import ConductRow, Profile, ProfilePoint
from whorl.probes.battery import Battery, Family, Item

_CONDUCT: Final[tuple[Family, ...]] = ("guardrails", "failure_transfer")


def conduct_rows(battery: Battery, asked: Sequence[Asked]) -> tuple[ConductRow, ...]:
    """How often each class of conduct was seen in each stratum of the guardrail and attack families."""
    rows = []
    asked_about = items_of(battery, _CONDUCT)
    for stratum in sorted({item.stratum for item in asked_about}):
        items = [item for item in asked_about if item.stratum == stratum]
        for one in asked:
            classes: dict[str, int] = {}
            for item in items:
                for label in one.labels.get(item.id, ()):
                    classes[label] = classes.get(label, 0) + 1
            if classes:
                rows.append(ConductRow(stratum=stratum, of=one.about.name, classes=classes))
    return tuple(rows)


def profiles(battery: Battery, asked: Sequence[Asked]) -> tuple[Profile, ...]:
    """Share of planted facts that were found, by place in the text and by its length."""
    items = [item for item in items_of(battery, ("context_window",)) if item.stratum.startswith("position/")]
    return tuple(
        profile
        for title, part in (("Facts found by place in a long text (percent)", 2), ("Facts found by length (words)", 1))
        for one in asked
        if (profile := _profile(title, part, items, one)) is not None
    )


def _profile(title: str, part: int, items: Sequence[Item], one: Asked) -> Profile | None:
    """Strata are named ``position/WORDS/PERCENT``; ``part`` says by which of the two to sort."""
    found: dict[int, list[bool]] = {}
    for item in items:
        labels = one.labels.get(item.id, ())
        found.setdefault(int(item.stratum.split("/")[part]), []).extend(label == "found" for label in labels)
    points = tuple(
        ProfilePoint(place=str(place), share=sum(hits) / len(hits), count=len(hits))
        for place, hits in sorted(found.items())
        if hits
    )
    return Profile(title=title, of=one.about.name, points=points) if points else None
