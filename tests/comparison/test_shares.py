"""Shares of merges of the demo's trained models, and of drawn ones, as stored and after every rewrite."""

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from comparison_types import DEMO, Put
from generated_models import Family, Sizes, drawn, fine_tuned
from pydantic import ValidationError
from safetensors.torch import load_file

from bench.zoo.merging import merge
from whorl.comparison import shares as module
from whorl.comparison.comparing import compare
from whorl.comparison.share_document import Shares
from whorl.comparison.shares import model_shares
from whorl.core.errors import InputError
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint
from whorl.weights.gauges import rewrite
from whorl.weights.in_memory import Checkpoint

ROOT = Path(__file__).parents[2]


@cache
def trained(name: str) -> Checkpoint:
    """One of the demo's models; ``tune1`` and ``tune2`` are base, moved on along few directions."""
    if name.startswith("tune"):
        return fine_tuned(trained("base"), int(name[-1]), size=0.15)
    tensors = load_file(DEMO / name / "model.safetensors")
    config = json.loads((DEMO / name / "config.json").read_text())
    return Checkpoint(weights={key: tensor.float().numpy() for key, tensor in tensors.items()}, config=config)


def merged(
    kind: str, parents: Sequence[Checkpoint], weights: Sequence[float], base: Checkpoint | None = None
) -> Checkpoint:
    """The parents' merge, under the first one's configuration."""

    def state(one: Checkpoint) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(np.array(array)) for name, array in one.weights.items()}

    made = merge(kind, None if base is None else state(base), [state(one) for one in parents], weights, seed=3)
    return Checkpoint(weights={name: tensor.numpy() for name, tensor in made.items()}, config=parents[0].config)


def disguised(checkpoint: Checkpoint) -> Checkpoint:
    return rewrite(checkpoint, np.random.default_rng(5))


def told(found: Shares) -> list[float | None]:
    return [one.share for one in found.candidates]


def fitted(found: Shares) -> list[float | None]:
    return [one.fitted for one in found.candidates]


def outcomes(found: Shares) -> list[str]:
    return [one.outcome for one in found.candidates]


def trained_apart(own: int) -> Checkpoint:
    """Base trained on a text that moves it the same way whoever trains: what is left of chance is small."""
    alike = fine_tuned(trained("base"), 77, size=0.15)
    return fine_tuned(alike, own, size=0.02)


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize("own", [0.8, 0.5, 0.3])
def test_strangers_shares_are_found(own: float, rewritten: bool, put: Put) -> None:
    base, twin = trained("base"), trained("twin")
    blend = merged("linear", [base, twin], [own, 1 - own])
    found = model_shares(put(disguised(blend) if rewritten else blend), [put(base), put(twin)])
    assert found.conclusion == "shares"
    assert told(found) == pytest.approx([own, 1 - own], abs=0.02)
    for one, truth in zip(found.candidates, (own, 1 - own), strict=True):
        assert one.lower is not None
        assert one.upper is not None
        assert one.lower - 0.01 <= truth <= one.upper + 0.01
        assert one.of == "weights"
    assert found.unexplained is not None
    assert found.unexplained < 0.01


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_named_share_is_right_beside_an_unnamed_stranger(rewritten: bool, put: Put) -> None:
    blend = merged("linear", [trained("base"), trained("twin")], [0.6, 0.4])
    found = model_shares(put(disguised(blend) if rewritten else blend), [put(trained("base"))])
    assert fitted(found) == pytest.approx([0.6], abs=0.03)
    assert found.unexplained == pytest.approx(0.4**2 / (0.6**2 + 0.4**2), abs=0.08)


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize("kind", ["linear", "slerp", "task_arithmetic"])
def test_relatives_shares_are_found_with_the_base_and_without(kind: str, rewritten: bool, put: Put) -> None:
    base, parents = trained("base"), [trained("tune1"), trained("tune2")]
    blend = merged(kind, parents, [0.65, 0.35], base)
    questioned, named = put(disguised(blend) if rewritten else blend), [put(one) for one in parents]
    for found in (model_shares(questioned, named), model_shares(questioned, named, base=put(base))):
        assert found.conclusion == "shares"
        assert told(found) == pytest.approx([0.65, 0.35], abs=0.04)
    assert {one.of for one in found.candidates} == {"change_from_base"}
    assert found.base_share == pytest.approx(1, abs=0.02)


