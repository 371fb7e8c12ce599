"""A rewritten model computes what the original computed, in other weights."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import saved
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from whorl.core.errors import InputError, UnsupportedError
from whorl.weights.gauges import ALL_PARTS, Part, apply_gauge, draw_gauge, rewrite
from whorl.weights.in_memory import Checkpoint, from_checkpoint, shape_of, to_checkpoint

# Largest difference between two logits, over the largest logit. Float32 inference leaves up to 1.4e-5 here.
TOLERANCE = 2e-5

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 80,
    "max_position_embeddings": 32,
    "initializer_range": 0.2,
}
ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
HALF, WHOLE = ({**ROPE, "partial_rotary_factor": share} for share in (0.5, 1.0))
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=3, head_dim=16, tie_word_embeddings=False),
    "llama_biased": LlamaConfig(**SIZES, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "qwen2_tied": Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=3, head_dim=10, tie_word_embeddings=False),
    "gemma": GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=12),
    "mixtral": MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=4),
    "qwen3_moe": Qwen3MoeConfig(
        **SIZES,
        num_key_value_heads=2,
        head_dim=10,
        num_experts=5,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        norm_topk_prob=False,
    ),
    "gpt_neox": GPTNeoXConfig(**SIZES, rope_parameters=HALF, use_parallel_residual=True),
    "gpt_neox_serial": GPTNeoXConfig(**SIZES, rope_parameters=WHOLE, use_parallel_residual=False),
}
MIXTURES = ("mixtral", "qwen3_moe")
# Where a part is no symmetry, its draw is the identity.
NO_SYMMETRY = {(name, "experts") for name in CONFIGS if name not in MIXTURES}
NO_SYMMETRY |= {(name, "up_scale") for name in ("gpt_neox", "gpt_neox_serial")}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_checkpoint(architecture: str) -> Checkpoint:
    """Random weights whose gains and biases are far from their starting values."""
    torch.manual_seed(5)
    config = CONFIGS[architecture]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    rng = np.random.default_rng(6)
    weights = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del weights["lm_head.weight"]
    for array in weights.values():
        if array.ndim == 1:
            array += rng.normal(scale=0.4, size=array.shape).astype(np.float32)
    return Checkpoint(weights=weights, config=config.to_dict())


def loaded(checkpoint: Checkpoint) -> PreTrainedModel:
    """The checkpoint in transformers."""
    settings = dict(checkpoint.config)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in checkpoint.weights.items()}
    if config.tie_word_embeddings:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    model.load_state_dict(tensors, strict=True)
    return model


def logits(checkpoint: Checkpoint) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What transformers computes from the checkpoint."""
    model = loaded(checkpoint)
    tokens = torch.arange(2 * 24).view(2, 24) * 17 % model.config.vocab_size
    with torch.no_grad():
        return model(input_ids=tokens).logits.numpy()


def largest_difference(before: Checkpoint, after: Checkpoint) -> float:
    expected = logits(before)
    return float(np.abs(logits(after) - expected).max() / np.abs(expected).max())


def cases() -> list[tuple[str, tuple[Part, ...]]]:
    single: list[tuple[Part, ...]] = [(part,) for part in ALL_PARTS]
    wanted = [*single, ALL_PARTS]
    return [(name, parts) for name in CONFIGS for parts in wanted if (name, *parts) not in NO_SYMMETRY]


@pytest.mark.parametrize(("architecture", "parts"), cases())
def test_every_rewrite_keeps_the_function_and_changes_the_weights(architecture: str, parts: tuple[Part, ...]) -> None:
    original = random_checkpoint(architecture)
    rewritten = rewrite(original, np.random.default_rng(1), parts)
    assert largest_difference(original, rewritten) < TOLERANCE
    moved = {
        name
        for name, array in original.weights.items()
        if np.linalg.norm(rewritten.weights[name] - array) > 0.1 * np.linalg.norm(array)
    }
    assert len(moved) >= SIZES["num_hidden_layers"]
    if parts == ALL_PARTS:
        assert moved == set(original.weights)


