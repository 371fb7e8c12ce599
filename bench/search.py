"""How long a search among a million, or ten million, stored vectors takes, what it finds, and what it needs.

``python bench/search.py [--rows 1000000x256 10000000x256] [--questions 300] [--graph 1000000x256]`` makes synthetic
vectors, so many of so many dimensions, in a temporary folder (`search_rows.py`), builds the registry's search index of
them, asks it questions one after the other, then floods it. ``--graph`` also builds a graph of neighbours
(`search_graph.py`) at these sizes, to compare. Ten million rows need 7 GB of disk in the temporary folder (``TMPDIR``).
With ``--keep FOLDER`` the files stay there, and a part that was measured there before is not measured again.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from measuring import measure
from reporting import machine, publish, table
from search_graph import graph
from search_rows import FLOOD, FLOODER, QUESTIONS, families, read_flood, read_rows, write_rows
from whorl.registry.search_index import SearchIndex
from whorl.registry.search_vectors import Hit, Vectors, scheme_id

TOP: Final = 10
PER_CLAIMANT: Final = 3
WARM_UP: Final = 30
BATCH: Final = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=_size, nargs="+", default=[(1_000_000, 256)])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--graph", type=_size, nargs="+", default=[])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--part", choices=["make", *PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        [(rows, dimension)] = given.rows
        if given.part == "make":  # not part of what is measured
            write_rows(given.folder, rows, given.questions, dimension)
        print(json.dumps({} if given.part == "make" else PARTS[given.part](given.folder, rows, dimension)))
        return
    facts = machine()
    figures: dict[str, Any] = {}
    for rows, dimension in given.rows:
        size = f"{rows}x{dimension}"
        with _workplace(given.keep, size) as folder:
            _measured("make", folder, size, given.questions)
            parts = [part for part in PARTS if part != "graph" or (rows, dimension) in given.graph]
            figures[size] = {part: _measured(part, folder, size, given.questions) for part in parts}
    publish("search", figures, facts, section(figures))


def _size(text: str) -> tuple[int, int]:
    rows, dimension = map(int, text.split("x"))
    return rows, dimension


@contextmanager
def _workplace(keep: Path | None, size: str) -> Iterator[Path]:
    if keep is not None:
        (keep / size).mkdir(parents=True, exist_ok=True)
        yield keep / size
        return
    with tempfile.TemporaryDirectory(prefix="whorl-bench-") as folder:
        yield Path(folder)


def _measured(part: str, folder: Path, size: str, questions: int) -> dict[str, Any]:
    done = folder / f"{part}.json"
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    print(f"{size}: {part}", file=sys.stderr, flush=True)
    options = ["--part", part, "--folder", folder, "--rows", size, "--questions", str(questions)]
    run = measure([sys.executable, __file__, *options])
    found = {**json.loads(run.output), "peak_megabytes": round(run.peak_megabytes)}
    done.write_text(json.dumps(found))
    return found


def opened(folder: Path, dimension: int) -> SearchIndex:
    """The index of the synthetic scheme."""
    return SearchIndex.open(folder / "index", scheme=scheme_id("synthetic/1", dimension), dimension=dimension)


def build(folder: Path, rows: int, dimension: int) -> dict[str, Any]:
    """A rebuild from all rows, as after a loss of the index."""
    began, busy = time.perf_counter(), time.process_time()
    with opened(folder, dimension) as index:
        index.rebuild(read_rows(folder, rows, dimension))
    return {
        "wall_seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "load": round(os.getloadavg()[0], 1),
        "index_bytes": sum(path.stat().st_size for path in (folder / "index").iterdir()),
    }


def search(folder: Path, rows: int, dimension: int) -> dict[str, Any]:
    """Questions one after the other, by one client, in an index whose files are in the page cache."""
    family, asked = families(rows), np.load(folder / "questions.npz")
    began = time.perf_counter()
    with opened(folder, dimension) as index:
        found: dict[str, Any] = {"open_seconds": round(time.perf_counter() - began, 2), "kinds": {}}
        _answers(index, asked["flooded"][:WARM_UP])
        for kind in QUESTIONS:
            times, answers = _answers(index, asked[kind])
            parents = asked[f"{kind} rows"].tolist()
            pairs = list(zip(answers, parents, strict=True))
            first = sum(family[hits[0].key] == family[parent] for hits, parent in pairs)
            found["kinds"][kind] = {
                **times,
                "family_first": round(float(first) / len(pairs), 4),
                "parent_found": _found(pairs),
            }
    return found


def flood(folder: Path, rows: int, dimension: int) -> dict[str, Any]:
    """One claimant enters many vectors around one lone row; then that row's children are asked for."""
    asked = np.load(folder / "questions.npz")
    with opened(folder, dimension) as index:
        entered = read_flood(folder, rows, dimension)
        began = time.perf_counter()
        for start in range(0, FLOOD, BATCH):
            index.add(entered[start : start + BATCH])
        adding = time.perf_counter() - began
        _answers(index, asked["flooded"][:WARM_UP])
        times, answers = _answers(index, asked["flooded"])
    flooders = [hit for hits in answers for hit in hits if hit.group == FLOODER]
    return {
        "added_per_second": round(FLOOD / adding),
        **times,
        "parent_found": _found([(hits, int(asked["victim"][0])) for hits in answers]),
        "hits_of_the_flooder": round(len(flooders) / len(answers), 2),
    }


