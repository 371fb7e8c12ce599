"""What a bureau that keeps cases refuses: strangers, other cases' people, broken rules, moved heads, wrong bytes."""

import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from case_desks import People, Person, past_first_second
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from losing_relay import relaying
from served import Served, error_of, new_registry, serving, wait_for

from whorl.cases import casework, held_cases, held_desk
from whorl.cases.case import Case
from whorl.cases.held_desk import Desk
from whorl.cases.remote_store import CaseAddress, RemoteStore, parse_case_url, service_url
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.custody import Kept, parse_chain, sign_event, write_chain
from whorl.dossiers.events import (
    Acquired,
    Body,
    Closed,
    Expunged,
    Opened,
    Proposed,
    Proposition,
    Unblinded,
    parse_body,
)
from whorl.entries.keys import encode_public
from whorl.registry.client import RemoteRegistry
from whorl.registry.request_signatures import digest_of, sign_request


class KeptCase:
    """A case at a bureau, and requests that people sign by hand."""

    def __init__(self, served: Served, people: People, url: str) -> None:
        self.served, self.people, self.url = served, people, url
        self.id = url.rpartition("/")[2]
        self.path = f"/api/cases/{self.id}"

    def ask(self, person: Person, method: str, below: str, body: bytes = b"", **headers: str) -> tuple[int, str, Any]:
        """Status, code of the error, and the answer."""
        path = f"{self.path}{below}"
        signed = sign_request(
            person.key,
            method=method,
            path=path,
            body_digest=digest_of(body),
            origin=self.served.registry.origin,
            created=self.served.registry.now(),
            nonce=secrets.token_bytes(16),
        )
        with self.served.client() as client:
            answer = client.request(method, path, content=body, headers={**signed, **headers})
        code = error_of(answer)[1] if answer.status_code >= 400 else ""
        return answer.status_code, code, answer

    def chain(self) -> tuple[Kept, ...]:
        return parse_chain(self.ask(self.people.manager, "GET", "/events")[2].content)

    def event(self, person: Person, body: Body, *, at: datetime | None = None, on: tuple[Kept, ...] = ()) -> bytes:
        """The line of an event that somebody signed to follow a chain."""
        before = on or self.chain()
        made = sign_event(
            body,
            case=before[0].record.hash,
            sequence=len(before),
            previous=before[-1].record.hash,
            key=person.key,
            at=at or self.served.registry.now(),
            salt=os.urandom(32),
        )
        return write_chain([made])[:-1]

    def store(self, person: Person, folder: Path) -> Case:
        """The case as a program of this person's sees it."""
        registry = self.served.remote(key=person.key)
        store = RemoteStore(registry, parse_case_url(self.url), path=folder)
        return Case(store, now=self.served.registry.now, random_bytes=os.urandom)


@pytest.fixture(scope="module")
def kept(registry_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptCase]:
    folder = tmp_path_factory.mktemp("refusals")
    people = People(folder / "people")
    with serving(new_registry(folder / "registry", template=registry_template)) as served:
        past_first_second(served)
        people.introduce(served.url)
        yield KeptCase(served, people, people.open(served.url))


@pytest.fixture
def fresh(kept: KeptCase) -> KeptCase:
    """Another case of the same people."""
    return KeptCase(kept.served, kept.people, kept.people.open(kept.served.url))


def proposed(side: str = "complainant", name: str = "h1") -> Proposed:
    alternative = "derived" if side == "complainant" else "independent"
    return Proposed(
        propositions=(
            Proposition(id=name, level="source", side=side, alternative=alternative, statement="Lark is from Harrow."),  # type: ignore[arg-type]
        )
    )


