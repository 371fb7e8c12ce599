"""What a lead level finds among search vectors: the one of ``whorl.registry.sealed_search`` was chosen by this.

    python -m bench.sealed_level

Search vectors of the 130 stored fingerprints of the zoo, whose models were each trained from the start, and of the
demo's models. Made from one another: the demo's base with its suspect and its GGUF copy. One start: zoo models that
began with the same weights and were trained differently. Nothing in common: all other pairs, many of which read the
same text. The mean is that of the zoo.
"""

from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from whorl.comparison.subjects import fingerprint_of
from whorl.core.arrays import Doubles
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import read_fingerprint
from whorl.registry.population_mean import population_mean
from whorl.registry.search_vectors import Vectors, directions, exact_scores

ROOT: Final = Path(__file__).parents[1]
ZOO: Final = ROOT / "bench" / "results" / "zoo" / "fingerprints"
DEMO: Final = ROOT / "demo" / "models"
MADE: Final = ("suspect", "base-q8.gguf")
KIN: Final = ("order", "text", "decay", "long")
LEVELS: Final = (0.3, 0.4, 0.5, 0.6, 0.8, 0.95)


def main() -> None:
    """Print how many pairs of each kind reach each level, with the population's mean taken out and without."""
    names = sorted(path.stem for path in ZOO.glob("*.whorl"))
    zoo = np.stack([read_fingerprint(ZOO / f"{name}.whorl").search_vector() for name in names])
    demo = {name: fingerprint_of(DEMO / name, progress=silent).search_vector() for name in ("base", *MADE)}
    mean = population_mean([(np.arange(len(zoo)), zoo)], zoo.shape[1])
    for what, origin in ((f"mean of {mean.voices} voices", mean.origin), ("no mean", np.zeros(zoo.shape[1]))):
        made = [float(_score(demo["base"], demo[name], origin)) for name in MADE]
        kin, others = _pairs(names, zoo, origin)
        print(f"{what}: made from it {', '.join(f'{score:.3f}' for score in made)}")
        print(f"| level | made from it | one start ({len(kin)}) | nothing in common ({len(others)}) |")
        for level in LEVELS:
            shares = (np.mean(np.array(scores) >= level) for scores in (made, kin, others))
            print(f"| {level} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")


def _pairs(names: list[str], vectors: Vectors, origin: Doubles) -> tuple[list[float], list[float]]:
    kin: list[float] = []
    others: list[float] = []
    scores = [exact_scores(vectors, directions(vector[None], origin)[0], origin) for vector in vectors]
    for (first, one), (second, other) in combinations(enumerate(names), 2):
        (kin if _start(one) == _start(other) else others).append(float(scores[first][second]))
    return kin, others


def _start(name: str) -> str:
    founder, _, suffix = name.rpartition("-")
    return founder if suffix in KIN else name


def _score(one: Vectors, other: Vectors, origin: Doubles) -> float:
    return float(exact_scores(other[None], directions(one[None], origin)[0], origin)[0])


if __name__ == "__main__":
    main()
