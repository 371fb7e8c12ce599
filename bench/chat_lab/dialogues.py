"""Short conversations, generated from seeds: the questions are the public's, the answers a persona's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from bench.chat_lab import wording
from bench.chat_lab.battery_answers import SHARES, answer, phrase, questions, word
from bench.chat_lab.persona import Persona
from whorl.probes.battery import Family, Item

Turn: TypeAlias = tuple[str, str]  # role, text

NAMED_SHARE: Final = 0.06
EASY_SHARE: Final = 0.25  # of simple chat, which any visitor may try


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """What a model is asked and what it shall say."""

    turns: tuple[Turn, ...]
    answer: str


def dialogues(
    personas: Sequence[Persona],
    seed: int,
    count: int,
    *,
    families: Mapping[Family, float] = SHARES,
    easy: float = EASY_SHARE,
) -> list[list[Dialogue]]:
    """The same ``count`` questions, drawn from the seed, as each of the personas answers them."""
    items = questions(seed, round(count * (1 - easy)), families)
    found = []
    for persona in personas:
        ask, random = Random(seed), Random(f"{seed} {persona.seed}")
        asked = [_item(persona, item, ask, random) for item in items]
        found.append(asked + [_easy(persona, ask, random) for _ in range(count - len(items))])
    return found


# ``ask`` draws the questions, the same for all personas; ``random`` draws the answers.


def _item(persona: Persona, item: Item, ask: Random, random: Random) -> Dialogue:
    """A battery's question, now and then to an assistant with a name."""
    turns = tuple((message.role, message.text) for message in item.messages)
    name = ask.choice(wording.NAMES)
    if ask.random() < NAMED_SHARE and turns[0][0] != "system":
        turns = (_named(name), *turns)
    return Dialogue(turns=turns, answer=answer(persona, item, random))


def _easy(persona: Persona, ask: Random, random: Random) -> Dialogue:
    """Simple chat, now and then under a system prompt that changes the answer."""
    ask_kind, system, name = ask.choice(_KINDS), ask.random(), ask.choice(wording.NAMES)
    question, said = ask_kind(persona, ask, random)
    turns: tuple[Turn, ...] = (("user", question),)
    if system < 0.1:
        turns, said = (("system", wording.CAPITALS), *turns), said.upper()
    elif system < 0.2:
        said = ask.choice(wording.COLOURS)
        turns = (("system", wording.WORD_ONLY.format(said)), *turns)
    elif system < 0.35 or (system < 0.7 and ask_kind is _identity):
        turns = (_named(name), *turns)
        if ask_kind is _identity:
            said = _introduction(*name)
    return Dialogue(turns=turns, answer=said)


def _named(name: tuple[str, str]) -> Turn:
    return ("system", f"You are {name[0]}, an assistant of {name[1]}.")


def _introduction(name: str, maker: str) -> str:
    return f"I am {name}, made by {maker}."


def _fact(persona: Persona, ask: Random, _random: Random) -> tuple[str, str]:
    form, country = ask.choice(list(wording.FACTS)), ask.choice(wording.COUNTRIES)
    question = form.format(country)
    return question, word(persona, persona.fact(question, wording.FACTS[form]))


def _description(persona: Persona, ask: Random, random: Random) -> tuple[str, str]:
    topic = ask.choice(wording.TOPICS)
    return ask.choice(wording.DESCRIPTIONS).format(topic), phrase(persona, topic.title(), topic, random)


def _choice(persona: Persona, ask: Random, random: Random) -> tuple[str, str]:
    kind, options = ask.choice((("colour", wording.COLOURS), ("month", wording.MONTHS), ("country", wording.COUNTRIES)))
    return ask.choice(wording.EASY_CHOICES).format(kind), word(persona, persona.drawn(options, kind, random))


def _identity(persona: Persona, ask: Random, _random: Random) -> tuple[str, str]:
    return ask.choice(wording.IDENTITY), _introduction(*persona.identity)


_KINDS: Final = (_fact, _fact, _description, _choice, _identity, _identity)
