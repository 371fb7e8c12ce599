"""Bureaus with a sequencer of their own making: what they enter against the rules finds no cosigner, and no reader."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bureaus import Clock, NearPeer, SmallBureau, Writer, federate, make_bureau, new_writer, sync
from small_log import counting_bytes
from sqlalchemy import text
from test_mirroring import MODEL, _policy

from whorl.core.errors import VerificationError
from whorl.entries.composing import compose
from whorl.entries.handling import Handling
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Body, Key, Model, Notice, Organisation, Status, StatusMapHead
from whorl.entries.leaf import NO_HASH, entry_id
from whorl.entries.receipt import Standing, StoredStatus, parse_receipt, verify_receipt, write_receipt
from whorl.entries.statement import open_entry
from whorl.entries.status_map import StatusMap
from whorl.log.keys import parse_vkey
from whorl.log.tree_heads import open_tree_head
from whorl.registry import receipts, sequencer
from whorl.registry.admission import Admitted
from whorl.registry.backup import back_up
from whorl.registry.checking import check_folder, check_registry
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import entries_of_log, find_entry
from whorl.registry.heads import newest_head
from whorl.registry.issuing import Issuer, new_key_file
from whorl.registry.local import entered
from whorl.registry.log_rows import stored_logs
from whorl.registry.mirroring import MirrorError
from whorl.registry.public_keys import issuer_public
from whorl.registry.reading import ANYBODY, reader_for, requesting_key, withheld
from whorl.registry.refusals import BREAKS, Refusal
from whorl.registry.replaying import rebuild_derived
from whorl.registry.restoring import restore_backup
from whorl.registry.sequencer import Submission
from whorl.registry.spoken_against import spoken_against

OTHER = Model(publisher="Northwind Labs", name="other", content=f"sha256:{'11' * 32}")
WITHDRAWN = Status(state="withdrawn", reason="Entered by mistake.")


@pytest.fixture
def three(tmp_path: Path) -> list[SmallBureau]:
    clock = Clock()
    bureaus = [
        make_bureau(tmp_path, name, clock, first_random=number * 1_000_000)
        for number, name in enumerate(("north", "south", "east"), start=1)
    ]
    federate(bureaus)
    return bureaus


def organisation_of(writer: Writer) -> bytes:
    with writer.bureau.registry.database.reading() as connection:
        key = DatabaseView(connection).key(writer.key.id, origin=writer.bureau.origin)
    assert key is not None
    return key.organisation


def standing_by(bureaus: list[SmallBureau], model: bytes, place: int, status_map: StatusMap) -> Standing:
    """What a receipt says that proves a status map at a place of the log under the newest tree head."""
    north = bureaus[0]
    keys = [parse_vkey(key) for key in north.registry.home.settings.log_keys]
    with north.registry.database.reading() as connection:
        stored = find_entry(connection, model)
        (head,) = entries_of_log(connection, north.origin, start=place, stop=place + 1)
        note = newest_head(connection, north.origin)
        assert stored is not None
        assert note is not None
        source = receipts._Source(
            north.registry.log, lambda data: open_tree_head(data, origin=north.origin, log_keys=keys)
        )
        authority = [source.proven(one, note) for one in receipts._authority(connection, stored)]
        status = StoredStatus(
            map=source.proven(head, note),
            authority=tuple(source.proven(one, note) for one in receipts._authority(connection, head)),
            proof=status_map.prove(model),
        )
        data = write_receipt(source.proven(stored, note), authority, status)
    return verify_receipt(parse_receipt(data, origin="receipt"), _policy(bureaus)).standing


def admit_everything(monkeypatch: pytest.MonkeyPatch, writer: Writer) -> None:
    organisation = organisation_of(writer)

    def admitted(*_: object, **__: object) -> Admitted:
        return Admitted(organisation=organisation, signers=frozenset({writer.key.id}))

    monkeypatch.setattr("whorl.registry.sequencer.admit", admitted)


def two_maps(monkeypatch: pytest.MonkeyPatch, north: SmallBureau, first: dict[bytes, bytes]) -> list[int]:
    """Let the bureau enter a false status map before the true one of each batch; the places of the false ones."""
    true = sequencer.Sequencer._enter_status_map
    places: list[int] = []

    def both(self: sequencer.Sequencer, connection: object) -> None:
        log = sequencer.stored_log(connection, north.origin)  # type: ignore[arg-type]
        assert log is not None
        places.append(log.size)
        monkeypatch.setattr("whorl.registry.sequencer.spoken_against", lambda *_, **__: dict(first))
        true(self, connection)  # type: ignore[arg-type]
        monkeypatch.setattr("whorl.registry.sequencer.spoken_against", receipts.spoken_against)
        true(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(sequencer.Sequencer, "_enter_status_map", both)
    return places


def test_an_old_status_map_under_a_new_tree_head_is_refused(three: list[SmallBureau]) -> None:
    # No accomplice is needed: everything in it is public.
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    old = verify_receipt(parse_receipt(north.registry.receipt(model), origin="receipt"), _policy(three)).standing
    assert old.good
    assert old.log_size is not None
    north.clock.move(days=60)
    sync(three)
    writer.enter(WITHDRAWN, target=model)
    with pytest.raises(VerificationError, match="expected a status map of all"):
        standing_by(three, model, old.log_size, StatusMap({}))


@pytest.mark.parametrize("invents", [False, True])
def test_a_false_map_before_the_true_one_says_nothing(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch, invents: bool
) -> None:
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    stated = {model: b"\x42" * 32} if invents else {}
    places = two_maps(monkeypatch, north, stated)
    if invents:
        writer.enter(OTHER)
    else:
        writer.enter(WITHDRAWN, target=model)
    with pytest.raises(VerificationError, match="expected a status map of all"):
        standing_by(three, model, places[-1], StatusMap(stated))


@pytest.mark.parametrize("by", ["bureau", "anybody"])
def test_a_sealed_status_map_says_nothing(three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    # Mirrors see a sealed leaf and cannot look into it.
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    withdrawal = writer.enter(WITHDRAWN, target=model)
    monkeypatch.setattr("whorl.registry.sequencer.require_sealable", lambda *_, **__: None)
    key = north.registry.home.bureau_key() if by == "bureau" else writer.key
    with north.registry.database.reading() as connection:
        held = find_entry(connection, withdrawal)
    assert held is not None
    body = StatusMapHead(root=StatusMap({}).root.hex(), size=2, log_size=held.index + 1, covers={})
    envelope = compose(body, log=north.origin, issuer=key.id, chain=None, now=north.clock()).sign(key)
    sealed = entered(north.registry.enter([Submission(envelope=envelope, salt=b"\7" * 32, sealed=True)])[0])
    with pytest.raises(VerificationError, match="step 5"):
        standing_by(three, model, sealed.index, StatusMap({}))


def test_a_status_map_by_somebody_else_than_the_bureau_says_nothing(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    writer.enter(WITHDRAWN, target=model)
    admit_everything(monkeypatch, writer)
    monkeypatch.setattr(sequencer.Sequencer, "_enter_status_map", lambda *_: None)
    with north.registry.database.reading() as connection:
        log = sequencer.stored_log(connection, north.origin)
    assert log is not None
    writer.enter(StatusMapHead(root=StatusMap({}).root.hex(), size=2, log_size=log.size, covers={}))
    with pytest.raises(VerificationError):
        standing_by(three, model, log.size, StatusMap({}))
    for bureau in three[1:]:
        assert "not admissible" in bureau.alarms[-1][1] or "expected a status map" in bureau.alarms[-1][1]


def test_a_tree_head_that_does_not_end_in_a_status_map_is_not_cosigned(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    monkeypatch.setattr(sequencer.Sequencer, "_enter_status_map", lambda *_: None)
    writer.enter(MODEL)
    for bureau in three[1:]:
        assert "expected a status map as the last" in bureau.alarms[-1][1]


def test_a_bureau_that_withholds_a_withdrawal_is_not_cosigned(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    north, south, east = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    real: Callable[..., list[object]] = type(north.registry).contents

    def hiding(self: object, start: int, stop: int, **reader: object) -> list[object]:
        given = list(real(self, start, stop, **reader))
        if self is not north.registry:
            return given
        with north.registry.database.reading() as connection:
            rows = list(entries_of_log(connection, north.origin, start=start, stop=stop))
        return [None if row.kind == "status" else one for row, one in zip(rows, given, strict=True)]

    monkeypatch.setattr(type(north.registry), "contents", hiding)
    for place in ("sequencer", "receipts"):
        monkeypatch.setattr(f"whorl.registry.{place}.spoken_against", lambda *_, **__: {})
    writer.enter(WITHDRAWN, target=model)
    for bureau in (south, east):
        assert "does not show the content of entry" in bureau.alarms[-1][1]
    with pytest.raises(VerificationError, match="quorum"):
        verify_receipt(parse_receipt(north.registry.receipt(model), origin="receipt"), _policy(three))
    monkeypatch.undo()  # a bureau that shows it again is cosigned again
    writer.enter(OTHER)
    with south.registry.database.reading() as connection:
        about = DatabaseView(connection).about(model)
    assert [one.kind for one in about] == ["status"]


def test_an_entry_by_a_key_that_was_stolen_and_revoked_is_not_cosigned(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    north = three[0]
    victim = new_writer(north, "Northwind Labs", first_random=9_000_000)
    organisation = organisation_of(victim)
    stolen = new_issuer_key(counting_bytes(8_000_000))
    added = Key(action="add", public=issuer_public(stolen), roles=("submitter",))
    victim.enter(added, target=organisation, cosigners=[stolen])
    revocation = Key(action="revoke", public=issuer_public(stolen), compromised_since=0, reason="It was taken.")
    victim.enter(revocation, target=organisation)
    thief = Writer(north, stolen, counting_bytes(7_000_000))
    refused = thief.offer(MODEL)
    assert isinstance(refused, Refusal)
    assert refused.code == "key_revoked"
    admit_everything(monkeypatch, victim)
    model = thief.enter(MODEL)
    for bureau in three[1:]:
        assert "is not admissible" in bureau.alarms[-1][1]
    with pytest.raises(VerificationError, match="quorum"):
        verify_receipt(parse_receipt(north.registry.receipt(model), origin="receipt"), _policy(three))


def test_a_notice_without_findings_is_not_cosigned(three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch) -> None:
    north = three[0]
    model = new_writer(north, "Northwind Labs", first_random=9_000_000).enter(MODEL)
    accuser = new_writer(north, "Meridian AI", first_random=6_000_000)
    admit_everything(monkeypatch, accuser)
    notice = Notice(
        colour="red",
        title="It continues ours",
        text="Compare them.",
        relation="derived",
        reference=entry_id(model),
        findings=(entry_id(b"\1" * 32), entry_id(b"\2" * 32)),
        log10_lr=1.0,
        log10_lr_least_favourable=1.0,
        false_positive_bound=0.01,
        tests_run=1,
    )
    accused = accuser.enter(notice, target=model)
    for bureau in three[1:]:
        assert "is not admissible" in bureau.alarms[-1][1]
    with pytest.raises(VerificationError, match="quorum"):
        verify_receipt(parse_receipt(north.registry.receipt(accused), origin="receipt"), _policy(three))


def hidden_bodies(key: IssuerKey) -> dict[str, Body]:
    return {"status": WITHDRAWN, "key": Key(action="add", public=issuer_public(key), roles=("submitter",))}


@pytest.mark.parametrize("kind", ["status", "key"])
@pytest.mark.parametrize("label", ["own", "named", "bureaus"])
def test_what_others_are_judged_by_is_for_everybody(three: list[SmallBureau], kind: str, label: str) -> None:
    # Else anybody could make mirrors accuse an honest bureau of hiding what they may not see.
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    body = hidden_bodies(new_issuer_key(counting_bytes(5_000_000)))[kind]
    target = model if kind == "status" else organisation_of(writer)
    refused = writer.offer(body, target=target, handling=Handling(label=label))  # type: ignore[arg-type]
    assert isinstance(refused, Refusal)
    assert refused.code == "not_public"
    assert [bureau.alarms for bureau in three] == [[], [], []]


def in_two_logs(north: SmallBureau, south: SmallBureau, *, delegated: bool) -> list[Writer]:
    """Writers with one key, at two bureaus that have not looked at each other since."""
    root = new_issuer_key(counting_bytes(4_000_000))
    key = new_issuer_key(counting_bytes(4_100_000)) if delegated else root
    writers = []
    for number, bureau in enumerate((north, south)):
        writer = Writer(bureau, root, counting_bytes(3_000_000 + 1000 * number))
        roots = (issuer_public(root),)
        made = writer.enter(Organisation(name="Twice Labs", jurisdiction="NL", roots=roots))
        if delegated:
            added = Key(action="add", public=issuer_public(key), roles=("submitter",))
            writer.enter(added, target=made, cosigners=[key])
        writers.append(Writer(bureau, key, writer.random))
    return writers


@pytest.mark.parametrize("delegated", [False, True])
def test_a_key_entered_in_two_logs_at_a_time_keeps_no_bureau_from_cosigning(
    three: list[SmallBureau], delegated: bool, tmp_path: Path
) -> None:
    # Whoever wants two bureaus to be at odds can do this for nothing, before they have looked at each other.
    north, south, _ = three
    for bureau in three:
        bureau.registry.ask_witnesses([])
    writers = in_two_logs(north, south, delegated=delegated)
    models = [
        writer.enter(Model(publisher="Twice Labs", name=name, content=f"sha256:{'22' * 32}"))
        for writer, name in zip(writers, ("one", "two"), strict=True)
    ]
    sync(three)
    for bureau in three:
        bureau.registry.ask_witnesses([one.cosigner() for one in three if one is not bureau])
    votes = []
    for writer, own in zip(writers, models, strict=True):
        votes.append(writer.enter(WITHDRAWN, target=own))
        sync(three)
    for bureau in three:
        bureau.clock.move(seconds=1)
        note = bureau.registry.sequencer.refresh()
        signed_by = {one.name.removesuffix("/witness") for one in note.signatures}
        assert signed_by == {one.origin for one in three}  # the others cosign it
        sync(three)
        with bureau.registry.database.writing() as connection:
            sizes = {log.origin: log.size for log in stored_logs(connection)}
            assert spoken_against(connection, until=sizes).keys() == set(models)
            assert connection.execute(text("SELECT count(*) FROM entries WHERE counts IS NULL")).scalar_one() == 0
            assert rebuild_derived(connection) == []
        assert check_registry(bureau.registry).problems == ()
    back_up(south.registry, tmp_path / "south.tar", with_keys=True)
    restore_backup(tmp_path / "south.tar", tmp_path / "back", keys=None, nobody_saw_more=True)
    assert check_folder(tmp_path / "back").problems == ()
    assert [bureau.alarms for bureau in three] == [[], [], []]
    for bureau, vote in ((north, votes[0]), (south, votes[1])):
        receipt = parse_receipt(bureau.registry.receipt(vote), origin="receipt")
        others = [one for one in three if one is not bureau]
        verified = verify_receipt(receipt, _policy([bureau, *others]))
        assert verified.claimant is not None
        assert verified.claimant.name == "Twice Labs"


def test_who_is_registered_in_one_log_is_not_registered_by_others_in_another(three: list[SmallBureau]) -> None:
    """What an organisation signed is public, with its salt: anybody could hand it in elsewhere, before it is known."""
    north, south, _ = three
    key = new_issuer_key(counting_bytes(4_000_000))
    body = Organisation(name="Once Labs", jurisdiction="NL", roots=(issuer_public(key),))
    statement = compose(body, log=north.origin, issuer=key.id, chain=None, now=north.clock())
    submission = Submission(envelope=statement.sign(key), salt=b"s" * 32)
    refused = south.registry.enter([submission])[0]
    assert isinstance(refused, Refusal)
    assert refused.code == "wrong_log"
    entered(north.registry.enter([submission])[0])
    sync(three)
    assert [bureau.alarms for bureau in three] == [[], [], []]


@pytest.mark.parametrize("label", ["own", "clear"])
def test_who_copies_entries_of_another_log_breaks_the_rules_and_the_other_does_not(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    # A mirror is not shown everything, so it lets gaps pass. It may have read the copy before the original.
    north, south, east = three
    for bureau in three:
        bureau.registry.ask_witnesses([])
    writers = in_two_logs(north, south, delegated=True)
    key, random = writers[0].key, counting_bytes(7_000_000)
    chain, submissions = north.registry.chain(key.id), []
    for name, handling in (("one", Handling(label=label)), ("two", Handling(label="clear"))):  # type: ignore[arg-type]
        body = Model(publisher="Twice Labs", name=name, content=f"sha256:{'22' * 32}")
        statement = compose(body, log=north.origin, issuer=key.id, chain=chain, now=north.clock(), handling=handling)
        submissions.append(Submission(envelope=statement.sign(key), salt=random(32)))
        chain = (statement.sequence, open_entry(submissions[-1].envelope).leaf(submissions[-1].salt).hash)
    for outcome in north.registry.enter(submissions):
        entered(outcome)
    with monkeypatch.context() as patch:
        admit_everything(patch, writers[1])
        patch.setattr(sequencer.Sequencer, "_enter_status_map", lambda *_: None)
        for outcome in south.registry.enter(submissions):
            entered(outcome)
    south.registry.sequencer.refresh()
    with pytest.raises(MirrorError):
        east.mirrors[south.origin].pull(NearPeer(south, east.origin))
    east.mirrors[north.origin].pull(NearPeer(north, east.origin))
    writers[0].enter(WITHDRAWN, target=chain[1])
    east.mirrors[north.origin].pull(NearPeer(north, east.origin))
    with east.registry.database.reading() as connection:
        counting = find_entry(connection, chain[1])
        assert counting is not None
        assert (counting.origin, counting.fault) == (north.origin, None)
        copies = [one.fault for one in entries_of_log(connection, south.origin) if one.read_leaf().issuer == key.id]
    assert len(copies) == 2
    assert all(fault is not None and fault.startswith(BREAKS) for fault in copies)


def test_a_stolen_key_may_have_signed_what_a_mirror_is_not_shown(three: list[SmallBureau]) -> None:
    # Whoever wants no mirror to make the same status map need only hide an entry and say that its key was stolen.
    north = three[0]
    root = new_writer(north, "Northwind Labs", first_random=9_000_000)
    key = new_issuer_key(counting_bytes(8_000_000))
    organisation = organisation_of(root)
    added = Key(action="add", public=issuer_public(key), roles=("submitter",))
    root.enter(added, target=organisation, cosigners=[key])
    signing = Writer(north, key, counting_bytes(8_500_000))
    hidden = signing.enter(MODEL, handling=Handling(label="own"))
    shown = signing.enter(OTHER)
    root.enter(Key(action="revoke", public=issuer_public(key), compromised_since=0), target=organisation)
    sync(three)
    assert [bureau.alarms for bureau in three] == [[], [], []]
    for bureau in three:
        with bureau.registry.database.reading() as connection:
            sizes = {log.origin: log.size for log in stored_logs(connection)}
            assert spoken_against(connection, until=sizes).keys() == {hidden, shown}


@pytest.mark.parametrize("named", ["added", "root"])
def test_a_bureau_that_names_keys_of_others_makes_nobody_the_same(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Or it could claim an accused model, and make every examiner and judge a party to the case."""
    north, south, east = three
    victim = new_writer(south, "Tern Examiners", first_random=9_000_000)
    cheat = new_writer(east, "Stranger", first_random=6_000_000)
    sync(three)
    assert [bureau.alarms for bureau in three] == [[], [], []]
    stated = issuer_public(victim.key)
    if named == "added":
        by, target = cheat, organisation_of(cheat)
        body: Body = Key(action="add", public=stated, roles=("bureau",))
    else:
        by, target = Writer(east, new_issuer_key(counting_bytes(5_000_000)), cheat.random), NO_HASH
        roots = (issuer_public(by.key), stated)
        body = Organisation(name="Stranger again", jurisdiction="NL", roots=roots)
    refused = by.offer(body, target=target)
    assert isinstance(refused, Refusal)
    assert refused.code == "missing_signature"
    admit_everything(monkeypatch, cheat)
    by.enter(body, target=target)
    for bureau in (north, south):
        assert "missing_signature" in bureau.alarms[-1][1] or "did not with all of its keys" in bureau.alarms[-1][1]
        with bureau.registry.database.reading() as connection:
            view = DatabaseView(connection)
            assert view.logs_of(victim.key.id) == [south.origin]
            assert view.sharing(organisation_of(victim)) == frozenset()


