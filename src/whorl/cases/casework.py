"""What people do in a case, one function for each verb. Each enters signed events and gives the case as it is then.

Whether it is allowed, `whorl.dossiers.proceeding` decides when the event is entered; long work asks before it begins.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Final, Literal

from whorl.cases.acquiring import TOOL, acquisition, content_of, fingerprint, instant, require_places
from whorl.cases.analysing import event_of, examine, read_tools, repeat, require_usable, tools_of
from whorl.cases.case import Case, CaseView
from whorl.cases.input_files import ProtocolPlan
from whorl.cases.line_up import SECRET_FILE, Candidates, deal, read_dealt, write_dealt
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
    Protocol,
    Replicated,
    Responded,
    Reviewed,
    Role,
    Unblinded,
)
from whorl.dossiers.filing_rules import require_room
from whorl.dossiers.issued_opinion import verdict_of
from whorl.dossiers.naming import require_plain, twins
from whorl.dossiers.preparing_rules import require_freezable
from whorl.dossiers.recorded import require_recorded
from whorl.dossiers.state import NEEDED_ACCESS
from whorl.entries.keys import IssuerKey
from whorl.entries.leaf import SALT_BYTES

TOLERANCE: Final = 1e-6
"""Largest relative difference of a figure that a second machine may find."""


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
    try:
        create_store(partial)
        view = Case(partial, now=now, random_bytes=random_bytes).enter(opening, key)
        partial.rename(path)
    except BaseException as error:
        rmtree(partial, ignore_errors=True)
        if why := _of_the_disk(error):
            raise InputError(
                f"{path}: expected room and permission for a new case, found none ({why}); nothing was made. Free some "
                "space, or choose another place"
            ) from error
        raise
    return view


def _of_the_disk(error: BaseException) -> str | None:
    """What the disk or the operating system said, where it is at fault."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror
    return str(error.__cause__) if isinstance(error.__cause__, sqlite3.Error) else None


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
    commit: Callable[[Protocol], bytes] | None = None,
    progress: Progress = silent,
) -> CaseView:
    """Deal the line-up, commit to it, and fix the protocol.

    Parameters
    ----------
    populations : files of the calibrated populations that the methods name; the case keeps them
    commit : commits to the protocol in a registry before it is fixed here, and gives the receipt

    Raises
    ------
    VerificationError
        If a rule refuses the protocol, or a candidate's name is none that a case keeps.
    """
    state = case.ready_for("frozen", key)
    _require_names(candidates)
    require_usable(plan.methods, read_tools(populations))
    dealt = deal(
        candidates,
        salt=case.random_bytes(SALT_BYTES),
        digest_of=lambda path: content_of(fingerprint(Path(path), progress)),
    )
    require_places(dealt.members, {NEEDED_ACCESS[one.group] for one in plan.methods if one.group in NEEDED_ACCESS})
    kept = tuple(map(case.store.put, populations))
    protocol = plan.with_line_up(dealt.stated, dealt.commitment, kept)
    require_freezable(state, protocol)  # before anybody is told of it
    write_dealt(case.path, dealt)
    try:
        receipt = None if commit is None else case.store.put(commit(protocol))
    except BaseException:
        (case.path / SECRET_FILE).unlink()  # no event was made yet that could state it
        raise
    # From here on the line-up stays, whatever the answer is: a service may keep the event and say that it does not.
    return case.enter(Frozen(protocol=protocol, receipt=receipt), key)


def _require_names(candidates: Candidates) -> None:
    """Names stand in the opinion in the end: what is wrong with one is said while it can be changed."""
    groups = (candidates.decoys, candidates.positive_controls, candidates.negative_controls)
    names = [
        one.name for one in (candidates.questioned, candidates.reference, *(one for some in groups for one in some))
    ]
    for name in names:
        require_plain(name, where="rule 8: line-up")
    if alike := twins(names):
        raise InputError(
            f"line-up: expected models whose names can be told apart, found {alike[0]!a} and {alike[1]!a}; rename one"
        )


def acquire_line_up(case: Case, key: IssuerKey, *, progress: Progress = silent) -> CaseView:
    """Take what the protocol needs of every model of the line-up and nobody took yet, under its code.

    Of weights it is the stored fingerprint, of answers the coded transcript.

    Raises
    ------
    VerificationError
        If a model is another than when the protocol was frozen; those before it are acquired.
    InputError
        If a transcript is missing, is not whole, or somebody else was asked.
    """
    state = case.ready_for("acquired", key)
    assert state.protocol is not None
    dealt = read_dealt(case.path, state.protocol.code_key_commitment)
    members = {member.code: member for member in dealt.members}
    view = case.read()
    for code, access in state.not_acquired():
        at = case.time_after(view.state.at)
        taken = acquisition(members[code], access, keep=case.store.put, at=at, progress=progress)
        view = case.enter(taken, key)
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
    require_room(state, state.parties[key.id.hex()].role, len(data))
    digest = case.store.put(data)
    body = Acquired(
        code=f"D-{number}",
        access="document",
        digest=digest,
        blob=digest,
        how=how,
        acquired_at=instant(case.time_after(state.at)),
        filed_by=filed_by or state.parties[key.id.hex()].role,
        title=title,
        size=len(data),
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
    assert state.protocol is not None
    dealt = read_dealt(case.path, state.protocol.code_key_commitment)
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
    document : the opinion's bytes, whose verdict the event states; the case looks at nothing else in them
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
        verdict=verdict_of(document),
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
