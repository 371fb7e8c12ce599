"""How many entries a second the registry's tables take, alone and with what is derived from them.

python -m bench.registry_storage [ROWS [BATCH [URL]]]

Envelopes of 1.2 KB with random content, a thousand issuers, half of the entries with a target. Prints rates by the
clock and by the processor's time; on a machine that does other things too, the second is the fairer one. Nothing is
signed: what signatures cost is another figure. URL is that of an empty database; a SQLite file in a temporary folder if
none is given.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whorl.entries.handling import CLEAR
from whorl.entries.kinds import Model
from whorl.entries.leaf import NO_HASH, Leaf, commitment
from whorl.entries.statement import Statement
from whorl.registry.database import Database, open_database, sqlite_url
from whorl.registry.entry_rows import insert_entries
from whorl.registry.log_rows import add_log
from whorl.registry.replaying import replay
from whorl.registry.stored_entry import StoredEntry

ORIGIN: Final = "bureau.example/north"
WHEN: Final = datetime(2026, 3, 1, tzinfo=UTC)
ENVELOPE_BYTES: Final = 1200
ISSUERS: Final = 1000

Made = tuple[StoredEntry, Statement]


def made_entries(rows: int) -> Iterator[Made]:
    """Entries that count, one after another; the same chains in every run."""
    issuers = [hashlib.sha256(b"issuer %d" % number).digest() for number in range(ISSUERS)]
    ends = dict.fromkeys(issuers, (0, NO_HASH))
    for index in range(rows):
        issuer = issuers[index % ISSUERS]
        sequence, previous = ends[issuer]
        envelope, salt = os.urandom(ENVELOPE_BYTES), os.urandom(32)
        leaf = Leaf(
            leaf_class="public",
            kind=4,
            issuer=issuer,
            sequence=sequence,
            previous=previous,
            target=os.urandom(32) if index % 2 else NO_HASH,
            commit=commitment(envelope, salt=salt),
        )
        ends[issuer] = sequence + 1, leaf.hash
        stored = StoredEntry(
            origin=ORIGIN,
            index=index,
            leaf=leaf.to_bytes(),
            kind="model",
            organisation=issuer,
            envelope=envelope,
            salt=salt,
            seen_at=WHEN,
            signers=frozenset({issuer}),
        )
        yield stored, _statement(leaf, index)


def _statement(leaf: Leaf, index: int) -> Statement:
    body = Model.model_construct(
        publisher="Northwind Labs",
        name=f"north-{index}-{index % 97}b",
        content=f"sha256:{hashlib.sha256(b'content %d' % index).hexdigest()}",
        files={"model.safetensors": f"sha256:{hashlib.sha256(b'file %d' % index).hexdigest()}"},
    )
    return Statement(
        kind="model",
        name="model",
        digest="00" * 32,
        log=ORIGIN,
        issuer=leaf.issuer,
        sequence=leaf.sequence,
        previous=leaf.previous,
        target=leaf.target,
        issued_at=WHEN,
        handling=CLEAR,
        after=None,
        body=body,
    )


def measure(database: Database, rows: int, batch: int, *, derived: bool) -> tuple[float, float]:
    """Entries a second, by the clock and by the processor's time; the making of entries is not counted."""
    source = made_entries(rows)
    clock = processor = 0.0
    with database.writing() as connection:
        add_log(connection, ORIGIN, own=True)
    for _ in range(0, rows, batch):
        made = [one for _, one in zip(range(batch), source, strict=False)]
        started = time.perf_counter(), time.process_time()
        with database.writing() as connection:
            numbers = insert_entries(connection, [stored for stored, _ in made])
            if derived:
                replay(connection, [(number, *one) for number, one in zip(numbers, made, strict=True)])
        clock += time.perf_counter() - started[0]
        processor += time.process_time() - started[1]
    return rows / clock, rows / processor


@contextmanager
def new_database(url: str | None) -> Iterator[Database]:
    """A registry at the URL, or in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(url or sqlite_url(Path(folder) / "registry.sqlite"), create=True)
        yield database
        database.close()


def main(arguments: list[str]) -> None:
    rows, batch = (int(text) for text in (*arguments[:2], *("20000", "1024")[len(arguments[:2]) :]))
    url = arguments[2] if len(arguments) > 2 else None
    for derived in (False, True) if url is None else (True,):
        with new_database(url) as database:
            clock, processor = measure(database, rows, batch, derived=derived)
        what = "with what is derived" if derived else "entries alone"
        print(
            f"{what}: {rows} rows in batches of {batch}: {clock:,.0f}/s by the clock, {processor:,.0f}/s of processor"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
