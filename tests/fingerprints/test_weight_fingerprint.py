"""The stored fingerprint: small, the same on every run, and of the model's content rather than of its files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from generated_models import Family, Sizes, drawn, edited, tokens, write
from memory_source import MemorySource
from safetensors.numpy import load

from whorl.comparison.comparing import compare_fingerprints
from whorl.core.digest import digest_bytes
from whorl.core.errors import CheckpointError, InputError
from whorl.core.progress import silent
from whorl.fingerprints.frame import FRAME_ANCHORS
from whorl.fingerprints.weight_fingerprint import (
    GAIN_POSITIONS,
    NEURONS,
    RESIDUAL_DIMENSIONS,
    SCHEMA,
    SEARCH_DIMENSIONS,
    WeightFingerprint,
    fingerprint_anatomy,
    fingerprint_checkpoint,
    parse_fingerprint,
    read_fingerprint,
)
from whorl.weights.roles import anatomy_of

# Header entries that say where a model was found, not what it is.
WHERE = ("name", "description")


def taken(path: Path, jobs: int = 1) -> WeightFingerprint:
    return fingerprint_checkpoint(path, progress=silent, jobs=jobs)


def assert_same_arrays(first: WeightFingerprint, second: WeightFingerprint) -> None:
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name], err_msg=name)


def assert_same_content(first: WeightFingerprint, second: WeightFingerprint) -> None:
    assert first.header.model_dump(exclude=set(WHERE)) == second.header.model_dump(exclude=set(WHERE))
    assert_same_arrays(first, second)


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_the_same_model_gives_the_same_bytes_on_every_run_and_any_number_of_threads(
    llama: Path, fingerprint: WeightFingerprint, jobs: int
) -> None:
    assert taken(llama, jobs).to_bytes() == fingerprint.to_bytes()


def test_a_renamed_folder_changes_the_name_and_nothing_else(
    llama: Path, fingerprint: WeightFingerprint, tmp_path: Path
) -> None:
    moved = taken(Path(shutil.copytree(llama, tmp_path / "other name")))
    assert moved.name == "other name"
    assert moved.header.description == fingerprint.header.description
    assert_same_content(moved, fingerprint)


@pytest.mark.parametrize("shards", [2, 5])
def test_sharding_changes_nothing_but_the_description(
    fingerprint: WeightFingerprint, tmp_path: Path, shards: int
) -> None:
    sharded = taken(write(tmp_path / "llama", drawn("llama", 1), shards=shards))
    assert sharded.header.description != fingerprint.header.description
    assert_same_content(sharded, fingerprint)


def test_values_stored_otherwise_change_only_how_they_are_stored(tmp_path: Path) -> None:
    model = drawn("llama", 1)
    rounded = edited(model, {name: array.astype(np.float16) for name, array in model.weights.items()})
    half, single = (taken(write(tmp_path / kind, rounded, storage=kind)) for kind in ("F16", "F32"))
    assert_same_arrays(half, single)
    assert half.header.vectors == single.header.vectors
    for ours, theirs in zip(half.header.matrices, single.header.matrices, strict=True):
        assert ours.model_dump(exclude={"storage", "digest"}) == theirs.model_dump(exclude={"storage", "digest"})
        assert (ours.storage, theirs.storage) == ("F16", "F32")


def test_one_changed_weight_changes_the_digest_of_its_matrix_alone(
    fingerprint: WeightFingerprint, tmp_path: Path
) -> None:
    model = drawn("llama", 1)
    name = "model.layers.1.self_attn.k_proj.weight"
    changed = np.array(model.weights[name])
    changed[3, 5] += 1e-3
    other = taken(write(tmp_path / "llama", edited(model, {name: changed})))
    pairs = zip(other.header.matrices, fingerprint.header.matrices, strict=True)
    assert [ours.role for ours, theirs in pairs if ours.digest != theirs.digest] == ["layers.1.key"]
    assert other.header.vectors == fingerprint.header.vectors


def test_a_fingerprint_is_identified_by_its_bytes_and_survives_being_stored(
    fingerprint: WeightFingerprint, tmp_path: Path
) -> None:
    path = tmp_path / "model.whorl"
    path.write_bytes(fingerprint.to_bytes())
    read = read_fingerprint(path)
    assert read.digest == fingerprint.digest == digest_bytes(path.read_bytes())
    assert read.header == fingerprint.header
    assert_same_arrays(read, fingerprint)
    assert parse_fingerprint(read.to_bytes(), origin="memory").to_bytes() == fingerprint.to_bytes()


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox", "mixtral"])
def test_every_family_can_be_stored_read_and_compared_with_itself(family: Family, tmp_path: Path) -> None:
    made = taken(write(tmp_path / family, drawn(family, 2)))
    read = parse_fingerprint(made.to_bytes(), origin="memory")
    assert read.header.architecture == family
    assert compare_fingerprints(read, made).conclusion.relation == "identical"


def test_the_file_opens_with_the_plain_safetensors_library(fingerprint: WeightFingerprint) -> None:
    arrays = load(fingerprint.to_bytes())
    assert arrays.keys() == fingerprint.arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, fingerprint.arrays[name])


def test_the_view_of_a_stored_fingerprint_has_the_shapes_that_a_comparison_expects(
    fingerprint: WeightFingerprint,
) -> None:
    view, sizes = fingerprint.view(), Sizes()
    assert (view.width, view.exact, len(view.neurons)) == (sizes.width, False, sizes.layers)
    for layer in view.neurons:
        assert layer.gate.shape == layer.up.shape == layer.down.shape == (sizes.neurons, 128)
        assert set(np.unique(layer.gate)) == {-1.0, 1.0}
        assert layer.blocks == (sizes.neurons,)
        assert (np.diff(layer.index) > 0).all()
    assert [heads.output_value.shape for heads in view.heads if heads is not None] == [(sizes.heads, 32)] * 3
    assert view.residual.shape == (sizes.width, 64)
    assert fingerprint.search_vector().shape == (SEARCH_DIMENSIONS,)
    assert fingerprint.header.schema_ == SCHEMA


def bytes_of_layers(layers: int) -> int:
    """Size for as many layers, each as costly to store as one of a 7B model, though far smaller."""
    wide = Sizes(layers=layers, width=1024, heads=32, kv_heads=32, neurons=NEURONS + 8, vocabulary=64)
    model = drawn("llama", 3, wide)
    source = MemorySource(model.weights, model.config, tokens(wide.vocabulary))
    return len(fingerprint_anatomy(anatomy_of(source), name="n" * 512, progress=silent, jobs=1).to_bytes())


def test_a_7b_model_takes_less_than_a_megabyte() -> None:
    assert max(GAIN_POSITIONS, RESIDUAL_DIMENSIONS) <= 1024
    one, two = bytes_of_layers(1), bytes_of_layers(2)
    # Every array is capped, so a layer of width 1,024 costs what one of width 4,096 does, up to digits in the header.
    anchors, digits = 4 * FRAME_ANCHORS, 100 * 32
    assert one + 31 * (two - one) + anchors + digits < 1_000_000


def test_what_cannot_be_fingerprinted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        taken(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be opened"):
        read_fingerprint(tmp_path / "nowhere.whorl")
    model = drawn("llama", 1)
    nameless = write(tmp_path / "nameless", model, vocabulary=("only",))
    with pytest.raises(InputError, match="at least 2 distinct tokens, found 1"):
        taken(nameless)


@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.layers.2.input_layernorm.weight"])
def test_a_nan_is_refused_by_name(tmp_path: Path, name: str) -> None:
    model = drawn("llama", 1)
    broken = np.array(model.weights[name])
    broken.flat[7] = np.nan
    with pytest.raises(CheckpointError, match="NaN or infinity") as caught:
        taken(write(tmp_path / "broken", edited(model, {name: broken})))
    assert caught.value.tensor == name


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_an_embedding_without_any_difference_between_tokens_is_refused(tmp_path: Path, constant: float) -> None:
    model = drawn("llama", 1)
    name = "model.embed_tokens.weight"
    flat = edited(model, {name: np.full_like(model.weights[name], constant)})
    with pytest.raises(InputError, match="embedding"):
        taken(write(tmp_path / "flat", flat))
