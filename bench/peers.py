"""Where published statistics and ours break: the same pairs of small real models, rewritten and not, in one run.

``python bench/peers.py``. Every pair is one of the demo's models, or a copy of `base` rewritten on the spot, against
`base`. The level that unrelated models reach is measured in the same run and stands in the first row of the table.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from peer_statistics import CSU, LOG10_LEVEL, SIMILARITIES, csu_log10_p, weights_of
from reporting import machine, publish, table
from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint
from whorl.weights.gauges import ALL_PARTS, Dressing, Part, apply_gauge, draw_gauge, rewrite
from whorl.weights.in_memory import Checkpoint, from_checkpoint, to_checkpoint
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of

MODELS = Path(__file__).parent.parent / "demo" / "models"
SEED = 20261123
GROUP = 32
WIDER = 4
STRANGERS = 20

Truth = Literal["related", "same start", "taught by base", "unrelated"]
LOG10_P, AGREEMENT, STORED = "Whorl T2, log10 p", "Whorl T3, weights", "Whorl T3, stored"
COLUMNS = (CSU, *SIMILARITIES, LOG10_P, AGREEMENT, STORED)
P_VALUES = (CSU, LOG10_P)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two checkpoints, what is known of them, and what every statistic says."""

    questioned: str
    reference: str
    truth: Truth
    values: dict[str, float | None]
    relation: str


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="whorl-bench-") as folder:
        models = {name: MODELS / name for name in ("base", "twin", "sibling", "student", "suspect", "base-q8.gguf")}
        models |= rewritten_copies(MODELS / "base", Path(folder))
        strangers = rewritten_strangers(MODELS / "twin", Path(folder))
        bench = Bench(models | strangers)
        pairs = [bench.pair(name, "base", _truth(name)) for name in models if name != "base"]
        # Other seeds than the twin's, so unrelated to it whatever they are to each other.
        level = [bench.pair(name, "twin", "unrelated") for name in ("sibling", "student", "suspect")]
        level += [bench.pair(name, "base", "unrelated") for name in strangers]
    unrelated = [*level, *(pair for pair in pairs if pair.questioned == "twin")]
    figures = {
        "seed": SEED,
        "unrelated": {column: _range(unrelated, column) for column in COLUMNS},
        "pairs": [asdict(pair) for pair in (*pairs, *level)],
    }
    publish("peers", figures, facts, section(pairs, unrelated))


def rewritten_copies(base: Path, folder: Path) -> dict[str, Path]:
    """Copies of a checkpoint: each rewrite alone, all at once, and all at once then rounded."""
    original = load(base)
    draws: dict[str, tuple[Part, ...]] = {
        f"base, {part} only": (part,)
        for part in ALL_PARTS
        if part != "experts"  # the base has none
    }
    made = {name: rewrite(original, np.random.default_rng(SEED), parts) for name, parts in draws.items()}
    everything = made["base, all parts"] = rewrite(original, np.random.default_rng(SEED), ALL_PARTS)
    made["base, all parts, wide gains"] = widely_dressed(original)
    for bits in (8, 4):
        made[f"base, all parts, int{bits}"] = rounded(everything, bits)
    return {name: _stored(copy, base, folder / name) for name, copy in made.items()}


def rewritten_strangers(stranger: Path, folder: Path) -> dict[str, Path]:
    """An unrelated model in many guises: what chance allows must be known for rewritten models too."""
    original = load(stranger)
    return {
        name: _stored(rewrite(original, np.random.default_rng([SEED, draw])), stranger, folder / name)
        for draw in range(STRANGERS)
        for name in [f"twin, all parts, draw {draw}"]
    }


def widely_dressed(checkpoint: Checkpoint) -> Checkpoint:
    """All rewrites at once, with norm gains that spread `WIDER` times as far (in their logarithm): as free as any."""
    model = from_checkpoint(checkpoint)
    gauge = draw_gauge(model.shape, np.random.default_rng(SEED))
    blocks = tuple(
        replace(block, attention_dressing=_wider(block.attention_dressing), mlp_dressing=_wider(block.mlp_dressing))
        for block in gauge.blocks
    )
    gauge = replace(gauge, blocks=blocks, final_dressing=_wider(gauge.final_dressing))
    return to_checkpoint(apply_gauge(model, gauge), checkpoint)


def _wider(dressing: Dressing) -> Dressing:
    return replace(dressing, gain=dressing.gain**WIDER)


