"""The main job: models in, their lineage out.

Fingerprints say which models belong together. Within each group the models are laid over one of them, their squared
distances give a tree without a root, the pairs that ended up as neighbours are compared as `whorl compare` does, and
what those comparisons know of direction orients the whole.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Final

import numpy as np

from whorl import __version__
from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.errors import InputError
from whorl.core.evidence import Direction, Finding
from whorl.core.progress import Progress, silent
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.fingerprints.weight_fingerprint import JOBS, WeightFingerprint
from whorl.lineage.common_gauge import BASIS, NEURONS, SEED, lay_checkpoints
from whorl.lineage.document import SCHEMA, TRAINED, Edge, EdgeKind, Lineage, Node, NotCompared, UnreadMember
from whorl.lineage.families import Family, find_families, split_group
from whorl.lineage.geometry import Geometry
from whorl.lineage.links import Link, Skeleton
from whorl.lineage.members import Member, Unread
from whorl.lineage.rooting import Oriented, orient
from whorl.lineage.stored_gauge import lay_fingerprints
from whorl.lineage.tree import infer_tree

ComparePair = Callable[[Member, Member], Finding]

OPEN: Final = 0.5  # confidence of an edge whose pairwise test is inconclusive, or that was not laid out with the others
COMPARED: Final = 0.9
MERGED_IN: Final = (
    "The child holds weights of two families that have nothing in common: it was merged from both. Which member of the "
    "other family went in was not asked."
)
MERGED_UNDECIDED: Final = (
    "One model holds weights of two families that have nothing in common. Whether those of this family are trained "
    "weights, or only those that its runs started from, is open."
)
PLACED: Final = "One end is not among the models: its place follows from the distances between those that are."
COMMON_ANCESTOR: Final = 0.8
SAME_SIGNS: Final = 0.7  # of one neuron's signature in two related models; half of them agree by chance

LIMITS: Final = (
    "Speaks of weights only: a model that learned from another's answers has no edge to it.",
    'An edge of the kind "derived" says "derived from, or shares trained weights with". The kinds "same_start" and '
    '"undecided" say no such thing and are no descent: public seeds and shared code give one start to strangers.',
    "No edge says who did what, when, or with whose leave.",
    "A model that is not among these cannot appear by name: an edge may pass over any number of missing steps.",
    "Runs from one model on similar text drift the same way; where they do, a light step between two others is passed "
    "over, with a lower confidence.",
)


def infer_lineage(
    members: Sequence[Member],
    unread: Sequence[Unread] = (),
    *,
    progress: Progress,
    compare_pair: ComparePair | None = None,
    jobs: int = JOBS,
) -> Lineage:
    """The lineage of some models.

    Parameters
    ----------
    members : at least one; those whose weights are at hand are compared by them where all of their group are
    unread : what could not be read, to be named in the document
    compare_pair : how two neighbours are compared, `whorl.comparison.comparing` unless another way is given

    Raises
    ------
    InputError
        If there is no model.
    """
    if not members:
        problems = "".join(f"; {item.name}: {item.problem}" for item in unread[:3])
        raise InputError(f"expected at least one model that can be read, found none{problems}")
    families = find_families([m.fingerprint for m in members], _compare_stored, progress=progress)
    drawing = _Drawing(members)
    for group in families.groups:
        if len(group) > 1:
            drawing.groups.append([])
            _draw_group(drawing, group, compare_pair or _compare, progress, jobs)
    names = drawing.ids
    return Lineage(
        schema=SCHEMA,
        whorl_version=__version__,
        nodes=tuple(drawing.nodes),
        edges=tuple(drawing.edges),
        groups=tuple(sorted(map(tuple, drawing.groups), key=lambda group: (-len(group), group))),
        singles=tuple(names[group[0]] for group in families.groups if len(group) == 1),
        not_compared=tuple(
            NotCompared(one=names[pair.one], other=names[pair.other], reason=pair.reason) for pair in families.blind
        ),
        unread=tuple(UnreadMember(name=item.name, problem=item.problem) for item in unread),
        limits=LIMITS,
        parameters={
            "seed": SEED,
            "basis": BASIS,
            "neurons_per_layer": NEURONS,
            "fingerprints_compared": families.compared,
            **drawing.parameters,
        },
    )


def _compare(parent: Member, child: Member) -> Finding:
    """The child in the place of the questioned model."""
    if parent.path is not None and child.path is not None:
        return compare(child.path, parent.path, progress=silent, with_power=False)
    return _compare_stored(child.fingerprint, parent.fingerprint)


def _compare_stored(questioned: WeightFingerprint, reference: WeightFingerprint) -> Finding:
    return compare_fingerprints(questioned, reference, with_power=False)


class _Drawing:
    """The document as it grows."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.ids = [f"m{number}" for number in range(1, len(members) + 1)]
        self.nodes = [
            Node(
                id=identifier,
                name=member.name,
                kind="model",
                digest=member.fingerprint.digest,
                description=member.fingerprint.header.description,
                access="fingerprint" if member.anatomy is None else "weights",
                remark=member.remark,
            )
            for identifier, member in zip(self.ids, members, strict=True)
        ]
        self.edges: list[Edge] = []
        self.groups: list[list[str]] = []
        self.parameters: dict[str, int | float | str] = {}
        self._unseen = 0

    def unseen(self) -> str:
        """A new node for an ancestor that is not among the models."""
        self._unseen += 1
        identifier = f"u{self._unseen}"
        name = f"unseen ancestor {self._unseen}"
        self.nodes.append(Node(id=identifier, name=name, kind="unseen", digest=None, description=None, access=None))
        return identifier


