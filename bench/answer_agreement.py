"""``python -m bench.answer_agreement REALDATA``: areas and false-positive rates on real answers, in short.

Every model of a data set is a reference for what is usual; p-values leave out the families of either model of a pair.
`bench.behaviour.study` measures the same with families left out of everything, which takes far longer.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.behaviour.naive import naive_similarity
from whorl.comparison.agreement import agreement
from whorl.comparison.answer_scores import LabelledScores, Weighing, score_pairs
from whorl.comparison.answer_sources import read_sources
from whorl.comparison.documented_lineage import Lineage, read_lineage
from whorl.fingerprints.answer_table import AnswerTable
from whorl.statistics.roc import auc

ASKED = {
    "same_weights": "same_weights",
    "derived": "derived",
    "siblings": "line",
    "same_family": "line",
    "distilled": "taught",
}
LEAST_MODELS = 15


def rows(table: AnswerTable, lineage: Lineage, labels: dict[tuple[str, str], str]) -> Iterator[str]:
    """One line for each relation of a data set, and one for the unrelated pairs."""
    scored = score_pairs(agreement(table, np.ones(len(table.models), dtype=bool)), lineage)
    weighing = Weighing(scored, LabelledScores(pairs=(), controls=0))
    naive = naive_similarity(table)
    places = {model: place for place, model in enumerate(table.models)}
    pairs = [(places[a], places[b], kind) for (a, b), kind in labels.items() if a in places and b in places]
    pairs = [pair for pair in pairs if not np.isnan(scored.scores["same_weights"][pair[:2]])]
    unrelated = [pair for pair in pairs if pair[2] == "unrelated"]
    for kind, question in ASKED.items():
        chosen = [pair for pair in pairs if pair[2] == kind] + unrelated
        truth = np.array([pair[2] == kind for pair in chosen])
        if truth.any() and not truth.all():
            values, plain = (
                np.array([matrix[pair[:2]] for pair in chosen]) for matrix in (scored.scores[question], naive)
            )
            found = [weighing.weigh(*pair[:2]).p for pair in chosen if pair[2] == kind]
            seen = np.mean([p is not None and p <= 0.01 for p in found])
            areas = f"{auc(values, truth):.3f} | {auc(plain, truth):.3f}"
            yield f"| {table.dataset} | {kind} | {truth.sum()} | {areas} | {seen:.2f} |"
    found = [p for pair in unrelated if (p := weighing.weigh(*pair[:2]).p) is not None]
    if found:
        rates = [float(np.mean(np.array(found) <= level)) for level in (0.05, 0.01)]
        cells = f"p <= 0.05: {rates[0]:.3f} | p <= 0.01: {rates[1]:.4f}"
        yield f"| {table.dataset} | unrelated | {len(found)} | {cells} | |"


def main(folder: Path) -> None:
    """Print the table."""
    lineage = read_lineage(folder / "lineage.csv")
    labels: dict[str, dict[tuple[str, str], str]] = {}
    for row in pq.read_table(folder / "pairs.parquet").to_pylist():
        labels.setdefault(row["dataset"], {})[row["model_a"], row["model_b"]] = row["relation"]
    for file in sorted(folder.glob("*.parquet")):
        if file.stem not in ("pairs", "safety_matrix"):
            for table in read_sources([file]).tables:
                if len(table.models) >= LEAST_MODELS:
                    print("\n".join(rows(table, lineage, labels.get(table.dataset, {}))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
