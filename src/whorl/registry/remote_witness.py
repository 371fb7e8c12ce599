"""A witness on another machine, asked over HTTP (C2SP tlog-witness)."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self, get_args

import httpx2

from whorl.log.files import origin_hash
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.keys import Verifier
from whorl.log.witness_requests import SIZE_CONTENT_TYPE
from whorl.log.witnessing import TEXT_CONTENT_TYPE, Reply, Status
from whorl.registry.bounded_http import Answer, BoundedHttp
from whorl.registry.home import Home, witness_verifiers
from whorl.registry.service_answers import refusal_of

SECONDS: Final = 5.0
_STATUSES: Final[Mapping[int, Status]] = {status: status for status in get_args(Status)}


class RemoteWitness:
    """A `whorl.registry.cosigning.Cosigner` over HTTP; a context manager.

    Parameters
    ----------
    name : its name in the policy
    verifiers : the keys that its cosignatures are checked with
    url : its submission prefix, which is its monitoring prefix too
    origin : the log whose tree heads it is asked about
    """

    def __init__(
        self,
        name: str,
        verifiers: Sequence[Verifier],
        url: str,
        *,
        origin: str,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._name = name
        self._verifiers = tuple(verifiers)
        self._origin = origin
        self._http = BoundedHttp(url, transport=transport, seconds=SECONDS, tries=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def name(self) -> str:
        return self._name

    @property
    def verifiers(self) -> Sequence[Verifier]:
        return self._verifiers

    def add_checkpoint(self, body: bytes) -> Reply:
        """Ask for a cosignature, once: a registry asks again with its next tree head.

        Raises
        ------
        NoAnswerError
            If it gives no answer in time.
        """
        headers = {"Content-Type": TEXT_CONTENT_TYPE}
        answer = self._http.ask("POST", "/add-checkpoint", most=MAX_NOTE_BYTES, body=body, headers=lambda: headers)
        return _reply(answer)

    def latest(self) -> bytes | None:
        """The last tree head of the log that it cosigned; None if it never did.

        Raises
        ------
        NoAnswerError, RemoteError
            If it does not say.
        """
        answer = self._http.ask("GET", f"/{origin_hash(self._origin)}/checkpoint", most=MAX_NOTE_BYTES)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refusal_of(answer)
        return answer.body


def witnesses_of(home: Home) -> list[RemoteWitness]:
    """The witnesses that a registry asks, by its settings."""
    return [
        RemoteWitness(one.name, witness_verifiers(one), one.url, origin=home.origin) for one in home.settings.witnesses
    ]


def _reply(answer: Answer) -> Reply:
    status = _STATUSES.get(answer.status, 500)
    kind = SIZE_CONTENT_TYPE if answer.content_type == SIZE_CONTENT_TYPE else TEXT_CONTENT_TYPE
    return Reply(status=status, body=answer.body, content_type=kind)
