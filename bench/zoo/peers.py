"""Published statistics and Whorl on the zoo, attack by attack: ``python -m bench.zoo.peers ZOO``.

Every member of every founder's family, the second runs of its start, and every independent run, as it is and
rewritten, are compared with the founder. Lines are kept in ZOO/peers.jsonl, so that an interrupted run goes on where it
stopped; what ZOO/pairs.jsonl says of a pair is not computed again. The counts go to bench/results/zoo/peers.json, from
which `bench.zoo.study` writes its section of docs/validation.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.peer_statistics import CSU, SIMILARITIES, NotComparable, Weights, csu_log10_p, weights_of
from bench.zoo.peer_summary import AGREEMENT, LOG10_P, RESULT, ComparedPair, Group, peer_table, summary
from whorl.comparison.comparing import TWO_VIEW, compare
from whorl.comparison.figures import MeasuredPair, figures_of
from whorl.comparison.measuring import kept_lines
from whorl.comparison.zoo import Zoo, ancestors, read_zoo, relation_of
from whorl.core.errors import CheckpointError, InputError
from whorl.core.evidence import Document
from whorl.core.progress import silent
from whorl.fingerprints.extraction import single_threaded_blas
from whorl.statistics.combine import bonferroni_log10_p
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of

CHUNK: Final = 16  # pairs of one job; they share a reference
REWRITTEN: Final = "rewritten"

Records: TypeAlias = Mapping[str, dict[str, Any]]
Key: TypeAlias = tuple[str, str]  # questioned, reference


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPair:
    """A model to compare with a founder, and what is true of the two; see `ComparedPair`."""

    questioned: str
    reference: str
    group: Group
    whole: bool
    equal_shapes: bool

    @property
    def key(self) -> Key:
        """What a ledger finds it by."""
        return self.questioned, self.reference


class WhorlFigures(Document):
    """What Whorl says of a pair, from weights; None where a test has no answer."""

    relation: str
    log10_p: float | None
    agreement: float | None


class PeerRow(Document):
    """One line of the ledger: a value or a reason for each published statistic, and Whorl's figures."""

    questioned: str
    reference: str
    values: dict[str, float]
    not_comparable: dict[str, str]
    whorl: WhorlFigures

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.questioned, self.reference


def plan(zoo: Zoo, records: Records) -> list[PlannedPair]:
    """Every pair to compare, in a stable order; two founders that are independent of each other stand only once."""
    founders = sorted(name for name, record in records.items() if record.get("children"))
    strangers = sorted(
        name for name, record in records.items() if record["parent"] is None or record["member"] == REWRITTEN
    )
    planned: list[PlannedPair] = []
    for founder in founders:
        family = zoo.models[founder].family
        members = sorted(name for name, member in zoo.models.items() if member.family == family and name != founder)
        siblings = sorted(name for name, record in records.items() if record.get("kin") == family)
        planned += [_planned(zoo, records, name, founder, _descent(zoo, name, founder)) for name in members]
        planned += [_planned(zoo, records, name, founder, "same_seed") for name in siblings]
        planned += [
            _planned(zoo, records, name, founder, "independent")
            for name in strangers
            if (name not in founders or name < founder) and _independent(zoo, name, founder)
        ]
    return planned


def _descent(zoo: Zoo, name: str, founder: str) -> Group:
    return "child" if founder in ancestors(zoo.models, name) else "taught"


def _independent(zoo: Zoo, name: str, founder: str) -> bool:
    # A twin shares the data and the recipe, and no number of its weights.
    return relation_of(zoo, name, founder) in ("independent", "same_data")


def _planned(zoo: Zoo, records: Records, questioned: str, reference: str, group: Group) -> PlannedPair:
    ours, theirs = (_sizes(records, zoo.models[name].family) for name in (questioned, reference))
    return PlannedPair(
        questioned=questioned,
        reference=reference,
        group=group,
        whole=all(zoo.models[name].whole for name in ancestors(zoo.models, questioned)),
        equal_shapes=ours == theirs,
    )


def _sizes(records: Records, family: str) -> dict[str, Any]:
    """Shape of a family's founder without the spread of its start."""
    return {name: size for name, size in records[f"{family}/base"]["shape"].items() if name != "start"}


