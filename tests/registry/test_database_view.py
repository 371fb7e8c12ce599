"""The rules hear the same from the tables as from a view in memory that was built in the fewest lines."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import worlds
from remembered_view import RememberedView
from sample_entries import WHEN, Entrant, add, fingerprint, issuer, model
from worlds import A, B, C, Case, World, key_of, policy_of, public

from whorl.entries.kinds import Commitment, Key, Organisation, Response, Status
from whorl.entries.leaf import Leaf
from whorl.entries.statement import SignedEntry, open_entry
from whorl.registry import replaying
from whorl.registry.admission import Admitted
from whorl.registry.database import Database
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import entries_of_log, insert_entries
from whorl.registry.log_rows import add_log
from whorl.registry.notices import notice_standing
from whorl.registry.parties import claim_digest
from whorl.registry.replaying import rebuild_derived, replay
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import EntryFacts

UNKNOWN = b"?" * 32
Recorded = dict[bytes, tuple[SignedEntry, Leaf]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """What worlds append from now on, with envelopes and leaves."""
    kept: Recorded = {}
    append = World._append

    def remember(self: World, entry: SignedEntry, leaf: Leaf, admitted: Admitted, origin: str) -> EntryFacts:
        kept[leaf.hash] = (entry, leaf)
        return append(self, entry, leaf, admitted, origin)

    monkeypatch.setattr(World, "_append", remember)
    for remembered in (worlds._federation, worlds._examined):
        remembered.cache_clear()
    yield kept
    for remembered in (worlds._federation, worlds._examined):
        remembered.cache_clear()


def dispute() -> Case:
    """A notice that is disputed and annulled, a key that is lost, commitments, a changed policy."""
    case = worlds.case()
    world = case.world
    world.now += timedelta(days=1)
    case.respond()
    case.dispute()
    case.rule("annulled")
    world.now += timedelta(days=2)
    for number in range(3):
        body = Commitment(root="ab" * 32, count=2, purpose="probes", expires="2030-01-01T00:00:00Z")
        world.enter(key_of("Northwind Labs"), "commitment", body.model_copy(update={"count": number + 1}))
        world.now += timedelta(days=1)
    world.enter(key_of(f"{A} root 0"), "policy", policy_of(A, B, C, reply_seconds=86400))
    for name, home in (("Third Examiner", A), ("First Examiner", C)):  # one key in two logs, one of them stolen
        root, key = key_of(f"{name} elsewhere"), key_of(name)
        body = Organisation(name=f"{name} elsewhere", jurisdiction="NL", roots=(public(root),))
        made = world.enter(root, "organisation", body, origin=B)
        added = Key(action="add", public=public(key), roles=("examiner",))
        world.enter(root, "key", added, target=made, origin=B, cosigners=[key])
        for log in (home, B):
            world.enter(key, "finding", worlds.finding(), target=case.accused, origin=log)
    assert world.view.sharing(world.homes["Third Examiner"])
    assert world.view.sharing(world.homes["First Examiner"])
    world.revoke("First Examiner", key_of("First Examiner"), since=2)
    assert not world.view.sharing(world.homes["First Examiner"])
    return case


def test_a_rule_that_asks_for_votes_reads_no_fingerprints(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can enter any number of entries on a model; whether it stands must not cost more for it."""
    north = Entrant(issuer(1))
    with database.writing() as connection:
        (target,) = add(connection, north.entry("model", model("m")))
        about = [north.entry("fingerprint", fingerprint(f"m{number}"), target=target.hash) for number in range(600)]
        about[300:300] = [north.entry("status", Status(state="withdrawn", reason="a mistake"), target=target.hash)]
        add(connection, *about)
    read: list[bytes] = []
    monkeypatch.setattr(replaying, "open_entry", lambda data: read.append(data) or open_entry(data))
    with database.reading() as connection:
        view = DatabaseView(connection)
        assert [one.hash for one in view.about(target.hash, "status")] == [about[300].hash]
        assert len(read) == 1
        assert [one.hash for one in view.about(target.hash)] == [one.hash for one in about]
        assert [one.hash for one in view.about(target.hash, "fingerprint", "key")] == [
            one.hash for one in about if one.kind == "fingerprint"
        ]


