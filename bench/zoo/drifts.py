"""Measure how far neurons move in the zoo's real children: ``python -m bench.zoo.drifts FOLDER``.

Writes ``src/whorl/comparison/drifts.json``, from which `whorl compare` simulates what it would have seen.
"""

import sys
from pathlib import Path

from whorl.comparison.comparing import sides_of_checkpoints
from whorl.comparison.drift import ChildDrift, Drift, DriftDocument, measure_drift
from whorl.comparison.subjects import CheckpointSubject, open_subject
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint

TARGET = Path(__file__).parents[2] / "src" / "whorl" / "comparison" / "drifts.json"
CHANGES = {
    "ft_heavy": "fine-tuned on other text for 0.4 times as long as pre-training",
    "cpt": "trained on other text for as long as pre-training, at its full learning rate",
    "pruned_60": "with 60 % of the weights set to zero",
    "int3": "rounded to 3 bits",
    "stranger_linear_50": "averaged with an unrelated model, half and half",
    "stranger_linear_30": "averaged with an unrelated model, 30 % their own",
}


def main(folder: Path) -> None:
    """Measure every change on every family that has it, from weights and from stored fingerprints."""
    drifts = []
    for member, change in CHANGES.items():
        by_weights, by_fingerprint = [], []
        for child in sorted(folder.glob(f"*/{member}")):
            family, parent = child.parent.name, child.parent / "base"
            if not (parent / "record.json").exists() or "-order" in family or "-text" in family:
                continue
            ours, theirs = open_subject(child), open_subject(parent)
            assert isinstance(ours, CheckpointSubject)
            assert isinstance(theirs, CheckpointSubject)
            left, right = sides_of_checkpoints(ours, theirs, silent, 1).views[0]
            layers = [(layer, layer) for layer in range(len(left.neurons))]
            by_weights.append(ChildDrift(family=family, layers=measure_drift(left.neurons, right.neurons, layers)))
            stored = [fingerprint_checkpoint(path, progress=silent, jobs=1).view().neurons for path in (child, parent)]
            by_fingerprint.append(ChildDrift(family=family, layers=measure_drift(*stored, layers)))
            print(member, family, flush=True)
        drifts.append(Drift(change=change, access="weights", children=tuple(by_weights)))
        drifts.append(Drift(change=change, access="fingerprint", children=tuple(by_fingerprint)))
    document = DriftDocument(command="python -m bench.zoo.drifts FOLDER", drifts=tuple(drifts))
    TARGET.write_text(document.model_dump_json(by_alias=True) + "\n", encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
