"""One bureau asks another what it holds under seal: a number for peers, nothing for others, a line on both sides."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import UNLIMITED, Claimant, Served, digest, entered_hash, error_of, new_registry, serving

from whorl.core.errors import InputError, VerificationError
from whorl.entries.composing import compose
from whorl.entries.handling import Handling
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Body, Fingerprint, Model
from whorl.entries.leaf import NO_HASH
from whorl.registry.accounts import AuditRecord, audit_trail
from whorl.registry.database import Database
from whorl.registry.federation import add_peers, card_of
from whorl.registry.local import open_registry
from whorl.registry.registry_reader import RegistryReader, read_registry
from whorl.registry.replaying import erase_entry
from whorl.registry.request_signatures import NONCE_BYTES, digest_of, sign_request
from whorl.registry.sealed_asking import ask_sealed
from whorl.registry.sealed_search import LEAD_LEVELS, MOST_TOLD, ContentQuestion, VectorQuestion, may_be_found
from whorl.registry.sequencer import Submission
from whorl.registry.service_answers import RemoteError
from whorl.web.running import address_of, bound_socket

SCHEME, DIMENSION = next(iter(LEAD_LEVELS)).split(";")[0], int(next(iter(LEAD_LEVELS)).split(";")[1])
HOLDER, ASKER = "bureau.example/holder", "bureau.example/asker"
PATH = "/api/sealed-search"
FOR_BUREAUS = Handling(label="bureaus")


@dataclass
class Pair:
    """A bureau that holds sealed entries and is served, and the folder of one that asks it."""

    holder: Served
    asker: RegistryReader
    maker: Claimant

    def ask(self, question: VectorQuestion | ContentQuestion) -> int:
        return ask_sealed(self.asker, HOLDER, question)

    def seal(self, body: Body, handling: Handling = FOR_BUREAUS) -> bytes:
        statement = compose(
            body,
            log=HOLDER,
            issuer=self.maker.key.id,
            chain=None,
            now=datetime.now(UTC),
            target=NO_HASH if isinstance(body, Model) else secrets.token_bytes(32),
            handling=handling,
        )
        envelope = statement.sign(self.maker.key)
        submission = Submission(envelope=envelope, salt=secrets.token_bytes(32), sealed=True)
        with self.holder.remote() as remote:
            return entered_hash(remote, submission)

    def post(self, body: bytes, key: IssuerKey | None = None, *, signed_body: bytes | None = None) -> httpx2.Response:
        headers = self.signed(body if signed_body is None else signed_body, key or self.asker.home.bureau_key())
        with self.holder.client() as client:
            return client.post(PATH, content=body, headers=headers)

    def signed(self, body: bytes, key: IssuerKey) -> dict[str, str]:
        return sign_request(
            key,
            method="POST",
            path=PATH,
            body_digest=digest_of(body),
            origin=HOLDER,
            created=self.holder.registry.now(),
            nonce=secrets.token_bytes(NONCE_BYTES),
        )


@contextmanager
def pair(folder: Path, **limits: int) -> Iterator[Pair]:
    paths = {origin: new_registry(folder / origin.rpartition("/")[2], origin=origin) for origin in (HOLDER, ASKER)}
    with bound_socket("127.0.0.1", 0) as bound:
        port = int(address_of(bound).rpartition(":")[2])
    cards = {}
    for origin, path in paths.items():
        with open_registry(path) as registry:
            cards[origin] = card_of(registry, url=f"http://127.0.0.1:{port}")
    for origin, other in ((HOLDER, ASKER), (ASKER, HOLDER)):
        with open_registry(paths[origin]) as registry:
            add_peers(registry, [cards[other]], quorum=0)
    # A request counts only if it was signed after the service began, which it knows to the second.
    clock = lambda: datetime.now(UTC) + timedelta(seconds=2 * bool(started))  # noqa: E731
    started: list[bool] = []
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(paths[HOLDER], limits=replace(UNLIMITED, **limits), port=port, now=clock) as holder,
    ):
        patch.setattr("whorl.registry.sequencer.require_brought", lambda *_: None)  # the vectors here are made up
        started.append(True)
        maker = Claimant.new("Northwind Labs")
        with holder.remote() as remote:
            maker.register(remote)
        with read_registry(paths[ASKER], now=clock) as asker:
            yield Pair(holder=holder, asker=asker, maker=maker)


@pytest.fixture(scope="module")
def bureaus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("bureaus"), sealed_searches_per_day=0) as found:
        yield found


def some_vector() -> np.ndarray[Any, np.dtype[np.int8]]:
    return np.random.default_rng(secrets.randbits(64)).integers(-127, 128, DIMENSION).astype(np.int8)


def near(vector: np.ndarray[Any, np.dtype[np.int8]]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Another vector, with a cosine of about 0.98."""
    noise = np.random.default_rng(1).normal(0, 15, DIMENSION)
    return np.clip(vector + noise, -127, 127).astype(np.int8)


