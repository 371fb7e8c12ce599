"""Synthetic search vectors and questions for ``bench/search.py``.

Half of each vector's squared length is shared by all rows. Families have 50 members, in random order among the rows;
members of one family have a cosine of about 0.7 once the shared part is taken out. 2,000 rows are alone in their
family. Claimants differ in size: the largest has about a hundredth of the rows. A question is a noisy copy of a row:
its cosine with that row, without the shared part, is given.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from whorl.registry.search_vectors import VectorRow

MEMBERS: Final = 50
LONE: Final = 2000
FLOOD: Final = 10_000
FLOODER: Final = 10**12
QUESTIONS: Final = {"family member, cosine 0.8": 0.8, "lone parent, cosine 0.8": 0.8, "lone parent, cosine 0.5": 0.5}
_BLOCK_VALUES: Final = 1 << 24


def families(rows: int) -> NDArray[np.int64]:
    """Family of each row: the lone ones come first in number."""
    step = next(step for step in range(int(0.618 * rows), rows) if math.gcd(step, rows) == 1)
    place = np.arange(rows, dtype=np.int64) * step % rows
    return np.where(place < LONE, place, LONE + (place - LONE) // MEMBERS)


def write_rows(folder: Path, rows: int, questions: int, dimension: int) -> None:
    """Write ``rows.bin`` (int8), ``questions.npz`` and ``flood.bin``, all drawn from one seed."""
    generator, block = np.random.Generator(np.random.PCG64(rows)), _block(dimension)
    shared = _unit(_normal(generator, 1, dimension))
    family = families(rows)
    centres = _unit(_normal(generator, int(family.max()) + 1, dimension))
    asked = _asked(generator, family, questions)
    wanted = {row: np.zeros(dimension, np.float32) for row in np.concatenate(list(asked.values()))}
    with (folder / "rows.bin").open("wb") as file:
        for start in range(0, rows, block):
            noise = _normal(generator, min(block, rows - start), dimension)
            own = _mixed(centres[family[start : start + block]], noise, 0.7)
            file.write(_quantised(_mixed(shared, own, 0.5)).tobytes())
            wanted.update({row: own[row - start].copy() for row in wanted if start <= row < start + len(own)})
    written: dict[str, NDArray[Any]] = {}
    for (kind, cosine), picked in zip(QUESTIONS.items(), asked.values(), strict=True):
        written[f"{kind} rows"] = picked
        written[kind] = _near(generator, shared, np.stack([wanted[row] for row in picked]), cosine)
    victim = asked["lone parent, cosine 0.8"][0]
    written["victim"] = np.array([victim])
    written["flooded"] = _near(generator, shared, np.repeat(wanted[victim][None], questions, axis=0), 0.8)
    np.savez(folder / "questions.npz", **written)
    flood = _near(generator, shared, np.repeat(wanted[victim][None], FLOOD, axis=0), 0.97)
    (folder / "flood.bin").write_bytes(flood.tobytes())


def read_rows(folder: Path, rows: int, dimension: int) -> Iterator[VectorRow]:
    """The rows as the registry would give them to the index, read in blocks."""
    claimants = np.random.Generator(np.random.PCG64(1)).random(rows) ** 3 * (rows // 20)
    with (folder / "rows.bin").open("rb") as file:
        for start in range(0, rows, _block(dimension)):
            read = np.frombuffer(file.read(_block(dimension) * dimension), np.int8).reshape(-1, dimension)
            groups = claimants[start : start + len(read)].astype(np.int64).tolist()
            for place, (group, vector) in enumerate(zip(groups, read, strict=True)):
                yield VectorRow(key=start + place, group=group, vector=vector)


def read_flood(folder: Path, first_key: int, dimension: int) -> list[VectorRow]:
    """What one claimant enters around a lone row, to bury it: cosine 0.97 with it, without the shared part."""
    vectors = np.frombuffer((folder / "flood.bin").read_bytes(), np.int8).reshape(-1, dimension)
    return [VectorRow(key=first_key + place, group=FLOODER, vector=vector) for place, vector in enumerate(vectors)]


def _asked(generator: np.random.Generator, family: NDArray[np.int64], questions: int) -> dict[str, NDArray[np.int64]]:
    lone, others = np.flatnonzero(family < LONE), np.flatnonzero(family >= LONE)
    return {kind: generator.choice(lone if "lone" in kind else others, questions, replace=False) for kind in QUESTIONS}


def _near(
    generator: np.random.Generator, shared: NDArray[np.float32], own: NDArray[np.float32], cosine: float
) -> NDArray[np.int8]:
    noise = _normal(generator, *own.shape)
    noise -= np.vecdot(noise, own)[:, None] * own
    return _quantised(_mixed(shared, cosine * own + math.sqrt(1 - cosine**2) * _unit(noise), 0.5))


def _normal(generator: np.random.Generator, rows: int, dimension: int) -> NDArray[np.float32]:
    return generator.standard_normal((rows, dimension), dtype=np.float32)


def _block(dimension: int) -> int:
    return _BLOCK_VALUES // dimension


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.sqrt(np.vecdot(rows, rows))[:, None], np.float32)


def _mixed(left: NDArray[np.float32], right: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    return _unit(np.asarray(math.sqrt(share) * _unit(left) + math.sqrt(1 - share) * _unit(right), np.float32))


def _quantised(rows: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.rint(127 * rows / np.abs(rows).max(axis=1, keepdims=True)).astype(np.int8)
