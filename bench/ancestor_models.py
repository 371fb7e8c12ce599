"""Small families with a known common ancestor: ``python -m bench.ancestor_models FOLDER [FAMILIES]``.

Each family is one pre-training run, ``ancestor``, and models made of it whose truth is known: trainings apart from each
other (siblings, also on the same text), trainings of the reference (children), two heirs of a checkpoint that nobody
published, and another revision of the ancestor. ``bench.ancestor`` measures them. What is there is not made again.
"""

import copy
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.zoo.bases import SHAPES, Text, configuration
from bench.zoo.texts import rows_of, shared_tokenizer
from demo.folders import write_folder
from demo.training import Recipe, train

FAMILIES: Final = 17
CYCLE: Final = ("llama64", "qwen64", "neox64", "gemma64", "llama48", "llama80", "qwen96", "neox80")
PRE_TRAINING: Final = Recipe(steps=400, learning_rate=5e-3, batch=8)
REFERENCE: Final = Recipe(steps=150, learning_rate=1e-3, batch=8, order=21)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One training: of which member, on which of three texts (own, other, third), how."""

    parent: str
    text: int
    recipe: Recipe


def _again(order: int, steps: int = 150, rate: float = 1e-3) -> Recipe:
    return replace(REFERENCE, order=order, steps=steps, learning_rate=rate)


MEMBERS: Final = {
    "reference": Member(parent="ancestor", text=1, recipe=REFERENCE),
    "same_text": Member(parent="ancestor", text=1, recipe=_again(22)),
    "same_text_long": Member(parent="ancestor", text=1, recipe=_again(23, steps=350)),
    "third_text": Member(parent="ancestor", text=2, recipe=_again(24)),
    "own_text": Member(parent="ancestor", text=0, recipe=_again(25)),
    "light": Member(parent="ancestor", text=1, recipe=_again(26, steps=60, rate=3e-4)),
    "child_third_text": Member(parent="reference", text=2, recipe=_again(31, steps=100, rate=5e-4)),
    "child_same_text": Member(parent="reference", text=1, recipe=_again(32)),
    "child_own_text": Member(parent="reference", text=0, recipe=_again(33, steps=250)),
    "child_of_light": Member(parent="light", text=1, recipe=_again(34, steps=250)),
    "unpublished": Member(parent="ancestor", text=1, recipe=_again(41, steps=100)),
    "heir": Member(parent="unpublished", text=1, recipe=_again(42, steps=40, rate=5e-4)),
    "other_heir": Member(parent="unpublished", text=2, recipe=_again(43, steps=100, rate=5e-4)),
    "revision": Member(parent="ancestor", text=0, recipe=_again(51, steps=40, rate=5e-4)),
}


def texts_of(family: int) -> tuple[Text, Text, Text]:
    """The text that a family's ancestor read, and two others."""
    order: tuple[Text, ...] = ("A", "B", "C")
    first, second, third = (order[(family + place) % 3] for place in range(3))
    return first, second, third


def make_family(folder: Path, family: int) -> None:
    """Train what a family lacks."""
    tokenizer, texts = shared_tokenizer(), texts_of(family)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "ancestor").exists():
        torch.manual_seed(700 + family)
        config = configuration(SHAPES[CYCLE[family % len(CYCLE)]], tokenizer.get_vocab_size())
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        train(model, rows_of(tokenizer, texts[0]), replace(PRE_TRAINING, order=family))
        write_folder(folder / "ancestor", model, tokenizer)
    for name, member in MEMBERS.items():
        if not (folder / name).exists():
            model = copy.deepcopy(_stored(folder / member.parent))
            recipe = replace(member.recipe, order=member.recipe.order + 100 * family)
            train(model, rows_of(tokenizer, texts[member.text]), recipe)
            write_folder(folder / name, model, tokenizer)


def _stored(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


if __name__ == "__main__":
    for number in range(int(sys.argv[2]) if len(sys.argv) > 2 else FAMILIES):
        make_family(Path(sys.argv[1]) / f"{CYCLE[number % len(CYCLE)]}-{number}", number)
        print(f"family {number}", flush=True)
