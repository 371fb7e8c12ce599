"""Chances of answers: right by hand, fitted to a model's own tendencies, indifferent to how options are named."""

import numpy as np
import pytest
from answer_worlds import option_world

from whorl.core.arrays import AnyArray
from whorl.statistics.answer_model import answer_chances, fit_answer_model, right_or_wrong

CONTROLS = np.array([[0, 0, 1], [0, 1, 1], [0, 2, -1]])


def test_rates_by_hand() -> None:
    model = fit_answer_model(CONTROLS, categories=3, concentration=2.0)
    # Given 4, 3 and 1 times over the items, and 1/2 each: 4.5, 3.5 and 1.5 of 9.5.
    prior = np.array([4.5, 3.5, 1.5]) / 9.5
    counts = np.array([[3, 0, 0], [1, 1, 1], [0, 2, 0]])
    assert model.rates == pytest.approx((counts + 2 * prior) / (counts.sum(axis=1, keepdims=True) + 2))
    assert (model.controls, model.concentration) == (3, 2.0)


def test_kinds_share_their_prior_and_absent_options_have_no_chance() -> None:
    kinds = np.array([[1, 0, 0], [0, 1, 0], [0, 1, -1]])
    model = fit_answer_model(CONTROLS, categories=3, kinds=kinds, concentration=1.0)
    # Right answers: 3 of the first, 1 of the second, 2 of the third; wrong: 2. Of 9 in all with 1/2 each.
    right, wrong = 6.5 / 9, 2.5 / 9
    assert model.rates[0] == pytest.approx(np.array([3 + right, wrong / 2, wrong / 2]) / 4)
    assert model.rates[2] == pytest.approx(np.array([wrong, 2 + right, 0]) / 3)
    assert answer_chances(model, np.array([2, -1, 0]))[2, 2] == 0


def test_factors_meet_what_a_model_did() -> None:
    rng = np.random.default_rng(1)
    codes, key = option_world(rng, models=40, items=300)
    strata = np.arange(300) % 3
    codes[0, ::7] = -1
    model = fit_answer_model(codes[1:], categories=4, kinds=right_or_wrong(key, 4), strata=strata)
    chances = answer_chances(model, codes[0])
    assert chances.sum(axis=1) == pytest.approx(np.ones(300))
    for stratum in range(3):
        answered = (strata == stratum) & (codes[0] >= 0)
        expected = chances[answered, key[answered]].sum()
        usual = model.rates[answered, key[answered]].mean()
        seen = (codes[0] == key)[answered].sum()
        # One answer's worth of prior pulls towards the controls.
        assert expected == pytest.approx((seen + usual) * answered.sum() / (answered.sum() + 1), rel=1e-5)


def test_a_model_without_answers_is_like_the_controls() -> None:
    model = fit_answer_model(CONTROLS, categories=3)
    assert answer_chances(model, np.full(3, -1)) == pytest.approx(model.rates)


def test_how_options_are_named_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    codes, key = option_world(rng, models=30, items=120)
    names = np.array([rng.permutation(4) for _ in range(120)])
    items = np.arange(120)
    one = fit_answer_model(codes[1:], categories=4, kinds=right_or_wrong(key, 4))
    other = fit_answer_model(names[items, codes[1:]], categories=4, kinds=right_or_wrong(names[items, key], 4))
    found = answer_chances(other, names[items, codes[0]])
    assert np.take_along_axis(found, names, axis=1) == pytest.approx(answer_chances(one, codes[0]))


@pytest.mark.parametrize("truth", [0.5, 4.0, 40.0])
def test_concentration_is_learned_from_how_items_differ(truth: float) -> None:
    rng = np.random.default_rng(3)
    rates = rng.dirichlet(truth * np.array([0.5, 0.3, 0.2]), size=400)
    codes = np.array([[rng.choice(3, p=rate) for rate in rates] for _ in range(60)])
    found = fit_answer_model(codes, categories=3).concentration
    assert truth / 1.5 <= found <= truth * 1.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"controls": np.zeros((2, 3))}, "integer codes"),
        ({"controls": np.full((2, 3), 3)}, "codes from -1"),
        ({"controls": np.full((2, 3), -2)}, "codes from -1"),
        ({"controls": np.zeros(3, int)}, "models, items"),
        ({"controls": np.zeros((0, 3), int)}, "models, items"),
        ({"kinds": np.zeros((2, 3), int)}, "kinds and strata"),
        ({"kinds": np.array([[0, 1, 1], [0, -1, 1], [0, 1, 1]])}, "does not have"),
        ({"controls": np.full((3, 3), -1), "kinds": np.full((3, 3), -1)}, "at least one answer"),
        ({"strata": np.zeros(4, int)}, "kinds and strata"),
        ({"concentration": 0.0}, "concentration"),
    ],
)
def test_answers_that_do_not_fit_are_refused(arguments: dict[str, AnyArray], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fit_answer_model(**{"controls": CONTROLS, "categories": 3, **arguments})


def test_a_models_answers_are_checked_too() -> None:
    model = fit_answer_model(CONTROLS, categories=3, kinds=np.array([[0, 1, 1], [0, 1, 1], [0, 1, -1]]))
    with pytest.raises(ValueError, match="one answer for each of 3"):
        answer_chances(model, np.zeros(2, int))
    with pytest.raises(ValueError, match="does not have"):
        answer_chances(model, np.array([0, 0, 2]))
