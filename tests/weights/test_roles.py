"""Roles of checkpoints that are odd, unknown, or lie. That roles are right is shown against transformers."""

from typing import Any

import numpy as np
import pytest
from canonical_forward import whole
from memory_source import MemorySource
from pydantic import ValidationError

from whorl.core.arrays import AnyArray
from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.weights.anatomy import Anatomy, Attention
from whorl.weights.role_schema import Layout, load_layouts
from whorl.weights.roles import anatomy_of

WIDTH, HEADS, KV_HEADS, SIZE, NEURONS, VOCABULARY, LAYERS = 12, 3, 1, 4, 10, 20, 2
CONFIG = {
    "model_type": "llama",
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": LAYERS,
}


def _llama(prefix: str = "model.") -> dict[str, AnyArray]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}embed_tokens.weight": (VOCABULARY, WIDTH),
        f"{prefix}norm.weight": (WIDTH,),
        "lm_head.weight": (VOCABULARY, WIDTH),
    }
    for index in range(LAYERS):
        shapes |= {
            f"{prefix}layers.{index}.{name}.weight": shape
            for name, shape in (
                ("self_attn.q_proj", (HEADS * SIZE, WIDTH)),
                ("self_attn.k_proj", (KV_HEADS * SIZE, WIDTH)),
                ("self_attn.v_proj", (KV_HEADS * SIZE, WIDTH)),
                ("self_attn.o_proj", (WIDTH, HEADS * SIZE)),
                ("mlp.gate_proj", (NEURONS, WIDTH)),
                ("mlp.up_proj", (NEURONS, WIDTH)),
                ("mlp.down_proj", (WIDTH, NEURONS)),
                ("input_layernorm", (WIDTH,)),
                ("post_attention_layernorm", (WIDTH,)),
            )
        }
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _read(tensors: dict[str, AnyArray], **changes: Any) -> Anatomy:
    config = {key: value for key, value in (CONFIG | changes).items() if value is not ...}
    return anatomy_of(MemorySource(tensors, config))


def _attention(anatomy: Anatomy) -> Attention:
    attention = anatomy.layers[0].attention
    assert attention is not None
    return attention


@pytest.mark.parametrize("prefix", ["model.", "", "language_model.model.", "model.language_model."])
def test_the_body_may_live_under_a_prefix(prefix: str) -> None:
    tensors = _llama(prefix)
    anatomy = _read(tensors)
    assert (anatomy.architecture, anatomy.width, len(anatomy.layers)) == ("llama", WIDTH, LAYERS)
    assert anatomy.leftover == ()
    np.testing.assert_array_equal(whole(_attention(anatomy).key), tensors[f"{prefix}layers.0.self_attn.k_proj.weight"])


def test_a_checkpoint_without_unembedding_is_tied() -> None:
    tensors = _llama()
    assert _read(tensors).unembedding is not None
    del tensors["lm_head.weight"]
    assert _read(tensors).unembedding is None


def test_what_has_no_role_is_left_over() -> None:
    tensors = _llama() | {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2), "value_head.weight": np.ones(3)}
    assert _read(tensors).leftover == ("value_head.weight",)  # a buffer follows from the configuration
    layers = _read(tensors, num_hidden_layers=1)
    assert len([name for name in layers.leftover if name.startswith("model.layers.1.")]) == 9


def test_vocabulary_follows_embedding_rows() -> None:
    words = [f"w{i}" for i in range(VOCABULARY + 3)]
    assert anatomy_of(MemorySource(_llama(), CONFIG, words)).vocabulary == tuple(words[:VOCABULARY])
    assert anatomy_of(MemorySource(_llama(), CONFIG, words[:7])).vocabulary == tuple(words[:7])
    assert anatomy_of(MemorySource(_llama(), CONFIG)).vocabulary is None


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({}, 4),
        ({"partial_rotary_factor": 0.5}, 2),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, 2),
        ({"rope_theta": 1e4, "rope_scaling": None, "head_dim": None}, 4),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, 4),
        ({"hidden_size": ..., "num_key_value_heads": ...}, 4),
    ],
)
def test_configurations_of_transformers_4_and_5(config: dict[str, Any], size: int) -> None:
    assert _attention(_read(_llama(), **config)).rotary_size == size


