"""The main job: consistent in both orders, honest where it cannot see, and never related without reason."""

import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import edits
import numpy as np
import pytest
from comparison_types import DEMO, Access, Demo, Put
from generated_models import Family, Sizes, Storage, drawn, edited, fine_tuned, is_matrix, tokens, write
from gguf_files import write_gguf

from whorl.comparison.comparing import compare
from whorl.comparison.population import ALTERNATIVES, shipped_population
from whorl.comparison.population import METHOD as RATIO
from whorl.core.arrays import AnyArray
from whorl.core.errors import CheckpointError, InputError
from whorl.core.evidence import Finding, LikelihoodRatio, NotComparable, Relation, Score
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import SUFFIX, fingerprint_checkpoint
from whorl.weights.gauges import rewrite

MODELS = ("base", "twin", "sibling", "suspect", "base-q8.gguf", "student")
PAIRS = list(itertools.combinations(MODELS, 2))
ACCESS: tuple[Access, ...] = ("weights", "fingerprint")
ACCUSATIONS = re.compile(r"theft|thief|stole|guilt|fraud|clone|copied|plagiar|pirat|infring|\d ?%", re.IGNORECASE)
SIZES = Sizes(layers=2, width=64, neurons=128, vocabulary=200)


def found(questioned: Path, reference: Path) -> Finding:
    return compare(questioned, reference, progress=silent, jobs=1, with_power=False)


def stored(checkpoint: Path, path: Path) -> Path:
    """The checkpoint's fingerprint, written to a file."""
    path.write_bytes(fingerprint_checkpoint(checkpoint, progress=silent, jobs=1).to_bytes())
    return path


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_both_orders_of_two_models_give_the_same_answer(demo: Demo, one: str, other: str, access: Access) -> None:
    there, back = demo(one, other, access), demo(other, one, access)
    assert there.conclusion.relation == back.conclusion.relation
    assert there.conclusion.log10_p == pytest.approx(back.conclusion.log10_p, rel=1e-6)
    assert (there.questioned, there.reference) == (back.reference, back.questioned)
    assert {(m.reference, m.questioned) for m in there.layers if m.reference is not None} == {
        (m.questioned, m.reference) for m in back.layers if m.reference is not None
    }


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_finding_is_a_valid_document_in_careful_words(demo: Demo, one: str, other: str, access: Access) -> None:
    finding = demo(one, other, access)
    text = finding.model_dump_json()
    assert Finding.model_validate_json(text) == finding
    assert json.loads(text)["schema"] == "whorl.finding/1"
    conclusion = finding.conclusion
    for words in (conclusion.statement, conclusion.direction_reason, *finding.limits):
        assert not ACCUSATIONS.search(words), words
    assert finding.limits
    assert finding.exit_code == (3 if conclusion.relation == "inconclusive" else 0)
    tiers = {item.tier for item in finding.evidence}
    assert tiers == {"T1", "T2", "T3", "T4"}


@pytest.mark.parametrize("pair", [("suspect", "base"), ("sibling", "base"), ("twin", "base")])
def test_a_repeated_comparison_says_the_same_to_the_last_digit(demo: Demo, pair: tuple[str, str]) -> None:
    again = compare(DEMO / pair[0], DEMO / pair[1], progress=silent, jobs=3, with_power=False)
    assert again.model_dump_json() == demo(pair[0], pair[1], "weights").model_dump_json()


@pytest.mark.parametrize(
    ("questioned", "reference", "relation"),
    [
        ("base-q8.gguf", "base", "derived"),
        ("suspect", "base", "derived"),
        ("sibling", "base", "shared_initialisation"),
        ("student", "base", "none_found"),
    ],
)
def test_a_stored_fingerprint_may_stand_on_either_side(
    demo: Demo, tmp_path: Path, questioned: str, reference: str, relation: Relation
) -> None:
    paths = DEMO / questioned, DEMO / reference
    prints = [stored(path, tmp_path / f"{number}{SUFFIX}") for number, path in enumerate(paths)]
    expected = demo(questioned, reference, "fingerprint")
    for pair in ((prints[0], paths[1]), (paths[0], prints[1]), (prints[0], prints[1])):
        finding = found(*pair)
        assert finding == expected
        assert finding.conclusion.relation == relation
        assert any("stored fingerprint" in limit for limit in finding.limits)
    assert not any("stored fingerprint" in limit for limit in demo(questioned, reference, "weights").limits)


@pytest.mark.parametrize("access", ACCESS)
def test_a_model_is_identical_to_its_own_copy_under_another_name(tmp_path: Path, access: Access) -> None:
    copy = Path(shutil.copytree(DEMO / "base", tmp_path / "another name"))
    sides = copy, DEMO / "base"
    if access == "fingerprint":
        sides = stored(sides[0], tmp_path / f"copy{SUFFIX}"), sides[1]
    finding = found(*sides)
    assert finding.conclusion.relation == "identical"
    assert finding.questioned.digest == finding.reference.digest
    assert finding.questioned.name != finding.reference.name


