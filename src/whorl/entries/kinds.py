"""What can be entered, and what each kind of entry says.

Fourteen kinds carry everything: who acts (`organisation`, `key`, `policy`), what exists (`model`, `dataset`,
`fingerprint`, `finding`), what is sealed now and shown later (`commitment`, `opening`), and the dispute about it
(`notice`, `response`, `dispute`, `status`, `statusmap`). States are never stored: they follow from the entries.
Claims have a claimant, never an owner. Format: ``docs/specs/entry.md``.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from whorl.core.evidence import Document
from whorl.entries.names import Name, Text

Kind: TypeAlias = Literal[
    "organisation",
    "key",
    "policy",
    "model",
    "dataset",
    "fingerprint",
    "finding",
    "commitment",
    "opening",
    "notice",
    "response",
    "dispute",
    "status",
    "statusmap",
]
Role: TypeAlias = Literal["submitter", "examiner", "reviewer", "chamber", "bureau"]
Colour: TypeAlias = Literal["red", "blue", "orange"]
State: TypeAlias = Literal[
    "verified",
    "withdrawn",
    "reviewed",
    "refused",
    "dismissed",
    "upheld",
    "annulled",
    "renewed",
]
Relation: TypeAlias = Literal["derived", "shared_initialisation", "same_weights", "learned_from"]


@lru_cache(maxsize=1024)  # every entry's time is asked for twice, and many entries are of one second
def parse_instant(text: str) -> datetime:
    """The time that an `Instant` stands for; `ValueError` if no calendar has it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _require_instant(text: str) -> str:
    try:
        parse_instant(text)
    except ValueError:
        raise ValueError("is no time of any calendar") from None
    return text


Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
HashHex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EntryId = Annotated[str, Field(pattern=r"^[a-z2-7]{51}[aq]$", description="hash of a leaf, as `entry_id` spells it")]
Instant = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_require_instant)]
Origin = Annotated[str, Field(pattern=r"^[\x21-\x2a\x2c-\x7e]{1,200}$", description="name of a log")]
KeyText = Annotated[str, Field(pattern=r"^(ed25519|mldsa44):[A-Za-z0-9+/]+={0,2}$", max_length=1800)]
Jurisdiction = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Seconds = Annotated[int, Field(ge=0, le=10 * 366 * 86400)]


class IssuerPublic(Document):
    """The public half of an issuer's keys."""

    ed25519: KeyText
    mldsa44: KeyText | None = None


class Organisation(Document):
    """Who acts: a claimant, an examiner, a bureau. Signed by ``threshold`` of its own root keys."""

    name: Name
    jurisdiction: Jurisdiction
    website: Annotated[str, Field(pattern=r"^https://[a-z0-9.-]{1,200}(/[\x21-\x7e]{0,100})?$")] | None = None
    roots: Annotated[tuple[IssuerPublic, ...], Field(min_length=1, max_length=16)]
    threshold: Annotated[int, Field(ge=1, le=16)] = 1

    @model_validator(mode="after")
    def _threshold_can_be_met(self) -> "Organisation":
        if self.threshold > len({root.ed25519 for root in self.roots}) or len(self.roots) != len(
            {root.ed25519 for root in self.roots}
        ):
            raise ValueError("the threshold needs that many different root keys")
        return self


class Key(Document):
    """A signing key that an organisation's root keys add or revoke. Its target is the organisation."""

    action: Literal["add", "revoke"]
    public: IssuerPublic
    roles: Annotated[tuple[Role, ...], Field(max_length=5)] = ()
    not_after: Instant | None = None
    compromised_since: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="index in the log from which the key's entries are doubted; only when revoked"
    )
    reason: Text | None = None

    @model_validator(mode="after")
    def _fits_action(self) -> "Key":
        if (self.action == "add") != bool(self.roles):
            raise ValueError("an added key has roles and a revoked one has none")
        if self.action == "add" and (self.compromised_since is not None or self.reason is not None):
            raise ValueError("only a revoked key can be compromised, or has a reason")
        return self


