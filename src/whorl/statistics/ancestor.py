"""The ancestor test: what two models changed of a common ancestor, and how much of the one change is in the other.

A is the ancestor, S the questioned model, V the reference; s = S - A and v = V - A are their changes, all weights in
one long vector. Then

    beta = <s, v> / <v, v>        how much of the reference's change the questioned model holds
    gamma = <s, v> / <s, s>       how much of the questioned model's change the reference holds
    beta * gamma = cos(s, v)**2

Independent changes are nearly orthogonal. The functions `as_child` to `sharing` say what follows for each true relation
if they are exactly orthogonal. Sums are kept by block of weights, since weights of one matrix vary together.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.student import student_quantile

SUMS: Final = 6
BAND_SUMS: Final = 8
RANKS: Final = 3
BANDED: Final = BAND_SUMS + RANKS
LEAST_BLOCKS: Final = 3
MAJOR: Final = 0.5
"""Major directions of a change are the largest singular directions that hold up to this share of its squares."""
MINOR: Final = 0.8
"""Minor directions are those that come after this share of its squares."""
LEAST_WHOLENESS: Final = 3.0


class Slopes(NamedTuple):
    """beta and gamma."""

    beta: float
    gamma: float


class Estimate(NamedTuple):
    """A figure and its standard error (delete-one-block jackknife)."""

    value: float
    error: float

    def interval(self, blocks: int, level: float = 0.95) -> tuple[float, float]:
        """Student's interval on ``blocks`` - 1 degrees of freedom."""
        reach = student_quantile(blocks - 1, (1 + level) / 2) * self.error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangeProducts:
    """Sums of products of two changes by block: all that the test needs of three models.

    Parameters
    ----------
    sums : shape (blocks, `SUMS`), of `block_sums`
    bands : shape (blocks, `BANDED`), of `band_sums`; zeros where a block was not taken apart
    weights : how many weights were added up
    """

    sums: Doubles
    bands: Doubles
    weights: int

    def __post_init__(self) -> None:
        blocks = len(self.sums)
        if (self.sums.shape, self.bands.shape) != ((blocks, SUMS), (blocks, BANDED)) or blocks < LEAST_BLOCKS:
            raise ValueError(
                f"expected {SUMS} and {BANDED} sums for each of at least {LEAST_BLOCKS} blocks, got shapes "
                f"{self.sums.shape} and {self.bands.shape}"
            )
        if not (np.isfinite(self.sums).all() and np.isfinite(self.bands).all()):
            raise ValueError("expected finite sums of products")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """How much of one change another one holds, in its major and in its minor directions.

    The directions are chosen by the one change alone, so a child that holds the whole of it and independent steps
    besides has 1 in both. What trainings apart from each other have in common is mostly in the major directions.
    """

    major: Estimate
    minor: Estimate

    @property
    def trend(self) -> float:
        """log(minor / major), at most 1 either way: below 0 where it is mostly a direction of change that is shared.

        0 where either is not positive: nothing is shared, so that nothing can be said of where.
        """
        if min(self.major.value, self.minor.value) <= 0:
            return 0.0
        return min(1.0, max(-1.0, math.log(self.minor.value / self.major.value)))

    @property
    def wholeness(self) -> float:
        """-|log minor|: 0 where the whole change is held, -3 at most; where nothing or the opposite is held too."""
        return -min(LEAST_WHOLENESS, abs(math.log(self.minor.value))) if self.minor.value > 0 else -LEAST_WHOLENESS


