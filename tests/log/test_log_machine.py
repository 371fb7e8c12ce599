"""A log under everything that can happen to it, against a list and the recursive definition of its tree."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from kept_logs import FailingDisk, audited, flip, write_quickly
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, WITNESSES, root_of

from whorl.core.errors import VerificationError
from whorl.log.deriving import derive
from whorl.log.folder import LogFolder, create_log
from whorl.log.forks import verify_fork
from whorl.log.merkle import consistency_path, inclusion_path, leaf_hash, verify_inclusion
from whorl.log.monitoring import Monitor, SplitViewError
from whorl.log.notes import Note
from whorl.log.signing import sign_next
from whorl.log.tiles import hash_reader
from whorl.log.tree_heads import TreeHead, open_tree_head, parse_tree_head, sign_tree_head
from whorl.log.witness_requests import AddRequest
from whorl.log.witnessing import Witness

KEYS = [LOG.verifier, LOG_PQ.verifier]
BATCHES = st.integers(1, 3) | st.sampled_from([100, 255, 256, 257, 600])


class LogMachine(RuleBasedStateMachine):
    """The sequencer's database is the list ``entries``: what it holds is never lost, whatever the files suffer."""

    backups = Bundle("backups")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.entries: list[bytes] = []  # what the database holds
        self.stored = 0  # how many of them the log's state covers
        self.signed = 0
        self.witnessed = 0
        self.monitored: int | None = None
        self.clock = AT
        self.copies = 0

    @initialize()
    def start(self) -> None:
        self.log = create_log(self.folder / "log", origin=ORIGIN, write=write_quickly)
        for name in ("witness", "monitor"):
            (self.folder / name).mkdir()
        self.restart()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule()
    def restart(self) -> None:
        """New processes over the same files."""
        self.log = LogFolder(self.folder / "log", origin=ORIGIN, write=write_quickly)
        assert self.log.recover().size == self.stored
        self.witness = Witness(self.folder / "witness", [WITNESSES[0]], {ORIGIN: KEYS}, write=write_quickly)
        self.monitor = Monitor(self.folder / "monitor", origin=ORIGIN, log_keys=KEYS, write=write_quickly)

    def new_entries(self, count: int) -> list[bytes]:
        return [b"%d" % number for number in range(len(self.entries), len(self.entries) + count)]

    @rule(count=BATCHES)
    def append(self, count: int) -> None:
        self.entries += self.new_entries(count)
        self.log.append(self.entries[self.stored :])
        self.stored = len(self.entries)

    @rule(count=BATCHES, turn=st.integers(0, 9), after=st.booleans(), restarts=st.booleans())
    def append_and_crash(self, count: int, turn: int, after: bool, restarts: bool) -> None:
        self.entries += self.new_entries(count)
        failing = LogFolder(self.folder / "log", origin=ORIGIN, write=FailingDisk(turn=turn, after=after))
        try:
            failing.append(self.entries[self.stored :])
        except OSError:
            assert failing.size in {self.stored, len(self.entries)}
        else:
            assert failing.size == len(self.entries)
        self.stored = failing.size
        if restarts:
            self.restart()

    @rule(late=st.integers(-5, 5))
    def sign_and_publish(self, late: int) -> None:
        self.clock += late
        note = self.sign_next(self.log)
        self.log.publish(note.to_bytes())
        self.signed = self.stored
        assert parse_tree_head(note.text).root == root_of(self.entries[: self.stored])

    def sign_next(self, log: LogFolder) -> Note:
        memory = self.folder / "signed"
        return sign_next(log, [LOG, LOG_PQ], last_signed=memory, now=self.clock, write=write_quickly)

    @precondition(lambda self: self.signed)
    @rule(lag=st.integers(0, 300))
    def ask_the_witness(self, lag: int) -> None:
        """Now and then with an old size that is not the witness's; then it says so and the log asks again."""
        old = max(0, self.witnessed - lag)
        reply = self.witness.add_checkpoint(self.witness_request(old), at=self.clock)
        if old != self.witnessed:
            assert (reply.status, reply.body) == (409, b"%d\n" % self.witnessed)
            reply = self.witness.add_checkpoint(self.witness_request(self.witnessed), at=self.clock)
        assert reply.status == 200, reply.body
        self.witnessed = self.signed

    def witness_request(self, old: int) -> bytes:
        path = consistency_path(hash_reader(self.log, self.stored), old, self.signed) if old else ()
        return AddRequest(old_size=old, proof=path, note=self.log.tree_head()).to_bytes()

    @precondition(lambda self: (self.folder / "log/checkpoint").exists())
    @rule()
    def watch(self) -> None:
        growth = self.monitor.observe(self.log).growth
        if self.monitored is None:
            assert growth == "first"
        else:
            assert growth == ("same" if self.monitored == self.signed else "grown")
        self.monitored = self.signed

    @precondition(lambda self: self.stored)
    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, self.stored - 1))
        size = data.draw(st.integers(index + 1, self.stored))
        path = inclusion_path(hash_reader(self.log, self.stored), index, size)
        verify_inclusion(leaf_hash(self.entries[index]), index, size, path, root_of(self.entries[:size]))

    @rule(target=backups)
    def back_up(self) -> tuple[Path, int]:
        self.copies += 1
        copy = self.folder / f"backup {self.copies}"
        shutil.copytree(self.folder / "log", copy)
        return copy, self.stored

    @rule(backup=backups)
    def roll_back(self, backup: tuple[Path, int]) -> None:
        """An old copy is put back: nothing is signed until the missing entries are there again."""
        copy, size = backup
        shutil.rmtree(self.folder / "log")
        shutil.copytree(copy, self.folder / "log")
        self.stored = size
        self.restart()
        if size < self.signed:
            with pytest.raises(VerificationError, match="older copy"):
                self.sign_next(self.log)
            self.log.append(self.entries[size:])
            self.stored = len(self.entries)
        self.sign_and_publish(0)

    @precondition(lambda self: self.signed)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        """The log's key signs another past: refused at home, and by all who saw the first one."""
        place = data.draw(st.integers(0, self.signed - 1))
        size = self.signed + data.draw(st.integers(0, 3))
        others = [*self.entries[:place], b"another", *self.entries[place + 1 :], *[b"more"] * 3][:size]
        path = self.folder / "fork"
        fork = create_log(path, origin=ORIGIN, write=write_quickly)
        fork.append(others)
        with pytest.raises(VerificationError, match="is not what the stored tree"):
            self.sign_next(fork)
        note = sign_tree_head(TreeHead(origin=ORIGIN, size=size, root=fork.root), [LOG], at=self.clock).to_bytes()
        read = hash_reader(fork, size)
        if self.witnessed > place:
            proof = consistency_path(read, self.witnessed, size)
            request = AddRequest(old_size=self.witnessed, proof=proof, note=note).to_bytes()
            assert self.witness.add_checkpoint(request, at=self.clock).status == 422
        if self.monitored is not None and self.monitored > place:
            with pytest.raises(SplitViewError) as caught:
                self.monitor.consider(note, fork)
            assert verify_fork(caught.value.proof.read_bytes(), log_keys=KEYS).origin == ORIGIN
        shutil.rmtree(path)

    @precondition(lambda self: self.stored)
    @rule(data=st.data())
    def flip_a_bit(self, data: st.DataObject) -> None:
        """It is found before the next signature or by the audit, and mending the file mends the log."""
        log = self.folder / "log"
        self.log.recover()  # what a crash left beyond the state belongs to nothing yet, and is written again
        files = sorted(path for path in log.rglob("*") if path.is_file() and path.name not in {".lock", "checkpoint"})
        path = data.draw(st.sampled_from(files))
        content = path.read_bytes()
        flip(path, data.draw(st.integers(0, 8 * len(content) - 1)))
        damaged = LogFolder.__new__(LogFolder)  # the state may be what is damaged
        damaged.__dict__.update(self.log.__dict__, _cached=None)
        assert any(not problem.startswith("checkpoint") for problem in audited(damaged).problems)
        path.write_bytes(content)

    @invariant()
    def the_files_are_those_of_the_list(self) -> None:
        if not self.folder.joinpath("log").exists():
            return
        state = self.log.state()
        assert (state.size, state.root) == (self.stored, root_of(self.entries[: self.stored]))
        derived = derive(self.log, state.size)
        assert (derived.problems, derived.root) == ((), state.root)

    @invariant()
    def what_the_witness_signed_is_a_beginning_of_the_list(self) -> None:
        for kept in self.folder.glob("witness/*.checkpoint"):
            head = open_tree_head(kept.read_bytes(), origin=ORIGIN, log_keys=KEYS).head
            assert (head.size, head.root) == (self.witnessed, root_of(self.entries[: self.witnessed]))
        assert not list(self.folder.glob("monitor/*.seen")) or self.monitored is not None


LogMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestLogMachine = LogMachine.TestCase
