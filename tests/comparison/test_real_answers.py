"""Real answers of real models: where agreement misleads, nothing may be claimed.

The answers are public and no part of the repository. Each case is described in ``docs/validation-behaviour.md``.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.behaviour.realdata import RealData, read_realdata
from bench.behaviour.safety import Judged, read_judged, safety_pairs
from whorl.comparison.answer_pairs import PairRow, pair_rows
from whorl.comparison.answer_population import build_population
from whorl.comparison.asked import Asked
from whorl.comparison.shared_failures import shared_failures
from whorl.core.behaviour import AskedModel, BehaviourEvidence
from whorl.fingerprints.answer_table import Answer, AnswerTable, answer_tables
from whorl.probes.battery import Battery, Item, Message
from whorl.probes.normalising import normalise

REALDATA = Path(__file__).resolve().parents[3] / "shared" / "realdata"
pytestmark = pytest.mark.skipif(
    not REALDATA.is_dir(), reason="real answers are not in the repository: ../shared/realdata"
)

GUARDED, UNGUARDED = "mistral-7b-instruct-v0.1@guard-prompt", "mistral-7b-instruct-v0.1"
STRANGER, STRANGER_PROMPTED = "llama-2-70b-chat@no-system-prompt", "llama-2-70b-chat@orig-system-prompt"


@pytest.fixture(scope="module")
def data() -> RealData:
    return read_realdata(REALDATA, only=("xstest_v2", "speechmap", "can_ai_code", "humaneval_2023"))


@pytest.fixture(scope="module")
def judged(data: RealData) -> dict[str, Judged]:
    return {one.dataset: one for one in read_judged(data)}


@pytest.fixture(scope="module")
def speechmap_rows(data: RealData) -> list[PairRow]:
    """DeepSeek, GLM and GPT models by a population without DeepSeek's, on every second question."""
    return rows_of(data, "speechmap", asked={"deepseek", "glm", "gpt"}, left_out={"deepseek"}, items=2)


def rows_of(
    data: RealData, dataset: str, *, asked: set[str], left_out: set[str], every: int = 1, items: int = 1
) -> list[PairRow]:
    """`whorl pairs` on the models of some families, by a population of every so many models of the others.

    ``items``: every so many questions.
    """
    table = fewer_items(data.table(dataset), items)
    families = [data.family(model) for model in table.models]
    controls = np.zeros(len(families), bool)
    controls[np.flatnonzero([family not in left_out for family in families])[::every]] = True
    population = build_population([part(table, controls)], data.lineage)
    return list(pair_rows([part(table, np.array([family in asked for family in families]))], population))


def fewer_items(table: AnswerTable, every: int) -> AnswerTable:
    return AnswerTable(
        dataset=table.dataset, models=table.models, items=table.items[::every], answers=table.answers[::every]
    )


def part(table: AnswerTable, kept: np.ndarray) -> AnswerTable:
    models = tuple(model for model, here in zip(table.models, kept, strict=True) if here)
    return AnswerTable(dataset=table.dataset, models=models, items=table.items, answers=table.answers[:, kept])


def guardrail_evidence(data: RealData, judged: Judged, one: str, other: str) -> BehaviourEvidence:
    """What `whorl compare` makes of judged answers, had they been answers to its guardrail family."""
    items = tuple(
        Item(
            id=f"guardrails/{number}",
            family="guardrails",
            stratum="all",
            wrapper="bare",
            messages=(Message(role="user", text="-"),),
            max_tokens=1,
            temperature=0,
            draws=1,
            scorer="guardrail/1",
            key={},
        )
        for number in range(judged.codes.shape[1])
    )
    labels = {
        model: {item.id: (judged.classes[code],) for item, code in zip(items, codes, strict=True) if code >= 0}
        for model, codes in zip(judged.models, judged.codes.tolist(), strict=True)
    }
    related = {data.family(one), data.family(other)}
    controls = {model: found for model, found in labels.items() if data.family(model) not in related}
    battery = Battery(name="judged", seed=0, items=items)
    (evidence,) = shared_failures(asked(one, labels[one]), asked(other, labels[other]), battery, controls)
    return evidence


def asked(name: str, labels: dict[str, tuple[str, ...]]) -> Asked:
    about = AskedModel(
        name=name, transcript="-", address="-", served_models=(), answered=len(labels), asked=len(labels), flags=()
    )
    return Asked(about=about, known_as=None, texts={}, labels=labels)


def ratios(rows: Sequence[PairRow]) -> list[float]:
    return [row.log10_lr for row in rows if row.log10_lr is not None]


def score(rows: Sequence[PairRow], one: str, other: str) -> float:
    (found,) = [row.score_derived for row in rows if {row.model_a, row.model_b} == {one, other}]
    assert found is not None
    return found


