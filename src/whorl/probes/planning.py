"""What asking a battery takes, told before anything is sent.

Prompt tokens are estimated from UTF-8 bytes, because the endpoint's tokenizer is not known: one token for 4 bytes,
plus 4 for each message and 3 for the whole. On the texts of the standard battery that is 0.94 to 1.06 of what eight
byte-level tokenizers of llama.cpp's test set count, by family 0.54 (texts made to tell tokenizers apart) to 1.18
(``python bench/probing.py --tokenizers FOLDER``).

The upper bound is one token a byte, plus 16 for each message and 64 for the whole: no tokenizer that works on bytes
needs more, but a provider may put a longer prompt of its own before each question. Answers are bounded by the
battery's ``max_tokens``; how long they will be is not known beforehand, so the lower end of a cost counts one token
each.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from pydantic import Field

from whorl.core.evidence import Document, StoredDocument
from whorl.endpoints.exchange import Message
from whorl.probes.battery import Battery, Family, Item
from whorl.probes.families import FAMILIES
from whorl.probes.transcript import questions_of

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
TOKENS_PER_QUESTION: Final = 3
MOST_TOKENS_PER_MESSAGE: Final = 16
MOST_TOKENS_PER_QUESTION: Final = 64
NOT_TRIED: Final = "not tried"


class Prices(Document):
    """What a million tokens cost, in any one currency."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def cost(self, *, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of that many tokens."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class Amount(Document):
    """Requests and tokens; each question is one request, and retries come on top."""

    items: int = Field(ge=0)
    requests: int = Field(ge=0)
    prompt_tokens: int = Field(ge=0, description="estimate")
    prompt_tokens_at_most: int = Field(ge=0)
    completion_tokens_at_most: int = Field(ge=0)
    cost_from: float | None = Field(ge=0, description="estimated prompts and one token an answer; None without prices")
    cost_at_most: float | None = Field(ge=0)


class FamilyPlan(Document):
    """One family of a battery."""

    family: Family
    amount: Amount
    shows: str
    cannot_show: str
    power: str = Field(description="how probably it would show something, tried on control models; or that it was not")


class Plan(StoredDocument):
    """What asking a battery takes."""

    schema_: Literal["whorl.probe-plan/1"] = Field(default="whorl.probe-plan/1", alias="schema")
    battery: str
    seed: int
    digest: str
    total: Amount
    power: str = Field(description="of all families together")
    families: tuple[FamilyPlan, ...]
    requests_per_minute: float | None = Field(gt=0)
    minutes: float | None = Field(description="time at that rate, if the endpoint keeps up; None without a rate")


def plan(
    battery: Battery,
    *,
    prices: Prices | None = None,
    requests_per_minute: float | None = None,
    power: str = NOT_TRIED,
    power_by_family: Mapping[Family, str] = MappingProxyType({}),
) -> Plan:
    """What asking every question of a battery once takes, in all and by family.

    Parameters
    ----------
    prices : per million tokens; None leaves the cost out
    requests_per_minute : the rate that is kept to; None leaves the time out
    power, power_by_family : what was found by trying the battery on control models, in words
    """
    families = dict.fromkeys(item.family for item in battery.items)
    requests = questions_of(battery)
    return Plan(
        battery=battery.name,
        seed=battery.seed,
        digest=battery.digest,
        total=_amount(battery.items, prices),
        power=power,
        families=tuple(
            FamilyPlan(
                family=family,
                amount=_amount([item for item in battery.items if item.family == family], prices),
                shows=FAMILIES[family].shows,
                cannot_show=FAMILIES[family].cannot_show,
                power=power_by_family.get(family, NOT_TRIED),
            )
            for family in families
        ),
        requests_per_minute=requests_per_minute,
        minutes=None if requests_per_minute is None else requests / requests_per_minute,
    )


def prompt_tokens(messages: Sequence[Message]) -> int:
    """Estimated tokens of one question."""
    text = -(-_bytes(messages) // BYTES_PER_TOKEN)
    return text + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_QUESTION


def prompt_tokens_at_most(messages: Sequence[Message]) -> int:
    """Upper bound of the tokens of one question, if the provider puts no long prompt of its own before it."""
    return _bytes(messages) + MOST_TOKENS_PER_MESSAGE * len(messages) + MOST_TOKENS_PER_QUESTION


def _bytes(messages: Sequence[Message]) -> int:
    return sum(len(message.text.encode(errors="surrogatepass")) for message in messages)


def _amount(items: Sequence[Item], prices: Prices | None) -> Amount:
    requests = sum(item.draws for item in items)
    estimate = sum(item.draws * prompt_tokens(item.messages) for item in items)
    at_most = sum(item.draws * prompt_tokens_at_most(item.messages) for item in items)
    answers = sum(item.draws * item.max_tokens for item in items)
    return Amount(
        items=len(items),
        requests=requests,
        prompt_tokens=estimate,
        prompt_tokens_at_most=at_most,
        completion_tokens_at_most=answers,
        cost_from=None if prices is None else prices.cost(prompt_tokens=estimate, completion_tokens=requests),
        cost_at_most=None if prices is None else prices.cost(prompt_tokens=at_most, completion_tokens=answers),
    )
