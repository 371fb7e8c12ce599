"""A process that writes into a registry: ``storage_writer.py URL NAME BATCHES``; says how far it came after each."""

import sys
from dataclasses import replace

from sample_entries import ORIGIN, Entrant, issuer, model, numbered

from whorl.registry.database import open_database
from whorl.registry.entry_rows import insert_entries
from whorl.registry.log_rows import add_log
from whorl.registry.replaying import replay

BATCH = 10


def main(url: str, name: int, batches: int) -> None:
    database = open_database(url, create=True)
    entrant = Entrant(issuer(name), organisation=bytes(32))
    for batch in range(batches):
        entries = [entrant.entry("model", model(f"model {name} {batch}")) for _ in range(BATCH)]
        with database.writing() as connection:
            size = add_log(connection, ORIGIN, own=True).size
            placed = [replace(entry, index=size + place) for place, entry in enumerate(entries)]
            replay(connection, numbered(insert_entries(connection, placed), placed))
        print(batch + 1, flush=True)
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