def test_of_two_events_on_one_head_one_is_entered_and_the_other_is_told(fresh: KeptCase) -> None:
    ours = fresh.event(fresh.people.complainant, proposed())
    theirs = fresh.event(fresh.people.respondent, proposed("respondent", "h2"))
    assert fresh.ask(fresh.people.complainant, "POST", "/events", ours)[0] == 201
    status, code, answer = fresh.ask(fresh.people.respondent, "POST", "/events", theirs)
    head = fresh.chain()[-1].record.hash.hex()
    assert (status, code, answer.headers["ETag"]) == (409, "head_moved", f'"{head}"')
    assert "give your command again" in answer.json()["error"]["message"]
    assert len(fresh.chain()) == 2


def test_many_who_file_at_once_leave_one_chain_that_holds(fresh: KeptCase, tmp_path: Path) -> None:
    def file(number: int) -> bool:
        side = ("complainant", "respondent")[number % 2]
        case = fresh.store(fresh.people.of[side], tmp_path / str(number))
        try:
            casework.propose(case, proposed(side, f"h{number}").propositions, fresh.people.of[side].key)
        except VerificationError as error:
            assert "somebody else entered an event" in str(error)  # noqa: PT017
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        entered = list(pool.map(file, range(12)))
    view = fresh.store(fresh.people.manager, tmp_path / "manager").read()
    assert len(view.kept) == 1 + sum(entered)
    assert {one.id for one in view.state.propositions} == {f"h{place}" for place, done in enumerate(entered) if done}


def test_the_same_event_again_is_answered_as_the_first_time(fresh: KeptCase) -> None:
    ours = fresh.event(fresh.people.complainant, proposed())
    first = fresh.ask(fresh.people.complainant, "POST", "/events", ours)[2].json()
    assert (
        fresh.ask(
            fresh.people.respondent,
            "POST",
            "/events",
            fresh.event(fresh.people.respondent, proposed("respondent", "h2")),
        )[0]
        == 201
    )
    again = fresh.ask(fresh.people.complainant, "POST", "/events", ours)
    assert (again[0], again[2].json()["events"], first["events"]) == (201, 3, 2)
    assert len(fresh.chain()) == 3
    opening = write_chain(fresh.chain()[:1])[:-1]
    with fresh.served.remote(key=fresh.people.manager.key) as remote:
        answer = remote.ask("POST", "/api/cases", body=opening, content_type="application/json")
    assert (answer.status, json.loads(answer.body)["case"]) == (201, fresh.id)
    assert len(fresh.chain()) == 3


def test_a_lost_answer_neither_loses_nor_doubles_an_event(fresh: KeptCase, tmp_path: Path) -> None:
    key = fresh.people.complainant.key
    with relaying(fresh.served.url) as relay:
        relay.loses = ("POST", fresh.path)

        def heal(seconds: float) -> None:
            relay.loses = None

        with RemoteRegistry(relay.url, key=key, now=fresh.served.registry.now, sleep=heal) as registry:
            store = RemoteStore(registry, CaseAddress(service=relay.url, case=fresh.id), path=tmp_path / "own")
            case = Case(store, now=fresh.served.registry.now, random_bytes=os.urandom)
            view = casework.propose(case, proposed().propositions, key)
        assert relay.lost == 1
    assert view.kept == fresh.chain()
    assert len(view.kept) == 2


def test_for_strangers_there_is_no_such_case(kept: KeptCase) -> None:
    people, nowhere = kept.people, KeptCase(kept.served, kept.people, f"{kept.served.url}/cases/{'0' * 64}")
    exhibit = f"/exhibits/sha256:{hashlib.sha256(b'x').hexdigest()}"
    requests = [
        ("GET", "/events", b""),
        ("POST", "/events", b"{}"),
        ("GET", exhibit, b""),
        ("PUT", exhibit, b"x"),
        ("POST", "/links", b"{}"),
        ("DELETE", f"/links/{people.respondent.id}", b""),
    ]
    for method, below, body in requests:
        here = kept.ask(people.stranger, method, below, body)
        there = nowhere.ask(people.stranger, method, below, body)
        assert (here[0], here[1]) == (404, "unknown"), below
        assert (here[2].content, sorted(here[2].headers)) == (there[2].content, sorted(there[2].headers))
        with kept.served.client() as client:  # unsigned, the question is not even asked
            answers = [client.request(method, one.path + below, content=body) for one in (kept, nowhere)]
        assert [error_of(one)[0] for one in answers] == [401, 401]
        assert answers[0].content == answers[1].content


