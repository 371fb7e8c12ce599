"""Which of the enrolled models gave these few answers, or none of them? Closed and open set, on a table.

Each model is enrolled on some answers and probed with others. Where a table holds several answers to one question, the
probe is another draw of enrolled questions; elsewhere the questions differ, and only manner can tell. Method page:
``docs/methods/identification.md``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.documented_lineage import Lineage
from whorl.core.arrays import Doubles, Ints
from whorl.core.errors import InputError
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable, item_name, prompt_of
from whorl.fingerprints.manner import manner

ACCEPTED_STRANGERS: Final = 0.01
"""Share of probes by models of other families that a threshold lets through, on the families it is set on."""
LEAST_MODELS: Final = 5
_LEAST_ANSWERED: Final = 0.7
_FLOOR: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One model's probe.

    Parameters
    ----------
    named : the best candidate with the model's own line enrolled
    right, right_line : whether it is the model (variants of the same weights count), and of its line
    accepted : whether it is further ahead of every other line than strangers' best candidates are
    stranger_accepted : whether the best candidate passes while the model's own line is not enrolled
    """

    dataset: str
    model: str
    named: str
    score: float
    right: bool
    right_line: bool
    accepted: bool
    stranger_accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """All probes of one data set."""

    dataset: str
    design: Literal["same questions", "other questions"]
    models: int
    enrolled: int
    probed: int
    results: tuple[ProbeResult, ...]


def identify_table(
    table: AnswerTable, lineage: Lineage, *, enrol: int, probe: int, seed: int, progress: Progress = silent
) -> Identification:
    """Enrol every model of a table on ``enrol`` answers and probe it with ``probe`` others, as often as they last.

    Raises
    ------
    InputError
        If the table has too few models or questions.
    """
    design, enrolled, probes = _split(table, enrol, probe, np.random.default_rng(seed))
    means, within = _enrolled(table, enrolled, progress)
    spread = means.var(axis=0) - within / len(enrolled)
    # Features that differ between models beyond the noise of their means, in units of the noise within a model.
    kept = spread > 0
    weight = 1 / np.sqrt(within[kept] + _FLOOR * within[kept].mean())
    known = means[:, kept] * weight
    known /= np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
    rows: list[tuple[int, Doubles]] = []
    for number, chosen in enumerate(probes):
        vectors = list(_centred(table, chosen))
        for model in range(len(table.models)):
            given = [vector for item in vectors if (vector := item.get(model)) is not None]
            if len(given) >= _LEAST_ANSWERED * len(chosen):
                asked = np.mean(given, axis=0)[kept] * weight
                rows.append((model, known @ (asked / max(float(np.linalg.norm(asked)), 1e-12))))
        progress(f"probing {table.dataset}", number + 1, len(probes))
    return Identification(
        dataset=table.dataset,
        design=design,
        models=len(table.models),
        enrolled=len(enrolled),
        probed=len(probes[0]),
        results=_judged(table, lineage, rows),
    )


