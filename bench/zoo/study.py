"""The validation study: ``python -m bench.zoo.study [ZOO | --calibrate]`` writes docs/validation.md
and docs/validation-calibration.md with its pictures.

With the folder of a zoo its pairs are compared first (what is in the ledger ZOO/pairs.jsonl is not compared again), and
the packed measurements, the truth and the calibrated population are renewed. With ``--calibrate`` the population is
fitted again to the committed measurements. Without an argument all committed ones are used.
"""

import json
import lzma
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bench.zoo.peer_summary import RESULT as PEERS
from bench.zoo.peer_summary import peer_table
from bench.zoo.study_calibration import CellStudy, calibration_page, cell_studies, draw_cells, reported_table
from bench.zoo.study_tables import rate, table
from whorl.comparison.figures import MeasuredPair
from whorl.comparison.kinship import INHERITANCE, MATCHED, MatchedWeights, judge
from whorl.comparison.measuring import measure_pairs
from whorl.comparison.population import (
    calibrate,
    cell_data,
    contained_structure,
    direction_of,
    population_bytes,
    population_ratios,
    shipped_population,
)
from whorl.comparison.zoo import Pair, Zoo, planned_pairs, read_zoo
from whorl.core.evidence import Access, Relation
from whorl.statistics.calibration import held_out_log10_lr
from whorl.statistics.ratio_caps import effective_comparisons, rate_upper_limit
from whorl.statistics.ratio_population import Population, Ratio, ratio_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "zoo"
PAIRS = RESULTS / "pairs.jsonl.xz"
POPULATION = ROOT / "src" / "whorl" / "comparison" / "population.json"
PAGE = ROOT / "docs" / "validation.md"
CALIBRATION = ROOT / "docs" / "validation-calibration.md"
IMAGES = ROOT / "docs" / "images"
SEED = 20261124
NAME = "Whorl zoo 1"
LEAST_SHARE = 0.25  # of a merge: less than this of a model's weights is not counted as carrying them
CHANGES_OF_TRAINING = {"fine_tuned", "lora"}


def plan(folder: Path) -> dict[Access, list[Pair]]:
    """Every planned pair from weights; of stored fingerprints every third about kinship, and every eighth other."""
    pairs = planned_pairs(read_zoo(folder), seed=SEED)
    kin = [pair for pair in pairs if pair.truth != "independent"]
    strangers = [pair for pair in pairs if pair.truth == "independent"]
    return {"weights": pairs, "fingerprint": kin[::3] + strangers[::8]}


def measure(folder: Path) -> list[MeasuredPair]:
    """Compare the planned pairs that the ledger does not hold."""
    rows: list[MeasuredPair] = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as executor:
        for access, chosen in plan(folder).items():
            rows += measure_pairs(
                folder, chosen, folder / "pairs.jsonl", access=access, executor=executor, progress=_told(access)
            )
    return rows


def _told(access: str) -> Callable[[str, int, int], None]:
    def told(what: str, done: int, total: int, /) -> None:
        if done % 512 < 16 or done == total:
            print(f"{access}: {what} {done} of {total}", file=sys.stderr, flush=True)

    return told


def packed(rows: Sequence[MeasuredPair]) -> bytes:
    """Rows as compressed lines."""
    return lzma.compress("".join(row.model_dump_json() + "\n" for row in rows).encode(), preset=9)


