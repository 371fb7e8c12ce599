"""What follows from publishers' statements for two models."""

import contextlib
import os
from collections import Counter
from pathlib import Path

import pytest

from whorl.comparison.documented_lineage import DocumentedEdge, Lineage, read_lineage
from whorl.core.errors import InputError

REAL = Path(__file__).resolve().parents[3] / "shared" / "realdata"

EDGES = """\
model,family,base,relation,note
base,north,,same_family,
chat,north,base,finetune,
chat@q4,north,chat,same_weights,
chat-2,north,base,finetune,
mix,north,chat,merge,
mix,north,other,merge,
other,south,,same_family,
student,west,chat,distilled_from,
student-2,east,chat,distilled_from,
router,hub,chat,pipeline,
mystery,fog,,,
late,north,,version,
"""


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    path = tmp_path / "lineage.csv"
    path.write_text(EDGES)
    return read_lineage(path)


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [
        ("chat", "chat@q4", "same_weights"),
        ("chat@q4", "chat@undocumented-variant", "same_weights"),
        ("chat", "base", "derived"),
        ("chat@q4", "mix", "derived"),
        ("other", "mix", "derived"),
        ("chat", "chat-2", "siblings"),
        ("mix", "chat-2", "siblings"),
        ("chat", "student", "distilled"),
        ("late", "chat", "same_family"),
        ("student", "late", "teacher_family"),
        ("student", "student-2", "shared_teacher"),
        ("router", "other", "pipeline"),
        ("mystery", "other", "unknown"),
        ("never-heard-of", "other", "unknown"),
        ("chat-2", "other", "unrelated"),
    ],
)
def test_closest_documented_relation(lineage: Lineage, first: str, second: str, relation: str) -> None:
    assert lineage.relation(first, second) == relation
    assert lineage.relation(second, first) == relation


def test_a_circle_of_statements_ends() -> None:
    edges = tuple(DocumentedEdge(model=a, family="f", base=b, relation="same_weights") for a, b in ("xy", "yx"))
    assert Lineage(edges=edges).relation("x", "y") in ("same_weights", "derived")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("model,family\n", "found no base, relation"),
        ("model,family,base,relation\nm,f,b,stole\n", "line 2: expected a model, a family and one of"),
        ("model,family,base,relation\n,f,b,merge\n", "line 2"),
        (b"\xff\xfe", "expected a CSV table in UTF-8"),
        ("model,family,base,relation,base\nm,f,b,merge,c\n", "found base twice"),
        ("model,family,base,relation\nm,f\n", "line 2: expected 4 fields as in the first row, found 2"),
        ("model,family,base,relation\nm,f,b,merge", "line 2: expected a line break at the end of the last row"),
        ('model,family,base,relation\nm,"f,b,merge\nn,f,b,merge\n', "line 2: expected the quotation mark that closes"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, content: str | bytes, complaint: str) -> None:
    path = tmp_path / "lineage.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=complaint):
        read_lineage(path)


def test_a_file_that_is_cut_off_is_refused_or_states_less_and_nothing_else(tmp_path: Path) -> None:
    """A statement without its base or relation would say something that nobody said."""
    whole = b'model,family,base,relation,era\nm,f,"b, the old",merge,2025\n"n ""new""",f,m,finetune,2026\n'
    path = tmp_path / "lineage.csv"
    path.write_bytes(whole)
    edges, read = read_lineage(path).edges, set()
    assert len(edges) == 2
    for size in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:size])
        with contextlib.suppress(InputError):
            found = read_lineage(path)
            assert found.edges == edges[: len(found.edges)]
            assert len(found.circumstances) == len(found.edges)
            read.add(size)
    assert len(read) == 2  # after the names of the columns, and after the first row


@pytest.mark.skipif(not REAL.is_dir() or os.environ.get("WHORL_NO_REAL"), reason="needs ../shared/realdata")
def test_real_labels_are_reproduced() -> None:
    """Every published positive of weights gets its name, and none of the related pairs becomes an unrelated one."""
    import pyarrow.parquet as pq

    lineage = read_lineage(REAL / "lineage.csv")
    seen: Counter[tuple[str, str]] = Counter()
    for row in pq.read_table(REAL / "pairs.parquet").to_pylist():
        seen[row["relation"], lineage.relation(row["model_a"], row["model_b"])] += 1
    for relation in ("same_weights", "derived", "siblings"):
        assert sum(count for (theirs, _), count in seen.items() if theirs == relation) == seen[relation, relation]
    assert not [pair for pair in seen if pair[1] == "unrelated" and pair[0] not in ("unrelated", "unknown")]


@pytest.mark.parametrize("family", ["unknown", "inconclusive"])
def test_no_family_may_be_called_as_a_verdict_is(tmp_path: Path, family: str) -> None:
    (tmp_path / "lineage.csv").write_text(f"model,family,base,relation\na,{family},,same_family\n")
    with pytest.raises(InputError, match="line 2: expected the name of a line"):
        read_lineage(tmp_path / "lineage.csv")


def test_a_name_that_begins_with_an_at_sign_is_no_variant_of_nothing() -> None:
    lineage = Lineage(
        edges=tuple(
            DocumentedEdge(model=f"@cf/maker-{name}/chat", family=name, base="", relation="same_family")
            for name in "ab"
        )
    )
    assert lineage.relation("@cf/maker-a/chat", "@cf/maker-b/chat") == "unrelated"
    assert lineage.relation("@cf/maker-a/chat", "@cf/maker-a/chat@q4") == "same_weights"
    assert lineage.family("@cf/maker-a/chat@q4") == "a"
