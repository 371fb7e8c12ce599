"""How well calibrated the ratios of the shipped population are: docs/validation-calibration.md and its pictures.

Run by ``python -m bench.zoo.study``. Every ratio comes from a calibration that saw neither of its pair's two families.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bench.zoo.study_tables import table
from whorl.cases.report import picture_alone
from whorl.cases.report_trust import trust_line
from whorl.cases.report_trust_pictures import HEIGHT, WIDTH, entropy_picture, tippett_picture
from whorl.comparison.figures import MeasuredPair
from whorl.comparison.population import ALTERNATIVES, SMALL_LOSS, CellData, cell_data, contained_structure
from whorl.core.arrays import AnyArray, Doubles
from whorl.core.evidence import Access
from whorl.statistics.calibration import fit_family_jackknife, held_out_log10_lr
from whorl.statistics.labelled_pairs import LabelledPairs, labelled_pairs
from whorl.statistics.ratio_caps import headline_log10_lr
from whorl.statistics.ratio_checks import MeanRatio, TuringCheck, mean_ratio, turing_checks
from whorl.statistics.ratio_cost import (
    MisleadingRate,
    RatioPerformance,
    empirical_cross_entropy,
    isotonic_log10_lr,
    ratio_performance,
)
from whorl.statistics.ratio_population import Cell, Population
from whorl.statistics.ratio_reference import CalibrationReference, calibration_reference

TARGET: Final = 0.05
SEED: Final = 20261127
WORLDS: Final = 1000
ACCESSES: Final[tuple[Access, ...]] = ("weights", "fingerprint")
LARGE_SHARE: Final = 0.5
PRIORS: Final = (0.01, 0.1, 0.5, 0.9)
_FONT: Final = "system-ui, sans-serif"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellStudy:
    """Held-out ratios of one cell, and what they are worth.

    Parameters
    ----------
    central, bounded : log10 ratio of each pair before caps, and as a finding reports it
    before, after : performance of ``central`` and of ``bounded``
    reference : what perfect ratios would show; None where ratios are always 1
    """

    cell: Cell
    pairs: LabelledPairs
    rows: tuple[MeasuredPair, ...]
    central: Doubles
    bounded: Doubles
    before: RatioPerformance
    after: RatioPerformance
    reference: CalibrationReference | None

    @property
    def name(self) -> tuple[str, str]:
        """Access and alternative, as they are shown."""
        return self.cell.access, self.cell.alternative.replace("_", " ")

    @property
    def mute(self) -> bool:
        """Whether every ratio is 1."""
        return not self.central.any()

    def mean(self, ratios: Doubles) -> MeanRatio:
        """E[LR] over the pairs of the alternative."""
        return self._mean(~self.pairs.is_h1, ratios)

    def mean_inverse(self, ratios: Doubles) -> MeanRatio:
        """E[1 / LR] over the pairs of ancestor and descendant."""
        return self._mean(self.pairs.is_h1, -ratios)

    def _mean(self, side: AnyArray, ratios: Doubles) -> MeanRatio:
        return mean_ratio(ratios[side], self.pairs.families[side], self.pairs.weights[side])

    def turing(self) -> TuringCheck:
        """E[min(LR, 10)] of reported ratios over the pairs of the alternative."""
        side = ~self.pairs.is_h1
        return turing_checks(self.bounded[side], self.pairs.families[side], self.pairs.weights[side])[0]


def cell_studies(population: Population, rows: Sequence[MeasuredPair], *, worlds: int = WORLDS) -> list[CellStudy]:
    """One study for each cell of the population.

    Parameters
    ----------
    worlds : simulated sets of perfect ratios for each cell
    """
    rng = np.random.default_rng(SEED)
    found = []
    for access in ACCESSES:
        for alternative in ALTERNATIVES:
            cell, data = population.cell(access, alternative), cell_data(population, rows, access, alternative)
            if cell is not None and data is not None:
                found.append(_study(cell, data, rng, worlds))
    return found


def _study(cell: Cell, data: CellData, rng: np.random.Generator, worlds: int) -> CellStudy:
    pairs = data.pairs
    # + 0.0 and rounded, as in a finding: no sign from the last digits of a cell that says nothing.
    central = np.round(held_out_log10_lr(pairs), 12) + 0.0
    whole = fit_family_jackknife(pairs).log10_ratios(pairs.scores)
    reach = (whole.upper - whole.lower) / 2
    supporting, opposing = cell.supporting.ratio_caps(), cell.opposing.ratio_caps()
    bounded = np.array(
        [
            headline_log10_lr(ratio - half, ratio + half, supporting=supporting, opposing=opposing)
            for ratio, half in zip(central, reach, strict=True)
        ]
    )
    return CellStudy(
        cell=cell,
        pairs=pairs,
        rows=data.rows,
        central=central,
        bounded=bounded,
        before=ratio_performance(pairs, central),
        after=ratio_performance(pairs, bounded),
        reference=calibration_reference(pairs, central, rng, worlds=worlds),
    )


def reported_table(studies: Sequence[CellStudy]) -> list[str]:
    """Ratios as reported: cost, misleading ones, and whether they are too large."""
    header = (
        "Access", "Alternative", "Families", "Pairs", "Cllr", "Cllr_cal", "Misleading", "E[min(LR, 10)]", "Cap, log10",
    )  # fmt: skip
    lines = []
    for one in studies:
        found, check = one.after, one.turing()
        supporting, opposing = one.cell.supporting.ratio_caps(), one.cell.opposing.ratio_caps()
        lines.append(
            (
                *one.name,
                *_counts(one),
                f"{found.cllr:.3f} ({found.cllr_lower:.3f} to {found.cllr_upper:.3f})",
                f"{found.cllr_cal:.3f}",
                f"{found.misleading_h1.misleading} / {found.misleading_h2.misleading}",
                f"{check.mean:.2f} ({check.lower:.2f} to {check.upper:.2f})",
                f"{headline_log10_lr(9, 9, supporting=supporting, opposing=opposing):.2f}",
            )
        )
    return table(header, lines)


def calibration_page(population: Population, studies: Sequence[CellStudy]) -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Calibration of the shipped population",
            "",
            "Made by `make study` (`python -m bench.zoo.study`) from `bench/results/zoo/pairs.jsonl.xz`; do not edit. "
            "What is measured and how to read it: [method](methods/calibration.md). Verdicts and ratios as reported: "
            "[validation](validation.md).",
            "",
            f"Population `{population.name}`, digest `{population.digest}`. Every ratio here comes from a calibration "
            "that saw neither of its pair's two families. Numbers before a slash are of pairs of ancestor and "
            "descendant, those after it of the alternative. Intervals are 95 %, delete-one-family jackknife.",
            "",
            "## In short",
            "",
            *_in_short(studies),
            "",
            "## Cost, and what of it is calibration",
            "",
            f"Central values: before interval and caps. *Perfect*: Cllr_cal of {WORLDS:,} simulated sets of perfectly "
            "calibrated ratios with the same pairs, families, weights, cost and correlation within families: median "
            "and 95 % limit.",
            "",
            *_cost_table(studies),
            "",
            "## Are the ratios too large?",
            "",
            "E[LR] over the pairs of the alternative, and E[1/LR] over the pairs of ancestor and descendant; neither "
            "should exceed 1. *Largest*: log10 of the largest central ratio of a pair of the alternative.",
            "",
            *_mean_table(studies),
            "",
            *_carried_by_few(studies),
            "",
            "## Misleading ratios",
            "",
            "Below 1 although one model descends from the other, and above 1 although the alternative holds: pairs, "
            "then the share of the weight, with its one-sided 95 % limit.",
            "",
            *_misleading_table(studies),
            "",
            "## Empirical cross-entropy",
            "",
            "Bits of surprise left to a reader of a prior who uses the central values / their best monotone "
            "recalibration; without a ratio it is the number in the head of the column.",
            "",
            *_entropy_table(studies),
            "",
            "## Tippett curves and cross-entropy",
            "",
            "Drawn from the held-out ratios that the population keeps, as in the report of a case.",
            "",
            *(
                f"![Tippett curves and cross-entropy of held-out ratios, access by {access}, against each alternative. "
                f"The tables above hold the same figures.](images/calibration-{access}.svg)\n"
                for access in ACCESSES
            ),
            "## The score against a common start, from fingerprints",
            "",
            *_former_score(next(one for one in studies if one.name == ("fingerprint", "same seed"))),
            "",
        ]
    )


def _in_short(studies: Sequence[CellStudy]) -> list[str]:
    speaking = [one for one in studies if not one.mute]
    met = [one for one in speaking if one.before.cllr_cal <= TARGET]
    beyond = [one for one in speaking if one.reference and one.before.cllr_cal > one.reference.upper]
    out = [one for one in speaking if one.reference and one.reference.median > TARGET]
    means = [one.mean(ratios) for one in studies for ratios in (one.central, one.bounded)]
    inverse = [one.mean_inverse(one.central) for one in studies]
    reported = max(one.mean_inverse(one.bounded).mean for one in studies)
    mute = ", ".join(" against ".join(one.name) for one in studies if one.mute) or "none"
    return [
        f"- Cllr_cal is at most {TARGET:g} in {len(met)} of {len(speaking)} cells that say anything; the largest is "
        f"{max(one.before.cllr_cal for one in speaking):.3f}. "
        f"{_listed(beyond)} above what perfect ratios show in 95 % of simulations.",
        f"- On so few families perfect ratios miss {TARGET:g} in more than half of the simulations: {_names(out)}. "
        "There the target says little: that it is met may be luck.",
        f"- E[LR | alternative] is at most 1 in {sum(one.mean <= 1 for one in means)} of {len(means)} (each cell "
        f"before caps and as reported), and shown to be above 1 in {sum(one.refuted for one in means)}; the largest is "
        f"{max(one.mean for one in means):.2f}.",
        f"- E[1/LR | descent], before caps, is above 1 in {sum(one.mean > 1 for one in inverse)} of {len(inverse)} "
        f"cells (at most {max(one.mean for one in inverse):.2f}), and shown to be so in "
        f"{sum(one.refuted for one in inverse)}; as reported it is at most {reported:.2f}.",
        f"- Cells in which every ratio is 1, perfectly calibrated and of no use: {mute}.",
    ]


def _listed(studies: Sequence[CellStudy]) -> str:
    return f"{_names(studies)} {'lies' if len(studies) == 1 else 'lie'}" if studies else "No cell lies"


def _names(studies: Sequence[CellStudy]) -> str:
    return "; ".join(" against ".join(one.name) for one in studies) or "none"


def _cost_table(studies: Sequence[CellStudy]) -> list[str]:
    header = (
        "Access", "Alternative", "Families", "Pairs", "Cllr", "Cllr_min", "Cllr_cal", "Perfect", "Correlation",
        "devPAV", "EER",
    )  # fmt: skip
    lines = []
    for one in studies:
        found, reference = one.before, one.reference
        lines.append(
            (
                *one.name,
                *_counts(one),
                f"{found.cllr:.3f} ({found.cllr_lower:.3f} to {found.cllr_upper:.3f})",
                f"{found.cllr_min:.3f}",
                f"{found.cllr_cal:.3f}",
                "–" if reference is None else f"{reference.median:.3f}, {reference.upper:.3f}",
                "–" if reference is None else " / ".join(f"{number:.2f}" for number in reference.correlations),
                "–" if found.dev_pav is None else f"{found.dev_pav:.2f}",
                f"{found.equal_error_rate:.3f}",
            )
        )
    return table(header, lines)


def _mean_table(studies: Sequence[CellStudy]) -> list[str]:
    header = (
        "Access", "Alternative", "E[LR], before caps", "as reported", "Largest", "E[1/LR], before caps", "as reported",
    )  # fmt: skip
    return table(
        header,
        (
            (
                *one.name,
                _with_limits(one.mean(one.central)),
                _with_limits(one.mean(one.bounded)),
                f"{one.mean(one.central).largest:.2f}",
                _with_limits(one.mean_inverse(one.central)),
                _with_limits(one.mean_inverse(one.bounded)),
            )
            for one in studies
        ),
    )


def _misleading_table(studies: Sequence[CellStudy]) -> list[str]:
    def said(rate: MisleadingRate) -> str:
        return f"{rate.misleading} of {rate.pairs}: {rate.rate:.3f}, below {rate.upper:.3f}"

    return table(
        ("Access", "Alternative", "Below 1, before caps", "as reported", "Above 1, before caps", "as reported"),
        (
            (
                *one.name,
                said(one.before.misleading_h1),
                said(one.after.misleading_h1),
                said(one.before.misleading_h2),
                said(one.after.misleading_h2),
            )
            for one in studies
        ),
    )


def _entropy_table(studies: Sequence[CellStudy]) -> list[str]:
    def bits(one: CellStudy, prior: float) -> str:
        truth, weights = one.pairs.is_h1, one.pairs.weights
        best = isotonic_log10_lr(one.central, truth, weights)
        return " / ".join(
            f"{empirical_cross_entropy(ratios, truth, weights, prior_h1=prior):.3f}" for ratios in (one.central, best)
        )

    heads = [f"prior {prior:g}: {-prior * np.log2(prior) - (1 - prior) * np.log2(1 - prior):.3f}" for prior in PRIORS]
    return table(
        ("Access", "Alternative", *heads), ((*one.name, *(bits(one, prior) for prior in PRIORS)) for one in studies)
    )


def _carried_by_few(studies: Sequence[CellStudy]) -> list[str]:
    """Where two families make up most of a mean, which ones."""
    lines = []
    for one in studies:
        side = ~one.pairs.is_h1
        worth = one.pairs.weights[side] * 10 ** one.central[side]
        _, place = np.unique(one.pairs.families[side], axis=0, return_inverse=True)
        shares = np.bincount(place.ravel(), worth) / worth.sum()
        most = int(shares.argmax())
        if shares[most] > LARGE_SHARE and not one.mute:
            row = one.rows[int(np.flatnonzero(side)[place.ravel() == most][0])]
            lines.append(
                f"Of E[LR] before caps, {' against '.join(one.name)}, a share of {shares[most]:.2f} comes from the "
                f"pairs of two families, {' and '.join(row.families)}: hence the wide interval."
            )
    return [*lines, ""] if lines else []


def _former_score(one: CellStudy) -> list[str]:
    """What the cell would be worth with the score that it had before, and with other limits of this one."""
    contained = np.array([contained_structure(row.figures) for row in one.rows])

    def with_score(scores: Doubles) -> CellStudy:
        pairs = labelled_pairs(scores, one.pairs.is_h1, one.pairs.families)
        central = held_out_log10_lr(pairs)
        return replace(one, pairs=pairs, central=central, before=ratio_performance(pairs, central))

    def figures(study: CellStudy) -> tuple[str, ...]:
        return (
            f"{study.before.cllr:.3f}",
            f"{study.before.cllr_min:.3f}",
            f"{study.before.cllr_cal:.3f}",
            _with_limits(study.mean(study.central)),
            _with_limits(study.mean_inverse(study.central)),
        )

    others = {
        f"-ln({1 + SMALL_LOSS:g} - max({least:g}, contained))": -np.log(1 - np.maximum(least, contained) + SMALL_LOSS)
        for least in (0.45, 0.5, 0.6)
    }
    return [
        "Once the score was the contained structure itself, and the log odds were taken to be linear in it. They are "
        "not: averages of half a stranger hold no more of their ancestor than runs from one start hold of each other, "
        "so that at the low end the ratio must level off; taken on, it spoke too loudly against descent. Now the score "
        "is the natural logarithm of 1 over what is not contained, and the limit is the one from which the score from "
        "weights counts. The form was chosen while looking at these pairs. All held out, before caps:",
        "",
        *table(
            ("Score", "Cllr", "Cllr_min", "Cllr_cal", "E[LR]", "E[1/LR]"),
            (
                ("contained (before)", *figures(with_score(contained))),
                (f"-ln({1 + SMALL_LOSS:g} - max(0.55, contained)) (now)", *figures(one)),
                *((name, *figures(with_score(scores))) for name, scores in others.items()),
            ),
        ),
    ]


def _counts(one: CellStudy) -> tuple[str, str]:
    return " / ".join(map(str, one.cell.families)), " / ".join(map(str, one.cell.pairs))


def _with_limits(found: MeanRatio) -> str:
    return f"{found.mean:.2f} ({found.lower:.2f} to {_short(found.upper)})"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else "above 1,000"


def draw_cells(population: Population) -> dict[str, str]:
    """One picture for each access, a row for each alternative: Tippett curves and cross-entropy."""
    drawn = {}
    for access in ACCESSES:
        rows = []
        for alternative in ALTERNATIVES:
            cell = population.cell(access, alternative)
            line = None if cell is None else trust_line(cell, None, group=access, alternative=alternative)
            if line is not None and line.tippett:
                rows.append((alternative, line))
        height = len(rows) * (HEIGHT + 34)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH:g}" height="{height:g}" '
            f'viewBox="0 0 {2 * WIDTH:g} {height:g}"><rect width="100%" height="100%" fill="#ffffff"/>'
        ]
        for number, (alternative, line) in enumerate(rows):
            top = number * (HEIGHT + 34)
            parts.append(
                f'<text x="8" y="{top + 20:g}" style="font: 600 14px {_FONT}; fill: #1b1f24">'
                f"Against {alternative.replace('_', ' ')}</text>"
            )
            for left, macro, picture in (
                (0.0, "shares", tippett_picture(line)),
                (WIDTH, "entropy", entropy_picture(line)),
            ):
                one = picture_alone(macro, picture, f"{macro}-{access}-{number}", font=_FONT)
                assert one is not None
                parts.append(one.replace("<svg ", f'<svg x="{left:g}" y="{top + 30:g}" ', 1))
        drawn[f"calibration-{access}.svg"] = "\n".join([*parts, "</svg>\n"])
    return drawn
