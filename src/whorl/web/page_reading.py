"""What pages may show: they are for everybody, so what a stranger may read, and less of a notice that is hidden.

What hides an accusation hides also what its author adds to it: an answer to a dispute, a reason for taking it back.
Otherwise whoever filed it could say it again there. What the accused say may always be shown.
"""

from datetime import datetime
from typing import Final, Literal, TypeAlias

from whorl.registry.reading import ANYBODY, Withheld, withheld
from whorl.registry.view import EntryFacts, View

Hidden: TypeAlias = Withheld | Literal["of_hidden_notice"]

_ADDING: Final = frozenset({"response", "status"})


def hidden(entry: EntryFacts, view: View, *, at: datetime) -> Hidden | None:
    """Why a page does not show what an entry says; None if it does."""
    reason = withheld(entry, ANYBODY, view, at=at)
    if reason is None and entry.kind in _ADDING and _adds_to_hidden_notice(entry, view, at=at):
        return "of_hidden_notice"
    return reason


def is_shown(entry: EntryFacts, view: View, *, at: datetime) -> bool:
    """Whether a page may show what an entry says."""
    return hidden(entry, view, at=at) is None


def _adds_to_hidden_notice(entry: EntryFacts, view: View, *, at: datetime) -> bool:
    about = None if entry.statement is None else view.entry(entry.statement.target)
    if about is not None and about.kind == "dispute" and about.statement is not None:
        about = view.entry(about.statement.target)
    return (
        about is not None
        and about.kind == "notice"
        and about.organisation == entry.organisation
        and withheld(about, ANYBODY, view, at=at) is not None
    )
