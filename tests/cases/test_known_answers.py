"""Cases whose answer is known, from the complaint to the dossier: what must come out, and that it verifies."""

import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from small_case import POPULATION, Steps, key_of, opening, plan, propositions

import cases as known
from whorl.cases import casework, opining
from whorl.cases.bundling import dossier_files
from whorl.cases.line_up import Candidates
from whorl.dossiers.building import build_dossier
from whorl.dossiers.case_facts import facts_of
from whorl.dossiers.events import Model, Treatment
from whorl.dossiers.opinion import Opinion, Remarks
from whorl.dossiers.verifying import Verification, verify_dossier


def played(folder: Path, case: known.KnownCase) -> tuple[Opinion | None, Verification]:
    """The case's opinion, where there is one, and what whoever checks its dossier finds."""

    steps = Steps(path=folder / "case", candidates=Candidates.model_validate_json(json.dumps(known.line_up(case))))
    treatments = tuple(
        Treatment(alternative=one.alternative, tested=one.alternative in case.tested, how=one.how)
        for one in plan().treatments
    )
    casework.new_case(
        steps.path,
        opening(questioned=case.questioned).model_copy(update={"reference": Model(name=case.reference, digest=None)}),
        key_of("manager"),
        now=steps.clock,
        random_bytes=steps.random_bytes,
    )
    steps.propose()
    casework.freeze(
        steps.case,
        plan=plan().model_copy(update={"treatments": treatments}),
        candidates=steps.candidates,
        populations=[POPULATION],
        key=key_of("manager"),
    )
    steps.acquire()
    steps.analyse()
    view = steps.unblind()
    opinion = None
    if view.state.failed_controls:
        view = casework.close(steps.case, key_of("manager"), outcome="void", reasons="A control failed.")
    else:
        for name in ("respond", "replicate", "review"):
            getattr(steps, name)()
        opinion = opining.composed(steps.case, Remarks())
        opining.issue(steps.case, key_of("analyst"), remarks=Remarks())
        view = steps.close()
    files = dossier_files(view, steps.case.store)
    out = folder / "case.dossier"
    build_dossier(files, facts=facts_of(files), key=key_of("manager"), out=out)
    return opinion, verify_dossier(out, now=steps.clock() + timedelta(days=1))


@pytest.mark.parametrize("name", [name for name, case in known.CASES.items() if not case.by_answers])
def test_a_case_gives_its_known_answer_and_its_dossier_holds(tmp_path: Path, name: str) -> None:
    case = known.CASES[name]
    opinion, verification = played(tmp_path, case)
    assert [step.detail for step in verification.failed] == []
    if case.verdict == "void":
        assert opinion is None
        assert "the run is void" in next(step for step in verification.steps if step.name == "proceeding").detail
        return
    assert opinion is not None
    assert opinion.verdict == case.verdict
    numbers = next(step for step in verification.steps if step.name == "numbers")
    assert numbers.outcome == "passed"
    assert "rest on the population of this release" in numbers.detail
    assert all(control.behaved for control in opinion.controls)


def test_descent_and_a_common_ancestor_look_alike_to_weights(tmp_path: Path) -> None:
    """Two fine-tunes of one model are as alike as parent and child: the opinion must not say derived."""
    opinion, _ = played(tmp_path, known.CASES["common-ancestor"])
    assert opinion is not None
    assert opinion.findings[0].relation == "derived"  # what a comparison of two models alone would suggest
    assert opinion.verdict == "supports_shared_weights"
    assert opinion.headline is not None
    assert (opinion.headline.against, opinion.headline.log10_lr) == ("common_ancestor", 0.0)
    assert "do not tell descent of the questioned model from a common ancestor" in opinion.statement


@pytest.mark.parametrize("name", ["derived", "same-seed", "common-ancestor"])
def test_leaving_an_alternative_untested_gains_nothing(tmp_path: Path, name: str) -> None:
    """What the finding has a ratio against is weighed, whoever would rather not."""
    case = known.CASES[name]
    honest, _ = played(tmp_path / "honest", case)
    fewer, _ = played(tmp_path / "fewer", replace(case, tested=("independent",)))
    assert honest is not None
    assert fewer is not None
    assert (fewer.verdict, fewer.headline) == (honest.verdict, honest.headline)


def test_models_that_change_places_are_not_said_to_descend(tmp_path: Path) -> None:
    """The questioned model is the ancestor: weights are shared, and nobody is called the descendant."""
    case = replace(known.CASES["derived"], questioned="base", reference="suspect")
    opinion, _ = played(tmp_path, case)
    assert opinion is not None
    assert opinion.verdict != "supports_claim"


def test_weights_give_no_ratio_for_a_claim_about_answers(tmp_path: Path) -> None:
    steps = Steps(path=tmp_path / "case")
    steps.open()
    ours, theirs = propositions()
    claim = ours.model_copy(update={"alternative": "learned_from", "statement": "Lark learned from Harrow's answers."})
    casework.propose(steps.case, [claim], key_of("complainant"))
    casework.propose(steps.case, [theirs], key_of("respondent"))
    for name in ("freeze", "acquire", "analyse", "unblind"):
        getattr(steps, name)()
    opinion = opining.composed(steps.case, Remarks())
    assert (opinion.claim, opinion.verdict, opinion.headline) == ("learned_from", "not_answerable", None)
