"""Identification tried on simulated tables: who is named, who is not, and what nobody may learn from the split."""

from dataclasses import replace

import numpy as np
import pytest
from mannered_answers import lineage, table

from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.comparison.identification_plan import divide
from whorl.comparison.identification_summary import Summary, has_right_line, has_right_model, summary, trial_rows
from whorl.comparison.identification_trials import LEAST_LINES, TriedTable, try_table
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import AnswerTable


def counted(tried: TriedTable) -> Summary:
    found = summary(tried, np.random.default_rng(0))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def mannered() -> TriedTable:
    return try_table(table(24, 90), lineage(24), enrol=30, probe=6, seed=1)


def test_models_with_habits_are_named_and_accepted_on_prompts_never_seen_of_them(mannered: TriedTable) -> None:
    assert mannered.design == "other_prompts"
    assert len(mannered.trials) == 24 * 10
    found = counted(mannered)
    assert found.right_model.value >= 0.95
    assert found.known_right_model is not None
    assert found.known_right_model.value >= 0.9


def test_strangers_are_hardly_ever_accepted(mannered: TriedTable) -> None:
    found = counted(mannered).unknown_accepted
    assert found is not None
    assert found.trials == 240
    assert found.value <= 0.03


def test_without_habits_nobody_is_named_better_than_by_chance_and_the_answer_is_unknown() -> None:
    tried = try_table(table(24, 60, manner=0.0), lineage(24), enrol=24, probe=6, seed=1)
    found = counted(tried)
    assert found.right_model.value < 0.15  # chance is 1/24
    assert found.known_right_line is not None
    assert found.known_wrong is not None
    assert found.known_right_line.value + found.known_wrong.value <= 0.05


def test_a_line_whose_models_share_nothing_is_not_recognised() -> None:
    # Centring a model's answers on models outside its line would give all of a line the same offset, and give it away.
    tried = try_table(table(24, 60, manner=0.0), lineage(24, a_line=3), enrol=24, probe=6, seed=2)
    assert counted(tried).right_line.value < 0.25  # chance is 3/24


def test_other_draws_of_the_same_prompts_are_questioned_where_there_are_some() -> None:
    tried = try_table(table(12, 60, draws=3), lineage(12), enrol=100, probe=10, seed=3)
    assert tried.design == "same_prompts"
    assert len(tried.trials) == 12 * 5
    assert counted(tried).right_model.value >= 0.95


