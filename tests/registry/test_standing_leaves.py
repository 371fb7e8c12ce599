"""What an issuer enters sets no two bureaus at odds, and what a bureau enters against the rules is still found."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from bureaus import NearPeer, SmallBureau, Writer, federate, new_writer, sync
from small_log import counting_bytes
from test_cheating_bureaus import OTHER, WITHDRAWN, admit_everything, organisation_of
from test_mirroring import MODEL, three  # noqa: F401

from whorl.core.errors import VerificationError
from whorl.entries.composing import compose
from whorl.entries.handling import Handling
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import (
    Commitment,
    Dispute,
    Fingerprint,
    Key,
    Notice,
    Opening,
    Organisation,
    Response,
    Role,
    Status,
)
from whorl.registry.admission import Admitted
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import find_entry
from whorl.registry.local import entered
from whorl.registry.log_rows import stored_logs
from whorl.registry.mirroring import NOT_SHOWN, BehindError, MirrorError, pull_all
from whorl.registry.public_keys import issuer_public
from whorl.registry.refusals import BREAKS, Refusal
from whorl.registry.replaying import erase_entry
from whorl.registry.sequencer import Submission
from whorl.registry.spoken_against import spoken_against

OWN = Handling(label="own")
QUESTION = Notice(colour="blue", title="q", text="t")
ANNULLED = Status(state="annulled", reason="As decided.")


def apart(bureaus: list[SmallBureau]) -> None:
    """Let nobody ask the others to look at what is new."""
    for bureau in bureaus:
        bureau.registry.ask_witnesses([])


def maps_of(bureaus: list[SmallBureau]) -> list[dict[bytes, bytes]]:
    maps = []
    for bureau in bureaus:
        with bureau.registry.database.reading() as connection:
            sizes = {log.origin: log.size for log in stored_logs(connection)}
            maps.append(spoken_against(connection, until=sizes))
    return maps


def agree(bureaus: list[SmallBureau]) -> dict[bytes, bytes]:
    """Everybody reads everybody, cosigns everybody's tree head, and makes one status map: this."""
    for reading in bureaus:
        for read in bureaus:
            if read is not reading:
                try:
                    reading.mirrors[read.origin].pull(NearPeer(read, reading.origin))
                except BehindError:
                    continue
    sync(bureaus)
    for bureau in bureaus:
        bureau.registry.ask_witnesses([one.cosigner() for one in bureaus if one is not bureau])
        bureau.clock.move(seconds=2)
        signatures = bureau.registry.sequencer.refresh().signatures
        assert {one.name.removesuffix("/witness") for one in signatures} == {one.origin for one in bureaus}
    sync(bureaus)
    assert [bureau.alarms for bureau in bureaus] == [[], [], []]
    first, *others = maps_of(bureaus)
    assert others == [first, first]
    return first


# Read before what it speaks of.


def test_a_vote_that_is_read_before_what_it_speaks_of_counts_later(three: list[SmallBureau]) -> None:  # noqa: F811
    north, south, east = three
    apart(three)
    examiner = organisation_of(new_writer(south, "Dune Examiners", first_random=8_000_000))
    north.mirrors[south.origin].pull(NearPeer(south, north.origin))
    verified = Status(state="verified", reason="Their papers were seen.")
    vote = entered(north.registry.sequencer.enter_own([verified], target=examiner)[0]).hash
    assert east.witness is not None
    pull_all(north.origin, east.witness._followed)
    agree(three)
    with east.registry.database.reading() as connection:
        assert [one.hash for one in DatabaseView(connection).about(examiner, "status")] == [vote]


def test_a_dispute_that_is_read_before_its_notice_is_in_every_map(three: list[SmallBureau]) -> None:  # noqa: F811
    north, south, east = three
    apart(three)
    maker, asker = (
        new_writer(north, "Maker", first_random=9_000_000),
        new_writer(south, "Asker", first_random=8_000_000),
    )
    model = maker.enter(MODEL)
    south.mirrors[north.origin].pull(NearPeer(north, south.origin))
    notice = asker.enter(QUESTION, target=model)
    north.mirrors[south.origin].pull(NearPeer(south, north.origin))
    dispute = maker.enter(Dispute(grounds="no"), target=notice)
    with pytest.raises(BehindError):
        east.mirrors[north.origin].pull(NearPeer(north, east.origin))
    east.registry.sequencer.refresh()  # a map of the dispute, without the notice
    assert maps_of([east]) == [{}]
    assert agree(three) == {notice: dispute}


