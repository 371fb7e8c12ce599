"""What can happen in a case: one closed, typed body for each kind of event, in the order in which a case meets them.

A body says what one person did or claims. Whether it may happen then, and whether it agrees with what happened before,
`whorl.dossiers.proceeding` says. Format: ``docs/specs/case.md``.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.core.faults import first_fault
from whorl.entries.keys import PublicKey, parse_public
from whorl.entries.kinds import Digest, HashHex, Instant, KeyText
from whorl.entries.names import Name, Text

Role: TypeAlias = Literal[
    "complainant", "respondent", "manager", "analyst", "replicator", "reviewer", "appeal_reviewer"
]
Side: TypeAlias = Literal["complainant", "respondent"]
Claim: TypeAlias = Literal["derived", "learned_from"]
Alternative: TypeAlias = Literal[
    "independent",
    "common_ancestor",
    "shared_data",
    "shared_teacher",
    "reverse_direction",
    "same_seed",
    "published_idea",
]
Group: TypeAlias = Literal["weights", "behaviour", "memorisation", "documents"]
Access: TypeAlias = Literal["weights", "fingerprint", "api", "document"]
MemberRole: TypeAlias = Literal["questioned", "reference", "decoy", "positive_control", "negative_control"]
Outcome: TypeAlias = Literal["related", "not_related", "inconclusive"]
Answer: TypeAlias = Literal["yes", "no", "not_applicable"]
Verdict: TypeAlias = Literal[
    "supports_claim", "supports_shared_weights", "supports_alternative", "inconclusive", "not_answerable", "void"
]
Ground: TypeAlias = Literal["custody", "method", "population", "new_evidence", "bias"]
ErasureGround: TypeAlias = Literal["annulment", "withdrawal", "retention", "court_order"]

ALTERNATIVES: Final[tuple[Alternative, ...]] = get_args(Alternative)
REQUIRED_ROLES: Final[tuple[Role, ...]] = ("complainant", "respondent", "manager", "analyst", "reviewer")
LATER_ROLES: Final[tuple[Role, ...]] = ("replicator", "appeal_reviewer")
CHECKLIST: Final = (
    "propositions_before_analysis",
    "protocol_followed",
    "exhibits_match_their_digests",
    "controls_behaved",
    "every_finding_is_recorded",
    "reply_was_considered",
    "replication_was_considered",
    "every_alternative_was_treated",
    "limits_are_stated",
)
"""What a reviewer answers for, each with yes, no or not applicable."""

_PORTS: Final = {"http": 80, "https": 443}
LineUpCode = Annotated[str, Field(pattern=r"^M-[1-9][0-9]{0,2}$")]
DocumentCode = Annotated[str, Field(pattern=r"^D-[1-9][0-9]{0,2}$")]
ExhibitCode = Annotated[str, Field(pattern=r"^[MD]-[1-9][0-9]{0,2}$")]
MethodName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}/[0-9]{1,4}$", description="name/version")]
ShortId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Log10 = Annotated[float, Field(ge=-1e6, le=1e6)]
Facts: TypeAlias = dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")], int | float | str]


class Party(Document):
    """One person of the case, in the one role they hold, and the keys they sign with: all of them, every time."""

    name: Name
    role: Role
    keys: Annotated[tuple[KeyText, ...], Field(min_length=1, max_length=2)]

    @model_validator(mode="after")
    def _keys_of_one_issuer(self) -> "Party":
        if [key.algorithm for key in self.public_keys] not in (["ed25519"], ["ed25519", "mldsa44"]):
            raise ValueError("the keys are one Ed25519 key and at most one ML-DSA-44 key after it")
        return self

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """The keys, Ed25519 first."""
        return tuple(map(parse_public, self.keys))

    @property
    def id(self) -> str:
        """Hex id of the Ed25519 key: how events name this person."""
        return self.public_keys[0].id.hex()


class Model(Document):
    """A model the case is about, as the parties call it."""

    name: Name
    digest: Digest | None = Field(description="digest of its content, as in a finding; null where not known yet")


class Opened(Document):
    """The case begins: who takes part, about which models, on what facts of licence or terms."""

    kind: Literal["opened"] = "opened"
    title: Name
    question: Text
    parties: Annotated[tuple[Party, ...], Field(min_length=len(REQUIRED_ROLES), max_length=40)]
    questioned: Model
    reference: Model
    licence: Text = Field(description="facts of licence or terms that the complaint rests on")
    window_days: Annotated[int, Field(ge=1, le=365)] = Field(description="days to answer, from the unblinding on")
    funding: Text = Field(description="who pays for the analysis, and the analyst's relations to the parties")


class Joined(Document):
    """Somebody joins whose role a case need not have from the start."""

    kind: Literal["joined"] = "joined"
    party: Party


class Proposition(Document):
    """A statement about the source of the questioned model. Acts and offences have no place in the format."""

    id: ShortId
    level: Literal["source"]
    side: Side
    alternative: Claim | Alternative
    statement: Text


class Proposed(Document):
    """Propositions of one side, before anything is acquired."""

    kind: Literal["proposed"] = "proposed"
    propositions: Annotated[tuple[Proposition, ...], Field(min_length=1, max_length=40)]


class Method(Document):
    """One way of examining, with everything that decides its figures."""

    group: Group
    method: MethodName
    parameters: Facts = Field(default_factory=dict, max_length=60)


class Treatment(Document):
    """How one alternative is treated: tested, or the reason why it cannot be."""

    alternative: Alternative
    tested: bool
    how: Text = Field(min_length=1, description="by which method; where it is not tested, why it cannot be")


class LineUp(Document):
    """How many models stand in the line-up beside the questioned one and the reference, and the reference's code."""

    decoys: Annotated[int, Field(ge=2, le=100)]
    positive_controls: Annotated[int, Field(ge=1, le=20)]
    negative_controls: Annotated[int, Field(ge=1, le=20)]
    reference: LineUpCode

    @property
    def members(self) -> int:
        """All models of the line-up; their codes are M-1 to M-``members``."""
        return 2 + self.decoys + self.positive_controls + self.negative_controls

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of all models of the line-up."""
        return tuple(f"M-{number}" for number in range(1, self.members + 1))


class Protocol(Document):
    """What will be done, fixed before anything is acquired."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=20)]
    populations: Annotated[tuple[Digest, ...], Field(max_length=20)]
    treatments: Annotated[tuple[Treatment, ...], Field(max_length=len(ALTERNATIVES))]
    stop_rule: Text = Field(min_length=1)
    exclusions: Text
    alpha: Annotated[float, Field(gt=0, le=0.1)]
    line_up: LineUp
    code_key_commitment: HashHex


