"""Statements: what was signed is what is read, and one payload has one reading."""

import hashlib
import json
import unicodedata

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from small_log import DIGEST, MODEL, Issuer, counting_bytes, issuer_public, organisation

from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.entries.envelope import sign_envelope
from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import KIND_NUMBERS, KINDS, Body, FindingEntry, Key, Notice, Status
from whorl.entries.leaf import NO_HASH
from whorl.entries.names import Name, lookalike, mixed_scripts
from whorl.entries.statement import open_entry, parse_statement
from whorl.entries.subject import KIND_OF

KEY = new_issuer_key(counting_bytes())
MODEL_STATEMENT = Issuer(KEY).statement("model", MODEL)
STATUS = Status(state="withdrawn", reason="Entered by mistake.")
FINDING = FindingEntry(
    questioned=f"sha256:{DIGEST}",
    reference=f"sha256:{'cd' * 32}",
    relation="derived",
    log10_lr=12.0,
    blob=f"sha256:{'ef' * 32}",
    tool="whorl 0.1.0",
)
PAYLOAD = json.loads(MODEL_STATEMENT.to_payload())


def _payload(**changes: object) -> bytes:
    return json.dumps(PAYLOAD | changes).encode()


def _predicate(**changes: object) -> bytes:
    return _payload(predicate=PAYLOAD["predicate"] | changes)


def _body(**changes: object) -> bytes:
    return _predicate(body=PAYLOAD["predicate"]["body"] | changes)


def test_a_statement_is_read_back_as_it_was() -> None:
    assert parse_statement(MODEL_STATEMENT.to_payload()) == MODEL_STATEMENT
    entry = open_entry(MODEL_STATEMENT.sign(KEY))
    assert entry.require_signed(KEY.public_keys) == {public.id for public in KEY.public_keys}


@pytest.mark.parametrize("body", [organisation(KEY), MODEL.model_copy(update={"content": None}), STATUS, FINDING])
def test_the_subject_follows_from_every_body(body: Body) -> None:
    kind = KIND_OF[type(body)]
    target = b"\x08" * 32 if kind in ("status", "finding") else NO_HASH
    payload = json.loads(Issuer(KEY).statement(kind, body, target=target).to_payload())
    said = parse_statement(json.dumps(payload).encode())
    canonical = rfc8785.dumps(payload["predicate"]["body"])
    assert said.digest == hashlib.sha256(canonical).hexdigest()
    for change in ({"name": "Northwind Labs stole this"}, {"digest": {"sha256": "00" * 32}}):
        altered = payload | {"subject": [payload["subject"][0] | change]}
        with pytest.raises(InputError, match="subject that follows from the body"):
            parse_statement(json.dumps(altered).encode())


def test_a_body_without_canonical_form_is_refused() -> None:
    payload = json.loads(Issuer(KEY).statement("status", STATUS, target=b"\x08" * 32).to_payload())
    payload["predicateType"] = "urn:whorl:key:1"
    payload["predicate"]["body"] = {
        "action": "revoke",
        "public": issuer_public(KEY).model_dump(),
        "compromised_since": 2**53,
    }
    with pytest.raises(InputError, match="canonical"):
        parse_statement(json.dumps(payload).encode())


def test_the_leaf_says_what_the_statement_says() -> None:
    issuer = Issuer(KEY, sequence=4, previous=b"\x09" * 32)
    notice = Notice(colour="blue", title="Which weights are these?", text="Asked.")
    leaf = open_entry(issuer.statement("notice", notice, target=b"\x08" * 32).sign(KEY)).leaf(bytes(32))
    assert (leaf.kind, leaf.issuer, leaf.sequence) == (KIND_NUMBERS["notice"], KEY.id, 4)
    assert (leaf.previous, leaf.target, leaf.leaf_class) == (b"\x09" * 32, b"\x08" * 32, "public")