def test_a_root_key_that_is_revoked_while_its_entry_waits(three: list[SmallBureau]) -> None:  # noqa: F811
    north, south, east = three
    maker = new_writer(south, "Maker", first_random=8_000_000)
    random = counting_bytes(50_000_000)
    roots = [new_issuer_key(random) for _ in range(2)]
    public = tuple(map(issuer_public, roots))
    first, second = (Writer(north, root, random) for root in roots)
    body = Organisation(name="Two Roots", jurisdiction="NL", roots=public)
    organisation = first.enter(body, cosigners=roots[1:])
    apart(three)
    model = maker.enter(MODEL)
    north.mirrors[south.origin].pull(NearPeer(south, north.origin))
    waits = first.enter(fingerprint(three), target=model)
    second.enter(Key(action="revoke", public=public[0]), target=organisation)
    with pytest.raises(BehindError):
        east.mirrors[north.origin].pull(NearPeer(north, east.origin))
    agree(three)
    assert fault_at(east, waits) is None


def test_a_key_that_expires_while_its_entry_waits(three: list[SmallBureau]) -> None:  # noqa: F811
    north, south, east = three
    maker = new_writer(south, "Maker", first_random=8_000_000)
    key = added(new_writer(north, "Tern Models", first_random=50_000_000), seconds=30)
    apart(three)
    model = maker.enter(MODEL)
    north.mirrors[south.origin].pull(NearPeer(south, north.origin))
    waits = key.enter(fingerprint(three), target=model)
    with pytest.raises(BehindError):
        east.mirrors[north.origin].pull(NearPeer(north, east.origin))
    north.clock.move(seconds=60)
    agree(three)
    assert fault_at(east, waits) is None


# What a mirror is not shown.


def hidden_model(bureaus: list[SmallBureau]) -> None:
    writer = new_writer(bureaus[0], "Tern Models", first_random=50_000_000)
    model = writer.enter(MODEL, handling=OWN)
    writer.enter(fingerprint(bureaus), target=model)
    writer.enter(WITHDRAWN, target=model)


def hidden_claim(bureaus: list[SmallBureau]) -> None:
    """Who claims the accused content is a party, though not everybody is shown the claim."""
    north, south, _ = bureaus
    model = new_writer(south, "Maker", first_random=51_000_000).enter(MODEL)
    asker = new_writer(north, "Asker", first_random=52_000_000)
    sync(bureaus)
    notice = asker.enter(QUESTION, target=model)
    writer = new_writer(north, "Tern Models", first_random=50_000_000)
    writer.enter(MODEL, handling=OWN)
    writer.enter(Dispute(grounds="no"), target=notice)


def shown_to_one(bureaus: list[SmallBureau]) -> None:
    writer = new_writer(bureaus[0], "Tern Models", first_random=50_000_000)
    model = writer.enter(MODEL, handling=Handling(label="named", recipients=(bureaus[1].origin,)))
    notice = writer.enter(QUESTION, target=model, handling=OWN)
    writer.enter(Response(text="no"), target=notice)
    writer.enter(WITHDRAWN, target=notice)


def hidden_commitment(bureaus: list[SmallBureau]) -> None:
    writer = new_writer(bureaus[0], "Tern Models", first_random=50_000_000)
    body = Commitment(root="00" * 32, count=1, purpose="alibi", expires="2027-01-01T00:00:00Z")
    commitment = writer.enter(body, handling=OWN)
    blob = bureaus[0].registry.put_blob([b"opened"]).digest
    writer.enter(Opening(blob=blob, members=(0,)), target=commitment)


def erased_before_it_was_read(bureaus: list[SmallBureau]) -> None:
    north = bureaus[0]
    writer = new_writer(north, "Tern Models", first_random=50_000_000)
    apart(bureaus)
    model = writer.enter(MODEL)
    writer.enter(fingerprint(bureaus), target=model)
    erase_entry(north.registry.database, north.registry.blobs, model, at=north.clock())


def erased_in_one_mirror(bureaus: list[SmallBureau]) -> None:
    north, _, east = bureaus
    writer = new_writer(north, "Tern Models", first_random=50_000_000)
    notice = new_writer(north, "Asker", first_random=51_000_000).enter(QUESTION, target=writer.enter(MODEL))
    erase_entry(east.registry.database, east.registry.blobs, notice, at=north.clock())
    writer.enter(Response(text="no"), target=notice)
    writer.enter(Dispute(grounds="no"), target=notice)


def erased_where_it_was_entered(bureaus: list[SmallBureau]) -> None:
    """Its bureau cannot tell any more what it claims, and takes nothing that depends on it."""
    north = bureaus[0]
    writer = new_writer(north, "Tern Models", first_random=50_000_000)
    model = writer.enter(MODEL)
    erase_entry(north.registry.database, north.registry.blobs, model, at=north.clock())
    refused = writer.offer(fingerprint(bureaus, content=f"sha256:{'99' * 32}"), target=model)
    assert isinstance(refused, Refusal)
    assert refused.code == "not_readable"
    writer.enter(WITHDRAWN, target=model)


