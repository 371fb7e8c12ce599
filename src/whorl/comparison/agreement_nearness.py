"""How near samples come to enrolled models by agreement on the very same prompts."""

from collections.abc import Sequence

import numpy as np

from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_scores import score_pairs
from whorl.comparison.documented_lineage import Lineage
from whorl.comparison.identification_plan import Plan, Sample
from whorl.comparison.style_scores import Nearness
from whorl.core.arrays import AnyArray, Doubles, Ints
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable


def agreement_nearness(
    table: AnswerTable,
    plan: Plan,
    lines: Ints,
    lineage: Lineage,
    *,
    progress: Progress = silent,
) -> Nearness:
    """Score the samples of a ``same_prompts`` plan against one enrolled draw of every model.

    A second enrolled draw, where there is one, is a sample of the cohort. What everybody says is learned from models of
    other lines than the sample's.

    Returns
    -------
    candidates are all models of the table; NaN where the two have too few prompts in common
    """
    together: dict[bytes, list[int]] = {}
    for place, sample in enumerate(plan.samples):
        together.setdefault(np.sort(plan.questions[sample.items]).tobytes(), []).append(place)
    samples = np.full((len(plan.samples), len(table.models)), np.nan)
    cohort: list[Doubles] = []
    cohort_of: list[int] = []
    for step, here in enumerate(together.values()):
        prompts = np.unique(plan.questions[plan.samples[here[0]].items])
        first, second = _enrolled_draws(table, plan, prompts)
        for line in np.unique(lines[[plan.samples[place].model for place in here]]):
            ours = [place for place in here if lines[plan.samples[place].model] == line]
            again = np.flatnonzero((lines == line) & np.any(second != None, axis=0))  # noqa: E711  elementwise
            columns = [_answers(table, plan, plan.samples[place], prompts) for place in ours]
            owners = [plan.samples[place].model for place in ours] + again.tolist()
            scores = _against_enrolled(table, first, [*columns, *second[:, again].T], owners, lines != line, lineage)
            samples[ours] = scores[: len(ours)]
            cohort.extend(scores[len(ours) :])
            cohort_of.extend(again.tolist())
        progress(f"comparing answers of {table.dataset}", step + 1, len(together))
    rows = np.array(cohort, np.float64).reshape(len(cohort), len(table.models))
    of = np.array(cohort_of, np.int64)
    return Nearness(samples=samples, cohort=rows, cohort_of=of, own=rows[np.arange(len(of)), of])


def _enrolled_draws(table: AnswerTable, plan: Plan, prompts: Ints) -> tuple[AnyArray, AnyArray]:
    """The first two enrolled answers of every model to some prompts, two of shape (prompts, models)."""
    found = np.full((2, prompts.size, len(table.models)), None, dtype=np.object_)
    for place, prompt in enumerate(prompts):
        seen = np.zeros(len(table.models), np.int64)
        for row in np.flatnonzero(plan.questions == prompt):
            for model in np.flatnonzero(plan.enrolled[row] & (seen < 2)):
                found[seen[model], place, model] = table.answers[row, model]
                seen[model] += 1
    return found[0], found[1]


def _answers(table: AnswerTable, plan: Plan, sample: Sample, prompts: Ints) -> AnyArray:
    found = np.full(prompts.size, None, dtype=np.object_)
    found[np.searchsorted(prompts, plan.questions[sample.items])] = table.answers[sample.items, sample.model]
    return found


def _against_enrolled(
    table: AnswerTable,
    enrolled: AnyArray,
    columns: Sequence[AnyArray],
    owners: Sequence[int],
    reference: AnyArray,
    lineage: Lineage,
) -> Doubles:
    """Scores of further columns of answers against the enrolled ones, shape (columns, models)."""
    size = len(table.models)
    longest = max(map(len, table.models))
    names = [f"{place}".rjust(longest + 1) for place in range(len(columns))]  # longer than any model's name
    whole = AnswerTable(
        dataset=table.dataset,
        models=(*table.models, *names),
        items=tuple(str(place) for place in range(len(enrolled))),
        answers=np.column_stack([enrolled, *columns]),
    )
    known_as = {name: table.models[owner] for name, owner in zip(names, owners, strict=True)}
    found = agreement(
        whole,
        np.concatenate([reference, np.zeros(len(columns), bool)]),
        groups_of(whole.models, lineage, known_as=known_as),
    )
    return np.asarray(score_pairs(found, lineage, known_as=known_as).scores["same_weights"][size:, :size])
