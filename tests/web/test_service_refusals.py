"""Each thing that the service refuses, with one bad request for it: a 4xx of one shape, never half an answer."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served import (
    UNLIMITED,
    Claimant,
    Served,
    SteppedClock,
    digest,
    entered_hash,
    entry_body,
    error_of,
    model,
    serving,
)

from whorl.entries.leaf import entry_id
from whorl.registry.request_signatures import digest_of, sign_request
from whorl.registry.sequencer import Entered
from whorl.web.limits import Limits

NOBODY = "a" * 52


def entries(*members: Any) -> bytes:
    return json.dumps({"entries": list(members)}).encode()


def member(**changes: Any) -> dict[str, Any]:
    return {"envelope": base64.b64encode(b"{}").decode(), "salt": "00" * 32, **changes}


BAD_BODIES = {
    "no JSON": b"entries",
    "no object": b"[]",
    "no entries": b"{}",
    "an empty list": entries(),
    "an unknown field": entries(member(owner="us")),
    "an unknown member": json.dumps({"entries": [member()], "more": 1}).encode(),
    "no salt": entries({"envelope": "e30="}),
    "a short salt": entries(member(salt="00")),
    "a salt that is no hex": entries(member(salt="zz" * 32)),
    "an envelope that is no base64": entries(member(envelope="{}")),
    "an envelope with bad padding": entries(member(envelope="e30")),
    "an empty envelope": entries(member(envelope="")),
    "a number for an envelope": entries(member(envelope=1)),
    "too many entries": entries(*[member()] * 257),
    "NaN": b'{"entries": NaN}',
    "deep nesting": b'{"entries":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "no UTF-8": b'{"entries": "\xff"}',
    "half a surrogate pair": b'{"entries": [{"envelope": "\\ud800", "salt": "' + b"0" * 64 + b'"}]}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_no_request_is_malformed(served: Served, body: bytes) -> None:
    with served.client() as client:
        assert error_of(client.post("/api/entries", content=body)) == (422, "malformed")


def bad_envelopes() -> dict[str, tuple[Callable[[dict[str, Any]], Any], str]]:
    def change(**changes: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda envelope: {**envelope, **changes}

    def signature(**changes: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda envelope: {**envelope, "signatures": [{**envelope["signatures"][0], **changes}]}

    return {
        "an altered payload": (change(payload=base64.b64encode(b"{}").decode()), "malformed"),
        "another type of payload": (change(payloadType="text/plain"), "malformed"),
        "no signature": (change(signatures=[]), "malformed"),
        "a false signature": (signature(sig=base64.b64encode(bytes(64)).decode()), "bad_signature"),
        "another key's name": (signature(keyid="ab" * 32), "missing_signature"),
        "two thousand signatures": (
            change(signatures=[{"keyid": f"{n:064x}", "sig": "AA=="} for n in range(2_000)]),
            "malformed",
        ),
        "ten thousand signatures": (
            change(signatures=[{"keyid": f"{n:064x}", "sig": "AA=="} for n in range(10_000)]),
            "malformed",
        ),
    }


@pytest.mark.parametrize("name", bad_envelopes())
def test_an_envelope_that_does_not_hold_is_refused_alone(served: Served, name: str) -> None:
    spoil, code = bad_envelopes()[name]
    claimant, other = Claimant.new(), Claimant.new("Meridian AI")
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        good, bad = other.sign(other.organisation), claimant.sign(model())
        document = json.loads(entry_body(good, bad))
        envelope = spoil(json.loads(bad.envelope))
        document["entries"][1]["envelope"] = base64.b64encode(json.dumps(envelope).encode()).decode()
        answer = client.post("/api/entries", json=document)
    assert answer.status_code == 207
    entered, refused = answer.json()["results"]
    assert "id" in entered
    assert refused["error"]["code"] == code


@pytest.mark.parametrize(
    "path",
    [
        f"/api/entries/{NOBODY}",
        f"/api/entries/{NOBODY}/receipt",
        f"/api/organisations/{NOBODY}",
        f"/api/issuers/{'0' * 64}",
        f"/api/blobs/sha256:{'0' * 64}",
        "/api/nothing",
        "/log/tile/0/999",
        f"/witness/{'0' * 64}/checkpoint",
    ],
)
def test_what_is_not_there_is_unknown(served: Served, path: str) -> None:
    with served.client() as client:
        assert error_of(client.get(path)) == (404, "unknown")


@pytest.mark.parametrize(
    "path",
    [
        "/api/entries/x",
        "/api/entries/" + "A" * 52,
        "/api/entries?q=",
        "/api/entries?q=a+b+c+d+e+f+g+h+i",
        "/api/entries",
        "/api/entries?kind=owner",
        "/api/entries?q=a&before=-1",
        "/api/digests/sha256:00",
        "/api/issuers/zz",
        "/api/contents?start=0",
        "/api/contents?start=5&stop=4",
        "/api/contents?start=0&stop=257",
        "/witness/00/checkpoint",
    ],
)
def test_a_question_that_makes_no_sense_is_malformed(served: Served, path: str) -> None:
    with served.client() as client:
        assert error_of(client.get(path)) == (422, "malformed")


def test_a_method_that_there_is_not(served: Served) -> None:
    with served.client() as client:
        answer = client.delete("/api/entries")
        assert error_of(answer) == (405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]


SEARCHES = {
    "no vector": {"scheme": "s"},
    "no base64": {"scheme": "s", "vector": "?" * 8},
    "bad padding": {"scheme": "s", "vector": "AAAAA"},
    "a vector of zeros": {"scheme": "s", "vector": base64.b64encode(bytes(16)).decode()},
    "a number that no vector has": {"scheme": "s", "vector": base64.b64encode(bytes([128, 1])).decode()},
    "too many leads": {"scheme": "s", "vector": "AAEC", "top": 1000},
    "an infinite number": {"scheme": "s", "vector": "AAEC", "top": 1e400},
}


@pytest.mark.parametrize("asked", SEARCHES.values(), ids=SEARCHES.keys())
def test_a_search_that_makes_no_sense_is_malformed(served: Served, asked: dict[str, Any]) -> None:
    body = json.dumps(asked).encode()
    with served.client() as client:
        answer = client.post("/api/search", content=body, headers={"Content-Type": "application/json"})
    assert error_of(answer) == (422, "malformed")


@pytest.mark.parametrize("data", [b"", b"junk", b"\xff" * 64, b"\0" * 4096], ids=["empty", "text", "ones", "zeros"])
def test_a_file_that_is_no_fingerprint_is_malformed(served: Served, data: bytes) -> None:
    with served.client() as client:
        answer = client.post("/api/search", content=data, headers={"Content-Type": "application/octet-stream"})
    assert error_of(answer) == (422, "malformed")


def test_words_that_fit_too_many_names(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.name_rows.MAX_SCANNED", 0)
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        assert error_of(client.get("/api/entries?q=northwind")) == (422, "too_common")


def test_blobs_need_somebody_who_is_known(served: Served) -> None:
    data = b"anonymous"
    path = f"/api/blobs/sha256:{digest_of(data).hex()}"
    with served.client() as client:
        answer = client.put(path, content=data)
        assert error_of(answer) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert not served.registry.blobs.holds(f"sha256:{digest_of(data).hex()}")


def signed(served: Served, claimant: Claimant, data: bytes, **changes: Any) -> dict[str, str]:
    """Headers that sign the storing of a blob."""
    fields: dict[str, Any] = {
        "method": "PUT",
        "path": f"/api/blobs/sha256:{digest_of(data).hex()}",
        "body_digest": digest_of(data),
        "origin": served.registry.origin,
        "created": datetime.now(UTC) + timedelta(seconds=1),
        "nonce": bytes(16),
    }
    return sign_request(claimant.key, **{**fields, **changes})


BAD_SIGNATURES: dict[str, tuple[dict[str, Any], str]] = {
    "another method": ({"method": "GET"}, "unauthenticated"),
    "another path": ({"path": "/api/blobs/sha256:" + "0" * 64}, "unauthenticated"),
    "a query": ({"query": "a=b"}, "unauthenticated"),
    "another registry": ({"origin": "bureau.example/two"}, "unauthenticated"),
    "another body": ({"body_digest": bytes(32)}, "unauthenticated"),
    "an old request": ({"created": datetime.now(UTC) - timedelta(hours=1)}, "sign_again"),
    "a request of the future": ({"created": datetime.now(UTC) + timedelta(hours=1)}, "sign_again"),
}


@pytest.mark.parametrize("name", BAD_SIGNATURES)
def test_a_signed_request_holds_for_one_request_here_and_now(served: Served, name: str) -> None:
    changes, code = BAD_SIGNATURES[name]
    claimant, data = Claimant.new(), b"a blob"
    path = f"/api/blobs/sha256:{digest_of(data).hex()}"
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        headers = signed(served, claimant, data, **changes)
        assert error_of(client.put(path, content=data, headers=headers)) == (401, code)
        headers = signed(served, claimant, data)
        assert client.put(path, content=data, headers=headers).status_code == 201


def test_a_signed_request_is_taken_once(served: Served) -> None:
    claimant, data = Claimant.new(), b"a blob"
    path = f"/api/blobs/sha256:{digest_of(data).hex()}"
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        headers = signed(served, claimant, data)
        assert client.put(path, content=data, headers=headers).status_code == 201
        assert error_of(client.put(path, content=data, headers=headers)) == (401, "unauthenticated")


def test_a_signed_request_is_not_taken_again_after_a_restart(folder: Path) -> None:
    clock = SteppedClock()
    claimant, data = Claimant.new(), b"a blob"
    path = f"/api/blobs/sha256:{digest_of(data).hex()}"
    with serving(folder, now=clock) as served, served.remote() as remote, served.client() as client:
        claimant.register(remote)
        clock.at += timedelta(seconds=2)
        headers = signed(served, claimant, data, created=clock.at)
        assert client.put(path, content=data, headers=headers).status_code == 201
    clock.at += timedelta(seconds=1)
    with serving(folder, now=clock) as served, served.client() as client:
        assert error_of(client.put(path, content=data, headers=headers)) == (401, "sign_again")


@pytest.mark.parametrize(
    "headers",
    [
        {"Signature-Input": "x"},
        {"Signature-Input": "whorl=()", "Signature": "whorl=::", "Content-Digest": "sha-256=::"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer whorl_" + "a" * 52},
        {"Authorization": "Bearer " + "x" * 5000},
    ],
)
def test_credentials_that_are_none_are_refused_even_where_none_are_needed(
    served: Served, headers: dict[str, str]
) -> None:
    with served.client() as client:
        answer = client.get(f"/api/entries/{NOBODY}", headers=headers)
    assert error_of(answer) == (401, "unauthenticated")


def test_a_blob_of_another_digest_is_refused(served: Served) -> None:
    claimant, said, sent = Claimant.new(), b"one", b"two"
    path = f"/api/blobs/sha256:{digest_of(said).hex()}"
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        headers = signed(served, claimant, said)
        assert error_of(client.put(path, content=sent, headers=headers)) == (422, "wrong_digest")
    assert list(served.registry.blobs.digests()) == []


def test_a_blob_without_a_stated_length_is_refused(served: Served) -> None:
    claimant, data = Claimant.new(), b"a blob"
    with served.remote() as remote, served.client() as client:
        claimant.register(remote)
        headers = signed(served, claimant, data)
        path = f"/api/blobs/sha256:{digest_of(data).hex()}"
        assert error_of(client.put(path, content=iter([data]), headers=headers)) == (411, "no_length")


def test_a_blob_that_is_too_large_is_refused_before_it_is_read(folder: Path) -> None:
    with serving(folder, limits=Limits(blob_bytes=1000, free_bytes=0)) as served:
        claimant, data = Claimant.new(), bytes(1001)
        with served.remote() as remote, served.client() as client:
            claimant.register(remote)
            headers = signed(served, claimant, data)
            path = f"/api/blobs/sha256:{digest_of(data).hex()}"
            assert error_of(client.put(path, content=data, headers=headers)) == (413, "too_large")


def test_blobs_are_refused_when_the_disk_is_nearly_full(folder: Path) -> None:
    with serving(folder, limits=Limits(free_bytes=1 << 60)) as served:
        claimant, data = Claimant.new(), b"a blob"
        with served.remote() as remote, served.client() as client:
            claimant.register(remote)
            path = f"/api/blobs/sha256:{digest_of(data).hex()}"
            answer = client.put(path, content=data, headers=signed(served, claimant, data))
            assert error_of(answer) == (503, "busy")
            assert "retry-after" in answer.headers


def test_a_blob_that_no_visible_entry_refers_to_is_not_given(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote(key=claimant.key) as remote, served.client() as client:
        claimant.register(remote)
        blob = remote.put_blob([b"not referred to"])
        assert error_of(client.get(f"/api/blobs/{blob.digest}")) == (404, "unknown")


def test_each_organisation_has_its_share_of_an_hour(folder: Path) -> None:
    with serving(folder, limits=Limits(entries_per_hour=10)) as served:
        claimant, other = Claimant.new(), Claimant.new("Meridian AI")
        with served.remote() as remote:
            token = token_for(served, claimant)
            others = token_for(served, other)
        with served.client(headers={"Authorization": f"Bearer {token}"}) as client:
            answers = [client.post("/api/entries", content=entry_body(*claimant.models(3))) for _ in range(5)]
            refused = next(answer for answer in answers if answer.status_code != 201)
            assert error_of(refused) == (429, "too_many")
            assert 0 < int(refused.headers["retry-after"]) <= 3600
            assert sum(answer.status_code == 201 for answer in answers) >= 3
        with served.client(headers={"Authorization": f"Bearer {others}"}) as client:
            assert client.post("/api/entries", content=entry_body(*other.models(3))).status_code == 201
        assert remote is not None


def token_for(served: Served, claimant: Claimant) -> str:
    """Register an organisation past the service's limits, and issue it a token."""
    claimant.register(served.registry)
    with served.remote(key=claimant.key) as remote:
        return remote.issue_token(scopes=["submit"], label="test", expires_at=datetime.now(UTC) + timedelta(days=1))