class Frozen(Document):
    """The protocol is fixed. From here on its every departure is one."""

    kind: Literal["frozen"] = "frozen"
    protocol: Protocol
    receipt: Digest | None = Field(description="registry's receipt of a commitment to the protocol, where there is one")


class Recording(Document):
    """The transcript that a coded one was made from. It names the endpoint, so it stays with whoever acquired it."""

    digest: Digest = Field(description="SHA-256 of the file, by which it can be recognised later")
    battery: Digest = Field(description="of the questions")
    started: Instant = Field(description="when the first was asked, by the recorder's clock")


class Acquired(Document):
    """One exhibit was taken: a model of the line-up under its code (M-...), or a document (D-...)."""

    kind: Literal["acquired"] = "acquired"
    code: ExhibitCode
    access: Access
    digest: Digest = Field(description="of the model's content, of its coded transcript, or of the document's bytes")
    blob: Digest | None = Field(description="what is kept of it in the case: a stored fingerprint, a document")
    how: Text
    acquired_at: Instant
    filed_by: Role
    title: Name | None = Field(default=None, description="of a document; a model of the line-up has its code only")
    size: Annotated[int, Field(ge=0, le=1 << 40)] | None = Field(default=None, description="bytes of a document")
    recording: Recording | None = Field(default=None, description="of answers (api): what was coded")


class Summary(Document):
    """A finding in few figures, so that a reader of the chain need not open every document."""

    outcome: Outcome
    relation: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$", description="in the method's own word")]
    log10_lr: Log10 | None = None
    log10_p: Log10 | None = None


class Analysed(Document):
    """One finding, made on codes alone."""

    kind: Literal["analysed"] = "analysed"
    group: Group
    method: MethodName
    questioned: LineUpCode
    reference: LineUpCode
    document: Digest = Field(description="blob: the finding")
    schema_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,60}/[0-9]{1,4}$")]
    summary: Summary


class AskedAt(Document):
    """Where a model is asked, as the header of a transcript names it."""

    address: Annotated[str, Field(min_length=1, max_length=2000)]
    model: Annotated[str, Field(max_length=500)]

    @property
    def place(self) -> tuple[str, str]:
        """The same for spellings of one address: letter case, a slash at the end, a port that is the usual one."""
        address, model = self.address.strip().casefold(), self.model.strip().casefold()
        try:
            parts = urlsplit(address)
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:  # no URL: a name of its own
            return address, model
        host = "127.0.0.1" if parts.hostname in ("localhost", "::1") else parts.hostname or ""
        return f"{host}:{port}{parts.path.rstrip('/')}", model


class CodedMember(Document):
    """Which model a code stands for."""

    code: LineUpCode
    role: MemberRole
    name: Name
    digest: Digest | None = Field(description="of the model's content; null where only its answers are to be had")
    endpoint: AskedAt | None = Field(
        default=None, description="where it was asked; null where only weights are looked at"
    )


class Unblinded(Document):
    """The code key that was committed to."""

    kind: Literal["unblinded"] = "unblinded"
    salt: HashHex
    members: Annotated[tuple[CodedMember, ...], Field(min_length=1, max_length=200)]


class Responded(Document):
    """The respondent answers, or says that no answer will come."""

    kind: Literal["responded"] = "responded"
    declined: bool
    statement: Text
    alternatives: Annotated[tuple[Proposition, ...], Field(max_length=20)] = ()
    exhibits: Annotated[tuple[DocumentCode, ...], Field(max_length=100)] = ()


