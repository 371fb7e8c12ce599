"""Asking witnesses to cosign a tree head: all at once, each within its time, and a slow one holds up nobody."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from whorl.core.errors import WhorlError
from whorl.log.folder import LogFolder
from whorl.log.keys import Verifier
from whorl.log.merkle import consistency_path
from whorl.log.notes import Note, parse_note
from whorl.log.tiles import hash_reader
from whorl.log.tree_heads import open_tree_head, parse_tree_head
from whorl.log.witness_requests import AddRequest, parse_size_body, with_cosignatures
from whorl.log.witnessing import Reply
from whorl.registry.rollback import RollbackError, require_contained

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

    def latest(self) -> bytes | None:
        """The last tree head of this log that it cosigned, None if it never did. Raises as above.

        C2SP tlog-witness: ``GET <monitoring prefix>/<origin hash>/checkpoint``, 404 for none.
        """


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
    log_keys : keys of the log, for what witnesses show of it
    """

    def __init__(
        self, cosigners: Sequence[Cosigner], executor: Executor, *, seconds: float, log_keys: Sequence[Verifier]
    ) -> None:
        self._cosigners = tuple(cosigners)
        self._executor = executor
        self._seconds = seconds
        self._log_keys = tuple(log_keys)
        self._sizes: dict[str, int] = {}

    def require_nothing_newer(self, folder: LogFolder) -> frozenset[str]:
        """Ask every witness what it cosigned last, and hold that against what is stored, before anything is signed.

        Returns
        -------
        names of the witnesses that answered

        Raises
        ------
        RollbackError
            If one of them cosigned more of this log than is stored, or something else.
        """
        asked: dict[Future[None], Cosigner] = {
            self._executor.submit(self._compare_latest, cosigner, folder): cosigner for cosigner in self._cosigners
        }
        done, _ = wait(asked, timeout=self._seconds)
        answered = set()
        for future, cosigner in asked.items():
            try:
                if future in done:
                    future.result()
                    answered.add(cosigner.name)
                else:
                    future.cancel()
            except RollbackError:
                raise
            except (WhorlError, OSError) as error:
                _LOG.warning("witness %s does not say what it cosigned last: %s", cosigner.name, error)
        return frozenset(answered)

    def gather(self, note: Note, folder: LogFolder) -> Cosigned:
        """Ask every witness for its cosignature on a tree head that the log has signed.

        Raises
        ------
        RollbackError
            If one of them cosigned more of this log than is stored, or something else: then it must not be published.
        """
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
            except RollbackError:
                raise
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
                self._require_shown(cosigner, folder, stated=old, size=size)
            proof = consistency_path(read, old, size) if 0 < old < size else ()
            reply = cosigner.add_checkpoint(AddRequest(old_size=old, proof=proof, note=note.to_bytes()).to_bytes())
            if reply.status == 200:
                self._sizes[cosigner.name] = size
                return reply.body
            if reply.status == 422:
                self._look_for_another_tree(cosigner, folder)
            if reply.status != 409:
                raise WhorlError(f"it answered {reply.status}: {reply.body[:300].decode(errors='replace')}")
            old = parse_size_body(reply.body)
        raise WhorlError("it names another size each time it is asked")

    def _compare_latest(self, cosigner: Cosigner, folder: LogFolder) -> None:
        """Hold what a witness cosigned last against what is stored."""
        note = cosigner.latest()
        if note is None:
            return
        opened = open_tree_head(note, origin=folder.origin, log_keys=self._log_keys, cosigners=cosigner.verifiers)
        if not opened.cosigned:
            raise WhorlError("it shows a tree head that it did not cosign")
        require_contained(folder, opened.head, known_to=f"the witness {cosigner.name}")

    def _look_for_another_tree(self, cosigner: Cosigner, folder: LogFolder) -> None:
        """A witness refuses; that is no proof of anything, unless it shows another tree that this log signed."""
        try:
            self._compare_latest(cosigner, folder)
        except RollbackError:
            raise
        except (WhorlError, OSError) as error:
            _LOG.info("witness %s does not say what it cosigned last: %s", cosigner.name, error)

    def _require_shown(self, cosigner: Cosigner, folder: LogFolder, *, stated: int, size: int) -> NoReturn:
        """A witness states a larger size than ours. It is believed, unless what it shows says otherwise."""
        try:
            self._compare_latest(cosigner, folder)
        except RollbackError:
            raise
        except (WhorlError, OSError) as error:
            raise RollbackError(
                f"the witness {cosigner.name} has cosigned {stated} entries of this log, of which {size} are stored, "
                f"and does not show its tree head ({error}): an older copy of this registry was put back, or somebody "
                "else signs with its key. Nothing was published. Restore the newest backup; if the witness is wrong, "
                "take it out of registry.json"
            ) from error
        raise WhorlError(f"it states that it cosigned size {stated} of this log, and shows a smaller tree head")


class LocalWitness:
    """A witness in this process, for tests and for bureaus that run one beside their log.

    Parameters
    ----------
    answer : its ``add-checkpoint``
    latest : what it cosigned last for this log, as `whorl.log.witnessing.Witness.latest` answers; without it, it does
        not say
    """

    def __init__(
        self,
        name: str,
        verifiers: Sequence[Verifier],
        answer: Callable[[bytes], Reply],
        latest: Callable[[], Reply] | None = None,
    ) -> None:
        self._name = name
        self._verifiers = tuple(verifiers)
        self._answer = answer
        self._latest = latest

    @property
    def name(self) -> str:
        return self._name

    @property
    def verifiers(self) -> Sequence[Verifier]:
        return self._verifiers

    def add_checkpoint(self, body: bytes) -> Reply:
        return self._answer(body)

    def latest(self) -> bytes | None:
        if self._latest is None:
            raise WhorlError("it was not set up to say what it cosigned last")
        reply = self._latest()
        if reply.status not in (200, 404):
            raise WhorlError(f"it answered {reply.status}: {reply.body[:300].decode(errors='replace')}")
        return reply.body if reply.status == 200 else None


def signed_size(data: bytes) -> int:
    """Size of a tree head, its signatures unchecked."""
    return parse_tree_head(parse_note(data).text).size
