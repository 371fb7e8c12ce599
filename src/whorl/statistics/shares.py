"""How much of each of several models is in another: non-negative least squares over layers, with intervals.

The questioned rows of a layer are written as a sum of the terms' rows, each times its share, plus a rest. What the fit
needs of a layer are sums of products only (`LayerProducts`), so layers are read one at a time and left out one at a
time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats
from whorl.statistics.student import student_quantile

BLOCKS: Final = 8
WHOLE: Final = 0.15  # a layer's share this near 0 or 1 may be all or nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerProducts:
    """Sums of products over the paired rows of one questioned layer, the rows dealt into `BLOCKS` blocks.

    Parameters
    ----------
    gram : shape (blocks, terms, terms); row and column i are zero where term i has no counterpart of the layer
    cross : shape (blocks, terms), of each term with the questioned rows
    total : sum of squares of the questioned rows
    present : shape (terms,), whether the term has a counterpart of the layer
    """

    gram: Doubles
    cross: Doubles
    total: float
    present: AnyArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShareFit:
    """Shares with intervals.

    Parameters
    ----------
    shares : shape (terms,), not negative; over all layers, each layer counting as one
    lower, upper : shape (terms,), ends of the intervals
    told_within : shape (terms,), half-width that rows alone give, however the layers differ: large where the terms
        cannot be told apart
    layers : shape (layers, terms), each layer's own shares; 0 where the term has no counterpart
    whole_layers : every layer holds a term wholly or not at all, and not all layers the same
    condition : condition number of the terms' cosines; 1 where they are orthogonal
    """

    shares: Doubles
    lower: Doubles
    upper: Doubles
    told_within: Doubles
    layers: Doubles
    whole_layers: bool
    condition: float


def layer_products(questioned: AnyArray, terms: Sequence[AnyArray | None]) -> LayerProducts:
    """Sums of products of one layer's rows.

    Parameters
    ----------
    questioned : shape (rows, k)
    terms : each of shape (rows, k), row by row the counterparts, zero where a row has none; None where the layer has
        none at all
    """
    target = np.asarray(questioned, np.float64)
    stacked = np.zeros((len(terms), *target.shape))
    for place, rows in enumerate(terms):
        if rows is not None:
            stacked[place] = rows
    parts = [slice(start, None, BLOCKS) for start in range(BLOCKS)]
    return LayerProducts(
        gram=np.array([np.einsum("ink,jnk->ij", stacked[:, part], stacked[:, part]) for part in parts]),
        cross=np.array([np.einsum("ink,nk->i", stacked[:, part], target[part]) for part in parts]),
        total=float(np.vdot(target, target)),
        present=np.array([rows is not None for rows in terms]),
    )


def fit_shares(layers: Sequence[LayerProducts], *, level: float = 0.95) -> ShareFit:
    """Shares over all layers together, each with an interval.

    Least squares under the constraint that no share is negative (Lawson and Hanson, 1974); shares need not add up to
    one. Layers count alike, however large their weights are. A layer without a counterpart counts as one that holds
    nothing of the term.

    The interval is the widest of three: Student's t on the delete-one-layer jackknife of the constrained and of the
    free fit (at a share of 0 the constrained one hardly varies), and the same on blocks of rows within layers. Where
    layers are taken over whole (`ShareFit.whole_layers`), the share is the mean over layers, and they are no sample of
    anything: then rows, and how far each layer's share is from 0 or 1, give the interval. It does not cover what is
    wrong in all layers alike: rows laid over each other badly, or an unnamed parent that resembles a named one. With 2
    layers it is very wide.

    Raises
    ------
    ValueError
        If there is no layer, or a term has no rows other than zero.

    References
    ----------
    Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23. Miller, Biometrika 61(1), 1974.
    """
    gram, cross = _balanced(layers)
    count = len(layers)
    sums = gram.sum(axis=1), cross.sum(axis=1)
    whole = sums[0].sum(axis=0), sums[1].sum(axis=0)
    shares, free = nonnegative_solution(*whole), free_solution(*whole)
    by_layer = np.array([_layer_shares(layer) for layer in layers])
    whole_layers = _whole_layers(by_layer)
    if whole_layers:  # no common share to fit: what there is to tell is how many layers
        shares = free = by_layer.mean(axis=0)
    rows_reach = student_quantile(count * (BLOCKS - 1), (1 + level) / 2) * np.sqrt(
        sum(_jackknife(free_solution, whole, gram[number], cross[number]) for number in range(count))
    )
    reach = rows_reach
    if count > 1:
        quantile = student_quantile(count - 1, (1 + level) / 2)
        if whole_layers:
            spread = np.sqrt((((by_layer - np.rint(by_layer)) ** 2).sum(axis=0)) / (count * (count - 1)))
        else:
            spread = np.sqrt(
                np.maximum(*(_jackknife(solve, whole, *sums) for solve in (nonnegative_solution, free_solution)))
            )
        reach = np.maximum(reach, quantile * spread)
    return ShareFit(
        shares=shares,
        lower=np.clip(np.minimum(shares, free) - reach, 0.0, shares),
        upper=np.maximum(shares, free) + reach,
        told_within=rows_reach,
        layers=by_layer,
        whole_layers=whole_layers,
        condition=condition_number(whole[0]),
    )


def nonnegative_solution(gram: Doubles, cross: Doubles) -> Doubles:
    """Non-negative least squares from sums of products, shape (terms,)."""
    from scipy.optimize import nnls

    # Terms of unit length first: models differ in scale, and the root of a product matrix loses half of the digits.
    scale = _lengths(gram)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    root = np.sqrt(np.maximum(values, values.max() * np.finfo(np.float64).eps))
    solution, _ = nnls((vectors * root).T, (vectors.T @ (cross / scale)) / root)
    return np.asarray(solution / scale, np.float64)


def free_solution(gram: Doubles, cross: Doubles) -> Doubles:
    """Least squares without the constraint, the shortest solution where there are many."""
    scale = _lengths(gram)
    return np.asarray(np.linalg.lstsq(gram / np.outer(scale, scale), cross / scale)[0] / scale, np.float64)


def condition_number(gram: Doubles) -> float:
    """Of the terms' cosines: 1 where they are orthogonal, huge where two are alike; scale does not matter."""
    scale = _lengths(gram)
    values = np.linalg.eigvalsh(gram / np.outer(scale, scale))
    return float(values.max()) / max(float(values.min()), float(np.finfo(np.float64).eps))


