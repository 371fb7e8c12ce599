"""From models to the document: groups, kinds of edges, what could not be read, and rewritten copies of a real model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample_findings as samples

from whorl.comparison.subjects import fingerprint_of
from whorl.core.errors import InputError
from whorl.core.evidence import Direction, Finding, NotComparable
from whorl.core.progress import silent
from whorl.lineage import common_gauge
from whorl.lineage.document import Lineage
from whorl.lineage.families import MOST_TRIES, find_families, split_group
from whorl.lineage.inferring import infer_lineage
from whorl.lineage.members import Member, Unread, members_of_folder

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
    assert set(named(lineage).values()) == {"shares_ancestor"}
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

    split = split_group([1, 0, 2, 3, 5, 4], lambda some: some[0], compare)
    assert [set(family.members) for family in split.families] == [{0, 1, 2}, {3, 4}, {5}]
    assert [(one, other) for one, other, _ in split.between] == [(0, 1)]
    assert split.merged_in == ((2, 2),)