def test_a_stranger_under_a_guard_prompt_is_no_relative(data: RealData, judged: dict[str, Judged]) -> None:
    pairs = {frozenset((pair.one, pair.other)): pair for pair in safety_pairs(data, judged["xstest_v2"])}
    stranger, own = pairs[frozenset((GUARDED, STRANGER))], pairs[frozenset((GUARDED, UNGUARDED))]
    # The trap: judged by refusals, the stranger is nearer than the same weights are.
    assert stranger.agreement > own.agreement
    assert stranger.z is not None
    assert own.z is not None
    assert stranger.z > own.z
    evidence = guardrail_evidence(data, judged["xstest_v2"], GUARDED, STRANGER)
    assert (evidence.outcome, evidence.p, evidence.speaks_to) == ("not_testable", None, "description")
    families = {"mistral", "llama-2"}
    rows = rows_of(data, "xstest_v2", asked=families, left_out=families)
    assert ratios(rows) == []
    assert all(row.calibrated_p is None for row in rows)
    related = min(score(rows, GUARDED, UNGUARDED), score(rows, STRANGER, STRANGER_PROMPTED))
    strangers = max(score(rows, one, other) for one in (GUARDED, UNGUARDED) for other in (STRANGER, STRANGER_PROMPTED))
    assert related > strangers


def test_one_regulation_makes_no_relatives(
    data: RealData, judged: dict[str, Judged], speechmap_rows: list[PairRow]
) -> None:
    regulated = {"deepseek", "glm"}
    found = [pair for pair in safety_pairs(data, judged["speechmap"]) if pair.z is not None]
    between = [pair for pair in found if {data.family(pair.one), data.family(pair.other)} == regulated]
    nearest = max(between, key=lambda pair: pair.z or 0.0)
    lost = next(pair for pair in found if {pair.one, pair.other} == {"deepseek-r1", "r1-1776"})
    # The trap: two makers under one regulation fail more alike than a model and its descendant.
    assert nearest.relation == "unrelated"
    assert lost.relation == "derived"
    assert (nearest.z or 0.0) > (lost.z or 0.0)
    evidence = guardrail_evidence(data, judged["speechmap"], nearest.one, nearest.other)
    assert (evidence.outcome, evidence.p, evidence.speaks_to) == ("measured", None, "description")
    assert ratios(speechmap_rows) == []


@pytest.mark.parametrize("descendant", ["r1-1776", "mai-ds-r1"])
def test_guardrails_trained_away_do_not_hide_descent(
    data: RealData, judged: dict[str, Judged], speechmap_rows: list[PairRow], descendant: str
) -> None:
    pairs = safety_pairs(data, judged["speechmap"])
    own = next(pair for pair in pairs if {pair.one, pair.other} == {"deepseek-r1", descendant})
    unrelated = [pair.agreement for pair in pairs if pair.relation == "unrelated"]
    # The trap: by what they refuse, most strangers are nearer to the ancestor's kind than its descendant is.
    assert np.mean([agreement > own.agreement for agreement in unrelated]) > 0.7
    assert guardrail_evidence(data, judged["speechmap"], "deepseek-r1", descendant).speaks_to == "description"
    strangers = [
        row.score_derived
        for row in speechmap_rows
        if data.labels["speechmap", row.model_a, row.model_b] == "unrelated" and row.score_derived is not None
    ]
    assert len(strangers) >= 80  # outside of GPT and GLM only one control is left to measure by: no score
    assert score(speechmap_rows, "deepseek-r1", descendant) > np.quantile(strangers, 0.95)


def test_inline_reasoning_is_taken_off() -> None:
    rows = pq.read_table(REALDATA / "speechmap.parquet", columns=["response", "extra"]).to_pylist()
    heads = [(json.loads(row["extra"]).get("reasoning_head"), row["response"]) for row in rows]
    reasoned = [(head, answer) for head, answer in heads if head]
    assert len(reasoned) == 899
    for head, answer in reasoned:
        assert normalise(f"<think>\n{head}\n</think>\n\n{answer}") == normalise(answer)
    # Bare reasoning is an answer like any other: nobody can know where it ends.
    assert any(normalise(f"{head}\n\n{answer}") != normalise(answer) for head, answer in reasoned)


def test_one_prompt_template_makes_no_relatives(data: RealData) -> None:
    rows = rows_of(data, "can_ai_code", asked={"llama-2", "starcoder"}, left_out={"llama-2", "starcoder"}, every=2)
    told = pq.read_table(REALDATA / "can_ai_code.parquet", columns=["model", "extra"]).to_pylist()
    template = {row["model"]: json.loads(row["extra"])["template"] for row in told}
    p: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        relation = data.labels["can_ai_code", row.model_a, row.model_b]
        if relation == "unrelated" and row.calibrated_p is not None:
            p[template[row.model_a] == template[row.model_b]].append(row.calibrated_p)
    assert max(ratios(rows)) <= 0
    # The trap: strangers asked through one template are nearer than those asked through two.
    assert len(p[True]) >= 20
    assert np.median(p[True]) < np.median(p[False])


def test_templates_of_one_model_are_no_two_models(data: RealData) -> None:
    rows = rows_of(data, "humaneval_2023", asked={"starcoder"}, left_out={"starcoder"})
    assert ratios(rows) == []


def test_attacks_tuned_to_each_model_say_nothing(data: RealData, judged: dict[str, Judged]) -> None:
    pairs = safety_pairs(data, judged["adaptive_attacks"])
    assert {pair.z for pair in pairs} == {None}
    assert {pair.agreement for pair in pairs} == {1.0}


def test_rows_of_the_same_table_in_another_order_score_the_same(data: RealData) -> None:
    path = REALDATA / "xstest_v2.parquet"
    columns = pq.read_table(path, columns=["dataset", "model", "prompt_id", "response"]).to_pylist()
    answers = [Answer(**row) for row in columns]
    (one,), (other,) = answer_tables(answers), answer_tables(reversed(answers))
    assert one.models == other.models
    assert (one.answers == other.answers).all()