PARTS: Final = {"build": build, "search": search, "flood": flood, "graph": graph}


def _answers(index: SearchIndex, vectors: Vectors) -> tuple[dict[str, float], list[list[Hit]]]:
    milliseconds, answers, busy = [], [], time.process_time()
    for vector in vectors:
        began = time.perf_counter()
        answers.append(index.search(vector, top=TOP, per_group=PER_CLAIMANT))
        milliseconds.append(1000 * (time.perf_counter() - began))
    middle, high = np.quantile(milliseconds, [0.5, 0.95])
    times = {"median_ms": float(middle), "p95_ms": float(high), "slowest_ms": max(milliseconds)}
    times |= {"cpu_ms": 1000 * (time.process_time() - busy) / len(vectors), "load": os.getloadavg()[0]}
    return {name: round(value, 1) for name, value in times.items()}, answers


def _found(pairs: list[tuple[list[Hit], int]]) -> float:
    return round(sum(parent in [hit.key for hit in hits] for hits, parent in pairs) / len(pairs), 4)


def section(figures: dict[str, Any]) -> str:
    """The figures as text for people."""
    searches, lines = [], []
    for key, parts in figures.items():
        built, asked, flooded = parts["build"], parts["search"], parts["flood"]
        size = "{:,} x {}".format(*_size(key))
        for kind, found in asked["kinds"].items():
            searches.append([size, kind, *_times(found), _share(found["family_first"]), _share(found["parent_found"])])
        searches.append(
            [size, "lone parent in a flood, cosine 0.8", *_times(flooded), "", _share(flooded["parent_found"])]
        )
        lines.append(
            f"{size}: built in {built['wall_seconds']:.0f} s (CPU {built['cpu_seconds']:.0f} s, load {built['load']}), "
            f"peak {built['peak_megabytes']} MB, {built['index_bytes'] / 1e6:.0f} MB of files; opened in "
            f"{asked['open_seconds']:.2f} s; searching, peak {asked['peak_megabytes']} MB with the mapped files. "
            f"Batches of {BATCH} rows, each durable: {flooded['added_per_second']:,} rows/s."
        )
        if compared := parts.get("graph"):
            for kind, found in compared["kinds"].items():
                times = [f"{found['median_ms']:.1f}", f"{found['p95_ms']:.1f}", "", "", ""]
                shares = [_share(found["family_first"]), _share(found["parent_found"])]
                searches.append([size, f"graph: {kind}", *times, *shares])
            lines.append(
                f"{size}, graph: built in {compared['wall_seconds']:.0f} s (CPU {compared['cpu_seconds']:.0f} s), "
                f"peak {compared['peak_megabytes']} MB, {compared['file_bytes'] / 1e6:.0f} MB of files."
            )
    times = ["median ms", "p95 ms", "slowest", "CPU ms", "load"]
    header = ["rows x dimensions", "question", *times, "family first", f"row in the first {TOP}"]
    return "\n".join([table(header, searches), "", *lines])


def _times(found: dict[str, Any]) -> list[str]:
    return [f"{found[name]:.1f}" for name in ("median_ms", "p95_ms", "slowest_ms", "cpu_ms", "load")]


def _share(value: float) -> str:
    return f"{100 * value:.1f}%"


if __name__ == "__main__":
    main()
