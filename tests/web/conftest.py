"""A registry's folder for each test, copied from one that is made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, new_registry, serving


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_registry(tmp_path_factory.mktemp("registry") / "template")


@pytest.fixture
def folder(registry_template: Path, tmp_path: Path) -> Path:
    """A registry's folder; all are copies of one, with the same keys."""
    return new_registry(tmp_path / "registry", template=registry_template)


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    """A registry that answers, without limits on rates."""
    with serving(folder) as found:
        yield found
