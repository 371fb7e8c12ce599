"""What the routes of cases take and give, as documents; OpenAPI is made from them."""

from typing import Annotated, Any, Final

from pydantic import Field

from whorl.core.evidence import Document
from whorl.dossiers.custody import Record
from whorl.entries.kinds import HashHex, Instant
from whorl.web.documents import Base64
from whorl.web.errors import ErrorDocument

CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "model": ErrorDocument,
        "description": "The event does not follow the last one; `ETag` is the hash of the record that is",
        "headers": {"ETag": {"schema": {"type": "string"}}},
    }
}


class CaseEvent(Document):
    """A signed event: a line of `custody.jsonl`, in its one spelling (canonical JSON)."""

    record: Record
    envelope: Base64 = Field(min_length=1, description="DSSE envelope, as its signer made it")
    salt: HashHex = Field(description="32 unpredictable bytes, drawn by the signer")


class CaseHead(Document):
    """A case, and its last event."""

    case: HashHex = Field(description="id of the case: the hash of its first record")
    head: HashHex = Field(description="hash of the last record")
    events: Annotated[int, Field(ge=1, description="how many events there are")]


class LinkRequest(Document):
    """A link to be made, for one person of the case."""

    person: HashHex = Field(description="id of their Ed25519 key, as the case names them")
    expires_at: Instant | None = Field(default=None, description="within a year; 90 days from now unless it is given")


class CaseLink(Document):
    """The secret of a link; it is shown this once, as `/cases/{case}?link=...`."""

    link: str
    person: HashHex
    expires_at: Instant
