"""How long a search among 10,000 stored fingerprints takes, as a user sees it.

``python bench/search.py [--entries 10000] [--rounds 5]`` fills a registry in a temporary folder with synthetic
fingerprints (the demo's models with other numbers in them) and the demo's real ones, then runs ``whorl identify``.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measuring import WHORL, Run, drop_from_cache, measure
from reporting import machine, publish, table
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import WeightFingerprint, fingerprint_checkpoint
from whorl.registry.storage import Registry

MODELS = Path(__file__).parent.parent / "demo" / "models"
SUSPECT, SOURCE = "suspect", "base"
REGISTERED = (SOURCE, "twin", "sibling", "student")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    facts = machine()
    real = {name: fingerprint_checkpoint(MODELS / name, progress=silent) for name in (*REGISTERED, SUSPECT)}
    with tempfile.TemporaryDirectory(prefix="whorl-bench-") as folder:
        registry, question = Path(folder, "registry.sqlite"), Path(folder, "suspect.whorl")
        question.write_bytes(real[SUSPECT].to_bytes())
        fill(registry, real, given.entries)
        figures = {"entries": given.entries, "registry_bytes": registry.stat().st_size}
        figures |= {"fingerprint_bytes": len(real[SOURCE].to_bytes())}
        figures |= {"runs": search_runs(registry, question, given.rounds)}
    publish("search", figures, facts, section(figures))


def fill(path: Path, real: dict[str, WeightFingerprint], entries: int) -> None:
    """Register the real models, and synthetic ones up to ``entries`` in all."""
    now = datetime.now(UTC)
    with Registry(path, create=True) as registry:
        for name, fingerprint in (*((name, real[name]) for name in REGISTERED), *synthetic(real, entries)):
            registry.register(
                name=name,
                fingerprint_bytes=fingerprint.to_bytes(),
                digest=fingerprint.digest,
                search_vector=fingerprint.search_vector(),
                registered_at=now,
            )


def synthetic(real: dict[str, WeightFingerprint], entries: int) -> Iterator[tuple[str, WeightFingerprint]]:
    """Unrelated fingerprints of the demo models' shape.

    Their search vectors lie as close to each other as those of `base` and `twin`, which share data and nothing else:
    an easier haystack would flatter the search.
    """
    generator = np.random.Generator(np.random.PCG64(0))
    source, twin = (_unit(real[name].search_vector()) for name in (SOURCE, "twin"))
    shared, cosine = _unit(source + twin), float(source @ twin)
    for number in range(entries - len(REGISTERED)):
        own = _unit(generator.standard_normal(shared.size))
        vector = np.sqrt(max(cosine, 0)) * shared + np.sqrt(1 - max(cosine, 0)) * own
        yield f"synthetic-{number:05}", _disguised(real["twin"], f"synthetic-{number:05}", vector, generator)


def _disguised(
    model: WeightFingerprint, name: str, vector: NDArray[np.float64], generator: np.random.Generator
) -> WeightFingerprint:
    """The model's fingerprint with random neurons and heads, other digests and the given search vector."""
    matrices = tuple(
        entry.model_copy(update={"digest": f"sha256:{generator.bytes(32).hex()}"}) for entry in model.header.matrices
    )
    vectors = {role: f"sha256:{generator.bytes(32).hex()}" for role in model.header.vectors}
    arrays = dict(model.arrays)
    for array in ("neuron_bits", "head_query_key", "head_output_value", "residual"):
        drawn = np.frombuffer(generator.bytes(arrays[array].nbytes), np.uint8)
        arrays[array] = np.maximum(drawn.view(arrays[array].dtype).reshape(arrays[array].shape), _lowest(arrays[array]))
    arrays["search"] = np.round(127 * vector / np.abs(vector).max()).astype(np.int8)
    header = model.header.model_copy(update={"name": name, "matrices": matrices, "vectors": vectors})
    return WeightFingerprint(header=header, arrays=arrays)


def _lowest(array: NDArray[Any]) -> int:
    """Signed numbers are stored from -127: -128 never occurs in a fingerprint."""
    return -127 if array.dtype == np.int8 else 0


def _unit(vector: NDArray[Any]) -> NDArray[np.float64]:
    floats = vector.astype(np.float64)
    return np.asarray(floats / np.linalg.norm(floats))


def search_runs(registry: Path, question: Path, rounds: int) -> dict[str, Any]:
    """``whorl identify`` with the registry file in the page cache and not, testing five leads or one."""
    found: dict[str, Any] = {}
    for cache, top in (("warm", 5), ("warm", 1), ("cold", 5)):
        runs = []
        for _ in range(rounds):
            if cache == "cold":
                drop_from_cache([registry])
            options = ["--top", str(top), "--json", "--quiet"]
            runs.append(measure([WHORL, "identify", question, "--registry", registry, *options]))
        found[f"{cache}, {top} leads tested"] = _figures(runs)
    return found


def _figures(runs: list[Run]) -> dict[str, Any]:
    leads = json.loads(runs[-1].output)["leads"]
    return {
        "wall_seconds": [round(run.wall_seconds, 2) for run in runs],
        "cpu_seconds": [round(run.cpu_seconds, 2) for run in runs],
        "peak_megabytes": round(max(run.peak_megabytes for run in runs)),
        "leads": [[lead["name"], round(lead["score"], 3), lead["finding"]["conclusion"]["relation"]] for lead in leads],
    }


def section(figures: dict[str, Any]) -> str:
    """The figures as text for people."""
    rows = [
        [
            what,
            f"{statistics.median(run['wall_seconds']):.2f}",
            f"{max(run['wall_seconds']):.2f}",
            f"{statistics.median(run['cpu_seconds']):.2f}",
            f"{run['peak_megabytes']}",
        ]
        for what, run in figures["runs"].items()
    ]
    leads = ", ".join(
        f"{name} {score:.3f} ({relation})" for name, score, relation in next(iter(figures["runs"].values()))["leads"]
    )
    return "\n".join(
        [
            table(["`whorl identify`", "median wall s", "slowest", "median CPU s", "peak MB"], rows),
            "",
            f"{figures['entries']} entries, {figures['registry_bytes'] / 1e6:.0f} MB in one file, "
            f"{figures['fingerprint_bytes'] / 1e3:.0f} KB each. Leads and what the pairwise test said: {leads}.",
        ]
    )


if __name__ == "__main__":
    main()
