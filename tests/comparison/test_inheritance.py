"""Inherited structure: a descendant keeps what was written and what was there alike, a sibling keeps only the rest."""

from collections.abc import Mapping

import numpy as np
import pytest
from comparison_types import Access, Demo, Put
from generated_models import Family, Sizes, drawn, fine_tuned
from views import neurons, view

from whorl.comparison.alignment import LayerPair
from whorl.comparison.comparing import compare
from whorl.comparison.figures import figures_of
from whorl.comparison.inheritance import Inheritance, inheritance
from whorl.core.arrays import Doubles
from whorl.core.evidence import Finding
from whorl.core.progress import silent
from whorl.weights.gauges import ALL_PARTS, Part, rewrite

ROWS, WIDTH = 192, 64
METHOD = "inherited_structure/1."
Weights = tuple[Doubles, Doubles, Doubles]


def start(rng: np.random.Generator) -> Weights:
    """What stands in a layer's gate, up and down before the first step."""
    return tuple(rng.standard_normal((3, ROWS, WIDTH)))  # type: ignore[return-value]


def trained(weights: Weights, rng: np.random.Generator, *, written: float, blurred: float = 0.0) -> Weights:
    """The weights after training wrote a few directions on top, and blurred the rest."""
    moved = []
    for matrix in weights:
        directions = rng.standard_normal((ROWS, 3)) @ rng.standard_normal((3, WIDTH)) / np.sqrt(3)
        moved.append(matrix + written * directions + blurred * rng.standard_normal(matrix.shape))
    return moved[0], moved[1], moved[2]


def heritage(questioned: Weights, reference: Weights, *, rows: int = ROWS) -> Inheritance:
    found = none_or_heritage(questioned, reference, rows=rows)
    assert found is not None
    return found


def none_or_heritage(questioned: Weights, reference: Weights, *, rows: int = ROWS) -> Inheritance | None:
    sides = [view([neurons(*(np.asarray(part, np.float32) for part in side))]) for side in (questioned, reference)]
    pair = LayerPair(
        questioned=0,
        reference=0,
        rows_questioned=np.arange(rows),
        rows_reference=np.arange(rows),
        neurons=ROWS,
        found=rows,
        established=True,
    )
    return inheritance(sides[0], sides[1], [pair])


@pytest.mark.parametrize("seed", range(5))
def test_siblings_keep_the_rest_better_than_the_structure_and_children_keep_both(seed: int) -> None:
    rng = np.random.default_rng(seed)
    common = start(rng)
    parent = trained(common, rng, written=1.0, blurred=0.3)
    sibling = trained(common, rng, written=1.0, blurred=0.3)
    child = trained(parent, rng, written=0.3, blurred=0.1)
    apart, down = heritage(sibling, parent), heritage(child, parent)
    assert down.contained > 0.9
    assert abs(down.preference) < 0.1
    assert apart.contained < 0.8
    assert apart.preference < -0.2
    for figures in (apart, down):
        assert figures.bulk_of_reference > 0.8
        assert figures.rows == ROWS


def test_the_same_weights_are_contained_whole_and_strangers_not_at_all() -> None:
    rng = np.random.default_rng(10)
    one, other = (trained(start(rng), rng, written=1.0) for _ in range(2))
    same, strange = heritage(one, one), heritage(one, other)
    slopes = (same.structure_of_reference, same.bulk_of_reference, same.structure_of_questioned)
    assert slopes == pytest.approx((1, 1, 1), abs=1e-5)
    assert (same.cosine, same.norms, same.growth) == pytest.approx((1, 1, 0), abs=1e-5)
    # Signs of up and down are free, so that even strangers are laid over each other row by row.
    assert strange.contained < 0.3
    assert abs(strange.cosine) < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_a_child_grows_on_its_parent_by_what_is_nearly_unrelated_to_it(seed: int) -> None:
    rng = np.random.default_rng([11, seed])
    parent = trained(start(rng), rng, written=1.0)
    child = trained(parent, rng, written=0.3, blurred=0.3)
    assert heritage(child, parent).growth == pytest.approx(1, abs=0.3)
    assert heritage(child, parent).norms > 1


