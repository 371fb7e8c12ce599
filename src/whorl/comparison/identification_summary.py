"""Shares of right and wrong identifications, with intervals over models, and the trials as rows of a table."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final

import numpy as np

from whorl.comparison.identification_trials import LEVEL, Guess, Trial, TriedTable
from whorl.core.arrays import Doubles
from whorl.statistics.intervals import clopper_pearson

RESAMPLES: Final = 999
_TAIL: Final = 0.025
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of trials.

    Parameters
    ----------
    value : hits / trials
    lower, upper : 95 % interval over resampled models; where resampling shows nothing, because all trials or none are
        hits, the end away from ``value`` is Clopper-Pearson's with each model as one trial
    models : behind the trials
    """

    value: float
    lower: float
    upper: float
    hits: int
    trials: int
    models: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a table's trials came to.

    Parameters
    ----------
    right_model, right_line : the first candidate is the model itself (or its weights, served in another way), is of its
        line; nothing has to be accepted
    known_right_model, known_right_line : the same, and it is accepted
    known_wrong : a model of another line is accepted although the right one is enrolled
    unknown_accepted : a stranger is accepted while nothing of the questioned line is enrolled
    related_accepted : while related models of other lines are enrolled as well, any model is accepted
    confusions : questioned model, whom it was taken for while unknown, and how often; most frequent first
    """

    right_model: Share
    right_line: Share
    known_right_model: Share | None
    known_right_line: Share | None
    known_wrong: Share | None
    unknown_accepted: Share | None
    related_accepted: Share | None
    confusions: tuple[tuple[str, str, int], ...]


def summary(tried: TriedTable, rng: np.random.Generator) -> Summary | None:
    """Count a table's trials; None where there are none."""
    if not tried.trials:
        return None

    def share(hit: Callable[[Trial], bool | None]) -> Share | None:
        return _share([(trial.model, found) for trial in tried.trials if (found := hit(trial)) is not None], rng)

    right_model, right_line = share(has_right_model), share(has_right_line)
    assert right_model is not None
    assert right_line is not None
    open_set = tried.open_set_problem is None
    taken = Counter(
        (trial.model, trial.unknown.model)
        for trial in tried.trials
        if trial.unknown is not None and trial.unknown.accepted
    )
    return Summary(
        right_model=right_model,
        right_line=right_line,
        known_right_model=share(lambda one: one.known.accepted and has_right_model(one)) if open_set else None,
        known_right_line=share(lambda one: one.known.accepted and has_right_line(one)) if open_set else None,
        known_wrong=share(lambda one: one.known.accepted and not has_right_line(one)) if open_set else None,
        unknown_accepted=share(lambda one: None if one.unknown is None else one.unknown.accepted),
        related_accepted=share(lambda one: None if one.related is None else one.related.accepted),
        confusions=tuple(
            (*pair, count) for pair, count in sorted(taken.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN]
        ),
    )


def has_right_model(trial: Trial) -> bool:
    """Whether the first candidate is the model itself, in whatever way it is served."""
    return trial.known.relation == "same_weights"


def has_right_line(trial: Trial) -> bool:
    """Whether the first candidate is of the model's line."""
    return trial.known.line == trial.line


def _share(found: list[tuple[str, bool]], rng: np.random.Generator) -> Share | None:
    if not found:
        return None
    names = sorted({model for model, _ in found})
    places = {name: place for place, name in enumerate(names)}
    of_each = np.zeros((len(names), 2))
    for model, hit in found:
        of_each[places[model]] += (hit, 1)
    hits, trials = (int(total) for total in of_each.sum(axis=0))
    lower, upper = np.quantile(_resampled(of_each, rng), [_TAIL, 1 - _TAIL])
    if hits in (0, trials):
        exact = clopper_pearson(len(names) if hits else 0, len(names))
        lower, upper = min(lower, exact[0]), max(upper, exact[1])
    value = hits / trials
    return Share(
        value=value,
        lower=min(value, float(lower)),
        upper=max(value, float(upper)),
        hits=hits,
        trials=trials,
        models=len(names),
    )


def _resampled(of_each: Doubles, rng: np.random.Generator) -> Doubles:
    """The share in resamples of as many models as there are."""
    count = len(of_each)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) @ of_each
    return np.asarray(drawn[:, 0] / drawn[:, 1])


def document(tried: TriedTable, found: Summary | None) -> dict[str, Any]:
    """The part of the ``--json`` document that speaks of one data set."""
    return {
        "dataset": tried.dataset,
        "design": tried.design,
        "enrol": tried.enrol,
        "probe": tried.probe,
        "models": tried.models,
        "lines": tried.lines,
        "controls": tried.controls,
        "models_with_too_few_answers": tried.left_out,
        "level": LEVEL,
        "problem": tried.problem,
        "open_set_problem": tried.open_set_problem,
        **(
            dict.fromkeys(Summary.__dataclass_fields__)
            if found is None
            else {
                **asdict(found),
                "confusions": [
                    {"model": model, "taken_for": other, "samples": count} for model, other, count in found.confusions
                ],
            }
        ),
    }


def trial_rows(tried: TriedTable) -> list[dict[str, object]]:
    """One row for each trial."""
    return [
        {
            "dataset": tried.dataset,
            "design": tried.design,
            "model": trial.model,
            "line": trial.line,
            "sample": trial.sample,
            "right_model": has_right_model(trial),
            "right_line": has_right_line(trial),
            **_guess("known", trial.known),
            **_guess("unknown", trial.unknown),
            **_guess("related", trial.related),
        }
        for trial in tried.trials
    ]


def _guess(setting: str, guess: Guess | None) -> Mapping[str, object]:
    if guess is None:
        return dict.fromkeys(f"{setting}_{name}" for name in _GUESS)
    finite = guess.stands_out if np.isfinite(guess.stands_out) else None
    values = (guess.model, guess.line, guess.relation, finite, guess.p, guess.accepted)
    return {f"{setting}_{name}": value for name, value in zip(_GUESS, values, strict=True)}


_GUESS: Final = ("model", "line", "relation", "stands_out", "p", "accepted")


def write_trials(tables: Iterable[TriedTable], file: BinaryIO) -> int:
    """Write all trials as one Parquet file; returns how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"model": pa.string(), "line": pa.string(), "relation": pa.string(), "accepted": pa.bool_()}
    schema = pa.schema(
        [(name, pa.string()) for name in ("dataset", "design", "model", "line")]
        + [("sample", pa.int64()), ("right_model", pa.bool_()), ("right_line", pa.bool_())]
        + [
            (f"{setting}_{name}", kinds.get(name, pa.float64()))
            for setting in ("known", "unknown", "related")
            for name in _GUESS
        ]
    )
    written = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for tried in tables:
            rows = trial_rows(tried)
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            written += len(rows)
    return written
