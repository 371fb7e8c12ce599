"""``whorl calibrate``: a folder of models with known ancestry in, a population for ``whorl compare`` out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "fingerprints"))  # generated_models

from generated_models import Sizes, drawn, fine_tuned, write

Run = Callable[..., Result]

SIZES = Sizes(layers=2, width=48, neurons=96, vocabulary=150)
FAMILIES = 5


def whorl(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from whorl.cli.main import main; main()", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHORL_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


def entry(family: str, **entries: Any) -> dict[str, Any]:
    usual = {"family": family, "start": family, "recipe": family, "parents": {}}
    return usual | {"teacher": None, "whole": True, "changes": []} | entries


def described(folder: Path, models: dict[str, Any]) -> Path:
    (folder / "zoo.json").write_text(json.dumps({"schema": "whorl.zoo/1", "models": models}))
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that share nothing, each with one child."""
    folder = tmp_path_factory.mktemp("zoo")
    models = {}
    for number in range(FAMILIES):
        base = drawn("llama", 300 + number, SIZES)
        write(folder / f"f{number}" / "base", base)
        write(folder / f"f{number}" / "child", fine_tuned(base, 400 + number))
        models[f"f{number}/base"] = entry(f"f{number}")
        models[f"f{number}/child"] = entry(f"f{number}", parents={f"f{number}/base": 1}, changes=["fine_tuned"])
    return described(folder, models)


@pytest.fixture(scope="module")
def calibrated(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The population of the zoo, and what the command said of it."""
    path = tmp_path_factory.mktemp("calibrated") / "population.json"
    done = whorl("calibrate", zoo, "-o", path, "--jobs", 1, "--quiet", "--json", "--name", "made up")
    assert (done.returncode, done.stderr) == (0, "")
    return path, json.loads(done.stdout)


def test_a_zoo_becomes_a_population_that_comparisons_are_weighed_with(
    zoo: Path, calibrated: tuple[Path, dict[str, Any]]
) -> None:
    path, receipt = calibrated
    assert receipt["file"] == str(path)
    document = json.loads(path.read_bytes())
    assert (document["schema"], document["name"], document["families"]) == ("whorl.population/1", "made up", FAMILIES)
    assert {(cell["access"], cell["alternative"]) for cell in document["cells"]} == {
        ("weights", "independent"),
        ("fingerprint", "independent"),
    }
    done = whorl("compare", zoo / "f0" / "child", zoo / "f0" / "base", "--population", path, "--json", "--quiet")
    assert done.stderr == ""
    finding = json.loads(done.stdout)
    assert finding["parameters"]["population"] == receipt["digest"]
    assert finding["parameters"]["population_name"] == "made up"
    ratios = {item["alternative"]: item for item in finding["evidence"] if item["outcome"] == "likelihood_ratio"}
    assert set(ratios) == {"independent"}
    assert ratios["independent"]["population"] == receipt["digest"]
    assert ratios["independent"]["families"] == [FAMILIES, FAMILIES]
    # The two are related, and this population has no ratio against a common start: the one that matters is missing.
    assert finding["conclusion"]["relation"] in ("derived", "inconclusive")
    assert finding["conclusion"]["log10_lr"] is None
    assert finding["conclusion"]["direction"] is None
    missing = [item["detail"] for item in finding["evidence"] if item.get("reason") == "not_validated"]
    assert len(missing) == 3


def test_a_second_run_measures_nothing_again_and_gives_the_same_bytes(
    zoo: Path, calibrated: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    path, receipt = calibrated
    ledger = path.with_name("population.json.pairs.jsonl")
    measured = ledger.read_bytes()
    assert {json.loads(line)["access"] for line in measured.splitlines()} == {"weights", "fingerprint"}
    again = tmp_path / "again.json"
    done = whorl("calibrate", zoo, "-o", again, "--ledger", ledger, "--jobs", 1, "--name", "made up")
    assert done.returncode == 0
    assert again.read_bytes() == path.read_bytes()
    assert ledger.read_bytes() == measured
    lines = done.stdout.splitlines()
    assert lines[0] == "Calibrated"
    assert lines[1].startswith("Population    made up, 5 families, ")
    assert lines[2] == f"Digest        {receipt['digest']}"
    assert lines[4].startswith("Ratios        weights, independent: 5 against 5 families, up to 10^")
    assert lines[5].startswith("              fingerprint, independent: 5 against 5 families, up to 10^")
    assert max(map(len, lines[4:])) <= 80


def test_an_existing_file_is_left_alone_unless_told_otherwise(run: Run, zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "population.json"
    path.write_text("mine")
    result = run("calibrate", zoo, "-o", path)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["population.json"]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (None, "docs/specs/population.md"),
        ({"base": entry("a", parents={"nowhere": 1})}, "'nowhere' of 'base'"),
        ({"base": entry("a", parents={"base": 1})}, "below itself"),
    ],
)
def test_a_zoo_without_a_sound_description_is_refused_before_any_work(
    run: Run, tmp_path: Path, models: dict[str, Any] | None, said: str
) -> None:
    folder = tmp_path / "zoo"
    folder.mkdir()
    if models is not None:
        described(folder, models)
    result = run("calibrate", folder, "-o", tmp_path / "population.json")
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n       ", " ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["zoo"]


def test_a_zoo_that_is_too_small_or_damaged_gives_a_message_and_no_population(tmp_path: Path) -> None:
    folder = tmp_path / "zoo"
    rng = np.random.default_rng(0)
    base = drawn("llama", int(rng.integers(1000)), SIZES)
    write(folder / "base", base)
    write(folder / "child", fine_tuned(base, 1))
    described(folder, {"base": entry("a"), "child": entry("a", parents={"base": 1})})
    done = whorl("calibrate", folder, "-o", tmp_path / "population.json", "--jobs", 1, "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "add families" in done.stderr
    assert not (tmp_path / "population.json").exists()
    (folder / "child" / "model.safetensors").write_bytes(b"\0" * 64)
    (tmp_path / "population.json.pairs.jsonl").unlink()
    done = whorl("calibrate", folder, "-o", tmp_path / "population.json", "--jobs", 1, "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "population.json").exists()


def test_a_population_that_is_none_stops_a_comparison(run: Run, zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "population.json"
    sides = zoo / "f0" / "child", zoo / "f0" / "base"
    assert run("compare", *sides, "--population", path).exit_code == 2
    path.write_text("{}")
    result = run("compare", *sides, "--population", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "whorl calibrate ZOO" in result.stderr.replace("\n       ", " ")