def test_an_address_has_its_share_of_an_hour(folder: Path) -> None:
    with serving(folder, limits=Limits(entries_per_hour=10)) as served, served.client() as client:
        body = entries(*[member()] * 6)
        assert client.post("/api/entries", content=body).status_code == 207
        answer = client.post("/api/entries", content=body)
        assert error_of(answer) == (429, "too_many")
        assert int(answer.headers["retry-after"]) > 0


def test_searches_have_their_share_of_a_second(folder: Path) -> None:
    asked = {"scheme": "s", "vector": base64.b64encode(bytes(range(16))).decode()}
    with serving(folder, limits=Limits()) as served, served.client() as client:
        answers = [client.post("/api/search", json=asked) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert sum(answer.status_code == 200 for answer in answers) >= 5


def test_reads_have_their_share_of_a_second(folder: Path) -> None:
    with serving(folder, limits=Limits(reads_per_second=3)) as served, served.client() as client:
        answers = [client.get("/api/statistics") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200, 429}


def test_a_full_queue_says_when_to_come_again(folder: Path) -> None:
    with serving(folder, limits=Limits(waiting_entries=5, entries_per_hour=0)) as served, served.client() as client:
        answer = client.post("/api/entries", content=entries(*[member()] * 6))
    assert error_of(answer) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0


def test_entries_need_a_token_where_the_operator_asks_for_one(folder: Path) -> None:
    with serving(folder, limits=UNLIMITED, needs_token=True) as served:
        claimant = Claimant.new()
        with served.client() as client:
            answer = client.post("/api/entries", content=entry_body(claimant.sign(claimant.organisation)))
            assert error_of(answer) == (401, "unauthenticated")
        claimant = Claimant.new()
        claimant.register(served.registry)
        with served.remote(key=claimant.key) as remote:  # a signed request does as well
            assert isinstance(remote.enter([claimant.sign(model())])[0], Entered)
            token = remote.issue_token(
                scopes=["read"], label="reader", expires_at=datetime.now(UTC) + timedelta(days=1)
            )
        with served.client(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = client.post("/api/entries", content=entry_body(claimant.sign(model())))
            assert error_of(answer) == (403, "forbidden")


def test_every_answer_tells_browsers_not_to_guess(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote, served.client() as client:
        found = entry_id(entered_hash(remote, claimant.sign(claimant.organisation)))
        for path in (
            "/healthz",
            "/api/nothing",
            f"/api/entries/{found}",
            "/log/checkpoint",
            f"/api/digests/{digest()}",
        ):
            headers = client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers
