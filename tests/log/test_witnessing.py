"""A witness of C2SP tlog-witness: what it answers, what it remembers, and that two at once cannot set it back."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_logs import FailingDisk, files_of, flip
from signing_parties import (
    AT,
    LOG,
    LOG_PQ,
    ORIGIN,
    WITNESS_PQ,
    WITNESSES,
    head_of,
    party,
    records,
    root_of,
    signed_head,
)

from whorl.core.errors import InputError
from whorl.log.files import origin_hash
from whorl.log.forks import verify_fork
from whorl.log.keys import Signature, Signer, Verifier
from whorl.log.merkle import consistency_path, leaf_hash
from whorl.log.notes import Note, open_note, parse_note, parse_signature_lines
from whorl.log.small_tree import SmallTree
from whorl.log.tree_heads import TreeHead, open_tree_head, sign_tree_head
from whorl.log.witness_requests import AddRequest
from whorl.log.witnessing import Reply, Witness

SIGNERS = (WITNESSES[0], WITNESS_PQ)
READ = SmallTree([leaf_hash(record) for record in records(200)]).read


def witness_in(folder: Path, *, signers: tuple[Signer, ...] = SIGNERS, **more: object) -> Witness:
    folder.mkdir(exist_ok=True)
    return Witness(folder, signers, {ORIGIN: [LOG.verifier, LOG_PQ.verifier]}, **more)  # type: ignore[arg-type]


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return witness_in(tmp_path / "witness")


def request(old: int, new: int, *, proof: tuple[bytes, ...] | None = None, note: Note | None = None) -> bytes:
    """What an honest log sends, or with another proof or tree head."""
    if proof is None:
        proof = consistency_path(READ, old, new) if 0 < old <= new else ()
    return AddRequest(old_size=old, proof=proof, note=(note or signed_head(new)).to_bytes()).to_bytes()


def cosigned(reply: Reply, note: Note) -> list[int | None]:
    """The times that a good answer states for this tree head."""
    assert reply.status == 200, reply.body
    whole = Note(text=note.text, signatures=(*note.signatures, *parse_signature_lines(reply.body)))
    opened = open_note(whole, [signer.verifier for signer in SIGNERS])
    assert len(opened.signed) == 2
    return [one.at for one in opened.signed]


def size_of(reply: Reply) -> int:
    assert (reply.status, reply.content_type) == (409, "text/x.tlog.size")
    assert reply.body.endswith(b"\n")
    return int(reply.body)


def test_a_growing_log_is_cosigned(witness: Witness) -> None:
    for old, new, later in [(0, 5, 0), (5, 5, 1), (5, 8, 2), (8, 150, 3)]:
        reply = witness.add_checkpoint(request(old, new), at=AT + later)
        assert cosigned(reply, signed_head(new)) == [AT + later] * 2


def test_the_last_tree_head_is_served_to_monitors_with_all_signatures(witness: Witness) -> None:
    address = origin_hash(ORIGIN)
    assert witness.latest(address).status == 404
    note = signed_head(9, WITNESSES[3], log=(LOG, LOG_PQ))
    witness.add_checkpoint(request(0, 9, note=note), at=AT)
    served = witness.latest(address)
    assert served.status == 200
    keys = [signer.verifier for signer in SIGNERS]
    head = open_tree_head(served.body, origin=ORIGIN, log_keys=[LOG.verifier, LOG_PQ.verifier], cosigners=keys)
    assert (head.head, len(head.signed), len(head.cosigned)) == (head_of(9), 2, 2)
    assert len(head.note.signatures) == 4  # what the witness did not check, it does not pass on
    for unknown in (origin_hash("log.example/other"), "", "../../etc/passwd", address.upper()):
        assert witness.latest(unknown).status == 404


def test_memory_survives_a_restart(tmp_path: Path) -> None:
    witness_in(tmp_path / "witness").add_checkpoint(request(0, 5), at=AT)
    restarted = witness_in(tmp_path / "witness")
    assert size_of(restarted.add_checkpoint(request(0, 8), at=AT)) == 5
    assert restarted.add_checkpoint(request(5, 8), at=AT).status == 200


def test_the_other_answers_of_the_specification(witness: Witness) -> None:
    assert size_of(witness.add_checkpoint(request(3, 8), at=AT)) == 0  # it never cosigned
    witness.add_checkpoint(request(0, 5), at=AT)
    stranger, other_origin = party(ORIGIN, "ed25519", 9), party("log.example/other", "ed25519")
    elsewhere = sign_tree_head(TreeHead(origin=other_origin.name, size=1, root=root_of([b"a"])), [other_origin], at=AT)
    broken = signed_head(8)
    broken = Note(
        text=broken.text,
        signatures=(Signature(name=LOG.name, key_id=LOG.verifier.key_id, blob=bytes(64)), *broken.signatures),
    )
    answers = {
        "unknown origin": (request(0, 1, proof=(), note=elsewhere), 404),
        "no signature by the log": (request(5, 8, note=signed_head(8, log=(stranger,))), 403),
        "a false signature beside a good one": (request(5, 8, note=broken), 403),
        "only a post-quantum signature": (request(5, 8, note=pq_only(8)), 403),
        "old size above the new one": (request(5, 3, proof=()), 400),
        "old size below what was cosigned": (request(3, 8), 409),
        "old size 0 though something was cosigned": (request(0, 8), 409),
        "old size above what was cosigned": (request(6, 8), 409),
        "no proof": (request(5, 8, proof=()), 422),
        "proof of other sizes": (request(5, 8, proof=consistency_path(READ, 4, 8)), 422),
        "proof one hash too long": (request(5, 8, proof=(*consistency_path(READ, 5, 8), bytes(32))), 422),
        "a proof for the same size": (request(5, 5, proof=(bytes(32),)), 422),
        "the same size, another root": (request(5, 5, note=forked_head(5)), 422),
        "another past": (request(5, 8, note=forked_head(8)), 422),
        "a tree of size 0": (request(0, 0, note=empty_head(bytes(32))), 409),
    }
    for name, (body, status) in answers.items():
        reply = witness.add_checkpoint(body, at=AT + 9)
        assert (name, reply.status) == (name, status)
        assert reply.status != 409 or size_of(reply) == 5
    assert cosigned(witness.add_checkpoint(request(5, 8), at=AT), signed_head(8)) == [AT, AT]


def pq_only(size: int) -> Note:
    note = signed_head(size, log=(LOG, LOG_PQ))
    return Note(text=note.text, signatures=note.signatures[1:])


def forked_head(size: int) -> Note:
    """A tree head of another tree, truly signed by the log."""
    entries = [b"another", *records(size)[1:]]
    return sign_tree_head(TreeHead(origin=ORIGIN, size=size, root=root_of(entries)), [LOG], at=AT)


def empty_head(root: bytes) -> Note:
    return sign_tree_head(TreeHead(origin=ORIGIN, size=0, root=root), [LOG], at=AT)


def test_an_empty_tree_has_one_root_and_may_be_followed_by_any(witness: Witness) -> None:
    assert witness.add_checkpoint(request(0, 0, note=empty_head(bytes(32))), at=AT).status == 422
    assert cosigned(witness.add_checkpoint(request(0, 0), at=AT), signed_head(0)) == [AT, AT]
    assert witness.add_checkpoint(request(0, 5, proof=(bytes(32),)), at=AT).status == 422
    assert witness.add_checkpoint(request(0, 0, proof=(bytes(32),), note=signed_head(0)), at=AT).status == 422
    # size 0 was cosigned, so there is still nothing to compare with: this is trust at first use
    assert witness.add_checkpoint(request(0, 5), at=AT).status == 200
    assert size_of(witness.add_checkpoint(request(0, 6), at=AT)) == 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 0\n\n",
        b"old 00\n\n" + signed_head(5).to_bytes(),
        b"old -1\n\n" + signed_head(5).to_bytes(),
        b"old 0\r\n\r\n" + signed_head(5).to_bytes(),
        b"old 0\nnot base64\n\n" + signed_head(5).to_bytes(),
        b"old 0\n\n" + signed_head(5).to_bytes()[:-1],
        b"old 0\n\nno tree head\n\n\xe2\x80\x94 a AAAAAAAA\n",
        b"old 0\n\n\xff",
        b"old 0\n" + b"A" * 43 + b"=\n" + b"\n" + signed_head(5).to_bytes() + b"\0",
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + signed_head(5).to_bytes(),
        b"old 0\n" * 2_000_000,
    ],
)
def test_malformed_requests_are_told_so(witness: Witness, body: bytes) -> None:
    reply = witness.add_checkpoint(body, at=AT)
    assert reply.status == 400
    assert 0 < len(reply.body) < 1000


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    witness = Witness(Path(__file__).parent, SIGNERS, {ORIGIN: [LOG.verifier]})
    assert witness.add_checkpoint(body, at=AT).status == 400


def test_time_does_not_go_back_when_the_clock_does(witness: Witness) -> None:
    stated = []
    for old, new, now in [(0, 1, AT), (1, 2, AT - 1000), (2, 2, AT - 5), (2, 3, AT + 1)]:
        stated.append(cosigned(witness.add_checkpoint(request(old, new), at=now), signed_head(new))[0])
    assert stated == [AT, AT, AT, AT + 1]


def test_nothing_is_answered_that_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    witness_in(folder).add_checkpoint(request(0, 5), at=AT)
    failing = witness_in(folder, write=FailingDisk(turn=0))
    reply = failing.add_checkpoint(request(5, 8), at=AT)
    assert reply.status == 500
    assert "—" not in reply.body.decode()
    assert size_of(witness_in(folder).add_checkpoint(request(0, 8), at=AT)) == 5
    # kept, but not answered: the log asks again and is told the size
    failing = witness_in(folder, write=FailingDisk(turn=0, after=True))
    assert failing.add_checkpoint(request(5, 8), at=AT).status == 500
    assert size_of(witness_in(folder).add_checkpoint(request(5, 8), at=AT)) == 8
    assert witness_in(folder).add_checkpoint(request(8, 8), at=AT).status == 200


def test_a_damaged_memory_is_never_taken_for_none(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    witness = witness_in(folder, signers=(WITNESSES[0],))
    witness.add_checkpoint(request(0, 5), at=AT)
    (name,) = [name for name in files_of(folder) if name.endswith(".checkpoint")]
    data = (folder / name).read_bytes()
    for bit in range(0, 8 * data.index(b"\n\n"), 7):
        flip(folder / name, bit)
        assert witness.add_checkpoint(request(0, 8), at=AT).status == 500
        assert witness.latest(origin_hash(ORIGIN)).status == 500
        (folder / name).write_bytes(data)
    (folder / name).write_bytes(b"")
    assert witness.add_checkpoint(request(0, 8), at=AT).status == 500
    (folder / name).write_bytes(data)
    assert witness.add_checkpoint(request(5, 8), at=AT).status == 200


def test_two_roots_for_one_size_are_kept_as_a_proof_against_the_log(witness: Witness, tmp_path: Path) -> None:
    witness.add_checkpoint(request(0, 5), at=AT)
    witness.add_checkpoint(request(5, 8, note=forked_head(8)), at=AT)
    assert not list(tmp_path.glob("witness/fork-*"))  # a bad proof alone accuses nobody
    for _ in range(2):
        assert witness.add_checkpoint(request(5, 5, note=forked_head(5)), at=AT).status == 422
    (proof,) = tmp_path.glob("witness/fork-*.proof")
    fork = verify_fork(proof.read_bytes(), log_keys=[LOG.verifier])
    assert (fork.origin, fork.smaller.head.size, fork.larger.head.size) == (ORIGIN, 5, 5)
    assert fork.smaller.head.root != fork.larger.head.root


def test_a_witness_is_set_up_with_its_own_folder_and_keys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of the witness"):
        Witness(tmp_path / "none", SIGNERS, {ORIGIN: [LOG.verifier]})
    shared = Verifier(name=ORIGIN, algorithm="ed25519", public=WITNESSES[0].verifier.public)
    with pytest.raises(InputError, match="expected two public keys, found one"):
        Witness(tmp_path, SIGNERS, {ORIGIN: [shared]})
    for signers in ((), (LOG,)):
        with pytest.raises(ValueError, match="cosignature types"):
            Witness(tmp_path, signers, {ORIGIN: [LOG.verifier]})


def grow(folder: Path, steps: int) -> list[tuple[int, int]]:
    """A client that competes with others: asks for the size, sends the next tree head; returns what was cosigned."""
    witness = witness_in(folder, signers=(WITNESSES[0],))
    cosigned: list[tuple[int, int]] = []
    old = 0
    for step in range(steps):
        new = min(200, old + 1 + step % 3)
        reply = witness.add_checkpoint(request(old, new), at=AT)
        if reply.status == 200:
            cosigned.append((old, new))
            old = new
        else:
            old = size_of(reply)
    return cosigned


def one_chain(*clients: list[tuple[int, int]]) -> int:
    """Whether all that was cosigned is one line of growth, each step taken once; returns its end."""
    steps = sorted(step for client in clients for step in client if step[0] != step[1])
    size = 0
    for old, new in steps:
        assert old == size
        size = new
    return size


def test_threads_cannot_set_a_witness_back(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: grow(tmp_path / "witness", 40), range(8)))
    size = one_chain(*clients)
    note = parse_note(witness_in(tmp_path / "witness").latest(origin_hash(ORIGIN)).body)
    assert note.text == head_of(size).to_text()


def test_processes_cannot_set_a_witness_back(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        clients = pool.starmap(grow, [(tmp_path / "witness", 60)] * 2)
    size = one_chain(*clients)
    assert size > 0
    note = parse_note(witness_in(tmp_path / "witness").latest(origin_hash(ORIGIN)).body)
    assert note.text == head_of(size).to_text()


def test_the_race_of_the_specification(tmp_path: Path) -> None:
    """Two requests from one size, the larger one first to be kept: the smaller one must be told, not kept."""
    arrived, go_on = threading.Event(), threading.Event()

    def slow(path: Path, data: bytes) -> None:
        arrived.set()
        assert go_on.wait(20)
        path.write_bytes(data)

    folder = tmp_path / "witness"
    witness_in(folder).add_checkpoint(request(0, 5), at=AT)
    with ThreadPoolExecutor(2) as pool:
        larger = pool.submit(witness_in(folder, write=slow).add_checkpoint, request(5, 9), at=AT)
        assert arrived.wait(20)
        smaller = pool.submit(witness_in(folder).add_checkpoint, request(5, 7), at=AT)
        go_on.set()
        assert larger.result().status == 200
        assert size_of(smaller.result()) == 9
