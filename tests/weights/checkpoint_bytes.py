"""Checkpoint files made by hand, byte by byte, so that tests can make them lie."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whorl.core.arrays import Floats
from whorl.weights.source import TensorSource

TENSORS = {
    "embed.weight": torch.arange(24, dtype=torch.float32).reshape(6, 4).sub(11.5).to(torch.bfloat16),
    "norm.weight": torch.linspace(0.5, 1.5, 4),
    "scale": torch.tensor(3.25, dtype=torch.float16),
}


def safetensors_bytes(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with this header, whatever it claims."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    """One tensor's entry in a safetensors header: by default two float32 values."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def torch_bytes(state: Any, **options: Any) -> bytes:
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


def torch_records(state: Any) -> dict[str, bytes]:
    """The records of the archive that `torch.save` writes, by name without the root folder."""
    with zipfile.ZipFile(io.BytesIO(torch_bytes(state))) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def zip_bytes(
    records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED, *, wide_headers: bool = False
) -> bytes:
    """An archive of these records under the root folder ``archive``; ``wide_headers`` as for more than 4 GB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in records.items():
            with archive.open(f"archive/{name}", "w", force_zip64=wide_headers) as record:
                record.write(data)
    return buffer.getvalue()


def wire_field(number: int, payload: bytes) -> bytes:
    """A length-delimited field in the protocol-buffer wire format, for payloads under 128 bytes."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def sentencepiece_bytes(*pieces: str) -> bytes:
    """A SentencePiece ``ModelProto``: pieces with text, score and type, then a trainer specification."""
    score, control = b"\x15\x00\x00\x00\x00", b"\x18\x03"
    body = b"".join(wire_field(1, wire_field(1, piece.encode()) + score + control) for piece in pieces)
    return body + wire_field(2, b"\x18\x01")


def write_folder(folder: Path, files: Mapping[str, bytes | Mapping[str, Any]]) -> Path:
    """Write a folder of files; dictionaries become JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def read_whole(source: TensorSource, name: str) -> Floats:
    """A whole tensor in its own shape, read in blocks of three rows."""
    meta = source.meta(name)
    blocks = [source.read_rows(name, start, min(start + 3, meta.rows)) for start in range(0, meta.rows, 3)]
    return np.concatenate(blocks).reshape(meta.shape) if blocks else np.empty(meta.shape, np.float32)
