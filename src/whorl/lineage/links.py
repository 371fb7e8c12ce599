"""A tree without a root: the value that the inference gives."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["derived", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An edge of the tree, ``near`` on the origin's side.

    ``confidence`` is how sure the edge is, whatever its direction; ``share`` how much of a merge came this way.
    """

    near: int
    far: int
    kind: Kind
    share: float | None
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """A tree without a root: models 0 to ``models`` - 1, unseen ancestors from there on.

    ``drift`` is the cosine that changes of unconnected models have here: what an unseen ancestor must exceed.
    """

    models: int
    nodes: int
    origin: int
    drift: float
    links: tuple[Link, ...]
