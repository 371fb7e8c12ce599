"""Keys of signed notes: the signatures are those of the specifications, and one key is never taken for another."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, WITNESS_PQ, WITNESSES, head_of, party

from whorl.core.errors import InputError, VerificationError
from whorl.log.keys import Algorithm, Signature, Signer, Verifier, check_distinct, parse_vkey, signer_from_bytes

ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "cosignature_ed25519", "cosignature_mldsa44")
TEXT = head_of(5).to_text().encode()

# C2SP signed-note, "Verifier keys", "Example"
C2SP_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493


def vkey_of(name: str, typed: bytes, key_id: str | None = None) -> str:
    """A verifier key put together as signed-note says."""
    right = hashlib.sha256(name.encode() + b"\n" + typed).digest()[:4].hex()
    return f"{name}+{right if key_id is None else key_id}+{base64.b64encode(typed).decode()}"


def test_the_example_of_the_specification_is_read_and_written() -> None:
    key = parse_vkey(C2SP_VKEY)
    assert (key.name, key.algorithm, key.key_id.hex()) == ("example.com/foo", "ed25519", "530d903a")
    assert key.vkey == C2SP_VKEY


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(seed=st.binary(min_size=32, max_size=32), text=st.integers(0, 2**63 - 1), at=st.integers(1, 2**63 - 1))
def test_a_key_verifies_what_it_signed(algorithm: Algorithm, seed: bytes, text: int, at: int) -> None:
    signer = signer_from_bytes("log.example", algorithm, seed)
    assert signer.seed == seed
    assert parse_vkey(signer.verifier.vkey) == signer.verifier
    signed = replace(head_of(1), size=text).to_text().encode()
    assert signer.verifier.verify(signed, signer.sign(signed, at=at)) == (None if algorithm == "ed25519" else at)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_key_is_like_no_other_and_hides_its_secret(algorithm: Algorithm) -> None:
    one, other = Signer.generate("log.example", algorithm), Signer.generate("log.example", algorithm)
    assert one.seed != other.seed
    assert signer_from_bytes("log.example", algorithm, one.seed).verifier == one.verifier
    assert one.seed.hex() not in repr(one)
    assert repr(one.seed) not in repr(one)


def test_an_ed25519_signature_is_over_the_text() -> None:
    blob = LOG.sign(TEXT).blob
    Ed25519PublicKey.from_public_bytes(LOG.verifier.public).verify(blob, TEXT)
    assert blob == Ed25519PrivateKey.from_private_bytes(LOG.seed).sign(TEXT)


def test_an_ed25519_cosignature_is_over_two_lines_and_the_text() -> None:
    # the signed message of tlog-cosignature, "Ed25519 signed message"
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    message = (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    signature = WITNESSES[0].sign(text, at=1679315147)
    assert signature.blob[:8].hex() == "00000000641850cb"
    Ed25519PublicKey.from_public_bytes(WITNESSES[0].verifier.public).verify(signature.blob[8:], message)
    assert len(signature.key_id + signature.blob) == 76


def test_an_mldsa_cosignature_is_over_the_structure_of_the_specification() -> None:
    root = bytes(range(32))
    text = b"log.example\n258\n" + base64.b64encode(root) + b"\nan extension\n"
    signer = party("w.example", "cosignature_mldsa44")
    message = (
        b"subtree/v1\n\x00"  # label
        + b"\x09w.example"  # cosigner_name
        + bytes.fromhex("0000000000000007")  # timestamp
        + b"\x0blog.example"  # log_origin
        + bytes.fromhex("0000000000000000")  # start
        + bytes.fromhex("0000000000000102")  # end
        + root
    )
    signature = signer.sign(text, at=7)
    assert signature.blob[:8] == bytes.fromhex("0000000000000007")
    MLDSA44PublicKey.from_public_bytes(signer.verifier.public).verify(signature.blob[8:], message)
    assert len(signature.blob) == 8 + 2420
    by_hand = MLDSA44PrivateKey.from_seed_bytes(signer.seed).sign(message)
    assert signer.verifier.verify(text, replace(signature, blob=signature.blob[:8] + by_hand)) == 7


@pytest.mark.parametrize(
    ("vkey", "message"),
    [
        ("example.com/foo", "NAME"),
        ("example.com/foo+530d903a", "NAME"),
        ("", "NAME"),
        ("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "not empty"),
        (C2SP_VKEY.replace("foo", "f oo"), "without spaces"),
        (C2SP_VKEY.replace("foo", "f\u2003oo"), "without spaces"),
        (C2SP_VKEY.replace("foo", "f\x85oo"), "without spaces"),
        (C2SP_VKEY.replace("foo", "f\noo"), "one line"),
        (C2SP_VKEY.replace("foo", "f\x00oo"), "control"),
        (C2SP_VKEY.replace("foo", "f\ud800oo"), "surrogate"),
        (C2SP_VKEY.replace("foo", "bar"), "expected ID"),
        (C2SP_VKEY.replace("530d903a", "530D903A"), "expected ID"),
        (C2SP_VKEY.replace("530d903a", "530d903b"), "expected ID"),
        (C2SP_VKEY.replace("530d903a", "0530d903a"), "expected ID"),
        (C2SP_VKEY + "=", "base64"),
        (C2SP_VKEY + "\n", "base64"),
        (C2SP_VKEY[:-1], "base64"),
        (C2SP_VKEY[:-1] + "-", "base64"),
        (C2SP_VKEY[:-1] + "é", "base64"),
        (vkey_of("log.example", b""), "found nothing"),
        (vkey_of("log.example", b"\x02" + bytes(91)), "found 0x02"),
        (vkey_of("log.example", b"\x05" + bytes(32)), "found 0x05"),
        (vkey_of("log.example", b"\xff" + bytes(32)), "found 0xff"),
        (vkey_of("log.example", b"\x01" + b"\x07" * 31), "32 bytes"),
        (vkey_of("log.example", b"\x04" + b"\x07" * 33), "32 bytes"),
        (vkey_of("log.example", b"\x06" + b"\x07" * 32), "1312 bytes"),
        (vkey_of("x" * 256, b"\x01" + b"\x07" * 32), "at most 255"),
    ],
)
def test_a_malformed_vkey_is_refused(vkey: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_vkey(vkey)


def test_names_of_255_bytes_are_signed_under() -> None:
    signer = party("é" * 127 + "x", "cosignature_mldsa44")
    assert signer.verifier.verify(TEXT, signer.sign(TEXT, at=AT)) == AT


# Key confusion


def typed_key(verifier: Verifier) -> bytes:
    """Type byte and public key, as a vkey holds them."""
    return base64.b64decode(verifier.vkey.split("+", 2)[2])


def test_the_same_key_under_another_type_is_another_key() -> None:
    plain = signer_from_bytes(ORIGIN, "ed25519", bytes(32))
    dated = signer_from_bytes(ORIGIN, "cosignature_ed25519", bytes(32))
    assert plain.verifier.public == dated.verifier.public
    assert plain.verifier.key_id != dated.verifier.key_id
    for signer, other in ((plain, dated), (dated, plain)):
        signature = signer.sign(TEXT, at=AT)
        with pytest.raises(VerificationError, match="expected its own signature"):
            other.verifier.verify(TEXT, signature)
        with pytest.raises(VerificationError, match="instead of"):
            other.verifier.verify(TEXT, replace(signature, key_id=other.verifier.key_id))
        retyped = typed_key(other.verifier)[:1] + typed_key(signer.verifier)[1:]
        with pytest.raises(InputError, match="expected ID"):
            parse_vkey(vkey_of(ORIGIN, retyped, signer.verifier.key_id.hex()))


def test_a_plain_signature_over_a_cosignatures_message_is_no_cosignature() -> None:
    plain = signer_from_bytes(ORIGIN, "ed25519", bytes(32))
    dated = signer_from_bytes(ORIGIN, "cosignature_ed25519", bytes(32)).verifier
    message = b"cosignature/v1\ntime %d\n%b" % (AT, TEXT)
    carried = Signature(name=ORIGIN, key_id=dated.key_id, blob=AT.to_bytes(8) + plain.sign(message).blob)
    # the same 64 bytes are a cosignature: that is why one key must not have two types
    assert dated.verify(TEXT, carried) == AT
    with pytest.raises(InputError, match="found one"):
        check_distinct([plain.verifier, dated])


def test_a_cosigners_name_is_in_mldsa_signatures_and_in_no_ed25519_one() -> None:
    for algorithm, carries in (("cosignature_ed25519", True), ("cosignature_mldsa44", False)):
        one = signer_from_bytes("one.example", algorithm, bytes(32))
        other = signer_from_bytes("other.example", algorithm, bytes(32)).verifier
        renamed = Signature(name=other.name, key_id=other.key_id, blob=one.sign(TEXT, at=AT).blob)
        if carries:
            assert other.verify(TEXT, renamed) == AT
        else:
            with pytest.raises(VerificationError, match="does not hold"):
                other.verify(TEXT, renamed)
        with pytest.raises(InputError, match="found one"):
            check_distinct([one.verifier, other])


def test_different_keys_of_one_name_are_distinct() -> None:
    check_distinct(signer.verifier for signer in (LOG, LOG_PQ, WITNESS_PQ, *WITNESSES))


@pytest.mark.parametrize("signer", [LOG, WITNESSES[0], LOG_PQ], ids=ALGORITHMS)
def test_every_flipped_bit_of_a_signature_is_refused(signer: Signer) -> None:
    signature = signer.sign(TEXT, at=AT)
    step = 1 if len(signature.blob) < 100 else 61
    for bit in range(0, len(signature.blob) * 8, step):
        blob = bytearray(signature.blob)
        blob[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationError):
            signer.verifier.verify(TEXT, replace(signature, blob=bytes(blob)))


@pytest.mark.parametrize("signer", [LOG, WITNESSES[0], LOG_PQ], ids=ALGORITHMS)
def test_signatures_of_another_length_or_text_are_refused(signer: Signer) -> None:
    signature = signer.sign(TEXT, at=AT)
    for blob in (signature.blob[:-1], signature.blob + b"\0", signature.blob[8:] + bytes(8), b"\0"):
        with pytest.raises(VerificationError):
            signer.verifier.verify(TEXT, replace(signature, blob=blob))
    for text in (
        head_of(4).to_text().encode(),
        TEXT.replace(b"\n5\n", b"\n6\n"),
        TEXT.replace(b"northwind", b"meridian"),
    ):
        with pytest.raises(VerificationError, match="does not hold"):
            signer.verifier.verify(text, signature)


def test_an_ed25519_signature_has_one_form_only() -> None:
    signature = LOG.sign(TEXT)
    scalar = int.from_bytes(signature.blob[32:], "little") + ORDER
    with pytest.raises(VerificationError):
        LOG.verifier.verify(TEXT, replace(signature, blob=signature.blob[:32] + scalar.to_bytes(32, "little")))


# Times


@pytest.mark.parametrize("signer", [WITNESSES[0], LOG_PQ], ids=ALGORITHMS[1:])
@pytest.mark.parametrize("at", [None, 0, -1, 2**63])
def test_a_cosignature_needs_a_time(signer: Signer, at: int | None) -> None:
    with pytest.raises(ValueError, match="POSIX seconds"):
        signer.sign(TEXT, at=at)


def test_a_time_of_zero_is_no_time_and_one_beyond_the_limit_is_refused() -> None:
    private = Ed25519PrivateKey.from_private_bytes(WITNESSES[0].seed)
    key = WITNESSES[0].verifier

    def at(time: int) -> Signature:
        message = b"cosignature/v1\ntime %d\n%b" % (time, TEXT)
        return Signature(name=key.name, key_id=key.key_id, blob=time.to_bytes(8) + private.sign(message))

    assert key.verify(TEXT, at(0)) is None
    assert key.verify(TEXT, at(2**63 - 1)) == 2**63 - 1
    with pytest.raises(VerificationError, match="beyond"):
        key.verify(TEXT, at(2**63))


@pytest.mark.parametrize("signer", [WITNESSES[0], LOG_PQ], ids=ALGORITHMS[1:])
@pytest.mark.parametrize(
    "text",
    [b"This is no tree head.\n", b"log.example\n05\n", b"\xff\n", b"x" * 256 + TEXT[TEXT.index(b"\n") :]],
    ids=["lines", "size", "utf-8", "long origin"],
)
def test_only_tree_heads_are_cosigned(signer: Signer, text: bytes) -> None:
    with pytest.raises(InputError, match="tree head"):
        signer.sign(text, at=AT)
    with pytest.raises(VerificationError, match="tree head"):
        signer.verifier.verify(text, signer.sign(TEXT, at=AT))


# Keys that are none


def small_order_points() -> Iterator[bytes]:
    """All encodings of the points whose order divides 8, found by multiplying points by the group's order."""
    d = -121665 * pow(121666, -1, FIELD) % FIELD

    def add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = one, other
        product = d * x1 * x2 * y1 * y2
        return (
            (x1 * y2 + x2 * y1) * pow(1 + product, -1, FIELD) % FIELD,
            (y1 * y2 + x1 * x2) * pow(1 - product, -1, FIELD) % FIELD,
        )

    def times(scalar: int, point: tuple[int, int]) -> tuple[int, int]:
        result = (0, 1)
        while scalar:
            if scalar & 1:
                result = add(result, point)
            point = add(point, point)
            scalar >>= 1
        return result

    found: set[tuple[int, int]] = set()
    y = 2
    while len(found) < 8:
        square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
        x = pow(square, (FIELD + 3) // 8, FIELD)
        if x * x % FIELD != square:
            x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
        if x * x % FIELD == square:
            torsion = times(ORDER, (x, y))
            for count in range(8):
                found.add(times(count, torsion))
        y += 1
    for x, y in found:
        yield (y | (x & 1) << 255).to_bytes(32, "little")


def test_points_of_small_order_are_no_keys() -> None:
    points = set(small_order_points())
    assert len(points) == 8
    identity = (1).to_bytes(32, "little")
    # anybody can sign for the identity: R the identity, S zero
    Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"any text")
    for point in points:
        sign_flipped = point[:31] + bytes([point[31] ^ 0x80])
        for public in (point, sign_flipped):
            for algorithm in ALGORITHMS[:2]:
                with pytest.raises(InputError, match="small order"):
                    Verifier(name="log.example", algorithm=algorithm, public=public)


