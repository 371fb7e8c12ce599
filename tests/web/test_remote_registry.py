"""The client against services that lie, stall and break off; and that it asks again where that is safe."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from served import Claimant, digest, leaf_hash_of, model

from whorl.core.errors import InputError, VerificationError
from whorl.entries.leaf import entry_id
from whorl.registry.bounded_http import Answer, BoundedHttp, NoAnswerError
from whorl.registry.client import AT_ONCE, RemoteRegistry
from whorl.registry.refusals import Refusal
from whorl.registry.sequencer import Entered, Submission
from whorl.registry.service_answers import RemoteError

URL = "http://registry.example"
HASH = b"\x01" * 32


class Scripted(httpx2.BaseTransport):
    """A service that gives one answer after the other; the last one for ever."""

    def __init__(self, *answers: "httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]") -> None:
        self._answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if answer.is_stream_consumed:  # made of bytes: sent as if it came over the network, each time anew
            answer = httpx2.Response(answer.status_code, headers=answer.headers, content=iter([answer.content]))
        return answer


def registry(*answers: Any, **options: Any) -> tuple[RemoteRegistry, Scripted, list[float]]:
    transport, waited = Scripted(*answers), list[float]()
    return RemoteRegistry(URL, transport=transport, sleep=waited.append, **options), transport, waited


def answer(document: Any, status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json=document, headers=headers)


def entered(*submissions: Submission) -> httpx2.Response:
    results = [{"id": entry_id(leaf_hash_of(one)), "index": place} for place, one in enumerate(submissions)]
    return answer({"results": results}, 201)


BUSY = {"error": {"code": "busy", "message": "later"}}


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("broke off"),
        httpx2.Response(502, text="<html>"),
        answer(BUSY, 503, **{"Retry-After": "3"}),
        answer(BUSY, 429, **{"Retry-After": "1"}),
    ],
    ids=["no connection", "no answer", "broken off", "a proxy's", "busy", "too many"],
)
def test_entries_are_handed_in_again_when_an_answer_was_lost(trouble: Any) -> None:
    claimant = Claimant.new()
    submission = claimant.sign(claimant.organisation)
    remote, transport, waited = registry(trouble, trouble, entered(submission))
    with remote:
        assert remote.enter([submission]) == [Entered(hash=leaf_hash_of(submission), index=0)]
    bodies = [request.content for request in transport.requests]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert waited == sorted(waited)
    assert all(waited)


def test_it_gives_up_after_a_few_tries() -> None:
    remote, transport, waited = registry(httpx2.ConnectError("refused"))
    with remote, pytest.raises(NoAnswerError, match=r"5 tries .*refused"):
        remote.entry(HASH)
    assert (len(transport.requests), len(waited)) == (5, 4)


def test_it_does_not_wait_for_an_hour() -> None:
    remote, transport, _ = registry(answer(BUSY, 429, **{"Retry-After": "3600"}))
    with remote, pytest.raises(RemoteError) as refused:
        remote.entry(HASH)
    assert (refused.value.status, refused.value.code) == (429, "busy")
    assert len(transport.requests) == 1


def test_a_refusal_is_not_tried_again() -> None:
    remote, transport, _ = registry(answer({"error": {"code": "unknown", "message": "none"}}, 404))
    with remote, pytest.raises(RemoteError, match="404: none"):
        remote.entry(HASH)
    assert len(transport.requests) == 1


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(1 << 16)


HOSTILE = {
    "a redirect": lambda: httpx2.Response(302, headers={"Location": "http://192.0.2.1/"}),
    "an endless answer": lambda: httpx2.Response(200, content=endless()),
    "a compressed one": lambda: httpx2.Response(200, headers={"Content-Encoding": "gzip"}, content=b"\x1f\x8b"),
    "no JSON": lambda: httpx2.Response(200, text="hello"),
    "a list": lambda: answer([]),
    "a key twice": lambda: httpx2.Response(200, content=b'{"a":1,"a":2}'),
    "NaN": lambda: httpx2.Response(200, content=b'{"a":NaN}'),
    "deep nesting": lambda: httpx2.Response(200, content=b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused(name: str) -> None:
    remote, transport, _ = registry(lambda _: HOSTILE[name]())
    with remote, pytest.raises(InputError):
        remote.entry(HASH)
    assert {request.url.host for request in transport.requests} == {"registry.example"}


ODD: dict[str, tuple[Any, Callable[[RemoteRegistry], Any]]] = {
    "no organisation": ({"sequence": 1, "last": None}, lambda remote: remote.organisation_of(HASH)),
    "a chain without an end": ({"sequence": 1, "last": None}, lambda remote: remote.chain(HASH)),
    "a number that is none": ({"sequence": True, "last": "a" * 52}, lambda remote: remote.chain(HASH)),
    "an id that is none": ({"sequence": 1, "last": "../x"}, lambda remote: remote.chain(HASH)),
    "too many contents": ({"contents": [None] * 5}, lambda remote: remote.contents(0, 2)),
    "contents without salt": ({"contents": [{"envelope": "AA=="}]}, lambda remote: remote.contents(0, 1)),
    "no base64": ({"contents": [{"envelope": "?", "salt": "00"}]}, lambda remote: remote.contents(0, 1)),
    "leads of another kind": ({"leads": [{"entry": 1}]}, lambda remote: remote.search(vector(), scheme="s", top=1)),
    "a page without end": ({"entries": {}, "next": 1}, lambda remote: list(remote.named("a"))),
}


def vector() -> Any:
    return np.arange(8, dtype=np.int8)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_is_refused(name: str) -> None:
    document, ask = ODD[name]
    remote, _, _ = registry(answer(document))
    with remote, pytest.raises(InputError):
        ask(remote)


@pytest.mark.parametrize("results", [[], [{}], [{"id": "x", "index": 0}], [{"error": {"code": 1}}], "none"], ids=str)
def test_odd_outcomes_are_refused(results: Any) -> None:
    claimant = Claimant.new()
    remote, _, _ = registry(answer({"results": results}, 201))
    with remote, pytest.raises(InputError):
        remote.enter([claimant.sign(claimant.organisation)])


def test_outcomes_are_what_the_sequencer_would_have_said() -> None:
    claimant = Claimant.new()
    submissions = [claimant.sign(claimant.organisation), *claimant.models(3)]
    results = [
        {"id": entry_id(leaf_hash_of(submissions[0])), "index": 7},
        {"error": {"code": "gap", "message": "one is missing"}},
        {"error": {"code": "verification_failed", "message": "it does not hold"}},
        {"error": {"code": "a code of tomorrow", "message": "no"}},
    ]
    remote, _, _ = registry(answer({"results": results}, 207))
    with remote:
        first, second, third, fourth = remote.enter(submissions)
    assert first == Entered(hash=leaf_hash_of(submissions[0]), index=7)
    assert isinstance(second, Refusal)
    assert second.code == "gap"
    assert isinstance(third, VerificationError)
    assert type(fourth) is InputError


def test_many_entries_go_in_requests_that_a_service_takes() -> None:
    claimant = Claimant.new()
    submissions = [claimant.sign(claimant.organisation), *claimant.models(AT_ONCE + 10)]

    def take(request: httpx2.Request) -> httpx2.Response:
        members = json.loads(request.content)["entries"]
        results = []
        for member in members:
            one = Submission(envelope=base64.b64decode(member["envelope"]), salt=bytes.fromhex(member["salt"]))
            results.append({"id": entry_id(leaf_hash_of(one)), "index": 0})
        return answer({"results": results}, 201)

    remote, transport, _ = registry(take)
    with remote:
        outcomes = remote.enter(submissions)
    assert [outcome.hash for outcome in outcomes if isinstance(outcome, Entered)] == [
        leaf_hash_of(one) for one in submissions
    ]
    assert [len(json.loads(request.content)["entries"]) for request in transport.requests] == [AT_ONCE, 11]


def test_a_blob_with_other_bytes_is_refused() -> None:
    remote, _, _ = registry(httpx2.Response(200, content=b"other bytes"))
    with remote, pytest.raises(VerificationError, match="other bytes"):
        remote.blob(digest())


def test_a_blob_is_not_sent_under_a_digest_that_is_not_its_own() -> None:
    remote, transport, _ = registry(answer({}))
    with remote, pytest.raises(VerificationError, match="expected a blob"):
        remote.put_blob([b"bytes"], expected=digest())
    assert transport.requests == []


def test_a_token_is_shown_and_nothing_is_signed_beside_it() -> None:
    remote, transport, _ = registry(answer({}), token="whorl_" + "a" * 52, key=Claimant.new().key)
    with remote:
        remote.entry(HASH)
    (request,) = transport.requests
    assert request.headers["Authorization"] == "Bearer whorl_" + "a" * 52
    assert "Signature" not in request.headers


def test_each_try_is_signed_anew() -> None:
    head = f"bureau.example/one\n1\n{base64.b64encode(bytes(32)).decode()}\n\n— bureau.example/one AAAAAAAA\n"
    again = answer({"error": {"code": "sign_again", "message": "old"}}, 401)
    remote, transport, _ = registry(httpx2.Response(200, text=head), again, answer({}), key=Claimant.new().key)
    with remote:
        remote.entry(HASH)
    first, second = (request.headers["Signature-Input"] for request in transport.requests[1:])
    assert first != second


@pytest.mark.parametrize(
    "url", ["registry.example", "ftp://registry.example", "http://", "http://a/?b", "http://u:p@a", "file:///etc"]
)
def test_what_is_no_address_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="URL"):
        BoundedHttp(url)


def test_an_answer_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.bounded_http.ANSWER_SECONDS", -1)
    with BoundedHttp(URL, transport=Scripted(httpx2.Response(200, content=b"x"))) as http, pytest.raises(NoAnswerError):
        http.ask("GET", "/", most=10)


def test_no_redirect_is_followed_and_no_cookie_kept() -> None:
    transport = Scripted(httpx2.Response(302, headers={"Location": "http://192.0.2.1/", "Set-Cookie": "a=b"}))
    with BoundedHttp(URL, transport=transport) as http:
        for _ in range(2):
            found: Answer = http.ask("GET", "/", most=100)
            assert found.status == 302
    assert all("cookie" not in request.headers for request in transport.requests)


def test_a_model_that_says_something_else_is_another_claim() -> None:
    claimant = Claimant.new()
    body = model()
    claim = {"entry": {"id": "a" * 52, "issuer": claimant.key.id.hex()}}
    other = {
        "content": {"statement": {"predicate": {"body": model().model_dump(mode="json")}}},
        "standing": {"standing": "good"},
    }
    remote, _, _ = registry(answer({"claims": [claim]}), answer(other))
    with remote:
        assert remote.same_entry(body, issuer=claimant.key.id) is None
