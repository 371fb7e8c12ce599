"""Proof that a log shows two trees: two of its tree heads, both signed, that cannot be of one log that only grew.

A fork file is one JSON object::

    {"schema": "whorl.log-fork/1", "smaller": NOTE, "larger": NOTE, "path": [BASE64, ...]}

The path leads from the first leaves of the larger tree, as many as the smaller tree has, to the larger tree's root, and
says which root those leaves have. If the smaller tree head has another, the log signed both and contradicts itself.
Anybody who has the log's key can check that; no statement by the finder is needed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.log.files import Write, origin_hash
from whorl.log.grammar import MAX_NOTE_BYTES, base64_of, parse_path, shown
from whorl.log.keys import Verifier
from whorl.log.merkle import HashReader, prefix_path, root_of_prefix
from whorl.log.notes import Note, parse_note
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head, parse_tree_head

MAX_FORK_BYTES: Final = 5 * MAX_NOTE_BYTES
_SCHEMA: Final = "whorl.log-fork/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Two tree heads of one log, and the path that shows that they contradict each other; nothing is checked.

    ``parse_fork(fork.to_bytes()) == fork``.
    """

    smaller: bytes
    larger: bytes
    path: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """The content of a fork file."""
        document = {
            "schema": _SCHEMA,
            "smaller": self.smaller.decode(),
            "larger": self.larger.decode(),
            "path": [base64_of(one) for one in self.path],
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenFork:
    """What `verify_fork` established: the log of this origin signed both, and they contradict each other."""

    origin: str
    smaller: SignedTreeHead
    larger: SignedTreeHead


def parse_fork(data: bytes) -> Fork:
    """Read a fork file; whether it proves anything is for `verify_fork` to say.

    Raises
    ------
    InputError
        If it is not of the format.
    """
    document = parse_json_object(data, what="fork file", max_bytes=MAX_FORK_BYTES, max_depth=2)
    match document:
        case {"schema": schema, "smaller": str(smaller), "larger": str(larger), "path": list(path), **rest} if not rest:
            if schema != _SCHEMA:
                raise InputError(f"fork file: expected schema {_SCHEMA!r}, found {shown(str(schema))}")
            return Fork(smaller=smaller.encode(), larger=larger.encode(), path=_parse_lines(path))
    raise InputError(f"fork file: expected schema, smaller, larger and path, found {shown(', '.join(document))}")


def _parse_lines(lines: list[Any]) -> tuple[bytes, ...]:
    if not all(isinstance(line, str) for line in lines):
        raise InputError("fork file: expected a path of base64 texts, found something else")
    return parse_path(lines, what="fork file, path")


def find_fork(one: SignedTreeHead, other: SignedTreeHead, read_larger: HashReader) -> Fork | None:
    """Whether two signed tree heads of one log contradict each other; None if one tree is the beginning of the other.

    Parameters
    ----------
    read_larger : reads the tree of the larger one; not asked if the sizes are equal or one is 0

    Raises
    ------
    VerificationError
        If what is read does not give the larger one's root, so that nothing can be said.
    """
    smaller, larger = sorted((one, other), key=lambda signed: signed.head.size)
    path: tuple[bytes, ...] = ()
    if 0 < smaller.head.size < larger.head.size:
        path = prefix_path(read_larger, smaller.head.size, larger.head.size)
    if not _contradict(smaller.head, larger.head, path):
        return None
    return Fork(smaller=checked_note(smaller).to_bytes(), larger=checked_note(larger).to_bytes(), path=path)


def verify_fork(data: bytes, *, log_keys: Sequence[Verifier]) -> ProvenFork:
    """Check a fork file with nothing but the log's keys.

    Parameters
    ----------
    log_keys : keys of logs; those whose name is the origin count, so that no log can speak for another

    Raises
    ------
    InputError
        If it is not of the format.
    VerificationError
        If the log did not sign both tree heads, or they do not contradict each other: then it accuses nobody.
    """
    fork = parse_fork(data)
    origin = parse_tree_head(parse_note(fork.smaller).text).origin
    own_keys = [key for key in log_keys if key.name == origin]
    # (1) the log signed both
    smaller = open_tree_head(fork.smaller, origin=origin, log_keys=own_keys)
    larger = open_tree_head(fork.larger, origin=origin, log_keys=own_keys)
    # (2) the larger tree starts with another tree than the smaller tree head says
    if not _contradict(smaller.head, larger.head, fork.path):
        raise VerificationError(
            f"fork file: the tree heads of {shown(origin)} with {smaller.head.size} and {larger.head.size} entries do "
            "not contradict each other; this is no proof of a fork"
        )
    return ProvenFork(origin=origin, smaller=smaller, larger=larger)


def checked_note(signed: SignedTreeHead) -> Note:
    """The note of a tree head without the signatures that nobody checked; each key's first one stays."""
    known = {(one.verifier.name, one.verifier.key_id) for one in (*signed.signed, *signed.cosigned)}
    kept = {(line.name, line.key_id): line for line in reversed(signed.note.signatures)}
    return replace(signed.note, signatures=tuple(line for key, line in reversed(kept.items()) if key in known))


def keep_fork(folder: Path, fork: Fork, *, write: Write = write_durably) -> Path:
    """Keep a proof in a folder, one for each log: a second one would prove nothing more."""
    origin = parse_tree_head(parse_note(fork.smaller).text).origin
    path = folder / f"fork-{origin_hash(origin)[:16]}.proof"
    if not path.exists():
        write(path, fork.to_bytes())
    return path


def _contradict(smaller: TreeHead, larger: TreeHead, path: Sequence[bytes]) -> bool:
    """Whether both cannot be of one log; `VerificationError` if the path does not show what the larger starts with."""
    if smaller.size == larger.size:
        return smaller.root != larger.root
    if smaller.size == 0:  # every tree starts with the empty one
        return False
    return root_of_prefix(smaller.size, larger.size, path, larger.root) != smaller.root
