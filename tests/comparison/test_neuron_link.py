"""Laid over each other by neurons alone: what a lost embedding or a false tokenizer no longer hides."""

import numpy as np
import pytest
from comparison_types import DEMO, Put
from edits import stacked
from generated_models import Family, Sizes, drawn, edited, fine_tuned, tokens

from whorl.comparison.comparing import compare
from whorl.comparison.neuron_link import LEAST_LINKED, NeuronLink, link_by_neurons
from whorl.comparison.subjects import CheckpointSubject, open_subject
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent
from whorl.fingerprints.extraction import extract
from whorl.fingerprints.frame import random_basis
from whorl.weights.anatomy import Anatomy
from whorl.weights.gauges import ALL_PARTS, rewrite
from whorl.weights.in_memory import Checkpoint

SIZES = Sizes(layers=3, width=64, neurons=256, vocabulary=300)
FAMILIES: tuple[Family, ...] = ("llama", "gpt_neox", "mixtral")


def found(put: Put, questioned: Checkpoint, reference: Checkpoint, vocabulary: tuple[str, ...] = ()) -> Finding:
    sides = put(questioned, vocabulary=vocabulary), put(reference)
    return compare(*sides, progress=silent, jobs=1, with_power=False)


def linked(anatomies: tuple[Anatomy, Anatomy]) -> NeuronLink | None:
    neurons = []
    for anatomy in anatomies:
        basis = random_basis(anatomy.width, 256, np.random.default_rng(0))
        (features,) = extract(anatomy, [basis], neurons=1024, jobs=1, progress=silent)
        neurons.append([layer.neurons for layer in features.layers])
    return link_by_neurons(anatomies, (neurons[0], neurons[1]), size=256, seed=1, progress=silent)


def anatomies_of(put: Put, *models: Checkpoint) -> tuple[Anatomy, Anatomy]:
    subjects = [open_subject(put(model)) for model in models]
    assert all(isinstance(subject, CheckpointSubject) for subject in subjects)
    one, other = (subject.anatomy for subject in subjects if isinstance(subject, CheckpointSubject))
    return one, other


def shuffled_strings() -> tuple[str, ...]:
    order = np.random.default_rng(3).permutation(SIZES.vocabulary)
    return tuple(tokens(SIZES.vocabulary)[place] for place in order)


def with_embedding_of(checkpoint: Checkpoint, other: Checkpoint) -> Checkpoint:
    names = [name for name in checkpoint.weights if "embed" in name or "lm_head" in name]
    return edited(checkpoint, {name: other.weights[name] for name in names})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rewritten_copy_is_seen_although_its_token_strings_were_shuffled(put: Put, family: Family) -> None:
    parent = drawn(family, 1, SIZES)
    hidden = rewrite(fine_tuned(parent, 2), np.random.default_rng(3))
    finding = found(put, hidden, parent, shuffled_strings())
    assert finding.conclusion.relation == "derived"
    assert finding.parameters["alignment"] == "neurons"
    assert {"rotated", "permuted", "rescaled"} <= set(finding.conclusion.transformations)


def test_a_rewritten_copy_is_seen_behind_a_strangers_embedding(put: Put) -> None:
    parent = drawn("llama", 1, SIZES)
    hidden = rewrite(with_embedding_of(fine_tuned(parent, 2), drawn("llama", 9, SIZES)), np.random.default_rng(3))
    for sides in ((hidden, parent), (parent, hidden)):
        finding = found(put, *sides)
        assert finding.conclusion.relation == "derived"
        assert finding.parameters["alignment"] == "neurons"
        assert all(layer.reference == layer.questioned for layer in finding.layers)


def test_the_stacked_half_under_another_models_embedding_is_found_after_a_rotation(put: Put) -> None:
    first, second = drawn("llama", 1, SIZES), drawn("llama", 9, SIZES)
    finding = found(put, rewrite(stacked(first, second, 1), np.random.default_rng(3)), second)
    assert finding.conclusion.relation == "derived"
    assert [layer.reference for layer in finding.layers] == [None, 1, 2]


@pytest.mark.parametrize("family", FAMILIES)
def test_unrelated_models_are_never_linked_and_silence_about_them_stays_silence(put: Put, family: Family) -> None:
    strings = shuffled_strings()
    for seed in range(4):
        one, other = drawn(family, 20 + seed, SIZES), drawn(family, 40 + seed, SIZES)
        assert linked(anatomies_of(put, one, other)) is None
        finding = found(put, rewrite(one, np.random.default_rng(seed)), other, strings)
        assert finding.conclusion.relation == "inconclusive"  # false strings: a miss means nothing


@pytest.mark.parametrize("other", ["twin", "student", "sibling"])
def test_trained_models_that_share_no_training_are_not_linked(other: str) -> None:
    # The sibling has the same start: its neurons are alike, their cosines with each other are not.
    sides = [open_subject(DEMO / name) for name in ("base", other)]
    one, two = (side.anatomy for side in sides if isinstance(side, CheckpointSubject))
    assert linked((one, two)) is None


def test_the_rotation_is_the_one_that_was_made_and_half_of_the_linked_neurons_solved_it(put: Put) -> None:
    parent = drawn("llama", 1, SIZES)
    rng = np.random.default_rng(5)
    link = linked(anatomies_of(put, rewrite(parent, rng, ["rotation", "neurons"]), parent))
    assert link is not None
    assert link.linked >= SIZES.layers * LEAST_LINKED
    assert np.allclose(link.rotation @ link.rotation.T, np.eye(SIZES.width), atol=1e-4)
    ours, theirs = anatomies_of(put, rewrite(parent, np.random.default_rng(5), ["rotation", "neurons"]), parent)
    rows = np.arange(SIZES.vocabulary)
    assert ours.unembedding is not None
    assert theirs.unembedding is not None
    turned = ours.embedding.rows(rows) @ link.rotation
    assert np.allclose(turned, theirs.embedding.rows(rows), atol=1e-3 * np.abs(turned).max())
    used = sum(len(layer) for layer in link.used[0])
    assert used == sum(len(layer) for layer in link.used[1])
    assert abs(2 * used - link.linked) <= SIZES.layers


def test_neurons_that_solved_the_rotation_do_not_vote(put: Put) -> None:
    parent = drawn("llama", 1, SIZES)
    finding = found(put, rewrite(parent, np.random.default_rng(3), ALL_PARTS), parent, shuffled_strings())
    (agreement,) = (
        item for item in finding.evidence if isinstance(item, Score) and item.method == "two_view_agreement/1"
    )
    assert agreement.statistic["neurons"] <= SIZES.layers * (SIZES.neurons - LEAST_LINKED // 2)
    assert agreement.value > 0.95


def test_other_widths_are_not_linked(put: Put) -> None:
    one, other = drawn("llama", 1, SIZES), drawn("llama", 1, Sizes(layers=3, width=32, neurons=256, vocabulary=300))
    assert linked(anatomies_of(put, one, other)) is None
