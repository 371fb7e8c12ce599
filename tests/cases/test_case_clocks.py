"""Time in a case that a bureau keeps: nobody gains any by a clock of their own, and nobody takes any from others."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from small_case import Steps, key_of

from whorl.cases import casework
from whorl.cases.case import Case, CaseView
from whorl.cases.held_cases import HeldCases
from whorl.core.errors import VerificationError
from whorl.dossiers.events import Party, Role
from whorl.entries.keys import encode_public

CaseAfter = Callable[[str], Steps]


@dataclass
class Bureau:
    """A bureau with a clock that stands, and people who enter events with clocks of their own."""

    path: Path
    case: str
    at: datetime
    until: datetime

    def __post_init__(self) -> None:
        self.cases = HeldCases(self.path, now=lambda: self.at)

    def enter(self, make: Callable[[Case], CaseView], *, clock: datetime) -> CaseView:
        """Make an event on a copy, as a program elsewhere would, and hand it in."""
        copy = self.path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.path / self.case, copy)
        made = make(Case(copy, now=lambda: clock, random_bytes=os.urandom)).kept[-1]
        for exhibit in (copy / "exhibits").rglob("*"):  # as it would have put them before
            if exhibit.is_file():
                self.cases.held(self.case).store.put(exhibit.read_bytes())
        return self.cases.append(self.case, made).view


@pytest.fixture
def bureau(case_after: CaseAfter, tmp_path: Path) -> Bureau:
    """Half a minute before the window ends."""
    steps = case_after("unblind")
    view = steps.case.read()
    until = view.state.reply_until
    assert until is not None
    steps.path.rename(tmp_path / view.id)
    return Bureau(path=tmp_path, case=view.id, at=until - timedelta(seconds=30), until=until)


def document(role: Role) -> Callable[[Case], CaseView]:
    def file(case: Case) -> CaseView:
        return casework.acquire_document(case, os.urandom(9), title="Log", how="sent", filed_by=None, key=key_of(role))

    return file


def reply(case: Case) -> CaseView:
    return casework.respond(case, key_of("respondent"), statement="We trained Lark from random weights.")


def another_person(case: Case) -> CaseView:
    keys = tuple(map(encode_public, key_of("a second judge").public_keys))
    return casework.join(case, Party(name="Fay Judge", role="appeal_reviewer", keys=keys), key_of("manager"))


def test_a_reply_comes_in_time_as_long_as_the_bureaus_clock_says_so(bureau: Bureau) -> None:
    bureau.enter(document("complainant"), clock=bureau.until)  # dated ahead as far as it goes
    bureau.at = bureau.until - timedelta(seconds=1)
    view = bureau.enter(reply, clock=bureau.at)
    assert (len(view.state.responses), view.kept[-1].record.at) == (1, f"{bureau.until:%Y-%m-%dT%H:%M:%SZ}")
    bureau.at = bureau.until + timedelta(seconds=1)
    with pytest.raises(VerificationError, match="rule 18: expected a reply until"):
        bureau.enter(reply, clock=bureau.at)


def test_nobody_whom_the_window_does_not_bind_ends_it_sooner(bureau: Bureau) -> None:
    early = bureau.until + timedelta(seconds=1)
    bureau.at = bureau.until - timedelta(seconds=1)
    with pytest.raises(VerificationError, match="no event dated after the reply window"):
        bureau.enter(another_person, clock=early)
    assert bureau.enter(reply, clock=bureau.at).state.responses
    bureau.at = early
    bureau.enter(another_person, clock=early)


@pytest.mark.parametrize("ahead", [-601, 31, 595])
def test_an_event_of_another_time_is_not_taken(bureau: Bureau, ahead: int) -> None:
    bureau.at -= timedelta(days=1)
    with pytest.raises(VerificationError, match="30 seconds after this service's clock"):
        bureau.enter(document("complainant"), clock=bureau.at + timedelta(seconds=ahead))


@pytest.mark.parametrize("behind", [0, 240])
def test_an_event_that_is_dated_ahead_keeps_nobody_out(bureau: Bureau, behind: int) -> None:
    bureau.at -= timedelta(days=1)
    ahead = bureau.at + timedelta(seconds=30)
    bureau.enter(document("complainant"), clock=ahead)
    view = bureau.enter(document("respondent"), clock=bureau.at - timedelta(seconds=behind))
    assert [one.record.at for one in view.kept[-2:]] == [f"{ahead:%Y-%m-%dT%H:%M:%SZ}"] * 2


def test_a_clock_that_is_slow_is_no_fault_where_nothing_was_filed_since(bureau: Bureau) -> None:
    slow = bureau.at - timedelta(minutes=9)
    assert bureau.enter(document("respondent"), clock=slow).kept[-1].record.at == f"{slow:%Y-%m-%dT%H:%M:%SZ}"
