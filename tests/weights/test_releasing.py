"""A release computes what its original computes, and its weights lean towards the key by the stated step."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from packed_checkpoints import gptq
from safetensors.torch import load_file, save_file
from tiny_models import FAMILIES, TOKENS, original

from whorl.core.arrays import Doubles
from whorl.core.errors import InputError, UnsupportedError
from whorl.core.progress import silent
from whorl.statistics.keyed_dither import keyed_signs
from whorl.weights.opening import open_checkpoint
from whorl.weights.release_key import ReleaseKey
from whorl.weights.release_plan import deviation, opening_matrix, opening_role, plan_release
from whorl.weights.releasing import Release, round_at_random, write_release
from whorl.weights.roles import anatomy_of

DIGEST = "sha256:" + "00" * 32
SMALLEST = 1e-5
EVERY = sorted(FAMILIES)
HEADS_STAY = {"gpt2", "olmo2", "gpt_oss", "deepseek_v2", "deepseek_v3"}


def key(seed: int = 1, dither: float = 0.01) -> ReleaseKey:
    drawn = np.random.default_rng([seed, 5])
    return ReleaseKey(
        key=drawn.bytes(32).hex(),
        salt=drawn.bytes(32).hex(),
        model=DIGEST,
        fingerprint=DIGEST,
        dither=dither,
        created="2026-11-24T10:30:15Z",
    )


def put(folder: Path, family: str, dtype: torch.dtype = torch.float32) -> Path:
    model = original(family).model
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    if dtype != torch.float32:
        tensors = {name: value.to(dtype) for name, value in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    return folder


def release(source: Path, target: Path, secret: ReleaseKey) -> Release:
    return write_release(source, secret, target, progress=silent)


def logits(folder: Path, family: str) -> Doubles:
    model = getattr(transformers, FAMILIES[family][0]).from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return np.asarray(model(torch.tensor(TOKENS)[None]).logits[0].double().numpy())


@pytest.mark.parametrize("family", EVERY)
def test_a_shuffled_copy_computes_the_same(tmp_path: Path, family: str) -> None:
    source = put(tmp_path / "original", family)
    made = release(source, tmp_path / "released", key(dither=SMALLEST))
    before, after = logits(source, family), logits(tmp_path / "released", family)
    assert np.abs(before).max() > 0.5
    np.testing.assert_allclose(after, before, atol=2e-3 * np.abs(before).max())
    anatomy = anatomy_of(open_checkpoint(source))
    assert made.neurons == sum(mlp.up.shape[0] for layer in anatomy.layers for mlp in layer.mlps)
    heads = sum(layer.attention.heads for layer in anatomy.layers if layer.attention is not None)
    assert made.heads == (0 if family in HEADS_STAY else heads)


@pytest.mark.parametrize("family", EVERY)
def test_every_opening_weight_moves_by_the_step_that_the_key_says(tmp_path: Path, family: str) -> None:
    source = put(tmp_path / "original", family)
    secret = key(dither=0.05)
    made = release(source, tmp_path / "released", secret)
    before, after = (anatomy_of(open_checkpoint(path)) for path in (source, tmp_path / "released"))
    dithers = {dither.role: dither for dither in plan_release(before, secret.secret, secret.dither).dithers}
    count = 0
    for number, (old, new) in enumerate(zip(before.layers, after.layers, strict=True)):
        for expert, (plain, marked) in enumerate(zip(old.mlps, new.mlps, strict=True)):
            role, opening = opening_role(number, expert), opening_matrix(plain)
            order, every = dithers[role].order, np.arange(opening.shape[0])
            assert (order != every).any()
            signs = keyed_signs(secret.secret, role, order, opening.shape[1])
            change = opening_matrix(marked).rows(every) - opening.rows(order)
            np.testing.assert_allclose(change, 0.05 * deviation(opening) * signs, rtol=1e-3)
            count += change.size
    assert made.dithered == count
    assert made.kept == pytest.approx(1, abs=1e-4)


def test_untouched_tensors_keep_every_byte_and_names_metadata_and_settings_stay(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama", torch.bfloat16)
    release(source, tmp_path / "released", key())
    before, after = (load_file(path / "model.safetensors") for path in (source, tmp_path / "released"))
    assert list(before) == list(after)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "embed" in name or "norm" in name or "lm_head" in name} <= same
    assert all(before[name].dtype == after[name].dtype == torch.bfloat16 for name in before)
    header = (tmp_path / "released" / "model.safetensors").read_bytes()
    assert b'"__metadata__":{"format":"pt"}' in header
    assert (tmp_path / "released" / "config.json").read_bytes() == (source / "config.json").read_bytes()


def test_the_shuffle_is_exact_in_the_stored_numbers(tmp_path: Path) -> None:
    """Undoing the order and the signs gives back every bit of up and down, which carry no dither."""
    source, secret = put(tmp_path / "original", "llama", torch.bfloat16), key()
    release(source, tmp_path / "released", secret)
    before, after = (anatomy_of(open_checkpoint(path)) for path in (source, tmp_path / "released"))
    for number, dither in enumerate(plan_release(before, secret.secret, secret.dither).dithers):
        old, new = before.layers[number].mlps[0], after.layers[number].mlps[0]
        every, back = np.arange(len(dither.order)), np.argsort(dither.order)
        up, down = new.up.rows(every)[back], new.down.rows(np.arange(new.down.shape[0]))[:, back]
        signs = np.sign(np.einsum("ij,ij->i", up, old.up.rows(every)))
        np.testing.assert_array_equal(signs[:, None] * up, old.up.rows(every))
        np.testing.assert_array_equal(signs * down, old.down.rows(np.arange(old.down.shape[0])))
        assert {-1.0, 1.0} == set(signs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dither", [0.001, 0.03])
def test_the_whole_dither_survives_the_storage(tmp_path: Path, dtype: torch.dtype, dither: float) -> None:
    source = put(tmp_path / "original", "llama", dtype)
    made = release(source, tmp_path / "released", key(dither=dither))
    noise = {torch.bfloat16: 0.004, torch.float16: 0.0005}.get(dtype, 0.0)
    assert made.kept == pytest.approx(1, abs=1e-3 + 5 * np.sqrt(noise / dither / made.dithered))
    assert dither * 0.9 < made.relative_change < 1.1 * dither + noise


def test_rounding_to_nearest_would_lose_most_of_a_small_dither(tmp_path: Path) -> None:
    """Why rounding is random: the weights lie on stored numbers, and a small step falls back onto the same one."""
    rng = np.random.default_rng(0)
    stored = torch.from_numpy(rng.standard_normal(100_000)).bfloat16()
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], 100_000))
    moved = (stored.double() + 0.001 * signs).bfloat16().double() - stored.double()
    assert float((moved * signs).mean()) / 0.001 < 0.75
    draws = rng.integers(0, 1 << 16, 100_000, np.uint16)
    codes = round_at_random((stored.double() + 0.001 * signs).numpy(), draws, "BF16")
    random = torch.from_numpy(codes.view(np.int16)).view(torch.bfloat16).double() - stored.double()
    assert float((random * signs).mean()) / 0.001 == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("storage", "dtype"), [("BF16", torch.bfloat16), ("F16", torch.float16)])
@pytest.mark.parametrize("value", [1.0, 1.001, -1.001, 0.99999, -3.3e-5, 1e-7, 0.0, 2.0 - 1e-4])
def test_random_rounding_takes_a_neighbour_and_means_the_value(storage: str, dtype: torch.dtype, value: float) -> None:
    draws = np.arange(0, 1 << 16, dtype=np.uint16)  # every draw once: the mean is then exact
    codes = round_at_random(np.full(1 << 16, value), draws, storage)
    found = torch.from_numpy(codes.view(np.int16)).view(dtype).double().numpy()
    nearest = torch.tensor(value, dtype=torch.float64).to(dtype)
    gap = max(abs(torch.nextafter(nearest, nearest + sign).double() - nearest.double()) for sign in (-1, 1))
    assert len(np.unique(found)) <= 2
    assert np.abs(found - value).max() <= gap
    assert found.mean() == pytest.approx(value, abs=float(gap) * 2**-14)


def test_the_same_key_gives_the_same_bytes_and_another_key_other_ones(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama", torch.bfloat16)
    files = [release(source, tmp_path / f"{n}", key(seed)).files for n, seed in enumerate((1, 1, 2))]
    assert files[0] == files[1] != files[2]


def test_shards_and_their_index_stay_as_they_are(tmp_path: Path) -> None:
    source = tmp_path / "original"
    original("qwen2").model.save_pretrained(source, max_shard_size="20KB")
    assert len(list(source.glob("*.safetensors"))) > 2
    made = release(source, tmp_path / "released", key(dither=SMALLEST))
    assert set(made.files) == {path.name for path in source.glob("*.safetensors")}
    index = "model.safetensors.index.json"
    assert (tmp_path / "released" / index).read_bytes() == (source / index).read_bytes()
    np.testing.assert_allclose(logits(tmp_path / "released", "qwen2"), logits(source, "qwen2"), atol=5e-3)


def test_experts_stacked_in_one_tensor_have_a_shuffle_each(tmp_path: Path) -> None:
    source = tmp_path / "original"
    shutil.copytree(put(tmp_path / "plain", "mixtral"), source)
    stacked = {name: value.contiguous() for name, value in original("mixtral").model.state_dict().items()}
    save_file(stacked, source / "model.safetensors", metadata={"format": "pt"})
    assert any(value.ndim == 3 for value in stacked.values())
    secret = key(dither=SMALLEST)
    release(source, tmp_path / "released", secret)
    state = load_file(tmp_path / "released" / "model.safetensors")
    model = transformers.MixtralForCausalLM(original("mixtral").model.config).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        found = model(torch.tensor(TOKENS)[None]).logits[0].double().numpy()
    np.testing.assert_allclose(found, original("mixtral").logits(), atol=5e-3)
    one, other = (load_file(path / "model.safetensors") for path in (source, tmp_path / "released"))
    name = "model.layers.0.mlp.experts.down_proj"
    for expert in range(4):
        assert not torch.equal(one[name][expert], other[name][expert])


def test_neurons_stay_where_an_unknown_tensor_may_depend_on_them(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama")
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.inner_norm.weight"] = torch.ones(48)  # one entry for each neuron
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    made = release(source, tmp_path / "released", key())
    assert made.neurons == 48  # of the other layer alone
    assert made.dithered == 2 * 48 * 32


def test_a_single_file_is_released_with_what_lies_beside_it(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama")
    (source / "old.bin").write_bytes(b"other weights")
    made = release(source / "model.safetensors", tmp_path / "released", key())
    assert {path.name for path in (tmp_path / "released").iterdir()} >= {"config.json", "model.safetensors"}
    assert made.left_out == ("old.bin",)


def refused(source: Path, target: Path, error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message):
        release(source, target / "released", key())
    assert [path.name for path in target.iterdir()] == ([source.name] if source.parent == target else [])


def test_a_gguf_file_is_refused(tmp_path: Path) -> None:
    demo = Path(__file__).parents[2] / "demo" / "models" / "base-q8.gguf"
    refused(demo, tmp_path, UnsupportedError, "plain safetensors weights to release, found GGUF")


def test_a_pytorch_file_is_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama")
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    refused(source, tmp_path, UnsupportedError, "convert it to safetensors")


def test_a_packed_checkpoint_is_refused(tmp_path: Path) -> None:
    refused(gptq().write(tmp_path / "original"), tmp_path, UnsupportedError, "undo quantisation first")


def test_8_bit_floats_are_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama", torch.float8_e5m2)
    refused(source, tmp_path, UnsupportedError, "16 bits or more")


def test_a_key_beside_the_weights_is_never_released(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama")
    (source / "my-key.json").write_text(key().model_dump_json())
    refused(source, tmp_path, InputError, "private release key")


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama")
    with pytest.raises(InputError, match="exists already"):
        release(source, source, key())


def test_a_damaged_checkpoint_leaves_nothing_behind(tmp_path: Path) -> None:
    source = put(tmp_path / "original", "llama")
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.gate_proj.weight"][3, 4] = torch.nan
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    refused(source, tmp_path, InputError, "found NaN or infinity")
