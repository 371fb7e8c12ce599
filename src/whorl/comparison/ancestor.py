"""The ancestor test on three checkpoints: does the questioned model come from the reference, or both from the ancestor?

A named common ancestor is taken off both models, and what is left of them is held against each other. The result keeps
every relation that may be behind the figures, with the reason; see ``docs/methods/ancestor.md``.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from whorl import __version__
from whorl.comparison.ancestor_changes import METHOD, Changes, changes_from
from whorl.comparison.ancestor_document import (
    AncestorRatio,
    AncestorTest,
    BandFigures,
    Figure,
    Kept,
    Possibility,
    Reading,
)
from whorl.comparison.subjects import CheckpointSubject, content_digest, open_subject
from whorl.core.errors import InputError
from whorl.core.evidence import LikelihoodRatio, NotComparable, Subject
from whorl.core.progress import Progress, silent
from whorl.fingerprints.contents import describe
from whorl.fingerprints.extraction import single_threaded_blas
from whorl.fingerprints.weight_fingerprint import JOBS, fingerprint_anatomy
from whorl.statistics.ancestor import AncestorFigures, Bands, Estimate, ancestor_figures
from whorl.statistics.ancestor_reference import Against, AncestorReference
from whorl.statistics.ratio_population import Ratio

ON_THE_WAY: Final = 0.99  # cosine of the changes: nothing but their length differs
SCALED: Final = 0.1
LEAST_CENTRAL: Final = 0.5  # log10; intervals of few families exclude 0 for less
TRACE: Final = 0.05  # beta and gamma below which a merge or a shared part is not worth naming

_AGAINST: Final[dict[Against, str]] = {"siblings": "common_ancestor", "siblings_same_text": "same_data"}


LIMITS: Final = (
    "That the named model is the ancestor of both is taken as given: a second run of one start may look like one.",
    "An unpublished checkpoint close to the reference cannot be told from the reference itself.",
    "Calibrated on trainings of small models from one ancestor; other kinds of training may differ.",
    "The figures say nothing about who trained anything, when, or with what right.",
)


@cache
def shipped_reference() -> AncestorReference:
    """The documented pairs that come with this release."""
    text = files("whorl.comparison").joinpath("ancestor_reference.json").read_text(encoding="utf-8")
    return AncestorReference.model_validate_json(text)


def ancestor_test(
    ancestor: Path,
    questioned: Path,
    reference: Path,
    *,
    documented: AncestorReference | None = None,
    progress: Progress = silent,
    jobs: int = JOBS,
) -> AncestorTest:
    """Hold two models' changes from a named ancestor against each other.

    Parameters
    ----------
    documented : pairs of known relation; left out, those of this release

    Raises
    ------
    InputError
        If a model cannot be read or is a stored fingerprint, which keeps no weights to subtract.
    """
    opened = [_opened(path) for path in (ancestor, questioned, reference)]
    known = documented or shipped_reference()
    with single_threaded_blas():
        subjects = [_record(one, progress, jobs) for one in opened]
        first, second, third = (one.anatomy for one in opened)
        changes = changes_from(first, second, third, jobs=jobs, progress=progress)
        figures = ancestor_figures(changes.products) if isinstance(changes, Changes) else None
    return _document(subjects, changes, figures, known)


def ratio_evidence(test: AncestorTest) -> tuple[LikelihoodRatio, ...]:
    """The test's ratios as evidence for a finding."""
    return tuple(
        LikelihoodRatio(
            tier="T4",
            method=METHOD,
            alternative=ratio.against,
            log10_lr=ratio.log10_lr,
            central=ratio.central,
            lower=ratio.lower,
            upper=ratio.upper,
            caps=ratio.caps,
            families=ratio.families,
            population=test.reference_population,
            statistic=_statistic(test),
            detail=test.statement,
        )
        for ratio in test.ratios
    )


def _statistic(test: AncestorTest) -> dict[str, float]:
    figures = {"beta": test.beta, "gamma": test.gamma, "cosine": test.cosine}
    return {name: figure.value for name, figure in figures.items() if figure is not None}


def _opened(path: Path) -> CheckpointSubject:
    found = open_subject(path)
    if isinstance(found, CheckpointSubject):
        return found
    raise InputError(
        f"{path}: expected a checkpoint, found a stored fingerprint, which keeps no weights to subtract; name the "
        "checkpoint it was made of"
    )


def _record(subject: CheckpointSubject, progress: Progress, jobs: int) -> Subject:
    view = fingerprint_anatomy(subject.anatomy, name=subject.name, progress=progress, jobs=jobs).view()
    return Subject(
        name=subject.name, digest=content_digest(view), description=describe(subject.anatomy), access="weights"
    )


