"""How alike answers to one question are: kernels on texts in which what everybody says counts for nothing.

Each kernel is the cosine of weighted counts of n-grams. An n-gram weighs by how few reference models, those of the
two models' own groups left out, use it in their answer to this very question (inverse document frequency within the
item), and nothing if more than half do.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray, Doubles

KERNELS: Final = ("characters", "bigrams", "fourgrams")
"""4-grams of characters, and 2- and 4-grams of words: from spelling and wording to whole phrases."""
MARKS: Final = ("opening", "closing")
"""Equality of the first and of the last sentence, by how rare it is."""

_WORD: Final = re.compile(r"\w+|[^\w\s]|\n+")
_SENTENCE_ENDS: Final = re.compile(r"[.\n!?:]")
_LONGEST_MARK: Final = 200
_PAIRS_AT_ONCE: Final = 1_000_000
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crowd:
    """Whose answers say what is usual: for each pair of texts the reference texts of all groups but theirs.

    Relatives of a model are no measure of what it has in common with others: with them in the crowd what two models
    share would look less rare, and they would stand nearer than the other model, for a model with relatives among the
    controls and for no other. So they are left out for every pair alike, controls and questioned models.

    Parameters
    ----------
    reference : shape (n,), bool
    groups : shape (n,), place of each text's group, all of 0 ... g - 1
    sizes : shape (g,), reference texts of each group
    """

    reference: NDArray[np.bool_]
    groups: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, reference: AnyArray, groups: AnyArray) -> "Crowd":
        """From any group codes."""
        chosen = np.asarray(reference, bool)
        places = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        sizes = np.bincount(places, weights=chosen, minlength=int(places.max(initial=-1)) + 1)
        return cls(reference=chosen, groups=places, sizes=sizes.astype(np.int64))

    def others(self) -> NDArray[np.int64]:
        """How many reference texts are of neither group, shape (g, g)."""
        found = self.sizes.sum() - self.sizes[:, None] - self.sizes[None]
        np.fill_diagonal(found, self.sizes.sum() - self.sizes)
        return np.asarray(found)


def item_kernels(texts: Sequence[str], crowd: Crowd) -> dict[str, Doubles]:
    """Every kernel between the answers to one question.

    Parameters
    ----------
    texts : normalised answers, n of them
    crowd : from whose answers it is learned what everybody says

    Returns
    -------
    kernel name -> shape (n, n), symmetric; `KERNELS` lie in [0, 1]
    """
    # Texts of one group stand together, so that those of a group that use an n-gram do.
    order = np.argsort(crowd.groups, kind="stable")
    crowd = Crowd(reference=crowd.reference[order], groups=crowd.groups[order], sizes=crowd.sizes)
    lowered = [texts[place].lower() for place in order]
    owners, characters = _concatenated(
        [np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32) for text in lowered]
    )
    words: dict[str, int] = {}
    numbers = [
        np.array([words.setdefault(word, len(words) + 1) for word in _WORD.findall(text)], np.uint32)
        for text in lowered
    ]
    word_owners, word_numbers = _concatenated(numbers)
    ordered = [texts[place] for place in order]
    found = {
        "characters": _cosines(*_grams(owners, characters, 4), crowd, counted=True),
        "bigrams": _cosines(*_grams(word_owners, word_numbers, 2), crowd, counted=False),
        "fourgrams": _cosines(*_grams(word_owners, word_numbers, 4), crowd, counted=False),
        "opening": _same_mark(ordered, crowd, _opening),
        "closing": _same_mark(ordered, crowd, _closing),
    }
    back = np.argsort(order)
    return {name: kernel[np.ix_(back, back)] for name, kernel in found.items()}


def _concatenated(parts: Sequence[NDArray[np.uint32]]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return owners, np.concatenate([*parts, np.zeros(0, np.uint32)])


def _grams(
    owners: NDArray[np.int64], letters: NDArray[np.uint32], length: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Hashes of all runs of ``length`` letters within one text, and whose they are."""
    windows = len(letters) - length + 1
    if windows <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    hashes = np.zeros(windows, np.uint64)
    for place in range(length):
        hashes = hashes * np.uint64(6364136223846793005) + letters[place : windows + place] + np.uint64(1)
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _MIX
    within = owners[:windows] == owners[length - 1 :]
    return owners[:windows][within], hashes[within]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Uses:
    """Which texts use which n-gram: n-gram by n-gram, group by group, text by text.

    A run is the texts of one group that use one n-gram; weights of pairs of texts are those of their runs.

    Parameters
    ----------
    owners, values, runs : shape (e,), of each use the text, square root of how often or 1, and its run
    first : shape (e,), place of the n-gram's first use
    groups, counts, known : shape (r,), of each run its group, its reference texts, and all that use the n-gram
    first_run : shape (r,), place of the n-gram's first run
    """

    owners: NDArray[np.int64]
    values: Doubles
    runs: NDArray[np.int64]
    first: NDArray[np.int64]
    groups: NDArray[np.int64]
    counts: NDArray[np.int64]
    known: NDArray[np.int64]
    first_run: NDArray[np.int64]