@pytest.mark.parametrize(
    "happens",
    [
        hidden_model,
        hidden_claim,
        shown_to_one,
        hidden_commitment,
        erased_before_it_was_read,
        erased_in_one_mirror,
        erased_where_it_was_entered,
    ],
)
def test_what_is_not_shown_to_all_sets_nobody_at_odds(
    three: list[SmallBureau],  # noqa: F811
    happens: Callable[[list[SmallBureau]], None],
) -> None:
    happens(three)
    agree(three)


def test_a_bureau_that_looked_before_it_was_a_peer_goes_on_without_the_content(three: list[SmallBureau]) -> None:  # noqa: F811
    north, _, east = three
    apart(three)
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL, handling=Handling(label="bureaus"))

    class Stranger(NearPeer):
        def contents(self, start: int, stop: int) -> list[object]:  # type: ignore[override]
            return list(self.other.registry.contents(start, stop, reader=None, is_bureau=False))

    east.mirrors[north.origin].pull(Stranger(north, east.origin))
    withdrawal = writer.enter(WITHDRAWN, target=model)
    assert agree(three) == {model: withdrawal}
    assert fault_at(east, model) == NOT_SHOWN


# Judges.


def judged(bureaus: list[SmallBureau], judges: list[IssuerKey]) -> tuple[bytes, Writer]:
    """A model, and a judge whose colleague's key expired since the others looked."""
    north = bureaus[0]
    federate(bureaus, chamber=judges)
    model = new_writer(north, "Maker", first_random=50_000_000).enter(MODEL)
    judge = Writer(north, judges[0], counting_bytes(61_000_000))
    roots = (issuer_public(judges[0]),)
    judge.enter(Organisation(name="First Judge", jurisdiction="NL", roots=roots))
    added(new_writer(north, "Second Judge", first_random=62_000_000), "chamber", seconds=30, key=judges[1])
    sync(bureaus)
    north.clock.move(seconds=60)
    return model, judge


def test_whether_a_cosigning_judges_key_had_expired_is_judged_alike(three: list[SmallBureau]) -> None:  # noqa: F811
    judges = [new_issuer_key(counting_bytes(60_000_000 + number)) for number in range(2)]
    model, judge = judged(three, judges)
    judge.enter(ANNULLED, target=model, cosigners=judges[1:])
    assert model not in agree(three)


def test_a_signature_that_names_a_judge_and_is_not_the_judges_is_refused(three: list[SmallBureau]) -> None:  # noqa: F811
    judges = [new_issuer_key(counting_bytes(60_000_000 + number)) for number in range(2)]
    model, judge = judged(three, judges)
    registry = three[0].registry
    statement = compose(
        ANNULLED,
        log=registry.origin,
        issuer=judge.key.id,
        chain=registry.chain(judge.key.id),
        now=three[0].clock(),
        target=model,
    )
    document = json.loads(statement.sign(judge.key, cosigners=judges[1:]))
    for signature in document["signatures"]:
        if signature["keyid"] == judges[1].id.hex():
            signature["sig"] = base64.b64encode(b"\1" * 64).decode()
    envelope = json.dumps(document, separators=(",", ":")).encode()
    refused = registry.enter([Submission(envelope=envelope, salt=b"q" * 32)])[0]
    assert isinstance(refused, Refusal)
    assert refused.code == "bad_signature"
    agree(three)


# Bureaus that do not keep the rules.


