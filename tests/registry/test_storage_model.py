"""Whatever is entered, completed, erased and reopened in whatever order: the tables answer as a dictionary does."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sample_entries import WHEN, Entrant, add, digest, fingerprint, issuer, model
from sqlalchemy import delete

from whorl.entries.kinds import Body, Commitment, Kind, Notice, Response
from whorl.entries.statement import Statement, open_entry
from whorl.registry.blobs import BlobFolder
from whorl.registry.database import open_database
from whorl.registry.derived_rows import derive, vectors_of
from whorl.registry.entry_rows import (
    chain_end,
    commitments_since,
    counting_entries,
    entries_about,
    entries_of_log,
    entries_with_claim,
    entries_with_digest,
    find_entry,
)
from whorl.registry.log_rows import stored_logs
from whorl.registry.name_rows import entries_named
from whorl.registry.replaying import complete_entry, erase_entry, rebuild_derived
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import metadata

ORIGINS = ("bureau.example/a", "bureau.example/b")
TARGETS = (b"s" * 32, b"t" * 32)
CLAIMS = (b"c" * 32, b"d" * 32)
WORDS = ("north", "null", "模型")
KINDS: tuple[Kind, ...] = ("model", "fingerprint", "response", "commitment", "notice")


class Tables(RuleBasedStateMachine):
    """The tables beside a list of what is in them."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__()
        self.url = url
        self.database = open_database(url, create=False)
        self.blobs = BlobFolder(folder)
        with self.database.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        self.entrants = [Entrant(issuer(number), organisation=bytes([number]) * 32) for number in range(2)]
        self.rows: list[StoredEntry] = []
        self.whole: dict[bytes, StoredEntry] = {}
        self.clock = 0

    @rule(
        who=st.sampled_from((0, 1)),
        kind=st.sampled_from(KINDS),
        origin=st.sampled_from(ORIGINS),
        about=st.sampled_from(TARGETS),
        word=st.sampled_from(WORDS),
        shape=st.sampled_from(("whole", "whole", "faulty", "sealed", "bare")),
    )
    def enter(self, who: int, kind: Kind, origin: str, about: bytes, word: str, shape: str) -> None:
        self.clock += 1
        entrant = self.entrants[who]
        entry = entrant.entry(
            kind,
            self._body(kind, word),
            origin=origin,
            target=about if kind in ("fingerprint", "response", "notice") else bytes(32),
            seconds=self.clock,
            sealed=shape == "sealed",
            fault="does not fit" if shape == "faulty" else None,
            claim=CLAIMS[self.clock % 2] if kind == "notice" else None,
        )
        self.whole[entry.hash] = replace(entry, kind=kind, fault=None)
        if shape == "bare":
            entry = replace(entry, envelope=None, salt=None)
        with self.database.writing() as connection:
            self.rows += add(connection, entry)

    @precondition(lambda self: self.rows)
    @rule(place=st.integers(0, 10**6), other=st.sampled_from(ORIGINS))
    def copy(self, place: int, other: str) -> None:
        """Another log holds the same leaf; it does not count there."""
        entry = self.rows[place % len(self.rows)]
        source = self.whole[entry.hash]
        copied = replace(source, origin=other, kind=entry.kind, fault="of another home")
        with self.database.writing() as connection:
            placed = add(connection, copied)[0]
        erased = [row.erased_at for row in self.rows if row.hash == entry.hash and row.erased_at is not None]
        self.rows.append(replace(placed, envelope=None, salt=None, erased_at=erased[0]) if erased else placed)

    @precondition(lambda self: any(self._incomplete()))
    @rule(place=st.integers(0, 10**6))
    def complete(self, place: int) -> None:
        incomplete = self._incomplete()
        position = incomplete[place % len(incomplete)]
        row = self.rows[position]
        full = replace(self.whole[row.hash], origin=row.origin, index=row.index, seen_at=row.seen_at)
        with self.database.writing() as connection:
            complete_entry(connection, full, self._statement(full))
        self.rows[position] = full

    @precondition(lambda self: self.rows)
    @rule(place=st.integers(0, 10**6))
    def erase(self, place: int) -> None:
        self.clock += 1
        hashed = self.rows[place % len(self.rows)].hash
        at = WHEN + timedelta(days=1, seconds=self.clock)
        erase_entry(self.database, self.blobs, hashed, at=at)
        for position, row in enumerate(self.rows):
            if row.hash == hashed:
                self.rows[position] = replace(
                    row,
                    envelope=None,
                    salt=None,
                    erased_at=row.erased_at or at,
                    fault=None if row.fault is None else "erased",
                )

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self.database = open_database(self.url, create=True)

    @rule()
    def derive_again(self) -> None:
        with self.database.writing() as connection:
            assert rebuild_derived(connection) == []

    @invariant()
    def answers_are_those_of_the_list(self) -> None:
        counting = [row for row in self.rows if row.fault is None]
        said = [(row, derive(self._statement(row))) for row in counting if row.kind and row.envelope]
        with self.database.reading() as connection:
            for log in stored_logs(connection):
                expected = [row for row in self.rows if row.origin == log.origin]
                assert list(entries_of_log(connection, log.origin)) == expected
                assert log.size == len(expected)
            assert [row for _, row in counting_entries(connection)] == counting
            for row in self.rows:
                best = [one for one in counting if one.hash == row.hash] or [
                    one for one in self.rows if one.hash == row.hash
                ]
                assert find_entry(connection, row.hash) in best
            for entrant in self.entrants:
                for origin in ORIGINS:
                    ends = [
                        (leaf.sequence, row.hash)
                        for row, leaf in ((row, row.read_leaf()) for row in counting if row.origin == origin)
                        if leaf.issuer == entrant.key.id
                    ]
                    assert chain_end(connection, entrant.key.id, origin=origin) == max(ends, default=None)
                assert entrant.organisation is not None
                assert list(commitments_since(connection, entrant.organisation, WHEN)) == [
                    row for row in counting if row.kind == "commitment" and row.organisation == entrant.organisation
                ]
            for target in TARGETS:
                assert list(entries_about(connection, target)) == [
                    row for row in counting if row.read_leaf().target == target
                ]
            for claim in CLAIMS:
                assert list(entries_with_claim(connection, claim)) == [row for row in counting if row.claim == claim]
            for word in WORDS:
                named = {row for row, found in said if any(one.startswith(word) for one in found.words)}
                assert set(entries_named(connection, word)) == named
                content = digest(f"content of {word}")
                assert list(entries_with_digest(connection, content, role="subject")) == [
                    row for row, found in said if ("subject", content) in found.digests
                ]
            vectors = [vector for page in vectors_of(connection, "tokens/1", 16) for _, vector in page]
            assert vectors == [found.vector[1] for _, found in said if found.vector is not None]

    def teardown(self) -> None:
        self.database.close()

    def _incomplete(self) -> list[int]:
        """Places of rows that lack content or kind and were not erased."""
        return [
            place
            for place, row in enumerate(self.rows)
            if row.erased_at is None and row.fault is None and (row.kind is None or row.envelope is None)
        ]

    def _statement(self, entry: StoredEntry) -> Statement:
        assert entry.envelope is not None
        return open_entry(entry.envelope).statement

    def _body(self, kind: Kind, word: str) -> Body:
        match kind:
            case "model":
                return model(word)
            case "fingerprint":
                return fingerprint(word, bytes([self.clock % 256]) * 16)
            case "response":
                return Response(text="No.", blobs=(digest(word),))
            case "commitment":
                return Commitment(root="ab" * 32, count=4, purpose="alibi", expires="2030-01-01T00:00:00Z")
            case _:
                return Notice(colour="blue", title=word, text="What is this?")


def test_the_tables_answer_as_a_list_does(registry_url: str, tmp_path: Path) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Tables(registry_url, tmp_path / "blobs"),
        settings=settings(
            max_examples=6, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
