"""Every rewrite that leaves a model's function unchanged leaves the features and the score unchanged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from generated_models import Family, Sizes, drawn, edited, fine_tuned, tokens, write
from memory_source import MemorySource

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.arrays import Floats, Ints
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent
from whorl.fingerprints.anchors import choose_anchors
from whorl.fingerprints.extraction import Features, extract
from whorl.fingerprints.frame import FRAME_ANCHORS, embedded_anchors, token_frame
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint
from whorl.weights.gauges import ALL_PARTS, Part, rewrite
from whorl.weights.in_memory import Checkpoint
from whorl.weights.roles import anatomy_of

FAMILIES: tuple[Family, ...] = ("llama", "qwen2", "qwen3", "gemma", "mixtral", "gpt_neox")
SIZES = Sizes(layers=2)
# Features are float32 products of float32 weights that the rewrite rounded once more.
TOLERANCE = 2e-4


def cases() -> list[tuple[Family, tuple[Part, ...]]]:
    wanted: list[tuple[Part, ...]] = [*((part,) for part in ALL_PARTS), ALL_PARTS]
    none = {(family, "experts") for family in FAMILIES if family != "mixtral"} | {("gpt_neox", "up_scale")}
    return [(family, parts) for family in FAMILIES for parts in wanted if (family, *parts) not in none]


def features(checkpoint: Checkpoint) -> Features:
    """What is taken of a model in its own token frame."""
    anatomy = anatomy_of(MemorySource(checkpoint.weights, checkpoint.config, tokens(SIZES.vocabulary)))
    anchors = choose_anchors(anatomy, FRAME_ANCHORS)
    basis = token_frame(embedded_anchors(anatomy, anchors.rows), anchors.signs())
    (found,) = extract(anatomy, (basis,), neurons=2048, jobs=1, progress=silent)
    return found


def counterparts(ours: Floats, theirs: Floats) -> Ints:
    """For each of our rows the nearest of theirs; a permutation, or the test fails."""
    distance = np.square(ours[:, None] - theirs[None]).sum(axis=2)
    nearest: Ints = distance.argmin(axis=1)
    assert sorted(nearest.tolist()) == list(range(len(theirs)))
    return nearest


def assert_close(ours: Floats, theirs: Floats) -> None:
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * float(np.abs(theirs).max()))


def unsigned(rows: Floats) -> Floats:
    """Rows without length and sign: what a free rescaling leaves of up and down."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 0, length, 1)
    largest = np.abs(unit).argmax(axis=1)
    return np.asarray(unit * np.sign(unit[np.arange(len(unit)), largest])[:, None])


@pytest.mark.parametrize(("family", "parts"), cases())
def test_no_free_rewrite_changes_what_is_taken_of_a_layer(family: Family, parts: tuple[Part, ...]) -> None:
    original = drawn(family, 3, SIZES)
    rewritten = rewrite(original, np.random.default_rng(4), parts)
    for ours, theirs in zip(features(rewritten).layers, features(original).layers, strict=True):
        order = counterparts(ours.neurons.gate, theirs.neurons.gate)
        assert_close(ours.neurons.gate, theirs.neurons.gate[order])
        assert_close(ours.neurons.norms, theirs.neurons.norms[order])
        if ours.neurons.up.any():
            assert_close(unsigned(ours.neurons.up), unsigned(theirs.neurons.up[order]))
            assert_close(unsigned(ours.neurons.down), unsigned(theirs.neurons.down[order]))
        else:
            assert_close(ours.neurons.down, theirs.neurons.down[order])
        assert ours.heads is not None
        assert theirs.heads is not None
        heads = counterparts(ours.heads.output_value, theirs.heads.output_value)
        assert_close(ours.heads.output_value, theirs.heads.output_value[heads])
        assert_close(ours.heads.query_key, theirs.heads.query_key[heads])
        blocks = SIZES.experts if family == "mixtral" else 1
        assert ours.neurons.blocks == (SIZES.neurons,) * blocks
        if not {"neurons", "experts"} & set(parts):
            assert order.tolist() == list(range(SIZES.neurons * blocks))
        if parts == ALL_PARTS:
            assert np.count_nonzero(order == np.arange(len(order))) < len(order) / 8
        if "heads" not in parts:
            assert heads.tolist() == list(range(SIZES.heads))


def score(finding: Finding, method: str) -> Score:
    return next(item for item in finding.evidence if isinstance(item, Score) and item.method == method)


def findings(questioned: Path, reference: Path) -> tuple[Finding, Finding]:
    """From weights, and from stored fingerprints."""
    prints = [fingerprint_checkpoint(path, progress=silent, jobs=1) for path in (questioned, reference)]
    return compare(questioned, reference, progress=silent, jobs=1), compare_fingerprints(*prints)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_score_of_a_heavily_changed_copy_is_the_same_before_and_after_a_rewrite(
    family: Family, tmp_path: Path
) -> None:
    """The copy is changed so far that only part of its neurons agree: a score of 1 would stay 1 whatever happens."""
    parent = drawn(family, 5, SIZES)
    child = noisy(fine_tuned(parent, 6), 7, 1.2)
    reference, plain = write(tmp_path / "parent", parent), write(tmp_path / "child", child)
    expected = findings(plain, reference)
    assert 0.3 < score(expected[0], "two_view_agreement/1").value < 0.99
    rewritings: Sequence[tuple[Part, ...]] = (ALL_PARTS, ("rotation",), ("neurons", "heads"))
    for number, parts in enumerate(rewritings):
        rewritten = write(tmp_path / f"rewritten{number}", rewrite(child, np.random.default_rng(8), parts))
        for found, wanted in zip(findings(rewritten, reference), expected, strict=True):
            for method in ("two_view_agreement/1", "head_agreement/1"):
                assert score(found, method) == score(wanted, method)
            assert found.conclusion.relation in (wanted.conclusion.relation, "inconclusive")
        found, wanted = findings(rewritten, reference)[0], expected[0]
        cosines = [score(finding, "matched_weights/1").value for finding in (found, wanted)]
        assert cosines[0] == pytest.approx(cosines[1], abs=1e-3)
        assert [layer.reference for layer in found.layers] == [layer.reference for layer in wanted.layers]


def noisy(checkpoint: Checkpoint, seed: int, size: float) -> Checkpoint:
    """A copy with noise of the given relative size on every matrix inside the layers."""
    rng = np.random.default_rng(seed)
    changes = {
        name: np.asarray(array + size * np.std(array) * rng.standard_normal(array.shape), np.float32)
        for name, array in checkpoint.weights.items()
        if array.ndim == 2 and "layers." in name
    }
    return edited(checkpoint, changes)


def test_a_real_change_does_change_the_features() -> None:
    original = drawn("llama", 3, SIZES)
    changed = features(noisy(original, 1, 0.05)).layers[0].neurons.gate
    plain = features(original).layers[0].neurons.gate
    assert float(np.abs(changed - plain).max()) > 10 * TOLERANCE * float(np.abs(plain).max())
