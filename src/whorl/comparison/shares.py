"""How much of each candidate is in the questioned model: the shares of a merge, as a document.

The questioned gate rows, laid over the candidates', are written as a sum of theirs, each times its share, plus a rest.
See ``docs/methods/merge_shares.md`` for what a share means and when there is none.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from whorl import __version__
from whorl.comparison.common_frame import Link, link, link_after
from whorl.comparison.comparing import compare
from whorl.comparison.kinship import Judgement
from whorl.comparison.merge_sum import DRAWS, MergeSum, Model, merge_sum
from whorl.comparison.population import shipped_population
from whorl.comparison.share_document import FITTING, CandidateShare, Conclusion, Outcome, Shares
from whorl.comparison.share_kinship import judged_alone, judged_in_sum
from whorl.comparison.subjects import CheckpointSubject, checkpoint_record, open_subject
from whorl.core.arrays import Floats
from whorl.core.errors import InputError
from whorl.core.evidence import Subject
from whorl.core.progress import Progress, silent
from whorl.fingerprints.contents import norm_gains, vector_digests, vocabulary_of
from whorl.fingerprints.extraction import Features, extract, single_threaded_blas
from whorl.fingerprints.frame import JointBases, is_layer_norm, joint_bases, random_basis
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.fingerprints.weight_fingerprint import JOBS
from whorl.statistics.ratio_population import Population
from whorl.weights.anatomy import Anatomy

SEED: Final = 20261124
BASIS: Final = 256
NEURONS: Final = 1024
LEVEL: Final = 0.01  # of the shuffled-rows test, over all candidates together
TOLD_WITHIN: Final = 0.15  # half-width, from rows alone, beyond which candidates cannot be told apart
SAME_DIRECTION: Final = 1e7  # condition number that only rounding separates from infinity
LEARNED_ALIKE: Final = 0.35  # cosine of the changes of two trainings of one base on other text
LEARNED_APART: Final = 0.004  # rest over the part; two trainings of one base on the same few texts came to 0.008
EXACT_TO: Final = 0.01  # what norm gains, mixed apart from matrices, and rounding do in all layers alike
OVERLAP: Final = LEARNED_ALIKE / (1 - LEARNED_ALIKE**2) ** 0.5
"""Slope that an unnamed training of the base adds to a named one's, per length of what is left over of it."""

