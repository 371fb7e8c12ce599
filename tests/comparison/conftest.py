"""What the comparison tests share: the demo's trained models, compared once, and drawn models on disk."""

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "fingerprints"))  # generated_models

from comparison_types import DEMO, Access, Demo, Put
from generated_models import Storage, write

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.evidence import Finding
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import WeightFingerprint, fingerprint_checkpoint
from whorl.weights.in_memory import Checkpoint


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose time when several threads share them."""
    with threadpool_limits(1):
        yield


@cache
def _fingerprint(name: str) -> WeightFingerprint:
    return fingerprint_checkpoint(DEMO / name, progress=silent, jobs=1)


@cache
def _demo(questioned: str, reference: str, access: Access) -> Finding:
    if access == "weights":
        return compare(DEMO / questioned, DEMO / reference, progress=silent, jobs=1, with_power=False)
    return compare_fingerprints(_fingerprint(questioned), _fingerprint(reference), with_power=False)


@pytest.fixture(scope="session")
def demo() -> Demo:
    """The finding on two of the demo's models, without simulated copies; each pair is compared once."""
    return _demo


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a checkpoint into a folder of its own."""
    made: list[Path] = []

    def use(
        checkpoint: Checkpoint, *, vocabulary: Sequence[str] | None = (), storage: Storage = "F32", shards: int = 1
    ) -> Path:
        folder = tmp_path / f"model{len(made)}"
        made.append(write(folder, checkpoint, vocabulary=vocabulary, storage=storage, shards=shards))
        return made[-1]

    return use
