"""Asking one question after another and stopping as soon as it is enough: e-processes for agreement from 0 to 1.

An e-process starts at 1 and, under its null hypothesis, never has a larger expectation than 1 whenever one stops; it
reaches 1 / alpha with a chance of at most alpha, however often one looks. What counts is its value where it was
stopped. Its running maximum is no evidence. Method page: ``docs/methods/sequential.md``.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from whorl.core.arrays import AnyArray, Doubles

BETS: Final = 25
LARGEST_BUDGET: Final = 100_000
_SMALLEST_BET, _LARGEST_BET = 0.02, 0.98
_LOG10: Final = math.log(10)

Outcome: TypeAlias = Literal["above_unrelated", "below_related", "budget_spent", "go_on"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """What was decided before the first question.

    Parameters
    ----------
    unrelated_at_most : mean agreement that unrelated pairs are not expected to pass
        An upper *prediction* limit over pairs of families, such as the largest of all: with n comparisons a new
        unrelated pair passes it with a chance of up to 1 / (n + 1), however many questions are asked.
    related_at_least : mean agreement that related pairs are not expected to fall short of, likewise
    unrelated_comparisons, related_comparisons : how many comparisons stand behind the two, `effective_comparisons`
    target : stop when the odds against the null reach this; more than the comparisons behind it buys nothing
    budget : questions at most
    pool : how many questions there are, of which they are drawn without replacement; None for fresh ones each time
    """

    unrelated_at_most: float
    related_at_least: float
    unrelated_comparisons: float
    related_comparisons: float
    budget: int
    target: float = 100.0
    pool: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.unrelated_at_most < self.related_at_least < 1:
            raise ValueError(
                f"expected 0 < unrelated agreement < related agreement < 1, got {self.unrelated_at_most} and "
                f"{self.related_at_least}: between pairs that agree alike no number of questions decides"
            )
        if not (1 < self.target < math.inf and min(self.accuse_at, self.clear_at) > 1):
            raise ValueError(
                f"expected a target and comparisons above 1, got {self.target}, {self.unrelated_comparisons} and "
                f"{self.related_comparisons}: so few families decide nothing"
            )
        if not 1 <= self.budget <= LARGEST_BUDGET or (self.pool is not None and self.pool < self.budget):
            raise ValueError(
                f"expected a budget from 1 to {LARGEST_BUDGET}, within the pool; got {self.budget} of {self.pool}"
            )

    @property
    def accuse_at(self) -> float:
        """E-value against "no more agreement than between unrelated models" at which asking stops."""
        return min(self.target, self.unrelated_comparisons)

    @property
    def clear_at(self) -> float:
        """E-value against "as much agreement as between related models" at which asking stops."""
        return min(self.target, self.related_comparisons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Where asking stopped, and the e-values there, bounded by what `StoppingRule` allows them.

    Parameters
    ----------
    outcome : ``go_on`` where none of the limits is reached yet: ask on, and decide nothing
    queries : answers that count; later ones are not looked at
    log10_e : against mean agreement of at most ``unrelated_at_most``
    log10_e_mirror : against mean agreement of at least ``related_at_least``
    """

    outcome: Outcome
    queries: int
    log10_e: float
    log10_e_mirror: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """What asking costs, for questions that are answered alike or not; exact, for fresh questions each time.

    Parameters
    ----------
    price : ln(E) / KL, the least number of questions that can be hoped for
    median, ninetieth : questions until a pair that agrees as related ones do reaches the e-value; None: not in budget
    reached : chance that it does so within the budget
    clearing_median, cleared : the same for clearing a pair that agrees as unrelated ones do
    false_alarm : chance that such a pair reaches the e-value within the budget
    false_clearance : chance that a related pair is cleared within the budget
    total_error : bound of the chance that an unrelated pair is taken for related: of the questions and of the families
    """

    price: float
    median: int | None
    ninetieth: int | None
    reached: float
    clearing_median: int | None
    cleared: float
    false_alarm: float
    false_clearance: float
    total_error: float


def log10_e_process(agreements: AnyArray, *, at_most: float, pool: int | None = None) -> Doubles:
    """log10 of the e-process after every answer.

    Null hypothesis: given all answers before, an agreement has a mean of at most ``at_most``; or, drawn without
    replacement from a pool, the pool's mean is at most that. Each factor is 1 + lambda (x - mean), and 25 fixed bets
    lambda, from 0.02 to 0.98 of the largest possible, share the stake.

    Parameters
    ----------
    agreements : shape (..., t), each from 0 to 1, in the order in which the questions were drawn at random
    at_most : strictly between 0 and 1
    pool : size of the pool, at least t
        The mean of what is left then follows from what was seen. Infinite once what was seen exceeds all that the
        null allows the whole pool.

    Notes
    -----
    For the mirror process, against a mean of at least theta, give 1 - agreements and 1 - theta. Invalid if questions
    were chosen for their answers, or answers are left out after they were seen.

    References
    ----------
    Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86(1), 2024. Ville, 1939.
    """
    values = np.asarray(agreements, np.float64)
    if not 0 < at_most < 1:
        raise ValueError(f"expected a mean strictly between 0 and 1, got {at_most}")
    if values.ndim == 0 or not ((values >= 0) & (values <= 1)).all():  # NaN fails here too
        raise ValueError("expected agreements from 0 to 1: an answer that was not scored needs a value set in advance")
    count = values.shape[-1]
    if pool is not None and pool < count:
        raise ValueError(f"{count} answers cannot come from a pool of {pool}")
    seen = np.cumsum(values, axis=-1)
    mean: float | Doubles = at_most
    if pool is not None:
        mean = np.minimum((pool * at_most - (seen - values)) / (pool - np.arange(count)), 1.0)
    # Where the null leaves no agreement to come there is no bet; what exceeds it is seen below.
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(np.asarray(mean) > 1e-9, values / mean - 1, 0.0)
    total = np.full(values.shape, -np.inf)
    for bet in _bets():
        total = np.logaddexp(total, np.cumsum(np.log1p(bet * gain), axis=-1))
    total = (total - math.log(BETS)) / _LOG10
    return total if pool is None else np.where(seen > pool * at_most + 1e-6, np.inf, total)


