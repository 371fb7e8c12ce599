"""``whorl log monitor``: a log is compared with what was seen of it, and first sight is said, not assumed."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "entries"))  # small_log

from small_log import counting_bytes

from whorl.entries.kinds import Model
from whorl.registry.local import create_registry, open_registry

Run = Callable[..., Result]
ORIGIN = "bureau.example/north"


@pytest.fixture
def watch(run: Run, tmp_path: Path) -> Callable[..., Result]:
    folder = tmp_path / "north"
    create_registry(
        folder, origin=ORIGIN, bureau_name="Harbour Bureau", jurisdiction="NL", random_bytes=counting_bytes(1)
    ).close()
    return lambda *options: run("log", "monitor", folder / "log", "--policy", folder / "policy.txt", *options)


def grow(tmp_path: Path) -> None:
    with open_registry(tmp_path / "north") as registry:
        registry.sequencer.enter_own([Model(publisher="Harbour Bureau", name="harbour-1")])


def test_first_sight_is_said_and_then_compared_with(watch: Callable[..., Result], tmp_path: Path) -> None:
    memory = tmp_path / "deep" / "memory"
    first = watch("--state", memory, "--first")
    assert first.exit_code == 0
    assert first.stdout.startswith("First sight")
    assert "Nothing was compared" in first.stdout
    grow(tmp_path)
    seen = json.loads(watch("--state", memory, "--json").stdout)
    assert (seen["growth"], seen["before"], seen["entries"]) == ("grown", 3, 5)
    assert "Consistent" in watch("--state", memory).stdout


@pytest.mark.parametrize("exists", [False, True])
def test_a_wrong_folder_is_an_error(watch: Callable[..., Result], tmp_path: Path, exists: bool) -> None:
    assert watch("--state", tmp_path / "memory", "--first").exit_code == 0
    mistyped = tmp_path / "memroy"
    if exists:
        mistyped.mkdir()
    refused = watch("--state", mistyped)
    assert refused.exit_code == 2
    assert "--first" in refused.stderr
    assert mistyped.exists() == exists
    assert not exists or not list(mistyped.iterdir())


def test_first_sight_of_a_log_that_was_seen_is_an_error(watch: Callable[..., Result], tmp_path: Path) -> None:
    assert watch("--state", tmp_path / "memory", "--first").exit_code == 0
    again = watch("--state", tmp_path / "memory", "--first")
    assert again.exit_code == 2
    assert "leave the option out" in again.stderr.replace("\n       ", " ")
    assert watch("--state", tmp_path / "memory").exit_code == 0
