"""A server that dies half-way and comes back: nothing is lost, and nothing that was answered is asked again."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from answering_server import MODEL, AnsweringServer, answering

from whorl.core.progress import silent
from whorl.endpoints.limits import Limits
from whorl.endpoints.retrying import Waiting
from whorl.probes.battery import Battery
from whorl.probes.budget import Budget
from whorl.probes.families import battery
from whorl.probes.taking import Receipt, Target, take
from whorl.probes.transcript_reading import read_transcript

ASKED = battery("quick", 5)
QUICKLY = Limits(tries=3, first_wait=0.01, connect_seconds=5)


def taken(
    server: AnsweringServer, path: Path, waits: "list[Waiting]", asked: Battery = ASKED
) -> "asyncio.Task[Receipt]":
    target = Target(address=server.url, model=MODEL, limits=QUICKLY, concurrency=6)
    return asyncio.ensure_future(
        take(
            target,
            asked,
            path,
            budget=Budget(),
            seed=0,
            now=lambda: datetime.now(UTC),
            on_wait=waits.append,
            progress=silent,
        )
    )


def test_a_server_that_dies_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"

    async def until_it_dies() -> "tuple[Receipt, list[Waiting], AnsweringServer]":
        waits: list[Waiting] = []
        with answering(seconds=0.003) as server:
            running = taken(server, path, waits)
            await asyncio.to_thread(server.wait_for_answers, 120)
        return await running, waits, server

    receipt, waits, first = asyncio.run(until_it_dies())
    cut_off = read_transcript(path)
    assert receipt.ended == "endpoint_lost"
    assert receipt.last_error is not None
    assert "no connection" in receipt.last_error
    assert {waiting.trouble for waiting in waits} >= {"refused_connection"}
    assert cut_off.seal is not None
    assert cut_off.seal.reason == "endpoint_lost"
    assert first.answered - 10 - 6 <= len(cut_off.answered) <= first.answered - 10
    assert {given_up.trouble for given_up in cut_off.given_up.values()} <= {"refused_connection", "malformed"}

    async def when_it_is_back() -> Receipt:
        with answering(port=int(first.url.rsplit(":", 1)[1])) as server:
            receipt = await taken(server, path, [])
            assert len(server.bodies) == receipt.questions - len(cut_off.answered)
        return receipt

    assert asyncio.run(when_it_is_back()).ended == "complete"
    whole = read_transcript(path)
    assert whole.complete
    assert not whole.given_up
    assert cut_off.answered.items() <= whole.answered.items()
    assert Counter(key for key in whole.answered) == Counter(
        (item.id, n) for item in ASKED.items for n in range(item.draws)
    )