def test_changes_that_were_partly_dropped_fit_and_are_not_established(put: Put) -> None:
    """Of a merge that leaves much over nobody can say that no other training of the base explains it."""
    base, parents = trained("base"), [trained("tune1"), trained("tune2")]
    blend = merged("dare_linear", parents, [0.65, 0.35], base)
    found = model_shares(put(blend), [put(one) for one in parents], base=put(base))
    assert fitted(found) == pytest.approx([0.65, 0.35], abs=0.04)
    assert outcomes(found) == ["not_established"] * 2


def test_relatives_and_a_stranger_are_told_in_one_sum(put: Put) -> None:
    parents = [trained("tune1"), trained("tune2"), trained("twin")]
    questioned = put(disguised(merged("linear", parents, [0.4, 0.3, 0.3])))
    found = model_shares(questioned, [put(one) for one in parents], base=put(trained("base")))
    assert told(found) == pytest.approx([0.4, 0.3, 0.3], abs=0.02)
    assert [one.of for one in found.candidates] == ["change_from_base", "change_from_base", "weights"]
    assert found.base_share == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("rewritten", [False, True])
def test_whole_layers_give_a_layer_map(rewritten: bool, put: Put) -> None:
    blend = merged("passthrough", [trained("base"), trained("twin")], [0.75, 0.25])
    found = model_shares(put(disguised(blend) if rewritten else blend), [put(trained("base")), put(trained("twin"))])
    assert found.whole_layers
    assert told(found) == pytest.approx([0.75, 0.25], abs=0.02)
    layers = [[round(value or 0) for value in one.layers] for one in found.candidates]
    assert layers == [[1, 1, 1, 0], [0, 0, 0, 1]]
    assert found.unexplained is not None
    assert found.unexplained < 0.01


def test_layers_under_another_models_embedding_are_found(put: Put) -> None:
    """Tokens lay the model over the owner of the embedding only; the others' layers follow from there."""
    base, twin = trained("base"), trained("twin")
    late = {name: array for name, array in twin.weights.items() if ".layers.2." in name or ".layers.3." in name}
    stacked = Checkpoint(weights={**base.weights, **late}, config=base.config)
    found = model_shares(put(disguised(stacked)), [put(base), put(twin)])
    assert told(found) == pytest.approx([0.5, 0.5], abs=0.02)
    assert found.whole_layers


def test_an_unnamed_relative_lies_inside_the_interval(put: Put) -> None:
    parents = [trained("tune1"), trained("tune2")]
    found = model_shares(put(merged("linear", parents, [0.6, 0.4])), [put(parents[0])], base=put(trained("base")))
    (one,) = found.candidates
    assert one.lower is not None
    assert one.fitted is not None
    # The rest may belong to a training that moved along with the named one, as trainings of one base do.
    assert one.lower < one.fitted - 0.1
    assert one.outcome == "not_established"


def test_training_after_the_merge_hardly_moves_the_shares(put: Put) -> None:
    base, parents = trained("base"), [trained("tune1"), trained("twin")]
    blend = fine_tuned(merged("linear", parents, [0.7, 0.3]), seed=9, size=0.1)
    found = model_shares(put(disguised(blend)), [put(one) for one in parents])
    assert fitted(found) == pytest.approx([0.7, 0.3], abs=0.03)
    relatives = [trained("tune1"), trained("tune2")]
    blend = fine_tuned(merged("linear", relatives, [0.6, 0.4]), seed=9, size=0.05)
    found = model_shares(put(disguised(blend)), [put(one) for one in relatives], base=put(base))
    assert fitted(found) == pytest.approx([0.6, 0.4], abs=0.05)


def test_candidates_that_were_rewritten_themselves_are_found(put: Put) -> None:
    parents = [trained("tune1"), trained("tune2")]
    questioned = put(merged("linear", parents, [0.6, 0.4]))
    found = model_shares(questioned, [put(disguised(parents[0])), put(parents[1])])
    assert told(found) == pytest.approx([0.6, 0.4], abs=0.03)


def test_a_model_alone_is_reported_as_it_is(put: Put) -> None:
    """No sum to one is imposed: a model times 0.8 is 0.8 of it."""
    base = trained("base")
    gate = {name: 0.8 * array for name, array in base.weights.items() if "gate_proj" in name}
    found = model_shares(put(Checkpoint(weights={**base.weights, **gate}, config=base.config)), [put(base)])
    assert told(found) == pytest.approx([0.8], abs=1e-4)


@pytest.mark.parametrize("rewritten", [False, True])
def test_strangers_that_have_no_part_in_it_get_none(rewritten: bool, put: Put) -> None:
    base = trained("base")
    questioned = put(disguised(base) if rewritten else base)
    found = model_shares(questioned, [put(trained("twin")), put(trained("student"))])
    assert (found.conclusion, found.exit_code) == ("none_found", 0)
    found = model_shares(questioned, [put(base), put(trained("twin"))])
    assert [one.outcome for one in found.candidates] == ["share", "none_found"]
    assert found.candidates[1].upper is not None
    assert found.candidates[1].upper < 0.02


