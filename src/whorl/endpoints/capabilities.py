"""What an endpoint does, found out by asking: a server may take a parameter with HTTP 200 and ignore it.

Ten cheap questions are asked, one after the other. Each capability is read from what the answers show, never from the
acceptance of a parameter. Where they cannot tell, the capability is None and a note says why. The questions have many
possible answers on purpose: a model that always answers alike cannot show whether it samples.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from whorl.endpoints.exchange import Capabilities, Endpoint, EndpointError, Message, Question, Reply, TokenLogprob

CALLS: Final = 10
"""Questions that `detect` asks, for a plan; retries come on top."""

_HOPELESS: Final = ("refused_connection", "not_allowed", "not_found", "redirected")
_REQUEST: Final = "Write eight random words, each on a line of its own."
_SHORT: Final = 16  # tokens of an answer that is compared with others
_CUT: Final = 4  # tokens at which an answer must be cut
_FILLER_WORDS: Final = 40
_SYLLABLES: Final = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "vo", "ze")
_ROUNDING: Final = 0.02  # by how much the probabilities of the tokens shown for one place may exceed 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Whether a capability was seen; None with a note where it could not be told."""

    yes: bool | None
    note: str | None = None


async def detect(endpoint: Endpoint, *, seed: int) -> Capabilities:
    """Ask `CALLS` questions and read from the answers what the endpoint does.

    Parameters
    ----------
    seed : chooses the made-up words and the seeds that are sent

    Raises
    ------
    EndpointError
        If nothing can be asked: the first question fails in a way that all would, or every question fails.
    """
    word, questions = _questions(random.Random(seed))
    replies: dict[str, Reply] = {}
    errors: dict[str, EndpointError] = {}
    for name, question in questions.items():
        try:
            replies[name] = await endpoint.ask(question)
        except EndpointError as error:
            if error.trouble in _HOPELESS and not replies:
                raise
            errors[name] = error
    if not replies:
        raise next(iter(errors.values()))

    def read(names: tuple[str, ...], judge: Callable[..., Seen]) -> Seen:
        missing = [name for name in names if name not in replies]
        if missing:
            return Seen(yes=None, note=f"{missing[0]}: no answer ({errors[missing[0]].detail})")
        return judge(*(replies[name] for name in names))

    sampled = tuple(name for name in ("warm", "warm again", "seeded", "other seed") if name not in errors)
    seen = {
        "logprobs": read(("with log-probabilities",), logprobs_seen),
        "seed": read(("seeded", "seeded again", "other seed", "warm", "warm again"), seed_seen),
        "system_prompt": read(
            ("cold", "cold again", "with a system prompt"),
            lambda cold, again, instructed: system_prompt_seen(cold, again, instructed, word),
        ),
        "usage": read(("cold", "longer and cut"), usage_seen),
        "max_tokens": read(("longer and cut",), max_tokens_seen),
        "temperature": read(("cold", "cold again", *sampled), temperature_seen),
    }
    notes = dict.fromkeys(f"{name}: {each.note}" for name, each in seen.items() if each.note is not None)
    return Capabilities(**{name: each.yes for name, each in seen.items()}, notes=tuple(notes))


def _questions(rng: random.Random) -> tuple[str, dict[str, Question]]:
    """A made-up word that no answer holds by chance, and the questions by name."""
    word = "".join(rng.choices(_SYLLABLES, k=5))
    filler = " ".join("".join(rng.choices(_SYLLABLES, k=2)) for _ in range(_FILLER_WORDS))
    one, other = rng.sample(range(1, 2**31), 2)
    user = Message(role="user", text=_REQUEST)
    cold = Question(messages=(user,), max_tokens=_SHORT, temperature=0.0)
    warm = cold.model_copy(update={"temperature": 1.0})
    instructed = (Message(role="system", text=f"Whatever you are asked, answer only with this word: {word}"), user)
    longer = (Message(role="user", text=f"Do not use these words: {filler}.\n{_REQUEST}"),)
    return word, {
        "cold": cold,
        "cold again": cold.model_copy(update={"draw": 1}),
        "warm": warm,
        "warm again": warm.model_copy(update={"draw": 1}),
        "seeded": warm.model_copy(update={"seed": one}),
        "seeded again": warm.model_copy(update={"seed": one, "draw": 1}),
        "other seed": warm.model_copy(update={"seed": other}),
        "with a system prompt": cold.model_copy(update={"messages": instructed}),
        "longer and cut": cold.model_copy(update={"messages": longer, "max_tokens": _CUT}),
        "with log-probabilities": cold.model_copy(update={"max_tokens": _CUT, "top_logprobs": 5}),
    }


