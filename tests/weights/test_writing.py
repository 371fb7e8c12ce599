"""Written files hold what was given, and appear whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from whorl.core.arrays import AnyArray
from whorl.core.digest import digest_bytes
from whorl.core.errors import CheckpointError, InputError
from whorl.weights import writing
from whorl.weights.safetensors import read_safetensors
from whorl.weights.writing import TensorToWrite, copy_companions, header_of, whole_folder, write_safetensors


def tensor(name: str, storage: str, array: AnyArray, step: int = 2) -> TensorToWrite:
    def blocks() -> Iterator[AnyArray]:
        for start in range(0, len(array), step):
            yield array[start : start + step]

    return TensorToWrite(name=name, storage=storage, shape=array.shape, blocks=blocks)


def test_the_reference_library_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    wide, half = np.arange(15, dtype=np.float32).reshape(5, 3), np.arange(4, dtype=np.float16)
    digest = write_safetensors(path, [tensor("z", "F32", wide), tensor("a", "F16", half)], {"format": "pt"})
    read = load_file(path)
    np.testing.assert_array_equal(read["z"], wide)
    np.testing.assert_array_equal(read["a"], half)
    assert digest == digest_bytes(path.read_bytes())
    assert header_of(path) == ({"format": "pt"}, ["z", "a"])
    assert read_safetensors(path).keys() == {"a", "z"}


def test_bfloat16_codes_are_written_as_they_are(tmp_path: Path) -> None:
    codes = np.array([0x3F80, 0xBF80, 0x4049], np.uint16)  # 1, -1, 3.140625
    write_safetensors(tmp_path / "a.safetensors", [tensor("w", "BF16", codes)], {})
    assert load_torch(tmp_path / "a.safetensors")["w"].tolist() == [1.0, -1.0, 3.140625]


def test_a_tensor_that_gives_other_bytes_than_announced_is_a_fault(tmp_path: Path) -> None:
    lying = TensorToWrite(name="w", storage="F32", shape=(3,), blocks=lambda: iter([np.zeros(2, np.float32)]))
    with pytest.raises(ValueError, match="8 bytes given, 12 announced"):
        write_safetensors(tmp_path / "a.safetensors", [lying], {})


def test_a_disk_that_loses_bytes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_digest_of_file", lambda _path: b"other")
    with pytest.raises(CheckpointError, match="check the disk"):
        write_safetensors(tmp_path / "a.safetensors", [tensor("w", "F32", np.zeros(2, np.float32))], {})


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with whole_folder(target) as partial:
        (partial / "a").write_text("a")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["a"]
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "never"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("target", ["there", "file", "dangling", "missing/out"])
def test_a_folder_never_takes_the_place_of_something(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(InputError), whole_folder(tmp_path / target):
        raise AssertionError("worked although it was refused")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="appeared while"), whole_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_companions_are_copied_and_other_weights_are_not(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    kept = {"config.json", "tokenizer.model", "merges.txt", "chat_template.jinja", "LICENSE", "NOTICE.rst", "a.py"}
    others = {"pytorch_model.bin", "model.gguf", "flax_model.msgpack", "consolidated.00.pth", "model.safetensors"}
    for name in kept | others:
        (source / name).write_text(name)
    (source / "original").mkdir()
    (source / "linked.json").symlink_to(source / "config.json")
    left = copy_companions(source, target, forbidden=b"secret")
    assert {path.name for path in target.iterdir()} == kept | {"linked.json"}
    assert set(left) == others - {"model.safetensors"} | {"original"}
    assert not (target / "linked.json").is_symlink()


def test_a_forbidden_file_stops_the_copy(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("here is the secret")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="private release key"):
        copy_companions(tmp_path, tmp_path / "out", forbidden=b"secret")