@dataclass(frozen=True, slots=True, kw_only=True)
class AncestorFigures:
    """The test's figures.

    Parameters
    ----------
    beta, gamma, cosine : of the whole changes
    of_reference : beta in the major and in the minor directions of the reference's change
    of_questioned : gamma in those of the questioned model's change
    scaled : share of each change, questioned and reference, that is the ancestor made shorter or longer (weight decay)
    lengths : of the two changes, questioned and reference, in lengths of the ancestor
    ranks : effective rank (squares' sum squared over fourth powers' sum) of a matrix of the questioned change, of the
        reference's, and of their difference; medians over matrices
    blocks, weights : how much was added up
    """

    beta: Estimate
    gamma: Estimate
    cosine: Estimate
    of_reference: Bands
    of_questioned: Bands
    scaled: tuple[float, float]
    lengths: tuple[float, float]
    ranks: tuple[float, float, float]
    blocks: int
    weights: int

    @property
    def slopes(self) -> Slopes:
        """beta and gamma without their errors."""
        return Slopes(self.beta.value, self.gamma.value)

    def mirrored(self) -> "AncestorFigures":
        """The figures with questioned model and reference in each other's place."""
        return replace(
            self,
            beta=self.gamma,
            gamma=self.beta,
            of_reference=self.of_questioned,
            of_questioned=self.of_reference,
            scaled=self.scaled[::-1],
            lengths=self.lengths[::-1],
            ranks=(self.ranks[1], self.ranks[0], self.ranks[2]),
        )


def block_sums(ancestor: AnyArray, questioned: AnyArray, reference: AnyArray) -> Doubles:
    """Sums of products over some rows of the three models, shape (`SUMS`,); sums of one block are added.

    Parameters
    ----------
    ancestor, questioned, reference : of one shape
    """
    a = np.asarray(ancestor, np.float64)
    s, v = np.asarray(questioned, np.float64) - a, np.asarray(reference, np.float64) - a
    return np.array([np.vdot(s, s), np.vdot(v, v), np.vdot(s, v), np.vdot(s, a), np.vdot(v, a), np.vdot(a, a)])


def band_sums(ancestor: AnyArray, questioned: AnyArray, reference: AnyArray) -> Doubles:
    """Sums of products in the major and minor directions of either change, and their ranks: shape (`BANDED`,).

    Parameters
    ----------
    ancestor, questioned, reference : matrices of one shape; directions are singular pairs of a change
    """
    a = np.asarray(ancestor, np.float64)
    s, v = np.asarray(questioned, np.float64) - a, np.asarray(reference, np.float64) - a
    (of_v, rank_v), (of_s, rank_s) = _in_bands(v, s), _in_bands(s, v)
    return np.array([*of_v, *of_s, rank_s, rank_v, _rank(np.linalg.svdvals(s - v))])


def ancestor_figures(products: ChangeProducts) -> AncestorFigures | None:
    """beta, gamma and their companions, or None where one of the models is the ancestor itself.

    Standard errors are of the delete-one-block jackknife. Orthogonal changes of D independent weights alone would
    give `orthogonal_error`; trained weights are not independent, and the jackknife sees that.
    """
    sums = np.column_stack([products.sums, products.bands[:, :BAND_SUMS]])
    whole = sums.sum(axis=0)
    without = whole - sums
    squares = [0, 1, *range(SUMS + 1, SUMS + BAND_SUMS, 2)]
    if (whole[squares] <= 0).any() or (without[:, squares] <= 0).any():
        return None
    of_whole, left_out = _figures(whole[None])[0], _figures(without)
    count = len(left_out)
    errors = np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    found = [Estimate(float(value), float(error)) for value, error in zip(of_whole, errors, strict=True)]
    ancestor = max(float(whole[5]), float(np.finfo(np.float64).tiny))
    ranks = products.bands[products.bands[:, BAND_SUMS : BAND_SUMS + 2].min(axis=1) > 0, BAND_SUMS:]
    of_s, of_v, apart = np.median(ranks, axis=0).tolist()
    return AncestorFigures(
        beta=found[0],
        gamma=found[1],
        cosine=found[2],
        of_reference=Bands(major=found[3], minor=found[4]),
        of_questioned=Bands(major=found[5], minor=found[6]),
        scaled=(float(whole[3] ** 2 / (ancestor * whole[0])), float(whole[4] ** 2 / (ancestor * whole[1]))),
        lengths=(math.sqrt(whole[0] / ancestor), math.sqrt(whole[1] / ancestor)),
        ranks=(of_s, of_v, apart),
        blocks=count,
        weights=products.weights,
    )


