"""How much of each candidate is in the questioned model: the shares of a merge, as a document.

The questioned gate rows, laid over the candidates', are written as a sum of theirs, each times its share, plus a rest.
See ``docs/methods/merge_shares.md`` for what a share means and when there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from whorl import __version__
from whorl.comparison.common_frame import Link, link, link_after
from whorl.comparison.merge_sum import DRAWS, MergeSum, Model, merge_sum
from whorl.comparison.subjects import CheckpointSubject, checkpoint_record, open_subject
from whorl.core.arrays import Floats
from whorl.core.errors import InputError
from whorl.core.evidence import Document, Subject
from whorl.core.progress import Progress, silent
from whorl.fingerprints.contents import norm_gains, vector_digests, vocabulary_of
from whorl.fingerprints.extraction import Features, extract, single_threaded_blas
from whorl.fingerprints.frame import JointBases, is_layer_norm, joint_bases, random_basis
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.fingerprints.weight_fingerprint import JOBS
from whorl.weights.anatomy import Anatomy

Outcome: TypeAlias = Literal["share", "none_found", "inconclusive", "not_comparable"]
Conclusion: TypeAlias = Literal["shares", "none_found", "inconclusive"]
Pairing: TypeAlias = Literal["as_stored", "reordered", "rotated", "with_another"]

SEED: Final = 20261124
BASIS: Final = 256
NEURONS: Final = 1024
LEVEL: Final = 0.01  # of the shuffled-rows test, over all candidates together
TOLD_WITHIN: Final = 0.15  # half-width, from rows alone, beyond which candidates cannot be told apart
SAME_DIRECTION: Final = 1e7  # condition number that only rounding separates from infinity
LEARNED_ALIKE: Final = 0.35  # cosine of changes; two trainings of one base on other text reached 0.29 here
MOSTLY_UNEXPLAINED: Final = 0.5
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
    "Two separate trainings of one base change its weights partly alike: a small share of a change is no proof of a "
    "merge unless the sum leaves little unexplained."
)


class CandidateShare(Document):
    """What the questioned model holds of one candidate."""

    candidate: Subject
    outcome: Outcome
    of: Literal["weights", "change_from_base"] | None = Field(description="what the share is a share of")
    share: float | None = Field(ge=0, description="the multiple of it that the questioned model holds")
    lower: float | None = Field(ge=0, description="95 % interval over layers, and what an unnamed relative may explain")
    upper: float | None = Field(ge=0)
    proportion: float | None = Field(ge=0, le=1, description="share over the sum of all candidates' shares")
    p: float | None = Field(gt=0, le=1, description="of shuffled rows; null where this model chose the pairing")
    pairing: Pairing | None = Field(description="how neurons were paired; with_another: by another candidate's link")
    layers: tuple[float | None, ...] = Field(description="share in each questioned layer; null: no counterpart there")
    detail: str

    @model_validator(mode="after")
    def _consistent(self) -> "CandidateShare":
        values = (self.lower, self.share, self.upper)
        numbers = [value for value in values if value is not None]
        if len(numbers) not in (0, 3):
            raise ValueError("a share comes with both ends of its interval, or not at all")
        if numbers != sorted(numbers):
            raise ValueError(f"share {self.share} outside its interval [{self.lower}, {self.upper}]")
        if numbers and self.outcome in ("inconclusive", "not_comparable"):
            raise ValueError(f"{self.outcome} must not come with a share")
        if not numbers and self.outcome == "share":
            raise ValueError("a share needs its value")
        return self


class Shares(Document):
    """Everything that was asked about shares, found, and could not be found."""

    schema_: Literal["whorl.shares/1"] = Field(alias="schema")
    whorl_version: str
    questioned: Subject
    base: Subject | None
    conclusion: Conclusion
    statement: str
    candidates: tuple[CandidateShare, ...]
    base_share: float | None = Field(
        ge=0, description="multiple of the base in the sum; null where it is no part of it"
    )
    unexplained: float | None = Field(
        ge=0, le=1, description="share of the questioned rows (with a base: of their change) that the sum leaves over"
    )
    condition: float | None = Field(ge=1, description="condition number of the terms' cosines")
    whole_layers: bool = Field(description="every layer holds a candidate wholly or not at all, and they differ")
    limits: tuple[str, ...]
    parameters: dict[str, int | float | str]

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True, validate_by_name=True)

    @property
    def exit_code(self) -> Literal[0, 3]:
        """The command line's exit status for this document."""
        return 3 if self.conclusion == "inconclusive" else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Candidate:
    """A model held against the questioned one: what is known before anything is added up.

    ``model`` is None where its width differs, ``link`` where none was found. ``blind`` says that tokens cannot lay it
    over.
    """

    record: Subject
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
    shares = _candidate_shares(held, placeable, found)
    return _document(record, base_held, base_found, shares, found)


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
    model, record = _model(ours.anatomy, features[0]), _record(ours, features[0])
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
        held.append(
            _Candidate(
                record=_record(other, seen),
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


def _record(subject: CheckpointSubject, features: Features) -> Subject:
    anatomy = subject.anatomy
    return checkpoint_record(
        subject,
        ModelView(
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
        ),
    )


def _named(name: str, progress: Progress) -> Progress:
    def told(what: str, done: int, total: int, /) -> None:
        progress(f"{what} {name}", done, total)

    return told


def _candidate_shares(
    held: Sequence[_Candidate], placeable: Sequence[int], found: MergeSum | None
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
            share = _of_term(one, found, terms[number], tests=len(terms))
        shares.append(share)
    total = sum(one.share for one in shares if one.share is not None)
    if total == 0 or any(one.outcome == "inconclusive" for one in shares):
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


def _of_term(one: _Candidate, found: MergeSum, place: int, *, tests: int) -> CandidateShare:
    term, fit = found.terms[place], found.fit
    reason = _no_number(found, place)
    if reason is not None:
        return _without_share(one, "inconclusive", reason)
    share = float(fit.shares[place])
    lower, upper = min(float(fit.lower[place]), share - EXACT_TO), max(float(fit.upper[place]), share + EXACT_TO)
    if term.change:
        lower = min(lower, share - OVERLAP * term.rest)
    lower = max(0.0, lower)
    seen = share > 0 and (term.p is None or term.p <= LEVEL / tests)
    what = "its change from the base" if term.change else "its weights"
    return CandidateShare(
        candidate=one.record,
        outcome="share" if seen else "none_found",
        of="change_from_base" if term.change else "weights",
        share=share,
        lower=lower,
        upper=upper,
        proportion=None,
        p=term.p,
        pairing=term.pairing,
        layers=tuple(
            float(layer[place]) if there else None for layer, there in zip(fit.layers, term.present, strict=True)
        ),
        detail=f"{share:.2f} of {what} ({lower:.2f} to {upper:.2f}); cosine {term.cosine:.2f} with the questioned rows"
        + ("" if seen else "; shuffled rows fit as well too often for this to count"),
    )


def _no_number(found: MergeSum, place: int) -> str | None:
    """Why a term's share cannot be told, or None."""
    fit, term = found.fit, found.terms[place]
    if fit.condition > SAME_DIRECTION or fit.told_within[place] > TOLD_WITHIN:
        return (
            "the candidates cannot be told apart: they are too much alike for shares of their own (condition number "
            f"{fit.condition:.3g}, half-width from rows alone {fit.told_within[place]:.2f}); name fewer, or the base"
        )
    if term.change and term.cosine < LEARNED_ALIKE and found.unexplained > MOSTLY_UNEXPLAINED:
        return (
            f"its change from the base has cosine {term.cosine:.2f} with the questioned model's, of which the sum "
            f"leaves {found.unexplained:.0%} unexplained: separate trainings of one base agree as much"
        )
    return None


def _without_share(one: _Candidate, outcome: Outcome, detail: str) -> CandidateShare:
    return CandidateShare(
        candidate=one.record,
        outcome=outcome,
        of=None,
        share=None,
        lower=None,
        upper=None,
        proportion=None,
        p=None,
        pairing=None,
        layers=(),
        detail=detail,
    )


def _document(
    record: Subject,
    base: _Candidate | None,
    base_found: bool,
    shares: Sequence[CandidateShare],
    found: MergeSum | None,
) -> Shares:
    outcomes = {share.outcome for share in shares}
    conclusion: Conclusion = "none_found"
    if "inconclusive" in outcomes or outcomes == {"not_comparable"}:
        conclusion = "inconclusive"
    elif "share" in outcomes:
        conclusion = "shares"
    limits = [*LIMITS, WITH_BASE if base_found else WITHOUT_BASE]
    if base is not None and not base_found:
        limits.insert(0, "Nothing of the base was found in the questioned model; it is no part of the sum.")
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
        parameters={"seed": SEED, "basis": BASIS, "neurons_per_layer": NEURONS, "draws": DRAWS, "level": LEVEL},
    )


def _statement(conclusion: Conclusion, shares: Sequence[CandidateShare], found: MergeSum | None) -> str:
    told = [share for share in shares if share.outcome == "share"]
    if conclusion == "none_found" or found is None or not told:
        return (
            "Nothing of the candidates was found in the questioned model."
            if conclusion == "none_found"
            else "What the questioned model holds of the candidates could not be told."
        )
    parts = " and ".join(f"{share.share:.2f} of {_what(share)}" for share in told)
    rest = f"{found.unexplained:.0%} of {'its change from the base' if found.has_base else 'its weights'}"
    open_ones = "" if conclusion == "shares" else " For other candidates this could not be told."
    layers = " Whole layers were taken over." if found.fit.whole_layers else ""
    return f"The questioned model holds {parts}; {rest} is explained by none of them.{layers}{open_ones}"


def _what(share: CandidateShare) -> str:
    part = "the change that made" if share.of == "change_from_base" else "the weights of"
    return f"{part} {share.candidate.name}"
