"""What a finding of nothing is worth: would a copy of this very reference have been seen?

Copies of the reference's neurons are simulated, changed as far as real children of other models were changed, and put
to the two-view test (see ``docs/methods/power.md``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from whorl.comparison.alignment import UNRELATED_AT_MOST, pair_layers
from whorl.comparison.drift import LEVELS, ChildDrift, Drift, LayerDrift, ranks
from whorl.core.arrays import Doubles, Floats, Ints
from whorl.core.evidence import NotComparable, Power
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.cosines import unit_rows
from whorl.statistics.intervals import clopper_pearson

SIMULATED: Final = "simulated_copies/1"
COPIES: Final = 100
LAYERS_TRIED: Final = 4
_LEAST_COPIES: Final = 20
_MOST_PRODUCTS: Final = 2e10  # of one view over the first layers of all copies; sets how many copies there are
_NOTICED_NEURONS: Final = 64  # as `whorl.comparison.conclusion` demands before agreement raises doubt

View = Literal["gate", "up", "down"]


def simulated_power(
    reference: ModelView,
    drifts: Sequence[Drift],
    *,
    not_aligned: NotComparable | None,
    tries: int,
    rng: np.random.Generator,
) -> tuple[Power | NotComparable, ...]:
    """For each measured way of changing a model: how probably a copy of the reference changed so is seen.

    Seen means that at least one layer is established. A copy has the reference's own layers, neurons and tokens, its
    neurons moved and rescaled at will; its layers, least changed first, are tried until one is established, at most
    `LAYERS_TRIED`. There are 100 copies for each change, fewer (20 at least) where the reference is large.

    Parameters
    ----------
    drifts : those measured with other access than the reference's are left out
    not_aligned : why the two models could not be laid over each other; there is no power then
    tries : how many ways of laying them over each other were tried, as in `align_layers`
    """
    access = "weights" if reference.exact else "fingerprint"
    usable = [drift for drift in drifts if drift.access == access]
    if not_aligned is not None:
        return (_none("no_shared_vocabulary", f"a copy would not have been seen either: {not_aligned.detail}"),)
    if not any(layer.gate.any() and layer.down.any() for layer in reference.neurons):
        return (_none("too_little_data", "the reference has no neurons that a copy could be recognised by"),)
    if not usable:
        return (_none("not_validated", f"no drift of real children was measured on {access} in this release"),)
    layers = [Original.of(layer, exact=reference.exact) for layer in reference.neurons]
    copies = copies_of(reference.neurons, changes=len(usable))
    tests = len(layers) ** 2 * tries
    return tuple(_power(layers, drift, copies=copies, tests=tests, rng=rng) for drift in usable)


def copies_of(reference: Sequence[NeuronSignatures], *, changes: int) -> int:
    """How many copies are simulated for each of so many changes: 100, down to 20 where layers are large."""
    products = changes * max(len(layer.index) ** 2 * layer.gate.shape[1] for layer in reference)
    return int(np.clip(_MOST_PRODUCTS // products, _LEAST_COPIES, COPIES))


def _none(reason: Literal["no_shared_vocabulary", "too_little_data", "not_validated"], detail: str) -> NotComparable:
    return NotComparable(tier="T5", method=SIMULATED, reason=reason, detail=detail)


def family_interval(shares: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Interval for the mean share over families like these: Clopper-Pearson with families as the units.

    Copies made by one family's drift are seen or missed together, so the number of copies proves nothing about other
    families. Shares are rounded outwards to whole families; a mean of independent values within [0, 1] varies no more
    than one of zeros and ones does, so that the interval is, if anything, too long.

    References
    ----------
    Hoeffding, On the distribution of the number of successes in independent trials, Ann. Math. Stat. 27(3), 1956.
    """
    total = math.fsum(shares)
    families = len(shares)
    return (
        clopper_pearson(math.floor(total + 1e-9), families, level=level)[0],
        clopper_pearson(math.ceil(total - 1e-9), families, level=level)[1],
    )


def _power(layers: "Sequence[Original]", drift: Drift, *, copies: int, tests: int, rng: np.random.Generator) -> Power:
    families: dict[str, list[ChildDrift]] = {}
    for child in drift.children:
        families.setdefault(child.family, []).append(child)
    order = [str(name) for name in rng.permutation(list(families))][:copies]
    seen: dict[str, list[bool]] = {name: [] for name in order}
    noticed = 0
    for number in range(copies):
        name = order[number % len(order)]
        members = families[name]
        outcome = _outcome(layers, members[rng.integers(len(members))], tests, rng)
        seen[name].append(outcome == "seen")
        noticed += outcome == "noticed"
    shares = [float(np.mean(outcomes)) for outcomes in seen.values()]
    lower, upper = family_interval(shares)
    hits = sum(map(sum, seen.values()))
    tried = min(LAYERS_TRIED, len(layers))
    return Power(
        tier="T5",
        method=SIMULATED,
        change=drift.change,
        probability=min(max(float(np.mean(shares)), lower), upper),
        lower=lower,
        upper=upper,
        simulated=copies,
        statistic={
            "seen": float(hits),
            "noticed": float(noticed),
            "families": float(len(shares)),
            "layers_tried_at_most": float(tried),
        },
        detail=f"{hits} of {copies} simulated copies of this reference, {drift.change}, had a layer recognised beyond "
        f"what unrelated layers can show, and {noticed} more would have left the finding inconclusive; changed as far "
        f"as real children of {len(shares)} families were; up to {tried} of {len(layers)} layers of each copy were "
        "tried, least changed first; the interval is over families",
    )


