"""Capabilities are seen, not believed: honest endpoints, and servers that take a parameter and ignore it."""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from whorl.endpoints.capabilities import CALLS, detect
from whorl.endpoints.exchange import (
    Capabilities,
    EndpointError,
    EndpointName,
    Finish,
    Question,
    Reply,
    TokenLogprob,
    Usage,
)

WORDS = [f"word{number}" for number in range(400)]


def generated(question: Question, rng: random.Random) -> list[str]:
    """What a model of random words answers: it can count to its limit and no further, and would say more."""
    return [rng.choice(WORDS) for _ in range(question.max_tokens)]


class Model:
    """An endpoint that honours everything; subclasses ignore something."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    @property
    def name(self) -> EndpointName:
        return EndpointName(kind="openai_chat", address="http://127.0.0.1/v1", model="m")

    async def close(self) -> None:
        pass

    async def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        return self.reply(question)

    def source(self, question: Question) -> random.Random:
        """Randomness of the answer: none at temperature 0, the seed's where there is one."""
        shape = "".join(message.text for message in question.messages)
        if question.temperature == 0:
            return random.Random(shape)
        return random.Random(f"{shape}{question.seed if question.seed is not None else f'draw {len(self.asked)}'}")

    def reply(self, question: Question) -> Reply:
        words = self.words(question)
        finish: Finish = "length"
        if question.messages[0].role == "system":
            words, finish = [question.messages[0].text.split()[-1]], "stop"
        prompt = sum(len(message.text.split()) + 3 for message in question.messages)
        return Reply(
            text=" ".join(words),
            finish=finish,
            served_model="m",
            usage=Usage(prompt_tokens=prompt, completion_tokens=len(words)),
            logprobs=self.logprobs(words) if question.top_logprobs else None,
            status=200,
            request="{}",
            response="{}",
            started="2026-11-26T12:00:00Z",
            seconds=0.0,
        )

    def words(self, question: Question) -> list[str]:
        return generated(question, self.source(question))

    def logprobs(self, words: list[str]) -> tuple[TokenLogprob, ...]:
        return tuple(
            TokenLogprob(token=word, logprob=math.log(0.6), top=((word, math.log(0.6)), ("other", math.log(0.3))))
            for word in words
        )


def found(model: Model) -> Capabilities:
    return asyncio.run(detect(model, seed=3))


def test_an_honest_endpoint_has_every_capability() -> None:
    model = Model()
    assert found(model) == Capabilities(
        logprobs=True, seed=True, system_prompt=True, usage=True, max_tokens=True, temperature=True, notes=()
    )
    assert len(model.asked) == CALLS == 10
    assert sum(question.max_tokens for question in model.asked) <= 200
    assert len({question.digest for question in model.asked}) == CALLS


def test_the_questions_depend_on_the_seed_alone() -> None:
    asked = []
    for seed in (1, 1, 2):
        model = Model()
        asyncio.run(detect(model, seed=seed))
        asked.append(model.asked)
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]


class IgnoresSeed(Model):
    def source(self, question: Question) -> random.Random:
        return super().source(question.model_copy(update={"seed": None}))


class AlwaysGreedy(Model):
    def source(self, question: Question) -> random.Random:
        return super().source(question.model_copy(update={"temperature": 0.0}))


class AlwaysSamples(Model):
    def source(self, question: Question) -> random.Random:
        return super().source(question.model_copy(update={"temperature": 1.0}))


class OneSeedForAll(Model):
    """Any seed at all makes it greedy."""

    def source(self, question: Question) -> random.Random:
        return super().source(question.model_copy(update={"seed": None if question.seed is None else 0}))


class IgnoresSystemPrompt(Model):
    def reply(self, question: Question) -> Reply:
        turns = tuple(message for message in question.messages if message.role != "system")
        return super().reply(question.model_copy(update={"messages": turns}))


class ReportsNoUsage(Model):
    def reply(self, question: Question) -> Reply:
        return super().reply(question).model_copy(update={"usage": None})


class ReportsHalfOfUsage(Model):
    def reply(self, question: Question) -> Reply:
        return super().reply(question).model_copy(update={"usage": Usage(prompt_tokens=5, completion_tokens=None)})


class ReportsAConstant(Model):
    def reply(self, question: Question) -> Reply:
        return super().reply(question).model_copy(update={"usage": Usage(prompt_tokens=7, completion_tokens=3)})


class RaisesTheLimit(Model):
    """What a translating gateway was seen to do: 16 tokens for 4, and "end of turn"."""

    def words(self, question: Question) -> list[str]:
        return super().words(question.model_copy(update={"max_tokens": max(16, question.max_tokens)}))


class IgnoresTheLimitAndLies(RaisesTheLimit):
    def reply(self, question: Question) -> Reply:
        usage = super().reply(question).usage
        assert usage is not None
        return (
            super()
            .reply(question)
            .model_copy(update={"usage": usage.model_copy(update={"completion_tokens": question.max_tokens})})
        )


