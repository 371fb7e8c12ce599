"""Asking witnesses to cosign a tree head: all at once, each within its time, and a slow one holds up nobody."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Final, Protocol

from whorl.core.errors import WhorlError
from whorl.log.folder import LogFolder
from whorl.log.keys import Verifier
from whorl.log.merkle import consistency_path
from whorl.log.notes import Note, parse_note
from whorl.log.tiles import hash_reader
from whorl.log.tree_heads import parse_tree_head
from whorl.log.witness_requests import AddRequest, with_cosignatures
from whorl.log.witnessing import Reply

TRIES: Final = 3  # a witness that knows another size says which; more often than twice is no accident
_LOG: Final = logging.getLogger(__name__)


class Cosigner(Protocol):
    """A witness that can be asked."""

    @property
    def name(self) -> str:
        """Its name in the policy."""

    @property
    def verifiers(self) -> Sequence[Verifier]:
        """The keys that its cosignatures are checked with."""

    def add_checkpoint(self, body: bytes) -> Reply:
        """Send a C2SP ``add-checkpoint`` request. Raises `WhorlError` or `OSError` if it cannot be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """The tree head with the cosignatures that came in time, and what was wrong with those that did not."""

    note: Note
    failures: tuple[tuple[str, str], ...]


class Cosigning:
    """Remembers how far each witness has come, so that the first request usually fits.

    Parameters
    ----------
    cosigners : the witnesses
    executor : threads to ask them in
    seconds : how long to wait for all of them together
    """

    def __init__(self, cosigners: Sequence[Cosigner], executor: Executor, *, seconds: float) -> None:
        self._cosigners = tuple(cosigners)
        self._executor = executor
        self._seconds = seconds
        self._sizes: dict[str, int] = {}

    def gather(self, note: Note, folder: LogFolder) -> Cosigned:
        """Ask every witness for its cosignature on a tree head that the log has signed."""
        asked: dict[Future[bytes], Cosigner] = {
            self._executor.submit(self._ask, cosigner, note, folder): cosigner for cosigner in self._cosigners
        }
        done, late = wait(asked, timeout=self._seconds)
        failures = [(asked[future].name, f"no answer within {self._seconds:g} s") for future in late]
        for future in late:
            future.cancel()
        for future in sorted(done, key=lambda one: asked[one].name):
            cosigner = asked[future]
            try:
                note = with_cosignatures(note, future.result(), cosigner.verifiers)
            except (WhorlError, OSError) as error:
                failures.append((cosigner.name, str(error)[:500]))
        for name, problem in failures:
            _LOG.warning("witness %s did not cosign: %s", name, problem)
        return Cosigned(note=note, failures=tuple(failures))

    def _ask(self, cosigner: Cosigner, note: Note, folder: LogFolder) -> bytes:
        size = parse_tree_head(note.text).size
        read = hash_reader(folder, size)
        old = self._sizes.get(cosigner.name, 0)
        for _ in range(TRIES):
            if old > size:
                raise WhorlError(
                    f"it has cosigned size {old} of this log, which is larger than {size}: this registry was restored "
                    "from an old backup, or somebody else signs with its key"
                )
            proof = consistency_path(read, old, size) if 0 < old < size else ()
            reply = cosigner.add_checkpoint(AddRequest(old_size=old, proof=proof, note=note.to_bytes()).to_bytes())
            if reply.status == 200:
                self._sizes[cosigner.name] = size
                return reply.body
            if reply.status != 409:
                raise WhorlError(f"it answered {reply.status}: {reply.body[:300].decode(errors='replace')}")
            old = _stated_size(reply.body)
        raise WhorlError("it names another size each time it is asked")


def _stated_size(body: bytes) -> int:
    text = body[:30].decode("ascii", errors="replace").strip()
    if not text.isdecimal():
        raise WhorlError(f"it answered 409 without the size that it knows: {text!a}")
    return int(text)


class LocalWitness:
    """A witness in this process, for tests and for bureaus that run one beside their log."""

    def __init__(self, name: str, verifiers: Sequence[Verifier], answer: Callable[[bytes], Reply]) -> None:
        self._name = name
        self._verifiers = tuple(verifiers)
        self._answer = answer

    @property
    def name(self) -> str:
        return self._name

    @property
    def verifiers(self) -> Sequence[Verifier]:
        return self._verifiers

    def add_checkpoint(self, body: bytes) -> Reply:
        return self._answer(body)


def signed_size(data: bytes) -> int:
    """Size of a tree head, its signatures unchecked."""
    return parse_tree_head(parse_note(data).text).size
