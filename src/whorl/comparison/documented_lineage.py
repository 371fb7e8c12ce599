"""What publishers said about where models come from, and what follows for two of them.

A CSV file with the columns ``model, family, base, relation``, one row for each documented edge: ``model`` comes from
``base`` by ``relation``; and optionally columns for what makes unrelated models alike. Format:
``docs/specs/answer-table.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from whorl.core.errors import InputError
from whorl.fingerprints.csv_rows import csv_rows, require_columns

Edge: TypeAlias = Literal[
    "same_weights", "finetune", "merge", "distilled_from", "version", "same_family", "pipeline", ""
]
Relation: TypeAlias = Literal[
    "same_weights",  # the same published weights, served in two ways
    "derived",  # one is an ancestor of the other by further training or merging
    "siblings",  # both descend from the same weights
    "distilled",  # one was trained on answers of the other
    "same_family",
    "teacher_family",  # another model of the family of one's teacher
    "shared_teacher",
    "pipeline",  # one is a wrapper around other models
    "unknown",  # nothing is documented of one of them
    "unrelated",
]
CIRCUMSTANCES: Final = ("era", "language", "jurisdiction", "vendor")
"""Optional columns. Models of one circumstance are alike without being related: shared regulation, data, taste."""
SHARING_WEIGHTS: Final = ("same_weights", "derived")
_WEIGHT_EDGES: Final = ("same_weights", "finetune", "merge")
_COLUMNS: Final = ("model", "family", "base", "relation")
_NAMES: Final = tuple(name for name in get_args(Edge) if name)
_MOST_ROWS: Final = 200_000
_NO_LINES: Final = ("unknown", "inconclusive")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedEdge:
    """One statement of a publisher. ``base`` is empty where a row only names the family."""

    model: str
    family: str
    base: str
    relation: Edge


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """All statements about a set of models. Models it does not name are of no known family.

    Parameters
    ----------
    circumstances : model, which of `CIRCUMSTANCES`, value: what makes unrelated models alike
    """

    edges: tuple[DocumentedEdge, ...] = field(default=())
    circumstances: tuple[tuple[str, str, str], ...] = field(default=())

    @cached_property
    def _circumstances(self) -> Mapping[tuple[str, str], str]:
        return {(model, kind): value for model, kind, value in self.circumstances}

    def circumstance(self, model: str, kind: str) -> str | None:
        """A model's era, language, jurisdiction or vendor; a variant has its model's."""
        return self._circumstances.get((model, kind)) or self._circumstances.get((without_variant(model), kind))

    @cached_property
    def families(self) -> Mapping[str, str]:
        """Family of every model that has a row."""
        return {edge.model: edge.family for edge in self.edges}

    def family(self, model: str) -> str | None:
        """The family; a served variant ``NAME@VARIANT`` without a row of its own has its model's."""
        return self.families.get(model) or self.families.get(without_variant(model))

    @cached_property
    def _bases(self) -> Mapping[str, tuple[DocumentedEdge, ...]]:
        bases: dict[str, list[DocumentedEdge]] = {}
        for edge in self.edges:
            if edge.base:
                bases.setdefault(edge.model, []).append(edge)
        return {model: tuple(edges) for model, edges in bases.items()}

    def _same(self, model: str) -> str:
        """The one name of all variants of the same weights."""
        seen = {model}
        while True:
            onward = [edge.base for edge in self._bases.get(model, ()) if edge.relation == "same_weights"]
            if not onward or onward[0] in seen:
                return model if onward else without_variant(model)
            model = onward[0]
            seen.add(model)

    def line(self, model: str) -> str:
        """The family; where none is documented, the model without its serving variant is a line of its own."""
        return self.family(model) or without_variant(model)

    def ancestors(self, model: str) -> frozenset[str]:
        """Models whose weights this one's were trained on from, itself included, under their one name."""
        found = {self._same(model)}
        open_models = [self._same(model), model]
        while open_models:
            for edge in self._bases.get(open_models.pop(), ()):
                base = self._same(edge.base)
                if edge.relation in _WEIGHT_EDGES and base not in found:
                    found.add(base)
                    open_models.append(base)
        return frozenset(found)

    def teachers(self, model: str) -> frozenset[str]:
        """Models on whose answers this one, or an ancestor of its weights, was trained."""
        names = {model, *self.ancestors(model)}
        return frozenset(
            self._same(edge.base)
            for name in names
            for edge in self._bases.get(name, ())
            if edge.relation == "distilled_from"
        )

    def relation(self, first: str, second: str) -> Relation:
        """The closest documented relation of two models."""
        one, other = self._same(first), self._same(second)
        if one == other:
            return "same_weights"
        of_one, of_other = self.ancestors(first), self.ancestors(second)
        if one in of_other or other in of_one:
            return "derived"
        if of_one & of_other:
            return "siblings"
        if self._wraps(first) or self._wraps(second):
            return "pipeline"
        taught_one, taught_other = self.teachers(first), self.teachers(second)
        if one in taught_other or other in taught_one:
            return "distilled"
        family, other_family = self.family(first), self.family(second)
        if family is None or other_family is None or not self._documented(first) or not self._documented(second):
            return "unknown"
        if family == other_family:
            return "same_family"
        families_of_teachers = {self.family(name) for name in taught_one}, {self.family(name) for name in taught_other}
        if other_family in families_of_teachers[0] or family in families_of_teachers[1]:
            return "teacher_family"
        if taught_one & taught_other or (families_of_teachers[0] & families_of_teachers[1]) - {None}:
            return "shared_teacher"
        return "unrelated"

    def _wraps(self, model: str) -> bool:
        return any(edge.relation == "pipeline" for edge in self._bases.get(model, ()))

    def _documented(self, model: str) -> bool:
        rows = [edge for edge in self.edges_of(model) if edge.relation != ""]
        return bool(rows) or not self.edges_of(model)

    def edges_of(self, model: str) -> tuple[DocumentedEdge, ...]:
        """Rows about one model."""
        return self._rows.get(model, ())

    @cached_property
    def _rows(self) -> Mapping[str, tuple[DocumentedEdge, ...]]:
        rows: dict[str, list[DocumentedEdge]] = {}
        for edge in self.edges:
            rows.setdefault(edge.model, []).append(edge)
        return {model: tuple(edges) for model, edges in rows.items()}


