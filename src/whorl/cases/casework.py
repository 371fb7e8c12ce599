"""What people do in a case, one function for each verb. Each enters signed events and gives the case as it is then.

Whether it is allowed, `whorl.dossiers.proceeding` decides when the event is entered; long work asks before it begins.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Literal

from whorl import __version__
from whorl.cases.analysing import event_of, examine, read_tools, repeat, require_usable, tools_of
from whorl.cases.case import Case, CaseView
from whorl.cases.input_files import ProtocolPlan
from whorl.cases.line_up import SECRET_FILE, Candidates, DealtMember, deal, read_dealt, write_dealt
from whorl.cases.store import create_store
from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress, silent
from whorl.dossiers.events import (
    Acquired,
    AppealDecided,
    Appealed,
    CheckedPoint,
    Closed,
    Frozen,
    Ground,
    Joined,
    Opened,
    Opined,
    Party,
    Proposed,
    Proposition,
    Replicated,
    Responded,
    Reviewed,
    Role,
    Unblinded,
)
from whorl.dossiers.recorded import require_recorded
from whorl.entries.keys import IssuerKey
from whorl.entries.leaf import SALT_BYTES

if TYPE_CHECKING:
    from whorl.fingerprints.weight_fingerprint import WeightFingerprint

TOLERANCE: Final = 1e-6
"""Largest relative difference of a figure that a second machine may find."""
TOOL: Final = f"whorl {__version__}"


def new_case(
    path: Path,
    opening: Opened,
    key: IssuerKey,
    *,
    now: Callable[[], datetime],
    random_bytes: Callable[[int], bytes],
) -> CaseView:
    """Open a case in a new folder, which appears with its first event or not at all.

    Raises
    ------
    InputError
        If something is there already.
    VerificationError
        If a role is missing, one person has two, or the key is not the manager's.
    """
    if path.exists():
        raise InputError(f"{path}: exists already and was left alone; choose another place for a new case")
    partial = path.with_name(f".{token_hex(8)}.partial")
    create_store(partial)
    try:
        view = Case(partial, now=now, random_bytes=random_bytes).enter(opening, key)
        partial.rename(path)
    except BaseException:
        for file in partial.iterdir():
            file.unlink()
        partial.rmdir()
        raise
    return view


def join(case: Case, party: Party, key: IssuerKey) -> CaseView:
    """Name a replicator or an appeal reviewer."""
    return case.enter(Joined(party=party), key)


def propose(case: Case, propositions: Sequence[Proposition], key: IssuerKey) -> CaseView:
    """File propositions."""
    return case.enter(Proposed(propositions=tuple(propositions)), key)


def freeze(
    case: Case,
    *,
    plan: ProtocolPlan,
    candidates: Candidates,
    populations: Sequence[bytes],
    key: IssuerKey,
    receipt: str | None = None,
    progress: Progress = silent,
) -> CaseView:
    """Deal the line-up, commit to it, and fix the protocol.

    Parameters
    ----------
    populations : files of the calibrated populations that the methods name; the case keeps them
    receipt : digest of a registry's receipt for the protocol, where it was committed to there
    """
    case.ready_for("frozen", key)
    require_usable(plan.methods, read_tools(populations))
    if (case.path / SECRET_FILE).exists():
        raise InputError(
            f"{case.path / SECRET_FILE}: expected no line-up before the protocol is frozen, found one of a freezing "
            "that did not finish; remove it and freeze again"
        )
    dealt = deal(
        candidates,
        salt=case.random_bytes(SALT_BYTES),
        digest_of=lambda path: _content(_fingerprint(Path(path), progress)),
    )
    kept = tuple(map(case.store.put, populations))
    protocol = plan.with_line_up(dealt.stated, dealt.commitment, kept)
    write_dealt(case.path, dealt)
    try:
        return case.enter(Frozen(protocol=protocol, receipt=receipt), key)
    except BaseException:
        if case.read().state.protocol is None:
            (case.path / SECRET_FILE).unlink()
        raise


def acquire_line_up(case: Case, key: IssuerKey, *, progress: Progress = silent) -> CaseView:
    """Take the stored fingerprint of every model of the line-up that was not acquired yet, under its code.

    Raises
    ------
    VerificationError
        If a model is another than when the protocol was frozen; those before it are acquired.
    """
    state = case.ready_for("acquired", key)
    members = {member.code: member for member in read_dealt(case.path).members}
    view = case.read()
    for code, _ in state.not_acquired():
        view = case.enter(_acquisition(case, members[code], progress), key)
    return view


def acquire_document(
    case: Case, data: bytes, *, title: str, how: str, filed_by: Role | None, key: IssuerKey
) -> CaseView:
    """File a document; it gets the next code D-n and is kept byte for byte.

    Parameters
    ----------
    filed_by : for whom the manager files it; left out, whoever signs
    """
    state = case.ready_for("acquired", key)
    number = 1 + sum(one.access == "document" for one in state.acquired)
    digest = case.store.put(data)
    body = Acquired(
        code=f"D-{number}",
        access="document",
        digest=digest,
        blob=digest,
        how=how,
        acquired_at=_instant(case.now()),
        filed_by=filed_by or state.parties[key.id.hex()].role,
        title=title,
    )
    return case.enter(body, key)


def analyse(case: Case, key: IssuerKey, *, progress: Progress = silent) -> CaseView:
    """Make every comparison of the protocol that is still due; each finding is entered as soon as it is made.

    Only codes and exhibits are looked at, never the line-up.
    """
    state = case.ready_for("analysed", key)
    due = state.not_analysed()
    view = case.read()
    if missing := state.not_acquired():
        raise VerificationError(
            f"rule 13: expected the whole line-up acquired before anything is analysed, found {missing[0][0]} missing "
            f"and {len(missing) - 1} more; have them acquired first"
        )
    tools = tools_of(state, case.store)
    for done, (method, code) in enumerate(due, start=1):
        found = examine(state, method, code, store=case.store, tools=tools)
        case.store.put(found.document)
        view = case.enter(event_of(state, method, code, found), key)
        progress("comparisons", done, len(due))
    return view


def unblind(case: Case, key: IssuerKey) -> CaseView:
    """Show the code key. The controls decide then whether the run is void.

    Raises
    ------
    VerificationError
        If a finding says something else than was recorded of it, or the code key is not the one committed to.
    """
    state = case.ready_for("unblinded", key)
    for one in state.analysed:
        require_recorded(state, one, case.store.get(one.document))
    dealt = read_dealt(case.path)
    return case.enter(Unblinded(salt=dealt.salt, members=dealt.coded), key)


def respond(
    case: Case,
    key: IssuerKey,
    *,
    statement: str,
    declined: bool = False,
    alternatives: Sequence[Proposition] = (),
    exhibits: Sequence[str] = (),
) -> CaseView:
    """Answer for the respondent, or say that no answer will come."""
    body = Responded(declined=declined, statement=statement, alternatives=tuple(alternatives), exhibits=tuple(exhibits))
    return case.enter(body, key)


def replicate(case: Case, key: IssuerKey, *, tolerance: float = TOLERANCE, progress: Progress = silent) -> CaseView:
    """Make every finding again from the stored exhibits, and record where the new ones differ."""
    state = case.ready_for("replicated", key)
    tools, repeated = tools_of(state, case.store), []
    for done, one in enumerate(state.analysed, start=1):
        repetition, document = repeat(state, one, store=case.store, tools=tools)
        case.store.put(document)
        repeated.append(repetition)
        progress("comparisons", done, len(state.analysed))
    return case.enter(Replicated(tool=TOOL, tolerance=tolerance, findings=tuple(repeated)), key)


def review(case: Case, key: IssuerKey, *, checklist: Sequence[CheckedPoint], accepted: bool, reasons: str) -> CaseView:
    """Record the second person's review of the file."""
    return case.enter(Reviewed(checklist=tuple(checklist), accepted=accepted, reasons=reasons), key)


