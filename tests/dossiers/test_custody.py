"""The chain of a case: what it accepts, and that any change to it is found and said where."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import played_case as played
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.custody import Kept, Record, open_chain, parse_chain, sign_event, write_chain
from whorl.dossiers.events import Body, Joined, Opened, Party, Role, keys_named, parse_body
from whorl.entries.envelope import sign_envelope
from whorl.entries.keys import IssuerKey, PrivateKey, encode_public

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def key_of(role: str, *, post_quantum: bool = True) -> IssuerKey:
    ed25519, mldsa44 = (hashlib.sha256(f"{part} {role}".encode()).digest() for part in ("ed25519", "mldsa44"))
    return IssuerKey(
        ed25519=PrivateKey(algorithm="ed25519", seed=ed25519),
        mldsa44=PrivateKey(algorithm="mldsa44", seed=mldsa44) if post_quantum else None,
    )


def party(role: Role, *, post_quantum: bool = True) -> Party:
    keys = tuple(map(encode_public, key_of(role, post_quantum=post_quantum).public_keys))
    return Party(name=f"The {role}", role=role, keys=keys)


def opening() -> Opened:
    return played.opened([party(role, post_quantum=role != "reviewer") for role in played.ROLES[:6]])


def chain(*more: tuple[str, Body]) -> list[Kept]:
    kept: list[Kept] = []
    for role, body in (("manager", opening()), *more):
        number = len(kept)
        kept.append(
            sign_event(
                body,
                case=kept[0].record.hash if kept else None,
                sequence=number,
                previous=kept[-1].record.hash if kept else None,
                key=key_of(role, post_quantum=role != "reviewer"),
                at=AT + timedelta(minutes=number),
                salt=bytes([number]) * 32,
            )
        )
    return kept


@pytest.fixture
def four() -> list[Kept]:
    return chain(
        ("complainant", played.proposed(played.proposition(1))),
        ("respondent", played.proposed(played.theirs(2))),
        ("reviewer", played.reviewed()),
    )


def test_a_chain_opens(four: list[Kept]) -> None:
    events = open_chain(four)
    assert [event.body.kind for event in events if event.body] == ["opened", "proposed", "proposed", "reviewed"]
    assert events[0].body == opening()
    assert open_chain(four, keys_named(opening())) == events


def test_known_answers() -> None:
    """Computed by hand from the format's text: record hash and commitment."""
    (first,) = chain()
    assert first.envelope is not None
    assert first.salt is not None
    envelope = hashlib.sha256(first.envelope).digest()
    assert first.record.commitment == hashlib.sha256(b"whorl/custody/v1\0" + first.salt + envelope).hexdigest()
    record = (
        f'{{"actor":"{first.record.actor}","at":"2026-11-02T09:00:00Z","commitment":"{first.record.commitment}",'
        '"kind":"opened","previous":null,"sequence":0}'
    )
    assert first.record.hash == hashlib.sha256(b"whorl/record/v1\0" + record.encode()).digest()
    statement = json.loads(base64.b64decode(json.loads(first.envelope)["payload"]))
    assert statement["predicateType"] == "urn:whorl:case-event:1"
    assert statement["predicate"]["case"] is None


def test_a_chain_in_a_file(four: list[Kept]) -> None:
    erased = [four[0], replace(four[1], envelope=None, salt=None), *four[2:]]
    assert parse_chain(write_chain(erased)) == tuple(erased)
    assert open_chain(erased)[1].body is None


