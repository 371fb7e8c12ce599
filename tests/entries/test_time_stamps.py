"""Time stamps: a token counts for its leaf and its own authority, and one authority is not enough for a bound."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from small_log import MODEL, Issuer, SmallLog, counting_bytes, organisation
from stamping import StampingAuthority

from whorl.core.errors import InputError
from whorl.entries.anchors import Stamp, Stamps, TimestampAuthority, check_stamps, read_authority
from whorl.entries.keys import new_issuer_key
from whorl.entries.receipt import encode, parse_receipt, verify_receipt

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which plays the authority, is missing"
)

LEAF = b"\x07" * 32


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> list[StampingAuthority]:
    folder = tmp_path_factory.mktemp("authorities")
    return [StampingAuthority.make(folder / name, name) for name in ("Harbour", "Meridian")]


@pytest.fixture(scope="module")
def authorities(makers: list[StampingAuthority]) -> list[TimestampAuthority]:
    return [read_authority(maker.folder.name, maker.root_pem, origin="root.pem") for maker in makers]


def test_two_authorities_bound_the_time(makers: list[StampingAuthority], authorities: list[TimestampAuthority]) -> None:
    found = check_stamps([maker.stamp(LEAF) for maker in makers], LEAF, authorities)
    assert [stamp.authority for stamp in found.held] == ["Harbour", "Meridian"]
    assert found.unknown == 0
    assert found.not_after == max(stamp.at for stamp in found.held)
    assert abs(found.not_after - datetime.now(UTC)) < timedelta(minutes=2)


def test_one_authority_bounds_nothing_however_often_it_stamps(
    makers: list[StampingAuthority], authorities: list[TimestampAuthority]
) -> None:
    found = check_stamps([makers[0].stamp(LEAF), makers[0].stamp(LEAF)], LEAF, authorities)
    assert len(found.held) == 2
    assert found.not_after is None


def test_a_token_of_another_authority_or_for_another_leaf_does_not_count(
    makers: list[StampingAuthority], authorities: list[TimestampAuthority]
) -> None:
    token = makers[0].stamp(LEAF)
    assert check_stamps([token], LEAF, authorities[1:]) == Stamps(held=(), unknown=1)
    assert check_stamps([token], b"\x08" * 32, authorities) == Stamps(held=(), unknown=1)


def test_the_bound_is_the_later_of_the_two_earliest() -> None:
    at = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 6)]
    stamps = [Stamp(authority=name, at=at[day]) for name, day in (("a", 4), ("a", 2), ("b", 3), ("c", 0))]
    assert Stamps(held=tuple(stamps), unknown=0).not_after == at[2]


def test_a_changed_token_does_not_count(makers: list[StampingAuthority], authorities: list[TimestampAuthority]) -> None:
    token = makers[0].stamp(LEAF)
    for place in range(0, len(token), 37):
        changed = bytearray(token)
        changed[place] ^= 1
        try:
            found = check_stamps([bytes(changed)], LEAF, authorities)
        except InputError:
            continue
        # A bit outside of what is signed may change, such as one of a certificate beside the signer's; never the time.
        assert all(abs(stamp.at - datetime.now(UTC)) < timedelta(minutes=2) for stamp in found.held)


@pytest.mark.parametrize("token", [b"", b"\x30\x00", b"\x00" * 70_000])
def test_what_is_no_token_is_refused(token: bytes, authorities: list[TimestampAuthority]) -> None:
    with pytest.raises(InputError, match="expected"):
        check_stamps([token], LEAF, authorities)


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"\xff" * 300_000])
def test_what_are_no_certificates_is_refused(pem: bytes) -> None:
    with pytest.raises(InputError, match=r"root\.pem: expected"):
        read_authority("Harbour", pem, origin="root.pem")


def test_stamps_bound_an_entry_that_witnesses_saw_later(
    makers: list[StampingAuthority], authorities: list[TimestampAuthority]
) -> None:
    key = new_issuer_key(counting_bytes())
    log = SmallLog(clock=2_000_000_000)  # witnesses that saw it in 2033
    root = Issuer(key)
    log.enter(root, "organisation", organisation(key))
    log.enter(root, "model", MODEL)
    receipt = json.loads(log.receipt(1))
    receipt["timestamps"] = [encode(maker.stamp(log.leaves[1].hash)) for maker in makers]
    parsed = parse_receipt(json.dumps(receipt).encode(), origin="receipt.json")
    assert verify_receipt(parsed, log.policy()).not_after == datetime.fromtimestamp(2_000_000_001, UTC)
    found = verify_receipt(parsed, log.policy(), authorities=authorities)
    assert found.not_after is not None
    assert abs(found.not_after - datetime.now(UTC)) < timedelta(minutes=2)