def _uses(owners: NDArray[np.int64], grams: NDArray[np.uint64], crowd: Crowd, *, counted: bool) -> _Uses:
    order = np.lexsort((owners, grams))
    owners, grams = owners[order], grams[order]
    begins = np.concatenate([[True], grams[1:] != grams[:-1]])
    starts = np.flatnonzero(begins | np.concatenate([[True], owners[1:] != owners[:-1]]))
    owner, new_gram = owners[starts], begins[starts]
    group = crowd.groups[owner]
    new_run = new_gram | np.concatenate([[True], group[1:] != group[:-1]])
    gram, run = np.cumsum(new_gram) - 1, np.cumsum(new_run) - 1
    weights = crowd.reference[owner].astype(np.float64)
    return _Uses(
        owners=owner,
        values=np.sqrt(np.diff(np.append(starts, len(grams)))) if counted else np.ones(len(starts)),
        runs=run,
        first=np.flatnonzero(new_gram)[gram],
        groups=group[new_run],
        counts=np.bincount(run, weights=weights).astype(np.int64),
        known=np.bincount(gram, weights=weights).astype(np.int64)[gram[new_run]],
        first_run=np.flatnonzero(new_gram[new_run])[gram[new_run]],
    )


def _cosines(owners: NDArray[np.int64], grams: NDArray[np.uint64], crowd: Crowd, *, counted: bool) -> Doubles:
    """Cosines in which each pair of texts has its own weights, those that the crowd of this pair gives."""
    count, groups = len(crowd.groups), len(crowd.sizes)
    if not len(grams):
        return np.eye(count)
    uses = _uses(owners, grams, crowd, counted=counted)
    weights = _Weights(crowd.others(), power=2 if counted else 1)
    # What more than half use outside of any two groups has no weight for any pair.
    firsts = np.flatnonzero(uses.first_run == np.arange(len(uses.first_run)))
    most = np.repeat(np.maximum.reduceat(uses.counts, firsts), np.diff(np.append(firsts, len(uses.counts))))
    usual = uses.known - 2 * most > crowd.sizes.sum() / 2
    of_runs = _weigh_runs(uses, weights, ~usual)
    squares = _own_squares(uses, crowd, weights)
    squares += np.bincount(
        uses.owners[of_runs.uses] * groups + of_runs.groups,
        weights=uses.values[of_runs.uses] ** 2 * of_runs.changes,
        minlength=count * groups,
    ).reshape(count, groups)
    products = np.zeros(count * count)
    for one, numbers, other in _pairs_of_uses(uses, ~usual[uses.runs]):
        weight = of_runs.weights[np.repeat(of_runs.rows[uses.runs[one]], numbers) + of_runs.columns[uses.runs[other]]]
        weight *= np.repeat(uses.values[one], numbers) * uses.values[other]
        products += np.bincount(
            np.repeat(uses.owners[one] * count, numbers) + uses.owners[other], weights=weight, minlength=count * count
        )
    lengths = np.maximum(squares, 1e-24)[:, crowd.groups]
    found = products.reshape(count, count)
    found = (found + found.T) / np.sqrt(lengths * lengths.T)
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.minimum(found, 1.0))