def measure(folder: Path, planned: Sequence[PlannedPair], jobs: int | None) -> list[PeerRow]:
    """Rows of every planned pair; what the ledger does not hold is computed and appended to it."""
    ledger = folder / "peers.jsonl"
    known = {row.key: row for row in kept_lines(ledger, PeerRow)}
    missing = [pair.key for pair in planned if pair.key not in known]
    figures = known_figures(folder / "pairs.jsonl", set(missing))
    with (
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as executor,
        ledger.open("a", encoding="utf-8") as file,
    ):
        working = [
            executor.submit(_measure, folder, {key: figures.get(key) for key in chunk}) for chunk in _chunks(missing)
        ]
        try:
            for done, job in enumerate(as_completed(working), 1):
                rows = job.result()
                file.writelines(row.model_dump_json() + "\n" for row in rows)
                file.flush()
                known |= {row.key: row for row in rows}
                if done % 16 == 0 or done == len(working):
                    print(f"peers: job {done} of {len(working)}", file=sys.stderr, flush=True)
        finally:
            for job in working:
                job.cancel()
    return [known[pair.key] for pair in planned]


def _chunks(keys: Sequence[Key]) -> Iterator[list[Key]]:
    by_reference: dict[str, list[Key]] = {}
    for key in keys:
        by_reference.setdefault(key[1], []).append(key)
    for group in by_reference.values():
        yield from (group[start : start + CHUNK] for start in range(0, len(group), CHUNK))


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def known_figures(ledger: Path, wanted: set[Key]) -> dict[Key, WhorlFigures]:
    """What the study's ledger says of the wanted pairs; it is only read, another process may be writing it.

    A pair that was measured the other way round is left out: agreement is a share of the questioned model's neurons.
    """
    if not ledger.exists():
        return {}
    rows = (MeasuredPair.model_validate_json(line) for line in _whole_lines(ledger))
    return {
        (row.questioned, row.reference): _whorl(row.figures, row.relation)
        for row in rows
        if row.access == "weights" and (row.questioned, row.reference) in wanted
    }


def _whorl(figures: Mapping[str, float], relation: str) -> WhorlFigures:
    bounds = [value for name, value in figures.items() if name.endswith(".log10_p")]
    return WhorlFigures(
        relation=relation,
        log10_p=bonferroni_log10_p(bounds) if bounds else None,
        agreement=figures.get(f"{TWO_VIEW}.value"),
    )


def _measure(folder: Path, chunk: Mapping[Key, WhorlFigures | None]) -> list[PeerRow]:
    return [_row(folder, key, figures) for key, figures in chunk.items()]


def _row(folder: Path, key: Key, whorl: WhorlFigures | None) -> PeerRow:
    questioned, reference = (folder / name for name in key)
    try:
        if whorl is None:
            finding = compare(questioned, reference, progress=silent, jobs=1, with_power=False)
            whorl = _whorl(figures_of(finding.evidence), finding.conclusion.relation)
        ours, theirs = _weights(questioned), _weights(reference)
    except CheckpointError as error:
        # An error that takes more than a message cannot travel back from a worker process.
        raise InputError(str(error)) from None
    with single_threaded_blas():
        outcomes = {name: statistic(ours, theirs) for name, statistic in {CSU: csu_log10_p, **SIMILARITIES}.items()}
    return PeerRow(
        questioned=key[0],
        reference=key[1],
        values={name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, NotComparable)},
        not_comparable={
            name: outcome.reason for name, outcome in outcomes.items() if isinstance(outcome, NotComparable)
        },
        whorl=whorl,
    )


@lru_cache(maxsize=32)  # the founder of a family stands in all of its pairs
def _weights(path: Path) -> Weights:
    return weights_of(anatomy_of(open_checkpoint(path)))


def _compared(pair: PlannedPair, row: PeerRow) -> ComparedPair:
    """A kept row with the truth of today: the description of the zoo may have been corrected since."""
    whorl = {LOG10_P: row.whorl.log10_p, AGREEMENT: row.whorl.agreement}
    return ComparedPair(
        questioned=pair.questioned,
        reference=pair.reference,
        group=pair.group,
        whole=pair.whole,
        equal_shapes=pair.equal_shapes,
        values=row.values | {name: value for name, value in whorl.items() if value is not None},
        relation=row.whorl.relation,
    )


def main() -> None:
    """Measure what is missing, count, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a zoo with its zoo.json and records.json")
    parser.add_argument("--jobs", type=int, help="processes; as many as there are cores where left out")
    parser.add_argument("--result", type=Path, default=RESULT, help="where the counts go")
    arguments = parser.parse_args()
    records = json.loads((arguments.folder / "records.json").read_text())
    planned = plan(read_zoo(arguments.folder), records)
    rows = measure(arguments.folder, planned, arguments.jobs)
    found = summary([_compared(pair, row) for pair, row in zip(planned, rows, strict=True)])
    arguments.result.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    print("\n".join(peer_table(found)))


if __name__ == "__main__":
    main()
