"""Thousands of damaged checkpoints: each is read or refused by our own error, quickly and in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_bytes import TENSORS, sentencepiece_bytes, torch_bytes, write_folder
from safetensors.torch import save

MUTATIONS = 4000
MODEL = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
SHARD_MAP = {"norm.weight": "b.safetensors", "embed.weight": "a.safetensors", "scale": "a.safetensors"}
CONFIG = {"model_type": "llama", "hidden_size": 4, "rope_parameters": {"rope_theta": 1e4}}
TOKENIZER = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}, "added_tokens": []}
CORPUS: dict[str, dict[str, Any]] = {
    "single": {
        "model.safetensors": save(TENSORS, {"format": "pt"}),
        "config.json": CONFIG,
        "tokenizer.json": TOKENIZER,
    },
    "sharded": {
        "a.safetensors": save({name: TENSORS[name] for name in ("embed.weight", "scale")}),
        "b.safetensors": save({"norm.weight": TENSORS["norm.weight"]}),
        "model.safetensors.index.json": {"metadata": {"total_size": 66}, "weight_map": SHARD_MAP},
        "vocab.json": {"a": 0, "b": 1},
        "added_tokens.json": {"<x>": 2},
    },
    "torch": {"pytorch_model.bin": torch_bytes(TENSORS), "tokenizer.model": sentencepiece_bytes("<s>", "▁a", "b")},
    "torch module": {"pytorch_model.bin": torch_bytes(MODEL.state_dict()), "vocab.txt": "a\nß\n".encode()},
    "torch eight bits": {"odd.pt": torch_bytes({"w": torch.ones(4, 2).to(torch.float8_e4m3fn)}, pickle_protocol=4)},
}


@pytest.mark.parametrize("seed", [1])
def test_damaged_checkpoints_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    for name, files in CORPUS.items():
        write_folder(tmp_path / "corpus" / name, files)
    worker = Path(__file__).with_name("fuzz_worker.py")
    command = [sys.executable, str(worker), *(str(tmp_path / name) for name in ("corpus", "scratch"))]
    run = subprocess.run(
        [*command, str(MUTATIONS), str(seed)], capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["failed"] == 0, "\n".join(found["failures"])
    assert found["read"] > MUTATIONS // 20  # some damage falls where nothing is claimed: values, padding
    assert found["refused"] > MUTATIONS // 2
    assert found["slowest"] < 5
