"""Verdict ``endpoint``: do two transcripts come from one distribution of answers?

Null: for every question that was asked several times at a temperature above 0, both transcripts' answers are
independent draws from one distribution. About the endpoint as a whole: weights, system prompt, sampler and server. Not
finding a difference is worth what another model's answers would have shown, which is tried on the controls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.comparison.asked import Asked
from whorl.core.behaviour import BehaviourEvidence, Verdict
from whorl.probes.battery import Battery, Family, Item
from whorl.statistics.cell_choices import CellTest, cell_power, cell_test, choice_counts
from whorl.statistics.detection_power import DetectionPower, detection_power
from whorl.statistics.text_kernels import text_gram
from whorl.statistics.two_sample import PromptGram, TwoSampleTest, two_sample_test

LEVEL: Final = 0.01
ENOUGH_POWER: Final = 0.9
MOST_BY_CHANCE: Final = 0.5
"""Divergence in bits that drawing alone may give: above it, hardly an answer was given twice, and the power over
controls that answer less widely says nothing of a swap for one that answers as widely."""
PERMUTATIONS: Final = 1999
_POWER_PERMUTATIONS: Final = 399
_MOST_POWER_MODELS: Final = 60
_LEAST_DRAWS: Final = 2
_LEAST_REPEATS: Final = 20
CHOICES: Final[Family] = "low_entropy"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFinding:
    """The verdict, and the two tests behind it."""

    verdict: Verdict
    evidence: tuple[BehaviourEvidence, ...]


def compare_endpoints(
    questioned: Asked,
    reference: Asked,
    battery: Battery,
    controls: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    lines: Mapping[str, str],
    seed: int,
) -> EndpointFinding:
    """Test whether two endpoints answer from one distribution.

    Parameters
    ----------
    controls : labels of the low-entropy items by control model and item, of models of other lines than the reference
    lines : of each control the line that it counts for
    seed : of the permutations
    """
    rng = np.random.default_rng(seed)
    repeating = [side.about.name for side in (questioned, reference) if _repeats(side, battery)]
    if repeating and not _equal_where_repeated(questioned, reference, battery):
        return EndpointFinding(
            verdict=Verdict(
                outcome="inconclusive",
                reason=f"{' and '.join(repeating)} gave one and the same text each time a question was repeated, at a "
                "temperature above 0. Behind a cache, or where the temperature is not kept to, repeated answers are no "
                "draws, and nothing can be said of their distribution.",
            ),
            evidence=(),
        )
    cells = [item for item in _repeated(battery, questioned, reference) if item.family == CHOICES]
    prompts = [item for item in _repeated(battery, questioned, reference) if item.family != CHOICES]
    choices = _choices(questioned, reference, cells, rng)
    texts = _texts(questioned, reference, prompts, rng)
    tested = [part for part in (choices, texts) if part.evidence.p is not None]
    power = _power(questioned, reference, cells, controls, lines, tests=max(1, len(tested)), rng=rng)
    return EndpointFinding(verdict=_verdict(tested, power), evidence=(choices.evidence, texts.evidence))


def _repeated(battery: Battery, *sides: Asked) -> list[Item]:
    return [
        item
        for item in battery.items
        if item.temperature > 0 and all(len(side.labels.get(item.id, ())) >= _LEAST_DRAWS for side in sides)
    ]


def _repeats(side: Asked, battery: Battery) -> bool:
    """Whether every question that was repeated at a temperature above 0 was answered with one text, many times over."""
    repeated = [
        texts
        for item in battery.items
        if item.temperature > 0 and len(texts := side.texts.get(item.id, ())) >= _LEAST_DRAWS
    ]
    return sum(len(texts) - 1 for texts in repeated) >= _LEAST_REPEATS and all(
        len(set(texts)) == 1 for texts in repeated
    )


def _equal_where_repeated(questioned: Asked, reference: Asked, battery: Battery) -> bool:
    items = _repeated(battery, questioned, reference)
    return all(set(questioned.texts[item.id]) == set(reference.texts[item.id]) for item in items)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tested:
    """One test, and the divergence in bits that drawing alone gives, where it knows."""

    evidence: BehaviourEvidence
    expected: float | None = None


def _choices(questioned: Asked, reference: Asked, cells: Sequence[Item], rng: np.random.Generator) -> _Tested:
    first, second = choice_counts(
        [reference.labels[item.id] for item in cells], [questioned.labels[item.id] for item in cells]
    )
    found = cell_test(first, second, permutations=PERMUTATIONS, rng=rng)
    if not isinstance(found, CellTest):
        return _Tested(evidence=_untested("low_entropy", "cell_choices/1", found.detail))
    measured = BehaviourEvidence(
        family="low_entropy",
        method="cell_choices/1",
        outcome="measured",
        value=found.divergence,
        p=found.p,
        controls=0,
        speaks_to="endpoint",
        detail=f"one-word choices in {found.cells} cells: divergence {found.divergence:.3f} bits, "
        f"{found.divergence_by_chance:.3f} expected from drawing alone",
    )
    return _Tested(evidence=measured, expected=found.divergence_by_chance)


def _texts(questioned: Asked, reference: Asked, prompts: Sequence[Item], rng: np.random.Generator) -> _Tested:
    grams = []
    for item in prompts:
        ours, theirs = reference.texts[item.id], questioned.texts[item.id]
        grams.append(PromptGram(gram=text_gram([*ours, *theirs]), reference=len(ours)))
    found = two_sample_test(grams, permutations=PERMUTATIONS, rng=rng)
    if not isinstance(found, TwoSampleTest):
        return _Tested(evidence=_untested("repeated answers", "two_sample/1", found.detail))
    measured = BehaviourEvidence(
        family="repeated answers",
        method="two_sample/1",
        outcome="measured",
        value=found.mmd2,
        p=found.p,
        controls=0,
        speaks_to="endpoint",
        detail=f"{found.answers} answers to {found.prompts} questions that were asked several times",
    )
    return _Tested(evidence=measured)


def _untested(family: str, method: str, detail: str) -> BehaviourEvidence:
    return BehaviourEvidence(
        family=family,
        method=method,
        outcome="not_testable",
        value=None,
        p=None,
        controls=0,
        speaks_to="endpoint",
        detail=detail,
    )


def _power(
    questioned: Asked,
    reference: Asked,
    cells: Sequence[Item],
    controls: Mapping[str, Mapping[str, Sequence[str]]],
    lines: Mapping[str, str],
    *,
    tests: int,
    rng: np.random.Generator,
) -> DetectionPower | None:
    """How probably a swap for one of the controls would have been seen, by the choices alone; a line counts once."""
    models = sorted(name for name, labels in controls.items() if any(len(labels.get(item.id, ())) for item in cells))
    if not models or not cells:
        return None
    if len(models) > _MOST_POWER_MODELS:
        models = sorted(rng.permutation(models)[:_MOST_POWER_MODELS].tolist())
    draws = max(1, round(float(np.mean([len(questioned.labels[item.id]) for item in cells]))))
    tables = []
    for name in models:
        pair = choice_counts(
            [reference.labels[item.id] for item in cells], [controls[name].get(item.id, ()) for item in cells]
        )
        tables.append(pair)
    shares: dict[str, list[float]] = {}
    for name, (ours, theirs) in zip(models, tables, strict=True):
        # Counts of each control have their own columns: the power function is asked model by model.
        found = cell_power(
            ours, [theirs], draws=draws, level=LEVEL / tests, permutations=_POWER_PERMUTATIONS, trials=1, rng=rng
        )
        shares.setdefault(lines[name], []).append(found.probability)
    return detection_power([float(np.mean(of_line)) for of_line in shares.values()])


def _verdict(tested: Sequence[_Tested], power: DetectionPower | None) -> Verdict:
    known = None if power is None else power.probability
    if not tested:
        return Verdict(
            outcome="inconclusive",
            power=known,
            reason="No question was answered often enough by both at a temperature above 0; draw several answers.",
        )
    # Bonferroni over the tests that ran.
    p = min(1.0, len(tested) * min(part.evidence.p for part in tested if part.evidence.p is not None))
    if p <= LEVEL:
        return Verdict(
            outcome="changed",
            p=p,
            power=known,
            reason="The two give answers of different distributions. The cause may be other weights, another system "
            "prompt, other sampling settings or another server; this test does not tell which.",
        )
    if power is None:
        return Verdict(
            outcome="inconclusive",
            p=p,
            reason="No difference was found; without control models it is unknown what would have been seen.",
        )
    seen = (
        f"a swap to a model of another line would have been seen with probability {power.probability:.2f} "
        f"({power.lower:.2f} to {power.upper:.2f}, {power.models} lines of control models)"
    )
    diffuse = next((part.expected for part in tested if part.expected is not None), 0.0)
    if diffuse > MOST_BY_CHANCE:
        return Verdict(
            outcome="inconclusive",
            p=p,
            power=known,
            reason=f"No difference was found, but answers hardly repeat: drawing alone gives a divergence of "
            f"{diffuse:.2f} bits of at most 1. Two models that answer as widely would look the same; draw more.",
        )
    if power.lower < ENOUGH_POWER:
        return Verdict(
            outcome="inconclusive",
            p=p,
            power=known,
            reason=f"No difference was found, but {seen}: too little to say more.",
        )
    return Verdict(outcome="same", p=p, power=known, reason=f"No difference was found; {seen}.")