def _outcome(
    layers: "Sequence[Original]", child: ChildDrift, tests: int, rng: np.random.Generator
) -> Literal["seen", "noticed", "missed"]:
    noticed = False
    for number, drift in _least_changed(layers, child, rng):
        original = layers[number].neurons
        pair = pair_layers([layers[number].copied(drift, rng)], [original], 0, 0, tests=tests)
        if pair.established:
            return "seen"
        noticed |= pair.neurons >= _NOTICED_NEURONS and pair.agreement > UNRELATED_AT_MOST / 2
    return "noticed" if noticed else "missed"


def _least_changed(
    layers: "Sequence[Original]", child: ChildDrift, rng: np.random.Generator
) -> list[tuple[int, LayerDrift]]:
    """The layers to try, each with the drift that the child had at the same relative depth."""
    drifts = [child.layers[number * len(child.layers) // len(layers)] for number in range(len(layers))]
    middle = LEVELS.index(0.5)
    medians = np.array([min(drift.gate[middle], drift.down[middle]) for drift in drifts])
    order = rng.permutation(len(layers))  # so that layers of one drift are tried in any order
    order = order[np.argsort(-medians[order], kind="stable")]
    return [(int(number), drifts[number]) for number in order[:LAYERS_TRIED]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Original:
    """One reference layer, prepared for copying.

    ``rows`` (n, k) by view; ``spreads`` by view their second moment as eigenvalues (k,) and eigenvectors (k, k), where
    signs stand for normal values of such signs.
    """

    neurons: NeuronSignatures
    rows: dict[View, Floats]
    spreads: dict[View, tuple[Doubles, Floats]]
    exact: bool

    @classmethod
    def of(cls, neurons: NeuronSignatures, *, exact: bool) -> "Original":
        views: dict[View, Floats] = {"gate": neurons.gate, "up": neurons.up, "down": neurons.down}
        rows = {name: unit_rows(view) if exact else view for name, view in views.items() if view.any()}
        spreads = {name: _spread(view, exact=exact) for name, view in rows.items()}
        return cls(neurons=neurons, rows=rows, spreads=spreads, exact=exact)

    def copied(self, drift: LayerDrift, rng: np.random.Generator) -> NeuronSignatures:
        """The layer with every neuron moved away from itself, as far as the drift says."""
        count = len(self.neurons.index)
        far = {"gate": drift.gate, "up": drift.up or drift.down, "down": drift.down}
        shared, lost = rng.standard_normal(count), rng.random(count).argsort() >= round(drift.kept * count)
        # Ranks of correlated normal values: a Gaussian copula with the measured rank correlation.
        common = max(0.0, 2 * math.sin(math.pi * drift.rank_correlation / 6))
        changed: dict[View, Floats] = {}
        for view, rows in self.rows.items():
            own = rng.standard_normal(count)
            place: Doubles = (ranks(math.sqrt(common) * shared + math.sqrt(1 - common) * own) + 0.5) / count
            cosine = np.where(lost, 0.0, np.interp(place, LEVELS, far[view]))
            noise = self._noise(view, drift.coloured, rng)
            changed[view] = _moved(rows, noise, cosine) if self.exact else _flipped(rows, noise, cosine, rng)
        empty = np.zeros_like(self.neurons.gate)
        return replace(
            self.neurons,
            gate=changed.get("gate", empty),
            up=changed.get("up", empty),
            down=changed.get("down", empty),
        )

    def _noise(self, view: View, coloured: float, rng: np.random.Generator) -> Floats:
        """Directions to move in: the given share spreads as the layer's own neurons do, the rest evenly."""
        values, vectors = self.spreads[view]
        sizes = np.sqrt(coloured * values + (1 - coloured) * values.mean()).astype(np.float32)
        drawn = rng.standard_normal(self.rows[view].shape, np.float32)
        return np.asarray((drawn * sizes) @ vectors.T, np.float32)


def _spread(rows: Floats, *, exact: bool) -> tuple[Doubles, Floats]:
    moment = rows.T.astype(np.float64) @ rows / max(len(rows), 1)
    values, vectors = np.linalg.eigh(moment if exact else np.sin(np.pi / 2 * np.clip(moment, -1, 1)))
    return np.maximum(values, 0), vectors.astype(np.float32)


def _moved(rows: Floats, noise: Floats, cosine: Doubles) -> Floats:
    """Unit rows turned towards the noise until they have the given cosine with themselves."""
    across = unit_rows(noise - np.einsum("ij,ij->i", noise, rows)[:, None] * rows)
    along = cosine.astype(np.float32)[:, None]
    return np.asarray(along * rows + np.sqrt(1 - along**2) * across, np.float32)


def _flipped(rows: Floats, noise: Floats, cosine: Doubles, rng: np.random.Generator) -> Floats:
    """Signs of which as many are turned as the cosine says: those that a normal value of such sign loses first."""
    angle = (np.pi / 2 * (1 - cosine)).astype(np.float32)[:, None]
    size = np.abs(rng.standard_normal(rows.shape, np.float32))
    left = np.cos(angle) * size + np.sin(angle) * rows * noise
    turned: Ints = np.rint(rows.shape[1] * (1 - cosine) / 2).astype(np.int64)
    last = np.take_along_axis(np.sort(left, axis=1), np.maximum(turned - 1, 0)[:, None], axis=1)
    return np.where((left <= last) & (turned > 0)[:, None], -rows, rows)
