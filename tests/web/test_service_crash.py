"""``kill -9`` in the middle of writes: whatever was acknowledged is there, and the rest can be handed in again."""

import threading
import time
from pathlib import Path

import httpx2
import pytest
from served import Claimant, entry_body, ids_of, serving_process

from whorl.core.errors import InputError
from whorl.entries.leaf import entry_id
from whorl.registry.checking import check_registry
from whorl.registry.client import RemoteRegistry
from whorl.registry.home import open_home
from whorl.registry.local import open_registry

WRITERS = 6


def test_every_acknowledged_entry_survives_a_kill(folder: Path) -> None:
    claimants = [Claimant.new(f"Lab {number}") for number in range(WRITERS)]
    acknowledged: list[bytes] = []
    unanswered: dict[int, bytes] = {}
    options = ("--entries-per-hour", "0")
    for _ in range(3):
        with serving_process(folder, *options) as (url, process):
            threads = [
                threading.Thread(target=_write, args=(url, number, claimant, acknowledged, unanswered))
                for number, claimant in enumerate(claimants)
            ]
            before = len(acknowledged)
            for thread in threads:
                thread.start()
            until = time.monotonic() + 20
            while len(acknowledged) < before + 60 and time.monotonic() < until:
                time.sleep(0.01)
            process.kill()
            for thread in threads:
                thread.join()
            assert len(acknowledged) > before
    assert unanswered  # somebody was in the middle of it
    policy = open_home(folder).policy()
    with serving_process(folder, *options) as (url, _), RemoteRegistry(url) as remote:
        for body in unanswered.values():  # an answer that was lost is asked for again
            answer = httpx2.post(f"{url}/api/entries", content=body)
            assert answer.status_code == 201, answer.text
            acknowledged.extend(ids_of(answer))
        for digest in acknowledged[::10]:
            assert remote.checked_receipt(digest, policy).id == entry_id(digest)
    with open_registry(folder) as registry:
        with registry.database.reading() as connection:
            held = [row[0] for row in connection.exec_driver_sql("SELECT hash FROM entries")]
        assert set(acknowledged) <= set(held)
        assert len(held) == len(set(held)) == registry.log.size
        assert check_registry(registry).problems == ()


def _write(url: str, number: int, claimant: Claimant, acknowledged: list[bytes], unanswered: dict[int, bytes]) -> None:
    with httpx2.Client(base_url=url, timeout=30, trust_env=False) as client:
        while True:
            if number not in unanswered:
                first = claimant.chain is None
                unanswered[number] = entry_body(
                    *([claimant.sign(claimant.organisation)] if first else claimant.models(3))
                )
            try:
                answer = client.post("/api/entries", content=unanswered[number])
            except httpx2.HTTPError:
                return
            assert answer.status_code == 201, answer.text
            acknowledged.extend(ids_of(answer))
            del unanswered[number]


def test_a_folder_is_served_once(folder: Path) -> None:
    with serving_process(folder), pytest.raises(InputError, match="another process"):
        open_registry(folder)
