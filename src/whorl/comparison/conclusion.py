"""From evidence to one sentence: which relation, said no stronger than the evidence carries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from whorl.comparison.alignment import LOG10_LEVEL, UNRELATED_AT_MOST, LayerPair
from whorl.comparison.identity import Identity
from whorl.comparison.kinship import Judgement
from whorl.comparison.population import shipped_population
from whorl.core.evidence import (
    Alternative,
    Conclusion,
    Direction,
    EstablishedTransformation,
    NotComparable,
    PValue,
    Relation,
    Score,
)
from whorl.statistics.combine import bonferroni_log10_p
from whorl.statistics.ratio_population import Population, Ratio

LOG10_SUSPICIOUS: Final = -3.0
HEADS_SUSPICIOUS: Final = 0.3
FROM_RELEASE: Final = Direction(questioned_from_reference=1.0, reference_from_questioned=0.0, common_ancestor=0.0)
BY_KEY: Final = (
    "the questioned model was made from the released copy, which alone has the key's dither, provided that the key was "
    "secret and its commitment is older than the questioned model"
)
POSTERIOR: Final = (
    "the shares are a posterior on the reference population and depend on the prior: all three equally probable before"
)
CLAIMED_FROM: Final = 3.2  # odds from which an order of descent is claimed; chosen on the zoo of docs/validation.md
Order: TypeAlias = Literal["questioned_from_reference", "reference_from_questioned"]
BLIND: Final = 0.05  # share of neurons with any best counterpart; unrelated models here had 0.45 and more (39 pairs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What decides the relation.

    ``kinship`` is None where no layer pair is established; ``without_role`` counts tensors that play no role in either
    model; ``contradicted`` says that features differ where digests claim equality; ``keyed`` is the outcome of the
    test for a key, where one was given and it ran.
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
    keyed: PValue | None = None

    @property
    def marked(self) -> bool:
        """Whether the questioned model carries the dither of the key that was asked for."""
        return self.keyed is not None and self.keyed.log10_p < LOG10_LEVEL


def conclude(
    known: Known,
    changes: Sequence[EstablishedTransformation],
    *,
    ratios: Mapping[Alternative, Ratio],
    direction: Direction | None,
    population: Population,
) -> tuple[Conclusion, tuple[str, ...]]:
    """The conclusion, and what it does not show.

    Parameters
    ----------
    ratios : calibrated ratios by alternative; the least favourable one is the headline
    direction : posterior over who descends from whom, None where there is none
    population : what both were calibrated on
    """
    relation, statement = _relation(known)
    posterior = FROM_RELEASE if known.marked else direction if relation == "derived" else None
    conclusion = Conclusion(
        relation=relation,
        statement=statement,
        log10_p=_exact_log10_p(known),
        log10_lr=_headline(ratios, related=known.kinship is not None),
        direction=posterior,
        direction_reason=BY_KEY if known.marked else _direction_reason(relation, posterior),
        transformations=tuple(change.name for change in changes),
    )
    return conclusion, _limits(relation, known, population if ratios else None)


def _headline(ratios: Mapping[Alternative, Ratio], *, related: bool) -> float | None:
    """The least favourable ratio. A common ancestor passes on trained weights too, so it is no alternative to that.

    None where weights are shared and no ratio against a common start is to be had: that is the least favourable one.
    """
    if related and "same_seed" not in ratios:
        return None
    bounded = [ratio.bounded for alternative, ratio in ratios.items() if alternative != "common_ancestor"]
    return min(bounded) + 0.0 if bounded else None  # + 0.0: no minus zero


def _relation(known: Known) -> tuple[Relation, str]:
    if known.identity.same and known.contradicted:
        return (
            "inconclusive",
            "The two fingerprints claim the same stored bytes, but their features differ: at least one was altered. "
            "Make both again from the checkpoints.",
        )
    if known.identity.same:
        return "identical", "Every weight, gain and bias of the two models is equal, and so is the vocabulary."
    if known.marked:
        return (
            "derived",
            "The questioned model carries the mark of this key: weights of the copy of the reference that was released "
            "with the key are in it.",
        )
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


def _exact_log10_p(known: Known) -> float | None:
    tests = [] if known.log10_p is None else [known.log10_p]
    if known.keyed is not None:
        tests.append(known.keyed.log10_p)
    return bonferroni_log10_p(tests) if tests else None


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


def _direction_reason(relation: Relation, direction: Direction | None) -> str:
    if relation in ("none_found", "inconclusive", "shared_initialisation"):
        return "no descent was established, so there is no direction to give"
    if relation == "identical":
        return "equal weights have no direction"
    if direction is None:
        return "the population has no cell for this case, so no probability is given"
    order = claimed_order(direction)
    if order is None:
        return f"undetermined: neither order of descent is probable enough to be claimed; {POSTERIOR}"
    younger, older = "questioned model", "reference"
    if order == "reference_from_questioned":
        younger, older = older, younger
    return (
        f"if one of them descends from the other, the {younger} descends from the {older}; two models alone do not "
        f"exclude a common ancestor; {POSTERIOR}"
    )


def claimed_order(direction: Direction) -> Order | None:
    """Which of the two descends from the other, if one does; None: undetermined."""
    forth, back = direction.questioned_from_reference, direction.reference_from_questioned
    if max(forth, back) < CLAIMED_FROM * min(forth, back):
        return None
    return "questioned_from_reference" if forth > back else "reference_from_questioned"


def _limits(relation: Relation, known: Known, weighed_on: Population | None) -> tuple[str, ...]:
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
            if known.marked:
                limits.append(
                    "Whoever holds the key can make a reference to fit a model: the commitment must be older."
                )
            else:
                limits.append("Both models may continue a third one that neither side named.")
            limits.append("A merge is named only where it shortened the weights or stacked layers.")
        case "shared_initialisation":
            limits.append("A common start alone is no reuse of training: public seeds and shared code produce it too.")
            limits.append("A merge of one model with a third one can look the same.")
        case "none_found":
            limits.append(
                "Not a proof of independence: weights retrained until hardly a neuron is recognisable would not be "
                "seen. Power, where it was simulated, is for the changes named there and no others."
            )
            limits.append(
                "A copy with another embedding, a rotated residual stream and further training as long as pre-training "
                "would not be seen."
            )
        case "inconclusive":
            limits.append("Supports neither side.")
        case "identical":
            limits.append("Does not say which of the two was first.")
            limits.append("Settings beside the weights (positions, norm epsilon, activation) are not compared.")
    if weighed_on is not None and relation != "identical":
        line = relation in ("derived", "shared_initialisation", "inconclusive") and known.kinship is not None
        limits.append(_resting_on(weighed_on, line=line))
    return tuple(limits)


def _resting_on(population: Population, *, line: bool) -> str:
    shipped = population.digest == shipped_population().digest
    models = "small models trained for this project" if shipped else "models, calibrated by somebody else"
    subject = (
        "The line between derived and shared initialisation, and every ratio, rest" if line else "Every ratio rests"
    )
    return (
        f"{subject} on the population {population.name}, {population.families} "
        f"families of {models}; no ratio is larger than so few families can show, and other kinds of models may differ."
    )
