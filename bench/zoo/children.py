"""What is made of a founder: each way of reusing or hiding weights, alone and stacked, with the truth about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from bench.zoo import surgery
from bench.zoo.accelerator import on_accelerator
from bench.zoo.bases import PRE_TRAINING, Base, Text, configuration
from bench.zoo.texts import own_tokenizer, rows_of
from demo import edits
from demo.training import Recipe, fresh_model, train

LIGHT: Final = Recipe(steps=100, learning_rate=5e-4, order=12, batch=8)
HEAVY: Final = Recipe(steps=400, learning_rate=2.5e-3, order=13, batch=8)
HEALING: Final = Recipe(steps=100, learning_rate=1e-3, order=11, batch=8)
RETRAINING: Final = Recipe(steps=400, learning_rate=3e-3, order=17, batch=8)
GAUGE: Final = ("rotated", "permuted", "rescaled")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """A model and the tokenizer it speaks; ``gguf`` asks for storage as 8-bit GGUF."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    gguf: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """What a step may use: the founder, the text it did not learn, and other members by name (``family/member``)."""

    base: Base
    other_text: Text
    member: Callable[[str], Made]


Step = Callable[[Made, Bench], Made]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One member of a family, and the truth about it.

    Parameters
    ----------
    name : within the family
    steps : done to the parent, in order
    parent : the member it is made from
    changes : names of `whorl.core.evidence.Transformation` that are true of the child as against its parent
    parents : for merges, the share of weights from each other member
    carries : whether it carries the founder's weights; "parts" where some were replaced by fresh ones
    """

    name: str
    steps: tuple[Step, ...]
    parent: str = "base"
    changes: tuple[str, ...] = ()
    parents: dict[str, float] = field(default_factory=dict)
    carries: str = "weights"


def tuned(recipe: Recipe, text: Text | None = None) -> Step:
    """Trained further, on the text that the founder did not learn or on the given one."""

    def step(made: Made, bench: Bench) -> Made:
        with on_accelerator(made.model):
            train(made.model, rows_of(made.tokenizer, text or bench.other_text), recipe)
        return made

    return step


def edited(edit: Callable[[PreTrainedModel], PreTrainedModel]) -> Step:
    """Changed by a function of the model alone."""
    return lambda made, _: replace(made, model=edit(made.model))


def rewritten(seed: int) -> Step:
    """Every function-preserving rewrite at once."""
    return edited(lambda model: edits.rewritten(model, np.random.default_rng(seed)))


def rounded(bits: int) -> Step:
    """Rounded to 2**bits levels per group."""
    return edited(lambda model: edits.rounded(model, bits))


def pruned(share: float) -> Step:
    """Smallest weights set to zero."""
    return edited(lambda model: edits.magnitude_pruned(model, share))


def adapted(made: Made, bench: Bench) -> Made:
    """Fine-tuned through a low-rank adapter, merged afterwards."""
    model = edits.with_low_rank(made.model, rank=4, seed=19)
    recipe = replace(LIGHT, steps=200, learning_rate=2e-3)
    with on_accelerator(model):
        train(model, rows_of(made.tokenizer, bench.other_text), recipe)
    return replace(made, model=edits.merge_low_rank(model))


def preferred(made: Made, bench: Bench) -> Made:
    """Tuned by preferences."""
    rows = rows_of(made.tokenizer, bench.base.text)
    with on_accelerator(made.model):
        surgery.preferred(made.model, rows, steps=100, learning_rate=2e-4, seed=21)
    return made


def permuted_vocabulary(made: Made, _: Bench) -> Made:
    """Token ids shuffled, tokenizer and embeddings alike."""
    order = torch.randperm(made.tokenizer.get_vocab_size(), generator=torch.Generator().manual_seed(17))
    model, tokenizer = edits.vocabulary_permuted(made.model, made.tokenizer, order)
    return replace(made, model=model, tokenizer=tokenizer)