def unpacked() -> list[MeasuredPair]:
    """The committed rows."""
    return [MeasuredPair.model_validate_json(line) for line in lzma.decompress(PAIRS.read_bytes()).splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One pair, and what is said of it by a calibration that never saw its families."""

    row: MeasuredPair
    relation: str


def verdict_of(row: MeasuredPair, ratio: Ratio | None) -> Relation | None:
    """What `compare` says of two related models by this ratio against a common start; None where they are not."""
    figures = row.figures
    if f"{MATCHED}.difference" not in figures:
        return None
    weights = MatchedWeights(
        cosine=figures[f"{MATCHED}.value"],
        difference=figures[f"{MATCHED}.difference"],
        structure=figures[f"{MATCHED}.structure"],
        least_structure=figures.get(f"{MATCHED}.least_structure", 1.0),  # not in pairs measured before there was one
        questioned_on_reference=figures[f"{MATCHED}.questioned_on_reference"],
        reference_on_questioned=figures[f"{MATCHED}.reference_on_questioned"],
        neurons=int(figures[f"{MATCHED}.neurons"]),
    )
    equal = "parts" if figures[f"{MATCHED}.equal_parts"] else None
    norms = figures.get(f"{INHERITANCE}.norms")
    contained = 1.0 if norms is None else contained_structure(figures)
    verdict = judge(weights, ratio, equal_parts=equal, contained=contained, norms=norms or 1.0)
    return "inconclusive" if verdict.verdict == "undecided" else verdict.verdict


def rederived(rows: Sequence[MeasuredPair], before: Population, after: Population) -> list[MeasuredPair]:
    """Relations as a comparison with another population gives them: only a ratio can have changed one."""
    found = []
    for row in rows:
        old, new = (
            verdict_of(row, population_ratios(population, row.access, row.figures).get("same_seed"))
            for population in (before, after)
        )
        changed = new is not None and row.relation == old
        found.append(row.model_copy(update={"relation": new}) if changed else row)
    return found


HeldOut: TypeAlias = Mapping[tuple[str, str], tuple[Ratio, Ratio]]
"""For a questioned and a reference model: the ratio against a common start, and the same without their families."""


def held_out_verdicts(held_out: HeldOut, rows: Sequence[MeasuredPair], access: Access) -> list[Verdict]:
    """Relations as `compare` gives them, the ratio that decides recomputed without the pair's families."""
    found = []
    for row in rows:
        if row.access != access:
            continue
        relation = row.relation
        if (ratios := held_out.get((row.questioned, row.reference))) is not None:
            before, after = (verdict_of(row, ratio) for ratio in ratios)
            if after is not None and relation == before:
                relation = after
        found.append(Verdict(row=row, relation=relation))
    return found


def held_out_ratios(population: Population, rows: Sequence[MeasuredPair], access: Access) -> HeldOut:
    """Every pair for which there is a ratio against a common start."""
    data, cell = cell_data(population, rows, access, "same_seed"), population.cell(access, "same_seed")
    if data is None or cell is None:
        return {}
    held_out = held_out_log10_lr(data.pairs)
    found = {}
    for row, scores, central in zip(data.rows, data.pairs.scores, held_out, strict=True):
        whole = ratio_of(cell, scores)
        reach = (whole.upper - whole.lower) / 2
        without = replace(whole, central=float(central), lower=float(central - reach), upper=float(central + reach))
        found[row.questioned, row.reference] = (whole, without)
    return found


def _short(verdict: Verdict) -> bool:
    return any("-short" in family for family in verdict.row.families)


def share_carried(zoo: Zoo, child: str, ancestor: str) -> float:
    """Share of an ancestor's weights in a descendant, by the recipe of its merges."""
    if child == ancestor:
        return 1.0
    return sum(share * share_carried(zoo, parent, ancestor) for parent, share in zoo.models[child].parents.items())


def carried(zoo: Zoo, row: MeasuredPair) -> float:
    """Share of the older model's weights in the younger one."""
    child, ancestor = (row.questioned, row.reference) if row.older == "reference" else (row.reference, row.questioned)
    return share_carried(zoo, child, ancestor)


def relations(zoo: Zoo, verdicts: Sequence[Verdict]) -> list[str]:
    """What was said of every kind of pair."""
    kinds: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        row = verdict.row
        kind = row.truth.replace("_", " ")
        if row.truth == "derived":
            share = carried(zoo, row)
            kind = "derived" if share >= LEAST_SHARE else f"derived, less than {100 * LEAST_SHARE:.0f} % of the weights"
            kind += "" if row.whole else ", parts started anew"
        kinds[kind].append(verdict)
    answers = ("identical", "derived", "shared_initialisation", "inconclusive", "none_found")
    lines = []
    for kind in sorted(kinds):
        counts = Counter(verdict.relation for verdict in kinds[kind])
        families = {family for verdict in kinds[kind] for family in verdict.row.families}
        lines.append((kind, len(kinds[kind]), len(families), *(counts[answer] for answer in answers)))
    return table(("Truth", "Pairs", "Families", *(answer.replace("_", " ") for answer in answers)), lines)


def by_child(zoo: Zoo, verdicts: Sequence[Verdict]) -> list[str]:
    """What was said of each kind of child against its founder."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        row = verdict.row
        if row.truth != "derived":
            continue
        child, ancestor = (
            (row.questioned, row.reference) if row.older == "reference" else (row.reference, row.questioned)
        )
        family, name = child.split("/")
        if ancestor == f"{family}/base" and zoo.models[ancestor].family == family:
            kinds[name][verdict.relation] += 1
    return table(
        ("Child", "Families", "derived or identical", "inconclusive", "other"),
        (
            (
                name,
                sum(counts.values()),
                counts["derived"] + counts["identical"],
                counts["inconclusive"],
                counts["none_found"] + counts["shared_initialisation"],
            )
            for name, counts in sorted(kinds.items())
        ),
    )


def headline(zoo: Zoo, verdicts: Sequence[Verdict], ratios: HeldOut) -> list[str]:
    """The figures that the design asks for."""
    true = [v for v in verdicts if v.row.truth == "derived" and v.row.whole]
    false = [v for v in verdicts if v.row.truth in ("independent", "same_data", "same_seed")]
    accused = [v for v in false if v.relation in ("derived", "identical")]
    groups = {
        "that hold more than half of the ancestor's weights": [
            v for v in true if not _short(v) and carried(zoo, v.row) > 0.5
        ],
        "that hold exactly half of them (averages, stacks)": [
            v for v in true if not _short(v) and carried(zoo, v.row) == 0.5
        ],
        "that hold 25 % to less than half of them": [
            v for v in true if not _short(v) and LEAST_SHARE <= carried(zoo, v.row) < 0.5
        ],
        "of short and slow runs, which learned next to nothing": [v for v in true if _short(v)],
    }
    lines = []
    for name, group in groups.items():
        seen = sum(v.relation in ("derived", "identical") for v in group)
        dismissed = sum(v.relation == "none_found" for v in group)
        lines.append(
            f"- Descendants {name}, called derived: {rate(seen, len(group))}; {dismissed} were dismissed (none found), "
            "the others inconclusive or taken for runs of one start."
        )
    for truth in ("independent", "same_data", "same_seed"):
        chosen = [v for v in false if v.row.truth == truth]
        wrong = [v for v in accused if v.row.truth == truth]
        names = sorted({family for v in chosen for family in v.row.families})
        families = np.array([[names.index(family) for family in v.row.families] for v in chosen])
        worth = effective_comparisons(families, rho=None)
        limit = rate_upper_limit(len(wrong) / len(chosen), worth)
        lines.append(
            f"- False 'derived' among {truth.replace('_', ' ')} pairs: {len(wrong)} of {len(chosen)}; these pairs are "
            f"worth {worth:.0f} independent comparisons of families, so the rate is below {100 * limit:.1f} % (95 %)."
        )
    apart = [v for v in verdicts if v.row.truth == "same_seed" and v.relation not in ("none_found",)]
    told = [v for v in apart if v.relation == "shared_initialisation"]
    lines.append(
        f"- Same-seed pairs in which common weights were established, named shared initialisation: "
        f"{rate(len(told), len(apart))}; the others were inconclusive."
    )
    held_out = [ratios[key] for v in apart if (key := (v.row.questioned, v.row.reference)) in ratios]
    against = sum(without.upper < 0 for _, without in held_out)
    lines.append(
        f"- Of those for which there is a ratio against a common start, its interval lies below 1, against shared "
        f"training: {rate(against, len(held_out))}. A common start is not named where one model is much shorter than "
        "the other (stronger weight decay, or an average)."
    )
    return lines


def direction(rows: Sequence[MeasuredPair], access: Access) -> list[str]:
    """Order of descent: claims on families that the fit did not see."""
    from whorl.comparison.conclusion import claimed_order

    families = sorted({family for row in rows if row.older for family in row.families})
    parts = [set(families[start::5]) for start in range(5)]
    pairs = claimed = right = cousins = claimed_cousins = 0
    for held_out in parts:
        seen = [row for row in rows if row.access == access and not held_out & set(row.families)]
        population = calibrate(seen, name="without some families")
        for row in rows:
            if row.access != access or not row.whole or not held_out & set(row.families):
                continue
            posterior = direction_of(population, access, row.figures)
            order = None if posterior is None else claimed_order(posterior)
            if row.truth == "derived":
                pairs += 1
                claimed += order is not None
                right += order == _true_order(row)
            elif row.truth == "common_ancestor":
                cousins += 1
                claimed_cousins += order is not None
    return [
        f"- Order of descent claimed: {rate(claimed, pairs)} of pairs of ancestor and descendant.",
        f"- Right where claimed: {rate(right, claimed)}.",
        f'- Pairs with a common ancestor for which the comparison would also name an order ("if one descends from the '
        f'other"): {rate(claimed_cousins, cousins)}. Two models alone do not exclude a common ancestor; the posterior '
        "gives it its share, and `whorl lineage` uses the other models of a set.",
    ]


def _true_order(row: MeasuredPair) -> str:
    return "questioned_from_reference" if row.older == "reference" else "reference_from_questioned"


def typing(zoo: Zoo, rows: Sequence[MeasuredPair]) -> list[str]:
    """Precision of every change that was named, and how often a true one was."""
    named: Counter[str] = Counter()
    right: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for row in rows:
        if row.access != "weights" or row.truth != "derived" or row.older != "reference":
            continue
        if row.relation not in ("derived", "identical"):
            continue
        changes = true_changes(zoo, row.questioned, row.reference)
        for change in row.transformations:
            named[change] += 1
            right[change] += change in changes or (change == "fine_tuned" and bool(changes & CHANGES_OF_TRAINING))
        for change in changes:
            true[change] += 1
    total, good = sum(named.values()), sum(right.values())
    return [
        f"Precision over all changes named: {rate(good, total)}.",
        "",
        *table(
            ("Change", "Named", "of these true", "True in", "of these named"),
            ((c, named[c], right[c], true[c], right[c]) for c in sorted(set(named) | set(true))),
        ),
    ]


def true_changes(zoo: Zoo, child: str, ancestor: str) -> set[str]:
    """Changes made on the way from an ancestor to a descendant, along first parents where that leads there."""
    changes: set[str] = set()
    waiting = [child]
    while waiting:
        name = waiting.pop()
        if name == ancestor:
            continue
        changes |= set(zoo.models[name].changes)
        waiting += zoo.models[name].parents
    return changes


def page(zoo: Zoo, population: Population, rows: Sequence[MeasuredPair], studies: Sequence[CellStudy]) -> str:
    """The whole page."""
    ratios, stored_ratios = (held_out_ratios(population, rows, access) for access in ("weights", "fingerprint"))
    verdicts = held_out_verdicts(ratios, rows, "weights")
    stored = held_out_verdicts(stored_ratios, rows, "fingerprint")
    roots = [name for name, member in zoo.models.items() if not member.parents and member.teacher is None]
    founders = {zoo.models[name].family for name in zoo.models if zoo.models[name].parents}
    sections = [
        "# Validation",
        "",
        "Made by `make study` (`python -m bench.zoo.study`) from `bench/results/zoo/pairs.jsonl.xz`; do not edit. "
        "`python -m bench.zoo FOLDER` trains the models and `python -m bench.zoo.study FOLDER` measures them again.",
        "",
        f"Population `{population.name}`, digest `{population.digest}`. {len(zoo.models)} models: {len(roots)} "
        f"pre-training runs, {_own_starts()} of them of a shape and seed of their own, "
        f"{len(founders)} families with descendants. Every verdict and ratio below comes from a calibration that saw "
        "neither of the pair's two families. Thresholds and scores were chosen while looking at these models, so the "
        "figures are optimistic for models made in other ways.",
        "",
        "## What was said, from weights",
        "",
        *headline(zoo, verdicts, ratios),
        "",
        *relations(zoo, verdicts),
        "",
        "Pairs of one family are not independent: intervals over pairs are too narrow, and those by family are given "
        "where a false accusation is counted.",
        "",
        "### By kind of child, against its founder",
        "",
        *by_child(zoo, verdicts),
        "",
        "## What was said, from stored fingerprints",
        "",
        *headline(zoo, stored, stored_ratios),
        "",
        *relations(zoo, stored),
        "",
        "## Direction",
        "",
        *direction(rows, "weights"),
        "",
        "## Changes named",
        "",
        *typing(zoo, rows),
        "",
        "## Calibration of the ratios",
        "",
        "Numbers before the slash are of pairs of ancestor and descendant, those after it of the alternative. Figures "
        "are of held-out ratios as reported: the interval's end nearer 1, after caps. Misleading: ratios below 1 "
        "although the first holds, and ratios above 1 although the alternative does. E[min(LR, 10)] is of pairs of the "
        "alternative and should not exceed 1; the last column is the largest ratio that a finding can report. Caps "
        "weaken every ratio on purpose, which is what Cllr_cal is made of here; how well the ratios are calibrated "
        "before caps, beside what a perfect system would show: [calibration](validation-calibration.md).",
        "",
        *reported_table(studies),
        "",
        *published_statistics(),
        "## Cost",
        "",
        *cost(),
        "",
        "## Measured elsewhere",
        "",
        "- Exact tests by position (T2): nulls simulated in `tests/statistics/test_coincidences.py` and "
        "`test_subsequence.py`, 20,000 comparisons; [method](methods/index_coincidences.md).",
        "- The key's mark (T0): six models under 2,000 keys each, power after each disguise; "
        "[method](methods/keyed_dither.md).",
        "- Merge shares, 144 merges of nine families, all parents named: mean absolute error 0.0142 over 288 shares; "
        "no share of trained weights was stated in 596 questions about models of which nothing was put in "
        "(`python -m bench.shares`); [method](methods/merge_shares.md).",
        "- Trees of models, six families of 62 to 73 (`python bench/lineage.py ZOO`): 435 of 439 edges found, 458 of "
        "463 found edges right; [method](methods/lineage.md).",
        "- Verdicts here follow from measured figures. Two later rules (structure in every part of a feed-forward "
        "block, equal bits only where training wrote something) are not in them: 2,239 related pairs compared again "
        "gave another answer in 17, none of them derived, one of them a descendant that became inconclusive.",
        "- Power of a finding of nothing: [method](methods/power.md). What hides a copy: [limits](limits.md). Known "
        "statistics on six demo models, rewrite by rewrite: [benchmarks](benchmarks.md).",
        "",
    ]
    return "\n".join(sections)


def published_statistics() -> list[str]:
    """The section that `bench.zoo.peers` measured; nothing where it never ran."""
    if not PEERS.exists():
        return []
    return ["## Published statistics, attack by attack", "", *peer_table(json.loads(PEERS.read_text())), ""]


def cost() -> list[str]:
    """What the zoo took to train, as its records say."""
    records = json.loads((RESULTS / "records.json").read_text()).values()
    seconds = sum(record["seconds"] for record in records)
    losses = [(record["loss"], record["unigram"]) for record in records if record["parent"] is None]
    trained = [loss / unigram for loss, unigram in losses if loss / unigram < 0.8]
    sizes = [record["parameters"] for record in records if record["parent"] is None]
    return [
        f"- Training: {len(records)} models of {min(sizes) / 1e6:.2f} to {max(sizes) / 1e6:.2f} million parameters, "
        f"{seconds / 3600:.1f} hours summed over members, trained side by side: most on a machine of 16 cores "
        "and a GPU (16 to 18 workers, 5 or 6 on the GPU; more workers than cores make each slower), the others on "
        "two busy cores.",
        f"- {len(trained)} of {len(losses)} runs end below 0.8 of their text's unigram entropy (median "
        f"{np.median(trained):.2f} of it); the others are short or slow runs.",
    ]


def _own_starts() -> int:
    records = json.loads((RESULTS / "records.json").read_text())
    return sum(record["parent"] is None and record["kin"] is None for record in records.values())


def calibrate_again(rows: Sequence[MeasuredPair]) -> list[MeasuredPair]:
    """Renew the population that is shipped; returns the rows with what a comparison says with it."""
    measured_with = shipped_population()
    population = calibrate(rows, name=NAME)
    POPULATION.write_bytes(population_bytes(population))
    shipped_population.cache_clear()
    return rederived(rows, measured_with, population)


def main(arguments: list[str]) -> None:
    """Measure or calibrate if asked to, and write the page."""
    if arguments == ["--calibrate"]:
        PAIRS.write_bytes(packed(calibrate_again(unpacked())))
    elif arguments:
        folder = Path(arguments[0])
        rows = calibrate_again(measure(folder))
        RESULTS.mkdir(parents=True, exist_ok=True)
        PAIRS.write_bytes(packed(rows))
        (RESULTS / "zoo.json").write_bytes((folder / "zoo.json").read_bytes())
        (RESULTS / "records.json").write_bytes((folder / "records.json").read_bytes())
    rows = unpacked()
    studies = cell_studies(shipped_population(), rows)
    PAGE.write_text(page(read_zoo(RESULTS), shipped_population(), rows, studies), encoding="utf-8")
    CALIBRATION.write_text(calibration_page(shipped_population(), studies), encoding="utf-8")
    for name, drawn in draw_cells(shipped_population()).items():
        (IMAGES / name).write_text(drawn, encoding="utf-8")
    print(f"{PAGE}: {len(rows)} measured pairs")


if __name__ == "__main__":
    main(sys.argv[1:])
