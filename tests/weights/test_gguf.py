"""GGUF files written by the `gguf` package read back as the tensors that went in."""

import hashlib
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter

from whorl.core.arrays import AnyArray, Floats
from whorl.core.errors import CheckpointError
from whorl.weights import gguf_header
from whorl.weights.gguf import PERMUTED_ARCHITECTURES, open_gguf
from whorl.weights.source import TensorSource

VOCABULARIES = Path(__file__).resolve().parents[3] / "shared" / "realdata" / "tokenizers"


def write(
    path: Path,
    tensors: Mapping[str, tuple[AnyArray, Type | None]],
    architecture: str = "llama",
    describe: Callable[[GGUFWriter], None] | None = None,
    **options: int,
) -> Path:
    """Write tensors, each with the type of its raw bytes or None for what its array says."""
    writer = GGUFWriter(path, architecture, **options)
    if describe is not None:
        describe(writer)
    for name, (value, kind) in tensors.items():
        writer.add_tensor(name, value, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def whole(source: TensorSource, name: str) -> Floats:
    meta = source.meta(name)
    return source.read_rows(name, 0, meta.rows).reshape(meta.shape)


def random(*shape: int) -> Floats:
    return np.random.default_rng(7).standard_normal(shape, dtype=np.float32)


def random_blocks(kind: Type, rows: int, columns: int) -> AnyArray:
    """Random bytes are valid blocks of every type, once their half-precision scales are made finite."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(3).integers(0, 256, (rows, columns // block, size), dtype=np.uint8)
    return (data & 0xBF).reshape(rows, -1)  # clears the top exponent bit wherever a scale may lie


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_quantised_rows_are_what_the_gguf_package_decodes(tmp_path: Path, kind: str) -> None:
    value = random(6, 96)
    data = gguf.quants.quantize(value, Type[kind])
    source = open_gguf(write(tmp_path / "m.gguf", {"token_embd.weight": (data, Type[kind])}))
    meta = source.meta("token_embd.weight")
    assert (meta.storage, meta.shape, meta.nbytes) == (kind, (6, 96), data.nbytes)
    assert meta.lossy == kind.startswith("Q")
    found = whole(source, "token_embd.weight")
    assert np.array_equal(found, gguf.quants.dequantize(data, Type[kind]))
    assert np.abs(found - value).max() < {"F32": 1e-9, "F16": 2e-3, "BF16": 2e-2, "Q8_0": 0.02}.get(kind, 0.4)


DECODED = [
    name for name, _, _ in gguf_header.TYPES.values() if name not in {"F32", "F16", "F64", "I8", "I16", "I32", "I64"}
]


@pytest.mark.parametrize("kind", DECODED)
def test_every_block_type_is_decoded_row_by_row(tmp_path: Path, kind: str) -> None:
    data = random_blocks(Type[kind], rows=5, columns=512)
    source = open_gguf(write(tmp_path / "m.gguf", {"output.weight": (data, Type[kind])}))
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(data, Type[kind])
    assert np.array_equal(whole(source, "output.weight"), expected, equal_nan=True)
    assert np.array_equal(source.read_rows("output.weight", 2, 4), expected[2:4], equal_nan=True)


def test_block_sizes_are_those_of_the_gguf_package() -> None:
    ours = {number: (block, size) for number, (_, block, size) in gguf_header.TYPES.items()}
    theirs = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert ours == {number: theirs[number] for number in ours}
    assert all(Type(number).name == name for number, (name, _, _) in gguf_header.TYPES.items())
    assert theirs.keys() <= ours.keys() | gguf_header.UNREAD_TYPES.keys()


@pytest.mark.parametrize("kind", [np.float64, np.int8, np.int16, np.int32, np.int64])
def test_doubles_and_integers_become_the_nearest_float(tmp_path: Path, kind: type) -> None:
    value = np.array([[1, -2, 3], [4, 100, -7]], dtype=kind)
    source = open_gguf(write(tmp_path / "m.gguf", {"token_embd.weight": (value, None)}))
    assert np.array_equal(whole(source, "token_embd.weight"), value.astype(np.float32))


def test_stacked_experts_keep_their_order(tmp_path: Path) -> None:
    value = random(3, 4, 32)  # experts, out, in
    source = open_gguf(write(tmp_path / "m.gguf", {"blk.0.ffn_gate_exps.weight": (value, None)}))
    assert source.meta("blk.0.ffn_gate_exps.weight").shape == (3, 4, 32)
    assert np.array_equal(source.read_rows("blk.0.ffn_gate_exps.weight", 4, 9), value.reshape(12, 32)[4:9])


def llama_permute(value: AnyArray, heads: int) -> AnyArray:
    """What llama.cpp's converter does to Q and K (LlamaModel.permute), written index by index."""
    size = len(value) // heads
    stored = np.empty_like(value)
    for head in range(heads):
        for pair in range(size // 2):
            for side in range(2):
                stored[head * size + 2 * pair + side] = value[head * size + side * size // 2 + pair]
    return stored


def _heads(writer: GGUFWriter) -> None:
    writer.add_head_count(4)
    writer.add_head_count_kv(2)


@pytest.mark.parametrize("architecture", sorted(PERMUTED_ARCHITECTURES))
@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_permuted_queries_and_keys_come_back_in_half_split_order(tmp_path: Path, architecture: str, kind: str) -> None:
    values = {
        "blk.0.attn_q": (random(32, 64), 4),
        "blk.0.attn_k": (random(16, 64), 2),
        "blk.0.attn_v": (random(16, 64), 0),
    }
    tensors: dict[str, tuple[AnyArray, Type | None]] = {}
    for stem, (value, heads) in values.items():
        stored = llama_permute(value, heads) if heads else value
        tensors[f"{stem}.weight"] = (gguf.quants.quantize(stored, Type[kind]), Type[kind])
        tensors[f"{stem}.bias"] = (np.ascontiguousarray(stored[:, 0]), None)
    source = open_gguf(write(tmp_path / "m.gguf", tensors, architecture, _heads))
    for stem, (value, _) in values.items():
        expected = gguf.quants.dequantize(gguf.quants.quantize(value, Type[kind]), Type[kind])
        assert np.array_equal(whole(source, f"{stem}.weight"), expected)
        assert np.array_equal(whole(source, f"{stem}.bias"), value[:, 0])


def test_other_architectures_are_not_permuted(tmp_path: Path) -> None:
    value = random(32, 64)
    source = open_gguf(write(tmp_path / "m.gguf", {"blk.0.attn_q.weight": (value, None)}, "qwen2", _heads))
    assert np.array_equal(whole(source, "blk.0.attn_q.weight"), value)


def test_head_counts_may_differ_by_layer(tmp_path: Path) -> None:
    def describe(writer: GGUFWriter) -> None:
        writer.add_head_count([2, 4])

    value = random(16, 32)
    stored = {f"blk.{layer}.attn_q.weight": (llama_permute(value, heads), None) for layer, heads in enumerate((2, 4))}
    source = open_gguf(write(tmp_path / "m.gguf", stored, "deci", describe))
    assert np.array_equal(whole(source, "blk.0.attn_q.weight"), value)
    assert np.array_equal(whole(source, "blk.1.attn_q.weight"), value)


def test_values_and_digests_do_not_depend_on_how_rows_are_cut(tmp_path: Path) -> None:
    value = random(32, 64).astype(np.float16)
    stored = {"blk.0.attn_q.weight": (llama_permute(value, 4), None)}
    source = open_gguf(write(tmp_path / "m.gguf", stored, "llama", _heads))
    unpermuted = hashlib.sha256(value.tobytes()).hexdigest()
    for cuts in ([0, 32], [0, 1, 3, 4, 11, 29, 32], [0, 8, 16, 24, 32]):
        digest = hashlib.sha256()
        blocks = [source.read_rows("blk.0.attn_q.weight", start, stop, digest.update) for start, stop in pairwise(cuts)]
        assert np.array_equal(np.concatenate(blocks), value.astype(np.float32))
        assert digest.hexdigest() == unpermuted


def test_metadata_becomes_a_hugging_face_configuration(tmp_path: Path) -> None:
    def describe(writer: GGUFWriter) -> None:
        _heads(writer)
        writer.add_embedding_length(64)
        writer.add_block_count(2)
        writer.add_feed_forward_length(128)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(8)
        writer.add_expert_count(8)
        writer.add_token_list(["<s>", "▁the", "Ġof", "<0x0A>"])
        writer.add_token_scores([0.0, 1.0, 2.0, 3.0])

    path = write(tmp_path / "m.gguf", {"token_embd.weight": (random(4, 64), None)}, "llama", describe)
    source = open_gguf(path)
    assert source.config["model_type"] == "mixtral"
    assert source.config["gguf_architecture"] == "llama"
    assert source.vocabulary == ("<s>", "▁the", "Ġof", "<0x0A>")
    wanted = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "partial_rotary_factor": 0.5,
        "num_local_experts": 8,
        "vocab_size": 4,
        "tie_word_embeddings": True,
    }
    assert {name: source.config[name] for name in wanted} == wanted
    assert source.config["rms_norm_eps"] == pytest.approx(1e-5)
    assert source.description == "GGUF v3, F32, 1 tensors"
    assert source.path == path


MODEL_TYPES = {
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi3": "phi3",
    "gpt2": "gpt2",
    "gptneox": "gpt_neox",
    "olmo2": "olmo2",
    "falcon": "falcon",
    "starcoder2": "starcoder2",
    "deepseek2": "deepseek_v2",
}


@pytest.mark.parametrize("architecture", MODEL_TYPES)
def test_architectures_have_hugging_face_names(tmp_path: Path, architecture: str) -> None:
    source = open_gguf(write(tmp_path / "m.gguf", {"token_embd.weight": (random(4, 64), None)}, architecture))
    assert source.config["model_type"] == MODEL_TYPES[architecture]


def test_latent_attention_is_told_from_metadata(tmp_path: Path) -> None:
    def describe(writer: GGUFWriter) -> None:
        writer.add_head_count(4)
        writer.add_head_count_kv(1)
        writer.add_rope_dimension_count(8)
        writer.add_key_length(40)
        writer.add_key_length_mla(24)
        writer.add_value_length_mla(16)
        writer.add_kv_lora_rank(32)

    stored = {"blk.0.exp_probs_b.bias": (random(8), None)}
    config = open_gguf(write(tmp_path / "m.gguf", stored, "deepseek2", describe)).config
    assert config["model_type"] == "deepseek_v3"
    sizes = ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank", "num_key_value_heads")
    assert [config[size] for size in sizes] == [8, 16, 16, 32, 4]


def split_model(folder: Path) -> tuple[dict[str, Floats], list[Path]]:
    values = {f"blk.{layer}.ffn_up.weight": random(8, 32) + layer for layer in range(5)}
    write(folder / "m.gguf", {name: (value, None) for name, value in values.items()}, "llama", split_max_tensors=2)
    return values, sorted(folder.glob("*.gguf"))


@pytest.mark.parametrize("opened", [0, 1, 2])
def test_a_split_model_is_read_whole_from_any_part(tmp_path: Path, opened: int) -> None:
    values, parts = split_model(tmp_path)
    source = open_gguf(parts[opened])
    assert source.names() == tuple(sorted(values))
    assert all(np.array_equal(whole(source, name), value) for name, value in values.items())
    assert source.description == "GGUF v3, F32, 5 tensors, 3 parts"
    assert {source.meta(name).file for name in values} == set(parts)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    _, parts = split_model(tmp_path)
    parts[1].unlink()
    with pytest.raises(CheckpointError, match=r"00002-of-00003\.gguf: part 2 of 3 is missing"):
        open_gguf(parts[0])


def test_parts_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    _, parts = split_model(tmp_path)
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(CheckpointError, match=r"expected split\.no 1, found 2"):
        open_gguf(parts[0])


def test_a_renamed_part_is_refused(tmp_path: Path) -> None:
    _, parts = split_model(tmp_path)
    with pytest.raises(CheckpointError, match="expected a name ending in -00001-of-00003"):
        open_gguf(parts[0].rename(tmp_path / "first.gguf"))


@pytest.mark.parametrize(
    ("name", "size", "token"),
    [
        ("llama-spm", 32_000, (278, "▁the")),
        ("gpt-2", 50_257, (262, "Ġthe")),
        ("deepseek-llm", 102_400, (254, "Ġthe")),
        ("falcon", 65_024, (248, "Ġthe")),
    ],
)
def test_real_vocabularies_open_at_once(name: str, size: int, token: tuple[int, str]) -> None:
    path = VOCABULARIES / f"ggml-vocab-{name}.gguf"
    if not path.exists():
        pytest.skip("the vocabulary files of llama.cpp are not on this machine")
    begin = time.perf_counter()
    source = open_gguf(path)
    assert time.perf_counter() - begin < 2  # 0.03 to 0.16 s on an idle machine
    assert source.names() == ()
    assert source.vocabulary is not None
    assert len(source.vocabulary) == source.config["vocab_size"] == size
    assert source.vocabulary[token[0]] == token[1]
