"""``/v1/messages``: Anthropic's dialect. It has no seed and no log-probabilities: a question's are not sent.

The system prompt travels apart from the turns. Text blocks are the answer, thinking blocks the reasoning; other blocks
are skipped. Prompt tokens that came from a cache are counted as prompt tokens.
"""

from typing import Final

from whorl.endpoints.dialect import Answer, Dialect, finish_of, refuse
from whorl.endpoints.exchange import Question, Usage
from whorl.endpoints.json_bodies import JsonObject, count, json_object, member, objects, required
from whorl.endpoints.keys import Key

VERSION: Final = "2023-06-01"


def headers(key: Key | None) -> dict[str, str]:
    """The version of the dialect, and the key where there is one."""
    version = {"anthropic-version": VERSION}
    return version if key is None else {**version, "x-api-key": key.reveal()}


def request(question: Question, model: str) -> JsonObject:
    """The body for a question.

    Raises
    ------
    EndpointError
        ``rejected`` if there is no turn beside the system prompt.
    """
    system = [message.text for message in question.messages if message.role == "system"]
    turns = [message for message in question.messages if message.role != "system"]
    if not turns:
        raise refuse("/messages wants a turn of the user; found nothing but a system prompt")
    body: JsonObject = {
        "model": model,
        "messages": [{"role": message.role, "content": message.text} for message in turns],
        "max_tokens": question.max_tokens,
        "temperature": question.temperature,
    }
    if system:
        body["system"] = "\n\n".join(system)
    return body


def answer(body: bytes) -> Answer:
    """Read a response's body."""
    document = json_object(body)
    blocks = objects(required(document, "content", list), "the blocks of 'content'")
    thoughts = [required(block, "thinking", str) for block in blocks if block.get("type") == "thinking"]
    return Answer(
        text="".join(required(block, "text", str) for block in blocks if block.get("type") == "text"),
        finish=finish_of(member(document, "stop_reason", str)),
        reasoning="\n".join(thoughts) if thoughts else None,
        served_model=member(document, "model", str),
        usage=_usage(document),
    )


def _usage(document: JsonObject) -> Usage | None:
    counts = member(document, "usage", dict)
    if counts is None:
        return None
    fresh = count(counts, "input_tokens")
    cached = [count(counts, name) or 0 for name in ("cache_creation_input_tokens", "cache_read_input_tokens")]
    return Usage(
        prompt_tokens=None if fresh is None else fresh + sum(cached),
        completion_tokens=count(counts, "output_tokens"),
    )


ANTHROPIC: Final = Dialect(
    kind="anthropic",
    path="/messages",
    headers=headers,
    request=request,
    answer=answer,
    concessions=frozenset({"no_temperature"}),
)
