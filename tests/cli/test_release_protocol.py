"""``commit``, ``release`` and ``compare --key`` as a maker and an auditor use them, and what they refuse."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from whorl.cli import commit as commit_command
from whorl.core.evidence import Finding

MODELS = Path(__file__).parents[2] / "demo" / "models"
BASE = MODELS / "base"
Run = Callable[..., Result]


@pytest.fixture
def sealed(run: Run, tmp_path: Path) -> Path:
    """A folder with the key and the commitment of the demo's base."""
    result = run("commit", BASE, "-o", tmp_path / "sealed", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    return tmp_path / "sealed"


@pytest.fixture
def released(run: Run, tmp_path: Path, sealed: Path) -> Path:
    result = run("release", BASE, "--key", sealed / "release-key.json", "-o", tmp_path / "released", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    return tmp_path / "released"


def secrets_of(sealed: Path) -> tuple[str, str]:
    document = json.loads((sealed / "release-key.json").read_text())
    return document["key"], document["salt"]


def test_from_the_seal_to_the_finding_and_never_a_secret_on_the_way(run: Run, tmp_path: Path) -> None:
    sealed, released, page = tmp_path / "sealed", tmp_path / "released", tmp_path / "report.html"
    key, commitment = sealed / "release-key.json", sealed / "commitment.json"
    results = [
        run("commit", BASE, "-o", sealed, "--json"),
        run("release", BASE, "--key", key, "-o", released, "--json"),
        run("compare", released, BASE, "--key", key, "--commitment", commitment, "--json", "--html", page),
        run("compare", released, BASE, "--key", key),
        run("compare", MODELS / "sibling", BASE, "--key", key),
    ]
    assert [result.exit_code for result in results[:4]] == [0] * 4
    receipt, made, finding = (json.loads(result.stdout) for result in results[:3])
    assert receipt["schema"] == "whorl.commitment-receipt/1"
    assert made["schema"] == "whorl.release-receipt/1"
    assert receipt["commitment"] == made["commitment"] == json.loads(commitment.read_text())["commitment"]
    assert made["dither_kept"] == pytest.approx(1, abs=0.01)
    assert Finding.model_validate(finding, strict=False).conclusion.relation == "derived"
    assert receipt["model"] == finding["reference"]["digest"]
    assert finding["conclusion"]["direction"]["questioned_from_reference"] == 1
    assert results[3].stdout.startswith("Trained weights are shared\nThe questioned model carries the mark of this key")
    assert "if made without the key" in " ".join(results[3].stdout.split())
    assert "mark of this key" not in results[4].stdout
    shown = "".join(result.stdout + result.stderr for result in results) + commitment.read_text() + page.read_text()
    shown += "".join(path.read_bytes().decode("latin-1") for path in released.iterdir())
    assert not any(secret in shown for secret in secrets_of(sealed))


def test_every_line_fits_80_columns(run: Run, sealed: Path, released: Path) -> None:
    text = run("compare", released, BASE, "--key", sealed / "release-key.json").stdout
    assert max(map(len, text.splitlines())) <= 80


def test_the_key_is_its_owners_alone_and_every_key_is_another(run: Run, sealed: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE((sealed / "release-key.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o700
    assert run("commit", BASE, "-o", tmp_path / "again").exit_code == 0
    assert not set(secrets_of(sealed)) & set(secrets_of(tmp_path / "again"))


def test_nothing_is_overwritten(run: Run, sealed: Path, released: Path) -> None:
    before = {path: path.read_bytes() for path in (*sealed.iterdir(), *released.iterdir())}
    for arguments in (
        ("commit", BASE, "-o", sealed),
        ("release", BASE, "--key", sealed / "release-key.json", "-o", released),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "choose another place" in result.stderr
    assert {path: path.read_bytes() for path in (*sealed.iterdir(), *released.iterdir())} == before


@pytest.mark.parametrize("verb", ["commit", "release"])
def test_outputs_never_go_into_the_model_itself(verb: str, run: Run, sealed: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(BASE, tmp_path / "model"))
    key = ("--key", sealed / "release-key.json") if verb == "release" else ()
    for output in (model, model / "inside"):
        result = run(verb, model, *key, "-o", output)
        assert result.exit_code == 2
    assert sorted(path.name for path in model.iterdir()) == sorted(path.name for path in BASE.iterdir())


@pytest.mark.parametrize("dither", ["0", "0.2", "-1", "nan", "lots"])
def test_an_absurd_dither_is_refused(dither: str, run: Run, tmp_path: Path) -> None:
    result = run("commit", BASE, "-o", tmp_path / "sealed", f"--dither={dither}")
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_gguf_file_can_neither_be_committed_to_nor_released(run: Run, sealed: Path, tmp_path: Path) -> None:
    gguf = MODELS / "base-q8.gguf"
    for arguments in (("commit", gguf), ("release", gguf, "--key", sealed / "release-key.json")):
        result = run(*arguments, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert "plain safetensors" in result.stderr
        assert not (tmp_path / "out").exists()


def test_a_key_of_another_model_is_refused(run: Run, sealed: Path, tmp_path: Path) -> None:
    key = sealed / "release-key.json"
    for arguments in (
        ("release", MODELS / "twin", "--key", key, "-o", tmp_path / "out"),
        ("compare", BASE, MODELS / "twin", "--key", key),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "undithered model that the key was made for" in result.stderr
        assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_key_that_does_not_open_the_commitment_exits_with_1(run: Run, sealed: Path, tmp_path: Path) -> None:
    run("commit", BASE, "-o", tmp_path / "other")
    result = run(
        "compare", BASE, BASE, "--key", sealed / "release-key.json", "--commitment", tmp_path / "other/commitment.json"
    )
    assert result.exit_code == 1
    assert "does not open the commitment" in result.stderr
    assert result.stdout == ""
    assert not any(secret in result.stderr for secret in secrets_of(sealed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--commitment", "commitment.json"), "give --key"),
        (("--key", "nowhere"), "found nothing there"),
        (("--key", "release-key.json", "--commitment", "nowhere"), "found nothing there"),
        (("--key", "commitment.json"), "expected a release key"),
        (("--key", "release-key.json", "--commitment", "release-key.json"), "expected a commitment"),
    ],
)
def test_a_missing_or_wrong_file_is_named(options: tuple[str, ...], message: str, run: Run, sealed: Path) -> None:
    given = [option if option.startswith("--") else sealed / option for option in options]
    result = run("compare", BASE, BASE, *given)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not any(secret in result.stderr for secret in secrets_of(sealed))


def test_a_full_disk_leaves_neither_key_nor_release(
    run: Run, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    for arguments in (
        ("commit", BASE, "-o", tmp_path / "again"),
        ("release", BASE, "--key", sealed / "release-key.json", "-o", tmp_path / "out"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "No space left" in result.stderr
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "again").iterdir())
    assert not list(tmp_path.glob(".whorl-*"))


def test_a_commitment_that_cannot_be_written_takes_its_key_along(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path, _data: bytes) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(commit_command, "write_whole", broken)
    assert run("commit", BASE, "-o", tmp_path / "sealed").exit_code == 2
    assert not list((tmp_path / "sealed").iterdir())


def test_what_was_left_out_of_a_release_is_named(run: Run, tmp_path: Path) -> None:
    model = Path(shutil.copytree(BASE, tmp_path / "model"))
    (model / "pytorch_model.bin").write_bytes(b"the undithered weights again")
    run("commit", model, "-o", tmp_path / "sealed")
    result = run("release", model, "--key", tmp_path / "sealed/release-key.json", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "pytorch_model.bin" in result.stdout
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()
