"""How far a case has come: what its events so far established."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from whorl.dossiers.events import (
    Access,
    Acquired,
    Analysed,
    AppealDecided,
    Appealed,
    Closed,
    EventKind,
    Expunged,
    Group,
    MemberRole,
    Method,
    Opened,
    Opined,
    Party,
    Proposition,
    Protocol,
    Replicated,
    Responded,
    Reviewed,
    Role,
    Unblinded,
)
from whorl.entries.kinds import parse_instant

Stage: TypeAlias = Literal[
    "new",
    "opened",
    "proposed",
    "frozen",
    "acquiring",
    "analysing",
    "void",
    "unblinded",
    "answered",
    "replicated",
    "reviewed",
    "opined",
    "closed",
    "appealed",
    "decided",
    "expunged",
]
NEEDED_ACCESS: Final[Mapping[Group, Access]] = MappingProxyType(
    {"weights": "fingerprint", "behaviour": "api", "memorisation": "api"}
)
"""What must be acquired of every model of the line-up for a group of methods; documents need none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the events of a case so far established; `whorl.dossiers.proceeding.proceed` makes it.

    Parameters
    ----------
    stage : where the case stands; where events were erased, the last stage that is certain
    possible : the stages it may be in; more than one only where the deciding event was erased
    events : how many there were
    at : time of the last one; None before the first
    kinds : kind of every event, by its number
    manager : hex key id of whoever opened the case
    parties : everybody in the case, by hex key id; empty once the opening was erased
    unseen : whether an event was erased: from then on kind, person, order and time are all that can be asked
    failed_controls : why the run is void, one sentence each; empty while it is not
    filed : every document by the role of whoever filed it, and its bytes
    appealed : who appealed against which version of the opinion, by hex key id
    review : the review that covers all that happened so far; None where there is none, or something came after it
    """

    stage: Stage = "new"
    possible: frozenset[Stage] = frozenset({"new"})
    events: int = 0
    at: datetime | None = None
    kinds: tuple[EventKind, ...] = ()
    manager: str | None = None
    parties: Mapping[str, Party] = field(default_factory=dict)
    unseen: bool = False
    opened: Opened | None = None
    propositions: tuple[Proposition, ...] = ()
    protocol: Protocol | None = None
    frozen_at: datetime | None = None
    acquired: tuple[Acquired, ...] = ()
    filed: tuple[tuple[Role, int], ...] = ()
    analysed: tuple[Analysed, ...] = ()
    unblinded: Unblinded | None = None
    unblinded_at: datetime | None = None
    failed_controls: tuple[str, ...] = ()
    responses: tuple[Responded, ...] = ()
    replications: tuple[Replicated, ...] = ()
    review: Reviewed | None = None
    opinions: tuple[Opined, ...] = ()
    closed: Closed | None = None
    appeals: tuple[Appealed, ...] = ()
    appealed: frozenset[tuple[str, int]] = frozenset()
    decisions: tuple[AppealDecided, ...] = ()
    tombstones: tuple[Expunged, ...] = ()

    @property
    def annulled(self) -> bool:
        """Whether an appeal took the opinions' force away."""
        return any(decision.result == "annulled" for decision in self.decisions)

    @property
    def void(self) -> bool:
        """Whether a control failed, so that nothing in the run counts; a tombstone says so of what was erased."""
        return bool(self.failed_controls) or any(tombstone.void for tombstone in self.tombstones)

    @property
    def all_analysed(self) -> bool:
        """Whether every comparison of the protocol was made."""
        return bool(self.analysed) and not self.not_analysed()

    @property
    def differing(self) -> int:
        """How many replications found something else than the analyst did."""
        return sum(not one.agrees for one in self.replications)

    @property
    def reply_until(self) -> datetime | None:
        """The end of the respondent's window; None before the unblinding."""
        if self.unblinded_at is None or self.opened is None:
            return None
        return self.unblinded_at + timedelta(days=self.opened.window_days)

    def members_in(self, *roles: MemberRole) -> tuple[str, ...]:
        """Codes of the line-up's members in these roles; empty before the unblinding."""
        members = () if self.unblinded is None else self.unblinded.members
        return tuple(member.code for member in members if member.role in roles)

    def not_acquired(self) -> tuple[tuple[str, Access], ...]:
        """What the protocol's methods need and nobody acquired yet, by code and access."""
        if self.protocol is None:
            return ()
        have = {(one.code, one.access) for one in self.acquired}
        needed = sorted({NEEDED_ACCESS[method.group] for method in self.comparing_methods()})
        return tuple(
            (code, access) for code in self.protocol.line_up.codes for access in needed if (code, access) not in have
        )

    def not_analysed(self) -> tuple[tuple[Method, str], ...]:
        """Each method of the protocol with each code that it has yet to compare with the reference."""
        if self.protocol is None:
            return ()
        have = {(one.group, one.method, one.questioned) for one in self.analysed}
        line_up = self.protocol.line_up
        return tuple(
            (method, code)
            for method in self.comparing_methods()
            for code in line_up.codes
            if code != line_up.reference and (method.group, method.method, code) not in have
        )

    def comparing_methods(self) -> Iterator[Method]:
        """The protocol's methods that compare models of the line-up."""
        methods = () if self.protocol is None else self.protocol.methods
        return (method for method in methods if method.group in NEEDED_ACCESS)


START: Final = State()


def time_of(at: str) -> datetime:
    """The time of a record."""
    return parse_instant(at)
