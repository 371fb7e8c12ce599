"""The plan: counts are exact, bounds are bounds, and nothing is made up."""

import pytest
from small_batteries import battery, item

from whorl.endpoints.exchange import Message
from whorl.probes.battery import Battery
from whorl.probes.families import FAMILIES
from whorl.probes.families import battery as named_battery
from whorl.probes.planning import NOT_TRIED, Amount, Plan, Prices, plan, prompt_tokens, prompt_tokens_at_most

PRICES = Prices(input=2.0, output=10.0)


def user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", text=text),)


def test_the_counts_of_a_small_battery() -> None:
    """Three items of 20 bytes, four draws each, 8 tokens an answer; the sums by hand."""
    asked = Battery(name="small", seed=7, items=tuple(item(n, draws=4, text="x" * 20) for n in range(3)))
    planned = plan(asked, prices=PRICES, requests_per_minute=6)
    assert planned.total == Amount(
        items=3,
        requests=12,
        prompt_tokens=12 * (5 + 4 + 3),
        prompt_tokens_at_most=12 * (20 + 16 + 64),
        completion_tokens_at_most=12 * 8,
        cost_from=(144 * 2 + 12 * 10) / 1e6,
        cost_at_most=(1200 * 2 + 96 * 10) / 1e6,
    )
    assert planned.minutes == 2
    assert (planned.battery, planned.seed, planned.digest) == ("small", 7, asked.digest)


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_families_add_up_to_the_whole(name: str) -> None:
    planned = plan(named_battery(name, 1), prices=PRICES)
    parts = [part.amount for part in planned.families]
    for field in ("items", "requests", "prompt_tokens", "prompt_tokens_at_most", "completion_tokens_at_most"):
        assert sum(getattr(part, field) for part in parts) == getattr(planned.total, field)
    assert sum(part.cost_at_most or 0 for part in parts) == pytest.approx(planned.total.cost_at_most)
    assert [part.family for part in planned.families] == list(FAMILIES)


def test_what_is_not_known_is_not_made_up() -> None:
    planned = plan(battery())
    assert (planned.total.cost_from, planned.total.cost_at_most, planned.minutes) == (None, None, None)
    assert {part.power for part in planned.families} == {NOT_TRIED}


def test_a_plan_is_read_again_as_it_was() -> None:
    planned = plan(battery(), prices=PRICES, requests_per_minute=7)
    assert Plan.model_validate_json(planned.model_dump_json()) == planned


@pytest.mark.parametrize(
    "text", ["", "a", "a rather ordinary sentence, with commas", "纯粹的中文句子", "🦜" * 7, "\udc00"]
)
def test_the_estimate_is_within_its_bound(text: str) -> None:
    messages = (*user(text), *user(text))
    assert 0 < prompt_tokens(messages) <= prompt_tokens_at_most(messages)
    assert prompt_tokens_at_most(messages) >= 2 * len(text.encode(errors="surrogatepass"))


def test_the_estimate_counts_bytes_so_that_other_scripts_are_not_underestimated() -> None:
    assert prompt_tokens(user("中" * 40)) - prompt_tokens(user("c" * 40)) == 20


@pytest.mark.parametrize("wrong", [{"input": -1.0, "output": 1.0}, {"input": 1.0, "output": float("nan")}])
def test_prices_are_plain_numbers(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Prices"):
        Prices(**wrong)
