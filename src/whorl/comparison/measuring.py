"""Compare the pairs of a zoo and keep the figures: resumable, one line of JSON per pair."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.comparison.figures import MeasuredPair, figures_of
from whorl.comparison.zoo import Pair
from whorl.core.errors import CheckpointError, InputError
from whorl.core.evidence import Access, Document, Finding
from whorl.core.progress import Progress, silent
from whorl.fingerprints.weight_fingerprint import WeightFingerprint, fingerprint_checkpoint


def measure_pairs(
    folder: Path, pairs: Sequence[Pair], ledger: Path, *, access: Access, executor: Executor, progress: Progress
) -> list[MeasuredPair]:
    """Compare what the ledger does not hold yet, append it there, and return all.

    Raises
    ------
    InputError
        If a model cannot be read, or the ledger was damaged.
    """
    known = {(row.questioned, row.reference): row for row in kept_lines(ledger, MeasuredPair) if row.access == access}
    missing = [pair for pair in pairs if (pair.questioned, pair.reference) not in known]
    chunks = [missing[start : start + 16] for start in range(0, len(missing), 16)]
    jobs = [executor.submit(_measure, folder, chunk, access) for chunk in chunks]
    done = len(pairs) - len(missing)
    try:
        with ledger.open("a", encoding="utf-8") as file:
            for job in as_completed(jobs):
                rows = job.result()
                file.writelines(row.model_dump_json() + "\n" for row in rows)
                file.flush()
                known |= {(row.questioned, row.reference): row for row in rows}
                done += len(rows)
                progress("comparing pairs", done, len(pairs))
    finally:
        for job in jobs:
            job.cancel()
    return [_labelled(known[pair.questioned, pair.reference], pair) for pair in pairs]


def _labelled(row: MeasuredPair, pair: Pair) -> MeasuredPair:
    """The figures of a kept row with the truth of today: the description of the zoo may have been corrected since."""
    truth = {name: getattr(pair, name) for name in ("truth", "families", "older", "whole")}
    return row.model_copy(update=truth)


def _measure(folder: Path, pairs: Iterable[Pair], access: Access) -> list[MeasuredPair]:
    rows = []
    for pair in pairs:
        questioned, reference = folder / pair.questioned, folder / pair.reference
        try:
            if access == "weights":
                finding = compare(questioned, reference, progress=silent, jobs=1, with_power=False)
            else:
                ours, theirs = _fingerprint(questioned), _fingerprint(reference)
                finding = compare_fingerprints(ours, theirs, with_power=False)
        except CheckpointError as error:
            # An error that takes more than a message cannot travel back from a worker process.
            raise InputError(str(error)) from None
        rows.append(measured(pair, finding, access))
    return rows


@lru_cache(maxsize=64)  # neighbouring pairs share models
def _fingerprint(path: Path) -> WeightFingerprint:
    return fingerprint_checkpoint(path, progress=silent, jobs=1)


def measured(pair: Pair, finding: Finding, access: Access) -> MeasuredPair:
    """The figures of one finding."""
    return MeasuredPair(
        questioned=pair.questioned,
        reference=pair.reference,
        truth=pair.truth,
        families=pair.families,
        older=pair.older,
        whole=pair.whole,
        access=access,
        relation=finding.conclusion.relation,
        transformations=finding.conclusion.transformations,
        layers=(sum(layer.reference is not None for layer in finding.layers), len(finding.layers)),
        figures=figures_of(finding.evidence),
    )


Line = TypeVar("Line", bound=Document)


def kept_lines(ledger: Path, kind: type[Line]) -> list[Line]:
    """The lines of a ledger, none where there is no file; what an interrupted run cut short is cut off.

    Raises
    ------
    InputError
        If a line is something else.
    """
    if not ledger.exists():
        return []
    data = ledger.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(ledger, whole)  # the next line must not continue it
    rows = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            rows.append(kind.model_validate_json(line))
        except ValueError as error:
            raise InputError(
                f"{ledger}: expected one measured pair per line, found something else in line {number}; move the file "
                "away and start again"
            ) from error
    return rows