def test_the_same_values_in_gguf_and_in_safetensors_are_identical(put: Put, tmp_path: Path) -> None:
    plain = drawn("llama", 1, SIZES)
    model = edited(plain, {name: array.astype(np.float16) for name, array in plain.weights.items()})
    file = write_gguf(tmp_path / "model.gguf", model, tokens(SIZES.vocabulary))
    storages: tuple[Storage, ...] = ("F16", "F32")
    for storage in storages:
        finding = found(file, put(model, storage=storage))
        assert finding.conclusion.relation == "identical"


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    ],
)
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_nothing_is_concluded_from_a_model_with_a_broken_tensor(put: Put, name: str, value: float) -> None:
    model = drawn("llama", 2, SIZES)
    broken = np.array(model.weights[name])
    broken.flat[-1] = value
    hurt, whole = put(edited(model, {name: broken})), put(model)
    for pair in ((hurt, whole), (whole, hurt), (hurt, hurt)):
        with pytest.raises(CheckpointError, match="NaN or infinity") as caught:
            found(*pair)
        assert caught.value.tensor == name


def test_what_is_not_there_or_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"text{SUFFIX}").write_text("not a fingerprint")
    for path in (tmp_path / "nowhere", tmp_path / f"nowhere{SUFFIX}", tmp_path, tmp_path / f"text{SUFFIX}"):
        with pytest.raises(InputError):
            found(DEMO / "base", path)
        with pytest.raises(InputError):
            found(path, DEMO / "base")


def other_tokens() -> tuple[str, ...]:
    return tuple(f"another{number}" for number in range(SIZES.vocabulary))


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("vocabulary", [other_tokens(), None], ids=["other strings", "no tokenizer"])
def test_silence_between_models_without_common_tokens_proves_nothing(
    put: Put, tmp_path: Path, vocabulary: tuple[str, ...] | None, access: Access
) -> None:
    parent = drawn("llama", 3, SIZES)
    hidden = put(rewrite(fine_tuned(parent, 4), np.random.default_rng(5)), vocabulary=vocabulary)
    stranger = put(drawn("llama", 6, SIZES))
    # With weights at hand the neurons of a copy are found without tokens; a fingerprint has no other way.
    for other in (stranger,) if access == "weights" else (put(parent), stranger):
        sides = (stored(hidden, tmp_path / f"a{SUFFIX}"), other) if access == "fingerprint" else (hidden, other)
        for pair in (sides, sides[::-1]):
            finding = found(*pair)
            assert finding.conclusion.relation == "inconclusive"
            reasons = {item.reason for item in finding.evidence if isinstance(item, NotComparable)}
            assert "no_shared_vocabulary" in reasons


def test_common_layers_behind_other_tokens_are_still_seen_as_long_as_nothing_was_rotated(put: Put) -> None:
    parent = drawn("llama", 3, SIZES)
    finding = found(put(fine_tuned(parent, 4), vocabulary=other_tokens()), put(parent))
    assert finding.conclusion.relation == "derived"


# Pairs that share nothing, or nothing but what anybody may share: none of them may come out as related.
Change = Callable[[Mapping[str, AnyArray]], dict[str, AnyArray]]


