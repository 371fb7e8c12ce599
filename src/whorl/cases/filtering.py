"""Abstraction, filtration, comparison, as a record that both sides can argue with.

Both models are taken apart into elements by layer; what a public ancestor, a standard, efficiency, a published paper or
shared data explains is filtered out; what is left is compared. Every filter says who set it, why and from which source.
The other side may contest it; the residue is then compared twice, with the contested filters and without. Document:
``whorl.filtration/1``; method page: ``docs/methods/filtration.md``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from whorl.cases.prompt_filtering import PromptFiltration
from whorl.core.errors import InputError
from whorl.core.evidence import Document, StoredDocument, Subject
from whorl.dossiers.heard import Layer
from whorl.entries.kinds import Digest, Instant

SCHEMA: Final = "whorl.filtration/1"
MOST_ELEMENTS: Final = 5000

LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)
Ground: TypeAlias = Literal["public_ancestor", "standard", "efficiency", "published_paper", "shared_data"]
Standing: TypeAlias = Literal["residue", "filtered", "contested"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Element(Document):
    """One thing that both models have or do, as each has it; ``null`` where one has none."""

    layer: Layer
    name: Name
    questioned: str | None = Field(max_length=2000)
    reference: str | None = Field(max_length=2000)

    @property
    def agrees(self) -> bool:
        """Whether both have it alike; what one of them lacks agrees with nothing."""
        return self.questioned is not None and self.questioned == self.reference


class Filter(Document):
    """A decision to leave an element out, since something else than copying explains it."""

    id: Name
    layer: Layer
    element: Name
    ground: Ground
    by: Name = Field(description="role of who decided: analyst, respondent, complainant, ...")
    reason: Text
    source: Text = Field(description="what it rests on: a paper with its date, a standard, the ancestor's digest")
    at: Instant


class Contest(Document):
    """A side's objection to a filter."""

    filter: Name
    by: Name
    reason: Text
    at: Instant


class ModelContest(Document):
    """A side's objection to everything that one model filters: an ancestor, or a model of the panel."""

    model: str = Field(min_length=1, max_length=300)
    by: Name
    reason: Text
    at: Instant


class ElementStanding(Document):
    """What became of an element."""

    layer: Layer
    element: Name
    agrees: bool
    standing: Standing
    filters: tuple[Name, ...]


class LayerResidue(Document):
    """One layer: how many elements were taken out, and how many of the rest agree."""

    layer: Layer
    elements: int
    filtered: int
    compared: int
    agreeing: int


class Residue(Document):
    """The comparison of what is left."""

    filters: Literal["all", "uncontested"]
    layers: tuple[LayerResidue, ...]
    statement: str


class Filtration(StoredDocument):
    """The record: what was taken apart, filtered, contested, and what is left."""

    schema_: Literal["whorl.filtration/1"] = Field(default=SCHEMA, alias="schema")
    questioned: Subject | None = Field(default=None, description="null where every element was entered by hand")
    reference: Subject | None = None
    ancestors: tuple[Subject, ...] = Field(default=(), description="what they have alike is filtered")
    elements: Annotated[tuple[Element, ...], Field(max_length=MOST_ELEMENTS)]
    filters: Annotated[tuple[Filter, ...], Field(max_length=MOST_ELEMENTS)]
    contests: Annotated[tuple[Contest, ...], Field(max_length=MOST_ELEMENTS)]
    standings: tuple[ElementStanding, ...]
    residues: tuple[Residue, ...] = Field(min_length=1, max_length=2)
    prompts: tuple[PromptFiltration, ...] = Field(default=(), max_length=2, description="with and without contested")
    model_contests: tuple[ModelContest, ...] = Field(
        default=(), max_length=MOST_ELEMENTS, description="who contests a model as a filter of prompts, and why"
    )
    answers: tuple[Digest, ...] = Field(
        default=(),
        max_length=MOST_ELEMENTS,
        description="of the files of answers that prompts are from, by their bytes",
    )

    @property
    def exit_code(self) -> Literal[0, 3]:
        """The command line's exit status: 3 where the filters leave nothing to compare."""
        compared = sum(layer.compared for layer in self.residues[0].layers)
        return 0 if compared or any(one.kept for one in self.prompts[:1]) else 3

    @model_validator(mode="after")
    def _as_computed(self) -> "Filtration":
        """A stored record must be what its own elements, filters and contests give."""
        standings = _standings(self.elements, self.filters, self.contests)
        if self.standings != standings or self.residues != _residues(standings, self.contests):
            raise ValueError("standings or residues are not what the elements, filters and contests give")
        return self