def test_kinds_keep_their_numbers() -> None:
    # Numbers are in the log for ever: new kinds are added at the end.
    names = [KINDS[number] for number in range(1, 15)]
    assert names[:7] == ["organisation", "key", "policy", "model", "dataset", "fingerprint", "finding"]
    assert names[7:] == ["commitment", "opening", "notice", "response", "dispute", "status", "statusmap"]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"null", "object"),
        (_payload(_type="https://in-toto.io/Statement/v0.1"), "_type"),
        (_payload(predicateType="urn:whorl:model:2"), "urn:whorl:model:1"),
        (_payload(predicateType=7), "urn:whorl:model:1"),
        (_payload(subject=[]), "subject"),
        (_payload(subject=PAYLOAD["subject"] * 2), "subject"),
        (_payload(subject=[{"name": "x", "digest": {}}]), "digest"),
        (_payload(subject=[{"name": "x", "digest": {"sha256": DIGEST, "md5": "0"}}]), "digest"),
        (_payload(subject=[{"name": "Northwind Labs stole this", "digest": {"sha256": DIGEST}}]), "subject"),
        (_payload(subject=[{"name": "lumen-1", "digest": {"sha256": "ab" * 31 + "ac"}}]), "subject"),
        (_body(name="lumen-2"), "subject"),
        (_body(content=f"sha256:{'ac' * 32}"), "subject"),
        (_payload(more=1), "more"),
        (_predicate(log="two words"), "log"),
        (_predicate(log=None), "log"),
        (_predicate(issuer="00"), "issuer"),
        (_predicate(sequence=-1), "sequence"),
        (_predicate(sequence=1.0), "sequence"),
        (_predicate(sequence=1), "previous"),
        (_predicate(previous="00" * 32), "previous"),
        (_predicate(target="11" * 32), "no target"),
        (_predicate(issued_at="2026-02-30T00:00:00Z"), "time"),
        (_predicate(issued_at="yesterday"), "issued_at"),
        (_predicate(handling={"label": "everybody"}), "handling"),
        (_predicate(after={"note": "x" * 40_001}), "after"),
        (_body(name=""), "name"),
        (_body(name="lumen\u202e1"), "name"),
        (_body(name="lumen\u00001"), "name"),
        (_body(name="e\u0301"), "NFC"),
        (_body(name="x" * 201), "name"),
        (_body(content="sha256:0"), "content"),
        (_body(owner="Northwind Labs"), "owner"),
        (_body(publisher=["Northwind Labs"]), "publisher"),
        (json.dumps(PAYLOAD).replace('"sequence": 0', '"sequence": 0, "sequence": 1').encode(), "more than once"),
        (json.dumps(PAYLOAD).replace('"sequence": 0', '"sequence": NaN').encode(), "NaN"),
        (json.dumps(PAYLOAD).replace('"sequence": 0', f'"sequence": {"9" * 5000}').encode(), "2\\*\\*53"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "levels"),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "levels"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\\ud800"}', "UTF-8"),
    ],
)
def test_what_is_no_statement_is_refused(payload: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_statement(payload)


@pytest.mark.parametrize("kind", ["key", "notice", "status", "finding"])
def test_an_entry_that_speaks_of_another_names_it(kind: str) -> None:
    with pytest.raises(InputError):
        parse_statement(_payload(predicateType=f"urn:whorl:{kind}:1"))


@given(st.integers(0, 8 * len(MODEL_STATEMENT.sign(KEY)) - 1))
def test_no_flipped_bit_passes_for_the_signed_entry(bit: int) -> None:
    data = bytearray(MODEL_STATEMENT.sign(KEY))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WhorlError):
        open_entry(bytes(data)).require_signed(KEY.public_keys)


def test_leaving_out_the_second_signature_is_a_downgrade() -> None:
    data = sign_envelope(MODEL_STATEMENT.to_payload(), [KEY.ed25519])
    with pytest.raises(VerificationError, match="mldsa44"):
        open_entry(data).require_signed(KEY.public_keys)


