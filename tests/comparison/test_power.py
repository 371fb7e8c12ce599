"""Simulated copies move as told, are seen as often as real ones are, and the interval is honest about families."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from comparison_types import DEMO
from generated_models import save
from views import random_neurons, reordered, view

from whorl.comparison.alignment import pair_layers
from whorl.comparison.comparing import BASIS, SEED, compare
from whorl.comparison.drift import (
    LEVELS,
    ChildDrift,
    Drift,
    DriftDocument,
    LayerDrift,
    measure_drift,
    read_drifts,
)
from whorl.comparison.power import COPIES, Original, copies_of, family_interval, simulated_power
from whorl.core.arrays import AnyArray
from whorl.core.errors import InputError
from whorl.core.evidence import NotComparable, Power
from whorl.core.progress import silent
from whorl.fingerprints.extraction import extract
from whorl.fingerprints.frame import joint_bases
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint
from whorl.statistics.intervals import clopper_pearson
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of

Access = Literal["weights", "fingerprint"]
SIZES = (2.7, 2.95, 3.05, 3.3)  # of noise, around what hides a copy
SPREAD = (-0.3, -0.15, -0.08, 0.0, 0.08, 0.15, 0.3)


def layer_drift(
    cosine: float, *, coloured: float = 0.5, kept: float = 1.0, rank_correlation: float = 0.4
) -> LayerDrift:
    quantiles = tuple(float(np.clip(cosine + step, -1, 1)) for step in SPREAD)
    return LayerDrift(
        gate=quantiles,
        up=quantiles,
        down=quantiles,
        rank_correlation=rank_correlation,
        coloured=coloured,
        kept=kept,
    )


def drift(*cosines: float, access: Access = "weights", change: str = "changed") -> Drift:
    """One family for each cosine."""
    children = [ChildDrift(family=f"family{n}", layers=(layer_drift(c),)) for n, c in enumerate(cosines)]
    return Drift(change=change, access=access, children=tuple(children))


def simulated(reference: ModelView, drifts: tuple[Drift, ...], **changed: Any) -> tuple[Power | NotComparable, ...]:
    settings: dict[str, Any] = {"not_aligned": None, "tries": 2, "rng": np.random.default_rng(1), **changed}
    return simulated_power(reference, drifts, **settings)


def one_power(reference: ModelView, wanted: Drift) -> Power:
    (found,) = simulated(reference, (wanted,))
    assert isinstance(found, Power)
    return found


def random_model(seed: int, *, layers: int = 3, count: int = 160, signature: int = 48) -> ModelView:
    rng = np.random.default_rng(seed)
    return view([random_neurons(rng, count, signature) for _ in range(layers)])


def uneven(rng: np.random.Generator, count: int, signature: int) -> NeuronSignatures:
    """Neurons that prefer some directions, as trained ones do."""
    layer = random_neurons(rng, count, signature)
    sizes = np.linspace(2, 0.1, signature).astype(np.float32)
    mixed = np.linalg.qr(rng.standard_normal((signature, signature)))[0].astype(np.float32)
    for rows in (layer.gate, layer.up, layer.down):
        rows[:] = rows * sizes @ mixed
    return layer


def signed(layer: NeuronSignatures) -> NeuronSignatures:
    """The layer as a stored fingerprint keeps it."""
    for rows in (layer.gate, layer.up, layer.down):
        rows[:] = np.where(rows > 0, 1, -1)
    return layer


@pytest.mark.parametrize("exact", [True, False], ids=["weights", "signs"])
@pytest.mark.parametrize("coloured", [0.2, 0.8])
def test_a_simulated_copy_has_moved_as_told(exact: bool, coloured: float) -> None:
    rng = np.random.default_rng(2)
    layer = uneven(rng, 600, 128) if exact else signed(uneven(rng, 600, 128))
    told = layer_drift(0.45, coloured=coloured, rank_correlation=0.5)
    copy = Original.of(layer, exact=exact).copied(told, rng)
    (found,) = measure_drift([copy], [layer], [(0, 0)])
    for ours, theirs in ((found.gate, told.gate), (found.up, told.up), (found.down, told.down)):
        assert ours is not None
        assert theirs is not None
        np.testing.assert_allclose(ours[1:-1], theirs[1:-1], atol=0.02)
    assert found.rank_correlation == pytest.approx(0.5, abs=0.1)
    # Neurons are part of the spread that they are held against, so that noise comes out a little nearer to them.
    assert coloured - 0.05 < found.coloured < coloured + 0.25


def test_originals_that_were_not_taken_are_lost() -> None:
    rng = np.random.default_rng(3)
    layer = random_neurons(rng, 400, 64)
    copy = Original.of(layer, exact=True).copied(layer_drift(0.7, kept=0.75), rng)
    cosines = (copy.gate * layer.gate).sum(axis=1) / np.linalg.norm(layer.gate, axis=1)
    assert np.count_nonzero(np.abs(cosines) < 1e-5) == 100


def test_a_drift_is_what_was_done_to_the_neurons() -> None:
    rng = np.random.default_rng(4)
    parent = random_neurons(rng, 200, 64)
    child = reordered(parent, np.arange(200))
    for rows, size in ((child.gate, 0.5), (child.up, 1.0), (child.down, 2.0)):
        rows += np.asarray(size * rng.standard_normal(rows.shape), np.float32)
    (found,) = measure_drift([child], [parent], [(0, 0)])
    middle = LEVELS.index(0.5)
    assert found.up is not None
    medians = (found.gate[middle], found.up[middle], found.down[middle])
    np.testing.assert_allclose(medians, [1.25**-0.5, 2**-0.5, 5**-0.5], atol=0.04)
    assert found.kept == 1
    assert abs(found.rank_correlation) < 0.2


def test_taken_neurons_that_differ_are_counted() -> None:
    rng = np.random.default_rng(5)
    whole = random_neurons(rng, 100, 32)
    part = [
        NeuronSignatures(
            index=rows,
            gate=whole.gate[rows],
            up=np.zeros_like(whole.up[rows]),
            down=whole.down[rows],
            norms=whole.norms[rows],
            structure=None,
            blocks=(100,),
        )
        for rows in (np.arange(0, 80), np.arange(20, 100))
    ]
    (found,) = measure_drift(part[:1], part[1:], [(0, 0)])
    assert found.kept == 0.75
    assert found.up is None
    assert found.gate[0] == found.down[0] == 1


def test_a_child_whose_neurons_were_moved_is_no_measure_of_drift() -> None:
    parent = random_neurons(np.random.default_rng(6), 64)
    moved = reordered(parent, np.random.default_rng(7).permutation(64))
    with pytest.raises(ValueError, match="were moved; measure before rewriting"):
        measure_drift([moved], [parent], [(0, 0)])
    small = random_neurons(np.random.default_rng(6), 8)
    with pytest.raises(ValueError, match="8 taken neurons at common positions"):
        measure_drift([small], [small], [(0, 0)])


def test_drifts_are_stored_and_read(tmp_path: Path) -> None:
    document = DriftDocument(command="make zoo", drifts=(drift(0.9, 0.8), drift(0.7, access="fingerprint")))
    (tmp_path / "drifts.json").write_text(document.model_dump_json(indent=1))
    assert read_drifts(tmp_path / "drifts.json") == document.drifts
    for stored in read_drifts():
        assert stored.children


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"schema": "whorl.drift/2"}, "at schema"),
        ({"drifts": [{"change": "x", "access": "weights", "children": []}]}, "children"),
        ({"unknown": 1}, "at unknown"),
    ],
)
def test_a_document_of_drifts_that_is_none_is_refused(fault: dict[str, Any], message: str, tmp_path: Path) -> None:
    good = json.loads(DriftDocument(command="x", drifts=(drift(0.9),)).model_dump_json())
    path = tmp_path / "drifts.json"
    path.write_text(json.dumps({**good, **fault}))
    with pytest.raises(InputError, match=message):
        read_drifts(path)
    falling = json.loads(json.dumps(good))
    falling["drifts"][0]["children"][0]["layers"][0]["gate"][0] = 1.0
    path.write_text(json.dumps(falling))
    with pytest.raises(InputError, match="do not rise"):
        read_drifts(path)


def test_a_copy_that_hardly_moved_is_seen_and_one_that_moved_away_is_not() -> None:
    reference = random_model(8)
    near, far = one_power(reference, drift(*[0.8] * 12)), one_power(reference, drift(*[0.0] * 12))
    assert (near.probability, near.upper, near.simulated) == (1, 1, COPIES)
    assert near.lower == pytest.approx(clopper_pearson(12, 12)[0])
    assert (far.probability, far.lower) == (0, 0)
    assert far.upper == pytest.approx(clopper_pearson(0, 12)[1])
    assert far.statistic["noticed"] < 5
    assert near.statistic == {"seen": 100, "noticed": 0, "families": 12, "layers_tried_at_most": 3}
    assert "100 of 100 simulated copies of this reference, changed, had a layer recognised" in near.detail


def test_one_layer_that_stayed_is_enough_and_is_tried_first() -> None:
    reference = random_model(9, layers=6)
    layers = tuple(layer_drift(0.8 if number == 5 else 0.0) for number in range(6))
    wanted = Drift(change="x", access="weights", children=(ChildDrift(family="one", layers=layers),))
    assert one_power(reference, wanted).probability == 1


def test_families_count_alike_however_many_children_they_have() -> None:
    children = [ChildDrift(family="many", layers=(layer_drift(0.8),))] * 9
    children.append(ChildDrift(family="single", layers=(layer_drift(0.0),)))
    found = one_power(random_model(10), Drift(change="x", access="weights", children=tuple(children)))
    assert found.probability == 0.5
    assert found.statistic["families"] == 2


def test_a_large_reference_gets_fewer_copies() -> None:
    rng = np.random.default_rng(11)
    small, large = (random_neurons(rng, count, width) for count, width in ((256, 64), (1024, 256)))
    assert copies_of([small], changes=6) == COPIES
    assert copies_of([large], changes=1) < COPIES
    assert copies_of([small, large], changes=2) < copies_of([large], changes=1)
    assert copies_of([large], changes=50) == 20


def test_a_plain_mlp_is_copied_in_both_of_its_views() -> None:
    layer = random_neurons(np.random.default_rng(12), 160, 48)
    layer.up[:] = 0
    assert one_power(view([layer]), drift(0.8)).probability == 1
    assert one_power(view([layer]), drift(0.0)).probability == 0


def test_a_simulation_follows_from_its_generator() -> None:
    reference, wanted = random_model(13), (drift(0.3, 0.35, 0.4),)
    first, again = (simulated(reference, wanted, rng=np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert isinstance(first[0], Power)
    assert 0 < first[0].probability < 1


def test_there_is_no_power_where_the_models_could_not_be_laid_over_each_other() -> None:
    missing = NotComparable(tier="T3", method="x", reason="no_shared_vocabulary", detail="they share 3 tokens")
    (found,) = simulated(random_model(14), (drift(0.9),), not_aligned=missing)
    assert isinstance(found, NotComparable)
    assert (found.tier, found.reason) == ("T5", "no_shared_vocabulary")
    assert "would not have been seen either: they share 3 tokens" in found.detail


def test_there_is_no_power_without_measured_drifts_or_without_neurons() -> None:
    (unmeasured,) = simulated(random_model(15), (drift(0.9, access="fingerprint"),))
    assert isinstance(unmeasured, NotComparable)
    assert unmeasured.reason == "not_validated"
    blind = random_neurons(np.random.default_rng(1), 32)
    blind.gate[:] = 0
    (nothing,) = simulated(view([blind]), (drift(0.9),))
    assert isinstance(nothing, NotComparable)
    assert nothing.reason == "too_little_data"


@pytest.mark.parametrize(("families", "copies"), [(6, 20), (20, 5)])
@pytest.mark.parametrize("shape", [(0.5, 0.5), (8.0, 1.0), (0.3, 0.05)])
def test_the_interval_covers_the_mean_over_families(families: int, copies: int, shape: tuple[float, float]) -> None:
    """Families differ in how visible their children are; counting copies as independent would cover far too rarely."""
    rng = np.random.default_rng(16)
    truth, draws = shape[0] / (shape[0] + shape[1]), 1000
    shares = rng.binomial(copies, rng.beta(*shape, (draws, families))) / copies
    covered = naive = 0
    for row in shares:
        lower, upper = family_interval(row.tolist())
        assert lower <= row.mean() <= upper
        covered += lower <= truth <= upper
        lower, upper = clopper_pearson(round(row.sum() * copies), families * copies)
        naive += lower <= truth <= upper
    assert covered >= 0.95 * draws
    if shape == (0.5, 0.5):
        assert naive < 0.9 * draws


def weights_of(path: Path) -> dict[str, AnyArray]:
    source = open_checkpoint(path)
    metas = {name: source.meta(name) for name in source.names()}
    return {name: source.read_rows(name, 0, meta.rows).reshape(meta.shape) for name, meta in metas.items()}


def noisy_child(parent: Path, folder: Path, seed: int, size: float) -> Path:
    """A child with noise of the given relative size on every matrix inside the layers."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    changed = {
        name: array + size * array.std() * rng.standard_normal(array.shape)
        if array.ndim == 2 and "layers." in name
        else array
        for name, array in weights_of(parent).items()
    }
    save(folder / "model.safetensors", changed)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(parent / name, folder)
    return folder


