"""What published statistics and Whorl see of a zoo: counts, and the table of docs/validation.md made from them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bench.peer_statistics import CSU, LOG10_LEVEL, SIMILARITIES
from bench.reporting import table

RESULT: Final = Path(__file__).parents[2] / "bench" / "results" / "zoo" / "peers.json"
LOG10_P: Final = "Whorl T2, log10 p"
AGREEMENT: Final = "Whorl T3"
VERDICT: Final = "Whorl's verdict"
PEERS: Final = (CSU, *SIMILARITIES)
STATISTICS: Final = (*PEERS, LOG10_P, AGREEMENT)
P_VALUES: Final = (CSU, LOG10_P)
ACCUSING: Final = ("derived", "identical")
LEVELS: Final = ("independent", "independent_of_equal_shapes", "independent_and_same_seed")
MISSING: Final = "–"

Group: TypeAlias = Literal["child", "independent", "taught", "same_seed"]
Results: TypeAlias = dict[str, Any]
"""The document of bench/results/zoo/peers.json, as `summary` makes it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparedPair:
    """A model and a founder, what is true of them, and what was found.

    ``group`` says whether the questioned model carries the founder's weights, learned from its outputs only, is another
    run of the same start, or independent of it; ``whole`` is False where parts of it were started anew;
    ``equal_shapes`` says whether it is of the founder's shape before anything was done to it. ``values`` holds every
    statistic that could be computed.
    """

    questioned: str
    reference: str
    group: Group
    whole: bool
    equal_shapes: bool
    values: dict[str, float]
    relation: str

    @property
    def kind(self) -> str:
        """What was done to the founder: a child's name within its family."""
        return self.questioned.split("/")[1]


def summary(pairs: Sequence[ComparedPair]) -> Results:
    """All counts, as they are committed."""
    groups: dict[str, list[ComparedPair]] = {"child": [], "independent": [], "taught": [], "same_seed": []}
    for pair in pairs:
        groups[pair.group].append(pair)
    independent, siblings = groups["independent"], groups["same_seed"]
    alike = [pair for pair in independent if pair.equal_shapes]
    bars = {name: bar(name, independent) for name in STATISTICS}
    whole = [pair for pair in groups["child"] if pair.whole]
    return {
        "schema": "whorl.peers/1",
        "command": "python -m bench.zoo.peers ZOO",
        "founders": len({pair.reference for pair in groups["child"]}),
        "level": {"log10_p": LOG10_LEVEL, "similarity": "above the highest of all independent pairs"},
        "independent": {
            "pairs": len(independent),
            "of_equal_shapes": len(alike),
            "statistics": {name: _reached(name, independent) for name in STATISTICS},
            **_tally(independent, bars),
        },
        "same_seed": _tally(siblings, bars),
        "taught": _by_kind(groups["taught"], bars),
        "children": _by_kind(groups["child"], bars),
        "whole_children": {
            **_tally(whole, bars),
            "auc": {name: _auc(name, whole, independent) for name in STATISTICS},
            "beyond_independent": _beyond(whole, independent),
            "beyond_independent_of_equal_shapes": _beyond(whole, alike),
            "beyond_independent_and_same_seed": _beyond(whole, [*independent, *siblings]),
        },
    }


def relatedness(name: str, pair: ComparedPair) -> float | None:
    """A statistic's value, turned so that more means more alike; None where it has none."""
    value = pair.values.get(name)
    return None if value is None else -value if name in P_VALUES else value


def bar(name: str, independent: Sequence[ComparedPair]) -> float | None:
    """What relatedness must exceed to count as seen; None where nothing says how alike independent models are."""
    if name in P_VALUES:
        return -LOG10_LEVEL
    return max(_known(name, independent), default=None)


def sees(name: str, pair: ComparedPair, bars: dict[str, float | None]) -> bool:
    """Whether a statistic stands out on a pair."""
    value, limit = relatedness(name, pair), bars[name]
    return value is not None and limit is not None and value > limit