def test_a_served_variant_is_the_same_model() -> None:
    given = table(10, 60)
    names = tuple(f"m0{place // 2}@v{place % 2}" for place in range(10))
    columns = given.answers[:, [place // 2 for place in range(10)]]
    tried = try_table(replace(given, models=names, answers=columns), Lineage(), enrol=30, probe=10)
    assert all(has_right_model(trial) and has_right_line(trial) for trial in tried.trials)


def test_a_documented_relative_of_another_line_is_no_stranger() -> None:
    copy = table(20, 80)
    answers = copy.answers.copy()
    answers[:, 19] = table(1, 80, first=0, draws=1).answers[:, 0]  # m19 answers as m00 does
    whole = replace(copy, answers=answers)
    apart = lineage(20)
    taught = Lineage(
        edges=(*apart.edges, DocumentedEdge(model="m19", family="f19", base="m00", relation="distilled_from"))
    )
    undocumented, documented = (try_table(whole, known, enrol=30, probe=6, seed=5) for known in (apart, taught))

    def taken(tried: TriedTable, setting: str) -> float:
        guesses = [getattr(trial, setting) for trial in tried.trials if trial.model == "m19"]
        return float(np.mean([guess is not None and guess.model == "m00" and guess.accepted for guess in guesses]))

    assert taken(documented, "unknown") == 0
    assert taken(documented, "related") > 0.5
    assert taken(undocumented, "unknown") > 0.5


def test_controls_are_no_candidates_but_stand_behind_thresholds() -> None:
    ours, controls = table(4, 60), table(20, 60, first=4)
    alone = try_table(ours, lineage(24), enrol=24, probe=6)
    assert alone.open_set_problem is not None
    assert str(LEAST_LINES) in alone.open_set_problem
    tried = try_table(ours, lineage(24), enrol=24, probe=6, controls=controls)
    assert tried.open_set_problem is None
    assert (tried.models, tried.controls) == (4, 20)
    assert {trial.model for trial in tried.trials} == set(ours.models)
    assert {trial.known.model for trial in tried.trials} <= set(ours.models)


def test_the_split_is_the_seeds_and_nothing_elses() -> None:
    given = table(9, 40)
    one, again, other = (try_table(given, lineage(9), enrol=15, probe=5, seed=seed) for seed in (4, 4, 5))
    assert one == again
    assert one != other


def test_samples_are_disjoint_and_never_enrolled() -> None:
    holes = table(8, 50)
    answers = holes.answers.copy()
    answers[np.random.default_rng(0).random(answers.shape) < 0.2] = None
    for given in (replace(holes, answers=answers), table(8, 30, draws=2)):
        plan = divide(given, enrol=12, probe=6, rng=np.random.default_rng(1))
        seen = plan.enrolled.astype(int)
        for sample in plan.samples:
            assert sample.items.size == 6
            seen[sample.items, sample.model] += 1
        assert seen.max() == 1
        assert np.all(given.answered[seen > 0])


def test_other_prompts_are_other_prompts_for_every_model() -> None:
    plan = divide(table(6, 40), enrol=15, probe=5, rng=np.random.default_rng(1))
    for sample in plan.samples:
        known_from = plan.questions[plan.enrolled[:, sample.model]]
        assert not np.isin(plan.questions[sample.items], known_from).any()


def test_too_few_answers_are_said_and_nothing_is_tried() -> None:
    tried = try_table(table(6, 30), lineage(6), enrol=30, probe=10)
    assert tried.trials == ()
    assert tried.left_out == 6
    assert tried.problem is not None
    assert "30 answers to enrol and 10 to question, found 0" in tried.problem
    assert summary(tried, np.random.default_rng(0)) is None


def test_a_table_of_one_single_text_names_nobody() -> None:
    same = table(10, 40)
    answers = np.full(same.answers.shape, "the same for all", dtype=np.object_)
    tried = try_table(replace(same, answers=answers), lineage(10), enrol=15, probe=5)
    assert tried.problem is not None or not any(trial.known.accepted for trial in tried.trials)


def test_a_model_that_always_says_the_same_breaks_nothing() -> None:
    given = table(10, 40)
    answers = given.answers.copy()
    answers[:, 0] = "I cannot help with that."
    tried = try_table(replace(given, answers=answers), lineage(10), enrol=15, probe=5)
    own = [trial for trial in tried.trials if trial.model == "m00"]
    assert all(has_right_model(trial) for trial in own)


def test_more_answers_than_are_read_are_refused() -> None:
    with pytest.raises(InputError, match="enrol on fewer"):
        _try_with_limit(table(6, 40), 100)


def _try_with_limit(given: AnswerTable, limit: int) -> None:
    import whorl.comparison.identification_trials as trials

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "MOST_ANSWERS", limit)
        try_table(given, lineage(6), enrol=15, probe=5)


def test_shares_resample_models_and_never_claim_certainty(mannered: TriedTable) -> None:
    found = counted(mannered)
    for share in (found.right_model, found.unknown_accepted):
        assert share is not None
        assert 0 <= share.lower <= share.value <= share.upper <= 1
        assert share.upper > share.lower
        assert share.models == 24
    sure = replace(mannered, trials=tuple(trial for trial in mannered.trials if has_right_model(trial)))
    assert counted(sure).right_model.lower == pytest.approx(0.8575, abs=1e-3)  # 24 of 24: 0.025 ** (1 / 24)


def test_rows_tell_what_was_said_in_each_setting(mannered: TriedTable) -> None:
    rows = trial_rows(mannered)
    assert len(rows) == len(mannered.trials)
    first, trial = rows[0], mannered.trials[0]
    assert first["model"] == trial.model
    assert first["known_model"] == trial.known.model
    assert first["unknown_accepted"] == (trial.unknown is not None and trial.unknown.accepted)