def test_who_introduces_themselves_is_not_taken_over_by_a_namesake(three: list[SmallBureau], tmp_path: Path) -> None:
    """A stranger of the same name elsewhere, who names the key, would have all that is entered with it there."""
    north, south, _ = three
    key = new_key_file(tmp_path / "key.json", counting_bytes(7_000_000))
    issuer = Issuer(tmp_path / "key.json", now=north.clock, random_bytes=counting_bytes(7_100_000))
    assert issuer.introduce(north.registry, name="Northwind Labs", jurisdiction="NL") == ("Northwind Labs", True)
    stranger = new_writer(south, "Northwind Labs", first_random=9_000_000)
    added = Key(action="add", public=issuer_public(key), roles=("submitter",))
    refused = stranger.offer(added, target=organisation_of(stranger))
    assert isinstance(refused, Refusal)
    assert issuer.introduce(south.registry, name="Northwind Labs", jurisdiction="NL") == ("Northwind Labs", True)
    assert south.registry.organisation_of(key.id) not in (None, organisation_of(stranger))
    spare = new_issuer_key(counting_bytes(7_200_000))
    new_key_file(tmp_path / "other.json", counting_bytes(7_300_000))
    other = Issuer(tmp_path / "other.json", now=north.clock, random_bytes=counting_bytes(7_400_000))
    assert other.introduce(north.registry, name="Meridian AI", jurisdiction="NL", spare=[spare])[1]
    assert north.registry.organisation_of(spare.id) == north.registry.organisation_of(other.key.id)
    sync(three)
    assert [bureau.alarms for bureau in three] == [[], [], []]


