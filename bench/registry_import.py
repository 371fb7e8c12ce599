"""Bulk import of signed entries: ``python -m bench.registry_import [--entries N] [--issuers N] [--processes N]``.

Signs models and their fingerprints by many issuers into a file, makes an empty registry that knows only the issuers'
organisations and keys, imports the file in a process of its own, and checks the whole registry afterwards. The
fingerprints point to a few blobs that are there before: what blobs cost is another figure. Prints one JSON object:
entries a second by the clock; processor time of an entry, in the process that writes and in those that read lines;
peak memory of the writing one. On a machine that does other things too, processor time is the fairer figure.

Beside them stands what no way of importing can do without, measured in the same minute: processor time of one check of
an Ed25519 signature, and of adding an entry's rows to an empty database and nothing else.
"""

import argparse
import base64
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Table

from bench.registry_writes import ORIGIN, Writer, introduced, sign
from whorl.entries.kinds import Fingerprint, Model
from whorl.registry.bulk import insert_rows
from whorl.registry.checking import check_folder
from whorl.registry.database import open_database, sqlite_url
from whorl.registry.import_lines import BadLine
from whorl.registry.importing import BATCH, import_file
from whorl.registry.local import create_registry, open_registry
from whorl.registry.sequencer import Submission
from whorl.registry.tables import digests, entries, logs, names, vectors

BLOBS = 8
VECTOR_BYTES = 64
ROUNDS, OF_A_ROUND = 7, 1000
ONLY_IMPORT = "from bench.registry_import import main; main()"  # as a module, each reading process would import it too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--issuers", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that open lines; 0: none but one")
    parser.add_argument("--post-quantum", action="store_true", help="sign entries with ML-DSA-44 too")
    parser.add_argument("--folder", type=Path, help="where, hence on which disk")
    parser.add_argument("--only-import", type=Path, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only_import:
        print(json.dumps(measure(*asked.only_import, processes=asked.processes)))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        registry, file = Path(name) / "north", Path(name) / "catalogue.jsonl"
        prepare(registry, file, asked.entries, asked.issuers, post_quantum=asked.post_quantum)
        load = os.getloadavg()[0]
        command = [sys.executable, "-c", ONLY_IMPORT, f"--processes={asked.processes}", "--only-import"]
        done = subprocess.run([*command, registry, file], stdout=subprocess.PIPE, text=True, check=True)
        report = json.loads(done.stdout) | {"load_before": round(load, 1), "file_bytes": file.stat().st_size}
        report |= {
            "microseconds_of_a_signature": round(1e6 * seconds_of_a_signature(), 1),
            "microseconds_of_the_rows": round(1e6 * seconds_of_the_rows(registry, Path(name) / "rows.sqlite"), 1),
        }
        problems = check_folder(registry).problems
    if problems or report["entries"] != asked.entries:
        raise SystemExit(f"{report['entries']} of {asked.entries} entries are in; problems: {problems[:3]}")
    print(json.dumps(report, indent=1))


def measure(registry: Path, file: Path, *, processes: int) -> dict[str, float | int]:
    """Import a file; whatever is refused ends it."""

    def refused(line: BadLine) -> None:
        raise SystemExit(f"line {line.number}: {line.problem}")

    with open_registry(registry) as opened:
        began, cpu = time.perf_counter(), time.process_time()
        imported = import_file(opened, file, processes=processes, refused=refused)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    read = resource.getrusage(resource.RUSAGE_CHILDREN)
    entered = imported.entered
    return {
        "entries": entered,
        "processes": processes,
        "entries_per_second": round(entered / took),
        "microseconds_of_the_writer": round(1e6 * cpu / entered, 1),
        "microseconds_of_those_that_read": round(1e6 * (read.ru_utime + read.ru_stime) / entered, 1),
        "writer_peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        "reader_peak_megabytes": read.ru_maxrss // 1000,
    }


def seconds_of_a_signature() -> float:
    """Processor time of one check, the least of several rounds."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, message = key.public_key(), bytes(1000)
    signature, rounds = key.sign(message), []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(OF_A_ROUND):
            public.verify(signature, message)
        rounds.append((time.process_time() - began) / OF_A_ROUND)
    return min(rounds)


def seconds_of_the_rows(registry: Path, empty: Path) -> float:
    """Processor time of adding an entry's rows, copied from a registry, in transactions as large as an import's."""
    batches: dict[int, dict[Table, list[tuple[Any, ...]]]] = {}
    source = open_database(sqlite_url(registry / "registry.sqlite"), create=False)
    with source.reading() as connection:
        held = [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM logs")]
        for table in (entries, names, digests, vectors):
            place = list(table.columns.keys()).index("id" if table is entries else "entry")
            for row in connection.exec_driver_sql(f"SELECT * FROM {table.name} ORDER BY {place + 1}"):
                batches.setdefault(row[place] // BATCH, {}).setdefault(table, []).append(tuple(row))
    source.close()
    target = open_database(sqlite_url(empty), create=True)
    with target.writing() as connection:
        insert_rows(connection, logs, held)
    began = time.process_time()
    for batch in batches.values():
        with target.writing() as connection:
            for table, rows in batch.items():
                insert_rows(connection, table, rows)
    took = time.process_time() - began
    target.close()
    return took / sum(len(batch[entries]) for batch in batches.values())


def prepare(path: Path, file: Path, number: int, issuers: int, *, post_quantum: bool) -> None:
    """A registry that knows the issuers, and a file of entries that they signed."""
    with create_registry(path, origin=ORIGIN, bureau_name="Harbour Bureau", jurisdiction="NL") as registry:
        blobs = [registry.put_blob([b"blob %d" % number]).digest for number in range(BLOBS)]
        writers: list[Writer] = []
        while len(writers) < issuers:
            writers += introduced(registry, min(200, issuers - len(writers)), post_quantum)
    with file.open("w") as out:
        for _, one in zip(range(number), catalogue(writers, blobs, random.Random(1)), strict=False):
            envelope = base64.b64encode(one.envelope).decode()
            out.write(json.dumps({"envelope": envelope, "salt": one.salt.hex()}) + "\n")


def catalogue(writers: Sequence[Writer], blobs: Sequence[str], draw: random.Random) -> Iterator[Submission]:
    """A model and its fingerprint of one issuer, then of the next, and so on."""
    for number in count():
        place = number % len(writers)
        writer, content = writers[place], f"sha256:{draw.randbytes(32).hex()}"
        files = {"model.safetensors": f"sha256:{draw.randbytes(32).hex()}"}
        model = Model(publisher=f"Northwind Labs {place}", name=f"lumen-{number}", content=content, files=files)
        submission, writer.chain = sign(model, writer.key, writer.chain)
        yield submission
        taken = Fingerprint(
            method="bench/1",
            model_content=content,
            blob=blobs[number % len(blobs)],
            tool="whorl 0.1",
            scheme="bench/1",
            vector=base64.b64encode(draw.randbytes(VECTOR_BYTES)).decode(),
        )
        submission, writer.chain = sign(taken, writer.key, writer.chain, target=writer.chain[1])
        yield submission


if __name__ == "__main__":
    main()
