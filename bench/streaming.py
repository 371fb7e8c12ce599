"""How fast, and in how much memory, a 7B checkpoint is fingerprinted, next to merely reading and hashing its files.

``python bench/streaming.py [--layers 32] [--rounds 3] [--keep FOLDER] [--pair]``. Without ``--keep`` the checkpoint
lies in a temporary folder and is deleted at the end. ``--pair`` also writes a drifted copy and runs ``whorl compare``
on the two checkpoints; it needs twice the space.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import WHORL, Run, drop_from_cache, measure
from reporting import machine, publish, table
from shaped_checkpoint import checkpoint_bytes
from whorl.fingerprints.weight_fingerprint import JOBS

HERE = Path(__file__).parent
HEADROOM_BYTES = 4 << 30
ONE_THREAD, SAME_THREADS, FINGERPRINT = "hash, 1 thread", f"hash, {JOBS} threads", f"fingerprint, {JOBS} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--pair", action="store_true")
    given = parser.parse_args()
    with _workplace(given.keep) as folder:
        _require_space(folder, checkpoint_bytes(given.layers) * (2 if given.pair else 1))
        facts = machine()
        checkpoint = _written(folder / "checkpoint", given.layers)
        stored = folder / "checkpoint.whorl"
        figures: dict[str, Any] = {"layers": given.layers, "bytes": checkpoint_bytes(given.layers)}
        figures |= {"threads": JOBS, "turns": given.rounds}
        figures |= {"speed": _speeds(checkpoint, stored, given.rounds), "fingerprint_bytes": stored.stat().st_size}
        if given.keep is None and not given.pair:
            shutil.rmtree(checkpoint)
        drifted = _written(folder / "drifted", given.layers, "--drift")
        figures["stored_pair"] = _stored_pair(stored, drifted, given.rounds)
        if given.pair:
            figures["checkpoint_pair"] = _compared(drifted, checkpoint, 1)
    publish("streaming", figures, facts, section(figures))


@contextmanager
def _workplace(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="whorl-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _require_space(folder: Path, needed: int) -> None:
    there = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    free = shutil.disk_usage(folder).free
    if free < needed - there + HEADROOM_BYTES:
        raise SystemExit(
            f"{folder}: expected {(needed - there + HEADROOM_BYTES) / 1e9:.0f} GB of free disk, found "
            f"{free / 1e9:.0f} GB; set TMPDIR to a larger disk, or ask for fewer --layers"
        )


def _written(folder: Path, layers: int, *options: str) -> Path:
    """The checkpoint in ``folder``, written by another process if it is not there yet."""
    if not (folder / "tokenizer.json").exists():
        print(f"writing {checkpoint_bytes(layers) / 1e9:.1f} GB", file=sys.stderr)
        measure([sys.executable, HERE / "shaped_checkpoint.py", folder, "--layers", str(layers), *options])
    return folder


def _speeds(checkpoint: Path, stored: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """Every command in turn, ``rounds`` times, so that a busy minute of the machine hits all of them alike."""
    shards = sorted(checkpoint.glob("*.safetensors"))
    commands: dict[str, list[str | Path]] = {
        ONE_THREAD: [sys.executable, HERE / "read_and_hash.py", "1", *shards],
        SAME_THREADS: [sys.executable, HERE / "read_and_hash.py", str(JOBS), *shards],
        FINGERPRINT: [WHORL, "fingerprint", checkpoint, "-o", stored, "--force", "--quiet"],
    }
    runs: dict[str, dict[str, list[Run]]] = {cache: {name: [] for name in commands} for cache in ("cold", "warm")}
    for turn in range(rounds):
        for cache in runs:
            for name, command in commands.items():
                if cache == "cold":
                    drop_from_cache(shards)
                runs[cache][name].append(measure(command))
                print(f"{turn + 1}/{rounds} {cache} {name}: {_spoken(runs[cache][name][-1])}", file=sys.stderr)
    return {cache: _figures(taken) for cache, taken in runs.items()}


def _figures(taken: dict[str, list[Run]]) -> dict[str, Any]:
    """Per command its runs, and the fingerprint's speed as a share of the command's, turn by turn."""

    def speed(quantity: str, runs: list[Run]) -> list[float]:
        pairs = zip(runs, taken[FINGERPRINT], strict=True)
        return [round(getattr(run, quantity) / getattr(ours, quantity), 3) for run, ours in pairs]

    return {
        name: {
            "wall_seconds": [round(run.wall_seconds, 2) for run in runs],
            "cpu_seconds": [round(run.cpu_seconds, 2) for run in runs],
            "peak_megabytes": round(max(run.peak_megabytes for run in runs)),
            "fingerprint_speed_by_wall": speed("wall_seconds", runs),
            "fingerprint_speed_by_cpu": speed("cpu_seconds", runs),
        }
        for name, runs in taken.items()
    }


def _stored_pair(reference: Path, drifted: Path, rounds: int) -> dict[str, Any]:
    """Fingerprint a drifted copy and compare the two stored fingerprints, as a user would."""
    questioned = drifted.with_suffix(".whorl")
    measure([WHORL, "fingerprint", drifted, "-o", questioned, "--force", "--quiet"])
    return _compared(questioned, reference, rounds)


def _compared(questioned: Path, reference: Path, rounds: int) -> dict[str, Any]:
    runs = [measure([WHORL, "compare", questioned, reference, "--json", "--quiet"]) for _ in range(rounds)]
    finding = json.loads(runs[-1].output)
    return {
        "wall_seconds": [round(run.wall_seconds, 2) for run in runs],
        "cpu_seconds": [round(run.cpu_seconds, 2) for run in runs],
        "peak_megabytes": round(max(run.peak_megabytes for run in runs)),
        "layers_found": sum(layer["reference"] == layer["questioned"] for layer in finding["layers"]),
    }


def section(figures: dict[str, Any]) -> str:
    """The figures as text for people."""
    rows = [
        [
            cache,
            name,
            f"{statistics.median(found['wall_seconds']):.1f}",
            f"{statistics.median(found['cpu_seconds']):.1f}",
            f"{found['peak_megabytes']}",
            _shares(found["fingerprint_speed_by_wall"]),
            _shares(found["fingerprint_speed_by_cpu"]),
        ]
        for cache, commands in figures["speed"].items()
        for name, found in commands.items()
    ]
    header = ["files", "what", "median wall s", "median CPU s", "peak MB", "fingerprint's speed, by wall", "by CPU"]
    compared = [_compared_line("Two stored fingerprints", figures["stored_pair"], figures["layers"])]
    if "checkpoint_pair" in figures:
        compared.append(_compared_line("The two checkpoints themselves", figures["checkpoint_pair"], figures["layers"]))
    return "\n".join(
        [
            table(header, rows),
            "",
            f"Checkpoint of {figures['bytes'] / 1e9:.2f} GB in {figures['layers']} layers, fingerprint of "
            f"{figures['fingerprint_bytes'] / 1e6:.3f} MB. The last two columns are the median, lowest and highest of "
            f"{figures['turns']} turns.",
            "",
            *compared,
        ]
    )


def _compared_line(what: str, pair: dict[str, Any], layers: int) -> str:
    return (
        f"{what} (a drifted copy against the original) compared: {statistics.median(pair['wall_seconds']):.2f} s wall, "
        f"{statistics.median(pair['cpu_seconds']):.2f} s CPU, {pair['peak_megabytes']} MB; "
        f"{pair['layers_found']} of {layers} layers found at their place."
    )


def _shares(turns: list[float]) -> str:
    return f"{statistics.median(turns):.0%} ({min(turns):.0%} to {max(turns):.0%})"


def _spoken(run: Run) -> str:
    return f"{run.wall_seconds:.1f} s, {run.cpu_seconds:.1f} s CPU, {run.peak_megabytes:.0f} MB"


if __name__ == "__main__":
    main()
