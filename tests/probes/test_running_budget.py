"""The budget holds whatever the endpoint does within its promises, and whatever is under way at once."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from small_batteries import NAME, Scripted, battery, failing, item, reply, started

from whorl.endpoints.exchange import Attempt, EndpointError, EndpointName, Question, Reply, Trouble, Usage
from whorl.probes.battery import Battery
from whorl.probes.budget import Budget, Budgeted, Spent
from whorl.probes.planning import Prices, prompt_tokens_at_most
from whorl.probes.running import Run, run
from whorl.probes.transcript import question_of
from whorl.probes.transcript_reading import read_transcript

PRICES = Prices(input=3.0, output=15.0)
QUESTION = question_of(battery().items[0], 0)
BOUND = prompt_tokens_at_most(QUESTION.messages)


class Metered:
    """An endpoint that bills: every try is counted here, apart from the budget's own books.

    As the HTTP endpoint does, it tells of a failed try before the next one.
    """

    def __init__(self, rng: random.Random, *, failing_share: float, usage_share: float) -> None:
        self.rng = rng
        self.failing_share = failing_share
        self.usage_share = usage_share
        self.tell: Callable[[Trouble], None] = lambda _: None
        self.billed = Spent()
        self.answers = 0

    @property
    def name(self) -> EndpointName:
        return NAME

    async def ask(self, question: Question) -> Reply:
        attempts: list[Attempt] = []
        for _ in range(4):
            taken = Usage(
                prompt_tokens=self.rng.randint(1, prompt_tokens_at_most(question.messages)),
                completion_tokens=self.rng.randint(0, question.max_tokens),
            )
            trouble: Trouble = self.rng.choice(["rate_limited", "timed_out", "broken", "malformed"])
            fails = self.rng.random() < self.failing_share
            self.billed += Spent(requests=1)
            await asyncio.sleep(self.rng.random() * 0.002)
            if not (fails and trouble == "rate_limited"):
                self.billed += Spent(
                    prompt_tokens=taken.prompt_tokens or 0, completion_tokens=taken.completion_tokens or 0
                )
            if not fails:
                self.answers += 1
                told = taken if self.rng.random() < self.usage_share else None
                return reply(usage=told, attempts=tuple(attempts))
            attempts.append(Attempt(trouble=trouble, status=None, detail="scripted", waited_seconds=0))
            if len(attempts) < 4:
                self.tell(trouble)
        raise EndpointError(attempts[-1].trouble, "scripted", attempts=tuple(attempts))

    async def close(self) -> None:
        pass


BUDGETS = [
    Budget(requests=37),
    Budget(tokens=4000),
    Budget(cost=0.02, prices=PRICES),
    Budget(requests=60, tokens=9000, cost=0.03, prices=PRICES),
    Budget(requests=0),
    Budget(tokens=10),
    Budget(requests=3),
]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("concurrency", [1, 5, 64])
@pytest.mark.parametrize("failing_share", [0.0, 0.4])
def test_no_limit_is_ever_exceeded(budget: Budget, concurrency: int, failing_share: float, tmp_path: Path) -> None:
    metered = Metered(random.Random(concurrency), failing_share=failing_share, usage_share=0.8)
    asked = Battery(name="small", seed=1, items=tuple(item(n, text="x" * (n % 50), max_tokens=20) for n in range(300)))

    async def go() -> Run:
        endpoint = Budgeted(metered, budget)
        metered.tell = endpoint.another_try
        with started(tmp_path / "a", asked) as transcript:
            done = await run(endpoint, transcript, concurrency=concurrency, order_seed=1)
        assert budget.allows(endpoint.spent)
        spent, billed = endpoint.spent, metered.billed
        assert spent.requests == billed.requests
        assert spent.prompt_tokens >= billed.prompt_tokens  # where nothing was reported, the most is counted
        assert spent.completion_tokens >= billed.completion_tokens
        return done

    done = asyncio.run(go())
    assert budget.allows(metered.billed)
    assert done.seal.reason == "budget"
    assert len(read_transcript(tmp_path / "a").answered) == metered.answers == done.answered


@pytest.mark.parametrize("concurrency", [1, 5, 64])
def test_a_budget_of_requests_is_used_up_to_the_last(concurrency: int, tmp_path: Path) -> None:
    endpoint = Scripted(seconds=0.001)
    done = spend(endpoint, Budget(requests=37), tmp_path, concurrency=concurrency)
    assert len(endpoint.asked) == done.answered == 37
    assert done.given_up == 0


def test_tokens_are_used_until_the_next_question_might_not_fit(tmp_path: Path) -> None:
    endpoint = Scripted(lambda _: reply(usage=Usage(prompt_tokens=10, completion_tokens=2)), seconds=0.001)
    done = spend(endpoint, Budget(tokens=1200), tmp_path, concurrency=64)
    left = 1200 - 12 * done.answered
    assert 0 <= left < BOUND + 8


def spend(endpoint: Scripted, budget: Budget, folder: Path, *, concurrency: int) -> Run:
    async def go() -> Run:
        with started(folder / "a", battery(100)) as transcript:
            return await run(Budgeted(endpoint, budget), transcript, concurrency=concurrency, order_seed=1)

    return asyncio.run(go())


def test_a_budget_that_suffices_is_not_noticed(tmp_path: Path) -> None:
    done = spend(Scripted(), Budget(requests=200, tokens=10**6, cost=10, prices=PRICES), tmp_path, concurrency=8)
    assert (done.seal.reason, done.answered) == ("complete", 200)


def test_what_does_not_fit_is_left_to_a_later_run_and_not_given_up(tmp_path: Path) -> None:
    done = spend(Scripted(), Budget(requests=5), tmp_path, concurrency=8)
    assert done.last_error is None
    read = read_transcript(tmp_path / "a")
    assert len(read.answered) == 5
    assert not read.given_up


def ask(endpoint: Budgeted, *questions: Question) -> list[Reply | BaseException]:
    async def go() -> list[Reply | BaseException]:
        return await asyncio.gather(*map(endpoint.ask, questions), return_exceptions=True)

    return asyncio.run(go())


def troubles(results: list[Reply | BaseException]) -> list[str]:
    return [result.trouble if isinstance(result, EndpointError) else "none" for result in results]


def test_after_the_first_that_does_not_fit_all_are_refused() -> None:
    """Else the short questions would be answered and the long ones left, and the sample be of short ones."""
    small, large = QUESTION, QUESTION.model_copy(update={"max_tokens": 10_000})
    endpoint = Budgeted(Scripted(seconds=0.001), Budget(tokens=BOUND + 1000))
    results = ask(endpoint, small, large, small, small)
    assert troubles(results) == ["none", "out_of_budget", "out_of_budget", "out_of_budget"]


def test_a_question_waits_for_those_under_way_before_it_is_refused() -> None:
    endpoint = Budgeted(Scripted(seconds=0.001), Budget(tokens=BOUND + 8 + 10))
    assert troubles(ask(endpoint, QUESTION, QUESTION)) == ["none", "out_of_budget"]  # the first took 15
    small_use = Scripted(lambda _: reply(usage=Usage(prompt_tokens=1, completion_tokens=1)), seconds=0.001)
    endpoint = Budgeted(small_use, Budget(tokens=BOUND + 8 + 20))
    assert troubles(ask(endpoint, *[QUESTION] * 10)) == ["none"] * 10


def test_the_first_question_goes_alone_where_there_is_a_limit() -> None:
    class Watched(Scripted):
        async def ask(self, question: Question) -> Reply:
            seen.append(self.under_way)
            return await super().ask(question)

    for budget, expected in ((Budget(tokens=10**6), [0, 0, 1, 2]), (Budget(), [0, 1, 2, 3])):
        seen: list[int] = []
        ask(Budgeted(Watched(seconds=0.01), budget), *[QUESTION] * 4)
        assert seen == expected


def test_an_endpoint_that_bills_more_than_it_may_stops_the_run() -> None:
    greedy = Scripted(lambda _: reply(usage=Usage(prompt_tokens=10, completion_tokens=5000)))
    endpoint = Budgeted(greedy, Budget(tokens=1000))
    assert troubles(ask(endpoint, QUESTION, QUESTION)) == ["none", "out_of_budget"]
    assert endpoint.spent.completion_tokens == 5000


def test_a_longer_prompt_of_the_providers_own_is_learned() -> None:
    """A hidden prompt of 1,000 tokens: the first answer shows it, and from then on it is set aside."""
    hidden = Scripted(lambda _: reply(usage=Usage(prompt_tokens=1000, completion_tokens=1)), seconds=0.001)
    endpoint = Budgeted(hidden, Budget(tokens=2005))
    assert troubles(ask(endpoint, QUESTION, QUESTION, QUESTION)) == ["none", "out_of_budget", "out_of_budget"]
    assert endpoint.spent == Spent(requests=1, prompt_tokens=1000, completion_tokens=1)
    endpoint = Budgeted(hidden, Budget(tokens=2100))
    assert troubles(ask(endpoint, QUESTION, QUESTION, QUESTION)) == ["none", "none", "out_of_budget"]


@pytest.mark.parametrize("requests", range(1, 8))
def test_tries_that_nobody_told_of_are_set_aside_and_counted(requests: int) -> None:
    """A server that wants another name for the limit rejects the first try of the first question."""
    tries = 0

    def answer(_: Question) -> Reply:
        nonlocal tries
        tries += 1 if tries else 2
        failed = Attempt(trouble="rejected", status=400, detail="scripted", waited_seconds=0)
        return reply(attempts=(failed,) if tries == 2 else ())

    endpoint = Budgeted(Scripted(answer, seconds=0.001), Budget(requests=requests), extra_tries=1)
    ask(endpoint, *[QUESTION] * 10)
    assert endpoint.spent.requests == tries == (requests if requests > 1 else 0)


def test_a_question_that_is_broken_off_counts_in_full() -> None:
    async def go() -> Spent:
        endpoint = Budgeted(Scripted(seconds=60), Budget(requests=10))
        task = asyncio.create_task(endpoint.ask(QUESTION))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return endpoint.spent

    assert asyncio.run(go()) == Spent(requests=1, prompt_tokens=BOUND, completion_tokens=8)


@pytest.mark.parametrize(("trouble", "billed"), [("timed_out", True), ("rate_limited", False), ("rejected", False)])
def test_a_failed_question_counts_in_full_where_it_may_be_billed(trouble: Trouble, billed: bool) -> None:
    def fails(_: Question) -> Reply:
        attempt = Attempt(trouble=trouble, status=None, detail="scripted", waited_seconds=0)
        raise EndpointError(trouble, "scripted", attempts=(attempt,))

    endpoint = Budgeted(Scripted(fails), Budget())
    ask(endpoint, QUESTION)
    tokens = Spent(prompt_tokens=BOUND, completion_tokens=8) if billed else Spent()
    assert endpoint.spent == tokens + Spent(requests=1)


def test_a_question_that_was_never_sent_costs_nothing() -> None:
    endpoint = Budgeted(Scripted(failing("rejected")), Budget(requests=1))
    assert troubles(ask(endpoint, QUESTION, QUESTION)) == ["rejected", "rejected"]
    assert endpoint.spent == Spent()


def test_a_limit_on_cost_needs_prices() -> None:
    with pytest.raises(ValueError, match="needs prices"):
        Budget(cost=1.0)


def test_prices_are_per_million() -> None:
    assert Spent(prompt_tokens=2_000_000, completion_tokens=100_000).cost(PRICES) == pytest.approx(7.5)