class CutsInSilence(Model):
    def reply(self, question: Question) -> Reply:
        return super().reply(question).model_copy(update={"finish": "stop"})


class DropsLogprobs(Model):
    def reply(self, question: Question) -> Reply:
        return super().reply(question).model_copy(update={"logprobs": None})


class ShowsNoAlternatives(Model):
    def logprobs(self, words: list[str]) -> tuple[TokenLogprob, ...]:
        return tuple(TokenLogprob(token=word, logprob=-0.1) for word in words)


class InventsLogprobs(Model):
    def logprobs(self, words: list[str]) -> tuple[TokenLogprob, ...]:
        return tuple(TokenLogprob(token=word, logprob=0.0, top=((word, 0.0), ("other", 0.0))) for word in words)


LIARS: list[tuple[type[Model], dict[str, bool | None]]] = [
    (IgnoresSeed, {"seed": False}),
    (AlwaysGreedy, {"temperature": False, "seed": None}),
    (AlwaysSamples, {"temperature": False}),
    (OneSeedForAll, {"seed": False}),
    (IgnoresSystemPrompt, {"system_prompt": False}),
    (ReportsNoUsage, {"usage": False}),
    (ReportsHalfOfUsage, {"usage": False}),
    (ReportsAConstant, {"usage": False}),
    (RaisesTheLimit, {"max_tokens": False}),
    (IgnoresTheLimitAndLies, {"max_tokens": False}),
    (CutsInSilence, {"max_tokens": False}),
    (DropsLogprobs, {"logprobs": False}),
    (ShowsNoAlternatives, {"logprobs": False}),
    (InventsLogprobs, {"logprobs": False}),
]


@pytest.mark.parametrize(("liar", "missing"), LIARS)
def test_a_parameter_that_is_taken_and_ignored_is_found_out(liar: type[Model], missing: dict[str, Any]) -> None:
    names = ("logprobs", "seed", "system_prompt", "usage", "max_tokens", "temperature")
    honest: dict[str, bool | None] = dict.fromkeys(names, True)
    assert found(liar()).model_dump(exclude={"notes"}) == honest | missing


def test_what_answers_cannot_tell_is_unknown_with_a_note() -> None:
    class Silent(Model):
        def reply(self, question: Question) -> Reply:
            return super().reply(question).model_copy(update={"text": "", "finish": "stop", "usage": None})

    silent = found(Silent())
    assert (silent.temperature, silent.seed, silent.system_prompt, silent.max_tokens) == (None,) * 4
    assert len(silent.notes) == 4

    class Unrepeatable(AlwaysSamples):
        def reply(self, question: Question) -> Reply:
            plain = question.model_copy(update={"messages": question.messages[-1:]})
            return super().reply(plain)

    capabilities = found(Unrepeatable())
    assert capabilities.system_prompt is None
    assert any("not repeatable" in note for note in capabilities.notes)


def test_reasoning_counts_as_an_answer() -> None:
    class Thinks(Model):
        def reply(self, question: Question) -> Reply:
            reply = super().reply(question)
            return reply.model_copy(update={"text": "", "reasoning": reply.text})

    assert found(Thinks()).temperature is True
    assert found(Thinks()).system_prompt is True


class Failing(Model):
    """Fails for some questions."""

    def __init__(self, trouble: Any, when: Callable[[Question], bool]) -> None:
        super().__init__()
        self._error = EndpointError(trouble, "the server said no")
        self._when = when

    def reply(self, question: Question) -> Reply:
        if self._when(question):
            raise self._error
        return super().reply(question)


@pytest.mark.parametrize(
    ("when", "unknown"),
    [
        (lambda question: question.seed is not None, {"seed"}),
        (lambda question: question.top_logprobs > 0, {"logprobs"}),
        (lambda question: question.messages[0].role == "system", {"system_prompt"}),
        (lambda question: question.max_tokens == 4 and not question.top_logprobs, {"usage", "max_tokens"}),
        (lambda question: question.temperature == 0 and question.draw == 1, {"system_prompt", "temperature"}),
    ],
)
def test_a_question_that_fails_leaves_its_capability_unknown(
    when: Callable[[Question], bool], unknown: set[str]
) -> None:
    capabilities = found(Failing("rejected", when))
    seen = capabilities.model_dump(exclude={"notes"})
    assert {name for name, value in seen.items() if value is None} == unknown
    assert all(value is True for name, value in seen.items() if name not in unknown)
    assert all("the server said no" in note for note in capabilities.notes)
    assert len(capabilities.notes) == len(unknown)


@pytest.mark.parametrize(("trouble", "calls"), [("not_allowed", 1), ("refused_connection", 1), ("broken", CALLS)])
def test_if_nothing_can_be_asked_the_error_goes_up(trouble: Any, calls: int) -> None:
    model = Failing(trouble, lambda _: True)
    with pytest.raises(EndpointError, match="the server said no") as caught:
        found(model)
    assert caught.value.trouble == trouble
    assert len(model.asked) == calls
