"""Lists of values that are sought: filled up, so that a connection keeps few statements and not one for each length."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sample_entries import ORIGIN
from sqlalchemy import event

from whorl.registry.bulk import padded
from whorl.registry.database import Database
from whorl.registry.entry_rows import PAGE, chain_ends, entered_among, erased_among, numbered_entries
from whorl.registry.key_rows import find_keys, find_organisations


@given(st.lists(st.integers(), max_size=600))
def test_the_same_values_in_few_lengths(values: list[int]) -> None:
    filled = padded(values)
    assert filled[: len(values)] == values
    assert set(filled) == set(values)
    assert len(values) <= len(filled) < 2 * len(values) or filled == values
    assert len(filled).bit_count() <= 1


def test_statements_do_not_grow_with_the_lengths_that_were_asked_for(database: Database) -> None:
    """A prepared statement with 200 values takes 60 KB, on each of 40 connections."""
    asked: set[str] = set()

    def note(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        asked.add(sql)

    with database.reading() as connection:
        event.listen(connection, "before_cursor_execute", note)
        for length in {*range(0, PAGE + 1, 11), *(2**power for power in range(PAGE.bit_length())), PAGE - 1, PAGE}:
            digests = [number.to_bytes(32, "big") for number in range(length)]
            assert numbered_entries(connection, range(1, length + 1)) == {}
            assert find_organisations(connection, digests) == {}
            for ask in (find_keys, chain_ends):
                assert ask(connection, digests, origin=ORIGIN) == {}
            assert erased_among(connection, digests) == {}
            assert entered_among(connection, digests, origin=ORIGIN) == frozenset()
    lengths = PAGE.bit_length() + 1  # 0, 1, 2, 4 and so on
    assert len(asked) <= 6 * lengths + 1