def working_views(questioned: Path, reference: Path) -> tuple[ModelView, ModelView]:
    """Both models' neurons as a comparison of weights sees them."""
    anatomies = [anatomy_of(open_checkpoint(path)) for path in (questioned, reference)]
    bases = joint_bases(anatomies[0], anatomies[1], size=BASIS, seed=SEED).by_tokens
    assert bases is not None
    found = [
        extract(anatomy, (basis,), neurons=1024, jobs=1, progress=silent)[0]
        for anatomy, basis in zip(anatomies, bases, strict=True)
    ]
    ours, theirs = (view([layer.neurons for layer in features.layers]) for features in found)
    return ours, theirs


def drift_of(questioned: ModelView, reference: ModelView) -> tuple[LayerDrift, ...]:
    return measure_drift(questioned.neurons, reference.neurons, [(layer, layer) for layer in range(4)])


def test_simulated_power_is_the_share_of_real_children_that_a_comparison_sees(tmp_path: Path) -> None:
    """Drift measured on children of one model, power simulated on another, held against that other's own children."""
    base, twin = DEMO / "base", DEMO / "twin"
    _, reference = working_views(twin, twin)
    predicted, actual = [], []
    for size in SIZES:
        children = []
        for seed in range(3):
            path = noisy_child(base, tmp_path / f"base{size}{seed}", seed, size)
            children.append(ChildDrift(family=str(seed), layers=drift_of(*working_views(path, base))))
        measured = Drift(change="x", access="weights", children=tuple(children))
        predicted.append(one_power(reference, measured).probability)
        seen = 0
        for seed in range(10, 20):
            path = noisy_child(twin, tmp_path / f"twin{size}{seed}", seed, size)
            finding = compare(path, twin, progress=silent, jobs=1)
            seen += any(layer.reference is not None for layer in finding.layers)
        actual.append(seen / 10)
    assert predicted[0] > 0.95
    assert actual[0] == 1
    assert predicted[-1] < 0.05
    assert actual[-1] == 0
    assert predicted == sorted(predicted, reverse=True)
    assert (np.array(predicted) < np.array(actual) + 0.15).all()
    # How much noise hides every second child, simulated and real: within 5 % of each other.
    hidden = [np.interp(-0.5, -np.array(shares), SIZES) for shares in (predicted, actual)]
    assert hidden[0] == pytest.approx(hidden[1], rel=0.05)


@pytest.mark.parametrize("access", ["weights", "fingerprint"])
def test_what_training_moved_is_recognised_as_often_as_simulated(access: Access) -> None:
    """Two runs from one start have moved apart by training, a fingerprint's frames with them."""
    paths = DEMO / "sibling", DEMO / "base"
    if access == "weights":
        questioned, reference = working_views(*paths)
    else:
        questioned, reference = (fingerprint_checkpoint(path, progress=silent, jobs=1).view() for path in paths)
    rng = np.random.default_rng(17)
    for number, moved in enumerate(drift_of(questioned, reference)):
        real = pair_layers(questioned.neurons, reference.neurons, number, number, tests=1).agreement
        original = Original.of(reference.neurons[number], exact=reference.exact)
        copies = [original.copied(moved, rng) for _ in range(8)]
        simulated_share = np.mean([pair_layers([copy], [original.neurons], 0, 0, tests=1).agreement for copy in copies])
        assert simulated_share == pytest.approx(real, abs=0.12)
