"""Declared dependencies against what the opinion found. A difference is a question to be asked, and no more."""

from typing import Final, Literal, TypeAlias

from pydantic import Field

from whorl.cases.exports.declaration import (
    WEIGHT_RELATIONS,
    Declaration,
    DeclaredDependency,
    DeclaredRelation,
    same_name,
)
from whorl.cases.exports.standing import (
    Standing,
    StatedRatio,
    Support,
    kind_of_findings,
    not_excluded,
    ratio_behind,
    support_of,
)
from whorl.core.evidence import Document
from whorl.dossiers.events import Alternative, CodedMember
from whorl.dossiers.opinion import Opinion
from whorl.entries.kinds import Digest
from whorl.entries.names import Name, Text

Status: TypeAlias = Literal["consistent", "declared_not_supported", "found_not_declared", "not_testable"]
MatchedBy: TypeAlias = Literal["digest", "name", "name_of_other_digest"]


class FoundRelation(Document):
    """What the opinion supports between the questioned model and the reference, with its ratio and what stays open."""

    kind: Support
    ratio: StatedRatio
    not_excluded: tuple[Alternative, ...] = Field(description="not tested, or without a clear ratio")


class Comparison(Document):
    """One dependency, declared or found, and how the two stand to each other."""

    dependency: Name
    digest: Digest | None = Field(description="of its content: as declared, or as examined")
    declared: DeclaredRelation | None = Field(description="null: the declaration does not mention it as such")
    matched_by: MatchedBy | None = Field(description="how it was taken for the model that was examined; null: not")
    status: Status
    found: FoundRelation | None
    text: Text


_NOT_EXAMINED: Final = "The case did not compare the questioned model with this one, so nothing is said of it."
_OTHER_VERSION: Final = (
    "The declaration gives this name with another digest than that of the model that was examined: it may be another "
    "version of it, and what was found is about the one examined."
)
_OTHER_KIND: Final = (
    "The findings are about another kind of relation than the declared one, and say nothing for or against it."
)
_AGREES: Final = (
    "Declared, and supported by the findings as far as they go: the ratio and what it leaves open are given."
)
_NOT_SUPPORTED: Final = (
    "Declared, and not supported by the findings, which are more probable under an alternative. A declaration may "
    "know what the findings cannot show."
)
_NO_ANSWER: Final = {
    "inconclusive": "The findings do not tell the declared relation from the alternatives.",
    "not_answerable": "No alternative could be weighed, so the declared relation was not tested.",
}
_NOT_MENTIONED: Final = (
    "Findings that the declaration does not mention. This says nothing of how anybody obtained anything, and an "
    "explanation may be missing here: the ratio and what it leaves open are given."
)
_MENTIONED_OTHERWISE: Final = " The declaration mentions this model in another relation."
_MAY_BE_ANOTHER_NAME: Final = (
    " Models that are declared without a digest were told apart by name alone: one of them may be this one."
)
_MAY_BE_ANCESTOR: Final = " A declared model that was not compared may be an ancestor of both."


def found_relation(opinion: Opinion | None) -> FoundRelation | None:
    """What may be stated as found; None where the opinion supports no relation, or there is none."""
    if opinion is None:
        return None
    kind, ratio = support_of(opinion), ratio_behind(opinion)
    if kind is None or ratio is None:
        return None
    return FoundRelation(kind=kind, ratio=ratio, not_excluded=not_excluded(opinion))


def compared(declaration: Declaration, standing: Standing) -> tuple[Comparison, ...]:
    """Every declared dependency, in its order, and then what was found and is not among them."""
    found = found_relation(standing.opinion)
    rows = [_declared(one, standing, found) for one in declaration.dependencies]
    if found is not None and not any(_mentions(row, found) for row in rows):
        rows.append(_undeclared(rows, standing.reference, found))
    return tuple(rows)


def _declared(one: DeclaredDependency, standing: Standing, found: FoundRelation | None) -> Comparison:
    matched = _match(one, standing.reference)
    status, text = _status(one.relation, matched, standing, found)
    return Comparison(
        dependency=one.of,
        digest=one.content,
        declared=one.relation,
        matched_by=matched,
        status=status,
        found=found if status == "consistent" else None,
        text=text,
    )


def _match(one: DeclaredDependency, reference: CodedMember) -> MatchedBy | None:
    named = same_name(one.of, reference.name)
    if one.content is None or reference.digest is None:
        return "name" if named else None
    if one.content == reference.digest:
        return "digest"
    return "name_of_other_digest" if named else None


def _status(
    relation: DeclaredRelation, matched: MatchedBy | None, standing: Standing, found: FoundRelation | None
) -> tuple[Status, str]:
    if matched is None:
        return "not_testable", _NOT_EXAMINED
    if matched == "name_of_other_digest":
        return "not_testable", _OTHER_VERSION
    opinion = standing.opinion
    if opinion is None:
        return "not_testable", standing.withheld or ""
    if opinion.verdict in _NO_ANSWER:
        return "not_testable", _NO_ANSWER[opinion.verdict]
    if kind_of_findings(opinion) != ("weights" if relation in WEIGHT_RELATIONS else "learning"):
        return "not_testable", _OTHER_KIND
    return ("declared_not_supported", _NOT_SUPPORTED) if found is None else ("consistent", _AGREES)


def _mentions(row: Comparison, found: FoundRelation) -> bool:
    """Whether a declared dependency is the one that was found, in a relation of its kind."""
    return row.matched_by is not None and (row.declared in WEIGHT_RELATIONS) == (found.kind != "learning")


def _undeclared(rows: list[Comparison], reference: CodedMember, found: FoundRelation) -> Comparison:
    unmatched = [row for row in rows if row.matched_by is None]
    text = _NOT_MENTIONED
    if any(row.matched_by is not None for row in rows):
        text += _MENTIONED_OTHERWISE
    if any(row.digest is None for row in unmatched) or (unmatched and reference.digest is None):
        text += _MAY_BE_ANOTHER_NAME
    if found.kind == "shared_weights" and any(row.declared in WEIGHT_RELATIONS for row in unmatched):
        text += _MAY_BE_ANCESTOR
    return Comparison(
        dependency=reference.name,
        digest=reference.digest,
        declared=None,
        matched_by=None,
        status="found_not_declared",
        found=found,
        text=text,
    )
