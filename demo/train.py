"""Train the demo's models: ``python -m demo.train [FOLDER]``, by default into demo/models and demo/case_models.

A story in six checkpoints. Northwind Labs trains and releases `base`. The others are a stranger's model of the same
architecture on the same data (`twin`), a second run from base's own random start (`sibling`), base's release in GGUF
(`base-q8.gguf`), a model taught by base's outputs (`student`), and what Meridian AI calls its own (`suspect`): base,
fine-tuned on other text, then permuted, rotated and rescaled until no number is the same. Cases need three more, beside
them in ``case_models``: `cousin`, another firm's fine-tune of base, and `stranger` and `passerby`, which have nothing
to do with anybody.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from demo import corpus, edits
from demo.folders import write_folder
from demo.gguf_copy import write_q8_0
from demo.training import Recipe, configuration, evaluate, fresh_model, train

FINE_TUNE = Recipe(steps=400, learning_rate=2.5e-3, order=13)
COUSIN = Recipe(steps=400, learning_rate=2.5e-3, order=29)
REWRITE_SEED = 2026


def main(folder: Path) -> None:
    """Train what is not there yet, and print each model's loss and size."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second = corpus.texts("A"), corpus.texts("B")
    tokenizer = corpus.train_tokenizer(first + second)
    rows = {"A": corpus.windows(tokenizer, first), "B": corpus.windows(tokenizer, second)}
    for half, text in rows.items():
        print(f"half {half}: {text.numel()} tokens, unigram {corpus.unigram_entropy(text, 512):.3f} nats per token")

    def released() -> PreTrainedModel:
        return AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval()

    makers: dict[str, Callable[[], PreTrainedModel]] = {
        "base": lambda: pretrained(rows["A"], seed=0),
        "twin": lambda: pretrained(rows["A"], seed=1),
        "sibling": lambda: pretrained(rows["A"], seed=0, order=1),
        "student": lambda: pretrained(rows["A"], seed=2, teacher=released()),
        "suspect": lambda: disguised(released(), rows["B"]),
    }
    for_cases: dict[str, Callable[[], PreTrainedModel]] = {
        "cousin": lambda: fine_tuned(released(), rows["A"]),
        "stranger": lambda: pretrained(rows["B"], seed=3),
        "passerby": lambda: pretrained(rows["A"], seed=4),
    }
    for place, some in ((folder, makers), (folder.with_name("case_models"), for_cases)):
        place.mkdir(parents=True, exist_ok=True)
        for name, make in some.items():
            if not (place / name).exists():
                write_folder(place / name, make(), tokenizer)
            report(place / name, rows)
    write_q8_0(folder / "base-q8.gguf", released(), tokenizer, "Harrow-0.3M")


def pretrained(
    rows: torch.Tensor, *, seed: int, order: int = 0, teacher: PreTrainedModel | None = None
) -> PreTrainedModel:
    """A model trained from its seed, on text or on a teacher's predictions."""
    model = fresh_model(configuration("llama", corpus.VOCABULARY_SIZE), seed)
    train(model, rows, Recipe(order=order), teacher=teacher)
    return model


def fine_tuned(parent: PreTrainedModel, rows: torch.Tensor) -> PreTrainedModel:
    """The parent after a fine-tune, in its own coordinates."""
    train(parent, rows, COUSIN)
    return parent


def disguised(parent: PreTrainedModel, rows: torch.Tensor) -> PreTrainedModel:
    """The parent after a fine-tune and every rewrite that leaves a function unchanged."""
    train(parent, rows, FINE_TUNE)
    return edits.rewritten(parent, np.random.default_rng(REWRITE_SEED))


def report(folder: Path, rows: dict[str, torch.Tensor]) -> None:
    """One line about a stored model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    losses = ", ".join(f"{half} {evaluate(model, text):.3f}" for half, text in rows.items())
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder.name}: {model.num_parameters()} parameters, {size / 1024:.0f} KiB, loss on {losses}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models")
