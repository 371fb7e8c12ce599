"""Fields of the EU's Model Documentation Form that a case can speak to, and declared against found dependencies.

The form belongs to the Transparency chapter of the Code of Practice for general-purpose AI models (July 2025); the
provider fills it. What only the provider knows is null here, with the reason, unless a declaration says it. What was
found stands apart from the form's fields and never in them.
"""

from typing import Final, Literal

from pydantic import Field

from whorl.cases.exports.declaration import Declaration, require_about
from whorl.cases.exports.discrepancies import Comparison, FoundRelation, compared, found_relation
from whorl.cases.exports.standing import Standing, StatedRatio, stated
from whorl.core.evidence import Document, StoredDocument
from whorl.dossiers.events import Verdict
from whorl.dossiers.opinion import NotWeighed
from whorl.dossiers.wording import require_fair
from whorl.entries.kinds import Digest, HashHex, Instant
from whorl.entries.names import Name, Text

SCHEMA: Final = "whorl.eu-model-form/1"

_ONLY_PROVIDER: Final = "Only the provider knows this, and no declaration was given that says it."
_NONE_NAMED: Final = "The declaration names no model that this one comes from."
_NO_DIGEST: Final = "The model's content was not at hand, so there is no digest of it."
_NO_DECLARATION: Final = "No declaration was given, so there is nothing to compare with."
_NO_RELATION: Final = "The opinion supports no relation to the model that was compared."
_REST: Final = (
    "Sections 2 to the end of the form are not filled: they ask for design, distribution, use, training, data and "
    "energy, which comparing models does not show."
)
_OF_CONTENT: Final = (
    "Digest of the model's content (every matrix, vector and token), the same for every file format; no hash of a file."
)


class FormField(Document):
    """One field of the form; a value that is null has its reason."""

    number: str
    title: str
    value: str | tuple[str, ...] | None
    source: Literal["case", "declaration"] | None = Field(description="declarations are repeated and not checked")
    note: Text | None = Field(description="why the value is null, or how to read it")


class Untested(Document):
    """An alternative without a ratio, and why."""

    alternative: str
    reason: Text


class Lineage(Document):
    """What the opinion in force says, and how a declaration compares with it."""

    reference: Name = Field(description="the one model that the questioned one was compared with")
    reference_digest: Digest | None
    opinion: Digest | None
    verdict: Verdict | None
    headline: StatedRatio | None = Field(description="the opinion's; null where it gives none")
    statement: Text | None
    found: FoundRelation | None
    found_reason: Text | None = Field(description="why nothing is stated as found")
    untested: tuple[Untested, ...]
    limitations: tuple[Text, ...]
    declared_against_found: tuple[Comparison, ...] | None
    not_compared: Text | None = Field(description="why a declaration was not compared")


class ModelForm(StoredDocument):
    """The export."""

    schema_: Literal["whorl.eu-model-form/1"] = Field(default=SCHEMA, alias="schema")
    case: HashHex
    head: HashHex
    as_of: Instant = Field(description="time of the case's last event")
    fields: tuple[FormField, ...]
    not_filled: Text
    lineage: Lineage


def model_form(standing: Standing, declaration: Declaration | None) -> ModelForm:
    """Fill in what the case and a declaration say.

    Parameters
    ----------
    declaration : what is declared of the questioned model; None where nothing is

    Raises
    ------
    InputError
        If the declaration is about another model.
    VerificationError
        If a text of the opinion is worded as none may be.
    """
    if declaration is not None:
        require_about(declaration, standing.questioned)
    form = ModelForm(
        case=standing.view.id,
        head=standing.view.head,
        as_of=standing.view.kept[-1].record.at,
        fields=_fields(standing, declaration),
        not_filled=_REST,
        lineage=_lineage(standing, declaration),
    )
    for text in _texts(form):
        require_fair(text, where="export")
    return form


def _fields(standing: Standing, declaration: Declaration | None) -> tuple[FormField, ...]:
    named = declaration.dependencies if declaration is not None else ()
    digest = standing.questioned.digest
    return (
        _declared("1.1", "Legal name for the model provider", None if declaration is None else declaration.provider),
        FormField(
            number="1.2",
            title="Model name",
            value=standing.questioned.name,
            source="case",
            note="As the case names it; the provider may use another name.",
        ),
        FormField(
            number="1.3",
            title="Model authenticity",
            value=digest,
            source=None if digest is None else "case",
            note=_NO_DIGEST if digest is None else _OF_CONTENT,
        ),
        _declared("1.4", "Release date", None if declaration is None else declaration.released),
        _declared("1.5", "Union market release date", None if declaration is None else declaration.union_released),
        FormField(
            number="1.6",
            title="Model dependencies",
            value=tuple(one.of for one in named) or None,
            source="declaration" if named else None,
            note=None if named else _ONLY_PROVIDER if declaration is None else _NONE_NAMED,
        ),
    )


def _declared(number: str, title: str, value: str | None) -> FormField:
    return FormField(
        number=number,
        title=title,
        value=value,
        source=None if value is None else "declaration",
        note=_ONLY_PROVIDER if value is None else None,
    )


def _lineage(standing: Standing, declaration: Declaration | None) -> Lineage:
    opinion, found = standing.opinion, found_relation(standing.opinion)
    return Lineage(
        reference=standing.reference.name,
        reference_digest=standing.reference.digest,
        opinion=standing.digest,
        verdict=None if opinion is None else opinion.verdict,
        headline=None if opinion is None else stated(opinion, opinion.headline),
        statement=None if opinion is None else opinion.statement,
        found=found,
        found_reason=None if found is not None else standing.withheld or _NO_RELATION,
        untested=()
        if opinion is None
        else tuple(
            Untested(alternative=one.alternative, reason=one.reason)
            for one in opinion.treated
            if isinstance(one, NotWeighed)
        ),
        limitations=() if opinion is None else (*opinion.remarks.deviations, *opinion.remarks.limitations),
        declared_against_found=None if declaration is None else compared(declaration, standing),
        not_compared=_NO_DECLARATION if declaration is None else None,
    )


def _texts(form: ModelForm) -> list[str]:
    """Every text that is said here; names that others gave are not."""
    lineage = form.lineage
    texts = [one.note for one in form.fields]
    texts += [form.not_filled, lineage.statement, lineage.found_reason, lineage.not_compared, *lineage.limitations]
    texts += [one.reason for one in lineage.untested]
    texts += [one.text for one in lineage.declared_against_found or ()]
    return [text for text in texts if text is not None]
