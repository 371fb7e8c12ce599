"""What hides a notice at one bureau hides it at all, whatever a mirror is shown and whatever its clock says."""

from datetime import timedelta
from pathlib import Path

import pytest
from bureaus import NearPeer, SmallBureau, Writer, federate, make_bureau, new_writer, sync
from small_log import counting_bytes
from test_cheating_bureaus import organisation_of
from test_mirroring import MODEL, Clock, three  # noqa: F401
from test_standing_leaves import OWN, QUESTION, agree, apart, fault_at

from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import Dispute, Key, Organisation, Response, Status
from whorl.registry.database_view import DatabaseView
from whorl.registry.mirroring import BehindError, Mirror
from whorl.registry.notices import notice_standing
from whorl.registry.public_keys import issuer_public
from whorl.registry.replaying import erase_entry

REVIEWED = Status(state="reviewed", reason="It was read.")
NO = Dispute(grounds="no")


def states(bureaus: list[SmallBureau], notice: bytes) -> list[str]:
    found = []
    for bureau in bureaus:
        with bureau.registry.database.reading() as connection:
            view = DatabaseView(connection)
            facts = view.entry(notice)
            assert facts is not None
            found.append(notice_standing(facts, view, at=bureau.clock()).state)
    return found


def published(bureaus: list[SmallBureau], **claim: object) -> tuple[Writer, Writer, bytes, bytes]:
    """An accuser, who else claims the accused content, a notice that is shown everywhere, and that claim."""
    north, south, east = bureaus
    accuser = new_writer(north, "Accuser", first_random=51_000_000)
    party = new_writer(north, "Tern Models", first_random=52_000_000)
    model = new_writer(north, "Maker", first_random=53_000_000).enter(MODEL)
    claimed = party.enter(MODEL, **claim)  # type: ignore[arg-type]
    notice = accuser.enter(QUESTION, target=model)
    sync(bureaus)
    for bureau in (south, east):
        bureau.registry.sequencer.enter_own([REVIEWED], target=notice)
    sync(bureaus)
    north.clock.move(seconds=61)
    assert states(bureaus, notice) == ["published"] * 3
    return accuser, party, notice, claimed


def test_a_dispute_by_who_claims_the_content_in_secret_blocks_everywhere(three: list[SmallBureau]) -> None:  # noqa: F811
    """And the accuser's silence annuls everywhere."""
    _, party, notice, _ = published(three, handling=OWN)
    dispute = party.enter(NO, target=notice)
    sync(three)
    assert "not admissible" in str(fault_at(three[1], dispute))
    assert states(three, notice) == ["blocked"] * 3
    three[0].clock.move(seconds=121)
    assert states(three, notice) == ["annulled"] * 3
    assert agree(three) == {notice: dispute}


@pytest.mark.parametrize("how", ["withdrawn", "dismissed"])
def test_such_a_dispute_is_answered_and_ended_everywhere(three: list[SmallBureau], how: str) -> None:  # noqa: F811
    judge = new_issuer_key(counting_bytes(60_000_000))
    federate(three, chamber=[judge])
    judging = Writer(three[1], judge, counting_bytes(61_000_000))
    judging.enter(Organisation(name="Judge", jurisdiction="NL", roots=(issuer_public(judge),)))
    accuser, party, notice, _ = published(three, handling=OWN)
    dispute = party.enter(NO, target=notice)
    accuser.enter(Response(text="yes"), target=dispute)
    sync(three)
    three[0].clock.move(seconds=121)
    assert states(three, notice) == ["blocked"] * 3
    (party if how == "withdrawn" else judging).enter(Status(state=how, reason="So it is."), target=dispute)  # type: ignore[arg-type]
    sync(three)
    assert states(three, notice) == ["published"] * 3
    agree(three)


def test_a_dispute_stays_one_when_the_claim_behind_it_is_erased(three: list[SmallBureau]) -> None:  # noqa: F811
    _, party, notice, claimed = published(three)
    party.enter(NO, target=notice)
    sync(three)
    three[0].clock.move(seconds=121)
    assert states(three, notice) == ["annulled"] * 3
    for bureau in three[:2]:
        erase_entry(bureau.registry.database, bureau.registry.blobs, claimed, at=bureau.clock())
    assert states(three, notice) == ["annulled"] * 3


