"""The ancestor test against the truth: ``python -m bench.ancestor FOLDER [REFERENCE.json]``.

FOLDER was made by ``python -m bench.ancestor_models FOLDER``. Measures every documented pair, calibrates, writes the
reference that the package ships (with a second argument), and prints the tables of ``docs/methods/ancestor.md``.
"""

import copy
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.zoo.texts import shared_tokenizer
from demo import edits
from demo.folders import write_folder
from whorl.comparison.ancestor import reading_of
from whorl.comparison.ancestor_changes import Changes, changes_from
from whorl.core.progress import silent
from whorl.statistics.ancestor import AncestorFigures, ancestor_figures
from whorl.statistics.ancestor_reference import (
    Against,
    AncestorCell,
    Documented,
    DocumentedPair,
    calibrated_reference,
    documented_pair,
    held_out_ratios,
)
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of

NAME = "small families of one ancestor, 2026-11"
ONE_TEXT = ("reference", "same_text", "same_text_long", "light")
OTHER_TEXTS = ("third_text", "own_text")
CHILDREN = {
    "child_third_text": "reference",
    "child_same_text": "reference",
    "child_own_text": "reference",
    "child_of_light": "light",
}


def documented() -> Iterator[tuple[str, str, str, Documented]]:
    """Ancestor, questioned model, reference and what is true of them."""
    for child, parent in CHILDREN.items():
        yield "ancestor", child, parent, "child"
    for one, other in permutations((*ONE_TEXT, *OTHER_TEXTS), 2):
        together = one in ONE_TEXT and other in ONE_TEXT
        yield "ancestor", one, other, "siblings_same_text" if together else "siblings"
    for one, other in permutations(("heir", "other_heir")):
        yield "ancestor", one, other, "heirs_of_unpublished"
    for one, other in permutations(("reference", "third_text")):
        yield "revision", one, other, "siblings_wrong_ancestor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A pair and its figures; ``relation`` is one that is documented, or a name for the table of readings alone."""

    family: str
    questioned: str
    reference: str
    relation: str
    figures: AncestorFigures


def measured(family: Path, spare: Path) -> Iterator[Measured]:
    """Every documented pair of a family, and edits and merges that were not calibrated."""
    for ancestor, questioned, reference, relation in documented():
        yield _measured(family, family / ancestor, family / questioned, family / reference, relation)
    for name, model in edited(family):
        made = spare / f"{family.name}-{name}"
        write_folder(made, model, shared_tokenizer())
        yield _measured(family, family / "ancestor", made, family / "reference", name)


def edited(family: Path) -> Iterator[tuple[str, PreTrainedModel]]:
    """Models made of stored ones without training."""
    reference, child, sibling, other = (
        AutoModelForCausalLM.from_pretrained(family / name, dtype=torch.float32)
        for name in ("reference", "child_third_text", "same_text", "third_text")
    )
    yield "rewritten child", edits.rewritten(child, np.random.default_rng(1))
    yield "rewritten sibling on one text", edits.rewritten(sibling, np.random.default_rng(2))
    yield "reference in 4 bits", edits.rounded(reference, 4)
    yield "reference with noise", edits.noisy(reference, 0.05, 3)
    for share in (0.3, 0.5, 0.7):
        yield f"merge holding {share}", _merged(reference, other, share)


@torch.no_grad()
def _merged(one: PreTrainedModel, other: PreTrainedModel, share: float) -> PreTrainedModel:
    made = copy.deepcopy(one)
    for own, first, second in zip(made.parameters(), one.parameters(), other.parameters(), strict=True):
        own.copy_(share * first + (1 - share) * second)
    return made


def _measured(family: Path, ancestor: Path, questioned: Path, reference: Path, relation: str) -> Measured:
    models = [anatomy_of(open_checkpoint(path)) for path in (ancestor, questioned, reference)]
    changes = changes_from(*models, jobs=1, progress=silent)
    figures = ancestor_figures(changes.products) if isinstance(changes, Changes) else None
    if figures is None:
        raise SystemExit(f"{family}: {questioned.name} against {reference.name}: no figures")
    return Measured(
        family=family.name,
        questioned=questioned.name,
        reference=reference.name,
        relation=relation,
        figures=figures,
    )


