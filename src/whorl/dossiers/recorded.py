"""Whether a finding's few figures in the chain are those of the finding itself, and it is about what was acquired.

Controls are judged by the figures in the chain. Whoever holds the findings can see that these were not made up.
"""

from typing import Final

from pydantic import ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Finding, Subject
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.events import Analysed, Summary, outcome_of
from whorl.dossiers.state import NEEDED_ACCESS, State

MAX_FINDING_BYTES: Final = 1 << 24
_DEPTH: Final = 32


def summary_of(finding: Finding) -> Summary:
    """The few figures of a finding on weights that the chain states."""
    conclusion = finding.conclusion
    return Summary(
        outcome=outcome_of(conclusion.relation),
        relation=conclusion.relation,
        log10_lr=conclusion.log10_lr,
        log10_p=conclusion.log10_p,
    )


def require_recorded(state: State, one: Analysed, data: bytes) -> None:
    """Check a stored finding against the event that records it.

    Parameters
    ----------
    state : with the exhibits that were acquired
    data : the finding's bytes, whose digest was checked

    Raises
    ------
    InputError
        If it is no finding of the schema that the event names.
    VerificationError
        If it is about other exhibits, names a model, or says something else than the chain does.
    """
    what = f"finding {one.document}"
    document = parse_json_object(data, what=what, max_bytes=MAX_FINDING_BYTES, max_depth=_DEPTH)
    if one.schema_name != "whorl.finding/1" or document.get("schema") != one.schema_name:
        raise InputError(f"{what}: expected a finding of schema whorl.finding/1, found {one.schema_name}")
    try:
        finding = Finding.model_validate_json(data)
    except ValidationError:
        raise InputError(f"{what}: expected a finding of schema whorl.finding/1, found something else") from None
    for code, subject in ((one.questioned, finding.questioned), (one.reference, finding.reference)):
        _require_exhibit(state, one, code, subject)
    if summary_of(finding) != one.summary:
        raise VerificationError(
            f"{what}: expected it to say what the chain says of it ({one.summary.relation}), found "
            f"{finding.conclusion.relation} or other figures"
        )


def _require_exhibit(state: State, one: Analysed, code: str, subject: Subject) -> None:
    access = NEEDED_ACCESS[one.group]
    acquired = next((exhibit for exhibit in state.acquired if (exhibit.code, exhibit.access) == (code, access)), None)
    if acquired is None or (subject.name, subject.digest, subject.access) != (code, acquired.digest, acquired.access):
        raise VerificationError(
            f"finding {one.document}: expected it to be about {code} as it was acquired, found it about "
            f"{subject.name[:60]!a} with other content, or under another name"
        )
