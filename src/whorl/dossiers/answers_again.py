"""What a finding on answers says of a pair, and whether its ranks follow from the scores that it holds."""

from typing import Final, Literal, TypeAlias

import numpy as np

from whorl.core.behaviour import LEVEL, Behaviour, ControlScores, Verdict
from whorl.core.errors import VerificationError
from whorl.dossiers.events import Facts
from whorl.statistics.model_calibration import LEAST_CONTROLS, conformal_rank

AnswerRelation: TypeAlias = Literal["supported", "not_independent", "none_found", "inconclusive"]
TOLERANCE: Final = 1e-9
_WRAPPED: Final = "max_tokens was not kept to"
"""Flag of an endpoint that adds to what the model said: that nothing was found says nothing then."""


def answer_relation(found: Behaviour, *, alpha: float) -> AnswerRelation:
    """A finding on answers in one word.

    Parameters
    ----------
    alpha : the protocol's level; a rank above it, or above a verdict's own level, does not stand out

    Returns
    -------
    ``supported`` (trained weights are shared), ``not_independent`` (the pair stands out by agreement and by phrasing,
    and nothing that unrelated models have in common explains it; weights, learning from answers, a common teacher and
    the same public data would), ``none_found`` or ``inconclusive``
    """
    weights, learned = found.verdicts.weights_related, found.verdicts.learned_from
    level = min(LEVEL, alpha)
    stands_out = weights.p is not None and weights.p <= level and weights.explained_by is None
    if stands_out and weights.outcome == "supported":
        return "supported"
    if stands_out and learned.outcome == "candidates" and learned.p is not None and learned.p <= level:
        return "not_independent"
    odd = any(
        _WRAPPED in flag for flag in (*found.questioned.flags, *(found.reference.flags if found.reference else ()))
    )
    if weights.outcome == "none_found" and learned.outcome in ("none_of_these", "inconclusive") and not odd:
        return "none_found"
    return "inconclusive"


def answers_p(found: Behaviour) -> float | None:
    """The least favourable of both ranks; None where either verdict has none."""
    ranks = (found.verdicts.weights_related.p, found.verdicts.learned_from.p)
    if ranks[0] is None or ranks[1] is None:
        return ranks[0] if found.verdicts.weights_related.outcome == "supported" else None
    return max(ranks[0], ranks[1])


def require_ranks(found: Behaviour, *, what: str) -> None:
    """Check that the verdicts on lineage state the ranks of the scores that the finding holds.

    Parameters
    ----------
    what : the finding, for messages

    Raises
    ------
    VerificationError
        If a rank is another one, or a verdict goes beyond what its rank allows.
    """
    ranked = [one for one in (found.verdicts.weights_related, found.verdicts.learned_from) if one.p is not None]
    most = 0 if found.population is None else found.population.models
    if (ranked or found.similarities) and found.population is None:
        raise VerificationError(f"{what}: expected the population that its ranks rest on, found none; refuse it")
    for held in found.similarities:
        if max(len(held.controls), len(held.reference_controls)) > most:
            raise VerificationError(
                f"{what}: expected scores of at most its {most} control models, found more; refuse it"
            )
    for name, verdict, outcome in (
        ("weights-related", found.verdicts.weights_related, "supported"),
        ("learned-from", found.verdicts.learned_from, "candidates"),
    ):
        own = [one for one in found.similarities if one.speaks_to == name]
        if len(own) > 1 or (verdict.p is not None and not own):
            raise VerificationError(
                f"{what}: expected the scores that {name} rests on, found {len(own)} sets of them; refuse it"
            )
        _require_rank(verdict, own[0] if own else None, name=name, what=what)
        if verdict.outcome == outcome and (verdict.p is None or verdict.p > LEVEL):
            raise VerificationError(
                f"{what}: expected {outcome} only where the rank is at most {LEVEL:g}, found {verdict.p}; refuse it"
            )


def require_planned(found: Behaviour, planned: Facts, *, what: str) -> None:
    """Check that a finding rests on the questions and the control models that the protocol names.

    Parameters
    ----------
    planned : the method's parameters in the protocol: digests of population and battery, and how many control models

    Raises
    ------
    VerificationError
        If it rests on others, or on more of them.
    """
    if found.battery.rpartition(" ")[2] != planned.get("battery"):
        raise VerificationError(f"{what}: expected the battery that the protocol names, found {found.battery!a:.90}")
    of = found.population
    if of is not None and (of.digest != planned.get("population") or of.models > float(planned.get("models", 0))):
        raise VerificationError(
            f"{what}: expected at most the {planned.get('models')} control models of the population that the protocol "
            f"names, found {of.models} of {of.digest[:23]!a}; refuse it"
        )


def _require_rank(verdict: Verdict, scores: ControlScores | None, *, name: str, what: str) -> None:
    if verdict.p is None or scores is None:
        return
    sides = (scores.controls, scores.reference_controls) if name == "weights-related" else (scores.reference_controls,)
    fewest, least = min(map(len, sides)), LEAST_CONTROLS if name == "weights-related" else 1
    if fewest < least:
        raise VerificationError(
            f"{what}: expected at least {least} control models behind {name}, found {fewest}; refuse it"
        )
    again = max(conformal_rank(scores.value, np.array(side)) for side in sides)
    if abs(again - verdict.p) > TOLERANCE:
        raise VerificationError(
            f"{what}: expected the rank {again:.6g} that its scores give {name}, found {verdict.p:.6g}; refuse it"
        )