def fingerprint(vector: np.ndarray[Any, np.dtype[np.int8]] | None = None, content: str | None = None) -> Fingerprint:
    return Fingerprint(
        method="whorl.weight-fingerprint/1",
        model_content=content or digest(),
        blob=digest(),
        tool="whorl 1",
        scheme=None if vector is None else SCHEME,
        vector=None if vector is None else base64.b64encode(vector.tobytes()).decode(),
    )


def asked(vector: np.ndarray[Any, np.dtype[np.int8]]) -> VectorQuestion:
    return VectorQuestion(scheme=SCHEME, vector=vector)


def json_of(vector: bytes, scheme: str = SCHEME) -> bytes:
    return json.dumps({"scheme": scheme, "vector": base64.b64encode(vector).decode()}).encode()


def lines(database: Database, action: str) -> list[AuditRecord]:
    with database.reading() as connection:
        return [line for line in audit_trail(connection, most=1000) if line.action == action]


def test_a_hit_is_a_number_and_nothing_else(bureaus: Pair) -> None:
    sealed = fingerprint(vector := some_vector())
    bureaus.seal(sealed)
    assert bureaus.ask(asked(vector)) == bureaus.ask(asked(near(vector))) == 1
    assert bureaus.ask(ContentQuestion(content=sealed.model_content)) == 1
    assert bureaus.post(json_of(vector.tobytes())).json() == {"candidates": 1}


def test_no_hit_is_none(bureaus: Pair) -> None:
    bureaus.seal(fingerprint(some_vector()))
    assert bureaus.ask(asked(some_vector())) == 0
    assert bureaus.ask(ContentQuestion(content=digest())) == 0


def test_a_content_counts_once_and_many_are_told_as_many(bureaus: Pair) -> None:
    vector, content = some_vector(), digest()
    for _ in range(2):
        bureaus.seal(fingerprint(vector, content))
    assert bureaus.ask(asked(vector)) == bureaus.ask(ContentQuestion(content=content)) == 1
    for _ in range(MOST_TOLD + 2):
        bureaus.seal(fingerprint(vector))
    assert bureaus.ask(asked(vector)) == MOST_TOLD


def test_only_sealed_fingerprints_are_compared(bureaus: Pair) -> None:
    """A model is none, what is public is not sealed, and a vector that says nothing harms nobody."""
    content = digest()
    bureaus.seal(Model(publisher="Northwind Labs", name="lumen-2", content=content))
    for vector in (np.zeros(DIMENSION, np.int8), np.ones(3, np.int8), np.full(DIMENSION, -128, np.int8)):
        bureaus.seal(fingerprint(vector))
    assert bureaus.ask(ContentQuestion(content=content)) == 0
    assert bureaus.ask(asked(some_vector())) == 0


@pytest.mark.parametrize(
    ("handling", "found"),
    [
        (Handling(), 0),
        (Handling(label="own"), 0),
        (Handling(label="named"), 0),
        (Handling(label="named", recipients=("bureau.example/third",)), 0),
        (Handling(label="named", recipients=("bureau.example/third", ASKER)), 1),
        (Handling(label="bureaus"), 1),
    ],
    ids=["clear", "own", "nobody", "another", "named", "bureaus"],
)
def test_what_its_maker_did_not_let_this_bureau_find_is_not_compared(
    bureaus: Pair, handling: Handling, found: int
) -> None:
    sealed = fingerprint(vector := some_vector())
    bureaus.seal(sealed, handling)
    assert bureaus.ask(asked(vector)) == bureaus.ask(ContentQuestion(content=sealed.model_content)) == found