class _Weights:
    """Weights of an n-gram by how many reference texts of other groups use it, one row for each size of the crowd."""

    def __init__(self, others: NDArray[np.int64], *, power: int) -> None:
        self._groups = len(others)
        sizes, rows = np.unique(others, return_inverse=True)
        self._rows = rows.reshape(-1).astype(np.int64)
        counts = np.arange(int(sizes.max(initial=0)) + 2)
        self.table = _rarity(counts[None], sizes[:, None]) ** power

    def row(self, group: NDArray[np.int64], other_group: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the table for pairs of groups."""
        return np.asarray(self._rows[group * self._groups + other_group])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _OfRuns:
    """Weights of pairs of runs of one n-gram.

    Parameters
    ----------
    weights : at ``rows[later run] + columns[earlier run]``
    rows, columns : shape (r,)
    uses, groups, changes : by how much the weight of a use changes beside a text of another group that uses it too
    """

    weights: Doubles
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    uses: NDArray[np.int64]
    groups: NDArray[np.int64]
    changes: Doubles


def _weigh_runs(uses: _Uses, weights: _Weights, kept: NDArray[np.bool_]) -> _OfRuns:
    numbers = np.arange(len(uses.groups)) - uses.first_run  # runs of the n-gram before
    before = np.where(kept, numbers + 1, 0)  # and itself
    ends = np.cumsum(before)
    rows = ends - before
    later = np.repeat(np.arange(len(before)), before)
    earlier = uses.first_run[later] + np.arange(len(later)) - rows[later]
    row = weights.row(uses.groups[later], uses.groups[earlier])
    outside, other_outside = (uses.known[run] - uses.counts[run] for run in (later, earlier))
    same = later == earlier
    weight = weights.table[row, outside - np.where(same, 0, uses.counts[earlier])]
    one, other = later[~same], earlier[~same]
    changes = np.concatenate(
        [
            weight[~same] - weights.table[row[~same], outside[~same]],
            weight[~same] - weights.table[row[~same], other_outside[~same]],
        ]
    )
    runs, beside = np.concatenate([one, other]), np.concatenate([other, one])
    changed = changes != 0
    runs, beside, changes = runs[changed], beside[changed], changes[changed]
    sizes = np.bincount(uses.runs)
    starts = np.cumsum(sizes) - sizes
    spread = np.repeat(np.arange(len(runs)), sizes[runs])
    within = np.arange(len(spread)) - np.repeat(np.cumsum(sizes[runs]) - sizes[runs], sizes[runs])
    return _OfRuns(
        weights=weight,
        rows=rows,
        columns=numbers,
        uses=starts[runs[spread]] + within,
        groups=uses.groups[beside[spread]],
        changes=changes[spread],
    )


def _own_squares(uses: _Uses, crowd: Crowd, weights: _Weights) -> Doubles:
    """Squared length of each text for each other group, shape (n, g), as if the other group used nothing of it."""
    found = np.empty((len(crowd.groups), len(crowd.sizes)))
    outside = uses.known - uses.counts
    by_rows: dict[bytes, Doubles] = {}  # groups of one size give one column, but for their own members
    for other in range(len(crowd.sizes)):
        rows = weights.row(np.arange(len(crowd.sizes)), np.full(len(crowd.sizes), other))
        key = rows.tobytes()
        if key not in by_rows:
            weight = weights.table[rows[uses.groups], outside][uses.runs]
            squares = np.bincount(uses.owners, weights=uses.values**2 * weight, minlength=len(crowd.groups))
            by_rows[key] = squares.astype(np.float64)
        found[:, other] = by_rows[key]
    return found


def _pairs_of_uses(
    uses: _Uses, kept: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """All two uses of one n-gram, some at a time: places, how often each is repeated, and the earlier place."""
    places = np.flatnonzero(kept & (np.arange(len(uses.first)) > uses.first))
    before = places - uses.first[places]  # uses of the same n-gram that come before
    ends = np.cumsum(before)
    start = 0
    while start < len(places):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, "right")))
        one, numbers = places[start:stop], before[start:stop]
        offsets = uses.first[one] - (ends[start:stop] - numbers - done)
        yield one, numbers, np.arange(numbers.sum()) + np.repeat(offsets, numbers)
        start = stop


def _rarity(counts: AnyArray, among: AnyArray) -> Doubles:
    """How telling it is that two texts have something in common which so many of so many others have."""
    return np.where(counts > among / 2, 0.0, np.log((among + 3) / (counts + 2.5)))


def _same_mark(texts: Sequence[str], crowd: Crowd, mark: Callable[[str], str]) -> Doubles:
    marks, place = np.unique([mark(text) for text in texts], return_inverse=True)
    groups = len(crowd.sizes)
    by_group = np.bincount(
        place * groups + crowd.groups, weights=crowd.reference, minlength=len(marks) * groups
    ).reshape(len(marks), groups)
    own, other = by_group[place, crowd.groups], by_group[place][:, crowd.groups]
    same_group = crowd.groups[:, None] == crowd.groups[None]
    outside = by_group.sum(axis=1)[place][:, None] - own[:, None] - np.where(same_group, 0, other)
    same = (place[:, None] == place[None]) & (marks[place] != "")[None]  # nothing in common is no agreement
    among = crowd.others()[np.ix_(crowd.groups, crowd.groups)]
    return np.where(same, _rarity(np.maximum(outside, 0), among), 0.0)


def _opening(text: str) -> str:
    return _SENTENCE_ENDS.split(text[:_LONGEST_MARK], maxsplit=1)[0].lower()


def _closing(text: str) -> str:
    return _SENTENCE_ENDS.split(text[-_LONGEST_MARK:].rstrip(".!?\n "))[-1].lower()
