"""One case that is led as far as the tests need it; each test works on a copy of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_case import ORDER, Steps


class Led:
    """The folder of a case after each of its steps, made when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps = Steps(folder / "case")
        self._after: dict[str, Path] = {}

    def after(self, step: str) -> Path:
        for name in ORDER[: ORDER.index(step) + 1]:
            if name not in self._after:
                getattr(self._steps, name)()
                self._after[name] = shutil.copytree(self._steps.path, self._folder / f"after-{name}")
        return self._after[step]


@pytest.fixture(scope="session")
def led(tmp_path_factory: pytest.TempPathFactory) -> Led:
    return Led(tmp_path_factory.mktemp("led"))


@pytest.fixture
def case_after(led: Led, tmp_path: Path) -> Callable[[str], Steps]:
    """A copy of the case after a step, with a clock that is later than all that happened."""

    def copy(step: str) -> Steps:
        steps = Steps(shutil.copytree(led.after(step), tmp_path / "case"))
        for _ in range(60):
            steps.clock()
        return steps

    return copy
