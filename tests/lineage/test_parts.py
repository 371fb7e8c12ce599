"""The small pieces: unseen ancestors of one node, merges, fit, characters, documents, outline, GraphML and the page."""

import html
import re
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import networkx
import numpy as np
import pytest
from pydantic import ValidationError

from whorl.lineage.characters import order_classes, rotation_classes
from whorl.lineage.document import TRAINED, Edge, EdgeKind, Lineage, Node, NotCompared, UnreadMember
from whorl.lineage.fit import misfit
from whorl.lineage.graphml import to_graphml
from whorl.lineage.links import Link
from whorl.lineage.merging import on_a_line
from whorl.lineage.outline import outline
from whorl.lineage.page import render_page
from whorl.lineage.unseen import grouped
from whorl.lineage.wording import EDGE_TITLES, EDGE_WORDS, counted

HOSTILE = '</script><b onload="x">\u202e\x07&'


def node(identifier: str, name: str | None = None, *, unseen: bool = False) -> Node:
    return Node(
        id=identifier,
        name=name or identifier,
        kind="unseen" if unseen else "model",
        digest=None if unseen else "sha256:00",
        description=None if unseen else "llama, 4 layers x 64",
        access=None if unseen else "weights",
    )


def edge(parent: str, child: str, **changes: object) -> Edge:
    facts: dict[str, object] = {
        "kind": "derived",
        "share": None,
        "confidence": 0.9,
        "directed": True,
        "direction_confidence": 0.95,
        "distance": 0.01,
        "detail": "The two models share trained weights.",
    }
    return Edge.model_validate({"parent": parent, "child": child, **facts, **changes})


def sample(name: str = "base") -> Lineage:
    merged = {"kind": "merge", "direction_confidence": None}
    return Lineage(
        schema="whorl.lineage/1",
        whorl_version="0",
        nodes=(
            node("m1", name),
            *(node(f"m{n}") for n in range(2, 8)),
            node("u1", "unseen ancestor 1", unseen=True),
        ),
        edges=(
            edge("m1", "m2"),
            edge("m1", "m3", confidence=0.6, directed=False),
            edge("m2", "m4", share=0.7, **merged),
            edge("m3", "m4", share=0.3, **merged),
            edge("m1", "m5", kind="same_start", directed=False, direction_confidence=None),
            edge("m2", "m5", kind="undecided", directed=False, direction_confidence=None, confidence=0.5),
            edge("m1", "u1", distance=None),
            edge("u1", "m6", distance=None),
        ),
        groups=(("m1", "m2", "m3", "m4", "m5", "m6", "u1"),),
        singles=("m7",),
        not_compared=(NotCompared(one="m1", other="m7", reason="they share no tokens"),),
        unread=(UnreadMember(name=HOSTILE, problem="expected weights, found none"),),
        limits=("Speaks of weights only.",),
        parameters={"seed": 1},
    )