def _document(
    subjects: list[Subject],
    changes: Changes | NotComparable,
    figures: AncestorFigures | None,
    known: AncestorReference,
) -> AncestorTest:
    held = isinstance(changes, Changes)
    told = figures is not None and known.out_of_scope(figures) is None
    ratios = tuple(_ratio(figures, known, against) for against in _AGAINST) if figures and told else ()
    reading: Reading | None = None
    if held:
        reading = "unchanged" if figures is None else reading_of(figures, known)
    return AncestorTest(
        schema="whorl.ancestor/1",
        whorl_version=__version__,
        ancestor=subjects[0],
        questioned=subjects[1],
        reference=subjects[2],
        outcome=None if isinstance(changes, Changes) else changes,
        reading=reading,
        statement=changes.detail if isinstance(changes, NotComparable) else _STATEMENTS[reading or "undecided"],
        beta=_figure(figures.beta, figures) if figures else None,
        gamma=_figure(figures.gamma, figures) if figures else None,
        cosine=_figure(figures.cosine, figures) if figures else None,
        of_reference=_bands(figures.of_reference, figures) if figures else None,
        of_questioned=_bands(figures.of_questioned, figures) if figures else None,
        lengths=figures.lengths if figures else None,
        ranks=figures.ranks if figures else None,
        scaled=figures.scaled if figures else None,
        pairing=changes.pairing if isinstance(changes, Changes) else None,
        left_out=changes.left_out if isinstance(changes, Changes) else (),
        ratios=ratios,
        possibilities=() if figures is None or reading is None else tuple(_possibilities(figures, reading, known)),
        limits=LIMITS + _further_limits(changes, figures, known),
        reference_population=known.digest,
        parameters={"method": METHOD, "blocks": figures.blocks, "weights": figures.weights} if figures else {},
    )


_STATEMENTS: Final[dict[Reading, str]] = {
    "questioned_holds_reference": "The questioned model holds the whole of the reference's change from the ancestor, "
    "down to its minor directions: it continues the reference or an unpublished checkpoint close to it, or the "
    "reference is a merge of it with another child of the ancestor.",
    "reference_holds_questioned": "The reference holds the whole of the questioned model's change from the ancestor, "
    "down to its minor directions: it continues the questioned model or an unpublished checkpoint close to it, or the "
    "questioned model is a merge of the reference with another child of the ancestor.",
    "common_ancestor": "What the two changes share is no more than trainings of the ancestor apart from each other "
    "share: the common ancestor explains the similarity.",
    "on_the_way": "The two changes differ in length only: one model lies on the way from the ancestor to the other, "
    "or beyond it, and nothing else was trained.",
    "unchanged": "One of the two models is the ancestor itself: it has no change to be compared.",
    "undecided": "The figures do not tell a continuation of one model by the other from trainings of the ancestor "
    "apart from each other.",
}


def reading_of(figures: AncestorFigures, known: AncestorReference) -> Reading:
    """What is read off: a descent where every ratio supports it, the ancestor where both orders are opposed."""
    if figures.cosine.value >= ON_THE_WAY:
        return "on_the_way"
    if max(abs(figures.beta.value), abs(figures.gamma.value)) < TRACE:
        return "common_ancestor"  # next to nothing is shared, whatever kind of change each is
    if known.out_of_scope(figures) is not None:
        return "undecided"
    forward, backward = (_ratios(one, known) for one in (figures, figures.mirrored()))
    if all(_supports(ratio, 1) for ratio in forward):
        return "questioned_holds_reference"
    if all(_supports(ratio, 1) for ratio in backward):
        return "reference_holds_questioned"
    # Siblings of either kind, both ways: what opposes both orders supports the common ancestor.
    if all(any(_supports(ratio, -1) for ratio in order[:2]) for order in (forward, backward)):
        return "common_ancestor"
    return "undecided"


def _ratios(figures: AncestorFigures, known: AncestorReference) -> list[Ratio]:
    """Against siblings of either kind and, to say which one holds the other, against the mirrored order."""
    return [known.cell(against).ratio(figures) for against in (*_AGAINST, "parent")]


def _supports(ratio: Ratio, sign: int) -> bool:
    return sign * ratio.bounded > 0 and sign * ratio.central >= LEAST_CENTRAL


