"""Time and memory to build and to verify a dossier of 50 MB: ``python -m bench.dossier``.

The case is the one of the tests, with exhibits of random bytes. "large" has them in 6 files, "many" in 106, of which
100 are documents that a party filed, as many as it may. Each run is a fresh process, and so counts the start of Python
and every import; the file is dropped from the page cache before it is verified. The slowest of three runs counts.
"""

import json
import os
import random
import sys
import tempfile
from pathlib import Path

from bench.measuring import WHORL, Run, drop_from_cache, measure

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "dossiers"))

from sample_case import SampleCase, whole_case, write_folder

SIZE = 50_000_000
MEMBERS = 6
DOCUMENTS = 100
REPEATS = 3


def large(draw: random.Random) -> SampleCase:
    return whole_case(exhibits=[draw.randbytes(SIZE // MEMBERS) for _ in range(MEMBERS)])


def many(draw: random.Random) -> SampleCase:
    size = SIZE // (DOCUMENTS + MEMBERS)
    return whole_case(documents=[draw.randbytes(size) for _ in range(DOCUMENTS)])


def measured(case: SampleCase, folder: Path) -> dict[str, float]:
    """Build the case's dossier, and verify it, ``REPEATS`` times each."""
    source, key = folder / "case", folder / "key.json"
    write_folder(case, source, key=key)
    files = [folder / f"{number}.dossier" for number in range(REPEATS)]
    built = [measure([WHORL, "dossier", "build", source, "-o", file, "--key", key]) for file in files]
    if len({file.read_bytes() for file in files}) != 1:
        raise SystemExit("the same case gave different bytes")
    verified = []
    for file in files:
        drop_from_cache([file])
        verified.append(measure([WHORL, "dossier", "verify", file]))
    facts = {"megabytes": round(files[0].stat().st_size / 1e6, 1), "events": len(case.kept), "files": len(case.files)}
    return facts | _slowest("build", built) | _slowest("verify", verified)


def _slowest(what: str, runs: list[Run]) -> dict[str, float]:
    return {
        f"{what}_wall_seconds": round(max(run.wall_seconds for run in runs), 2),
        f"{what}_cpu_seconds": round(max(run.cpu_seconds for run in runs), 2),
        f"{what}_peak_megabytes": round(max(run.peak_megabytes for run in runs), 1),
    }


def main() -> None:
    report = {}
    for name, make in (("large", large), ("many", many)):
        with tempfile.TemporaryDirectory() as folder:
            report[name] = measured(make(random.Random(6)), Path(folder))
    print(json.dumps({"cores": os.cpu_count(), "load_before": os.getloadavg()[0]} | report, indent=2))


if __name__ == "__main__":
    main()