def test_the_sides_are_told_apart_and_change_places_together() -> None:
    rng = np.random.default_rng(12)
    parent = trained(start(rng), rng, written=1.0)
    child = trained(parent, rng, written=0.5, blurred=0.4)
    there, back = heritage(child, parent), heritage(parent, child)
    assert there.structure_of_reference == pytest.approx(back.structure_of_questioned)
    assert there.bulk_of_reference == pytest.approx(back.bulk_of_questioned)
    assert there.structure_of_reference != pytest.approx(there.structure_of_questioned, rel=0.01)
    assert (there.growth, there.structure_growth) == pytest.approx((-back.growth, -back.structure_growth))
    assert there.norms == pytest.approx(1 / back.norms)
    symmetrical = [(found.contained, found.preference, found.structured, found.cosine) for found in (there, back)]
    assert symmetrical[0] == pytest.approx(symmetrical[1])


def test_free_scales_and_signs_of_up_and_down_change_nothing() -> None:
    rng = np.random.default_rng(13)
    parent = trained(start(rng), rng, written=1.0)
    child = trained(parent, rng, written=0.5)
    scale = (rng.lognormal(size=ROWS) * rng.choice([-1, 1], ROWS))[:, None]
    scaled = child[0], child[1] * scale, child[2] / scale
    assert_same(heritage(scaled, parent), heritage(child, parent))
    assert_same(heritage(parent, scaled), heritage(parent, child))


def test_models_without_gates_are_measured_by_the_matrices_they_have() -> None:
    rng = np.random.default_rng(14)
    common = start(rng)
    without = np.zeros((ROWS, WIDTH))
    parent, sibling = (trained(common, rng, written=1.0) for _ in range(2))
    child = trained(parent, rng, written=0.3)
    plain = [(side[0], without, side[2]) for side in (parent, sibling, child)]
    assert abs(heritage(plain[2], plain[0]).preference) < 0.1
    assert heritage(plain[1], plain[0]).preference < -0.2


def test_too_few_matched_neurons_give_no_figures() -> None:
    rng = np.random.default_rng(15)
    weights = start(rng)
    assert none_or_heritage(weights, weights, rows=8) is None
    zero = (np.zeros((ROWS, WIDTH)),) * 3
    assert none_or_heritage(zero, zero) is None
    assert inheritance(view([]), view([]), []) is None


def assert_same(ours: Inheritance, theirs: Inheritance, tolerance: float = 1e-4) -> None:
    for name in Inheritance.__slots__:
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=tolerance), name


SIZES = Sizes(layers=2, width=48, neurons=96, vocabulary=200)
FAMILIES: tuple[Family, ...] = ("llama", "gpt_neox", "mixtral")


def said(finding: Finding) -> Mapping[str, float]:
    figures = {name: value for name, value in figures_of(finding.evidence).items() if name.startswith(METHOD)}
    assert len(figures) > 5
    return figures


def cases() -> list[tuple[Family, tuple[Part, ...]]]:
    parts: list[tuple[Part, ...]] = [*((part,) for part in ALL_PARTS), ALL_PARTS]
    wanted: list[tuple[Family, tuple[Part, ...]]] = [("llama", part) for part in parts if part != ("experts",)]
    return [*wanted, ("mixtral", ("experts",)), ("mixtral", ALL_PARTS), ("gpt_neox", ALL_PARTS)]


@pytest.mark.parametrize(("family", "parts"), cases())
def test_no_free_rewrite_of_either_model_changes_what_was_inherited(
    put: Put, family: Family, parts: tuple[Part, ...]
) -> None:
    parent = drawn(family, 20, SIZES)
    child = fine_tuned(parent, 21, 0.3)
    rewritten = rewrite(child, np.random.default_rng(22), parts)
    plain, *others = (
        said(compare(put(one), put(other), progress=silent, jobs=1, with_power=False))
        for one, other in ((child, parent), (rewritten, parent))
    )
    for figures in others:
        # Which neurons match may change by a few; what they inherited does not.
        assert figures[f"{METHOD}rows"] == pytest.approx(plain[f"{METHOD}rows"], rel=0.05)
        for name in figures.keys() - {f"{METHOD}rows"}:
            assert figures[name] == pytest.approx(plain[name], abs=0.01), name


@pytest.mark.parametrize("access", ["weights", "fingerprint"])
def test_a_trained_child_contains_more_of_what_was_written_than_a_trained_sibling(demo: Demo, access: Access) -> None:
    child, sibling = (said(demo(name, "base", access)) for name in ("suspect", "sibling"))
    assert child[f"{METHOD}value"] > sibling[f"{METHOD}value"] + 0.1
    if access == "weights":  # signs of a fingerprint blur what was written and what was there unequally
        assert child[f"{METHOD}preference"] > sibling[f"{METHOD}preference"] + 0.05
