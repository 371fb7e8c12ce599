"""One tree of errors, and messages that say where."""

from pathlib import Path

import pytest

from whorl.core import errors
from whorl.core.errors import (
    CheckpointError,
    FingerprintError,
    InputError,
    UnsupportedError,
    VerificationError,
    WhorlError,
)


def test_every_error_stands_in_the_one_tree() -> None:
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == {WhorlError, InputError, CheckpointError, UnsupportedError, FingerprintError, VerificationError}
    assert all(issubclass(error, WhorlError) for error in found)


@pytest.mark.parametrize("error", [CheckpointError, UnsupportedError, FingerprintError])
def test_what_a_file_can_cause_is_bad_input(error: type[WhorlError]) -> None:
    assert issubclass(error, InputError)
    assert not issubclass(error, VerificationError)


def test_programming_mistakes_are_not_in_the_tree() -> None:
    assert not issubclass(ValueError, WhorlError)
    assert not issubclass(WhorlError, ValueError)


def test_a_checkpoint_error_names_file_and_tensor() -> None:
    error = CheckpointError("expected 2 rows, found 1", file=Path("a/model.safetensors"), tensor="norm.weight")
    assert str(error) == "a/model.safetensors: tensor 'norm.weight': expected 2 rows, found 1"
    assert (error.file, error.tensor, error.problem) == (
        Path("a/model.safetensors"),
        "norm.weight",
        "expected 2 rows, found 1",
    )
    assert str(CheckpointError("expected a header", file=Path("m.gguf"))) == "m.gguf: expected a header"


def test_a_hostile_tensor_name_cannot_break_the_line() -> None:
    error = CheckpointError("expected text", file=Path("m"), tensor="a\nwhorl: all is well\x1b[2J")
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
