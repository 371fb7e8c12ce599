"""Which questioned layer comes from which reference layer, and which neuron from which: the two-view test.

A neuron is looked up twice, by independent parts of its weights: by what opens it (gate) and by what it reads and
writes (up and down). Related layers give the same answer twice; unrelated ones agree by chance only, plus the few
neurons that every model trained on such data grows (see ``docs/methods/two_view_agreement.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.core.progress import Progress
from whorl.fingerprints.heads import HeadFeatures
from whorl.fingerprints.neurons import NeuronSignatures, strongest
from whorl.statistics.coincidences import mutual_best
from whorl.statistics.cosines import cosines, unit_rows
from whorl.statistics.intervals import binomial_log10_tail

UNRELATED_AT_MOST: Final = 0.10
"""Cap on the agreement of unrelated layers: above every rate of universal neurons published (1 to 5 %) or measured
here.
"""

LOG10_LEVEL: Final = -6.0
_TABLE_NEURONS: Final = 384
_TABLE_NEURONS_OF_MANY: Final = 128
_MANY_PAIRS: Final = 400  # of layers: beyond, the table costs more than everything after it
_LEAST_OF_EXPERT: Final = 16  # taken neurons: with fewer, experts are not compared one by one
_ALIKE: Final = 0.98  # cosine of gate and of up; neurons of one layer, in 1,364 small models, came no nearer than 0.951
_CANCELLED: Final = 0.005  # of the lengths summed: what bfloat16 leaves of two that cancel is 0.001
_SKETCH: Final = 32  # coordinates; sketches of rows that are alike are nearer than `_SKETCHES_ALIKE`, by six sigma
_SKETCHES_ALIKE: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerPair:
    """Two layers laid side by side.

    Parameters
    ----------
    questioned, reference : layer numbers
    rows_questioned, rows_reference : shape (m,), taken neurons on whose counterpart both views agree
    neurons : how many questioned neurons were looked up, copies within the layer counted as one
    found : how many of them had a best counterpart by what opens them, whether or not the other view agrees; next to
        none
        where neurons are all alike or zero, and the test then has no power
    established : the agreement is beyond what unrelated layers can show
    """

    questioned: int
    reference: int
    rows_questioned: Ints
    rows_reference: Ints
    neurons: int
    found: int
    established: bool

    @property
    def agreement(self) -> float:
        return len(self.rows_questioned) / self.neurons if self.neurons else 0.0


def align_layers(
    questioned: Sequence[NeuronSignatures], reference: Sequence[NeuronSignatures], table: Doubles, *, tries: int
) -> tuple[LayerPair, ...]:
    """For every questioned layer, the reference layer that it agrees with most.

    One reference layer may serve several questioned layers (repeated layers); a pair counts only if ``established``:
    the binomial tail at `UNRELATED_AT_MOST`, Bonferroni-corrected for all layer pairs, is below 1e-6.
    """
    pairs = []
    for number, row in enumerate(table):
        # Ties go to the nearest relative depth, so that unrelated models give a picture that does not depend on order.
        depth = np.abs(np.arange(len(reference)) / len(reference) - number / len(questioned))
        best = int(np.lexsort((depth, -row))[0])
        pairs.append(pair_layers(questioned, reference, number, best, tests=table.size * tries))
    return tuple(pairs)


def pair_layers(
    questioned: Sequence[NeuronSignatures],
    reference: Sequence[NeuronSignatures],
    number: int,
    counterpart: int,
    *,
    tests: int,
) -> LayerPair:
    """Two-view agreement of one layer pair on all taken neurons."""
    ours, rows_ours = without_copies(questioned[number])
    theirs, rows_theirs = without_copies(reference[counterpart])
    first, second = view_similarities(ours, theirs)
    rows, match = _agreeing(first, second)
    log10_tests = np.log10(tests)
    if (by_expert := _agreeing_by_expert(ours, theirs, first, second)) is not None:
        # Every questioned expert takes the best of the reference's: as many ways to be lucky as there are maps.
        log10_tests += np.log10(2) + len(ours.blocks) * np.log10(len(theirs.blocks))
        if len(by_expert[0]) > len(rows):
            rows, match = by_expert
    neurons = len(ours.index)
    tail = binomial_log10_tail(len(rows), neurons, UNRELATED_AT_MOST) if neurons else 0.0
    return LayerPair(
        questioned=number,
        reference=counterpart,
        rows_questioned=rows_ours[rows],
        rows_reference=rows_theirs[match[rows]],
        neurons=neurons,
        found=int(np.count_nonzero(match >= 0)),
        established=bool(tail + log10_tests < LOG10_LEVEL),
    )


def agreement_table(
    questioned: Sequence[NeuronSignatures], reference: Sequence[NeuronSignatures], progress: Progress
) -> Doubles:
    """Agreement of every layer pair, shape (questioned layers, reference layers), on each layer's strongest neurons."""
    pairs = len(questioned) * len(reference)
    count = _TABLE_NEURONS if pairs <= _MANY_PAIRS else _TABLE_NEURONS_OF_MANY
    ours, theirs = (
        [_of_unit_length(strongest(without_copies(layer)[0], count)) for layer in side]
        for side in (questioned, reference)
    )
    table = np.zeros((len(ours), len(theirs)))
    for i, left in enumerate(ours):
        for j, right in enumerate(theirs):
            if len(left.index):
                first, second = _products(left, right)
                agreeing = len(_agreeing(first, second)[0])
                if (by_expert := _agreeing_by_expert(left, right, first, second)) is not None:
                    agreeing = max(agreeing, len(by_expert[0]))
                table[i, j] = agreeing / len(left.index)
        progress("aligning layers", (i + 1) * len(theirs), pairs)
    return table