def store(database: Database, case: Case, recorded: Recorded) -> None:
    """Put a world's entries into the tables, in its order."""
    view = case.world.view
    with database.writing() as connection:
        for facts in view.entries.values():
            entry, leaf = recorded[facts.hash]
            add_log(connection, facts.origin, own=facts.origin == A)
            stored = StoredEntry(
                origin=facts.origin,
                index=facts.index,
                leaf=leaf.to_bytes(),
                kind=facts.kind,
                organisation=facts.organisation,
                envelope=entry.envelope_bytes,
                salt=_salt_of(entry, leaf),
                seen_at=facts.seen_at,
                signers=facts.signers,
                claim=claim_digest(facts, view) if facts.kind == "notice" else None,
            )
            replay(connection, [(*insert_entries(connection, [stored]), stored, entry.statement)])


def _salt_of(entry: SignedEntry, leaf: Leaf) -> bytes:
    """Salts of a world count from 1."""
    return next(salt for salt in (number.to_bytes(32, "big") for number in range(1, 500)) if entry.leaf(salt) == leaf)


def test_every_question_has_the_answer_of_the_view_in_memory(database: Database, recorded: Recorded) -> None:
    case = dispute()
    expected: RememberedView = case.world.view
    store(database, case, recorded)
    with database.reading() as connection:
        view = DatabaseView(connection)
        for origin, key_id in (*expected.keys, (A, UNKNOWN), ("elsewhere", next(iter(expected.keys))[1])):
            assert view.key(key_id, origin=origin) == expected.key(key_id, origin=origin)
            assert view.logs_of(key_id) == expected.logs_of(key_id)
            chain = expected.chain(key_id, origin=origin)
            assert view.chain(key_id, origin=origin) == chain
            for sequence in range(-1, 3 + (chain[0] if chain else 0)):
                known = None if sequence < 0 else expected.link(key_id, sequence, origin=origin)
                assert view.link(key_id, sequence, origin=origin) == known
        for hashed in (*expected.entries, UNKNOWN):
            assert view.entry(hashed) == expected.entry(hashed)
            assert view.organisation(hashed) == expected.organisation(hashed)
            assert view.sharing(hashed) == expected.sharing(hashed)
            for kinds in ((), ("status",), ("fingerprint", "finding", "dispute")):
                assert view.about(hashed, *kinds) == expected.about(hashed, *kinds)
            for since in (WHEN, case.world.now - timedelta(days=2), case.world.now):
                assert view.commitments(hashed, since) == expected.commitments(hashed, since)
        for content in (worlds.REFERENCE, worlds.ACCUSED, worlds.digest("nothing")):
            assert view.models(content) == expected.models(content)
        for facts in (one for one in expected.entries.values() if one.kind == "notice"):
            claim = claim_digest(facts, expected)
            assert view.notices(claim) == expected.notices(claim) == [facts]
        for origin in (A, B, C, "elsewhere"):
            for index in range(case.world.sizes.get(origin, 0) + 1):
                assert view.policy(origin, index) == expected.policy(origin, index)


def test_a_notice_stands_alike_over_both_views(database: Database, recorded: Recorded) -> None:
    case = dispute()
    store(database, case, recorded)
    with database.reading() as connection:
        found = notice_standing(case.notice, DatabaseView(connection), at=case.world.now)
    assert found == case.standing()
    assert found.state == "annulled"


def test_the_view_is_the_same_after_everything_was_derived_again(database: Database, recorded: Recorded) -> None:
    case = dispute()
    store(database, case, recorded)
    with database.writing() as connection:
        assert rebuild_derived(connection) == []
        key_id = key_of("First Examiner").id
        assert DatabaseView(connection).key(key_id, origin=C) == case.world.view.key(key_id, origin=C)


def test_sealed_erased_and_faulty_entries_say_nothing_to_the_rules(database: Database) -> None:
    north = Entrant(issuer(1))
    with database.writing() as connection:
        sealed, faulty = add(
            connection,
            north.entry("model", model("sealed"), sealed=True),
            north.entry("response", Response(text="No."), fault="gap", target=b"t" * 32),
        )
        view = DatabaseView(connection)
        found = view.entry(sealed.hash)
        assert found is not None
        assert (found.kind, found.statement, found.issuer) == (None, None, north.key.id)
        assert view.chain(north.key.id, origin=sealed.origin) == (0, sealed.hash)
        assert view.entry(faulty.hash) is None
        assert view.about(b"t" * 32) == []
        bare = next(entries_of_log(connection, sealed.origin))
        assert facts_of(replace(bare, kind="model", envelope=None, salt=None)).statement is None
