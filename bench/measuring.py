"""Run one command in a fresh process and say what it took."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WHORL = Path(sys.executable).with_name("whorl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took, as the kernel counted it."""

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float
    output: str


def measure(command: Sequence[str | Path]) -> Run:
    """Run ``command`` to its end.

    The peak is the process's own largest resident set. The kernel counts the parent's from before the start too, so
    whoever calls this must be small itself: large arrays are made in other processes.

    Raises
    ------
    SystemExit
        If the command fails; exit status 3 (inconclusive) is no failure.
    """
    began = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(map(str, command))} ended with status {process.returncode}")
    return Run(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_megabytes=usage.ru_maxrss * 1024 / 1e6,
        output=output,
    )


def drop_from_cache(files: Sequence[Path]) -> None:
    """Ask the kernel to forget the files' contents, so that the next reader waits for the disk."""
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())  # a page that is not yet on disk cannot be dropped
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