@pytest.mark.parametrize("what", ["annulled", "withdrawn", "refused", "dispute"])
def test_a_key_that_expires_between_two_clocks_hides_everywhere(tmp_path: Path, what: str) -> None:
    """What shows has to count everywhere: the same key's review shows nothing where it had expired."""
    here, ahead = Clock(), Clock()
    ahead.move(seconds=20)
    clocks = {"north": here, "south": ahead, "east": here}
    bureaus = [
        make_bureau(tmp_path, name, clock, first_random=number * 1_000_000)
        for number, (name, clock) in enumerate(clocks.items(), 1)
    ]
    judge = new_issuer_key(counting_bytes(60_000_000))
    federate(bureaus, chamber=[judge])
    north, south, east = bureaus
    apart(bureaus)
    owner = new_writer(north, "Judge", first_random=61_000_000)
    accuser = new_writer(north, "Accuser", first_random=62_000_000)
    maker = new_writer(north, "Maker", first_random=63_000_000)
    expires = f"{here() + timedelta(seconds=3600):%Y-%m-%dT%H:%M:%SZ}"

    def expiring(writer: Writer, role: str, key: object = None) -> Writer:
        drawn = key or new_issuer_key(writer.random)
        body = Key(action="add", public=issuer_public(drawn), roles=(role,), not_after=expires)  # type: ignore[arg-type]
        writer.enter(body, target=organisation_of(writer), cosigners=[drawn])  # type: ignore[list-item]
        return Writer(writer.bureau, drawn, writer.random)  # type: ignore[arg-type]

    judging, taking_back = expiring(owner, "chamber", judge), expiring(accuser, "submitter")
    disputing = expiring(maker, "submitter")
    bureau = Writer(east, east.registry.home.bureau_key(), counting_bytes(64_000_000))
    reviewing = expiring(bureau, "reviewer")
    notice = accuser.enter(QUESTION, target=maker.enter(MODEL))
    for reading in bureaus:
        for read in bureaus:
            if read is not reading:
                reading.mirrors[read.origin].pull(NearPeer(read, reading.origin))
    entered_by = {"annulled": judging, "withdrawn": taking_back, "refused": reviewing, "dispute": disputing}[what]
    for clock in (here, ahead):
        clock.move(seconds=3590)
    sync(bureaus)  # at south it is 3610
    body = NO if what == "dispute" else Status(state=what, reason="So it is.")  # type: ignore[arg-type]
    entry = entered_by.enter(body, target=notice)
    sync(bureaus)
    assert "expired" in str(fault_at(south, entry))
    state = "blocked" if what == "dispute" else what
    assert states(bureaus, notice) == [state] * 3
    assert agree(bureaus) == {notice: entry}


# What waits.


def test_what_waits_is_looked_at_again_only_when_something_was_read(
    three: list[SmallBureau],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nobody is kept from writing by a look that finds nothing new."""
    north, south, _ = three
    _, party, notice, _ = published(three, handling=OWN)
    disputes = [party.enter(NO, target=notice) for _ in range(3)]
    sync(three)
    mirror, peer = south.mirrors[north.origin], NearPeer(north, south.origin)
    looked: list[bytes] = []
    written: list[int] = []
    judged, writing = Mirror._judged, south.registry.database.writing
    with monkeypatch.context() as patch:
        patch.setattr(
            Mirror, "_judged", lambda self, stored, *rest: looked.append(stored.hash) or judged(self, stored, *rest)
        )
        patch.setattr(south.registry.database, "writing", lambda: written.append(1) or writing())
        mirror.pull(peer)
        looked.clear()
        written.clear()
        mirror.pull(peer)
        assert (looked, written) == ([], [])
        sync([south, three[2]])  # nothing new
        mirror.pull(peer)
        assert (looked, written) == ([], [])
        new_writer(south, "Somebody", first_random=54_000_000)
        looked.clear()
        written.clear()
        mirror.pull(peer)
        assert looked == disputes
        assert written == []


def test_what_waits_for_what_waits_counts_when_that_does(three: list[SmallBureau]) -> None:  # noqa: F811
    """Nothing was read since; an entry of another log counts by now."""
    north, south, east = three
    apart(three)
    maker, asker, other = (
        new_writer(bureau, name, first_random=first)
        for bureau, name, first in (
            (north, "Maker", 51_000_000),
            (south, "Asker", 52_000_000),
            (east, "Also", 53_000_000),
        )
    )
    model = other.enter(MODEL)
    for reading, read in ((north, east), (south, east)):
        reading.mirrors[read.origin].pull(NearPeer(read, reading.origin))
    maker.enter(MODEL)
    south.mirrors[north.origin].pull(NearPeer(north, south.origin))
    notice = asker.enter(QUESTION, target=model)
    north.mirrors[south.origin].pull(NearPeer(south, north.origin))
    response = maker.enter(Response(text="no"), target=notice)
    # A mirror of both that has not read the model.
    far = make_bureau(north.folder.parent, "far", north.clock, first_random=90_000_000)
    federate([far, north, south, east])
    for origin in (north, south):
        with pytest.raises(BehindError):
            far.mirrors[origin.origin].pull(NearPeer(origin, far.origin))
    assert "waits" in str(fault_at(far, response))
    for origin in (east, north, south, north):
        far.mirrors[origin.origin].pull(NearPeer(origin, far.origin))
    assert fault_at(far, notice) is None
    assert fault_at(far, response) is None
