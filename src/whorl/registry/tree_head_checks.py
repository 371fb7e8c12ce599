"""Do the stored tree heads fit the stored entries? Each is of one tree that only grew, and its log signed it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, select

from whorl.core.errors import InputError, VerificationError
from whorl.log.edge import EMPTY_EDGE, Edge, grow
from whorl.log.folder import LogFolder
from whorl.log.keys import Verifier
from whorl.log.tiles import right_edge
from whorl.log.tree_heads import SignedTreeHead, open_tree_head
from whorl.registry.log_rows import StoredLog, stored_logs
from whorl.registry.tables import heads

_CHUNK: Final = 256
_NEXT: Final = (
    select(heads.c.size, heads.c.note)
    .where(heads.c.log == bindparam("log"), heads.c.size > bindparam("after"))
    .order_by(heads.c.size)
    .limit(1)
)
_RESTORE: Final = "restore the database from a backup"


@dataclass(slots=True)
class _Tree:
    """The tree of one log's rows as far as they were told, and the stored tree head that comes next."""

    log: StoredLog
    edge: Edge = EMPTY_EDGE
    waiting: list[bytes] = field(default_factory=list)
    due: tuple[int, bytes] | None = None
    last: SignedTreeHead | None = None

    @property
    def size(self) -> int:
        return self.edge.size + len(self.waiting)

    def root(self) -> bytes:
        self.edge, _ = grow(self.edge, self.waiting)
        self.waiting.clear()
        return self.edge.root()


class TreeHeadChecks:
    """Told of every leaf in order, compares each stored tree head when the tree has its size.

    Parameters
    ----------
    keys : keys of logs, by origin; tree heads of others are not looked at
    own_log : the own log's files, where receipts take their proofs from; None if they cannot be read
    note : takes a place and what is wrong there
    """

    def __init__(
        self,
        connection: Connection,
        keys: Mapping[str, Sequence[Verifier]],
        own_log: LogFolder | None,
        note: Callable[[str, str], None],
    ) -> None:
        self.checked = 0
        self._connection = connection
        self._keys = keys
        self._own_log = own_log
        self._note = note
        self._trees = {log.origin: _Tree(log) for log in stored_logs(connection)}
        for tree in self._trees.values():
            tree.due = self._next(tree, after=0)

    def saw(self, origin: str, leaf: bytes) -> None:
        """The next leaf of a log."""
        tree = self._trees[origin]
        tree.waiting.append(leaf)
        if len(tree.waiting) >= _CHUNK:
            tree.root()
        while tree.due is not None and tree.due[0] <= tree.size:
            size, note = tree.due
            self._check(tree, note, size=size, place=f"tree head {size} of {origin}")
            tree.due = self._next(tree, after=size)

    def finish(self) -> None:
        """Look at what came to the end, and at the newest tree head of every log."""
        for origin, tree in self._trees.items():
            if tree.due is not None and tree.log.own:
                self._note(
                    f"tree head {tree.due[0]} of {origin}", f"is of more entries than the {tree.size} here; {_RESTORE}"
                )
            if tree.log.head is not None:
                self._check_newest(tree, tree.log.head)

    def _check_newest(self, tree: _Tree, note: bytes) -> None:
        place = f"newest tree head of {tree.log.origin}"
        opened = self._opened(tree, note, place)
        if opened is None:
            return
        first = tree.last
        if tree.log.own and (first is None or first.head != opened.head):
            self._note(
                place,
                f"is of size {opened.head.size}, expected that of size {first.head.size if first else 0}, which is "
                f"the largest that is stored, or has another root; {_RESTORE}",
            )

    def _check(self, tree: _Tree, note: bytes, *, size: int, place: str) -> None:
        self.checked += 1
        opened = self._opened(tree, note, place)
        if opened is None:
            return
        tree.last = opened
        if opened.head.size != size or opened.head.size != tree.size:
            self._note(place, f"is stored in the place of another, its size is {opened.head.size}; {_RESTORE}")
        elif opened.head.root != tree.root():
            self._note(place, f"is not of the entries that are stored: one of them was altered; {_RESTORE}")
        if tree.log.own and self._own_log is not None:
            self._require_edge(self._own_log, size, place)

    def _require_edge(self, log: LogFolder, size: int, place: str) -> None:
        """Receipts of entries that came under this tree head need the partial tiles that the log had then."""
        try:
            if size <= log.size:
                for one in right_edge(size):
                    if one.level is not None:
                        log.tile(one.level, one.index, one.width)
        except (InputError, VerificationError) as error:
            self._note(place, f"{error}; restore the file from a backup or a mirror")

    def _opened(self, tree: _Tree, note: bytes, place: str) -> SignedTreeHead | None:
        keys = self._keys.get(tree.log.origin)
        if keys is None:
            return None
        try:
            return open_tree_head(note, origin=tree.log.origin, log_keys=keys)
        except (InputError, VerificationError) as error:
            self._note(place, f"{error}; {_RESTORE}")
            return None

    def _next(self, tree: _Tree, *, after: int) -> tuple[int, bytes] | None:
        row = self._connection.execute(_NEXT, {"log": tree.log.id, "after": after}).first()
        return None if row is None else (row.size, row.note)
