"""Fail or die at every system call that writes: ``python -m bench.faults [RESULTS]`` (Linux, strace 6, root).

A small registry is made and written to in a process of its own (`bench.registry_workload`). It is run again for each
of its write-type system calls, and there strace makes that one call fail with EIO, fail with ENOSPC, or kills the
process. Then the registry is opened again, checked as ``whorl registry fsck`` does, written to, and every entry that
was acknowledged must have a receipt that holds.
"""

import json
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from bench.registry_workload import BATCH, problems_after, work
from whorl.core.errors import WhorlError

Fault: TypeAlias = Literal["EIO", "ENOSPC", "KILL"]
FAULTS: Final[tuple[Fault, ...]] = ("EIO", "ENOSPC", "KILL")
CALLS: Final = (
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat2",
    "ftruncate",
    "unlink",
    "unlinkat",
    "mkdir",
    "link",
)
RESULTS: Final = Path(__file__).parent / "results" / "faults.json"
_HASH: Final = 32
_ROOM: Final = 1 << 16
_SECONDS: Final = 120
_LINE: Final = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?([a-z0-9]+)\((.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """The fault at one call: the ``number``-th of this name since the work began, counted from 1."""

    call: str
    number: int
    fault: Fault

    @property
    def option(self) -> str:
        how = "signal=KILL" if self.fault == "KILL" else f"error={self.fault}"
        return f"inject={self.call}:{how}:when={self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run: how many entries were acknowledged, how the process ended, what was wrong afterwards."""

    acknowledged: int
    retried: int
    killed: bool
    problems: tuple[str, ...]


class NoTracingError(Exception):
    """Why strace cannot attach to a process here."""


def write_calls(folder: Path, *, batch: int = BATCH) -> dict[str, list[int]]:
    """The numbers, per call, at which the work writes; of ``openat`` those that may make a file.

    Raises
    ------
    NoTracingError
        If strace cannot attach to a process here.
    """
    work(folder / "registry", lambda _: None, batch=1)  # so that whatever is imported late is there in every run
    problems_after(folder / "registry", [])
    shutil.rmtree(folder / "registry")
    trace = folder / "trace"
    run_traced(folder / "registry", batch, ["-o", str(trace), "-e", f"trace={','.join(CALLS)}"])
    shutil.rmtree(folder / "registry")
    counts: Counter[str] = Counter()
    found: dict[str, list[int]] = {}
    for line in trace.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        call, arguments = match.groups()
        counts[call] += 1
        if call != "openat" or "O_CREAT" in arguments:
            found.setdefault(call, []).append(counts[call])
    return found


def injections(calls: dict[str, list[int]]) -> list[Injection]:
    """All faults at all calls."""
    return [
        Injection(call=call, number=number, fault=fault)
        for call, numbers in calls.items()
        for number in numbers
        for fault in FAULTS
    ]


def inject(injection: Injection, folder: Path, *, batch: int = BATCH) -> Outcome:
    """Run the work with one fault, restart, and look."""
    place = folder / "registry"
    try:
        options = ["-o", "/dev/null", "-e", f"trace={injection.call}", "-e", injection.option]
        acknowledged, status = run_traced(place, batch, options)
        killed = os.WIFSIGNALED(status)
        problems = [] if killed or os.WEXITSTATUS(status) < _FAILED else ["the work ended with an error"]
        try:
            problems += problems_after(place, acknowledged)
        except (WhorlError, AssertionError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        return Outcome(
            acknowledged=len(acknowledged),
            retried=0 if killed else os.WEXITSTATUS(status),
            killed=killed,
            problems=tuple(problems),
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


_FAILED: Final = 100


def run_traced(place: Path, batch: int, options: Sequence[str]) -> tuple[list[bytes], int]:
    """Run the work in a child that strace watches; what it acknowledged, and how it ended."""
    shared = mmap.mmap(-1, _ROOM)  # no system call tells of an acknowledgement
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(_work(place, batch, shared))
    os.close(reader)
    try:
        with _traced(child, options):
            os.write(writer, b"g")
            status = _waited(child)
    finally:
        os.close(writer)
    count = int.from_bytes(shared[:4], "big")
    return [shared[4 + _HASH * number : 4 + _HASH * (number + 1)] for number in range(count)], status


def _work(place: Path, batch: int, shared: mmap.mmap) -> int:
    count = 0

    def acknowledge(digest: bytes) -> None:
        nonlocal count
        shared[4 + _HASH * count : 4 + _HASH * (count + 1)] = digest
        count += 1
        shared[:4] = count.to_bytes(4, "big")

    try:
        return work(place, acknowledge, batch=batch)
    except (WhorlError, OSError):
        return _FAILED
    except BaseException:
        return _FAILED + 1


@contextmanager
def _traced(child: int, options: Sequence[str]) -> Iterator[None]:
    tracer = subprocess.Popen(
        ["strace", "-p", str(child), *options], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        os.kill(child, 9)
        os.waitpid(child, 0)
        tracer.wait()
        raise NoTracingError(said.strip() or "strace ended at once")
    try:
        yield
    finally:
        tracer.communicate(timeout=_SECONDS)


def _waited(child: int) -> int:
    deadline = time.monotonic() + _SECONDS
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > deadline:
            os.kill(child, 9)
        time.sleep(0.002)


def main() -> None:
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="whorl-faults-") as name:
        folder = Path(name)
        calls = write_calls(folder)
        planned = injections(calls)
        random.Random(1).shuffle(planned)  # so that what is left at any time is a fair sample
        table: dict[str, Counter[str]] = {}
        problems: list[dict[str, object]] = []
        for done, injection in enumerate(planned, 1):
            outcome = inject(injection, folder)
            row = table.setdefault(f"{injection.call} {injection.fault}", Counter())
            row.update(
                runs=1,
                killed=outcome.killed,
                retried=outcome.retried > 0,
                acknowledged=outcome.acknowledged,
                bad=bool(outcome.problems),
            )
            if outcome.problems:
                problems.append({"injection": injection.option, "problems": list(outcome.problems)})
                print(injection.option, *outcome.problems, file=sys.stderr, flush=True)
            if done % 100 == 0:
                print(f"{done} of {len(planned)}, {len(problems)} bad", file=sys.stderr, flush=True)
    _print(table, calls)
    document = {
        "schema": "whorl.bench-faults/1",
        "strace": subprocess.run(["strace", "-V"], capture_output=True, text=True).stdout.splitlines()[0],
        "calls": {call: len(numbers) for call, numbers in calls.items()},
        "runs": len(planned),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "table": {name: dict(row) for name, row in sorted(table.items())},
        "problems": problems,
    }
    results.write_text(json.dumps(document, indent=1) + "\n")


def _print(table: dict[str, Counter[str]], calls: dict[str, list[int]]) -> None:
    print(f"{'call':<12}{'fault':<8}{'runs':>6}{'killed':>8}{'retried':>9}{'bad':>5}")
    for call in calls:
        for fault in FAULTS:
            row = table[f"{call} {fault}"]
            print(f"{call:<12}{fault:<8}{row['runs']:>6}{row['killed']:>8}{row['retried']:>9}{row['bad']:>5}")


if __name__ == "__main__":
    main()
