"""Progress: sparse lines in a log, bars on a terminal, nothing when asked to be quiet."""

import os
import subprocess
import sys
import time
from itertools import count

import pytest

from whorl.cli import progress

ON_A_TERMINAL = """
from whorl.cli.progress import shown_progress
with shown_progress(quiet=False) as tell:
    for done in range(5):
        tell("reading \\x1b[31m[bold]layer", done, 5)
print("result")
"""


def test_lines_come_every_few_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=progress.SECONDS_BETWEEN_LINES / 2)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with progress.shown_progress(quiet=False) as tell:
        for done in range(1, 5):
            tell("reading \x1b[31mw", done, 4)
    captured = capsys.readouterr()
    assert captured.err == "reading \\x1b[31mw: 50 %\nreading \\x1b[31mw: 100 %\n"
    assert captured.out == ""


def test_an_unknown_total_is_not_a_division_by_zero(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.shown_progress(quiet=False) as tell:
        tell("reading", 0, 0)
    assert capsys.readouterr().err == "reading: working\n"


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.shown_progress(quiet=True) as tell:
        tell("reading", 1, 2)
    assert capsys.readouterr().err == ""


def test_bars_go_to_the_terminal_and_results_to_standard_output() -> None:
    master, slave = os.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    command = [sys.executable, "-c", ON_A_TERMINAL]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, env=environment, timeout=30, check=True)
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.stdout == b"result\n"
    assert "reading \\x1b[31m[bold]layer" in shown
