"""Directions: one root orients every edge, pairwise posteriors add up, and without any only the shape speaks."""

from itertools import product

import numpy as np
import pytest

from whorl.core.evidence import Direction
from whorl.lineage.rooting import DirectionOf, orient

PATH = [(0, 1), (1, 2), (2, 3)]
STAR = [(0, leaf) for leaf in range(1, 9)]


def unknown(_questioned: int, _reference: int) -> Direction | None:
    return None


def telling(older: int, younger: int, sure: float) -> DirectionOf:
    """One pair's posterior; nothing of the others."""

    def direction(questioned: int, reference: int) -> Direction | None:
        if {questioned, reference} != {older, younger}:
            return None
        forward, backward = (sure, 1 - sure) if questioned == younger else (1 - sure, sure)
        return Direction(questioned_from_reference=forward, reference_from_questioned=backward, common_ancestor=0.0)

    return direction


def test_the_root_has_the_probability_of_the_orders_in_which_the_tree_could_grow() -> None:
    # Count by hand: orders of making 0..3 on a path such that each new model hangs on an older one.
    grown = dict.fromkeys(range(4), 0)
    for order in product(range(4), repeat=4):
        if len(set(order)) == 4 and all(
            any(abs(model - older) == 1 for older in order[:place]) for place, model in enumerate(order) if place
        ):
            grown[order[0]] += 1
    _, root = orient(range(4), PATH, unknown, models=4)
    total = sum(grown.values())
    assert root == pytest.approx({node: count / total for node, count in grown.items()})


def test_a_star_points_outwards_without_any_evidence() -> None:
    oriented, root = orient(range(9), STAR, unknown, models=9)
    assert root[0] == pytest.approx(0.5)
    assert all(edge.ends[0] == 0 and edge.claimed for edge in oriented)
    assert oriented[0].probability == pytest.approx(1 - 0.5 / 8)


def test_two_models_alone_have_no_direction() -> None:
    (edge,), _ = orient([0, 1], [(0, 1)], unknown, models=2)
    assert edge.probability == 0.5
    assert not edge.claimed


@pytest.mark.parametrize(("older", "younger"), [(0, 1), (1, 0)])
def test_evidence_on_one_edge_decides_it_whichever_way_it_is_asked(older: int, younger: int) -> None:
    for edge in [(0, 1), (1, 0)]:
        (found,), _ = orient([0, 1], [edge], telling(older, younger, 0.95), models=2)
        assert found.ends == (older, younger)
        assert found.probability == pytest.approx(0.95)


def test_evidence_on_one_edge_orients_its_neighbours() -> None:
    # If 3 is older than 2, nothing on the side of 2 can be the root.
    oriented, root = orient(range(4), PATH, telling(3, 2, 0.999), models=4)
    assert [edge.ends for edge in oriented] == [(1, 0), (2, 1), (3, 2)]
    assert root[3] > 0.9


def test_a_common_ancestor_between_two_orients_nothing() -> None:
    def between(_questioned: int, _reference: int) -> Direction:
        return Direction(questioned_from_reference=0.0, reference_from_questioned=0.0, common_ancestor=1.0)

    assert orient(range(4), PATH, between, models=4)[1] == pytest.approx(orient(range(4), PATH, unknown, models=4)[1])


def test_nobody_is_asked_about_unseen_ancestors() -> None:
    def fails(questioned: int, reference: int) -> Direction | None:
        assert max(questioned, reference) < 3
        return None

    oriented, _ = orient(range(4), [(3, 0), (3, 1), (3, 2)], fails, models=3)
    assert [edge.ends[0] for edge in oriented] == [3, 3, 3]


def test_probabilities_are_right_where_models_really_grew_that_way() -> None:
    # Random recursive trees with random labels: among edges called with probability p, a share p is right.
    generator = np.random.default_rng(3)
    said, right = [], []
    for _ in range(400):
        size = int(generator.integers(2, 15))
        label = generator.permutation(size)
        grown = [(int(label[generator.integers(model)]), int(label[model])) for model in range(1, size)]
        oriented, _ = orient(range(size), [tuple(sorted(edge)) for edge in grown], unknown, models=size)
        said += [edge.probability for edge in oriented]
        right += [edge.ends == true for edge, true in zip(oriented, grown, strict=True)]
    claims = np.array(said)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        inside = (claims >= low) & (claims < high)
        assert inside.sum() > 100
        assert np.mean(np.array(right)[inside]) == pytest.approx(claims[inside].mean(), abs=0.05)
