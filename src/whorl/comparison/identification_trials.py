"""Identification tried on a table: every model is questioned while it is known, and while nothing of its line is.

Method page: ``docs/methods/identification.md``.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from whorl.comparison.agreement import LEAST_ITEMS
from whorl.comparison.agreement_nearness import agreement_nearness
from whorl.comparison.documented_lineage import Lineage, Relation
from whorl.comparison.identification_plan import Design, Plan, divide
from whorl.comparison.style_scores import Nearness, stands_out, style_scores
from whorl.comparison.style_space import StyleAnswers, learn_axes, style_answers
from whorl.core.arrays import Doubles, Ints
from whorl.core.errors import InputError
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable, joined, prompt_of

LEVEL: Final = 0.01
"""Largest p of an identification."""
WAY: Final = 0.6
"""Least share of the way from what strangers reach to the candidate's own usual place.

With a few dozen lines the one that most resembles another has nothing above it to be compared with, so that p alone
accepts it: the way must be covered as well. Measured on the method page.
"""
LEAST_LINES: Final = 8
"""Lines that a threshold needs. With fewer it does not hold for the next line: measured on the method page."""
LEAST_MODELS: Final = 3
MOST_ANSWERS: Final = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What is said of one sample.

    Parameters
    ----------
    model, line : the first candidate
    relation : documented relation of the questioned model to it
    stands_out : see `whorl.comparison.style_scores.stands_out`
    p : share of samples of yet other lines that stand out as much while their line is not known
        None where there are too few for `LEVEL`.
    """

    model: str
    line: str
    relation: Relation
    stands_out: float
    p: float | None

    @property
    def accepted(self) -> bool:
        """Whether the sample is identified; otherwise the answer is "unknown"."""
        return self.p is not None and self.p <= LEVEL and self.stands_out >= WAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One sample, questioned in three settings.

    Parameters
    ----------
    known : its model and line are enrolled
    unknown : only models are that are unrelated to it; None where that cannot be tried
    related : as before, and so are other lines that are documented to have to do with it (a teacher, a wrapped model)
    """

    model: str
    line: str
    sample: int
    known: Guess
    unknown: Guess | None
    related: Guess | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedTable:
    """Trials of one data set.

    Parameters
    ----------
    trials : empty where ``problem`` says why none are possible
    left_out : models with too few answers
    open_set_problem : why no model was questioned as unknown, or None
    """

    dataset: str
    design: Design
    enrol: int
    probe: int
    models: int
    lines: int
    controls: int
    left_out: int
    trials: tuple[Trial, ...] = ()
    problem: str | None = None
    open_set_problem: str | None = None


def try_table(
    table: AnswerTable,
    lineage: Lineage,
    *,
    enrol: int,
    probe: int,
    controls: AnswerTable | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> TriedTable:
    """Enrol every model on ``enrol`` answers and question it by samples of ``probe`` others.

    Parameters
    ----------
    controls : further models that answered the same prompts; they are no candidates, but say what is usual

    Raises
    ------
    InputError
        If more than 400,000 answers would be read.
    """
    rng = np.random.default_rng(seed)
    whole = _without_copies(table if controls is None else joined(controls, table))
    plan = divide(whole, enrol=enrol, probe=probe, rng=rng)
    if np.count_nonzero(plan.taken) > MOST_ANSWERS:
        raise InputError(
            f"{table.dataset}: expected at most {MOST_ANSWERS:,} answers to enrol and to question, found "
            f"{np.count_nonzero(plan.taken):,}; enrol on fewer, or split the table"
        )
    names = [lineage.line(model) for model in whole.models]
    here = frozenset(table.models)
    candidates = np.array([model for model in sorted(plan.models) if whole.models[model] in here], np.int64)
    known = sorted({names[model] for model in plan.models})
    about = TriedTable(
        dataset=table.dataset,
        design=plan.design,
        enrol=enrol,
        probe=probe,
        models=len(candidates),
        lines=len({names[model] for model in candidates}),
        controls=len(plan.models) - len(candidates),
        left_out=len(table.models) - len(candidates),
    )
    if len(candidates) < LEAST_MODELS:
        return replace(
            about,
            problem=f"expected at least {LEAST_MODELS} models with {enrol} answers to enrol and {probe} to question, "
            f"found {len(candidates)}; enrol on fewer",
        )
    axes = learn_axes(whole, plan.questions, plan.enrolled, rng)
    if axes is None:
        return replace(about, problem="there are too few answers to learn habits of style from; enrol on more")
    lines = np.array([known.index(name) if name in known else -1 for name in names], np.int64)
    agreeing = plan.design == "same_prompts" and probe >= LEAST_ITEMS
    study = _Study(
        models=whole.models,
        plan=plan,
        answers=style_answers(whole, plan.questions, plan.taken, axes, progress=progress),
        candidates=candidates,
        lines=lines,
        line_names=tuple(known),
        lineage=lineage,
        agreement=agreement_nearness(whole, plan, lines, lineage, progress=progress) if agreeing else None,
        size=probe,
        seed=seed,
    )
    if len(known) < LEAST_LINES:
        few = f"expected models of at least {LEAST_LINES} lines, found {len(known)}; add models of other lines"
        return replace(about, trials=_closed_trials(study), open_set_problem=few)
    trials = _open_trials(study, progress)
    if all(trial.known.p is None for trial in trials):
        few = f"expected {round(1 / LEVEL) - 1} samples of yet other lines for a threshold; enrol on fewer answers"
        closed = tuple(replace(trial, unknown=None, related=None) for trial in trials)
        return replace(about, trials=closed, open_set_problem=few)
    return replace(about, trials=trials)


def _without_copies(table: AnswerTable) -> AnswerTable:
    """Without further draws that repeat a draw of the model to the same prompt: a copied row is no new answer."""
    answers = table.answers.copy()
    seen: dict[tuple[str, int], set[str]] = {}
    for row, item in enumerate(table.items):
        for model in np.flatnonzero(table.answered[row]).tolist():
            texts = seen.setdefault((prompt_of(item), model), set())
            if answers[row, model] in texts:
                answers[row, model] = None
            else:
                texts.add(answers[row, model])
    return replace(table, answers=answers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Study:
    """A divided table with everything that is measured once."""

    models: tuple[str, ...]
    plan: Plan
    answers: StyleAnswers
    candidates: Ints
    lines: Ints
    line_names: tuple[str, ...]
    lineage: Lineage
    agreement: Nearness | None
    size: int
    seed: int

    @property
    def owners(self) -> Ints:
        """Model of each sample."""
        return np.array([sample.model for sample in self.plan.samples], np.int64)

    def scored(self, places: Ints, *, left_out: int | None) -> tuple[Doubles, Doubles]:
        """How samples stand out, and their order, against all candidates: two of shape (places, candidates)."""
        samples = [self.plan.samples[place] for place in places]
        rows = self.answers.rows
        enrolled = np.zeros(self.answers.models.size, bool)
        enrolled[rows[self.plan.enrolled & (rows >= 0)]] = True
        scores = style_scores(
            self.answers,
            enrolled,
            [rows[sample.items, sample.model] for sample in samples],
            self.lines,
            size=self.size,
            left_out=left_out,
            rng=np.random.default_rng(self.seed),
            ranked=left_out is None,
        )
        if self.agreement is not None:
            near = self.agreement
            others = self.lines[near.cohort_of] != (-1 if left_out is None else left_out)
            agreement = Nearness(
                samples=near.samples[np.ix_(places, scores.candidates)],
                cohort=near.cohort[np.ix_(others, scores.candidates)],
                cohort_of=near.cohort_of[others],
                own=near.own[others],
            )
            scores = replace(scores, kinds={**scores.kinds, "agreement": agreement})
        columns = np.searchsorted(scores.candidates, self.candidates)
        kept = np.isin(self.candidates, scores.candidates)
        shape = (len(places), self.candidates.size)
        standing, order = np.full(shape, -np.inf), np.full(shape, -np.inf)
        standing[:, kept] = stands_out(scores, self.lines)[:, columns[kept]]
        order[:, kept] = scores.order[:, columns[kept]]
        return standing, order


def _closed_trials(study: _Study) -> tuple[Trial, ...]:
    places = np.flatnonzero(np.isin(study.owners, study.candidates))
    standing, order = study.scored(places, left_out=None)
    first = order.argmax(axis=1)
    return tuple(
        _trial(study, place, _guess(study, place, first[row], float(standing[row, first[row]]), None))
        for row, place in enumerate(places.tolist())
    )


def _trial(
    study: _Study, place: int, known: Guess, unknown: Guess | None = None, related: Guess | None = None
) -> Trial:
    sample = study.plan.samples[place]
    return Trial(
        model=study.models[sample.model],
        line=study.line_names[study.lines[sample.model]],
        sample=sample.number,
        known=known,
        unknown=unknown,
        related=related,
    )


def _guess(study: _Study, place: int, candidate: int, standing: float, p: float | None) -> Guess:
    model = int(study.candidates[candidate])
    return Guess(
        model=study.models[model],
        line=study.line_names[study.lines[model]],
        relation=study.lineage.relation(study.models[study.owners[place]], study.models[model]),
        stands_out=standing,
        p=p,
    )


def _open_trials(study: _Study, progress: Progress) -> tuple[Trial, ...]:
    owners = study.owners
    of_sample, of_candidate = study.lines[owners], study.lines[study.candidates]
    everything = np.arange(owners.size)
    known, order = study.scored(everything, left_out=None)
    unknown = np.full(known.shape, -np.inf)
    present = np.unique(of_sample)
    for step, line in enumerate(present):
        here = np.flatnonzero(of_sample == line)
        unknown[here] = study.scored(here, left_out=int(line))[0]
        progress("questioning models as unknown", step + 1, len(present))
    strange = _unrelated(study)[owners]
    strangers = np.where(strange, unknown, -np.inf)
    nulls = _Nulls(strangers, of_sample, of_candidate, strange)
    trials: list[Trial] = []
    for place in np.flatnonzero(np.isin(owners, study.candidates)).tolist():
        first = int(order[place].argmax())
        own_line = of_candidate == of_candidate[first]
        standing = float(known[place, own_line].max())
        trials.append(
            _trial(
                study,
                place,
                _guess(
                    study, place, first, standing, nulls.p(standing, int(of_sample[place]), int(of_candidate[first]))
                ),
                _nearest(study, nulls, place, strangers[place]) if strange[place].any() else None,
                _nearest(study, nulls, place, unknown[place]),
            )
        )
    return tuple(trials)


def _nearest(study: _Study, nulls: "_Nulls", place: int, standing: Doubles) -> Guess | None:
    best = int(standing.argmax())
    if np.isneginf(standing[best]):
        return None
    lines = int(study.lines[study.owners[place]]), int(study.lines[study.candidates[best]])
    return _guess(study, place, best, float(standing[best]), nulls.p(float(standing[best]), *lines))


def _unrelated(study: _Study) -> NDArray[np.bool_]:
    """Which candidates are strangers to which models, as far as is documented; without a lineage all other lines."""
    found: NDArray[np.bool_] = study.lines[:, None] != study.lines[study.candidates][None]
    if study.lineage.edges:
        for model in sorted(study.plan.models):
            for column in np.flatnonzero(found[model]):
                relation = study.lineage.relation(study.models[model], study.models[study.candidates[column]])
                found[model, column] = relation == "unrelated"
    return found


class _Nulls:
    """What strangers reach, without the questioned line and without the candidate's."""

    def __init__(self, strangers: Doubles, of_sample: Ints, of_candidate: Ints, usable: NDArray[np.bool_]) -> None:
        self._strangers, self._of_sample, self._of_candidate = strangers, of_sample, of_candidate
        self._usable = usable
        self._sorted: dict[tuple[int, int], Doubles] = {}

    def p(self, standing: float, questioned: int, candidate: int) -> float | None:
        """Conformal p among samples of yet other lines; None where `LEVEL` cannot be reached."""
        null = self._null(questioned, candidate)
        if null.size + 1 < 1 / LEVEL:
            return None
        return (1 + null.size - int(np.searchsorted(null, standing, "left"))) / (null.size + 1)

    def _null(self, questioned: int, candidate: int) -> Doubles:
        if (questioned, candidate) not in self._sorted:
            rows = (self._of_sample != questioned) & (self._of_sample != candidate)
            columns = self._of_candidate != questioned
            rows &= self._usable[:, columns].any(axis=1)
            self._sorted[questioned, candidate] = np.sort(self._strangers[np.ix_(rows, columns)].max(axis=1))
        return self._sorted[questioned, candidate]
