"""Every pair of models of a table, scored and weighed: evaluation in bulk."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_population import AnswerPopulation
from whorl.comparison.answer_scores import PairScores, Ratio, Weighing, score_pairs
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable, joined

LEAST_CONTROL_MODELS = 10
"""Controls on a data set below which the table's own models serve as reference, and neither p nor ratio is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """Scores of one pair; None where the models have too few common items, or the population is too small."""

    dataset: str
    model_a: str
    model_b: str
    score_same_weights: float | None
    score_derived: float | None
    score_line: float | None
    score_taught: float | None
    log10_lr: float | None
    calibrated_p: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredTable:
    """A table's models scored among controls.

    Parameters
    ----------
    pairs : scores of all models, controls included
    weighing : what the population makes of them
    questioned : places of the table's models
    controls : whether the reference is the population; otherwise the table's own models are
    """

    pairs: PairScores
    weighing: Weighing
    questioned: NDArray[np.int64]
    controls: bool


def score_table(table: AnswerTable, population: AnswerPopulation, *, progress: Progress = silent) -> ScoredTable:
    """Score all pairs of a table's models against the controls that answered the same questions."""
    whole, reference, controlled = _with_controls(table, population)
    # Among few models and no controls, relatives are left in: else there is hardly a model left to measure by.
    groups = groups_of(whole.models, population.lineage) if controlled else None
    pairs = score_pairs(agreement(whole, reference, groups, progress=progress), population.lineage)
    places = {model: place for place, model in enumerate(whole.models)}
    return ScoredTable(
        pairs=pairs,
        weighing=Weighing(pairs, population.labelled),
        questioned=np.array([places[model] for model in table.models]),
        controls=controlled,
    )


def _with_controls(table: AnswerTable, population: AnswerPopulation) -> tuple[AnswerTable, NDArray[np.bool_], bool]:
    controls = population.table(table.dataset)
    if controls is not None:
        shared = np.isin(controls.items, table.items)
        answering = controls.answered[shared].any(axis=0)
        if np.count_nonzero(answering) >= LEAST_CONTROL_MODELS:
            kept = controls.part(items=shared, models=np.asarray(answering))
            whole = joined(kept, table)
            return whole, np.isin(whole.models, kept.models), True
    return table, np.ones(len(table.models), dtype=bool), False


def pair_rows(
    tables: Iterable[AnswerTable], population: AnswerPopulation, *, progress: Progress = silent
) -> Iterator[PairRow]:
    """Every pair of every table, models in the order of their names."""
    for table in tables:
        if len(table.models) < 2:
            continue
        scored = score_table(table, population, progress=progress)
        models, scores = scored.pairs.agreement.models, scored.pairs.scores
        total = len(scored.questioned)
        for number, one in enumerate(scored.questioned):
            for other in scored.questioned[number + 1 :]:
                known = scored.controls and not np.isnan(scores["same_weights"][one, other])
                weighed = scored.weighing.weigh(int(one), int(other)) if known else None
                ratio = weighed.ratio if weighed is not None else None
                yield PairRow(
                    dataset=table.dataset,
                    model_a=models[one],
                    model_b=models[other],
                    score_same_weights=_number(scores["same_weights"][one, other]),
                    score_derived=_number(scores["derived"][one, other]),
                    score_line=_number(scores["line"][one, other]),
                    score_taught=_number(scores["taught"][one, other]),
                    log10_lr=ratio.log10_lr if isinstance(ratio, Ratio) else None,
                    calibrated_p=None if weighed is None else weighed.p,
                )
            progress(f"weighing pairs of {table.dataset}", number + 1, total)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def write_pairs(rows: Iterable[PairRow], file: BinaryIO) -> int:
    """Write rows as Parquet, some thousand at a time; returns how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = PairRow.__dataclass_fields__
    schema = pa.schema(
        [(name, pa.string() if "model" in name or name == "dataset" else pa.float64()) for name in names]
    )
    written = 0
    batch: list[PairRow] = []
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            columns = {name: [getattr(row, name) for row in batch] for name in names}
            writer.write_table(pa.table(columns, schema=schema))
            batch.clear()

        for row in rows:
            batch.append(row)
            written += 1
            if len(batch) >= 10_000:
                flush()
        flush()
    return written
