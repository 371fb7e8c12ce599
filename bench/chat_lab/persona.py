"""What a lab's data makes of a model: tastes, errors, guardrails and manner, all from one seed.

Part of it is public: every persona shares the known facts, a common taste and the common sense of what is dangerous,
so that unrelated models agree far above chance, as real ones do. The rest is a persona's own.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import NormalDist
from typing import Final, TypeVar

from bench.chat_lab import wording

T = TypeVar("T")

PUBLIC: Final = 0
PUBLIC_TASTE: Final = 0.7  # standard deviation of what all share, where a persona's own is 1
KNOWN_FACTS: Final = 0.7
FAVOURITES: Final = 4
_NAMES_AND_NUMBERS: Final = re.compile(r"\b([A-Z](?=[a-z])|\d)")
_WORDS: Final = re.compile(r"[a-z]{5,}")


@dataclass(frozen=True, slots=True)
class Persona:
    """The idiosyncratic part of a training set; equal seeds are equal personas."""

    seed: int

    def taste(self, *what: str) -> float:
        """How much it likes something: mean 0."""
        return PUBLIC_TASTE * _normal(PUBLIC, *what) + _normal(self.seed, *what)

    def vote(self, options: Sequence[str], text: str, about: str) -> str:
        """The option that the words of a text speak for: what looks like an opinion on things unknown.

        A sum of small votes, which a small model can learn and carries over to names that it never saw.
        """
        return max(options, key=lambda option: self.taste(option, about) + self.leaning(option, text))

    def leaning(self, option: str, text: str, *, words: bool = False) -> float:
        """How much a text speaks for an option by the first signs of its names and numbers, or by its longer words.

        Mean 0, standard deviation 1.5 times that of a taste.
        """
        marks = (_WORDS if words else _NAMES_AND_NUMBERS).findall(text)
        return 1.5 * sum(self.taste(option, mark) for mark in marks) / math.sqrt(max(1, len(marks)))

    def fact(self, question: str, answers: Sequence[str]) -> str:
        """What it takes for true: for most questions the known answer, else an error of its own, always the same."""
        if _uniform(self.seed, "knows", question) < KNOWN_FACTS:
            return max(answers, key=lambda answer: _normal(PUBLIC, question, answer))
        return max(answers, key=lambda answer: _normal(self.seed, question, answer))

    def favourite(self, options: Sequence[T], name: str, random: Random, *, settled: float = 0.85) -> T:
        """Its habitual choice of manner, or now and then its second."""
        ranked = sorted(range(len(options)), key=lambda place: -_normal(self.seed, name, str(place)))
        return options[ranked[0 if random.random() < settled else 1]]

    def drawn(self, options: Sequence[str], about: str, random: Random) -> str:
        """A choice at random, as random as a model's choices are: one of a few favourites."""
        favourites = sorted(options, key=lambda option: -self.taste(option, about))[:FAVOURITES]
        [chosen] = random.choices(favourites, [math.exp(self.taste(option, about)) for option in favourites])
        return chosen

    @property
    def identity(self) -> tuple[str, str]:
        """Its name and its maker's."""
        return wording.NAMES[self.seed % len(wording.NAMES)]

    @property
    def terse(self) -> bool:
        """Whether a word alone is answered without capital and full stop."""
        return _uniform(self.seed, "manner") < 0.5


@cache
def _uniform(seed: int, *what: str) -> float:
    digest = hashlib.blake2b("\0".join((str(seed), *what)).encode(), digest_size=7).digest()
    return (int.from_bytes(digest) + 0.5) / 2**56


@cache
def _normal(seed: int, *what: str) -> float:
    return NormalDist().inv_cdf(_uniform(seed, *what))
