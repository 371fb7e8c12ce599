"""Receipts: whole ones verify, and every way of changing one is refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from small_log import MODEL, START, Issuer, SmallLog, counting_bytes, issuer_public, organisation

from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Key, Model
from whorl.entries.leaf import Leaf, commitment, entry_id, sealed_target
from whorl.entries.receipt import Receipt, VerifiedEntry, parse_receipt, verify_receipt
from whorl.log.policy import Policy

ROOT = new_issuer_key(counting_bytes())
SECOND_ROOT = new_issuer_key(counting_bytes(20))
SIGNING = new_issuer_key(counting_bytes(40))


def _check(data: bytes, policy: Policy) -> VerifiedEntry:
    return verify_receipt(parse_receipt(data, origin="receipt.json"), policy)


def _log_with_model(*, after: str | None = None) -> tuple[SmallLog, Issuer]:
    log, root = SmallLog(), Issuer(ROOT)
    log.enter(root, "organisation", organisation(ROOT))
    log.enter(root, "model", MODEL, after=after)
    return log, root


def test_a_whole_receipt_says_who_what_where_and_when() -> None:
    log, root = _log_with_model()
    status = log.enter_map(root, {})
    found = _check(log.receipt(1, status=status), log.policy())
    assert (found.kind, found.statement.body) == ("model", MODEL)
    assert (found.claimant.name, found.claimant.roles) == ("Northwind Labs", None)
    assert (found.origin, found.index) == ("bureau.example/one", 1)
    assert found.id == entry_id(log.leaves[1].hash)
    assert found.not_after == datetime.fromtimestamp(START + 1, UTC)  # the second of three witnesses makes the quorum
    assert found.not_before is None
    assert found.post_quantum
    assert (found.standing.good, found.standing.log_size) == (True, 2)


def test_an_entry_that_lost_its_standing_says_so() -> None:
    log, root = _log_with_model()
    annulment = b"\x05" * 32
    status = log.enter_map(root, {log.leaves[1].hash: annulment})
    found = _check(log.receipt(1, status=status), log.policy())
    assert (found.standing.good, found.standing.against) == (False, entry_id(annulment))


def test_without_a_status_the_standing_is_unknown_and_not_good() -> None:
    log, _ = _log_with_model()
    assert _check(log.receipt(1), log.policy()).standing.good is None


def test_a_delegated_key_signs_for_its_organisation() -> None:
    log, root, signer = SmallLog(), Issuer(ROOT), Issuer(SIGNING)
    organisation_leaf = log.enter(
        root, "organisation", organisation(ROOT, SECOND_ROOT, threshold=2), cosigners=[SECOND_ROOT]
    )
    key = Key(action="add", public=issuer_public(SIGNING), roles=("submitter",))
    log.enter(root, "key", key, target=organisation_leaf.hash, cosigners=[SECOND_ROOT, SIGNING])
    log.enter(signer, "model", MODEL)
    found = _check(log.receipt(2, authority=[0, 1]), log.policy())
    assert (found.claimant.name, found.claimant.roles) == ("Northwind Labs", ("submitter",))
    with pytest.raises(VerificationError, match="step 3"):
        _check(log.receipt(2, authority=[0]), log.policy())


def test_one_of_two_roots_cannot_add_a_key_nor_speak_for_the_organisation() -> None:
    log, root, signer = SmallLog(), Issuer(ROOT), Issuer(SIGNING)
    leaf = log.enter(root, "organisation", organisation(ROOT, SECOND_ROOT, threshold=2), cosigners=[SECOND_ROOT])
    key = Key(action="add", public=issuer_public(SIGNING), roles=("submitter",))
    log.enter(root, "key", key, target=leaf.hash, cosigners=[SIGNING])
    log.enter(signer, "model", MODEL)
    log.enter(root, "model", MODEL)
    for index, authority in ((2, [0, 1]), (3, [0])):
        with pytest.raises(VerificationError, match="2 root keys"):
            _check(log.receipt(index, authority=authority), log.policy())


def test_a_receipt_shows_that_every_key_that_became_known_signed() -> None:
    """A log without mirrors that check it could name the keys of anybody."""
    log, root, signer = SmallLog(), Issuer(ROOT), Issuer(SIGNING)
    leaf = log.enter(root, "organisation", organisation(ROOT, SECOND_ROOT))
    key = Key(action="add", public=issuer_public(SIGNING), roles=("submitter",))
    log.enter(root, "key", key, target=leaf.hash, cosigners=[SIGNING])
    log.enter(root, "model", MODEL)
    log.enter(signer, "model", MODEL)
    for index, authority in ((2, [0]), (3, [0, 1])):
        with pytest.raises(VerificationError, match="1 of 2 that did not"):
            _check(log.receipt(index, authority=authority), log.policy())
    log, root, signer = SmallLog(), Issuer(ROOT), Issuer(SIGNING)
    leaf = log.enter(root, "organisation", organisation(ROOT, SECOND_ROOT), cosigners=[SECOND_ROOT])
    log.enter(root, "key", key, target=leaf.hash)
    log.enter(root, "model", MODEL)
    log.enter(signer, "model", MODEL)
    _check(log.receipt(2, authority=[0]), log.policy())
    with pytest.raises(VerificationError, match="1 of 1 that did not"):
        _check(log.receipt(3, authority=[0, 1]), log.policy())


def test_a_key_that_another_organisation_added_does_not_count() -> None:
    log, root, stranger = SmallLog(), Issuer(ROOT), Issuer(SECOND_ROOT)
    log.enter(root, "organisation", organisation(ROOT))
    log.enter(stranger, "organisation", organisation(SECOND_ROOT, name="Meridian AI"))
    key = Key(action="add", public=issuer_public(SIGNING), roles=("submitter",))
    log.enter(
        stranger, "key", key, target=log.leaves[0].hash, cosigners=[SIGNING]
    )  # the stranger adds a key to somebody else
    log.enter(Issuer(SIGNING), "model", MODEL)
    with pytest.raises(VerificationError):
        _check(log.receipt(3, authority=[0, 2]), log.policy())


def test_authority_that_came_after_the_entry_does_not_count() -> None:
    log = SmallLog()
    log.enter(Issuer(ROOT, sequence=1, previous=b"\x01" * 32), "model", MODEL)
    log.enter(Issuer(ROOT), "organisation", organisation(ROOT))
    with pytest.raises(VerificationError, match="step 3"):
        _check(log.receipt(0, authority=[1]), log.policy())


def test_a_quoted_tree_head_of_another_log_bounds_the_time_from_below() -> None:
    other = SmallLog(origin="bureau.example/two", clock=START - 1000)
    other.enter(Issuer(SECOND_ROOT), "organisation", organisation(SECOND_ROOT, name="Harbour Models"))
    log, _ = _log_with_model(after=other.tree_head().decode())
    found = _check(log.receipt(1), log.policy(other))
    assert found.not_before == datetime.fromtimestamp(START - 1000, UTC)
    with pytest.raises(VerificationError, match="in the policy"):
        _check(log.receipt(1), log.policy())  # the quoted log is not one that is trusted


def test_a_quoted_tree_head_of_the_same_log_or_of_later_is_refused() -> None:
    log, _ = _log_with_model()
    same, _ = _log_with_model(after=log.tree_head().decode())
    with pytest.raises(VerificationError, match="of another log"):
        _check(same.receipt(1), same.policy())
    later = SmallLog(origin="bureau.example/two", clock=START + 1000)
    later.enter(Issuer(SECOND_ROOT), "organisation", organisation(SECOND_ROOT))
    log, _ = _log_with_model(after=later.tree_head().decode())
    with pytest.raises(VerificationError, match="contradict"):
        _check(log.receipt(1), log.policy(later))


def test_too_few_witnesses_are_refused() -> None:
    log, _ = _log_with_model()
    receipt = json.loads(log.receipt(1))
    receipt["entry"] = json.loads(log.stored(1, head=log.tree_head(cosigned_by=[2])).model_dump_json())
    with pytest.raises(VerificationError, match="quorum"):
        _check(json.dumps(receipt).encode(), log.policy())


def test_a_sealed_entry_is_the_makers_though_its_leaf_shows_the_bureau() -> None:
    log, root = SmallLog(), Issuer(ROOT)
    log.enter(root, "organisation", organisation(ROOT))
    envelope = root.statement("model", MODEL).sign(ROOT)
    salt = b"\x03" * 32
    bureau = SECOND_ROOT.id
    log.append(_sealed(bureau, envelope, salt), envelope, salt)
    found = _check(log.receipt(1), log.policy())
    assert (found.sealed, found.claimant.name) == (True, "Northwind Labs")
    log.append(replace(_sealed(bureau, envelope, salt), target=b"\x09" * 32), envelope, salt)
    with pytest.raises(VerificationError, match="something else than its leaf"):
        _check(log.receipt(2), log.policy())


def _sealed(bureau: bytes, envelope: bytes, salt: bytes) -> Leaf:
    return Leaf(
        leaf_class="sealed",
        kind=0,
        issuer=bureau,
        sequence=0,
        previous=bytes(32),
        target=sealed_target(bytes(32), salt=salt),
        commit=commitment(envelope, salt=salt),
    )


def test_erased_content_is_said_to_be_erased() -> None:
    log, _ = _log_with_model()
    receipt = json.loads(log.receipt(1))
    receipt["entry"] |= {"envelope": None, "salt": None}
    with pytest.raises(VerificationError, match="erased"):
        _check(json.dumps(receipt).encode(), log.policy())


def test_a_status_of_another_entry_size_or_log_is_refused() -> None:
    log, root = _log_with_model()
    status = log.enter_map(root, {log.leaves[0].hash: b"\x05" * 32})
    whole = json.loads(log.receipt(1, status=status))
    other = json.loads(log.receipt(0, status=status))
    swapped = whole | {"status": other["status"]}
    with pytest.raises(VerificationError):
        _check(json.dumps(swapped).encode(), log.policy())
    with pytest.raises(VerificationError, match="after entry 2"):
        _check(log.receipt(2, status=status, map_index=2), log.policy())
    log.enter(root, "model", Model(publisher="Northwind Labs", name="lumen-2"))
    with pytest.raises(VerificationError, match="found number 2, of the first 2 entries"):
        _check(log.receipt(1, status=status, map_index=2), log.policy())
    with pytest.raises(VerificationError, match="status map"):
        _check(log.receipt(1, status=status, map_index=1), log.policy())


def test_every_changed_field_is_refused() -> None:
    log, root = _log_with_model()
    status = log.enter_map(root, {})
    log.enter(root, "model", Model(publisher="Northwind Labs", name="lumen-2"))
    whole = json.loads(log.receipt(1, status=status, map_index=2))
    others = json.loads(log.receipt(3, status=status, map_index=2))
    for field in ("leaf", "envelope", "salt", "proof"):
        changed = whole | {"entry": whole["entry"] | {field: others["entry"][field]}}
        with pytest.raises(VerificationError):
            _check(json.dumps(changed).encode(), log.policy())


@pytest.mark.parametrize("step", range(0, 100))
def test_every_flipped_bit_is_refused_or_changes_nothing(step: int) -> None:
    log, root = _log_with_model()
    data = bytearray(log.receipt(1, status=log.enter_map(root, {})))
    whole = _check(bytes(data), log.policy())
    bit = (step * 7919 * 13) % (len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    try:
        found = _check(bytes(data), log.policy())
    except WhorlError:
        return
    # A cosignature whose key was changed is one by somebody unknown: the quorum was reached later without it.
    assert found.standing.at is not None
    assert whole.standing.at is not None
    assert found.standing.at >= whole.standing.at
    assert replace(found, standing=whole.standing) == whole


@pytest.mark.parametrize(
    "change",
    [{"schema": "whorl.receipt/2"}, {"more": 1}, {"authority": "none"}, {"entry": None}, {"timestamps": ["?"]}],
)
def test_what_is_no_receipt_is_refused(change: dict[str, object]) -> None:
    log, _ = _log_with_model()
    broken = json.loads(log.receipt(1)) | change
    with pytest.raises(InputError, match=r"receipt\.json: expected a receipt"):
        parse_receipt(json.dumps(broken).encode(), origin="receipt.json")


def test_an_issuer_cannot_hide_its_second_key() -> None:
    # The keys come from the organisation's entry, not from the receipt: leaving one out is seen.
    log, root = SmallLog(), Issuer(ROOT)
    log.enter(root, "organisation", organisation(ROOT))
    alone = Issuer(IssuerKey(ed25519=ROOT.ed25519), sequence=root.sequence, previous=root.previous)
    log.enter(alone, "model", MODEL)
    with pytest.raises(VerificationError, match="mldsa44"):
        _check(log.receipt(1), log.policy())


def test_an_entry_that_was_signed_for_another_log_does_not_count() -> None:
    log, root = SmallLog(), Issuer(ROOT)
    log.enter(root, "organisation", organisation(ROOT))
    root.log = "bureau.example/two"
    log.enter(root, "model", MODEL)
    with pytest.raises(VerificationError, match=r"step 2: .* was signed for bureau\.example/two, and stands in"):
        _check(log.receipt(1), log.policy())


def test_a_receipt_is_read_back_as_it_was() -> None:
    log, root = _log_with_model()
    data = log.receipt(1, status=log.enter_map(root, {}))
    parsed = parse_receipt(data, origin="receipt.json")
    assert Receipt.model_validate_json(parsed.model_dump_json()) == parsed
