"""Exports: what each says of a case, that none says more than its opinion, and what foreign readers ask of them."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from graph_shapes import faults, references
from hypothesis import given
from hypothesis import strategies as st
from small_case import POPULATION, Steps, candidates, key_of, plan
from typer.testing import CliRunner

from whorl.cases import casework
from whorl.cases.erasing import expunge, named_exhibits
from whorl.cases.exports.bill_of_materials import bill_of_materials
from whorl.cases.exports.case_graph import COMMITMENT, RECORD_HASH, case_graph
from whorl.cases.exports.declaration import (
    Declaration,
    DeclaredDependency,
    DeclaredRelation,
    parse_declaration,
    read_declaration,
)
from whorl.cases.exports.discrepancies import Comparison, compared
from whorl.cases.exports.exporting import FORMATS, export, json_bytes
from whorl.cases.exports.model_form import ModelForm, model_form
from whorl.cases.exports.standing import Standing, not_excluded, standing_of, support_of
from whorl.cases.opining import issue
from whorl.cli.case_export import export as export_command
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.events import Acquired, Treatment
from whorl.dossiers.layout import place_of
from whorl.dossiers.opinion import Remarks, Weighed
from whorl.dossiers.texts import texts_of
from whorl.dossiers.wording import wording_faults

LIMIT = "Both models are small."
HOSTILE = '"};<script>alert(1)</script> ../../урн:стран %s {0} =cmd|x'
OTHER = f"sha256:{'9' * 64}"


@dataclass
class Narrowed(Steps):
    """A case whose protocol tests these alternatives."""

    tested: tuple[str, ...] = ("independent", "same_seed")

    def freeze(self) -> Any:
        treatments = tuple(
            Treatment(
                alternative=one.alternative, tested=one.alternative in self.tested, how="fingerprint_comparison/1"
            )
            for one in plan().treatments
        )
        planned = plan().model_copy(update={"treatments": treatments})
        return casework.freeze(
            self.case, plan=planned, candidates=self.candidates, populations=[POPULATION], key=key_of("manager")
        )

    def opine(self) -> Any:
        return issue(self.case, key_of("analyst"), remarks=Remarks(limitations=(LIMIT,)))


CASES: Mapping[str, tuple[dict[str, Any], str]] = {
    "supported": ({"tested": ("independent",)}, "close"),
    "shared": ({"tested": ("independent", "common_ancestor")}, "opine"),
    "inconclusive": ({"candidates": candidates(questioned="sibling")}, "opine"),
    "against": ({"tested": ("independent",), "candidates": candidates(questioned="twin", decoy="student")}, "opine"),
    "void": ({"candidates": candidates(positive="twin", decoy="student")}, "unblind"),
    "hostile": ({}, "unblind"),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Narrowed]:
    """A case by name, led once; do not write to it."""
    folder = tmp_path_factory.mktemp("exports")
    made: dict[str, Narrowed] = {}

    def case(name: str) -> Narrowed:
        if name not in made:
            given_facts, last = CASES[name]
            steps = Narrowed(folder / name, **given_facts)
            if name == "hostile":
                stated = candidates()
                named = stated.questioned.model_copy(update={"name": HOSTILE})
                steps = Narrowed(folder / name, candidates=stated.model_copy(update={"questioned": named}))
            steps.until(last)
            made[name] = steps
        return made[name]

    return case


@pytest.fixture(scope="module")
def standing(cases: Callable[[str], Narrowed]) -> Callable[[str], Standing]:
    made: dict[str, Standing] = {}

    def of(name: str) -> Standing:
        if name not in made:
            made[name] = standing_of(cases(name).case)
        return made[name]

    return of


Cases = Callable[[str], Narrowed]
Standings = Callable[[str], Standing]


def declared(*dependencies: DeclaredDependency, model: str = "suspect", **facts: Any) -> Declaration:
    return Declaration(model=model, dependencies=dependencies, **facts)


def on(of: str, relation: DeclaredRelation = "finetune", content: str | None = None) -> DeclaredDependency:
    return DeclaredDependency(relation=relation, of=of, content=content)


def all_weighed(standing: Standing) -> Standing:
    """The same as if every way to share weights had been weighed, with the ratio against independent training."""
    opinion = standing.opinion
    assert opinion is not None
    weighed = next(one for one in opinion.treated if isinstance(one, Weighed) and one.alternative == "independent")
    treated = tuple(
        weighed.model_copy(update={"alternative": one.alternative})
        if one.alternative in ("common_ancestor", "reverse_direction")
        else one
        for one in opinion.treated
    )
    changed = opinion.model_copy(update={"treated": treated, "verdict": "supports_claim"})
    return dataclasses.replace(standing, opinion=changed)


# What may be said


@pytest.mark.parametrize(
    ("name", "verdict", "support"),
    [
        ("supported", "supports_shared_weights", "shared_weights"),
        ("shared", "supports_shared_weights", "shared_weights"),
        ("inconclusive", "inconclusive", None),
        ("against", "supports_alternative", None),
    ],
)
def test_what_an_opinion_lets_an_export_say(standing: Standings, name: str, verdict: str, support: str | None) -> None:
    opinion = standing(name).opinion
    assert opinion is not None
    assert (opinion.verdict, support_of(opinion)) == (verdict, support)


def test_descent_needs_a_ratio_against_every_other_way_to_share_weights(standing: Standings) -> None:
    whole = all_weighed(standing("supported")).opinion
    assert whole is not None
    assert support_of(whole) == "descent"
    for missing in ("common_ancestor", "reverse_direction"):
        treated = tuple(
            before if before.alternative == missing else after
            for before, after in zip(standing("supported").opinion.treated, whole.treated, strict=True)  # type: ignore[union-attr]
        )
        part = whole.model_copy(update={"treated": treated})
        assert missing in not_excluded(part)
        assert support_of(part) == "shared_weights"


def test_findings_on_weights_support_no_learning_from_answers(standing: Standings) -> None:
    opinion = standing("supported").opinion
    assert opinion is not None
    claimed = opinion.model_copy(update={"claim": "learned_from", "verdict": "supports_claim"})
    assert support_of(claimed) is None
    asked = tuple(one.model_copy(update={"group": "behaviour"}) for one in claimed.findings)
    assert support_of(claimed.model_copy(update={"findings": asked})) == "learning"


def test_without_an_opinion_in_force_nothing_is_said(cases: Cases, standing: Standings, tmp_path: Path) -> None:
    assert standing("void").withheld == (
        "The run is void: a control did not come out as it must, and no ratio of it counts."
    )
    assert standing("hostile").withheld == "No opinion is in force."
    steps = Narrowed(shutil.copytree(cases("supported").path, tmp_path / "case"), clock=cases("supported").clock)
    casework.appeal(steps.case, key_of("respondent"), grounds=["method"], text="The population has no such model.")
    casework.decide(steps.case, key_of("appeal_reviewer"), result="annulled", reasons="It has none.")
    annulled = standing_of(steps.case)
    assert (annulled.opinion, annulled.withheld) == (
        None,
        "An appeal annulled the opinion, and no other was issued.",
    )
    assert model_form(annulled, declared()).lineage.declared_against_found == ()


def test_an_opinion_that_does_not_follow_from_the_findings_is_not_exported(cases: Cases, tmp_path: Path) -> None:
    steps = Narrowed(tmp_path / "case", tested=("independent",))
    steps.until("review")
    forged = standing_of(cases("shared").case).opinion
    assert forged is not None
    mine = forged.model_copy(update={"case": steps.case.read().id})
    assert mine.headline is not None
    casework.opine(
        steps.case, mine.model_dump_json().encode(), key_of("analyst"), headline_log10=mine.headline.log10_lr
    )
    for form in ("eu-form", "cyclonedx"):
        with pytest.raises(VerificationError, match="expected the opinion that follows from the findings"):
            export(steps.case, form)  # type: ignore[arg-type]


def test_an_opinion_is_withheld_where_what_it_rests_on_was_erased(cases: Cases, tmp_path: Path) -> None:
    steps = Narrowed(shutil.copytree(cases("supported").path, tmp_path / "case"), clock=cases("supported").clock)
    answer = next(event.record.sequence for event in steps.case.read().events if event.record.kind == "responded")
    expunge(steps.case, key_of("manager"), ground="court_order", events=[answer])
    withheld = standing_of(steps.case)
    assert withheld.opinion is None
    assert "erased" in str(withheld.withheld)
    form = model_form(withheld, declared(on("base")))
    assert form.lineage.found_reason == withheld.withheld
    assert only(form.lineage.declared_against_found or ()).status == "not_testable"
    assert "pedigree" not in bill_of_materials(withheld)["metadata"]["component"]


def test_a_missing_finding_stops_the_export(cases: Cases, tmp_path: Path) -> None:
    steps = Narrowed(shutil.copytree(cases("supported").path, tmp_path / "case"), clock=cases("supported").clock)
    gone = steps.case.read().state.analysed[0].document
    assert steps.case.store.keep_only(named_exhibits(steps.case.read()) - {gone}) == (gone,)
    with pytest.raises(InputError, match="expected the exhibit"):
        export(steps.case, "eu-form")


def test_a_case_that_is_not_unblinded_names_no_models(tmp_path: Path) -> None:
    steps = Narrowed(tmp_path / "case")
    steps.until("freeze")
    for form in ("eu-form", "cyclonedx"):
        with pytest.raises(InputError, match="export it after `whorl case unblind`"):
            export(steps.case, form)  # type: ignore[arg-type]
    assert b"known copy" not in export(steps.case, "case-jsonld")


# The EU's form


def fields(form: ModelForm) -> dict[str, Any]:
    return {one.number: one for one in form.fields}


def test_the_form_says_what_it_cannot_know(standing: Standings) -> None:
    form = model_form(standing("supported"), None)
    assert list(fields(form)) == ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]
    assert fields(form)["1.2"].value == "suspect"
    assert fields(form)["1.3"].value == standing("supported").questioned.digest
    for number in ("1.1", "1.4", "1.5", "1.6"):
        field = fields(form)[number]
        assert (field.value, field.source) == (None, None)
        assert field.note.startswith("Only the provider knows this")
    assert form.lineage.declared_against_found is None
    assert form.lineage.not_compared is not None
    assert form.lineage.limitations == (LIMIT,)


def test_what_is_declared_is_repeated_and_nothing_found_stands_in_the_form(standing: Standings) -> None:
    declaration = declared(
        on("Fern-1B"), provider="Meridian AI", released="2026-02-01T00:00:00Z", union_released="2026-03-01T00:00:00Z"
    )
    form = model_form(standing("supported"), declaration)
    values = {number: (field.value, field.source) for number, field in fields(form).items()}
    assert values["1.1"] == ("Meridian AI", "declaration")
    assert values["1.4"] == ("2026-02-01T00:00:00Z", "declaration")
    assert values["1.5"] == ("2026-03-01T00:00:00Z", "declaration")
    assert values["1.6"] == (("Fern-1B",), "declaration")


def test_a_model_without_a_digest_has_none_in_the_form(standing: Standings) -> None:
    bare = standing("supported").questioned.model_copy(update={"digest": None})
    field = fields(model_form(dataclasses.replace(standing("supported"), questioned=bare), None))["1.3"]
    assert (field.value, field.source) == (None, None)
    assert "no digest" in field.note


def only(rows: tuple[Comparison, ...]) -> Comparison:
    (row,) = rows
    return row


def test_a_declared_dependency_that_the_findings_support(standing: Standings) -> None:
    reference = standing("supported").reference
    for one in (on("BASE"), on("Harrow", content=reference.digest), on("base", "quantised", reference.digest)):
        row = only(compared(declared(one), standing("supported")))
        assert row.status == "consistent"
        assert row.found is not None
        assert row.found.ratio.bounded > 0


def test_a_declared_dependency_that_the_findings_do_not_support(standing: Standings) -> None:
    row = only(compared(declared(on("base"), model="twin"), standing("against")))
    assert (row.status, row.found) == ("declared_not_supported", None)
    assert "may know what the findings cannot show" in row.text


@pytest.mark.parametrize("name", ["inconclusive", "void", "hostile"])
def test_no_answer_is_no_discrepancy(standing: Standings, name: str) -> None:
    assert compared(declared(), standing(name)) == ()
    row = only(compared(declared(on("base")), standing(name)))
    assert (row.status, row.found) == ("not_testable", None)


def test_a_found_dependency_that_is_not_declared(standing: Standings) -> None:
    row = only(compared(declared(), standing("shared")))
    assert (row.dependency, row.declared, row.status) == ("base", None, "found_not_declared")
    assert row.text.startswith("Findings that the declaration does not mention.")
    assert row.found is not None
    opinion = standing("shared").opinion
    assert opinion is not None
    assert opinion.shared_weights is not None
    assert (row.found.ratio.against, row.found.ratio.bounded) == ("same_seed", opinion.shared_weights.log10_lr)
    assert row.found.ratio.bounded <= min(row.found.ratio.caps.values()) < row.found.ratio.lower
    assert "common_ancestor" in row.found.not_excluded


def test_a_declared_model_that_was_not_compared_is_an_explanation(standing: Standings) -> None:
    untested, found = compared(declared(on("Fern-1B")), standing("shared"))
    assert (untested.status, untested.matched_by) == ("not_testable", None)
    assert "may be an ancestor of both" in found.text
    assert "told apart by name alone" in found.text
    _, by_digest = compared(declared(on("Fern-1B", content=OTHER)), standing("shared"))
    assert "told apart by name alone" not in by_digest.text


def test_another_version_of_the_same_name_is_mentioned_and_not_tested(standing: Standings) -> None:
    row = only(compared(declared(on("base", content=OTHER)), standing("shared")))
    assert (row.status, row.matched_by) == ("not_testable", "name_of_other_digest")


def test_a_teacher_is_no_source_of_weights(standing: Standings) -> None:
    teacher, found = compared(declared(on("base", "distilled")), standing("shared"))
    assert teacher.status == "not_testable"
    assert found.status == "found_not_declared"
    assert "in another relation" in found.text
    assert (
        only(compared(declared(on("base", "trained_on"), model="twin"), standing("against"))).status == "not_testable"
    )


def test_the_declaration_must_be_of_the_questioned_model(standing: Standings) -> None:
    whole = standing("supported")
    for wrong in (declared(model="base"), declared(content=OTHER)):
        with pytest.raises(InputError, match="expected a declaration about the questioned model 'suspect'"):
            model_form(whole, wrong)
    right = declared(model="Lark, as its maker calls it", content=whole.questioned.digest)
    assert fields(model_form(whole, right))["1.2"].value == "suspect"


def test_a_registered_entry_is_a_declaration(tmp_path: Path) -> None:
    entry = {
        "publisher": "Meridian AI",
        "name": "suspect",
        "released": "2026-02-01T00:00:00Z",
        "declared": [{"relation": "finetune", "of": "base", "entry": None}],
    }
    file = tmp_path / "entry.json"
    file.write_text(json.dumps(entry))
    read = read_declaration(file)
    assert (read.model, read.provider, read.released) == ("suspect", None, "2026-02-01T00:00:00Z")
    assert read.dependencies == (on("base"),)
    own = {"schema": "whorl.declared-lineage/1", "model": "suspect", "dependencies": []}
    assert parse_declaration(json.dumps(own).encode(), what="declaration") == declared()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": "whorl.declared-lineage/2", "model": "x", "dependencies": []}', "schema"),
        ('{"schema": "whorl.declared-lineage/1", "model": "x"}', "dependencies"),
        ('{"name": "x"}', "publisher"),
        ('{"schema": "whorl.declared-lineage/1", "model": "x\\u202e", "dependencies": []}', "model"),
        ("[]", "JSON object"),
        ("{", "JSON"),
    ],
)
def test_what_is_no_declaration(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_declaration(text.encode(), what="declaration")


STATED = st.builds(
    DeclaredDependency,
    relation=st.sampled_from(["finetune", "adapter", "merge", "quantised", "distilled", "trained_on"]),
    of=st.sampled_from(["base", "Base", "Fern-1B", "base.gguf"]),
    content=st.sampled_from([None, OTHER]),
)


@given(
    name=st.sampled_from(sorted(CASES)),
    dependencies=st.lists(STATED, max_size=4),
    claim=st.sampled_from(["derived", "learned_from"]),
)
def test_every_comparison_is_fairly_worded_and_nothing_is_found_without_support(
    standing: Standings, name: str, dependencies: list[DeclaredDependency], claim: str
) -> None:
    whole = standing(name)
    if whole.opinion is not None:
        whole = dataclasses.replace(whole, opinion=whole.opinion.model_copy(update={"claim": claim}))
    rows = compared(declared(*dependencies), whole)
    support = None if whole.opinion is None else support_of(whole.opinion)
    assert [row.dependency for row in rows][: len(dependencies)] == [one.of for one in dependencies]
    assert len(rows) <= len(dependencies) + (support is not None)
    for row in rows:
        assert not wording_faults(row.text)
        if support is None:
            assert row.status in ("not_testable", "declared_not_supported")
            assert row.found is None


@pytest.mark.parametrize("name", sorted(set(CASES) - {"hostile"}))
def test_every_text_of_the_form_is_fairly_worded(standing: Standings, name: str) -> None:
    whole = standing(name)
    form = model_form(whole, declared(on("base"), on("Fern-1B"), model=whole.questioned.name))
    for text in texts_of(form.model_dump(mode="json")):
        assert not wording_faults(text), text


# CycloneDX


def problems(document: Mapping[str, Any]) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_bill_of_materials_meets_the_schema(standing: Standings, name: str) -> None:
    document = bill_of_materials(standing(name))
    assert problems(document) is None
    assert problems(document | {"version": 0}) is not None  # the validator does look
    component = document["metadata"]["component"]
    assert component["type"] == "machine-learning-model"
    digest = standing(name).questioned.digest
    assert component["hashes"] == [{"alg": "SHA-256", "content": str(digest).removeprefix("sha256:")}]


def properties(document: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in document["metadata"]["component"]["properties"]:
        found.setdefault(one["name"], []).append(one["value"])
    return found


def test_a_pedigree_says_as_much_as_the_opinion_supports(standing: Standings) -> None:
    for name in ("supported", "shared"):
        document = bill_of_materials(standing(name))
        pedigree = document["metadata"]["component"]["pedigree"]
        assert set(pedigree) == {"variants", "notes"}
        assert pedigree["variants"][0]["name"] == "base"
        assert "does not state how anybody obtained anything" in pedigree["notes"]
        assert "Not excluded: common ancestor" in pedigree["notes"]
        assert not wording_faults(pedigree["notes"])
        notes = properties(document)
        assert {"common_ancestor", "reverse_direction"} <= set(notes["whorl:not-excluded"])
        assert notes["whorl:limit"] == [LIMIT]
        assert float(notes["whorl:log10-cap-process"][0]) >= float(notes["whorl:log10-ratio-bounded"][0]) > 0
    whole = bill_of_materials(all_weighed(standing("supported")))
    assert set(whole["metadata"]["component"]["pedigree"]) == {"ancestors", "notes"}
    assert problems(whole) is None


@pytest.mark.parametrize("name", ["inconclusive", "against", "void"])
def test_no_pedigree_and_no_name_of_another_model_without_support(standing: Standings, name: str) -> None:
    document = bill_of_materials(standing(name))
    assert "pedigree" not in document["metadata"]["component"]
    reference = standing(name).reference
    assert reference.digest is not None
    text = json.dumps(document)
    assert '"base"' not in text
    assert reference.digest.removeprefix("sha256:") not in text
    assert not any("ratio" in one for one in properties(document))
    assert len(properties(document)["whorl:pedigree-withheld"]) == 1


def test_learning_from_answers_is_no_pedigree(standing: Standings) -> None:
    opinion = standing("supported").opinion
    assert opinion is not None
    asked = tuple(one.model_copy(update={"group": "behaviour"}) for one in opinion.findings)
    changed = opinion.model_copy(update={"claim": "learned_from", "verdict": "supports_claim", "findings": asked})
    document = bill_of_materials(dataclasses.replace(standing("supported"), opinion=changed))
    assert "pedigree" not in document["metadata"]["component"]
    assert properties(document)["whorl:supported"] == ["learning"]
    assert problems(document) is None


# CASE/UCO: the shapes are in graph_shapes.py


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_graph_has_the_shape_that_the_ontologies_ask_for(cases: Cases, name: str) -> None:
    document = case_graph(cases(name).case.read())
    assert faults(document) == []


def test_the_shape_test_sees_faults(cases: Cases) -> None:
    document = case_graph(cases("void").case.read())
    cut = {**document, "@graph": document["@graph"][:-1]}
    assert faults(cut)
    for node in document["@graph"]:
        if node["@type"] == "uco-types:Hash":
            node["uco-types:hashValue"] = "00"
            break
    with pytest.raises((TypeError, KeyError)):
        faults(document)


def test_every_event_is_an_action_with_who_when_what_and_its_hashes(cases: Cases) -> None:
    view = cases("supported").case.read()
    nodes = {node["@id"]: node for node in case_graph(view)["@graph"]}
    actions = [nodes[f"urn:whorl:record:{event.record.hash.hex()}"] for event in view.events]
    assert len(actions) == sum(node["@type"] == "case-investigation:InvestigativeAction" for node in nodes.values())
    for event, action, before in zip(view.events, actions, [None, *actions[:-1]], strict=True):
        performer = nodes[action["uco-action:performer"]["@id"]]
        assert performer["uco-core:name"] == view.state.parties[event.record.actor].name
        role = nodes[nodes[f"{performer['@id']}:role"]["uco-core:target"]["@id"]]
        assert role["uco-core:name"] == view.state.parties[event.record.actor].role
        assert action["uco-core:objectCreatedTime"]["@value"] == event.record.at
        assert list(references(action.get("case-investigation:wasInformedBy", []))) == (
            [] if before is None else [before["@id"]]
        )
        hashes = {
            node["uco-types:hashMethod"]: node["uco-types:hashValue"]["@value"] for node in _hashes(nodes, action)
        }
        assert hashes[RECORD_HASH] == event.record.hash.hex().upper()
        assert hashes[COMMITMENT] == event.record.commitment.upper()


def _hashes(nodes: Mapping[str, Any], action: Mapping[str, Any]) -> list[Any]:
    (record,) = references(action["uco-action:result"])
    left = [nodes[name] for name in references(nodes[record]["uco-core:object"])]
    facets = [nodes[name] for one in left for name in references(one["uco-core:hasFacet"])]
    return [nodes[name] for facet in facets for name in references(facet["uco-observable:hash"])]


def test_an_analysis_names_its_method_and_its_exhibits(cases: Cases) -> None:
    view = cases("supported").case.read()
    nodes = {node["@id"]: node for node in case_graph(view)["@graph"]}
    made = next(event for event in view.events if event.record.kind == "analysed")
    action = nodes[f"urn:whorl:record:{made.record.hash.hex()}"]
    (tool,) = (nodes[name] for name in references(action["uco-action:instrument"]))
    assert (tool["uco-core:name"], tool["uco-tool:version"]) == ("fingerprint_comparison", "1")
    used = {nodes[name]["case-investigation:exhibitNumber"] for name in references(action["uco-action:object"])}
    assert used == {made.body.questioned, made.body.reference}  # type: ignore[union-attr]
    assert made.body.document.removeprefix("sha256:").upper() in {  # type: ignore[union-attr]
        one["uco-types:hashValue"]["@value"] for one in _hashes(nodes, action)
    }


def test_an_exhibit_has_its_number_and_the_hashes_of_what_it_is(cases: Cases, tmp_path: Path) -> None:
    steps = Narrowed(shutil.copytree(cases("hostile").path, tmp_path / "case"), clock=cases("hostile").clock)
    filed = {"title": "Training log", "how": "sent by e-mail", "filed_by": None, "key": key_of("respondent")}
    casework.acquire_document(steps.case, b"step 1 loss 5.3\n", **filed)  # type: ignore[arg-type]
    view = casework.respond(steps.case, key_of("respondent"), statement="See the log.", exhibits=["D-1"])
    document = case_graph(view)
    assert faults(document) == []
    nodes = {node["@id"]: node for node in document["@graph"]}
    taken = {event.body.code: event for event in view.events if isinstance(event.body, Acquired)}
    model, log = (nodes[f"urn:whorl:record:{taken[code].record.hash.hex()}"] for code in ("M-1", "D-1"))
    for code, action, methods in (("M-1", model, 1), ("D-1", log, 0)):
        body = taken[code].body
        assert isinstance(body, Acquired)
        (record,) = references(action["uco-action:result"])
        assert nodes[record]["case-investigation:exhibitNumber"] == code
        assert action["uco-action:endTime"]["@value"] == body.acquired_at
        stated = [(one["uco-types:hashMethod"], one["uco-types:hashValue"]["@value"]) for one in _hashes(nodes, action)]
        assert ("SHA256", str(body.blob).removeprefix("sha256:").upper()) in stated
        content = [method for method, value in stated if value == body.digest.removeprefix("sha256:").upper()]
        assert [method != "SHA256" for method in content] == [bool(methods)]
    assert (
        nodes[f"urn:whorl:sha256:{hashlib.sha256(b'step 1 loss 5.3' + bytes([10])).hexdigest()}"]["uco-core:name"]
        == "Training log"
    )
    answer = nodes[f"urn:whorl:record:{view.events[-1].record.hash.hex()}"]
    assert list(references(answer["uco-action:object"])) == list(references(log["uco-action:result"]))


def test_an_erased_case_exports_its_records_and_nothing_that_was_said(cases: Cases, tmp_path: Path) -> None:
    steps = Narrowed(shutil.copytree(cases("supported").path, tmp_path / "case"), clock=cases("supported").clock)
    before = case_graph(steps.case.read())
    expunge(steps.case, key_of("manager"), ground="retention")
    after = case_graph(steps.case.read())
    assert faults(after) == []
    text = json.dumps(after)
    assert not any(name in text for name in ("Meridian AI", "Lark", "suspect", "known copy"))
    kept = {node["@id"] for node in before["@graph"] if node["@type"] == "case-investigation:InvestigativeAction"}
    assert kept < {node["@id"] for node in after["@graph"]}
    for form in ("eu-form", "cyclonedx"):
        with pytest.raises(InputError, match="were not erased"):
            export(steps.case, form)  # type: ignore[arg-type]


# All of them


def test_the_same_case_gives_the_same_bytes(cases: Cases, tmp_path: Path) -> None:
    steps = cases("supported")
    copied = Narrowed(shutil.copytree(steps.path, tmp_path / "elsewhere"), clock=steps.clock)
    for form in FORMATS:
        first = export(steps.case, form)
        assert first == export(copied.case, form)
        assert first == json_bytes(json.loads(first))
        assert place_of(f"data/exports/{form}.json") is not None


def test_a_hostile_name_is_a_string_like_any_other(standing: Standings, cases: Cases) -> None:
    form = model_form(standing("hostile"), declared(on(HOSTILE), model=HOSTILE))
    assert fields(form)["1.2"].value == HOSTILE
    document = bill_of_materials(standing("hostile"))
    assert document["metadata"]["component"]["name"] == HOSTILE
    graph = case_graph(cases("hostile").case.read())
    described = [node["uco-core:description"] for node in graph["@graph"] if "uco-core:description" in node]
    assert [f"questioned: {HOSTILE}"] in described
    for whole in (form.model_dump(mode="json"), document, graph):
        assert any(HOSTILE in text for text in texts_of(json.loads(json_bytes(whole))))


def test_the_command(cases: Cases, tmp_path: Path) -> None:
    case = typer.Typer()
    case.command()(export_command)
    folder, stated = cases("supported").path, tmp_path / "declared.json"
    stated.write_text(json_bytes(declared(on("base")).model_dump(mode="json")).decode())

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(case, list(map(str, arguments)))

    out = tmp_path / "form.json"
    done = run(folder, "--format", "eu-form", "--declared", stated, "-o", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "whorl.case-export/1"
    rows = json.loads(out.read_text())["lineage"]["declared_against_found"]
    assert [row["status"] for row in rows] == ["consistent"]
    assert run(folder, "--format", "cyclonedx", "-o", tmp_path / "bom.json").exit_code == 0
    again = run(folder, "--format", "cyclonedx", "-o", out)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    refused = run(folder, "--format", "cyclonedx", "--declared", stated, "-o", tmp_path / "no.json")
    assert (refused.exit_code, "eu-form only" in refused.stderr) == (2, True)
    missing = run(folder, "--format", "eu-form", "--declared", tmp_path / "none", "-o", tmp_path / "no.json")
    assert missing.exit_code == 2
    assert not (tmp_path / "no.json").exists()
