"""Signed writes over HTTP: ``python -m bench.registry_writes [--size N ...] [--witnesses N] [--post-quantum]``.

One process serves a registry, others serve its witnesses, this one hands in entries that were signed before: all on one
machine and one disk. Each request waits for its answer, which comes when a tree head that the witnesses were asked to
cosign has its entries; from then on there is a receipt. Afterwards every acknowledged entry is looked up in the
registry, and some receipts are checked. Prints one JSON object: entries a second, times to the answer, CPU, memory.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.measuring import WHORL
from whorl.entries.composing import compose
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Body, Key, Model, Organisation
from whorl.entries.leaf import NO_HASH, parse_entry_id
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.entries.statement import open_entry
from whorl.log.policy import NONE
from whorl.registry.client import RemoteRegistry
from whorl.registry.home import HomeFile, WitnessAddress, open_home, write_settings
from whorl.registry.local import LocalRegistry, create_registry, entered
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Submission

ORIGIN = "bureau.example/north"
WITNESSES = ("bureau.example/east", "bureau.example/south", "bureau.example/west")
CHECKED = 50
WRITERS = {1: 800, 64: 24}  # by entries of a request; each has one request at a time


@dataclass
class Writer:
    """A key for submitting, of an organisation of its own, and the requests that it will make."""

    key: IssuerKey
    organisation: bytes
    chain: tuple[int, bytes] | None = None
    requests: list[bytes] = field(default_factory=list)


@dataclass
class Measured:
    """Times to the answers, and the ids of what was acknowledged."""

    seconds: list[float] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    refused: list[Any] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, action="append", help="entries of a request; default 1 and 64")
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--witnesses", type=int, default=len(WITNESSES))
    parser.add_argument("--post-quantum", action="store_true", help="sign entries with ML-DSA-44 too")
    parser.add_argument("--folder", type=Path, help="where, hence on which disk")
    asked = parser.parse_args()
    report = {}
    for size in asked.size or list(WRITERS):
        with tempfile.TemporaryDirectory(dir=asked.folder) as name:
            report[f"requests of {size}"] = measure(
                Path(name), size, asked.entries, names=WITNESSES[: asked.witnesses], post_quantum=asked.post_quantum
            )
    print(json.dumps(report, indent=1))


def measure(
    place: Path, size: int, entries: int, *, names: Sequence[str], post_quantum: bool
) -> dict[str, float | int]:
    """Make a registry, serve it with its witnesses, and hand entries in."""
    number = WRITERS.get(size, max(WRITERS.values()) // size + 1)
    each = max(1, entries // number // size)
    writers = prepare(place / "north", number, each, size, post_quantum=post_quantum)
    known = [f"--witness-for={ORIGIN}={key}" for key in open_home(place / "north").settings.log_keys]
    with ExitStack() as stack:
        witnesses = []
        for origin in names:
            folder = place / origin.rpartition("/")[2]
            create_registry(folder, origin=origin, bureau_name=origin, jurisdiction="NL").close()
            witnesses.append((folder, stack.enter_context(served(folder, *known))[0]))
        let_witness(place / "north", witnesses)
        url, process = stack.enter_context(served(place / "north", "--entries-per-hour=0"))
        cpu, began = cpu_seconds(process.pid), time.monotonic()
        measured = asyncio.run(hand_in(url, writers))
        took, cpu = time.monotonic() - began, cpu_seconds(process.pid) - cpu
        peak = peak_megabytes(process.pid)
        check(url, place / "north", measured)
    return {
        "entries": len(measured.acknowledged),
        "entries_per_second": round(len(measured.acknowledged) / took, 1),
        "entries_per_cpu_second_of_the_server": round(len(measured.acknowledged) / cpu, 1),
        "seconds_p50": round(statistics.median(measured.seconds), 3),
        "seconds_p95": round(statistics.quantiles(measured.seconds, n=20)[-1], 3),
        "seconds_most": round(max(measured.seconds), 3),
        "writers": len(writers),
        "witnesses": len(names),
        "server_peak_megabytes": round(peak),
    }


def prepare(path: Path, number: int, each: int, size: int, *, post_quantum: bool) -> list[Writer]:
    """A registry with one organisation for each writer, and ``each`` requests of ``size`` entries of each, signed."""
    with create_registry(path, origin=ORIGIN, bureau_name="Harbour Bureau", jurisdiction="NL") as registry:
        writers: list[Writer] = []
        while len(writers) < number:
            writers += introduced(registry, min(200, number - len(writers)), post_quantum)
    draw = random.Random(1)
    for place, writer in enumerate(writers):
        for _ in range(each):
            body = {"entries": [signed(writer, place, draw) for _ in range(size)]}
            writer.requests.append(json.dumps(body).encode())
    return writers


def introduced(registry: LocalRegistry, number: int, post_quantum: bool) -> list[Writer]:
    """Organisations with a root key and a key for submitting each."""
    submissions, writers = [], []
    for place in range(number):
        root = new_issuer_key(secrets.token_bytes, post_quantum=False)
        key = new_issuer_key(secrets.token_bytes, post_quantum=post_quantum)
        roots = (issuer_public(root),)
        body = Organisation(name=f"Northwind Labs {place}", jurisdiction="NL", roots=roots)
        first, end = sign(body, root, None)
        added = Key(action="add", public=issuer_public(key), roles=("submitter",))
        second, introduced_by = sign(added, root, end, target=end[1], added=(key,))
        submissions += [first, second]
        writers.append(Writer(key=key, organisation=end[1], chain=(0, introduced_by[1])))
    for outcome in registry.enter(submissions):
        entered(outcome)
    return writers


def sign(
    body: Body,
    key: IssuerKey,
    chain: tuple[int, bytes] | None,
    *,
    target: bytes = NO_HASH,
    added: Sequence[IssuerKey] = (),
) -> tuple[Submission, tuple[int, bytes]]:
    """The next entry of a key, and the end of its chain after it."""
    statement = compose(body, log=ORIGIN, issuer=key.id, chain=chain, now=datetime.now(UTC), target=target)
    envelope, salt = statement.sign(key, cosigners=added), secrets.token_bytes(32)
    return Submission(envelope=envelope, salt=salt), (statement.sequence, open_entry(envelope).leaf(salt).hash)


def signed(writer: Writer, place: int, draw: random.Random) -> dict[str, str]:
    """The next model of a writer, as the API takes it."""
    content = f"sha256:{draw.randbytes(32).hex()}"
    number = 0 if writer.chain is None else writer.chain[0] + 1
    model = Model(publisher=f"Northwind Labs {place}", name=f"lumen-{number}", content=content)
    submission, writer.chain = sign(model, writer.key, writer.chain)
    return {"envelope": base64.b64encode(submission.envelope).decode(), "salt": submission.salt.hex()}


def let_witness(path: Path, witnesses: Sequence[tuple[Path, str]]) -> None:
    """Have a registry ask these witnesses, all of whom make its quorum."""
    home = open_home(path)
    addresses = tuple(
        WitnessAddress(
            name=folder.name,
            keys=tuple(signer.verifier.vkey for signer in open_home(folder).witness_signers()),
            url=f"{url}/witness",
        )
        for folder, url in witnesses
    )
    settings = home.settings.model_copy(update={"witnesses": addresses, "quorum": len(addresses)})
    write_settings(home.with_settings(HomeFile.model_validate(settings.model_dump(by_alias=True))))


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``whorl serve`` in a process of its own, once it answers; its URL and process."""
    command = [WHORL, "serve", "--registry", folder, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        if " is served at " not in line:
            raise SystemExit(f"the service did not begin: {line}{process.stderr.read()}")
        try:
            yield line.rpartition(" ")[2].strip(), process
        finally:
            process.terminate()
            process.wait(60)


async def hand_in(url: str, writers: Sequence[Writer]) -> Measured:
    """Every writer makes its requests one after the other, all writers at once."""
    measured = Measured()
    await asyncio.gather(*(_write(url, writer, measured) for writer in writers))
    return measured


async def _write(url: str, writer: Writer, measured: Measured) -> None:
    parts = urlsplit(url)
    reader, stream = await asyncio.open_connection(parts.hostname, parts.port)
    for body in writer.requests:
        head = f"POST /api/entries HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.monotonic()
        stream.write(head.encode() + body)
        _, answer = await read_answer(reader)
        measured.seconds.append(time.monotonic() - began)
        for result in json.loads(answer).get("results", [answer.decode()]):
            if isinstance(result, dict) and result.get("id"):
                measured.acknowledged.append(result["id"])
            else:
                measured.refused.append(result)
    stream.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
    return int(head.split()[1]), await reader.readexactly(int(length.partition(":")[2]))


def check(url: str, path: Path, measured: Measured) -> None:
    """Nothing was refused, what was acknowledged is in the log once, and receipts hold."""
    if measured.refused:
        raise SystemExit(f"{len(measured.refused)} entries were refused, such as: {measured.refused[0]}")
    if len(set(measured.acknowledged)) < len(measured.acknowledged):
        raise SystemExit("an entry was acknowledged twice")
    policy = open_home(path).policy()
    expected = policy.quorum != NONE
    with RemoteRegistry(url) as registry:
        for name in random.Random(2).sample(measured.acknowledged, min(CHECKED, len(measured.acknowledged))):
            receipt = parse_receipt(registry.receipt(parse_entry_id(name)), origin=url)
            verified = verify_receipt(receipt, policy)
            if verified.id != name or (expected and verified.not_after is None):
                raise SystemExit(f"the receipt of {name} does not show when it was seen")
    held = sqlite_entries(path)
    if missing := [name for name in measured.acknowledged if parse_entry_id(name) not in held]:
        raise SystemExit(f"{len(missing)} acknowledged entries are not in the registry, such as {missing[0]}")


def sqlite_entries(path: Path) -> set[bytes]:
    """Leaf hashes of all entries of a registry, read beside the service."""
    import sqlite3

    with sqlite3.connect(f"file:{path / 'registry.sqlite'}?mode=ro", uri=True) as connection:
        return {row[0] for row in connection.execute("SELECT hash FROM entries")}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> float:
    """Largest resident set of a process so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1000


if __name__ == "__main__":
    main()