def test_a_bureau_without_rules_sets_no_others_at_odds_by_what_it_shows_to_one(
    three: list[SmallBureau],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sees that an entry breaks a rule, the other does not and takes what is said about it."""
    north, south, east = three
    judge = new_issuer_key(counting_bytes(60_000_000))
    federate(three, chamber=[judge])
    writer = new_writer(north, "First Judge", first_random=61_000_000)
    judging = added(writer, "chamber", key=judge)
    accuser = new_writer(east, "Accuser", first_random=62_000_000)
    model = accuser.enter(MODEL)
    sync(three)
    apart(three)
    with monkeypatch.context() as patch:
        admit_everything(patch, accuser)
        named = Handling(label="named", recipients=(south.origin,))
        notice = accuser.enter(Response(text="about no notice"), target=model, handling=named)
        stolen = accuser.enter(Notice(colour="blue", title="q", text="t"), target=model, handling=named)
    for reading in (south, north):
        try:
            reading.mirrors[east.origin].pull(NearPeer(east, reading.origin))
        except MirrorError:
            continue
    fault = fault_at(south, notice)
    assert fault is not None
    assert fault.startswith(BREAKS)
    assert fault_at(north, notice) == NOT_SHOWN
    vote = judging.enter(ANNULLED, target=stolen)
    south.mirrors[north.origin].pull(NearPeer(north, south.origin))
    north.mirrors[south.origin].pull(NearPeer(south, north.origin))
    assert maps_of([north, south]) == [{stolen: vote}] * 2
    with pytest.raises(MirrorError, match="is not admissible"):
        south.mirrors[east.origin].pull(NearPeer(east, south.origin))


@pytest.mark.parametrize("how", ["used number", "revoked key"])
def test_a_hidden_leaf_that_does_not_stand_in_the_log_breaks_a_rule(
    three: list[SmallBureau],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    north = three[0]
    writer = new_writer(north, "Northwind Labs", first_random=9_000_000)
    signing = added(writer, seconds=9000)
    before = north.registry.chain(signing.key.id)
    signing.enter(MODEL, handling=OWN)
    if how == "revoked key":
        revoke = Key(action="revoke", public=issuer_public(signing.key))
        writer.enter(revoke, target=organisation_of(writer))
        before = north.registry.chain(signing.key.id)
    statement = compose(OTHER, log=north.origin, issuer=signing.key.id, chain=before, now=north.clock(), handling=OWN)
    organisation = organisation_of(writer)
    admitted = Admitted(organisation=organisation, signers=frozenset({signing.key.id}))
    with monkeypatch.context() as patch:
        patch.setattr("whorl.registry.sequencer.admit", lambda *_, **__: admitted)
        if how == "used number":  # its own tables would not have two
            with north.registry.database.writing() as connection:
                connection.exec_driver_sql("DROP INDEX entries_by_chain")
        entered(north.registry.enter([Submission(envelope=statement.sign(signing.key), salt=b"q" * 32)])[0])
    for bureau in three[1:]:
        assert "breaks a rule: expected a leaf in the chain" in bureau.alarms[-1][1]


def test_what_waits_for_nothing_that_exists_is_found_whatever_else_does_not_count(
    three: list[SmallBureau],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    north, south, _ = three
    writer = new_writer(south, "Cheat", first_random=40_000_000)
    expired = added(writer, seconds=-30)
    sync(three)
    with monkeypatch.context() as patch:
        admit_everything(patch, writer)
        late = expired.enter(OTHER)  # as a bureau does whose clock is behind
    sync(three)
    assert not str(fault_at(north, late)).startswith(BREAKS)
    agree(three)
    with monkeypatch.context() as patch:
        admit_everything(patch, writer)
        writer.enter(Response(text="x"), target=b"\5" * 32)
    assert "is not admissible" in north.alarms[-1][1]


def test_a_breach_is_not_forgotten_when_its_content_is_erased(
    three: list[SmallBureau],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    north, _, east = three
    writer = new_writer(north, "Cheat", first_random=40_000_000)
    with monkeypatch.context() as patch:
        admit_everything(patch, writer)
        broken = writer.enter(Response(text="somebody's name"), target=organisation_of(writer))
    erase_entry(east.registry.database, east.registry.blobs, broken, at=east.clock())
    assert fault_at(east, broken) == f"{BREAKS}erased"
    with pytest.raises(VerificationError, match="is not admissible"):
        east.mirrors[north.origin].pull(NearPeer(north, east.origin))


def fingerprint(bureaus: list[SmallBureau], *, content: str | None = MODEL.content) -> Fingerprint:
    blobs = {bureau.registry.put_blob([b"a fingerprint"]).digest for bureau in bureaus}
    assert content is not None
    return Fingerprint(method="x/1", model_content=content, blob=blobs.pop(), tool="whorl 0.1")


def added(writer: Writer, role: Role = "submitter", *, seconds: int = 9000, key: IssuerKey | None = None) -> Writer:
    """Another key of an organisation, which expires."""
    random = counting_bytes(70_000_000)
    added_key = key or new_issuer_key(random)
    until = writer.bureau.clock() + timedelta(seconds=seconds)
    body = Key(
        action="add",
        public=issuer_public(added_key),
        roles=(role,),
        not_after=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    writer.enter(body, target=organisation_of(writer), cosigners=[added_key])
    return Writer(writer.bureau, added_key, random)


def fault_at(bureau: SmallBureau, digest: bytes) -> str | None:
    with bureau.registry.database.reading() as connection:
        held = find_entry(connection, digest)
    assert held is not None
    return held.fault
