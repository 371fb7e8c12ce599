"""A case that a bureau keeps, over HTTP (``docs/specs/service.md``).

The bureau is not believed: every event is checked here again, and a chain that lost what was seen of it before is
refused. What only its manager may know, which model has which code, stays on the manager's machine.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from whorl.cases.case import CaseView, view_of
from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.custody import Kept, parse_chain, sign_event, write_chain
from whorl.dossiers.events import Opened
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import HashHex
from whorl.entries.leaf import SALT_BYTES
from whorl.registry.bounded_http import Answer, NoAnswerError
from whorl.registry.client import BLOB_BYTES, RemoteRegistry
from whorl.registry.service_answers import refusal_of, text_in

CASES: Final = "/cases/"
SEEN_FILE: Final = "seen.json"
_MOST_CHAIN: Final = 1 << 26
_MOST_ANSWER: Final = 1 << 16
_MOST_SEEN: Final = 1 << 12
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAddress:
    """A case at a service: ``https://bureau.example/cases/ID``, which is also the address of its page.

    Parameters
    ----------
    service : URL of the service, without a slash at its end
    case : hex id of the case
    """

    service: str
    case: str

    @property
    def url(self) -> str:
        return f"{self.service}{CASES}{self.case}"


class Seen(Document):
    """How far a case had come when it was last seen from here."""

    sequence: Annotated[int, Field(ge=0)]
    record: HashHex


def parse_case_url(text: str) -> CaseAddress:
    """Read the URL of a case.

    Raises
    ------
    InputError
        If it is none, or would show the case to whoever listens on the way.
    """
    service, slash, case = text.rstrip("/").rpartition(CASES)
    if not slash or len(case) != 64 or not _HEX.issuperset(case):
        raise InputError(
            f"expected the URL of a case, such as https://bureau.example/cases/ and 64 hex digits, found {text[:200]!a}"
        )
    return CaseAddress(service=service_url(service), case=case)


def service_url(text: str) -> str:
    """The URL of a service that may keep cases: over TLS, or on this machine.

    Raises
    ------
    InputError
        If it is another.
    """
    parts = urlsplit(text)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return text.rstrip("/")
    raise InputError(f"expected https://, or http:// on this machine, for what a case says, found {text[:200]!a}")


class RemoteStore:
    """The events and exhibits of a case at a service; a `CaseStore`.

    Parameters
    ----------
    registry : the service, with the key of whoever asks
    path : the folder on this machine for what is seen of the case and, of its manager, the line-up
    """

    def __init__(self, registry: RemoteRegistry, address: CaseAddress, *, path: Path) -> None:
        self.address = address
        self._registry = registry
        self._path = path

    @property
    def path(self) -> Path:
        """The folder on this machine, once the case was read."""
        return self._path

    def kept(self) -> tuple[Kept, ...]:
        """All events, in order; not checked, but of this case and with all that was seen before.

        Raises
        ------
        InputError
            If there is none for this key, or the service gives no answer that can be used.
        VerificationError
            If it is another case, or lost events that were seen before.
        """
        seen = self._seen()  # before asking: another program of this person may see more meanwhile
        kept = parse_chain(self._answered("GET", "/events", most=_MOST_CHAIN).body)
        if kept[0].record.hash.hex() != self.address.case:
            raise VerificationError(f"{self.address.url}: expected this case, found another one; refuse it")
        if seen is not None and not _holds(kept, seen):
            raise self._lost(seen)
        return kept

    def checked(self, kept: Sequence[Kept]) -> None:
        """Remember the last event: a chain without it is refused from now on.

        Only of a chain whose signatures and rules hold: anybody could make up another, and what is remembered of it
        would keep this person from the true one.

        Raises
        ------
        VerificationError
            If another event stands where one was seen before.
        """
        seen, last = self._seen(), kept[-1].record
        if seen is not None and seen.sequence > last.sequence:
            return  # another program of this person saw more meanwhile
        if seen is not None and not _holds(kept, seen):
            raise self._lost(seen)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = Seen(sequence=last.sequence, record=last.hash.hex())
        write_durably(self._path / SEEN_FILE, now.model_dump_json().encode(), mode=0o600)

    def append(self, make: Callable[[tuple[Kept, ...]], Kept], *, erase: Sequence[int] = ()) -> Kept:  # noqa: ARG002
        """Add one event; when this returns the service has it on its disk.

        Parameters
        ----------
        make : gives the event, from all those before it, which it checks
        erase : not used: the event, a tombstone, names them, and the service erases them in the same moment

        Raises
        ------
        VerificationError
            If somebody else entered an event meanwhile, or the service finds that a rule refuses it.
        """
        before = self.kept()
        made = make(before)
        body = write_chain([made])[:-1]
        self._answered("POST", "/events", body=body, content_type=_JSON, status=201)
        self.checked([*before, made])
        return made

    def put(self, data: bytes) -> str:
        """Keep an exhibit; its ``sha256:`` digest, once the service has it on its disk."""
        if len(data) > BLOB_BYTES:
            raise InputError(f"expected an exhibit of at most {BLOB_BYTES} bytes, found {len(data)}; file an extract")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._answered("PUT", f"/exhibits/{digest}", body=data, content_type=_BYTES, status=201)
        return digest

    def get(self, digest: str) -> bytes:
        """An exhibit's bytes, hashed again."""
        data = self._answered("GET", f"/exhibits/{digest}", most=BLOB_BYTES).body
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise VerificationError(
                f"{self.address.url}: expected the exhibit {digest}, found other bytes; refuse them"
            )
        return data

    def keep_only(self, named: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: the service removes what no event names in the moment in which it takes a tombstone."""
        return ()

    def link(self, person: str, *, expires_at: datetime | None = None) -> tuple[str, str]:
        """A new link to the page of one person, and until when it shows it.

        Parameters
        ----------
        person : hex key id
        """
        stated = None if expires_at is None else expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = json.dumps({"person": person, "expires_at": stated}).encode()
        answer = self._answered("POST", "/links", body=body, content_type=_JSON, status=201)
        found = parse_json_object(answer.body, what=self.address.url, max_bytes=_MOST_ANSWER)
        return f"{self.address.url}?link={text_in(found, 'link')}", text_in(found, "expires_at")

    def end_links(self, person: str) -> None:
        """End all links to the page of one person."""
        self._answered("DELETE", f"/links/{person}", status=204)

    def _answered(
        self,
        method: str,
        below: str,
        *,
        body: bytes = b"",
        content_type: str | None = None,
        most: int = _MOST_ANSWER,
        status: int = 200,
    ) -> Answer:
        answer = self._registry.ask(
            method, f"/api{CASES}{self.address.case}{below}", body=body, content_type=content_type, most=most
        )
        if answer.status != status:
            raise _refusal(answer, self.address.url)
        return answer

    def _seen(self) -> Seen | None:
        """How far the case was seen from here; None where it never was."""
        file = self._path / SEEN_FILE
        return _read_seen(file) if file.is_file() else None

    def _lost(self, seen: Seen) -> VerificationError:
        return VerificationError(
            f"{self.address.url}: expected event {seen.sequence} as it was seen before ({self._path / SEEN_FILE}), "
            "found another or none: the service lost it or shows you another chain; ask its bureau, and show this to "
            "others"
        )


def open_at(
    registry: RemoteRegistry,
    service: str,
    opening: Opened,
    key: IssuerKey,
    *,
    now: Callable[[], datetime],
    random_bytes: Callable[[int], bytes],
) -> tuple[CaseView, CaseAddress]:
    """Open a case at a service, as its manager; the case, and its address.

    Raises
    ------
    VerificationError
        If a rule refuses it.
    InputError
        If the service does not know the manager's key, or gives no answer that can be used.
    """
    first = sign_event(opening, case=None, sequence=0, previous=None, key=key, at=now(), salt=random_bytes(SALT_BYTES))
    view = view_of([first])
    answer = registry.ask("POST", "/api/cases", body=write_chain([first])[:-1], content_type=_JSON, most=_MOST_ANSWER)
    if answer.status != 201:
        raise _refusal(answer, service)
    found = parse_json_object(answer.body, what=service, max_bytes=_MOST_ANSWER)
    if found.get("case") != view.id:
        raise NoAnswerError(f"{service}: expected the case that was opened, found another one")
    return view, CaseAddress(service=service, case=view.id)


def _refusal(answer: Answer, where: str) -> InputError | VerificationError:
    problem = refusal_of(answer)
    if problem.code in ("refused", "head_moved"):
        return VerificationError(f"{where}: {problem}")
    if answer.status == 404:
        return InputError(
            f"{where}: expected a case that your key takes part in, found none; check the address and --key"
        )
    return problem


def _read_seen(file: Path) -> Seen:
    with file.open("rb") as opened:
        data = opened.read(_MOST_SEEN)
    try:
        return Seen.model_validate_json(data)
    except ValidationError:
        raise InputError(f"{file}: expected how far the case was seen, found something else; restore it") from None


def _holds(kept: Sequence[Kept], seen: Seen) -> bool:
    """Whether the event that was seen is in a chain."""
    return seen.sequence < len(kept) and kept[seen.sequence].record.hash.hex() == seen.record


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
