"""What an alibi deposit seals: that a model, or a file, with these digests existed. Its name is its owner's own."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from whorl.core.digest import canonical_json
from whorl.core.errors import InputError
from whorl.core.evidence import StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.entries.kinds import Digest
from whorl.entries.names import Name
from whorl.entries.sealed_list import MAX_SECRET_BYTES


class SealedItem(StoredDocument):
    """One thing that existed: a model by the digest of its content, or a file by that of its bytes."""

    schema_: Literal["whorl.sealed-item/1"] = Field(default="whorl.sealed-item/1", alias="schema")
    name: Name
    content: Annotated[Digest | None, Field(description="digest of a model's content, as in a finding")] = None
    file: Annotated[Digest | None, Field(description="digest of a file's bytes")] = None

    def to_secret(self) -> bytes:
        """The bytes to be sealed."""
        return canonical_json(self.model_dump(mode="json"))


def parse_item(secret: bytes) -> SealedItem:
    """Read an item back from an opened member.

    Raises
    ------
    InputError
        If the secret is none.
    """
    parse_json_object(secret, what="opened member", max_bytes=MAX_SECRET_BYTES)
    try:
        return SealedItem.model_validate_json(secret)
    except ValidationError as error:
        raise InputError(f"opened member: expected a sealed item, found fault with {first_fault(error)}") from None
