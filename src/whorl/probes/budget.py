"""A hard budget around an endpoint: what might be spent is set aside before anything is sent.

Set aside is the most that one try can take (`planning.prompt_tokens_at_most` and ``max_tokens``); when the answer is
there, what it took by the endpoint's own count takes its place. So the limits hold however many questions are under
way. They rest on two things that the endpoint decides: that it keeps to ``max_tokens``, and that it puts no longer
prompt of its own before a question than the longest seen so far. Where it did, everything that follows is refused.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final

from whorl.endpoints.exchange import Endpoint, EndpointError, EndpointName, Question, Reply, Trouble
from whorl.probes.planning import Prices, prompt_tokens_at_most

# Tries that brought no answer but may have been worked on, hence billed.
_MAYBE_BILLED: Final[frozenset[Trouble]] = frozenset({"timed_out", "broken", "malformed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Requests, failed tries among them, and tokens: as reported, or the most they can be where nothing was."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(
            requests=self.requests - other.requests,
            prompt_tokens=self.prompt_tokens - other.prompt_tokens,
            completion_tokens=self.completion_tokens - other.completion_tokens,
        )

    def cost(self, prices: Prices) -> float:
        """Price of the tokens."""
        return prices.cost(prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one run may take at most; None is no limit.

    Raises
    ------
    ValueError
        If there is a limit on cost and no prices.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        if self.cost is not None and self.prices is None:
            raise ValueError("a limit on cost needs prices")

    def allows(self, spent: Spent) -> bool:
        """Whether that much is within every limit."""
        tokens = spent.prompt_tokens + spent.completion_tokens
        return (
            (self.requests is None or spent.requests <= self.requests)
            and (self.tokens is None or tokens <= self.tokens)
            and (self.cost is None or self.prices is None or spent.cost(self.prices) <= self.cost)
        )


@dataclass(slots=True, kw_only=True)
class _Asking:
    """One question under way: what a try can take, what is set aside, and the failed tries that were counted."""

    most: Spent
    held: Spent
    counted_tries: int = 0


_ASKING: ContextVar[_Asking] = ContextVar("asking")


class Budgeted:
    """An endpoint that refuses (``out_of_budget``) what could take it beyond a budget.

    Questions get their share in the order in which they are asked. One that does not fit waits until those under way
    have shown what they took; if it does not fit then, it and all later ones are refused, so that what is left undone
    does not depend on its size. Where there is a limit, the first question goes alone: its answer shows how much the
    provider adds to a prompt.

    Parameters
    ----------
    extra_tries : tries of a question, before anything was answered, that the endpoint makes without telling
        `another_try`; they are set aside too
    """

    def __init__(self, endpoint: Endpoint, budget: Budget, *, extra_tries: int = 0) -> None:
        self._endpoint = endpoint
        self._budget = budget
        self._extra_tries = extra_tries
        self._spent = Spent()
        self._under_way = 0
        self._held = Spent()  # by all questions under way
        self._longer_prompt = 0  # tokens by which a reported prompt exceeded our bound
        self._first_alone = budget != Budget()
        self._answered = False
        self._exhausted = False
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()

    @property
    def name(self) -> EndpointName:
        """The endpoint's."""
        return self._endpoint.name

    @property
    def spent(self) -> Spent:
        """What was taken so far, without what is under way."""
        return self._spent

    async def ask(self, question: Question) -> Reply:
        """The endpoint's reply.

        Raises
        ------
        EndpointError
            ``out_of_budget``, or whatever the endpoint raises.
        """
        asking = await self._set_aside(question)
        token = _ASKING.set(asking)
        last = asking.held  # of a try that is broken off nothing is known
        try:
            reply = await self._endpoint.ask(question)
            last = self._taken(asking, reply)
            return reply
        except EndpointError as error:
            tries = len(error.attempts) - asking.counted_tries
            last = _of_failures(asking, tries, error.trouble)
            raise
        finally:
            _ASKING.reset(token)
            self._spent += last
            self._hold(asking, Spent())
            self._under_way -= 1
            self._first_alone = False
            self._settled.set()

    def another_try(self, failed: Trouble) -> None:
        """Count a failed try of the question that this task asks, and set aside what the next can take.

        For whoever is told of tries, such as ``on_wait`` of `whorl.endpoints.opening.open_endpoint`.

        Raises
        ------
        EndpointError
            ``out_of_budget``, if the next try does not fit.
        """
        asking = _ASKING.get(None)
        if asking is None:  # a list of models, which is no question
            return
        asking.counted_tries += 1
        self._spent += _of_failures(asking, 1, failed)
        self._hold(asking, Spent())
        if not self._fits(asking.most):
            self._exhausted = True
            raise _out_of_budget()
        self._hold(asking, asking.most)

    async def close(self) -> None:
        """Close the endpoint."""
        await self._endpoint.close()

    async def _set_aside(self, question: Question) -> _Asking:
        async with self._turn:
            while not self._exhausted:
                most = Spent(
                    requests=1,
                    prompt_tokens=prompt_tokens_at_most(question.messages) + self._longer_prompt,
                    completion_tokens=question.max_tokens,
                )
                held = most if self._answered else replace(most, requests=1 + self._extra_tries)
                alone = not self._under_way
                if self._fits(held) and (alone or not self._first_alone):
                    asking = _Asking(most=most, held=Spent())
                    self._hold(asking, held)
                    self._under_way += 1
                    return asking
                if alone:
                    self._exhausted = True
                    break
                self._settled.clear()
                await self._settled.wait()
        raise _out_of_budget()

    def _hold(self, asking: _Asking, held: Spent) -> None:
        self._held += held - asking.held
        asking.held = held

    def _fits(self, more: Spent) -> bool:
        return self._budget.allows(self._spent + self._held + more)

    def _taken(self, asking: _Asking, reply: Reply) -> Spent:
        self._answered = True
        usage = reply.usage
        prompt = asking.most.prompt_tokens if usage is None or usage.prompt_tokens is None else usage.prompt_tokens
        answer = usage.completion_tokens if usage is not None else None
        self._longer_prompt += max(0, prompt - asking.most.prompt_tokens)
        return Spent(
            requests=1 + max(0, len(reply.attempts) - asking.counted_tries),
            prompt_tokens=prompt,
            completion_tokens=asking.most.completion_tokens if answer is None else answer,
        )


def _of_failures(asking: _Asking, tries: int, trouble: Trouble) -> Spent:
    """What failed tries took; only the last of several can have been worked on."""
    if tries < 1:
        return Spent()
    return replace(asking.most if trouble in _MAYBE_BILLED else Spent(), requests=tries)


def _out_of_budget() -> EndpointError:
    return EndpointError("out_of_budget", "expected a question within the budget, found one that could exceed it")
