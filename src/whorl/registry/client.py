"""A registry that somebody else runs, over its REST API (``docs/specs/service.md``).

Nothing that a service answers is believed for being answered: an entry counts by its receipt, checked against a policy
that one has from elsewhere (`RemoteRegistry.checked_receipt`). Entries are sent again when an answer was lost; the
service knows an entry that it has.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import httpx2

from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Kind, Model
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.entries.receipt import MAX_RECEIPT_BYTES, VerifiedEntry, parse_receipt, verify_receipt
from whorl.log.files import origin_hash
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.notes import parse_note
from whorl.log.policy import Policy
from whorl.log.tree_heads import parse_tree_head
from whorl.registry.blobs import Blob
from whorl.registry.bounded_http import AGAIN, Answer, BoundedHttp, NoAnswerError
from whorl.registry.federation import BureauCard, Federation
from whorl.registry.leads import Lead
from whorl.registry.local import LocalRegistry, system_clock
from whorl.registry.mirroring import Content
from whorl.registry.remote_log import RemoteLog
from whorl.registry.request_signatures import NONCE_BYTES, digest_of, sign_request
from whorl.registry.sealed_search import MOST_TOLD, ContentQuestion, SealedQuestion
from whorl.registry.search_vectors import Vectors
from whorl.registry.sequencer import Outcome, Submission
from whorl.registry.service_answers import (
    body_of,
    content_of,
    integer_in,
    lead_of,
    list_in,
    object_in,
    outcome_of,
    refusal_of,
    text_in,
)
from whorl.registry.stored_entry import digest_text, raw_digest

AT_ONCE: Final = 256
BODY_BYTES: Final = 6 << 20
BLOB_BYTES: Final = 1 << 26
_ANSWER_BYTES: Final = 1 << 26
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"


class RemoteRegistry:
    """A `RegistryAccess` over HTTP; a context manager.

    Parameters
    ----------
    url : where the service answers, such as ``https://registry.example``
    token : shown with each request; None for none
    key : signs requests that need somebody who is known, where there is no token; entries are signed by their issuers
    transport : how requests go out; None for the network
    now, random_bytes, sleep : the clock, where nonces come from, and what waits before a request is tried again

    Raises
    ------
    NoAnswerError
        Here and in every method, if the service gives no answer that can be used.
    RemoteError
        Here and in every method, if it refuses.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        key: IssuerKey | None = None,
        transport: httpx2.BaseTransport | None = None,
        now: Callable[[], datetime] = system_clock,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._opened = ExitStack()
        self._http = self._opened.enter_context(BoundedHttp(url, transport=transport, sleep=sleep))
        self.log = self._opened.enter_context(RemoteLog(f"{self._http.url}/log", transport=transport))
        self._token = token
        self._key = key
        self._now = now
        self._random_bytes = random_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._opened.close()

    @cached_property
    def origin(self) -> str:
        """Origin of the registry's log, as its tree head says."""
        return parse_tree_head(parse_note(self.tree_head()).text).origin

    def tree_head(self) -> bytes:
        """The signed tree head that is published now, its signatures unchecked."""
        return self.log.tree_head()

    def chain(self, issuer: bytes) -> tuple[int, bytes] | None:
        """Sequence number and leaf hash of an issuer's last entry, as the registry tells it."""
        found = self._issuer(issuer)
        if found is None or found["sequence"] is None:
            return None
        return integer_in(found, "sequence"), parse_entry_id(text_in(found, "last"))

    def organisation_of(self, issuer: bytes) -> bytes | None:
        """Leaf hash of the organisation that a key belongs to; None where the key is not known."""
        found = self._issuer(issuer)
        return None if found is None else parse_entry_id(text_in(object_in(found, "organisation"), "id"))

    def claimant_of(self, issuer: bytes) -> str | None:
        """Name of the organisation that a key belongs to; None where the key is not known."""
        found = self._issuer(issuer)
        return None if found is None else text_in(object_in(found, "organisation"), "name")

    def enter(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Enter signed envelopes, in their order; what the service has already is answered as entered."""
        outcomes: list[Outcome] = []
        for group in _groups(submissions):
            body = json.dumps({"entries": [_document(one) for one in group]}).encode()
            answer = self._document("POST", "/api/entries", body=body, content_type=_JSON, statuses=(201, 207))
            results = list_in(answer, "results")
            if len(results) != len(group):
                raise NoAnswerError(f"expected {len(group)} outcomes of entries, found {len(results)}; ask again")
            outcomes += map(outcome_of, results)
        return outcomes

    def same_entry(self, body: Model, *, issuer: bytes) -> bytes | None:
        """Leaf hash of the entry by which a key made the same claim about a model already, and which still stands."""
        if body.content is None:
            return None
        claims = list_in(self._document("GET", f"/api/digests/{body.content}"), "claims")
        for line in (object_in(claim, "entry") for claim in claims):
            if line.get("issuer") != issuer.hex():
                continue
            digest = parse_entry_id(text_in(line, "id"))
            known = self.entry(digest)
            content, standing = known.get("content"), object_in(known, "standing").get("standing")
            if standing == "good" and isinstance(content, dict) and body_of(content) == body.model_dump(mode="json"):
                return digest
        return None

    def put_blob(self, pieces: Iterable[bytes], *, expected: str | None = None) -> Blob:
        """Store what an entry will point to, before it is entered; needs a token or a key."""
        data = _joined(pieces)
        digest = digest_text(digest_of(data))
        if expected not in (None, digest):
            raise VerificationError(f"expected a blob with the digest {expected}, found {digest}; read it again")
        answer = self._document(
            "PUT", f"/api/blobs/{digest}", body=data, content_type=_BYTES, statuses=(201,), signed=True
        )
        return Blob(digest=digest, size=integer_in(answer, "size"))

    def blob(self, digest: str) -> bytes:
        """The bytes of a blob, whose digest is checked."""
        raw = raw_digest(digest)
        data = self._body("GET", f"/api/blobs/{digest}", most=BLOB_BYTES, signed=True)
        if digest_of(data) != raw:
            raise VerificationError(f"{self._http.url}: expected the blob {digest}, found other bytes; refuse them")
        return data

    def receipt(self, digest: bytes) -> bytes:
        """The receipt of an entry, as a file; nothing in it is checked."""
        return self._body("GET", f"/api/entries/{entry_id(digest)}/receipt", most=MAX_RECEIPT_BYTES, signed=True)

    def checked_receipt(self, digest: bytes, policy: Policy) -> VerifiedEntry:
        """Fetch the receipt of an entry, and check it.

        Parameters
        ----------
        policy : the logs, witnesses and quorum that are trusted beforehand; not the one that the service shows

        Raises
        ------
        VerificationError
            If it does not hold, or is the receipt of another entry.
        """
        verified = verify_receipt(parse_receipt(self.receipt(digest), origin=self._http.url), policy)
        if verified.id != entry_id(digest):
            raise VerificationError(
                f"{self._http.url}: expected the receipt of {entry_id(digest)}, found that of {verified.id}"
            )
        return verified

    def entry(self, digest: bytes) -> dict[str, Any]:
        """An entry as the service shows it: ``docs/specs/service.md``; nothing in it is checked."""
        return self._document("GET", f"/api/entries/{entry_id(digest)}", signed=True)

    def named(self, words: str, *, kind: Kind | None = None) -> Iterator[dict[str, Any]]:
        """Entries whose names have these words, as the service lists them; pages are fetched as they are needed."""
        before: int | None = None
        while True:
            query = {"q": words, "kind": kind, "before": before}
            given = urlencode({name: value for name, value in query.items() if value is not None})
            page = self._document("GET", f"/api/entries?{given}", signed=True)
            yield from list_in(page, "entries")
            if page.get("next") is None:
                return
            before = integer_in(page, "next")

    def search(self, vector: Vectors, *, scheme: str, top: int) -> list[Lead]:
        """The models whose search vectors are nearest, best first: leads, never findings."""
        text = base64.b64encode(vector.tobytes()).decode()
        body = json.dumps({"scheme": scheme, "vector": text, "top": top}).encode()
        return self._leads(body, _JSON)

    def find_leads(self, fingerprint: bytes, *, top: int) -> list[Lead]:
        """The models that are nearest to a stored fingerprint, best first: leads, never findings."""
        return self._leads(fingerprint, _BYTES, query=f"?top={top}")

    def sealed_candidates(self, question: SealedQuestion) -> int:
        """How many candidates a bureau says it holds under seal, at most `MOST_TOLD`; needs the key of a peer."""
        body = json.dumps(_asked(question)).encode()
        answer = self._document("POST", "/api/sealed-search", body=body, content_type=_JSON, signed=True)
        found = integer_in(answer, "candidates")
        if not 0 <= found <= MOST_TOLD:
            raise NoAnswerError(f"expected a number of candidates from 0 to {MOST_TOLD}, found {found}")
        return found

    def contents(self, start: int, stop: int) -> list[Content | None]:
        """Envelope and salt of entries ``start`` to ``stop`` - 1; None where there is none, or it is not shown."""
        page = self._document("GET", f"/api/contents?start={start}&stop={stop}", signed=True)
        found = list_in(page, "contents")
        if len(found) > stop - start:
            raise NoAnswerError(f"expected at most {stop - start} contents of entries, found {len(found)}")
        return [content_of(one) for one in [*found, *[None] * (stop - start - len(found))]]

    def ask(
        self, method: str, path: str, *, body: bytes = b"", content_type: str | None = None, most: int = _ANSWER_BYTES
    ) -> Answer:
        """One request of another part of the API, signed with this client's key; it may be made twice.

        Parameters
        ----------
        path : below the service's URL, percent-encoded, with its query
        most : bytes of the answer
        """
        return self._answer(method, path, most=most, body=body, content_type=content_type, signed=True)

    def issue_token(
        self, *, scopes: Sequence[str], label: str, expires_at: datetime, network: str | None = None
    ) -> str:
        """Issue a token for the organisation whose root key this client signs with; its text is not shown again."""
        asked = {
            "scopes": list(scopes),
            "label": label,
            "expires_at": expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "network": network,
        }
        body = json.dumps(asked).encode()
        answer = self._document("POST", "/api/tokens", body=body, content_type=_JSON, statuses=(201,), signed=True)
        return text_in(answer, "token")

    def tokens(self) -> list[dict[str, Any]]:
        """The tokens of the organisation whose root key this client signs with, those that ended too."""
        return list_in(self._document("GET", "/api/tokens", signed=True), "tokens")

    def revoke_token(self, token_id: str) -> None:
        """End a token, by its id."""
        answer = self._answer("DELETE", f"/api/tokens/{token_id}", signed=True)
        if answer.status != 204:
            raise refusal_of(answer)

    def _leads(self, body: bytes, content_type: str, *, query: str = "") -> list[Lead]:
        answer = self._document("POST", f"/api/search{query}", body=body, content_type=content_type, signed=True)
        return [lead_of(one) for one in list_in(answer, "leads")]

    def _issuer(self, issuer: bytes) -> dict[str, Any] | None:
        answer = self._answer("GET", f"/api/issuers/{issuer.hex()}")
        if answer.status == 404:
            return None
        return self._checked(answer, (200,))

    def _document(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str | None = None,
        statuses: tuple[int, ...] = (200,),
        signed: bool = False,
    ) -> dict[str, Any]:
        return self._checked(self._answer(method, path, body=body, content_type=content_type, signed=signed), statuses)

    def _body(self, method: str, path: str, *, most: int, signed: bool = False) -> bytes:
        answer = self._answer(method, path, most=most, signed=signed)
        if answer.status != 200:
            raise refusal_of(answer)
        return answer.body

    def _checked(self, answer: Answer, statuses: tuple[int, ...]) -> dict[str, Any]:
        if answer.status not in statuses:
            raise refusal_of(answer)
        return parse_json_object(answer.body, what=self._http.url, max_bytes=_ANSWER_BYTES, max_depth=24)

    def _answer(
        self,
        method: str,
        path: str,
        *,
        most: int = _ANSWER_BYTES,
        body: bytes = b"",
        content_type: str | None = None,
        signed: bool = False,
    ) -> Answer:
        """Every request of this API may be made twice: what it does is done once."""
        given = {} if content_type is None else {"Content-Type": content_type}
        signs = signed and self._token is None and self._key is not None
        origin = self.origin if signs else ""

        def headers() -> dict[str, str]:
            if self._token is not None:
                return {**given, "Authorization": f"Bearer {self._token}"}
            return {**given, **self._signature(method, path, body, origin)} if signs else given

        answer = self._http.ask(method, path, most=most, body=body, headers=headers, again=_is_worth_another_try)
        if answer.status != 401 or self._token is not None or self._key is None:
            return answer
        if not signed:  # somebody who is known must ask
            return self._answer(method, path, most=most, body=body, content_type=content_type, signed=True)
        if method == "GET" and not _must_sign_again(answer):  # the key is not known there yet: anybody's view is given
            return self._http.ask(method, path, most=most)
        return answer

    def _signature(self, method: str, path: str, body: bytes, origin: str) -> dict[str, str]:
        assert self._key is not None
        below, _, query = path.partition("?")
        return sign_request(
            self._key,
            method=method,
            path=f"{self._http.path}{below}",
            query=query,
            body_digest=digest_of(body),
            origin=origin,
            created=self._now(),
            nonce=self._random_bytes(NONCE_BYTES),
        )


def open_federation(registry: LocalRegistry) -> Federation:
    """A bureau's peers, asked over HTTP, each with the bureau's key as who asks."""

    def connect(card: BureauCard) -> RemoteRegistry:
        return RemoteRegistry(card.url, key=registry.home.bureau_key(), now=registry.now)

    def latest(card: BureauCard, origin: str) -> bytes | None:
        with BoundedHttp(f"{card.url.rstrip('/')}/witness") as http:
            answer = http.ask("GET", f"/{origin_hash(origin)}/checkpoint", most=MAX_NOTE_BYTES)
        if answer.status not in (200, 404):
            raise refusal_of(answer)
        return answer.body if answer.status == 200 else None

    return Federation(registry, connect=connect, latest=latest)


def _is_worth_another_try(answer: Answer) -> bool:
    return answer.status in AGAIN or _must_sign_again(answer)


def _must_sign_again(answer: Answer) -> bool:
    """Whether the key may be known, and the clocks differ or the service has just begun."""
    return answer.status == 401 and refusal_of(answer).code == "sign_again"


def _groups(submissions: Sequence[Submission]) -> Iterator[list[Submission]]:
    """In requests that a service takes."""
    group: list[Submission] = []
    size = 0
    for one in submissions:
        length = 2 * len(one.envelope)
        if group and (len(group) == AT_ONCE or size + length > BODY_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += length
    if group:
        yield group


def _document(submission: Submission) -> dict[str, Any]:
    return {
        "envelope": base64.b64encode(submission.envelope).decode(),
        "salt": submission.salt.hex(),
        "sealed": submission.sealed,
    }


def _asked(question: SealedQuestion) -> dict[str, str]:
    if isinstance(question, ContentQuestion):
        return {"content": question.content}
    return {"scheme": question.scheme, "vector": base64.b64encode(question.vector.tobytes()).decode()}


def _joined(pieces: Iterable[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > BLOB_BYTES:
            raise InputError(f"expected a blob of at most {BLOB_BYTES} bytes, found more; nothing was sent")
    return bytes(data)
