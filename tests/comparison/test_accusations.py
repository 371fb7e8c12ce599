"""Nobody is accused for saying nothing, for few answers, for a cache, or for standing beside a copy of the reference.

Each of these once gave a false accusation or hid a true relative.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from simulated_endpoints import Simulated, answers, asked

from whorl.comparison.agreement import agreement
from whorl.comparison.answer_population import AnswerPopulation, build_population
from whorl.comparison.answer_scores import LabelledScores, Weighing, score_pairs
from whorl.comparison.answer_sources import dataset_name
from whorl.comparison.asked import Asked, labels_of
from whorl.comparison.behaviour import compare_behaviour
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.core.behaviour import Behaviour
from whorl.fingerprints.answer_table import Answer, answer_tables
from whorl.probes.families import battery

QUICK = battery("quick", 3)
NORTHWIND = Simulated("northwind")
STRANGERS = [Simulated(f"stranger-{number}") for number in range(6)]
CANNED = "I'm sorry, but I can't help with that request."


@cache
def population(*, copy_of_reference: bool = False, giant: bool = False) -> AnswerPopulation:
    """56 controls, of a line each or, but for three, of one; five with a fine-tune."""
    models: list[Simulated] = []
    edges: list[DocumentedEdge] = []
    for number in range(56):
        name = f"control-{number:02d}"
        models.append(Simulated(name))
        family = "giant" if giant and number >= 3 else name
        edges.append(DocumentedEdge(model=name, family=family, base="", relation="same_family"))
        if number < 5:
            models.append(Simulated(f"{name}-ft", base=name, kept=0.85))
            edges.append(DocumentedEdge(model=f"{name}-ft", family=family, base=name, relation="finetune"))
    rows = answers(models, QUICK, dataset_name(QUICK))
    if copy_of_reference:
        rows += [replace(row, model="re-upload") for row in answers([NORTHWIND], QUICK, dataset_name(QUICK))]
    return build_population(answer_tables(rows), Lineage(edges=tuple(edges)), batteries=(QUICK,))


def changed(one: Asked, **texts: tuple[str, ...]) -> Asked:
    """The same endpoint with other answers to some items."""
    whole = {**one.texts, **texts}
    return replace(one, texts=whole, labels=labels_of(QUICK, whole))


def only(one: Asked, items: set[str]) -> Asked:
    return replace(
        one,
        texts={item: texts for item, texts in one.texts.items() if item in items},
        labels={item: labels for item, labels in one.labels.items() if item in items},
    )


def accusations(found: Behaviour) -> list[str]:
    verdicts = found.verdicts
    return [
        name
        for name, accused in (
            ("line", verdicts.line.outcome not in ("unknown", "inconclusive")),
            ("weights-related", verdicts.weights_related.outcome == "supported"),
            ("learned-from", verdicts.learned_from.outcome == "candidates"),
        )
        if accused
    ]


@pytest.mark.parametrize("said", ["", CANNED, "[content filtered]", "B"])
@pytest.mark.parametrize("families", [("wrong_answers", "low_entropy"), None])
def test_two_strangers_that_answer_nothing_do_not_agree(said: str, families: tuple[str, ...] | None) -> None:
    silent = {item.id: (said,) * item.draws for item in QUICK.items if families is None or item.family in families}
    pair = [changed(asked(model, QUICK), **silent) for model in STRANGERS[:2]]
    assert accusations(compare_behaviour(pair[0], pair[1], QUICK, population())) == []


@pytest.mark.parametrize("count", [12, 20, 40])
def test_few_answers_name_no_line(count: int) -> None:
    """By controls that were measured over all questions, 7 of 12 such strangers were given a line."""
    named = []
    for number, model in enumerate(STRANGERS):
        chosen = np.random.default_rng([count, number]).permutation([item.id for item in QUICK.items])[:count]
        found = compare_behaviour(only(asked(model, QUICK), set(chosen.tolist())), None, QUICK, population())
        named += accusations(found)
    assert named == []


def test_a_copy_of_the_reference_among_the_controls_does_not_hide_its_fine_tune() -> None:
    fine_tune = asked(Simulated("suspect", base="northwind", kept=0.85), QUICK)
    found = compare_behaviour(fine_tune, asked(NORTHWIND, QUICK), QUICK, population(copy_of_reference=True))
    alone = compare_behaviour(fine_tune, asked(NORTHWIND, QUICK), QUICK, population())
    assert found.verdicts.weights_related.p == alone.verdicts.weights_related.p
    assert found.verdicts.line.outcome == "northwind"
    assert any("re-upload" in limit for limit in found.limits)


def test_behind_a_cache_repeated_answers_are_no_draws() -> None:
    once = {
        item.id: (texts[0],) * len(texts) for item in QUICK.items if (texts := asked(NORTHWIND, QUICK).texts[item.id])
    }
    found = compare_behaviour(
        changed(asked(NORTHWIND, QUICK), **once), asked(NORTHWIND, QUICK, salt="2"), QUICK, population()
    )
    assert found.verdicts.endpoint.outcome == "inconclusive"
    assert "cache" in found.verdicts.endpoint.reason
    again = {item: (texts[0],) * len(texts) for item, texts in asked(NORTHWIND, QUICK, salt="2").texts.items()}
    both = compare_behaviour(
        changed(asked(NORTHWIND, QUICK), **once), changed(asked(NORTHWIND, QUICK), **again), QUICK, population()
    )
    assert both.verdicts.endpoint.outcome == "inconclusive"


def test_models_of_one_line_count_once_in_the_power_of_a_swap() -> None:
    again = asked(NORTHWIND, QUICK, salt="2")
    found = compare_behaviour(again, asked(NORTHWIND, QUICK), QUICK, population(giant=True))
    assert found.verdicts.endpoint.outcome == "inconclusive"
    assert "4 lines of control models" in found.verdicts.endpoint.reason
    assert compare_behaviour(again, asked(NORTHWIND, QUICK), QUICK, population()).verdicts.endpoint.outcome == "same"


def table_of(models: int, items: int, *, answered: float) -> list[Answer]:
    words = [f"{a}{b}" for a in ("ba", "de", "fi", "go", "ku", "la") for b in "mnrstxz"]
    rows = []
    for model in range(models):
        for item in range(items):
            own, everybody = np.random.default_rng([model, item]), np.random.default_rng([7, item])
            mixed = np.where(
                own.random(6) < 0.5, everybody.integers(len(words), size=6), own.integers(len(words), size=6)
            )
            text = " ".join(words[place] for place in mixed)
            if model < 56 or own.random() < answered:
                rows.append(Answer(dataset="d", model=f"m{model:02d}", prompt_id=f"p{item:02d}", response=text))
    return rows


def p_values(rows: list[Answer]) -> np.ndarray:
    (table,) = answer_tables(rows)
    lineage = Lineage(
        edges=tuple(
            DocumentedEdge(model=f"m{model:02d}", family=f"f{model}", base="", relation="same_family")
            for model in range(56)
        )
    )
    reference = np.array([int(name[1:]) < 56 for name in table.models])
    found = score_pairs(agreement(table, reference), lineage)
    weighing = Weighing(found, LabelledScores(pairs=(), controls=0))
    places = np.flatnonzero(~reference).tolist()
    p = [
        weighing.weigh(one, other).p
        for number, one in enumerate(places)
        for other in places[:number]
        if not np.isnan(found.scores["same_weights"][one, other])
    ]
    return np.array(p, np.float64)


def test_p_values_hold_where_questioned_models_answered_few_questions() -> None:
    values = p_values(table_of(56 + 34, 60, answered=0.4))
    assert len(values) > 400
    assert (values <= 0.01).mean() <= 0.012 + 2 * np.sqrt(0.01 * 0.99 / len(values))
    assert (values <= 0.05).mean() <= 0.06 + 2 * np.sqrt(0.05 * 0.95 / len(values))


def test_two_that_have_nothing_in_common_with_anybody_have_nothing_in_common() -> None:
    """Noise of two alphabets, short replies and a canned refusal among models that talk."""
    rng = np.random.default_rng(0)
    odd = {
        "m90": lambda: "".join(rng.choice(list("的一是在不了有和人这中大"), 60)),
        "m91": lambda: " ".join("".join(rng.choice(list("абвгдежз"), 6)) for _ in range(12)),
        "m92": lambda: "".join(rng.choice(list("0123456789abcdef"), 80)),
        "m93": lambda: CANNED,
        "m94": lambda: "I apologize, but as a language model I am not able to do that.",
        "m95": lambda: "",
    }
    rows = table_of(56, 60, answered=1.0)
    rows += [
        Answer(dataset="d", model=name, prompt_id=f"p{item:02d}", response=says())
        for name, says in odd.items()
        for item in range(60)
    ]
    assert p_values(rows).min(initial=1.0) > 0.05
