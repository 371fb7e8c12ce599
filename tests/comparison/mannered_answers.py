"""Simulated answers: words of the question's topic mixed with a model's favourites."""

from functools import cache

import numpy as np

from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.fingerprints.answer_table import Answer, AnswerTable, answer_tables

WORDS = [f"{a}{b}{c}" for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "ni") for b in "mnrst" for c in "aeo"]


@cache
def _choices(kind: int, number: int, size: int) -> tuple[str, ...]:
    order = np.random.default_rng([kind, number]).permutation(len(WORDS))[:size]
    return tuple(WORDS[place] for place in order)


def says(model: int, item: int, draw: int = 0, *, manner: float = 0.4) -> str:
    """Twenty words that a model always says to a question, and ten that it does not."""
    mine, topic = _choices(99, model, 8), _choices(98, item, 12)
    words: list[str] = []
    for rng, count in (
        (np.random.default_rng([1, model, item]), 20),
        (np.random.default_rng([2, model, item, draw]), 10),
    ):
        own, places = rng.random(count) < manner, rng.integers(10_000, size=count)
        words += [(mine[place % 8] if here else topic[place % 12]) for here, place in zip(own, places, strict=True)]
    return " ".join(words)


def table(
    models: int, items: int, *, draws: int = 1, manner: float = 0.4, dataset: str = "d", first: int = 0
) -> AnswerTable:
    rows = [
        Answer(
            dataset=dataset,
            model=f"m{model:02d}",
            prompt_id=f"p#{item:03d}",
            response=says(model, item, draw, manner=manner),
        )
        for model in range(first, first + models)
        for item in range(items)
        for draw in range(draws)
    ]
    return answer_tables(rows)[0]


def lineage(models: int, *, a_line: int = 1) -> Lineage:
    """Documents ``a_line`` models to a line."""
    return Lineage(
        edges=tuple(
            DocumentedEdge(model=f"m{model:02d}", family=f"f{model // a_line:02d}", base="", relation="same_family")
            for model in range(models)
        )
    )
