"""The real answers: tables, labelled pairs, and the families that are left out together."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from whorl.comparison.documented_lineage import Lineage, Relation, read_lineage
from whorl.fingerprints.answer_table import AnswerTable, answer_tables, read_answers

NOT_TABLES = {"pairs", "safety_matrix"}


@dataclass(frozen=True, kw_only=True)
class RememberedLineage(Lineage):
    """A lineage that works out the relation of two models once."""

    @cached_property
    def _relations(self) -> dict[tuple[str, str], Relation]:
        return {}

    def relation(self, first: str, second: str) -> Relation:
        """As `Lineage.relation`."""
        found = self._relations.get((first, second))
        if found is None:
            found = self._relations[first, second] = super().relation(first, second)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class RealData:
    """Answers, and what is documented of the models.

    Parameters
    ----------
    folder : where they were read
    tables : one per data set
    lineage : documented edges
    labels : data set, model and model, names in either order -> relation of `pairs.parquet`
    """

    folder: Path
    tables: tuple[AnswerTable, ...]
    lineage: Lineage
    labels: dict[tuple[str, str, str], str]

    def table(self, dataset: str) -> AnswerTable:
        """One data set."""
        return next(table for table in self.tables if table.dataset == dataset)

    def family(self, model: str) -> str:
        """The documented family; a model of none is one of its own."""
        return self.lineage.family(model) or model


def answer_files(folder: Path) -> list[Path]:
    """The tables of answers in the folder."""
    return [path for path in sorted(folder.glob("*.parquet")) if path.stem not in NOT_TABLES]


def read_realdata(folder: Path, *, only: tuple[str, ...] | None = None) -> RealData:
    """Read answers, lineage and labels.

    Parameters
    ----------
    only : names of files without their ending; left out, all
    """
    files = [path for path in answer_files(folder) if only is None or path.stem in only]
    lineage = RememberedLineage(edges=read_lineage(folder / "lineage.csv").edges)
    labels: dict[tuple[str, str, str], str] = {}
    for row in pq.read_table(folder / "pairs.parquet").to_pylist():
        labels[row["dataset"], row["model_a"], row["model_b"]] = row["relation"]
        labels[row["dataset"], row["model_b"], row["model_a"]] = row["relation"]
    tables = answer_tables(answer for path in files for answer in read_answers(path))
    return RealData(folder=folder, tables=tables, lineage=lineage, labels=labels)


def halves(data: RealData) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Three ways to part the families; each two of the three largest stand once on one side.

    The others are dealt by the digest of their names, anew each time.
    """
    sizes = Counter(data.family(model) for table in data.tables for model in table.models)
    largest = [family for family, _ in sizes.most_common(3)]
    parted = []
    for way, alone in enumerate(largest):
        dealt = {family for family in sizes if family not in largest and _coin(f"{way} {family}")}
        parted.append((frozenset({alone, *dealt}), frozenset(sizes) - dealt - {alone}))
    return parted


def _coin(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1
