"""``whorl serve`` as a process: it says where it answers, and what keeps it from answering; and it ends well."""

import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from served import WHORL, Claimant, entry_body, new_registry, serving_process

from whorl.registry.client import RemoteRegistry
from whorl.registry.home import open_home
from whorl.registry.local import open_registry


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WHORL, "serve", "--port", "0", *options], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_after_what_was_handed_in_is_entered(folder: Path, number: signal.Signals) -> None:
    claimants = [Claimant.new(f"Lab {place}") for place in range(8)]
    bodies = {one.key.id: entry_body(one.sign(one.organisation)) for one in claimants}
    answers: dict[bytes, int] = {}

    def hand_in(url: str, issuer: bytes) -> None:
        with suppress(httpx2.TransportError):  # it had ended: nothing was handed in, or not answered
            answers[issuer] = httpx2.post(f"{url}/api/entries", content=bodies[issuer], timeout=30).status_code

    with serving_process(folder) as (url, process):
        with RemoteRegistry(url) as remote:
            assert remote.origin == open_home(folder).origin
        threads = [threading.Thread(target=hand_in, args=(url, issuer)) for issuer in bodies]
        for thread in threads:
            thread.start()
        while not answers:
            time.sleep(0.001)
        process.send_signal(number)
        for thread in threads:
            thread.join()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert set(answers.values()) <= {201, 503}
    assert 201 in answers.values()
    with open_registry(folder) as registry:
        for issuer, status in answers.items():
            assert status == 503 or registry.organisation_of(issuer) is not None


def test_a_second_one_is_told_that_the_folder_is_served(folder: Path) -> None:
    with serving_process(folder):
        done = serve("--registry", str(folder))
    assert done.returncode == 2
    assert "another process" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = serve("--registry", str(folder), "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen there" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--registry", "/nowhere/at/all"), "expected a registry's folder"),
        (("--host", "no.such.host.invalid"), "cannot listen there"),
        (("--witness-for", "bureau.example/two"), "expected ORIGIN=VKEY"),
        (("--witness-for", "bureau.example/two=junk"), "verifier key"),
        (("--entries-per-hour", "3"), "10"),
    ],
)
def test_what_is_wrong_with_the_call_is_told(folder: Path, options: tuple[str, ...], problem: str) -> None:
    given = options if "--registry" in options else ("--registry", str(folder), *options)
    done = serve(*given)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_a_witness_cosigns_for_another_registry(folder: Path, tmp_path: Path) -> None:
    from test_service_witnesses import with_witnesses

    other = new_registry(tmp_path / "other", origin="bureau.example/two")
    home = open_home(folder)
    known = [f"--witness-for={home.origin}={key}" for key in home.settings.log_keys]
    with serving_process(other, *known) as (witness, _):
        with_witnesses(folder, {other: witness}, quorum=1)
        with serving_process(folder) as (url, _), RemoteRegistry(url) as remote:
            verified = remote.checked_receipt(Claimant.new().register(remote), open_home(folder).policy())
    assert verified.not_after is not None
