"""A witness: cosigns the tree heads of logs it knows, if each grew out of the one it cosigned last (C2SP tlog-witness).

What a witness promises is its memory. It keeps, for each log, the last tree head it cosigned, and keeps it before it
answers. A log that is new to it is taken as it comes: until the first answer that is not of size 0 there is nothing to
compare with. A witness whose folder was lost or restored from an old backup has forgotten what it promised and must not
go on under the same key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.log.files import Write, locked, origin_hash, read_file
from whorl.log.forks import Fork, checked_note, keep_fork
from whorl.log.grammar import MAX_NOTE_BYTES, shown
from whorl.log.keys import Signer, Verifier, check_distinct
from whorl.log.merkle import EMPTY_ROOT, verify_consistency
from whorl.log.notes import Note, open_note, parse_note, signature_lines
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head, parse_tree_head
from whorl.log.witness_requests import SIZE_CONTENT_TYPE, AddRequest, parse_add_request, size_body

Status: TypeAlias = Literal[200, 400, 403, 404, 409, 422, 500]
TEXT_CONTENT_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer; other than for 200 and 409 the body says in words what was wrong."""

    status: Status
    body: bytes
    content_type: str = TEXT_CONTENT_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cosigned:
    """The tree head that was cosigned last, and the latest time that was stated for it."""

    head: TreeHead
    note: Note
    at: int


class Witness:
    """Answers ``add-checkpoint`` requests; any number of threads and processes may share the folder.

    Parameters
    ----------
    folder : the witness's memory, made by its operator: one file per log and, if a log is caught, ``fork-*.proof``
    signers : keys of cosignature types, not used for anything else
    logs : origins, each with the keys its tree heads may be signed with
    write : how files get onto the disk

    Raises
    ------
    InputError
        If the folder does not exist, or one public key has two roles.
    """

    def __init__(
        self,
        folder: Path,
        signers: Sequence[Signer],
        logs: Mapping[str, Sequence[Verifier]],
        *,
        write: Write = write_durably,
    ) -> None:
        if not signers or any(signer.algorithm == "ed25519" for signer in signers):
            raise ValueError("a witness signs with keys of cosignature types, at least one")
        if not folder.is_dir():
            raise InputError(
                f"{folder}: expected the folder of the witness, found none. Make it for a new witness; for one that "
                "has cosigned before, restore the folder or take a new key"
            )
        check_distinct([signer.verifier for signer in signers] + [key for keys in logs.values() for key in keys])
        self._folder = folder
        self._signers = tuple(signers)
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._write = write

    def add_checkpoint(self, body: bytes, *, at: int) -> Reply:
        """Answer one request.

        Parameters
        ----------
        body : a stranger's bytes
        at : POSIX seconds now; if they are earlier than what was stated last, that is stated again
        """
        # (1) a request with a tree head of a log that is known here
        try:
            request = parse_add_request(body)
            origin = parse_tree_head(parse_note(request.note).text).origin
        except InputError as error:
            return _refusal(400, str(error))
        if origin not in self._logs:
            return _refusal(404, f"the log {shown(origin)} is not one that is witnessed here")
        # (2) the log signed it, and no signature by a key of the log is false
        try:
            offered = open_tree_head(request.note, origin=origin, log_keys=self._logs[origin])
        except VerificationError as error:
            return _refusal(403, str(error))
        if request.old_size > offered.head.size:
            return _refusal(
                400, f"old size {request.old_size} is larger than the tree head's {offered.head.size}; ask again"
            )
        # (3) compare and store as one
        try:
            with locked(self._folder / f"{origin_hash(origin)}.lock"):
                return self._compare_and_store(request, offered, at)
        except (InputError, VerificationError, OSError) as error:
            return _refusal(500, f"the witness cannot read or keep its own memory: {error}")

    def latest(self, hashed_origin: str) -> Reply:
        """The last tree head cosigned for a log, for monitors: ``GET <prefix>/<origin hash>/checkpoint``."""
        for origin in self._logs:
            if origin_hash(origin) == hashed_origin:
                try:
                    cosigned = self._cosigned(origin)
                except (InputError, VerificationError) as error:
                    return _refusal(500, f"the witness cannot read its own memory: {error}")
                if cosigned is not None:
                    return Reply(status=200, body=cosigned.note.to_bytes())
        return _refusal(404, "no tree head of this log was cosigned here")

    def _compare_and_store(self, request: AddRequest, offered: SignedTreeHead, at: int) -> Reply:
        cosigned = self._cosigned(offered.head.origin)
        size = cosigned.head.size if cosigned else 0
        if request.old_size != size:
            return Reply(status=409, body=size_body(size), content_type=SIZE_CONTENT_TYPE)
        by_log = checked_note(offered)
        if problem := _not_grown(request, offered.head, cosigned.head if cosigned else None):
            if cosigned and size == offered.head.size > 0:  # two roots for one size prove a fork by themselves
                keep_fork(
                    self._folder, Fork(smaller=cosigned.note.to_bytes(), larger=by_log.to_bytes()), write=self._write
                )
            return _refusal(422, problem)
        time = max(at, cosigned.at if cosigned else 0)
        signatures = tuple(signer.sign(by_log.text.encode(), at=time) for signer in self._signers)
        note = replace(by_log, signatures=(*by_log.signatures, *signatures))
        self._write(self._path(offered.head.origin), note.to_bytes())
        return Reply(status=200, body=signature_lines(signatures))

    def _path(self, origin: str) -> Path:
        return self._folder / f"{origin_hash(origin)}.checkpoint"

    def _cosigned(self, origin: str) -> _Cosigned | None:
        """What was cosigned last. A file that is there and damaged is an error, never the same as none."""
        path = self._path(origin)
        if not path.exists():
            return None
        try:
            note = parse_note(read_file(path, max_bytes=MAX_NOTE_BYTES))
            opened = open_note(note, (*(signer.verifier for signer in self._signers), *self._logs[origin]))
            head = parse_tree_head(opened.text)
        except (InputError, VerificationError) as error:
            raise VerificationError(f"what was cosigned last for {shown(origin)} is damaged: {error}") from error
        if head.origin != origin:
            raise VerificationError(f"what was cosigned last for {shown(origin)} is of {shown(head.origin)}")
        times = [one.at for one in opened.signed if one.at is not None]
        return _Cosigned(head=head, note=note, at=max(times, default=0))


def _not_grown(request: AddRequest, offered: TreeHead, cosigned: TreeHead | None) -> str:
    """What is wrong with the growth from the tree head that was cosigned last; empty if nothing is."""
    if offered.size == 0 and offered.root != EMPTY_ROOT:
        return "a tree of size 0 has the root of the empty tree, SHA-256 of nothing; found another"
    if cosigned is None or cosigned.size == 0:  # every tree starts with the empty one
        return "expected no consistency proof from size 0, found one" if request.proof else ""
    try:
        verify_consistency(cosigned.size, offered.size, cosigned.root, offered.root, request.proof)
    except VerificationError as error:
        return str(error)
    return ""


def _refusal(status: Status, problem: str) -> Reply:
    return Reply(status=status, body=f"{problem}\n".encode())
