"""Each transformation is established where it was made, and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass

import edits
import numpy as np
import pytest
from comparison_types import Demo, Put
from generated_models import Sizes, drawn, fine_tuned, tokens

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.evidence import Finding, Transformation
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint
from whorl.weights.gauges import ALL_PARTS, Part, rewrite
from whorl.weights.in_memory import Checkpoint

SIZES = Sizes(layers=4, width=64, neurons=128, vocabulary=200)
STRINGS = tokens(SIZES.vocabulary)
# From a stored fingerprint, what needs the weights themselves is not established, and never something else.
NEEDS_WEIGHTS: frozenset[Transformation] = frozenset({"fine_tuned", "rescaled"})

Child = tuple[Checkpoint, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How a child is made, and what must be said of it; ``back`` is said of the parent, held against the child."""

    make: Callable[[Checkpoint], Checkpoint | Child]
    expected: frozenset[Transformation]
    back: frozenset[Transformation]


def case(
    make: Callable[[Checkpoint], Checkpoint | Child], *expected: Transformation, back: tuple[Transformation, ...] = ()
) -> Case:
    return Case(make=make, expected=frozenset(expected), back=frozenset(back))


def both_ways(make: Callable[[Checkpoint], Checkpoint | Child], *expected: Transformation) -> Case:
    return case(make, *expected, back=expected)


def rewriting(*parts: Part) -> Callable[[Checkpoint], Checkpoint]:
    return lambda parent: rewrite(parent, np.random.default_rng(7), parts)


def tuned(parent: Checkpoint) -> Checkpoint:
    return fine_tuned(parent, 8, 0.15)


