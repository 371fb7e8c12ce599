"""Servers that we did not write, over real sockets; what we read equals what the vendors' own packages read."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "live"))  # served_models

from served_models import (
    Served,
    build_random_model,
    serve_llama_cpp,
    serve_transformers,
    transformers_serving_lacks,
)

from whorl.core.errors import InputError
from whorl.endpoints.capabilities import detect
from whorl.endpoints.exchange import Capabilities, Endpoint, EndpointError, Message, Question, Reply
from whorl.endpoints.keys import Key
from whorl.endpoints.limits import Limits
from whorl.endpoints.opening import open_endpoint

KEY = "sk-northwind-live-1"
TURNS = (
    Message(role="system", text="Name animals."),
    Message(role="user", text="Which city is the capital of the island?"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model, as a checkpoint folder with a GGUF file."""
    return build_random_model(tmp_path_factory.mktemp("endpoints") / "northwind-tiny", seed=4)


@pytest.fixture(scope="module")
def llama_cpp(model: Path) -> Iterator[Served]:
    """llama.cpp's own server, which wants a key."""
    with serve_llama_cpp(model / "model.gguf", api_key=KEY) as served:
        yield served


def question(*messages: Message, **members: Any) -> Question:
    return Question(messages=messages or TURNS, **({"max_tokens": 6, "temperature": 0.0} | members))


def using(served: Served, asking: Callable[[Endpoint], Awaitable[Any]], **settings: Any) -> Any:
    """Open an endpoint at a server, let ``asking`` use it, close it."""

    async def scenario() -> Any:
        defaults = {"key": Key(KEY, origin="test"), "rng": random.Random(0), "limits": Limits(tries=2, first_wait=0.01)}
        endpoint = await open_endpoint(served.base_url, **(defaults | settings))
        try:
            return await asking(endpoint)
        finally:
            await endpoint.close()

    return asyncio.run(scenario())


def ask(served: Served, asked: Question, **settings: Any) -> Reply:
    reply = using(served, lambda endpoint: endpoint.ask(asked), **settings)
    assert isinstance(reply, Reply)
    return reply


def test_a_chat_is_read_as_by_the_openai_package(llama_cpp: Served) -> None:
    import openai

    reply = ask(llama_cpp, question(seed=5, top_logprobs=3))
    client = openai.OpenAI(base_url=llama_cpp.v1, api_key=KEY, max_retries=0)
    theirs = client.chat.completions.create(
        model=llama_cpp.model,
        messages=[{"role": "system", "content": TURNS[0].text}, {"role": "user", "content": TURNS[1].text}],
        max_tokens=6,
        temperature=0,
        seed=5,
        logprobs=True,
        top_logprobs=3,
    )
    choice = theirs.choices[0]
    assert reply.text == choice.message.content
    assert reply.finish == choice.finish_reason == "length"
    assert reply.served_model == theirs.model
    assert reply.system_fingerprint == theirs.system_fingerprint
    assert theirs.usage is not None
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == theirs.usage.prompt_tokens
    assert reply.usage.completion_tokens == theirs.usage.completion_tokens
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert reply.logprobs is not None
    assert [token.token for token in reply.logprobs] == [token.token for token in choice.logprobs.content]
    for ours, other in zip(reply.logprobs, choice.logprobs.content, strict=True):
        assert ours.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert [name for name, _ in ours.top] == [top.token for top in other.top_logprobs]
        assert [value for _, value in ours.top] == pytest.approx([top.logprob for top in other.top_logprobs], abs=1e-3)


def test_a_completion_is_read_as_by_the_openai_package(llama_cpp: Served) -> None:
    import openai

    reply = ask(llama_cpp, question(TURNS[1], top_logprobs=2), api="completions")
    client = openai.OpenAI(base_url=llama_cpp.v1, api_key=KEY, max_retries=0)
    theirs = client.completions.create(
        model=llama_cpp.model, prompt=TURNS[1].text, max_tokens=6, temperature=0, logprobs=2
    )
    assert reply.text == theirs.choices[0].text
    assert reply.finish == theirs.choices[0].finish_reason
    assert theirs.usage is not None
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == theirs.usage.prompt_tokens
    assert reply.logprobs is not None
    assert "".join(token.token for token in reply.logprobs) == reply.text
    assert all(len(token.top) == 2 for token in reply.logprobs)