def _split(
    table: AnswerTable, enrol: int, probe: int, rng: np.random.Generator
) -> tuple[Literal["same questions", "other questions"], list[int], list[list[int]]]:
    answered = table.answered.mean(axis=1)
    first = [place for place, item in enumerate(table.items) if prompt_of(item) == item and answered[place] >= 0.5]
    again = {prompt_of(item): place for place, item in enumerate(table.items) if item == item_name(prompt_of(item), 1)}
    repeated = [place for place in first if table.items[place] in again and answered[again[table.items[place]]] >= 0.5]
    first = [first[place] for place in rng.permutation(len(first))]
    if len(repeated) >= max(probe, len(first) // 2):
        chosen = [place for place in first if place in set(repeated)][:enrol]
        other = [again[table.items[place]] for place in chosen]
        design: Literal["same questions", "other questions"] = "same questions"
    else:
        chosen, other, design = first[:enrol], first[enrol:], "other questions"
    probes = [other[start : start + probe] for start in range(0, len(other) - probe + 1, probe)]
    if len(table.models) < LEAST_MODELS or len(chosen) < 2 or not probes:
        raise InputError(
            f"data set {table.dataset}: expected {LEAST_MODELS} models and {enrol} + {probe} questions, found "
            f"{len(table.models)} and {len(first)}; enrol on fewer"
        )
    return design, chosen, probes


def _centred(table: AnswerTable, items: Sequence[int]) -> Iterator[dict[int, Doubles]]:
    """Per item, each model's vector without the mean of the other models' vectors."""
    for item in items:
        vectors = {model: manner(text) for model, text in enumerate(table.answers[item]) if text is not None}
        total, count = np.sum(list(vectors.values()), axis=0), len(vectors)
        yield {model: vector - (total - vector) / max(count - 1, 1) for model, vector in vectors.items()}


def _enrolled(table: AnswerTable, items: Sequence[int], progress: Progress) -> tuple[Doubles, Doubles]:
    """Means of all models, and the variance of a feature within a model."""
    count = np.zeros(len(table.models))
    total: Doubles | None = None
    squares: Doubles | None = None
    for number, vectors in enumerate(_centred(table, items)):
        for model, vector in vectors.items():
            if total is None or squares is None:
                total, squares = np.zeros((len(table.models), vector.size)), np.zeros(vector.size)
            total[model] += vector
            squares += vector**2
            count[model] += 1
        progress(f"enrolling {table.dataset}", number + 1, len(items))
    if total is None or squares is None:
        raise InputError(f"data set {table.dataset}: no answers to enrol on")
    means = total / np.maximum(count, 1)[:, None]
    within = (squares - (count[:, None] * means**2).sum(axis=0)) / max(float(count.sum()) - len(count), 1.0)
    return means, np.maximum(within, 0.0)


def _judged(table: AnswerTable, lineage: Lineage, rows: Sequence[tuple[int, Doubles]]) -> tuple[ProbeResult, ...]:
    families = np.array([lineage.family(model) or model for model in table.models])
    weights = np.array([model.split("@")[0] for model in table.models])
    alone = [_margin(scores, families, families != families[model]) for model, scores in rows]
    best_stranger = np.array(alone)
    probed = np.array([families[model] for model, _ in rows])
    results = []
    for place, (model, scores) in enumerate(rows):
        # The threshold is set on families other than the probe's.
        limit = float(np.quantile(best_stranger[probed != probed[place]], 1 - ACCEPTED_STRANGERS))
        named = int(scores.argmax())
        results.append(
            ProbeResult(
                dataset=table.dataset,
                model=table.models[model],
                named=table.models[named],
                score=float(scores[named]),
                right=bool(weights[named] == weights[model]),
                right_line=bool(families[named] == families[model]),
                accepted=bool(_margin(scores, families, np.ones(len(families), dtype=bool)) > limit),
                stranger_accepted=bool(best_stranger[place] > limit),
            )
        )
    return tuple(results)


def _margin(scores: Doubles, families: NDArray[np.str_], enrolled: NDArray[np.bool_]) -> float:
    """How far the best candidate is ahead of the best of any other line: a stranger has several that are alike."""
    kept, lines = scores[enrolled], families[enrolled]
    best = int(kept.argmax())
    others = kept[lines != lines[best]]
    return float(kept[best] - others.max()) if others.size else 0.0


def shares(results: Sequence[ProbeResult]) -> dict[str, float]:
    """Shares of probes, over all models alike."""
    models: Ints = np.unique([result.model for result in results], return_inverse=True)[1]
    figures = {
        "right": [result.right for result in results],
        "right_line": [result.right_line for result in results],
        "right_line_and_accepted": [result.right_line and result.accepted for result in results],
        "stranger_accepted": [result.stranger_accepted for result in results],
    }
    count = np.bincount(models)
    return {name: float((np.bincount(models, weights=values) / count).mean()) for name, values in figures.items()}
