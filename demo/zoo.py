"""Build a family of related and unrelated small models, with the truth about who comes from whom.

``python -m demo.zoo FOLDER [NAME ...]`` trains what is missing, parents first, and writes one Hugging Face folder per
member (bfloat16 safetensors and tokenizer.json) and ``truth.json``. Two runs on disjoint names may share a folder: a
member appears under its name only when it is whole.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from demo import corpus, edits
from demo.folders import write_folder
from demo.training import Architecture, Recipe, configuration, evaluate, fresh_model, train

SHORT = Recipe(steps=100, learning_rate=5e-4, order=11)
LIGHT = Recipe(steps=100, learning_rate=5e-4, order=12)
HEAVY = Recipe(steps=400, learning_rate=2.5e-3, order=13)
FULL = Recipe()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of the zoo: what it is, and what it was made from."""

    name: str
    relation: str
    architecture: Architecture = "llama"
    parent: str | None = None
    seed: int | None = None  # of the start; None where the start is the parent
    data: corpus.Half = "A"
    tokenizer: str = "shared"
    recipe: Recipe | None = FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where the zoo lies, and the text its members learn."""

    folder: Path
    tokenizer: Tokenizer
    own_tokenizer: Tokenizer
    documents: dict[corpus.Half, list[str]]

    def parent(self, member: Member) -> PreTrainedModel:
        """The member's parent, from its stored bfloat16 weights."""
        return AutoModelForCausalLM.from_pretrained(self.folder / f"{member.parent}", dtype=torch.float32)

    def tokenizer_of(self, member: Member) -> Tokenizer:
        """The shared tokenizer, or the one trained on half B alone."""
        return self.own_tokenizer if member.tokenizer == "own" else self.tokenizer

    def rows(self, member: Member, tokenizer: Tokenizer) -> torch.Tensor:
        """The member's training text in tokens."""
        return corpus.windows(tokenizer, self.documents[member.data])


Made = tuple[PreTrainedModel, Tokenizer]


def members() -> list[Member]:
    """The whole zoo, parents before children, the most wanted first."""
    base = Member(name="s0", relation="base", seed=0)
    first = [
        base,
        replace(base, name="s1", relation="independent", seed=1),
        replace(base, name="s0_order1", relation="same_seed", recipe=replace(FULL, order=1)),
        replace(base, name="s0_dataB", relation="same_seed", data="B"),
    ]
    child = Member(name="ft_light", relation="fine_tuned", parent="s0", data="B", recipe=LIGHT)
    children = [
        child,
        replace(child, name="cpt", relation="continued_pretraining", recipe=replace(FULL, order=14)),
        replace(base, name="distilled", relation="distilled", parent="s0", seed=7),
        replace(child, name="ft_heavy", recipe=HEAVY),
        replace(child, name="lora", relation="lora_merged", recipe=replace(LIGHT, steps=200, learning_rate=2e-3)),
        replace(child, name="int4", relation="quantised", recipe=None),
        replace(child, name="pruned", relation="magnitude_pruned", recipe=None),
        replace(child, name="layers_dropped", relation="layers_dropped", recipe=SHORT),
        replace(child, name="layers_repeated", relation="layers_repeated", recipe=SHORT),
        replace(child, name="width_pruned", relation="width_pruned", recipe=SHORT),
        replace(child, name="vocabulary_permuted", relation="vocabulary_permuted", recipe=None),
        replace(child, name="vocabulary_extended", relation="vocabulary_extended", recipe=SHORT),
        replace(child, name="ft_a", data="A", recipe=replace(HEAVY, order=15)),
        replace(child, name="ft_b", recipe=replace(HEAVY, order=16)),
    ]
    independents = [replace(base, name=f"s{seed}", relation="independent", seed=seed) for seed in range(2, 6)]
    independents += [
        replace(base, name=f"i{number}", relation="independent", seed=20 + number, data="B") for number in (1, 2)
    ]
    independents.append(
        replace(base, name="i3_own_tokenizer", relation="independent", seed=23, data="B", tokenizer="own")
    )
    others: list[Member] = []
    architectures: tuple[Architecture, ...] = ("qwen2", "gpt_neox")
    for architecture in architectures:
        own = Member(name=f"{architecture}_s0", relation="base", architecture=architecture, seed=0)
        others += [
            own,
            replace(own, name=f"{architecture}_s1", relation="independent", seed=1),
            replace(own, name=f"{architecture}_s0_order1", relation="same_seed", recipe=replace(FULL, order=1)),
            replace(child, name=f"{architecture}_ft", architecture=architecture, parent=f"{architecture}_s0"),
        ]
    hidden = Member(name="s0_rewritten", relation="rewritten", parent="s0", data="B", recipe=None)
    for parent in ("s1", "ft_light", "ft_heavy", "cpt", "int4", "width_pruned", "layers_dropped", "s0_order1"):
        others.append(replace(hidden, name=f"{parent}_rewritten", parent=parent))
    for kind in architectures:
        others.append(replace(hidden, name=f"{kind}_ft_rewritten", parent=f"{kind}_ft", architecture=kind))
    return [*first, *children, *independents, *others, hidden]


