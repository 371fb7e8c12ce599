"""Made-up zoos and made-up measurements of their pairs, for tests of what is planned, kept and calibrated."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whorl.comparison.figures import MeasuredPair
from whorl.comparison.zoo import Member, PairClass, Side, Zoo
from whorl.core.evidence import Access

Figures = dict[str, float]


def member(family: str, *parents: str, **entries: Any) -> Member:
    """A member whose parents have equal shares; start and recipe are its own, unless given."""
    own = f"{family} {len(parents)} {entries}"
    truth = {
        "family": family,
        "start": own,
        "recipe": own,
        "parents": {parent: 1 / len(parents) for parent in parents},
        "teacher": None,
        "whole": True,
        "changes": (),
    }
    return Member(**(truth | entries))


def zoo(models: Mapping[str, Member]) -> Zoo:
    """A zoo of these models."""
    return Zoo(schema="whorl.zoo/1", models=dict(models))


def family(name: str, children: int, **entries: Any) -> dict[str, Member]:
    """A pre-training run with as many children."""
    run = {f"{name}/base": member(name, **({"start": f"seed of {name}", "recipe": f"recipe of {name}"} | entries))}
    return run | {f"{name}/child{number}": member(name, f"{name}/base") for number in range(children)}


def agreement(matched: float) -> Figures:
    """What a comparison says of common neurons, out of 1,000."""
    return {"two_view_agreement/1.matched": matched, "two_view_agreement/1.neurons": 1000.0}


def inherited(structure: float, bulk: float, *, one_sided: float = 0.0, norms: float = 1.0) -> Figures:
    """What a comparison says of inherited structure, a third of the weights being structure; ``one_sided`` raises one
    model's share of the other's.
    """
    at = "inherited_structure/1"
    return {
        f"{at}.structure_of_reference": structure * math.exp(one_sided / 2),
        f"{at}.structure_of_questioned": structure * math.exp(-one_sided / 2),
        f"{at}.bulk_of_reference": bulk,
        f"{at}.bulk_of_questioned": bulk,
        f"{at}.norms": norms,
        f"{at}.cosine": (structure + 2 * bulk) / 3,
        f"{at}.learned": 1 / 3,
    }


def ascent(containment: float, growth: float = 0.0, gains: float = 0.0, destroyed: float = 0.0) -> Figures:
    """What a comparison says of the order of descent after training that moved weights visibly."""
    at = "ascent/1"
    return {
        f"{at}.value": containment,
        f"{at}.growth": growth,
        f"{at}.structure_growth": growth,
        f"{at}.gains": gains,
        f"{at}.destroyed": destroyed,
        f"{at}.moved": 0.05,
        f"{at}.spike": 3.0,
    }


def measured(
    truth: PairClass,
    families: tuple[str, str],
    figures: Figures,
    *,
    access: Access = "weights",
    older: Side | None = None,
    number: int = 0,
    whole: bool = True,
) -> MeasuredPair:
    """A measured pair; ``number`` tells pairs of the same families apart."""
    return MeasuredPair(
        questioned=f"{families[0]}/{number}",
        reference=f"{families[1]}/{number} of {truth}",
        truth=truth,
        families=families,
        older=older,
        whole=whole,
        access=access,
        relation="inconclusive",
        transformations=(),
        layers=(4, 4),
        figures=figures,
    )


def world(rng: np.random.Generator, families: int, *, children: int = 2, gap: float = 5.0) -> list[MeasuredPair]:
    """Derived pairs within families and unrelated pairs across, whose agreement varies with the families."""
    names = [f"f{number}" for number in range(families)]
    effect = rng.normal(0, 0.6, families)
    own = rng.normal(0, 0.8, families)
    rows = []
    for place, name in enumerate(names):
        for child in range(children):
            score = gap - 3 + own[place] + rng.normal(0, 0.5)
            rows.append(measured("derived", (name, name), of_score(score), older="reference", number=child))
        rows += [
            measured("independent", (name, other), of_score(-3 + effect[place] + effect[to] + rng.normal(0, 0.5)))
            for to, other in enumerate(names[:place])
        ]
    return rows


def of_score(score: float) -> Figures:
    """Agreement whose log odds are about this."""
    return agreement(1000 / (1 + math.exp(-score)))


def kindred(
    rng: np.random.Generator, families: int, *, access: Access = "weights", twins: bool = True
) -> list[MeasuredPair]:
    """Families with children in both orders, cousins, and a second run from the start of each."""
    rows = []
    for number in range(families):
        name = f"f{number}"
        orders: Sequence[Side] = ("reference", "questioned")
        for child, older in enumerate(orders):
            sign = 1 if older == "reference" else -1
            lean = sign * rng.normal(0.04, 0.01)
            figures = (
                of_score(rng.normal(3, 0.5))
                | inherited(rng.normal(0.95, 0.02), rng.normal(0.95, 0.02), one_sided=lean)
                | ascent(lean, sign * rng.normal(0.9, 0.1), sign * rng.normal(0.1, 0.02))
            )
            rows.append(measured("derived", (name, name), figures, access=access, older=older, number=child))
        cousins = (
            of_score(rng.normal(2, 0.5))
            | inherited(rng.normal(0.9, 0.02), rng.normal(0.9, 0.02))
            | ascent(rng.normal(0, 0.01), rng.normal(0, 0.1), rng.normal(0, 0.02))
        )
        rows.append(measured("common_ancestor", (name, name), cousins, access=access))
        if twins:
            alike = of_score(rng.normal(0, 1)) | inherited(rng.normal(0.3, 0.05), rng.normal(0.7, 0.05))
            rows.append(measured("same_seed", (name, f"{name} again"), alike, access=access))
    return rows


def swapped(figures: Mapping[str, float]) -> Figures:
    """The same figures after the two models changed places."""
    other = dict(figures)
    for part in ("structure", "bulk"):
        names = [f"inherited_structure/1.{part}_of_{side}" for side in ("reference", "questioned")]
        if names[0] in figures:
            other |= {names[0]: figures[names[1]], names[1]: figures[names[0]]}
    if "inherited_structure/1.norms" in figures:
        other["inherited_structure/1.norms"] = 1 / figures["inherited_structure/1.norms"]
    turned = ("value", "growth", "structure_growth", "gains", "destroyed")
    return other | {f"ascent/1.{name}": -figures[f"ascent/1.{name}"] for name in turned if "ascent/1.value" in figures}
