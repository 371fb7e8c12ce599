"""Tree heads: the C2SP form and no other, signed with Ed25519 by the log that was asked for."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, WITNESS_PQ, WITNESSES, head_of, party, signed_head

from whorl.core.errors import InputError, VerificationError
from whorl.log.keys import Signature, Signer, Verifier, parse_vkey, signer_from_bytes
from whorl.log.notes import Note, open_note, parse_note
from whorl.log.tree_heads import (
    SignedTreeHead,
    TreeHead,
    open_tree_head,
    parse_tree_head,
    sign_tree_head,
)

# The last tree head of the test log of github.com/transparency-dev/tessera (Apache-2.0), testdata/log, and its key
TESSERA_VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
TESSERA_HEAD = (
    "example.com/log/testdata\n15\nrKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=\n\n— example.com/log/testdata "
    "M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=\n"
).encode()
# C2SP tlog-cosignature, first example; the keys of its signers are not published
C2SP_COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE"
    "+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin"
    "1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()

KEYS = (LOG.verifier, LOG_PQ.verifier)
ROOT = base64.b64encode(bytes(32)).decode()

lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
heads = st.builds(
    TreeHead,
    origin=lines,
    size=st.integers(0, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
    extensions=st.lists(lines, max_size=3).map(tuple),
)


def opened(data: bytes, cosigners: tuple[Verifier, ...] = ()) -> SignedTreeHead:
    return open_tree_head(data, origin=ORIGIN, log_keys=KEYS, cosigners=cosigners)


@given(heads)
def test_what_is_rendered_is_read_again(head: TreeHead) -> None:
    assert parse_tree_head(head.to_text()) == head


@given(st.text(), st.lists(st.text(), max_size=2), st.integers(-2, 2**64), st.binary(min_size=30, max_size=33))
def test_whatever_can_be_built_is_read_back_as_it_was(origin: str, more: list[str], size: int, root: bytes) -> None:
    try:
        head = TreeHead(origin=origin, size=size, root=root, extensions=tuple(more))
    except InputError:
        return
    assert parse_tree_head(head.to_text()) == head


@given(st.lists(st.sampled_from(["log.example\n", "0", "5", "\n", ROOT, " ", "\t", "\u0665", "more\n"])))
def test_what_is_read_is_rendered_again_or_refused(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        head = parse_tree_head(text)
    except InputError:
        return
    assert head.to_text() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "origin, size, root"),
        (f"log.example\n5\n{ROOT}", "origin, size, root"),
        ("log.example\n5\n", "origin, size, root"),
        (f"\n5\n{ROOT}\n", "not empty"),
        (f"log.example\n5\n{ROOT}\n\n", "not empty"),
        (f"log.example\n5\n{ROOT}\nmore\n\nmore\n", "not empty"),
        (f"log.example\n5\n{ROOT}\n" + "more\n" * 65, "at most 64 further lines"),
        (f"log.ex\rample\n5\n{ROOT}\n", "control"),
        (f"{'x' * 256}\n5\n{ROOT}\n", "at most 255 bytes"),
        (f"log.example\n\n{ROOT}\n", "decimal"),
        (f"log.example\n05\n{ROOT}\n", "decimal"),
        (f"log.example\n00\n{ROOT}\n", "decimal"),
        (f"log.example\n+5\n{ROOT}\n", "decimal"),
        (f"log.example\n-5\n{ROOT}\n", "decimal"),
        (f"log.example\n 5\n{ROOT}\n", "decimal"),
        (f"log.example\n5 \n{ROOT}\n", "decimal"),
        (f"log.example\n5_0\n{ROOT}\n", "decimal"),
        (f"log.example\n5.0\n{ROOT}\n", "decimal"),
        (f"log.example\n\u0665\n{ROOT}\n", "decimal"),  # an Arabic five
        (f"log.example\n{2**63}\n{ROOT}\n", "decimal"),
        (f"log.example\n{'9' * 5000}\n{ROOT}\n", "decimal"),
        (f"log.example\n5\n{ROOT[:-1]}\n", "base64"),
        (f"log.example\n5\n{ROOT} \n", "base64"),
        (f"log.example\n5\n{ROOT[:-2]}B=\n", "base64"),
        (f"log.example\n5\n{base64.b64encode(bytes(31)).decode()}\n", "32 bytes, found 31"),
        (f"log.example\n5\n{base64.b64encode(bytes(33)).decode()}\n", "32 bytes, found 33"),
        (f"log.example\n5\n{bytes(32).hex()}\n", "32 bytes, found 48"),
    ],
)
def test_a_malformed_tree_head_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_tree_head(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": ""}, "not empty"),
        ({"origin": "log.example\n6"}, "one line"),
        ({"origin": "x" * 256}, "at most 255"),
        ({"size": -1}, "from 0 to"),
        ({"size": 2**63}, "from 0 to"),
        ({"root": bytes(31)}, "32 bytes, found 31"),
        ({"extensions": ("",)}, "not empty"),
        ({"extensions": ("more\n\n— w YWJjZHg=",)}, "one line"),
        ({"extensions": ("more",) * 65}, "at most 64 extension lines"),
    ],
)
def test_a_tree_head_that_would_not_be_read_again_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(head_of(5), **change)


def test_as_many_extension_lines_as_promised_are_read() -> None:
    head = head_of(5, *("more" for _ in range(64)))
    assert parse_tree_head(head.to_text()) == head


def test_a_tree_head_of_another_implementation_is_verified() -> None:
    key = parse_vkey(TESSERA_VKEY)
    signed = open_tree_head(TESSERA_HEAD, origin=key.name, log_keys=[key])
    assert (signed.head.origin, signed.head.size) == ("example.com/log/testdata", 15)
    assert signed.head.root.hex() == "aca6c38a90af86e5f5199ee0e4105ef2c03a05b27b8daff59e4e36eefdfcddcb"
    assert signed.note.to_bytes() == TESSERA_HEAD


def test_the_cosigned_example_of_the_specification_is_read() -> None:
    note = parse_note(C2SP_COSIGNED)
    assert parse_tree_head(note.text).size == 20852163
    log, witness = note.signatures
    assert len(log.blob) == 64
    assert (witness.name, len(witness.blob), int.from_bytes(witness.blob[:8])) == (
        "witness.example.com/w1",
        72,
        1679315147,
    )
    assert note.to_bytes() == C2SP_COSIGNED


# Signing and opening


def test_a_tree_head_of_ours_carries_both_signatures() -> None:
    head = head_of(5, "an extension")
    note = sign_tree_head(head, [LOG, LOG_PQ], at=AT)
    signed = opened(note.to_bytes())
    assert signed.head == head
    assert signed.note == note
    assert [(one.verifier, one.at) for one in signed.signed] == [(LOG.verifier, None), (LOG_PQ.verifier, AT)]
    assert signed.cosigned == ()


def test_witnesses_are_told_from_the_log() -> None:
    data = signed_head(5, WITNESSES[0], WITNESS_PQ, WITNESSES[1], log=[LOG, LOG_PQ]).to_bytes()
    signed = opened(data, (WITNESSES[0].verifier, WITNESS_PQ.verifier))
    assert [one.verifier for one in signed.signed] == list(KEYS)
    assert [(one.verifier.name, one.at) for one in signed.cosigned] == [
        ("witness.example/w1", AT + 1),
        ("witness.example/w1", AT + 2),
    ]


def test_a_log_signs_with_ed25519_and_under_its_origin() -> None:
    with pytest.raises(ValueError, match="needs an Ed25519 signature"):
        sign_tree_head(head_of(5), [LOG_PQ], at=AT)
    with pytest.raises(ValueError, match="under its origin"):
        sign_tree_head(head_of(5), [LOG, party("log.example/other", "cosignature_mldsa44")], at=AT)


def test_the_mldsa_signature_of_a_log_cannot_stand_alone() -> None:
    text = head_of(5).to_text()
    note = Note(text=text, signatures=(LOG_PQ.sign(text.encode(), at=AT),))
    with pytest.raises(VerificationError, match="expected an Ed25519 signature by a known key of the log"):
        opened(note.to_bytes())


def test_a_witness_cannot_stand_in_for_the_log() -> None:
    text = head_of(5).to_text()
    note = Note(text=text, signatures=(WITNESSES[0].sign(text.encode(), at=AT),))
    with pytest.raises(VerificationError, match="expected an Ed25519 signature by a known key of the log"):
        opened(note.to_bytes(), (WITNESSES[0].verifier,))
    # not even with a plain signature, if that key is known as a cosigner
    stranger = party(ORIGIN, "ed25519", 2)
    note = Note(text=text, signatures=(stranger.sign(text.encode()),))
    with pytest.raises(VerificationError, match="expected an Ed25519 signature by a known key of the log"):
        opened(note.to_bytes(), (stranger.verifier,))


def test_a_bad_mldsa_signature_is_refused_and_a_missing_one_is_seen() -> None:
    note = sign_tree_head(head_of(5), [LOG, LOG_PQ], at=AT)
    ed, pq = note.signatures
    bad = replace(pq, blob=pq.blob[:-1] + bytes([pq.blob[-1] ^ 1]))
    with pytest.raises(VerificationError, match="cosignature_mldsa44"):
        opened(replace(note, signatures=(ed, bad)).to_bytes())
    stripped = opened(replace(note, signatures=(ed,)).to_bytes())
    assert [one.verifier for one in stripped.signed] == [LOG.verifier]


def test_extension_lines_are_held_by_ed25519_alone() -> None:
    note = sign_tree_head(head_of(5, "an extension"), [LOG, LOG_PQ], at=AT)
    changed = replace(note, text=note.text.replace("an ext", "no ext"))
    assert len(open_note(changed, [LOG_PQ.verifier]).signed) == 1
    with pytest.raises(VerificationError, match="ed25519"):
        opened(changed.to_bytes())


def test_a_tree_head_of_another_log_is_refused() -> None:
    other = TreeHead(origin="log.example/other", size=5, root=bytes(32))
    text = other.to_text()
    note = Note(text=text, signatures=(LOG.sign(text.encode()),))
    with pytest.raises(VerificationError, match=r"expected one of log 'log\.example/northwind', found one of 'log\.ex"):
        opened(note.to_bytes())


def test_a_signed_text_that_is_no_tree_head_is_refused() -> None:
    text = f"{ORIGIN}\nfive\n{ROOT}\n"
    note = Note(text=text, signatures=(LOG.sign(text.encode()),))
    with pytest.raises(InputError, match="decimal"):
        opened(note.to_bytes())


def twin(signer: Signer, name: str, algorithm: str) -> Verifier:
    """The same key under another name or type."""
    return signer_from_bytes(name, algorithm, signer.seed).verifier


@pytest.mark.parametrize(
    "cosigners",
    [
        (twin(LOG, ORIGIN, "cosignature_ed25519"),),
        (twin(LOG, "witness.example/w1", "cosignature_ed25519"),),
        (twin(LOG_PQ, "witness.example/w1", "cosignature_mldsa44"),),
        (LOG.verifier,),
        (WITNESSES[0].verifier, twin(WITNESSES[0], "witness.example/other", "cosignature_ed25519")),
        (WITNESSES[0].verifier, WITNESSES[0].verifier),
    ],
)
def test_a_key_that_would_count_twice_is_refused(cosigners: tuple[Verifier, ...]) -> None:
    with pytest.raises(InputError, match="found one"):
        opened(signed_head(5).to_bytes(), cosigners)


def test_every_flipped_bit_of_a_tree_head_by_one_key_is_refused() -> None:
    data = signed_head(5).to_bytes()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((InputError, VerificationError)):
            opened(bytes(flipped))


def test_a_flipped_bit_beside_other_signatures_never_changes_what_was_signed() -> None:
    data = signed_head(5, *WITNESSES[:2]).to_bytes()
    cosigners = tuple(witness.verifier for witness in WITNESSES[:2])
    whole = opened(data, cosigners)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            signed = opened(bytes(flipped), cosigners)
        except (InputError, VerificationError):
            continue
        # a witness's name or ID was hit: its line is a stranger's
        assert signed.head == whole.head
        assert len(signed.cosigned) == 1


def test_a_signature_for_another_size_does_not_move_over() -> None:
    five, six = signed_head(5, WITNESSES[0], log=[LOG, LOG_PQ]), signed_head(6, WITNESSES[0], log=[LOG, LOG_PQ])
    moved: list[tuple[Signature, ...]] = [
        (six.signatures[0], *five.signatures[1:]),
        (five.signatures[0], six.signatures[1], five.signatures[2]),
        (*five.signatures[:2], six.signatures[2]),
    ]
    for signatures in moved:
        with pytest.raises(VerificationError, match="does not hold"):
            opened(replace(five, signatures=signatures).to_bytes(), (WITNESSES[0].verifier,))