@pytest.mark.parametrize(("alibi", "size"), [(True, 0), (False, 4)])
def test_falcon_with_alibi_does_not_rotate(alibi: bool, size: int) -> None:
    tensors = {
        "word_embeddings.weight": np.ones((VOCABULARY, WIDTH)),
        "ln_f.weight": np.ones(WIDTH),
        "h.0.input_layernorm.weight": np.ones(WIDTH),
        "h.0.self_attention.query_key_value.weight": np.ones((HEADS * SIZE + 2 * SIZE, WIDTH)),
        "h.0.self_attention.dense.weight": np.ones((WIDTH, HEADS * SIZE)),
        "h.0.mlp.dense_h_to_4h.weight": np.ones((NEURONS, WIDTH)),
        "h.0.mlp.dense_4h_to_h.weight": np.ones((WIDTH, NEURONS)),
    }
    anatomy = _read(tensors, model_type="falcon", num_hidden_layers=1, alibi=alibi)
    assert _attention(anatomy).rotary_size == size
    assert anatomy.layers[0].mlp_norm is anatomy.layers[0].attention_norm


META_NAMES = {
    "model.embed_tokens": "tok_embeddings",
    "model.norm": "norm",
    "lm_head": "output",
    "model.layers": "layers",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _consolidated() -> dict[str, AnyArray]:
    """The same model in the layout it was published in, whose rotary pairs are neighbours."""
    renamed: dict[str, AnyArray] = {}
    for name, value in _llama().items():
        new = name
        for theirs, meta in META_NAMES.items():
            new = new.replace(theirs, meta)
        if "q_proj" in name or "k_proj" in name:
            value = value.reshape(-1, 2, SIZE // 2, WIDTH).swapaxes(1, 2).reshape(-1, WIDTH)
        renamed[new] = value
    return renamed


def test_interleaved_rotary_rows_come_out_half_split() -> None:
    plain = _llama()
    read = anatomy_of(MemorySource(_consolidated(), {"dim": WIDTH, "n_heads": HEADS, "n_layers": LAYERS}))
    assert read.architecture == "unnamed, read as llama_meta"
    for role in ("query", "key", "value", "output"):
        one, other = getattr(_attention(read), role), getattr(_attention(_read(plain)), role)
        np.testing.assert_array_equal(whole(one), whole(other))


def test_views_of_many_experts_share_one_index() -> None:
    tensors = {name: value for name, value in _llama().items() if ".mlp." not in name}
    for index in range(LAYERS):
        tensors[f"model.layers.{index}.mlp.gate.weight"] = np.ones((50, WIDTH))
        tensors[f"model.layers.{index}.mlp.experts.gate_up_proj"] = np.ones((50, 2 * NEURONS, WIDTH))
        tensors[f"model.layers.{index}.mlp.experts.down_proj"] = np.ones((50, WIDTH, NEURONS))
    experts = _read(tensors, model_type="mixtral", num_local_experts=50).layers[0].mlps
    assert len(experts) == 50
    assert experts[3].up.rows_at[0] == 3 * 2 * NEURONS + NEURONS
    indices = {id(expert.up.rows_at.base): expert.up.rows_at.base for expert in experts}
    assert sum(index.nbytes for index in indices.values() if index is not None) < 4 * 8 * 50 * 2 * NEURONS


# Refusals: each changes one thing.
@pytest.mark.parametrize(
    "name", ["model.embed_tokens", "model.norm", "model.layers.1.self_attn.k_proj", "model.layers.0.mlp.down_proj"]
)
def test_a_missing_tensor_is_named(name: str) -> None:
    tensors = _llama()
    del tensors[f"{name}.weight"]
    with pytest.raises(CheckpointError, match="found no such name") as caught:
        _read(tensors)
    assert caught.value.tensor == f"{name}.weight"


def test_more_layers_than_stored_name_the_first_missing_tensor() -> None:
    with pytest.raises(CheckpointError, match=r"model\.layers\.2\.") as caught:
        _read(_llama(), num_hidden_layers=1_000)
    assert caught.value.tensor is not None


def test_an_absurd_number_of_layers_is_refused_before_any_work() -> None:
    with pytest.raises(CheckpointError, match="at most 1024 layers"):
        _read(_llama(), num_hidden_layers=1_000_000)


@pytest.mark.parametrize("name", [name for name in _llama() if "layers.1." not in name])
def test_a_wrong_shape_is_refused(name: str) -> None:
    tensors = _llama()
    tensors[name] = np.ones([size + 5 for size in tensors[name].shape], np.float32)
    with pytest.raises(CheckpointError, match=r"found (shape \[|\d+ columns in tensor)"):
        _read(tensors)
    tensors[name] = np.ones((2, 3, 2), np.float32)
    with pytest.raises(CheckpointError, match=r"found shape \[2, 3, 2\]") as caught:
        _read(tensors)
    assert caught.value.tensor == name


@pytest.mark.parametrize("shape", [(0, WIDTH), (VOCABULARY, 0)])
def test_empty_tensors_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(CheckpointError, match="non-zero"):
        _read(_llama() | {"model.embed_tokens.weight": np.ones(shape)})


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 24},
        {"num_key_value_heads": 3},
        {"head_dim": 8},
        {"num_attention_heads": 5},
        {"num_attention_heads": 6},
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(CheckpointError, match=r"belongs to another model|disagree"):
        _read(_llama(), **change)


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_attention_heads", "hidden_size", "num_key_value_heads"])
@pytest.mark.parametrize(
    "value", [-1, 0, True, "32", 2.0, 1 << 40, [4], {}, float("nan"), pytest.param(10**5000, id="long")]
)
def test_absurd_numbers_are_refused(key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"expected {key} to be an integer") as caught:
        _read(_llama(), **{key: value})
    assert caught.value.file.name == "config.json"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [-0.5, 0, 1.5, True, "all", float("nan"), [1]])