def view_similarities(ours: NeuronSignatures, theirs: NeuronSignatures) -> tuple[Floats, Floats]:
    """Similarity of every questioned to every reference neuron, by opening and by reading-and-writing."""
    return _products(_of_unit_length(ours), _of_unit_length(theirs))


def _products(ours: NeuronSignatures, theirs: NeuronSignatures) -> tuple[Floats, Floats]:
    opening, writing = ours.gate @ theirs.gate.T, ours.down @ theirs.down.T
    if ours.up.any() and theirs.up.any():
        # up and down of a gated neuron may be rescaled and change sign together: only the size of the cosine is rigid.
        return opening, np.abs(ours.up @ theirs.up.T) + np.abs(writing)
    return opening, writing


def _of_unit_length(layer: NeuronSignatures) -> NeuronSignatures:
    return replace(layer, gate=unit_rows(layer.gate), up=unit_rows(layer.up), down=unit_rows(layer.down))


def without_copies(layer: NeuronSignatures) -> tuple[NeuronSignatures, Ints]:
    """The layer with neurons that are copies of each other taken together, and the row that each result stands for.

    A neuron split in two computes the same and would have no unique counterpart; a pair that opens alike and writes
    opposites computes nothing and is left out. Copies are found within one expert, by gate and up (up to sign), and
    what they write is added up. A layer without copies comes back as it is.
    """
    labels = _labels_of_copies(layer)
    if labels is None:
        return layer, np.arange(len(layer.index))
    first, group = np.unique(labels, return_inverse=True)
    importance = layer.norms.prod(axis=1, dtype=np.float64)
    # The strongest of each group stands for it: a choice by content, which only equal copies leave to their order.
    order = np.lexsort((-importance, group))
    leaders = order[np.searchsorted(group[order], np.arange(len(first)))]
    gate, up, down = unit_rows(layer.gate), unit_rows(layer.up), unit_rows(layer.down)
    turned = np.where(np.einsum("ij,ij->i", up, up[leaders[group]]) < 0, -1.0, 1.0)
    written = layer.norms[:, 1].astype(np.float64)
    merged = _sums(down * (turned * written)[:, None], group)
    lengths = np.linalg.norm(merged, axis=1)
    kept = np.flatnonzero((np.bincount(group) == 1) | (lengths > _CANCELLED * np.bincount(group, weights=written)))
    # In the order of the rows that stand for them, as the positions of a layer must ascend.
    kept = kept[np.argsort(leaders[kept])]
    rows = leaders[kept]
    together = replace(
        layer,
        index=layer.index[rows],
        gate=_sums(gate * importance[:, None], group)[kept].astype(np.float32),
        up=_sums(up * (turned * importance)[:, None], group)[kept].astype(np.float32),
        down=merged[kept].astype(np.float32),
        norms=np.stack([layer.norms[rows, 0], lengths[kept]], axis=1).astype(np.float32),
    )
    return together, rows