def test_people_of_one_case_are_strangers_to_another(kept: KeptCase, tmp_path: Path) -> None:
    others = People(tmp_path / "others")
    others.introduce(kept.served.url)
    other = KeptCase(kept.served, others, others.open(kept.served.url))
    assert other.ask(others.respondent, "GET", "/events")[0] == 200
    for role in ("manager", "respondent", "analyst"):
        assert kept.ask(others.of[role], "GET", "/events")[0] == 404
        assert other.ask(kept.people.of[role], "GET", "/events")[0] == 404
    done = others.respondent.run("case", "show", kept.url)
    assert (done.exit_code, "found none" in done.stderr) == (2, True)


def test_a_signature_is_good_for_one_request_of_one_key(kept: KeptCase) -> None:
    respondent, stranger = kept.people.respondent, kept.people.stranger
    path = f"{kept.path}/events"
    signed = sign_request(
        respondent.key,
        method="GET",
        path=path,
        body_digest=digest_of(b""),
        origin=kept.served.registry.origin,
        created=kept.served.registry.now(),
        nonce=secrets.token_bytes(16),
    )
    own = encode_public(stranger.key.public_keys[0])
    with kept.served.client() as client:
        assert client.get(path, headers=signed | {"Whorl-Key": own}).status_code == 401
        assert client.get(path, headers=signed).status_code == 200
        assert client.get(path, headers=signed).status_code == 401  # a second time
        assert client.request("GET", path, content=b"x", headers=signed).status_code == 401
        assert client.get(f"{kept.path}/exhibits/sha256:{'0' * 64}", headers=signed).status_code == 401


def test_a_token_files_nothing_and_reads_nothing(kept: KeptCase) -> None:
    with kept.served.remote(key=kept.people.manager.key) as remote:
        token = remote.issue_token(
            scopes=["read", "submit"], label="stolen", expires_at=kept.served.registry.now() + timedelta(days=1)
        )
    line = kept.event(kept.people.manager, Closed(outcome="withdrawn", reasons="Gone."))
    before = kept.chain()
    with kept.served.client(headers={"Authorization": f"Bearer {token}"}) as client:
        assert error_of(client.post(f"{kept.path}/events", content=line))[0] == 401
        assert error_of(client.get(f"{kept.path}/events"))[0] == 401
        assert error_of(client.post("/api/cases", content=write_chain(before[:1])[:-1]))[0] == 403
    assert kept.chain() == before


def test_an_event_that_breaks_a_rule_is_refused_with_its_number(kept: KeptCase) -> None:
    people, before = kept.people, kept.chain()
    key = tuple(map(encode_public, people.manager.key.public_keys))
    cases: list[tuple[Person, Body, str]] = [
        (people.respondent, Closed(outcome="withdrawn", reasons="Gone."), "rule 2"),
        (
            people.manager,
            Unblinded(
                salt="00" * 32,
                members=(
                    {
                        "code": "M-1",
                        "role": "reference",
                        "name": "x",  # type: ignore[arg-type]
                        "digest": None,
                    },
                ),
            ),
            "rule 6",
        ),
        (people.respondent, proposed("complainant", "h9"), "rule 7"),
        (people.manager, Closed(outcome="completed", reasons="Done."), "rule 26"),
        (people.manager, Expunged(events=(0,), blobs=(), ground="annulment", void=False, keys=key), "rule 29"),
    ]
    for person, body, rule in cases:
        status, code, answer = kept.ask(person, "POST", "/events", kept.event(person, body))
        assert (status, code, rule in answer.json()["error"]["message"]) == (422, "refused", True), answer.text
    assert kept.chain() == before