def test_absurd_rotary_shares_are_refused(value: Any) -> None:
    with pytest.raises(CheckpointError, match="partial_rotary_factor"):
        _read(_llama(), rope_parameters={"partial_rotary_factor": value})


def test_an_odd_number_of_rotated_coordinates_is_refused() -> None:
    with pytest.raises(CheckpointError, match="even number of rotated coordinates per head, found 3"):
        _read(_llama(), partial_rotary_factor=0.75)


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_attention_heads"])
def test_numbers_that_shapes_do_not_tell_must_be_given(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"configuration to give {key}"):
        _read(_llama(), **{key: ...})


def test_a_gain_with_nan_is_refused() -> None:
    tensors = _llama()
    tensors["model.layers.1.input_layernorm.weight"][3] = np.nan
    with pytest.raises(CheckpointError, match="NaN"):
        _read(tensors)


@pytest.mark.parametrize(
    ("changed", "shape"),
    [
        ("mlp.gate.weight", (3, WIDTH)),
        ("mlp.experts.down_proj", (3, WIDTH, NEURONS)),
        ("mlp.experts.gate_up_proj", (4, 2 * NEURONS + 1, WIDTH)),
        ("mlp.experts.gate_up_proj", (4, 2 * NEURONS)),
    ],
)
def test_experts_that_do_not_fit_together_are_refused(changed: str, shape: tuple[int, ...]) -> None:
    tensors = {name: value for name, value in _llama().items() if ".mlp." not in name}
    for index in range(LAYERS):
        tensors[f"model.layers.{index}.mlp.gate.weight"] = np.ones((4, WIDTH))
        tensors[f"model.layers.{index}.mlp.experts.gate_up_proj"] = np.ones((4, 2 * NEURONS, WIDTH))
        tensors[f"model.layers.{index}.mlp.experts.down_proj"] = np.ones((4, WIDTH, NEURONS))
    assert len(_read(tensors, model_type="mixtral").layers[1].mlps) == 4
    with pytest.raises(CheckpointError, match="expected 8 experts"):
        _read(tensors, model_type="mixtral", num_local_experts=8)
    tensors[f"model.layers.1.{changed}"] = np.ones(shape)
    with pytest.raises(CheckpointError, match=r"tensor 'model\.layers\.1\.mlp"):
        _read(tensors, model_type="mixtral")


