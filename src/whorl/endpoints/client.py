"""An endpoint behind HTTP: one address, one model, one dialect."""

import json
from dataclasses import replace
from typing import Final

from whorl.endpoints.address import Address
from whorl.endpoints.concessions import Concession, conceding, concession_wanted
from whorl.endpoints.dialect import Answer, Dialect, blocked_by_filter
from whorl.endpoints.exchange import EndpointError, EndpointName, Question, Reply
from whorl.endpoints.http import Http, Response
from whorl.endpoints.keys import Key
from whorl.endpoints.rates import Pace
from whorl.endpoints.retrying import Failure, Patience, persist
from whorl.endpoints.statuses import failure_of, require_json, succeeded

_BYTES_PER_TOKEN: Final = 3  # few, so that the rate of tokens is rather over- than underestimated


class HttpEndpoint:
    """A model behind an HTTP interface. Safe to ask concurrently from one event loop.

    Parameters
    ----------
    model : the name that is asked for
    key : sent in the one header of the dialect; kept out of replies and errors by the ``http``'s redaction
    pace : the rates that are not exceeded
    """

    def __init__(
        self,
        *,
        address: Address,
        model: str,
        dialect: Dialect,
        key: Key | None,
        http: Http,
        pace: Pace,
        patience: Patience,
    ) -> None:
        self._address = address
        self._model = model
        self._dialect = dialect
        self._key = key
        self._http = http
        self._pace = pace
        self._patience = patience
        self._conceded: frozenset[Concession] = frozenset()
        self._closed = False

    @property
    def name(self) -> EndpointName:
        """What it is."""
        return EndpointName(kind=self._dialect.kind, address=self._address.base, model=self._model)

    async def ask(self, question: Question) -> Reply:
        """The reply to one question, after as many tries as the limits allow.

        Raises
        ------
        EndpointError
            If there was no usable answer within the allowed tries and time.
        """
        if self._closed:
            raise ValueError("a question for an endpoint that was closed")

        async def once(seconds: float) -> Reply | Failure:
            return await self._try(question, seconds)

        async def pace() -> None:
            prompt = sum(len(message.text.encode()) for message in question.messages) / _BYTES_PER_TOKEN
            await self._pace.wait_for(prompt + question.max_tokens)

        reply, attempts = await persist(once, pace=pace, patience=self._patience)
        return reply.model_copy(update={"attempts": attempts})

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        await self._http.close()

    async def _try(self, question: Question, seconds: float) -> Reply | Failure:
        dialect, conceded = self._dialect, self._conceded
        body = conceding(dialect.request(question, self._model), conceded)
        sent = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
        response = await self._http.send(
            "POST",
            self._address.below(dialect.path),
            headers={"Content-Type": "application/json", **dialect.headers(self._key)},
            body=sent,
            seconds=seconds,
        )
        outcome = response if isinstance(response, Failure) else self._read(sent, response, conceded)
        if isinstance(outcome, Failure):
            return replace(outcome, detail=f"POST {self._address.base}{dialect.path}: {outcome.detail}")
        return outcome

    def _read(self, sent: bytes, response: Response, conceded: frozenset[Concession]) -> Reply | Failure:
        if response.status == 400 and blocked_by_filter(response.body):
            # The provider's block, not the model's refusal: an answer of its own kind.
            return self._reply(Answer(text="", finish="filtered"), sent, response)
        if response.status == 400:
            wanted = concession_wanted(response.body)
            if wanted in self._dialect.concessions - conceded:
                self._conceded |= {wanted}
                return replace(failure_of(response), again=True, at_once=True)
        if not succeeded(response):
            return failure_of(response)
        try:
            require_json(response)
            return self._reply(self._dialect.answer(response.body), sent, response)
        except EndpointError as error:
            return Failure(trouble=error.trouble, detail=error.detail, status=response.status, again=False)

    def _reply(self, answer: Answer, sent: bytes, response: Response) -> Reply:
        return Reply(
            text=answer.text,
            finish=answer.finish,
            reasoning=answer.reasoning,
            served_model=answer.served_model,
            system_fingerprint=answer.system_fingerprint,
            usage=answer.usage,
            logprobs=answer.logprobs,
            status=response.status,
            headers=response.headers,
            request=self._http.redaction.body(sent).decode("utf-8"),
            response=response.body.decode("utf-8", "backslashreplace"),
            started=response.started,
            seconds=response.seconds,
        )
