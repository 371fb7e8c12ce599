"""Comparisons of a line-up by codes: from stored exhibits alone, so that a second analyst gets the same findings.

Nothing here knows which model a code stands for. A method is a name with a version; what it needs beyond the exhibits
is in the protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from whorl.cases.store import CaseStore
from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.differences import differences
from whorl.dossiers.events import Analysed, Group, Method, Repetition, Summary
from whorl.dossiers.populations import calibrated, is_answers
from whorl.dossiers.recorded import MAX_FINDING_BYTES, Found, summary_of
from whorl.dossiers.state import NEEDED_ACCESS, State

if TYPE_CHECKING:
    from whorl.comparison.answer_population import AnswerPopulation
    from whorl.statistics.ratio_population import Population

FINGERPRINT_COMPARISON: Final = "fingerprint_comparison/1"
ANSWER_COMPARISON: Final = "answer_comparison/1"
_MOST_DIFFERENCES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A finding as it is kept, and its few figures."""

    document: bytes
    schema: str
    summary: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What methods take from outside the case, by digest: calibrated populations, and control models' answers."""

    populations: "Mapping[str, Population]"
    controls: "Mapping[str, AnswerPopulation]"


Compare = Callable[[bytes, bytes, Method, Tools], Found]


def tools_of(state: State, store: CaseStore) -> Tools:
    """The populations that the protocol fixed, from the case's own exhibits."""
    assert state.protocol is not None
    return read_tools([store.get(digest) for digest in state.protocol.populations])


def read_tools(populations: Sequence[bytes]) -> Tools:
    """Read the files of populations.

    Raises
    ------
    InputError
        If one is none that this release knows.
    """
    controls = [_controls(data) for data in populations if is_answers(data)]
    return Tools(
        populations=calibrated({f"population {place}": data for place, data in enumerate(populations)}),
        controls={one.digest: one for one in controls},
    )


def _controls(data: bytes) -> "AnswerPopulation":
    from whorl.cases.coded_transcript import readable
    from whorl.comparison.answer_population import read_population

    with readable(data, name="population.pop") as path:
        return read_population(path)


def require_usable(methods: Sequence[Method], tools: Tools) -> None:
    """Check that this release can follow the protocol, before it is fixed.

    Raises
    ------
    InputError
        If it does not know a method, or a population is missing.
    """
    for method in methods:
        _known(method)
        if method.group == "behaviour":
            _answer_controls(method, tools)
        else:
            _population(method, tools)


def _known(method: Method) -> Compare:
    group, compare = _METHODS.get(method.method, ("", None))
    if compare is None or method.group != group:
        known = ", ".join(f"{name} in {of}" for name, (of, _) in _METHODS.items())
        raise InputError(
            f"expected one of the methods {known}, found {method.method!a} in {method.group}; another release may "
            "know it"
        )
    return compare


def _population(method: Method, tools: Tools) -> "Population":
    named = method.parameters.get("population")
    population = tools.populations.get(str(named))
    if population is None:
        raise InputError(
            f"{method.method}: expected the population {named!a} that it names, found none among the "
            f"{len(tools.populations)} given; give its file"
        )
    return population


def _answer_controls(method: Method, tools: Tools) -> "AnswerPopulation":
    named, battery = method.parameters.get("population"), method.parameters.get("battery")
    controls = tools.controls.get(str(named))
    if controls is None:
        raise InputError(
            f"{method.method}: expected the control models' answers {named!a} that it names, found none among the "
            f"{len(tools.controls)} given; give the file of `whorl population build`"
        )
    if method.parameters.get("models") != len(controls.models):
        raise InputError(
            f"{method.method}: expected `models`, the number of control models ({len(controls.models)}), found "
            f"{method.parameters.get('models')!a}; `whorl population show` prints it"
        )
    if str(battery) not in {one.digest for one in controls.batteries}:
        raise InputError(
            f"{method.method}: expected the digest of a battery that the control models were asked, found {battery!a}"
        )
    return controls


