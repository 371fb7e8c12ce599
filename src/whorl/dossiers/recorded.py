"""Whether a finding's few figures in the chain are those of the finding itself, and it is about what was acquired.

Controls are judged by the figures in the chain. Whoever holds the findings can see that these were not made up.
"""

import math
from typing import Final, TypeAlias

from pydantic import ValidationError

from whorl.core.behaviour import Behaviour
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Finding, PValue
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.answers_again import answer_relation, answers_p, require_planned, require_ranks
from whorl.dossiers.events import Analysed, Facts, Group, Summary, outcome_of
from whorl.dossiers.state import NEEDED_ACCESS, State

MAX_FINDING_BYTES: Final = 1 << 24
EXACT_TESTS: Final = {
    "index_coincidences/1": "the two models are independent",
    "increasing_subsequence/1": "the two models are independent",
    "residual_coincidences/1": "the two models are independent",
}
"""Exact tests of stored fingerprints, each with its null hypothesis."""
_MOST_TESTS: Final = 6.0
"""log10 of the largest number of tests that one bound may count."""
_DEPTH: Final = 32
Found: TypeAlias = Finding | Behaviour
_SCHEMAS: Final[dict[Group, tuple[str, type[Finding] | type[Behaviour]]]] = {
    "weights": ("whorl.finding/1", Finding),
    "behaviour": ("whorl.behaviour/1", Behaviour),
}


def summary_of(found: Found, *, alpha: float) -> Summary:
    """The few figures of a finding that the chain states.

    Parameters
    ----------
    alpha : the protocol's level, for ranks
    """
    if isinstance(found, Behaviour):
        relation, p = answer_relation(found, alpha=alpha), answers_p(found)
        return Summary(
            outcome=outcome_of(relation),
            relation=relation,
            log10_lr=found.verdicts.weights_related.log10_lr,
            log10_p=None if p is None else math.log10(p),
        )
    conclusion = found.conclusion
    return Summary(
        outcome=outcome_of(conclusion.relation),
        relation=conclusion.relation,
        log10_lr=conclusion.log10_lr,
        log10_p=conclusion.log10_p,
    )


def parse_found(data: bytes, *, group: Group, schema: str, what: str) -> Found:
    """Read a stored finding of a group of evidence.

    Raises
    ------
    InputError
        If it is none of that group's schema.
    """
    document = parse_json_object(data, what=what, max_bytes=MAX_FINDING_BYTES, max_depth=_DEPTH)
    wanted = _SCHEMAS.get(group)
    if wanted is None or schema != wanted[0] or document.get("schema") != schema:
        known = wanted[0] if wanted else "a schema that this release knows"
        raise InputError(f"{what}: expected {known} for a finding on {group}, found {schema}")
    try:
        return wanted[1].model_validate_json(data)
    except ValidationError:
        raise InputError(f"{what}: expected a finding of schema {schema}, found something else") from None


def require_recorded(state: State, one: Analysed, data: bytes) -> Found:
    """Check a stored finding against the event that records it, and give it.

    Parameters
    ----------
    state : with the exhibits that were acquired
    data : the finding's bytes, whose digest was checked

    Raises
    ------
    InputError
        If it is no finding of the schema that the event names.
    VerificationError
        If it is about other exhibits, names a model, states ranks that its scores do not give, or says something else
        than the chain does.
    """
    what = f"finding {one.document}"
    found = parse_found(data, group=one.group, schema=one.schema_name, what=what)
    if isinstance(found, Behaviour):
        if found.reference is None or found.claimed is not None or found.task != "compare":
            raise VerificationError(f"{what}: expected a comparison of two models under codes, found something else")
        sides = (
            (found.questioned.name, found.questioned.transcript),
            (found.reference.name, found.reference.transcript),
        )
        _require_exhibits(state, one, sides)
        require_ranks(found, what=what)
        require_planned(found, _planned(state, one), what=what)
    else:
        _require_exhibits(
            state,
            one,
            ((found.questioned.name, found.questioned.digest), (found.reference.name, found.reference.digest)),
        )
        if any(side.access != NEEDED_ACCESS[one.group] for side in (found.questioned, found.reference)):
            raise VerificationError(f"{what}: expected it to be about stored fingerprints, found other access")
        _require_exact(found, what=what)
    assert state.protocol is not None
    summary = summary_of(found, alpha=state.protocol.alpha)
    if summary != one.summary:
        raise VerificationError(
            f"{what}: expected it to say what the chain says of it ({one.summary.relation}), found "
            f"{summary.relation} or other figures"
        )
    return found


def _planned(state: State, one: Analysed) -> Facts:
    assert state.protocol is not None
    return next(
        method.parameters
        for method in state.protocol.methods
        if (method.group, method.method) == (one.group, one.method)
    )


def _require_exact(found: Finding, *, what: str) -> None:
    """Exact tests are of the kinds that are known, and none goes beyond the bound that the chain states of them all."""
    tests = [item for item in found.evidence if isinstance(item, PValue)]
    for test in tests:
        if EXACT_TESTS.get(test.method) != test.null:
            raise VerificationError(
                f"{what}: expected an exact test that this release knows, with its null hypothesis, found "
                f"{test.method[:60]!a}; refuse it"
            )
    stated = found.conclusion.log10_p
    least = min((test.log10_p for test in tests), default=0.0)
    if (stated is None) == bool(tests) or (stated is not None and stated > least + _MOST_TESTS):
        raise VerificationError(
            f"{what}: expected a bound over all {len(tests)} exact tests beside a least of 10^{least:.4g}, found "
            f"{stated}; refuse it"
        )


def _require_exhibits(state: State, one: Analysed, sides: tuple[tuple[str, str], tuple[str, str]]) -> None:
    access = NEEDED_ACCESS[one.group]
    for code, (name, digest) in zip((one.questioned, one.reference), sides, strict=True):
        acquired = next(
            (exhibit for exhibit in state.acquired if (exhibit.code, exhibit.access) == (code, access)), None
        )
        if acquired is None or (name, digest) != (code, acquired.digest):
            raise VerificationError(
                f"finding {one.document}: expected it to be about {code} as it was acquired, found it about "
                f"{name[:60]!a} with other content, or under another name"
            )