def extended_vocabulary(made: Made, _: Bench) -> Made:
    """New tokens appended."""
    model, tokenizer = edits.vocabulary_extended(made.model, made.tokenizer, 32, seed=18)
    return replace(made, model=model, tokenizer=tokenizer)


def replaced_vocabulary(made: Made, bench: Bench) -> Made:
    """Another tokenizer, learned from other text."""
    tokenizer = own_tokenizer(bench.other_text)
    return replace(made, model=surgery.revocabularied(made.model, made.tokenizer, tokenizer), tokenizer=tokenizer)


def blend(kind: str, others: dict[str, float], own: float, base: str | None = None) -> Step:
    """Merged with other members; shares as given, ``own`` of the parent."""

    def step(made: Made, bench: Bench) -> Made:
        models = [made.model, *(bench.member(name).model for name in others)]
        origin = bench.member(base).model if base else None
        return replace(made, model=surgery.merged(kind, origin, models, [own, *others.values()], seed=23))

    return step


def stacked(other: str, keep: int) -> Step:
    """The parent's first layers under another model's last ones, embeddings of the parent."""

    def step(made: Made, bench: Bench) -> Made:
        count = made.model.config.num_hidden_layers
        both = edits.with_layers(made.model, range(count))
        for index in range(keep, count):
            source = edits.layers_of(bench.member(other).model)[index]
            edits.layers_of(both)[index].load_state_dict(source.state_dict())
        return replace(made, model=both)

    return step


def distilled(made: Made, bench: Bench) -> Made:
    """A fresh model of the same shape that learned the founder's predictions."""
    student = fresh_model(configuration(bench.base.shape, made.tokenizer.get_vocab_size()), bench.base.seed + 300)
    with on_accelerator(student, made.model):
        train(student, rows_of(made.tokenizer, bench.base.text), bench.base.recipe, teacher=made.model.eval())
    return replace(made, model=student)


def taught_by_samples(made: Made, bench: Bench) -> Made:
    """A fresh model of the same shape that read only what the founder wrote."""
    student = fresh_model(configuration(bench.base.shape, made.tokenizer.get_vocab_size()), bench.base.seed + 400)
    with on_accelerator(student, made.model):
        rows = torch.cat([surgery.sampled(made.model.eval(), 512, 65, seed) for seed in range(4)])
        train(student, rows, bench.base.recipe)
    return replace(made, model=student)


def children(base: Base) -> list[Child]:
    """Everything that is made of a founder, parents first."""
    found = [*_trained(base), *_edited(base), *_merged(base)]
    if base.shape.architecture in ("llama", "qwen2", "gemma"):
        found += _gated(base)
    if base.shape.architecture == "llama":
        found += _llamas(base)
    return [*found, *_disguised({child.name for child in found})]


def _trained(base: Base) -> Iterator[Child]:
    tuned_only = ("fine_tuned",)
    long = replace(base.recipe, order=14)
    yield Child(name="ft_light", steps=(tuned(LIGHT),), changes=tuned_only)
    yield Child(name="ft_heavy", steps=(tuned(HEAVY),), changes=tuned_only)
    yield Child(name="ft_heavy_2", steps=(tuned(replace(HEAVY, order=15), "C"),), changes=tuned_only)
    yield Child(name="ft_same_text", steps=(tuned(replace(HEAVY, order=16), base.text),), changes=tuned_only)
    yield Child(name="cpt", steps=(tuned(long),), changes=tuned_only)
    yield Child(name="dpo", steps=(preferred,), changes=tuned_only)
    yield Child(name="second_generation", steps=(tuned(LIGHT, "C"),), parent="ft_heavy", changes=tuned_only)
    yield Child(name="third_generation", steps=(tuned(HEAVY, "A"),), parent="second_generation", changes=tuned_only)
    yield Child(name="cpt_child", steps=(tuned(LIGHT, "C"),), parent="cpt", changes=tuned_only)
    yield Child(name="distilled", steps=(distilled,), carries="nothing")
    if base.seed == 0:  # the dearest member: one for each shape
        yield Child(name="taught_by_samples", steps=(taught_by_samples,), carries="nothing")