LIMITS: Final = (
    "A share says how much of a model's weights is contained, not who merged what, when or with what right.",
    "Measured on the matrix that opens the neurons of each layer; attention and embeddings may be mixed otherwise.",
    "Where the questioned model was rewritten, a stranger's share below about one half is seen only if the merge's "
    "other parent is named too.",
)
WITHOUT_BASE: Final = (
    "No base was named: what a candidate shares with an unnamed relative in the merge counts as the candidate's."
)
WITH_BASE: Final = (
    "Trainings of one base, apart from each other, change its weights alike, the more so the more alike their texts "
    "are: a change counts as a share only where the sum leaves next to nothing over."
)
COMMON_START: Final = (
    "A common start alone is no reuse of training: public seeds and shared code produce it too, and much of a model of "
    "one start fits in the sum. A merge with models that were not named can look the same."
)
RESTING_ON: Final = (
    "The line between trained weights and a common start rests on a population of small models; other kinds of models "
    "may differ."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Candidate:
    """A model held against the questioned one: what is known before anything is added up.

    ``model`` is None where its width differs, ``link`` where none was found. ``blind`` says that tokens cannot lay it
    over.
    """

    record: Subject
    view: ModelView
    model: Model | None
    link: Link | None
    blind: bool


def model_shares(
    questioned: Path,
    candidates: Sequence[Path],
    *,
    base: Path | None = None,
    progress: Progress = silent,
    jobs: int = JOBS,
) -> Shares:
    """How much of each candidate's weights, or of its change from the base, the questioned model holds.

    Raises
    ------
    InputError
        If no candidate is named, a model cannot be read or is a stored fingerprint, or the base has another width.
    """
    if not candidates:
        raise InputError("expected at least one candidate, found none; name the models that may have been merged")
    ours, origin = _opened(questioned), None if base is None else _opened(base)
    others = [_opened(path) for path in candidates]
    if origin is not None and origin.anatomy.width != ours.anatomy.width:
        raise InputError(
            f"{base}: expected a base of the questioned model's width {ours.anatomy.width}, found "
            f"{origin.anatomy.width}; it cannot be taken off, leave it out"
        )
    with single_threaded_blas():
        generator = np.random.Generator(np.random.Philox(SEED))
        model, record, held = _held_against(ours, [*others, *filter(None, [origin])], generator, progress, jobs)
        base_held = held.pop() if origin is not None else None
        base_found = base_held is not None and base_held.link is not None
        placeable = [number for number, one in enumerate(held) if one.model is not None]
        found = merge_sum(
            model,
            [one.model for one in held if one.model is not None],
            [one.link for one in held if one.model is not None],
            base=base_held.model if base_held is not None and base_found else None,
            base_link=base_held.link if base_held is not None else None,
            basis=_sketch(ours.anatomy.width) if ours.anatomy.width > BASIS else None,
            generator=generator,
        )
    population = shipped_population()
    seen = [] if found is None else _seen(found)
    kin: dict[int, Judgement] = {}
    if found is not None and len(seen) == 1 and not found.has_base:
        # Nothing is to be taken off: a whole comparison sees more than a sum of gate rows does.
        path = candidates[placeable[found.terms[seen[0]].candidate]]
        finding = compare(questioned, path, progress=progress, jobs=jobs, population=population, with_power=False)
        kin[seen[0]] = judged_alone(finding)
    elif found is not None:
        with single_threaded_blas():
            for place in seen:
                candidate = held[placeable[found.terms[place].candidate]]
                kin[place] = judged_in_sum(found.parts[place], candidate.view, population)
    shares = _candidate_shares(held, placeable, found, kin)
    return _document(record, base_held, base_found, shares, found, population)


def _opened(path: Path) -> CheckpointSubject:
    found = open_subject(path)
    if isinstance(found, CheckpointSubject):
        return found
    raise InputError(
        f"{path}: expected a checkpoint, found a stored fingerprint, which keeps no weights to add up; name the "
        "checkpoint it was made of"
    )


def _held_against(
    ours: CheckpointSubject,
    others: Sequence[CheckpointSubject],
    generator: np.random.Generator,
    progress: Progress,
    jobs: int,
) -> tuple[Model, Subject, list[_Candidate]]:
    """The questioned model, and every other with its link to it."""
    width = ours.anatomy.width
    sketch = _sketch(width)
    joints = [
        joint_bases(ours.anatomy, other.anatomy, size=width, seed=SEED) if other.anatomy.width == width else None
        for other in others
    ]
    rotations = [None if joint is None or joint.by_tokens is None else joint.by_tokens[0] for joint in joints]
    bases = [sketch, *(rotation @ sketch for rotation in rotations if rotation is not None)]
    features = extract(ours.anatomy, bases, neurons=NEURONS, jobs=jobs, progress=_named("questioned", progress))
    model, record = _model(ours.anatomy, features[0]), checkpoint_record(ours, _view(ours, features[0]))
    later = iter(features[1:])
    views = [None if rotation is None else _model(ours.anatomy, next(later)).neurons for rotation in rotations]
    held = []
    for other, joint, rotation, view in zip(others, joints, rotations, views, strict=True):
        (seen,) = extract(
            other.anatomy,
            [_sketch(other.anatomy.width)],
            neurons=NEURONS,
            jobs=jobs,
            progress=_named(other.name, progress),
        )
        found, candidate = None, None
        if joint is not None:
            candidate = _model(other.anatomy, seen)
            found = link(model.neurons, view, rotation, candidate.neurons, generator=generator, progress=progress)
        whole = _view(other, seen)
        held.append(
            _Candidate(
                record=checkpoint_record(other, whole),
                view=whole,
                model=candidate,
                link=found,
                blind=joint is not None and _blind(joint, width),
            )
        )
    return model, record, _linked_by_others(held, views, progress)


def _linked_by_others(
    held: Sequence[_Candidate],
    views: Sequence[tuple[NeuronSignatures, ...] | None],
    progress: Progress,
) -> list[_Candidate]:
    """Candidates without a link of their own once more, after the rotation of the best linked one.

    Where whole layers were taken over under another model's embedding, tokens say nothing about the layers' own model.
    """
    rotated = [
        (one.link, view)
        for one, view in zip(held, views, strict=True)
        if one.link is not None and one.link.kind == "rotated" and view is not None
    ]
    if not rotated:
        return list(held)
    best, view = max(rotated, key=lambda item: item[0].matched)
    again = []
    for one in held:
        found = one.link
        if found is None and one.model is not None:
            found = link_after(view, best.rotation, one.model.neurons, tries=3, progress=progress)
        again.append(replace(one, link=found))
    return again


def _blind(joint: JointBases, width: int) -> bool:
    return 2 * joint.shared_tokens < width or joint.fit <= joint.fit_by_chance


def _sketch(width: int) -> Floats:
    return random_basis(width, BASIS, np.random.Generator(np.random.Philox(SEED)))


def _model(anatomy: Anatomy, features: Features) -> Model:
    return Model(anatomy=anatomy, neurons=tuple(layer.neurons for layer in features.layers))


def _view(subject: CheckpointSubject, features: Features) -> ModelView:
    anatomy = subject.anatomy
    return ModelView(
        architecture=anatomy.architecture,
        width=anatomy.width,
        layer_norm=is_layer_norm(anatomy),
        vocabulary=vocabulary_of(anatomy),
        neurons=tuple(layer.neurons for layer in features.layers),
        heads=tuple(layer.heads for layer in features.layers),
        records={record.role: record for record in features.all_records()},
        vectors=vector_digests(anatomy),
        gains=norm_gains(anatomy),
        residual=np.zeros((0, 1), np.float32),
        basis=None,
        exact=True,
    )


def _named(name: str, progress: Progress) -> Progress:
    def told(what: str, done: int, total: int, /) -> None:
        progress(f"{what} {name}", done, total)

    return told


def _seen(found: MergeSum) -> list[int]:
    """Places of the terms that have a number, and fit better than their shuffled rows."""
    return [
        place
        for place, term in enumerate(found.terms)
        if _no_number(found, place) is None
        and found.fit.shares[place] > 0
        and (term.p is None or term.p <= LEVEL / len(found.terms))
    ]


def _candidate_shares(
    held: Sequence[_Candidate], placeable: Sequence[int], found: MergeSum | None, kin: Mapping[int, Judgement]
) -> list[CandidateShare]:
    terms = {} if found is None else {placeable[term.candidate]: place for place, term in enumerate(found.terms)}
    unchanged = set() if found is None else {placeable[number] for number in found.unchanged}
    shares = []
    for number, one in enumerate(held):
        if one.model is None:
            share = _without_share(
                one, "not_comparable", "its width differs: no merge of weights leads from one to other"
            )
        elif number in unchanged:
            share = _without_share(
                one, "inconclusive", "it is the base itself, up to rounding: it has no change of its own"
            )
        elif found is None or number not in terms:
            share = _not_laid_over(one)
        else:
            share = _of_term(one, found, terms[number], kin.get(terms[number]))
        shares.append(share)
    total = sum(one.share for one in shares if one.share is not None)
    if total == 0 or any(one.outcome in ("inconclusive", "not_established", "common_start") for one in shares):
        return shares
    return [one if one.share is None else one.model_copy(update={"proportion": one.share / total}) for one in shares]


def _not_laid_over(one: _Candidate) -> CandidateShare:
    if one.blind:
        return _without_share(
            one,
            "inconclusive",
            "it shares too few tokens with the questioned model to be laid over it, and nothing fits as stored",
        )
    return _without_share(
        one,
        "none_found",
        "no layer of it was found in the questioned model, as stored or rewritten; a part below about one half of a "
        "rewritten model is not seen this way",
    )


def _of_term(one: _Candidate, found: MergeSum, place: int, kin: Judgement | None) -> CandidateShare:
    term, fit = found.terms[place], found.fit
    reason = _no_number(found, place)
    if reason is not None:
        return _without_share(one, "inconclusive", reason)
    fitted = float(fit.shares[place])
    lower, upper = min(float(fit.lower[place]), fitted - EXACT_TO), max(float(fit.upper[place]), fitted + EXACT_TO)
    if term.change:
        lower = min(lower, fitted - OVERLAP * term.rest)
    lower = max(0.0, lower)
    outcome: Outcome = "none_found"
    kinship: str | None = None
    if kin is not None:
        outcome, kinship = _told(kin, found, place)
    what = "its change from the base" if term.change else "its weights"
    figures = f"{fitted:.2f} of {what} ({lower:.2f} to {upper:.2f}); cosine {term.cosine:.2f} with the questioned rows"
    return CandidateShare(
        candidate=one.record,
        outcome=outcome,
        of="change_from_base" if term.change else "weights",
        share=fitted if outcome == "share" else None,
        fitted=fitted,
        lower=lower,
        upper=upper,
        proportion=None,
        p=term.p,
        pairing=term.pairing,
        layers=tuple(
            float(layer[place]) if there else None for layer, there in zip(fit.layers, term.present, strict=True)
        ),
        kinship=kinship,
        detail=_DETAILS[outcome].format(figures=figures),
    )


_DETAILS: Final[dict[Outcome, str]] = {
    "share": "{figures}",
    "not_established": "would fit: {figures}; no share of trained weights is established",
    "common_start": "would fit: {figures}; no more than a common start explains",
    "none_found": "{figures}; shuffled rows fit as well too often for this to count",
}


def _told(kin: Judgement, found: MergeSum, place: int) -> tuple[Outcome, str]:
    """What may be said of that which fits, and why."""
    left_over = found.parts[place].left_over
    match kin.verdict:
        case "shared_initialisation":
            return "common_start", kin.reason
        case "undecided":
            return "not_established", kin.reason
        case "derived" if found.terms[place].change and left_over > LEARNED_APART:
            return (
                "not_established",
                "trained weights of the base are in both, but the change need not come of this candidate: the sum "
                f"leaves over {left_over:.2g} times as much as this part of it, and trainings of one base on like "
                "text, apart from each other, agree as well",
            )
        case "derived":
            return "share", kin.reason


def _no_number(found: MergeSum, place: int) -> str | None:
    """Why a term's share cannot be told, or None."""
    fit = found.fit
    if fit.condition > SAME_DIRECTION or fit.told_within[place] > TOLD_WITHIN:
        return (
            "the candidates cannot be told apart: they are too much alike for shares of their own (condition number "
            f"{fit.condition:.3g}, half-width from rows alone {fit.told_within[place]:.2f}); name fewer, or the base"
        )
    return None


def _without_share(one: _Candidate, outcome: Outcome, detail: str) -> CandidateShare:
    return CandidateShare(
        candidate=one.record,
        outcome=outcome,
        of=None,
        share=None,
        fitted=None,
        lower=None,
        upper=None,
        proportion=None,
        p=None,
        pairing=None,
        layers=(),
        kinship=None,
        detail=detail,
    )


def _document(
    record: Subject,
    base: _Candidate | None,
    base_found: bool,
    shares: Sequence[CandidateShare],
    found: MergeSum | None,
    population: Population,
) -> Shares:
    outcomes = {share.outcome for share in shares}
    limits = [*LIMITS, WITH_BASE if base_found else WITHOUT_BASE]
    if base is not None and not base_found:
        limits.insert(0, "Nothing of the base was found in the questioned model; it is no part of the sum.")
    if outcomes & {"not_established", "common_start"}:
        limits.append(COMMON_START)
    if outcomes & set(FITTING):
        limits.append(RESTING_ON)
    conclusion = _conclusion(outcomes)
    return Shares(
        schema="whorl.shares/1",
        whorl_version=__version__,
        questioned=record,
        base=None if base is None else base.record,
        conclusion=conclusion,
        statement=_statement(conclusion, shares, found),
        candidates=tuple(shares),
        base_share=float(found.fit.shares[-1]) if found is not None and found.has_base else None,
        unexplained=None if found is None else found.unexplained,
        condition=None if found is None else max(1.0, found.fit.condition),
        whole_layers=found is not None and found.fit.whole_layers,
        limits=tuple(limits),
        parameters={
            "seed": SEED,
            "basis": BASIS,
            "neurons_per_layer": NEURONS,
            "draws": DRAWS,
            "level": LEVEL,
            "population": population.digest,
            "population_name": population.name,
        },
    )


def _conclusion(outcomes: Set[Outcome]) -> Conclusion:
    if outcomes & {"inconclusive", "not_established"} or outcomes == {"not_comparable"}:
        return "inconclusive"
    if "share" in outcomes:
        return "shares"
    return "common_start" if "common_start" in outcomes else "none_found"


def _statement(conclusion: Conclusion, shares: Sequence[CandidateShare], found: MergeSum | None) -> str:
    if conclusion == "none_found":
        return "Nothing of the candidates was found in the questioned model."
    said = [] if found is None else [_holds(shares, found)]
    for outcome, of, words in _OTHERWISE:
        fitting = [share for share in shares if (share.outcome, share.of) == (outcome, of)]
        if fitting:
            said.append(f"{_listed(fitting)} would fit, but {words}.")
    told = " ".join(sentence for sentence in said if sentence)
    if not told:
        return "What the questioned model holds of the candidates could not be told."
    open_ones = any(share.outcome == "inconclusive" for share in shares)
    return told + (" For other candidates this could not be told." if open_ones else "")


_OTHERWISE: Final[tuple[tuple[Outcome, str, str], ...]] = (
    ("not_established", "weights", "a common start alone is not excluded: no share of trained weights is established"),
    (
        "not_established",
        "change_from_base",
        "that it comes of this training, and not of another one of the same start or base, is not established",
    ),
    ("common_start", "weights", "a common start alone explains that: no trained weights of it were found"),
)


def _holds(shares: Sequence[CandidateShare], found: MergeSum) -> str:
    """The established shares in a sentence, empty without any."""
    told = [share for share in shares if share.outcome == "share"]
    if not told:
        return ""
    rest = f"{found.unexplained:.0%} of {'its change from the base' if found.has_base else 'its weights'}"
    layers = " Whole layers were taken over." if found.fit.whole_layers else ""
    training = "that model's" if len(told) == 1 else "each one's"
    whose = "" if found.has_base else f", trained weights, by {training} training or an ancestor's"
    return f"The questioned model holds {_listed(told)}{whose}; {rest} is explained by none of them.{layers}"


def _listed(shares: Sequence[CandidateShare]) -> str:
    return " and ".join(f"{share.fitted or 0:.2f} of {_what(share)}" for share in shares)


def _what(share: CandidateShare) -> str:
    part = "the change that made" if share.of == "change_from_base" else "the weights of"
    return f"{part} {share.candidate.name}"