def _sums(rows: AnyArray, group: Ints) -> Doubles:
    """Sum of the rows of each group, shape (groups, k)."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    return np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)


def _labels_of_copies(layer: NeuronSignatures) -> Ints | None:
    """For every taken neuron the lowest row among its copies, its own where it has none; None where no neuron has."""
    gate = unit_rows(layer.gate)
    sketch = gate
    if gate.shape[1] > _SKETCH:
        # A look at few coordinates first: nearly every layer ends here, for a small part of a layer pair's cost.
        axes = np.random.Generator(np.random.Philox(gate.shape[1])).standard_normal((gate.shape[1], _SKETCH))
        sketch = unit_rows(gate @ axes.astype(np.float32))
    near = sketch @ sketch.T > _SKETCHES_ALIKE
    np.fill_diagonal(near, val=False)
    rows = np.flatnonzero(near.any(axis=1))
    if not len(rows):
        return None
    alike = cosines(gate[rows], gate[rows]) > _ALIKE
    if layer.up.any():
        alike &= np.abs(cosines(layer.up[rows], layer.up[rows])) > _ALIKE
    owner = experts_of(layer)[rows]
    alike &= owner[:, None] == owner
    np.fill_diagonal(alike, val=True)
    if np.count_nonzero(alike) == len(rows):
        return None
    own = np.arange(len(rows))
    while (lowest := np.where(alike, own, len(rows)).min(axis=1)).tolist() != own.tolist():
        own = lowest
    labels = np.arange(len(gate))
    labels[rows] = rows[own]
    return labels


def agreeing_heads(ours: HeadFeatures, theirs: HeadFeatures) -> int | None:
    """How many questioned heads have one counterpart by query-key coherence and by output-value sketch; None if not
    comparable.
    """
    if ours.query_key.shape[1] != theirs.query_key.shape[1]:
        return None
    # What all heads of a layer have in common (the rotary frequencies' own profile) tells nothing about which head it
    # is.
    first = cosines(*(part - part.mean(axis=0) for part in (ours.query_key, theirs.query_key)))
    second = cosines(ours.output_value, theirs.output_value)
    return len(_agreeing(first, second)[0])


def _agreeing(first: Floats, second: Floats) -> tuple[Ints, Ints]:
    """Questioned rows on whose counterpart both similarities agree, and every row's counterpart by the first."""
    match = mutual_best(first)
    return np.flatnonzero((match >= 0) & (match == mutual_best(second))), match


def _agreeing_by_expert(
    ours: NeuronSignatures, theirs: NeuronSignatures, first: Floats, second: Floats
) -> tuple[Ints, Ints] | None:
    """As `_agreeing`, each questioned expert held against the one reference expert it agrees with most.

    Experts that started as copies of one block hold the same neuron several times: over the whole pool the two views
    then name different copies. None where both layers are dense or the experts too thinly sampled.
    """
    blocks = [_expert_rows(layer) for layer in (ours, theirs)]
    if max(map(len, blocks)) < 2 or min(len(rows) for side in blocks for rows in side) < _LEAST_OF_EXPERT:
        return None
    rows, match = [], np.full(len(ours.index), -1, dtype=np.int64)
    for mine in blocks[0]:
        found = [_agreeing(first[np.ix_(mine, other)], second[np.ix_(mine, other)]) for other in blocks[1]]
        best = max(range(len(found)), key=lambda number: len(found[number][0]))
        agreeing, local = found[best]
        match[mine] = np.where(local >= 0, blocks[1][best][local], -1)
        rows.append(mine[agreeing])
    return np.concatenate(rows), match


def _expert_rows(layer: NeuronSignatures) -> list[Ints]:
    """For each expert, which of the taken neurons are its own."""
    owner = experts_of(layer)
    return [np.flatnonzero(owner == expert) for expert in range(len(layer.blocks))]


def experts_of(layer: NeuronSignatures) -> Ints:
    """The expert of every taken neuron, 0 in a dense layer."""
    return np.searchsorted(np.cumsum(layer.blocks), layer.index, side="right").astype(np.int64)


def expert_map(ours: NeuronSignatures, theirs: NeuronSignatures, pair: LayerPair) -> tuple[int | None, ...]:
    """For each questioned expert the reference expert that holds most of its matched neurons.

    None where fewer than half of an expert's taken neurons found a counterpart in one reference expert.
    """
    taken, sources = experts_of(ours), experts_of(theirs)[pair.rows_reference]
    owners = taken[pair.rows_questioned]
    found: list[int | None] = []
    for expert in range(len(ours.blocks)):
        counts = np.bincount(sources[owners == expert], minlength=len(theirs.blocks))
        enough = 2 * counts.max() >= max(1, np.count_nonzero(taken == expert))
        found.append(int(counts.argmax()) if enough else None)
    return tuple(found)
