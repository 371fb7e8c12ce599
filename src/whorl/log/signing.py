"""Signing a log's next tree head, and when to refuse.

A signature cannot be taken back: one over a wrong root ends a log. So the files are asked again before each one. The
last signed tree head is kept in a file outside of the log's folder, for a folder that was restored from an old backup
knows nothing of what was signed since.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.log.deriving import derive
from whorl.log.files import Write, read_file
from whorl.log.folder import LogFolder
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.keys import Signer, Verifier
from whorl.log.merkle import consistency_path, tree_root, verify_consistency
from whorl.log.notes import Note
from whorl.log.tiles import hash_reader
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head, sign_tree_head

_STOPPED: Final = "Nothing was signed."


def sign_next(
    folder: LogFolder,
    signers: Sequence[Signer],
    *,
    last_signed: Path,
    now: int,
    former_keys: Sequence[Verifier] = (),
    write: Write = write_durably,
) -> Note:
    """Sign the tree that is stored, after making sure that it grew out of the one signed last.

    The signed tree head is in ``last_signed`` before it is returned. It is not published: `LogFolder.publish` is for
    after the witnesses.

    Parameters
    ----------
    last_signed : file of the last signed tree head, outside of the log's folder; made by the first signing
    now : POSIX seconds for signatures that state a time; never less than what was stated last
    former_keys : keys of the log that signed before and are not in use any more

    Raises
    ------
    VerificationError
        If the log is shorter than what was signed or published, has another past, or entries and tiles do not belong
        together, or what was signed last is not known. Nothing was signed then, and nothing was written.
    """
    log_keys = (*(signer.verifier for signer in signers), *former_keys)
    with folder.locked():
        state = folder.state()
        before = _last_signed(last_signed, folder, log_keys)
        old = before.head if before else None
        # (1) the log did not shrink
        _check_sizes(folder, state, old, last_signed)
        # (2) the new entries, read from the disk, give the tiles above them, and all tiles give the root of the state
        _check_tiles(folder, state, start=old.size if old else 0)
        # (3) the tree that was signed is what this one starts with
        if old is not None and old.size:
            _check_past(folder, state, old)
        times = [one.at for one in before.signed if one.at is not None] if before else []
        note = sign_tree_head(state, signers, at=max([now, *times]))
        write(last_signed, note.to_bytes())
        return note


def _last_signed(path: Path, folder: LogFolder, log_keys: Sequence[Verifier]) -> SignedTreeHead | None:
    if not path.exists():
        if folder.published() is None:
            return None
        raise VerificationError(
            f"{path}: expected the tree head that was signed last, found none, though the log has published one. "
            f"{_STOPPED} Put the file back; if it is lost, copy there the largest tree head that a witness has"
        )
    try:
        return open_tree_head(read_file(path, max_bytes=MAX_NOTE_BYTES), origin=folder.origin, log_keys=log_keys)
    except (InputError, VerificationError) as error:
        raise VerificationError(
            f"{path}: expected the tree head that was signed last, found: {error}. {_STOPPED} If the log's key is new, "
            "name the former one; if the file is damaged, copy there the largest tree head that a witness has"
        ) from error


def _check_sizes(folder: LogFolder, state: TreeHead, old: TreeHead | None, last_signed: Path) -> None:
    published = folder.published()
    if old is not None and state.size < old.size:
        raise VerificationError(
            f"{folder.path}: expected at least {old.size} entries, as signed in {last_signed}, found {state.size}: an "
            f"older copy of the log was put back. {_STOPPED} Restore the newest copy, or append the same entries "
            f"{state.size} to {old.size - 1} again"
        )
    if published is not None and (old is None or published.size > old.size):
        raise VerificationError(
            f"{last_signed}: expected the tree head that was signed last, found one of size {old.size if old else 0}, "
            f"though one of {published.size} is published. {_STOPPED} Copy the published one there"
        )


def _check_tiles(folder: LogFolder, state: TreeHead, *, start: int) -> None:
    derived = derive(folder, state.size, start=start)
    problem = "; ".join(derived.problems[:3])
    if not problem and derived.root != state.root:
        problem = "the tiles do not give the root of the state"
    if problem:
        raise VerificationError(
            f"{folder.path}: {problem}. {_STOPPED} A file was damaged or altered: restore it from a backup or a mirror"
        )


def _check_past(folder: LogFolder, state: TreeHead, old: TreeHead) -> None:
    read = hash_reader(folder, state.size)
    try:
        path = consistency_path(read, old.size, state.size)
        verify_consistency(old.size, state.size, old.root, state.root, path)
        same = tree_root(read, old.size) == old.root
    except (InputError, VerificationError):
        same = False
    if not same:
        raise VerificationError(
            f"{folder.path}: the tree of size {old.size} that was signed is not what the stored tree of size "
            f"{state.size} starts with: the log was rewritten or damaged. {_STOPPED} A signature would make a fork "
            "that anybody can prove. Restore the newest copy of the log"
        )