CHANGES = {
    "an event left out": lambda kept: [kept[0], *kept[2:]],
    "the first left out": lambda kept: kept[1:],
    "two exchanged": lambda kept: [kept[0], kept[2], kept[1], kept[3]],
    "one twice": lambda kept: [*kept, kept[-1]],
    "another time": lambda kept: changed(kept, at="2026-11-02T09:30:00Z"),
    "another actor": lambda kept: changed(kept, actor=key_of("respondent").id.hex()),
    "another kind": lambda kept: changed(kept, kind="joined"),
    "another predecessor": lambda kept: changed(kept, previous="00" * 32),
    "another salt": lambda kept: [kept[0], replace(kept[1], salt=bytes(32)), *kept[2:]],
    "another envelope": lambda kept: [kept[0], replace(kept[1], envelope=kept[2].envelope), *kept[2:]],
    "the envelope alone erased": lambda kept: [kept[0], replace(kept[1], envelope=None), *kept[2:]],
    "nothing": lambda _: [],
}


def changed(kept: list[Kept], **changes: object) -> list[Kept]:
    record = Record.model_validate(kept[1].record.model_dump() | changes)
    return [kept[0], replace(kept[1], record=record), *kept[2:]]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_chain(four: list[Kept], change: str) -> None:
    with pytest.raises(VerificationError, match=r"event|expected a case with"):
        open_chain(CHANGES[change](four))


@pytest.mark.parametrize("field", ["at", "actor", "kind", "commitment"])
def test_a_changed_last_record_and_its_commitment(four: list[Kept], field: str) -> None:
    """The last record has no successor that holds its hash: its statement holds it."""
    values = {
        "at": "2027-01-01T00:00:00Z",
        "actor": key_of("analyst").id.hex(),
        "kind": "closed",
        "commitment": "0" * 64,
    }
    record = four[-1].record.model_copy(update={field: values[field]})
    with pytest.raises(VerificationError, match=r"event 3"):
        open_chain([*four[:-1], replace(four[-1], record=record)])


def signed_anew(kept: Kept, keys: list[PrivateKey], **predicate: object) -> Kept:
    """The same event with another statement or other signatures, and a record that commits to it."""
    assert kept.envelope is not None
    assert kept.salt is not None
    statement = json.loads(base64.b64decode(json.loads(kept.envelope)["payload"]))
    statement["predicate"] |= predicate
    envelope = sign_envelope(json.dumps(statement).encode(), keys)
    commitment = hashlib.sha256(b"whorl/custody/v1\0" + kept.salt + hashlib.sha256(envelope).digest()).hexdigest()
    return replace(kept, envelope=envelope, record=kept.record.model_copy(update={"commitment": commitment}))


