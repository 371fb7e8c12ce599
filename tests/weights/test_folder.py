"""Folders and files as people name them: which weights, configuration and tokenizer are taken."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_bytes import TENSORS, read_whole, torch_bytes, write_folder
from safetensors.torch import save

from whorl.core.errors import CheckpointError, InputError
from whorl.weights.opening import open_checkpoint

CONFIG = {"model_type": "llama", "hidden_size": 4}
ONE = {name: TENSORS[name] for name in ("embed.weight", "scale")}
TWO = {"norm.weight": TENSORS["norm.weight"]}


def sharded(weight_map: dict[str, Any], **extra: bytes) -> dict[str, Any]:
    """A folder of two shards, ``a`` with `ONE` and ``b`` with `TWO`, and an index."""
    shards = {"a.safetensors": save(ONE), "b.safetensors": save(TWO)} | extra
    return shards | {"model.safetensors.index.json": {"metadata": {"total_size": 74}, "weight_map": weight_map}}


GOOD_MAP = {"embed.weight": "a.safetensors", "scale": "a.safetensors", "norm.weight": "b.safetensors"}
LAYOUTS: dict[str, tuple[dict[str, Any], str]] = {
    "single": ({"model.safetensors": save(TENSORS)}, "safetensors"),
    "sharded": (sharded(GOOD_MAP), "safetensors, 2 shards"),
    "torch single": ({"pytorch_model.bin": torch_bytes(TENSORS), "training_args.bin": b"junk"}, "PyTorch zip"),
    "torch sharded": (
        {
            "a.bin": torch_bytes(ONE),
            "b.bin": torch_bytes(TWO),
            "pytorch_model.bin.index.json": {
                "weight_map": {name: file.replace("safetensors", "bin") for name, file in GOOD_MAP.items()}
            },
        },
        "PyTorch zip, 2 shards",
    ),
    "both kinds": ({"model.safetensors": save(TENSORS), "pytorch_model.bin": b"junk"}, "safetensors"),
    "numbered without index": (
        {"model-00001-of-00002.safetensors": save(ONE), "model-00002-of-00002.safetensors": save(TWO)},
        "safetensors, 2 shards",
    ),
    "beside the maker's own file": (
        {"model-00001-of-00001.safetensors": save(TENSORS), "consolidated.safetensors": save(TENSORS)},
        "safetensors",
    ),
    "the maker's own file": ({"consolidated.safetensors": save(TENSORS)}, "safetensors"),
    "one torch file": ({"consolidated.00.pth": torch_bytes(TENSORS)}, "PyTorch zip"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_opens_as_one_model(tmp_path: Path, layout: str) -> None:
    files, description = LAYOUTS[layout]
    folder = write_folder(tmp_path / "model", files | {"config.json": CONFIG, "vocab.json": {"a": 0}})
    source = open_checkpoint(folder)
    assert (source.path, source.config, source.description) == (folder, CONFIG, description)
    assert source.vocabulary == ("a",)
    assert source.names() == tuple(sorted(TENSORS))
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read_whole(source, name), tensor.float().numpy())


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "odd.PT", "odd.pth"])
def test_a_single_file_takes_the_configuration_beside_it(tmp_path: Path, name: str) -> None:
    content = save(TENSORS) if name.endswith("safetensors") else torch_bytes(TENSORS)
    folder = write_folder(tmp_path / "model", {name: content, "config.json": CONFIG, "vocab.txt": b"x\n"})
    source = open_checkpoint(folder / name)
    assert (source.path, source.config, source.vocabulary) == (folder / name, CONFIG, ("x",))


def test_links_into_a_cache_are_followed(tmp_path: Path) -> None:
    blobs = write_folder(tmp_path / "blobs", {"0a1b": save(ONE), "2c3d": save(TWO)})
    folder = write_folder(tmp_path / "snapshots" / "main", sharded(GOOD_MAP))
    for name, blob in (("a.safetensors", "0a1b"), ("b.safetensors", "2c3d")):
        (folder / name).unlink()
        (folder / name).symlink_to(Path("../../blobs") / blob)
    assert blobs.exists()
    assert open_checkpoint(folder).names() == tuple(sorted(TENSORS))


@pytest.mark.parametrize(("weight_map", "match"), [
    ({"embed.weight": "../a.safetensors"}, "expected the plain name of a file in the same folder, found '../a"),
    ({"embed.weight": "/etc/passwd"}, "expected the plain name"),
    ({"embed.weight": ".."}, "expected the plain name"),
    ({"embed.weight": "sub/a.safetensors"}, "expected the plain name"),
    ({"embed.weight": "C:\\a.safetensors"}, "expected the plain name"),
    ({"embed.weight": "a.safetensors\0"}, "expected the plain name"),
    ({"embed.weight": ""}, "expected the plain name"),
    ({"embed.weight": 4}, "expected the plain name"),
    ({"embed.weight": "c.safetensors"}, "expected the shard c.safetensors, found no such file"),
    (GOOD_MAP | {"head.weight": "a.safetensors"}, "tensor 'head.weight': expected it in a.safetensors"),
    (GOOD_MAP | {"scale": "b.safetensors"}, "tensor 'scale': expected it in b.safetensors"),
    ({}, "expected a weight_map"),
    (["a.safetensors"], "expected a weight_map"),
])  # fmt: skip
def test_an_index_that_lies_is_refused(tmp_path: Path, weight_map: Any, match: str) -> None:
    write_folder(tmp_path, {"a.safetensors": save(ONE)})
    folder = write_folder(tmp_path / "model", sharded(weight_map))
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(folder)


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    (
        sharded(GOOD_MAP, **{"b.safetensors": save(TWO | {"scale": TENSORS["scale"]})}),
        "tensor 'scale': .* a second in a",
    ),
    (
        {"x.safetensors": save(ONE), "y.safetensors": save(ONE)},
        "tensor 'embed.weight': .* a second in x",
    ),
    ({"model-00001-of-00003.safetensors": save(ONE), "model-00003-of-00003.safetensors": save(TWO)}, "00002-of-00003"),
    ({"model.safetensors": save({})}, "expected at least one tensor"),
    ({"model.safetensors": save(TENSORS), "config.json": b"[]"}, "config.json: expected a JSON object"),
    ({"model.safetensors": save(TENSORS), "config.json": b"\xff\xfe"}, "config.json: expected JSON in UTF-8"),
    ({"model.safetensors": save(TENSORS), "config.json": b'{"a":' * 90_000}, "config.json: .* nested too deeply"),
    ({"model.safetensors": save(TENSORS), "config.json": b'{"a":' + b"9" * 5000 + b"}"}, "config.json: expected JSON"),
    ({"model.safetensors.index.json": b'{"weight_map": {"a": "b", "a": "c"}}'}, "the key 'a' more than once"),
]


@pytest.mark.parametrize(("files", "match"), CONTRADICTIONS, ids=[match for _, match in CONTRADICTIONS])
def test_a_folder_that_contradicts_itself_is_refused(tmp_path: Path, files: dict[str, Any], match: str) -> None:
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(write_folder(tmp_path / "model", files))


@pytest.mark.parametrize(("target", "match"), [
    ("model.safetensors", "Too many levels of symbolic links"),
    ("nowhere", "No such file"),
    (".", "found a folder, pipe or device"),
    ("/dev/zero", "found a folder, pipe or device"),
])  # fmt: skip
def test_links_that_lead_nowhere_are_refused(tmp_path: Path, target: str, match: str) -> None:
    (tmp_path / "model.safetensors").symlink_to(target)
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="found a folder, pipe or device"):
        open_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize(("files", "name", "match"), [
    ({}, "", "found a folder with nothing in it"),
    ({"config.json": CONFIG, "notes.txt": b""}, "", "found a folder with config.json, notes.txt$"),
    ({f"{i}.txt": b"" for i in range(10)}, "", "7.txt and 2 more$"),
    ({"a.gguf": b"", "b.gguf": b""}, "", "found 2 GGUF files"),
    ({"notes.txt": b""}, "notes.txt", "expected a Hugging Face model folder .* found a file ending in '.txt'"),
    ({}, "absent", "cannot be read: No such file"),
    ({}, "zero\0byte", "cannot be read: "),
])  # fmt: skip
def test_what_is_no_checkpoint_is_named(tmp_path: Path, files: dict[str, Any], name: str, match: str) -> None:
    folder = write_folder(tmp_path / "model", files)
    with pytest.raises(InputError, match=match):
        open_checkpoint(folder / name)


@pytest.mark.parametrize("name", ["", "a.gguf", "A.GGUF"])
def test_a_gguf_file_goes_to_its_own_reader(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "model", {name or "a.gguf": b"junk", "README.md": b""})
    with pytest.raises(CheckpointError, match=r"(?i)a\.gguf: .*GGUF"):
        open_checkpoint(folder / name)


def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)  # the superuser, who may run these tests, is never refused
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(("file", "content", "method"), [
    ("quantize_config.json", {"bits": 4}, "gptq"),
    ("quantize_config.json", {"bits": 4, "quant_method": "awq"}, "awq"),
    ("quant_config.json", {"w_bit": 4}, "awq"),
    ("hf_quant_config.json", {"quantization": {"quant_algo": "NVFP4"}}, "modelopt"),
])  # fmt: skip
def test_quantisation_settings_of_their_own_file_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: dict[str, Any], method: str
) -> None:
    folder = write_folder(
        tmp_path / "model", {"model.safetensors": save(TENSORS), "config.json": CONFIG, file: content}
    )
    monkeypatch.setattr("whorl.weights.opening._unpacked", lambda source: source)
    settings = open_checkpoint(folder).config["quantization_config"]
    assert settings == {"quant_method": method} | content


def test_opening_and_reading_need_no_framework(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", {"model.safetensors": save(TENSORS), "config.json": CONFIG})
    program = """
import sys
from pathlib import Path
from whorl.weights.opening import open_checkpoint
print(open_checkpoint(Path(sys.argv[1])).read_rows("scale", 0, 1))
print(sorted({"torch", "transformers", "safetensors", "gguf", "scipy", "pickle"} & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[0] == "[[3.25]]"
    assert "torch" not in result.stdout
    assert "safetensors" not in result.stdout


def test_the_same_weights_in_another_format_and_order_read_the_same(tmp_path: Path) -> None:
    backwards = dict(reversed(TENSORS.items()))
    first = open_checkpoint(write_folder(tmp_path / "one", {"model.safetensors": save(TENSORS)}))
    second = open_checkpoint(write_folder(tmp_path / "two", {"pytorch_model.bin": torch_bytes(backwards)}))
    assert first.names() == second.names()
    assert all(torch.equal(*(torch.from_numpy(read_whole(s, n)) for s in (first, second))) for n in first.names())
