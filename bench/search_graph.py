"""The alternative to sketches that was not taken: a graph of neighbours (HNSW, the usearch library), on the same rows.

``python bench/search.py --graph`` builds it of the same vectors, centred and rounded to int8, asks the same questions
and scores what it proposes exactly. See ``docs/methods/registry_search.md`` for what came out.
"""

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search_rows import QUESTIONS, families

CONNECTIVITY: Final = 16
EXPANSION: Final = 96
CANDIDATES: Final = (200, 800)
_BLOCK: Final = 1 << 16


def graph(folder: Path, rows: int, dimension: int) -> dict[str, Any]:
    """Build the graph in one go, map it from its file, and ask."""
    from usearch.index import Index

    stored = np.memmap(folder / "rows.bin", np.int8, mode="r", shape=(rows, dimension))
    mean = _units(stored[:: max(1, rows // 100_000)]).mean(axis=0)
    options = {"ndim": dimension, "metric": "cos", "dtype": "i8", "connectivity": CONNECTIVITY}
    index, path = Index(**options, expansion_add=EXPANSION, enable_key_lookups=False), folder / "graph.usearch"
    began, busy = time.perf_counter(), time.process_time()
    for start in range(0, rows, _BLOCK):
        block = _centred(stored[start : start + _BLOCK], mean)
        index.add(np.arange(start, start + len(block), dtype=np.uint64), _int8(block))
    index.save(path)
    found: dict[str, Any] = {
        "wall_seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "file_bytes": path.stat().st_size,
        "kinds": {},
    }
    index = Index(**options, enable_key_lookups=False)
    index.view(path)
    asked, family = np.load(folder / "questions.npz"), families(rows)
    for candidates in CANDIDATES:
        index.expansion_search = candidates
        for kind in QUESTIONS:
            sought = _centred(asked[kind], mean)
            milliseconds, first, parents = [], 0, 0
            for vector, rounded, parent in zip(sought, _int8(sought), asked[f"{kind} rows"], strict=True):
                began = time.perf_counter()
                keys = index.search(rounded, candidates, threads=1).keys.astype(np.int64)
                scores = _centred(stored[keys], mean) @ vector
                ranked = keys[np.argsort(-scores)][:10]
                milliseconds.append(1000 * (time.perf_counter() - began))
                first += int(family[ranked[0]] == family[parent])
                parents += int(parent in ranked)
            found["kinds"][f"{kind}, {candidates} candidates"] = {
                "median_ms": round(float(np.quantile(milliseconds, 0.5)), 1),
                "p95_ms": round(float(np.quantile(milliseconds, 0.95)), 1),
                "family_first": round(first / len(sought), 4),
                "parent_found": round(parents / len(sought), 4),
            }
    return found


def _units(rows: NDArray[np.int8]) -> NDArray[np.float32]:
    floats = rows.astype(np.float32)
    return np.asarray(floats / np.sqrt(np.vecdot(floats, floats))[:, None])


def _centred(rows: NDArray[np.int8], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = _units(rows) - mean
    return np.asarray(centred / np.sqrt(np.vecdot(centred, centred))[:, None])


def _int8(rows: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.rint(127 * rows / np.abs(rows).max(axis=1, keepdims=True)).astype(np.int8)
