"""Who comes from whom: every figure changes sign with the sides, and facts point at the side that lost something."""

from collections.abc import Callable

import edits
import numpy as np
import pytest
from comparison_types import Access, Demo, Put
from generated_models import Sizes, drawn, fine_tuned

from whorl.comparison.comparing import compare
from whorl.comparison.conclusion import claimed_order
from whorl.comparison.figures import figures_of
from whorl.core.evidence import Direction, Finding
from whorl.core.progress import silent
from whorl.weights.gauges import rewrite
from whorl.weights.in_memory import Checkpoint

SIZES = Sizes(layers=4, width=64, neurons=128, vocabulary=200)
SIGNED = ("value", "growth", "structure_growth", "gains", "destroyed")
EVEN = ("moved", "spike")
STRANGER = drawn("llama", 12, SIZES)
Make = Callable[[Checkpoint], Checkpoint]


def disguised(parent: Checkpoint) -> Checkpoint:
    return rewrite(parent, np.random.default_rng(7))


def rescaled(parent: Checkpoint) -> Checkpoint:
    return rewrite(parent, np.random.default_rng(7), ("up_scale",))


def tuned(parent: Checkpoint) -> Checkpoint:
    return fine_tuned(parent, 8, 0.15)


# What nobody puts back: the child shows it, the parent does not.
FACTS: dict[str, Make] = {
    "zeros": lambda parent: edits.changed(parent, edits.pruned),
    "coarse grid": lambda parent: edits.changed(parent, edits.rounded(4)),
    "dropped layers": lambda parent: edits.with_layers(parent, [0, 1, 3]),
    "repeated layers": lambda parent: edits.with_layers(parent, [0, 1, 2, 1, 2, 3]),
    "narrowed": lambda parent: edits.width_pruned(parent, 96),
    "widened": lambda parent: edits.widened(parent, 176, 3),
    "widened in balance": lambda parent: edits.widened(parent, 176, 3, balanced=True),
    "rescaled": rescaled,
    "rewritten": disguised,
    "rewritten after pruning": lambda parent: disguised(edits.changed(parent, edits.pruned)),
    "made a mixture": lambda parent: edits.upcycled(parent, 4, 5),
    "averaged with a stranger": lambda parent: edits.blended(parent, STRANGER, 0.7),
    "fine-tuned, then pruned": lambda parent: edits.changed(tuned(parent), edits.pruned),
    "layers dropped, then fine-tuned": lambda parent: tuned(edits.with_layers(parent, [0, 1, 3])),
    "narrowed, then fine-tuned": lambda parent: tuned(edits.width_pruned(parent, 96)),
}
NO_FACT: dict[str, Make] = {
    "fine-tuned": tuned,
    "fine-tuned twice": lambda parent: fine_tuned(tuned(parent), 9, 0.15),
    "an adapter": lambda parent: edits.low_rank_changed(parent, 2, 9),
    "in bfloat16": lambda parent: edits.changed(parent, edits.bfloat16),
    "neurons reordered": lambda parent: rewrite(parent, np.random.default_rng(7), ("neurons", "rotation")),
}


@pytest.fixture(scope="module")
def parent() -> Checkpoint:
    return drawn("llama", 11, SIZES)


def ascent(finding: Finding) -> dict[str, float]:
    figures = figures_of(finding.evidence)
    return {name: figures[f"ascent/1.{name}"] for name in (*SIGNED, *EVEN)}


def both(put: Put, one: Checkpoint, other: Checkpoint) -> tuple[Finding, Finding]:
    sides = put(one), put(other)
    there, back = (compare(*pair, progress=silent, jobs=1, with_power=False) for pair in (sides, (sides[1], sides[0])))
    return there, back


def assert_mirrored(there: Finding, back: Finding) -> None:
    ours, theirs = ascent(there), ascent(back)
    for name in SIGNED:
        # Which copy of a neuron is matched may differ between the two orders.
        assert ours[name] == pytest.approx(-theirs[name], rel=0.1, abs=0.02), name
    assert ours["destroyed"] == -theirs["destroyed"]
    assert ours["moved"] == pytest.approx(theirs["moved"], rel=0.1, abs=1e-3)


