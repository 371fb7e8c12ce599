"""``whorl lineage`` end to end on the demo's models, and its refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import networkx
import pytest
from typer.testing import Result

from whorl.lineage.document import Lineage

Run = Callable[..., Result]
MODELS = Path(__file__).parents[2] / "demo" / "models"


def test_a_folder_gives_a_tree_a_graph_and_a_page(run: Run, tmp_path: Path) -> None:
    graph, page = tmp_path / "tree.graphml", tmp_path / "tree.html"
    result = run("lineage", MODELS, "--json", "--graphml", graph, "--html", page, "--quiet")
    assert result.exit_code == 0, result.stderr
    lineage = Lineage.model_validate_json(result.stdout)
    names = {node.id: node.name for node in lineage.nodes}
    edges = {frozenset((names[edge.parent], names[edge.child])): edge.kind for edge in lineage.edges}
    assert edges[frozenset(("base", "suspect"))] == "derived"
    assert edges[frozenset(("base", "sibling"))] == "same_start"
    assert {names[one] for one in lineage.singles} == {"student", "twin"}
    assert networkx.read_graphml(graph).number_of_edges() == len(lineage.edges)
    assert "base-q8.gguf" in page.read_text()
    again = run("lineage", MODELS, "--html", page, "--quiet")  # an older page may be replaced
    assert again.exit_code == 0, again.stderr


def test_the_text_is_a_tree_that_accuses_nobody(run: Run) -> None:
    result = run("lineage", MODELS, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "|- " in result.stdout
    lines = result.stdout.splitlines()
    assert "sibling  [no descent, same start and trained apart: base]" in lines  # beside the others, not below
    assert "2 relations by trained weights, 1 by a common start alone, in 1 group." in lines
    assert "Without any relation: student, twin" in result.stdout
    assert "derived from, or shares trained weights with" in " ".join(result.stdout.split())
    assert not any(word in result.stdout for word in ("stolen", "copied", "theft"))


def test_a_registry_gives_a_tree_too_and_a_broken_entry_is_named(run: Run, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    for name in ("base", "suspect", "twin"):
        assert run("register", MODELS / name, "--registry", registry, "--quiet").exit_code == 0
    assert run("register", MODELS / "sibling", "--registry", registry, "--name", "twin", "--quiet").exit_code == 0
    entered = json.loads(run("register", MODELS / "suspect", "--registry", registry, "--json", "--quiet").stdout)
    digest = entered["digest"].removeprefix("sha256:")
    (registry / "blobs" / digest[:2] / digest[2:]).write_bytes(b"\x00")
    result = run("lineage", registry, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    names = [node["name"] for node in document["nodes"]]
    assert [name.split(" (entry ")[0] for name in names] == ["base", "twin", "twin"]
    assert len(set(names)) == 3
    assert document["unread"][0]["name"] == "suspect"
    assert "sha256" in document["unread"][0]["problem"]
    assert "Could not be read: suspect" in run("lineage", registry, "--quiet").stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (MODELS / "nothing", "found nothing there"),
        (MODELS / "base", "found a checkpoint"),
        (MODELS / "README.md", "found a file"),
    ],
)
def test_what_is_no_set_of_models_is_refused(run: Run, source: Path, said: str) -> None:
    result = run("lineage", source, "--quiet")
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_nothing_is_overwritten_and_nothing_lands_among_the_models(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept.graphml"
    kept.write_text("mine")
    for option, path in (("--graphml", kept), ("--html", kept), ("--graphml", MODELS / "tree.graphml")):
        result = run("lineage", MODELS, option, path, "--quiet")
        assert result.exit_code == 2
    assert kept.read_text() == "mine"
    both = tmp_path / "both"
    assert run("lineage", MODELS, "--graphml", both, "--html", both).exit_code == 2
    assert list(tmp_path.iterdir()) == [kept]


def test_an_interrupt_leaves_no_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whorl.lineage.page.render_page", interrupted)
    result = run("lineage", MODELS, "--graphml", tmp_path / "a.graphml", "--html", tmp_path / "a.html", "--quiet")
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == []
