"""How far the ratios of a population can be trusted: the held-out ratios that it keeps, put into words."""

from typing import Final

import numpy as np

from whorl.cases.report_document import TrustLine
from whorl.cases.report_wording import times
from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.ratio_cost import empirical_cross_entropy, isotonic_log10_lr, log_ratio_cost, tippett_curve
from whorl.statistics.ratio_population import Cell

_ODDS: Final = tuple(step / 10 for step in range(-20, 21))
_MOST_MEAN: Final = 1000.0
_SHOWN_RATIOS: Final = (-2, -1, 0, 1, 2)
_SHOWN_ODDS: Final = (-2, -1, 0, 1, 2)


def trust_line(cell: Cell, central: float | None, *, group: str, alternative: str) -> TrustLine | None:
    """A case's ratio among the held-out ratios of the cell that it was taken from; None where the cell keeps none.

    Parameters
    ----------
    central : the case's ratio before caps, log10; None to show the cell alone
    group, alternative : as they are shown
    """
    if cell.held_out is None:
        return None
    ratios, truth, weights = cell.held_out.labelled()
    best = isotonic_log10_lr(ratios, truth, weights)
    cost = log_ratio_cost(ratios, truth, weights)
    curve = tippett_curve(ratios, truth, weights)

    least = 0.0 if central is None else central

    def share(side: bool, wanted: AnyArray) -> float:
        return float(weights[(truth == side) & wanted].sum())

    def surprise(given: Doubles, odds: float) -> float:
        return empirical_cross_entropy(given, truth, weights, prior_h1=1 / (1 + 10.0**-odds))

    return TrustLine(
        group=group,
        alternative=alternative,
        families=cell.families,
        pairs=cell.pairs,
        cllr=cost,
        cllr_cal=cost - log_ratio_cost(best, truth, weights),
        mean=float(weights[~truth] @ 10.0 ** ratios[~truth]),
        misleading=(share(True, ratios < 0), share(False, ratios > 0)),
        central=central,
        reached=(share(True, ratios >= least), share(False, ratios >= least)),
        tippett=()
        if curve.log10_lr.size < 2
        else tuple(zip(curve.log10_lr.tolist(), curve.share_h1.tolist(), curve.share_h2.tolist(), strict=True)),
        entropy=tuple(
            (odds, surprise(ratios, odds), surprise(best, odds), surprise(np.zeros(ratios.size), odds))
            for odds in _ODDS
        ),
    )


def trust_words(line: TrustLine) -> str:
    """What the pictures of held-out ratios show, and what they are worth."""
    said = (
        f"Held-out ratios of {line.families[0]} families with descendants ({line.pairs[0]} pairs) and of "
        f"{line.families[1]} families of this alternative ({line.pairs[1]} pairs). "
    )
    if not line.tippett:
        return f"{said}All of them are 1: against this alternative the population bears out nothing."
    mean = f"{line.mean:.2f}" if line.mean < _MOST_MEAN else f"more than {_MOST_MEAN:,.0f}"
    said += (
        f"Their cost (Cllr) is {line.cllr:.2f} bits, where 0 is perfect and 1 is what saying nothing costs; better "
        f"calibration would save {line.cllr_cal:.2f} of it (Cllr_cal). Where the alternative holds, their mean is "
        f"{mean}; it should not be above 1. Shares of misleading ratios: {line.misleading[0]:.2g} (ancestor "
        f"and descendant, below 1) and {line.misleading[1]:.2g} (alternative, above 1)."
    )
    if line.central is None:
        return said
    return (
        f"{said} This case, before caps: {times(line.central)}. As large or larger are {line.reached[0]:.2g} of the "
        f"ratios of ancestor and descendant and {line.reached[1]:.2g} of those of the alternative."
    )


def entropy_words(line: TrustLine) -> str:
    """What the picture of the cross-entropy shows, for who does not see it."""
    said = (
        f"at odds of {odds} {own} bits, {best} with the best recalibration and {neutral} without a ratio"
        for odds, own, best, neutral in entropy_rows(line)
    )
    return f"Surprise that is left on average: {'; '.join(said)}."


def tippett_rows(line: TrustLine) -> list[tuple[str, str, str]]:
    """A few points of the Tippett curves, in words: a ratio, and the shares that are as large or larger."""
    rows = []
    for power in _SHOWN_RATIOS:
        first, second = next(((h1, h2) for log10, h1, h2 in line.tippett if log10 >= power), (0.0, 0.0))
        rows.append((times(power), f"{first:.3f}", f"{second:.3f}"))
    return rows


def entropy_rows(line: TrustLine) -> list[tuple[str, str, str, str]]:
    """A few points of the cross-entropy, in words: prior odds, and bits with, with the best, and without ratios."""
    return [
        (odds_words(odds), f"{own:.3f}", f"{best:.3f}", f"{neutral:.3f}")
        for odds, own, best, neutral in line.entropy
        if odds in _SHOWN_ODDS
    ]


def odds_words(log10: float) -> str:
    """Prior odds as people say them: ``1 to 100``, ``10 to 1``."""
    size = f"{10 ** abs(log10):g}"
    return f"{size} to 1" if log10 > 0 else f"1 to {size}"
