"""A reference population of models with known ancestry: what is true of each, and which pairs to compare."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from whorl.core.errors import CheckpointError, InputError
from whorl.core.evidence import Alternative, Document
from whorl.weights.files import read_bounded

TRUTH: Final = "zoo.json"
MAX_BYTES: Final = 64 << 20
COUSINS: Final = 25  # pairs drawn of each family
CROSSED: Final = 25  # pairs drawn of each family and those of equal start
STRANGERS_OF_RUN: Final = 8
STRANGERS: Final = 1  # of every model that is no pre-training run

Side: TypeAlias = Literal["questioned", "reference"]
PairClass: TypeAlias = Literal["derived"] | Alternative


class Member(Document):
    """What is true of one model. ``parents`` are the models whose trained weights it carries, by share."""

    family: str = Field(description="the pre-training run it descends from")
    start: str = Field(description="runs of equal start were initialised alike")
    recipe: str = Field(description="runs of equal recipe differ in nothing but their start")
    parents: dict[str, float] = Field(description="empty for a pre-training run")
    teacher: str | None = Field(description="the model whose outputs it learned from; carries no weights")
    whole: bool = Field(description="False where parts that carry weights were replaced by fresh ones")
    changes: tuple[str, ...] = Field(description="transformations true of it as against its first parent")


class Zoo(Document):
    """All models of a population, by their path below the folder of the zoo."""

    schema_: Literal["whorl.zoo/1"] = Field(alias="schema")
    models: dict[str, Member]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two models of a zoo and how they are really related.

    ``families`` names both pre-training runs; ``older`` says which of two models is the other's ancestor, if one is;
    ``whole`` is False where parts that carry weights were replaced by fresh ones on the way to either.
    """

    questioned: str
    reference: str
    truth: PairClass
    families: tuple[str, str]
    older: Side | None
    whole: bool


def read_zoo(folder: Path) -> Zoo:
    """The zoo described by ``zoo.json`` in a folder.

    Raises
    ------
    InputError
        If there is no such description, or it contradicts itself.
    """
    path = folder / TRUTH
    try:
        zoo = Zoo.model_validate_json(read_bounded(path, MAX_BYTES))
    except CheckpointError as error:
        raise InputError(
            f"{path}: expected the description of a zoo, found none that can be read ({error.problem}); write one as "
            "docs/specs/population.md says"
        ) from error
    except ValidationError as error:
        first = str(error).splitlines()
        raise InputError(
            f"{path}: expected a description of schema whorl.zoo/1, found one that does not fit it "
            f"({' '.join(first[1:3]).strip()}); write it as docs/specs/population.md says"
        ) from error
    for name, member in zoo.models.items():
        for other in (*member.parents, *([member.teacher] if member.teacher else [])):
            if other not in zoo.models:
                raise InputError(
                    f"{path}: expected every parent and teacher among the models, found {other!r} of {name!r}; add it "
                    "or correct the name"
                )
    for name in zoo.models:
        if name in ancestors(zoo.models, name, strict=True):
            raise InputError(
                f"{path}: expected parents that come before their children, found {name!r} below itself; correct its "
                "parents"
            )
    return zoo


def ancestors(models: Mapping[str, Member], name: str, *, strict: bool = False) -> frozenset[str]:
    """Every model whose trained weights ``name`` carries, itself included unless ``strict``."""
    seen: set[str] = set()
    waiting = list(models[name].parents)
    while waiting:
        parent = waiting.pop()
        if parent not in seen:
            seen.add(parent)
            waiting += models[parent].parents
    return frozenset(seen if strict else seen | {name})


def relation_of(zoo: Zoo, one: str, other: str) -> PairClass:
    """How two models of a zoo are really related."""
    models = zoo.models
    ours, theirs = ancestors(models, one), ancestors(models, other)
    if one in theirs or other in ours:
        return "derived"
    if ours & theirs:
        return "common_ancestor"
    roots = [[models[name] for name in line if not models[name].parents] for line in (ours, theirs)]
    if {root.start for root in roots[0]} & {root.start for root in roots[1]}:
        return "same_seed"
    taught = any(
        root.teacher is not None and ancestors(models, root.teacher) & line
        for line, founders in ((theirs, roots[0]), (ours, roots[1]))
        for root in founders
    )
    if taught or {root.recipe for root in roots[0]} & {root.recipe for root in roots[1]}:
        return "same_data"
    return "independent"


def planned_pairs(zoo: Zoo, *, seed: int) -> list[Pair]:
    """The pairs that a calibration compares.

    Every model with each of its ancestors, with its teacher, and every pre-training run with each run of the same start
    or recipe. Of the rest, drawn at random: pairs of one family, pairs across two families of one start, and strangers.
    Which of the two is questioned is drawn too: a method must not learn it from the order. Draws depend on the seed and
    on a model's or family's own name, so that a zoo that grows keeps most of its pairs.
    """
    models = zoo.models
    names = sorted(models)
    roots = [name for name in names if not models[name].parents]
    chosen: set[tuple[str, str]] = set()
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(models[name].family, []).append(name)
        chosen |= {(name, ancestor) for ancestor in ancestors(models, name, strict=True)}
        teacher = models[name].teacher
        if teacher is not None:
            chosen.add((name, teacher))
        count = STRANGERS_OF_RUN if name in roots else STRANGERS
        chosen |= {(name, other) for other in _drawn(roots, count, seed, name)}
    for place, name in enumerate(roots):
        ours = models[name]
        chosen |= {
            (name, other)
            for other in roots[:place]
            if ours.start == models[other].start or ours.recipe == models[other].recipe
        }
    for family, members in sorted(families.items()):
        cousins = [(one, other) for place, one in enumerate(members) for other in members[:place]]
        chosen |= set(_drawn(cousins, COUSINS, seed, family))
        akin = _of_equal_start(zoo, family, families)
        chosen |= set(_drawn([(one, other) for one in members for other in akin], CROSSED, seed, f"{family} crossed"))
    unordered = {(min(pair), max(pair)) for pair in chosen if pair[0] != pair[1]}
    return [_pair(zoo, *pair, swap=bool(_generator(seed, *pair).integers(2))) for pair in sorted(unordered)]


def _of_equal_start(zoo: Zoo, family: str, families: Mapping[str, list[str]]) -> list[str]:
    """Models of other families whose pre-training run started like this family's."""
    models = zoo.models
    starts = {models[name].start for name in families[family] if not models[name].parents}
    akin = [
        other
        for other, members in families.items()
        if other != family and any(models[name].start in starts and not models[name].parents for name in members)
    ]
    return [name for other in akin for name in families[other]]


_T = TypeVar("_T")


def _drawn(candidates: Sequence[_T], count: int, seed: int, name: str) -> list[_T]:
    order = _generator(seed, name).permutation(len(candidates))[:count]
    return [candidates[place] for place in order]


def _generator(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _pair(zoo: Zoo, one: str, other: str, *, swap: bool) -> Pair:
    questioned, reference = (other, one) if swap else (one, other)
    return Pair(
        questioned=questioned,
        reference=reference,
        truth=relation_of(zoo, one, other),
        families=(zoo.models[questioned].family, zoo.models[reference].family),
        older=_older(zoo, questioned, reference),
        whole=all(zoo.models[name].whole for side in (one, other) for name in ancestors(zoo.models, side)),
    )


def _older(zoo: Zoo, questioned: str, reference: str) -> Side | None:
    if reference in ancestors(zoo.models, questioned, strict=True):
        return "reference"
    return "questioned" if questioned in ancestors(zoo.models, reference, strict=True) else None
