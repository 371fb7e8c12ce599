"""Which models belong together: fingerprints are compared, nearest first, and only as often as needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.evidence import Finding, NotComparable
from whorl.core.progress import Progress
from whorl.fingerprints.weight_fingerprint import WeightFingerprint
from whorl.statistics.cosines import unit_rows

MOST_TRIES: Final = 8  # comparisons without a relation between two groups, after which they stay apart
LOG10_LEVEL: Final = -6.0

CompareFingerprints = Callable[[WeightFingerprint, WeightFingerprint], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """Two models of which a comparison could say nothing, by number, and why."""

    one: int
    other: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that continue one run, by number. ``hub`` is the one that the others were compared with."""

    hub: int
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The families of one group, and what holds the group together.

    Parameters
    ----------
    between : pairs of families, by place, whose hubs only share a start, or of which it is open, with the finding
    merged_in : pairs of a family, by place, and a model of another one that also holds that family's weights
    """

    families: tuple[Family, ...]
    between: tuple[tuple[int, int, Finding], ...]
    merged_in: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Families:
    """Groups of related models by number (single ones too), pairs nothing is known of, and comparisons made."""

    groups: tuple[tuple[int, ...], ...]
    blind: tuple[Blind, ...]
    compared: int


def find_families(
    fingerprints: Sequence[WeightFingerprint], compare: CompareFingerprints, *, progress: Progress
) -> Families:
    """Groups of models that share weights, by comparing stored fingerprints.

    Pairs whose embeddings lie alike come first. Models already in one group are not compared, and two groups that
    `MOST_TRIES` comparisons could not link stay apart, so the work grows little faster than the number of models.
    """
    count = len(fingerprints)
    group = list(range(count))
    blind: list[Blind] = []
    tries: dict[tuple[int, int], int] = {}
    compared = 0
    pairs = _nearest_first(fingerprints)
    for done, (one, other) in enumerate(pairs, 1):
        between = (min(group[one], group[other]), max(group[one], group[other]))
        if between[0] != between[1] and tries.get(between, 0) < MOST_TRIES:
            finding = compare(fingerprints[one], fingerprints[other])
            compared += 1
            if related(finding):
                group = [between[0] if g == between[1] else g for g in group]
            else:
                tries[between] = tries.get(between, 0) + 1
                blind += _blind(one, other, finding)
        progress("comparing fingerprints", done, len(pairs))
    groups = tuple(tuple(m for m in range(count) if group[m] == g) for g in dict.fromkeys(group))
    apart = tuple(pair for pair in blind if group[pair.one] != group[pair.other])
    return Families(groups=groups, blind=apart, compared=compared)


def split_group(
    group: Sequence[int],
    choose_hub: Callable[[Sequence[int]], int],
    compare: Callable[[int, int], Finding],
    look_closer: Callable[[int, int], Finding],
) -> Split:
    """Families within a group of related models: runs that only share a start, or only a merge, are families apart.

    Parameters
    ----------
    choose_hub : out of some models the one to compare the others with
    compare : the finding on two models by number, the first one in the place of the questioned model
    look_closer : the same by all that is at hand, asked where a model alone resembles several of a family: is it a
        parent of theirs, or does it hold some of that family's weights itself?
    """
    families: list[Family] = []
    findings: list[dict[int, Finding]] = []
    left = list(group)
    while left:
        hub = choose_hub(left)
        found = {model: compare(model, hub) for model in left if model != hub}
        members = [m for m in left if m == hub or (related(found[m]) and not _start_only(found[m]))]
        families.append(Family(hub=hub, members=tuple(members)))
        findings.append(found)
        left = [model for model in left if model not in members]
    between, merged_in = [], []
    for later, family in enumerate(families):
        for earlier in range(later):
            finding = findings[earlier][family.hub]
            if related(finding):
                between.append((earlier, later, finding))
            else:
                # Whoever holds weights of two families that have nothing in common was merged from both.
                both = [m for m in families[earlier].members if related(compare(m, family.hub))]
                alone = len(family.members) == 1 < len(both)
                if alone and related(look_closer(family.hub, families[earlier].hub)):
                    merged_in.append((earlier, family.hub))
                else:
                    merged_in += [(later, model) for model in both]
    return Split(families=tuple(families), between=tuple(between), merged_in=tuple(merged_in))


def _start_only(finding: Finding) -> bool:
    return finding.conclusion.relation == "shared_initialisation"


def related(finding: Finding) -> bool:
    """Whether two models have weights in common, however they came to have them."""
    conclusion = finding.conclusion
    if conclusion.relation in ("identical", "derived", "shared_initialisation"):
        return True
    matched = any(layer.reference is not None for layer in finding.layers)
    by_position = conclusion.log10_p is not None and conclusion.log10_p < LOG10_LEVEL
    return conclusion.relation == "inconclusive" and (matched or by_position)


def _blind(one: int, other: int, finding: Finding) -> list[Blind]:
    if finding.conclusion.relation != "inconclusive":
        return []
    reasons = [
        e.detail for e in finding.evidence if isinstance(e, NotComparable) and e.reason == "no_shared_vocabulary"
    ]
    return [Blind(one=one, other=other, reason=reasons[0])] if reasons else []


def _nearest_first(fingerprints: Sequence[WeightFingerprint]) -> list[tuple[int, int]]:
    vectors = unit_rows(np.stack([f.search_vector() for f in fingerprints]).astype(np.float32))
    rows, columns = np.triu_indices(len(fingerprints), 1)
    order = np.argsort(-np.einsum("ij,ij->i", vectors[rows], vectors[columns]), kind="stable")
    return [(int(rows[pair]), int(columns[pair])) for pair in order]