def area_under_curve(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Probability that a positive is above a negative, ties counted half."""
    ordered = np.sort(negatives)
    below, not_above = (np.searchsorted(ordered, positives, side=side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(ordered)))


def _known(name: str, pairs: Sequence[ComparedPair]) -> list[float]:
    return [value for pair in pairs if (value := relatedness(name, pair)) is not None]


def _tally(pairs: Sequence[ComparedPair], bars: dict[str, float | None]) -> Results:
    """How many pairs each statistic sees, of how many that it can be computed for; and Whorl's verdicts."""
    return {
        "pairs": len(pairs),
        "comparable": {name: 0 if bars[name] is None else len(_known(name, pairs)) for name in STATISTICS},
        "seen": {name: sum(sees(name, pair, bars) for pair in pairs) for name in STATISTICS},
        "verdicts": dict(sorted(Counter(pair.relation for pair in pairs).items())),
    }


def _by_kind(pairs: Sequence[ComparedPair], bars: dict[str, float | None]) -> list[Results]:
    kinds: dict[str, list[ComparedPair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.kind):
        kinds.setdefault(pair.kind, []).append(pair)
    return [
        {"kind": kind, "whole": all(pair.whole for pair in members), **_tally(members, bars)}
        for kind, members in kinds.items()
    ]


def _reached(name: str, pairs: Sequence[ComparedPair]) -> Results | None:
    """How far a statistic goes on independent pairs, and on which one it goes farthest; None where it never ran."""
    values = {pair: pair.values[name] for pair in pairs if name in pair.values}
    if not values:
        return None
    most = max(values, key=lambda pair: relatedness(name, pair) or 0.0)
    return {
        "pairs": len(values),
        "lowest": min(values.values()),
        "highest": max(values.values()),
        "most_alike": [most.questioned, most.reference],
    }


def _auc(name: str, positives: Sequence[ComparedPair], negatives: Sequence[ComparedPair]) -> Results | None:
    ours, theirs = _known(name, positives), _known(name, negatives)
    if not ours or not theirs:
        return None
    return {"value": area_under_curve(ours, theirs), "positives": len(ours), "negatives": len(theirs)}


def _beyond(positives: Sequence[ComparedPair], negatives: Sequence[ComparedPair]) -> dict[str, int | None]:
    """How many positives are more alike than every negative: the true positives at no false one."""
    found: dict[str, int | None] = {}
    for name in STATISTICS:
        level = max(_known(name, negatives), default=None)
        found[name] = None if level is None else sum(value > level for value in _known(name, positives))
    return found


def peer_table(results: Results) -> list[str]:
    """The section of docs/validation.md: how far independent models reach, then child by child, then who sees more."""
    independent = results["independent"]
    return [
        f"Five published statistics, each written anew from its paper's formula (`bench/peer_statistics.py`), and "
        f"Whorl, from weights: every member of {results['founders']} families against its founder "
        f"(`{results['command']}`). One rule for all: a statistic *sees* a relation where its p-value is below "
        f"1e{LOG10_LEVEL:.0f}, or where it is higher than on every independent pair that it can be computed for. There "
        f"are {independent['pairs']} of these: other starts, twins of the same data and recipe among them, as they are "
        f"and rewritten; {independent['of_equal_shapes']} of equal shape. Runs whose embeddings merely began alike are "
        f"left out. {MISSING} means not comparable (another number of layers or neurons, a mixture of experts, no "
        "independent pair to hold it against), never 0; AWM and HuRef are given the tokens that both models know. "
        "Whorl's verdict is `derived` or `identical`, by the calibration at hand, which may have seen these families: "
        "verdicts by one that did not are in the table by kind of child. The levels of all others were set on these "
        "very pairs, which flatters them too.",
        "",
        *_levels(results),
        "",
        "Children are the whole ones only. The AUC (chance that a child is more alike than an independent pair) and "
        "the counts after it are of the children that the statistic can be computed for: one that is computed for few "
        "leaves out the hard ones. Pairs share models and are not independent of each other.",
        "",
        *_attacks(results),
        "",
        "How many pairs of each kind are seen, one pair in each family that has it, of those where the statistic can "
        "be computed. In bold: more than Whorl's verdict names. *(parts)*: parts were started anew. *Taught*: carries "
        "no weights, to be seen by none. *Same start*: trained apart from the same initial weights; what sees it "
        "cannot tell it from a copy by this rule.",
        "",
        *_losses(results),
    ]


def _levels(results: Results) -> list[str]:
    header = (
        "Statistic", "Independent pairs", "lowest to highest", "Children", "AUC", "above every independent pair",
        "above those of equal shape", "above every independent pair and every same start", "Same start, seen",
        "Taught, seen",
    )  # fmt: skip
    return table(header, [*(_level(results, name) for name in STATISTICS), _verdict_level(results)]).splitlines()


def _level(results: Results, name: str) -> list[str]:
    reached, children = results["independent"]["statistics"][name], results["whole_children"]
    siblings, taught, auc = results["same_seed"], results["taught"], children["auc"][name]
    form, comparable = ".1f" if name in P_VALUES else ".3f", children["comparable"][name]
    return [
        name,
        str(reached["pairs"]) if reached else MISSING,
        f"{reached['lowest']:{form}} to {reached['highest']:{form}}" if reached else MISSING,
        f"{comparable} of {children['pairs']}",
        f"{auc['value']:.4f}" if auc else MISSING,
        *(_rate(children[f"beyond_{level}"][name], comparable) for level in LEVELS),
        _share(siblings["seen"][name], siblings["comparable"][name]),
        _share(_total(taught, "seen", name), _total(taught, "comparable", name)),
    ]


def _verdict_level(results: Results) -> list[str]:
    children, siblings, taught = results["whole_children"], results["same_seed"], results["taught"]
    wrong = _accused(results["independent"])
    # A verdict has no level to move: its count stands only where it accuses none of those that it must not accuse.
    clean = None if wrong else _accused(children)
    return [
        VERDICT,
        str(results["independent"]["pairs"]),
        f"{wrong} accused",
        f"{children['pairs']} of {children['pairs']}",
        MISSING,
        _rate(clean, children["pairs"]),
        _rate(clean, children["pairs"]),
        _rate(None if _accused(siblings) else clean, children["pairs"]),
        _share(_accused(siblings), siblings["pairs"]),
        _share(sum(map(_accused, taught)), sum(tally["pairs"] for tally in taught)),
    ]


def _rate(hits: int | None, total: int) -> str:
    return MISSING if hits is None or not total else f"{hits} ({100 * hits / total:.1f} %)"


def _total(tallies: Sequence[Results], count: str, name: str) -> int:
    return sum(tally[count][name] for tally in tallies)


def _share(hits: int, total: int) -> str:
    return f"{hits} of {total}" if total else MISSING


def _accused(tally: Results) -> int:
    return sum(tally["verdicts"].get(relation, 0) for relation in ACCUSING)


def _attacks(results: Results) -> list[str]:
    rows = [[_named(tally), str(tally["pairs"]), *_cells(tally, bold=True)] for tally in results["children"]]
    rows += [[f"*taught:* {tally['kind']}", str(tally["pairs"]), *_cells(tally)] for tally in results["taught"]]
    if results["same_seed"]["pairs"]:
        rows.append(["*same start*", str(results["same_seed"]["pairs"]), *_cells(results["same_seed"])])
    return table(("Child", "Pairs", *STATISTICS, VERDICT), rows).splitlines()


def _named(tally: Results) -> str:
    return tally["kind"] if tally["whole"] else f"{tally['kind']} *(parts)*"


def _cells(tally: Results, *, bold: bool = False) -> list[str]:
    named = _accused(tally)
    cells = []
    for name in STATISTICS:
        comparable, seen = tally["comparable"][name], tally["seen"][name]
        text = str(seen) if comparable == tally["pairs"] else f"{seen} of {comparable}"
        cells.append(MISSING if not comparable else f"**{text}**" if bold and seen > named else text)
    return [*cells, str(named)]


def _losses(results: Results) -> list[str]:
    """Where a published statistic does better than Whorl, in words made from the counts."""
    lost = list(_lost(results["children"]))
    kinds = len(results["children"])
    ahead = sum(
        all(_accused(tally) > tally["seen"][name] for name in PEERS if tally["comparable"][name])
        for tally in results["children"]
    )
    lines = [
        f"A published statistic sees more families than Whorl's verdict names in {len(lost)} of {kinds} kinds of "
        f"children; Whorl's verdict names more than any published statistic that can be computed sees in {ahead}. "
        "Lost:",
        "",
        *(lost or ["- none"]),
        "",
    ]
    auc = results["whole_children"]["auc"]
    ours = auc[AGREEMENT]
    better = [
        f"{name} ({auc[name]['value']:.4f} on {auc[name]['positives']} children)"
        for name in PEERS
        if auc[name] and ours and auc[name]["value"] > ours["value"]
    ]
    if ours:
        lines += [
            f"Published statistics with a higher AUC than T3 ({ours['value']:.4f} on {ours['positives']} children): "
            f"{', '.join(better) or 'none'}."
        ]
    return lines


def _lost(tallies: Sequence[Results]) -> Iterator[str]:
    for tally in tallies:
        named = _accused(tally)
        above = {name: tally["seen"][name] for name in PEERS if tally["seen"][name] > named}
        if above:
            others = ", ".join(
                f"{count} {relation.replace('_', ' ')}"
                for relation, count in tally["verdicts"].items()
                if relation not in ACCUSING
            )
            seen = ", ".join(f"{name.removesuffix(', log10 p')} {count}" for name, count in above.items())
            yield f"- {_named(tally)}: {seen}; Whorl's verdict {named} of {tally['pairs']} ({others})."