def _draw_group(
    drawing: _Drawing, group: Sequence[int], compare_pair: ComparePair, progress: Progress, jobs: int
) -> None:
    members = drawing.members

    def compare_models(questioned: int, reference: int) -> Finding:
        found = _compare_stored(members[questioned].fingerprint, members[reference].fingerprint)
        # A start alone is a finding that splits a family: where there are weights, they decide.
        split = found.conclusion.relation == "shared_initialisation"
        return compare_pair(members[reference], members[questioned]) if split else found

    split = split_group(
        group,
        lambda some: some[_hub([members[number] for number in some])],
        compare_models,
        lambda questioned, reference: compare_pair(members[reference], members[questioned]),
    )
    families = split.families
    merged_in = {
        model: (families[place].hub, compare_pair(members[families[place].hub], members[model]))
        for place, model in split.merged_in
    }
    for family in families:
        drawing.groups[-1] += _draw_family(drawing, family, set(merged_in), compare_pair, progress, jobs)
    first = {family.hub: _first_of(family, drawing) for family in families}
    for earlier, later, finding in split.between:
        one, other = (first[families[place].hub] for place in (earlier, later))
        drawing.edges.append(_plain_edge(one, other, _kind(finding), finding.conclusion.statement))
    for model, (hub, finding) in merged_in.items():
        child = drawing.ids[model]
        if _kind(finding) in TRAINED:
            drawing.edges.append(_plain_edge(first[hub], child, "merge", MERGED_IN))
        else:
            drawing.edges.append(_plain_edge(first[hub], child, "undecided", MERGED_UNDECIDED))


def _first_of(family: Family, drawing: _Drawing) -> str:
    """The model that its family hangs on, as far as directions go."""
    below = {edge.child for edge in drawing.edges}
    ids = [drawing.ids[number] for number in family.members]
    return next((identifier for identifier in ids if identifier not in below), drawing.ids[family.hub])


def _draw_family(
    drawing: _Drawing,
    family: Family,
    merged_in: Set[int],
    compare_pair: ComparePair,
    progress: Progress,
    jobs: int,
) -> list[str]:
    """Draw the tree of one family; the ids of its nodes."""
    members = [drawing.members[number] for number in family.members]
    own = [drawing.ids[number] for number in family.members]
    if len(members) == 1:
        return own
    geometry, placed = _lay(members, family.members.index(family.hub), jobs, progress)
    ids = [own[place] for place in placed]
    if len(placed) > 1:
        skeleton = infer_tree(geometry)
        drawing.parameters[f"drift_around_{drawing.ids[family.hub]}"] = round(skeleton.drift, 4)
        merged = {node for node, place in enumerate(placed) if family.members[place] in merged_in}
        skeleton = _with_known_partners(skeleton, merged)
        ids += [drawing.unseen() for _ in range(skeleton.nodes - skeleton.models)]
        findings = _compare_neighbours(skeleton, [members[place] for place in placed], compare_pair, progress)
        drawing.edges += _edges(skeleton, findings, geometry, ids, merged)
    for place in sorted(set(range(len(members))) - set(placed)):
        detail = "Could not be laid over the others of its family, and stands beside the one it was compared with."
        drawing.edges.append(_plain_edge(drawing.ids[family.hub], own[place], "undecided", detail))
    return own + [identifier for identifier in ids if identifier.startswith("u")]


