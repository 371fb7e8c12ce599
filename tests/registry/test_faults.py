"""A disk that fails, or a process that dies, at any call that writes: nothing acknowledged is lost, nothing is damaged.

The full table over every call is made by ``python -m bench.faults``; here a seeded sample of it, and a second one
without strace, in which Python's own calls fail: that one runs everywhere.
"""

import contextlib
import errno
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.faults import FAULTS, NoTracingError, inject, injections, run_traced, write_calls
from bench.registry_workload import Clock, Writer, model, problems_after, work
from whorl.core.errors import WhorlError
from whorl.registry.backup import back_up
from whorl.registry.database_errors import RegistryError
from whorl.registry.home import is_home
from whorl.registry.local import open_registry
from whorl.registry.registry_reader import read_registry
from whorl.registry.restoring import restore_backup

EACH = 8
BATCH = 4
CALLS = ("open", "fsync", "replace", "mkdir", "unlink")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_faults_at_system_calls(tmp_path: Path) -> None:
    try:
        calls = write_calls(tmp_path, batch=BATCH)
    except NoTracingError as error:
        pytest.skip(f"strace cannot attach to a process here: {error}")
    assert {"openat", "write", "pwrite64", "fsync", "rename", "mkdir"} <= set(calls)
    planned = injections(calls)
    draw = random.Random(1)
    sample = [one for fault in FAULTS for one in draw.sample([i for i in planned if i.fault == fault], EACH)]
    killed = 0
    for injection in sample:
        outcome = inject(injection, tmp_path, batch=BATCH)
        assert outcome.problems == (), injection
        assert outcome.killed == (injection.fault == "KILL"), injection
        killed += outcome.killed
    assert killed == EACH


CALL = re.compile(r"(fsync|fdatasync|rename|mkdir)\((?:\d+<([^>]*)>|\"([^\"]*)\"(?:, \"([^\"]*)\")?)")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_what_a_step_stands_on_is_on_the_disk_before(tmp_path: Path) -> None:
    # A process that is killed leaves its writes to the system; a power cut does not. So the order of flushes counts.
    options = ["-o", str(tmp_path / "trace"), "-y", "-e", "trace=fsync,fdatasync,rename,mkdir"]
    try:
        run_traced(tmp_path / "registry", BATCH, options)
    except NoTracingError as error:
        pytest.skip(f"strace cannot attach to a process here: {error}")
    flushed: set[str] = set()
    waiting: set[str] = set()  # folders whose names are not on the disk yet
    steps = 0
    for match in CALL.finditer((tmp_path / "trace").read_text()):
        call, descriptor, path, target = match.groups()
        if call in ("fsync", "fdatasync"):
            flushed.add(descriptor)
            waiting.discard(descriptor)
        elif call == "mkdir":
            waiting.add(str(Path(path).parent))
        else:
            assert path in flushed, f"{path} was moved before it was flushed"
            if Path(target).name in ("state", "tree-head", "checkpoint", "registry.json"):
                assert waiting == set(), target
                steps += 1
            waiting.add(str(Path(target).parent))
    assert waiting == set()
    assert steps > 20


class PowerCut(BaseException):
    """The end of a process, as nothing catches it."""


class FailingCalls:
    """Python's own calls that write, one of which fails or is the last.

    Parameters
    ----------
    turn : number of the call that fails, from 1; 0 for none
    failure : what it raises
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, turn: int = 0, failure: BaseException | None = None) -> None:
        self.count = 0
        self._turn = turn
        self._failure = failure
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR):
                self.count += 1
                if self.count == self._turn and self._failure is not None:
                    raise self._failure
            return call(*args, **kwargs)

        return counted


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many such calls the work makes."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        counting = FailingCalls(monkeypatch)
        work(tmp_path_factory.mktemp("whole") / "registry", lambda _: None, batch=BATCH)
    return counting.count


@pytest.mark.parametrize("failure", [OSError(errno.EIO, "EIO"), OSError(errno.ENOSPC, "ENOSPC"), PowerCut()], ids=repr)
def test_faults_at_calls_of_python(failure: BaseException, calls: int, tmp_path: Path) -> None:
    assert calls > 100
    for turn in random.Random(3).sample(range(1, calls + 1), 5):
        acknowledged: list[bytes] = []
        folder = tmp_path / f"{turn}"
        with pytest.MonkeyPatch.context() as monkeypatch:
            FailingCalls(monkeypatch, turn=turn, failure=failure)
            try:
                work(folder, acknowledged.append, batch=BATCH)
            except PowerCut:
                assert failure.__class__ is PowerCut
            else:
                assert isinstance(failure, OSError)
        assert problems_after(folder, acknowledged) == [], turn


def test_a_disk_that_stays_full_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: object) -> None:
        raise full

    work(tmp_path / "registry", lambda _: None, batch=1)
    with open_registry(tmp_path / "registry", now=Clock()) as registry:
        writer = Writer(registry, lambda _: None)
        size = registry.log.size
        monkeypatch.setattr(os, "fsync", refuse)
        for _ in range(3):  # the rows of the first try are there; the others pile nothing up
            with pytest.raises(WhorlError, match="No space left on device"):
                writer.enter([model("late")])
        monkeypatch.undo()
        writer.enter([model("later")])
        assert registry.log.size == size + 4
    assert problems_after(tmp_path / "registry", []) == []


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "ENOSPC"), PowerCut()], ids=repr)
def test_a_restoration_that_is_interrupted_leaves_no_registry(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged: list[bytes] = []
    work(tmp_path / "registry", acknowledged.append, batch=1)
    with read_registry(tmp_path / "registry") as reader:
        back_up(reader, tmp_path / "backup.tar", with_keys=True)
    if isinstance(failure, PowerCut):  # nobody tidies up after that
        monkeypatch.setattr("whorl.registry.restoring.shutil.rmtree", lambda *_, **__: None)
    whole = 0
    with pytest.MonkeyPatch.context() as counting:
        counter = FailingCalls(counting)
        restore_backup(tmp_path / "backup.tar", tmp_path / "counted", keys=None, nobody_saw_more=True)
    for turn in random.Random(4).sample(range(1, counter.count + 1), 8):
        folder = tmp_path / f"{turn}" / "back"
        with pytest.MonkeyPatch.context() as failing:
            FailingCalls(failing, turn=turn, failure=failure)
            with contextlib.suppress(PowerCut, RegistryError):
                restore_backup(tmp_path / "backup.tar", folder, keys=None, nobody_saw_more=True)
        if folder.exists():
            whole += 1
            assert problems_after(folder, acknowledged) == []
        else:
            assert not is_home(folder)
    assert whole < 8
