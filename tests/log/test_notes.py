"""Signed notes: what is rendered is read again, what is not exactly a note is refused, and only known keys count."""

import hashlib
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, WITNESSES, head_of, party, signed_head

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.keys import Signature, Verifier, parse_vkey
from whorl.log.notes import (
    MAX_SIGNATURES,
    Note,
    open_note,
    parse_note,
    parse_signature_lines,
    signature_lines,
)

# C2SP signed-note, "Verifier keys", "Example": a key and a note that it signed
C2SP_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# C2SP signed-note, first example: its text holds an empty line
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihA"
    "QwaqP3ZekRwNtIc=\n"
).encode()

LINE = signature_lines([Signature(name="w", key_id=b"abcd", blob=b"x")]).decode()

characters = st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in range(32)])
texts = st.lists(st.text(characters), min_size=1, max_size=5).map(lambda lines: "".join(f"{line}\n" for line in lines))
names = st.text(characters, min_size=1).filter(lambda name: "+" not in name and not any(map(str.isspace, name)))
signatures = st.builds(
    Signature, name=names, key_id=st.binary(min_size=4, max_size=4), blob=st.binary(min_size=1, max_size=80)
)
notes = st.builds(Note, text=texts, signatures=st.lists(signatures, min_size=1, max_size=5).map(tuple))


def test_the_example_of_the_specification_is_verified() -> None:
    key = parse_vkey(C2SP_VKEY)
    opened = open_note(parse_note(C2SP_NOTE), [key])
    assert opened.text == "This is an example message.\n"
    assert [(one.verifier, one.at) for one in opened.signed] == [(key, None)]


def test_every_flipped_bit_of_the_example_is_refused() -> None:
    key = parse_vkey(C2SP_VKEY)
    for bit in range(len(C2SP_NOTE) * 8):
        data = bytearray(C2SP_NOTE)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises((InputError, VerificationError)):
            open_note(parse_note(bytes(data)), [key])


def test_a_text_may_hold_empty_lines() -> None:
    note = parse_note(POEM)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert [(one.name, one.key_id.hex()) for one in note.signatures] == [("quasimodo.example/salvatore", "367ba04b")]
    assert note.to_bytes() == POEM


@given(notes)
def test_what_is_rendered_is_read_again(note: Note) -> None:
    assert parse_note(note.to_bytes()) == note
    assert parse_signature_lines(signature_lines(note.signatures)) == note.signatures


@given(st.lists(st.sampled_from(["\n", "\n\n", LINE, "— ", "w", " ", "YWJjZHg=", "text", "=", "\u2028", "\x00"])))
def test_what_is_read_is_rendered_again_or_refused(parts: list[str]) -> None:
    data = "".join(parts).encode()
    try:
        note = parse_note(data)
    except InputError:
        return
    assert note.to_bytes() == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no signature lines"),
        (b"text\n", "no signature lines"),
        (b"text\n\n", "no signature lines"),
        (f"text\n{LINE}".encode(), "no signature lines"),
        (f"\n{LINE}".encode(), "no signature lines"),
        (f"text\n\n{LINE}\n".encode(), "no signature lines"),
        (f"text\n\n{LINE}".encode()[:-1], "end with a newline"),
        (f"text\n\n{LINE}more".encode(), "end with a newline"),
        (f"text\r\n\r\n{LINE}".encode(), "control characters"),
        (f"te\txt\n\n{LINE}".encode(), "control characters"),
        (f"te\x00xt\n\n{LINE}".encode(), "control characters"),
        (f"te\x1fxt\n\n{LINE}".encode(), "control characters"),
        (b"te\xffxt\n\n" + LINE.encode(), "UTF-8, found byte 0xff at 2"),
        (b"te\xc0\x8axt\n\n" + LINE.encode(), "UTF-8"),  # a newline in two bytes
        (b"te\xed\xa0\x80xt\n\n" + LINE.encode(), "UTF-8"),  # half of a surrogate pair
        (b"text\n\n- w YWJjZHg=\n", "a signature line"),
        ("text\n\n—w YWJjZHg=\n".encode(), "a signature line"),
        ("text\n\n—  YWJjZHg=\n".encode(), "not empty"),
        ("text\n\n— w\n".encode(), "a signature line"),
        ("text\n\n— w \n".encode(), "key ID of 4 bytes"),
        ("text\n\n— w YWJjZHg= \n".encode(), "base64"),
        ("text\n\n— w x YWJjZHg=\n".encode(), "base64"),
        ("text\n\n— w+x YWJjZHg=\n".encode(), "plus signs"),
        ("text\n\n— w\u00a0x YWJjZHg=\n".encode(), "without spaces"),
        ("text\n\n— w\u2028x YWJjZHg=\n".encode(), "without spaces"),
        ("text\n\n— w YWJjZHg\n".encode(), "base64"),
        ("text\n\n— w YWJjZHh=\n".encode(), "base64"),  # the same bytes, unused bits not zero
        ("text\n\n— w YWJjZHg==\n".encode(), "base64"),
        ("text\n\n— w YWJj=ZHg\n".encode(), "base64"),
        ("text\n\n— w YWJj_Hg=\n".encode(), "base64"),
        ("text\n\n— w YWJjé\n".encode(), "base64"),
        ("text\n\n— w YWJjZA==\n".encode(), "key ID of 4 bytes"),
        ("text\n\n— w YWJj\n".encode(), "key ID of 4 bytes"),
    ],
)
def test_a_malformed_note_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_note(data)


