"""A bureau that lies about a case: what people keep of it is enough to go on once somebody tells the truth."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from case_desks import People, Person, past_first_second
from served import Served, new_registry, serving
from small_case import POPULATION, candidates, plan

from whorl.cases import casework
from whorl.cases.case import Case, CaseView
from whorl.cases.remote_store import SEEN_FILE, RemoteStore, parse_case_url
from whorl.core.errors import VerificationError, WhorlError
from whorl.dossiers.custody import Kept, parse_chain, write_chain
from whorl.registry.bounded_http import Answer
from whorl.registry.client import RemoteRegistry

BUSY = b'{"error": {"code": "busy", "message": "full"}}'


class Honest(RemoteRegistry):
    """A bureau as it is."""


class Hiding(RemoteRegistry):
    """It keeps a frozen protocol, says that it does not, and leaves it out of what it shows."""

    def ask(
        self, method: str, path: str, *, body: bytes = b"", content_type: str | None = None, most: int = 1 << 20
    ) -> Answer:
        answer = super().ask(method, path, body=body, content_type=content_type, most=most)
        if method == "POST" and b'"kind":"frozen"' in body and answer.status == 201:
            return replace(answer, status=503, body=BUSY)
        if method == "GET" and path.endswith("/events"):
            return replace(
                answer, body=write_chain([one for one in parse_chain(answer.body) if one.record.kind != "frozen"])
            )
        return answer


class MakingUp(RemoteRegistry):
    """It adds an event that nobody signed."""

    def ask(
        self, method: str, path: str, *, body: bytes = b"", content_type: str | None = None, most: int = 1 << 20
    ) -> Answer:
        answer = super().ask(method, path, body=body, content_type=content_type, most=most)
        kept = parse_chain(answer.body)
        last = kept[-1]
        record = last.record.model_copy(
            update={"sequence": len(kept), "previous": last.record.hash.hex(), "commitment": "00" * 32}
        )
        return replace(answer, body=write_chain([*kept, Kept(record=record, envelope=last.envelope, salt=last.salt)]))


class LyingCase:
    """A case at a bureau, as people see it through what tells the truth or does not."""

    def __init__(self, served: Served, people: People) -> None:
        self.served, self.people, self.url = served, people, people.open(served.url)
        people.propose(self.url)

    def seen_by(self, person: Person, kind: type[RemoteRegistry] = Honest) -> Case:
        registry = kind(self.served.url, key=person.key, now=self.served.registry.now, sleep=lambda _: None)
        store = RemoteStore(registry, parse_case_url(self.url), path=person.local(self.url))
        return Case(store, now=self.served.registry.now, random_bytes=os.urandom)

    def freeze(self, kind: type[RemoteRegistry]) -> CaseView:
        manager = self.people.manager
        return casework.freeze(
            self.seen_by(manager, kind),
            plan=plan(),
            candidates=candidates(),
            populations=[POPULATION],
            key=manager.key,
        )


@pytest.fixture(scope="module")
def served(registry_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(new_registry(tmp_path_factory.mktemp("lies") / "registry", template=registry_template)) as one:
        past_first_second(one)
        yield one


@pytest.fixture
def case(served: Served, tmp_path: Path) -> LyingCase:
    people = People(tmp_path / "people")
    people.introduce(served.url)
    return LyingCase(served, people)


def test_a_line_up_outlives_a_bureau_that_hides_the_protocol_it_kept(case: LyingCase) -> None:
    manager = case.people.manager
    with pytest.raises(WhorlError):
        case.freeze(Hiding)
    with pytest.raises(VerificationError, match="somebody else entered an event"):
        case.freeze(Hiding)  # it looks as if nothing had been frozen; now there are two line-ups
    assert len(list(manager.local(case.url).glob("line-up*.json"))) == 2
    honest = case.seen_by(manager)
    assert honest.read().state.stage == "frozen"
    assert casework.acquire_line_up(honest, manager.key).state.stage == "acquiring"
    analyst = case.people.analyst
    casework.analyse(case.seen_by(analyst), analyst.key)
    assert casework.unblind(honest, manager.key).state.stage == "unblinded"


def test_an_event_that_nobody_signed_keeps_nobody_from_the_true_chain(case: LyingCase) -> None:
    person = case.people.complainant
    before = case.seen_by(person).read()
    with pytest.raises(VerificationError):
        case.seen_by(person, MakingUp).read()
    seen = json.loads((person.local(case.url) / SEEN_FILE).read_text())
    assert seen == {"sequence": len(before.kept) - 1, "record": before.head}
    assert case.seen_by(person).read().kept == before.kept


def test_of_two_programs_of_one_person_the_slower_one_undoes_nothing(case: LyingCase) -> None:
    person = case.people.complainant
    view = case.seen_by(person).read()
    store = case.seen_by(person).store
    store.checked(view.kept[:-1])  # it asked before the last event came
    assert json.loads((person.local(case.url) / SEEN_FILE).read_text())["record"] == view.head
    other = replace(view.kept[-1], record=view.kept[-1].record.model_copy(update={"commitment": "00" * 32}))
    with pytest.raises(VerificationError, match="as it was seen before"):
        store.checked([*view.kept[:-1], other])