class Bureau(Document):
    """One operator of the federation, as its peers know it."""

    origin: Origin
    jurisdiction: Jurisdiction
    log_keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=4, description="C2SP verifier keys")]
    organisation: HashHex = Field(description="id of the first root key of the bureau's organisation")


class Chamber(Document):
    """Who rules on disputes: ``threshold`` of these keys, none of either party."""

    keys: Annotated[tuple[HashHex, ...], Field(max_length=32)] = ()
    threshold: Annotated[int, Field(ge=1, le=32)] = 1


class Policy(Document):
    """Rules of admission and of disputes, in force from the next index of this log on."""

    bureau: Bureau
    peers: Annotated[tuple[Bureau, ...], Field(max_length=64)] = ()
    chamber: Chamber = Chamber()
    reply_seconds: Seconds = 14 * 86400
    answer_seconds: Seconds = 30 * 86400
    retention_seconds: Seconds = 5 * 365 * 86400
    commitments_per_month: Annotated[int, Field(ge=1)] = 100
    successor: str | None = Field(default=None, description="origin of the log that goes on after this one")


class Claim(Document):
    """A declared relation of a model to another."""

    relation: Literal["finetune", "adapter", "merge", "quantised", "distilled", "trained_on"]
    of: Name
    entry: EntryId | None = None


class Model(Document):
    """A claim that a model exists under a name, with the digests of its content."""

    publisher: Name
    name: Name
    revision: Name | None = None
    content: Digest | None = Field(default=None, description="digest of the model's content, as in a finding")
    files: Annotated[dict[str, Digest], Field(max_length=2000)] = Field(default_factory=dict)
    declared: Annotated[tuple[Claim, ...], Field(max_length=50)] = ()
    released: Instant | None = Field(default=None, description="first public release, as the claimant says")
    website: Annotated[str, Field(pattern=r"^https://[\x21-\x7e]{1,300}$")] | None = None


class Dataset(Document):
    """A claim that a data set exists under a name."""

    publisher: Name
    name: Name
    revision: Name | None = None
    content: Digest
    manifest: Digest | None = Field(default=None, description="blob: the data set's manifest")
    licence: Name | None = None


class Fingerprint(Document):
    """A fingerprint of a model. Its target is the model's entry."""

    method: Name = Field(description="fingerprint method and version, such as whorl.weight_fingerprint/1")
    model_content: Digest = Field(description="digest of the content that the fingerprint was taken of")
    blob: Digest = Field(description="the stored fingerprint")
    tool: Name = Field(description="name and version of the program that took it")
    scheme: Name | None = Field(default=None, description="scheme of the search vector")
    vector: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{1,8192}={0,2}$")] | None = Field(
        default=None, description="search vector: base64 of int8 numbers"
    )


class FindingEntry(Document):
    """An examiner's finding on two models. Its target is the questioned model's entry."""

    questioned: Digest
    reference: Digest
    relation: Literal["identical", "derived", "shared_initialisation", "none_found", "inconclusive"]
    log10_lr: Annotated[float, Field(ge=-30, le=30)] | None = None
    log10_p: Annotated[float, Field(le=0)] | None = None
    blob: Digest = Field(description="the finding document, or a dossier")
    tool: Name


class Commitment(Document):
    """Something sealed now and opened later: nothing of it shows but how many there are."""

    root: HashHex = Field(description="root of the salted list of what is sealed")
    count: Annotated[int, Field(ge=1, le=2**32)] = Field(description="members of the list")
    purpose: Literal["alibi", "probes", "release_key", "protocol"]
    expires: Instant


class Opening(Document):
    """Members of a sealed list shown with their salts. Its target is the commitment, or the sealed entry."""

    blob: Digest = Field(description="the opened members with their proofs, or the sealed envelope and its salt")
    members: Annotated[tuple[int, ...], Field(max_length=1000)] = ()


