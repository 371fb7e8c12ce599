"""The zoo's independent pre-training runs: which architecture, start, text and order each one has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from transformers import (
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2Config,
)

from demo.training import Recipe

Text = Literal["A", "B", "C"]
Architecture = Literal["llama", "qwen2", "gpt_neox", "gemma", "mixtral"]

CONTEXT: Final = 64
PRE_TRAINING: Final = Recipe(steps=1000, learning_rate=5e-3, batch=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a small decoder; ``start`` is the standard deviation of its initial weights."""

    architecture: Architecture
    width: int
    layers: int
    heads: int
    kv_heads: int
    neurons: int
    start: float = 0.1
    head_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """One pre-training run: the founder of a family.

    ``kin`` names the run whose start (seed and shape) this one repeats, None for a start of its own; ``children`` says
    whether descendants are made of it, ``stranger`` whose run of equal shape they are merged with.
    """

    name: str
    shape: Shape
    seed: int
    text: Text = "A"
    order: int = 0
    own_tokenizer: bool = False
    recipe: Recipe = PRE_TRAINING
    kin: str | None = None
    children: bool = False
    stranger: str | None = None


SHAPES: Final = {
    "llama64": Shape(architecture="llama", width=64, layers=4, heads=4, kv_heads=2, neurons=256),
    "llama48": Shape(architecture="llama", width=48, layers=6, heads=4, kv_heads=4, neurons=240),
    "llama96": Shape(architecture="llama", width=96, layers=3, heads=6, kv_heads=2, neurons=256, start=0.05),
    "llama80": Shape(architecture="llama", width=80, layers=4, heads=5, kv_heads=1, neurons=224),
    "qwen64": Shape(architecture="qwen2", width=64, layers=4, heads=4, kv_heads=2, neurons=288),
    "qwen96": Shape(architecture="qwen2", width=96, layers=3, heads=4, kv_heads=4, neurons=320, start=0.05),
    "neox64": Shape(architecture="gpt_neox", width=64, layers=5, heads=4, kv_heads=4, neurons=256),
    "neox80": Shape(architecture="gpt_neox", width=80, layers=4, heads=5, kv_heads=5, neurons=320),
    "gemma64": Shape(architecture="gemma", width=64, layers=4, heads=4, kv_heads=1, neurons=304, head_size=16),
    "gemma80": Shape(architecture="gemma", width=80, layers=4, heads=4, kv_heads=2, neurons=256, head_size=24),
    "moe64": Shape(architecture="mixtral", width=64, layers=3, heads=4, kv_heads=2, neurons=96),
}
FOUNDERS: Final = {
    "llama64": 3,
    "llama48": 2,
    "llama96": 2,
    "llama80": 2,
    "qwen64": 2,
    "qwen96": 2,
    "neox64": 2,
    "neox80": 1,
    "gemma64": 1,
    "gemma80": 1,
    "moe64": 2,
}
"""Founders of families with descendants, by shape: 20 in all."""


def bases() -> list[Base]:
    """Every pre-training run of the zoo: 80 independent starts and 50 repeated ones.

    Each founder has a twin (same shape, text and order, another seed). Of each founder's start there is a second run in
    another order or on other text, of some both; of some one with stronger weight decay or twice as long. More
    strangers of every shape read other text or other tokens. Short and slow runs, two of each start, are the hardest to
    tell from copies: they have hardly anything of their own.
    """
    found = list(_founders())
    twins = [replace(base, name=f"{base.name}-twin", seed=base.seed + 100, children=False) for base in found]
    twins = [replace(twin, stranger=None) for twin in twins]
    repeated = []
    for number, base in enumerate(found):
        again = replace(base, kin=base.name, children=False, stranger=None)
        if number % 2 == 0 or number < 4:
            repeated.append(replace(again, name=f"{base.name}-order", order=base.order + 1))
        if number % 2 == 1 or number < 4:
            repeated.append(replace(again, name=f"{base.name}-text", text=_other(base.text)))
        if number % 4 == 0:
            weaker = replace(base.recipe, decay=0.4)
            repeated.append(replace(again, name=f"{base.name}-decay", order=base.order + 2, recipe=weaker))
        if number % 4 == 2:
            longer = replace(base.recipe, steps=2 * base.recipe.steps)
            repeated.append(replace(again, name=f"{base.name}-long", order=base.order + 3, recipe=longer))
    return [*found, *twins, *repeated, *_strangers(), *_short_runs()]


def _founders() -> Iterator[Base]:
    texts: tuple[Text, ...] = ("A", "B")
    for shape, count in FOUNDERS.items():
        for number in range(count):
            name = f"{shape}-{number}"
            # Founders of one shape differ in text and pace too; the twin is what differs in nothing but the seed.
            recipe = replace(PRE_TRAINING, learning_rate=(5e-3, 3e-3, 4e-3)[number])
            yield Base(
                name=name,
                shape=SHAPES[shape],
                seed=number,
                text=texts[number % 2],
                recipe=recipe,
                children=True,
                stranger=f"{name}-twin",
            )


def _strangers() -> Iterator[Base]:
    names = [name for name in SHAPES for _ in range(3)][:24]
    for number, shape in enumerate(names):
        yield Base(
            name=f"{shape}-stranger{number}",
            shape=SHAPES[shape] if number % 3 else replace(SHAPES[shape], start=0.02),
            seed=500 + number,
            text=("C", "A", "B")[number % 3],
            order=number,
            own_tokenizer=number % 4 == 3,
        )


def _short_runs() -> Iterator[Base]:
    paces = (
        Recipe(steps=100, learning_rate=5e-3, batch=8),
        Recipe(steps=200, learning_rate=1e-3, batch=8),
        Recipe(steps=400, learning_rate=5e-3, batch=8),
        Recipe(steps=600, learning_rate=5e-4, batch=8),
    )
    shapes = ("llama64", "qwen64", "neox64", "gemma64")
    for number, (shape, recipe) in enumerate((shape, recipe) for shape in shapes for recipe in paces):
        name = f"{shape}-short{number}"
        base = Base(name=name, shape=SHAPES[shape], seed=900 + number, recipe=recipe)
        yield base
        yield replace(base, name=f"{name}-order", order=1, kin=name)


def _other(text: Text) -> Text:
    return "B" if text == "A" else "A"


def configuration(shape: Shape, vocabulary: int) -> PreTrainedConfig:
    """The Hugging Face configuration of a shape."""
    shared: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.neurons,
        "max_position_embeddings": 256,
        "initializer_range": shape.start,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    grouped = {**shared, "num_key_value_heads": shape.kv_heads}
    match shape.architecture:
        case "llama":
            return LlamaConfig(**grouped, tie_word_embeddings=False)
        case "qwen2":
            return Qwen2Config(**grouped, tie_word_embeddings=True)
        case "gpt_neox":
            return GPTNeoXConfig(**shared, rotary_pct=0.25, use_parallel_residual=True, tie_word_embeddings=False)
        case "gemma":
            return GemmaConfig(**grouped, head_dim=shape.head_size, tie_word_embeddings=True)
        case "mixtral":
            return MixtralConfig(**grouped, num_local_experts=4, num_experts_per_tok=2, tie_word_embeddings=False)
