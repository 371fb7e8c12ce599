"""The Bayes net behind documents: ratios over all ranges, and what would change them.

Each probability that has a range stands in one column of one table of the net, so that P(exhibits | proposition) is
affine in each of them alone, and the ratio of two of them is monotone in each of them alone. Both its least and its
largest value over the ranges are therefore at corners. Given the proposition, parties are independent of each other
(but for those whose documents speak of access), so that each is taken alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any, Final

from whorl.cases.documents import (
    LEAST_FAILURE,
    SCENARIOS,
    Alibi,
    DatedDocument,
    DocumentRatio,
    DocumentsWeight,
    Exhibits,
    Log10Range,
    Moved,
    Range,
    Scenario,
)
from whorl.core.progress import Progress, silent
from whorl.dossiers.events import ALTERNATIVES, Alternative

MOST_CORNERS: Final = 1 << 9
NO_EFFECT: Final = 1e-9
IMPOSSIBLE: Final = 1e-300

Point = Mapping[str, float]


def weigh_documents(exhibits: Exhibits, *, progress: Progress = silent) -> DocumentsWeight:
    """The exhibits' ratio against every alternative.

    A prior enters nowhere: each proposition is set in turn. No posterior is computed.
    """
    ranges = dict(_ranges(exhibits))
    net = _Net(exhibits)
    known: dict[tuple[bool, ...], _Spread] = {}
    ratios = []
    for done, alternative in enumerate(ALTERNATIVES):
        speaks = tuple(_true_under(one, alternative) for one in exhibits.documents)
        if speaks not in known:
            known[speaks] = _spread(net, ranges, exhibits, alternative)
        ratios.append(_ratio(known[speaks], alternative, exhibits.similarity.get(alternative)))
        progress("weighing documents", done + 1, len(ALTERNATIVES))
    return DocumentsWeight(exhibits=exhibits, ratios=tuple(ratios), remarks=tuple(_remarks(exhibits)))


def _remarks(exhibits: Exhibits) -> Iterator[str]:
    for alibi in exhibits.alibis:
        if not alibi.in_time:
            yield (
                f"{alibi.code} does not weigh: the model is shown to have existed by {alibi.existed_by}, and the "
                f"reference could be reached from {alibi.reference_reachable_from}"
            )
        elif alibi.attested is None:
            yield f"{alibi.code}: the time is stated by {alibi.filed_by}; no receipt was verified for it"
        elif alibi.attested.standing == "unknown":
            yield f"{alibi.code}: the receipt does not say whether anything speaks against the entry"
    if not exhibits.similarity:
        yield "No similarity evidence is in these ratios."
    for one in exhibits.documents:
        if one.kind == "publication" and one.true_under != ("published_idea",):
            yield f"{one.code}: a publication shows that an idea was public, not where weights come from"


def _ranges(exhibits: Exhibits) -> Iterator[tuple[str, Range]]:
    yield "access", exhibits.access
    for party in sorted({one.filed_by for one in exhibits.documents}):
        yield f"{party}.willing", exhibits.willing[party]
    for one in exhibits.documents:
        for name in _OF_DOCUMENT:
            yield f"{one.code}.{name}", getattr(one, name)
    for alibi in exhibits.alibis:
        if alibi.in_time:
            yield f"{alibi.code}.early_access", alibi.early_access
            yield f"{alibi.code}.failure", alibi.failure


class _Net:
    """The net, built once; its tables are filled for a point in the ranges."""

    def __init__(self, exhibits: Exhibits) -> None:
        self._gum: Any = import_module("pyagrum")  # untyped
        self._exhibits = exhibits
        self._net = self._gum.BayesNet("documents")
        self._evidence: dict[str, str] = {}
        self._filled: dict[str, tuple[float, ...]] = {}
        self._add("proposition", SCENARIOS)
        self._net.cpt("proposition").fillWith([1 / len(SCENARIOS)] * len(SCENARIOS))
        for name, scenarios in _FACTS.items():
            self._add(name, _NO_YES, "proposition")
            for scenario in SCENARIOS:
                self._fill(name, {"proposition": scenario}, float(scenario in scenarios))
        self._add("access", _NO_YES, "derived")
        for party in sorted({one.filed_by for one in exhibits.documents}):
            self._add(f"{party}.willing", _NO_YES)
            self._add(f"{party}.audit_fails", _NO_YES)
            self._net.cpt(f"{party}.audit_fails").fillWith([1 - LEAST_FAILURE, LEAST_FAILURE])
        for one in exhibits.documents:
            self._add_document(one)
        for alibi in exhibits.alibis:
            if alibi.in_time:
                self._add(f"{alibi.code}.early_access", _NO_YES)
                self._add(alibi.code, _NO_YES, "derived", f"{alibi.code}.early_access")
                self._evidence[alibi.code] = "yes"

    def log10_ratio(self, alternative: Alternative, point: Point) -> float:
        """log10 of how much more probable the exhibits are under derivation."""
        self._fill_for(point)
        both = [self._probability(scenario) for scenario in ("derived", alternative)]
        return math.log10(max(both[0], IMPOSSIBLE)) - math.log10(max(both[1], IMPOSSIBLE))

    def _probability(self, scenario: str) -> float:
        if not self._evidence:
            return 1.0
        inference = self._gum.LazyPropagation(self._net)
        inference.setEvidence({**self._evidence, "proposition": scenario})
        return float(inference.evidenceProbability()) * len(SCENARIOS)

    def _add(self, name: str, states: Sequence[str], *parents: str) -> None:
        self._net.add(self._gum.LabelizedVariable(name, "", list(states)))
        for parent in parents:
            self._net.addArc(parent, name)

    def _add_document(self, one: DatedDocument) -> None:
        cause = "access" if one.true_under == "access" else "proposition"
        fact, forged = f"{one.code}.true", f"{one.code}.forged"
        self._add(fact, _NO_YES, cause)
        self._add(forged, _NO_YES, fact, f"{one.filed_by}.willing")
        self._add(one.code, _NO_YES, fact, forged, f"{one.filed_by}.audit_fails")
        self._evidence[one.code] = "yes"

    def _fill(self, name: str, given: Mapping[str, str], probability: float) -> None:
        self._net.cpt(name)[dict(given)] = [1 - probability, probability]

    def _fill_for(self, point: Point) -> None:
        self._fill("access", {"derived": "yes"}, 1.0)
        self._fill("access", {"derived": "no"}, point["access"])
        for party in sorted({one.filed_by for one in self._exhibits.documents}):
            self._net.cpt(f"{party}.willing").fillWith([1 - point[f"{party}.willing"], point[f"{party}.willing"]])
        for one in self._exhibits.documents:
            values = tuple(point[f"{one.code}.{name}"] for name in _OF_DOCUMENT)
            if self._filled.get(one.code) != values:  # a table that stays costs as much to fill as to ask
                self._fill_document(one, point)
                self._filled[one.code] = values
        for alibi in self._exhibits.alibis:
            if alibi.in_time:
                self._fill_alibi(alibi, point)

    def _fill_document(self, one: DatedDocument, point: Point) -> None:
        fact, forged, willing = f"{one.code}.true", f"{one.code}.forged", f"{one.filed_by}.willing"
        otherwise = point[f"{one.code}.true_otherwise"]
        if one.true_under == "access":
            for state in _NO_YES:
                self._fill(fact, {"access": state}, 1.0 if state == "yes" else otherwise)
        else:
            for scenario in SCENARIOS:
                self._fill(fact, {"proposition": scenario}, 1.0 if scenario in one.true_under else otherwise)
        for true, would in product(_NO_YES, _NO_YES):
            attempted = point[f"{one.code}.attempted"] if (true, would) == ("no", "yes") else 0.0
            self._fill(forged, {fact: true, willing: would}, attempted)
        genuine = point[f"{one.code}.kept"] * point[f"{one.code}.genuine_passes"]
        passes = {("yes", "no"): genuine, ("no", "yes"): point[f"{one.code}.forged_passes"]}
        for true, by_forgery, fails in product(_NO_YES, _NO_YES, _NO_YES):
            shown = genuine if fails == "yes" else passes.get((true, by_forgery), 0.0)
            given = {fact: true, forged: by_forgery, f"{one.filed_by}.audit_fails": fails}
            self._fill(one.code, given, shown)

    def _fill_alibi(self, alibi: Alibi, point: Point) -> None:
        early = f"{alibi.code}.early_access"
        self._net.cpt(early).fillWith([1 - point[early], point[early]])
        for derived, had in product(_NO_YES, _NO_YES):
            wrong = derived == "yes" and had == "no"
            self._fill(alibi.code, {"derived": derived, early: had}, point[f"{alibi.code}.failure"] if wrong else 1.0)


_NO_YES: Final = ("no", "yes")
_OF_DOCUMENT: Final = ("true_otherwise", "kept", "genuine_passes", "attempted", "forged_passes")
_FACTS: Final[dict[str, tuple[Scenario, ...]]] = {
    "derived": ("derived",),
    "ancestor": ("common_ancestor",),
    "shared_data": ("shared_data", "shared_teacher"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """log10 ratio of the exhibits but for similarity, over all ranges."""

    lower: float
    central: float
    upper: float
    exact: bool
    moved: tuple[Moved, ...]


def _spread(net: _Net, ranges: Mapping[str, Range], exhibits: Exhibits, alternative: Alternative) -> _Spread:
    middle = {name: one.middle for name, one in ranges.items()}

    def value(point: Point) -> float:
        return net.log10_ratio(alternative, {**middle, **point})

    central, below, above, exact = value({}), 0.0, 0.0, True
    for block in _blocks(exhibits):
        free = [names for names in block if any(ranges[name].lower < ranges[name].upper for name in names)]
        ends = [[{name: getattr(ranges[name], end) for name in names} for end in ("lower", "upper")] for names in free]
        whole = 2 ** len(ends) <= MOST_CORNERS
        found = [value(_joined(corner)) for corner in product(*ends)] if whole else _searched(ends, value)
        below, above = below + min(found) - central, above + max(found) - central
        exact = exact and whole
    moved = [
        Moved(parameter=name, at_lower=value({name: one.lower}), at_upper=value({name: one.upper}))
        for name, one in ranges.items()
        if one.lower < one.upper
    ]
    return _Spread(lower=central + below, central=central, upper=central + above, exact=exact, moved=tuple(moved))


def _blocks(exhibits: Exhibits) -> Iterator[list[tuple[str, ...]]]:
    """Ranges that are independent of all others, given the proposition; those of one tuple only count multiplied."""
    by_party: dict[str, list[tuple[str, ...]]] = {}
    linked = {one.filed_by for one in exhibits.documents if one.true_under == "access"}
    for one in exhibits.documents:
        block = by_party.setdefault("" if one.filed_by in linked else one.filed_by, [])
        if (f"{one.filed_by}.willing",) not in block:
            block.append((f"{one.filed_by}.willing",))
        block += [
            (f"{one.code}.true_otherwise",),
            (f"{one.code}.kept", f"{one.code}.genuine_passes"),
            (f"{one.code}.attempted", f"{one.code}.forged_passes"),
        ]
    if linked:
        by_party[""].append(("access",))
    yield from by_party.values()
    for alibi in exhibits.alibis:
        if alibi.in_time:
            yield [(f"{alibi.code}.early_access",), (f"{alibi.code}.failure",)]


def _searched(ends: Sequence[Sequence[Point]], value: Callable[[Point], float]) -> list[float]:
    """Ratios at corners where no single range moved to its other end gives less (or more), from three starts each."""
    count, found = len(ends), []
    for sign, start in product((1.0, -1.0), ([0] * count, [1] * count, [place % 2 for place in range(count)])):
        corner = list(start)
        best, moved = value(_at(ends, corner)), True
        while moved:
            moved = False
            for place in range(count):
                corner[place] = 1 - corner[place]
                there = value(_at(ends, corner))
                if sign * there < sign * best - 1e-12:
                    best, moved = there, True
                else:
                    corner[place] = 1 - corner[place]
        found.append(best)
    return found


def _at(ends: Sequence[Sequence[Point]], corner: Sequence[int]) -> Point:
    return _joined([both[place] for both, place in zip(ends, corner, strict=True)])


def _joined(points: Sequence[Point]) -> Point:
    return {name: value for point in points for name, value in point.items()}


def _true_under(one: DatedDocument, alternative: Alternative) -> bool:
    return one.true_under != "access" and alternative in one.true_under


def _ratio(spread: _Spread, alternative: Alternative, similarity: Log10Range | None) -> DocumentRatio:
    low, high = (0.0, 0.0) if similarity is None else (similarity.lower, similarity.upper)
    half = (low + high) / 2
    moved = [
        Moved(parameter=one.parameter, at_lower=_told(one.at_lower + half), at_upper=_told(one.at_upper + half))
        for one in spread.moved
        if max(abs(one.at_lower - spread.central), abs(one.at_upper - spread.central)) > NO_EFFECT
    ]
    if high > low:
        at = _told(spread.central + low), _told(spread.central + high)
        moved.append(Moved(parameter="similarity", at_lower=at[0], at_upper=at[1]))
    return DocumentRatio(
        against=alternative,
        lower=_told(spread.lower + low),
        central=_told(spread.central + half),
        upper=_told(spread.upper + high),
        exact=spread.exact,
        tornado=tuple(sorted(moved, key=lambda one: (-abs(one.at_upper - one.at_lower), one.parameter))),
    )


def _told(value: float) -> float:
    return round(value, 9) + 0.0
