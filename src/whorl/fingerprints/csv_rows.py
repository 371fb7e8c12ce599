"""Rows of a CSV file, all of them whole: a file that was cut off, or whose quotation marks do not pair, is refused.

CSV as RFC 4180 has it, read strictly. The format has no end mark, so that three signs stand for one: every row, the
last one too, ends with a line break; it has as many fields as the first row; and after a closing quotation mark comes
a comma or a line break. A table that is cut anywhere but between two rows lacks one of them.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from whorl.core.errors import InputError

LONGEST_ROW: Final = 32 * 2**20
"""Characters of one row, over all its lines."""
_ADVICE: Final = "get the whole file, or write it again with a program that writes CSV"


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRow:
    """One row, and the line of the file on which it begins, counted from 1."""

    line: int
    fields: tuple[str, ...]


def csv_rows(path: Path) -> Iterator[CsvRow]:
    """Every row, the names of the columns first; empty lines are left out.

    Raises
    ------
    InputError
        If the file is not UTF-8, a row is too long, or the file is cut off or not well formed. Rows that were given
        before were whole.
    """
    # The limit is one of the process; it is never lowered, and rows have their own here.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _Lines(path, file)
        reader = csv.reader(lines, strict=True)
        columns = 0
        while True:
            line = lines.begin_row()
            try:
                fields = next(reader, None)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: expected a CSV table in UTF-8, found bytes that are none ({error}): another encoding, or "
                    "a file that was cut off; get the whole file, in UTF-8"
                ) from error
            except csv.Error as error:
                raise InputError(f"{path}: {_broken(line, error)}; {_ADVICE}") from error
            if fields is None:
                return
            columns = columns or len(fields)
            if fields and len(fields) != columns:
                raise InputError(
                    f"{path}: line {line}: expected {columns} fields as in the first row, found {len(fields)}: the row "
                    f"is cut off, or a comma or quotation mark stands unquoted; {_ADVICE}"
                )
            if fields:
                yield CsvRow(line=line, fields=tuple(fields))


class _Lines:
    """Lines of a file, never more of one row than is allowed, and the last one only if it is whole."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._number = 0
        self._begun = 1
        self._held = 0

    def begin_row(self) -> int:
        """Note that the next line begins a row, and say its number."""
        self._begun, self._held = self._number + 1, 0
        return self._begun

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_ROW + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._held += len(line)
        if self._held > LONGEST_ROW:
            raise InputError(
                f"{self._path}: line {self._begun}: expected a row of at most {LONGEST_ROW:,} characters, found a "
                f"longer one: a quotation mark may be left open there; {_ADVICE}"
            )
        if not line.endswith(("\n", "\r")):
            raise InputError(
                f"{self._path}: line {self._number}: expected a line break at the end of the last row, found none, as "
                "in a file that was cut off; get the whole file, or end it with a line break if nothing is missing"
            )
        return line


def _broken(line: int, error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return (
            f"line {line}: expected the quotation mark that closes the one opened in this row, found the end of the "
            "file: it is cut off, or a quotation mark too many or too few swallowed all the rows that follow"
        )
    if "expected after" in str(error):
        return (
            f"line {line}: expected a comma or a line break after a closing quotation mark, found something else: a "
            "quotation mark inside a field is not doubled, or one too many or too few swallowed the rows that follow"
        )
    return f"line {line}: expected a CSV table, but it cannot be read: {error}"


def require_columns(path: Path, found: Sequence[str], expected: Iterable[str]) -> None:
    """Raise `InputError` unless each of the expected columns is there, and once."""
    names, wanted = list(found), list(expected)
    missing = [column for column in wanted if column not in names]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(wanted)}, found no {', '.join(missing)} among "
            f"{', '.join(names)[:200]}; rename the columns"
        )
    twice = [column for column in wanted if names.count(column) > 1]
    if twice:
        raise InputError(f"{path}: expected each column once, found {', '.join(twice)} twice; leave one out")
