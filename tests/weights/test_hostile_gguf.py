"""GGUF files that lie: each refusal by a file made for it, then seeded damage to a good one."""

import os
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFWriter

from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.weights import gguf_header
from whorl.weights.gguf import open_gguf

MUTATIONS = 1500
STRING, ARRAY, U32 = 8, 9, 4


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: bytes = b"t", sizes: tuple[int, ...] = (8, 2), kind: int = 0, offset: int = 0) -> bytes:
    """One entry, by default 2 rows of 8 float32."""
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


ARCHITECTURE = pair(b"general.architecture", STRING, text(b"llama"))


def header(
    *tensors: bytes,
    pairs: tuple[bytes, ...] = (ARCHITECTURE,),
    version: int = 3,
    counts: tuple[int, int] | None = None,
    data: bytes = bytes(256),
) -> bytes:
    """A whole file; counts are right unless given."""
    tensor_count, key_count = counts or (len(tensors), len(pairs))
    found = b"GGUF" + struct.pack("<IQQ", version, tensor_count, key_count) + b"".join(pairs) + b"".join(tensors)
    return found + bytes(-len(found) % 32) + data


def test_the_file_that_the_others_spoil_is_good(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(header(tensor()))
    assert open_gguf(path).read_rows("t", 0, 2).tolist() == [[0.0] * 8] * 2


NESTED = b"".join(struct.pack("<IQ", ARRAY, 1) for _ in range(5)) + struct.pack("<IQB", 0, 1, 7)
BROKEN = {
    "empty": (b"", "found the end at 0"),
    "magic": (b"GGML" + header(tensor())[4:], "expected the bytes 'GGUF' first"),
    "cut in the counts": (header(tensor())[:20], "found the end at 20"),
    "cut in a key": (header(tensor())[:30], "found the end at 30"),
    "cut in a tensor entry": (header(tensor(), data=b"")[:90], "found the end at 90"),
    "tensor count": (header(tensor(), counts=(1 << 63, 1)), "at most 100000 tensors"),
    "key count": (header(tensor(), counts=(1, 1 << 63)), "at most 4096 metadata keys"),
    "more keys than bytes": (header(tensor(), counts=(1, 4096)), "expected"),
    "key length": (header(pairs=(struct.pack("<Q", 1 << 40),)), "at most 65535 bytes in a metadata key"),
    "key not UTF-8": (header(pairs=(pair(b"\xff\xfe", U32, bytes(4)),)), "metadata key in UTF-8"),
    "key twice": (header(pairs=(ARCHITECTURE, ARCHITECTURE)), "'general.architecture' twice"),
    "value type": (header(pairs=(pair(b"k", 13, bytes(8)),)), "value type from 0 to 12"),
    "string length": (header(pairs=(pair(b"k", STRING, struct.pack("<Q", (1 << 64) - 1)),)), "found the end"),
    "array length": (
        header(pairs=(pair(b"k", ARRAY, struct.pack("<IQ", U32, 1 << 60)),)),
        "at most 67108864 array items",
    ),
    "array longer than the file": (
        header(pairs=(pair(b"k", ARRAY, struct.pack("<IQ", U32, 1 << 20)),)),
        "expected 4194304 bytes at offset",
    ),
    "array item type": (header(pairs=(pair(b"k", ARRAY, struct.pack("<IQ", 77, 1)),)), "value type from 0 to 12"),
    "nested arrays": (header(pairs=(pair(b"k", ARRAY, NESTED),)), "nested at most 4 deep"),
    "vocabulary of numbers": (
        header(pairs=(pair(b"tokenizer.ggml.tokens", ARRAY, struct.pack("<IQI", U32, 1, 1)),)),
        "to be a list of strings",
    ),
    "vocabulary length": (
        header(pairs=(pair(b"tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", STRING, 1 << 40)),)),
        "at most 2097152 tokens",
    ),
    "token length": (
        header(pairs=(pair(b"tokenizer.ggml.tokens", ARRAY, struct.pack("<IQQ", STRING, 1, 1 << 62)),)),
        "found the end",
    ),
    "alignment": (header(tensor(), pairs=(pair(b"general.alignment", U32, struct.pack("<I", 48)),)), "a power of two"),
    "alignment of 0": (header(tensor(), pairs=(pair(b"general.alignment", U32, bytes(4)),)), "a power of two"),
    "alignment as text": (header(tensor(), pairs=(pair(b"general.alignment", STRING, text(b"32")),)), "a power of two"),
    "name length": (header(tensor(b"n" * 2000)), "a name of at most 1024 characters"),
    "unprintable name": (header(tensor(b"a\x1b[2J")), "printable"),
    "name twice": (header(tensor(), tensor(offset=64)), "tensor 't': GGUF header: expected each tensor name once"),
    "no dimensions": (header(tensor(sizes=())), "1 to 4 dimensions, found 0"),
    "five dimensions": (header(tensor(sizes=(8, 1, 1, 1, 1))), "1 to 4 dimensions, found 5"),
    "empty dimension": (header(tensor(sizes=(8, 0))), "dimensions from 1 up"),
    "product overflows": (header(tensor(sizes=(1 << 32, 1 << 32))), "fewer than 2\\*\\*62 values"),
    "partial block": (header(tensor(sizes=(40, 2), kind=8)), "whole Q8_0 blocks of 32, found 40"),
    "beyond the end": (header(tensor(sizes=(8, 1 << 40))), "the end of the file"),
    "offset beyond the end": (header(tensor(offset=1 << 20)), "the end of the file"),
    "unaligned offset": (header(tensor(offset=8)), "multiples of 32, found 8"),
    "overlap": (header(tensor(b"a"), tensor(b"b", offset=32)), "within those of 'a'"),
    "heads do not divide": (
        header(
            tensor(b"blk.0.attn_q.weight", sizes=(2, 8)),
            pairs=(ARCHITECTURE, pair(b"llama.attention.head_count", U32, struct.pack("<I", 3))),
        ),
        "heads of an even size",
    ),
    "head count of 0": (
        header(
            tensor(b"blk.0.attn_k.weight", sizes=(2, 8)),
            pairs=(ARCHITECTURE, pair(b"llama.attention.head_count", U32, bytes(4))),
        ),
        "found a head count of 0",
    ),
    "no head count": (header(tensor(b"blk.0.attn_q.weight", sizes=(2, 8))), "found a head count of None"),
    "one head of everything": (
        header(
            tensor(b"blk.0.attn_q.weight", sizes=(1, 2048)),
            pairs=(ARCHITECTURE, pair(b"llama.attention.head_count", U32, struct.pack("<I", 1))),
            data=bytes(8192),
        ),
        "heads of an even size up to 1024",
    ),
    "part count": (
        header(tensor(), pairs=(ARCHITECTURE, pair(b"split.count", U32, struct.pack("<I", 1 << 31)))),
        "split.count from 1 to 1000",
    ),
}
UNREAD = {
    "version 1": (header(tensor(), version=1), "GGUF version 1 is not read"),
    "version 4": (header(tensor(), version=4), "GGUF version 4 is not read"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian GGUF is not read"),
    "activation type": (header(tensor(sizes=(32, 2), kind=9)), "'t' has type Q8_1, which is not read"),
    "withdrawn type": (header(tensor(sizes=(32, 2), kind=31)), "type Q4_0_4_4"),
    "type of the future": (header(tensor(kind=999)), "type number 999"),
    "fused Q and K": (header(tensor(b"blk.0.attn_qkv.weight")), "only unfused"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    content, reason = BROKEN[case]
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as refusal:
        open_gguf(path)
    assert refusal.value.file == path


@pytest.mark.parametrize("case", UNREAD)
def test_an_unread_variant_is_refused_by_name(tmp_path: Path, case: str) -> None:
    content, reason = UNREAD[case]
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(UnsupportedError, match=reason):
        open_gguf(path)


def test_a_pipe_a_folder_and_nothing_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "folder.gguf").mkdir()
    for name in ("pipe.gguf", "folder.gguf", "nothing.gguf"):
        with pytest.raises(CheckpointError):
            open_gguf(tmp_path / name)


def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(header(tensor()))
    source = open_gguf(path)
    path.write_bytes(header(tensor())[:-200])
    with pytest.raises(CheckpointError, match="tensor 't': expected the file as it was opened"):
        source.read_rows("t", 0, 1)


def test_a_header_beyond_the_limit_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_header, "MAX_HEADER_BYTES", 1000)
    path = tmp_path / "m.gguf"
    path.write_bytes(header(tensor(), pairs=(ARCHITECTURE, pair(b"k", STRING, text(bytes(2000))))))
    with pytest.raises(CheckpointError, match="at most 1000 bytes"):
        open_gguf(path)


def test_millions_of_empty_strings_cost_seconds(tmp_path: Path) -> None:
    count = 4_000_000
    path = tmp_path / "m.gguf"
    path.write_bytes(header(pairs=(pair(b"k", ARRAY, struct.pack("<IQ", STRING, count) + bytes(8 * count)),)))
    begin = time.perf_counter()
    assert open_gguf(path).names() == ()
    assert time.perf_counter() - begin < 20  # 3 s on a busy machine; the limit on headers allows twice as many


def _good_file(path: Path) -> bytes:
    """A small Llama with every kind of metadata, 4-bit rows and permuted Q and K."""
    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_token_list(["<s>", "▁a", "b"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_array("llama.layers", [1, 2, 3])
    for name, rows in (("token_embd", 3), ("blk.0.attn_q", 32), ("blk.0.attn_k", 16)):
        kind = gguf.GGMLQuantizationType.Q4_0
        value = rng.standard_normal((rows, 32), dtype=np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.add_tensor("output_norm.weight", np.ones(32, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def _damage(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three edits, most of them in the header."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(data) if rng.random() < 0.2 else min(len(data), 900)))
        match rng.integers(5):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:  # a number field
                width = int(rng.choice([1, 4, 8]))
                value = int(
                    rng.choice(np.array([0, 1, 2, 9, 255, 1 << 16, 1 << 31, 1 << 40, (1 << 64) - 1], dtype=object))
                )
                data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
            case 2:
                del data[at : at + int(rng.integers(1, 16))]
            case 3:
                data[at:at] = rng.bytes(int(rng.integers(1, 16)))
            case _:
                del data[max(at, 24) :]
    return bytes(data)


def test_damaged_files_are_read_or_refused_by_our_own_errors(tmp_path: Path) -> None:
    good = _good_file(tmp_path / "good.gguf")
    path = tmp_path / "bad.gguf"
    rng = np.random.default_rng(20)
    refused, slowest = 0, 0.0
    for _ in range(MUTATIONS):
        path.write_bytes(_damage(good, rng))
        begin = time.perf_counter()
        try:
            source = open_gguf(path)
            for name in source.names():
                source.read_rows(name, 0, source.meta(name).rows)
        except InputError as error:
            refused += "bad.gguf" in str(error)
        slowest = max(slowest, time.perf_counter() - begin)
    assert MUTATIONS // 2 < refused < MUTATIONS  # some damage falls on values
    assert slowest < 5
