"""Which answers of a table a model is known from, and which stand in for those of a questioned model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Ints
from whorl.fingerprints.answer_table import AnswerTable, prompt_of

Design: TypeAlias = Literal["same_prompts", "other_prompts"]
MOST_SAMPLES: Final = 20
"""Questioned samples of each model."""
_OFTEN: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Answers of one model that stand in for those of a questioned one.

    Parameters
    ----------
    model : place in the table
    number : which of the model's samples
    items : rows of the table
    """

    model: int
    number: int
    items: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """How a table is divided.

    Parameters
    ----------
    design : ``same_prompts``: samples are other draws of prompts that the model is known from; ``other_prompts``: they
        are answers to prompts that it is not known from
    questions : shape (items,), one number for all draws of one prompt
    enrolled : shape (items, models)
    samples : disjoint, none enrolled
    """

    design: Design
    questions: Ints
    enrolled: NDArray[np.bool_]
    samples: tuple[Sample, ...]

    @property
    def taken(self) -> NDArray[np.bool_]:
        """Answers that are enrolled or in a sample, shape (items, models)."""
        taken = self.enrolled.copy()
        for sample in self.samples:
            taken[sample.items, sample.model] = True
        return taken

    @property
    def models(self) -> frozenset[int]:
        """Models with enrolled answers and at least one sample."""
        return frozenset(sample.model for sample in self.samples)


def divide(table: AnswerTable, *, enrol: int, probe: int, rng: np.random.Generator) -> Plan:
    """Divide a table by chance, by what it holds.

    Where at least half of the models answered at least half of their prompts more than once, other draws of the same
    prompts are questioned: that is what an endpoint that is asked a known battery gives. Otherwise other prompts are.

    Parameters
    ----------
    enrol, probe : answers from which a model is known, and in a sample; models with too few answers are left out
    """
    draws = _draws(table.items)
    questions = np.zeros(len(table.items), np.int64)
    for number, rows in enumerate(draws):
        questions[rows] = number
    order = rng.permutation(len(draws))
    if _often_asked_again(table, questions):
        return _by_draw(table, [draws[place] for place in order], questions, enrol, probe, rng)
    return _by_prompt(table, [draws[place][0] for place in order], questions, enrol, probe)


def _draws(items: Sequence[str]) -> list[list[int]]:
    """Rows of each prompt, prompts in the order of their first row."""
    found: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        found.setdefault(prompt_of(item), []).append(row)
    return list(found.values())


def _often_asked_again(table: AnswerTable, questions: Ints) -> bool:
    answered = table.answered
    counts = np.zeros((int(questions.max(initial=-1)) + 1, len(table.models)), np.int64)
    np.add.at(counts, questions, answered)
    asked = np.maximum((counts > 0).sum(axis=0), 1)
    return bool(np.mean((counts > 1).sum(axis=0) / asked >= _OFTEN) >= _OFTEN)


def _by_prompt(table: AnswerTable, order: Sequence[int], questions: Ints, enrol: int, probe: int) -> Plan:
    answered = table.answered
    enrolled = np.zeros(answered.shape, bool)
    samples: list[Sample] = []
    rows = np.array(order, np.int64)
    for model in range(len(table.models)):
        here = rows[answered[rows, model]]
        number = min(MOST_SAMPLES, (here.size - enrol) // probe)
        if number < 1:
            continue
        enrolled[here[:enrol], model] = True
        for place in range(number):
            start = enrol + place * probe
            samples.append(Sample(model=model, number=place, items=here[start : start + probe]))
    return Plan(design="other_prompts", questions=questions, enrolled=enrolled, samples=tuple(samples))


def _by_draw(
    table: AnswerTable,
    order: Sequence[Sequence[int]],
    questions: Ints,
    enrol: int,
    probe: int,
    rng: np.random.Generator,
) -> Plan:
    answered = table.answered
    enrolled = np.zeros(answered.shape, bool)
    samples: list[Sample] = []
    for model in range(len(table.models)):
        questioned: list[int] = []
        for rows in order:
            here = rng.permutation(np.array([row for row in rows if answered[row, model]], np.int64))
            if here.size > 1 and enrolled[:, model].sum() < enrol:
                questioned.append(int(here[0]))
                enrolled[here[1:], model] = True
        number = min(MOST_SAMPLES, len(questioned) // probe)
        for place in range(number):
            part = np.array(questioned[place * probe : (place + 1) * probe], np.int64)
            samples.append(Sample(model=model, number=place, items=part))
        if not number:
            enrolled[:, model] = False
    return Plan(design="same_prompts", questions=questions, enrolled=enrolled, samples=tuple(samples))