def test_candidates_that_cannot_be_told_apart_get_no_number(put: Put) -> None:
    base = put(trained("base"))
    found = model_shares(put(trained("tune1")), [base, base])
    assert (found.conclusion, found.exit_code) == ("inconclusive", 3)
    assert all(one.share is None and "told apart" in one.detail for one in found.candidates)


def test_the_base_itself_is_no_candidate_for_a_change(put: Put) -> None:
    base = put(trained("base"))
    found = model_shares(put(trained("tune1")), [base], base=base)
    assert found.conclusion == "inconclusive"
    assert "the base itself" in found.candidates[0].detail


def test_another_tuning_of_the_same_base_is_not_called_a_part(put: Put) -> None:
    found = model_shares(put(trained("tune1")), [put(trained("tune2"))], base=put(trained("base")))
    assert found.candidates[0].outcome in ("not_established", "none_found")
    assert found.candidates[0].share is None


def test_trainings_of_one_base_that_learned_alike_are_no_parts_of_each_other(put: Put) -> None:
    found = model_shares(put(trained_apart(1)), [put(trained_apart(2))], base=put(trained("base")))
    (one,) = found.candidates
    assert one.fitted == pytest.approx(1, abs=0.1)  # nearly all of the change fits
    assert (one.outcome, one.share) == ("not_established", None)
    assert (found.conclusion, found.exit_code) == ("inconclusive", 3)
    assert "is not established" in found.statement
    assert "trainings of one base" in (one.kinship or "")


@pytest.mark.parametrize("others", [(), ("twin",), ("twin", "student")])
@pytest.mark.parametrize(("questioned", "candidate"), [("sibling", "base"), ("base", "sibling")])
def test_a_common_start_is_no_share(questioned: str, candidate: str, others: tuple[str, ...], put: Put) -> None:
    """Two runs of one start: two thirds of the weights fit, and none of it was trained by the other."""
    names = (candidate, *others)
    found = model_shares(put(trained(questioned)), [put(trained(name)) for name in names])
    one = found.candidates[0]
    assert one.fitted is not None
    assert one.fitted > 0.5
    assert (one.outcome, one.share, one.proportion) == ("common_start", None, None)
    assert (found.conclusion, found.exit_code) == ("common_start", 0)
    assert "holds" not in found.statement
    assert "a common start alone explains that" in found.statement
    assert any(limit.startswith("A common start alone is no reuse of training") for limit in found.limits)


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_common_start_is_no_share_after_every_rewrite(rewritten: bool, put: Put) -> None:
    start, descendant = trained("sibling"), fine_tuned(trained("base"), 3)
    found = model_shares(put(disguised(start) if rewritten else start), [put(descendant)], base=put(trained("base")))
    assert outcomes(found) != ["share"]
    assert told(found) == [None]


@pytest.mark.parametrize("own", [0.7, 0.3])
def test_in_a_merge_a_parents_sibling_has_no_share(own: float, put: Put) -> None:
    """The merge was made of the sibling; base, which is named, has its start and nothing else in it."""
    blend = put(merged("linear", [trained("sibling"), trained("twin")], [own, 1 - own]))
    named = [put(trained("base")), put(trained("twin"))]
    found = model_shares(blend, named)
    assert found.candidates[0].outcome in ("common_start", "not_established")
    assert found.candidates[0].share is None
    assert fitted(found)[1] == pytest.approx(1 - own, abs=0.02)
    # With the sibling named too, nothing is left for base, and both that are in it have their shares.
    found = model_shares(blend, [put(trained("sibling")), *named])
    assert found.candidates[0].share == pytest.approx(own, abs=0.02)
    assert found.candidates[2].share == pytest.approx(1 - own, abs=0.02)
    assert found.candidates[1].share is None


def test_a_parent_that_a_pair_cannot_tell_from_a_common_start_is_told_in_the_whole_sum(put: Put) -> None:
    base, twin = trained("base"), trained("twin")
    blend = put(merged("linear", [base, twin], [0.3, 0.7]))
    pair = compare(blend, put(base), progress=silent, with_power=False)
    assert pair.conclusion.relation != "derived"
    alone = model_shares(blend, [put(base)])
    assert outcomes(alone) == ["not_established"]
    assert fitted(alone) == pytest.approx([0.3], abs=0.03)
    assert (alone.conclusion, alone.exit_code) == ("inconclusive", 3)
    assert "a common start alone is not excluded" in alone.statement
    assert told(model_shares(blend, [put(base), put(twin)])) == pytest.approx([0.3, 0.7], abs=0.02)


