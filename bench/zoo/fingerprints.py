"""Fingerprints of the zoo's runs: ``python -m bench.zoo.fingerprints ZOO`` fills bench/results/zoo/fingerprints."""

import sys
from pathlib import Path

from bench.zoo.study import RESULTS
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import SUFFIX, fingerprint_checkpoint


def main(folder: Path) -> None:
    """Write one file per run."""
    target = RESULTS / "fingerprints"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*/base")):
        taken = fingerprint_checkpoint(path, progress=silent, jobs=1)
        (target / f"{path.parent.name}{SUFFIX}").write_bytes(taken.to_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
