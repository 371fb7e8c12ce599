"""What somebody declared of a model: its name, its dates, and the models it comes from.

Read from a small file of its own schema, or from the body of a registered model entry (``docs/specs/entry.md``).
"""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import Field, ValidationError

from whorl.core.errors import InputError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.events import CodedMember
from whorl.entries.kinds import Digest, Instant
from whorl.entries.kinds import Model as ModelEntry
from whorl.entries.names import Name

SCHEMA: Final = "whorl.declared-lineage/1"
MAX_BYTES: Final = 1 << 20
MAX_DEPENDENCIES: Final = 50

DeclaredRelation: TypeAlias = Literal["finetune", "adapter", "merge", "quantised", "distilled", "trained_on"]
WEIGHT_RELATIONS: Final[frozenset[DeclaredRelation]] = frozenset({"finetune", "adapter", "merge", "quantised"})
"""Relations that pass on weights; the others pass on answers or data."""

_Parsed = TypeVar("_Parsed", bound=Document)


class DeclaredDependency(Document):
    """One model that the declared one is said to come from."""

    relation: DeclaredRelation
    of: Name
    content: Digest | None = Field(default=None, description="digest of its content, as in a finding")


class Declaration(StoredDocument):
    """What the provider, or whoever speaks for them, says of one model. Nothing of it is checked here."""

    schema_: Literal["whorl.declared-lineage/1"] = Field(default=SCHEMA, alias="schema")
    provider: Name | None = Field(default=None, description="legal name")
    model: Name
    content: Digest | None = Field(default=None, description="digest of its content, as in a finding")
    released: Instant | None = Field(default=None, description="first release through any channel")
    union_released: Instant | None = Field(default=None, description="placed on the market of the Union")
    dependencies: Annotated[tuple[DeclaredDependency, ...], Field(max_length=MAX_DEPENDENCIES)]


def read_declaration(path: Path) -> Declaration:
    """Read a file of either kind.

    Raises
    ------
    InputError
        If it is neither.
    """
    with path.open("rb") as file:
        return parse_declaration(file.read(MAX_BYTES + 1), what=str(path))


def parse_declaration(data: bytes, *, what: str) -> Declaration:
    """Parse a declaration, or the body of a model entry.

    Raises
    ------
    InputError
        If it is neither, naming the first fault.
    """
    if "schema" in parse_json_object(data, what=what, max_bytes=MAX_BYTES, max_depth=6):
        return _parsed(Declaration, data, what=what)
    entry = _parsed(ModelEntry, data, what=what)
    return Declaration(
        model=entry.name,
        content=entry.content,
        released=entry.released,
        dependencies=tuple(DeclaredDependency(relation=one.relation, of=one.of) for one in entry.declared),
    )


def require_about(declaration: Declaration, questioned: CodedMember) -> None:
    """Check that a declaration is about the questioned model: by digest where both have one, else by name.

    Raises
    ------
    InputError
        If it is about another model, or may be.
    """
    if declaration.content is not None and questioned.digest is not None:
        same = declaration.content == questioned.digest
    else:
        same = same_name(declaration.model, questioned.name)
    if not same:
        raise InputError(
            f"expected a declaration about the questioned model {questioned.name!a} ({questioned.digest or 'no digest'}"
            f"), found one about {declaration.model!a} ({declaration.content or 'no digest'}); give that of the model "
            "that was examined"
        )


def same_name(first: str, second: str) -> bool:
    """Whether two names are the same but for upper and lower case."""
    return first.casefold() == second.casefold()


def _parsed(kind: type[_Parsed], data: bytes, *, what: str) -> _Parsed:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"{what}: expected a declaration ({SCHEMA}) or the body of a model entry, found fault with "
            f"{first_fault(error)}"
        ) from None
