"""Events of a case without signatures, for its rules alone: a small line-up, and a body for each kind of event."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from whorl.dossiers.codes import code_key_commitment
from whorl.dossiers.custody import Event, Record
from whorl.dossiers.events import (
    ALTERNATIVES,
    CHECKLIST,
    Acquired,
    Analysed,
    AppealDecided,
    Appealed,
    Body,
    CheckedPoint,
    Closed,
    CodedMember,
    Expunged,
    Frozen,
    LineUp,
    Method,
    Model,
    Opened,
    Opined,
    Outcome,
    Party,
    Proposed,
    Proposition,
    Protocol,
    Repetition,
    Replicated,
    Responded,
    Reviewed,
    Role,
    Summary,
    Treatment,
    Unblinded,
)
from whorl.dossiers.proceeding import START, State, advance
from whorl.entries.keys import PrivateKey, encode_public

BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ROLES: tuple[Role, ...] = (
    "manager",
    "complainant",
    "respondent",
    "analyst",
    "replicator",
    "reviewer",
    "appeal_reviewer",
)
METHOD = Method(group="weights", method="fingerprint_comparison/1")
SALT = bytes(range(32))


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def party(role: Role, *, name: str | None = None, key: str | None = None) -> Party:
    seed = hashlib.sha256((key or role).encode()).digest()
    public = PrivateKey(algorithm="ed25519", seed=seed).public
    return Party(name=name or f"The {role}", role=role, keys=(encode_public(public),))


PARTIES = {role: party(role) for role in ROLES}
IDS = {role: one.id for role, one in PARTIES.items()}

MEMBERS = (
    CodedMember(code="M-1", role="decoy", name="decoy 1", digest=digest("decoy 1")),
    CodedMember(code="M-2", role="reference", name="harrow", digest=digest("harrow")),
    CodedMember(code="M-3", role="positive_control", name="known copy", digest=digest("known copy")),
    CodedMember(code="M-4", role="questioned", name="lark", digest=digest("lark")),
    CodedMember(code="M-5", role="negative_control", name="stranger", digest=digest("stranger")),
    CodedMember(code="M-6", role="decoy", name="decoy 2", digest=digest("decoy 2")),
)
TRUTH: dict[str, Outcome] = {
    "M-1": "not_related",
    "M-3": "related",
    "M-4": "related",
    "M-5": "inconclusive",
    "M-6": "not_related",
}
RELATIONS: dict[Outcome, str] = {"related": "derived", "not_related": "none_found", "inconclusive": "inconclusive"}
LINE_UP = LineUp(decoys=2, positive_controls=1, negative_controls=1, reference="M-2")


def opened(parties: Sequence[Party] | None = None, **changed: object) -> Opened:
    stated = {
        "title": "Lark and Harrow",
        "question": "Do the weights of Lark descend from those of Harrow?",
        "parties": tuple(PARTIES.values() if parties is None else parties),
        "questioned": Model(name="lark", digest=digest("lark")),
        "reference": Model(name="harrow", digest=None),
        "licence": "Section 4 asks to be named.",
        "window_days": 30,
        "funding": "Paid by the bureau.",
    }
    return Opened.model_validate(stated | changed)


def proposition(number: int, **changed: object) -> Proposition:
    stated = {
        "id": f"h{number}",
        "level": "source",
        "side": "complainant",
        "alternative": "derived",
        "statement": "Lark was fine-tuned from Harrow.",
    }
    return Proposition.model_validate(stated | changed)


def theirs(number: int) -> Proposition:
    return proposition(
        number, side="respondent", alternative="independent", statement="The two were trained independently."
    )


def proposed(*propositions: Proposition) -> Proposed:
    return Proposed(propositions=propositions or (proposition(1), theirs(2)))


def treatment(alternative: str) -> Treatment:
    return Treatment.model_validate(
        {"alternative": alternative, "tested": alternative == "independent", "how": "see the method"}
    )


def protocol(**changed: object) -> Protocol:
    stated = {
        "methods": (METHOD,),
        "populations": (digest("population"),),
        "treatments": tuple(map(treatment, ALTERNATIVES)),
        "stop_rule": "Each once.",
        "exclusions": "None.",
        "alpha": 0.01,
        "line_up": LINE_UP,
        "code_key_commitment": code_key_commitment(SALT, MEMBERS),
    }
    return Protocol.model_validate(stated | changed)


def frozen(**changed: object) -> Frozen:
    return Frozen(protocol=protocol(**changed), receipt=None)


def acquired(code: str, at: datetime, **changed: object) -> Acquired:
    name = next((member.name for member in MEMBERS if member.code == code), code)
    stated: dict[str, object] = {
        "code": code,
        "access": "fingerprint",
        "digest": digest(name),
        "blob": digest(f"fingerprint of {name}"),
        "how": "taken by hand",
        "acquired_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "filed_by": "manager",
    }
    if code.startswith("D-"):
        stated |= {"access": "document", "blob": digest(name), "title": "A log", "filed_by": "respondent", "size": 30}
    return Acquired.model_validate(stated | changed)


def analysed(code: str, outcome: Outcome | None = None, **changed: object) -> Analysed:
    came_out = outcome or TRUTH.get(code, "not_related")
    stated = {
        "group": "weights",
        "method": METHOD.method,
        "questioned": code,
        "reference": "M-2",
        "document": digest(f"finding {code} {came_out}"),
        "schema_name": "whorl.finding/1",
        "summary": Summary(outcome=came_out, relation=RELATIONS[came_out]),
    }
    return Analysed.model_validate(stated | changed)


def unblinded(members: Sequence[CodedMember] = MEMBERS, *, salt: bytes = SALT) -> Unblinded:
    return Unblinded(salt=salt.hex(), members=tuple(members))


def responded(**changed: object) -> Responded:
    return Responded.model_validate({"declined": False, "statement": "We trained it ourselves."} | changed)


def replicated(documents: Sequence[str], *, difference: float = 0.0) -> Replicated:
    again = tuple(
        Repetition(document=one, recomputed=one, largest_difference=difference, differences=()) for one in documents
    )
    return Replicated(tool="whorl 0.1.0", tolerance=1e-6, findings=again)


def reviewed(*, accepted: bool = True, answer: str = "yes", points: Sequence[str] = CHECKLIST) -> Reviewed:
    checklist = tuple(CheckedPoint.model_validate({"point": point, "answer": answer}) for point in points)
    return Reviewed(checklist=checklist, accepted=accepted, reasons="as answered")


def opined(version: int = 1, **changed: object) -> Opined:
    stated = {
        "version": version,
        "document": digest(f"opinion {version}"),
        "supersedes": None if version == 1 else digest(f"opinion {version - 1}"),
        "headline_log10": 0.2,
        "verdict": "inconclusive",
        "cause": "first" if version == 1 else "correction",
    }
    return Opined.model_validate(stated | changed)


def closed(outcome: str = "completed") -> Closed:
    return Closed.model_validate({"outcome": outcome, "reasons": "done"})


def appealed() -> Appealed:
    return Appealed(grounds=("method",), text="The population has no model like ours.")


def decided(result: str = "upheld") -> AppealDecided:
    return AppealDecided.model_validate({"result": result, "reasons": "see the file"})


def expunged(events: Sequence[int], ground: str = "retention", **changed: object) -> Expunged:
    stated = {"events": tuple(events), "blobs": (), "ground": ground, "void": False, "keys": PARTIES["manager"].keys}
    return Expunged.model_validate(stated | changed)


@dataclass
class Play:
    """A case that is played event by event; a refused event leaves it as it was."""

    state: State = START
    events: list[Event] = field(default_factory=list)
    at: datetime = BEGIN

    def event(self, role: str, body: Body, *, after: timedelta = timedelta(minutes=1)) -> Event:
        """The next event, by somebody in this role (or with this key id), so long after the last one."""
        self.at += after
        record = Record(
            sequence=self.state.events,
            previous=None if self.state.events == 0 else "00" * 32,
            kind=body.kind,
            actor=IDS.get(role, role),  # type: ignore[call-overload]
            at=f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
            commitment="00" * 32,
        )
        return Event(record=record, body=body)

    def do(self, role: str, body: Body, *, after: timedelta = timedelta(minutes=1)) -> "Play":
        """Play one event."""
        before = self.at
        event = self.event(role, body, after=after)
        try:
            self.state = advance(self.state, event)
        except BaseException:
            self.at = before
            raise
        self.events.append(event)
        return self

    def until(self, stage: str, *, outcomes: dict[str, Outcome] | None = None) -> "Play":
        """Everything that a plain case needs to come to this stage."""
        for name, step in self.steps(outcomes or {}):
            step()
            if name == stage:
                return self
        raise AssertionError(stage)

    def steps(self, outcomes: dict[str, Outcome]):  # type: ignore[no-untyped-def]
        yield "opened", lambda: self.do("manager", opened())
        yield "proposed", lambda: self.do("complainant", proposed(proposition(1))).do("respondent", proposed(theirs(2)))
        yield "frozen", lambda: self.do("manager", frozen())
        yield "acquiring", lambda: [self.do("manager", acquired(f"M-{one}", self.at)) for one in range(1, 7)]
        yield (
            "analysing",
            lambda: [self.do("analyst", analysed(code, outcomes.get(code))) for code in TRUTH],
        )
        yield "unblinded", lambda: self.do("manager", unblinded())
        yield "answered", lambda: self.do("respondent", responded())
        yield "replicated", lambda: self.do("replicator", replicated([one.document for one in self.state.analysed]))
        yield "reviewed", lambda: self.do("reviewer", reviewed())
        yield "opined", lambda: self.do("analyst", opined())
        yield "closed", lambda: self.do("manager", closed())
        yield "appealed", lambda: self.do("respondent", appealed())
        yield "decided", lambda: self.do("appeal_reviewer", decided())
