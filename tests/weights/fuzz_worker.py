"""Open and read mutated checkpoints under a memory limit; print what happened as JSON.

Run as ``python fuzz_worker.py CORPUS SCRATCH COUNT SEED``: CORPUS holds one folder per checkpoint, each mutation
spoils one file of one of them. A process of its own, so that the limit also holds for memory that Python does not
account for."""

import hashlib
import json
import re
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from whorl.core.errors import WhorlError
from whorl.weights.opening import open_checkpoint

EXTRA_MEMORY = 1 << 30
INTEGERS = (0, 1, 2, 7, 127, 128, 255, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 64) - 1)
WORDS = (
    b"-1",
    b"0",
    b"1e9",
    b"18446744073709551616",
    b"true",
    b"null",
    b"[]",
    b"{}",
    b'"F16"',
    b'""',
    b"NaN",
    b"[" * 3000,
)
TOKEN = re.compile(rb'-?\d+|"[^"]*"|[\[\]{},:]')


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three small edits, to bytes or, where the file is text or starts with a text header, to words."""
    data = bytearray(content)
    edit = edit_word if rng.random() < 0.5 and b"{" in data[:9] else edit_bytes
    for _ in range(int(rng.integers(1, 4))):
        edit(data, rng)
    return bytes(data)


def edit_bytes(data: bytearray, rng: np.random.Generator) -> None:
    """An edit of a kind that has broken parsers before."""
    at = int(rng.integers(len(data) + 1))
    match rng.integers(6):
        case 0:  # flip a bit
            if at < len(data):
                data[at] ^= 1 << int(rng.integers(8))
        case 1:
            del data[at:]
        case 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 16)))
        case 3:
            del data[at : at + int(rng.integers(1, 32))]
        case 4:  # repeat a piece elsewhere
            piece = data[at : at + int(rng.integers(1, 64))]
            data[(to := int(rng.integers(len(data) + 1))) : to] = piece
        case _:  # a number field, at any place and most of all where formats keep their lengths
            width = int(rng.choice([1, 2, 4, 8]))
            at = int(rng.choice([0, at, max(len(data) - 22 + int(rng.integers(22)), 0)]))
            value = int(rng.choice(np.array(INTEGERS, dtype=object))) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, "little")


def edit_word(data: bytearray, rng: np.random.Generator) -> None:
    """Exchange a word of a JSON text, which in a safetensors header keeps its length field true."""
    start = 0 if data[:1] == b"{" else 8
    stop = 8 + int.from_bytes(data[:8], "little") if start else len(data)
    words = list(TOKEN.finditer(bytes(data[:stop]), start))
    if words:
        found = words[int(rng.integers(len(words)))]
        word = rng.choice(np.array([*WORDS, *(other.group() for other in words)], dtype=object))
        data[found.start() : found.end()] = word
        if start:
            data[:8] = (stop - 8 + len(word) - len(found.group())).to_bytes(8, "little")


def use(folder: Path) -> None:
    """Everything a caller may ask of a checkpoint."""
    source, digest = open_checkpoint(folder), hashlib.sha256()
    _ = source.vocabulary, source.description, source.config
    for name in source.names():
        source.read_rows(name, 0, source.meta(name).rows, digest.update)


def main(corpus: Path, scratch: Path, count: int, seed: int) -> None:
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + EXTRA_MEMORY, in_use + EXTRA_MEMORY))
    shutil.copytree(corpus, scratch)
    files = sorted(path for path in scratch.rglob("*") if path.is_file())
    outcomes = {"read": 0, "refused": 0}
    failures: list[str] = []
    slowest = 0.0
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        file = files[int(rng.integers(len(files)))]
        content = file.read_bytes()
        file.unlink()  # many file systems write a file to disk at once when it is overwritten
        file.write_bytes(mutate(content, rng))
        started = time.process_time()
        try:
            use(file.parent)
            outcomes["read"] += 1
        except WhorlError:
            outcomes["refused"] += 1
        except Exception:  # whatever else comes out is what this program looks for
            failures.append(f"mutation {number} of {file.name}: {traceback.format_exc(limit=-3)}")
        slowest = max(slowest, time.process_time() - started)
        file.unlink()
        file.write_bytes(content)
    print(json.dumps(outcomes | {"failures": failures[:5], "failed": len(failures), "slowest": slowest}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
