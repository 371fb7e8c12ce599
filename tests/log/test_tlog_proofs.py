"""Proofs of inclusion in one text: every true one is accepted, every altered one is not."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing_parties import AT, LOG, LOG_PQ, WITNESS_PQ, WITNESSES, path_of, records, root_of, signed_head

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.keys import Signature
from whorl.log.notes import Note, signature_lines
from whorl.log.policy import parse_policy
from whorl.log.proofs import MAX_EXTRA_BYTES, MAX_PROOF_BYTES, Proof, parse_proof, verify_proof

THREE = parse_policy(
    f"log {LOG.verifier.vkey}\n"
    + "".join(f"witness w{number} {WITNESSES[number].verifier.vkey}\n" for number in range(3))
    + "group all-three all w0 w1 w2\nquorum all-three\n"
)
NOBODY = parse_policy(f"log {LOG.verifier.vkey}\nquorum none\n")
HASH = base64.b64encode(bytes(32)).decode()
NOTE = signed_head(5).to_bytes()
LINE = signature_lines([Signature(name="w", key_id=b"abcd", blob=b"x")])


def proof_of(index: int, size: int, note: Note | None = None) -> Proof:
    note = note or signed_head(size, *WITNESSES[:3])
    return Proof(index=index, path=path_of(index, records(size)), tree_head_note=note.to_bytes())


def test_every_record_of_small_logs_is_proven() -> None:
    for size in range(1, 18):
        note = signed_head(size, *WITNESSES[:3])
        for index in range(size):
            proof = parse_proof(proof_of(index, size, note).to_text())
            verified = verify_proof(proof, records(size)[index], THREE)
            assert (verified.index, verified.size, verified.origin) == (index, size, "log.example/northwind")
            assert verified.cosigned_at == (("w0", AT + 1), ("w1", AT + 2), ("w2", AT + 3))
            assert verified.quorum_at == AT + 3


def test_no_other_record_index_path_or_tree_head_is() -> None:
    size = 11
    note = signed_head(size, *WITNESSES[:3])
    for index in range(size):
        proof = proof_of(index, size, note)
        wrong = [
            replace(proof, path=proof.path[:-1]),
            replace(proof, path=(*proof.path, bytes(32))),
            replace(proof, path=proof.path[::-1]),
            replace(proof, path=(bytes(32), *proof.path[1:])),
            *(replace(proof, index=other) for other in (*range(size + 2), 2**63 - 1) if other != index),
            *(proof_of(index, size, signed_head(other, *WITNESSES[:3])) for other in (1, 10, 12, 16)),
        ]
        for altered in wrong:
            with pytest.raises(VerificationError):
                verify_proof(altered, records(size)[index], THREE)
        for other in (b"", b"record", records(size)[index - 1], records(size)[index] + b"\0"):
            with pytest.raises(VerificationError):
                verify_proof(proof, other, THREE)


def test_an_inner_node_is_no_record() -> None:
    """RFC 6962 section 2.1: records and nodes are hashed apart."""
    four = records(4)
    node = root_of(four[:1]) + root_of(four[1:2])
    proof = Proof(index=0, path=(root_of(four[2:]),), tree_head_note=signed_head(4).to_bytes())
    with pytest.raises(VerificationError):
        verify_proof(proof, node, NOBODY)
    with pytest.raises(VerificationError):
        verify_proof(replace(proof, path=()), b"\x01" + node, NOBODY)


def test_an_empty_log_proves_nothing() -> None:
    proof = Proof(index=0, path=(), tree_head_note=signed_head(0).to_bytes())
    with pytest.raises(VerificationError, match="index"):
        verify_proof(proof, b"", NOBODY)


def test_the_policy_is_asked_before_the_path() -> None:
    proof = proof_of(3, 5, signed_head(5, *WITNESSES[:2]))
    with pytest.raises(VerificationError, match="group 'all-three' needs 3 of 3, has 2, lacks 'w2'"):
        verify_proof(proof, records(5)[3], THREE)
    verified = verify_proof(proof, records(5)[3], NOBODY)
    assert (verified.cosigned_at, verified.quorum_at) == ((), None)


def test_every_flipped_bit_of_a_proof_is_refused() -> None:
    """Where the quorum needs every signature there is, no bit of the text is free."""
    text = proof_of(2, 3).to_text().encode()
    leaf = records(3)[2]
    verify_proof(parse_proof(text), leaf, THREE)
    for bit in range(len(text) * 8):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((InputError, VerificationError)):
            verify_proof(parse_proof(bytes(flipped)), leaf, THREE)


def test_a_proof_with_four_ed25519_signatures_is_small() -> None:
    note = signed_head(5, *WITNESSES[:3]).to_bytes()
    at_ten_million = Proof(index=9_999_999, path=(bytes(32),) * 24, tree_head_note=note)
    assert len(at_ten_million.to_text()) < 2000


def test_post_quantum_signatures_are_checked_where_they_are() -> None:
    policy = parse_policy(
        f"log {LOG.verifier.vkey}\nlog {LOG_PQ.verifier.vkey}\nwitness w {WITNESS_PQ.verifier.vkey}\nquorum w\n"
    )
    note = signed_head(5, WITNESS_PQ, log=[LOG, LOG_PQ])
    assert verify_proof(proof_of(4, 5, note), records(5)[4], policy).cosigned_at == (("w", AT + 1),)
    for place in (1, 2):
        bad = list(note.signatures)
        bad[place] = replace(bad[place], blob=bad[place].blob[:-1] + bytes([bad[place].blob[-1] ^ 1]))
        with pytest.raises(VerificationError, match="cosignature_mldsa44"):
            verify_proof(proof_of(4, 5, replace(note, signatures=tuple(bad))), records(5)[4], policy)


# The text


def test_the_layout_is_that_of_the_specification() -> None:
    proof = Proof(index=73894, path=(bytes(32), bytes(range(32))), tree_head_note=NOTE, extra=b"age-v1.2.1")
    text = (
        "c2sp.org/tlog-proof@v1\nextra YWdlLXYxLjIuMQ==\nindex 73894\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
    ) + NOTE.decode()
    assert proof.to_text() == text
    assert parse_proof(text) == parse_proof(text.encode()) == proof


notes = st.builds(signed_head, st.integers(0, 3)).map(Note.to_bytes)
proofs = st.builds(
    Proof,
    index=st.integers(0, 2**63 - 1),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    tree_head_note=notes,
    extra=st.none() | st.binary(min_size=1, max_size=99),
)


@given(proofs)
def test_what_is_rendered_is_read_again(proof: Proof) -> None:
    assert parse_proof(proof.to_text()) == proof


parts = st.sampled_from(
    ["c2sp.org/tlog-proof@v1\n", "extra ", "index ", "0", "7", "\n", "\n\n", f"{HASH}\n", HASH, NOTE.decode(), " "]
)


@given(st.lists(parts))
def test_what_is_read_is_rendered_again_or_refused(lines: list[str]) -> None:
    text = "c2sp.org/tlog-proof@v1\n" + "".join(lines)
    try:
        proof = parse_proof(text)
    except InputError:
        return
    assert proof.to_text() == text


HEAD = "c2sp.org/tlog-proof@v1\n"
TAIL = "\n" + NOTE.decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty line"),
        (HEAD, "an empty line"),
        (f"{HEAD}index 0\n", "an empty line"),
        (f"{HEAD}index 0\n\n", "no signature lines"),
        (f"index 0\n{TAIL}", "first line"),
        (f"c2sp.org/tlog-proof@v2\nindex 0\n{TAIL}", "first line"),
        (f"c2sp.org/tlog-proof@v1 \nindex 0\n{TAIL}", "first line"),
        (f"C2SP.org/tlog-proof@v1\nindex 0\n{TAIL}", "first line"),
        (f"\n{HEAD}index 0\n{TAIL}", "first line"),
        (f"{HEAD}{TAIL}", "'index N', found none"),
        (f"{HEAD}extra AA==\n{TAIL}", "'index N', found none"),
        (f"{HEAD}{HASH}\nindex 0\n{TAIL}", "'index N', found"),
        (f"{HEAD}index 0\nextra AA==\n{TAIL}", "hash 1: expected standard base64"),
        (f"{HEAD}extra AA==\nextra AA==\nindex 0\n{TAIL}", "'index N', found 'extra"),
        (f"{HEAD}extra\nindex 0\n{TAIL}", "'index N', found 'extra'"),
        (f"{HEAD}extra \nindex 0\n{TAIL}", "expected 1 to 65536 bytes, found 0"),
        (f"{HEAD}extra AB==\nindex 0\n{TAIL}", "extra: expected standard base64"),
        (f"{HEAD}extra  AA==\nindex 0\n{TAIL}", "extra: expected standard base64"),
        (f"{HEAD}index\n{TAIL}", "'index N', found 'index'"),
        (f"{HEAD}index \n{TAIL}", "decimal"),
        (f"{HEAD}index 00\n{TAIL}", "decimal"),
        (f"{HEAD}index 01\n{TAIL}", "decimal"),
        (f"{HEAD}index -1\n{TAIL}", "decimal"),
        (f"{HEAD}index 1 \n{TAIL}", "decimal"),
        (f"{HEAD}index 0x1\n{TAIL}", "decimal"),
        (f"{HEAD}index \u0661\n{TAIL}", "decimal"),
        (f"{HEAD}index {2**63}\n{TAIL}", "decimal"),
        (f"{HEAD}index {'9' * 9999}\n{TAIL}", "decimal"),
        (f"{HEAD}index 0\n{HASH[:-1]}\n{TAIL}", "hash 1: expected standard base64"),
        (f"{HEAD}index 0\n{HASH}\n {HASH}\n{TAIL}", "hash 2: expected standard base64"),
        (f"{HEAD}index 0\nAAAA\n{TAIL}", "hash 1: expected base64 of 32 bytes, found 3"),
        (f"{HEAD}index 0\n" + f"{HASH}\n" * 64 + TAIL, "at most 63 hashes, found 64"),
        (f"{HEAD}index 0\n" + "\x7f\n" * 100_000 + TAIL, "at most 63 hashes"),
        (f"{HEAD}index 0\r\n{TAIL}", "control"),
        (f"{HEAD}index 0\n{TAIL}\x00", "control"),
        (f"{HEAD}index 0\n{TAIL}more", "end with a newline"),
        (f"{HEAD}index 0\n\n{TAIL}", "tree head: expected one line that is not empty"),
        (f"{HEAD}index 0\n{TAIL[:-1]}", "end with a newline"),
        (f"{HEAD}index 0\n\ud800\n{TAIL}", "half of a surrogate pair"),
    ],
)
def test_a_malformed_proof_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_proof(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InputError, match="UTF-8, found byte 0xff at 23"):
        parse_proof(f"{HEAD}".encode() + b"\xff" + f"index 0\n{TAIL}".encode())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": -1}, "from 0 to"),
        ({"index": 2**63}, "from 0 to"),
        ({"path": (bytes(31),)}, "hashes of 32 bytes"),
        ({"path": (bytes(32),) * 64}, "at most 63"),
        ({"tree_head_note": b"text\n"}, "no signature lines"),
        ({"tree_head_note": b"no tree head\n\n" + LINE}, "tree head: expected origin"),
        ({"extra": b""}, "1 to 65536 bytes, found 0"),
        ({"extra": bytes(MAX_EXTRA_BYTES + 1)}, "1 to 65536 bytes, found 65537"),
    ],
)
def test_a_proof_that_would_not_be_read_again_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(Proof(index=0, path=(), tree_head_note=NOTE), **change)


def test_the_largest_proof_is_read() -> None:
    head = f"log.example\n5\n{HASH}\n".encode()
    note = head + b"x" * (MAX_NOTE_BYTES - len(head + LINE) - 2) + b"\n\n" + LINE
    proof = Proof(index=2**63 - 1, path=(bytes(32),) * 63, tree_head_note=note, extra=bytes(MAX_EXTRA_BYTES))
    assert parse_proof(proof.to_text()) == proof
    with pytest.raises(InputError, match=f"at most {MAX_PROOF_BYTES} bytes"):
        parse_proof(b"x" * (MAX_PROOF_BYTES + 1))
