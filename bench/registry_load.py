"""Readers and writers together for a while: ``python -m bench.registry_load [--seconds 120] [--readers 200]``.

One process serves a registry; this one reads and writes over HTTP, each reader and writer one request after the other.
Any answer that is no success ends the run. Prints one JSON object: requests and entries a second, times to the answer,
and the server's memory in each tenth of the run, from which one sees whether it stays.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.registry_writes import Measured as Written
from bench.registry_writes import Writer, check, cpu_seconds, prepare, read_answer, served

PARTS = 10


@dataclass
class Load:
    """What is going on, for how long."""

    url: str
    until: float
    written: Written = field(default_factory=Written)
    read_seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--writers", type=int, default=20)
    parser.add_argument("--size", type=int, default=4, help="entries of a request")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two requests of one reader")
    parser.add_argument("--folder", type=Path, help="where, hence on which disk")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        path = Path(name) / "north"
        each = int(asked.seconds * 4)  # more than there will be time for
        writers = prepare(path, asked.writers, each, asked.size, post_quantum=False)
        with served(path, "--entries-per-hour=0", "--reads-per-second=0") as (url, process):
            load = Load(url=url, until=time.monotonic() + asked.seconds)
            memory = asyncio.run(run(load, writers, asked.readers, asked.pause, process.pid))
            cpu = cpu_seconds(process.pid)
            check(url, path, load.written)
    reads = load.read_seconds
    report = {
        "seconds": asked.seconds,
        "readers": asked.readers,
        "writers": len(writers),
        "reads_per_second": round(len(reads) / asked.seconds, 1),
        "read_seconds_p50": round(statistics.median(reads), 3),
        "read_seconds_p95": round(statistics.quantiles(reads, n=20)[-1], 3),
        "entries_per_second": round(len(load.written.acknowledged) / asked.seconds, 1),
        "write_seconds_p95": round(statistics.quantiles(load.written.seconds, n=20)[-1], 3),
        "server_cpu_seconds": round(cpu, 1),
        "server_megabytes": memory,
    }
    print(json.dumps(report, indent=1))


async def run(load: Load, writers: Sequence[Writer], readers: int, pause: float, pid: int) -> list[int]:
    """Everybody at once; the server's memory now and then."""
    paths = ["/log/checkpoint", "/log/tile/entries/000", "/log/tile/0/000", "/api/entries?q=lumen-1", "/api/statistics"]
    paths += [f"/api/entries?q=northwind+labs+{number}" for number in range(len(writers))]
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(write(load, writer))
        for number in range(readers):
            group.create_task(read(load, paths, random.Random(number), pause))
        return await group.create_task(watch(load, pid))


async def write(load: Load, writer: Writer) -> None:
    """Hand in one request after the other."""
    parts = urlsplit(load.url)
    reader, stream = await asyncio.open_connection(parts.hostname, parts.port)
    for body in writer.requests:
        if time.monotonic() > load.until:
            break
        head = f"POST /api/entries HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.monotonic()
        stream.write(head.encode() + body)
        status, answer = await read_answer(reader)
        if status != 201:
            raise SystemExit(f"a writer was answered {status}: {answer[:300]!r}")
        load.written.seconds.append(time.monotonic() - began)
        load.written.acknowledged += [result["id"] for result in json.loads(answer)["results"]]
    stream.close()


async def read(load: Load, paths: Sequence[str], draw: random.Random, pause: float) -> None:
    """Ask for one thing after the other, and for entries that were just acknowledged and their receipts."""
    parts = urlsplit(load.url)
    reader, stream = await asyncio.open_connection(parts.hostname, parts.port)
    await asyncio.sleep(draw.random() * pause)
    while time.monotonic() < load.until:
        path = draw.choice(paths)
        if load.written.acknowledged and draw.random() < 0.3:
            path = f"/api/entries/{draw.choice(load.written.acknowledged)}{draw.choice(['', '/receipt'])}"
        elif path.startswith("/log/tile") and len(load.written.acknowledged) < 512:
            path = "/log/checkpoint"  # the first tiles are not full yet
        began = time.monotonic()
        stream.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        status, answer = await read_answer(reader)
        if status != 200:
            raise SystemExit(f"a reader of {path} was answered {status}: {answer[:300]!r}")
        load.read_seconds.append(time.monotonic() - began)
        await asyncio.sleep(pause)
    stream.close()


async def watch(load: Load, pid: int) -> list[int]:
    """Resident megabytes of the server at the end of each part of the run."""
    part = (load.until - time.monotonic()) / PARTS
    memory = []
    for _ in range(PARTS):
        await asyncio.sleep(part)
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        memory.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1000)
    return memory


if __name__ == "__main__":
    main()
