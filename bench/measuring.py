"""Run one command in a fresh process and say what it took."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WHORL = Path(sys.executable).with_name("whorl")
WATCH = Path(__file__).with_name("watch.py")
INCONCLUSIVE = 3  # an answer, not a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took, as the kernel counted it: its own largest resident set, user and system time."""

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float
    output: str


def measure(command: Sequence[str | Path]) -> Run:
    """Run ``command`` to its end.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    watched = [sys.executable, "-I", WATCH, *command]
    done = subprocess.run(watched, stdout=subprocess.PIPE, text=True, check=True)
    facts = json.loads(done.stdout)
    if (status := facts.pop("status")) not in (0, INCONCLUSIVE):
        raise SystemExit(f"{' '.join(map(str, command))} ended with status {status}")
    return Run(**facts)


def drop_from_cache(files: Sequence[Path]) -> None:
    """Ask the kernel to forget the files' contents, so that the next reader waits for the disk."""
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())  # a page that is not yet on disk cannot be dropped
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
