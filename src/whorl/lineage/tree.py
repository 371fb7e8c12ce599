"""The tree behind squared distances: who hangs on whom, where an unseen ancestor was, and what is a merge.

What one training run adds to weights is nearly orthogonal to what another adds, so squared distances are additive along
the tree and inner products of changes from an origin are lengths of shared path. Two things spoil this in practice and
are allowed for: runs from one model on similar text drift the same way (their changes have a positive cosine without a
common ancestor), and the level of that drift is estimated from the models at hand; and edits that training cannot undo
(another order of layers, another vocabulary) rule ancestors out.

The tree is inferred as hanging from an origin, the model that the others' changes point away from. That is a place to
start from, not yet the root: see `whorl.lineage.rooting`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from whorl.lineage.changes import (
    MANY,
    Changes,
    above_diagonal,
    changes_from,
    cosines,
    drift_of,
    least_majority,
    path_to_unseen_centre,
)
from whorl.lineage.descent import SURE, Placed, descend
from whorl.lineage.fit import misfit
from whorl.lineage.geometry import Distances, Geometry, common_distances, coverage, distances_by_model
from whorl.lineage.links import Link, Skeleton
from whorl.lineage.merging import Merge, as_a_sum, on_a_line, on_ray_of
from whorl.lineage.unseen import Group, grouped

ALIKE: Final = 1e-3  # of the typical squared distance: below, models are looked at apart from the others
LEAST_SHARED: Final = 0.08  # cosine below which no unseen ancestor is inserted, whatever the drift
MOST_SHARED: Final = 0.97
BEYOND_DRIFT: Final = 4.0
SAME_PLACE: Final = 0.15  # two unseen ancestors this near to each other, relative to the path to them, are one
SAME_PLACE_WITHOUT_DRIFT: Final = 0.1
ENOUGH: Final = 3
ADDITIVE: Final = 0.03  # misfit up to which a tree without drift explains the distances
MOST_UNSEEN: Final = 1 / 3  # of the models: with more unseen ancestors, any distances fit
FEW: Final = 5  # models: nearly any distances between so few fit a tree
DRIFT_OF_FEW: Final = 0.1
SIBLINGS_QUANTILE: Final = 0.9  # many models of one parent were only rounded or pruned, which drifts nowhere
TYPICAL: Final = 0.25
TIE: Final = 0.002
RAY_SURE: Final = 0.9


def infer_tree(geometry: Geometry) -> Skeleton:
    """The tree of at least two related models.

    References
    ----------
    Buneman, The recovery of trees from measures of dissimilarity, 1971 (additive distances); Choi, Tan, Anandkumar and
    Willsky, Learning latent tree graphical models, 2011 (observed and unseen nodes together).
    """
    common = common_distances(geometry)
    free = _Inference(geometry, drift=0.0).skeleton()
    few = len(common.members) <= FEW
    plain = free.nodes - free.models <= MOST_UNSEEN * free.models
    if plain and not few and misfit(common.total, common.members, free.links) <= ADDITIVE:
        return free
    first = _Inference(geometry, drift=None)
    tree = first.skeleton()
    # Among models of one parent alone, drift is not mixed up with shared ancestors.
    drift = max(first.drift_among_siblings(), DRIFT_OF_FEW if few else 0.0)
    return tree if drift >= first.drift else _Inference(geometry, drift=drift).skeleton()


class _Inference:
    """One run: the tables that every decision looks at, and the decisions made so far.

    Models at one place (copies that were only rewritten) are represented by one of them until the tree stands.
    """

    def __init__(self, geometry: Geometry, *, drift: float | None) -> None:
        self.geometry = geometry
        self.covers = coverage(geometry)
        self.seen = distances_by_model(geometry)
        self.twins = self._twins()
        self.distinct = sorted(self.twins)
        self.origin = self._origin()
        self.own: dict[int, Changes] = {}
        whole = self._distinct(self.seen[self.origin])
        shared = path_to_unseen_centre(changes_from(self.origin, whole))
        self.unseen_centre = shared > 0
        self.drift = drift_of(changes_from(self.origin, whole, shared=shared)) if drift is None else drift
        self.merges: dict[int, Merge] = {}
        self.rays: list[tuple[int, list[int]]] = []
        self.parents: dict[int, tuple[int, float]] = {}
        self.order = self._order()

    def skeleton(self) -> Skeleton:
        for model in self.order:
            if found := self._on_a_line(model):
                self.merges[model] = found
        self._set_rays_apart()
        placed = {*self.merges, *(model for _, members in self.rays for model in members)}
        for model in self.order:
            if model not in placed:
                parent = self._parent(model)
                summed = self._as_a_sum(model) if parent[0] == self.origin else None
                if summed is None:
                    self.parents[model] = parent
                else:
                    self.merges[model] = summed
        links, unseen = self._links()
        return Skeleton(
            models=self.geometry.models,
            nodes=self.geometry.models + len(unseen),
            origin=unseen[0] if self.unseen_centre else self.origin,
            drift=self.drift,
            links=tuple(links),
        )

    def drift_among_siblings(self) -> float:
        """Drift of models that were found to hang on one node, measured from that node."""
        found: list[float] = []
        for parent in self.distinct:
            distances = self._distinct(self.seen[parent])
            below = [m for m, (above, _) in self.parents.items() if above == parent and m in distances.members]
            if len(below) > 1 and parent in distances.members:
                shared = self.own[id(self.seen[parent])].shared if parent == self.origin else 0.0
                changes = changes_from(parent, distances, shared=shared)
                places = [changes.place(m) for m in below]
                found += above_diagonal(cosines(changes.products[np.ix_(places, places)])).tolist()
        return float(max(0.0, np.quantile(found, SIBLINGS_QUANTILE))) if len(found) >= ENOUGH else self.drift

    # -- models at one place, and where to start -----------------------------------------------------------------

    def _twins(self) -> dict[int, list[int]]:
        """Models at one place, under the one that fewest edits separate from everybody."""
        every = range(self.geometry.models)
        edits = [sum(self._edits(model, other) for other in every) for model in every]
        found: dict[int, list[int]] = {}
        for model in sorted(every, key=lambda m: (edits[m], m)):
            same = next((first for first in found if self._at_one_place(first, model)), None)
            found.setdefault(model if same is None else same, []).append(model)
        return found

    def _at_one_place(self, one: int, other: int) -> bool:
        distances = self.seen[other]
        if one not in distances.members or not self.covers[other, one]:
            return False
        typical = float(np.median(above_diagonal(distances.total)))
        return distances.between(one, other) <= ALIKE * typical

    def _origin(self) -> int:
        """The model that the others' changes point away from in different directions."""
        common = common_distances(self.geometry)
        members = self._inside(common)
        if len(members) < ENOUGH:
            return (members or self.distinct)[0]
        table = common.among(members).total
        edits = [sum(self._edits(model, other) for other in members) for model in members]
        # Whoever was edited in a way that the others were not is not what they come from.
        typical = [place for place, count in enumerate(edits) if count - min(edits) <= TYPICAL * len(members)]
        return members[max(typical, key=lambda place: (least_majority(table, place), -place))]

    def _inside(self, distances: Distances) -> list[int]:
        return [member for member in distances.members if member in self.twins]

    def _distinct(self, distances: Distances) -> Distances:
        return distances.among(self._inside(distances))

    def changes_seen_by(self, model: int) -> Changes | None:
        """Changes on the rows that the model has; None where the origin lacks rows of it."""
        if self.origin not in self.seen[model].members:
            return None
        key = id(self.seen[model])  # models with the same rows share their table
        if key not in self.own:
            distances = self._distinct(self.seen[model])
            shared = path_to_unseen_centre(changes_from(self.origin, distances)) if self.unseen_centre else 0.0
            self.own[key] = changes_from(self.origin, distances, shared=shared)
        return self.own[key]

    def _order(self) -> list[int]:
        """Distinct models but the origin, by their distance from it; equals by how little was edited."""
        keys = []
        for model in self.distinct:
            changes = self.changes_seen_by(model)
            # Blocks weigh the same everywhere, so their mean can be compared between models that lack some.
            length = math.inf if changes is None else changes.length(model) / len(changes.without)
            step = length if not 0 < length < math.inf else round(math.log(length) / TIE)
            keys.append((step, self._edits(self.origin, model), model))
        return [model for *_, model in sorted(keys) if model != self.origin]

    # -- edits that training does not undo -----------------------------------------------------------------------

    def _edits(self, one: int, other: int) -> int:
        ours, theirs = self.geometry.characters[one], self.geometry.characters[other]
        return sum(ours[name] != theirs[name] for name in ours.keys() & theirs.keys())

    def _possible(self, parent: int, child: int) -> bool:
        """Whether the child can continue the parent: it has no rows that the parent lacks, and undoes no edit."""
        if not self.covers[parent, child]:
            return False
        start, ours, theirs = (self.geometry.characters[model] for model in (self.origin, parent, child))
        return all(
            ours[name] == start[name] or theirs[name] != start[name]
            for name in ours.keys() & theirs.keys() & start.keys()
        )

    # -- merges --------------------------------------------------------------------------------------------------

    def _on_a_line(self, model: int) -> Merge | None:
        """The two models of which this one is a weighted mean, by number."""
        changes = self.changes_seen_by(model)
        if changes is None:
            return None
        found = on_a_line(changes.distances.total, changes.place(model), self._may_be_merged(model, changes))
        return None if found is None else self._by_number(found, changes)

    def _as_a_sum(self, model: int) -> Merge | None:
        """The two models of which this one holds parts that make up a whole, by number."""
        changes = self.changes_seen_by(model)
        if changes is None:
            return None
        away = [place for place in self._may_be_merged(model, changes) if changes.members[place] != self.origin]
        found = as_a_sum(changes.products, changes.place(model), away, drift=self.drift)
        return None if found is None else self._by_number(found, changes)

    def _may_be_merged(self, model: int, changes: Changes) -> list[int]:
        on_rays = {member for _, members in self.rays for member in members}
        return [
            place
            for place, other in enumerate(changes.members)
            if other not in (model, *self.merges, *on_rays) and self._possible(other, model)
        ]

    @staticmethod
    def _by_number(found: Merge, changes: Changes) -> Merge:
        return replace(found, first=changes.members[found.first], second=changes.members[found.second])

    def _set_rays_apart(self) -> None:
        """Several models on one way from a model to its child: sums of that model and of one that is not here.

        One alone is taken for what it looks like, a mean of parent and child.
        """
        between: dict[int, set[int]] = {}
        ends: dict[int, set[int]] = {}
        for merged, merge in self.merges.items():
            near, far = sorted((merge.first, merge.second), key=([self.origin, *self.order]).index)
            if self._contains(near, far):
                between.setdefault(near, set()).add(merged)
                ends.setdefault(near, set()).add(far)
        for near, merged_here in between.items():
            changes = changes_from(near, self._distinct(self.seen[near]))
            there = [changes.place(m) for m in sorted(merged_here | ends[near]) if m in changes.members]
            if not there:
                continue
            farthest = there[int(np.argmax(np.diagonal(changes.products)[there]))]
            along = [changes.members[place] for place in on_ray_of(changes.products, farthest, there)]
            if len(merged_here.intersection(along)) >= 2:
                self.rays.append((near, along))
                self.merges = {m: merge for m, merge in self.merges.items() if m not in along}

    def _contains(self, near: int, far: int) -> bool:
        """Whether one model's change from the origin holds the whole of another's, roughly."""
        changes = self.changes_seen_by(far)
        if near == self.origin:
            return True
        if changes is None or near not in changes.members:
            return False
        return bool(changes.products[changes.place(near), changes.place(far)] >= 0.75 * changes.length(near))

    # -- parents -------------------------------------------------------------------------------------------------

    def _parent(self, model: int) -> tuple[int, float]:
        """The node that the model hangs on, and how sure that is; the origin where nothing nearer is established."""
        changes = self.changes_seen_by(model)
        if changes is None:
            return self._nearest(model)
        candidates = [m for m in self.order[: self.order.index(model)] if m in changes.members and m in self.parents]
        if not candidates:
            return self.origin, SURE
        known = Placed(origin=self.origin, drift=self.drift, parents=self.parents, possible=self._possible)
        return descend(model, candidates, changes, known)

    def _nearest(self, model: int) -> tuple[int, float]:
        """For a model with rows that the origin lacks: whoever is nearest on its own rows, with no claim to be sure."""
        members = [m for m in self._inside(self.seen[model]) if m != model]
        if not members:
            return self.origin, 0.5
        return min(members, key=lambda m: self.seen[model].between(m, model)), 0.5

    # -- the finished tree ---------------------------------------------------------------------------------------

    def _links(self) -> tuple[list[Link], list[int]]:
        """All links, and the numbers of the unseen ancestors."""
        links: list[Link] = []
        unseen: list[int] = []
        if self.unseen_centre:
            unseen.append(self.geometry.models)
            sure = 0.9 if len(self._inside(self.seen[self.origin])) > MANY else 0.7
            links.append(self._derived(unseen[0], self.origin, sure))
        for merged, merge in self.merges.items():
            for parent, share in ((merge.first, merge.share), (merge.second, 1 - merge.share)):
                near = self._simplest(parent, merged)
                links.append(Link(near=near, far=merged, kind="merge", share=share, confidence=merge.confidence))
        for near, members in self.rays:
            partner = self.geometry.models + len(unseen)
            unseen.append(partner)
            for member in members:
                links += [
                    Link(near=parent, far=member, kind="merge", share=None, confidence=RAY_SURE)
                    for parent in (self._simplest(near, member), partner)
                ]
        below: dict[int, list[int]] = {}
        for model, (parent, _) in self.parents.items():
            below.setdefault(parent, []).append(model)
        for parent, children in below.items():
            links += self._below(parent, children, unseen)
        for first, twins in self.twins.items():
            links += self._among_twins(first, twins, unseen)
        return links, unseen

    def _among_twins(self, first: int, twins: list[int], unseen: list[int]) -> list[Link]:
        """Links between models at one place: by their own small distances, or by edits where there are none."""
        if len(twins) == self.geometry.models or len(twins) < ENOUGH:
            nearest = [
                min(twins[:n], key=lambda m: (self._edits(m, twins[n]), m != first)) for n in range(1, len(twins))
            ]
            return [self._derived(near, twin, SURE) for near, twin in zip(nearest, twins[1:], strict=True)]
        inner = infer_tree(self.geometry.of(twins))
        numbers = [
            *twins,
            *range(self.geometry.models + len(unseen), self.geometry.models + len(unseen) + inner.nodes - len(twins)),
        ]
        unseen += numbers[len(twins) :]
        return [replace(link, near=numbers[link.near], far=numbers[link.far]) for link in inner.links]

    def _below(self, parent: int, children: Sequence[int], unseen: list[int]) -> list[Link]:
        """Links to the children of one node, with an unseen ancestor wherever some of them share more than drift."""
        hidden = parent == self.origin and self.unseen_centre
        changes = self.changes_seen_by(parent) if hidden else None
        if changes is None:
            changes = changes_from(parent, self._distinct(self.seen[parent]))
        inner = [child for child in children if child in changes.members]
        places = [changes.place(child) for child in inner]
        least = min(MOST_SHARED, max(LEAST_SHARED, BEYOND_DRIFT * self.drift))
        groups = grouped(
            changes.products[np.ix_(places, places)],
            least=least,
            same_place=SAME_PLACE if self.drift else SAME_PLACE_WITHOUT_DRIFT,
        )
        numbers = {}
        for group in groups:
            numbers[group.node] = self.geometry.models + len(unseen)
            unseen.append(numbers[group.node])
        above: dict[int, Group] = {member: group for group in groups for member in group.members}
        links = []
        for child in children:
            joined = above.get(inner.index(child)) if child in inner else None
            sure = self.parents[child][1]
            if joined is not None:
                links.append(self._derived(numbers[joined.node], child, min(sure, joined.confidence)))
            elif hidden:
                links.append(self._derived(unseen[0], child, sure))
            else:
                links.append(self._derived(self._simplest(parent, child), child, sure))
        for group in groups:
            outer = above.get(group.node)
            near = numbers[outer.node] if outer else unseen[0] if hidden else parent
            links.append(self._derived(near, numbers[group.node], group.confidence))
        return links

    def _simplest(self, parent: int, child: int) -> int:
        """Of all models at the parent's place, the one from which the fewest edits lead to the child."""
        return min(
            self.twins[parent],
            key=lambda other: (not self._possible(other, child), self._edits(other, child), other != parent, other),
        )

    @staticmethod
    def _derived(near: int, far: int, confidence: float) -> Link:
        return Link(near=near, far=far, kind="derived", share=None, confidence=confidence)