class Repetition(Document):
    """One finding made again from the case's stored exhibits."""

    document: Digest = Field(description="of the finding as it was first made")
    recomputed: Digest = Field(description="of the finding as it was made again")
    largest_difference: Annotated[float, Field(ge=0, le=1e9)] = Field(
        description="of any figure: |a - b| divided by the largest of |a|, |b| and 1"
    )
    differences: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        description="places where the two say something else; empty where every word is the same"
    )


class Replicated(Document):
    """Every finding was made again by somebody else."""

    kind: Literal["replicated"] = "replicated"
    tool: Name
    tolerance: Annotated[float, Field(ge=0, le=1e-3)]
    findings: Annotated[tuple[Repetition, ...], Field(min_length=1, max_length=1000)]

    @property
    def agrees(self) -> bool:
        """Whether every finding came out the same, within the tolerance stated."""
        return all(not one.differences and one.largest_difference <= self.tolerance for one in self.findings)


class CheckedPoint(Document):
    """One answer of the reviewer."""

    point: ShortId
    answer: Answer
    note: Text = ""


class Reviewed(Document):
    """A second person went through the file before anything is issued."""

    kind: Literal["reviewed"] = "reviewed"
    checklist: Annotated[tuple[CheckedPoint, ...], Field(max_length=60)]
    accepted: bool
    reasons: Text


class Opined(Document):
    """An evaluative opinion, signed by the analyst."""

    kind: Literal["opined"] = "opined"
    version: Annotated[int, Field(ge=1, le=9999)]
    document: Digest = Field(description="blob: the opinion")
    supersedes: Digest | None
    headline_log10: Log10 | None = Field(
        description="bounded log10 ratio against the least favourable alternative; null where none is given"
    )
    verdict: Verdict = Field(description="the opinion's own, so that the rules can ask what it needs")
    cause: Literal["first", "calibration", "correction", "appeal"]
    text: Text = Field(default="", description="what changed, in plain words; empty in the first version")


class Closed(Document):
    """The manager closes the case."""

    kind: Literal["closed"] = "closed"
    outcome: Literal["completed", "void", "withdrawn", "unanswerable"]
    reasons: Text


class Appealed(Document):
    """A party does not accept the opinion."""

    kind: Literal["appealed"] = "appealed"
    grounds: Annotated[tuple[Ground, ...], Field(min_length=1, max_length=5)]
    text: Text


class AppealDecided(Document):
    """Somebody who had no other part in the case decides on the appeal; the result is the opinion's fate."""

    kind: Literal["appeal_decided"] = "appeal_decided"
    result: Literal["upheld", "varied", "annulled"]
    reasons: Text


class Expunged(Document):
    """The tombstone: envelopes, salts and blobs were erased; their records stay."""

    kind: Literal["expunged"] = "expunged"
    events: Annotated[tuple[Annotated[int, Field(ge=0, le=100_000)], ...], Field(min_length=1, max_length=10_000)]
    blobs: Annotated[tuple[Digest, ...], Field(max_length=2000)]
    ground: ErasureGround
    void: bool = Field(description="whether the run was void: that stays known, whatever is erased")
    keys: Annotated[tuple[KeyText, ...], Field(min_length=1, max_length=2)] = Field(
        description="the manager's keys: the event that named them may be among the erased"
    )


Body: TypeAlias = Annotated[
    Opened
    | Joined
    | Proposed
    | Frozen
    | Acquired
    | Analysed
    | Unblinded
    | Responded
    | Replicated
    | Reviewed
    | Opined
    | Closed
    | Appealed
    | AppealDecided
    | Expunged,
    Field(discriminator="kind"),
]
EventKind: TypeAlias = Literal[
    "opened",
    "joined",
    "proposed",
    "frozen",
    "acquired",
    "analysed",
    "unblinded",
    "responded",
    "replicated",
    "reviewed",
    "opined",
    "closed",
    "appealed",
    "appeal_decided",
    "expunged",
]
_BODY: Final[TypeAdapter[Any]] = TypeAdapter(Body)


def parse_body(data: bytes, *, what: str = "event") -> "Body":
    """Read the body of an event from JSON.

    Raises
    ------
    InputError
        If it is none of the kinds above, or not well formed.
    """
    try:
        body: Body = _BODY.validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"{what}: expected the body of an event, found fault with {first_fault(error, whole='body')}"
        ) from None
    return body


def keys_named(body: "Body") -> dict[bytes, tuple[PublicKey, ...]]:
    """The keys that an event makes known, by the id of the Ed25519 key among them."""
    parties: tuple[Party, ...] = ()
    if isinstance(body, Opened):
        parties = body.parties
    elif isinstance(body, Joined):
        parties = (body.party,)
    return {party.public_keys[0].id: party.public_keys for party in parties}


def outcome_of(relation: str) -> Outcome:
    """What a finding on weights or answers means for a control: its relation in three words."""
    if relation in ("identical", "derived", "shared_initialisation", "supported", "not_independent"):
        return "related"
    return "not_related" if relation == "none_found" else "inconclusive"
