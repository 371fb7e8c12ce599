"""Tables of answers: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import LONGEST_NAME, Answer, answer_tables, item_name, joined, read_answers


def rows(*given: tuple[str, str, str]) -> list[Answer]:
    return [Answer(dataset="d", model=model, prompt_id=prompt, response=text) for model, prompt, text in given]


def write(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def columns(**changed: list[object]) -> dict[str, list[object]]:
    return {"dataset": ["d"], "model": ["m"], "prompt_id": ["p"], "prompt": ["?"], "response": ["yes"]} | changed


def test_parquet_and_csv_give_the_same_rows(tmp_path: Path) -> None:
    text = 'He said, "no",\nand left.'
    write(tmp_path / "t.parquet", **columns(response=[text]))
    quoted = text.replace('"', '""')
    (tmp_path / "t.csv").write_text(f'dataset,model,prompt_id,prompt,response\nd,m,p,?,"{quoted}"\n')
    assert (
        list(read_answers(tmp_path / "t.parquet")) == list(read_answers(tmp_path / "t.csv")) == rows(("m", "p", text))
    )


def test_one_table_per_data_set_with_holes_where_a_model_did_not_answer() -> None:
    other = Answer(dataset="e", model="m", prompt_id="p", response="x")
    tables = answer_tables([*rows(("b", "p1", "one"), ("a", "p2", "two")), other])
    assert [table.dataset for table in tables] == ["d", "e"]
    assert tables[0].models == ("a", "b")
    assert tables[0].items == ("p1", "p2")
    assert tables[0].answers.tolist() == [[None, "one"], ["two", None]]
    assert tables[0].answered.tolist() == [[False, True], [True, False]]


def test_repeated_answers_are_items_of_their_own_in_the_order_of_rows() -> None:
    (table,) = answer_tables(rows(("a", "p", "first"), ("a", "p", "second"), ("b", "p", "only")))
    assert table.items == ("p", "p\N{SYMBOL FOR UNIT SEPARATOR}1")
    assert table.answers.tolist() == [["first", "only"], ["second", None]]


def test_inline_reasoning_is_no_part_of_an_answer() -> None:
    (table,) = answer_tables(
        rows(("a", "p", "<think>Hmm, 4?</think>\nThe answer is 5."), ("b", "p", "The answer is 5."))
    )
    assert table.answers[0, 0] == table.answers[0, 1]


def test_a_null_response_is_an_empty_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns(response=pa.array([None], pa.string()))), path)
    assert next(iter(read_answers(path))).response == ""


def test_joining_keeps_both_sides_and_lets_the_second_speak_for_a_model_in_both() -> None:
    (first,) = answer_tables(rows(("a", "p", "old"), ("b", "p", "control")))
    (second,) = answer_tables(rows(("a", "q", "new")))
    both = joined(first, second)
    assert both.models == ("a", "b")
    assert both.items == ("p", "q")
    assert both.answers.tolist() == [[None, "control"], ["new", None]]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"response": [3]}, "column response: expected text, found int"),
        ({"model": [""]}, "column model: expected 1 to 300 characters, found 0"),
        ({"model": ["x" * 301]}, "column model: expected 1 to 300 characters, found 301"),
        ({"dataset": [None]}, "column dataset: expected text, found NoneType"),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused(
    tmp_path: Path, changed: dict[str, list[object]], complaint: str
) -> None:
    path = write(tmp_path / "t.parquet", **columns(**changed))
    with pytest.raises(InputError, match=complaint):
        list(read_answers(path))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", dataset=["d"], model=["m"], response=["x"])
    with pytest.raises(InputError, match="found no prompt_id"):
        list(read_answers(path))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 64, b"dataset,model\n1"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected a table of answers"):
        list(read_answers(path))


def test_no_rows_is_refused() -> None:
    with pytest.raises(InputError, match="found none"):
        answer_tables([])


def test_long_answers_are_cut_and_cost_nothing_beyond() -> None:
    (table,) = answer_tables(rows(("a", "p", "word " * 1_000_000)))
    assert len(table.answers[0, 0]) == 6000
    assert np.asarray(table.answered).all()


def test_ids_as_long_as_allowed_may_be_drawn_several_times(tmp_path: Path) -> None:
    """What a population stores of them is longer by the mark of the draw, and is read again."""
    name = "p" * LONGEST_NAME
    (table,) = answer_tables([Answer(dataset="d", model="a", prompt_id=name, response=text) for text in ("one", "two")])
    pq.write_table(
        pa.table(
            {"dataset": ["d"] * 2, "model": ["a"] * 2, "prompt_id": list(table.items), "response": ["one", "two"]}
        ),
        tmp_path / "stored.parquet",
    )
    (again,) = answer_tables(read_answers(tmp_path / "stored.parquet"), normalised=True)
    assert again.items == table.items


def test_an_id_with_the_mark_of_draws_is_refused() -> None:
    with pytest.raises(InputError, match="rename the question"):
        answer_tables([Answer(dataset="d", model="a", prompt_id=item_name("p", 1), response="x")])


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("dataset,model,model,prompt_id,response\nd,a,b,p,x\n")
    with pytest.raises(InputError, match="found model twice"):
        list(read_answers(tmp_path / "a.csv"))


def test_a_long_cell_of_a_csv_file_is_read(tmp_path: Path) -> None:
    text = "word " * 400_000
    (tmp_path / "a.csv").write_text(f'dataset,model,prompt_id,response\nd,a,p,"{text}"\n')
    (row,) = read_answers(tmp_path / "a.csv")
    assert row.response == text


def test_a_damaged_parquet_file_is_refused_and_never_read_in_part(tmp_path: Path) -> None:
    """Damage to the pages of a column shows only while rows are read, in errors of several kinds."""
    path = tmp_path / "t.parquet"
    rows = range(100)
    texts = [f"the answer is {row}" for row in rows]
    write(path, dataset=["d"] * 100, model=[f"m{row % 3}" for row in rows], prompt_id=texts, response=texts)
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), 5):
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 0xA5]) + data[place + 1 :]):
            path.write_bytes(damaged)
            try:
                assert len(list(read_answers(path))) == len(rows)
            except InputError:
                refused += 1
    assert refused > len(data) / 5
