"""Checking a whole log: every tile derived anew from the entries, under a tree head that was signed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress, silent
from whorl.log.deriving import derive
from whorl.log.tiles import TileSource
from whorl.log.tree_heads import SignedTreeHead

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