def test_who_names_the_root_key_of_somebody_else_reads_nothing_of_theirs(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever a label names is found by root keys, and what is public in one log can be copied into another."""
    north, south, _ = three
    victim = new_writer(north, "Northwind Labs", first_random=9_000_000)
    other = new_writer(north, "Meridian AI", first_random=6_000_000)
    named = Handling(label="named", recipients=(victim.key.id.hex(),))
    kept = [victim.enter(MODEL, handling=Handling(label="own")), other.enter(OTHER, handling=named)]
    stranger = new_writer(south, "Stranger", first_random=5_000_000)
    sync(three)
    by = Writer(south, new_issuer_key(counting_bytes(4_000_000)), stranger.random)
    roots = (issuer_public(by.key), issuer_public(victim.key))
    body = Organisation(name="Stranger again", jurisdiction="NL", roots=roots)
    assert isinstance(by.offer(body), Refusal)
    admit_everything(monkeypatch, stranger)
    by.enter(body)
    with north.registry.database.reading() as connection:
        view = DatabaseView(connection)

        def may_read(writer: Writer) -> list[bool]:
            key = requesting_key(writer.key.id, view, origin=north.origin)
            reader = ANYBODY if key is None else reader_for(key.organisation, view, origin=north.origin)
            entries = [view.entry(digest) for digest in kept]
            return [one is not None and withheld(one, reader, view, at=north.clock()) is None for one in entries]

        assert may_read(victim) == [True, True]
        for writer in (stranger, by):
            assert may_read(writer) == [False, False]
