"""T1: equal bytes, equal values, and values that were merely rounded."""

import edits
import numpy as np
import pytest
from comparison_types import Put
from generated_models import Sizes, Storage, drawn, edited, tokens

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.arrays import AnyArray, Floats
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint
from whorl.weights.in_memory import Checkpoint

SIZES = Sizes(layers=2, width=64, neurons=96, vocabulary=130)


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    """A model whose values float16 and bfloat16 both hold exactly."""
    plain = drawn("llama", 1, SIZES)
    return edited(plain, {name: exactly(array) for name, array in plain.weights.items()})


def exactly(array: AnyArray) -> Floats:
    coarse = edits.bfloat16(np.asarray(array))
    return np.where(np.abs(coarse) < 2**-12, 0, coarse).astype(np.float32)


def value(finding: Finding, method: str) -> Score:
    return next(item for item in finding.evidence if isinstance(item, Score) and item.method == method)


@pytest.mark.parametrize("storage", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_the_same_values_are_identical_however_they_are_stored(
    model: Checkpoint, put: Put, storage: Storage, shards: int
) -> None:
    stored, plain = put(model, storage=storage, shards=shards), put(model)
    for questioned, reference in ((stored, plain), (plain, stored)):
        conclusion = compare(questioned, reference, progress=silent, jobs=1).conclusion
        assert conclusion.relation == "identical"
        assert conclusion.transformations == ()


@pytest.mark.parametrize(
    "change",
    ["one weight", "one gain", "one token", "token order", "one embedding value"],
)
def test_one_difference_is_enough_not_to_be_identical(model: Checkpoint, put: Put, change: str) -> None:
    strings = list(tokens(SIZES.vocabulary))
    weights = {name: np.array(array) for name, array in model.weights.items()}
    match change:
        case "one weight":
            weights["model.layers.1.mlp.down_proj.weight"][63, 95] += 0.01
        case "one gain":
            weights["model.layers.1.input_layernorm.weight"][5] *= 1.01
        case "one embedding value":
            weights["model.embed_tokens.weight"][77, 3] += 0.01
        case "one token":
            strings[4] = "another"
        case _:
            strings[4], strings[5] = strings[5], strings[4]
    other = put(edited(model, weights), vocabulary=strings)
    finding = compare(other, put(model, storage="F16"), progress=silent, jobs=1)
    assert finding.conclusion.relation == "derived"
    same = put(edited(model, weights), vocabulary=strings)
    assert compare(same, other, progress=silent, jobs=1).conclusion.relation == "identical"


def test_a_rounded_copy_is_derived_and_the_rounding_is_named(put: Put) -> None:
    plain = drawn("llama", 2, SIZES)
    copy, origin = put(plain, storage="BF16"), put(plain)
    there = compare(copy, origin, progress=silent, jobs=1)
    assert there.conclusion.relation == "derived"
    assert "rounded to BF16" in there.conclusion.statement
    back = compare(origin, copy, progress=silent, jobs=1)
    assert back.conclusion.relation == "derived"
    assert "rounded" not in back.conclusion.statement


def test_a_rounding_of_something_else_is_not_called_a_rounding(put: Put) -> None:
    plain = drawn("llama", 3, SIZES)
    tuned = edits.changed(plain, lambda array: array * (1 + 0.02 * np.sin(np.arange(array.size).reshape(array.shape))))
    finding = compare(put(tuned, storage="BF16"), put(plain), progress=silent, jobs=1)
    assert "rounded" not in finding.conclusion.statement


def test_shares_of_equal_tensors_and_values_are_counted(model: Checkpoint, put: Put) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    half = np.array(model.weights[name])
    half[:32] += 0.5
    finding = compare(put(edited(model, {name: half})), put(model), progress=silent, jobs=1)
    digests, values = value(finding, "tensor_digests/1"), value(finding, "value_equality/1")
    # Seven matrices per layer, two embeddings, two gains per layer and the last: all but one are equal.
    assert digests.statistic == {"equal": 20.0, "tensors": 21.0}
    assert 0.9 < values.value < 1
    assert values.lower == values.value == values.upper


def test_the_same_bytes_read_as_another_number_format_are_not_the_same_weights(model: Checkpoint, put: Put) -> None:
    """A header can call bfloat16 values float16: every byte is equal and every value another."""
    even = edited(model, {name: np.zeros_like(array) for name, array in model.weights.items() if array.ndim == 1})
    honest, lying = put(even, storage="BF16"), put(even, storage="BF16")
    file = lying / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"BF16"', b'"F16" '))
    finding = compare(lying, honest, progress=silent, jobs=1)
    assert finding.conclusion.relation != "identical"
    prints = [fingerprint_checkpoint(path, progress=silent, jobs=1) for path in (lying, honest)]
    assert compare_fingerprints(*prints).conclusion.relation != "identical"