def _with_known_partners(skeleton: Skeleton, merged: Set[int]) -> Skeleton:
    """Without what distances within the family made of models that were merged with another family.

    Several of them lie on one way that leads out of the family: each seems a mean of the next two, or to share an
    unseen partner.
    """
    links = [
        link
        for link in skeleton.links
        if not (link.kind == "merge" and link.far in merged and (link.near in merged or link.near >= skeleton.models))
    ]
    left = {end for link in links for end in (link.near, link.far)} | set(range(skeleton.models))
    number = {node: place for place, node in enumerate(sorted(left))}
    return replace(
        skeleton,
        nodes=len(number),
        origin=number[skeleton.origin],
        links=tuple(
            replace(
                link,
                near=number[link.near],
                far=number[link.far],
                share=None if link.far in merged else link.share,  # it was a share among the wrong parents
            )
            for link in links
        ),
    )


def _lay(members: Sequence[Member], hub: int, jobs: int, progress: Progress) -> tuple[Geometry, tuple[int, ...]]:
    anatomies = [member.anatomy for member in members if member.anatomy is not None]
    if len(anatomies) == len(members):
        return lay_checkpoints(anatomies, hub, jobs=jobs, progress=progress)
    return lay_fingerprints([member.fingerprint for member in members], hub, progress=progress)


