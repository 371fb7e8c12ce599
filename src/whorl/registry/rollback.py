"""Is this registry older than something that was signed for it? Then it signs nothing: a signature would be a fork.

A folder, a database or both can be put back from an old copy. What was signed since is known to whatever was not put
back with them: the last signed tree head, the published one, the newest one in the database, and the witnesses.
"""

from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.log.files import read_file
from whorl.log.folder import LogFolder
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.merkle import tree_root
from whorl.log.served_folder import HEAD_NAME
from whorl.log.tiles import hash_reader
from whorl.log.tree_heads import SignedTreeHead, TreeHead, open_tree_head
from whorl.registry.home import Home, log_verifiers

_STOPPED: Final = "Nothing was signed."


class RollbackError(VerificationError):
    """Something newer than what is stored was signed, or something else: an older copy was put back, or two sign."""


def require_nothing_newer(home: Home, log: LogFolder, recorded: bytes | None) -> None:
    """That the stored log holds all that this folder and the database know to be signed.

    Parameters
    ----------
    recorded : newest tree head of the log in the database

    Raises
    ------
    RollbackError
        If it does not.
    VerificationError
        If one of these tree heads is damaged, or that which was signed last is missing or older than the published one.
    """
    published = signed = None
    if (log.path / HEAD_NAME).exists():
        published = _opened(
            log.tree_head(), home, f"{log.path / HEAD_NAME}", f"Put back a copy; {home.last_signed} may be one"
        )
    if home.last_signed.exists():
        note = read_file(home.last_signed, max_bytes=MAX_NOTE_BYTES)
        signed = _opened(note, home, f"{home.last_signed}", "Copy there the largest tree head that a witness has")
    if published is not None and (signed is None or signed.head.size < published.head.size):
        raise VerificationError(
            f"{home.last_signed}: expected the tree head that was signed last, found "
            f"{'none' if signed is None else f'one of size {signed.head.size}'}, though one of size "
            f"{published.head.size} is published. {_STOPPED} Copy there {log.path / HEAD_NAME}, or the largest tree "
            "head that a witness has"
        )
    for known, place in ((signed, f"{home.last_signed}"), (published, f"{log.path / HEAD_NAME}")):
        if known is not None:
            require_contained(log, known.head, known_to=place)
    if recorded is not None:
        known = _opened(recorded, home, "the newest tree head in the database", "Restore the database from a backup")
        require_contained(log, known.head, known_to="the database")


def require_contained(log: LogFolder, head: TreeHead, *, known_to: str) -> None:
    """That a signed tree head is of the tree that is stored.

    Raises
    ------
    RollbackError
        If it is of a larger tree, or of one with other entries.
    """
    size = log.size
    if head.size > size:
        raise RollbackError(
            f"{log.path}: expected the {head.size} entries of {head.origin} whose signed tree head is known to "
            f"{known_to}, found {size}: {head.size - size} are missing, for an older copy of this registry was put "
            f"back, or another one signs with its key. {_STOPPED} Restore the newest backup of the whole registry; a "
            "bureau that mirrors this log has the missing entries"
        )
    if head.size and tree_root(hash_reader(log, size), head.size) != head.root:
        raise RollbackError(
            f"{log.path}: expected the tree of size {head.size} whose signed tree head is known to {known_to}, found "
            f"other entries: an older copy of this registry was put back and went on, or a file was altered. "
            f"{_STOPPED} Restore the newest backup of the whole registry"
        )


def _opened(note: bytes, home: Home, place: str, remedy: str) -> SignedTreeHead:
    try:
        return open_tree_head(note, origin=home.origin, log_keys=log_verifiers(home))
    except (InputError, VerificationError) as error:
        raise VerificationError(
            f"{place}: expected a tree head that this log signed, found: {error}. {_STOPPED} {remedy}"
        ) from error
