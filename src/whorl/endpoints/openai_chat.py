"""``/v1/chat/completions``: OpenAI's chat dialect, which most servers and clouds speak with accents of their own.

Tolerated: missing fields, content as null or as a list of parts, a model's own refusal in ``refusal``, reasoning under
``reasoning_content`` or ``reasoning``, usage left out.
"""

from typing import Any, Final

from whorl.endpoints.dialect import Answer, Dialect, chat_logprobs, finish_of, first_choice, openai_headers
from whorl.endpoints.exchange import Question, TokenLogprob, Usage
from whorl.endpoints.json_bodies import JsonObject, count, json_object, member, objects, required


def request(question: Question, model: str) -> JsonObject:
    """The body for a question."""
    body: JsonObject = {
        "model": model,
        "messages": [{"role": message.role, "content": message.text} for message in question.messages],
        "max_tokens": question.max_tokens,
        "temperature": question.temperature,
    }
    if question.seed is not None:
        body["seed"] = question.seed
    if question.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": question.top_logprobs}
    return body


def answer(body: bytes) -> Answer:
    """Read a response's body."""
    document = json_object(body)
    choice = first_choice(document)
    message = required(choice, "message", dict)
    return Answer(
        text=_content(message),
        finish=finish_of(member(choice, "finish_reason", str)),
        reasoning=_reasoning(message),
        served_model=member(document, "model", str),
        system_fingerprint=member(document, "system_fingerprint", str),
        usage=usage(document),
        logprobs=_logprobs(choice),
    )


def usage(document: JsonObject) -> Usage | None:
    """Token counts in OpenAI's names."""
    counts = member(document, "usage", dict)
    if counts is None:
        return None
    return Usage(
        prompt_tokens=count(counts, "prompt_tokens"),
        completion_tokens=count(counts, "completion_tokens"),
    )


def _content(message: JsonObject) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [_part(part) for part in objects(content, "the parts of 'content'")]
        text: str | None = "".join(parts)
    else:
        text = member(message, "content", str)
    return text or member(message, "refusal", str) or ""


def _part(part: JsonObject) -> str:
    match part.get("type"):
        case "text" | "output_text" | None:
            return required(part, "text", str)
        case "refusal":
            return required(part, "refusal", str)
        case _:  # reasoning, pictures, calls of tools
            return ""


def _reasoning(message: JsonObject) -> str | None:
    for name in ("reasoning_content", "reasoning"):
        if (text := member(message, name, str)) is not None:
            return text
    return None


def _logprobs(choice: JsonObject) -> tuple[TokenLogprob, ...] | None:
    held = member(choice, "logprobs", dict)
    if held is None:
        return None
    entries: list[Any] | None = member(held, "content", list)
    if entries is None:
        entries = member(held, "refusal", list)
    return None if entries is None else chat_logprobs(entries)


OPENAI_CHAT: Final = Dialect(
    kind="openai_chat",
    path="/chat/completions",
    headers=openai_headers,
    request=request,
    answer=answer,
    concessions=frozenset({"other_limit_name", "no_temperature"}),
)
