"""Registries served for real: uvicorn on a free port of 127.0.0.1, in a thread here or in a process of its own."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from whorl.entries.composing import compose
from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Body, Key, Model, Organisation, Role
from whorl.entries.leaf import NO_HASH, parse_entry_id
from whorl.entries.statement import open_entry
from whorl.log.policy import Policy
from whorl.registry.client import RemoteRegistry
from whorl.registry.cosigning import Cosigner
from whorl.registry.local import LocalRegistry, create_registry, open_registry
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Entered, Submission
from whorl.web.app import make_app
from whorl.web.limits import Limits
from whorl.web.running import address_of, bound_socket, server_for
from whorl.web.service import Service
from whorl.web.witness_routes import AnsweringWitness

ORIGIN = "bureau.example/one"
UNLIMITED = Limits(
    entries_per_hour=0,
    reads_per_second=0,
    searches_per_second=0,
    witness_per_second=0,
    free_bytes=0,
    waiting_entries=10_000,
)
WHORL = Path(sys.executable).with_name("whorl")


@dataclass
class SteppedClock:
    """A clock that stands where it is put, a few seconds ahead of the service's beginning."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Served:
    """A registry that answers at a URL."""

    url: str
    registry: LocalRegistry
    service: Service

    @property
    def policy(self) -> Policy:
        return self.registry.home.policy()

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, trust_env=False, timeout=30, **options)

    def remote(self, **options: Any) -> RemoteRegistry:
        return RemoteRegistry(self.url, now=self.registry.now, **options)


@contextmanager
def serving(
    path: Path,
    *,
    limits: Limits = UNLIMITED,
    witness: AnsweringWitness | None = None,
    needs_token: bool = False,
    cosigners: Sequence[Cosigner] = (),
    now: Callable[[], datetime] | None = None,
    port: int = 0,
) -> Iterator[Served]:
    """Serve a registry's folder from a thread."""
    clock = {} if now is None else {"now": now}
    with ExitStack() as stack:
        registry = stack.enter_context(open_registry(path, cosigners=cosigners, **clock))
        service = stack.enter_context(Service(registry, limits=limits))
        app = make_app(service, witness=witness, needs_token=needs_token)
        bound = stack.enter_context(bound_socket("127.0.0.1", port))
        server = server_for(app, limits)
        thread = threading.Thread(target=lambda: server.run(sockets=[bound]))
        thread.start()
        try:
            wait_for(lambda: service.health().problem is None, seconds=30)  # it signs its tree head first
            yield Served(url=address_of(bound), registry=registry, service=service)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving_process(path: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``whorl serve`` in a process of its own, once it answers: its URL, and the process."""
    command = [WHORL, "serve", "--registry", path, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert " is served at " in line, line + process.stderr.read()
        try:
            yield line.rpartition(" ")[2].strip(), process
        finally:
            process.kill()
            process.wait()


@dataclass
class Claimant:
    """An organisation with one root key, which signs entries and hands them in over HTTP."""

    key: IssuerKey
    name: str = "Northwind Labs"
    chain: tuple[int, bytes] | None = None
    home: str = ORIGIN

    @classmethod
    def new(cls, name: str = "Northwind Labs", *, post_quantum: bool = False) -> "Claimant":
        return cls(key=new_issuer_key(secrets.token_bytes, post_quantum=post_quantum), name=name)

    @property
    def organisation(self) -> Organisation:
        return Organisation(name=self.name, jurisdiction="NL", roots=(issuer_public(self.key),))

    def sign(
        self,
        body: Body,
        *,
        target: bytes = NO_HASH,
        handling: Handling = CLEAR,
        at: datetime | None = None,
        cosigners: Sequence[IssuerKey] = (),
    ) -> Submission:
        """The next entry of the chain."""
        now = at or datetime.now(UTC)
        statement = compose(
            body, log=self.home, issuer=self.key.id, chain=self.chain, now=now, target=target, handling=handling
        )
        submission = Submission(envelope=statement.sign(self.key, cosigners=cosigners), salt=secrets.token_bytes(32))
        self.chain = (statement.sequence, leaf_hash_of(submission))
        return submission

    def models(self, number: int) -> list[Submission]:
        return [self.sign(model(self.name)) for _ in range(number)]

    def register(self, registry: RemoteRegistry | LocalRegistry) -> bytes:
        """Enter the organisation; its leaf hash."""
        self.home = registry.origin
        return entered_hash(registry, self.sign(self.organisation))

    def with_key(self, registry: RemoteRegistry | LocalRegistry, organisation: bytes, *roles: Role) -> "Claimant":
        """A further key of the organisation, added to the registry."""
        other = Claimant.new(self.name)
        body = Key(action="add", public=issuer_public(other.key), roles=roles)
        other.chain = (0, entered_hash(registry, self.sign(body, target=organisation, cosigners=[other.key])))
        return other


def model(publisher: str = "Northwind Labs", **changes: Any) -> Model:
    fields = {"publisher": publisher, "name": f"lumen-{secrets.token_hex(4)}", "content": digest()}
    return Model(**{**fields, **changes})


def digest() -> str:
    return f"sha256:{secrets.token_hex(32)}"


def leaf_hash_of(submission: Submission) -> bytes:
    return open_entry(submission.envelope).leaf(submission.salt).hash


def entered_hash(registry: RemoteRegistry | LocalRegistry, submission: Submission) -> bytes:
    (outcome,) = registry.enter([submission])
    assert isinstance(outcome, Entered), outcome
    return outcome.hash


def entry_body(*submissions: Submission) -> bytes:
    """The body of a request that hands these in."""
    entries = [{"envelope": base64.b64encode(one.envelope).decode(), "salt": one.salt.hex()} for one in submissions]
    return json.dumps({"entries": entries}).encode()


def ids_of(answer: httpx2.Response) -> list[bytes]:
    """Leaf hashes that an answer acknowledges."""
    return [parse_entry_id(result["id"]) for result in answer.json()["results"] if "id" in result]


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of an answer that is an error of the one shape."""
    document = answer.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message"}
    assert document["error"]["message"]
    return answer.status_code, document["error"]["code"]


def wait_for(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """Until something becomes true that other threads do."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def memory_kib(pid: int | None = None) -> int:
    """Resident memory of a process now."""
    lines = Path(f"/proc/{pid or os.getpid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def new_registry(path: Path, *, origin: str = ORIGIN, template: Path | None = None) -> Path:
    """A registry's folder; a copy of the template if there is one, which is quicker."""
    if template is not None:
        shutil.copytree(template, path)
        return path
    create_registry(path, origin=origin, bureau_name="Harbour Bureau", jurisdiction="NL").close()
    return path