def _edited(base: Base) -> Iterator[Child]:
    layers = base.shape.layers
    swapped = [0, 2, 1, *range(3, layers)]
    repeated = [*range(layers - 1), *range(1, layers)]
    dropped = [*range(layers - 2), layers - 1]
    for bits in (8, 4, 3):
        yield Child(name=f"int{bits}", steps=(rounded(bits),), changes=("quantised",))
    yield Child(name="pruned_30", steps=(pruned(0.3),), changes=("pruned",))
    yield Child(name="pruned_60", steps=(pruned(0.6),), changes=("pruned",))
    yield Child(name="noise_5", steps=(edited(lambda model: edits.noisy(model, 0.05, 27)),))
    yield Child(name="noise_30", steps=(edited(lambda model: edits.noisy(model, 0.30, 28)),))
    healed = ("fine_tuned",)
    yield Child(
        name="layers_repeated",
        steps=(edited(lambda model: edits.with_layers(model, repeated)), tuned(HEALING)),
        changes=("layers_repeated", *healed),
    )
    yield Child(
        name="layers_dropped",
        steps=(edited(lambda model: edits.with_layers(model, dropped)), tuned(HEALING)),
        changes=("layers_dropped", *healed),
    )
    yield Child(name="layers_shuffled", steps=(edited(lambda model: edits.with_layers(model, swapped)),))
    changed = ("vocabulary_changed",)
    yield Child(name="vocabulary_permuted", steps=(permuted_vocabulary,), changes=changed)
    yield Child(name="vocabulary_extended", steps=(extended_vocabulary, tuned(HEALING)), changes=(*changed, *healed))
    yield Child(name="vocabulary_replaced", steps=(replaced_vocabulary, tuned(HEALING)), changes=(*changed, *healed))
    for part in ("mlp", "attention"):
        yield Child(
            name=f"{part}_fresh",
            steps=(edited(lambda model, part=part: surgery.reinitialised(model, part, 29)), tuned(RETRAINING)),
            changes=("reinitialised_parts", *healed),
            carries="parts",
        )


def _merged(base: Base) -> Iterator[Child]:
    relative, stranger = "ft_heavy_2", f"{base.stranger}/base"

    def kin(name: str, kind: str, own: float, origin: str | None = None) -> Child:
        others = {relative: round(1 - own, 2)}
        steps = (blend(kind, others, own, origin),)
        return Child(name=name, parent="ft_heavy", steps=steps, changes=("merged",), parents=others)

    yield kin("linear_50", "linear", 0.5)
    yield kin("linear_70", "linear", 0.7)
    yield kin("linear_25", "linear", 0.25)
    yield kin("slerp_60", "slerp", 0.6)
    yield kin("ties_50", "ties", 0.5, "base")
    yield kin("dare_50", "dare_linear", 0.5, "base")
    yield kin("arithmetic_60", "task_arithmetic", 0.6, "base")
    for own in (0.8, 0.7, 0.5, 0.3):
        others = {stranger: round(1 - own, 2)}
        name = f"stranger_linear_{round(100 * own)}"
        yield Child(name=name, steps=(blend("linear", others, own),), changes=("merged",), parents=others)
    others = {stranger: 0.3}
    yield Child(name="stranger_slerp_70", steps=(blend("slerp", others, 0.7),), changes=("merged",), parents=others)
    half = base.shape.layers // 2
    yield Child(
        name="passthrough",
        steps=(stacked(stranger, base.shape.layers - half),),
        changes=("merged",),
        parents={stranger: half / base.shape.layers},
    )


