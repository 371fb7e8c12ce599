"""The lineage of a set of models as it is stored: ``whorl.lineage/1``, specified in ``docs/specs/lineage.md``."""

from typing import Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from whorl.core.evidence import Document

EdgeKind: TypeAlias = Literal["derived", "merge", "shares_ancestor", "undecided", "same_start"]

DESCENT: Final[tuple[EdgeKind, ...]] = ("derived", "merge")
"""What may have a direction."""
TRAINED: Final[tuple[EdgeKind, ...]] = (*DESCENT, "shares_ancestor")
"""What says that trained weights are shared; the others do not."""

SCHEMA: Literal["whorl.lineage/1"] = "whorl.lineage/1"
DASHED_BELOW = 0.8


class Node(Document):
    """A model, or an ancestor that must have existed and is not among them."""

    id: str
    name: str = Field(description="what it is called; proves nothing")
    kind: Literal["model", "unseen"]
    digest: str | None = Field(description="of the model's fingerprint; null for an unseen ancestor")
    description: str | None
    access: Literal["weights", "fingerprint"] | None
    remark: str | None = Field(
        default=None, description="what a reader must know of its entry in a registry, such as that it was withdrawn"
    )


class Edge(Document):
    """One relation. Without ``directed`` the order of parent and child is only the likelier one, or arbitrary.

    Kinds that are not in `TRAINED` say neither that trained weights are shared nor that one model comes from the other.
    """

    parent: str
    child: str
    kind: EdgeKind
    share: float | None = Field(ge=0, le=1, description="of a merge: how much of the child came this way")
    confidence: float = Field(ge=0, le=1, description="that these two are neighbours, whichever came first")
    directed: bool
    direction_confidence: float | None = Field(ge=0.5, le=1, description="that the parent came first; null if unasked")
    distance: float | None = Field(
        ge=0, description="squared distance over mean squared length of the two; null if unseen"
    )
    detail: str

    @model_validator(mode="after")
    def _consistent(self) -> "Edge":
        if self.parent == self.child:
            raise ValueError(f"an edge leads from {self.parent} to itself")
        if self.share is not None and self.kind != "merge":
            raise ValueError(f"an edge of kind {self.kind} has no share")
        if self.directed and self.kind not in DESCENT:
            raise ValueError(f"an edge of kind {self.kind} has no direction")
        return self


class NotCompared(Document):
    """Two models of which a comparison could say nothing."""

    one: str
    other: str
    reason: str


class UnreadMember(Document):
    """Something among the models that could not be read."""

    name: str
    problem: str


class Lineage(Document):
    """Who continues whom, as far as weights show it."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)

    schema_: Literal["whorl.lineage/1"] = Field(alias="schema")
    whorl_version: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: tuple[tuple[str, ...], ...] = Field(description="nodes that are connected, largest group first")
    singles: tuple[str, ...] = Field(description="models without any relation to the others")
    not_compared: tuple[NotCompared, ...]
    unread: tuple[UnreadMember, ...]
    limits: tuple[str, ...]
    parameters: dict[str, int | float | str]

    @model_validator(mode="after")
    def _hangs_together(self) -> "Lineage":
        ids = [node.id for node in self.nodes]
        if len(set(ids)) != len(ids):
            raise ValueError("two nodes have one id")
        ends = {end for edge in self.edges for end in (edge.parent, edge.child)}
        if missing := ends - set(ids):
            raise ValueError(f"edges name nodes that do not exist: {sorted(missing)}")
        placed = [member for group in self.groups for member in group] + list(self.singles)
        if sorted(placed) != sorted(ids):
            raise ValueError("every node must be in exactly one group, or single")
        if _has_cycle({(edge.parent, edge.child) for edge in self.edges if edge.directed}):
            raise ValueError("a model would be its own ancestor")
        return self


def _has_cycle(edges: set[tuple[str, str]]) -> bool:
    left = set(edges)
    while left:
        children = {child for _, child in left}
        kept = {(parent, child) for parent, child in left if parent in children}
        if len(kept) == len(left):
            return True
        left = kept
    return False