def _bounded(figures: AncestorFigures, known: AncestorReference) -> list[float]:
    if known.out_of_scope(figures) is not None:
        return [0.0, 0.0, 0.0]
    return [ratio.bounded for ratio in _ratios(figures, known)]


def _ratio(figures: AncestorFigures, known: AncestorReference, against: Against) -> AncestorRatio:
    cell = known.cell(against)
    ratio: Ratio = cell.ratio(figures)
    caps = cell.supporting if ratio.central >= 0 else cell.opposing
    return AncestorRatio.model_validate(
        {
            "against": _AGAINST[against],
            "log10_lr": ratio.bounded,
            "central": ratio.central,
            "lower": ratio.lower,
            "upper": ratio.upper,
            "caps": {"sampling": caps.sampling, "process": caps.process},
            "families": cell.families,
        }
    )


_ORDERS: Final[tuple[Possibility, ...]] = ("questioned_from_reference", "reference_from_questioned")
_SIBLINGS: Final[tuple[Literal["siblings", "siblings_same_text"], ...]] = ("siblings", "siblings_same_text")
_MERGES: Final[tuple[Possibility, ...]] = ("merge_of_reference", "merge_of_questioned")


def _possibilities(figures: AncestorFigures, reading: Reading, known: AncestorReference) -> Iterable[Kept]:
    beta, gamma = figures.slopes
    forward, backward = _bounded(figures, known), _bounded(figures.mirrored(), known)
    level = f"beta {beta:.2f}, gamma {gamma:.2f}"
    for order, bounded in zip(_ORDERS, (forward, backward), strict=True):
        least = min(bounded[:2] if reading in ("common_ancestor", "undecided") else bounded)
        yield _kept(order, least >= 0, f"log10 ratio {least:.2f} against its least favourable alternative ({level})")
    for place, siblings in enumerate(_SIBLINGS):
        most = max(forward[place], backward[place])
        count, of = known.share_at_least(siblings, beta)
        yield _kept(
            siblings,
            most <= 0,
            f"log10 ratio at most {most:.2f} for a continuation against it; {count} of {of} documented pairs have "
            "a beta at least this large",
        )
    holds = reading in ("questioned_holds_reference", "reference_holds_questioned", "undecided")
    yield _kept(
        "unpublished_parent",
        holds or figures.cosine.value > TRACE,
        "an unpublished checkpoint that both continue gives equal slopes below 1, and one close to the reference gives "
        "those of the reference itself",
    )
    yield _kept(
        "wrong_ancestor",
        min(beta, gamma) > TRACE,
        "another revision of the ancestor adds its own difference to both changes; beta of a child stays at 1",
    )
    for merge, share in zip(_MERGES, (beta, gamma), strict=True):
        yield _kept(
            merge,
            share > TRACE,
            f"a merge that holds {share:.2f} of the other's change fits; where its share is q^2 / (1 + q^2), q the "
            "third parent's change in lengths of the other's, it has the figures of that one's parent; name the third "
            "parent and ask for shares",
        )
    yield _kept(
        "interpolation", figures.cosine.value >= ON_THE_WAY, f"cosine of the changes {figures.cosine.value:.3f}"
    )


def _kept(possibility: Possibility, is_open: bool, reason: str) -> Kept:
    return Kept(possibility=possibility, standing="open" if is_open else "disfavoured", reason=reason)


def _further_limits(
    changes: Changes | NotComparable, figures: AncestorFigures | None, known: AncestorReference
) -> tuple[str, ...]:
    found = []
    if isinstance(changes, Changes) and set(changes.pairing) != {"as_stored"}:
        found.append(
            "A model was laid over the ancestor first: only the matrices that open neurons count, and a solved "
            "rotation takes a little of the change with it. The calibration was made on models as stored."
        )
    beyond = None if figures is None else known.out_of_scope(figures)
    if beyond is not None:
        found.append(f"No ratio is given: {beyond}.")
    if figures is not None and max(figures.scaled) > SCALED:
        found.append(
            f"A share of {max(figures.scaled):.2f} of a change is the ancestor itself made shorter or longer (weight "
            "decay): two trainings share that without sharing anything else."
        )
    return tuple(found)


def _figure(estimate: Estimate, figures: AncestorFigures) -> Figure:
    lower, upper = estimate.interval(figures.blocks)
    return Figure(value=estimate.value, error=estimate.error, lower=lower, upper=upper)


def _bands(bands: Bands, figures: AncestorFigures) -> BandFigures:
    return BandFigures(
        major=_figure(bands.major, figures),
        minor=_figure(bands.minor, figures),
        trend=bands.trend,
        wholeness=bands.wholeness,
    )