def test_without_a_base_the_share_may_be_an_ancestors_and_that_is_said(put: Put) -> None:
    found = model_shares(put(trained("suspect")), [put(trained("base"))])
    assert outcomes(found) == ["share"]
    assert "trained weights, by that model's training or an ancestor's" in found.statement


def test_a_base_that_is_not_in_it_is_left_out_and_that_is_said(put: Put) -> None:
    found = model_shares(put(trained("tune1")), [put(trained("tune1"))], base=put(trained("twin")))
    assert told(found) == pytest.approx([1], abs=1e-3)
    assert found.base_share is None
    assert "Nothing of the base" in found.limits[0]


def test_other_widths_do_not_compare(put: Put) -> None:
    wide = put(drawn("llama", 1, Sizes(width=48)))
    found = model_shares(put(trained("base")), [wide, put(trained("base"))])
    assert [one.outcome for one in found.candidates] == ["not_comparable", "share"]
    assert model_shares(put(trained("base")), [wide]).conclusion == "inconclusive"
    with pytest.raises(InputError, match="base of the questioned model's width 64, found 48"):
        model_shares(put(trained("base")), [put(trained("base"))], base=wide)


def test_without_common_tokens_silence_proves_nothing(put: Put) -> None:
    names = tuple(f"other{number}" for number in range(512))
    found = model_shares(put(disguised(trained("base"))), [put(trained("base"), vocabulary=names)])
    assert found.conclusion == "inconclusive"
    assert "too few tokens" in found.candidates[0].detail


def test_wide_models_are_seen_through_a_sketch(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BASIS", 40)
    parents = [trained("base"), trained("twin")]
    questioned = put(disguised(merged("linear", parents, [0.65, 0.35])))
    assert told(model_shares(questioned, [put(one) for one in parents])) == pytest.approx([0.65, 0.35], abs=0.01)


@pytest.mark.parametrize("family", ["qwen2", "gpt_neox", "mixtral"])
def test_other_architectures(family: Family, put: Put) -> None:
    parents = [drawn(family, seed, Sizes(width=48, neurons=96)) for seed in (1, 2)]
    blend = merged("linear", parents, [0.6, 0.4])
    found = model_shares(put(blend), [put(one) for one in parents])
    # Norm gains differ by 30 % here, and a merge mixes gains and matrices apart.
    assert fitted(found) == pytest.approx([0.6, 0.4], abs=0.01)


def test_the_same_question_has_the_same_answer(put: Put) -> None:
    blend = put(merged("linear", [trained("base"), trained("twin")], [0.6, 0.4]))
    named = [put(trained("base")), put(trained("twin"))]
    assert model_shares(blend, named) == model_shares(blend, named)


def test_what_cannot_be_added_up_is_refused(put: Put, tmp_path: Path) -> None:
    base = put(trained("base"))
    stored = tmp_path / "base.whorl"
    stored.write_bytes(fingerprint_checkpoint(base, progress=silent, jobs=1).to_bytes())
    with pytest.raises(InputError, match="expected a checkpoint, found a stored fingerprint"):
        model_shares(base, [stored])
    with pytest.raises(InputError, match="at least one candidate"):
        model_shares(base, [])


def test_a_document_never_holds_a_number_without_an_outcome(put: Put) -> None:
    found = model_shares(put(trained("base")), [put(trained("base"))])
    document = json.loads(found.model_dump_json())
    assert Shares.model_validate_json(json.dumps(document)) == found
    for change in (
        {"outcome": "inconclusive"},
        {"outcome": "not_established"},
        {"outcome": "common_start"},
        {"outcome": "common_start", "share": None, "kinship": None},
        {"outcome": "none_found", "share": None},
        {"share": None},
        {"kinship": None},
        {"lower": 1.5},
        {"fitted": 0.5},
        {"share": None, "fitted": None, "lower": None, "upper": None},
    ):
        broken = {**document, "candidates": [{**document["candidates"][0], **change}]}
        with pytest.raises(ValidationError):
            Shares.model_validate_json(json.dumps(broken))


def test_the_example_in_the_specification_is_one() -> None:
    example = re.search(r"```json\n(.*?)```", (ROOT / "docs/specs/shares.md").read_text(), re.DOTALL)
    assert example is not None
    assert Shares.model_validate_json(example.group(1)).candidates
