"""What the service takes and gives, as documents; OpenAPI is made from them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from whorl.core.evidence import Document
from whorl.entries.kinds import Digest, EntryId, HashHex, Instant
from whorl.registry.standing import Standing
from whorl.web.errors import ErrorDocument, Fault

MAX_SCOPES: Final = 4

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class EntryToEnter(Document):
    """A signed entry, as its issuer made it."""

    envelope: Base64 = Field(
        min_length=1, description="DSSE envelope, as the issuer signed it", examples=["eyJwYXlsb2FkIjoiIn0="]
    )
    salt: HashHex = Field(description="32 unpredictable bytes, drawn by the issuer", examples=["5d" * 32])
    sealed: bool = Field(
        default=False, description="enter it under the bureau's chain, so that kind and issuer do not show"
    )


class EntriesRequest(Document):
    """Entries to be entered, in this order."""

    entries: Annotated[tuple[EntryToEnter, ...], Field(min_length=1, max_length=256)]


class EntryResult(Document):
    """What became of one entry: its id and index in the log, or why it was refused."""

    id: EntryId | None = None
    index: int | None = None
    error: Fault | None = None


class EntriesResult(Document):
    """What became of each entry of a request, in its order."""

    results: tuple[EntryResult, ...]


class OrganisationName(Document):
    """An organisation, as it calls itself; nothing shows that the name is its own."""

    id: EntryId
    name: str
    jurisdiction: str


class EntryLine(Document):
    """An entry in a list."""

    id: EntryId
    origin: str = Field(description="the log that holds it")
    index: int
    kind: str
    name: str = Field(description="what its statement names as its subject")
    issuer: HashHex
    claimant: OrganisationName | None
    seen_at: Instant = Field(description="when this bureau first saw it, by its own clock")


class EntryPage(Document):
    """Some entries, and how to ask for the next ones."""

    entries: tuple[EntryLine, ...]
    next: int | None = Field(description="give this as `before` for the next page; null: there are no more")


class GroundDocument(Document):
    """One reason for a level."""

    level: Annotated[int, Field(ge=0, le=4)]
    because: str
    by: tuple[EntryId, ...]


class LevelDocument(Document):
    """How well a claim on a model is backed, L0 to L4; never that it is true."""

    level: Annotated[int, Field(ge=0, le=4)]
    grounds: tuple[GroundDocument, ...]


class ClaimDocument(Document):
    """One claim on a content, beside the others; none of them wins."""

    entry: EntryLine
    level: LevelDocument
    earliest: Instant


class NoticeDocument(Document):
    """What has become of a notice."""

    id: EntryId
    state: str
    because: str
    by: tuple[EntryId, ...]
    until: Instant | None = Field(description="when time alone changes the state next")
    title: str | None = Field(description="null as long as the notice may not be shown")


class StandingDocument(Document):
    """Whether an entry stands, and the entries by which it does not."""

    standing: str
    by: tuple[EntryId, ...]


class ContentDocument(Document):
    """What an entry says, and the bytes that its leaf commits to."""

    statement: dict[str, Any] = Field(description="the signed in-toto statement")
    envelope: Base64
    salt: HashHex


class EntryDocument(Document):
    """An entry, its standing now, and what it says if whoever asks may see it."""

    id: EntryId
    origin: str
    index: int
    leaf: Base64
    kind: str | None = Field(description="null in a sealed entry")
    issuer: HashHex | None = Field(description="null where the entry counts for nothing")
    sequence: int | None
    target: EntryId | None
    claimant: OrganisationName | None
    seen_at: Instant
    content: ContentDocument | None
    withheld: Literal["sealed", "not_here", "handling", "notice_not_published"] | None
    standing: StandingDocument | None
    level: LevelDocument | None = Field(description="of a model")
    notice: NoticeDocument | None = Field(description="of a notice")
    notices: tuple[NoticeDocument, ...] = Field(description="notices about this entry")
    fault: str | None = Field(description="why it counts for nothing; null if it counts")


class DigestDocument(Document):
    """Everything that names a digest."""

    digest: Digest
    claims: tuple[ClaimDocument, ...] = Field(description="models with this content, earliest evidence first")
    named_by: dict[Literal["content", "file", "subject", "blob"], tuple[EntryLine, ...]]
    is_whole: bool = Field(description="false if there are more entries than are listed")


class IssuerDocument(Document):
    """A key that signs entries, and how far its chain has come."""

    key: HashHex
    organisation: OrganisationName
    roles: tuple[str, ...]
    is_root: bool
    not_after: Instant | None
    revoked_at: int | None
    sequence: int | None = Field(description="number of its last entry; null before the first")
    last: EntryId | None


class KeyLine(Document):
    """A key of an organisation."""

    key: HashHex
    roles: tuple[str, ...]
    is_root: bool
    not_after: Instant | None
    revoked_at: int | None
    compromised_since: int | None


class OrganisationDocument(Document):
    """An organisation and its keys."""

    id: EntryId
    name: str
    jurisdiction: str
    home: str = Field(description="the log in which it registered")
    threshold: int
    keys: tuple[KeyLine, ...]
    verified_by: tuple[EntryId, ...]
    is_bureau: bool


class VectorSearch(Document):
    """A search vector to be looked for."""

    scheme: Annotated[str, Field(min_length=1, max_length=200, examples=["whorl.weight_fingerprint/1 search vector"])]
    vector: Annotated[
        Base64, Field(min_length=4, max_length=87_384, description="base64 of int8 numbers", examples=["AQIDBAUG"])
    ]
    top: Annotated[int, Field(ge=1, le=100)] = 20


class LeadDocument(Document):
    """A model worth a pairwise test: a lead, never a finding."""

    entry: EntryId
    name: str
    content: Digest | None
    claimant: str
    level: int
    standing: Standing = Field(description="of the model's entry")
    fingerprint_standing: Standing = Field(description="of the fingerprint's entry")
    taken_by: str | None = Field(description="who entered the fingerprint, where it is not the claimant")
    fingerprint: EntryId
    blob: Digest
    score: float


class LeadsDocument(Document):
    """Leads, best first. What counts is the pairwise test of each."""

    leads: tuple[LeadDocument, ...]


class BlobDocument(Document):
    """A blob that is stored."""

    digest: Digest
    size: int


class StoredContent(Document):
    """Envelope and salt of an entry."""

    envelope: Base64
    salt: HashHex


class ContentsDocument(Document):
    """Contents of consecutive entries of the log; null where there is none, or it is not for whoever asks."""

    start: int
    contents: tuple[StoredContent | None, ...]


class TokenRequest(Document):
    """A token to be issued."""

    scopes: Annotated[tuple[Literal["read", "submit", "audit", "administer"], ...], Field(min_length=1, max_length=4)]
    label: Annotated[str, Field(min_length=1, max_length=100, examples=["release pipeline"])]
    expires_at: Annotated[Instant, Field(examples=["2027-01-31T00:00:00Z"])]
    network: Annotated[str, Field(max_length=50)] | None = Field(
        default=None, description="from where it may be used", examples=["192.0.2.0/24"]
    )


class TokenLine(Document):
    """A token, without what makes it one."""

    id: HashHex
    scopes: tuple[str, ...]
    label: str
    network: str | None
    issued_at: Instant
    expires_at: Instant
    revoked_at: Instant | None


class IssuedToken(Document):
    """A new token; its text is shown this once and not kept."""

    token: str
    line: TokenLine


class TokenList(Document):
    """The tokens of an organisation, those that ended too."""

    tokens: tuple[TokenLine, ...]


class AuditLine(Document):
    """One line of the audit trail."""

    number: int
    at: Instant
    actor: str
    action: str
    subject: str
    outcome: str


class AuditPage(Document):
    """Lines of the audit trail, the newest first."""

    lines: tuple[AuditLine, ...]
    next: int | None


class BureauFigures(Document):
    """Figures of one log."""

    origin: str
    entries: dict[str, int] = Field(description="entries that count, by kind")
    notices: dict[str, int] = Field(description="notices by state now")


class StatisticsDocument(Document):
    """Public figures; made anew about once a minute."""

    made_at: Instant
    bureaus: tuple[BureauFigures, ...]
    refusals: dict[str, int] = Field(description="entries that this bureau did not admit, by code")
    newest_notices: int = Field(description="so many of the newest notices were looked at, at most")


class HealthDocument(Document):
    """Whether the registry takes entries, and when it signed last."""

    status: Literal["ready", "not_ready"]
    problem: str | None
    signed_at: Instant | None
    waiting_entries: int


def instant(moment: datetime) -> str:
    """A time as documents spell it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def optional_instant(moment: datetime | None) -> str | None:
    """A time as documents spell it, where there is one."""
    return None if moment is None else instant(moment)


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": ErrorDocument, "description": "A token or signature gives no access"},
    413: {"model": ErrorDocument, "description": "The body is too large"},
    422: {"model": ErrorDocument, "description": "The request is malformed"},
    429: {"model": ErrorDocument, "description": "More than one client may ask; see Retry-After"},
    503: {"model": ErrorDocument, "description": "Too busy, or something is wrong here; see Retry-After"},
}
"""Answers that any route may give."""
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorDocument, "description": "There is none, or it is not for whoever asks"}
}
FORBIDDEN: Final[dict[int | str, dict[str, Any]]] = {
    403: {"model": ErrorDocument, "description": "The token or key may not do this"}
}
