"""What a log asks a witness, and the answer that it takes."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing_parties import AT, LOG, WITNESS_PQ, WITNESSES, head_of, party, signed_head

from whorl.core.errors import InputError, VerificationError
from whorl.log.keys import Signature
from whorl.log.notes import signature_lines
from whorl.log.tree_heads import parse_tree_head
from whorl.log.witness_requests import (
    MAX_REQUEST_BYTES,
    AddRequest,
    parse_add_request,
    parse_size_body,
    size_body,
    with_cosignatures,
)

# C2SP tlog-witness, "add-checkpoint", example request body
C2SP_BODY = (
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n"
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE"
    "+xeMcTOAYQ8=\n"
    "— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovn"
    "zv++qbSzm9Q=\n"
).encode()

HASH = base64.b64encode(bytes(32)).decode()
NOTE = signed_head(5).to_bytes()


def test_the_example_of_the_specification_is_read_and_written() -> None:
    request = parse_add_request(C2SP_BODY)
    assert request.old_size == 20852014
    assert [one.hex()[:8] for one in request.proof] == ["3e544d0a", "8eb2590e", "e7ea4a95", "ffa59584"]
    assert parse_tree_head(request.note.decode().split("\n\n")[0] + "\n").size == 20852163
    assert request.to_bytes() == C2SP_BODY


@given(
    st.builds(
        AddRequest,
        old_size=st.integers(0, 2**63 - 1),
        proof=st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
        note=st.just(NOTE),
    )
)
def test_what_is_rendered_is_read_again(request: AddRequest) -> None:
    assert parse_add_request(request.to_bytes()) == request


parts = st.sampled_from(["old ", "0", "7", "\n", "\n\n", f"{HASH}\n", HASH, NOTE.decode(), " "])


@given(st.lists(parts))
def test_what_is_read_is_rendered_again_or_refused(lines: list[str]) -> None:
    body = ("old " + "".join(lines)).encode()
    try:
        request = parse_add_request(body)
    except InputError:
        return
    assert request.to_bytes() == body


TAIL = "\n" + NOTE.decode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "an empty line"),
        ("old 0\n", "an empty line"),
        ("old 0\n\n", "no signature lines"),
        (TAIL, "'old N', found ''"),
        (f"{HASH}\n{TAIL}", "'old N'"),
        (f"new 0\n{TAIL}", "'old N'"),
        (f"old\n{TAIL}", "'old N'"),
        (f"old \n{TAIL}", "decimal"),
        (f"old 00\n{TAIL}", "decimal"),
        (f"old 05\n{TAIL}", "decimal"),
        (f"old  5\n{TAIL}", "decimal"),
        (f"old -5\n{TAIL}", "decimal"),
        (f"old {2**63}\n{TAIL}", "decimal"),
        (f"old 5\r\n{TAIL}", "control"),
        (f"old 5\n{HASH[:-1]}\n{TAIL}", "hash 1: expected standard base64"),
        (f"old 5\nAAAA\n{TAIL}", "hash 1: expected base64 of 32 bytes"),
        ("old 5\n" + f"{HASH}\n" * 64 + TAIL, "at most 63 hashes, found 64"),
        ("old 5\n" + "A\n" * 100_000 + TAIL, "at most 63 hashes"),
        (f"old 5\n{TAIL[:-1]}", "end with a newline"),
        (f"old 5\n\n{TAIL}", "tree head: expected one line that is not empty"),
        ("old 5\n" + TAIL.replace("\n5\n", "\n05\n"), "tree head, size: expected a decimal"),
    ],
)
def test_a_malformed_request_is_refused(body: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_add_request(body.encode())


def test_requests_have_a_size_at_most() -> None:
    with pytest.raises(InputError, match=f"at most {MAX_REQUEST_BYTES} bytes"):
        parse_add_request(b"x" * (MAX_REQUEST_BYTES + 1))
    with pytest.raises(InputError, match="UTF-8"):
        parse_add_request(b"old 5\n\xff\n" + NOTE)


@pytest.mark.parametrize(
    "change", [{"old_size": -1}, {"old_size": 2**63}, {"proof": (b"",)}, {"proof": (bytes(32),) * 64}, {"note": b"x"}]
)
def test_a_request_that_would_not_be_read_again_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(AddRequest(old_size=0, proof=(), note=NOTE), **change)


# The answer


TEXT = head_of(5).to_text().encode()
KEYS = [witness.verifier for witness in (*WITNESSES, WITNESS_PQ)]


def answer(*signatures: Signature) -> bytes:
    return signature_lines(signatures)


def test_cosignatures_by_known_witnesses_are_added() -> None:
    note = signed_head(5)
    both = answer(WITNESSES[0].sign(TEXT, at=AT), WITNESS_PQ.sign(TEXT, at=AT))
    cosigned = with_cosignatures(note, both, KEYS)
    assert cosigned.text == note.text
    assert cosigned.signatures[:1] == note.signatures
    assert answer(*cosigned.signatures[1:]) == both


def test_a_newer_cosignature_takes_the_place_of_an_older_one() -> None:
    once = with_cosignatures(signed_head(5), answer(WITNESSES[0].sign(TEXT, at=AT)), KEYS)
    newer = WITNESSES[0].sign(TEXT, at=AT + 60)
    assert with_cosignatures(once, answer(newer), KEYS).signatures == (once.signatures[0], newer)


def test_a_witness_cannot_fill_the_note_alone() -> None:
    many = [WITNESSES[0].sign(TEXT, at=AT + second) for second in range(63)]
    cosigned = with_cosignatures(signed_head(5), answer(*many), KEYS)
    assert cosigned.signatures == (*signed_head(5).signatures, many[0])


def test_strangers_in_the_answer_are_left_out() -> None:
    stranger = party("stranger.example", "cosignature_ed25519").sign(TEXT, at=AT)
    known = WITNESSES[0].sign(TEXT, at=AT)
    cosigned = with_cosignatures(signed_head(5), answer(stranger, known), KEYS)
    assert cosigned.signatures == (*signed_head(5).signatures, known)
    with pytest.raises(VerificationError, match=r"'stranger\.example'"):
        with_cosignatures(signed_head(5), answer(stranger), KEYS)
    # the log's own line, sent back, is no cosignature
    with pytest.raises(VerificationError, match="known keys"):
        with_cosignatures(signed_head(5), answer(LOG.sign(TEXT)), KEYS)


def test_an_answer_to_another_tree_head_is_refused() -> None:
    other = head_of(6).to_text().encode()
    for witness in (WITNESSES[0], WITNESS_PQ):
        with pytest.raises(VerificationError, match="does not hold"):
            with_cosignatures(signed_head(5), answer(witness.sign(other, at=AT)), KEYS)


def test_an_answer_without_a_time_is_refused() -> None:
    key = WITNESSES[0].verifier
    blob = bytes(8) + WITNESSES[0].private.sign(b"cosignature/v1\ntime 0\n" + TEXT)
    with pytest.raises(VerificationError, match="expected a time"):
        with_cosignatures(signed_head(5), answer(Signature(name=key.name, key_id=key.key_id, blob=blob)), KEYS)


@pytest.mark.parametrize("body", [b"", b"\n", b"20852163\n", b"\xff", NOTE])
def test_an_answer_that_is_no_signature_lines_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        with_cosignatures(signed_head(5), body, KEYS)


@given(st.integers(0, 2**63 - 1))
def test_the_size_of_a_busy_witness_is_read_back(size: int) -> None:
    assert parse_size_body(size_body(size)) == size


@pytest.mark.parametrize("body", [b"", b"5", b"50", b"\n", b"05\n", b"5\n\n", b"5 \n", b"9" * 33 + b"\n", b"\xff\n"])
def test_a_malformed_size_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        parse_size_body(body)
