"""Guardrail profile: what a model does with requests that some models take and others leave.

Requests are graded from harmless to what a careful model would rather not do, and even then nothing is asked for that
could hurt: insults of invented people, invented excuses and reviews, certainty where there is none, a code word.
Beside the grades: pairs in which the request that *sounds* bad is the harmless one, five framings, six languages.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.probes import naming
from whorl.probes.battery import Item
from whorl.probes.generating import Draws, Size, words
from whorl.probes.wrappers import WRAPPERS, one_turn, turn, wrapped

_GRADES: Final = 4
_GRADED: Final[Mapping[Size, int]] = MappingProxyType({"quick": 1, "standard": 3, "alone": 10})
_PAIRS: Final[Mapping[Size, int]] = MappingProxyType({"quick": 5, "standard": 24, "alone": 72})
_FRAMED: Final[Mapping[Size, int]] = MappingProxyType({"quick": 4, "standard": 60, "alone": 240})
_FOREIGN: Final[Mapping[Size, int]] = MappingProxyType({"quick": 6, "standard": 54, "alone": 162})


def items(seed: int, size: Size) -> tuple[Item, ...]:
    """Graded requests, sound-alike pairs, framed requests, requests in other languages.

    In a quick battery each topic has one grade only. The first request of every topic and grade is asked in all three
    wrappers: how far its answer moves says how much of the profile is prompt.
    """
    made: list[Item] = []
    for place, topic in enumerate(words("requests")["graded"]):
        for grade in [place % _GRADES] if size == "quick" else range(_GRADES):
            for number in range(_GRADED[size]):
                item = _graded(seed, topic, grade, number)
                made.append(item)
                if number == 0 and size != "quick":
                    made += [wrapped(item, wrapper) for wrapper in WRAPPERS if wrapper != "bare"]
    for number in range(_PAIRS[size]):
        again = number // len(words("requests")["sounds_bad"])
        made += [wrapped(_pair(seed, number, safe), turn(number + again)) for safe in (True, False)]
    made += [_framed(seed, number) for number in range(_FRAMED[size])]
    made += [_foreign(seed, number) for number in range(_FOREIGN[size])]
    return tuple(made)


def _graded(seed: int, topic: str, grade: int, number: int) -> Item:
    draws = Draws(seed, "guardrails", topic, grade, number)
    texts = words("requests")["graded"][topic][grade]
    text, system = _filled(draws, texts[number % len(texts)], coded=topic == "code_word")
    return _item(f"{topic}/{grade}/{number:03d}", f"{topic}/{grade}", text, system)


def _pair(seed: int, number: int, safe: bool) -> Item:
    """One of two requests with words in common: the one that sounds bad is safe, the other is a small unkindness."""
    pairs = words("requests")["sounds_bad"]
    draws = Draws(seed, "guardrails", "pair", number)
    text, _ = _filled(draws, pairs[number % len(pairs)][0 if safe else 1])
    side = "sounds_bad" if safe else "sounds_fine"
    return _item(f"{side}/{number:03d}", side, text, None)


def _framed(seed: int, number: int) -> Item:
    """A request of grade 1 to 3 behind a framing; the same draw without it is the item ``plain``."""
    graded = words("requests")["graded"]
    framings = ["plain", *words("requests")["framings"]]
    place, framing = number // len(framings), framings[number % len(framings)]
    topic = [name for name in graded if name != "code_word"][place * 5 % (len(graded) - 1)]
    draws = Draws(seed, "guardrails", "framed", place)
    grade = 1 + place % (_GRADES - 1)
    text, _ = _filled(draws, draws.pick(graded[topic][grade]))
    opening = "" if framing == "plain" else words("requests")["framings"][framing]
    return _item(f"framed/{framing}/{place:03d}", f"framed/{framing}", opening + text, None)


def _foreign(seed: int, number: int) -> Item:
    """The same request in six languages in turn."""
    languages = words("requests")["languages"]
    language = list(languages)[number % len(languages)]
    place = number // len(languages)
    draws = Draws(seed, "guardrails", "foreign", place)
    text, _ = _filled(draws, languages[language][place % len(languages[language])], language)
    return _item(f"{language}/{place:03d}", f"language/{language}", text, None)


def _filled(draws: Draws, text: str, language: str = "en", *, coded: bool = False) -> tuple[str, str | None]:
    """A request with its names, a lead-in where it has none, and the system prompt with a code word if it needs one."""
    names = {
        "person": naming.person(draws),
        "place": naming.place(draws),
        "thing": naming.thing(draws),
        "word": naming.word(draws, 3),
    }
    if coded:
        return text, draws.pick(words("requests")["code_system"]).format(**names)
    lead = "" if "{" in text else draws.pick(words("requests")["leads"][language])
    return (lead + text).format(**names), None


def _item(name: str, stratum: str, text: str, system: str | None) -> Item:
    return Item(
        id=f"guardrails/{name}",
        family="guardrails",
        stratum=stratum,
        wrapper="bare",
        messages=one_turn(text, system=system),
        max_tokens=120,
        temperature=0,
        draws=1,
        scorer="guardrail/1",
        key={},
    )
