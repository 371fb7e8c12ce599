"""Names are found by their words, in any script, and nobody's name breaks the registry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_entries import Entrant, add, issuer, model, organisation
from sqlalchemy import Connection

from whorl.registry import name_rows
from whorl.registry.database import Database
from whorl.registry.database_errors import RegistryError
from whorl.registry.name_rows import WORD_LENGTH, entries_named, words_of
from whorl.registry.replaying import stated

MODELS = [
    "north-7b",
    "North 70B instruct",
    "northern-lights",
    "模型-Ω",
    "Straße 7b",
    "null",
    'a\\b "c" {d},e',
    "कमल 7b",
]


@pytest.fixture
def filled(database: Database) -> Database:
    north, harbour = Entrant(issuer(1)), Entrant(issuer(2))
    with database.writing() as connection:
        add(connection, north.entry("organisation", organisation("Northwind Labs", north.key)))
        add(connection, *(north.entry("model", model(name)) for name in MODELS))
        add(connection, harbour.entry("model", model("harbour-7b", publisher="Harbour Models")))
    return database


def found(connection: Connection, query: str) -> list[str]:
    statements = [stated(entry) for entry in entries_named(connection, query)]
    return sorted(getattr(statement.body, "name", "") for statement in statements if statement is not None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("north", ["North 70B instruct", "Northwind Labs", "north-7b", "northern-lights", *MODELS[3:]]),
        ("northern", ["northern-lights"]),
        ("NORTH instr", ["North 70B instruct"]),
        ("instruct north", ["North 70B instruct"]),
        ("7b harb", ["harbour-7b"]),
        ("harbour 7b", ["harbour-7b"]),
        ("harb 7b", []),  # only the last word may be a beginning
        ("模", ["模型-Ω"]),
        ("ω", ["模型-Ω"]),
        ("STRASSE", ["Straße 7b"]),
        ("null", ["null"]),
        ("c d e", ['a\\b "c" {d},e']),
        ("कमल", ["कमल 7b"]),
        ("nothing", []),
    ],
)
def test_names_are_found_by_their_words(filled: Database, query: str, expected: list[str]) -> None:
    with filled.reading() as connection:
        assert found(connection, query) == sorted(expected)


@pytest.mark.parametrize("query", ["", " ", "-- ;", " ".join("abcdefghi")])
def test_a_query_without_words_or_with_too_many_is_refused(filled: Database, query: str) -> None:
    with filled.reading() as connection, pytest.raises(RegistryError, match="expected 1 to 8 words of a name, found"):
        list(entries_named(connection, query))


def test_percent_signs_and_quotes_are_no_commands(filled: Database) -> None:
    with filled.reading() as connection:
        for query in ("%", "_", "'; DROP TABLE names; --", "nor%", "n_rth", "\\", "\x00", "north\x00"):
            try:
                names_found = found(connection, query)
            except RegistryError:
                continue
            assert names_found == found(connection, " ".join(words_of(query)))


def test_too_frequent_words_are_said_to_be_so(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_rows, "PAGE", 2)
    monkeypatch.setattr(name_rows, "MAX_SCANNED", 4)
    with filled.reading() as connection:
        results = entries_named(connection, "labs")
        first_ones = [next(results) for _ in range(4)]  # what was found is given before
        assert len({entry.hash for entry in first_ones}) == 4
        with pytest.raises(RegistryError, match="expected rarer words than 'labs'; add a word"):
            next(results)
        assert found(connection, "labs instruct") == ["North 70B instruct"]  # the rarest word is looked up first


def test_an_entry_with_several_words_of_one_beginning_comes_once(database: Database) -> None:
    with database.writing() as connection:
        add(connection, Entrant(issuer(1)).entry("model", model("tuna tuned tuner", publisher="Tunis")))
    with database.reading() as connection:
        assert len(list(entries_named(connection, "tun"))) == 1


@given(st.text(max_size=220))
def test_words_are_folded_bounded_and_stable(name: str) -> None:
    words = words_of(name)
    assert len(set(words)) == len(words)
    assert all(1 <= len(word) <= WORD_LENGTH for word in words)
    assert words_of(" ".join(words)) == words


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_a_letter_beyond_ascii_changes_no_other_word(name: str) -> None:
    """Names in ASCII alone take a shorter way to the same words."""
    assert words_of(f"{name} é") == [*words_of(name), "é"]


@pytest.mark.parametrize("letter", ["\ufdfa", "\U00020000", "ᾳ", "ﬃ"])
def test_a_name_that_grows_when_it_is_folded_is_stored_and_found(database: Database, letter: str) -> None:
    """An index of PostgreSQL takes 2.7 KB; U+FDFA becomes eighteen letters."""
    with database.writing() as connection:
        entry = add(connection, Entrant(issuer(1)).entry("model", model(letter * 200)))[0]
    with database.reading() as connection:
        assert list(entries_named(connection, letter * 200)) == [entry]
