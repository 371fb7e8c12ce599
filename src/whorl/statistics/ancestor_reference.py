"""What the ancestor test gives for pairs of documented relation, and ratios calibrated on them.

Trainings of one ancestor on the same text share most of their change: the middle values of beta and gamma, and even a
beta of 1, need the distribution of documented siblings before anything can be read off them.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from whorl.core.digest import digest_document
from whorl.core.evidence import Document, StoredDocument
from whorl.statistics.ancestor import AncestorFigures
from whorl.statistics.calibration import FamilyJackknife, fit_family_jackknife, held_out_log10_lr
from whorl.statistics.labelled_pairs import LabelledPairs, labelled_pairs
from whorl.statistics.ratio_caps import calibration_caps, headline_log10_lr
from whorl.statistics.ratio_population import Caps, Fit, Ratio

SCHEMA: Final = "whorl.ancestor-reference/1"

SCOPE: Final = 3.0
"""A change more than this many times as long as the other tells nothing of it: no ratio is given beyond."""
LIKE: Final = 1.5
"""Changes whose effective ranks differ by more are of different kinds; documented pairs differ by up to 1.3."""

Documented: TypeAlias = Literal[
    "child", "parent", "siblings", "siblings_same_text", "heirs_of_unpublished", "siblings_wrong_ancestor"
]
Against: TypeAlias = Literal["siblings", "siblings_same_text", "parent"]


class DocumentedPair(Document):
    """One pair of models whose relation to each other and to the ancestor is known, and its figures."""

    family: str
    questioned: str
    reference: str
    relation: Documented
    beta: float
    gamma: float
    lengths: float = Field(gt=0, description="length of the questioned model's change over the reference's")
    ranks: float = Field(gt=0, description="effective rank of the questioned model's change over the reference's")
    apart: float = Field(gt=0, description="effective rank of their difference over the mean of both")
    wholeness: tuple[float, float] = Field(description="in the reference's change, in the questioned model's")
    trends: float

    def scores(self, against: Against) -> tuple[float, ...]:
        """What the calibration against an alternative looks at."""
        return _chosen(self.wholeness, self.trends, against)


class AncestorCell(Document):
    """A calibration of "the questioned model was trained from the reference" against one other relation."""

    against: Against
    whole: Fit
    without: tuple[Fit, ...] = Field(description="the same fit without each family in turn")
    degrees_of_freedom: int
    families: tuple[int, int]
    pairs: tuple[int, int]
    ranges: tuple[tuple[float, float], ...]
    supporting: Caps
    opposing: Caps

    @model_validator(mode="after")
    def _scores_fit(self) -> "AncestorCell":
        counts = {len(self.ranges), *(len(fit.slopes) for fit in (self.whole, *self.without))}
        if len(counts) != 1 or not all(low <= high for low, high in self.ranges):
            raise ValueError("expected one slope and one range for each score")
        return self

    def ratio(self, figures: AncestorFigures) -> Ratio:
        """log10 of the ratio; scores outside what documented pairs showed count as the nearest that they did show.

        Out of scope there is none: that is for the caller to see to (`out_of_scope`).
        """
        scores = scores_of(figures, self.against)
        held = [min(max(score, low), high) for score, (low, high) in zip(scores, self.ranges, strict=True)]
        calibrated = FamilyJackknife(
            whole=self.whole.calibration(),
            without=tuple(fit.calibration() for fit in self.without),
            degrees_of_freedom=self.degrees_of_freedom,
        ).log10_ratios(np.array([held]))
        central, lower, upper = (
            round(float(part[0]), 12) + 0.0 for part in (calibrated.central, calibrated.lower, calibrated.upper)
        )
        bounded = headline_log10_lr(
            lower, upper, supporting=self.supporting.ratio_caps(), opposing=self.opposing.ratio_caps()
        )
        return Ratio(central=central, lower=lower, upper=upper, bounded=bounded)


class AncestorReference(StoredDocument):
    """Documented pairs and the calibrations made of them."""

    schema_: Literal["whorl.ancestor-reference/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    families: int
    pairs: tuple[DocumentedPair, ...]
    cells: tuple[AncestorCell, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical document."""
        return digest_document(SCHEMA, self.model_dump(mode="json"))

    def cell(self, against: Against) -> AncestorCell:
        """The calibration against one relation."""
        return next(cell for cell in self.cells if cell.against == against)

    def out_of_scope(self, figures: AncestorFigures) -> str | None:
        """Why no ratio is given for two changes, or None."""
        lengths, ranks = figures.lengths[0] / figures.lengths[1], figures.ranks[0] / figures.ranks[1]
        if not 1 / SCOPE <= lengths <= SCOPE:
            return (
                f"the questioned model's change is {lengths:.2g} times as long as the reference's: beyond a factor of "
                f"{SCOPE:.0f}, trainings of the ancestor apart from each other looked like continuations"
            )
        apart = 2 * figures.ranks[2] / (figures.ranks[0] + figures.ranks[1])
        held = max(figures.of_reference.wholeness, figures.of_questioned.wholeness) >= self._least_of_children()
        # What nobody could take for a continuation needs no guard against added noise.
        if not 1 / LIKE <= ranks <= LIKE or (held and apart > LIKE):
            return (
                f"the changes are of different kinds (effective ranks {figures.ranks[0]:.1f}, {figures.ranks[1]:.1f}, "
                f"and {figures.ranks[2]:.1f} of their difference): an adapter, noise or rounding against training was "
                "not calibrated"
            )
        known = [pair.trends for pair in self.pairs if 1 / SCOPE <= pair.lengths <= SCOPE]
        trends = figures.of_reference.trend + figures.of_questioned.trend
        if trends > max(known) or (trends < min(known) and held):
            return (
                f"how the shared part lies in the directions of the changes (trends {trends:.2f}) is like no "
                f"documented pair ({min(known):.2f} to {max(known):.2f}); merges and added noise look like this"
            )
        return None

    def _least_of_children(self) -> float:
        children = [pair for pair in self.pairs if pair.relation == "child" and 1 / SCOPE <= pair.lengths <= SCOPE]
        return min(pair.wholeness[0] for pair in children)

    def share_at_least(self, relation: Documented, beta: float) -> tuple[int, int]:
        """How many pairs of a relation have a beta at least this large, and how many there are."""
        values = [pair.beta for pair in self.pairs if pair.relation == relation]
        return sum(value >= beta for value in values), len(values)


