"""Which model did a student learn from? Candidates of other families, "none of these" allowed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.behaviour.areas import RESAMPLES, unit
from bench.behaviour.held_out import HeldOutScores
from bench.behaviour.realdata import RealData
from whorl.core.arrays import AnyArray
from whorl.fingerprints.answer_table import AnswerTable

FALSE_NAMES: Final = 0.05
"""Share of models of other families, with no teacher among the candidates, that the threshold lets through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """One model, the candidates of other families, and what was named.

    Parameters
    ----------
    model, family : whose teacher is asked for
    teachers : documented teachers among the candidates; 0 where there is none
    candidates : how many
    first_is_teacher, first_is_of_teachers_family : of the candidate with the highest score
    highest : that score
    highest_stranger : highest score of a candidate that is unrelated as far as is documented
    """

    model: str
    family: str
    teachers: int
    candidates: int
    first_is_teacher: bool
    first_is_of_teachers_family: bool
    highest: float
    highest_stranger: float


def teacher_table(data: RealData, held_out: HeldOutScores, *, rng: np.random.Generator) -> dict[str, Any]:
    """Teacher attribution on each set in which a teacher answered beside its student."""
    found = {}
    for table in data.tables:
        models = list(_asked(data, held_out, table))
        if any(one.teachers for one in models):
            found[table.dataset] = _row(models, rng)
    return found


def _asked(data: RealData, held_out: HeldOutScores, table: AnswerTable) -> Iterator[Student]:
    """Every model, each pair measured by models of other families."""
    taught_by = held_out.by_other_families(table).scores["taught"]
    for place, model in enumerate(table.models):
        family = data.family(model)
        scores = taught_by[place]
        others = [
            (float(scores[other]), name, data.labels[table.dataset, model, name])
            for other, name in enumerate(table.models)
            if data.family(name) != family and not np.isnan(scores[other])
        ]
        taught = data.lineage.teachers(model)
        # A label "distilled" says which of the two is the student only together with the lineage.
        teachers = {name for _, name, relation in others if relation == "distilled" and _taught(name, taught, data)}
        strangers = [score for score, _, relation in others if relation == "unrelated"]
        if not others or not strangers:
            continue
        highest, first, _ = max(others)
        yield Student(
            model=model,
            family=family,
            teachers=len(teachers),
            candidates=len(others),
            first_is_teacher=first in teachers,
            first_is_of_teachers_family=data.family(first) in {data.family(name) for name in teachers},
            highest=highest,
            highest_stranger=max(strangers),
        )


def _taught(name: str, teachers: frozenset[str], data: RealData) -> bool:
    families = {data.lineage.family(teacher) for teacher in teachers}
    return data.family(name) in families


def _row(models: list[Student], rng: np.random.Generator) -> dict[str, Any]:
    students = [one for one in models if one.teachers]
    thresholds = {family: _threshold(models, family) for family in {one.family for one in models}}
    named = np.array([one.highest >= thresholds[one.family] for one in students])
    right = np.array([one.first_is_teacher for one in students])
    of_family = np.array([one.first_is_of_teachers_family for one in students])
    chance = np.array([one.teachers / one.candidates for one in students])
    units = np.unique([unit(one.model) for one in students], return_inverse=True)[1]
    everyone = [one for one in models if one.highest_stranger > -np.inf]
    return {
        "students": len(students),
        "families": len({one.family for one in students}),
        "candidates": float(np.mean([one.candidates for one in students])),
        "chance": float(chance.mean()),
        "first": _share(right, units, rng),
        "first_of_family": _share(of_family, units, rng),
        "named": _share(named, units, rng),
        "named_right": _share(named & right, units, rng),
        "named_family_right": _share(named & of_family, units, rng),
        "named_wrong": _share(named & ~of_family, units, rng),
        "without_teacher": {
            "models": len(everyone),
            "named": float(np.mean([one.highest_stranger >= thresholds[one.family] for one in everyone])),
        },
    }


def _threshold(models: list[Student], family: str) -> float:
    """What few models of other families exceed with any stranger."""
    others = [one.highest_stranger for one in models if one.family != family]
    return float(np.quantile(others, 1 - FALSE_NAMES)) if others else np.inf


def _share(hits: AnyArray, units: AnyArray, rng: np.random.Generator) -> dict[str, float]:
    """A share with its interval over resampled students, variants of one model together."""
    count = int(units.max()) + 1
    drawn = []
    for _ in range(RESAMPLES):
        weights = rng.multinomial(count, np.full(count, 1 / count))[units]
        drawn.append(float(weights @ hits / weights.sum()))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {
        "count": int(np.count_nonzero(hits)),
        "rate": float(np.mean(hits)),
        "lower": float(low),
        "upper": float(high),
    }
