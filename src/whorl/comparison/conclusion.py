"""From evidence to one sentence: which relation, said no stronger than the evidence carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from whorl.comparison.alignment import LOG10_LEVEL, UNRELATED_AT_MOST, LayerPair
from whorl.comparison.identity import Identity
from whorl.comparison.kinship import Judgement
from whorl.core.evidence import Conclusion, EstablishedTransformation, NotComparable, Relation, Score

LOG10_SUSPICIOUS: Final = -3.0
HEADS_SUSPICIOUS: Final = 0.3
BLIND: Final = 0.05  # share of neurons with any best counterpart; unrelated models here had 0.45 and more (39 pairs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What decides the relation.

    ``kinship`` is None where no layer pair is established; ``without_role`` counts tensors that play no role in either
    model; ``contradicted`` says that features differ where digests claim equality.
    """

    identity: Identity
    log10_p: float | None
    log10_p_layers: float | None
    pairs: Sequence[LayerPair]
    kinship: Judgement | None
    heads: Score | None
    not_aligned: NotComparable | None
    access: Literal["weights", "fingerprint"]
    without_role: int
    contradicted: bool


def conclude(known: Known, changes: Sequence[EstablishedTransformation]) -> tuple[Conclusion, tuple[str, ...]]:
    """The conclusion, and what it does not show."""
    relation, statement = _relation(known)
    conclusion = Conclusion(
        relation=relation,
        statement=statement,
        log10_p=known.log10_p,
        log10_lr=None,
        direction=None,
        direction_reason=_direction_reason(relation),
        transformations=tuple(change.name for change in changes),
    )
    return conclusion, _limits(relation, known)


def _relation(known: Known) -> tuple[Relation, str]:
    if known.identity.same and known.contradicted:
        return (
            "inconclusive",
            "The two fingerprints claim the same stored bytes, but their features differ: at least one was altered. "
            "Make both again from the checkpoints.",
        )
    if known.identity.same:
        return "identical", "Every weight, gain and bias of the two models is equal, and so is the vocabulary."
    established = sum(pair.established for pair in known.pairs)
    if known.kinship is not None:
        layers = (
            f"{established} of {len(known.pairs)} layers of the questioned model have a counterpart in the reference"
        )
        return _related(known, known.kinship, layers)
    if known.log10_p_layers is not None and known.log10_p_layers < LOG10_LEVEL:
        return (
            "inconclusive",
            "Neurons sit at the same positions, or in the same order, far beyond chance, yet no layer's neurons are "
            "alike: a common start followed by heavy retraining does that, and so does ordering one model's neurons in "
            "view of the other.",
        )
    if known.identity.equal:
        return (
            "inconclusive",
            f"Stored byte for byte in both models: {_few(known.identity.equal)}. No layer's neurons have counterparts, "
            "so these parts were taken over, or both models kept them from one start.",
        )
    if known.log10_p is not None and known.log10_p < LOG10_LEVEL:
        return (
            "inconclusive",
            "The two embeddings are not independent, but no layer has a counterpart: an embedding was taken over, or "
            "both started from one seed.",
        )
    if known.not_aligned is not None:
        return (
            "inconclusive",
            f"No relation was seen, but the test could not have seen one: {known.not_aligned.detail}.",
        )
    if sum(pair.found for pair in known.pairs) <= BLIND * sum(pair.neurons for pair in known.pairs):
        return (
            "inconclusive",
            "No relation was seen, but the test could not have seen one: hardly a neuron of the questioned model has "
            "a best counterpart at all, as when weights are all zero or all alike.",
        )
    if _suspicious(known):
        return (
            "inconclusive",
            "Some agreement was found, more than unrelated models usually show and less than the test demands.",
        )
    return "none_found", "No common weights were found between the two models."


def _related(known: Known, kinship: Judgement, layers: str) -> tuple[Relation, str]:
    if known.identity.rounded_to is not None:
        return (
            "derived",
            f"Every sampled weight of the questioned model is the reference's, rounded to {known.identity.rounded_to}.",
        )
    match kinship.verdict:
        case "derived":
            return "derived", f"The two models share trained weights: {layers}; {kinship.reason}."
        case "shared_initialisation":
            return (
                "shared_initialisation",
                f"The two models started from the same weights and were trained apart: {layers}, but {kinship.reason}.",
            )
        case "undecided":
            return (
                "inconclusive",
                f"The two models are related: {layers}. Whether one derives from the other or both merely "
                f"started from the same initialisation is open: {kinship.reason}.",
            )


def _few(roles: Sequence[str]) -> str:
    return ", ".join(roles[:3]) + (f" and {len(roles) - 3} more" if len(roles) > 3 else "")


def _suspicious(known: Known) -> bool:
    # Half the cap over a whole layer, heads without neurons, or a positional bound that would convince nobody but is
    # not
    # nothing either.
    if known.heads is not None and known.heads.lower > max(HEADS_SUSPICIOUS, 3 * known.heads.statistic["by_chance"]):
        return True
    layers = any(pair.neurons >= 64 and pair.agreement > UNRELATED_AT_MOST / 2 for pair in known.pairs)
    return layers or (known.log10_p is not None and known.log10_p < LOG10_SUSPICIOUS)


def _direction_reason(relation: Relation) -> str:
    if relation in ("none_found", "inconclusive", "shared_initialisation"):
        return "no descent was established, so there is no direction to give"
    if relation == "identical":
        return "equal weights have no direction"
    return "no calibrated probability is given; nothing found here tells parent, child and common ancestor apart"


def _limits(relation: Relation, known: Known) -> tuple[str, ...]:
    limits = ["Speaks of weights only: training on another model's answers leaves no trace in weights."]
    if known.without_role:
        limits.append(f"{known.without_role} tensors play no known role and were compared by their stored bytes only.")
    if known.access == "fingerprint":
        limits.append(
            "At least one side was compared by its stored fingerprint, which sees less than the weights do: a "
            "heavily retrained "
            "copy may be missed."
        )
    match relation:
        case "derived":
            limits.append("Does not say who did what, when, or with whose leave; licences often allow reuse.")
            limits.append("Both models may continue a third one that neither side named.")
            limits.append("Merging with a third model is not told apart from further training.")
        case "shared_initialisation":
            limits.append("A common start alone is no reuse of training: public seeds and shared code produce it too.")
            limits.append("A merge of one model with a third one can look the same.")
        case "none_found":
            limits.append(
                "Not a proof of independence: weights retrained until hardly a neuron is recognisable would not "
                "be seen, and the "
                "power against that was not simulated for this reference."
            )
            limits.append("A copy with another embedding and a rotated residual stream as well would not be seen.")
        case "inconclusive":
            limits.append("Supports neither side.")
        case "identical":
            limits.append("Does not say which of the two was first.")
            limits.append("Settings beside the weights (positions, norm epsilon, activation) are not compared.")
    if relation in ("derived", "shared_initialisation", "inconclusive") and known.kinship is not None:
        limits.append(
            "The line between derived and shared initialisation rests on small models trained for this project and "
            "has no calibrated error rate yet."
        )
    return tuple(limits)
