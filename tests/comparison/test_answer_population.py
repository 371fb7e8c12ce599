"""Control populations as files: round trip, and what is refused."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from whorl.comparison.answer_population import (
    AnswerPopulation,
    build_population,
    is_population,
    read_population,
    write_population,
)
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import Answer, answer_tables

MODELS = 22


def population() -> AnswerPopulation:
    rows = [
        Answer(
            dataset="d",
            model=f"m{model:02d}",
            prompt_id=f"p{item}",
            response=f"word{model * item % 7} of word{item} and word{model % 11}",
        )
        for model in range(MODELS)
        for item in range(12)
        for _ in range(1 + item % 2)
    ]
    edges = [
        DocumentedEdge(model=f"m{model:02d}", family=f"f{model % 11}", base="", relation="same_family")
        for model in range(MODELS)
    ] + [
        DocumentedEdge(model=f"m{model + 11:02d}", family=f"f{model}", base=f"m{model:02d}", relation="finetune")
        for model in range(4)
    ]
    return build_population(answer_tables(rows), Lineage(edges=tuple(edges)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = io.BytesIO()
    write_population(population(), file)
    (tmp_path / "controls.pop").write_bytes(file.getvalue())
    return tmp_path / "controls.pop"


def test_a_population_comes_back_as_it_was(path: Path) -> None:
    built, read = population(), read_population(path)
    assert read.digest == built.digest
    assert read.lineage.edges == built.lineage.edges
    assert read.labelled.controls == built.labelled.controls
    assert [pair.truth for pair in read.labelled.pairs] == [pair.truth for pair in built.labelled.pairs]
    assert read.tables[0].items == built.tables[0].items
    assert (read.tables[0].answers == built.tables[0].answers).all()


def test_building_twice_gives_the_same_bytes() -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        write_population(population(), file)
    assert files[0].getvalue() == files[1].getvalue()


def test_pairs_of_known_truth_are_kept_with_their_families(path: Path) -> None:
    labelled = read_population(path).labelled
    related = [pair for pair in labelled.pairs if pair.truth == "shares_weights"]
    assert {pair.families for pair in related} == {(f"f{family}", f"f{family}") for family in range(4)}
    assert all(pair.families[0] != pair.families[1] for pair in labelled.pairs if pair.truth == "unrelated")


def test_a_population_is_told_from_a_table(path: Path, tmp_path: Path) -> None:
    table = pq.read_table(path).replace_schema_metadata({})
    pq.write_table(table, tmp_path / "table.parquet")
    (tmp_path / "text").write_text("no table at all")
    assert is_population(path)
    assert not is_population(tmp_path / "table.parquet")
    assert not is_population(tmp_path / "text")
    with pytest.raises(InputError, match="found another kind of table; build one from it first"):
        read_population(tmp_path / "table.parquet")
    with pytest.raises(InputError, match="expected a population"):
        read_population(tmp_path / "text")


def test_an_altered_answer_is_noticed(path: Path) -> None:
    table = pq.read_table(path)
    answers = table.column("response").to_pylist()
    answers[5] = "something else"
    altered = table.set_column(table.schema.names.index("response"), "response", [answers])
    pq.write_table(altered.replace_schema_metadata(pq.read_schema(path).metadata), path)
    with pytest.raises(InputError, match="not those that the population was built from"):
        read_population(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"schema":"whorl.answer-population/1"', b'"schema":"whorl.answer-population/9"'),
        (b'"controls":', b'"control":'),
        (b'"shares_weights"', b'"shares_weight!"'),
        (b'{"schema"', b'["schema"'),
    ],
)
def test_broken_metadata_are_refused(path: Path, old: bytes, new: bytes) -> None:
    metadata = dict(pq.read_schema(path).metadata)
    assert old in metadata[b"whorl.answer-population"]
    metadata[b"whorl.answer-population"] = metadata[b"whorl.answer-population"].replace(old, new)
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match="metadata are broken"):
        read_population(path)