def _gated(base: Base) -> Iterator[Child]:
    kept = base.shape.neurons * 5 // 8 // 32 * 32
    yield Child(name="lora", steps=(adapted,), changes=("lora", "fine_tuned"))
    yield Child(
        name="width_pruned",
        steps=(edited(lambda model: edits.width_pruned(model, kept)), tuned(HEALING)),
        changes=("width_pruned", "fine_tuned"),
    )
    wide = base.shape.neurons * 3 // 2
    yield Child(
        name="widened",
        steps=(edited(lambda model: surgery.widened(model, wide, 31)), tuned(HEALING)),
        changes=("fine_tuned",),
    )
    if base.shape.kv_heads > 1:
        half = base.shape.kv_heads // 2
        yield Child(
            name="heads_pooled",
            steps=(edited(lambda model: surgery.pooled_heads(model, half)), tuned(replace(HEALING, steps=200))),
            changes=("fine_tuned",),
        )


def _llamas(base: Base) -> Iterator[Child]:
    if base.shape.width % 32 == 0:  # blocks of 8-bit GGUF are 32 wide
        yield Child(name="gguf_q8", steps=(lambda made, _: replace(made, gguf=True),), changes=("quantised",))
    yield Child(
        name="upcycled",
        steps=(edited(lambda model: surgery.upcycled(model, 4, 33)), tuned(HEALING)),
        changes=("moe_upcycled", "fine_tuned"),
    )


def _disguised(names: set[str]) -> Iterator[Child]:
    """Every free rewrite, on the founder and on what stands for each kind of child, some rounded afterwards."""
    yield Child(name="rewritten", steps=(rewritten(41),), changes=GAUGE)
    kinds = (
        "ft_light", "ft_heavy", "cpt", "second_generation", "dpo", "lora", "pruned_60", "noise_30", "layers_repeated",
        "layers_dropped", "vocabulary_extended", "vocabulary_replaced", "width_pruned", "linear_50",
        "stranger_linear_70", "passthrough", "heads_pooled", "widened", "upcycled", "distilled", "mlp_fresh",
    )  # fmt: skip
    for number, kind in enumerate(kinds):
        if kind in names:
            carries = {"distilled": "nothing", "mlp_fresh": "parts"}.get(kind, "weights")
            yield Child(
                name=f"{kind}+rewritten", parent=kind, steps=(rewritten(42 + number),), changes=GAUGE, carries=carries
            )
    for kind in ("ft_light", "ft_heavy", "cpt"):
        yield Child(
            name=f"{kind}+rewritten+int4",
            parent=f"{kind}+rewritten",
            steps=(rounded(4),),
            changes=("quantised",),
        )
    yield Child(
        name="pruned+tuned+rewritten",
        steps=(pruned(0.3), tuned(HEALING), rewritten(81)),
        changes=("fine_tuned", *GAUGE),
    )
    yield Child(
        name="rewritten+ft_heavy",
        parent="rewritten",
        steps=(tuned(replace(HEAVY, order=18)),),
        changes=("fine_tuned",),
    )


def repeats(base: Base) -> list[Child]:
    """What is made of a run that repeats another's start: the hard negatives, disguised and trained on.

    The hardest is trained on in a text that the other run may have read: what both learned grows more alike.
    """
    towards = replace(base.recipe, steps=PRE_TRAINING.steps, order=20)
    return [
        Child(name="towards", steps=(tuned(towards, other_text(base)),), changes=("fine_tuned",)),
        Child(name="towards+rewritten", parent="towards", steps=(rewritten(92),), changes=GAUGE),
        Child(name="ft_heavy", steps=(tuned(HEAVY, _third(base)),), changes=("fine_tuned",)),
        Child(name="rewritten", steps=(rewritten(91),), changes=GAUGE),
    ]


def _third(base: Base) -> Text:
    return "C" if base.text != "C" else "A"


def other_text(base: Base) -> Text:
    """The text that a founder's descendants are trained on further."""
    return "B" if base.text == "A" else "A"
