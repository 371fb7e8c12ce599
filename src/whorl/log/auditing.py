"""Checking a whole log: every tile derived anew from the entries, under a tree head that was signed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress, silent
from whorl.log.deriving import MAX_PROBLEMS, derive
from whorl.log.folder import LogFolder
from whorl.log.merkle import tree_root
from whorl.log.tiles import TileAddress, TileSource, hash_reader, parse_tile_path, tile_width
from whorl.log.tree_heads import SignedTreeHead, TreeHead

OpenHead: TypeAlias = Callable[[bytes], SignedTreeHead]
"""Checks a signed tree head: `open_tree_head` with keys, or `check_tree_head` with a policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What an audit found.

    Attributes
    ----------
    head : the published tree head; None where its signatures do not hold or there is none
    size : number of entries that were looked at
    problems : what is wrong, each with its place; at most 100, then the audit stopped. Empty if the log is whole
    """

    head: SignedTreeHead | None
    size: int
    problems: tuple[str, ...]


def verify_log(source: TileSource, *, open_head: OpenHead, progress: Progress = silent) -> LogReport:
    """Audit a log as it is served: tree head, bundles and tiles."""
    try:
        head = open_head(source.tree_head())
    except (InputError, VerificationError) as error:
        return LogReport(head=None, size=0, problems=(f"checkpoint: {error}",))
    size = head.head.size
    derived = derive(source, size, progress=progress)
    problems = derived.problems
    if not problems and derived.root != head.head.root:
        problems = (f"checkpoint: the entries do not give its root, size {size}; it is of another tree",)
    return LogReport(head=head, size=size, problems=problems)


def verify_folder(folder: LogFolder, *, open_head: OpenHead, progress: Progress = silent) -> LogReport:
    """Audit a log where it is kept: also what was appended since the published tree head, and older partial files."""
    try:
        state = folder.state()
    except (InputError, VerificationError) as error:
        return LogReport(head=None, size=0, problems=(str(error),))
    derived = derive(folder, state.size, progress=progress)
    problems = list(derived.problems)
    if not problems and derived.root != state.root:
        problems.append(f"state: the entries do not give its root, size {state.size}")
    head = None
    try:
        head = open_head(folder.tree_head())
        problems.extend(_head_problems(folder, head.head, state, tiles_hold=not problems))
    except (InputError, VerificationError) as error:
        problems.append(f"checkpoint: {error}")
    problems.extend(_older_partials(folder, state.size))
    return LogReport(head=head, size=state.size, problems=tuple(problems[:MAX_PROBLEMS]))


def _head_problems(folder: LogFolder, head: TreeHead, state: TreeHead, *, tiles_hold: bool) -> Iterator[str]:
    if head.size > state.size:
        yield f"checkpoint: it is of size {head.size}, but the state says {state.size}; an older copy was put back"
    elif tiles_hold and tree_root(hash_reader(folder, state.size), head.size) != head.root:
        yield f"checkpoint: the tiles do not give its root, size {head.size}"


def _older_partials(folder: LogFolder, size: int) -> Iterator[str]:
    """Partial files of earlier tree heads, which readers of those still ask for."""
    for path in folder.path.glob("tile/**/*.p/[1-9]*"):
        place = path.relative_to(folder.path).as_posix()
        try:
            address = parse_tile_path(place)
            now = tile_width(size, address.level or 0, address.index)
            if address.width < now and not _starts_alike(folder, address, now):
                yield f"{place}: not what the wider one starts with"
        except (InputError, VerificationError) as error:
            yield f"{place}: {error}"


def _starts_alike(folder: LogFolder, address: TileAddress, width: int) -> bool:
    read = folder.bundle if address.level is None else partial(folder.tile, address.level)
    return read(address.index, width).startswith(read(address.index, address.width))