def test_an_opening_that_breaks_a_rule_is_refused(kept: KeptCase) -> None:
    manager = kept.people.manager
    opening = json.loads(kept.people.opening().read_text())
    opening["parties"] = [one for one in opening["parties"] if one["role"] != "reviewer"]
    stated = parse_body(json.dumps(opening | {"kind": "opened"}).encode())
    assert isinstance(stated, Opened)
    first = sign_event(
        stated, case=None, sequence=0, previous=None, key=manager.key, at=kept.served.registry.now(), salt=bytes(32)
    )
    with kept.served.remote(key=manager.key) as remote:
        answer = remote.ask("POST", "/api/cases", body=write_chain([first])[:-1], content_type="application/json")
    assert (answer.status, b"rule 3" in answer.body) == (422, True)


def test_only_a_manager_whom_the_registry_knows_opens_a_case(kept: KeptCase, tmp_path: Path) -> None:
    others = People(tmp_path / "others")
    done = others.manager.run("case", "new", kept.served.url, "--opening", others.opening())
    assert (done.exit_code, "401" in done.stderr) == (2, True)
    cases = kept.served.registry.home.path / "cases"
    number = len(list(cases.iterdir()))
    first = write_chain(kept.chain()[:1])[:-1]  # somebody else's opening, by somebody whom the registry knows
    others.introduce(kept.served.url)
    with kept.served.remote(key=others.manager.key) as remote:
        answer = remote.ask("POST", "/api/cases", body=first, content_type="application/json")
    assert answer.status == 403
    assert len(list(cases.iterdir())) == number


def test_an_event_is_handed_in_by_whoever_signed_it_and_as_it_was_signed(kept: KeptCase) -> None:
    people, before = kept.people, kept.chain()
    line = kept.event(people.complainant, proposed("complainant", "h5"))
    assert kept.ask(people.respondent, "POST", "/events", line)[:2] == (403, "forbidden")
    other = json.loads(line)
    other["salt"] = "11" * 32
    changed = json.dumps(other, sort_keys=True, separators=(",", ":")).encode()
    status, code, answer = kept.ask(people.complainant, "POST", "/events", changed)
    assert (status, code, "it was exchanged" in answer.text) == (422, "refused", True)
    respelled = json.dumps(json.loads(line), indent=1).replace("\n", " ").encode()
    assert kept.ask(people.complainant, "POST", "/events", respelled)[:2] == (422, "malformed")
    assert kept.ask(people.complainant, "POST", "/events", line + b"\n" + line)[:2] == (422, "malformed")
    assert kept.chain() == before


def test_an_event_of_another_case_is_refused(kept: KeptCase, fresh: KeptCase) -> None:
    line = fresh.event(fresh.people.complainant, proposed())
    assert kept.ask(kept.people.complainant, "POST", "/events", line)[0] == 409
    forged = fresh.chain()
    here = kept.chain()
    made = sign_event(
        proposed(),
        case=forged[0].record.hash,
        sequence=len(here),
        previous=here[-1].record.hash,
        key=kept.people.complainant.key,
        at=kept.served.registry.now(),
        salt=bytes(32),
    )
    status, code, answer = kept.ask(kept.people.complainant, "POST", "/events", write_chain([made])[:-1])
    assert (status, code, "of another case" in answer.text) == (422, "refused", True)


@pytest.mark.parametrize("seconds", [-660, 40])
def test_an_event_of_another_time_is_refused(kept: KeptCase, seconds: int) -> None:
    at = kept.served.registry.now() + timedelta(seconds=seconds)
    line = kept.event(kept.people.complainant, proposed("complainant", "h6"), at=at)
    status, code, answer = kept.ask(kept.people.complainant, "POST", "/events", line)
    assert (status, code, "set your clock" in answer.text) == (422, "refused", True)