def filtration(
    elements: Sequence[Element],
    filters: Sequence[Filter] = (),
    contests: Sequence[Contest] = (),
    *,
    models: Sequence[Subject] = (),
    prompts: Sequence[PromptFiltration] = (),
    model_contests: Sequence[ModelContest] = (),
    answers: Sequence[str] = (),
) -> Filtration:
    """Apply the filters and compare what is left.

    Parameters
    ----------
    models : questioned model, reference, and ancestors, where they were taken apart
    prompts : what `whorl.cases.prompt_filtering.filtered_prompts` gave
    model_contests : who contests a model as a filter of those prompts
    answers : digests of the files that they are from

    Raises
    ------
    InputError
        If an element or filter is named twice, a filter names no element, a contest no filter, or somebody contests a
        filter of their own; or there are more than `MOST_ELEMENTS` of a kind.
    """
    for what, some in (("elements", elements), ("filters", filters), ("contests", contests)):
        if len(some) > MOST_ELEMENTS:
            raise InputError(f"expected at most {MOST_ELEMENTS} {what}, found {len(some)}; record fewer")
    _require_once("element", [f"{one.layer}/{one.name}" for one in elements])
    _require_once("filter", [one.id for one in filters])
    known = {(one.layer, one.name) for one in elements}
    by = {one.id: one.by for one in filters}
    for one in filters:
        if (one.layer, one.element) not in known:
            raise InputError(f"filter {one.id}: expected an element that was compared, found {one.layer}/{one.element}")
    for contest in contests:
        if contest.filter not in by:
            raise InputError(f"expected a contest of a filter that was set, found one of {contest.filter!r}")
        if contest.by == by[contest.filter]:
            raise InputError(f"filter {contest.filter}: {contest.by} set it and cannot contest it; withdraw it instead")
    standings = _standings(elements, filters, contests)
    return Filtration(
        elements=tuple(elements),
        filters=tuple(filters),
        contests=tuple(contests),
        standings=standings,
        residues=_residues(standings, contests),
        questioned=models[0] if models else None,
        reference=models[1] if models else None,
        ancestors=tuple(models[2:]),
        prompts=tuple(prompts),
        model_contests=tuple(model_contests),
        answers=tuple(answers),
    )


def explained_by_ancestor(
    elements: Iterable[Element],
    of_ancestor: Iterable[Element],
    *,
    source: str,
    at: str,
    by: str = "analyst",
    prefix: str = "ancestor",
) -> list[Filter]:
    """Filters for every agreement that a public ancestor has as well.

    Parameters
    ----------
    of_ancestor : elements of the comparison of questioned model and ancestor: there the ancestor is the reference
    source : which ancestor, by name and digest
    at : the time of the decision
    prefix : of the filters' ids, another for each ancestor; layer and element follow
    """
    theirs = {(one.layer, one.name): one.reference for one in of_ancestor}
    return [
        Filter(
            id=f"{prefix}.{one.layer}.{one.name}"[:64],
            layer=one.layer,
            element=one.name,
            ground="public_ancestor",
            by=by,
            reason="the public ancestor has it alike",
            source=source,
            at=at,
        )
        for one in elements
        if one.agrees and theirs.get((one.layer, one.name)) == one.reference
    ]


def _require_once(what: str, names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"expected every {what} once, found {twice[0]} more than once")


def _standings(
    elements: Sequence[Element], filters: Sequence[Filter], contests: Sequence[Contest]
) -> tuple[ElementStanding, ...]:
    contested = {one.filter for one in contests}
    by_element: dict[tuple[Layer, str], list[str]] = {}
    for one in filters:
        by_element.setdefault((one.layer, one.element), []).append(one.id)
    found = []
    for element in elements:
        own = by_element.get((element.layer, element.name), [])
        standing: Standing = "residue"
        if own:  # one filter that nobody contests is enough
            standing = "contested" if contested.issuperset(own) else "filtered"
        found.append(
            ElementStanding(
                layer=element.layer,
                element=element.name,
                agrees=element.agrees,
                standing=standing,
                filters=tuple(own),
            )
        )
    return tuple(found)


def _residues(standings: Sequence[ElementStanding], contests: Sequence[Contest]) -> tuple[Residue, ...]:
    whole = _residue(standings, "all", {"filtered", "contested"})
    return (whole, _residue(standings, "uncontested", {"filtered"})) if contests else (whole,)


def _residue(
    standings: Sequence[ElementStanding], filters: Literal["all", "uncontested"], out: set[Standing]
) -> Residue:
    layers = []
    for layer in LAYERS:
        own = [one for one in standings if one.layer == layer]
        left = [one for one in own if one.standing not in out]
        if own:
            layers.append(
                LayerResidue(
                    layer=layer,
                    elements=len(own),
                    filtered=len(own) - len(left),
                    compared=len(left),
                    agreeing=sum(one.agrees for one in left),
                )
            )
    compared, agreeing = sum(one.compared for one in layers), sum(one.agreeing for one in layers)
    if compared == 0:
        statement = "The filters leave nothing to compare."
    else:
        elements, agree = "element" if compared == 1 else "elements", "agrees" if agreeing == 1 else "agree"
        statement = f"Of {compared} {elements} that no filter takes out, {agreeing} {agree}."
    return Residue(filters=filters, layers=tuple(layers), statement=statement)
