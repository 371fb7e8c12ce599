"""What the service is for: entries handed in, found again, and proven; over real HTTP, with the package's client."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from served import (
    ORIGIN,
    Claimant,
    Served,
    entered_hash,
    entry_body,
    error_of,
    ids_of,
    leaf_hash_of,
    model,
    serving,
)

from whorl.core.errors import InputError, VerificationError
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Fingerprint, Key, Status
from whorl.entries.leaf import entry_id
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.log.policy import check_tree_head, parse_policy
from whorl.log.tiles import parse_bundle
from whorl.registry.issuing import Issue, Issuer, RegistryAccess, new_key_file
from whorl.registry.public_keys import issuer_public
from whorl.registry.refusals import Refusal
from whorl.registry.sequencer import Entered


def test_a_model_is_registered_and_proven_to_a_stranger(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    new_key_file(path, lambda size: bytes(range(size)))
    issuer = Issuer(path, now=served.registry.now, random_bytes=np.random.default_rng(1).bytes)
    with served.remote(key=issuer.key) as remote:
        access: RegistryAccess = remote
        assert access.origin == ORIGIN
        assert issuer.introduce(access, name="Northwind Labs", jurisdiction="NL") == ("Northwind Labs", True)
        assert issuer.introduce(access, name=None, jurisdiction="NL") == ("Northwind Labs", False)
        with pytest.raises(InputError, match=r"--claimant: expected 'Northwind Labs'.*found 'Meridian AI'"):
            issuer.introduce(access, name="Meridian AI", jurisdiction="NL")
        blob = access.put_blob([b"finger", b"print"])
        body = model()
        assert body.content is not None
        fingerprint = Fingerprint(method="test/1", model_content=body.content, blob=blob.digest, tool="test 1")
        first, second = issuer.issue(access, [Issue(body=body), Issue(body=fingerprint, about=0)])
        assert access.same_entry(body, issuer=issuer.key.id) == first.hash
        assert access.same_entry(model(), issuer=issuer.key.id) is None
        assert access.chain(issuer.key.id) == (2, second.hash)
        for entered in (first, second):
            verified = remote.checked_receipt(entered.hash, served.policy)
            assert (verified.index, verified.claimant.name) == (entered.index, "Northwind Labs")
            assert verified.standing.good is True
        assert remote.blob(blob.digest) == b"fingerprint"


def test_an_entry_is_shown_with_its_claimant_and_level(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote:
        organisation = claimant.register(remote)
        body = model(revision="2")
        shown = remote.entry(entered_hash(remote, claimant.sign(body)))
    assert shown["kind"] == "model"
    assert shown["claimant"] == {"id": entry_id(organisation), "name": "Northwind Labs", "jurisdiction": "NL"}
    assert shown["level"]["level"] == 0
    assert shown["standing"] == {"standing": "good", "by": []}
    assert shown["content"]["statement"]["predicate"]["body"] == body.model_dump(mode="json")
    assert "owner" not in json.dumps(shown)


def test_nobody_hands_in_the_key_of_somebody_else(served: Served) -> None:
    victim, stranger = Claimant.new(post_quantum=True), Claimant.new("Meridian AI")
    organisation = stranger.organisation
    named = organisation.model_copy(update={"roots": (*organisation.roots, issuer_public(victim.key))})
    with served.remote() as remote:
        (outcome,) = remote.enter([stranger.sign(named)])
        assert isinstance(outcome, Refusal)
        assert outcome.code == "missing_signature"
        stranger.chain = None
        target = stranger.register(remote)
        chain = stranger.chain
        added = Key(action="add", public=issuer_public(victim.key), roles=("submitter",))
        half = IssuerKey(ed25519=victim.key.ed25519)
        for cosigners in ([], [half]):  # nor with one half of it
            stranger.chain = chain
            (outcome,) = remote.enter([stranger.sign(added, target=target, cosigners=cosigners)])
            assert isinstance(outcome, Refusal)
            assert outcome.code == "missing_signature"
        assert remote.claimant_of(victim.key.id) is None
        victim.register(remote)
        assert remote.claimant_of(victim.key.id) == "Northwind Labs"


def test_names_and_digests_lead_to_entries(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        body = model(name="Lumen Großmodell")
        found = entry_id(entered_hash(remote, claimant.sign(body)))
        assert [line["id"] for line in remote.named("lumen GROSSM")] == [found]
        assert list(remote.named("lumen", kind="dataset")) == []
        document = client.get(f"/api/digests/{body.content}").json()
        assert [claim["entry"]["id"] for claim in document["claims"]] == [found]
        assert [line["id"] for line in document["named_by"]["content"]] == [found]
        newest = client.get("/api/entries", params={"kind": "model"}).json()["entries"]
        assert newest[0]["id"] == found


def test_pages_of_names_hold_every_entry_once(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote:
        claimant.register(remote)
        for outcome in remote.enter([claimant.sign(model(name=f"Tide {number}")) for number in range(120)]):
            assert isinstance(outcome, Entered)
        names = [line["name"] for line in remote.named("tide")]
    assert sorted(names) == sorted(f"Tide {number}" for number in range(120))


def test_a_search_gives_leads(served: Served) -> None:
    claimant, other = Claimant.new(), Claimant.new("Meridian AI")
    near = np.arange(-60, 60, dtype=np.int8)
    far = near[::-1].copy()
    with served.remote() as remote:
        for one, vector in ((claimant, near), (other, far)):
            one.register(remote)
            body = model(one.name, name="lumen")
            target = entered_hash(remote, one.sign(body))
            assert body.content is not None
            text = base64.b64encode(vector.tobytes()).decode()
            with served.remote(key=one.key) as own:
                blob = own.put_blob([one.name.encode()]).digest
            fingerprint = Fingerprint(
                method="test/1", model_content=body.content, blob=blob, tool="test 1", scheme="test", vector=text
            )
            entered_hash(remote, one.sign(fingerprint, target=target))
        first, second = remote.search(near, scheme="test", top=10)
        assert remote.search(near, scheme="another", top=10) == []
    assert (first.claimant, second.claimant) == ("Northwind Labs", "Meridian AI")
    assert (first.name, first.level) == ("lumen", 0)
    assert first.score == pytest.approx(1)


def test_the_log_is_served_as_c2sp_tiles(served: Served) -> None:
    with served.client() as client:
        answer = client.get("/log/checkpoint")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        policy = parse_policy(client.get("/log/policy").text)
        head = check_tree_head(answer.content, policy).head
        bundle = client.get(f"/log/tile/entries/000.p/{head.size}")
        assert bundle.headers["content-type"] == "application/octet-stream"
        assert "immutable" in bundle.headers["cache-control"]
        assert len(parse_bundle(bundle.content, width=head.size)) == head.size
        tile = client.get(f"/log/tile/0/000.p/{head.size}")
        assert len(tile.content) == 32 * head.size
        for path in ("0/000", "0/0", "0/000.p/0", "64/000", "entries/001", "..%2f..%2fkeys/log.json", "../../keys"):
            assert error_of(client.get(f"/log/tile/{path}")) == (404, "unknown")


def test_the_same_entry_again_is_the_same_entry(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        body = entry_body(*claimant.models(3))
        first = client.post("/api/entries", content=body)
        again = client.post("/api/entries", content=body)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert served.registry.log.published() is not None
        for digest in ids_of(first):
            remote.checked_receipt(digest, served.policy)
    with served.registry.database.reading() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM entries WHERE kind = 4").scalar_one()
    assert count == 3


def test_another_entry_of_the_same_number_is_none(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        before = claimant.chain
        first = claimant.sign(body := model())
        assert client.post("/api/entries", content=entry_body(first)).status_code == 201
        claimant.chain = before
        resalted = claimant.sign(body, at=datetime.now(UTC))
        claimant.chain = before
        different = claimant.sign(model())
        answers = [client.post("/api/entries", content=entry_body(one)) for one in (resalted, different)]
    assert [answer.status_code for answer in answers] == [207, 207]
    codes = [answer.json()["results"][0]["error"]["code"] for answer in answers]
    assert codes[0] in ("replay", "equivocation")  # the second of a clock may have passed
    assert codes[1] == "equivocation"


def test_a_request_is_told_what_became_of_each_entry(served: Served) -> None:
    claimant = Claimant.new()
    with served.client() as client:
        good = claimant.sign(claimant.organisation)
        bad = claimant.sign(Status(state="verified", reason="It is us."), target=leaf_hash_of(good))
        answer = client.post("/api/entries", content=entry_body(good, bad))
    assert answer.status_code == 207
    entered, refused = answer.json()["results"]
    assert entered["id"] == entry_id(leaf_hash_of(good))
    assert refused["error"]["code"] == "not_the_bureau"


def test_a_receipt_of_another_entry_is_refused_by_the_client(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote:
        claimant.register(remote)
        wanted, other = (entered_hash(remote, one) for one in claimant.models(2))
        data = remote.receipt(other)
        remote.receipt = lambda _: data  # type: ignore[method-assign]  # a service that answers with another one
        with pytest.raises(VerificationError, match=entry_id(wanted)):
            remote.checked_receipt(wanted, served.policy)


def test_statistics_count_entries_and_refusals(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        remote.enter(claimant.models(2))
        gap = Claimant(key=claimant.key, chain=(40, b"\1" * 32)).sign(model())
        client.post("/api/entries", content=entry_body(gap))
        figures = client.get("/api/statistics").json()
    (bureau,) = figures["bureaus"]
    assert bureau["origin"] == ORIGIN
    assert (bureau["entries"]["model"], bureau["entries"]["organisation"]) == (2, 2)
    assert figures["refusals"] == {"gap": 1}


def test_health_and_metrics(served: Served) -> None:
    with served.client() as client:
        assert client.get("/healthz").json()["status"] in ("ready", "not_ready")
        claimant = Claimant.new()
        with served.remote() as remote:
            claimant.register(remote)
        assert client.get("/healthz/ready").status_code == 200
        metrics = client.get("/metrics").text
    assert "whorl_entries_total 1.0" in metrics
    assert 'whorl_requests_total{route="/api/entries",status="201"} 1.0' in metrics


def test_a_sealed_entry_shows_nothing_but_to_who_had_it_sealed(served: Served) -> None:
    claimant, other = Claimant.new("Northwind Labs"), Claimant.new("Meridian AI")
    with served.remote() as anybody, served.remote(key=claimant.key) as own, served.remote(key=other.key) as rival:
        for one in (claimant, other):
            one.register(anybody)
        signed = Claimant(key=claimant.key).sign(body := model())
        sealed = replace(signed, sealed=True)
        (first,), (again,) = anybody.enter([sealed]), anybody.enter([sealed])
        assert isinstance(first, Entered)
        assert again == first
        twice = replace(Claimant(key=claimant.key).sign(model()), sealed=True)
        third, fourth = anybody.enter([twice, twice])
        assert third == fourth
        assert third != first
        for remote in (anybody, rival):
            shown = remote.entry(first.hash)
            assert (shown["kind"], shown["content"], shown["withheld"]) == (None, None, "sealed")
            assert shown["issuer"] == served.registry.home.bureau_key().id.hex()
            receipt = parse_receipt(remote.receipt(first.hash), origin="here")
            assert (receipt.entry.envelope, receipt.authority) == (None, ())
            assert "Northwind" not in json.dumps(shown)
            assert list(remote.named(body.name)) == []
            assert remote.contents(first.index, first.index + 1) == [None]
        assert own.entry(first.hash)["content"]["statement"]["predicate"]["body"]["name"] == body.name
        verified = own.checked_receipt(first.hash, served.policy)
        assert (verified.sealed, verified.claimant.name) == (True, "Northwind Labs")
        (refused,) = anybody.enter([replace(claimant.sign(model()), sealed=True)])  # one that stands in a chain
        assert isinstance(refused, Refusal)
        assert refused.code == "sealed_chain"


def test_contents_are_given_to_mirrors_in_a_row(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote:
        claimant.register(remote)
        submissions = claimant.models(5)
        first, *_ = (outcome for outcome in remote.enter(submissions) if isinstance(outcome, Entered))
        found = remote.contents(first.index, first.index + 5)
        assert [(one.envelope, one.salt) for one in found if one is not None] == [
            (one.envelope, one.salt) for one in submissions
        ]
        assert remote.contents(100_000, 100_002) == [None, None]


def test_readiness_fails_when_nothing_was_signed_for_long(folder: Path) -> None:
    now = [datetime.now(UTC)]
    with serving(folder, now=lambda: now[0]) as served, served.client() as client:
        with served.remote() as remote:
            Claimant.new().register(remote)
        assert client.get("/healthz/ready").status_code == 200
        served.service._entering.sign_anew = lambda: None  # type: ignore[method-assign]
        now[0] += timedelta(minutes=21)
        answer = client.get("/healthz/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        assert client.get("/healthz").status_code == 200


def test_a_receipt_is_what_the_offline_verifier_reads(served: Served) -> None:
    claimant = Claimant.new(post_quantum=True)
    with served.remote() as remote, served.client() as client:
        organisation = claimant.register(remote)
        data = client.get(f"/api/entries/{entry_id(organisation)}/receipt").content
    verified = verify_receipt(parse_receipt(data, origin="here"), served.policy)
    assert verified.post_quantum
    assert verified.kind == "organisation"