def test_signature_lines_alone_are_read_as_strictly() -> None:
    for data in (b"", LINE.encode()[:-1], b"\n", f"text\n\n{LINE}".encode(), f"{LINE}\n{LINE}".encode(), b"\xff\n"):
        with pytest.raises(InputError):
            parse_signature_lines(data)


# Injection


@given(st.text(), st.text())
def test_whatever_can_be_built_is_read_back_as_it_was(text: str, name: str) -> None:
    try:
        note = Note(text=text, signatures=(Signature(name=name, key_id=b"abcd", blob=b"x"),))
    except InputError:
        return
    assert parse_note(note.to_bytes()) == note


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\n\n— b", "a\tb", "a\x00", "a\u3000b", "\ud800"])
def test_a_name_that_would_break_the_line_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        Signature(name=name, key_id=b"abcd", blob=b"x")


@pytest.mark.parametrize("text", ["", "no newline", "a\rb\n", "a\x00\n", "\udfff\n"])
def test_a_text_that_would_break_the_note_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Note(text=text, signatures=(Signature(name="w", key_id=b"abcd", blob=b"x"),))


def test_signature_lines_in_a_text_sign_nothing() -> None:
    signed = signed_head(5)
    # everything that was a signed note becomes the text of another
    wrapped = Note(
        text=signed.to_bytes().decode(), signatures=(Signature(name="w.example", key_id=b"abcd", blob=b"x"),)
    )
    with pytest.raises(VerificationError, match=r"'w\.example'"):
        open_note(parse_note(wrapped.to_bytes()), [LOG.verifier])


# Limits


def many(count: int) -> bytes:
    """A note with so many signatures, by as many keys, the last of them the log's."""
    note = signed_head(5)
    others = (Signature(name=f"w{number}.example", key_id=b"abcd", blob=bytes(72)) for number in range(count - 1))
    return note.text.encode() + b"\n" + signature_lines((*others, *note.signatures))


@pytest.mark.parametrize("count", [16, MAX_SIGNATURES])
def test_as_many_signatures_as_promised_are_read(count: int) -> None:
    note = parse_note(many(count))
    assert len(note.signatures) == count
    assert [one.verifier for one in open_note(note, [LOG.verifier]).signed] == [LOG.verifier]


def test_more_signatures_are_refused_before_they_are_read() -> None:
    with pytest.raises(InputError, match="at most 64 signatures, found 65"):
        parse_note(many(MAX_SIGNATURES + 1))
    flood = b"text\n\n" + LINE.encode() * 60_000
    started = time.process_time()
    with pytest.raises(InputError, match="at most 64 signatures, found 60000"):
        parse_note(flood)
    assert time.process_time() - started < 0.5
    with pytest.raises(InputError, match="1 to 64 signatures, found 0"):
        Note(text="text\n", signatures=())
    with pytest.raises(InputError, match="1 to 64 signatures, found 65"):
        Note(text="text\n", signatures=parse_note(many(1)).signatures * 65)


