"""How loud a release's mark is after training, disguises and merges, and what it costs: the tables of keyed_dither.md.

Usage: ``python -m bench.keyed_dither``. Releases the demo's base at several sizes of the dither, trains the copies
further on the demo's other text, disguises them, and asks for the key. Then 2,000 keys that nobody used are asked for.
"""

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from demo import corpus, edits
from demo.folders import write_folder
from demo.training import Recipe, evaluate, train
from whorl.comparison.comparing import compare
from whorl.comparison.sealing import draw_key, release
from whorl.core.evidence import PValue
from whorl.core.progress import silent
from whorl.weights.release_key import ReleaseKey

MODELS = Path(__file__).parents[1] / "demo" / "models"
BASE = MODELS / "base"
DITHERS = (0.003, 0.01, 0.03)
TRAINING = {
    "light": Recipe(steps=150, learning_rate=5e-4, order=5),
    "heavy": Recipe(steps=400, learning_rate=2.5e-3, order=13),  # that of demo/models/suspect
}
BARE = 1e-5  # a dither too small to hear: a relative without the key, in the release's order of neurons
KEYS = 2000


def main() -> None:
    """Print the tables."""
    tokenizer = Tokenizer.from_file(str(BASE / "tokenizer.json"))
    rows = {half: corpus.windows(tokenizer, corpus.texts(half)) for half in ("A", "B")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("base:", losses(load(BASE), rows))
        for dither in DITHERS:
            key = key_for(dither)
            released, bare = folder / f"released {dither}", folder / f"bare {dither}"
            made = release(BASE, key, released, progress=silent)
            release(BASE, key.model_copy(update={"dither": BARE}), bare, progress=silent)
            print(
                f"\ndither {dither}: kept {made.kept:.4f}, change {made.relative_change:.4f}",
                losses(load(released), rows),
            )
            print("released:", heard(released, key))
            for strength, recipe in TRAINING.items():
                child, relative = load(released), load(bare)
                train(child, rows["B"], recipe)
                train(relative, rows["B"], recipe)
                for what, model in disguises(child, relative):
                    write_folder(folder / what, model, tokenizer)
                    print(f"{strength}, {what}: {heard(folder / what, key)}", flush=True)
                    (folder / what).rename(folder / f"{what} {strength} {dither}")
        nulls = {name: MODELS / name for name in ("twin", "sibling", "student", "suspect", "base-q8.gguf")}
        nulls["released with another key"] = folder / "released 0.01"
        print(f"\n{KEYS} unused keys each")
        for what, path in nulls.items():
            print(f"{what}: {null(path)}", flush=True)


def disguises(child: PreTrainedModel, relative: PreTrainedModel) -> Iterator[tuple[str, PreTrainedModel]]:
    """What may be done to a copy, each with its name; all but the first two on the rewritten one."""
    hidden = edits.rewritten(child, np.random.default_rng(3))
    yield "trained", child
    yield "rewritten", hidden
    yield "rewritten, 8 bits", edits.rounded(hidden, 8)
    yield "rewritten, 4 bits", edits.rounded(hidden, 4)
    yield "rewritten, noise of a tenth", edits.noisy(hidden, 0.1, 1)
    yield "rewritten, 30 % pruned", edits.magnitude_pruned(hidden, 0.3)
    yield "half merged with a relative, rewritten", edits.rewritten(merged(child, relative), np.random.default_rng(4))


def merged(one: PreTrainedModel, other: PreTrainedModel) -> PreTrainedModel:
    """The mean of two models' weights."""
    both = AutoModelForCausalLM.from_config(one.config, dtype=torch.float32).eval()
    theirs = other.state_dict()
    both.load_state_dict({name: (weight + theirs[name]) / 2 for name, weight in one.state_dict().items()})
    return both


def key_for(dither: float, seed: int = 1) -> ReleaseKey:
    """A key that is the same on every run."""
    random_bytes: Callable[[int], bytes] = np.random.default_rng([seed, 99]).bytes
    return draw_key(BASE, dither=dither, random_bytes=random_bytes, now=lambda: datetime.now(UTC), progress=silent)


def heard(path: Path, key: ReleaseKey) -> str:
    """Score, bound and share of one model."""
    finding = compare(path, BASE, progress=silent, key=key, with_power=False)
    (item,) = [item for item in finding.evidence if isinstance(item, PValue) and item.tier == "T0"]
    left = item.statistic
    return (
        f"z {left['z']:.1f}, log10 p {item.log10_p:.1f}, share {left['share']:.2f} "
        f"[{left['share_lower']:.2f}, {left['share_upper']:.2f}], {finding.conclusion.relation}"
    )


def null(path: Path) -> str:
    """Moments and tail of the score over keys that nobody used."""
    from whorl.comparison import keyed
    from whorl.comparison.keyed import lean, residual_parts
    from whorl.statistics.keyed_dither import NOTHING

    seen: list[keyed.LaidOver] = []
    original = keyed.lay_over

    def watched(*args: object, **kwargs: object) -> object:
        laid = original(*args, **kwargs)  # type: ignore[arg-type]
        if isinstance(laid, keyed.LaidOver):
            seen.append(laid)
        return laid

    keyed.lay_over = watched  # type: ignore[assignment]
    compare(path, BASE, progress=silent, key=key_for(0.01), with_power=False)
    keyed.lay_over = original
    parts = [part for block in seen[0].blocks for part in residual_parts(block, seen[0].rotation, 0.01)]
    draws = (np.random.default_rng([seed, 5]).bytes(32) for seed in range(KEYS))
    z = np.array([sum((lean(part, secret) for part in parts), NOTHING).z for secret in draws])
    tail = ", ".join(f"{np.mean(z >= t):.4f} beyond {t} (bound {np.exp(-(t**2) / 2):.4f})" for t in (1, 2, 3))
    return f"mean {z.mean():.3f}, deviation {z.std():.3f}, {tail}, largest {z.max():.2f}"


def load(path: Path) -> PreTrainedModel:
    """A stored model in float32."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def losses(model: PreTrainedModel, rows: dict[str, torch.Tensor]) -> str:
    """Loss on both halves of the text, in nats per token."""
    return "loss " + ", ".join(f"{half} {evaluate(model, text):.5f}" for half, text in rows.items())


if __name__ == "__main__":
    main()