ODD_VALUES = (None, -3, 0, 1, 2, 7, 1 << 60, True, "4", 0.5, float("inf"), [2], {"a": 1}, "falcon", "gpt2", "mixtral")


def test_random_damage_ends_in_a_reading_or_in_our_own_error() -> None:
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(400):
        tensors, config = _llama(), dict(CONFIG) | {"rope_parameters": {"partial_rotary_factor": 1.0}}
        for _ in range(rng.integers(1, 3)):
            name = str(rng.choice(sorted(tensors)))
            shape = tuple(int(size) for size in rng.integers(0, 15, size=rng.integers(0, 4)))
            damage = int(rng.integers(4))
            if damage == 0:
                config[str(rng.choice(sorted(config)))] = ODD_VALUES[rng.integers(len(ODD_VALUES))]
            elif damage == 1:
                tensors[name] = np.ones(shape, np.float32)
            elif damage == 2:
                tensors[str(rng.choice(sorted(tensors)))] = tensors.pop(name)
            else:
                config["text_config"] = {"model_type": ODD_VALUES[rng.integers(len(ODD_VALUES))]}
        try:
            anatomy_of(MemorySource(tensors, config))
        except InputError:
            refused += 1
    assert 200 < refused < 400


# Unknown architectures.
def test_an_unknown_name_is_read_by_names_and_shapes_where_all_fitting_layouts_agree() -> None:
    anatomy = _read(_llama(), model_type="northwind")
    assert anatomy.architecture.startswith("northwind, read as ")
    np.testing.assert_array_equal(whole(_attention(anatomy).query), whole(_attention(_read(_llama())).query))


@pytest.mark.parametrize("model_type", ["northwind", "n" * 10_000, 7, None, ["llama"], ...])
def test_an_unexplained_tensor_inside_a_layer_is_refused(model_type: Any) -> None:
    tensors = _llama() | {"model.layers.0.self_attn.sinks": np.ones(HEADS)}
    with pytest.raises(UnsupportedError, match=r"no data file fits; add one as docs/specs/architectures\.md") as caught:
        _read(tensors, model_type=model_type)
    assert "'lm_head.weight'" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_two_readings_that_disagree_are_refused() -> None:
    both = _llama() | _consolidated()
    assert _read(both, model_type="llama").leftover
    with pytest.raises(UnsupportedError, match=r"data files .*llama, llama_meta.* all fit and disagree"):
        _read(both, model_type="northwind")


def test_without_configuration_the_advice_is_to_add_it() -> None:
    with pytest.raises(UnsupportedError, match=r"put the model's config\.json beside the weights"):
        anatomy_of(MemorySource(_llama(), {}))


# Data files.
def test_every_model_type_is_claimed_by_one_data_file() -> None:
    claimed = [(layout.container, name) for layout in load_layouts() for name in layout.model_types]
    assert len(claimed) == len(set(claimed))
    assert {name for container, name in claimed if container == "huggingface"} >= {"llama", "deepseek_v3", "falcon"}


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"layer": "layers."},
        {"attention": None},
        {"router": ["mlp.gate.weight"]},
        {"mlp": []},
        {"mlp": [{"up": "a", "gate_up": "b", "down": "c"}]},
        {"attention": {"query": "q", "key": "k", "output": "o"}},
    ],
)
def test_a_data_file_of_another_form_is_refused(change: dict[str, Any]) -> None:
    llama = next(layout for layout in load_layouts() if layout.name == "llama").model_dump(mode="json")
    Layout.model_validate(llama, strict=False)
    with pytest.raises(ValidationError):
        Layout.model_validate(llama | change, strict=False)