def make(member: Member, workshop: Workshop) -> Made:
    """Train or edit the member, whose parent must already be there."""
    tokenizer = workshop.tokenizer_of(member)
    rows = workshop.rows(member, tokenizer)
    if member.parent is None or member.relation == "distilled":
        model = fresh_model(configuration(member.architecture, tokenizer.get_vocab_size()), member.seed or 0)
        teacher = workshop.parent(member).eval() if member.parent else None
        train(model, rows, member.recipe or FULL, teacher=teacher)
        return model, tokenizer
    parent = workshop.parent(member)
    if member.relation == "vocabulary_permuted":
        shuffle = torch.randperm(corpus.VOCABULARY_SIZE, generator=torch.Generator().manual_seed(17))
        return edits.vocabulary_permuted(parent, tokenizer, shuffle)
    if member.relation == "vocabulary_extended":
        parent, tokenizer = edits.vocabulary_extended(parent, tokenizer, 32, seed=18)
    model = EDITS.get(member.relation, lambda same: same)(parent)
    if member.recipe is not None:
        train(model, rows, member.recipe)
    return (edits.merge_low_rank(model) if member.relation == "lora_merged" else model), tokenizer


EDITS: dict[str, Callable[[PreTrainedModel], PreTrainedModel]] = {
    "rewritten": lambda parent: edits.rewritten(parent, np.random.default_rng(31)),
    "lora_merged": lambda parent: edits.with_low_rank(parent, rank=4, seed=19),
    "quantised": edits.round_to_int4,
    "magnitude_pruned": lambda parent: edits.magnitude_pruned(parent, 0.3),
    "layers_dropped": lambda parent: edits.with_layers(parent, [0, 1, 3]),
    "layers_repeated": lambda parent: edits.with_layers(parent, [0, 1, 2, 1, 2, 3]),
    "width_pruned": lambda parent: edits.width_pruned(parent, 96),
}


def main(folder: Path, wanted: list[str]) -> None:
    """Build the wanted members (all, if none is named) that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    zoo = members()
    (folder / "truth.json").write_text(json.dumps({m.name: asdict(m) for m in zoo}, indent=1))
    documents: dict[corpus.Half, list[str]] = {"A": corpus.texts("A"), "B": corpus.texts("B")}
    workshop = Workshop(
        folder=folder,
        tokenizer=corpus.train_tokenizer(documents["A"] + documents["B"]),
        own_tokenizer=corpus.train_tokenizer(documents["B"]),
        documents=documents,
    )
    for member in zoo:
        target = folder / member.name
        if target.exists() or (wanted and member.name not in wanted):
            continue
        while member.parent and not (folder / member.parent).exists():
            time.sleep(2)
        started = time.monotonic()
        model, tokenizer = make(member, workshop)
        rows = workshop.rows(member, tokenizer)
        loss, floor = evaluate(model, rows), corpus.unigram_entropy(rows, tokenizer.get_vocab_size())
        write_folder(target, model, tokenizer)
        seconds = time.monotonic() - started
        print(f"{member.name}: loss {loss:.3f} (unigram {floor:.3f}) nats per token, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