def said(reply: Reply) -> str:
    """Everything that was generated and shown: a model that reasons may have spent its tokens on that."""
    return (reply.reasoning or "") + reply.text


def logprobs_seen(reply: Reply) -> Seen:
    """Log-probabilities came, with alternatives, and could be those of a distribution."""
    if not reply.logprobs:
        return Seen(yes=False)
    if any(len(token.top) < 2 for token in reply.logprobs):
        return Seen(yes=False, note="log-probabilities came without alternatives")
    if not all(_could_be_a_distribution(token) for token in reply.logprobs):
        return Seen(yes=False, note="the log-probabilities of one place add up to more than 1")
    return Seen(yes=True)


def _could_be_a_distribution(token: TokenLogprob) -> bool:
    shown = [token.logprob, *(logprob for _, logprob in token.top)]
    if max(shown) > _ROUNDING:
        return False
    return sum(math.exp(logprob) for _, logprob in token.top) <= 1 + _ROUNDING


def seed_seen(seeded: Reply, again: Reply, other: Reply, warm: Reply, warm_again: Reply) -> Seen:
    """The same seed gave the same text and another seed another, where texts do not repeat by chance."""
    texts = [said(reply) for reply in (seeded, other, warm, warm_again)]
    if said(seeded) != said(again):
        return Seen(yes=False)
    if len(set(texts)) == len(texts):
        return Seen(yes=True)
    if len({said(seeded), said(other)}) == 1 and len(set(texts)) > 1:
        return Seen(yes=False, note="two seeds gave the same text")
    return Seen(yes=None, note="too few different texts at temperature 1 to tell a seed from chance")


def system_prompt_seen(cold: Reply, again: Reply, instructed: Reply, word: str) -> Seen:
    """The system prompt's made-up word came, or the otherwise repeatable answer changed."""
    if word in said(instructed).lower():
        return Seen(yes=True)
    if said(cold) != said(again):
        return Seen(yes=None, note="answers at temperature 0 are not repeatable, so a changed one shows nothing")
    if not said(cold) + said(instructed):
        return Seen(yes=None, note="the answers were empty")
    return Seen(yes=said(instructed) != said(cold))


def usage_seen(short: Reply, longer: Reply) -> Seen:
    """Counts are reported, and a question with more words has more prompt tokens by at least one a word."""
    before, after = _prompt_tokens(short), _prompt_tokens(longer)
    if before is None or after is None:
        return Seen(yes=False)
    if after - before < _FILLER_WORDS:
        return Seen(yes=False, note=f"{_FILLER_WORDS} more words made the prompt {after - before} tokens longer")
    return Seen(yes=True)


def _prompt_tokens(reply: Reply) -> int | None:
    """Tokens of the prompt, if those of the answer are reported too."""
    if reply.usage is None or reply.usage.completion_tokens is None:
        return None
    return reply.usage.prompt_tokens


def max_tokens_seen(cut: Reply) -> Seen:
    """A longer answer ended at the limit and said so."""
    tokens = None if cut.usage is None else cut.usage.completion_tokens
    if tokens is not None and tokens > _CUT:
        return Seen(yes=False, note=f"{tokens} tokens came where {_CUT} were allowed")
    if len(said(cut).split()) > 2 * _CUT:
        return Seen(yes=False, note=f"{len(said(cut).split())} words came where {_CUT} tokens were allowed")
    if cut.finish == "length":
        return Seen(yes=True)
    if tokens == _CUT:
        return Seen(yes=False, note=f"an answer that was cut ended with '{cut.finish}'")
    return Seen(yes=None, note="the answer ended before the limit")


def temperature_seen(cold: Reply, cold_again: Reply, *warm: Reply) -> Seen:
    """Temperature 1 gave different texts, temperature 0 the same."""
    if len(warm) < 2 or not any(said(reply) for reply in (cold, cold_again, *warm)):
        return Seen(yes=None, note="too few answers, or empty ones")
    if said(cold) != said(cold_again):
        return Seen(yes=False, note="temperature 0 gave different texts")
    if len({said(reply) for reply in warm}) == 1:
        return Seen(yes=False, note=f"temperature 1 gave the same text {len(warm)} times")
    return Seen(yes=True)