def _hub(members: Sequence[Member]) -> int:
    """The model over which the others are laid: of the commonest shape, and nearest to the others of it."""
    shapes = [
        (
            member.fingerprint.header.architecture,
            member.fingerprint.header.width,
            member.fingerprint.header.blocks,
            member.fingerprint.header.vocabulary.unordered or member.fingerprint.header.vocabulary.size,
        )
        for member in members
    ]
    common = max(shapes, key=shapes.count)
    alike = [number for number, shape in enumerate(shapes) if shape == common]
    vectors = np.stack([members[number].fingerprint.search_vector() for number in alike]).astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    # In the thick of one family, not between several: a merge is near to all and close to nobody.
    nearest = np.sort(vectors @ vectors.T, axis=1)[:, -max(2, len(alike) // 3) :]
    nearness = nearest.mean(axis=1)
    # Whoever has its neurons where most have theirs spares the others a rotation.
    first = [members[number].fingerprint.view().neurons[0] for number in alike]
    in_place = [sum(_in_one_order(ours, theirs) for theirs in first) for ours in first]
    likely = [place for place in range(len(alike)) if 2 * in_place[place] >= max(in_place)]
    return alike[max(likely, key=lambda place: (nearness[place], -place))]


def _in_one_order(ours: NeuronSignatures, theirs: NeuronSignatures) -> bool:
    _, left, right = np.intersect1d(ours.index, theirs.index, return_indices=True)
    return len(left) > 0 and float(np.mean(ours.gate[left] == theirs.gate[right])) > SAME_SIGNS


def _compare_neighbours(
    skeleton: Skeleton, members: Sequence[Member], compare_pair: ComparePair, progress: Progress
) -> dict[Link, Finding]:
    """For every link by descent the finding on its two ends, the far one in the place of the questioned model.

    In the place of an end that is unseen stands the nearest model beyond it: distances alone do not tell whether what
    is shared was trained, or is what all of them started from.
    """
    by_descent = [link for link in skeleton.links if link.kind == "derived"]
    wanted: dict[Link, tuple[int, int]] = {}
    for link in by_descent:
        others = [other for other in by_descent if other != link]
        near, far = (_nearest_model(end, others, skeleton.models) for end in (link.near, link.far))
        if near is not None and far is not None:
            wanted[link] = near, far
    found: dict[tuple[int, int], Finding] = {}
    for done, (near, far) in enumerate(wanted.values(), 1):
        if (near, far) not in found:
            found[near, far] = compare_pair(members[near], members[far])
        progress("comparing neighbours", done, len(wanted))
    return {link: found[ends] for link, ends in wanted.items()}


def _nearest_model(end: int, links: Sequence[Link], models: int) -> int | None:
    """The model that the fewest of these links lead to from a node; None where none does."""
    reached = [end]
    for node in reached:
        if node < models:
            return node
        for link in links:
            if node in (link.near, link.far):
                reached += [other for other in (link.near, link.far) if other not in reached]
    return None


def _edges(
    skeleton: Skeleton,
    findings: Mapping[Link, Finding],
    geometry: Geometry,
    ids: Sequence[str],
    merged: Set[int],
) -> list[Edge]:
    kinds = {link: _kind(findings.get(link)) for link in skeleton.links if link.kind == "derived"}
    oriented = _oriented(skeleton, [link for link, kind in kinds.items() if kind == "derived"], findings)
    edges = []
    for link in skeleton.links:
        kind: EdgeKind = "merge" if link.kind == "merge" else kinds[link]
        found = oriented.get(link)
        if found is not None and found.claimed and found.ends[1] in merged:
            kind = "merge"
        near, far = (link.near, link.far) if found is None else found.ends
        sure = min(link.confidence, OPEN) if kind == "undecided" else link.confidence
        edges.append(
            Edge(
                parent=ids[near],
                child=ids[far],
                kind=kind,
                share=None if link.share is None else round(min(max(link.share, 0.0), 1.0), 4),
                confidence=round(sure, 4),
                directed=kind == "merge" or (found is not None and found.claimed),
                direction_confidence=None if found is None else round(found.probability, 4),
                distance=_distance(geometry, link, skeleton.models),
                detail=_detail(kind, findings.get(link), seen=max(link.near, link.far) < skeleton.models),
            )
        )
    return edges


def _kind(finding: Finding | None) -> EdgeKind:
    """What an edge may say, by the comparison behind it."""
    if finding is None:
        return "undecided"
    match finding.conclusion.relation:
        case "identical" | "derived":
            direction = finding.conclusion.direction
            return "shares_ancestor" if direction and direction.common_ancestor > COMMON_ANCESTOR else "derived"
        case "shared_initialisation":
            return "same_start"
        case "none_found" | "inconclusive":
            return "undecided"


def _oriented(skeleton: Skeleton, links: Sequence[Link], findings: Mapping[Link, Finding]) -> dict[Link, Oriented]:
    """Directions of all edges by descent: what hangs on a merge comes after it, every other tree is rooted."""
    merged = {link.far for link in skeleton.links if link.kind == "merge"}
    # A finding on models beyond an unseen end says nothing of which end came first.
    between = {
        (link.near, link.far): finding
        for link, finding in findings.items()
        if max(link.near, link.far) < skeleton.models
    }

    def direction(questioned: int, reference: int) -> Direction | None:
        if (reference, questioned) in between:
            return between[reference, questioned].conclusion.direction
        turned = between.get((questioned, reference))
        return None if turned is None else _exchanged(turned.conclusion.direction)

    found: dict[Link, Oriented] = {}
    left = list(links)
    while left:
        nodes, tree = _connected(left)
        left = [link for link in left if link not in tree]
        if merged & set(nodes):
            found |= {link: Oriented(ends=(link.near, link.far), probability=1.0) for link in tree}
        else:
            turned, _ = orient(nodes, [(link.near, link.far) for link in tree], direction, models=skeleton.models)
            found |= dict(zip(tree, turned, strict=True))
    return found


def _connected(links: Sequence[Link]) -> tuple[list[int], list[Link]]:
    """The nodes and links that hang together with the first link."""
    nodes, tree = [links[0].near], []
    for node in nodes:
        for link in links:
            if node in (link.near, link.far) and link not in tree:
                tree.append(link)
                nodes += [end for end in (link.near, link.far) if end not in nodes]
    return nodes, tree


def _exchanged(direction: Direction | None) -> Direction | None:
    if direction is None:
        return None
    return Direction(
        questioned_from_reference=direction.reference_from_questioned,
        reference_from_questioned=direction.questioned_from_reference,
        common_ancestor=direction.common_ancestor,
    )


def _distance(geometry: Geometry, link: Link, models: int) -> float | None:
    if max(link.near, link.far) >= models:
        return None
    ends = [link.near, link.far]
    products = geometry.products[:, ends][:, :, ends].astype(np.float64)
    products = products[np.isfinite(products).all(axis=(1, 2))].sum(axis=0)
    length = (products[0, 0] + products[1, 1]) / 2
    return round(max(float(2 * length - 2 * products[0, 1]), 0.0) / float(length), 8) if length > 0 else None


def _detail(kind: EdgeKind, finding: Finding | None, *, seen: bool) -> str:
    if kind == "merge" and finding is None:
        return "The child's weights are a weighted sum of its parents'."
    if finding is None:
        return PLACED
    statement = finding.conclusion.statement
    if seen:
        return statement
    return f"{PLACED} Of {finding.questioned.name} and {finding.reference.name}, on either side of it: {statement}"


def _plain_edge(parent: str, child: str, kind: EdgeKind, detail: str) -> Edge:
    """An edge that rests on a comparison of two models, not on distances among many."""
    return Edge(
        parent=parent,
        child=child,
        kind=kind,
        share=None,
        confidence=OPEN if kind == "undecided" else COMPARED,
        directed=kind == "merge",
        direction_confidence=None,
        distance=None,
        detail=detail,
    )
