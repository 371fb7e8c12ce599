"""Evidence documents: closed, frozen, strict, and never holding a NaN."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from whorl.core.evidence import (
    Conclusion,
    Direction,
    Document,
    EstablishedTransformation,
    EValue,
    Evidence,
    Finding,
    LayerMatch,
    LikelihoodRatio,
    NotComparable,
    Power,
    PValue,
    Relation,
    Score,
    Subject,
)

SUBJECT = Subject(name="Harrow-7B", digest="sha256:00", description="Llama, 32 layers x 4096", access="weights")
P_VALUE = PValue(
    tier="T2",
    method="index_coincidences/1",
    log10_p=-12.5,
    null="the two models are independent",
    assumptions=("every order was equally likely",),
    statistic={"coincidences": 14.0},
    detail="14 neurons",
)
E_VALUE = EValue(
    tier="T2",
    method="index_coincidences/1",
    log10_e=9.1,
    null="the two models are independent",
    assumptions=(),
    statistic={},
    detail="14 neurons",
)
SCORE = Score(
    tier="T3",
    method="two_view_agreement/1",
    value=0.5,
    lower=0.4,
    upper=0.6,
    unrelated_at_most=None,
    statistic={},
    detail="half",
)
RATIO = LikelihoodRatio(
    tier="T3",
    method="population_ratio/1",
    alternative="same_seed",
    log10_lr=-0.5,
    central=-3.9,
    lower=-5.9,
    upper=-1.9,
    caps={"sampling": 1.17, "process": 0.68},
    families=(68, 54),
    population="sha256:00",
    statistic={"contained_structure": 0.5},
    detail="68 families against 54",
)
POWER = Power(
    tier="T5",
    method="simulated_copies/1",
    change="rounded to 3 bits",
    probability=0.9,
    lower=0.7,
    upper=1.0,
    simulated=100,
    statistic={"seen": 90.0},
    detail="90 of 100",
)
NONE = NotComparable(tier="T3", method="head_agreement/1", reason="architecture", detail="no plain heads")
LAYER = LayerMatch(
    questioned=0, reference=None, agreement=0.5, neurons=64, similarity=0.0, coincidences=None, heads=None
)
DIRECTION = Direction(questioned_from_reference=0.9, reference_from_questioned=0.05, common_ancestor=0.05)
CHANGE = EstablishedTransformation(name="fine_tuned", detail="norm gains moved")


def conclusion(relation: Relation) -> Conclusion:
    return Conclusion(
        relation=relation,
        statement="No common weights were found.",
        log10_p=None,
        log10_lr=None,
        direction=DIRECTION,
        direction_reason="none",
        transformations=("fine_tuned",),
    )


def finding(relation: Relation = "derived") -> Finding:
    return Finding(
        schema="whorl.finding/1",
        whorl_version="0.1.0",
        questioned=SUBJECT,
        reference=SUBJECT,
        conclusion=conclusion(relation),
        evidence=(P_VALUE, E_VALUE, SCORE, RATIO, POWER, NONE),
        layers=(LAYER,),
        unmatched_reference_layers=(1,),
        transformations=(CHANGE,),
        limits=("Speaks of weights only.",),
        parameters={"seed": 1, "basis": 0.5, "access": "weights"},
    )


DOCUMENTS: list[Document] = [
    SUBJECT,
    P_VALUE,
    E_VALUE,
    SCORE,
    RATIO,
    POWER,
    NONE,
    LAYER,
    DIRECTION,
    CHANGE,
    conclusion("derived"),
    finding(),
]


def ids(document: Document) -> str:
    return type(document).__name__


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_documents_survive_being_written_and_read(document: Document) -> None:
    assert type(document).model_validate_json(document.model_dump_json()) == document


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_unknown_fields_are_refused(document: Document) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        type(document).model_validate_json(json.dumps({**json.loads(document.model_dump_json()), "guilt": 0.9}))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_documents_cannot_be_changed(document: Document) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(document, next(iter(type(document).model_fields)), "other")


def number_fields() -> list[tuple[Document, str]]:
    """Every field that holds a plain number."""
    return [
        (document, name)
        for document in DOCUMENTS
        for name in type(document).model_fields
        if isinstance(getattr(document, name), float)
    ]


@pytest.mark.parametrize(("document", "field"), number_fields())
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(document: Document, field: str, number: float) -> None:
    values: dict[str, Any] = {name: getattr(document, name) for name in type(document).model_fields}
    with pytest.raises(ValidationError):
        type(document)(**{**values, field: number})


@pytest.mark.parametrize("container", ["statistic", "parameters"])
def test_numbers_inside_tables_are_finite_too(container: str) -> None:
    document: BaseModel = P_VALUE if container == "statistic" else finding()
    values = {name: getattr(document, name) for name in type(document).model_fields}
    with pytest.raises(ValidationError, match="finite"):
        type(document)(**{**values, container: {"x": float("nan")}})


@pytest.mark.parametrize(
    ("document", "change", "complaint"),
    [
        (P_VALUE, {"log10_p": 0.1}, "less_than_equal"),
        (P_VALUE, {"log10_p": "-3"}, "float_type"),
        (P_VALUE, {"tier": "T6"}, "literal_error"),
        (SCORE, {"value": 0.7}, "outside its interval"),
        (SCORE, {"lower": 0.55}, "outside its interval"),
        (RATIO, {"log10_lr": -0.7}, "beyond its caps"),
        (RATIO, {"log10_lr": 0.7}, "beyond its caps"),
        (RATIO, {"caps": {}}, "too_short"),
        (RATIO, {"caps": {"process": 0.4}}, "beyond its caps"),
        (RATIO, {"lower": -1.0}, "outside its interval"),
        (RATIO, {"upper": -4.0}, "outside its interval"),
        (RATIO, {"alternative": "copied"}, "literal_error"),
        (POWER, {"probability": 1.5}, "less_than_equal"),
        (POWER, {"probability": 0.6}, "outside its interval"),
        (POWER, {"simulated": 0}, "greater_than_equal"),
        (NONE, {"reason": "because"}, "literal_error"),
        (LAYER, {"agreement": 1.5}, "less_than_equal"),
        (LAYER, {"neurons": -1}, "greater_than_equal"),
        (LAYER, {"neurons": 1.5}, "int_type"),
        (DIRECTION, {"common_ancestor": -0.1}, "greater_than_equal"),
        (CHANGE, {"name": "stolen"}, "literal_error"),
        (conclusion("derived"), {"relation": "copied"}, "literal_error"),
        (SUBJECT, {"access": "api"}, "literal_error"),
    ],
)
def test_values_outside_their_range_are_refused(document: Document, change: dict[str, Any], complaint: str) -> None:
    values = {name: getattr(document, name) for name in type(document).model_fields}
    with pytest.raises(ValidationError, match=complaint):
        type(document)(**{**values, **change})


@pytest.mark.parametrize(
    "field", ["alternative", "central", "lower", "upper", "caps", "families", "population", "statistic"]
)
def test_a_ratio_cannot_be_stored_without_what_bounds_it(field: str) -> None:
    values = json.loads(RATIO.model_dump_json())
    del values[field]
    with pytest.raises(ValidationError, match=r"missing|Field required"):
        LikelihoodRatio.model_validate_json(json.dumps(values))


@pytest.mark.parametrize("log10_lr", [0.68, 0.0, -0.68])
def test_a_ratio_may_reach_its_nearer_cap_on_either_side(log10_lr: float) -> None:
    values = {**json.loads(RATIO.model_dump_json()), "log10_lr": log10_lr}
    assert LikelihoodRatio.model_validate_json(json.dumps(values)).log10_lr == log10_lr


def test_evidence_is_told_apart_by_its_outcome() -> None:
    reader: TypeAdapter[Evidence] = TypeAdapter(Evidence)
    for evidence in (P_VALUE, E_VALUE, SCORE, RATIO, POWER, NONE):
        assert type(reader.validate_json(evidence.model_dump_json())) is type(evidence)
    with pytest.raises(ValidationError, match="outcome"):
        reader.validate_json('{"outcome": "percentage", "tier": "T3"}')


def test_the_stored_document_says_which_schema_it_follows() -> None:
    stored = json.loads(finding().model_dump_json())
    assert stored["schema"] == "whorl.finding/1"
    with pytest.raises(ValidationError, match="schema"):
        Finding.model_validate_json(json.dumps({**stored, "schema": "whorl.finding/2"}))


@pytest.mark.parametrize(
    ("relation", "code"),
    [("identical", 0), ("derived", 0), ("shared_initialisation", 0), ("none_found", 0), ("inconclusive", 3)],
)
def test_only_an_inconclusive_finding_has_an_exit_code_of_its_own(relation: Relation, code: int) -> None:
    assert finding(relation).exit_code == code