def test_messages_are_read_as_by_the_anthropic_package(llama_cpp: Served) -> None:
    import anthropic

    reply = ask(llama_cpp, question(), api="anthropic")
    client = anthropic.Anthropic(base_url=llama_cpp.base_url, api_key=KEY, max_retries=0)
    theirs = client.messages.create(
        model=llama_cpp.model,
        system=TURNS[0].text,
        messages=[{"role": "user", "content": TURNS[1].text}],
        max_tokens=6,
        extra_body={"temperature": 0},  # their package no longer knows it
    )
    assert reply.text == "".join(block.text for block in theirs.content if block.type == "text")
    assert theirs.stop_reason == "max_tokens"
    assert reply.finish == "length"
    assert reply.served_model == theirs.model
    assert reply.usage is not None
    assert reply.usage.completion_tokens == theirs.usage.output_tokens
    cached = theirs.usage.cache_read_input_tokens or 0
    assert reply.usage.prompt_tokens == theirs.usage.input_tokens + cached


def test_all_three_interfaces_count_the_same_prompt_alike(llama_cpp: Served) -> None:
    chat, messages = ask(llama_cpp, question()), ask(llama_cpp, question(), api="anthropic")
    assert chat.text == messages.text
    assert chat.usage == messages.usage


def test_capabilities_of_llama_cpp(llama_cpp: Served) -> None:
    everything = Capabilities(
        logprobs=True, seed=True, system_prompt=True, usage=True, max_tokens=True, temperature=True
    )
    assert using(llama_cpp, lambda endpoint: detect(endpoint, seed=1)) == everything
    anthropic = using(llama_cpp, lambda endpoint: detect(endpoint, seed=1), api="anthropic")
    assert anthropic == everything.model_copy(update={"logprobs": False, "seed": False})
    completions = using(llama_cpp, lambda endpoint: detect(endpoint, seed=1), api="completions")
    assert completions.model_dump(exclude={"notes"}) == everything.model_copy(
        update={"system_prompt": None}
    ).model_dump(exclude={"notes"})
    assert "a single user message" in completions.notes[0]


def test_a_wrong_key_is_not_allowed_and_not_repeated(llama_cpp: Served) -> None:
    wrong = Key("sk-northwind-wrong-9", origin="test")
    with pytest.raises(EndpointError) as caught:
        ask(llama_cpp, question(), key=wrong, model="northwind-tiny")
    assert caught.value.trouble == "not_allowed"
    assert len(caught.value.attempts) == 1
    assert "wrong-9" not in caught.value.detail


def test_a_question_longer_than_the_window_is_rejected(llama_cpp: Served) -> None:
    long = Message(role="user", text="amber " * 2000)
    with pytest.raises(EndpointError, match="HTTP 400") as caught:
        ask(llama_cpp, question(long))
    assert caught.value.trouble == "rejected"


def test_a_path_that_is_not_there_is_not_found(llama_cpp: Served) -> None:
    elsewhere = Served(base_url=f"{llama_cpp.base_url}/nowhere", model="m", process=llama_cpp.process)
    with pytest.raises(EndpointError) as caught:
        ask(elsewhere, question(), model="m")
    assert caught.value.trouble == "not_found"
    with pytest.raises(InputError, match="does not list its models"):
        ask(elsewhere, question())


def test_sixty_four_questions_at_once(llama_cpp: Served) -> None:
    async def asking(endpoint: Endpoint) -> list[Reply]:
        return await asyncio.gather(
            *(endpoint.ask(question(temperature=1.0, seed=number, max_tokens=4)) for number in range(64))
        )

    first, second = using(llama_cpp, asking), using(llama_cpp, asking)
    assert [reply.text for reply in first] == [reply.text for reply in second]
    assert len({reply.text for reply in first}) > 32
    assert not any(reply.attempts for reply in first)


def test_a_server_that_is_killed_and_comes_back_is_asked_again(model: Path) -> None:
    async def asking(endpoint: Endpoint) -> tuple[Reply, EndpointError, Reply]:
        before = await endpoint.ask(question())
        served.kill()
        with pytest.raises(EndpointError) as caught:
            await endpoint.ask(question())
        with serve_llama_cpp(model / "model.gguf", port=port):
            return before, caught.value, await endpoint.ask(question())

    with serve_llama_cpp(model / "model.gguf") as served:
        port = int(served.base_url.rpartition(":")[2])
        before, lost, after = using(served, asking, key=None)
    assert lost.trouble in ("refused_connection", "malformed")
    assert len(lost.attempts) == 2
    assert after.text == before.text


@pytest.mark.skipif(transformers_serving_lacks() is not None, reason=str(transformers_serving_lacks()))
def test_transformers_serve_takes_parameters_that_it_ignores(model: Path) -> None:
    with serve_transformers(model) as served:
        reply = ask(served, question(top_logprobs=3), key=None, model=served.model)
        assert reply.text
        assert reply.logprobs is None
        capabilities = using(served, lambda endpoint: detect(endpoint, seed=1), key=None, model=served.model)
    assert capabilities.logprobs is False
    assert capabilities.max_tokens is True
