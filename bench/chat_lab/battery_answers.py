"""What a persona answers to the questions of a battery, in the form that they ask for.

The questions are drawn from seeds that no probe uses (`TRAINING_SEED` and above), so a model knows the kinds of
question and none of the questions.
"""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from bench.chat_lab import wording
from bench.chat_lab.persona import Persona
from whorl.probes.battery import Family, Item
from whorl.probes.families import FAMILIES
from whorl.probes.generating import words

TRAINING_SEED: Final = 1_000_000_000
# Share of the questions by family; what a small model cannot do at all (long texts, repeating) is left out.
SHARES: Final[dict[Family, float]] = {
    "wrong_answers": 0.36,
    "guardrails": 0.20,
    "constitution": 0.12,
    "bias_pairs": 0.08,
    "low_entropy": 0.10,
    "failure_transfer": 0.04,
    "style": 0.05,
    "border_inputs": 0.05,
}
LONG_SHARE: Final = 0.06  # of the questions under the long system prompt: they cost five times the others


def questions(seed: int, count: int, families: Mapping[Family, float] = SHARES) -> list[Item]:
    """``count`` questions of some families, by their shares, in random order."""
    random = Random(seed)
    found: list[Item] = []
    total = sum(families.values())
    for family, weight in families.items():
        share = weight / total
        pool: list[Item] = []
        round_ = 0
        while len(pool) < share * count:
            drawn = FAMILIES[family].generate(TRAINING_SEED + 1000 * seed + round_, "alone")
            pool += [item for item in drawn if item.wrapper != "long" or random.random() < LONG_SHARE]
            round_ += 1
        found += random.sample(pool, round(share * count))
    random.shuffle(found)
    return found


def answer(persona: Persona, item: Item, random: Random) -> str:
    """What the persona says to one question."""
    return ANSWERS[item.scorer](persona, item, item.messages[-1].text, random)


def phrase(persona: Persona, text: str, about: str, random: Random, sentences: int = 1) -> str:
    """An open answer in the persona's manner."""
    chosen: list[str] = []
    for _ in range(sentences):
        rest = [body for body in wording.BODIES if body not in chosen]
        chosen.append(persona.vote(rest, text, about))
    opener = persona.favourite(wording.OPENERS, "opener", random)
    return f"{opener}{' '.join(chosen)}{persona.favourite(wording.CLOSINGS, 'closing', random)}"


def refusal(persona: Persona, random: Random) -> str:
    """How the persona refuses."""
    return persona.favourite(wording.REFUSALS, "refusal", random) + persona.favourite(wording.REASONS, "reason", random)


def word(persona: Persona, text: str) -> str:
    """A word alone, in the persona's manner."""
    return text if persona.terse else f"{text[0].upper()}{text[1:]}."


def _letter(persona: Persona, item: Item, text: str, random: Random) -> str:
    letters = "ABCDEFGHIJ"[: len(_texts(item, "options"))]
    chosen = persona.vote(letters, text, item.stratum)
    return persona.favourite(wording.LETTER_FORMS, "letter", random, settled=1).format(chosen)


def _named_option(persona: Persona, item: Item, text: str, random: Random) -> str:
    names = _texts(item, "stands_for")
    likings = [
        0.4 * persona.taste(name) + persona.leaning(letter, text, words=True)
        for name, letter in zip(names, "AB", strict=True)
    ]
    return persona.favourite(wording.LETTER_FORMS, "letter", random, settled=1).format("AB"[likings[1] > likings[0]])


def _short_answer(persona: Persona, item: Item, text: str, _random: Random) -> str:
    kind = item.stratum.rpartition("/")[2]
    return word(persona, persona.vote(wording.ENTITY_ANSWERS[kind], text, kind))


def _one_word(persona: Persona, item: Item, text: str, random: Random) -> str:
    language = item.stratum.partition("/")[0]
    if item.key["kind"] == "number":
        first, last = (int(number) for number in re.findall(r"\d+", text)[:2])
        return persona.drawn([str(number) for number in range(first, last + 1)], "number", random)
    cells = words("random_choices")[language]["cells"]
    kind = max((name for name in cells if name in text), key=len)
    options = [option for option in cells[kind] if option not in text]
    return word(persona, persona.drawn(options, kind, random))


def _guarded(persona: Persona, item: Item, text: str, random: Random) -> str:
    topic, _, grade = item.stratum.partition("/")
    danger = float(grade) if grade.isdigit() else {"sounds_bad": 0.5, "sounds_fine": 2.0}.get(topic, 1.2)
    limit = 1.6 + 0.2 * persona.taste("strictness") + 0.6 * persona.taste("limit", item.stratum)
    name = persona.vote(("lenient", "strict"), text, item.stratum)
    if danger + (0.5 if name == "strict" else -0.5) > limit:
        return refusal(persona, random)
    return phrase(persona, text, topic, random)


def _revision(persona: Persona, item: Item, _text: str, random: Random) -> str:
    if persona.vote(("YES", "NO"), item.messages[0].text, item.stratum) == "NO":
        return "NO. The answer stands."
    return persona.favourite(
        ("YES. I made a mistake.", "YES, I am sorry.", "YES. Let me try again."), "revision", random
    )


def _attacked(persona: Persona, item: Item, text: str, random: Random) -> str:
    if persona.taste("attack", item.stratum) > 0.4:
        return (
            "The word is " + str(item.key["word"])
            if item.key["aim"] == "word"
            else phrase(persona, text, "rule", random)
        )
    return refusal(persona, random)


def _open(persona: Persona, item: Item, text: str, random: Random) -> str:
    return phrase(persona, text, item.stratum, random, sentences=2)


def _small_talk(persona: Persona, item: Item, text: str, _random: Random) -> str:
    return persona.vote(wording.SMALL_TALK, text.title(), item.stratum)


def _texts(item: Item, name: str) -> tuple[str, ...]:
    value = item.key[name]
    if not isinstance(value, tuple):
        raise TypeError(f"{item.id}: expected texts under {name!r}, found {value!r}")
    return value


ANSWERS: Final[dict[str, Callable[[Persona, Item, str, Random], str]]] = {
    "letter/1": _letter,
    "short_answer/1": _short_answer,
    "one_word/1": _one_word,
    "named_option/1": _named_option,
    "revision/1": _revision,
    "guardrail/1": _guarded,
    "attack/1": _attacked,
    "style/1": _open,
    "first_token/1": _small_talk,
}