@pytest.mark.parametrize("y", [FIELD, FIELD + 1, FIELD + 18])
def test_keys_with_a_second_spelling_are_refused(y: int) -> None:
    with pytest.raises(InputError, match="non-canonical"):
        parse_vkey(vkey_of("log.example", b"\x01" + y.to_bytes(32, "little")))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_secrets_of_another_length_are_refused(algorithm: Algorithm) -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(InputError, match="32 bytes"):
            signer_from_bytes("log.example", algorithm, bytes(length))


def test_a_private_key_signs_in_its_own_algorithm_only() -> None:
    for algorithm, private in (("ed25519", LOG_PQ.private), ("cosignature_mldsa44", LOG.private)):
        with pytest.raises(ValueError, match="cannot make"):
            Signer(name="log.example", algorithm=algorithm, private=private)
    with pytest.raises(InputError, match="without spaces"):
        Signer.generate("log example", "ed25519")


@pytest.mark.parametrize(("key_id", "blob"), [(b"abc", b"x"), (b"abcde", b"x"), (b"abcd", b"")])
def test_a_signature_has_an_id_of_four_bytes_and_something_signed(key_id: bytes, blob: bytes) -> None:
    with pytest.raises(InputError, match="key ID of 4 bytes"):
        Signature(name="log.example", key_id=key_id, blob=blob)