def opine(
    case: Case,
    document: bytes,
    key: IssuerKey,
    *,
    headline_log10: float | None = None,
    cause: Literal["calibration", "correction", "appeal"] = "correction",
    text: str = "",
) -> CaseView:
    """Issue an opinion: the first, or the next version.

    Parameters
    ----------
    document : the opinion's bytes; the case keeps them and looks at nothing in them
    headline_log10 : bounded log10 ratio against the least favourable alternative; None where there is none
    cause, text : why there is a new version; not used for the first
    """
    state = case.ready_for("opined", key)
    before = state.opinions[-1] if state.opinions else None
    body = Opined(
        version=len(state.opinions) + 1,
        document=case.store.put(document),
        supersedes=None if before is None else before.document,
        headline_log10=headline_log10,
        cause="first" if before is None else cause,
        text="" if before is None else text,
    )
    return case.enter(body, key)


def close(
    case: Case,
    key: IssuerKey,
    *,
    outcome: Literal["completed", "void", "withdrawn", "unanswerable"],
    reasons: str,
) -> CaseView:
    """Close the case."""
    return case.enter(Closed(outcome=outcome, reasons=reasons), key)


def appeal(case: Case, key: IssuerKey, *, grounds: Sequence[Ground], text: str) -> CaseView:
    """Appeal against the opinion."""
    return case.enter(Appealed(grounds=tuple(grounds), text=text), key)


def decide(case: Case, key: IssuerKey, *, result: Literal["upheld", "varied", "annulled"], reasons: str) -> CaseView:
    """Decide on an appeal; the result is what becomes of the opinion."""
    return case.enter(AppealDecided(result=result, reasons=reasons), key)


def _acquisition(case: Case, member: DealtMember, progress: Progress) -> Acquired:
    found = _fingerprint(Path(member.path), progress)
    content = _content(found)
    if content != member.digest:
        raise VerificationError(
            f"{member.code}: expected the model that was there when the protocol was frozen, found another content: it "
            "was changed since; put the first one back"
        )
    coded = type(found)(header=found.header.model_copy(update={"name": member.code}), arrays=found.arrays)
    return Acquired(
        code=member.code,
        access="fingerprint",
        digest=content,
        blob=case.store.put(coded.to_bytes()),
        how=f"{found.header.schema_} of the model, taken by {TOOL} under its code",
        acquired_at=_instant(case.now()),
        filed_by="manager",
    )


def _fingerprint(path: Path, progress: Progress) -> "WeightFingerprint":
    from whorl.comparison.subjects import fingerprint_of

    return fingerprint_of(path, progress=progress)


def _content(fingerprint: "WeightFingerprint") -> str:
    from whorl.comparison.subjects import content_digest

    return content_digest(fingerprint.view())


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