def examine(state: State, method: Method, code: str, *, store: CaseStore, tools: Tools) -> Examined:
    """Compare one model of the line-up with the reference.

    Raises
    ------
    InputError
        If this release does not know the method, or an exhibit or a population is missing.
    """
    assert state.protocol is not None
    pair = [_exhibit(state, one, method, store) for one in (code, state.protocol.line_up.reference)]
    found = _known(method)(pair[0], pair[1], method, tools)
    return Examined(
        document=found.model_dump_json().encode(),
        schema=found.schema_,
        summary=summary_of(found, alpha=state.protocol.alpha),
    )


def event_of(state: State, method: Method, code: str, found: Examined) -> Analysed:
    """The event that records a finding."""
    assert state.protocol is not None
    return Analysed(
        group=method.group,
        method=method.method,
        questioned=code,
        reference=state.protocol.line_up.reference,
        document=digest_bytes(found.document),
        schema_name=found.schema,
        summary=found.summary,
    )


def repeat(state: State, one: Analysed, *, store: CaseStore, tools: Tools) -> tuple[Repetition, bytes]:
    """Make a finding again and say where it differs; with the document made now."""
    assert state.protocol is not None
    method = next(
        method for method in state.protocol.methods if (method.group, method.method) == (one.group, one.method)
    )
    again = examine(state, method, one.questioned, store=store, tools=tools)
    first = parse_json_object(store.get(one.document), what="finding", max_bytes=MAX_FINDING_BYTES, max_depth=32)
    second = parse_json_object(again.document, what="finding", max_bytes=MAX_FINDING_BYTES, max_depth=32)
    largest, places = differences(first, second, where="finding")
    return (
        Repetition(
            document=one.document,
            recomputed=digest_bytes(again.document),
            largest_difference=min(largest, 1e9),
            differences=tuple(places[:_MOST_DIFFERENCES]),
        ),
        again.document,
    )


def _exhibit(state: State, code: str, method: Method, store: CaseStore) -> bytes:
    access = NEEDED_ACCESS[method.group]
    found = next((one for one in state.acquired if (one.code, one.access) == (code, access)), None)
    if found is None or found.blob is None:
        raise InputError(f"expected the exhibit {code} ({access}) in the case, found none; acquire it first")
    return store.get(found.blob)


def _compare_fingerprints(questioned: bytes, reference: bytes, method: Method, tools: Tools) -> Found:
    from whorl.comparison.comparing import compare_fingerprints
    from whorl.fingerprints.weight_fingerprint import parse_fingerprint

    return compare_fingerprints(
        parse_fingerprint(questioned, origin="questioned exhibit"),
        parse_fingerprint(reference, origin="reference exhibit"),
        population=_population(method, tools),
        with_power=bool(method.parameters.get("power", 0)),
    )


def _compare_answers(questioned: bytes, reference: bytes, method: Method, tools: Tools) -> Found:
    from whorl.cases.coded_transcript import readable
    from whorl.comparison.asked import from_transcript
    from whorl.comparison.behaviour import compare_behaviour
    from whorl.probes.transcript_reading import read_transcript

    with readable(questioned, name="questioned") as first, readable(reference, name="reference") as second:
        sides = [read_transcript(path) for path in (first, second)]
    battery = sides[0].header.battery
    if any(side.header.battery.digest != method.parameters.get("battery") for side in sides):
        raise InputError(
            f"{method.method}: expected answers to the battery that the protocol names, found others; ask the models "
            "what was agreed on"
        )
    asked = [from_transcript(side, name=side.header.endpoint.model) for side in sides]
    return compare_behaviour(asked[0], asked[1], battery, _answer_controls(method, tools))


_METHODS: Final[dict[str, tuple[Group, Compare]]] = {
    FINGERPRINT_COMPARISON: ("weights", _compare_fingerprints),
    ANSWER_COMPARISON: ("behaviour", _compare_answers),
}
