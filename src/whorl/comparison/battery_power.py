"""What a battery would show before it is asked: tried on the controls that answered it.

Two questions, and a family of items answers one of them at most. Is a swap for a model of another line seen, by choices
that are drawn several times? Does a model that shares weights stand out among all controls of other lines?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_population import AnswerPopulation
from whorl.comparison.answer_scores import score_pairs
from whorl.comparison.answer_sources import dataset_name
from whorl.comparison.asked import LINEAGE_FAMILIES, labels_of, lineage_controls, texts_of
from whorl.comparison.lineage_verdicts import kin_power
from whorl.comparison.same_endpoint import CHOICES, LEVEL
from whorl.core.errors import InputError
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable, prompt_of
from whorl.probes.battery import Battery, Family
from whorl.statistics.cell_choices import cell_power, choice_counts
from whorl.statistics.detection_power import DetectionPower, detection_power

PERMUTATIONS: Final = 399
MOST_SWAPS: Final = 60
"""Pairs of controls that are tried, each control once as what is claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryPower:
    """How probably a battery shows something, over a population's models.

    Parameters
    ----------
    swap : of the choices: a swap for a model of another line is seen; None without drawn choices or a second line
    kin : all items that speak of lineage together: a pair that shares weights stands out; None with fewer than 3
        families that have such a pair
    kin_by_family : likewise by the items of one family alone
    """

    swap: DetectionPower | None
    kin: DetectionPower | None
    kin_by_family: Mapping[Family, DetectionPower | None]


def battery_power(
    battery: Battery, population: AnswerPopulation, *, seed: int = 0, progress: Progress = silent
) -> BatteryPower:
    """Try a battery on the controls that answered it.

    Parameters
    ----------
    seed : of which controls stand for a swap, and of permutations

    Raises
    ------
    InputError
        If the population holds no answers to this battery.
    """
    table = population.table(dataset_name(battery))
    if table is None:
        raise InputError(
            f"the population has no answers to the battery {battery.name} with seed {battery.seed}: what it would show "
            "can be tried only on models that were asked it; name another battery or seed, or leave --population out"
        )
    controls = lineage_controls(table, battery)
    family_of = {item.id: item.family for item in battery.items}
    rows = [family_of[prompt_of(item)] for item in controls.items]
    return BatteryPower(
        swap=_swap(battery, table, population, np.random.default_rng(seed)),
        kin=_kin(controls, range(len(rows)), population, progress),
        kin_by_family={
            family: _kin(controls, [place for place, one in enumerate(rows) if one == family], population, progress)
            for family in LINEAGE_FAMILIES
            if family in rows
        },
    )


def _swap(
    battery: Battery, table: AnswerTable, population: AnswerPopulation, rng: np.random.Generator
) -> DetectionPower | None:
    """Every control in turn is claimed, and another line's answers: one pair for each, not all against all."""
    cells = [item for item in battery.items if item.family == CHOICES and item.temperature > 0 and item.draws > 1]
    order = rng.permutation(len(table.models))
    labels = {
        place: labels_of(battery, texts_of(table, place), families=(CHOICES,)) for place in order[: MOST_SWAPS + 1]
    }
    shares = []
    for claimed, served in zip(order[:MOST_SWAPS], np.roll(order, -1)[:MOST_SWAPS], strict=True):
        if not cells or population.lineage.relation(table.models[claimed], table.models[served]) != "unrelated":
            continue
        ours, theirs = choice_counts(
            *([labels[place].get(item.id, ()) for item in cells] for place in (claimed, served))
        )
        draws = min(item.draws for item in cells)
        found = cell_power(ours, [theirs], draws=draws, level=LEVEL, permutations=PERMUTATIONS, trials=1, rng=rng)
        shares.append(found.probability)
    return detection_power(shares) if shares else None


def _kin(
    controls: AnswerTable, rows: Sequence[int], population: AnswerPopulation, progress: Progress
) -> DetectionPower | None:
    chosen = controls.part(items=np.array(rows, np.int64))
    found = agreement(
        chosen,
        np.ones(len(chosen.models), bool),
        groups_of(chosen.models, population.lineage),
        progress=progress,
    )
    pairs = score_pairs(found, population.lineage)
    return kin_power(pairs, population.lineage, range(len(chosen.models)))