FORGED = {
    "nobody's key": (["stranger"], {}, "expected a signature of ed25519 key"),
    "one key of two": (["complainant ed25519"], {}, "expected a signature of mldsa44 key"),
    "of another case": (["complainant"], {"case": "11" * 32}, "found one of another case"),
    "of no case": (["complainant"], {"case": None}, "found one of another case"),
    "another body": (["complainant"], {"body": {"kind": "closed"}}, "found fault with"),
    "a body beside its subject": (
        ["complainant"],
        {"body": played.proposed(played.proposition(7)).model_dump(mode="json")},
        "expected the subject that follows",
    ),
    "an unknown member": (["complainant"], {"note": "hello"}, "found fault with predicate.note"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_forged_events(four: list[Kept], forged: str) -> None:
    (who,), predicate, message = FORGED[forged]
    name, _, algorithm = who.partition(" ")
    keys = [key for key in key_of(name).private_keys if algorithm in ("", key.algorithm)]
    with pytest.raises(VerificationError, match=f"event 1 .*{message}"):
        open_chain([four[0], signed_anew(four[1], keys, **predicate)])


def test_an_event_of_somebody_unknown() -> None:
    kept = chain(("stranger", played.proposed()))
    with pytest.raises(VerificationError, match=r"event 1 .* found the unknown key"):
        open_chain(kept)


def test_an_opening_that_does_not_name_who_signed_it() -> None:
    (first,) = chain()
    other = sign_event(opening(), case=None, sequence=0, previous=None, key=key_of("stranger"), at=AT, salt=bytes(32))
    assert open_chain([first])
    with pytest.raises(VerificationError, match="unknown key"):
        open_chain([other])


def test_keys_that_are_known_already() -> None:
    kept = chain(("manager", Joined(party=party("appeal_reviewer", post_quantum=False))))
    with pytest.raises(VerificationError, match="expected the keys already known"):
        open_chain(kept, {key_of("appeal_reviewer").id: key_of("appeal_reviewer").public_keys})
    with pytest.raises(VerificationError, match="event 0"):
        open_chain(kept, {key_of("manager").id: key_of("manager", post_quantum=False).public_keys})


def test_a_tombstone_is_signed_by_the_keys_that_it_names() -> None:
    keys = tuple(map(encode_public, key_of("manager").public_keys))
    kept = chain(("manager", played.expunged([0], keys=keys)))
    gone = [replace(kept[0], envelope=None, salt=None), kept[1]]
    assert [event.body is None for event in open_chain(gone)] == [True, False]
    others = tuple(map(encode_public, key_of("analyst").public_keys))
    forged = chain(("manager", played.expunged([0], keys=others)))
    with pytest.raises(VerificationError, match="unknown key"):
        open_chain([replace(forged[0], envelope=None, salt=None), forged[1]])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_changed_byte_anywhere_is_found(data: st.DataObject) -> None:
    text = bytearray(write_chain(chain(("complainant", played.proposed(played.proposition(1))))))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((InputError, VerificationError)):
        open_chain(parse_chain(bytes(text)))


BROKEN = [
    b"",
    b"\n",
    b"{}\n",
    b"[]\n",
    b'{"envelope":null,"record":{},"salt":null}\n',
    b"x" * 20 + b"\n",
    b"\xff\n",
    b"\n" * 20_000,
]


@pytest.mark.parametrize("data", BROKEN)
def test_broken_files(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_chain(data)


def test_a_file_in_another_spelling(four: list[Kept]) -> None:
    data = write_chain(four)
    for other in (data[:-1], data + b"\n", data.replace(b'{"envelope"', b'{ "envelope"', 1), b"\n" + data):
        with pytest.raises(InputError):
            parse_chain(other)


def test_an_event_that_is_too_long() -> None:
    long = [played.proposition(number, statement="a " * 1999) for number in range(40)]
    with pytest.raises(InputError, match="expected an event of at most"):
        chain(("complainant", played.proposed(*long)), ("complainant", many()))


def many() -> Body:
    difference = "b" * 4000
    return parse_body(
        json.dumps(
            {
                "kind": "replicated",
                "tool": "whorl",
                "tolerance": 0,
                "findings": [
                    {
                        "document": played.digest(str(number)),
                        "recomputed": played.digest(str(number)),
                        "largest_difference": 0,
                        "differences": [difference] * 50,
                    }
                    for number in range(2)
                ],
            }
        ).encode()
    )


@pytest.mark.parametrize(
    "text", [b"{}", b'{"kind":"theft"}', b'{"kind":"closed","outcome":"won","reasons":""}', b"[]", b'{"kind":"closed"']
)
def test_bodies_that_are_none(text: bytes) -> None:
    with pytest.raises(InputError, match="expected the body of an event"):
        parse_body(text)


@pytest.mark.parametrize("level", ["activity", "offence"])
def test_a_proposition_is_about_the_source(level: str) -> None:
    body = played.proposed().model_dump(mode="json")
    body["propositions"][0]["level"] = level
    with pytest.raises(InputError, match="level"):
        parse_body(json.dumps(body).encode())


def test_a_protocol_has_decoys_and_controls() -> None:
    body = played.frozen().model_dump(mode="json")
    for kind, least in (("decoys", 2), ("positive_controls", 1), ("negative_controls", 1)):
        fewer = json.loads(json.dumps(body))
        fewer["protocol"]["line_up"][kind] = least - 1
        with pytest.raises(InputError, match=kind):
            parse_body(json.dumps(fewer).encode())