class Notice(Document):
    """A public statement about an entry. Its target is the entry that is spoken of.

    red: a finding of derivation; blue: a request for information; orange: a safety failure that descendants share.
    """

    colour: Colour
    title: Name
    text: Text
    relation: Relation | None = None
    reference: EntryId | None = Field(default=None, description="the model that the accused one is said to come from")
    also_named: Annotated[tuple[EntryId, ...], Field(max_length=20)] = ()
    findings: Annotated[tuple[EntryId, ...], Field(max_length=20)] = ()
    log10_lr: Annotated[float, Field(ge=-30, le=30)] | None = None
    log10_lr_least_favourable: Annotated[float, Field(ge=-30, le=30)] | None = None
    false_positive_bound: Annotated[float, Field(gt=0, le=1)] | None = None
    tests_run: Annotated[int, Field(ge=1)] | None = Field(default=None, description="all tests behind the choice")
    cites_annulled: EntryId | None = Field(default=None, description="the annulled notice whose claim is made again")

    @model_validator(mode="after")
    def _red_states_its_evidence(self) -> "Notice":
        stated = (
            self.relation,
            self.reference,
            self.log10_lr,
            self.log10_lr_least_favourable,
            self.false_positive_bound,
            self.tests_run,
        )
        if self.colour == "red" and (any(part is None for part in stated) or len(set(self.findings)) < 2):
            raise ValueError(
                "a red notice states relation, reference, both ratios, a false-positive bound, the number of tests "
                "and findings of two examiners"
            )
        if self.colour != "red" and self.relation is not None:
            raise ValueError("only a red notice states a relation")
        return self


class Response(Document):
    """What somebody who is named, or who is asked, says to a notice or to a dispute. Its target is that entry."""

    text: Text
    blobs: Annotated[tuple[Digest, ...], Field(max_length=50)] = ()


class Dispute(Document):
    """Somebody who is named contests a notice, which is blocked from then on. Its target is the notice."""

    grounds: Text
    blobs: Annotated[tuple[Digest, ...], Field(max_length=50)] = ()


class Status(Document):
    """A signed vote on an entry. Its target is that entry; which votes count is for the rules to say."""

    state: State
    reason: Text
    evidence: Annotated[tuple[EntryId, ...], Field(max_length=20)] = ()


class StatusMapHead(Document):
    """Root of the map of all entries that are not in good standing, as of a size of this log.

    What is said against an entry may stand in another log: ``covers`` says how far each was read, so that whoever
    mirrors the same logs can make the same map again.
    """

    root: HashHex
    size: Annotated[int, Field(ge=2)]
    log_size: Annotated[int, Field(ge=0)]
    covers: Annotated[dict[Origin, Annotated[int, Field(ge=0)]], Field(max_length=64)] = Field(
        default_factory=dict, description="sizes of the other logs whose entries were taken into account"
    )


Body: TypeAlias = (
    Organisation
    | Key
    | Policy
    | Model
    | Dataset
    | Fingerprint
    | FindingEntry
    | Commitment
    | Opening
    | Notice
    | Response
    | Dispute
    | Status
    | StatusMapHead
)

BODIES: Final[dict[Kind, type[Document]]] = {
    "organisation": Organisation,
    "key": Key,
    "policy": Policy,
    "model": Model,
    "dataset": Dataset,
    "fingerprint": Fingerprint,
    "finding": FindingEntry,
    "commitment": Commitment,
    "opening": Opening,
    "notice": Notice,
    "response": Response,
    "dispute": Dispute,
    "status": Status,
    "statusmap": StatusMapHead,
}
KIND_NUMBERS: Final[dict[Kind, int]] = {kind: number for number, kind in enumerate(BODIES, start=1)}
KINDS: Final[dict[int, Kind]] = {number: kind for kind, number in KIND_NUMBERS.items()}
NEEDS_TARGET: Final[frozenset[Kind]] = frozenset(
    {"key", "fingerprint", "finding", "opening", "notice", "response", "dispute", "status"}
)
