"""Many at once: writers and readers together, and each acknowledged entry is there and proven."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from served import UNLIMITED, Claimant, Served, entry_body, ids_of, leaf_hash_of, model, serving

from whorl.entries.leaf import entry_id
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.registry.sequencer import BATCH, Entered
from whorl.web.service import Service

WRITERS, ENTRIES, READERS = 20, 50, 50


def test_writers_and_readers_together(folder: Path) -> None:
    claimants = [Claimant.new(f"Lab {number}") for number in range(WRITERS)]
    requests = {
        claimant.key.id: [entry_body(claimant.sign(claimant.organisation))]
        + [entry_body(*claimant.models(5)) for _ in range(ENTRIES // 5)]
        for claimant in claimants
    }
    with serving(folder, limits=UNLIMITED) as served:
        acknowledged, reads = asyncio.run(_write_and_read(served.url, list(requests.values())))
        assert len(acknowledged) == len(set(acknowledged)) == WRITERS * (ENTRIES + 1)
        assert reads > READERS
        with served.registry.database.reading() as connection:
            held = {row[0] for row in connection.exec_driver_sql("SELECT hash FROM entries")}
        assert set(acknowledged) <= held
        for digest in acknowledged[:: len(acknowledged) // 25]:
            receipt = served.registry.receipt(digest)
            assert verify_receipt(parse_receipt(receipt, origin="here"), served.policy).id == entry_id(digest)


async def _write_and_read(url: str, writers: list[list[bytes]]) -> tuple[list[bytes], int]:
    limits = httpx2.Limits(max_connections=WRITERS + READERS, max_keepalive_connections=WRITERS + READERS)
    acknowledged: list[bytes] = []
    reads = 0
    over = asyncio.Event()
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as client:

        async def write(bodies: list[bytes]) -> None:
            for body in bodies:
                answer = await client.post("/api/entries", content=body)
                assert answer.status_code == 201, answer.text
                acknowledged.extend(ids_of(answer))

        async def read(number: int) -> None:
            nonlocal reads
            paths = (
                "/log/checkpoint",
                "/log/tile/entries/000.p/3",
                "/healthz",
                "/api/entries?q=lab",
                "/api/statistics",
            )
            while not over.is_set():
                answer = await client.get(paths[(number + reads) % len(paths)])
                assert answer.status_code == 200, answer.text
                reads += 1
                await asyncio.sleep(0.2)

        readers = [asyncio.create_task(read(number)) for number in range(READERS)]
        await asyncio.gather(*map(write, writers))
        over.set()
        await asyncio.gather(*readers)
    return acknowledged, reads


def test_requests_that_wait_together_are_one_batch(folder: Path) -> None:
    claimants = [Claimant.new(f"Lab {number}") for number in range(30)]
    with serving(folder, limits=UNLIMITED) as served:
        sizes: list[int] = []
        enter, busy = served.registry.enter, threading.Event()

        def counted(submissions: list[object]) -> list[object]:
            if not sizes:
                busy.wait(10)
            sizes.append(len(submissions))
            return enter(submissions)  # type: ignore[arg-type,return-value]

        served.registry.enter = counted  # type: ignore[assignment,method-assign]
        futures = [served.service.enter([one.sign(one.organisation)], actor="test") for one in claimants]
        time.sleep(0.3)
        busy.set()
        outcomes = [outcome for future in futures for outcome in future.result(30)]
    assert all(isinstance(outcome, Entered) for outcome in outcomes)
    assert sum(sizes) == 30
    assert len(sizes) <= 2


def test_a_batch_is_not_larger_than_it_may_be(folder: Path) -> None:
    claimant = Claimant.new()
    with serving(folder, limits=UNLIMITED) as served:
        claimant.register(served.registry)
        sizes: list[int] = []
        enter = served.registry.enter

        def counted(submissions: list[object]) -> list[object]:
            sizes.append(len(submissions))
            return enter(submissions)  # type: ignore[arg-type,return-value]

        served.registry.enter = counted  # type: ignore[assignment,method-assign]
        futures = [served.service.enter(claimant.models(200), actor="test") for _ in range(8)]
        outcomes = [outcome for future in futures for outcome in future.result(60)]
    assert all(isinstance(outcome, Entered) for outcome in outcomes)
    assert max(sizes) <= BATCH
    assert [outcome.index for outcome in outcomes if isinstance(outcome, Entered)] == sorted(
        outcome.index for outcome in outcomes if isinstance(outcome, Entered)
    )


def test_the_same_entry_handed_in_by_many_at_once_is_entered_once(served: Served) -> None:
    claimant = Claimant.new()
    body = entry_body(submission := claimant.sign(claimant.organisation))
    with served.client() as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post("/api/entries", content=body), range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert {(answer.json()["results"][0]["id"], answer.json()["results"][0]["index"]) for answer in answers} == {
        (entry_id(leaf_hash_of(submission)), answers[0].json()["results"][0]["index"])
    }


def test_what_was_handed_in_is_entered_before_the_service_ends(folder: Path) -> None:
    claimant = Claimant.new()
    with serving(folder, limits=UNLIMITED) as served:
        claimant.register(served.registry)
        futures = [served.service.enter([one], actor="test") for one in claimant.models(40)]
        service: Service = served.service
    outcomes = [outcome for future in futures for outcome in future.result(0)]
    assert all(isinstance(outcome, Entered) for outcome in outcomes)
    with pytest.raises(Exception, match="about to stop"):
        service.enter([claimant.sign(model())], actor="test")


def test_partial_tiles_are_served_while_full_ones_replace_them(served: Served) -> None:
    """A reader asks for what a published tree head has, at the moment when its partial tile is removed."""
    claimant = Claimant.new()
    first = claimant.register(served.registry)
    published = served.registry.log.published()
    assert published is not None
    index, width = divmod(published.size, 256)
    over = threading.Event()
    problems: list[str] = []

    def read() -> None:
        with served.client() as client:
            while not over.is_set():
                for path in (f"/log/tile/0/{index:03}.p/{width}", f"/api/entries/{entry_id(first)}/receipt"):
                    answer = client.get(path)
                    if answer.status_code != 200:
                        problems.append(answer.text)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(4):
        outcomes = served.service.enter(claimant.models(100), actor="test").result(60)
        assert all(isinstance(outcome, Entered) for outcome in outcomes)
    over.set()
    for reader in readers:
        reader.join()
    assert problems == []