def decide(agreements: AnyArray, rule: StoppingRule) -> Stopped:
    """Where a rule stopped, or would have one go on, after these answers.

    To be called after each answer, or once with all of them: the outcome is the same. Where both limits are reached at
    once, the pair is cleared.

    Parameters
    ----------
    agreements : shape (t,), from 0 to 1, in the order asked
    """
    values = np.asarray(agreements, np.float64)
    if values.ndim != 1:
        raise ValueError(f"expected one agreement per answer, got shape {values.shape}")
    values = values[: rule.budget]
    against = log10_e_process(values, at_most=rule.unrelated_at_most, pool=rule.pool)
    mirror = log10_e_process(1 - values, at_most=1 - rule.related_at_least, pool=rule.pool)
    limits = math.log10(rule.accuse_at), math.log10(rule.clear_at)
    over = (against >= limits[0], mirror >= limits[1])
    stops = np.flatnonzero(over[0] | over[1])
    if stops.size:
        place = int(stops[0])
        outcome: Outcome = "below_related" if over[1][place] else "above_unrelated"
    else:
        place, outcome = values.size - 1, "budget_spent" if values.size == rule.budget else "go_on"
    here = (0.0, 0.0) if place < 0 else (float(against[place]), float(mirror[place]))
    return Stopped(
        outcome=outcome, queries=place + 1, log10_e=min(here[0], limits[0]), log10_e_mirror=min(here[1], limits[1])
    )


def query_plan(rule: StoppingRule) -> QueryPlan:
    """Questions to expect and errors to fear, by exact recursion.

    For answers that agree or do not, independently with one chance: a pair at ``related_at_least`` and a pair at
    ``unrelated_at_most``. A pool is left out of account; drawing without replacement needs fewer questions.

    The two limits are counted apart, so that each figure is what it would be without the other limit: the chances of
    errors are upper bounds, and so are those of reaching.
    """
    low, high = rule.unrelated_at_most, rule.related_at_least
    accusing = crossing_chances(high, at_most=low, target=rule.accuse_at, budget=rule.budget)
    clearing = crossing_chances(1 - low, at_most=1 - high, target=rule.clear_at, budget=rule.budget)
    alarms = crossing_chances(low, at_most=low, target=rule.accuse_at, budget=rule.budget)
    lost = crossing_chances(1 - high, at_most=1 - high, target=rule.clear_at, budget=rule.budget)
    return QueryPlan(
        price=math.log(rule.accuse_at) / bernoulli_divergence(high, low),
        median=_quantile(accusing, 0.5),
        ninetieth=_quantile(accusing, 0.9),
        reached=float(accusing.sum()),
        clearing_median=_quantile(clearing, 0.5),
        cleared=float(clearing.sum()),
        false_alarm=float(alarms.sum()),
        false_clearance=float(lost.sum()),
        total_error=min(1.0, 1 / rule.accuse_at + 1 / (rule.unrelated_comparisons + 1)),
    )


def crossing_chances(chance: float, *, at_most: float, target: float, budget: int) -> Doubles:
    """Chance that the e-process first reaches a target at each question, shape (budget,); exact.

    Of agreements that are 1 with this chance and else 0 the process depends on their number only, and rises with it.

    Parameters
    ----------
    chance : of agreement, the same for each question
    at_most : the null's mean
    target : above 1
    """
    if not (0 <= chance <= 1 and 0 < at_most < 1 and 1 < target < math.inf and budget >= 1):
        raise ValueError(
            f"expected chances, a target above 1 and a budget, got {chance}, {at_most}, {target}, {budget}"
        )
    won, lost = np.log1p(_bets() * (1 / at_most - 1)), np.log1p(-_bets())
    goal = math.log(target) + math.log(BETS)
    first = np.zeros(budget)
    open_runs = np.array([1.0])  # by number of agreements, 0 to the most that has not reached the target
    for asked in range(1, budget + 1):
        moved = np.zeros(len(open_runs) + 1)
        moved[1:] += chance * open_runs
        moved[:-1] += (1 - chance) * open_runs
        # One agreement more outweighs one question more: of all numbers only the highest can be new over the target.
        most = len(moved) - 1
        if np.logaddexp.reduce(most * won + (asked - most) * lost) >= goal:
            first[asked - 1], moved = moved[most], moved[:most]
        open_runs = moved
    return first


def bernoulli_divergence(chance: float, other: float) -> float:
    """Kullback-Leibler divergence of two chances in nats, from the first."""
    if not (0 < chance < 1 and 0 < other < 1):
        raise ValueError(f"expected chances strictly between 0 and 1, got {chance} and {other}")
    return chance * math.log(chance / other) + (1 - chance) * math.log((1 - chance) / (1 - other))


def _bets() -> Doubles:
    return np.geomspace(_SMALLEST_BET, _LARGEST_BET, BETS)


def _quantile(chances: Doubles, share: float) -> int | None:
    reached = np.cumsum(chances)
    return int(np.searchsorted(reached, share)) + 1 if reached[-1] >= share else None
