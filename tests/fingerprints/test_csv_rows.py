"""Rows of a CSV file: the whole of it or nothing, wherever it was cut and whichever quotation mark is missing."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whorl.core.errors import InputError
from whorl.fingerprints import csv_rows as reading
from whorl.fingerprints.answer_table import Answer, read_answers
from whorl.fingerprints.csv_rows import csv_rows

HEADER = ("dataset", "model", "prompt_id", "prompt", "response")
ROWS = [
    ("d", "meridian", "p1", "?", "yes"),
    ("d", "meridian", "p2", "?", 'He said, "no",\nand left.'),
    ("d", "harbour", "p1", "A, or B?", 'd,x,p3,?,""\n"quoted"\r\n'),
    ("d", "harbour", "p2", "?", "größer \N{ROBOT FACE}"),
    ("d", "northwind", "p1", "?", 'the last,\n\n"of all"'),
    ("d", "northwind", "p2", "?", "a plain end"),
]

TEXTS = st.text(st.sampled_from('ab,"\n\r\té\N{ROBOT FACE}'), max_size=8)


def csv_bytes(rows: list[tuple[str, ...]], *, end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue().encode()


def answers(rows: list[tuple[str, ...]]) -> list[Answer]:
    return [Answer(dataset=row[0], model=row[1], prompt_id=row[2], response=row[4]) for row in rows]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_table_cut_at_any_byte_is_refused_or_holds_whole_rows(tmp_path: Path, end: str, quoting: int) -> None:
    whole = csv_bytes([HEADER, *ROWS], end=end, quoting=quoting)
    prefixes = {len(csv_bytes([HEADER, *ROWS[:count]], end=end, quoting=quoting)): count for count in range(7)}
    path = tmp_path / "cut.csv"
    read, refusals = {}, []
    for size in range(len(csv_bytes([HEADER], end=end, quoting=quoting)), len(whole) + 1):
        path.write_bytes(whole[:size])
        try:
            read[size] = list(read_answers(path))
        except InputError as error:
            refusals.append(str(error))
    assert all("expected" in refusal and "found" in refusal for refusal in refusals)
    assert set(prefixes) <= set(read)
    for size, found in read.items():
        # Between the two characters of a line break a row is whole.
        assert found == answers(ROWS[: prefixes.get(size, prefixes.get(size + 1))]), size


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=6),
    # Python's own writer leaves a break that is not its own unquoted.
    written=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), *((end, csv.QUOTE_ALL) for end in ("\n", "\r\n", "\r"))]),
    cut=st.integers(min_value=0),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_read_and_a_part_of_it_is_never_another_table(
    tmp_path: Path, rows: list[tuple[str, ...]], written: tuple[str, int], cut: int
) -> None:
    data = csv_bytes(rows, end=written[0], quoting=written[1])
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    assert [row.fields for row in csv_rows(path)] == rows
    path.write_bytes(data[: cut % len(data)])
    try:
        part = [row.fields for row in csv_rows(path)]
    except InputError:
        return
    assert part == rows[: len(part)]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        # Opened and never closed: everything after it would be one answer.
        (
            'd,m1,p,?,"yes\nd,m2,p,?,no\nd,m3,p,?,no\n',
            "line 2: expected the quotation mark that closes",
        ),
        # Closed by the next answer's own mark.
        ('d,m1,p,?,"yes\nd,m2,p,?,"no"\nd,m3,p,?,no\n', "line 2: expected a comma or a line break after a closing"),
        ('d,m1,p,?,yes\n"d","m2","p","?","no\n"d","m3","p","?","no"\n', "line 3: expected a comma or a line break"),
        # A row without an end of its own.
        ('d,m1,p,?,"yes\nd,m2,p,?,"\n,x\n', "line 4: expected 5 fields as in the first row, found 2"),
        ("d,m1,p,?,yes\nd,m2,p\nd,m3,p,?,no\n", "line 3: expected 5 fields as in the first row, found 3"),
        ("d,m1,p,?,yes, or no\n", "line 2: expected 5 fields as in the first row, found 6"),
        ("d,m1,p,?,yes", "line 2: expected a line break at the end of the last row"),
        ('d,m1,p,?,"yes"', "line 2: expected a line break at the end of the last row"),
    ],
)
def test_a_quotation_mark_too_many_swallows_no_rows(tmp_path: Path, rows: str, complaint: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{','.join(HEADER)}\n{rows}")
    with pytest.raises(InputError, match=complaint):
        list(read_answers(path))


def test_empty_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf\n" + csv_bytes([HEADER, ROWS[0]]) + b"\r\n\n")
    assert list(read_answers(tmp_path / "t.csv")) == answers(ROWS[:1])


def test_a_row_without_end_costs_no_memory_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_ROW", 1000)
    for text in ("x" * 2000, '"' + "x\n" * 600):
        (tmp_path / "t.csv").write_text(f"{','.join(HEADER)}\nd,m,p,?,{text}\n")
        with pytest.raises(InputError, match="line 2: expected a row of at most 1,000 characters"):
            list(read_answers(tmp_path / "t.csv"))


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(csv_bytes([HEADER]) + "d,m,p,?,größer\n".encode("latin-1"))
    with pytest.raises(InputError, match="expected a CSV table in UTF-8"):
        list(read_answers(tmp_path / "t.csv"))
