"""The main job: two models in, one finding out.

With both weights at hand, the models are laid over each other through their embeddings and then read once each, layer
by layer. With a stored fingerprint on either side, both are compared as fingerprints.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from whorl import __version__
from whorl.comparison.alignment import UNRELATED_AT_MOST, LayerPair, agreeing_heads, agreement_table, align_layers
from whorl.comparison.changes import Comparison, destroyed_by, established_changes
from whorl.comparison.conclusion import Known, conclude
from whorl.comparison.direction import ascent, ascent_evidence
from whorl.comparison.drift import read_drifts
from whorl.comparison.figures import figures_of
from whorl.comparison.identity import Identity, compare_digests, compare_values, equal_parts, without_values
from whorl.comparison.inheritance import inheritance
from whorl.comparison.keyed import KeyedQuestion, keyed_evidence
from whorl.comparison.kinship import (
    gain_slopes,
    inheritance_evidence,
    judge,
    kinship_evidence,
    matched_weights,
    pair_cosines,
)
from whorl.comparison.neuron_link import link_by_neurons
from whorl.comparison.population import direction_of, population_ratios, ratio_evidence, shipped_population
from whorl.comparison.positions import Positions, positional_tests
from whorl.comparison.power import simulated_power
from whorl.comparison.subjects import (
    CheckpointSubject,
    as_fingerprint,
    checkpoint_record,
    fingerprint_record,
    open_subject,
)
from whorl.core.arrays import Doubles, Floats
from whorl.core.evidence import (
    Access,
    EstablishedTransformation,
    Evidence,
    Finding,
    LayerMatch,
    NotComparable,
    PValue,
    Score,
    Subject,
)
from whorl.core.progress import Progress, silent
from whorl.fingerprints.anchors import shared_anchor_count
from whorl.fingerprints.contents import norm_gains, vector_digests, vocabulary_of
from whorl.fingerprints.extraction import extract, single_threaded_blas
from whorl.fingerprints.frame import JointBases, is_layer_norm, joint_bases, unlinked_bases
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import without_positions
from whorl.fingerprints.weight_fingerprint import JOBS, NEURONS, WeightFingerprint
from whorl.statistics.intervals import ratio_interval
from whorl.statistics.ratio_population import Population
from whorl.weights.anatomy import Anatomy
from whorl.weights.release_key import ReleaseKey

TWO_VIEW: Final = "two_view_agreement/1"
HEADS: Final = "head_agreement/1"
SEED: Final = 20261123
BASIS: Final = 256
WORKING_NEURONS: Final = 1024
LEAST_FIT: Final = 0.1
SAME_FEATURES: Final = 0.9  # of neurons and signs; another machine's rounding turns over a few


Way: TypeAlias = Literal["tokens", "as_stored", "neurons"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aligned:
    """Both models laid over each other in one way; ``rotation`` is that of the way by neurons."""

    questioned: ModelView
    reference: ModelView
    way: Way
    rotation: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """Both models as a comparison sees them, once for each way of laying one over the other.

    ``ways`` names them; ``by_neurons`` is one more way, tried only where those found nothing, None where it cannot be
    tried at all; ``not_aligned`` is None where the models share enough tokens, else the reason why a negative result
    would mean nothing.
    """

    subjects: tuple[Subject, Subject]
    views: tuple[tuple[ModelView, ModelView], ...]
    ways: tuple[Way, ...]
    by_neurons: Callable[[], Aligned | None] | None
    identity: Identity
    not_aligned: NotComparable | None
    parameters: dict[str, int | float | str]

    @property
    def tries(self) -> int:
        """Ways that are or may be tried, for the correction of every test."""
        return len(self.views) + (self.by_neurons is not None)


def compare(
    questioned: Path,
    reference: Path,
    *,
    progress: Progress,
    jobs: int = JOBS,
    key: ReleaseKey | None = None,
    population: Population | None = None,
    with_power: bool = True,
) -> Finding:
    """Compare two models, each a checkpoint (folder or file) or a stored fingerprint.

    Parameters
    ----------
    key : also test the questioned model for this key's dither; the reference is then the undithered original
    population : what ratios are calibrated on; left out, the one that comes with this release
    with_power : where nothing is found, simulate what would have been; takes longer than the comparison of small models

    Raises
    ------
    InputError
        If either cannot be read, or the key was made for another reference; nothing is concluded then.
    """
    ours, theirs = open_subject(questioned), open_subject(reference)
    if isinstance(ours, CheckpointSubject) and isinstance(theirs, CheckpointSubject):
        with single_threaded_blas():
            asked = None if key is None else KeyedQuestion(key=key, anatomies=(ours.anatomy, theirs.anatomy), seed=SEED)
            sides = sides_of_checkpoints(ours, theirs, progress, jobs)
            return _find(sides, progress, asked, population or shipped_population(), with_power=with_power)
    left = as_fingerprint(ours, progress=_named("questioned", progress))
    right = as_fingerprint(theirs, progress=_named("reference", progress))
    return compare_fingerprints(left, right, progress=progress, key=key, population=population, with_power=with_power)


def compare_fingerprints(
    questioned: WeightFingerprint,
    reference: WeightFingerprint,
    *,
    progress: Progress = silent,
    key: ReleaseKey | None = None,
    population: Population | None = None,
    with_power: bool = True,
) -> Finding:
    """Compare two models by their stored fingerprints alone; a key is then not tested, and the finding says so."""
    asked = None if key is None else KeyedQuestion(key=key, anatomies=None, seed=SEED)
    with single_threaded_blas():
        sides = sides_of_fingerprints(questioned, reference)
        return _find(sides, progress, asked, population or shipped_population(), with_power=with_power)


def sides_of_checkpoints(ours: CheckpointSubject, theirs: CheckpointSubject, progress: Progress, jobs: int) -> Sides:
    """Two models with weights at hand, laid over each other."""
    bases = joint_bases(ours.anatomy, theirs.anatomy, size=BASIS, seed=SEED)
    ways = [way for way in (bases.by_tokens, bases.as_stored) if way is not None]
    if not ways:
        # Different widths and no shared token: nothing links the two residual streams, but T1 and the shapes still
        # speak.
        ways = [unlinked_bases(ours.anatomy, theirs.anatomy, size=BASIS, seed=SEED)]
    left = _working_views(
        ours.anatomy, [way[0] for way in ways], bases.residual_questioned, _named("questioned", progress), jobs
    )
    right = _working_views(
        theirs.anatomy, [way[1] for way in ways], bases.residual_reference, _named("reference", progress), jobs
    )
    return Sides(
        subjects=(checkpoint_record(ours, left[0]), checkpoint_record(theirs, right[0])),
        views=tuple(zip(left, right, strict=True)),
        ways=tuple("tokens" if way is bases.by_tokens else "as_stored" for way in ways),
        by_neurons=lambda: _by_neurons((ours.anatomy, theirs.anatomy), (left[0], right[0]), progress, jobs),
        identity=compare_values(ours.anatomy, theirs.anatomy, (left[0], right[0])),
        not_aligned=_not_aligned(bases.shared_tokens, min(ours.anatomy.width, theirs.anatomy.width)) or _misfit(bases),
        parameters={
            "access": "weights",
            "seed": SEED,
            "basis": BASIS,
            "neurons_per_layer": WORKING_NEURONS,
            "shared_tokens": bases.shared_tokens,
            "held_out_token_cosine": bases.fit,
        },
    )


def _by_neurons(
    anatomies: tuple[Anatomy, Anatomy], views: tuple[ModelView, ModelView], progress: Progress, jobs: int
) -> Aligned | None:
    """Both models laid over each other by their neurons alone; those that solved the rotation are left out."""
    link = link_by_neurons(anatomies, (views[0].neurons, views[1].neurons), size=BASIS, seed=SEED, progress=progress)
    if link is None:
        return None
    turned = []
    for side, name in enumerate(("questioned", "reference")):
        (view,) = _working_views(
            anatomies[side], [link.bases[side]], link.residuals[side], _named(name, progress), jobs
        )
        neurons = zip(view.neurons, link.used[side], strict=True)
        turned.append(replace(view, neurons=tuple(without_positions(layer, used) for layer, used in neurons)))
    return Aligned(questioned=turned[0], reference=turned[1], way="neurons", rotation=link.rotation)


def sides_of_fingerprints(ours: WeightFingerprint, theirs: WeightFingerprint) -> Sides:
    """Two stored fingerprints, each in its own frame of tokens."""
    left, right = ours.view(), theirs.view()
    shared = shared_anchor_count(ours.anchors, theirs.anchors)
    return Sides(
        subjects=(fingerprint_record(ours, left), fingerprint_record(theirs, right)),
        views=((left, right),),
        ways=("tokens",),
        by_neurons=None,
        identity=without_values(compare_digests(left, right)),
        not_aligned=_not_aligned(shared, min(len(ours.anchors.hashes), len(theirs.anchors.hashes))),
        parameters={
            "access": "fingerprint",
            "neurons_per_layer": NEURONS,
            "shared_tokens": shared,
        },
    )


def _working_views(
    anatomy: Anatomy, bases: Sequence[Floats], residual: Floats, progress: Progress, jobs: int
) -> tuple[ModelView, ...]:
    found = extract(anatomy, bases, neurons=WORKING_NEURONS, jobs=jobs, progress=progress)
    vocabulary, vectors, gains = vocabulary_of(anatomy), vector_digests(anatomy), norm_gains(anatomy)
    return tuple(
        ModelView(
            architecture=anatomy.architecture,
            width=anatomy.width,
            layer_norm=is_layer_norm(anatomy),
            vocabulary=vocabulary,
            neurons=tuple(layer.neurons for layer in features.layers),
            heads=tuple(layer.heads for layer in features.layers),
            records={record.role: record for record in features.all_records()},
            vectors=vectors,
            gains=gains,
            residual=residual,
            basis=basis if basis.shape[1] == min(basis.shape) and anatomy.width <= BASIS else None,
            exact=True,
        )
        for features, basis in zip(found, bases, strict=True)
    )


def _not_aligned(shared: int, needed: int) -> NotComparable | None:
    """A rotation is known only as far as shared tokens span the residual stream: below half, silence proves nothing."""
    if 2 * shared >= needed:
        return None
    return NotComparable(
        tier="T3",
        method=TWO_VIEW,
        reason="no_shared_vocabulary",
        detail=f"the models share {shared} anchor tokens, at least {-(-needed // 2)} are needed to lay one over "
        "the other; a match would still count, a miss means nothing",
    )


def _misfit(bases: JointBases) -> NotComparable | None:
    """Tokens of one name that have nothing in common: a falsified tokenizer, or embeddings that learned nothing."""
    # Unrelated models of one language fit far better than chance: 0.16 and more on models trained here, strings that
    # were dealt out anew at most 0.06.
    if bases.fit > max(bases.fit_by_chance, LEAST_FIT):
        return None
    return NotComparable(
        tier="T3",
        method=TWO_VIEW,
        reason="no_shared_vocabulary",
        detail=f"tokens of the same string have nothing in common in the two models (mean cosine {bases.fit:.3f} on "
        f"tokens held out of the alignment, {bases.fit_by_chance:.3f} by chance): a tokenizer may be false, or an "
        "embedding untrained; a match would still count, a miss means nothing",
    )


def _find(
    sides: Sides, progress: Progress, asked: KeyedQuestion | None, population: Population, *, with_power: bool
) -> Finding:
    aligned, pairs, table = _aligned(sides, progress)
    questioned, reference = aligned.questioned, aligned.reference
    keyed = keyed_evidence(
        asked,
        sides.subjects[1],
        (questioned, reference),
        pairs,
        by_tokens=aligned.way == "tokens",
        rotation=aligned.rotation,
        progress=progress,
    )
    established = [pair for pair in pairs if pair.established]
    positions = positional_tests(questioned, reference, table)
    weights = matched_weights(questioned, reference, established)
    gains = gain_slopes(questioned, reference, {pair.questioned: pair.reference for pair in established})
    heritage = inheritance(questioned, reference, established)
    agreement = _agreement_evidence(sides.not_aligned, questioned, reference, pairs)
    equal = equal_parts(sides.identity)
    kin = (*kinship_evidence(weights, gains, equal_parts=equal), *inheritance_evidence(heritage))
    access: Access = "weights" if questioned.exact and reference.exact else "fingerprint"
    ratios = population_ratios(population, access, figures_of((*agreement, *kin)))
    kinship = (
        None
        if weights is None
        else judge(
            weights,
            ratios.get("same_seed"),
            equal_parts=equal,
            contained=1.0 if heritage is None else heritage.correlation,
            norms=1.0 if heritage is None else heritage.norms,
        )
    )
    heads = next((item for item in agreement if isinstance(item, Score) and item.method == HEADS), None)
    known = Known(
        identity=sides.identity,
        log10_p=positions.log10_p,
        log10_p_layers=positions.log10_p_layers,
        pairs=pairs,
        kinship=kinship,
        heads=heads,
        not_aligned=sides.not_aligned,
        access=sides.subjects[0].access,
        without_role=_without_role(questioned, reference),
        contradicted=not questioned.exact and sides.identity.same and _features_differ(questioned, reference),
        keyed=next((item for item in keyed if isinstance(item, PValue)), None),
    )
    changes: tuple[EstablishedTransformation, ...] = ()
    lineal: tuple[Evidence, ...] = ()
    if weights is not None and not sides.identity.same:
        compared = Comparison(
            questioned=questioned,
            reference=reference,
            rotation_solved=aligned.way != "as_stored",
            rounded=sides.identity.rounded_to is not None,
            pairs=established,
            weights=weights,
            heads=heads,
            gains=gains,
            derived=kinship is not None and kinship.verdict == "derived",
        )
        changes = established_changes(compared)
        if heritage is not None:
            lost = destroyed_by(compared)
            lineal = (ascent_evidence(ascent(questioned, reference, established, heritage, gains, destroyed=lost)),)
    figures = figures_of((*agreement, *kin, *lineal))
    conclusion, limits = conclude(
        known,
        changes,
        ratios=population_ratios(population, access, figures),
        direction=direction_of(population, access, figures),
        population=population,
    )
    power: tuple[Evidence, ...] = ()
    if conclusion.relation == "none_found" and with_power:
        progress("simulating copies", 0, 1)
        rng = np.random.Generator(np.random.Philox(SEED))
        power = simulated_power(reference, read_drifts(), not_aligned=None, tries=sides.tries, rng=rng)
        progress("simulating copies", 1, 1)
    return Finding(
        schema="whorl.finding/1",
        whorl_version=__version__,
        questioned=sides.subjects[0],
        reference=sides.subjects[1],
        conclusion=conclusion,
        evidence=(
            *keyed,
            *sides.identity.evidence,
            *positions.evidence,
            *agreement,
            *kin,
            *lineal,
            *ratio_evidence(population, access, figures),
            *power,
        ),
        layers=tuple(_layer_match(questioned, reference, pair, positions) for pair in pairs),
        unmatched_reference_layers=_unmatched(reference, established),
        transformations=changes,
        limits=limits,
        parameters={
            **sides.parameters,
            "alignment": aligned.way,
            "alignments_tried": sides.tries,
            "unrelated_at_most": UNRELATED_AT_MOST,
            "population": population.digest,
            "population_name": population.name,
        },
    )


def _features_differ(questioned: ModelView, reference: ModelView) -> bool:
    """Whether two fingerprints whose digests claim equal weights hold other neurons or other signs of them."""
    if len(questioned.neurons) != len(reference.neurons):
        return True
    for ours, theirs in zip(questioned.neurons, reference.neurons, strict=True):
        _, left, right = np.intersect1d(ours.index, theirs.index, return_indices=True)
        taken = max(len(ours.index), len(theirs.index))
        equal = np.mean(ours.gate[left] == theirs.gate[right]) if len(left) else 1.0
        if len(left) < SAME_FEATURES * taken or equal < SAME_FEATURES:
            return True
    return False


def _aligned(sides: Sides, progress: Progress) -> tuple[Aligned, tuple[LayerPair, ...], Doubles]:
    """The first way that establishes a layer, else the first way, with its layer pairs and agreement table.

    The way by tokens comes first, so that a rewrite of either model leaves the score as it is; the way by neurons last.
    """
    found = []
    for aligned in _ways(sides):
        ours, theirs = aligned.questioned.neurons, aligned.reference.neurons
        table = agreement_table(ours, theirs, progress)
        pairs = align_layers(ours, theirs, table, tries=sides.tries)
        found.append((aligned, pairs, table))
        if any(pair.established for pair in pairs):
            return found[-1]
    return found[0]


def _ways(sides: Sides) -> Iterator[Aligned]:
    for (questioned, reference), way in zip(sides.views, sides.ways, strict=True):
        yield Aligned(questioned=questioned, reference=reference, way=way)
    if sides.by_neurons is not None and (last := sides.by_neurons()) is not None:
        yield last


def _agreement_evidence(
    not_aligned: NotComparable | None, questioned: ModelView, reference: ModelView, pairs: tuple[LayerPair, ...]
) -> tuple[Evidence, ...]:
    matched, neurons = [len(pair.rows_questioned) for pair in pairs], [pair.neurons for pair in pairs]
    if not sum(neurons):
        blind = NotComparable(
            tier="T3",
            method=TWO_VIEW,
            reason="too_little_data",
            detail="no layer of the questioned model has neurons that can be told apart: all are equal or zero",
        )
        return (blind, _head_evidence(questioned, reference, pairs))
    interval = ratio_interval(matched, neurons)
    established = sum(pair.established for pair in pairs)
    agreement = Score(
        tier="T3",
        method=TWO_VIEW,
        value=interval.value,
        lower=interval.lower,
        upper=interval.upper,
        unrelated_at_most=UNRELATED_AT_MOST,
        statistic={"matched": float(sum(matched)), "neurons": float(sum(neurons)), "layers": float(established)},
        detail=f"{sum(matched)} of {sum(neurons)} neurons have one counterpart by two independent parts of "
        f"their weights; {established} of {len(pairs)} layers pass what unrelated layers can show",
    )
    missing = () if not_aligned is None else (not_aligned,)
    return (agreement, *missing, _head_evidence(questioned, reference, pairs))


def _head_evidence(questioned: ModelView, reference: ModelView, pairs: tuple[LayerPair, ...]) -> Evidence:
    if not any(pair.established for pair in pairs):
        # Neurons name no layer: heads are held against those at the same depth, where a copy has its own.
        scale = len(reference.neurons) / len(questioned.neurons)
        pairs = tuple(replace(pair, reference=int(pair.questioned * scale)) for pair in pairs)
    found = [heads for pair in pairs if (heads := _heads(questioned, reference, pair)) is not None]
    if not found:
        return NotComparable(
            tier="T3",
            method=HEADS,
            reason="architecture",
            detail="no layer pair has attention heads of the same kind in both models; latent attention (MLA) has "
            "none, and its tensors are compared by their bytes only",
        )
    agree, total = [count[0] for count in found], [count[1] for count in found]
    interval = ratio_interval(agree, total)
    return Score(
        tier="T3",
        method=HEADS,
        value=interval.value,
        lower=interval.lower,
        upper=interval.upper,
        unrelated_at_most=None,
        statistic={
            "matched": float(sum(agree)),
            "heads": float(sum(total)),
            # Two one-to-one maps of a layer's heads agree on one head on average, however many heads there are.
            "by_chance": min(1.0, len(found) / sum(total)),
        },
        detail=f"{sum(agree)} of {sum(total)} attention heads have one counterpart by query-key coherence and by "
        f"output-value sketch; chance gives one in each of the {len(found)} layers on average",
    )


def _heads(questioned: ModelView, reference: ModelView, pair: LayerPair) -> tuple[int, int] | None:
    ours, theirs = questioned.heads[pair.questioned], reference.heads[pair.reference]
    if ours is None or theirs is None:
        return None
    agree = agreeing_heads(ours, theirs)
    return None if agree is None else (agree, len(ours.output_value))


def _layer_match(questioned: ModelView, reference: ModelView, pair: LayerPair, positions: Positions) -> LayerMatch:
    heads = _heads(questioned, reference, pair) if pair.established else None
    cosine = pair_cosines(questioned, reference, pair) if pair.established else np.zeros(1)
    return LayerMatch(
        questioned=pair.questioned,
        reference=pair.reference if pair.established else None,
        agreement=pair.agreement,
        neurons=pair.neurons,
        similarity=float(np.clip(np.median(cosine), -1, 1)),
        coincidences=positions.coincidences.get(pair.questioned),
        heads=None if heads is None else heads[0] / heads[1],
    )


def _without_role(questioned: ModelView, reference: ModelView) -> int:
    roles = {*questioned.vectors, *reference.vectors}
    return sum(role.startswith("leftover.") for role in roles)


def _unmatched(reference: ModelView, established: list[LayerPair]) -> tuple[int, ...]:
    used = {pair.reference for pair in established}
    return tuple(layer for layer in range(len(reference.neurons)) if layer not in used) if used else ()


def _named(side: str, progress: Progress) -> Progress:
    def told(what: str, done: int, total: int, /) -> None:
        progress(f"{what} {side}", done, total)

    return told
