"""What the command-line tests share: the sample findings, a runner, and an engine that answers at once."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1] / "comparison"))  # sample_findings

import fake_engine

from whorl.cli.main import app
from whorl.core.evidence import Finding

Run = Callable[..., Result]
UseFinding = Callable[[Finding], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Run:
    for name in ("WHORL_REGISTRY", "WHORL_KEY", "WHORL_POLICY", "WHORL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
    monkeypatch.delenv("WHORL_DEBUG", raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Finding | BaseException], None]:
    """Make every comparison answer, or fail, in the given way."""

    def use(answer: Finding | BaseException) -> None:
        for name, module in fake_engine.modules(answer).items():
            monkeypatch.setitem(sys.modules, name, module)

    return use


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.fake"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.fake"
    path.write_bytes(b"other weights")
    return path
