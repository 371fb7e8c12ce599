"""Matches within strata of alike items, against answers dealt anew within each stratum."""

from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import AnyArray, Ints
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.residual_agreement import LEAST_ITEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedPermutation:
    """A permutation test within strata.

    Parameters
    ----------
    items : items with an answer of both
    excess : matches above their expectation under permutation, per item
    p : (1 + permutations at least as large) / (1 + permutations)
    """

    items: int
    excess: float
    p: float


def stratified_permutation(
    questioned: AnyArray,
    reference: AnyArray,
    strata: AnyArray,
    *,
    permutations: int,
    rng: np.random.Generator,
) -> StratifiedPermutation | NotTestable:
    """Cochran-Mantel-Haenszel-type test: matches within strata against answers dealt anew within strata.

    Parameters
    ----------
    questioned, reference : shape (items,), codes from 0, -1 where missing
    strata : shape (items,), integers, e.g. bins of the controls' rate; made without looking at these two models
    permutations : 999 or more

    Notes
    -----
    Null: within a stratum every assignment of the reference's answers to items is equally likely, given the questioned
    model's answers. Then p is exact. False as soon as items of one stratum differ in difficulty: with 10 bins and
    500 items it rejected 21 % of 200 independent pairs at 5 % (``docs/methods/residual_agreement.md``).

    References
    ----------
    Mantel and Haenszel, Journal of the National Cancer Institute 22(4), 1959. Phipson and Smyth, Statistical
    Applications in Genetics and Molecular Biology 9(1), 2010 (the added 1).
    """
    ours, theirs, place = np.asarray(questioned), np.asarray(reference), np.asarray(strata)
    if not ours.shape == theirs.shape == place.shape or ours.ndim != 1 or permutations < 1:
        raise ValueError("expected answers and strata of the same items, and at least 1 permutation")
    used = (ours >= 0) & (theirs >= 0)
    count = int(np.count_nonzero(used))
    if count < LEAST_ITEMS:
        return NotTestable(
            reason="too_few_items",
            detail=f"expected at least {LEAST_ITEMS} items that both models answered, found {count}; ask more",
        )
    tables = _tables(ours[used], theirs[used], place[used])
    observed = sum(int(np.trace(table)) for table in tables)
    expected = sum(float(table.sum(axis=1) @ table.sum(axis=0)) / float(table.sum()) for table in tables)
    drawn = np.zeros(permutations, np.int64)
    for table in tables:
        drawn += _dealt_matches(table.sum(axis=1), table.sum(axis=0), permutations, rng)
    return StratifiedPermutation(
        items=count,
        excess=(observed - expected) / count,
        p=(1 + int(np.count_nonzero(drawn >= observed))) / (1 + permutations),
    )


def rate_strata(controls: AnyArray, bins: int) -> Ints:
    """Bins of equal size of the controls' mean outcome, shape (items,): strata for `stratified_permutation`.

    Parameters
    ----------
    controls : shape (models, items), outcomes; NaN where missing
    """
    outcomes = np.asarray(controls, np.float64)
    seen = ~np.isnan(outcomes)
    mean = (np.where(seen, outcomes, 0.0).sum(axis=0) + 0.5) / (seen.sum(axis=0) + 1)
    edges = np.quantile(mean, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(np.searchsorted(edges, mean, side="right"), np.int64)


def _tables(ours: AnyArray, theirs: AnyArray, strata: AnyArray) -> list[Ints]:
    """Per stratum how often which answers came together, shape (answers, answers) each."""
    codes = np.unique(np.concatenate([ours, theirs]))
    rows, columns = np.searchsorted(codes, ours), np.searchsorted(codes, theirs)
    tables = []
    for stratum in np.unique(strata):
        table = np.zeros((codes.size, codes.size), np.int64)
        np.add.at(table, (rows[strata == stratum], columns[strata == stratum]), 1)
        tables.append(table)
    return tables


def _dealt_matches(rows: Ints, columns: Ints, permutations: int, rng: np.random.Generator) -> Ints:
    """Matches when answers with these counts are dealt to items with those, many times over.

    Item by item of one answer after the other, the reference's answers are drawn without replacement, so that a
    stratum's whole table is drawn at once.
    """
    left = np.tile(columns, (permutations, 1))
    matches = np.zeros(permutations, np.int64)
    for code, wanted in enumerate(rows):
        if wanted == 0:
            continue
        rest = np.full(permutations, wanted)
        for answer in range(columns.size):
            others = left[:, answer + 1 :].sum(axis=1)
            got = rng.hypergeometric(left[:, answer], others, rest)
            rest = rest - got
            left[:, answer] -= got
            if answer == code:
                matches += got
    return matches
