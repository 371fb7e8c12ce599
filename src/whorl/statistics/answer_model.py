"""How a model that nobody copied answers each item: learned from controls, adapted to the model's own tendencies.

Agreement means something only against what unrelated models would have answered *there*. The model is
P_m(i, c) proportional to q_i(c) w_m,s(k): q_i from the controls' answers to item i, and one factor per kind of answer
and stratum, fitted so that the expected number of answers of each kind is the observed one. With the kinds "right" and
"wrong" it is the Rasch model. Method page: ``docs/methods/answer_copying.md``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Ints

CONCENTRATIONS: Final = tuple(float(value) for value in 10.0 ** np.arange(-1.0, 3.01, 0.1))
OWN_PRIOR: Final = 1.0  # answers per stratum that a model is assumed to have given like the controls
_ROUNDS: Final = 500
_SETTLED: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnswerModel:
    """What the controls' answers show about items. The arrays are read-only.

    Parameters
    ----------
    rates : shape (items, categories), chance of each answer by a model like the controls; rows sum to 1
    kinds : shape (items, categories), kind of each answer; -1 where the item has no such answer
    strata : shape (items,), from 0
    concentration : how many answers the prior of an item is worth: large where items of a stratum are alike
    controls : number of models
    """

    rates: Doubles
    kinds: Ints
    strata: Ints
    concentration: float
    controls: int


def right_or_wrong(key: AnyArray, categories: int) -> Ints:
    """Kinds for multiple choice: 1 for the right answer and 0 for any other, shape (items, categories).

    Parameters
    ----------
    key : shape (items,), code of the right answer
    """
    return np.asarray(np.asarray(key)[:, None] == np.arange(categories), np.int64)


def fit_answer_model(
    controls: AnyArray,
    *,
    categories: int,
    kinds: AnyArray | None = None,
    strata: AnyArray | None = None,
    concentration: float | None = None,
) -> AnswerModel:
    """Dirichlet-smoothed answer rates of items.

    The prior of an item is its stratum's distribution over kinds, shared evenly by the item's answers of a kind; how
    much it weighs is chosen by maximum marginal likelihood.

    Parameters
    ----------
    controls : shape (models, items), integer codes from 0, -1 where missing
        Without relatives of the models to be compared.
    categories : number of codes
    kinds : shape (items, categories), integers from 0, -1 where an item has no such answer; left out, every code is a
        kind of its own, which is right where codes mean the same in all items (complied, evaded, refused)
    strata : shape (items,), integers: items within which models keep their tendencies; left out, all items are alike
    concentration : positive; left out, the best of `CONCENTRATIONS`

    Raises
    ------
    ValueError
        If shapes do not fit, a code is out of range, or a control gave an answer that its item does not have.
    """
    codes = checked_codes(controls, categories)
    if codes.ndim != 2 or not codes.size:
        raise ValueError(f"expected answers of shape (models, items), got {codes.shape}")
    items = codes.shape[1]
    kind = np.tile(np.arange(categories), (items, 1)) if kinds is None else np.array(kinds, np.int64)
    stratum = np.zeros(items, np.int64) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    if kind.shape != (items, categories) or stratum.shape != (items,):
        raise ValueError(f"expected kinds and strata of {items} items, got shapes {kind.shape} and {stratum.shape}")
    if concentration is not None and not 0 < concentration < np.inf:
        raise ValueError(f"concentration must be positive and finite, got {concentration}")
    counts = np.zeros((items, categories))
    model, item = np.nonzero(codes >= 0)
    np.add.at(counts, (item, codes[model, item]), 1.0)
    if counts[kind < 0].any():
        raise ValueError("a control gave an answer that its item does not have: check the kinds")
    prior = _prior(counts, kind, stratum)
    weight = _best_concentration(counts, prior) if concentration is None else concentration
    rates = (counts + weight * prior) / (counts.sum(axis=1, keepdims=True) + weight)
    for array in (rates, kind, stratum):
        array.flags.writeable = False
    return AnswerModel(rates=rates, kinds=kind, strata=stratum, concentration=weight, controls=len(codes))


def answer_chances(model: AnswerModel, answers: AnyArray) -> Doubles:
    """Chance of each answer to each item by one model, given how often it gives each kind of answer.

    Parameters
    ----------
    answers : shape (items,), the model's codes, -1 where missing

    Returns
    -------
    shape (items, categories); rows sum to 1

    References
    ----------
    The factors are maximum likelihood by iterative scaling: Darroch and Ratcliff, Annals of Mathematical Statistics
    43(5), 1972.
    """
    items, categories = model.rates.shape
    codes = checked_codes(answers, categories)
    if codes.shape != (items,):
        raise ValueError(f"expected one answer for each of {items} items, got shape {codes.shape}")
    count = int(model.kinds.max()) + 1
    by_kind = np.zeros((items, count))
    rows = np.arange(items)[:, None]
    np.add.at(by_kind, (np.broadcast_to(rows, model.kinds.shape), np.maximum(model.kinds, 0)), model.rates)
    given = codes >= 0
    own = model.kinds[np.flatnonzero(given), codes[given]]
    if (own < 0).any():
        raise ValueError("a model gave an answer that its item does not have: check the kinds")
    strata = model.strata
    seen = np.zeros((int(strata.max()) + 1, count))
    np.add.at(seen, (strata[given], own), 1.0)
    factors = _factors(by_kind[given], strata[given], seen)
    tilted = model.rates * factors[strata[:, None], np.maximum(model.kinds, 0)]
    return np.asarray(tilted / tilted.sum(axis=1, keepdims=True))


def checked_codes(answers: AnyArray, categories: int) -> Ints:
    """Answers as integers; refuses codes below -1 or beyond the last category."""
    codes = np.asarray(answers)
    if not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"expected integer codes, got {codes.dtype}")
    if categories < 2 or (codes.size and not -1 <= codes.min() <= codes.max() < categories):
        raise ValueError(f"expected codes from -1 (missing) to {categories - 1} in at least 2 categories")
    return codes.astype(np.int64)


def _prior(counts: Doubles, kinds: Ints, strata: Ints) -> Doubles:
    """Each stratum's distribution over kinds, Jeffreys-smoothed, spread over an item's answers of the kind."""
    offered = kinds >= 0
    if not offered.any(axis=1).all():
        raise ValueError("every item needs at least one answer that it may have")
    place = np.where(offered, kinds, 0)
    shape = (int(strata.max()) + 1, int(kinds.max()) + 1)
    given, possible = np.zeros(shape), np.zeros(shape)
    where = np.broadcast_to(strata[:, None], kinds.shape)
    np.add.at(given, (where, place), counts)
    np.add.at(possible, (where, place), offered)
    smoothed = np.where(possible > 0, given + 0.5, 0.0)
    smoothed /= smoothed.sum(axis=1, keepdims=True)
    alike = np.zeros((len(kinds), shape[1]))
    np.add.at(alike, (np.broadcast_to(np.arange(len(kinds))[:, None], kinds.shape), place), offered)
    share = np.where(offered, smoothed[where, place] / np.take_along_axis(np.maximum(alike, 1), place, axis=1), 0.0)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _best_concentration(counts: Doubles, prior: Doubles) -> float:
    """The concentration under which the controls' answers are most probable (Dirichlet-multinomial)."""
    from scipy.special import gammaln

    totals = counts.sum(axis=1)
    # Only answers that were given have a term: gammaln(a p + 0) - gammaln(a p) is 0.
    seen = counts > 0
    number, chance = counts[seen], prior[seen]

    def fit(weight: float) -> float:
        items = gammaln(weight) - gammaln(totals + weight)
        answers = gammaln(number + weight * chance) - gammaln(weight * chance)
        return float(items.sum() + answers.sum())

    return max(CONCENTRATIONS, key=fit)


def _factors(by_kind: Doubles, strata: Ints, seen: Doubles) -> Doubles:
    """Factors, shape (strata, kinds), under which every kind is expected as often as it was seen."""
    answered = seen.sum(axis=1, keepdims=True)
    member = (strata == np.arange(len(seen))[:, None]).astype(np.float64)
    usual = np.divide(member @ by_kind, answered, out=np.zeros_like(seen), where=answered > 0)
    wanted = (seen + OWN_PRIOR * usual) * answered / (answered + OWN_PRIOR)
    factors = np.ones_like(seen)
    for _ in range(_ROUNDS):
        tilted = by_kind * factors[strata]
        expected = member @ (tilted / tilted.sum(axis=1, keepdims=True))
        step = np.divide(wanted, expected, out=np.ones_like(seen), where=expected > 0)
        factors *= step
        if np.abs(step - 1)[wanted > 0].max(initial=0.0) < _SETTLED:
            break
    return factors