def documented_pair(
    figures: AncestorFigures, *, family: str, questioned: str, reference: str, relation: Documented
) -> DocumentedPair:
    """A pair as it is kept, rounded to five places."""
    return DocumentedPair(
        family=family,
        questioned=questioned,
        reference=reference,
        relation=relation,
        beta=round(figures.beta.value, 5),
        gamma=round(figures.gamma.value, 5),
        lengths=round(figures.lengths[0] / figures.lengths[1], 5),
        ranks=round(figures.ranks[0] / figures.ranks[1], 5),
        apart=round(2 * figures.ranks[2] / (figures.ranks[0] + figures.ranks[1]), 5),
        wholeness=(round(figures.of_reference.wholeness, 5), round(figures.of_questioned.wholeness, 5)),
        trends=round(figures.of_reference.trend + figures.of_questioned.trend, 5),
    )


def scores_of(figures: AncestorFigures, against: Against) -> tuple[float, ...]:
    """What the calibration against an alternative looks at."""
    whole = figures.of_reference.wholeness, figures.of_questioned.wholeness
    return _chosen(whole, figures.of_reference.trend + figures.of_questioned.trend, against)


def calibrated_reference(pairs: Sequence[DocumentedPair], *, name: str) -> AncestorReference:
    """Calibrate documented pairs within `SCOPE`: children of the reference against each of `Against`.

    Raises
    ------
    ValueError
        If a relation is missing or there are fewer than 3 families.
    """
    families = {label: number for number, label in enumerate(sorted({pair.family for pair in pairs}))}
    cells = tuple(_cell(pairs, families, against) for against in ("siblings", "siblings_same_text", "parent"))
    return AncestorReference(name=name, families=len(families), pairs=tuple(pairs), cells=cells)


def held_out_ratios(pairs: Sequence[DocumentedPair], against: Against) -> tuple[list[bool], list[float]]:
    """Truth and log10 ratio of every pair of a calibration, from a fit that has not seen its family."""
    families = {label: number for number, label in enumerate(sorted({pair.family for pair in pairs}))}
    labelled = _labelled(_of(pairs, against), families, against)
    return labelled.is_h1.tolist(), held_out_log10_lr(labelled, nonnegative=_signs(against)).tolist()


def _cell(pairs: Sequence[DocumentedPair], families: Mapping[str, int], against: Against) -> AncestorCell:
    chosen = _of(pairs, against)
    labelled = _labelled(chosen, families, against)
    fitted = fit_family_jackknife(labelled, nonnegative=_signs(against))
    held_out = held_out_log10_lr(labelled, nonnegative=_signs(against))
    supporting, opposing = calibration_caps(labelled, held_out)
    sides = (labelled.is_h1, ~labelled.is_h1)
    return AncestorCell(
        against=against,
        whole=Fit(intercept=fitted.whole.intercept, slopes=tuple(fitted.whole.slopes)),
        without=tuple(Fit(intercept=fit.intercept, slopes=tuple(fit.slopes)) for fit in fitted.without),
        degrees_of_freedom=fitted.degrees_of_freedom,
        families=(np.unique(labelled.families[sides[0]]).size, np.unique(labelled.families[sides[1]]).size),
        pairs=(int(sides[0].sum()), int(sides[1].sum())),
        ranges=tuple(
            (float(low), float(high))
            for low, high in zip(labelled.scores.min(axis=0), labelled.scores.max(axis=0), strict=True)
        ),
        supporting=Caps(sampling=supporting.sampling, process=supporting.process),
        opposing=Caps(sampling=opposing.sampling, process=opposing.process),
    )


def _of(pairs: Sequence[DocumentedPair], against: Against) -> list[DocumentedPair]:
    wanted = ("child",) if against == "parent" else ("child", against)
    found = [pair for pair in pairs if pair.relation in wanted and 1 / SCOPE <= pair.lengths <= SCOPE]
    if against == "parent":  # each child is also its parent's parent, seen from the other side
        found += [pair.model_copy(update={"relation": "parent", "wholeness": pair.wholeness[::-1]}) for pair in found]
    return found


def _labelled(pairs: Sequence[DocumentedPair], families: Mapping[str, int], against: Against) -> LabelledPairs:
    return labelled_pairs(
        np.array([pair.scores(against) for pair in pairs]),
        np.array([pair.relation == "child" for pair in pairs]),
        np.array([(families[pair.family],) * 2 for pair in pairs]),
    )


def _chosen(wholeness: tuple[float, float], trends: float, against: Against) -> tuple[float, ...]:
    return (wholeness[0] - wholeness[1],) if against == "parent" else (wholeness[0], trends)


def _signs(against: Against) -> tuple[bool, ...]:
    return (True,) if against == "parent" else (True, True)
