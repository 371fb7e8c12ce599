"""How a run ends: statuses, messages without tracebacks, and signals."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import Result

from whorl.core.errors import CheckpointError, InputError, VerificationError
from whorl.core.evidence import Finding

Run = Callable[..., Result]
Answers = Callable[[Finding | BaseException], None]

FOLDERS = (Path(__file__).parent, Path(__file__).parents[1] / "comparison")
DRIVER = f"""
import os, sys, time
sys.path[:0] = {[str(folder) for folder in FOLDERS]!r}
import fake_engine, sample_findings
from whorl.cli.main import main
modules = fake_engine.modules(sample_findings.deep())
{{setup}}
sys.modules.update(modules)
main()
"""
SLOW = """
def compare(questioned, reference, *, progress, key=None, population=None):
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
modules["whorl.comparison.comparing"].compare = compare
"""
TELL_THREADS = """
def compare(questioned, reference, *, progress, key=None, population=None):
    print(os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"], file=sys.stderr)
    return sample_findings.deep()
modules["whorl.comparison.comparing"].compare = compare
"""


def start(
    *arguments: object,
    setup: str = "",
    stdout: int = subprocess.PIPE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", DRIVER.format(setup=setup), *map(str, arguments)]
    # Buffered output, as users have it: a broken pipe may then first show when the interpreter ends.
    buffered = {name: value for name, value in (env or os.environ).items() if name != "PYTHONUNBUFFERED"}
    # Background jobs of a shell ignore interrupts, and so would every process they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=cwd, env=buffered)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("expected A, found B"), 2, "whorl: expected A, found B"),
        (
            CheckpointError("too short", file=Path("m.safetensors"), tensor="w"),
            2,
            "m.safetensors: tensor 'w': too short",
        ),
        (VerificationError("the digest differs"), 1, "whorl: the digest differs"),
        (PermissionError(13, "Permission denied", "m.bin"), 2, "m.bin: Permission denied"),
        (KeyboardInterrupt(), 130, "whorl: interrupted"),
        (MemoryError("cannot allocate"), 70, "MemoryError: cannot allocate"),
        (RuntimeError("surprise"), 70, "RuntimeError: surprise"),
    ],
)
def test_every_error_has_its_status_and_one_message(
    error: BaseException, status: int, message: str, run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(error)
    result = run("compare", model, other, "--json")
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_fault_of_ours_says_how_to_report_it(
    run: Run, answers: Answers, model: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(RuntimeError("surprise"))
    assert "WHORL_DEBUG=1" in run("compare", model, other).stderr
    monkeypatch.setenv("WHORL_DEBUG", "1")
    result = run("compare", model, other)
    assert "Traceback" in result.stderr
    assert result.exit_code == 70


def test_file_names_cannot_send_escape_codes_through_errors(
    run: Run, answers: Answers, model: Path, other: Path
) -> None:
    answers(InputError("bad name \x1b]0;owned\x07 \u202egpj.exe"))
    stderr = run("compare", model, other).stderr
    assert "\\x1b]0;owned\\x07 \\u202egpj.exe" in stderr
    assert "\x1b" not in stderr


@pytest.mark.parametrize("arguments", [["compare"], ["compare", "a"], ["nonsense"], ["compare", "a", "b", "--no"]])
def test_wrong_usage_exits_with_2(arguments: list[str], run: Run) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: whorl" in result.stderr


def test_version(run: Run) -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, "whorl 0.1.0\n")


def test_ctrl_c_is_clean(model: Path, other: Path, tmp_path: Path) -> None:
    process = start("compare", model, other, "--html", tmp_path / "report.html", setup=SLOW)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "whorl: interrupted\n"
    assert stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.fake", "other.fake"]


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        (["compare", "model.fake", "other.fake"], {141}),
        (["compare", "model.fake", "other.fake", "--json"], {141}),
        (["fingerprint", "model.fake", "-o", "out.whorl"], {141}),
        (["--help"], {0, 1}),  # the library's own choice; 120 would be Python's for output lost at exit
    ],
)
def test_a_reader_that_goes_away_is_no_error_to_talk_about(
    arguments: list[str], statuses: set[int], model: Path, other: Path, tmp_path: Path
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(*arguments, stdout=write_end, cwd=tmp_path)
    os.close(write_end)
    _, stderr = process.communicate(timeout=60)
    assert stderr == ""
    assert process.returncode in statuses


def test_output_survives_a_terminal_without_unicode(model: Path, other: Path) -> None:
    setup = "modules = fake_engine.modules(sample_findings.hostile())"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    process = start("compare", model, other, setup=setup, env=environment)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Trained weights are shared" in stdout


@pytest.mark.parametrize(("environment", "printed"), [({}, "1 1\n"), ({"OPENBLAS_NUM_THREADS": "3"}, "3 1\n")])
def test_libraries_get_one_thread_unless_the_user_says_otherwise(
    environment: dict[str, str], printed: str, model: Path, other: Path
) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    process = start("compare", model, other, setup=TELL_THREADS, env=plain | environment)
    assert process.communicate(timeout=60)[1] == printed
