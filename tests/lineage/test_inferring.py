"""From models to the document: groups, kinds of edges, what could not be read, and rewritten copies of a real model."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample_findings as samples
from safetensors.torch import load_file, save_file

from whorl.comparison.subjects import fingerprint_of
from whorl.core.errors import InputError
from whorl.core.evidence import Direction, Finding, NotComparable
from whorl.core.progress import silent
from whorl.lineage import common_gauge, inferring
from whorl.lineage.document import Lineage
from whorl.lineage.families import MOST_TRIES, find_families, split_group
from whorl.lineage.graphml import to_graphml
from whorl.lineage.inferring import infer_lineage
from whorl.lineage.links import Link, Skeleton
from whorl.lineage.members import Member, Unread, members_of_folder
from whorl.lineage.outline import outline
from whorl.lineage.page import render_page
from whorl.lineage.wording import counted

MODELS = Path(__file__).parents[2] / "demo" / "models"


@pytest.fixture(scope="module")
def members() -> list[Member]:
    found, unread = members_of_folder(MODELS, progress=silent)
    assert unread == []
    return found


def saying(finding: Finding, direction: Direction | None = None) -> Finding:
    return finding.model_copy(
        update={"conclusion": finding.conclusion.model_copy(update={"direction": direction, "direction_reason": "x"})}
    )


def named(lineage: Lineage) -> dict[frozenset[str], str]:
    names = {node.id: node.name for node in lineage.nodes}
    return {frozenset((names[edge.parent], names[edge.child])): edge.kind for edge in lineage.edges}


def stored(members: list[Member]) -> list[Member]:
    return [Member(name=m.name, fingerprint=m.fingerprint, path=None, anatomy=None) for m in members]


EDGES = {
    frozenset(("base", "suspect")): "derived",
    frozenset(("base", "base-q8.gguf")): "derived",
    frozenset(("base", "sibling")): "same_start",
}


def test_the_demo_models_from_their_weights(members: list[Member]) -> None:
    lineage = infer_lineage(members, progress=silent)
    assert named(lineage) == EDGES
    names = {node.id: node.name for node in lineage.nodes}
    assert {names[single] for single in lineage.singles} == {"student", "twin"}
    assert [len(group) for group in lineage.groups] == [4]
    assert all(node.access == "weights" for node in lineage.nodes)


def test_the_demo_models_from_their_fingerprints(members: list[Member]) -> None:
    lineage = infer_lineage(stored(members), progress=silent)
    assert named(lineage).keys() == EDGES.keys()
    assert all(node.access == "fingerprint" for node in lineage.nodes)


def test_where_one_has_no_weights_its_group_is_laid_out_by_fingerprints(members: list[Member]) -> None:
    mixed = [*members[:1], *stored(members[1:])]
    assert named(infer_lineage(mixed, progress=silent)).keys() == EDGES.keys()


def test_a_wide_model_seen_through_a_projection_gives_the_same_edges(
    members: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_gauge, "BASIS", 48)
    assert named(infer_lineage(members, progress=silent)).keys() == EDGES.keys()


def test_what_neighbours_are_found_to_be_decides_the_kind(members: list[Member]) -> None:
    def compare_pair(parent: Member, child: Member) -> Finding:
        assert parent.name != child.name
        return samples.inconclusive()

    lineage = infer_lineage(members, progress=silent, compare_pair=compare_pair)
    assert set(named(lineage).values()) == {"undecided"}
    assert all(edge.confidence <= 0.5 and not edge.directed for edge in lineage.edges)


def test_directions_of_pairs_orient_the_tree(members: list[Member]) -> None:
    def compare_pair(parent: Member, child: Member) -> Finding:
        # Whatever is asked, the suspect came first.
        older = {"suspect": 0.98}.get(parent.name, 0.02 if child.name == "suspect" else 0.5)
        direction = Direction(questioned_from_reference=older, reference_from_questioned=1 - older, common_ancestor=0.0)
        return saying(samples.derived(), direction)

    lineage = infer_lineage(members, progress=silent, compare_pair=compare_pair)
    names = {node.id: node.name for node in lineage.nodes}
    directed = {(names[edge.parent], names[edge.child]) for edge in lineage.edges if edge.directed}
    assert ("suspect", "base") in directed
    assert {("base", "sibling"), ("base", "base-q8.gguf")} <= directed


def test_the_same_models_give_the_same_document(members: list[Member]) -> None:
    assert infer_lineage(members, progress=silent) == infer_lineage(members, progress=silent)


def test_no_readable_model_is_an_error_that_says_why() -> None:
    with pytest.raises(InputError, match=r"at least one model.*torn: cut short"):
        infer_lineage([], [Unread(name="torn", problem="cut short")], progress=silent)


def test_one_model_is_a_single(members: list[Member]) -> None:
    lineage = infer_lineage(members[:1], [Unread(name="torn", problem="cut short")], progress=silent)
    assert lineage.edges == ()
    assert len(lineage.singles) == 1
    assert lineage.unread[0].name == "torn"


def test_groups_are_found_without_comparing_every_pair(members: list[Member]) -> None:
    fingerprint = fingerprint_of(MODELS / "base", progress=silent)
    copies = [replace(fingerprint) for _ in range(24)]  # equal, and told apart by identity
    family = {id(copy): number % 2 for number, copy in enumerate(copies)}
    asked = 0

    def compare(one: object, other: object) -> Finding:
        nonlocal asked
        asked += 1
        return samples.derived() if family[id(one)] == family[id(other)] else samples.none_found()

    found = find_families(copies, compare, progress=silent)  # type: ignore[arg-type]
    assert [len(group) for group in found.groups] == [12, 12]
    assert found.compared == asked
    assert asked < 24 * 23 / 2
    assert asked >= 22 + MOST_TRIES


def test_pairs_that_nothing_links_are_named_with_the_reason(members: list[Member]) -> None:
    blind = samples.inconclusive()
    reason = "the models share 0 anchor tokens"
    evidence = {"tier": "T3", "method": "two_view_agreement/1", "reason": "no_shared_vocabulary", "detail": reason}
    blind = blind.model_copy(
        update={
            "evidence": (NotComparable.model_validate(evidence),),
            "layers": (),
            "conclusion": blind.conclusion.model_copy(update={"log10_p": None}),
        }
    )
    found = find_families([m.fingerprint for m in members[:3]], lambda _one, _other: blind, progress=silent)
    assert len(found.groups) == 3
    assert {pair.reason for pair in found.blind} == {reason}


def test_rewritten_copies_lie_where_their_originals_lie(members: list[Member]) -> None:
    by_name = {member.name: member.anatomy for member in members}
    models = [by_name[name] for name in ("base", "suspect", "sibling")]
    geometry, placed = common_gauge.lay_checkpoints(models, 0, jobs=1, progress=silent)  # type: ignore[arg-type]
    assert placed == (0, 1, 2)
    states = [characters["rotation"] for characters in geometry.characters]
    assert states[0] == states[2] != states[1]
    rows = geometry.products[np.isfinite(geometry.products).all(axis=(1, 2))].sum(axis=0)
    square = np.diagonal(rows)
    distance = square[:, None] + square[None] - 2 * rows
    assert distance[0, 1] < 0.1 * square[0]  # rotated, permuted, rescaled and trained on, yet close
    assert distance[0, 2] > 2 * distance[0, 1]


def test_runs_of_one_start_and_partners_of_a_merge_are_families_apart() -> None:
    # 0 to 2 continue one run, 3 and 4 another one from the same start, 5 is a stranger whose weights went into 2.
    run = [0, 0, 0, 1, 1, 2]

    def compare(one: int, other: int) -> Finding:
        if run[one] == run[other] or {one, other} == {2, 5}:
            return samples.derived()
        return samples.none_found() if 2 in (run[one], run[other]) else samples.shared_initialisation()

    split = split_group([1, 0, 2, 3, 5, 4], lambda some: some[0], compare, compare)
    assert [set(family.members) for family in split.families] == [{0, 1, 2}, {3, 4}, {5}]
    assert [(one, other) for one, other, _ in split.between] == [(0, 1)]
    assert split.merged_in == ((2, 2),)


@pytest.mark.parametrize("holds_some", [True, False])
def test_a_model_alone_that_resembles_many_is_their_parent_unless_it_holds_some_of_their_family(
    holds_some: bool,
) -> None:
    """A merge that holds little of a family is not seen from every member, and must not turn them into merges."""

    def compare(one: int, other: int) -> Finding:
        if 4 in (one, other):
            return samples.derived() if {one, other} & {1, 2, 3} else samples.none_found()
        return samples.derived()

    def closer(one: int, other: int) -> Finding:
        assert (one, other) == (4, 0)
        return samples.derived() if holds_some else samples.none_found()

    split = split_group([0, 1, 2, 3, 4], lambda some: some[0], compare, closer)
    assert [set(family.members) for family in split.families] == [{0, 1, 2, 3}, {4}]
    assert split.merged_in == (((0, 4),) if holds_some else ((1, 1), (1, 2), (1, 3)))


def test_families_between_which_nothing_was_seen_get_no_edge() -> None:
    """A comparison that could see nothing is no relation, though both hold weights of a third model."""
    blind = samples.inconclusive()
    blind = blind.model_copy(update={"layers": (), "conclusion": blind.conclusion.model_copy(update={"log10_p": None})})

    def compare(one: int, other: int) -> Finding:
        return samples.derived() if 1 in (one, other) else blind

    split = split_group([0, 1, 2], lambda some: some[0], compare, compare)
    assert [set(family.members) for family in split.families] == [{0, 1}, {2}]
    assert split.between == ()
    assert split.merged_in == ((1, 1),)


def tree(*links: tuple[int, int], models: int, nodes: int) -> Skeleton:
    return Skeleton(
        models=models,
        nodes=nodes,
        origin=0,
        drift=0.0,
        links=tuple(Link(near=near, far=far, kind="derived", share=None, confidence=0.9) for near, far in links),
    )


def test_an_unseen_ancestor_is_not_taken_for_trained_weights(members: list[Member]) -> None:
    """It may be what two runs started from: models on either side of the edge are compared."""
    named_members = [replace(member, name=name) for member, name in zip(members, "abcdef", strict=False)]
    # a - u - b and u - v - c: b and c are runs of a's start, c's side shares no more than that with the others.
    skeleton = tree((0, 4), (4, 1), (4, 5), (5, 2), (5, 3), models=4, nodes=6)
    asked = []

    def compare_pair(parent: Member, child: Member) -> Finding:
        asked.append({parent.name, child.name})
        apart = len({"c", "d"} & {parent.name, child.name}) == 1
        return samples.shared_initialisation() if apart else samples.derived()

    found = inferring._compare_neighbours(skeleton, named_members, compare_pair, silent)
    kinds = {(link.near, link.far): inferring._kind(finding) for link, finding in found.items()}
    assert kinds == {(0, 4): "derived", (4, 1): "derived", (4, 5): "same_start", (5, 2): "derived", (5, 3): "derived"}
    assert all(len(names) == 2 for names in asked)


def test_what_no_comparison_stands_behind_is_undecided() -> None:
    assert inferring._kind(None) == "undecided"
    assert inferring._kind(samples.none_found()) == "undecided"
    assert inferring._kind(samples.inconclusive()) == "undecided"
    assert inferring._kind(samples.shared_initialisation()) == "same_start"


@pytest.mark.parametrize(("relation", "kind"), [("derived", "merge"), ("inconclusive", "undecided")])
def test_weights_of_two_families_are_a_merge_only_where_trained_ones_are_shared(
    relation: str, kind: str, tmp_path: Path
) -> None:
    ours, theirs = (load_file(MODELS / name / "model.safetensors") for name in ("base", "twin"))
    for name in ("base", "twin", "blend"):
        shutil.copytree(MODELS / ("base" if name == "blend" else name), tmp_path / name)
    halves = {name: (tensor.float() + theirs[name].float()) / 2 for name, tensor in ours.items()}
    save_file(halves, tmp_path / "blend" / "model.safetensors")
    members, _ = members_of_folder(tmp_path, progress=silent)
    # Layers have counterparts either way: the two are related.
    finding = samples.derived()
    conclusion = finding.conclusion.model_copy(update={"relation": relation})
    finding = finding.model_copy(update={"conclusion": conclusion})
    lineage = infer_lineage(members, progress=silent, compare_pair=lambda _parent, _child: finding)
    kinds = named(lineage)
    assert len(kinds) == 2
    assert kind in (kinds[frozenset(("blend", "base"))], kinds[frozenset(("blend", "twin"))])
    assert ("merge" in kinds.values()) == any(edge.directed for edge in lineage.edges) == (kind == "merge")


def test_runs_of_one_start_are_no_descent_in_any_form(members: list[Member]) -> None:
    siblings = [member for member in members if member.name in ("base", "sibling")]
    lineage = infer_lineage(siblings, progress=silent)
    (edge,) = lineage.edges
    assert (edge.kind, edge.directed) == ("same_start", False)
    assert all(row.depth == 0 for row in outline(lineage))
    assert "trained apart: no descent" in to_graphml(lineage).decode()
    assert counted(lineage.edges) == "0 relations by trained weights, 1 by a common start alone"
    page = " ".join(render_page(lineage).split())
    assert "0 relations by trained weights, 1 by a common start alone, in 1 group" in page
    drawn = re.findall(r'<path class="(edge [^"]*)"( data-descent)? data-parent', page)
    assert drawn == [("edge same_start", "")]
    assert 'class="arrow' not in page