@pytest.mark.parametrize("limit", [(9, 6), (1, 1000)], ids=["bytes", "number"])
def test_exhibits_are_what_their_digest_says(
    fresh: KeptCase, monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int]
) -> None:
    people = fresh.people
    digest = f"sha256:{hashlib.sha256(b'ours').hexdigest()}"
    early = fresh.ask(people.manager, "PUT", f"/exhibits/{digest}", b"ours")
    assert early[:2] == (403, "forbidden")  # nothing can be filed before the protocol
    people.propose(fresh.url)
    people.freeze(fresh.url)
    assert fresh.ask(people.reviewer, "PUT", f"/exhibits/{digest}", b"ours")[:2] == (403, "forbidden")

    named = Acquired(
        code="D-1",
        access="document",
        digest=digest,
        blob=digest,
        how="sent",
        acquired_at=f"{fresh.served.registry.now():%Y-%m-%dT%H:%M:%SZ}",
        filed_by="respondent",
        title="A log",
        size=4,
    )
    missing = fresh.ask(people.respondent, "POST", "/events", fresh.event(people.respondent, named))
    assert (missing[:2], "found none" in missing[2].text) == ((422, "malformed"), True)

    assert fresh.ask(people.respondent, "PUT", f"/exhibits/{digest}", b"others")[0] == 401  # other bytes were signed
    path = f"{fresh.path}/exhibits/{digest}"
    signed = sign_request(
        people.respondent.key,
        method="PUT",
        path=path,
        body_digest=digest_of(b"ours"),
        origin=fresh.served.registry.origin,
        created=fresh.served.registry.now(),
        nonce=secrets.token_bytes(16),
    )
    with fresh.served.client() as client:
        assert error_of(client.put(path, content=b"others", headers=signed)) == (422, "wrong_digest")
    assert fresh.ask(people.manager, "GET", f"/exhibits/{digest}")[0] == 404
    assert fresh.ask(people.respondent, "PUT", f"/exhibits/{digest}", b"ours")[0] == 201
    assert fresh.ask(people.respondent, "PUT", f"/exhibits/{digest}", b"ours")[0] == 201
    assert fresh.ask(people.complainant, "GET", f"/exhibits/{digest}")[2].content == b"ours"
    assert fresh.ask(people.respondent, "POST", "/events", fresh.event(people.respondent, named))[0] == 201

    monkeypatch.setattr(held_desk, "MOST_OF_A_SIDE", limit)
    more = f"sha256:{hashlib.sha256(b'more').hexdigest()}"
    full = fresh.ask(people.respondent, "PUT", f"/exhibits/{more}", b"more")
    assert (full[0], "from one side" in full[2].text) == (422, True)
    assert (
        fresh.ask(people.complainant, "PUT", f"/exhibits/{more}", b"more")[0] == 201
    )  # the other side has its own room
    monkeypatch.undo()

    key = tuple(map(encode_public, people.manager.key.public_keys))
    tombstone = Expunged(events=(1,), blobs=(digest,), ground="court_order", void=False, keys=key)
    kept_back = fresh.ask(people.manager, "POST", "/events", fresh.event(people.manager, tombstone))
    assert (kept_back[:2], "no other event names" in kept_back[2].text) == ((422, "malformed"), True)


