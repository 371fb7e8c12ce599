"""How much of the true lineage `whorl lineage` finds: edges right, wrong and missed, family by family.

Usage: ``python bench/lineage.py ZOO [FAMILY ...] [--stored] [--json FILE]`` with a ZOO made by ``make zoo``: one folder
per family, one per model in it, each with the truth beside it (``record.json``). The table in
``docs/methods/lineage.md`` was made with it. An edge is right if the same two models are neighbours in truth; its
direction is counted apart, where claimed.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from whorl.core.progress import silent
from whorl.lineage.document import Lineage
from whorl.lineage.inferring import infer_lineage
from whorl.lineage.members import members_of_folder
from whorl.statistics.intervals import clopper_pearson

# What the recipe made of the founder is bit for bit what it would have made of this other member: both edges are true.
ALSO_FROM = {"pruned_60": "pruned_30", "pruned+tuned+rewritten": "pruned_30"}
LEARNED_FROM_OUTPUTS = ("distilled", "taught_by_samples")
LEAST_MODELS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """One family: true edges and missed ones, found edges and right ones, directions claimed and right ones."""

    family: str
    models: int
    true: int
    found: int
    right: int
    missed: int
    claimed: int
    directed_right: int
    sure: int
    sure_right: int
    seconds: float


def true_edges(records: dict[str, dict[str, Any]]) -> dict[frozenset[str], str]:
    """Every pair of parent and child by weights among these models, and which of them is the child."""
    edges = {}
    for name, record in records.items():
        parents = [record["parent"], *record.get("parents", {})]
        for parent in parents:
            if parent in records and name not in LEARNED_FROM_OUTPUTS:
                edges[frozenset((parent, name))] = name
    return edges


def has_parent_elsewhere(record: dict[str, Any], records: dict[str, dict[str, Any]]) -> bool:
    """Whether the model was merged with one that is not in this folder."""
    return any(parent not in records for parent in record.get("parents", {}))


def count(lineage: Lineage, records: dict[str, dict[str, Any]], family: str, seconds: float) -> Counts:
    """Hold a found lineage against the truth."""
    names = {node.id: node.name for node in lineage.nodes}
    truth = true_edges(records)
    right = claimed = directed_right = sure = sure_right = 0
    for edge in lineage.edges:
        parent, child = names[edge.parent], names[edge.child]
        pair = frozenset((parent, child))
        unseen = parent not in records and child in records and has_parent_elsewhere(records[child], records)
        twice_true = ALSO_FROM.get(child) == parent
        good = pair in truth or unseen or twice_true
        right += good
        sure += edge.confidence >= 0.8
        sure_right += good and edge.confidence >= 0.8
        if good and edge.directed:
            claimed += 1
            directed_right += unseen or twice_true or truth[pair] == child
        if not good:
            print(f"  {family}: wrong {parent} -> {child} ({edge.kind}, {edge.confidence:.2f})")
    found = {frozenset((names[e.parent], names[e.child])) for e in lineage.edges}
    missed = 0
    for pair, child in truth.items():
        if pair not in found and frozenset((ALSO_FROM.get(child, ""), child)) not in found:
            missed += 1
            print(f"  {family}: missed {' -> '.join(sorted(pair, key=lambda name, child=child: name == child))}")
    return Counts(
        family=family,
        models=len(records),
        true=len(truth),
        found=len(lineage.edges),
        right=right,
        missed=missed,
        claimed=claimed,
        directed_right=directed_right,
        sure=sure,
        sure_right=sure_right,
        seconds=round(seconds, 1),
    )


def measure(folder: Path, *, stored: bool) -> Counts:
    """One family, from its weights or from its fingerprints alone."""
    records = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("[!.]*/record.json"))}
    started = time.monotonic()
    members, unread = members_of_folder(folder, progress=silent)
    members = [member for member in members if member.name in records]
    if stored:
        members = [replace(member, path=None, anatomy=None) for member in members]
    lineage = infer_lineage(members, unread, progress=silent)
    return count(lineage, records, folder.name, time.monotonic() - started)


def report(rows: Sequence[Counts]) -> None:
    """The table, and the totals with 95 % intervals."""
    print("| Family | Models | Edges | Missed | Found | Right | Directions claimed | Right | Seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row.family} | {row.models} | {row.true} | {row.missed} | {row.found} | {row.right} | {row.claimed} "
            f"| {row.directed_right} | {row.seconds:.0f} |"
        )
    totals = {
        name: sum(getattr(row, name) for row in rows) for name in asdict(rows[0]) if name not in ("family", "seconds")
    }
    totals["kept"] = totals["true"] - totals["missed"]
    for title, good, of in (
        ("true edges found", "kept", "true"),
        ("found edges right", "right", "found"),
        ("found edges of confidence 0.8 and more right", "sure_right", "sure"),
        ("directions right where claimed", "directed_right", "claimed"),
    ):
        lower, upper = clopper_pearson(totals[good], totals[of])
        print(f"{title}: {totals[good]} of {totals[of]} [{lower:.3f}, {upper:.3f}] (edges as if independent)")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--stored", action="store_true", help="compare stored fingerprints instead of weights")
    arguments = parser.parse_intermixed_args()
    folders = sorted(
        path
        for path in arguments.zoo.iterdir()
        if path.is_dir() and len(list(path.glob("[!.]*/record.json"))) >= LEAST_MODELS
    )
    rows = [
        measure(f, stored=arguments.stored) for f in folders if not arguments.families or f.name in arguments.families
    ]
    report(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
