"""What the dialects share: a question becomes a request body, a response body an answer. Pure, no sockets."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from whorl.endpoints.concessions import Concession
from whorl.endpoints.exchange import EndpointError, Finish, Question, TokenLogprob, Usage
from whorl.endpoints.json_bodies import JsonObject, json_object, malformed, member, number, objects, required
from whorl.endpoints.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The part of a reply that a dialect reads from the response's body."""

    text: str
    finish: Finish
    reasoning: str | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of endpoint is spoken to.

    Parameters
    ----------
    path : where questions go, below the base URL
    headers : the headers that carry the key, and others that the dialect wants
    request : the body for a question to a model of a name; raises `EndpointError` (``rejected``) for a question that
        the dialect cannot express
    answer : reads a body that came with HTTP 200; raises `EndpointError` (``malformed``)
    concessions : what the dialect has to offer if a server rejects the usual form of a request
    """

    kind: Literal["openai_chat", "openai_completions", "anthropic"]
    path: str
    headers: Callable[[Key | None], dict[str, str]]
    request: Callable[[Question, str], JsonObject]
    answer: Callable[[bytes], Answer]
    concessions: frozenset[Concession]


_FINISHES: Final[dict[str, Finish]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "filtered",
    "sensitive": "filtered",
    "refusal": "filtered",  # Anthropic's word for its own classifier's block, not for a model that declines
}


def finish_of(reason: str | None) -> Finish:
    """Why an answer ended, from any dialect's word for it."""
    return _FINISHES.get((reason or "").lower(), "other")


def refuse(detail: str) -> EndpointError:
    """The error for a question that a dialect cannot express; nothing is sent."""
    return EndpointError("rejected", detail)


# Codes and, where a provider gives no code of its own, messages by which a provider's filter rejects a question.
_BLOCK_CODES: Final = (
    "contentfilter",
    "contentpolicyviolation",
    "datainspectionfailed",
    "responsibleaipolicyviolation",
)
_BLOCK_MESSAGES: Final = ("content exists risk", "output blocked by content filtering policy")


def blocked_by_filter(body: bytes) -> bool:
    """Whether the body of an HTTP 400 says that the provider's content filter stood in the way."""
    try:
        document = json_object(body)
    except EndpointError:
        return False
    error = document.get("error")
    places = [document, *_objects_within(document), *(_objects_within(error) if isinstance(error, dict) else [])]
    words = [place.get(name) for place in places for name in ("code", "type", "message", "detail")]
    words.append(error)
    said = [word for word in words if isinstance(word, str)]
    squeezed = [re.sub(r"[^a-z]", "", word.lower()) for word in said if " " not in word]
    return any(word.endswith(_BLOCK_CODES) for word in squeezed) or any(
        word.strip(" .").lower() in _BLOCK_MESSAGES for word in said
    )


def _objects_within(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [value for value in document.values() if isinstance(value, dict)]


def openai_headers(key: Key | None) -> dict[str, str]:
    """A bearer token, where there is a key."""
    return {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}


def first_choice(document: JsonObject) -> JsonObject:
    """The first of an OpenAI body's choices."""
    choices = objects(required(document, "choices", list), "'choices'")
    if not choices:
        raise malformed("expected at least one choice, found an empty list 'choices'")
    return choices[0]


def chat_logprobs(content: list[Any]) -> tuple[TokenLogprob, ...]:
    """Log-probabilities in the form of chat completions: one object a token, with the alternatives in ``top_logprobs``.

    Natural logarithms, in the server's order.
    """
    return tuple(
        TokenLogprob(
            token=required(entry, "token", str),
            logprob=number(entry.get("logprob"), "'logprob'"),
            top=tuple(
                (required(other, "token", str), number(other.get("logprob"), "'logprob'"))
                for other in objects(member(entry, "top_logprobs", list) or [], "'top_logprobs'")
            ),
        )
        for entry in objects(content, "the entries of 'logprobs'")
    )
