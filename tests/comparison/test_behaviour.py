"""Four verdicts on simulated endpoints of known descent, and how often they accuse a stranger."""

from dataclasses import replace
from functools import cache

import pytest
from simulated_endpoints import Simulated, answers, asked

from whorl.comparison.answer_population import AnswerPopulation, build_population
from whorl.comparison.answer_sources import dataset_name
from whorl.comparison.behaviour import compare_behaviour
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.core.behaviour import Behaviour
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import answer_tables
from whorl.probes.battery import Battery
from whorl.probes.families import battery

CONTROLS = 52
WITH_CHILDREN = 8
NORTHWIND = Simulated("northwind")


@cache
def questions() -> Battery:
    return battery("quick", 3)


def controls(count: int) -> tuple[list[Simulated], Lineage]:
    models: list[Simulated] = []
    edges: list[DocumentedEdge] = []
    for number in range(count):
        name = f"control-{number:02d}"
        models.append(Simulated(name))
        edges.append(DocumentedEdge(model=name, family=name, base="", relation="same_family"))
        if number < WITH_CHILDREN:
            models += [
                Simulated(f"{name}-ft", base=name, kept=0.85),
                Simulated(f"{name}-student", teacher=name, learned=0.15),
            ]
            edges += [
                DocumentedEdge(model=f"{name}-ft", family=name, base=name, relation="finetune"),
                DocumentedEdge(model=f"{name}-student", family=f"{name}-student", base=name, relation="distilled_from"),
            ]
    return models, Lineage(edges=tuple(edges))


@cache
def population(count: int = CONTROLS) -> AnswerPopulation:
    models, lineage = controls(count)
    tables = answer_tables(answers(models, questions(), dataset_name(questions())))
    return build_population(tables, lineage, batteries=(questions(),))


@cache
def against_northwind(case: str) -> Behaviour:
    models = {
        "twin": Simulated("twin"),
        "fine_tune": Simulated("fine-tune", base="northwind", kept=0.85),
        "student": Simulated("student", teacher="northwind", learned=0.15),
        "prompted": Simulated("northwind-guarded", base="northwind", tilt="pirate"),
        "guarded_stranger": Simulated("stranger", tilt="northwind"),
    }
    reference = asked(NORTHWIND, questions())
    return compare_behaviour(asked(models[case], questions()), reference, questions(), population())


def outcomes(found: Behaviour) -> tuple[str, str, str, str]:
    verdicts = found.verdicts
    return (
        verdicts.endpoint.outcome,
        verdicts.line.outcome,
        verdicts.weights_related.outcome,
        verdicts.learned_from.outcome,
    )


def test_an_independent_model_is_not_accused() -> None:
    *others, learned = outcomes(against_northwind("twin"))
    assert others == ["changed", "unknown", "none_found"]
    assert learned in ("none_of_these", "inconclusive")


def test_a_fine_tune_shares_weights() -> None:
    found = against_northwind("fine_tune")
    assert outcomes(found)[1:] == ("northwind", "supported", "inconclusive")
    assert found.verdicts.weights_related.log10_lr is not None
    assert found.verdicts.weights_related.log10_lr > 0


def test_a_student_points_to_its_teacher_and_not_to_shared_weights() -> None:
    found = against_northwind("student")
    assert found.verdicts.weights_related.outcome != "supported"
    assert found.verdicts.learned_from.outcome == "candidates"
    assert [one.name for one in found.verdicts.learned_from.candidates] == ["northwind"]


def test_a_control_that_is_the_questioned_model_under_another_name_hides_nothing() -> None:
    """Its nearness to the reference is the pair's own, and as a stranger's it would make that one common."""
    fine_tune = Simulated("fine-tune", base="northwind", kept=0.85)
    models, lineage = controls(CONTROLS)
    rows = answers(models, questions(), dataset_name(questions()))
    rows += [replace(row, model="harbour") for row in answers([fine_tune], questions(), dataset_name(questions()))]
    with_itself = build_population(answer_tables(rows), lineage, batteries=(questions(),))
    found = compare_behaviour(asked(fine_tune, questions()), asked(NORTHWIND, questions()), questions(), with_itself)
    assert outcomes(found)[2] == "supported"
    assert found.verdicts.weights_related.p == against_northwind("fine_tune").verdicts.weights_related.p
    assert found.population == against_northwind("fine_tune").population.model_copy(
        update={"digest": with_itself.digest}
    )
    assert ["under the name harbour" in warning for warning in found.warnings] == [True]
    assert against_northwind("fine_tune").warnings == ()


def test_a_system_prompt_changes_the_endpoint_and_not_the_weights() -> None:
    endpoint, _, weights, _ = outcomes(against_northwind("prompted"))
    assert (endpoint, weights) == ("changed", "supported")


def test_the_same_guardrails_on_a_stranger_support_nothing() -> None:
    """The trap for ever: refusals agree item by item because both follow one rule."""
    found = against_northwind("guarded_stranger")
    failures = next(one for one in found.evidence if one.family == "safety failures")
    assert failures.outcome == "measured"
    assert failures.speaks_to == "description"
    assert failures.value is not None
    assert failures.value > 2
    assert found.verdicts.weights_related.outcome != "supported"
    assert found.verdicts.line.outcome == "unknown"


def test_asked_twice_the_same_endpoint_shows_no_difference_and_says_what_would_have() -> None:
    reference = asked(NORTHWIND, questions())
    verdict = compare_behaviour(
        asked(NORTHWIND, questions(), salt="again"), reference, questions(), population(), task="check_api"
    ).verdicts.endpoint
    assert verdict.outcome == "same"
    assert verdict.power is not None
    assert verdict.power > 0.9
    assert "a swap to a model of another line would have been seen with probability" in verdict.reason


