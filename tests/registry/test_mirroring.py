"""Mirrors: what one bureau enters the others hold, and a bureau that hides something finds no cosigner."""

import shutil
from pathlib import Path

import pytest
from bureaus import Clock, NearPeer, SmallBureau, federate, make_bureau, new_writer, sync

from whorl.core.errors import VerificationError
from whorl.entries.handling import Handling
from whorl.entries.kinds import Fingerprint, Model, Status
from whorl.entries.leaf import entry_id
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.log.keys import parse_vkey
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import find_entry
from whorl.registry.home import policy_of
from whorl.registry.mirroring import NOT_SHOWN, WAITS, BehindError, Mirror, MirrorError

MODEL = Model(publisher="Northwind Labs", name="lumen-1", content=f"sha256:{'ab' * 32}")


@pytest.fixture
def three(tmp_path: Path) -> list[SmallBureau]:
    clock = Clock()
    bureaus = [
        make_bureau(tmp_path, name, clock, first_random=number * 1_000_000)
        for number, name in enumerate(("north", "south", "east"), start=1)
    ]
    federate(bureaus)
    return bureaus


def test_what_one_bureau_enters_the_others_hold_before_it_is_acknowledged(three: list[SmallBureau]) -> None:
    north, *others = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    for bureau in others:
        with bureau.registry.database.reading() as connection:
            held = find_entry(connection, model)
            facts = DatabaseView(connection).entry(model)
        assert held is not None
        assert (held.origin, held.fault, facts is not None and facts.statement is not None) == (
            north.origin,
            None,
            True,
        )
        assert bureau.alarms == []


def test_receipts_carry_the_cosignatures_of_the_mirrors(three: list[SmallBureau]) -> None:
    north = three[0]
    model = new_writer(north, "Northwind Labs", first_random=9_000_000).enter(MODEL)
    found = verify_receipt(parse_receipt(north.registry.receipt(model), origin="receipt"), _policy(three))
    assert len(found.witnesses) >= 2
    assert found.standing.good
    assert found.not_after is not None


def test_an_annulment_at_one_bureau_is_seen_everywhere(three: list[SmallBureau]) -> None:
    north, south, _ = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    writer.enter(Status(state="withdrawn", reason="Entered by mistake."), target=model)
    sync(three)
    for bureau in three:
        with bureau.registry.database.reading() as connection:
            about = DatabaseView(connection).about(model)
        assert [one.statement.body.state for one in about if one.kind == "status"] == ["withdrawn"]
    found = verify_receipt(parse_receipt(north.registry.receipt(model), origin="receipt"), _policy(three))
    assert found.standing.good is False
    assert south.alarms == []


