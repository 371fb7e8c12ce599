"""Centring on others, and how far a sample stands out between strangers and the model's own."""

import numpy as np
import pytest

from whorl.comparison.style_scores import Nearness, Scores, centred, stands_out
from whorl.comparison.style_space import StyleAnswers, learn_axes, style_answers
from whorl.fingerprints.answer_table import AnswerTable

LINES = np.array([0, 0, 1])


def answers(values: list[float], questions: list[int], models: list[int]) -> StyleAnswers:
    return StyleAnswers(
        coordinates=np.array(values, np.float32)[:, None],
        questions=np.array(questions),
        models=np.array(models),
        rows=np.full((1, 3), -1),
    )


def test_an_answer_is_centred_on_the_others_to_the_same_question() -> None:
    given = answers([1.0, 3.0, 8.0, 5.0], [0, 0, 0, 1], [0, 1, 2, 2])
    found = centred(given, LINES, None)[:, 0]
    assert found.tolist() == [1 - 5.5, 3 - 4.5, 8 - 2.0, 0.0]  # alone on a question: nothing to compare with


def test_a_line_that_is_left_out_is_in_no_mean() -> None:
    given = answers([1.0, 3.0, 8.0], [0, 0, 0], [0, 1, 2])
    assert centred(given, LINES, 1)[:, 0].tolist() == [1 - 3.0, 3 - 1.0, 8 - 2.0]
    moved = answers([1.0, 3.0, 800.0], [0, 0, 0], [0, 1, 2])
    assert centred(moved, LINES, 1)[:2, 0].tolist() == [1 - 3.0, 3 - 1.0]


def scores(samples: list[list[float]], kinds: int = 1) -> Scores:
    cohort = np.array([[10.0, 0.0], [12.0, 0.0], [1.0, 20.0], [3.0, 24.0]])
    near = Nearness(
        samples=np.array(samples),
        cohort=cohort,
        cohort_of=np.array([0, 0, 2, 2]),
        own=np.array([10.0, 12.0, 20.0, 24.0]),
    )
    other = Nearness(samples=near.samples - 5, cohort=cohort, cohort_of=near.cohort_of, own=near.own)
    named = {"first": near} if kinds == 1 else {"first": near, "second": other}
    return Scores(candidates=np.array([0, 2]), kinds=named, order=near.samples)


def test_nothing_is_where_strangers_end_and_one_near_the_usual_place_of_ones_own() -> None:
    found = stands_out(scores([[2.98, 0.0], [11.0, 22.0]]), LINES)
    # Model 0: strangers' 99 % quantile is 2.98, own median 11, a spread of 1.5 in the middle of both models' 1 and 2.
    assert found[0, 0] == pytest.approx(0.0, abs=1e-9)
    assert found[1, 0] == pytest.approx(8.02 / (8.02 + 1.65 * 1.5))
    assert found[1, 1] == pytest.approx(22.0 / (22.0 + 1.65 * 1.5))


def test_the_least_favourable_kind_of_score_counts() -> None:
    one, both = (stands_out(scores([[11.0, 22.0]], kinds), LINES) for kinds in (1, 2))
    assert np.all(both < one)


def test_a_candidate_without_score_or_without_own_samples_never_stands_out() -> None:
    assert stands_out(scores([[np.nan, 22.0]]), LINES)[0].tolist()[0] == -np.inf
    given = scores([[11.0, 22.0]])
    unknown = Nearness(
        samples=given.order,
        cohort=given.kinds["first"].cohort,
        cohort_of=np.array([0, 0, 2, 2]),
        own=np.full(4, np.nan),
    )
    assert np.all(
        np.isneginf(stands_out(Scores(candidates=given.candidates, kinds={"a": unknown}, order=given.order), LINES))
    )


def two_styles(items: int) -> AnswerTable:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(items):
        topic = " ".join(f"topic{place}" for place in rng.integers(50, size=8))
        rows.append([f"Sure! {topic}.", f"- {topic}\n- {topic}", f"well , {topic}", f"{topic} indeed"])
    return AnswerTable(
        dataset="d", models=("a", "b", "c", "d"), items=tuple(map(str, range(items))), answers=np.array(rows, object)
    )


def test_axes_part_styles_and_not_topics_and_are_the_seeds() -> None:
    given = two_styles(60)
    taken, questions = np.ones((60, 4), bool), np.arange(60)
    one, again = (learn_axes(given, questions, taken, np.random.default_rng(1)) for _ in range(2))
    assert one is not None
    assert again is not None
    assert np.array_equal(one.axes, again.axes)
    points = style_answers(given, questions, taken, one)
    found = centred(points, np.arange(4), None)
    means = np.array([found[points.models == model].mean(axis=0) for model in range(4)])
    noise = np.mean([found[points.models == model].var(axis=0).sum() for model in range(4)])
    assert (means**2).sum(axis=1).min() > noise  # each model stands further from the others than it varies
    assert np.array_equal(points.coordinates[points.rows[7, 2]], one.coordinates(["x", given.answers[7, 2]])[1])


def test_too_few_answers_give_no_axes() -> None:
    assert learn_axes(two_styles(4), np.arange(4), np.ones((4, 4), bool), np.random.default_rng(0)) is None