def load(path: Path) -> Checkpoint:
    """A small Hugging Face checkpoint, whole."""
    source = open_checkpoint(path)
    weights = {
        name: source.read_rows(name, 0, source.meta(name).rows).reshape(source.meta(name).shape)
        for name in source.names()
    }
    return Checkpoint(weights=weights, config=source.config)


def rounded(checkpoint: Checkpoint, bits: int) -> Checkpoint:
    """Every matrix inside the layers rounded to nearest, one scale per group of `GROUP` neighbours."""
    return Checkpoint(
        weights={
            name: _rounded(array, bits) if array.ndim == 2 and ".layers." in name else array
            for name, array in checkpoint.weights.items()
        },
        config=checkpoint.config,
    )


def _rounded(matrix: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    groups, top = matrix.reshape(-1, GROUP), 2 ** (bits - 1) - 1
    scale = np.abs(groups).max(axis=1, keepdims=True) / top
    return np.asarray(np.round(groups / np.where(scale > 0, scale, 1)) * scale, np.float32).reshape(matrix.shape)


def _stored(checkpoint: Checkpoint, base: Path, folder: Path) -> Path:
    folder.mkdir()
    weights = {name: np.ascontiguousarray(array, np.float32) for name, array in checkpoint.weights.items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(dict(checkpoint.config)))
    shutil.copy(base / "tokenizer.json", folder)
    return folder


def _truth(name: str) -> Truth:
    known: dict[str, Truth] = {"twin": "unrelated", "student": "taught by base", "sibling": "same start"}
    return known.get(name, "related")


class Bench:
    """The models of one run, each read and fingerprinted once."""

    def __init__(self, models: dict[str, Path]) -> None:
        self._paths = models
        self._weights = {name: weights_of(anatomy_of(open_checkpoint(path))) for name, path in models.items()}
        self._fingerprints = {name: fingerprint_checkpoint(path, progress=silent) for name, path in models.items()}

    def pair(self, questioned: str, reference: str, truth: Truth) -> Pair:
        """Every statistic on one pair."""
        ours, theirs = self._weights[questioned], self._weights[reference]
        finding = compare(self._paths[questioned], self._paths[reference], progress=silent)
        stored = compare_fingerprints(self._fingerprints[questioned], self._fingerprints[reference])
        found = {name: statistic(ours, theirs) for name, statistic in {CSU: csu_log10_p, **SIMILARITIES}.items()}
        values = {name: value if isinstance(value, float) else None for name, value in found.items()}
        values |= {LOG10_P: finding.conclusion.log10_p, AGREEMENT: _agreement(finding), STORED: _agreement(stored)}
        return Pair(
            questioned=questioned,
            reference=reference,
            truth=truth,
            values=values,
            relation=finding.conclusion.relation,
        )


def _agreement(finding: Finding) -> float | None:
    scores = [e.value for e in finding.evidence if isinstance(e, Score) and e.method == "two_view_agreement/1"]
    return scores[0] if scores else None


def _range(pairs: list[Pair], column: str) -> tuple[float, float]:
    values = [value for pair in pairs if (value := pair.values[column]) is not None]
    return min(values), max(values)


def stands_out(column: str, value: float, unrelated: list[Pair]) -> bool:
    """Whether a value is beyond what unrelated models reach: p below 1e-6, or more alike than any unrelated pair."""
    return value < LOG10_LEVEL if column in P_VALUES else value > _range(unrelated, column)[1]


def section(pairs: list[Pair], unrelated: list[Pair]) -> str:
    """The table, with every related pair that a statistic loses marked."""
    level = [_spoken_range(column, _range(unrelated, column)) for column in COLUMNS]
    rows = [[f"**unrelated level** ({len(unrelated)} pairs)", "", *level, ""]]
    for pair in pairs:
        cells = [_cell(pair, column, unrelated) for column in COLUMNS]
        rows.append([pair.questioned, pair.truth, *cells, pair.relation])
    return table(["compared with `base`", "truth", *COLUMNS, "Whorl's finding"], rows)


def _cell(pair: Pair, column: str, unrelated: list[Pair]) -> str:
    value = pair.values[column]
    if value is None:
        return "not run"
    lost = pair.truth == "related" and not stands_out(column, value, unrelated)
    return _spoken(column, value) + (" (x)" if lost else "")


def _spoken(column: str, value: float) -> str:
    return f"{value:.1f}" if column in P_VALUES else f"{value:.3f}"


def _spoken_range(column: str, limits: tuple[float, float]) -> str:
    return " to ".join(_spoken(column, value) for value in limits)


if __name__ == "__main__":
    main()
