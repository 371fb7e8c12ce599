"""Naming a model from a few answers, closed and open set, on simulated manners."""

import numpy as np
import pytest

from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.comparison.identification import identify_table, shares
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import Answer, AnswerTable, answer_tables

WORDS = [f"{a}{b}" for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "ni") for b in "mnrst"]


def says(model: int, item: int, draw: int = 0, *, manner: float = 0.5) -> str:
    """Words of the topic, and a model's own favourites."""
    rng = np.random.default_rng([model, item, draw])
    favourites = np.random.default_rng([99, model]).permutation(len(WORDS))[:6]
    topic = np.random.default_rng([98, item]).permutation(len(WORDS))[:8]
    return " ".join(WORDS[rng.choice(favourites if rng.random() < manner else topic)] for _ in range(30))


def table(models: int, items: int, *, draws: int = 1, manner: float = 0.5) -> AnswerTable:
    rows = [
        Answer(
            dataset="d",
            model=f"m{model:02d}",
            prompt_id=f"p#{item:03d}",
            response=says(model, item, draw, manner=manner),
        )
        for model in range(models)
        for item in range(items)
        for draw in range(draws)
    ]
    return answer_tables(rows)[0]


def lineage(models: int) -> Lineage:
    return Lineage(
        edges=tuple(
            DocumentedEdge(model=f"m{model:02d}", family=f"f{model}", base="", relation="same_family")
            for model in range(models)
        )
    )


def test_models_with_a_manner_of_their_own_are_named_from_other_questions() -> None:
    found = identify_table(table(12, 60), lineage(12), enrol=30, probe=10, seed=1)
    assert found.design == "other questions"
    assert len(found.results) == 12 * 3
    assert shares(found.results)["right"] >= 0.95


def test_without_a_manner_nobody_is_named_better_than_by_chance() -> None:
    found = identify_table(table(12, 60, manner=0.0), lineage(12), enrol=30, probe=10, seed=1)
    assert shares(found.results)["right"] < 0.3


def test_strangers_are_hardly_ever_accepted() -> None:
    found = identify_table(table(16, 90), lineage(16), enrol=30, probe=10, seed=2)
    assert shares(found.results)["stranger_accepted"] <= 0.05


def test_repeated_answers_are_probed_on_the_same_questions() -> None:
    found = identify_table(table(8, 24, draws=2), lineage(8), enrol=20, probe=10, seed=3)
    assert found.design == "same questions"


def test_the_split_is_the_seeds_and_nothing_elses() -> None:
    one, again, other = (identify_table(table(6, 40), lineage(6), enrol=15, probe=5, seed=s) for s in (4, 4, 5))
    assert one == again
    assert one != other


def test_too_small_a_table_is_refused() -> None:
    with pytest.raises(InputError, match="expected 5 models and 30 \\+ 10 questions"):
        identify_table(table(6, 30), lineage(6), enrol=30, probe=10, seed=0)
