"""Run one command in a fresh process and say what it took; write results with the facts of the machine."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
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
    whoever calls this must be small itself: arrays are made in other processes.

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


def machine() -> dict[str, Any]:
    """What a reader must know to judge a time. The load says how busy the machine was with other work."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "processor": _first_value("/proc/cpuinfo", "model name"),
        "memory": _first_value("/proc/meminfo", "MemTotal"),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "whorl")},
    }


def write_results(name: str, figures: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    command = ["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    document = {
        "command": " ".join(command),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": dict(facts),
        "figures": dict(figures),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns lined up for a terminal."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _first_value(file: str, key: str) -> str:
    path = Path(file)
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"
