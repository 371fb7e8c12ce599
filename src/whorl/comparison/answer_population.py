"""A control population: answers of many models, what is documented of their descent, and what their pairs score.

One Parquet file: normalised answers in the long layout, and a JSON document in the file's metadata. Format:
``docs/specs/answer-population.md``.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from pydantic import Field, ValidationError

from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_scores import (
    LabelledScore,
    LabelledScores,
    PairScores,
    Truth,
    labelled_scores,
    score_pairs,
)
from whorl.comparison.answer_sources import dataset_name
from whorl.comparison.documented_lineage import DocumentedEdge, Edge, Lineage
from whorl.core.errors import InputError
from whorl.core.evidence import StoredDocument
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import COLUMNS, AnswerTable, answer_tables, read_answers
from whorl.probes.battery import Battery

_KEY: Final = b"whorl.answer-population"
_LONGEST_METADATA: Final = 64 * 2**20


class _Metadata(StoredDocument):
    schema_: Literal["whorl.answer-population/1"] = Field(default="whorl.answer-population/1", alias="schema")
    whorl_version: str
    lineage: tuple[tuple[str, str, str, Edge], ...] = Field(description="model, family, base, relation")
    circumstances: tuple[tuple[str, str, str], ...] = Field(description="model, era | language | ..., value")
    pairs: tuple[tuple[float, Truth, str, str], ...] = Field(description="score, truth, both families")
    controls: int = Field(ge=0)
    batteries: tuple[Battery, ...] = Field(description="those that were asked, where answers come from transcripts")
    answers: str = Field(description="digest of the rows, in their order")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnswerPopulation:
    """Controls for behavioural comparison.

    Parameters
    ----------
    tables : one per data set
    lineage : what is documented of the models' descent
    labelled : scores of pairs of known truth, for ratios
    batteries : those that were asked, where the answers come from transcripts
    digest : identity of answers, lineage and scores
    """

    tables: tuple[AnswerTable, ...]
    lineage: Lineage
    labelled: LabelledScores
    batteries: tuple[Battery, ...]
    digest: str

    def battery(self, dataset: str) -> Battery | None:
        """The battery that was asked to give a data set."""
        return next((battery for battery in self.batteries if dataset_name(battery) == dataset), None)

    def table(self, dataset: str) -> AnswerTable | None:
        """The controls' answers of one data set."""
        return next((table for table in self.tables if table.dataset == dataset), None)

    @property
    def models(self) -> frozenset[str]:
        """Every model with at least one answer."""
        return frozenset(model for table in self.tables for model in table.models)


def build_population(
    tables: Sequence[AnswerTable],
    lineage: Lineage,
    *,
    batteries: Sequence[Battery] = (),
    progress: Progress = silent,
) -> AnswerPopulation:
    """Compare the controls with each other, and keep what their pairs of known truth score."""
    scored: list[PairScores] = []
    for table in tables:
        found = agreement(
            table, np.ones(len(table.models), dtype=bool), groups_of(table.models, lineage), progress=progress
        )
        scored.append(score_pairs(found, lineage))
    labelled = labelled_scores(scored, lineage)
    return AnswerPopulation(
        tables=tuple(tables),
        lineage=lineage,
        labelled=labelled,
        batteries=tuple(batteries),
        digest=_digest(_metadata(tables, lineage, labelled, batteries)),
    )


def _metadata(
    tables: Iterable[AnswerTable], lineage: Lineage, labelled: LabelledScores, batteries: Iterable[Battery]
) -> _Metadata:
    from whorl import __version__

    rows = hashlib.sha256()
    for row in _rows(tables):
        rows.update(json.dumps(row, ensure_ascii=True).encode())
    return _Metadata(
        whorl_version=__version__,
        lineage=tuple((edge.model, edge.family, edge.base, edge.relation) for edge in lineage.edges),
        circumstances=lineage.circumstances,
        pairs=tuple((round(pair.score, 6), pair.truth, *pair.families) for pair in labelled.pairs),
        controls=labelled.controls,
        batteries=tuple(batteries),
        answers=f"sha256:{rows.hexdigest()}",
    )


def _digest(metadata: _Metadata) -> str:
    return f"sha256:{hashlib.sha256(metadata.model_dump_json().encode()).hexdigest()}"


def _rows(tables: Iterable[AnswerTable]) -> Iterator[tuple[str, str, str, str]]:
    for table in tables:
        for item, answers in zip(table.items, table.answers, strict=True):
            for model, answer in zip(table.models, answers, strict=True):
                if answer is not None:
                    yield table.dataset, model, item, answer


def write_population(population: AnswerPopulation, file: BinaryIO) -> None:
    """Write a population as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = _metadata(population.tables, population.lineage, population.labelled, population.batteries)
    schema = pa.schema(
        [(name, pa.large_string()) for name in COLUMNS], metadata={_KEY: metadata.model_dump_json().encode()}
    )
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in population.tables:
            columns = list(zip(*_rows([table]), strict=True)) or [(), (), (), ()]
            writer.write_table(pa.table(dict(zip(COLUMNS, map(list, columns), strict=True)), schema=schema))


def is_population(path: Path) -> bool:
    """Whether a file is a population, by its metadata alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def read_population(path: Path) -> AnswerPopulation:
    """Read a population and check that its rows are those that its scores were measured on.

    Raises
    ------
    InputError
        If the file is no population, is broken, or was altered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        raw = (pq.read_schema(path).metadata or {}).get(_KEY, b"")
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: expected a population that `whorl population build` wrote: {error}") from error
    if not 0 < len(raw) <= _LONGEST_METADATA:
        raise InputError(
            f"{path}: expected a population that `whorl population build` wrote, found another kind of table; "
            f"build one from it first"
        )
    try:
        metadata = _Metadata.model_validate_json(raw)
    except ValidationError as error:
        raise InputError(f"{path}: the population's metadata are broken: {error.errors()[0]['msg']}") from error
    # Items of repeated questions were renamed when the population was built, so that every row is one item.
    tables = answer_tables(read_answers(path), normalised=True)
    lineage = Lineage(
        edges=tuple(
            DocumentedEdge(model=model, family=family, base=base, relation=relation)
            for model, family, base, relation in metadata.lineage
        ),
        circumstances=metadata.circumstances,
    )
    labelled = LabelledScores(
        pairs=tuple(
            LabelledScore(score=score, truth=truth, families=(left, right))
            for score, truth, left, right in metadata.pairs
        ),
        controls=metadata.controls,
    )
    if _metadata(tables, lineage, labelled, metadata.batteries).answers != metadata.answers:
        raise InputError(f"{path}: the answers are not those that the population was built from; build it again")
    return AnswerPopulation(
        tables=tables,
        lineage=lineage,
        labelled=labelled,
        batteries=metadata.batteries,
        digest=_digest(metadata),
    )
