"""Clients that mean harm, or are broken: each is cut off, and the service goes on in little memory."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from served import Claimant, Served, entry_body, memory_kib, serving, serving_process

from whorl.registry.request_signatures import digest_of
from whorl.web.limits import Limits

QUICK = Limits(
    head_seconds=0.6,
    body_seconds=0.6,
    send_seconds=0.6,
    connections=40,
    reads_per_second=0,
    entries_per_hour=0,
    free_bytes=0,
)


@pytest.fixture
def impatient(folder: Path) -> Iterator[Served]:
    """A service that waits for nobody."""
    with serving(folder, limits=QUICK) as served:
        yield served


def connected(served: Served) -> socket.socket:
    parts = urlsplit(served.url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=10)


def is_cut_off(stream: socket.socket) -> bool:
    """Whether the other side ends the connection."""
    try:
        while stream.recv(1 << 16):
            pass
    except ConnectionError:
        return True
    return True


def assert_alive(served: Served) -> None:
    with served.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_head_that_comes_letter_by_letter_is_cut_off(impatient: Served) -> None:
    streams = [connected(impatient) for _ in range(20)]
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 3:
            for stream in streams:
                stream.sendall(b"G")
            time.sleep(0.1)
    assert time.monotonic() - began < 3
    assert all(map(is_cut_off, streams))
    assert_alive(impatient)


def test_a_second_head_that_comes_letter_by_letter_is_cut_off(impatient: Served) -> None:
    stream = connected(impatient)
    stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" in stream.recv(4096)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 3:
            stream.sendall(b"G")
            time.sleep(0.1)
    assert is_cut_off(stream)
    assert time.monotonic() - began < 3


def test_a_body_that_comes_letter_by_letter_is_cut_off(impatient: Served) -> None:
    stream = connected(impatient)
    stream.sendall(b"POST /api/entries HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 3:
            stream.sendall(b" ")
            time.sleep(0.1)
    assert is_cut_off(stream)
    assert time.monotonic() - began < 3
    assert_alive(impatient)


def test_a_slow_upload_gets_the_time_that_its_bytes_buy(folder: Path) -> None:
    claimant, data = Claimant.new(), bytes(60_000)
    limits = Limits(body_seconds=0.5, body_bytes_per_second=20_000, free_bytes=0, entries_per_hour=0)
    with serving(folder, limits=limits) as served:
        claimant.register(served.registry)

        def slowly() -> Iterator[bytes]:
            for first in range(0, len(data), 10_000):
                time.sleep(0.2)
                yield data[first : first + 10_000]

        path = f"/api/blobs/sha256:{digest_of(data).hex()}"
        with served.remote(key=claimant.key) as remote, served.client() as client:
            signature = remote._signature("PUT", path, data, served.registry.origin)
            time.sleep(1)
            headers = {**remote._signature("PUT", path, data, served.registry.origin), "Content-Length": "60000"}
            assert signature != headers
            assert client.put(path, content=slowly(), headers=headers).status_code == 201


def test_a_client_that_never_takes_its_answer_is_cut_off(impatient: Served) -> None:
    claimant, data = Claimant.new(), bytes(8 << 20)
    from whorl.entries.kinds import Fingerprint, Model

    with impatient.remote(key=claimant.key) as remote:
        claimant.register(remote)
        blob = remote.put_blob([data])
        content = "sha256:" + "1" * 64
        remote.enter([claimant.sign(Model(publisher="Northwind Labs", name="lumen", content=content))])
        assert claimant.chain is not None
        body = Fingerprint(method="test/1", model_content=content, blob=blob.digest, tool="test 1")
        remote.enter([claimant.sign(body, target=claimant.chain[1])])
    stream = connected(impatient)
    stream.sendall(f"GET /api/blobs/{blob.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    time.sleep(2)
    received = 0
    with contextlib.suppress(ConnectionError):
        while piece := stream.recv(1 << 20):
            received += len(piece)
    assert received < len(data)
    assert_alive(impatient)


def test_too_many_connections_are_turned_away(impatient: Served) -> None:
    streams = []
    with contextlib.suppress(OSError):
        streams += [connected(impatient) for _ in range(QUICK.connections + 20)]
    time.sleep(1.5)
    assert_alive(impatient)
    for stream in streams:
        stream.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (1 << 20),
        b"GET /" + b"a" * (1 << 20),
        b"\0" * 100_000,
    ],
    ids=["many headers", "a long header", "a long address", "no HTTP"],
)
def test_a_flood_of_headers_is_turned_away(impatient: Served, head: bytes) -> None:
    before = memory_kib()
    for _ in range(5):
        stream = connected(impatient)
        with contextlib.suppress(ConnectionError):
            stream.sendall(head)
            assert b"400" in stream.recv(4096)
        stream.close()
    assert memory_kib() - before < 40_000
    assert_alive(impatient)


def test_a_body_of_a_gigabyte_is_turned_away(folder: Path) -> None:
    with serving_process(folder) as (url, process):
        with contextlib.suppress(httpx2.HTTPError):
            httpx2.get(f"{url}/healthz")
        before = memory_kib(process.pid)
        highest = [before]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.02):
                highest[0] = max(highest[0], memory_kib(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        for stated in (True, False):  # a length that says so, and pieces that do not end
            sent = [0]

            def pieces(sent: list[int] = sent) -> Iterator[bytes]:
                for _ in range(1024):
                    sent[0] += 1
                    yield bytes(1 << 20)

            headers = {"Content-Length": str(1 << 30)} if stated else {}
            with contextlib.suppress(httpx2.HTTPError):
                answer = httpx2.post(f"{url}/api/entries", content=pieces(), headers=headers, timeout=30)
                assert answer.status_code == 413
            assert sent[0] < 100
        over.set()
        watcher.join()
        assert highest[0] - before < 60_000
        assert httpx2.get(f"{url}/healthz").status_code == 200


def test_many_large_bodies_at_once_are_turned_away(folder: Path) -> None:
    limits = Limits(buffered_bytes=1 << 20, entries_per_hour=0)
    with serving(folder, limits=limits) as served:
        body = b'{"entries": [' + b" " * (900 << 10)
        streams = [connected(served) for _ in range(4)]
        for stream in streams:
            stream.sendall(b"POST /api/entries HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + body)
        answers = []
        for stream in streams:
            stream.settimeout(1)
            with contextlib.suppress(TimeoutError):
                answers.append(stream.recv(4096).split(b"\r\n")[0])
            stream.close()
        assert b"HTTP/1.1 503 Service Unavailable" in answers
        with served.client() as client:
            claimant = Claimant.new()
            answer = client.post("/api/entries", content=entry_body(claimant.sign(claimant.organisation)))
            assert answer.status_code == 201


def test_requests_smuggled_behind_others_are_requests_of_their_own(impatient: Served) -> None:
    stream = connected(impatient)
    body = b"GET /api/audit HTTP/1.1\r\nHost: x\r\n\r\n"
    stream.sendall(
        b"POST /api/entries HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    )
    assert b"400" in stream.recv(4096) or is_cut_off(stream)
    assert_alive(impatient)