def test_strangers_are_hardly_ever_accused() -> None:
    """5 strangers against one reference: no claim of shared weights, hardly one of a line or a teacher."""
    reference = asked(NORTHWIND, questions())
    found = [
        compare_behaviour(asked(Simulated(f"stranger-{number}"), questions()), reference, questions(), population())
        for number in range(5)
    ]
    assert sum(one.verdicts.weights_related.outcome == "supported" for one in found) == 0
    assert sum(one.verdicts.line.outcome != "unknown" for one in found) <= 1
    assert sum(one.verdicts.learned_from.outcome == "candidates" for one in found) <= 1


def test_controls_of_one_jurisdiction_that_stand_as_near_explain_the_agreement() -> None:
    """Regulation makes unrelated models alike; a pair must pass its own jurisdiction's models, however few."""
    models, lineage = controls(CONTROLS)
    cousins = [Simulated(f"cousin-{number}", base="northwind", kept=0.85) for number in range(2)]
    edges = [DocumentedEdge(model=one.name, family=one.name, base="", relation="same_family") for one in cousins]
    places = [(one.name, "jurisdiction", "Atlantis") for one in cousins] + [("northwind", "jurisdiction", "Atlantis")]
    tables = answer_tables(answers([*models, *cousins], questions(), dataset_name(questions())))
    regulated = build_population(tables, Lineage(edges=(*lineage.edges, *edges), circumstances=tuple(places)))
    questioned = asked(Simulated("suspect", base="northwind", kept=0.8), questions())
    found = compare_behaviour(questioned, asked(NORTHWIND, questions(), known_as="northwind"), questions(), regulated)
    assert found.verdicts.weights_related.outcome != "supported"


def test_a_known_line_is_found_and_a_stranger_stays_unknown() -> None:
    known = Simulated("served-anonymously", base="control-03", kept=0.8)
    found = compare_behaviour(asked(known, questions()), None, questions(), population(), task="identify")
    assert found.verdicts.line.outcome == "control-03"
    stranger = asked(Simulated("somebody"), questions())
    unknown = compare_behaviour(stranger, None, questions(), population(), task="identify")
    assert unknown.verdicts.line.outcome == "unknown"
    assert unknown.exit_code == 0


def test_below_fifty_controls_there_is_no_lineage_statement() -> None:
    reference = asked(NORTHWIND, questions())
    questioned = asked(Simulated("fine-tune", base="northwind", kept=0.85), questions())
    found = compare_behaviour(questioned, reference, questions(), population(24))
    assert found.verdicts.weights_related.outcome == "inconclusive"
    assert found.verdicts.weights_related.log10_lr is None
    assert "no lineage statement rests on fewer than 50" in found.verdicts.weights_related.reason


def test_without_a_population_only_a_difference_can_be_shown() -> None:
    reference = asked(NORTHWIND, questions())
    found = compare_behaviour(asked(Simulated("twin"), questions()), reference, questions(), None)
    assert outcomes(found) == ("changed", "inconclusive", "inconclusive", "inconclusive")
    same = compare_behaviour(asked(NORTHWIND, questions(), salt="again"), reference, questions(), None)
    assert same.verdicts.endpoint.outcome == "inconclusive"
    assert same.exit_code == 3


def test_a_population_of_other_questions_is_refused() -> None:
    other = battery("quick", 4)
    with pytest.raises(InputError, match="no answers to the battery"):
        compare_behaviour(asked(NORTHWIND, other), None, other, population())


def test_the_document_keeps_the_four_verdicts_apart_under_their_names() -> None:
    document = against_northwind("twin").model_dump(mode="json")
    assert document["schema"] == "whorl.behaviour/1"
    assert list(document["verdicts"]) == ["endpoint", "line", "weights-related", "learned-from"]
    assert all(verdict["reason"] for verdict in document["verdicts"].values())
    assert Behaviour.model_validate_json(against_northwind("twin").model_dump_json()) == against_northwind("twin")


def test_an_endpoint_that_answered_half_says_so_and_is_compared_on_that() -> None:
    whole = asked(Simulated("fine-tune", base="northwind", kept=0.85), questions())
    half = {item: texts for place, (item, texts) in enumerate(whole.texts.items()) if place % 2}
    about = whole.about.model_copy(update={"answered": sum(map(len, half.values()))})
    partial = type(whole)(
        about=about,
        known_as=None,
        texts=half,
        labels={item: whole.labels[item] for item in half if item in whole.labels},
    )
    found = compare_behaviour(partial, asked(NORTHWIND, questions()), questions(), population())
    assert any("questions were answered" in limit for limit in found.limits)


def test_answers_that_hardly_repeat_reassure_nobody() -> None:
    """Two models that draw from everything look the same; the controls, which do not, would vouch for them."""
    noisy = []
    for salt in ("one", "other"):
        given = asked(NORTHWIND, questions(), salt=salt)
        labels = {
            item.id: tuple(f"{salt}-{item.id}-{draw}" for draw in range(item.draws))
            if item.family == "low_entropy"
            else given.labels.get(item.id, ())
            for item in questions().items
        }
        noisy.append(type(given)(about=given.about, known_as=None, texts=given.texts, labels=labels))
    verdict = compare_behaviour(noisy[0], noisy[1], questions(), population(), task="check_api").verdicts.endpoint
    assert verdict.outcome == "inconclusive"
    assert "answers hardly repeat" in verdict.reason
