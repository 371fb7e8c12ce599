"""What the fingerprint tests share: drawn models on disk and their fingerprints."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "weights"))  # memory_source

from generated_models import drawn, write

from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import WeightFingerprint, fingerprint_checkpoint


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose time when several threads share them."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn Llama on disk."""
    return write(tmp_path_factory.mktemp("drawn") / "llama", drawn("llama", 1))


@pytest.fixture(scope="session")
def fingerprint(llama: Path) -> WeightFingerprint:
    """Its fingerprint."""
    return fingerprint_checkpoint(llama, progress=silent, jobs=1)