def test_a_bureau_that_leaves_a_withdrawal_out_of_its_map_is_not_cosigned(
    three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Attack 19: the status is in the log, the map says that nothing speaks against the entry.
    north, south, east = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    monkeypatch.setattr("whorl.registry.sequencer.spoken_against", lambda *_, **__: {})
    writer.enter(Status(state="withdrawn", reason="Entered by mistake."), target=model)
    monkeypatch.undo()
    for bureau in (south, east):
        ((origin, problem),) = bureau.alarms
        assert origin == north.origin
        assert "hides an annulment" in problem
    monkeypatch.setattr("whorl.registry.receipts.spoken_against", lambda *_, **__: {})  # it lies in receipts too
    with pytest.raises(VerificationError, match="quorum"):
        verify_receipt(parse_receipt(north.registry.receipt(model), origin="receipt"), _policy(three))


def test_a_bureau_that_does_not_look_at_others_any_more_is_not_cosigned(three: list[SmallBureau]) -> None:
    # Attack 19, by omission: annulments stand in the other bureau's log, which this one pretends not to have read.
    north, south, _ = three
    new_writer(south, "Meridian AI", first_random=8_000_000).enter(MODEL)
    sync(three)
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    before = len(south.alarms)
    with north.registry.database.writing() as connection:
        connection.exec_driver_sql("UPDATE logs SET size = 2 WHERE own = 0")
    north.clock.move(hours=2)
    writer.enter(MODEL)
    assert "leaves out what others entered" in south.alarms[before][1]


def test_a_log_that_serves_other_entries_than_it_signs_is_caught(three: list[SmallBureau], tmp_path: Path) -> None:
    north, south, _ = three
    liar = make_bureau(tmp_path, "liar", north.clock, first_random=7_000_000)
    honest = NearPeer(liar, south.origin)

    class Lying(NearPeer):
        @property
        def log(self):
            real = honest.log

            class Swapped:
                tree_head = staticmethod(real.tree_head)
                tile = staticmethod(real.tile)

                @staticmethod
                def bundle(index: int, width: int) -> bytes:
                    data = bytearray(real.bundle(index, width))
                    data[-1] ^= 1
                    return bytes(data)

            return Swapped()

    from whorl.log.keys import parse_vkey
    from whorl.registry.mirroring import Mirror

    mirror = Mirror(
        south.registry.database,
        south.folder / "mirrors",
        south.registry.blobs,
        origin=liar.origin,
        log_keys=[parse_vkey(key) for key in liar.registry.home.settings.log_keys],
        own_origin=south.origin,
        now=south.clock,
    )
    with pytest.raises(MirrorError, match="another log than it signs"):
        mirror.pull(Lying(liar, south.origin))


def test_content_for_others_is_not_kept_though_a_peer_hands_it_over(three: list[SmallBureau]) -> None:
    # MISP/MISP issues 1720 and 1721: an item reaches an organisation outside the group; the receiver refuses it.
    north, south, east = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    for_south = writer.enter(MODEL, handling=Handling(label="named", recipients=(south.origin,)))
    with south.registry.database.reading() as connection:
        held = find_entry(connection, for_south)
    assert held is not None
    assert held.envelope is not None
    with east.registry.database.reading() as connection:
        held = find_entry(connection, for_south)
    assert held is not None
    assert (held.envelope, held.fault) == (None, NOT_SHOWN)
    leaked = north.registry.contents(held.index, held.index + 1, reader=south.origin, is_bureau=True)[0]
    assert leaked is not None
    leaf = held.read_leaf()
    with pytest.raises(Exception, match="not among those who may see it"):
        east.mirrors[north.origin]._opened(leaf, leaked)


def test_an_empty_list_of_recipients_reaches_nobody(three: list[SmallBureau]) -> None:
    # MISP/MISP issue 4200: an empty list published to all.
    north, *others = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    hidden = writer.enter(MODEL, handling=Handling(label="named"))
    for bureau in others:
        with bureau.registry.database.reading() as connection:
            held = find_entry(connection, hidden)
        assert held is not None
        assert held.envelope is None


def test_an_entry_that_speaks_of_another_log_counts_once_that_is_here(three: list[SmallBureau]) -> None:
    north, south, east = three
    maker = new_writer(north, "Northwind Labs", first_random=9_000_000)
    examiner = new_writer(south, "Dune Examiners", first_random=8_000_000)
    sync(three)
    north.registry.ask_witnesses([south.cosigner()])  # east hears of nothing for a while
    south.registry.ask_witnesses([])
    model = maker.enter(MODEL)
    assert MODEL.content is not None
    blob = south.registry.put_blob([b"a fingerprint"]).digest
    fingerprint = Fingerprint(method="x/1", model_content=MODEL.content, blob=blob, tool="whorl 0.1")
    taken = examiner.enter(fingerprint, target=model)
    mirror = east.mirrors[south.origin]
    with pytest.raises(BehindError, match="once they are here"):
        mirror.pull(NearPeer(south, east.origin))
    with east.registry.database.reading() as connection:
        held = find_entry(connection, taken)
        facts = DatabaseView(connection).entry(taken)
        assert facts is not None
        assert facts.statement is None  # what it says does not count yet
        assert DatabaseView(connection).about(model, "fingerprint") == []
    assert held is not None
    assert str(held.fault).startswith(WAITS)
    east.mirrors[north.origin].pull(NearPeer(north, east.origin))
    mirror.pull(NearPeer(south, east.origin))
    with east.registry.database.reading() as connection:
        facts = DatabaseView(connection).entry(taken)
    assert facts is not None
    assert facts.seen_at == held.seen_at


def test_a_mirror_goes_on_where_a_crash_left_it(three: list[SmallBureau], monkeypatch: pytest.MonkeyPatch) -> None:
    north, south, _ = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    mirror = south.mirrors[north.origin]

    def crash(_: object) -> None:
        raise OSError("crash")

    monkeypatch.setattr(mirror.log, "append", crash)
    writer.enter(MODEL)  # south cannot follow
    monkeypatch.undo()
    mirror._catch_up()
    assert mirror.log.size > 0
    mirror.pull(NearPeer(north, south.origin))
    assert mirror.log.state().root == north.registry.log.state().root


def _policy(bureaus: list[SmallBureau]):
    from whorl.log.policy import Group, KnownWitness, Policy

    base = policy_of([one.registry.home.settings for one in bureaus])
    witnesses = tuple(
        KnownWitness(name=f"{entry_id(signer.verifier.key_id * 8)[:8]}", verifier=signer.verifier)
        for one in bureaus
        for signer in one.registry.home.witness_signers()[:1]
    )
    names = tuple(one.name for one in witnesses)
    return Policy(
        logs=base.logs,
        witnesses=witnesses,
        groups=(Group(name="two", threshold=2, members=names),),
        quorum="two",
    )


def test_a_mirror_whose_log_is_behind_its_rows_makes_it_again_with_the_tiles_of_older_tree_heads(
    three: list[SmallBureau],
) -> None:
    north, south, _ = three
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    sizes = []
    for number in range(3):
        writer.enter(MODEL.model_copy(update={"name": f"lumen-{number}"}))
        south.mirrors[north.origin].pull(NearPeer(north, south.origin))
        sizes.append(south.mirrors[north.origin].log.size)
    log = south.mirrors[north.origin].log
    assert len(set(sizes)) == 3
    expected = {path.relative_to(log.path): path.read_bytes() for path in (log.path / "tile").rglob("*/000.p/*")}
    shutil.rmtree(log.path)  # as if the crash had come before the first of them
    again = Mirror(
        south.registry.database,
        south.folder / "mirrors",
        south.registry.blobs,
        origin=north.origin,
        log_keys=[parse_vkey(key) for key in north.registry.home.settings.log_keys],
        own_origin=south.origin,
        now=south.clock,
    )
    assert (again.log.size, again.log.root) == (sizes[-1], north.registry.log.root)
    found = {path.relative_to(log.path): path.read_bytes() for path in (log.path / "tile").rglob("*/000.p/*")}
    heads = {Path(f"tile/{kind}/000.p/{size}") for kind in ("0", "entries") for size in sizes}
    assert heads <= found.keys() <= expected.keys()
    assert found.items() <= expected.items()