def nothing(weights: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {}


def flat(value: float) -> Change:
    return lambda weights: {name: np.full_like(a, value) for name, a in weights.items() if is_matrix(name, a)}


def one_row(weights: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """All neurons, and all heads, are equal."""
    return {name: np.repeat(a[:1], len(a), axis=0) for name, a in weights.items() if is_matrix(name, a)}


def doubled_neurons(weights: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    rows = {n: np.repeat(a[::2], 2, axis=0) for n, a in weights.items() if "gate_proj" in n or "up_proj" in n}
    return rows | {n: np.repeat(a[:, ::2], 2, axis=1) for n, a in weights.items() if "down_proj" in n}


def gate_is_up(weights: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """A squared ReLU written as a gated MLP: the two views of a neuron have a part in common."""
    return {name.replace("gate", "up"): array for name, array in weights.items() if "gate_proj" in name}


def one_layer_repeated(weights: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {name: weights[re.sub(r"layers\.\d", "layers.0", name)] for name in weights if "layers." in name}


UNRELATED: dict[str, Change] = {
    "as drawn": nothing,
    "layers all zero": flat(0.0),
    "layers all one": flat(1.0),
    "equal neurons": one_row,
    "doubled neurons": doubled_neurons,
    "gate is up": gate_is_up,
    "one layer repeated": one_layer_repeated,
}


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("name", UNRELATED)
def test_models_with_nothing_in_common_never_come_out_as_related(
    put: Put, tmp_path: Path, name: str, access: Access
) -> None:
    models = [drawn("llama", seed, Sizes(layers=4, width=64, neurons=300, vocabulary=150)) for seed in (7, 8)]
    sides = [put(edited(model, UNRELATED[name](model.weights))) for model in models]
    if access == "fingerprint":
        sides[0] = stored(sides[0], tmp_path / f"one{SUFFIX}")
    for pair in (sides, sides[::-1]):
        assert found(pair[0], pair[1]).conclusion.relation in ("none_found", "inconclusive")


FAMILIES: tuple[Family, ...] = ("llama", "qwen2", "gpt_neox", "mixtral")


@pytest.mark.parametrize("family", FAMILIES)
def test_models_of_one_architecture_and_one_language_have_nothing_in_common(put: Put, family: Family) -> None:
    finding = found(put(drawn(family, 9, SIZES)), put(drawn(family, 10, SIZES)))
    assert finding.conclusion.relation == "none_found"
    assert finding.conclusion.transformations == ()
    assert all(layer.reference is None for layer in finding.layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_models_are_not_related_but_cannot_be_laid_over_each_other_either(put: Put, family: Family) -> None:
    finding = found(*(put(drawn(family, seed, SIZES, trained=False)) for seed in (9, 10)))
    assert finding.conclusion.relation == "inconclusive"
    assert all(layer.reference is None for layer in finding.layers)
    assert any("nothing in common" in item.detail for item in finding.evidence if isinstance(item, NotComparable))


def test_a_shuffled_tokenizer_does_not_turn_a_copy_into_a_stranger(put: Put) -> None:
    """Whoever swaps the strings of a tokenizer hides a rotation from a fingerprint: then silence must not count."""
    parent = drawn("llama", 24, SIZES)
    strings = np.random.default_rng(25).permutation(np.array(tokens(SIZES.vocabulary))).tolist()
    copy = put(rewrite(parent, np.random.default_rng(26)), vocabulary=strings)
    assert found(copy, put(parent)).conclusion.relation == "derived"
    stranger = found(copy, put(drawn("llama", 27, SIZES)))
    assert stranger.conclusion.relation == "inconclusive"


def test_neurons_put_in_the_order_of_another_model_are_no_relation(put: Put) -> None:
    """Positions prove something only if nobody chose them: an accuser may sort its own model after the accused's."""
    sizes = Sizes(layers=2, width=64, neurons=128, vocabulary=200)
    accused, own = drawn("llama", 27, sizes), drawn("llama", 28, sizes)
    changes: dict[str, AnyArray] = {}
    for layer in range(sizes.layers):
        at = f"model.layers.{layer}.mlp"
        names = [f"{at}.{role}_proj.weight" for role in ("gate", "up", "down")]
        order = np.argsort(np.argsort(accused.weights[names[0]][:, 0])).argsort().argsort()
        ranked = np.argsort(own.weights[names[0]][:, 0])[order]
        changes |= {name: own.weights[name][ranked] for name in names[:2]}
        changes[names[2]] = np.ascontiguousarray(own.weights[names[2]][:, ranked])
    finding = found(put(edited(own, changes)), put(accused))
    assert finding.conclusion.relation in ("none_found", "inconclusive")


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(layers=1, width=8, heads=2, kv_heads=1, neurons=2, vocabulary=40),
        Sizes(layers=1, width=8, heads=2, kv_heads=1, neurons=8, vocabulary=40),
        Sizes(layers=1, width=8, heads=2, kv_heads=1, neurons=300, vocabulary=40),
        Sizes(layers=6, width=4, heads=2, kv_heads=1, neurons=12, vocabulary=12),
    ],
    ids=str,
)
def test_tiny_models_are_never_related_by_accident(put: Put, sizes: Sizes) -> None:
    for seed in range(6):
        one, other = (put(drawn("llama", 100 + 2 * seed + side, sizes)) for side in (0, 1))
        assert found(one, other).conclusion.relation in ("none_found", "inconclusive")


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("shared", [("model.embed_tokens.weight",), ("model.embed_tokens.weight", "lm_head.weight")])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_taken_over_embedding_does_not_make_the_layers_related(
    put: Put, tmp_path: Path, shared: tuple[str, ...], noise: float, access: Access
) -> None:
    model, origin = drawn("llama", 11, SIZES), drawn("llama", 12, SIZES)
    rng = np.random.default_rng(13)
    taken = {
        name: origin.weights[name] + noise * np.std(origin.weights[name]) * rng.standard_normal((200, 64))
        for name in shared
    }
    sides = [put(edited(model, taken)), put(origin)]
    if access == "fingerprint":
        sides[1] = stored(sides[1], tmp_path / f"origin{SUFFIX}")
    finding = found(sides[0], sides[1])
    assert finding.conclusion.relation == "inconclusive"
    assert "layer" in finding.conclusion.statement
    assert all(layer.reference is None for layer in finding.layers)


def test_one_taken_over_layer_is_found_and_named(put: Put) -> None:
    sizes = Sizes(layers=3, width=64, neurons=128, vocabulary=200)
    model, origin = drawn("llama", 14, sizes), drawn("llama", 15, sizes)
    outer = {name: array for name, array in origin.weights.items() if not is_matrix(name, array) and array.ndim == 2}
    layer = {
        name.replace("layers.2", "layers.0"): array for name, array in origin.weights.items() if "layers.2." in name
    }
    finding = found(put(edited(model, outer | layer)), put(origin))
    assert [match.reference for match in finding.layers] == [2, None, None]
    assert finding.unmatched_reference_layers == (0, 1)
    assert finding.conclusion.relation != "none_found"


def test_a_layer_map_follows_layers_that_were_dropped_and_repeated(put: Put) -> None:
    sizes = Sizes(layers=4, width=64, neurons=128, vocabulary=200)
    parent = drawn("llama", 16, sizes)
    order = [0, 2, 2, 3]
    child = rewrite(fine_tuned(edits.with_layers(parent, order), 17), np.random.default_rng(18))
    finding = found(put(child), put(parent))
    assert [match.reference for match in finding.layers] == order
    assert finding.unmatched_reference_layers == (1,)


def test_residual_streams_of_other_widths_are_compared_through_their_tokens(put: Put) -> None:
    """Nothing in common and shapes that differ everywhere: every test answers or says why not."""
    wide = Sizes(layers=3, width=96, heads=6, kv_heads=2, neurons=160, vocabulary=200)
    finding = found(put(drawn("llama", 19, wide)), put(drawn("llama", 20, SIZES)))
    assert finding.conclusion.relation == "none_found"
    assert {item.reason for item in finding.evidence if isinstance(item, NotComparable)} >= {"shapes_differ"}
    scores = {item.method for item in finding.evidence if isinstance(item, Score)}
    assert {"two_view_agreement/1", "tensor_digests/1"} <= scores


def test_different_architectures_are_compared(put: Put) -> None:
    finding = found(put(drawn("gpt_neox", 21, SIZES)), put(drawn("llama", 22, SIZES)))
    assert finding.conclusion.relation == "none_found"


@pytest.mark.parametrize(("one", "other"), [("suspect", "base"), ("sibling", "base"), ("student", "base")])
@pytest.mark.parametrize("access", ACCESS)
def test_a_finding_says_what_every_ratio_was_weighed_with(demo: Demo, one: str, other: str, access: Access) -> None:
    finding = demo(one, other, access)
    ratios = [item for item in finding.evidence if isinstance(item, LikelihoodRatio)]
    none = [item for item in finding.evidence if isinstance(item, NotComparable) and item.method == RATIO]
    assert len(ratios) + len(none) == len(ALTERNATIVES)
    assert {item.population for item in ratios} == {shipped_population().digest}
    assert finding.parameters["population"] == shipped_population().digest
    weighed = [item.log10_lr for item in ratios if item.alternative != "common_ancestor"]
    assert finding.conclusion.log10_lr == min(weighed)


def test_another_population_weighs_the_same_figures(demo: Demo) -> None:
    shipped = shipped_population()
    fewer = shipped.model_copy(update={"name": "fewer", "cells": shipped.cells[:1]})
    sides = DEMO / "suspect", DEMO / "base"
    finding = compare(*sides, progress=silent, jobs=1, population=fewer, with_power=False)
    ratios = [item for item in finding.evidence if isinstance(item, LikelihoodRatio)]
    assert [(item.alternative, item.population) for item in ratios] == [("independent", fewer.digest)]
    assert finding.parameters["population_name"] == "fewer"
    plain = [item for item in finding.evidence if item.method != RATIO]
    assert plain == [item for item in demo("suspect", "base", "weights").evidence if item.method != RATIO]
    assert finding.conclusion.direction is None


def test_progress_is_told_and_ends_at_the_whole(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def progress(what: str, done: int, total: int, /) -> None:
        told.append((what, done, total))

    folder = write(tmp_path / "model", drawn("llama", 23, SIZES))
    compare(folder, folder, progress=progress, jobs=2)
    assert {what for what, _, _ in told} >= {"reading questioned", "reading reference", "aligning layers"}
    for name in {what for what, _, _ in told}:
        steps = [(done, total) for what, done, total in told if what == name]
        assert all(0 <= done <= total for done, total in steps)
        assert steps[-1][0] == steps[-1][1]


def test_the_words_that_are_never_used_are_recognised() -> None:
    assert ACCUSATIONS.search("97 % copied")
    assert not ACCUSATIONS.search("The two models share trained weights.")
