"""The study of behavioural scores measures what it says it measures."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from bench.behaviour.areas import Contrast, contrast
from bench.behaviour.held_out import HeldOutScores, ScoredPairs
from bench.behaviour.naive import naive_similarity
from bench.behaviour.page import page
from bench.behaviour.rates import share
from bench.behaviour.realdata import RealData, halves
from bench.behaviour.study import CEILING, PAGE, RESULTS, ROOT
from whorl.comparison.answer_pairs import pair_rows
from whorl.comparison.answer_population import build_population
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.fingerprints.answer_table import AnswerTable

WORDS = ("stone", "river", "lamp", "cloud", "engine", "paper", "garden", "signal", "copper", "window", "bridge")
FAMILIES = ("ash", "birch", "cedar", "elm", "fir", "oak")
OF_EACH = 4


def table_of(*answers: tuple[str | None, ...]) -> AnswerTable:
    """Answers by item, one for each of models a, b, ..."""
    models = tuple("abcdefgh"[: len(answers[0])])
    return AnswerTable(
        dataset="set",
        models=models,
        items=tuple(f"item{number}" for number in range(len(answers))),
        answers=np.array(answers, dtype=object),
    )


@pytest.fixture(scope="module")
def data() -> RealData:
    """24 models of six families; the members of a family keep to its words."""
    rng = np.random.default_rng(20261126)
    models = [f"{family}-{number}" for family in FAMILIES for number in range(OF_EACH)]
    answers = np.empty((30, len(models)), dtype=object)
    for item, place in itertools.product(range(30), range(len(models))):
        own = np.random.default_rng([item, place // OF_EACH]).choice(WORDS, 8)
        answers[item, place] = " ".join(np.where(rng.random(8) < 0.6, own, rng.choice(WORDS, 8)))
    table = AnswerTable(
        dataset="set", models=tuple(models), items=tuple(f"i{number:02}" for number in range(30)), answers=answers
    )
    lineage = Lineage(
        edges=tuple(
            DocumentedEdge(model=model, family=model[:-2], base=f"{model[:-2]}-0", relation="finetune")
            for model in models
        )
    )
    labels = {("set", a, b): lineage.relation(a, b) for a, b in itertools.permutations(models, 2)}
    return RealData(folder=Path(), tables=(table,), lineage=lineage, labels=labels)


def without(table: AnswerTable, families: frozenset[str]) -> AnswerTable:
    kept = [place for place, model in enumerate(table.models) if model[:-2] not in families]
    return AnswerTable(
        dataset=table.dataset,
        models=tuple(table.models[place] for place in kept),
        items=table.items,
        answers=table.answers[:, kept],
    )


def by_names(pairs: ScoredPairs) -> dict[tuple[str, str], tuple[float, float]]:
    found = {}
    for number, places in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)):
        names = sorted(pairs.models[place] for place in places)
        found[names[0], names[1]] = (float(pairs.scores["line"][number]), float(pairs.p[number]))
    return found


def test_a_pair_is_scored_as_the_program_scores_it(data: RealData, tmp_path: Path) -> None:
    (table,) = data.tables
    scored = by_names(HeldOutScores(data, tmp_path).left_out_pairs(table))
    population = build_population([table], data.lineage)
    for row in pair_rows([table], population):
        assert scored[row.model_a, row.model_b] == pytest.approx((row.score_line, row.calibrated_p), abs=1e-9)


def test_half_of_the_families_is_scored_as_a_strangers_table(data: RealData, tmp_path: Path) -> None:
    (table,) = data.tables
    half = frozenset({"ash", "birch", "cedar"})
    pairs = HeldOutScores(data, tmp_path).split_pairs(table, half)
    assert pairs is not None
    scored = by_names(pairs)
    rows = list(pair_rows([table], build_population([without(table, half)], data.lineage)))
    inside = [row for row in rows if {row.model_a[:-2], row.model_b[:-2]} <= half]
    assert len(scored) == len(inside) == 66
    for row in inside:
        assert scored[row.model_a, row.model_b][0] == pytest.approx(row.score_line, abs=1e-9)


def test_kept_comparisons_are_used_again_and_give_the_same(data: RealData, tmp_path: Path) -> None:
    (table,) = data.tables
    first = HeldOutScores(data, tmp_path).by_other_families(table).scores["taught"]
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = HeldOutScores(data, tmp_path).by_other_families(table).scores["taught"]
    assert len(files) == 1
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
    np.testing.assert_array_equal(first, again)


def test_each_two_of_the_largest_families_stand_once_on_one_side(data: RealData) -> None:
    parted = halves(data)
    assert len(parted) == 3
    for one, other in parted:
        assert not one & other
        assert one | other == set(FAMILIES)
    largest = ("ash", "birch", "cedar")  # all are alike in size: the first three
    for pair in itertools.combinations(largest, 2):
        assert sum(set(pair) <= half for parts in parted for half in parts) == 1


def test_naive_similarity_is_the_cosine_of_gram_counts() -> None:
    # "abcde" and "abcdx" share one of two grams: 1 / 2; the third text shares none.
    found = naive_similarity(table_of(*[("abcde", "abcdx", "12345")] * 8))
    assert found[0, 1] == pytest.approx(0.5)
    assert found[0, 2] == 0
    assert np.isnan(found[0, 0])
    # Repetition counts: (2, 1) with (1, 1).
    twice = naive_similarity(table_of(*[("aaaaab", "aaaab")] * 8))
    assert twice[0, 1] == pytest.approx(3 / np.sqrt(5 * 2))


def test_naive_similarity_needs_as_many_items_as_a_score_does() -> None:
    found = naive_similarity(table_of(*[("abcde", "abcde", None)] * 7, ("abcde", "abcde", "abcde")))
    assert found[0, 1] == pytest.approx(1.0)
    assert np.isnan(found[0, 2])


def test_a_contrast_counts_a_pair_as_often_as_its_models_were_drawn() -> None:
    one = Contrast(
        scores=np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]]),
        positive=np.array([True, True, False]),
        units=np.array([[0, 0], [0, 1], [1, 2]]),
    )
    assert one.areas() == (0.5, 0.0)
    np.testing.assert_array_equal(one.weights(np.array([2.0, 3.0, 1.0])), [2.0, 6.0, 3.0])
    assert one.areas(one.weights(np.array([2.0, 3.0, 1.0])))[0] == pytest.approx(2 / 8)
    assert np.isnan(one.areas(one.weights(np.array([3.0, 0.0, 0.0])))).all()


def test_only_related_and_unrelated_pairs_are_contrasted(data: RealData, tmp_path: Path) -> None:
    (table,) = data.tables
    pairs = HeldOutScores(data, tmp_path).left_out_pairs(table)
    one = contrast(pairs, "derived", "derived", {model: place for place, model in enumerate(table.models)})
    assert int(one.positive.sum()) == len(FAMILIES) * (OF_EACH - 1)
    assert int((~one.positive).sum()) == 15 * OF_EACH**2
    assert one.areas()[0] > 0.95


def test_a_share_of_nothing_has_the_upper_end_that_its_comparisons_allow() -> None:
    units = np.array([[2 * number, 2 * number + 1] for number in range(30)])
    found = share(np.zeros(30, bool), units, np.random.default_rng(0))
    assert (found["count"], found["rate"], found["lower"]) == (0, 0.0, 0.0)
    assert found["upper"] == pytest.approx(1 - 0.05 ** (1 / 30))  # 30 independent comparisons


def test_the_page_is_made_from_the_committed_results() -> None:
    results, ceiling = (json.loads(file.read_text(encoding="utf-8")) for file in (RESULTS, CEILING))
    assert PAGE.read_text(encoding="utf-8") == page(results, ceiling)


def test_the_rates_of_a_cases_word_are_those_that_were_measured() -> None:
    text = (ROOT / "docs/methods/behaviour.md").read_text(encoding="utf-8")
    rows = json.loads((ROOT / "bench/behaviour/case_relation.json").read_text(encoding="utf-8"))["rows"]
    for relation, spoken in (
        ("unrelated", "unrelated"),
        ("same_weights", "same weights"),
        ("derived", "derived"),
        ("siblings", "siblings"),
        ("same_family", "same family"),
        ("distilled", "student and teacher"),
    ):
        pairs = sum(row["pairs"] for row in rows if row["relation"] == relation)
        called = sum(row["called"] for row in rows if row["relation"] == relation)
        assert f"| {spoken} | {pairs:,} | {called} |" in text