@pytest.mark.parametrize("name", FACTS)
def test_what_nobody_puts_back_tells_the_younger_side(parent: Checkpoint, put: Put, name: str) -> None:
    there, back = both(put, FACTS[name](parent), parent)
    assert ascent(there)["destroyed"] > 0
    assert_mirrored(there, back)


@pytest.mark.parametrize("name", NO_FACT)
def test_what_can_be_undone_is_no_fact(parent: Checkpoint, put: Put, name: str) -> None:
    there, back = both(put, NO_FACT[name](parent), parent)
    assert ascent(there)["destroyed"] == 0
    assert_mirrored(there, back)


def test_gains_that_were_dressed_are_a_fact_where_no_gate_is_there_to_tell(put: Put) -> None:
    origin = drawn("gpt_neox", 11, SIZES)
    dressed = rewrite(origin, np.random.default_rng(7), ("dressing",))
    there, back = both(put, dressed, origin)
    assert ascent(there)["destroyed"] == -ascent(back)["destroyed"]
    assert ascent(there)["destroyed"] >= 0


def test_two_that_lost_something_each_are_told_by_nothing(parent: Checkpoint, put: Put) -> None:
    """Siblings pruned and cut at different places: a fact on each side says that neither is the other's ancestor."""
    one, other = edits.changed(parent, edits.pruned), edits.with_layers(parent, [0, 1, 3])
    there, back = both(put, one, other)
    assert ascent(there)["destroyed"] == ascent(back)["destroyed"] == 0


def test_training_grows_what_it_starts_from(parent: Checkpoint, put: Put) -> None:
    there, _ = both(put, edits.low_rank_changed(parent, 2, 9), parent)
    figures = ascent(there)
    assert figures["growth"] > 0.5
    assert figures["structure_growth"] > 0
    assert figures["spike"] > 10
    noise, _ = both(put, edits.changed(parent, edits.rounded(8)), parent)
    assert ascent(noise)["spike"] < figures["spike"] / 5


@pytest.mark.parametrize("access", ["weights", "fingerprint"])
@pytest.mark.parametrize(
    ("younger", "older"), [("suspect", "base"), ("base-q8.gguf", "base"), ("suspect", "base-q8.gguf")]
)
def test_no_claim_of_descent_is_turned_round_on_trained_models(
    demo: Demo, younger: str, older: str, access: Access
) -> None:
    there, back = (demo(*pair, access).conclusion for pair in ((younger, older), (older, younger)))
    assert there.direction is not None
    assert back.direction is not None
    assert claimed_order(there.direction) != "reference_from_questioned"
    assert claimed_order(back.direction) != "questioned_from_reference"
    assert there.direction.questioned_from_reference == pytest.approx(back.direction.reference_from_questioned)
    assert there.direction.common_ancestor == pytest.approx(back.direction.common_ancestor)
    # Two models alone never exclude a third one that both come from.
    assert there.direction.common_ancestor > 0.05
    assert "common ancestor" in there.direction_reason


def test_siblings_and_strangers_have_no_order(demo: Demo) -> None:
    for name in ("sibling", "twin", "student"):
        conclusion = demo(name, "base", "weights").conclusion
        assert conclusion.direction is None
        assert "no descent was established" in conclusion.direction_reason


@pytest.mark.parametrize(
    ("forth", "back", "order"),
    [
        (0.6, 0.1, "questioned_from_reference"),
        (0.1, 0.6, "reference_from_questioned"),
        (0.4, 0.3, None),
        (0.3, 0.4, None),
    ],
)
def test_an_order_is_claimed_only_where_one_is_clearly_likelier(forth: float, back: float, order: str | None) -> None:
    posterior = Direction(
        questioned_from_reference=forth, reference_from_questioned=back, common_ancestor=1 - forth - back
    )
    assert claimed_order(posterior) == order