def test_an_exhibit_that_no_event_names_goes_with_a_tombstone(fresh: KeptCase) -> None:
    people, early, late = fresh.people, b"never filed", b"on its way when the tombstone came"
    people.propose(fresh.url)
    people.freeze(fresh.url)
    desk = fresh.served.registry.home.path / "cases" / fresh.id / "desk.sqlite"
    digests = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in (early, late)]
    assert fresh.ask(people.respondent, "PUT", f"/exhibits/{digests[0]}", early)[0] == 201

    def handed() -> set[str]:
        with closing(sqlite3.connect(desk)) as connection:
            return {row[0] for row in connection.execute("SELECT digest FROM handed")}

    def slowly() -> Iterator[bytes]:
        yield late[:5]
        wait_for(lambda: digests[1] in handed())
        key = tuple(map(encode_public, people.manager.key.public_keys))
        tombstone = Expunged(events=(2,), blobs=(), ground="court_order", void=False, keys=key)
        assert fresh.ask(people.manager, "POST", "/events", fresh.event(people.manager, tombstone))[0] == 201
        assert fresh.ask(people.manager, "GET", f"/exhibits/{digests[0]}")[0] == 404
        yield late[5:]

    path = f"{fresh.path}/exhibits/{digests[1]}"
    signed = sign_request(
        people.respondent.key,
        method="PUT",
        path=path,
        body_digest=digest_of(late),
        origin=fresh.served.registry.origin,
        created=fresh.served.registry.now(),
        nonce=secrets.token_bytes(16),
    )
    with fresh.served.client() as client:
        answer = client.put(path, content=slowly(), headers={**signed, "Content-Length": str(len(late))})
    assert (error_of(answer), "erased meanwhile" in answer.text) == ((422, "malformed"), True)
    assert fresh.ask(people.manager, "GET", f"/exhibits/{digests[1]}")[0] == 404
    assert handed().isdisjoint(digests)
    assert handed()  # the population, which the protocol names


def test_a_case_has_so_many_events_and_no_more(fresh: KeptCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_cases, "MOST_EVENTS", 1)
    line = fresh.event(fresh.people.complainant, proposed())
    status, code, answer = fresh.ask(fresh.people.complainant, "POST", "/events", line)
    assert (status, code, "no room" in answer.text) == (422, "malformed", True)


def test_what_is_wrong_at_the_bureau_is_no_fault_of_whoever_asks(fresh: KeptCase) -> None:
    file = fresh.served.registry.home.path / "cases" / fresh.id / "case.sqlite"
    whole = file.read_bytes()
    file.write_bytes(b"no database" * 1000)
    status, code, answer = fresh.ask(fresh.people.manager, "GET", "/events")
    assert (status, code, str(file.parent) in answer.text) == (503, "unavailable", False)
    file.write_bytes(whole)
    assert fresh.ask(fresh.people.manager, "GET", "/events")[0] == 200


def test_what_a_crash_left_of_an_opening_is_removed(registry_template: Path, tmp_path: Path) -> None:
    folder = new_registry(tmp_path / "registry", template=registry_template)
    left = folder / "cases" / ".0123.partial"
    left.mkdir(parents=True)
    (left / "case.sqlite").touch()
    with serving(folder):
        assert not left.exists()


def test_a_chain_that_lost_what_was_seen_is_refused(fresh: KeptCase) -> None:
    respondent, held = fresh.people.respondent, fresh.served.registry.home.path / "cases" / fresh.id
    before = (held / "case.sqlite").read_bytes()
    fresh.people.propose(fresh.url)
    assert respondent.run("case", "show", fresh.url).exit_code == 0
    (held / "case.sqlite").write_bytes(before)  # the bureau goes back to an older state
    done = respondent.run("case", "show", fresh.url)
    assert (done.exit_code, "as it was seen before" in done.stderr) == (1, True)
    (respondent.local(fresh.url) / "seen.json").write_text("{}")
    done = respondent.run("case", "show", fresh.url)
    assert (done.exit_code, "restore it" in done.stderr) == (2, True)


def test_a_bureau_that_shows_another_case_is_refused(kept: KeptCase, fresh: KeptCase, tmp_path: Path) -> None:
    cases = kept.served.registry.home.path / "cases"
    (cases / kept.id).rename(tmp_path / "aside")
    (cases / fresh.id).rename(cases / kept.id)
    try:
        done = kept.people.respondent.run("case", "show", kept.url)
        assert (done.exit_code, "found another one" in done.stderr) == (1, True)
    finally:
        (cases / kept.id).rename(cases / fresh.id)
        (tmp_path / "aside").rename(cases / kept.id)


