"""Answers of many models to the same questions: the item x model response matrix, as it is read from files.

Long layout, one row an answer: columns ``dataset, model, prompt_id, prompt, response`` (others are ignored), in Parquet
or CSV. Format: ``docs/specs/answer-table.md``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import AnyArray
from whorl.core.errors import InputError
from whorl.probes.normalising import normalise

COLUMNS: Final = ("dataset", "model", "prompt_id", "response")
LONGEST_ANSWER: Final = 6000
"""Characters of an answer that are looked at: longer ones are cut, so that one model's verbosity costs no time."""
MOST_ROWS: Final = 20_000_000
MOST_MODELS: Final = 5_000
LONGEST_NAME: Final = 300
_LONGEST_CSV_ROW: Final = 32 * 2**20
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
        If the file is neither, lacks a column, or holds something other than text in one.
    """
    import pyarrow as pa

    try:
        batches = _csv_batches(path) if path.suffix.lower() == ".csv" else _parquet_batches(path)
        seen = 0
        for batch in batches:
            columns = [_texts(path, batch, name) for name in COLUMNS]
            seen += batch.num_rows
            if seen > MOST_ROWS:
                raise InputError(f"{path}: more than {MOST_ROWS:,} rows; split the table")
            for dataset, model, prompt_id, response in zip(*columns, strict=True):
                yield Answer(dataset=dataset, model=model, prompt_id=prompt_id, response=response)
    except pa.ArrowException as error:
        raise InputError(
            f"{path}: expected a table of answers in Parquet or CSV with the columns {', '.join(COLUMNS)}, "
            f"but it cannot be read: {str(error)[:200]}"
        ) from error


def _parquet_batches(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        _require_columns(path, file.schema_arrow.names)
        yield from file.iter_batches(batch_size=8192, columns=list(COLUMNS))


def _csv_batches(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.csv as csv

    as_text = csv.ConvertOptions(
        column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
    )
    lines = csv.ParseOptions(newlines_in_values=True)
    blocks = csv.ReadOptions(block_size=_LONGEST_CSV_ROW)
    with csv.open_csv(path, read_options=blocks, convert_options=as_text, parse_options=lines) as reader:
        _require_columns(path, reader.schema.names)
        for batch in reader:
            yield batch.select(list(COLUMNS))


def _require_columns(path: Path, names: Sequence[str]) -> None:
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found no {', '.join(missing)} among "
            f"{', '.join(names)[:200]}; rename the columns"
        )
    twice = [column for column in COLUMNS if list(names).count(column) > 1]
    if twice:
        raise InputError(f"{path}: expected each column once, found {', '.join(twice)} twice; leave one out")


def _texts(path: Path, batch: Any, name: str) -> list[str]:
    values = batch.column(batch.schema.names.index(name)).to_pylist()
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