def test_a_note_has_a_size_at_most() -> None:
    tail = b"\n\n" + LINE.encode()
    text = b"x" * (MAX_NOTE_BYTES - len(tail))
    assert len(parse_note(text + tail).to_bytes()) == MAX_NOTE_BYTES
    with pytest.raises(InputError, match=f"at most {MAX_NOTE_BYTES} bytes"):
        parse_note(b"x" + text + tail)
    with pytest.raises(InputError, match=f"at most {MAX_NOTE_BYTES} bytes"):
        Note(text=f"x{text.decode()}\n", signatures=(Signature(name="w", key_id=b"abcd", blob=b"x"),))


# Whose signatures count


def altered(signature: Signature) -> Signature:
    """The same signature with its last bit flipped."""
    return replace(signature, blob=signature.blob[:-1] + bytes([signature.blob[-1] ^ 1]))


def test_unknown_keys_are_ignored_also_with_a_known_name_or_id() -> None:
    note = signed_head(5)
    key = LOG.verifier
    strangers = (
        Signature(name="stranger.example", key_id=b"abcd", blob=b"x"),
        Signature(name=key.name, key_id=b"abcd", blob=b"x"),
        Signature(name="stranger.example", key_id=key.key_id, blob=b"x"),
        party(ORIGIN, "ed25519", 2).sign(note.text.encode()),
    )
    mixed = replace(note, signatures=(*strangers, *note.signatures, *strangers))
    assert [one.verifier for one in open_note(mixed, [key]).signed] == [key]


def test_a_note_by_unknown_keys_only_is_refused() -> None:
    with pytest.raises(VerificationError, match=r"one of 1 known keys, found signatures of 'log\.ex"):
        open_note(signed_head(5), [party(ORIGIN, "ed25519", 2).verifier])
    with pytest.raises(VerificationError, match="one of 0 known keys"):
        open_note(signed_head(5), [])


@pytest.mark.parametrize("place", range(3))
def test_one_bad_signature_by_a_known_key_rejects_the_note(place: int) -> None:
    note = signed_head(5, WITNESSES[0], log=[LOG, LOG_PQ])
    keys = [LOG.verifier, LOG_PQ.verifier, WITNESSES[0].verifier]
    assert [one.verifier for one in open_note(note, keys).signed] == keys
    bad = list(note.signatures)
    bad[place] = altered(bad[place])
    with pytest.raises(VerificationError, match="does not hold"):
        open_note(replace(note, signatures=tuple(bad)), keys)
    # beside the good one by the same key too, before and after it
    for both in ((bad[place], *note.signatures), (*note.signatures, bad[place])):
        with pytest.raises(VerificationError, match="does not hold"):
            open_note(replace(note, signatures=both), keys)
    # and not if the key is unknown
    others = [key for number, key in enumerate(keys) if number != place]
    assert len(open_note(replace(note, signatures=tuple(bad)), others).signed) == 2


def test_a_key_that_signed_twice_counts_once_with_its_earliest_time() -> None:
    witness = WITNESSES[0]
    text = head_of(5).to_text()
    times = (AT + 5, AT, AT + 9)
    for order in (times, times[::-1]):
        note = Note(text=text, signatures=tuple(witness.sign(text.encode(), at=at) for at in order))
        assert [(one.verifier, one.at) for one in open_note(note, [witness.verifier]).signed] == [
            (witness.verifier, AT)
        ]
    plain = Note(text=text, signatures=(LOG.sign(text.encode()),) * 2)
    assert [one.at for one in open_note(plain, [LOG.verifier, LOG.verifier]).signed] == [None]


def test_two_keys_that_no_signature_could_tell_apart_are_refused() -> None:
    # SHA-256 of these two "public keys" under this name agrees in its first 4 bytes; found by trying 95,932 of them
    keys = [
        Verifier(name="log.example", algorithm="ed25519", public=hashlib.sha256(b"collision %d" % number).digest())
        for number in (60102, 95931)
    ]
    assert keys[0].key_id == keys[1].key_id == bytes.fromhex("e948303f")
    with pytest.raises(InputError, match="ID e948303f, found two"):
        open_note(signed_head(5), keys)
