"""The laboratory of small chat models, trained once and kept between test runs as long as its recipe is the same."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_models import Served, serve_llama_cpp

from bench.chat_lab.lab import REDUCED, Lab, train_lab

DAY = 86400


@pytest.fixture(scope="session")
def lab_folder(request: pytest.FixtureRequest) -> Path:
    """Where trained models outlive a test run; those of other recipes are thrown away."""
    cache = request.config.cache
    assert cache is not None
    return Path(cache.mkdir("chat-lab"))


@pytest.fixture(scope="session")
def chat_lab(lab_folder: Path) -> Lab:
    """The reduced laboratory: about a minute and a quarter of one core when it is not there yet."""
    lab = train_lab(lab_folder, size=REDUCED, progress=lambda _: None)
    for other in lab_folder.glob(f"{REDUCED.name}-*"):
        if other != lab.folder and time.time() - other.stat().st_mtime > DAY:  # another run may be using a younger one
            shutil.rmtree(other, ignore_errors=True)
    return lab


@pytest.fixture(scope="session")
def base_served(chat_lab: Lab) -> Iterator[Served]:
    """Base behind llama.cpp's server."""
    with serve_llama_cpp(chat_lab.base / "model.gguf", context=2048) as served:
        yield served
