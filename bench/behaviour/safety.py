"""Do two models' safety failures go together beyond the questions, and does that say anything of lineage?

Controls are the models of all other families. Measured to be reported as it is: guardrails follow regulation, system
prompts and post-training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from bench.behaviour.areas import RESAMPLES, unit
from bench.behaviour.realdata import RealData
from whorl.core.arrays import Ints
from whorl.statistics.answer_model import answer_chances, fit_answer_model
from whorl.statistics.copying_indices import match_score_matrix
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.residual_agreement import class_residuals, residual_agreement
from whorl.statistics.roc import auc_interval

UNSEEN: Final = "blocked"  # by the provider's filter, not by the model
LEAST_CONTROLS: Final = 1  # what `whorl compare` asks for is more; here it is measured what fewer would say
LINEAGE: Final = ("same_weights", "derived", "siblings")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Judged answers of one data set.

    Parameters
    ----------
    codes : shape (models, items), place in ``classes``, -1 where missing
    """

    dataset: str
    models: tuple[str, ...]
    classes: tuple[str, ...]
    codes: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPair:
    """One pair: how often both were judged alike, and what is left of that once the items are taken away.

    ``z`` is the residual agreement's and ``matches`` the answer-copying index's; None where it is not testable.
    """

    one: str
    other: str
    relation: str
    controls: int
    agreement: float
    z: float | None
    matches: float | None
    reason: str


def read_judged(data: RealData) -> tuple[Judged, ...]:
    """The safety matrix, one table per data set."""
    rows = pq.read_table(data.folder / "safety_matrix.parquet").to_pylist()
    found = []
    for dataset in sorted({row["dataset"] for row in rows}):
        here = [row for row in rows if row["dataset"] == dataset]
        models = sorted({row["model"] for row in here})
        items = {item: place for place, item in enumerate(sorted({row["prompt_id"] for row in here}))}
        classes = sorted({row["label"] for row in here} - {UNSEEN})
        codes = np.full((len(models), len(items)), -1, np.int64)
        for row in here:
            if row["label"] != UNSEEN:
                codes[models.index(row["model"]), items[row["prompt_id"]]] = classes.index(row["label"])
        found.append(Judged(dataset=dataset, models=tuple(models), classes=tuple(classes), codes=codes))
    return tuple(found)


def safety_pairs(data: RealData, judged: Judged) -> list[SafetyPair]:
    """Every pair of a set, by controls of neither's family."""
    families = [data.family(model) for model in judged.models]
    found = []
    for one in range(len(families)):
        for other in range(one):
            controls = [k for k, family in enumerate(families) if family not in (families[one], families[other])]
            found.append(_pair(data, judged, (one, other), controls))
    return found


def _pair(data: RealData, judged: Judged, pair: tuple[int, int], controls: Sequence[int]) -> SafetyPair:
    codes, classes = judged.codes, len(judged.classes)
    mine = codes[list(pair)]
    both = (mine >= 0).all(axis=0)
    names = judged.models[pair[0]], judged.models[pair[1]]
    z: float | None = None
    matches: float | None = None
    reason = ""
    if classes < 2:
        reason = "every answer was judged alike"
    elif len(controls) < LEAST_CONTROLS:
        reason = f"{len(controls)} controls of other families"
    else:
        left = class_residuals(mine, codes[list(controls)], categories=classes)
        agreed = residual_agreement(left[0], left[1])
        if isinstance(agreed, NotTestable):
            reason = agreed.detail
        else:
            z = agreed.z
        model = fit_answer_model(codes[list(controls)], categories=classes)
        score = match_score_matrix(mine, np.stack([answer_chances(model, row) for row in mine]))[0, 1]
        matches = None if np.isnan(score) else float(score)
    return SafetyPair(
        one=names[0],
        other=names[1],
        relation=data.labels[f"safety:{judged.dataset}", *names],
        controls=len(controls),
        agreement=float((mine[0] == mine[1])[both].mean()),
        z=z,
        matches=matches,
        reason=reason,
    )


def safety_table(data: RealData, *, rng: np.random.Generator) -> dict[str, Any]:
    """How well safety failures tell lineage, for each set and each of three scores."""
    found: dict[str, Any] = {}
    for judged in read_judged(data):
        pairs = safety_pairs(data, judged)
        row: dict[str, Any] = {
            "models": len(judged.models),
            "items": judged.codes.shape[1],
            "classes": list(judged.classes),
            "pairs": len(pairs),
            "not_testable": sum(pair.z is None for pair in pairs),
        }
        for name, related in (("lineage", LINEAGE), ("family", (*LINEAGE, "same_family"))):
            row[name] = {
                score: figure
                for score in ("agreement", "z", "matches")
                if (figure := _area(pairs, score, related, rng)) is not None
            }
        found[judged.dataset] = row
    return found


def _area(
    pairs: Sequence[SafetyPair], score: str, related: Sequence[str], rng: np.random.Generator
) -> dict[str, Any] | None:
    used = [pair for pair in pairs if pair.relation in (*related, "unrelated") and getattr(pair, score) is not None]
    positive = np.array([pair.relation != "unrelated" for pair in used], bool)
    if not positive.any() or positive.all():
        return None
    names = sorted({unit(name) for pair in used for name in (pair.one, pair.other)})
    units = np.array([[names.index(unit(pair.one)), names.index(unit(pair.other))] for pair in used])
    values = np.array([getattr(pair, score) for pair in used])
    figure = auc_interval(values, positive, units, resamples=RESAMPLES, rng=rng)
    return {
        "auc": figure.value,
        "lower": figure.lower,
        "upper": figure.upper,
        "related": figure.positives,
        "unrelated": figure.negatives,
    }