REWRITTEN: tuple[Transformation, ...] = ("rotated", "permuted", "rescaled")
CASES: dict[str, Case] = {
    "fine-tuned": both_ways(tuned, "fine_tuned"),
    "bf16": both_ways(lambda parent: edits.changed(parent, edits.bfloat16)),
    "int8 grid": both_ways(lambda parent: edits.changed(parent, edits.rounded(8))),
    "int4 grid": case(lambda parent: edits.changed(parent, edits.rounded(4)), "quantised"),
    "pruned": case(lambda parent: edits.changed(parent, edits.pruned), "pruned"),
    "pruned, then fine-tuned": both_ways(lambda parent: tuned(edits.changed(parent, edits.pruned)), "fine_tuned"),
    "width-pruned": case(lambda parent: edits.width_pruned(parent, 96), "width_pruned"),
    "layers dropped": case(lambda parent: edits.with_layers(parent, [0, 1, 3]), "layers_dropped"),
    # A change is named from the reference's side: to be had from its grown child, a model must have lost layers.
    "layers repeated": case(
        lambda parent: edits.with_layers(parent, [0, 1, 2, 1, 2, 3]), "layers_repeated", back=("layers_dropped",)
    ),
    "vocabulary permuted": both_ways(lambda parent: edits.vocabulary_permuted(parent, 9), "vocabulary_changed"),
    "vocabulary extended": both_ways(lambda parent: edits.vocabulary_extended(parent, 10), "vocabulary_changed"),
    "rotated": both_ways(rewriting("rotation"), "rotated"),
    "neurons permuted": both_ways(rewriting("neurons"), "permuted"),
    "up and down rescaled": both_ways(rewriting("up_scale"), "rescaled"),
    "gains replaced": both_ways(rewriting("dressing"), "rescaled"),
    "attention rewritten": both_ways(rewriting("heads", "value_output", "query_key")),
    "everything rewritten": both_ways(rewriting(*ALL_PARTS), *REWRITTEN),
    "fine-tuned and rewritten": both_ways(
        lambda parent: rewriting(*ALL_PARTS)(tuned(parent)), "fine_tuned", *REWRITTEN
    ),
    "rotated, permuted, rescaled and on a 4-bit grid": case(
        lambda parent: edits.changed(rewriting("rotation", "neurons", "up_scale")(parent), edits.rounded(4)),
        "quantised",
        *REWRITTEN,
        back=REWRITTEN,
    ),
    "layers dropped and rewritten": case(
        lambda parent: rewriting(*ALL_PARTS)(edits.with_layers(parent, [0, 2, 3])),
        "layers_dropped",
        *REWRITTEN,
        back=REWRITTEN,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def parent() -> Checkpoint:
    return drawn("llama", 11, SIZES)


STRANGER = drawn("llama", 12, SIZES)
# Of these only the change is said here: whether a made-up model counts as derived is a matter of calibration.
NAMED: dict[str, Case] = {
    "adapter of rank 2": both_ways(lambda parent: edits.low_rank_changed(parent, 2, 9), "fine_tuned", "lora"),
    "adapter of rank 4": both_ways(lambda parent: edits.low_rank_changed(parent, 4, 9), "fine_tuned", "lora"),
    # Half of a stranger looks like a second run from the same start with more weight decay: nothing is named.
    "half a stranger": case(lambda parent: edits.blended(parent, STRANGER, 0.5)),
    "a third a stranger": case(lambda parent: edits.blended(parent, STRANGER, 0.7), "merged", back=("fine_tuned",)),
    "half a relative": both_ways(lambda parent: edits.blended(parent, tuned(parent), 0.5), "fine_tuned"),
    # Layers without a counterpart may come from another model or have been trained anew: a pair does not say which.
    "half a stranger's layers": both_ways(lambda parent: edits.stacked(parent, STRANGER, 2)),
    "attention started anew": both_ways(
        lambda parent: edits.with_attention_of(parent, STRANGER), "reinitialised_parts"
    ),
    "made a mixture": case(lambda parent: edits.upcycled(parent, 4, 5), "moe_upcycled"),
    "made a mixture and fine-tuned": case(
        lambda parent: tuned(edits.upcycled(parent, 4, 5)), "fine_tuned", "moe_upcycled", back=("fine_tuned",)
    ),
    "widened": case(lambda parent: edits.widened(parent, 176, 3), back=("width_pruned",)),
}


def child_of(parent: Checkpoint, name: str) -> Child:
    made = (CASES | NAMED)[name].make(parent)
    return made if isinstance(made, tuple) else (made, STRINGS)


def names(finding: Finding) -> set[Transformation]:
    found = set(finding.conclusion.transformations)
    assert found == {change.name for change in finding.transformations}
    assert all(change.detail for change in finding.transformations)
    return found


@pytest.mark.parametrize("name", CASES)
def test_exactly_what_was_done_is_established_from_weights(parent: Checkpoint, put: Put, name: str) -> None:
    weights, strings = child_of(parent, name)
    child, origin = put(weights, vocabulary=strings), put(parent, vocabulary=STRINGS)
    there, back = (
        compare(*sides, progress=silent, jobs=1, with_power=False) for sides in ((child, origin), (origin, child))
    )
    assert (there.conclusion.relation, back.conclusion.relation) == ("derived", "derived")
    assert names(there) == CASES[name].expected
    assert names(back) == CASES[name].back


@pytest.mark.parametrize("name", NAMED)
def test_merges_adapters_mixtures_and_new_parts_are_named_from_the_side_that_shows_them(
    parent: Checkpoint, put: Put, name: str
) -> None:
    weights, strings = child_of(parent, name)
    child, origin = put(weights, vocabulary=strings), put(parent, vocabulary=STRINGS)
    for sides, expected in (((child, origin), NAMED[name].expected), ((origin, child), NAMED[name].back)):
        finding = compare(*sides, progress=silent, jobs=1, with_power=False)
        assert finding.conclusion.relation in ("derived", "inconclusive")
        assert names(finding) == expected


RARE: set[Transformation] = {"merged", "lora", "moe_upcycled", "reinitialised_parts"}


@pytest.mark.parametrize("size", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("disguised", [False, True])
def test_plain_training_is_no_merge_no_adapter_and_nothing_started_anew(put: Put, size: float, disguised: bool) -> None:
    origin = drawn("llama", 13, SIZES)
    child = fine_tuned(origin, 14, size)
    sides = put(rewrite(child, np.random.default_rng(15)) if disguised else child), put(origin)
    for pair in (sides, sides[::-1]):
        assert not names(compare(*pair, progress=silent, jobs=1, with_power=False)) & RARE


@pytest.mark.parametrize("name", CASES)
def test_stored_fingerprints_establish_nothing_that_was_not_done(parent: Checkpoint, put: Put, name: str) -> None:
    weights, strings = child_of(parent, name)
    paths = put(weights, vocabulary=strings), put(parent, vocabulary=STRINGS)
    child, origin = (fingerprint_checkpoint(path, progress=silent, jobs=1) for path in paths)
    for finding, expected in (
        (compare_fingerprints(child, origin, with_power=False), CASES[name].expected),
        (compare_fingerprints(origin, child, with_power=False), CASES[name].back),
    ):
        assert finding.conclusion.relation in ("derived", "inconclusive")
        assert expected - NEEDS_WEIGHTS <= names(finding) <= expected


@pytest.mark.parametrize(
    ("questioned", "reference", "expected"),
    [
        ("suspect", "base", {"fine_tuned", "rotated", "permuted", "rescaled"}),
        ("base", "suspect", {"fine_tuned", "rotated", "permuted", "rescaled"}),
        ("base-q8.gguf", "base", {"quantised"}),
        ("base", "base-q8.gguf", set()),
        ("suspect", "base-q8.gguf", {"fine_tuned", "rotated", "permuted", "rescaled"}),
        ("sibling", "base", set()),
        ("base", "sibling", set()),
        ("twin", "base", set()),
        ("student", "base", set()),
    ],
)
def test_trained_models_show_what_was_done_to_them(
    demo: Demo, questioned: str, reference: str, expected: set[Transformation]
) -> None:
    assert names(demo(questioned, reference, "weights")) == expected
