"""Answers of many models to the same questions: the item x model response matrix, as it is read from files.

Long layout, one row an answer: columns ``dataset, model, prompt_id, prompt, response`` (others are ignored), in Parquet
or CSV. Format: ``docs/specs/answer-table.md``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray
from whorl.core.errors import InputError
from whorl.fingerprints.csv_rows import csv_rows, require_columns
from whorl.probes.normalising import normalise

COLUMNS: Final = ("dataset", "model", "prompt_id", "response")
LONGEST_ANSWER: Final = 6000
"""Characters of an answer that are looked at: longer ones are cut, so that one model's verbosity costs no time."""
MOST_ROWS: Final = 20_000_000
MOST_MODELS: Final = 5_000
LONGEST_NAME: Final = 300
_BATCH: Final = 8192
DRAW_MARK: Final = "\N{SYMBOL FOR UNIT SEPARATOR}"
"""Between a question's id and the number of a further draw: in no id that was seen; ``#`` and ``/`` are common."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnswerTable:
    """Answers of ``models`` to ``items`` of one data set.

    Parameters
    ----------
    dataset : models of different data sets are never compared with each other
    models : sorted names
    items : identities of the questions; a question that was answered several times is one item for each time
    answers : shape (items, models), object
        Normalised text (`whorl.probes.normalising.normalise`), or None where a model did not answer.
    """

    dataset: str
    models: tuple[str, ...]
    items: tuple[str, ...]
    answers: NDArray[np.object_]

    def __post_init__(self) -> None:
        if self.answers.shape != (len(self.items), len(self.models)):
            raise ValueError(f"answers of shape {self.answers.shape} for {len(self.items)} items of {len(self.models)}")

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which answers are there, shape (items, models)."""
        return np.asarray(self.answers != None, dtype=np.bool_)  # noqa: E711  elementwise

    def part(self, *, items: AnyArray | None = None, models: AnyArray | None = None) -> "AnswerTable":
        """Some of the items and of the models, chosen by places or by one truth value each."""
        rows = np.arange(len(self.items)) if items is None else np.arange(len(self.items))[np.asarray(items)]
        columns = np.arange(len(self.models)) if models is None else np.arange(len(self.models))[np.asarray(models)]
        return AnswerTable(
            dataset=self.dataset,
            models=tuple(self.models[place] for place in columns),
            items=tuple(self.items[place] for place in rows),
            answers=self.answers[np.ix_(rows, columns)],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row of a table."""

    dataset: str
    model: str
    prompt_id: str
    response: str


def read_answers(path: Path) -> Iterator[Answer]:
    """The rows of a Parquet or CSV file, a batch at a time.

    Raises
    ------
    InputError
        If the file is neither, lacks a column, is cut off, or holds something other than text in one.
    """
    batches = _csv_batches(path) if path.suffix.lower() == ".csv" else _parquet_batches(path)
    seen = 0
    for batch in batches:
        columns = [_texts(path, name, batch[name]) for name in COLUMNS]
        seen += len(columns[0])
        if seen > MOST_ROWS:
            raise InputError(f"{path}: more than {MOST_ROWS:,} rows; split the table")
        for dataset, model, prompt_id, response in zip(*columns, strict=True):
            yield Answer(dataset=dataset, model=model, prompt_id=prompt_id, response=response)


def _parquet_batches(path: Path) -> Iterator[dict[str, list[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            require_columns(path, file.schema_arrow.names, COLUMNS)
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(COLUMNS)):
                yield {name: batch.column(name).to_pylist() for name in COLUMNS}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # OSError: pages that do not decompress
        raise InputError(
            f"{path}: expected a table of answers in Parquet or CSV with the columns {', '.join(COLUMNS)}, "
            f"but it cannot be read: {str(error)[:200]}"
        ) from error


def _csv_batches(path: Path) -> Iterator[dict[str, list[Any]]]:
    rows = csv_rows(path)
    header = next(rows, None)
    names = () if header is None else header.fields
    require_columns(path, names, COLUMNS)
    places = {name: names.index(name) for name in COLUMNS}
    while batch := list(islice(rows, _BATCH)):
        yield {name: [row.fields[place] for row in batch] for name, place in places.items()}


def _texts(path: Path, name: str, values: Iterable[object]) -> list[str]:
    found: list[str] = []
    for value in values:
        if value is None and name == "response":
            found.append("")
        elif not isinstance(value, str):
            raise InputError(f"{path}: column {name}: expected text, found {type(value).__name__}; convert it to text")
        elif name != "response" and not 1 <= (length := len(prompt_of(value))) <= LONGEST_NAME:
            raise InputError(f"{path}: column {name}: expected 1 to {LONGEST_NAME} characters, found {length}")
        else:
            found.append(value)
    return found


def answer_tables(answers: Iterable[Answer], *, normalised: bool = False) -> tuple[AnswerTable, ...]:
    """Sort answers into one table for each data set.

    A model that answered a question several times gives as many items; their order is that of the rows.

    Parameters
    ----------
    normalised : the texts are normalised already, as those in a population are

    Raises
    ------
    InputError
        If there are no answers, or more than 5,000 models in one data set.
    """
    sets: dict[str, dict[str, dict[str, list[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for answer in answers:
        if not normalised and DRAW_MARK in answer.prompt_id:
            raise InputError(
                f"data set {answer.dataset}: expected ids of questions without the sign {DRAW_MARK}, which tells draws "
                f"apart in a population, found {answer.prompt_id[:80]!r}; rename the question"
            )
        # Cut before normalising as well: what is thrown away must not cost time.
        text = answer.response if normalised else normalise(answer.response[: 4 * LONGEST_ANSWER])
        sets[answer.dataset][answer.prompt_id][answer.model].append(text[:LONGEST_ANSWER])
    if not sets:
        raise InputError("expected answers of at least one model, found none; give a table with rows")
    return tuple(_table(dataset, prompts) for dataset, prompts in sorted(sets.items()))


def item_name(prompt_id: str, draw: int) -> str:
    """Name of a draw of a question as an item of its own; the first draw has the question's name."""
    return prompt_id if draw == 0 else f"{prompt_id}{DRAW_MARK}{draw}"


def prompt_of(item: str) -> str:
    """The question that an item is a draw of."""
    return item.partition(DRAW_MARK)[0]


def _table(dataset: str, prompts: dict[str, dict[str, list[str]]]) -> AnswerTable:
    models = tuple(sorted({model for answered in prompts.values() for model in answered}))
    if len(models) > MOST_MODELS:
        raise InputError(f"data set {dataset}: expected at most {MOST_MODELS:,} models, found {len(models):,}")
    places = {model: place for place, model in enumerate(models)}
    items: list[str] = []
    rows: list[NDArray[np.object_]] = []
    for prompt, answered in sorted(prompts.items()):
        for draw in range(max(map(len, answered.values()))):
            row = np.full(len(models), None, dtype=np.object_)
            for model, texts in answered.items():
                if draw < len(texts):
                    row[places[model]] = texts[draw]
            items.append(item_name(prompt, draw))
            rows.append(row)
    order = sorted(range(len(items)), key=items.__getitem__)  # the same whether draws are told apart or named already
    return AnswerTable(
        dataset=dataset,
        models=models,
        items=tuple(items[place] for place in order),
        answers=np.stack([rows[place] for place in order]),
    )


def joined(first: AnswerTable, second: AnswerTable) -> AnswerTable:
    """Both tables' models on both tables' items; where a model is in both, the second table's answers count."""
    models = tuple(sorted({*first.models, *second.models}))
    items = tuple(sorted({*first.items, *second.items}))
    rows = {item: place for place, item in enumerate(items)}
    columns = {model: place for place, model in enumerate(models)}
    answers = np.full((len(items), len(models)), None, dtype=np.object_)
    both = set(first.models) & set(second.models)
    for table, kept in ((first, [model not in both for model in first.models]), (second, [True] * len(second.models))):
        chosen = np.flatnonzero(kept)
        answers[np.ix_([rows[item] for item in table.items], [columns[table.models[place]] for place in chosen])] = (
            table.answers[:, chosen]
        )
    return AnswerTable(dataset=second.dataset, models=models, items=items, answers=answers)
