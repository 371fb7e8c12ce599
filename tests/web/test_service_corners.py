"""What happens seldom: entries of other logs that count for nothing, keys that ended, a damaged file, a fault."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from served import (
    UNLIMITED,
    Claimant,
    Served,
    SteppedClock,
    entered_hash,
    entry_body,
    error_of,
    model,
    serving,
    wait_for,
)

from whorl.entries.kinds import Key
from whorl.entries.leaf import entry_id
from whorl.entries.statement import open_entry
from whorl.log.merkle import leaf_hash
from whorl.log.witnessing import Reply
from whorl.registry.accounts import issue_token
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import insert_entries
from whorl.registry.log_rows import add_log
from whorl.registry.public_keys import issuer_public
from whorl.registry.service_answers import RemoteError
from whorl.registry.stored_entry import StoredEntry
from whorl.web import account_routes
from whorl.web.following import Following
from whorl.web.limits import Limits, Rates
from whorl.web.witness_routes import Witnesses

OTHER_LOG = "bureau.example/two"


def test_an_organisation_is_shown_with_its_keys(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        organisation = claimant.register(remote)
        submitter = claimant.with_key(remote, organisation, "submitter")
        shown = client.get(f"/api/organisations/{entry_id(organisation)}").json()
        key = client.get(f"/api/issuers/{submitter.key.id.hex()}").json()
    assert (shown["name"], shown["home"], shown["threshold"]) == ("Northwind Labs", served.registry.origin, 1)
    assert {line["key"]: line["is_root"] for line in shown["keys"]} == {
        claimant.key.id.hex(): True,
        submitter.key.id.hex(): False,
    }
    assert (shown["verified_by"], shown["is_bureau"]) == ([], False)
    assert submitter.chain is not None  # begins with the entry that added it
    assert (key["roles"], key["sequence"], key["last"]) == (["submitter"], 0, entry_id(submitter.chain[1]))


def test_an_entry_of_another_log_that_counts_for_nothing_says_why(served: Served) -> None:
    claimant = Claimant.new()
    signed = claimant.sign(claimant.organisation)
    leaf = open_entry(signed.envelope).leaf(signed.salt).to_bytes()
    faulty = StoredEntry(
        origin=OTHER_LOG,
        index=0,
        leaf=leaf,
        kind=None,
        organisation=None,
        envelope=None,
        salt=None,
        seen_at=served.registry.now(),
        fault="it breaks a rule",
    )
    junk = replace(faulty, index=1, leaf=b"no leaf at all")

    def mirror(connection: Any) -> None:
        add_log(connection, OTHER_LOG, own=False)
        insert_entries(connection, [faulty, junk])

    served.service.write(mirror).result(10)
    with served.client() as client:
        for one in (faulty, junk):
            shown = client.get(f"/api/entries/{entry_id(leaf_hash(one.leaf))}").json()
            assert (shown["fault"], shown["origin"], shown["content"]) == ("it breaks a rule", OTHER_LOG, None)
            answer = client.get(f"/api/entries/{entry_id(leaf_hash(one.leaf))}/receipt")
            assert error_of(answer) == (404, "unknown")


def test_an_entry_of_another_log_has_its_receipt_there(served: Served) -> None:
    claimant = Claimant.new()
    signed = claimant.sign(claimant.organisation)
    entry = open_entry(signed.envelope)
    leaf = entry.leaf(signed.salt)
    mirrored = StoredEntry(
        origin=OTHER_LOG,
        index=0,
        leaf=leaf.to_bytes(),
        kind="organisation",
        organisation=leaf.hash,
        envelope=signed.envelope,
        salt=signed.salt,
        seen_at=served.registry.now(),
    )

    def mirror(connection: Any) -> None:
        add_log(connection, OTHER_LOG, own=False)
        insert_entries(connection, [mirrored])

    served.service.write(mirror).result(10)
    with served.client() as client:
        assert client.get(f"/api/entries/{entry_id(leaf.hash)}").json()["origin"] == OTHER_LOG
        answer = client.get(f"/api/entries/{entry_id(leaf.hash)}/receipt")
        assert error_of(answer) == (404, "unknown")
        assert OTHER_LOG in answer.text


def test_damage_is_503_and_tells_no_paths(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        found = claimant.register(remote)
        size = served.registry.log.size
        tile = served.registry.log.path / f"tile/0/000.p/{size}"
        tile.write_bytes(tile.read_bytes()[:-1] + b"!")
        receipt = client.get(f"/api/entries/{entry_id(found)}/receipt")
        tile.unlink()
        tile.mkdir()
        damaged = client.get(f"/log/tile/0/000.p/{size}")
        (served.registry.log.path / "checkpoint").write_bytes(b"")
        (served.registry.log.path / "checkpoint").unlink()
        missing = client.get("/log/checkpoint")
    for answer in (receipt, damaged, missing):
        assert error_of(answer) == (503, "unavailable")
        assert str(served.registry.home.path) not in answer.text
    assert str(served.registry.home.path) in caplog.text


def test_a_blob_whose_file_was_altered_is_not_given(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    from whorl.entries.kinds import Fingerprint

    claimant = Claimant.new()
    with served.remote(key=claimant.key) as remote, served.client() as client:
        claimant.register(remote)
        blob = remote.put_blob([b"a blob"])
        body = model()
        target = entered_hash(remote, claimant.sign(body))
        assert body.content is not None
        fingerprint = Fingerprint(method="test/1", model_content=body.content, blob=blob.digest, tool="test 1")
        entered_hash(remote, claimant.sign(fingerprint, target=target))
        name = blob.digest.removeprefix("sha256:")
        (served.registry.blobs.path / name[:2] / name[2:]).write_bytes(b"other!")
        assert error_of(client.get(f"/api/blobs/{blob.digest}")) == (503, "unavailable")
    assert blob.digest in caplog.text


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_a_key_that_ended_signs_no_request(folder: Path, ended: str) -> None:
    clock = SteppedClock()
    with serving(folder, limits=UNLIMITED, now=clock) as served, served.remote() as remote:
        claimant = Claimant.new()
        organisation = claimant.register(remote)
        other = Claimant.new()
        body = Key(
            action="add", public=issuer_public(other.key), roles=("submitter",), not_after="2999-01-01T00:00:00Z"
        )
        if ended == "expired":
            soon = clock.at + timedelta(minutes=1)
            body = body.model_copy(update={"not_after": soon.strftime("%Y-%m-%dT%H:%M:%SZ")})
        entered_hash(remote, claimant.sign(body, target=organisation, at=clock.at, cosigners=[other.key]))
        clock.at += timedelta(seconds=5)
        with served.remote(key=other.key) as theirs:
            theirs.put_blob([b"a blob"])
            clock.at += timedelta(minutes=2)
            if ended == "revoked":
                revoked = Key(action="revoke", public=issuer_public(other.key))
                entered_hash(remote, claimant.sign(revoked, target=organisation, at=clock.at))
            with pytest.raises(RemoteError) as refused:
                theirs.put_blob([b"another blob"])
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")


def test_a_token_of_a_person_of_the_bureau_acts_for_no_organisation(served: Served) -> None:
    now = served.registry.now()

    def issue(connection: Any) -> str:
        return issue_token(
            connection,
            scopes=frozenset({"submit"}),
            organisation=None,
            label="an operator",
            now=now,
            expires_at=now + timedelta(days=1),
            random_bytes=lambda size: b"\x07" * size,
        )

    token = served.service.write(issue).result(10)
    with served.remote(token=token) as remote:
        assert remote.put_blob([b"a blob"]).size == 6
        with pytest.raises(RemoteError):
            remote.tokens()


def test_an_organisation_has_so_many_tokens_and_no_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_routes, "TOKENS", 2)
    claimant = Claimant.new()
    claimant.register(served.registry)
    expires_at = served.registry.now() + timedelta(days=1)
    with served.remote(key=claimant.key) as remote:
        for _ in range(2):
            remote.issue_token(scopes=["read"], label="one more", expires_at=expires_at)
        with pytest.raises(RemoteError, match="revoke some first"):
            remote.issue_token(scopes=["read"], label="one more", expires_at=expires_at)
        remote.revoke_token(remote.tokens()[0]["id"])
        remote.issue_token(scopes=["read"], label="one more", expires_at=expires_at)


def test_the_writer_goes_on_after_a_fault_of_its_own(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    claimant, entering = Claimant.new(), served.service._entering
    settle = entering.settle

    def fail(batch: Any) -> None:
        entering.settle = settle  # type: ignore[method-assign]
        raise KeyError(batch)

    entering.settle = fail  # type: ignore[method-assign]
    body = entry_body(claimant.sign(claimant.organisation))
    with served.client() as client:
        assert error_of(client.post("/api/entries", content=body)) == (500, "internal")
        assert client.post("/api/entries", content=body).status_code == 201
    assert "a fault of whorl" in caplog.text


def test_what_nobody_waits_for_any_more_is_not_entered(served: Served) -> None:
    claimant = Claimant.new()
    with served.service._changed:
        given_up = served.service.enter([claimant.sign(claimant.organisation)], actor="test")
        assert given_up.cancel()
        work = served.service.write(lambda _: 1)
        assert work.cancel()
    assert served.service.write(lambda _: 2).result(10) == 2
    assert served.registry.organisation_of(claimant.key.id) is None
    assert served.service.health().waiting == 0


def test_an_audit_trail_that_cannot_be_written_is_written_later(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whorl.web import entering

    record, failures = entering.record_audits, [1]

    def fail_once(connection: Any, lines: Any) -> None:
        if failures and failures.pop():
            raise RegistryError("the disk is full")
        record(connection, lines)

    monkeypatch.setattr(entering, "record_audits", fail_once)
    with served.remote() as remote:
        Claimant.new().register(remote)  # the entry is in the log all the same

    def written() -> int:
        with served.registry.database.reading() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one())

    wait_for(lambda: written() == 1)


def test_a_blocked_organisation_does_not_block_what_cannot_be_read(folder: Path) -> None:
    with serving(folder, limits=Limits(entries_per_hour=10)) as served:
        claimant, other = Claimant.new(), Claimant.new("Meridian AI")
        claimant.register(served.registry)
        (first,) = [served.service.enter(claimant.models(12), actor="test")]
        first.result(30)
        refused = served.service.enter(claimant.models(1), actor="test")
        with pytest.raises(Exception, match="organisation in an hour"):
            refused.result(30)
        broken = replace(other.sign(other.organisation), envelope=b"{}")
        (outcome,) = served.service.enter([broken], actor="test").result(30)
        assert "envelope" in str(outcome)


class Answering:
    """A witness that knows one log."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def add_checkpoint(self, body: bytes, *, at: int) -> Reply:
        return Reply(status=200 if body == self._name else 404, body=b"%b at %d" % (self._name, at))

    def latest(self, hashed_origin: str) -> Reply:
        return Reply(status=200 if hashed_origin.encode() == self._name else 404, body=self._name)


