"""What the statistics page shows: counts by bureau, notices by state, refusals, and how long things take."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean
from threading import Lock
from typing import Final, get_args

from whorl.entries.kinds import KINDS
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, latest_entries
from whorl.registry.local import LocalRegistry
from whorl.registry.notice_case import NoticeCase, open_case
from whorl.registry.notices import NoticeState
from whorl.web.documents import StatisticsDocument

NOTICES: Final = 500
KEPT_SECONDS: Final = 600.0
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How long something took on average; ``days`` is None where it never happened."""

    what: str
    number: int
    days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A count with its share of the largest one."""

    key: str
    number: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsPage:
    """All that the page shows."""

    figures: StatisticsDocument
    kinds: tuple[str, ...]
    states: tuple[Bar, ...]
    refusals: tuple[Bar, ...]
    delays: tuple[Delay, ...]


def statistics_page(figures: StatisticsDocument, delays: Iterable[Delay]) -> StatisticsPage:
    """Order the public figures for reading."""
    kinds = [kind for kind in (*KINDS.values(), "sealed") if any(kind in bureau.entries for bureau in figures.bureaus)]
    states: dict[str, int] = dict.fromkeys(get_args(NoticeState), 0)
    for bureau in figures.bureaus:
        for state, number in bureau.notices.items():
            states[state] += number
    refusals = dict(sorted(figures.refusals.items(), key=lambda pair: (-pair[1], pair[0])))
    return StatisticsPage(
        figures=figures,
        kinds=tuple(kinds),
        states=_bars(states),
        refusals=_bars(refusals),
        delays=tuple(delays),
    )


class Delays:
    """How long reviews, replies and disputes took in the newest notices; made anew at most every ten minutes."""

    def __init__(self, registry: LocalRegistry) -> None:
        self._registry = registry
        self._lock = Lock()
        self._made: tuple[float, tuple[Delay, ...]] | None = None

    def now(self) -> tuple[Delay, ...]:
        """The delays as of the last ten minutes; while they are made anew, the last ones."""
        made = self._made
        if made is not None and (time.monotonic() - made[0] < KEPT_SECONDS or self._lock.locked()):
            return made[1]
        with self._lock:
            if self._made is None or self._made is made:
                self._made = time.monotonic(), self._make()
            return self._made[1]

    def _make(self) -> tuple[Delay, ...]:
        reviews: list[timedelta] = []
        replies: list[timedelta] = []
        disputes: list[timedelta] = []
        at = self._registry.now()
        with self._registry.database.reading() as connection:
            view = DatabaseView(connection)
            before: int | None = None
            looked_at = 0
            while looked_at < NOTICES and (page := latest_entries(connection, "notice", most=PAGE, before=before)):
                for _, stored in page[: NOTICES - looked_at]:
                    case = open_case(facts_of(stored), view, at=at)
                    if case is not None:
                        reviews += _first(case, case.reviewers("reviewed").values())
                        replies += _first(case, _replies(case))
                        disputes += _ended(case)
                looked_at += len(page)
                before = page[-1][0]
        return (
            _mean("from filing to the first review", reviews),
            _mean("from filing to the first reply", replies),
            _mean("from a dispute to its end", disputes),
        )


def _replies(case: NoticeCase) -> list[bytes]:
    return [one.hash for one in case.about if one.kind == "response" and one.organisation in case.parties.accused]


def _first(case: NoticeCase, entries: Iterable[bytes]) -> list[timedelta]:
    sought = set(entries)
    seen = [one.seen_at for one in case.about if one.hash in sought]
    return [min(seen) - case.notice.seen_at] if seen else []


def _ended(case: NoticeCase) -> list[timedelta]:
    """Time until each dispute was over; a dispute that ended with the notice's annulment was over then."""
    ends = []
    for dispute in case.disputes:
        settled = [
            end for end in (case.settled(dispute), case.annulled.at if case.annulled else None) if end is not None
        ]
        if settled:
            ends.append(max(timedelta(), min(settled) - dispute.seen_at))
        elif case.latest > (deadline := case.deadline(dispute)) and not case.answered(dispute, deadline):
            ends.append(deadline - dispute.seen_at)
    return ends


def _mean(what: str, times: list[timedelta]) -> Delay:
    days = [one / _DAY for one in times]
    return Delay(what=what, number=len(days), days=fmean(days) if days else None)


def _bars(numbers: dict[str, int]) -> tuple[Bar, ...]:
    most = max(numbers.values(), default=0)
    return tuple(Bar(key=key, number=number, share=number / most if most else 0.0) for key, number in numbers.items())
