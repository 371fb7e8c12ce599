"""``whorl fingerprint``: one file, whole or not at all, and never over another one unasked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sample_findings as samples
from typer.testing import Result

from whorl.core.digest import digest_bytes
from whorl.core.evidence import Finding

Run = Callable[..., Result]
Answers = Callable[[Finding | BaseException], None]


@pytest.fixture(autouse=True)
def _fake(answers: Answers) -> None:
    answers(samples.derived())


def test_the_receipt_names_digest_and_size(run: Run, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.whorl"
    result = run("fingerprint", model, "-o", output, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "schema": "whorl.fingerprint-receipt/1",
        "name": "model",
        "digest": digest_bytes(b"weights"),
        "bytes": 7,
        "file": str(output),
    }
    assert output.read_bytes() == b"weights"


def test_the_text_names_digest_and_size(run: Run, model: Path, tmp_path: Path) -> None:
    text = run("fingerprint", model, "-o", tmp_path / "model.whorl").stdout
    assert digest_bytes(b"weights")[7:20] in text
    assert "7 bytes" in text


def test_an_existing_file_is_replaced_only_with_force(run: Run, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.whorl"
    output.write_bytes(b"older")
    refused = run("fingerprint", model, "-o", output)
    assert (refused.exit_code, output.read_bytes()) == (2, b"older")
    assert "exists already" in refused.stderr
    assert run("fingerprint", model, "-o", output, "--force").exit_code == 0
    assert output.read_bytes() == b"weights"


def test_force_does_not_reach_the_input_or_a_folder(run: Run, model: Path, tmp_path: Path) -> None:
    assert run("fingerprint", model, "-o", model, "--force").exit_code == 2
    assert model.read_bytes() == b"weights"
    assert run("fingerprint", model, "-o", tmp_path, "--force").exit_code == 2
    assert tmp_path.is_dir()


def test_a_failure_leaves_no_file(run: Run, answers: Answers, model: Path, tmp_path: Path) -> None:
    answers(KeyboardInterrupt())
    assert run("fingerprint", model, "-o", tmp_path / "model.whorl").exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["model.fake"]


def test_an_output_is_required(run: Run, model: Path) -> None:
    assert run("fingerprint", model).exit_code == 2
