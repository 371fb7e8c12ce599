"""Do two models' wrong answers, refusals and failures go together beyond what any two models share?

Every statistic takes away what the controls reveal about the items, and is then held against the same statistic of
control models in either place. Wrong answers may speak of lineage; refusals and failures describe, whatever their
figure: they follow regulation, system prompts and post-training.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from whorl.comparison.asked import Asked, items_of
from whorl.core.arrays import AnyArray, Ints
from whorl.core.behaviour import BehaviourEvidence
from whorl.probes.battery import Battery, Family, Item
from whorl.statistics.model_calibration import PairCalibration, PairScores, TooFewControls, calibrate_pair, pair_scores
from whorl.statistics.not_testable import NotTestable
from whorl.statistics.residual_agreement import class_residuals, residual_agreement

METHOD: Final = "residual_agreement/1"
_LEAST_CONTROLS: Final = 8
_MOST_CLASSES: Final = 12
_ITEMS_PER_STRATUM: Final = 20
_FREE_ANSWERS: Final = "short_answer/1"  # their classes differ from item to item, so that no tendency can be removed

GROUPS: Final[Mapping[str, tuple[tuple[Family, ...], str]]] = {
    "wrong_answers": (("wrong_answers",), "weights-related"),
    "safety failures": (("guardrails", "failure_transfer"), "description"),
    "principles": (("constitution",), "description"),
    "preferences": (("bias_pairs",), "description"),
}
"""Groups of families that are tested together, and what their agreement may speak to."""

Labels = Mapping[str, Sequence[str]]


def shared_failures(
    questioned: Asked, reference: Asked, battery: Battery, controls: Mapping[str, Labels]
) -> tuple[BehaviourEvidence, ...]:
    """Residual agreement of two models on each group of families.

    Parameters
    ----------
    controls : labels by control model and item; models related to either must not be among them
    """
    found = []
    for name, (families, speaks_to) in GROUPS.items():
        items = [item for item in items_of(battery, families) if item.scorer != _FREE_ANSWERS]
        if items:
            found.append(_group(name, speaks_to, items, questioned, reference, controls))
    return tuple(found)


def _group(
    name: str,
    speaks_to: str,
    items: Sequence[Item],
    questioned: Asked,
    reference: Asked,
    controls: Mapping[str, Labels],
) -> BehaviourEvidence:
    known = [labels for labels in controls.values() if any(item.id in labels for item in items)]
    if len(known) < _LEAST_CONTROLS:
        return _untested(name, speaks_to, len(known), f"expected {_LEAST_CONTROLS} control models, found {len(known)}")
    codes, categories = _coded(items, [questioned.labels, reference.labels, *known])
    strata = _strata(items)

    def z(one: AnyArray, other: AnyArray, others: AnyArray) -> float | NotTestable:
        left = class_residuals(np.stack([one, other]), others, categories=categories, strata=strata)
        agreed = residual_agreement(left[0], left[1])
        return agreed if isinstance(agreed, NotTestable) else agreed.z

    scores = pair_scores(z, questioned=codes[0], reference=codes[1], controls=codes[2:])
    if isinstance(scores, NotTestable):
        return _untested(name, speaks_to, len(known), scores.detail)
    return _measured(name, speaks_to, scores, calibrate_pair(scores))


def _measured(
    name: str, speaks_to: str, scores: PairScores, calibrated: PairCalibration | TooFewControls
) -> BehaviourEvidence:
    controls = min(len(scores.for_questioned), len(scores.for_reference))
    few = isinstance(calibrated, TooFewControls)
    return BehaviourEvidence(
        family=name,
        method=METHOD,
        outcome="measured",
        value=scores.value,
        p=None if isinstance(calibrated, TooFewControls) else calibrated.rank_p,
        controls=controls,
        speaks_to="weights-related" if speaks_to == "weights-related" else "description",
        detail=f"agreement beyond the items z = {scores.value:.1f}; controls in either place up to "
        f"{max(scores.for_questioned.max(initial=0.0), scores.for_reference.max(initial=0.0)):.1f}"
        + ("; too few controls to calibrate" if few else ""),
    )


def _untested(name: str, speaks_to: str, controls: int, detail: str) -> BehaviourEvidence:
    return BehaviourEvidence(
        family=name,
        method=METHOD,
        outcome="not_testable",
        value=None,
        p=None,
        controls=controls,
        speaks_to="weights-related" if speaks_to == "weights-related" else "description",
        detail=detail,
    )


def _strata(items: Sequence[Item]) -> Ints | None:
    """Families as strata, where they have enough items: every stratum costs a feature, and few items bear few."""
    families = np.unique([item.family for item in items], return_inverse=True)[1].astype(np.int64)
    enough = len(items) >= _ITEMS_PER_STRATUM * (int(families.max()) + 1)
    return families if enough and families.max() > 0 else None


def _coded(items: Sequence[Item], answers: Sequence[Labels]) -> tuple[Ints, int]:
    """First labels as codes, shape (models, items); a code means the same class in every item."""
    seen: dict[str, int] = {}
    for item in items:
        for labels in answers:
            for label in labels.get(item.id, ())[:1]:
                seen[label] = seen.get(label, 0) + 1
    common = {
        label: place for place, label in enumerate(sorted(seen, key=lambda one: (-seen[one], one))[:_MOST_CLASSES])
    }
    codes = np.full((len(answers), len(items)), -1, np.int64)
    for row, labels in enumerate(answers):
        for column, item in enumerate(items):
            for label in labels.get(item.id, ())[:1]:
                codes[row, column] = common.get(label, len(common))
    return codes, len(common) + 1