def test_the_audit_trail_says_who_did_what_and_no_secret(kept: KeptCase) -> None:
    link = kept.people.manager.do("link", kept.url)["link"]
    home = kept.served.registry.home
    with kept.served.remote(key=home.bureau_key()) as remote:
        token = remote.issue_token(
            scopes=["audit"], label="audit", expires_at=kept.served.registry.now() + timedelta(hours=1)
        )
    for _ in range(3):
        with kept.served.client(headers={"Authorization": f"Bearer {token}"}) as client:
            lines = client.get("/api/audit").json()["lines"]
    said = {(line["action"], line["subject"]) for line in lines}
    assert ("make case link", f"case {kept.id}") in said
    assert link.partition("=")[2] not in json.dumps(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://bureau.example/cases/" + "0" * 64, "https://"),
        ("https://bureau.example/cases/0123", "URL of a case"),
        ("https://bureau.example/", "URL of a case"),
        ("https://bureau.example/cases/" + "G" * 64, "URL of a case"),
        ("ftp://bureau.example/cases/" + "0" * 64, "https://"),
    ],
)
def test_an_address_that_is_none_or_is_heard_by_others(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_case_url(text)


def test_addresses_that_are_some() -> None:
    found = parse_case_url(f"https://bureau.example/registry/cases/{'0' * 64}/")
    assert (found.service, found.url) == (
        "https://bureau.example/registry",
        f"https://bureau.example/registry/cases/{'0' * 64}",
    )
    for url in ("http://127.0.0.1:8420", "http://localhost:8420/", "http://[::1]:8420"):
        assert service_url(url) == url.rstrip("/")


def test_commands_say_what_they_expect_of_a_place(kept: KeptCase, tmp_path: Path) -> None:
    manager = kept.people.manager
    for arguments, problem in (
        (("case", "show", f"{kept.served.url}/cases/1"), "URL of a case"),
        (("case", "link", tmp_path), "found a folder"),
        (("case", "link", kept.url, "--for", "Nobody"), "expected one person"),
        (("case", "new", "http://bureau.example", "--opening", kept.people.opening()), "https://"),
    ):
        done = manager.run(*arguments)
        assert (done.exit_code, problem in done.stderr) == (2, True), done.stderr


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
            max_leaves=8,
        ).map(lambda one: json.dumps(one).encode()),
        st.fixed_dictionaries(
            {
                "record": st.dictionaries(
                    st.sampled_from(["sequence", "previous", "kind", "actor", "at", "commitment"]),
                    st.integers() | st.text(max_size=8) | st.none(),
                ),
                "envelope": st.none() | st.text(max_size=20),
                "salt": st.none() | st.text(max_size=20),
            }
        ).map(lambda one: json.dumps(one, sort_keys=True, separators=(",", ":")).encode()),
    ),
    where=st.sampled_from(["/events", "/links"]),
)
def test_whatever_somebody_of_the_case_sends_is_no_fault_of_the_service(
    kept: KeptCase, body: bytes, where: str
) -> None:
    status, _, _ = kept.ask(kept.people.respondent, "POST", where, body)
    assert 400 <= status < 500


def test_links_are_kept_as_digests_and_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    desk = Desk(tmp_path)
    assert desk.open_link("whorl_none", now=now) is None
    text = desk.issue_link("ab", now=now, expires_at=now + timedelta(days=1), random_bytes=os.urandom)
    assert text.encode() not in (tmp_path / "desk.sqlite").read_bytes()
    assert desk.open_link(text, now=now) == ("ab", now + timedelta(days=1))
    assert desk.open_link(text, now=now + timedelta(days=1)) is None
    monkeypatch.setattr(held_desk, "MOST_LINKS", 1)
    with pytest.raises(InputError, match="at most 1 links"):
        desk.issue_link("ab", now=now, expires_at=now + timedelta(days=2), random_bytes=os.urandom)
    desk.issue_link("cd", now=now, expires_at=now + timedelta(days=2), random_bytes=os.urandom)  # of somebody else
    later = now + timedelta(days=1)  # those that ended do not count
    desk.issue_link("ab", now=later, expires_at=later + timedelta(days=2), random_bytes=os.urandom)
    desk.forget()
    assert list(tmp_path.iterdir()) == []
