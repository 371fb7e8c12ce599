"""``/v1/completions``: a prompt is continued; there are no roles, so only a single user message can be asked."""

from typing import Any, Final

from whorl.endpoints.dialect import Answer, Dialect, chat_logprobs, finish_of, first_choice, openai_headers, refuse
from whorl.endpoints.exchange import Question, TokenLogprob
from whorl.endpoints.json_bodies import JsonObject, json_object, malformed, member, number, objects, required, texts
from whorl.endpoints.openai_chat import usage


def request(question: Question, model: str) -> JsonObject:
    """The body for a question of one user message.

    Raises
    ------
    EndpointError
        ``rejected`` for any other conversation: how its turns are laid out would be our invention, not the model's.
    """
    roles = [message.role for message in question.messages]
    if roles != ["user"]:
        raise refuse(
            f"/completions continues one text: expected a single user message, found {', '.join(roles)}; "
            "ask such questions through the chat route"
        )
    body: JsonObject = {
        "model": model,
        "prompt": question.messages[0].text,
        "max_tokens": question.max_tokens,
        "temperature": question.temperature,
    }
    if question.seed is not None:
        body["seed"] = question.seed
    if question.top_logprobs:
        body["logprobs"] = question.top_logprobs
    return body


def answer(body: bytes) -> Answer:
    """Read a response's body; log-probabilities in the legacy form or in that of chat completions."""
    document = json_object(body)
    choice = first_choice(document)
    held = member(choice, "logprobs", dict)
    return Answer(
        text=required(choice, "text", str),
        finish=finish_of(member(choice, "finish_reason", str)),
        served_model=member(document, "model", str),
        system_fingerprint=member(document, "system_fingerprint", str),
        usage=usage(document),
        logprobs=None if held is None else _logprobs(held),
    )


def _logprobs(held: JsonObject) -> tuple[TokenLogprob, ...] | None:
    if (content := member(held, "content", list)) is not None:
        return chat_logprobs(content)
    tokens = member(held, "tokens", list)
    return None if tokens is None else _legacy(texts(tokens, "'tokens'"), held)


def _legacy(tokens: list[str], held: JsonObject) -> tuple[TokenLogprob, ...]:
    chosen = required(held, "token_logprobs", list)
    alternatives = member(held, "top_logprobs", list)
    if alternatives is None:
        alternatives = [{}] * len(tokens)
    if not len(tokens) == len(chosen) == len(alternatives):
        raise malformed(
            f"expected as many log-probabilities as tokens, found {len(tokens)} tokens, {len(chosen)} "
            f"log-probabilities and {len(alternatives)} lists of alternatives"
        )
    shown = objects([{} if top is None else top for top in alternatives], "'top_logprobs'")
    return tuple(
        TokenLogprob(token=token, logprob=number(logprob, "'token_logprobs'"), top=_alternatives(top))
        for token, logprob, top in zip(tokens, chosen, shown, strict=True)
    )


def _alternatives(top: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    names = texts(list(top), "the tokens of 'top_logprobs'")
    return tuple((name, number(top[name], "'top_logprobs'")) for name in names)


OPENAI_COMPLETIONS: Final = Dialect(
    kind="openai_completions",
    path="/completions",
    headers=openai_headers,
    request=request,
    answer=answer,
    concessions=frozenset({"no_temperature"}),
)