def test_somebody_else_cannot_sign_in_the_issuers_name() -> None:
    other = new_issuer_key(counting_bytes(70))
    data = sign_envelope(MODEL_STATEMENT.to_payload(), other.private_keys)
    with pytest.raises(VerificationError, match="issuer's own"):
        open_entry(data).require_signed(other.public_keys)
    with pytest.raises(ValueError, match="another issuer"):
        MODEL_STATEMENT.sign(other)


def test_a_threshold_that_cannot_be_met_is_refused() -> None:
    for bad in ({"threshold": 2}, {"roots": (issuer_public(KEY), issuer_public(KEY))}):
        with pytest.raises(ValueError, match="threshold"):
            organisation(KEY).model_validate(dict(organisation(KEY)) | bad)


@pytest.mark.parametrize(
    "key",
    [
        {"action": "add", "roles": ()},
        {"action": "revoke", "roles": ("submitter",)},
        {"action": "add", "roles": ("submitter",), "compromised_since": 3},
        {"action": "add", "roles": ("submitter",), "reason": "Said in somebody else's name."},
    ],
)
def test_keys_are_added_with_roles_and_revoked_without(key: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="key"):
        Key(public=issuer_public(KEY), **key)


def test_a_red_notice_states_all_of_its_evidence() -> None:
    whole = {
        "colour": "red",
        "title": "Derived from Lumen",
        "text": "See the findings.",
        "relation": "derived",
        "reference": "a" * 52,
        "findings": ("b" * 51 + "a", "c" * 51 + "a"),
        "log10_lr": 3.0,
        "log10_lr_least_favourable": 1.2,
        "false_positive_bound": 0.01,
        "tests_run": 4,
    }
    Notice(**whole)
    for missing in set(whole) - {"colour", "title", "text"}:
        with pytest.raises(ValueError, match="red notice"):
            Notice(**{name: value for name, value in whole.items() if name != missing})
    with pytest.raises(ValueError, match="two examiners"):
        Notice(**whole | {"findings": ("b" * 51 + "a", "b" * 51 + "a")})


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("Northwind Labs", ()),
        ("Nоrthwind Labs", ("Cyrillic", "Latin")),
        ("Нева", ()),
        ("Meridian-Нева", ()),
        ("北风 lumen-1", ()),
        ("Ηarbour", ("Greek", "Latin")),
    ],
)
def test_names_that_mix_lookalike_scripts_are_pointed_out(name: str, scripts: tuple[str, ...]) -> None:
    assert mixed_scripts(name) == scripts


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("Northwind Labs", None),
        ("N\u043erthwind", "mixes Cyrillic and Latin letters that look alike"),
        ("\u0421\u043e\u0441\u043e", "is in Cyrillic letters that look like Latin ones"),
        ("\u0421\u043e\u0441\u043e Labs", "is in Cyrillic letters that look like Latin ones"),
        ("\uff2eorth", "mixes Fullwidth and Latin letters that look alike"),
        ("\uff2e\uff2f", "is in Fullwidth letters that look like Latin ones"),
        ("\u0391\u0392", "is in Greek letters that look like Latin ones"),
        ("\u041e\u041e\u041e \u0420\u043e\u043c\u0430\u0448\u043a\u0430", None),  # a plain Russian name
        ("\u6a21\u578b 7b", None),
        ("7 + 8", None),
    ],
)
def test_a_name_that_looks_like_another_is_told(name: str, warning: str | None) -> None:
    assert lookalike(name) == warning


def test_nothing_has_a_previous_leaf_of_zeros() -> None:
    assert Issuer(KEY).previous == NO_HASH
    assert '"previous":null' in MODEL_STATEMENT.to_payload().decode()


def test_letters_that_take_the_short_way_are_visible_and_composed() -> None:
    """A name in printable ASCII is not looked at letter by letter; none of these is hidden or has two spellings."""
    name = TypeAdapter(Name)
    for letter in map(chr, range(128)):
        hidden = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        assert unicodedata.is_normalized("NFC", f"a{letter}b")
        if hidden:
            with pytest.raises(ValidationError):
                name.validate_python(f"a{letter}b")
        else:
            assert name.validate_python(f"a{letter}b") == f"a{letter}b"
