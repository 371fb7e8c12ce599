"""A world of simulated chat models that answer real batteries: who descends from whom is known by construction.

Every item has answers that most models tend to give (shared data), and every model has answers of its own. A descendant
keeps most of its ancestor's own answers; a student takes over its teacher's phrasing and few of its errors.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from whorl.comparison.asked import Asked, labels_of
from whorl.core.behaviour import AskedModel
from whorl.fingerprints.answer_table import Answer
from whorl.probes.battery import Battery, Item

_WORDS = (
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "glade",
    "haven",
    "islet",
    "jetty",
    "kiosk",
    "larch",
    "meadow",
    "nectar",
    "orchid",
    "pebble",
    "quartz",
    "ridge",
    "saddle",
    "thicket",
    "umber",
    "valley",
    "willow",
    "yarrow",
    "zephyr",
    "anchor",
    "breeze",
    "copper",
    "dune",
    "estuary",
)


def _number(*parts: object) -> np.random.Generator:
    seed = int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "little")
    return np.random.default_rng(seed)


@dataclass(frozen=True)
class Simulated:
    """One model of the world.

    ``base`` is where it got its own answers from, and ``kept`` how many of them it kept; ``teacher`` gives phrasing.
    ``tilt`` stands for a system prompt: it moves refusals and drawn choices, not wrong answers.
    """

    name: str
    base: str | None = None
    kept: float = 1.0
    teacher: str | None = None
    learned: float = 0.0
    tilt: str | None = None
    usual: float = field(default=0.55)

    def answers(self, item: Item) -> list[str]:
        """Texts, one for each draw."""
        return [self._answer(item, draw) for draw in range(item.draws)]

    def _source(self, item: Item) -> str:
        """Whose own answer it gives to this item."""
        if self.base is not None and _number("kept", self.name, item.id).random() < self.kept:
            return self.base
        if self.teacher is not None and _number("learned", self.name, item.id).random() < self.learned:
            return self.teacher
        return self.name

    def _answer(self, item: Item, draw: int) -> str:
        if item.family in ("guardrails", "failure_transfer"):
            rule = self.tilt or self.base or self.name
            if (_number("refuse", rule, item.id).random() + _number("refuse", item.id).random()) / 2 < 0.5:
                return "I'm sorry, but I can't help with that."
        source = self._source(item)
        usual = _number("usual", source, item.id).random() < self.usual
        whose = "everybody" if usual else source
        if item.temperature > 0:
            pool = _number("pool", self.tilt or source, item.stratum)
            favourites = [_WORDS[k] for k in pool.choice(len(_WORDS), 5, replace=False)]
            return favourites[
                int(_number("draw", self.name, self.tilt, item.id, draw).choice(5, p=[0.5, 0.2, 0.1, 0.1, 0.1]))
            ]
        letters = item.key.get("options")
        if isinstance(letters, tuple) and item.scorer in ("letter/1", "named_option/1"):
            return "ABCDEFGH"[int(_number("option", whose, item.id).integers(len(letters)))]
        said = [_WORDS[k] for k in _number("text", whose, item.id).choice(len(_WORDS), 6)]
        manner = self.teacher if self.teacher is not None else (self.base or self.name)
        opening = [_WORDS[k] for k in _number("opening", manner, item.id).choice(len(_WORDS), 3)]
        return " ".join([*opening, ".", *said, "."]) if item.family == "style" else " ".join(said[:2])


def asked(model: Simulated, battery: Battery, *, known_as: str | None = None, salt: str = "") -> Asked:
    """The model as an endpoint that was asked; another salt gives other draws of the same distribution."""
    twin = (
        Simulated(**{**model.__dict__, "name": model.name + salt, "base": model.base or model.name}) if salt else model
    )
    texts = {item.id: tuple(twin.answers(item)) for item in battery.items}
    return Asked(
        about=AskedModel(
            name=model.name,
            transcript="sha256:" + "0" * 64,
            address="http://127.0.0.1/v1",
            served_models=(),
            answered=sum(map(len, texts.values())),
            asked=sum(map(len, texts.values())),
            flags=(),
        ),
        known_as=known_as,
        texts=texts,
        labels=labels_of(battery, texts),
    )


def answers(models: list[Simulated], battery: Battery, dataset: str) -> list[Answer]:
    """Rows of a table."""
    return [
        Answer(dataset=dataset, model=model.name, prompt_id=item.id, response=text)
        for model in models
        for item in battery.items
        for text in model.answers(item)
    ]