def test_the_witness_that_knows_a_log_answers() -> None:
    witnesses = Witnesses(Answering(b"one"), Answering(b"two"))
    assert witnesses.add_checkpoint(b"two", at=7).body == b"two at 7"
    assert witnesses.latest("one").body == b"one"
    assert witnesses.latest("three").status == 404
    assert Witnesses().add_checkpoint(b"one", at=7).status == 404


def test_the_other_bureaus_are_looked_at_again_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Federation:
        looks = 0

        def sync(self) -> None:
            self.looks += 1
            raise ValueError("nobody there")

    federation = Federation()
    with Following(federation, seconds=0.01):  # type: ignore[arg-type]
        wait_for(lambda: federation.looks > 2)
    assert "could not be looked at" in caplog.text
    wait_for(lambda: not any(thread.name == "follower" for thread in threading.enumerate()))


def test_counters_can_be_asked_and_cleared() -> None:
    now = [5.0]
    counters = Rates(Limits(), monotonic=lambda: now[0])._counters
    assert counters.incr("a", 10, 3) == 3
    assert (counters.get("a"), counters.seconds_left("a"), counters.check()) == (3, 10.0, True)
    assert counters.get_expiry("a") > 0
    counters.clear("a")
    assert (counters.get("a"), counters.reset()) == (0, 0)