@pytest.mark.parametrize("architecture", MIXTURES)
def test_experts_stored_one_by_one_are_rewritten_as_stacked_ones_are(architecture: str) -> None:
    """``save_pretrained`` writes other names than ``state_dict`` has; both mean the same gauge."""
    original = random_checkpoint(architecture)
    stacked = rewrite(original, np.random.default_rng(1))
    alone = rewrite(as_saved(original), np.random.default_rng(1))
    expected = as_saved(stacked).weights
    assert alone.weights.keys() == expected.keys()
    assert any("experts.3." in name for name in expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(alone.weights[name], array)


def as_saved(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as ``save_pretrained`` writes it."""
    tensors, config = saved(loaded(checkpoint))
    return Checkpoint(weights=tensors, config=config)


def test_experts_change_places_and_router_rows_follow() -> None:
    original = from_checkpoint(random_checkpoint("mixtral"))
    drawn = draw_gauge(original.shape, np.random.default_rng(1), ("experts",))
    for before, after, gauge in zip(original.blocks, apply_gauge(original, drawn).blocks, drawn.blocks, strict=True):
        assert before.router is not None
        assert after.router is not None
        assert sorted(gauge.experts) == [0, 1, 2, 3]
        for place, expert in enumerate(gauge.experts):
            np.testing.assert_array_equal(after.mlps[place].up.weight, before.mlps[expert].up.weight)
            added = after.router.weight[place] - before.router.weight[expert]
            np.testing.assert_allclose(added, gauge.router, atol=1e-12)
            assert np.linalg.norm(added) > 0.3
    assert any(gauge.experts.tolist() != [0, 1, 2, 3] for gauge in drawn.blocks)


def test_each_expert_has_its_own_order_and_scales_of_neurons() -> None:
    (first, *_) = draw_gauge(shape_of(CONFIGS["qwen3_moe"].to_dict()), np.random.default_rng(1)).blocks
    assert first.neurons.shape == first.up_scale.shape == (5, 24)
    assert len({tuple(order) for order in first.neurons}) == len({tuple(scale) for scale in first.up_scale}) == 5


def test_head_norms_leave_quarter_turns_and_gains_that_move_between_them() -> None:
    original = random_checkpoint("qwen3")
    rewritten = rewrite(original, np.random.default_rng(1), ("query_key",))
    at = "model.layers.0.self_attn"
    query, key = (
        np.sort(
            np.abs(rewritten.weights[f"{at}.{letter}_norm.weight"] / original.weights[f"{at}.{letter}_norm.weight"])
        )
        for letter in "qk"
    )
    assert np.ptp(query) > 0.1
    assert np.ptp(key) > 0.1
    rows = np.abs(original.weights[f"{at}.q_proj.weight"])
    moved = np.abs(rewritten.weights[f"{at}.q_proj.weight"])
    assert {row.tobytes() for row in moved} == {row.tobytes() for row in rows}
    assert 0 < (moved == rows).all(axis=1).sum() < len(rows)


def test_an_old_gemma_configuration_is_tied_without_saying_so() -> None:
    original = random_checkpoint("gemma")
    config = {key: value for key, value in original.config.items() if key != "tie_word_embeddings"}
    assert from_checkpoint(Checkpoint(weights=original.weights, config=config)).tied


def test_a_gauge_is_a_value_of_its_generator_and_the_original_stays() -> None:
    original = random_checkpoint("gpt_neox")
    kept = {name: np.array(array) for name, array in original.weights.items()}
    first, second, other = (rewrite(original, np.random.default_rng(seed)) for seed in (3, 3, 4))
    name = "gpt_neox.layers.1.attention.query_key_value.weight"
    np.testing.assert_array_equal(first.weights[name], second.weights[name])
    assert np.linalg.norm(first.weights[name] - other.weights[name]) > 1
    for name, array in kept.items():
        np.testing.assert_array_equal(original.weights[name], array)


def test_no_part_at_all_is_the_identity() -> None:
    original = random_checkpoint("llama_biased")
    same = rewrite(original, np.random.default_rng(1), parts=())
    assert same.config == original.config
    for name, array in original.weights.items():
        np.testing.assert_array_equal(same.weights[name], array)


@pytest.mark.parametrize("parts", [("rotation",), ("dressing",)])
def test_a_tied_model_comes_out_untied_when_its_final_gain_is_folded(parts: tuple[Part, ...]) -> None:
    original = random_checkpoint("qwen2_tied")
    rewritten = rewrite(original, np.random.default_rng(1), parts)
    assert rewritten.config["tie_word_embeddings"] is False
    head, embedding = rewritten.weights["lm_head.weight"], rewritten.weights["model.embed_tokens.weight"]
    assert np.linalg.norm(head - embedding) > 0.1 * np.linalg.norm(embedding)


def test_a_tied_model_stays_tied_under_rewrites_inside_its_layers() -> None:
    rewritten = rewrite(random_checkpoint("qwen2_tied"), np.random.default_rng(1), ("neurons", "value_output"))
    assert "lm_head.weight" not in rewritten.weights
    assert rewritten.config["tie_word_embeddings"] is True


def test_the_rotation_is_orthogonal_and_fixes_the_ones_under_layer_norm() -> None:
    drawn = draw_gauge(shape_of(CONFIGS["gpt_neox"].to_dict()), np.random.default_rng(2))
    np.testing.assert_allclose(drawn.rotation @ drawn.rotation.T, np.eye(48), atol=1e-12)
    np.testing.assert_allclose(drawn.rotation @ np.ones(48), np.ones(48), atol=1e-12)
    assert np.abs(drawn.rotation - np.eye(48)).max() > 0.3


def test_old_names_of_a_gpt_neox_unembedding_are_kept() -> None:
    new = random_checkpoint("gpt_neox")
    weights = dict(new.weights)
    weights["embed_out.weight"] = weights.pop("lm_head.weight")
    old = rewrite(Checkpoint(weights=weights, config=new.config), np.random.default_rng(1))
    expected = rewrite(new, np.random.default_rng(1))
    np.testing.assert_array_equal(old.weights["embed_out.weight"], expected.weights["lm_head.weight"])


def test_buffers_are_carried_over() -> None:
    original = random_checkpoint("llama")
    weights = {**original.weights, "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)}
    rewritten = rewrite(Checkpoint(weights=weights, config=original.config), np.random.default_rng(1))
    np.testing.assert_array_equal(rewritten.weights["model.layers.0.self_attn.rotary_emb.inv_freq"], np.ones(8))


def test_a_gauge_of_another_shape_is_refused() -> None:
    gauge = draw_gauge(shape_of(CONFIGS["llama"].to_dict()), np.random.default_rng(1))
    with pytest.raises(ValueError, match="the gauge is for"):
        apply_gauge(from_checkpoint(random_checkpoint("qwen2_tied")), gauge)


def test_a_zero_gain_under_a_bias_that_nobody_can_take_over_is_refused() -> None:
    original = random_checkpoint("gpt_neox")
    weights = dict(original.weights)
    weights["gpt_neox.final_layer_norm.weight"] = np.zeros(48, np.float32)
    with pytest.raises(UnsupportedError, match="zero gain"):
        rewrite(Checkpoint(weights=weights, config=original.config), np.random.default_rng(1))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"model_type": "mamba"}, UnsupportedError, "found 'mamba'"),
        ({"hidden_size": -1}, InputError, "'hidden_size': expected a positive whole number, found -1"),
        ({"model_type": "mixtral"}, InputError, "'num_local_experts': expected a positive whole number, found None"),
        ({"model_type": "qwen3_moe", "mlp_only_layers": [1]}, UnsupportedError, "experts in every layer"),
        ({"model_type": "qwen3_moe", "decoder_sparse_step": 2}, UnsupportedError, "experts in every layer"),
        ({"num_key_value_heads": 4}, InputError, "found 6 / 4 heads"),
        ({"rope_parameters": {"partial_rotary_factor": "much"}}, InputError, "found 'much'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.2}}, InputError, "even rotary size"),
        ({"intermediate_size": 81}, InputError, r"expected shape \(81, 48\) from the configuration, found \(80, 48\)"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    changed: dict[str, Any], error: type[InputError], message: str
) -> None:
    original = random_checkpoint("llama")
    with pytest.raises(error, match=message):
        from_checkpoint(Checkpoint(weights=original.weights, config={**original.config, **changed}))


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("model.norm.weight", None, "'model.norm.weight' is missing"),
        ("lm_head.weight", None, "does not say it is tied"),
        (None, "model.layers.0.self_attn.q_norm.weight", "no known role"),
    ],
)
def test_missing_and_unknown_tensors_are_refused(removed: str | None, added: str | None, message: str) -> None:
    original = random_checkpoint("llama")
    weights = {name: array for name, array in original.weights.items() if name != removed}
    if added is not None:
        weights[added] = np.ones(16, np.float32)
    with pytest.raises(InputError, match=message):
        from_checkpoint(Checkpoint(weights=weights, config=original.config))


def test_canonical_form_writes_back_what_it_read() -> None:
    for name in CONFIGS:
        original = random_checkpoint(name)
        written = to_checkpoint(from_checkpoint(original), original)
        assert written.weights.keys() == original.weights.keys()
        for tensor, array in original.weights.items():
            np.testing.assert_array_equal(written.weights[tensor], array)
