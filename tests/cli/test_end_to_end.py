"""The commands on a real checkpoint: nothing below the command line is replaced."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "demo" / "models"
BASE = MODELS / "base"


SETTINGS = tempfile.mkdtemp(prefix="whorl-settings-")  # the key that `register` draws at its first use


def whorl(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from whorl.cli.main import main; main()", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHORL_")}
    environment |= {"XDG_CONFIG_HOME": SETTINGS}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fingerprints") / "base.whorl"
    done = whorl("fingerprint", BASE, "-o", path)
    assert (done.returncode, done.stderr) == (0, "")
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE, tmp_path / "copy"))


def test_a_model_is_itself(tmp_path: Path, copy: Path) -> None:
    done = whorl("compare", copy, BASE, "--html", tmp_path / "report.html", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    finding = json.loads(done.stdout)
    assert finding["conclusion"]["relation"] == "identical"
    assert finding["questioned"]["digest"] == finding["reference"]["digest"]
    assert "The same weights" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "relation", "changes"),
    [
        ("suspect", "derived", {"fine_tuned", "permuted", "rotated", "rescaled"}),
        ("base-q8.gguf", "derived", {"quantised"}),
        ("sibling", "shared_initialisation", set()),
        ("twin", "none_found", set()),
        ("student", "none_found", set()),
    ],
)
def test_the_demo_models_come_out_as_what_they_are(name: str, relation: str, changes: set[str]) -> None:
    done = whorl("compare", MODELS / name, BASE, "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    conclusion = json.loads(done.stdout)["conclusion"]
    assert conclusion["relation"] == relation
    assert set(conclusion["transformations"]) == changes


def test_fingerprints_are_the_same_on_every_run(fingerprint: Path, tmp_path: Path) -> None:
    whorl("fingerprint", BASE, "-o", tmp_path / "again.whorl")
    assert (tmp_path / "again.whorl").read_bytes() == fingerprint.read_bytes()


def test_a_stored_fingerprint_finds_its_model_in_a_registry(fingerprint: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    assert whorl("register", fingerprint, "--registry", registry, "--name", "Meridian Base").returncode == 0
    done = whorl("identify", BASE, "--registry", registry, "--json")
    [lead] = json.loads(done.stdout)["leads"]
    assert done.returncode == 0
    assert lead["name"] == "Meridian Base"
    assert lead["score"] == pytest.approx(1, abs=0.01)
    assert lead["finding"]["conclusion"]["relation"] == "identical"


@pytest.mark.parametrize("damage", ["truncated", "lying header length", "not a model", "empty folder"])
def test_a_damaged_checkpoint_ends_in_one_message(damage: str, copy: Path, tmp_path: Path) -> None:
    weights = copy / "model.safetensors"
    match damage:
        case "truncated":
            os.truncate(weights, 1000)
        case "lying header length":
            weights.write_bytes(struct.pack("<Q", 1 << 62) + weights.read_bytes()[8:])
        case "not a model":
            weights.write_bytes(b"\x80\x04not a model")
        case _:
            shutil.rmtree(copy)
            copy.mkdir()
    done = whorl("compare", copy, BASE, "--html", tmp_path / "report.html")
    assert done.returncode == 2
    assert done.stderr.startswith("whorl: ")
    assert "copy" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "report.html").exists()