def test_a_document_comes_back_from_its_json() -> None:
    assert Lineage.model_validate_json(sample().model_dump_json()) == sample()
    assert sample().model_dump(mode="json")["schema"] == "whorl.lineage/1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": (node("m1"), node("m1"))}, "one id"),
        ({"edges": (edge("m1", "m9"),)}, "do not exist"),
        ({"singles": ()}, "exactly one group"),
        ({"edges": (edge("m1", "m2"), edge("m2", "m3"), edge("m3", "m1"))}, "own ancestor"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Lineage.model_validate({name: getattr(sample(), name) for name in Lineage.model_fields} | change)


@pytest.mark.parametrize(
    "changes",
    [
        {"child": "m1"},
        {"share": 0.5},
        {"kind": "same_start"},
        {"kind": "shares_ancestor"},
        {"kind": "undecided"},
        {"confidence": 1.5},
    ],
)
def test_an_edge_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        edge("m1", **({"child": "m2"} | changes))  # type: ignore[arg-type]


def test_every_node_stands_once_in_the_outline_below_its_first_parent() -> None:
    rows = outline(sample())
    assert sorted(row.node.id for row in rows) == sorted(node.id for node in sample().nodes)
    places = {row.node.id: row for row in rows}
    assert places["m4"].below == "m2"
    assert [edge.parent for edge in places["m4"].further] == ["m3"]
    assert places["m6"].below == "u1"
    assert places["m6"].depth == 2
    assert places["m7"].depth == places["m1"].depth == 0
    # Runs of one start, and what is undecided, stand beside and not below.
    assert places["m5"].depth == 0
    assert [edge.kind for edge in places["m5"].further] == ["same_start", "undecided"]


def test_a_merge_of_two_that_nothing_else_connects_stands_below_one_of_them() -> None:
    lineage = sample().model_copy(
        update={"edges": (edge("m1", "m3", kind="merge", share=0.4), edge("m2", "m3", kind="merge", share=0.6))}
    )
    places = {row.node.id: row for row in outline(lineage)}
    assert places["m3"].below == "m2"
    assert [further.parent for further in places["m3"].further] == ["m1"]
    assert places["m1"].depth == places["m2"].depth == 0


def test_graphml_carries_the_graph_and_its_attributes() -> None:
    found = networkx.parse_graphml(to_graphml(sample(HOSTILE)).decode())
    assert found.number_of_nodes() == 8
    assert set(found.edges()) == {(edge.parent, edge.child) for edge in sample().edges}
    assert found.edges["m2", "m4"]["share"] == 0.7
    assert found.edges["m2", "m4"]["kind"] == "merge"
    assert found.edges["m1", "m3"]["directed"] is False
    assert found.edges["m1", "m5"]["label"] == "Same start, trained apart: no descent"
    assert found.edges["m2", "m5"]["label"] == "Undecided: trained weights or a common start"
    assert "share" not in found.edges["m1", "m2"]
    assert found.nodes["u1"]["kind"] == "unseen"
    assert "</script>" in found.nodes["m1"]["name"]
    assert "\\u202e\\x07" in found.nodes["m1"]["name"]
    ElementTree.fromstring(to_graphml(sample(HOSTILE)))


def test_the_page_loads_nothing_and_lets_no_name_out_of_its_place() -> None:
    page = render_page(sample(HOSTILE))
    assert not re.search(r'(?:src|href|url)\s*[=(]\s*["\']?(?:https?:)?//', page)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<script>") == 1
    assert page.count("</script>") == 1
    assert "\u202e" not in page
    assert "\x07" not in page
    assert 'onload="' not in page
    assert "default-src 'none'" in html.unescape(page)
    for node_ in sample().nodes:
        assert f'data-id="{node_.id}"' in page
    assert 'class="edge merge" data-descent' in page
    # What the picture follows from parent to child is descent alone.
    assert 'class="edge same_start" data-parent' in page
    assert 'class="edge undecided dashed" data-parent' in page
    assert "say no such thing and are no descent" in " ".join(page.split())
    assert 'class="edge derived dashed"' in page
    assert "not established" in page
    assert "could not be read" in page
    for word in ("stolen", "theft", "copied from"):
        assert word not in page


def test_the_page_of_unrelated_models_says_so() -> None:
    alone = sample().model_copy(update={"edges": (), "groups": (), "singles": tuple(n.id for n in sample().nodes)})
    page = render_page(alone)
    assert "No two of these models share weights" in page


def test_relations_by_trained_weights_are_counted_apart() -> None:
    assert counted(sample().edges) == (
        "6 relations by trained weights, 1 undecided between that and a common start, 1 by a common start alone"
    )
    assert counted(sample().edges[:1]) == "1 relation by trained weights"
    assert set(EDGE_WORDS) == set(EDGE_TITLES) == set(get_args(EdgeKind))
    for kind in set(get_args(EdgeKind)) - set(TRAINED):
        assert "derived" not in EDGE_WORDS[kind] + EDGE_TITLES[kind].lower()


def test_siblings_that_share_path_get_one_unseen_ancestor_each_level() -> None:
    # 0 and 1 share 4 of their way, 2 shares 1 with both, 3 shares nothing.
    gram = np.diag([6.0, 7.0, 5.0, 5.0])
    for one, other, path in ((0, 1, 4.0), (0, 2, 1.0), (1, 2, 1.0)):
        gram[one, other] = gram[other, one] = path
    groups = grouped(gram, least=0.05, same_place=0.1)
    assert [set(group.members) for group in groups] == [{0, 1}, {2, groups[0].node}]
    assert [group.path for group in groups] == [4.0, 1.0]
    assert grouped(gram, least=0.95, same_place=0.1) == []


def test_three_siblings_at_one_place_get_one_unseen_ancestor() -> None:
    gram = np.full((3, 3), 2.0) + np.diag([1.0, 2.0, 3.0])
    (group,) = grouped(gram, least=0.05, same_place=0.1)
    assert set(group.members) == {0, 1, 2}


def test_a_model_on_the_path_between_two_is_no_merge_of_them() -> None:
    points = np.zeros((3, 3))
    points[1, 0], points[2, :2] = 1.0, 1.0  # 0 - 1 - 2, each step at a right angle
    table = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    assert on_a_line(table, 1, [0, 2]) is None
    points[1] = points[2] / 2
    table = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    merge = on_a_line(table, 1, [0, 2])
    assert merge is not None
    assert {merge.first, merge.second} == {0, 2}
    assert merge.share == pytest.approx(0.5)


def test_of_several_pairs_on_one_line_the_farthest_apart_are_the_parents() -> None:
    at = np.array([0.0, 0.3, 0.5, 1.0])
    table = (at[:, None] - at[None]) ** 2
    merge = on_a_line(table, 2, [0, 1, 3])
    assert merge is not None
    assert {merge.first, merge.second} == {0, 3}


def test_a_tree_fits_its_own_distances_and_no_others() -> None:
    links = tuple(Link(near=0, far=far, kind="derived", share=None, confidence=1.0) for far in range(1, 6))
    lengths = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    table = lengths[:, None] + lengths[None] - 2 * np.diag(lengths)
    assert misfit(table, tuple(range(6)), links) == pytest.approx(0, abs=1e-6)
    shared = table.copy()
    shared[1:, 1:] *= np.random.default_rng(1).uniform(0.4, 1, (5, 5))
    assert misfit((shared + shared.T) / 2, tuple(range(6)), links) > 0.05


def test_models_in_one_order_and_one_frame_share_states() -> None:
    order = {0: np.arange(50)}
    shuffled = {0: np.random.default_rng(2).permutation(50)}
    partly = {0: np.where(np.arange(50) < 20, -1, np.arange(50))}
    nothing = {0: np.full(50, -1)}
    states = [found.get("neuron order") for found in order_classes([order, shuffled, partly, nothing])]
    assert states == ["0", "1", "0", None]
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((16, 16)))[0].astype(np.float32)
    still = np.eye(16, dtype=np.float32)
    assert [f.get("rotation") for f in rotation_classes([still, turn, still + 0.01, None])] == ["0", "1", "0", None]


def test_the_example_in_the_specification_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs/specs/lineage.md").read_text()
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    lineage = Lineage.model_validate_json(example.group(1))
    assert len(lineage.edges) == 5
    for kind in get_args(EdgeKind):
        assert f"`{kind}`" in text