def test_a_bureau_may_be_named_by_its_root_key(bureaus: Pair) -> None:
    root = bureaus.asker.home.bureau_key().id.hex()
    bureaus.seal(fingerprint(vector := some_vector()), Handling(label="named", recipients=(root,)))
    assert bureaus.ask(asked(vector)) == 1


NAMES = st.frozensets(st.sampled_from(["bureau.example/a", "bureau.example/b", "ab" * 32, "cd" * 32]), max_size=3)


@given(recipients=NAMES, asking=NAMES)
def test_named_means_these_and_nobody_else(recipients: frozenset[str], asking: frozenset[str]) -> None:
    handling = Handling(label="named", recipients=tuple(sorted(recipients)))
    assert may_be_found(handling, asking) == bool(recipients & asking)
    assert may_be_found(FOR_BUREAUS, asking)
    assert not may_be_found(Handling(), asking)
    assert not may_be_found(Handling(label="own"), asking)


def test_what_was_erased_is_found_no_more(bureaus: Pair) -> None:
    sealed = bureaus.seal(fingerprint(vector := some_vector()))
    assert bureaus.ask(asked(vector)) == 1
    registry = bureaus.holder.registry
    erase_entry(registry.database, registry.blobs, sealed, at=registry.now())
    assert bureaus.ask(asked(vector)) == 0


def test_strangers_are_told_nothing(bureaus: Pair) -> None:
    body = json_of(some_vector().tobytes())
    before = len(lines(bureaus.holder.registry.database, "sealed search"))
    assert error_of(bureaus.post(body, bureaus.maker.key)) == (403, "forbidden")
    assert error_of(bureaus.post(body, Claimant.new().key)) == (401, "unauthenticated")
    with bureaus.holder.client() as client:
        assert error_of(client.post(PATH, content=body)) == (401, "unauthenticated")
        assert error_of(client.post(PATH, content=body, headers={"Authorization": "Bearer whorl_x"}))[0] == 401
    # A key of another organisation that names itself as the peer's, and a bureau's own key, are no peers either.
    assert error_of(bureaus.post(body, bureaus.holder.registry.home.bureau_key())) == (403, "forbidden")
    assert len(lines(bureaus.holder.registry.database, "sealed search")) == before


def test_a_token_of_a_peer_does_not_ask(bureaus: Pair) -> None:
    """Only its key does: a token lies in more places."""
    from whorl.registry.accounts import issue_token

    registry = bureaus.holder.registry
    expires = registry.now() + timedelta(days=1)
    with registry.database.writing() as connection:
        token = issue_token(
            connection,
            scopes=frozenset({"read", "audit", "administer"}),
            organisation=None,
            label="test",
            now=registry.now(),
            expires_at=expires,
            random_bytes=secrets.token_bytes,
        )
    with bureaus.holder.client() as client:
        answer = client.post(
            PATH, content=json_of(some_vector().tobytes()), headers={"Authorization": f"Bearer {token}"}
        )
    assert error_of(answer) == (401, "unauthenticated")


def test_a_request_is_taken_once_and_as_it_was_signed(bureaus: Pair) -> None:
    body = json_of(some_vector().tobytes())
    headers = bureaus.signed(body, bureaus.asker.home.bureau_key())
    with bureaus.holder.client() as client:
        assert client.post(PATH, content=body, headers=headers).status_code == 200
        assert error_of(client.post(PATH, content=body, headers=headers)) == (401, "unauthenticated")
    other = json_of(some_vector().tobytes())
    assert error_of(bureaus.post(other, signed_body=body)) == (401, "unauthenticated")


BAD: dict[str, Callable[[], bytes]] = {
    "too short": lambda: json_of(some_vector()[:-1].tobytes()),
    "too long": lambda: json_of(bytes(range(1, 100)) * 60),
    "constant": lambda: json_of(np.ones(DIMENSION, np.int8).tobytes()),
    "-128": lambda: json_of(np.where(np.arange(DIMENSION) == 7, -128, some_vector()).astype(np.int8).tobytes()),
    "another scheme": lambda: json_of(some_vector().tobytes(), "whorl.weight_fingerprint/2 search vector"),
    "no base64": lambda: json.dumps({"scheme": SCHEME, "vector": "AQID="}).encode(),
    "no scheme": lambda: json.dumps({"vector": "AQID"}).encode(),
    "both": lambda: json.dumps({"scheme": SCHEME, "vector": "AQID", "content": digest()}).encode(),
    "neither": lambda: b"{}",
    "no digest": lambda: json.dumps({"content": "sha256:ab"}).encode(),
    "more": lambda: json.dumps({"content": digest(), "top": 3}).encode(),
    "no json": lambda: b"\x00\xff",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_question_is_refused(bureaus: Pair, name: str) -> None:
    status, code = error_of(bureaus.post(BAD[name]()))
    assert (status, code) == (422, "malformed")


@pytest.mark.parametrize("vector", [np.ones(DIMENSION, np.int8), some_vector()[:5]], ids=["constant", "short"])
def test_a_question_is_checked_before_it_is_sent(vector: Any) -> None:
    with pytest.raises(InputError, match="expected a vector"):
        asked(vector)


def test_both_sides_have_it_on_record(bureaus: Pair) -> None:
    bureaus.seal(fingerprint(vector := some_vector()))
    question = asked(vector)
    bureaus.ask(question)
    actor = f"key {bureaus.asker.home.bureau_key().id.hex()}"
    told = lines(bureaus.holder.registry.database, "sealed search")[0]
    assert (told.actor, told.subject, told.outcome) == (actor, f"{question} by {ASKER}", "1 candidates")
    after, before = lines(bureaus.asker.database, "ask under seal")[:2]
    assert [(line.actor, line.subject) for line in (before, after)] == [(actor, f"{question} at {HOLDER}")] * 2
    assert (before.outcome, after.outcome) == ("asked", "1 candidates")


def test_nothing_is_told_that_cannot_be_recorded(bureaus: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    import whorl.web.sealed_routes as routes

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(routes, "record_audit", fails)
    answer = bureaus.post(json_of(some_vector().tobytes()))
    assert error_of(answer) == (503, "unavailable")


def test_so_many_a_day_for_one_peer(tmp_path: Path) -> None:
    with pair(tmp_path, sealed_searches_per_day=3) as bureaus:
        bureaus.seal(fingerprint(vector := some_vector()))
        assert [bureaus.ask(asked(vector)) for _ in range(2)] == [1, 1]
        assert bureaus.post(b"{}").status_code == 422  # counts too
        with pytest.raises(RemoteError) as refused:
            bureaus.ask(asked(vector))
        assert (refused.value.status, refused.value.code) == (429, "too_many")
        assert lines(bureaus.asker.database, "ask under seal")[0].outcome == "refused: too_many"
        bureaus.holder.service._entering.write_audit()
        denied = [line.outcome for line in lines(bureaus.holder.registry.database, "deny")]
        assert denied[:2] == ["too_many", "malformed"]


def test_who_is_no_peer_is_not_asked(bureaus: Pair) -> None:
    with pytest.raises(InputError, match="a bureau that this one knows"):
        ask_sealed(bureaus.asker, "bureau.example/third", ContentQuestion(content=digest()))


def test_a_peer_that_is_another_log_is_not_asked(bureaus: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it could have the question signed for somebody else, and hand it in there as its own."""
    import whorl.registry.sealed_asking as asking

    cards: Sequence[Any] = asking.peers_of(bureaus.asker)
    posing = [card.model_copy(update={"origin": "bureau.example/posing"}) for card in cards]
    monkeypatch.setattr(asking, "peers_of", lambda _: posing)
    before = len(lines(bureaus.holder.registry.database, "sealed search"))
    with pytest.raises(VerificationError, match="nothing was asked"):
        ask_sealed(bureaus.asker, "bureau.example/posing", ContentQuestion(content=digest()))
    assert len(lines(bureaus.holder.registry.database, "sealed search")) == before
    assert lines(bureaus.asker.database, "ask under seal")[0].outcome == "no answer"