def without_variant(model: str) -> str:
    """``NAME`` of ``NAME@VARIANT``, one way of serving it; an "@" that a name begins with belongs to the name."""
    at = model.find("@", 1)
    return model if at < 0 else model[:at]


def read_lineage(path: Path) -> Lineage:
    """Read documented edges.

    Raises
    ------
    InputError
        If the file is not such a table, or is cut off.
    """
    rows = csv_rows(path)
    header = next(rows, None)
    names = () if header is None else header.fields
    require_columns(path, names, _COLUMNS)
    listed = [(row.line, dict(zip(names, row.fields, strict=True))) for row in islice(rows, _MOST_ROWS + 1)]
    if len(listed) > _MOST_ROWS:
        raise InputError(f"{path}: expected at most {_MOST_ROWS:,} rows, found more; split the table")
    given = dict.fromkeys(
        (row["model"], kind, value) for _, row in listed for kind in CIRCUMSTANCES if (value := row.get(kind))
    )
    return Lineage(edges=tuple(_edge(path, line, row) for line, row in listed), circumstances=tuple(given))


def _edge(path: Path, line: int, row: Mapping[str, str]) -> DocumentedEdge:
    model, family, base, relation = (row[name] for name in _COLUMNS)
    if family in _NO_LINES:
        raise InputError(
            f"{path}: line {line}: expected the name of a line, found {family!r}, which is what verdicts say "
            "where there is none; leave the row out, or give the family another name"
        )
    if not model or not family or relation not in get_args(Edge):
        raise InputError(
            f"{path}: line {line}: expected a model, a family and one of the relations {', '.join(_NAMES)} "
            f"or none, found {relation[:50]!r} for {model[:80]!r}"
        )
    return DocumentedEdge(model=model, family=family, base=base, relation=relation)  # type: ignore[arg-type]