def _lengths(gram: Doubles) -> Doubles:
    squares = np.diagonal(gram)
    return np.asarray(np.sqrt(np.where(squares > 0, squares, 1)), np.float64)


def shuffled_rows_p(
    questioned: Sequence[AnyArray],
    term: Sequence[AnyArray],
    others: Sequence[Sequence[AnyArray]],
    *,
    draws: int,
    generator: np.random.Generator,
) -> float:
    """P-value of one term's share: how often do its rows, shuffled within layers, fit as well or better?

    The statistic is the sum of products of questioned and term rows after the other terms were fitted to both and
    taken off (Freedman and Lane). Null hypothesis: within a layer, every order of the term's rows was equally likely,
    given the questioned model and the other terms. Without other terms the test is then exact; the result is never
    below 1 / (draws + 1).

    Invalid where the pairing of rows was chosen by how well this very term fits, and where rows of one number resemble
    each other for another reason than a share: two fine-tunes of one base change the same neurons.

    Parameters
    ----------
    questioned, term : per layer, shape (rows, k), paired row by row
    others : further terms, each in the same form

    References
    ----------
    Freedman and Lane, Journal of Business and Economic Statistics 1(4), 1983.
    """
    ours, theirs = _without(questioned, others), _without(term, others)
    observed, shuffled = 0.0, np.zeros(draws)
    for left, right in zip(ours, theirs, strict=True):
        products = left @ right.T
        rows = np.arange(len(products))
        observed += float(np.trace(products))
        for draw in range(draws):
            shuffled[draw] += float(products[rows, generator.permutation(len(rows))].sum())
    # Equal up to rounding is equal: shuffles that change nothing must not count as smaller.
    margin = 1e-6 * max(abs(observed), float(np.abs(shuffled).max(initial=0.0)))
    return (1 + int(np.count_nonzero(shuffled >= observed - margin))) / (draws + 1)


def _without(rows: Sequence[AnyArray], others: Sequence[Sequence[AnyArray]]) -> list[Floats]:
    """Rows less what the others explain of them, one coefficient each over all layers."""
    plain = [np.asarray(layer, np.float32) for layer in rows]
    if not others:
        return plain
    gram = np.array([[_inner(one, other) for other in others] for one in others])
    used = np.flatnonzero(np.diagonal(gram) > 0).tolist()
    if not used:
        return plain
    cross = np.array([_inner(others[place], plain) for place in used])
    coefficients = free_solution(gram[np.ix_(used, used)], cross)
    return [
        np.asarray(
            layer - sum(float(c) * others[place][number] for c, place in zip(coefficients, used, strict=True)),
            np.float32,
        )
        for number, layer in enumerate(plain)
    ]


def _inner(one: Sequence[AnyArray], other: Sequence[AnyArray]) -> float:
    return sum(float(np.vdot(ours, theirs)) for ours, theirs in zip(one, other, strict=True))


def _balanced(layers: Sequence[LayerProducts]) -> tuple[Doubles, Doubles]:
    """Products of shape (layers, blocks, ...), every layer of the same weight.

    A term that is absent from a layer gets its usual size there, and nothing in common with the questioned rows.
    """
    if not layers:
        raise ValueError("shares need at least one layer")
    gram, cross = np.array([layer.gram for layer in layers]), np.array([layer.cross for layer in layers])
    sizes = np.einsum("lbii->li", gram)
    present = np.array([layer.present for layer in layers], bool) & (sizes > 0)
    if not present.any(axis=0).all():
        raise ValueError("a term without any row other than zero has no share")
    usual = sizes.sum(axis=0) / present.sum(axis=0)
    for layer, term in np.argwhere(~present):
        gram[layer, :, term, term] = usual[term] / BLOCKS
    weight = 1 / (np.einsum("lbii->li", gram) / usual).mean(axis=1)
    return gram * weight[:, None, None, None], cross * weight[:, None, None]


def _jackknife(
    solve: Callable[[Doubles, Doubles], Doubles], whole: tuple[Doubles, Doubles], gram: Doubles, cross: Doubles
) -> Doubles:
    """Variance of the solution by leaving out one part at a time."""
    count = len(gram)
    left_out = np.array([solve(whole[0] - part, whole[1] - other) for part, other in zip(gram, cross, strict=True)])
    return np.asarray((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0), np.float64)


def _layer_shares(layer: LayerProducts) -> Doubles:
    gram, cross = layer.gram.sum(axis=0), layer.cross.sum(axis=0)
    shares = np.zeros(len(cross))
    used = layer.present & (np.diagonal(gram) > 0)
    if used.any():
        shares[used] = nonnegative_solution(gram[np.ix_(used, used)], cross[used])
    return shares


def _whole_layers(by_layer: Doubles) -> bool:
    whole = np.rint(by_layer)
    near = np.abs(by_layer - whole).max() <= WHOLE and whole.max() <= 1
    return bool(near and (whole != whole[0]).any())