def readings(found: list[Measured], pairs: list[DocumentedPair]) -> None:
    """What is read off each family by a reference that has not seen it."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for family in sorted({one.family for one in found}):
        known = calibrated_reference([pair for pair in pairs if pair.family != family], name=NAME)
        for one in found:
            if one.family == family:
                counts[one.relation][reading_of(one.figures, known)] += 1
    kinds = ("questioned_holds_reference", "reference_holds_questioned", "common_ancestor", "on_the_way", "undecided")
    print(f"\n| Truth | {' | '.join(kinds)} |\n| --- |{' --- |' * len(kinds)}")
    for relation, count in counts.items():
        print(f"| {relation} | {' | '.join(str(count[kind]) for kind in kinds)} |")


def main(folder: Path, output: Path | None) -> None:
    """Measure, calibrate, tell."""
    whole = [path for path in sorted(folder.iterdir()) if (path / "revision").exists()]
    with tempfile.TemporaryDirectory() as spare:
        found = [one for family in whole for one in measured(family, Path(spare))]
    pairs = [
        documented_pair(
            one.figures,
            family=one.family,
            questioned=one.questioned,
            reference=one.reference,
            relation=cast(Documented, one.relation),
        )
        for one in found
        if one.relation in get_args(Documented)
    ]
    reference = calibrated_reference(pairs, name=NAME)
    if output is not None:
        output.write_text(reference.model_dump_json() + "\n", encoding="utf-8")
    print(f"{reference.families} families, {len(pairs)} pairs, digest {reference.digest}")
    print("\n| Relation | Pairs | beta 5 %, 50 %, 95 % | gamma | wholeness | trends |")
    print("| --- | --- | --- | --- | --- | --- |")
    for relation in dict.fromkeys(pair.relation for pair in pairs):
        chosen = [pair for pair in pairs if pair.relation == relation]
        columns = [
            [pair.beta for pair in chosen],
            [pair.gamma for pair in chosen],
            [pair.wholeness[0] for pair in chosen],
            [pair.trends for pair in chosen],
        ]
        shown = [", ".join(f"{value:.2f}" for value in np.quantile(column, (0.05, 0.5, 0.95))) for column in columns]
        print(f"| {relation} | {len(chosen)} | {' | '.join(shown)} |")
    heads = ("Against", "Families", "Caps for, against", "Held out, log10: children", "others", "misleading")
    print(f"\n| {' | '.join((*heads, 'mean, others', 'Cllr'))} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for against in ("siblings", "siblings_same_text", "parent"):
        print(_calibration_row(pairs, against, reference.cell(against)))
    readings(found, pairs)


def _calibration_row(pairs: list[DocumentedPair], against: Against, cell: AncestorCell) -> str:
    truth, ratios = (np.array(column) for column in held_out_ratios(pairs, against))
    shown = [", ".join(f"{v:.2f}" for v in np.quantile(ratios[side], (0.05, 0.5, 0.95))) for side in (truth, ~truth)]
    wrong = int((ratios[truth] < 0).sum()), int((ratios[~truth] > 0).sum())
    plain = 10**ratios
    cost = (np.log2(1 + 1 / plain[truth]).mean() + np.log2(1 + plain[~truth]).mean()) / 2
    caps = ", ".join(f"{min(one.sampling, one.process):.2f}" for one in (cell.supporting, cell.opposing))
    return (
        f"| {against} | {cell.families[0]} | {caps} | {shown[0]} | {shown[1]} | {wrong[0]} of {int(truth.sum())}, "
        f"{wrong[1]} of {int((~truth).sum())} | {plain[~truth].mean():.3f} | {cost:.3f} |"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
