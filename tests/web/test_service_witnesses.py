"""Witnesses over HTTP: three bureaus' servers cosign a fourth one's tree heads, and the protocol's every answer."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from served import UNLIMITED, Claimant, entered_hash, model, new_registry, serving

from whorl.core.errors import InputError
from whorl.log.files import origin_hash
from whorl.log.keys import Signer
from whorl.log.notes import parse_note
from whorl.log.tree_heads import TreeHead, parse_tree_head, sign_tree_head
from whorl.log.witness_requests import AddRequest, with_cosignatures
from whorl.log.witnessing import Witness
from whorl.registry.home import (
    HomeFile,
    WitnessAddress,
    log_verifiers,
    open_home,
    witness_verifiers,
    write_settings,
)
from whorl.registry.remote_witness import RemoteWitness, witnesses_of

LOG = "log.example/other"
NAMES = ("east", "south", "west")


def with_witnesses(path: Path, witnesses: dict[Path, str], *, quorum: int) -> None:
    """Have a registry ask these witnesses."""
    home = open_home(path)
    addresses = tuple(
        WitnessAddress(
            name=folder.name,
            keys=tuple(signer.verifier.vkey for signer in open_home(folder).witness_signers()),
            url=f"{url}/witness",
        )
        for folder, url in witnesses.items()
    )
    settings = home.settings.model_copy(update={"witnesses": addresses, "quorum": quorum})
    write_settings(home.with_settings(HomeFile.model_validate(settings.model_dump(by_alias=True))))


def test_three_witnesses_cosign_and_one_may_be_missing(folder: Path, tmp_path: Path) -> None:
    places = [new_registry(tmp_path / name, origin=f"bureau.example/{name}") for name in NAMES]
    home = open_home(folder)
    logs = {home.origin: log_verifiers(home)}
    claimant = Claimant.new()
    with ExitStack() as stack:
        running, ending = {}, {}
        for place in places:
            ending[place] = stack.enter_context(ExitStack())
            witness = Witness(place / "witness", open_home(place).witness_signers(), logs)
            running[place] = ending[place].enter_context(serving(place, limits=UNLIMITED, witness=witness))
        with_witnesses(folder, {place: one.url for place, one in running.items()}, quorum=2)
        asked = [stack.enter_context(one) for one in witnesses_of(open_home(folder))]
        served = stack.enter_context(serving(folder, limits=UNLIMITED, cosigners=asked))
        remote = stack.enter_context(served.remote())
        first = remote.checked_receipt(claimant.register(remote), served.policy)
        assert first.not_after is not None
        assert {name.removesuffix("+pq") for name in first.witnesses} == set(NAMES)
        ending[places[0]].close()
        second = remote.checked_receipt(entered_hash(remote, claimant.sign(model())), served.policy)
        assert second.not_after is not None
        assert {name.removesuffix("+pq") for name in second.witnesses} == set(NAMES[1:])
        latest = httpx2.get(f"{running[places[1]].url}/witness/{origin_hash(home.origin)}/checkpoint")
        assert latest.status_code == 200


@pytest.fixture
def witness_url(folder: Path) -> Iterator[str]:
    """A registry that witnesses one log."""
    home = open_home(folder)
    witness = Witness(home.path / "witness", home.witness_signers(), {LOG: [SIGNER.verifier]})
    with serving(folder, limits=UNLIMITED, witness=witness) as served:
        yield f"{served.url}/witness"


SIGNER = Signer.generate(LOG, "ed25519")
STRANGER = Signer.generate(LOG, "ed25519")
OTHER = Signer.generate("log.example/unknown", "ed25519")


def request(size: int, root: bytes, *, old: int = 0, by: Signer = SIGNER) -> bytes:
    note = sign_tree_head(TreeHead(origin=by.name, size=size, root=root), [by], at=1_800_000_000)
    return AddRequest(old_size=old, proof=(), note=note.to_bytes()).to_bytes()


def test_every_answer_of_the_witness_protocol(witness_url: str) -> None:
    url = f"{witness_url}/add-checkpoint"
    answers = {
        "nonsense": httpx2.post(url, content=b"old x\n"),
        "old is larger": httpx2.post(url, content=request(3, b"\1" * 32, old=5)),
        "another log": httpx2.post(url, content=request(3, b"\1" * 32, by=OTHER)),
        "another key": httpx2.post(url, content=request(3, b"\1" * 32, by=STRANGER)),
        "the empty tree": httpx2.post(url, content=request(0, b"\1" * 32)),
        "the first": httpx2.post(url, content=request(3, b"\1" * 32)),
        "a size that it knows": httpx2.post(url, content=request(4, b"\1" * 32)),
        "a fork": httpx2.post(url, content=request(3, b"\2" * 32, old=3)),
        "too long": httpx2.post(url, content=b"x" * (2 << 20)),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "nonsense": 400,
        "old is larger": 400,
        "another log": 404,
        "another key": 403,
        "the empty tree": 422,
        "the first": 200,
        "a size that it knows": 409,
        "a fork": 422,
        "too long": 413,
    }
    assert answers["a size that it knows"].headers["content-type"] == "text/x.tlog.size"
    assert answers["a size that it knows"].content == b"3\n"
    assert answers["the first"].content.startswith("— ".encode())


def test_the_client_of_a_witness_speaks_the_protocol(folder: Path, witness_url: str) -> None:
    verifiers = [signer.verifier for signer in open_home(folder).witness_signers()]
    with RemoteWitness("one", verifiers, witness_url, origin=LOG) as witness:
        assert (witness.name, list(witness.verifiers)) == ("one", verifiers)
        assert witness.latest() is None
        reply = witness.add_checkpoint(body := request(3, b"\1" * 32))
        assert reply.status == 200
        note = parse_note(body.partition(b"\n\n")[2])
        assert len(with_cosignatures(note, reply.body, verifiers).signatures) == 3
        again = witness.add_checkpoint(request(9, b"\1" * 32))
        assert (again.status, again.body, again.content_type) == (409, b"3\n", "text/x.tlog.size")
        latest = witness.latest()
        assert latest is not None
        assert parse_tree_head(parse_note(latest).text).size == 3


def test_a_witness_that_is_gone_is_no_answer(folder: Path) -> None:
    with_witnesses(folder, {folder: "http://127.0.0.1:9"}, quorum=0)
    (witness,) = witnesses_of(open_home(folder))
    assert witness.verifiers == witness_verifiers(open_home(folder).settings.witnesses[0])
    with witness, pytest.raises(InputError, match="found none"):
        witness.add_checkpoint(request(3, b"\1" * 32))


def test_a_registry_that_witnesses_nobody_says_so(folder: Path) -> None:
    with serving(folder, limits=UNLIMITED) as served, served.client() as client:
        answer = client.post("/witness/add-checkpoint", content=request(3, b"\1" * 32))
    assert answer.status_code == 404