def orthogonal_error(weights: int, *, ratio: float = 1.0) -> Slopes:
    """Standard deviations of beta and gamma of unrelated changes, if every weight were independent and alike.

    Parameters
    ----------
    weights : D, how many
    ratio : length of the questioned change over the reference's; 1 / sqrt(D) holds for both only where it is 1
    """
    if weights < 1 or not ratio > 0:
        raise ValueError(f"expected at least one weight and a positive ratio, got {weights} and {ratio}")
    return Slopes(ratio / math.sqrt(weights), 1 / (ratio * math.sqrt(weights)))


def as_child(step: float) -> Slopes:
    """S was trained from V by a further step of ``step`` lengths of v."""
    return Slopes(1.0, 1 / (1 + step**2))


def as_parent(step: float) -> Slopes:
    """V was trained from S by a further step of ``step`` lengths of s: the reverse of `as_child`."""
    return Slopes(1 / (1 + step**2), 1.0)


def as_merge(share: float, length: float) -> Slopes:
    """S = share V + (1 - share) B, B another child of A whose change has ``length`` lengths of v.

    gamma is exactly 1, as if V came from S, on the whole curve share = length**2 / (1 + length**2): equal shares of
    changes of equal length are one point of it. There the slopes are those of `as_parent` (1 / length).
    """
    square = share**2 + (1 - share) ** 2 * length**2
    return Slopes(share, share / square)


def as_interpolation(share: float) -> Slopes:
    """S = A + share v: on the line from the ancestor through the reference, or beyond."""
    return Slopes(share, 1 / share)


def sharing(common: float) -> Slopes:
    """Both changes hold one common part of ``common`` lengths of each one's own part.

    The common part is a task that both learned, the step to an unpublished common parent, or (with the sign turned)
    the error of a wrong ancestor, where that error is orthogonal to both changes.
    """
    value = common**2 / (1 + common**2)
    return Slopes(value, value)


def as_child_of_wrong_ancestor(step: float, error: float) -> Slopes:
    """`as_child`, measured from an ancestor that is off by ``error`` lengths of v, orthogonally.

    beta stays at 1: only siblings and merges are moved by it.
    """
    return Slopes(1.0, (1 + error**2) / (1 + error**2 + step**2))


def siblings_from_between(share: float, length: float = 1.0) -> Slopes:
    """Siblings, measured from a point ``share`` of the way from their ancestor to V; s has ``length`` lengths of v.

    A revision of the ancestor that lies towards the reference: beta is below 0, not above.
    """
    inner, v, s = -share * (1 - share), (1 - share) ** 2, length**2 + share**2
    return Slopes(inner / v, inner / s)


def _figures(sums: Doubles) -> Doubles:
    """Shape (n, 7) from sums of shape (n, `SUMS` + `BAND_SUMS`)."""
    ss, vv, sv = sums[:, 0], sums[:, 1], sums[:, 2]
    bands = sums[:, SUMS::2] / sums[:, SUMS + 1 :: 2]
    return np.column_stack([sv / vv, sv / ss, sv / np.sqrt(ss * vv), bands])


def _in_bands(change: Doubles, other: Doubles) -> tuple[tuple[float, float, float, float], float]:
    """Products of the other change with this one, and squares of this one: in major, then in minor directions; rank."""
    left, sizes, right = np.linalg.svd(change, full_matrices=False)
    squares = sizes**2
    total = float(squares.sum())
    if total == 0:
        return (0.0, 0.0, 0.0, 0.0), 0.0
    products = sizes * np.einsum("ai,ai->i", left, other @ right.T)
    reached = np.cumsum(squares) / total
    major, minor = reached - squares / total < MAJOR, reached > MINOR
    bands = (
        float(products[major].sum()),
        float(squares[major].sum()),
        float(products[minor].sum()),
        float(squares[minor].sum()),
    )
    return bands, _rank(sizes)


def _rank(sizes: AnyArray) -> float:
    """Effective rank from singular values; 0 where all are."""
    squares = np.square(sizes)
    fourth = float(np.square(squares).sum())
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else 0.0
