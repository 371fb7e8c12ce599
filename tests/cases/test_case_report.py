"""The report of a case: honest however the case went, escaped, self-contained, the same bytes for the same case."""

import json
import math
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from small_case import POPULATION, START, Clock, Steps, candidates, key_of, opening, plan
from typer.testing import CliRunner

from whorl.cases import casework
from whorl.cases import report_wording as words
from whorl.cases.erasing import expunge
from whorl.cases.opining import composed, issue
from whorl.cases.report import PRINTED, printed_data, read_report, render_html, render_pdf
from whorl.cases.report_document import CaseReport
from whorl.cases.report_pictures import narrow_forest, score_curve, wide_forest
from whorl.cases.report_trust import entropy_rows, tippett_rows, trust_words
from whorl.cli.case_report import report as report_command
from whorl.comparison.population import shipped_population
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.opinion import Remarks
from whorl.dossiers.texts import texts_of
from whorl.dossiers.wording import require_fair, wording_faults

typst = pytest.importorskip("typst", reason="typst is not installed")

LIMIT = "The training data of neither model was seen."
DEVIATION = "M-2 was acquired a day later than planned."
MARKUP = '<script>window.hacked = 1</script> *b* _i_ #panic("x") $ ] = Head `r` @a \\ "'
TEMPLATE = files("whorl.cases").joinpath("templates", "case.typ")
VOID_TAGS = frozenset({"meta", "br", "path", "rect", "circle", "input"})


class Reported(Steps):
    """A case that ends with an opinion of its own analyst."""

    def opine(self) -> Any:
        return issue(self.case, key_of("analyst"), remarks=Remarks(deviations=(DEVIATION,), limitations=(LIMIT,)))

    def annul(self) -> Any:
        casework.appeal(self.case, key_of("respondent"), grounds=["population"], text="The population is too small.")
        return casework.decide(self.case, key_of("appeal_reviewer"), result="annulled", reasons="It is too small.")

    def erase(self) -> Any:
        return expunge(self.case, key_of("manager"), ground="annulment")


class SharedOnly(Reported):
    """A case that tests independence and a common ancestor."""

    def freeze(self) -> Any:
        planned = plan()
        treatments = tuple(
            one.model_copy(update={"tested": one.alternative in ("independent", "common_ancestor")})
            for one in planned.treatments
        )
        return casework.freeze(
            self.case,
            plan=planned.model_copy(update={"treatments": treatments}),
            candidates=self.candidates,
            populations=[POPULATION],
            key=key_of("manager"),
        )


class OwnPopulation(Reported):
    """A case whose ratios rest on a population that somebody made."""

    def freeze(self) -> Any:
        made = shipped_population().model_copy(update={"name": "Made here"})
        method = plan().methods[0].model_copy(update={"parameters": {"population": made.digest}})
        return casework.freeze(
            self.case,
            plan=plan().model_copy(update={"methods": (method,)}),
            candidates=self.candidates,
            populations=[made.model_dump_json(by_alias=True).encode()],
            key=key_of("manager"),
        )


class OlderPopulation(Reported):
    """A case whose population keeps no held-out ratios."""

    def freeze(self) -> Any:
        shipped = shipped_population()
        cells = tuple(cell.model_copy(update={"held_out": None}) for cell in shipped.cells)
        made = shipped.model_copy(update={"cells": cells})
        method = plan().methods[0].model_copy(update={"parameters": {"population": made.digest}})
        return casework.freeze(
            self.case,
            plan=plan().model_copy(update={"methods": (method,)}),
            candidates=self.candidates,
            populations=[made.model_dump_json(by_alias=True, exclude_none=True).encode()],
            key=key_of("manager"),
        )


class Hostile(Reported):
    """A case in which whoever may write something writes markup."""

    def open(self) -> Any:
        opened = opening(questioned=MARKUP).model_copy(
            update={"title": MARKUP, "question": MARKUP, "licence": MARKUP, "funding": MARKUP}
        )
        return casework.new_case(self.path, opened, key_of("manager"), now=self.clock, random_bytes=self.random_bytes)

    def respond(self) -> Any:
        return casework.respond(self.case, key_of("respondent"), statement=f"{MARKUP}\nРобин, 日本語 😀 \u0639")


class Silent(Reported):
    """A case whose respondent lets the window pass."""

    def respond(self) -> Any:
        self.clock.at += timedelta(days=31)


CASES: dict[str, tuple[type[Reported], dict[str, Any], str]] = {
    "supported": (Reported, {}, "close"),
    "inconclusive": (Reported, {"candidates": candidates(questioned="sibling")}, "close"),
    "own population": (OwnPopulation, {}, "opine"),
    "older population": (OlderPopulation, {}, "opine"),
    "shared": (SharedOnly, {}, "opine"),
    "against": (Reported, {"candidates": candidates(questioned="twin", decoy="student")}, "opine"),
    "void": (Reported, {"candidates": candidates(positive="twin", decoy="student")}, "unblind"),
    "unanswered": (Reported, {}, "unblind"),
    "silent": (Silent, {}, "close"),
    "new": (Reported, {}, "propose"),
    "hostile": (
        Hostile,
        {
            "candidates": candidates().model_copy(
                update={"questioned": candidates().questioned.model_copy(update={"name": MARKUP})}
            )
        },
        "close",
    ),
}
Made = Callable[[str], Reported]


def again(steps: Reported, folder: Path) -> Reported:
    """A copy to work on, with a clock that goes on from there."""
    return Reported(shutil.copytree(steps.path, folder), clock=Clock(at=steps.clock.at))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A case by name, led once; do not write to it."""
    folder = tmp_path_factory.mktemp("reported")
    kept: dict[str, Reported] = {}

    def case(name: str) -> Reported:
        if name not in kept:
            if name in ("annulled", "erased"):
                before = case("supported" if name == "annulled" else "annulled")
                kept[name] = again(before, folder / name)
                kept[name].annul() if name == "annulled" else kept[name].erase()
            else:
                kind, facts, last = CASES[name]
                kept[name] = kind(folder / name, **facts)
                kept[name].until(last)
        return kept[name]

    return case


@pytest.fixture(scope="module")
def reported(made: Made) -> Callable[[str], CaseReport]:
    kept: dict[str, CaseReport] = {}

    def report(name: str) -> CaseReport:
        if name not in kept:
            kept[name] = read_report(made(name).case)
        return kept[name]

    return report


Of = Callable[[str], CaseReport]


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of style, script and what parties wrote."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.lines: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.lines).split())

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_TAGS:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "script"} & set(self.open):
            self.lines.append(data)


def page(report: CaseReport) -> Page:
    return Page(render_html(report))


EVERY = pytest.mark.parametrize(
    "name", ["supported", "inconclusive", "void", "unanswered", "new", "annulled", "erased"]
)


def test_a_case_that_supports_the_claim(reported: Of) -> None:
    report = reported("supported")
    text = page(report).text
    assert report.standing == "issued"
    assert report.verdict == "Weak support for shared weights, and no direction"
    assert report.headline is not None
    for said in (
        report.statement,
        f"{report.headline.bounded} times as probable under the claim as under {report.headline.against.lower()}",
        f"{report.headline.interval} (95 % interval), central value {report.headline.central}",
        "scale afsp-enfsi/1",
        "Opinion 1",
        LIMIT,
        DEVIATION,
        "We trained Lark from random weights.",
        "Harrow may be used for research",
        "positive control",
        "all the same",
        "The file is complete.",
        f"whorl dossier verify FILE --case {report.case}",
    ):
        assert said in text
    assert any(one.detail.endswith("trained weights are shared") for one in report.events)
    assert {name for name, _ in report.untested} == {
        "A common teacher", "The other direction", "A published idea",
    }  # fmt: skip
    assert sum(line.headline for line in report.ratios) == 1
    least = min(report.ratios, key=lambda line: line.log10)
    assert least.headline
    assert [line.without is not None for line in report.ratios] == [True] * 4


def test_a_case_that_does_not_decide(reported: Of) -> None:
    report = reported("inconclusive")
    text = page(report).text
    assert report.verdict == "The findings do not decide"
    assert "That is no finding of independence." in text
    assert report.headline is not None
    assert report.headline.against == "A common start alone"


def test_weights_that_are_shared_in_no_known_direction(reported: Of) -> None:
    report = reported("shared")
    text = page(report).text
    assert re.fullmatch(r"(Weak|Moderate) support for shared weights, and no direction", report.verdict)
    assert report.shared is not None
    assert report.shared.against == "A common start alone"
    assert "do not tell descent of the questioned model from a common ancestor" in text
    assert "the ratio for trained weights that are shared, in whatever direction" in text


def test_findings_that_speak_for_the_respondent(reported: Of) -> None:
    report = reported("against")
    assert re.fullmatch(r"(Weak|Moderate) support for an alternative", report.verdict)
    assert report.headline is not None
    assert report.headline.bounded.startswith("at most 1/")
    assert f"{report.headline.bounded} times as probable under the claim" in page(report).text


def test_an_opinion_without_any_ratio(reported: Of) -> None:
    nothing: dict[str, Any] = {
        "headline": None,
        "shared": None,
        "ratios": (),
        "scores": (),
        "trust": (),
        "fusion": (),
        "priors": (),
    }
    report = replace(reported("supported"), verdict=words.VERDICTS["not_answerable"], **nothing)
    text = page(report).text
    assert "No alternative could be weighed." in text
    assert "Not tested, and so not excluded" in text
    assert "at least" not in text.replace("at least half of the neurons", "").replace(report.statement, "")
    assert render_pdf(report).startswith(b"%PDF-")


def test_a_void_run_shows_what_failed_and_no_ratio(reported: Of) -> None:
    report = reported("void")
    text = page(report).text
    assert report.verdict == "The run is void"
    assert "got not related" in text
    assert "No figure of this run counts, for or against anybody" in text
    assert [one.behaved for one in report.controls if one.role == "Positive control"] == [False]


@pytest.mark.parametrize("name", ["void", "unanswered", "new", "annulled", "erased"])
def test_without_an_opinion_in_force_there_is_no_figure(reported: Of, name: str) -> None:
    report = reported(name)
    shown = page(report)
    assert report.standing == {"unanswered": "none", "new": "none"}.get(name, name)
    assert (report.headline, report.ratios, report.scores, report.priors, report.fusion) == (None, (), (), (), ())
    assert (report.trust, report.untried) == ((), ())
    assert "svg" not in [tag for tag, attributes in shown.tags if (attributes.get("class") or "").startswith("forest")]
    assert "at least" not in shown.text
    assert "times as probable under the claim" not in shown.text
    assert "weights are shared" not in shown.text
    assert "weights are shared" not in printed_data(report)
    assert words.STANDING_MEANINGS[report.standing] in shown.text


def test_a_population_that_the_release_does_not_know_is_named_beside_the_answer(reported: Of) -> None:
    known, own = reported("supported"), reported("own population")
    assert (known.strange, own.strange) == (False, True)
    assert page(known).text.count("Ratios rest on the population of this release.") == 1
    warning = "Figures rest on a population that this release does not know (Made here, sha256:"
    assert warning in page(own).text.split("On this page")[0]
    assert warning in json.loads(printed_data(own))["origin"]


def test_a_finding_that_says_something_else_than_the_chain_gets_no_report(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = again(made("void"), tmp_path / "case")
    one = steps.case.read().state.analysed[0]
    said = json.loads(steps.case.store.get(one.document))
    said["conclusion"]["relation"] = "inconclusive"
    case = steps.case
    true_get = case.store.get
    monkeypatch.setattr(
        case.store, "get", lambda digest: json.dumps(said).encode() if digest == one.document else true_get(digest)
    )
    with pytest.raises(VerificationError, match="expected it to say what the chain says of it"):
        read_report(case)


def test_what_was_erased_is_not_shown_and_that_it_was_is(reported: Of) -> None:
    text = page(reported("erased")).text
    assert "Lark" not in text
    assert "Northwind" not in text
    assert "erased" in text
    assert "Content erased" in text


def test_an_opinion_that_does_not_follow_from_the_findings_gets_no_report(made: Made, tmp_path: Path) -> None:
    steps = Reported(tmp_path / "case")
    steps.until("review")
    opinion = composed(steps.case, Remarks())
    assert opinion.headline is not None
    raised = opinion.model_copy(update={"headline": opinion.headline.model_copy(update={"upper": 9.0})})
    casework.opine(
        steps.case,
        raised.model_dump_json().encode(),
        key_of("analyst"),
        headline_log10=opinion.headline.log10_lr,
        cause="correction",
    )
    with pytest.raises(VerificationError, match="expected the numbers that follow from the findings"):
        read_report(steps.case)


def test_the_prior_table_is_bayes_rule_on_the_bounded_headline_and_the_courts_task(reported: Of) -> None:
    report = reported("supported")
    assert report.headline is not None
    assert [prior for prior, _ in report.priors] == ["1 in 10,000", "1 in 1,000", "1 in 100", "1 in 10", "1 in 2"]
    ratio = 10**report.headline.log10
    for prior, (_, after) in zip((1e-4, 1e-3, 1e-2, 0.1, 0.5), report.priors, strict=True):
        expected = 1 + (1 - prior) / (prior * ratio)
        assert float(after.removeprefix("1 in ").replace(",", "")) == pytest.approx(expected, rel=0.06)
    assert "the court's task" in page(report).text
    assert "no part of the opinion" in page(report).text


@EVERY
def test_every_word_is_one_that_a_comparison_can_bear(reported: Of, name: str) -> None:
    report = reported(name)
    assert len(page(report).lines) > 30
    for line in page(report).lines:
        require_fair(line, where=f"page of the case {name}")
    for text in texts_of(json.loads(printed_data(report))):
        if not text.startswith("<svg"):
            require_fair(text, where=f"printed report of the case {name}")


def test_every_word_of_the_vocabulary_is_fair() -> None:
    tables = [value for name, value in vars(words).items() if name.isupper()]
    found = list(texts_of(json.loads(json.dumps([dict(one) if hasattr(one, "keys") else one for one in tables]))))
    assert len(found) > 100
    for text in found:
        require_fair(text, where="vocabulary")


@pytest.mark.parametrize(
    "text",
    [
        "74 % of the questioned model is the reference.",
        "We are 99.96 % certain.",
        "p < 10^-200, hence proven.",
        "There is no evidence of derivation.",
        "The findings are consistent with copying.",
        "The weights were stolen.",
        "The probability that it is a copy is high.",
    ],
)
def test_bad_wording_in_a_remark_never_reaches_a_report(made: Made, tmp_path: Path, text: str) -> None:
    assert wording_faults(text)
    steps = again(made("unanswered"), tmp_path / "case")
    with pytest.raises(VerificationError, match="remark: expected words that a comparison can bear"):
        composed(steps.case, Remarks(limitations=(text,)))


def test_good_wording_passes() -> None:
    require_fair(
        "The agreement pattern is at least about 18 times (central value 60) more probable if the questioned model was "
        "fine-tuned from the reference than if both were separately fine-tuned from a public model (interval 18 to 60; "
        "its upper end is the cap set by 96 families). This does not state how anybody obtained anything, nor the "
        "probability that one is a copy.",
        where="example",
    )


@EVERY
def test_the_page_is_whole_and_needs_nothing_else(reported: Of, name: str) -> None:
    html = render_html(reported(name))
    shown = Page(html)
    ids = shown.values("id")
    assert len(ids) == len(set(ids))
    for target in [*shown.values("aria-labelledby"), *shown.values("aria-describedby"), *shown.values("for")]:
        assert set(target.split()) <= set(ids)
    for link in shown.values("href"):
        assert link.startswith("#")
        assert link[1:] in ids
    assert shown.values("src") == []
    assert shown.values("style") == []
    assert not [name for name in {key for _, attributes in shown.tags for key in attributes} if name.startswith("on")]
    assert set(re.findall(r"https?://[^\"' <]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in html.replace("url(#", "")
    (policy,) = (value for value in shown.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_headings_go_down_one_step_at_a_time(reported: Of) -> None:
    levels = [int(tag[1]) for tag, _ in page(reported("supported")).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_case_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    first = made("supported")
    copy = again(first, tmp_path / "elsewhere")
    one, other = (read_report(steps.case) for steps in (first, copy))
    assert one == other
    assert render_html(one) == render_html(other)
    assert render_pdf(one) == render_pdf(other)


def test_markup_in_what_people_wrote_stays_text_on_the_page(reported: Of) -> None:
    html = render_html(reported("hostile"))
    assert html.count("<script>") == 1
    assert "window.hacked" not in html.split("<script>")[1].split("</script>")[0]
    assert page(reported("hostile")).text.count(MARKUP) >= 6


def test_markup_in_what_people_wrote_stays_text_in_print(reported: Of) -> None:
    def headings(report: CaseReport) -> list[Any]:
        found = typst.query(
            str(TEMPLATE),
            "heading",
            field="body",
            sys_inputs={"report": printed_data(report)},
            ignore_system_fonts=True,
        )
        return list(json.loads(found))

    assert headings(reported("hostile")) == headings(reported("supported"))
    assert render_pdf(reported("hostile")).startswith(b"%PDF-")
    source = TEMPLATE.read_text(encoding="utf-8")
    assert not re.search(r"\b(eval|include|import|read|plugin)\b\s*\(", source)


def test_letters_that_the_printed_typeface_lacks_are_written_out(reported: Of) -> None:
    assert (
        "\\u65e5\\u672c\\u8a9e \\U0001f600" in json.loads(printed_data(reported("hostile")))["replies"][0]["statement"]
    )


def test_a_missing_typesetter_is_named_with_what_installs_it(reported: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(InputError, match=r"pip install 'whorl\[report\]'"):
        render_pdf(reported("void"))


def test_the_printed_typeface_has_every_letter_that_is_not_written_out(reported: Of) -> None:
    letters = "".join(chr(code) for code in range(0x20, 0x2200) if chr(code) in PRINTED)
    report = reported("supported")
    exact = replace(report.exact[0], method=letters, null=letters)
    control = replace(report.controls[0], code=letters)  # set in bold
    shown = replace(report, title=letters, question=letters, exact=(exact,), controls=(control,))
    assert json.loads(printed_data(shown))["question"] == letters
    assert render_pdf(shown).startswith(b"%PDF-")


@pytest.mark.parametrize("name", ["supported", "void", "erased"])
def test_the_printed_report_is_tagged_and_says_that_it_is_accessible(reported: Of, name: str) -> None:
    pdf = render_pdf(reported(name))
    assert b"/StructTreeRoot" in pdf
    assert re.search(rb"<pdfuaid:part>1</pdfuaid:part>", pdf)
    assert re.search(rb"/Lang\s*\(en\)", pdf)
    assert b"/MarkInfo" in pdf
    assert b"CreationDate" not in pdf


def test_pictures_put_the_claim_between_1_and_the_nearer_wall(reported: Of) -> None:
    for name in ("supported", "inconclusive"):
        report = reported(name)
        for forest in (wide_forest(report.ratios, report.untested), narrow_forest(report.ratios, report.untested)):
            assert forest is not None
            assert [row.line for row in forest.rows] == list(report.ratios)
            assert [row.label for row in forest.untested] == [name for name, _ in report.untested]
            for row in forest.rows:
                wall = min(row.walls, key=lambda at: abs(at - forest.zero))
                assert abs(row.claimed - forest.zero) <= abs(wall - forest.zero) + 0.02
                assert forest.left <= row.lower <= row.central <= row.upper <= forest.right
                assert (row.claimed >= forest.zero) == (row.line.log10 >= 0)
            assert all(forest.left <= mark.at <= forest.right for mark in forest.marks)
            assert forest.zero in [mark.at for mark in forest.marks]


def test_the_map_of_the_layers_is_a_picture_and_a_table(reported: Of) -> None:
    report = reported("supported")
    assert report.layers is not None
    assert [line[0] for line in report.layer_lines] == [cell.number for cell in report.layers.questioned]
    text = page(report).text
    assert f"{len(report.layers.links)} of {len(report.layers.questioned)} layers of the questioned model" in text
    assert "no weight of evidence" in text


def test_a_curve_goes_through_the_case_and_below_2_at_the_threshold(reported: Of) -> None:
    report = reported("supported")
    assert report.scores
    for line in report.scores:
        curve = score_curve(line)
        assert curve is not None
        assert curve.left <= curve.case_x <= curve.right
        assert curve.walls[0] < curve.zero < curve.walls[1]
        if line.threshold is not None:
            assert line.low <= line.threshold <= line.value
            assert f"below {line.threshold:.3f}" in line.limit
    assert score_curve(replace(report.scores[0], curve=())) is None


def test_every_tested_alternative_shows_how_far_its_ratios_can_be_trusted(reported: Of) -> None:
    report = reported("supported")
    assert [line.alternative for line in report.trust] == [line.alternative for line in report.ratios]
    shown = page(report)
    printed = json.loads(printed_data(report))
    population = shipped_population()
    for line, ratio, drawn in zip(report.trust, report.ratios, printed["pictures"]["trust"], strict=True):
        assert line.central == ratio.log10_central, "one group of evidence: its mean is its own ratio"
        assert trust_words(line) in shown.text
        assert drawn["words"] == trust_words(line)
        assert line.families in [cell.families for cell in population.cells]
        if line.tippett:
            assert drawn["shares"].startswith("<svg")
            assert drawn["entropy"].startswith("<svg")
            for row in (*tippett_rows(line), *entropy_rows(line)):
                assert " ".join(row) in shown.text
        else:
            assert drawn["shares"] is None
    curves = [attributes for tag, attributes in shown.tags if tag == "svg" and attributes.get("class") == "curve trust"]
    assert len(curves) == 2 * sum(bool(line.tippett) for line in report.trust) == 6


def test_a_population_that_keeps_no_held_out_ratios_says_so(reported: Of) -> None:
    report = reported("older population")
    assert report.trust == ()
    assert len(report.untried) == len(report.ratios) == 4
    for text in (page(report).text, json.loads(printed_data(report))["untried"][0]):
        assert "Weights, against independent training" in text
    assert "The population keeps no held-out ratios for: Weights, against" in page(report).text
    assert render_pdf(report).startswith(b"%PDF-")


@given(st.floats(min_value=-12, max_value=12))
def test_a_bound_is_never_rounded_away_from_1(log10: float) -> None:
    def value(said: str) -> float:
        if said.startswith("10^"):
            return float(said.removeprefix("10^"))
        number = said.removeprefix("1/").replace(",", "")
        return math.log10(float(number)) * (-1 if said.startswith("1/") else 1)

    bound = value(words.times(log10, "towards_1"))
    assert abs(bound) <= abs(log10) + 1e-9
    assert abs(bound - log10) <= 0.1
    assert bound == 0 or (bound > 0) == (log10 > 0)
    assert value(words.times(log10)) == pytest.approx(log10, abs=0.05)


@given(st.floats(min_value=1e-9, max_value=0.999), st.floats(min_value=-6, max_value=6))
def test_a_ratio_of_1_moves_no_prior_and_two_cancel(prior: float, log10: float) -> None:
    assert words.posterior(prior, 0.0) == pytest.approx(prior)
    there = words.posterior(prior, log10)
    assert 0 < there <= 1
    if there < 0.999999:
        assert words.posterior(there, -log10) == pytest.approx(prior, rel=1e-6)


@pytest.fixture(autouse=True)
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands look at the system's clock, and the cases of these tests happened in November 2026."""
    monkeypatch.setattr("whorl.registry.local.system_clock", Clock(at=START + timedelta(days=90)))


def command(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(report_command)
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_the_command_writes_both_and_says_what_it_found(made: Made, tmp_path: Path) -> None:
    html, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    done = command(made("supported").path, "-o", html, "--pdf", pdf, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["schema"], found["standing"]) == ("whorl.case-report/1", "issued")
    assert html.read_text(encoding="utf-8") == render_html(read_report(made("supported").case))
    assert pdf.read_bytes().startswith(b"%PDF-")
    twice = command(made("supported").path, "-o", html)
    assert twice.exit_code == 2
    assert "exists already" in twice.stderr


def test_the_command_refuses_a_damaged_case_and_writes_nothing(made: Made, tmp_path: Path) -> None:
    folder = shutil.copytree(made("new").path, tmp_path / "case")
    with sqlite3.connect(folder / "case.sqlite") as connection:
        connection.execute("UPDATE events SET envelope = x'00' WHERE sequence = 0")
    connection.close()
    done = command(folder, "-o", tmp_path / "report.html")
    assert done.exit_code == 1
    assert not (tmp_path / "report.html").exists()


def test_nothing_is_written_into_the_case(made: Made) -> None:
    done = command(made("new").path, "-o", made("new").path / "report.html")
    assert done.exit_code == 2
    assert "lies in the input itself" in done.stderr


CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 380, "height": 740}
NARROWEST = {"width": 320, "height": 640}
WIDE = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield browser
        browser.close()


def opened(browser: Any, report: CaseReport, folder: Path, complaints: list[str], **options: Any) -> Any:
    file = folder / "report.html"
    file.write_text(render_html(report), encoding="utf-8")
    page = browser.new_context(**{"viewport": WIDE, **options}).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page


def violations(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("supported", "light"), ("supported", "dark"), ("inconclusive", "light"), ("void", "dark"), ("hostile", "light"),
     ("erased", "light")],
)  # fmt: skip
def test_a_page_is_accessible_and_fits_every_screen(
    browser: Any, reported: Of, tmp_path: Path, name: str, scheme: str
) -> None:
    complaints: list[str] = []
    page = opened(browser, reported(name), tmp_path, complaints, color_scheme=scheme)
    for viewport in (WIDE, PHONE, NARROWEST):
        page.set_viewport_size(viewport)
        if viewport is WIDE or (viewport is PHONE and name == "hostile"):
            assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate("window.hacked") is None
    assert complaints == []
    page.context.close()


def test_one_picture_of_the_ratios_shows_at_each_width_and_in_print(browser: Any, reported: Of, tmp_path: Path) -> None:
    page = opened(browser, reported("supported"), tmp_path, [])
    wide, narrow = page.locator(".forest-wide"), page.locator(".forest-narrow")
    assert (wide.is_visible(), narrow.is_visible()) == (True, False)
    page.set_viewport_size(PHONE)
    assert (wide.is_visible(), narrow.is_visible()) == (False, True)
    page.emulate_media(media="print")
    assert (wide.is_visible(), narrow.is_visible()) == (True, False)
    assert not page.locator("#tools").is_visible()
    assert page.locator("#ratios-table").is_visible()
    page.context.close()


def test_without_its_script_the_page_says_the_same(browser: Any, reported: Of, tmp_path: Path) -> None:
    texts = []
    for script in (True, False):
        page = opened(browser, reported("supported"), tmp_path, [], java_script_enabled=script)
        assert page.locator("#tools").is_visible() == script
        assert page.locator("#own-prior").is_visible() == script
        texts.append([page.locator(f"section:has(#{one})").inner_text() for one in ("headline", "custody", "evidence")])
        assert page.locator(".forest-wide").is_visible()
        assert page.locator("#ratios-table").is_visible()
        page.context.close()
    assert texts[0] == texts[1]


def test_details_on_demand(browser: Any, reported: Of, tmp_path: Path) -> None:
    report = reported("supported")
    complaints: list[str] = []
    page = opened(browser, report, tmp_path, complaints)
    page.select_option("#tools select", label=report.ratios[1].alternative)
    assert report.ratios[1].interval in page.locator("#readout").inner_text()
    page.locator(".forest-wide .ratio .hit").first.hover()
    assert report.ratios[0].bounded in page.locator("#readout").inner_text()
    page.get_by_label("bounded values").check()
    assert page.locator("#ratios-figure").get_attribute("data-show") == "bounded"
    page.fill("#prior", "10")
    assert dict(report.priors)["1 in 10"].removeprefix("1 in ") in page.locator("#posterior").inner_text()
    page.fill("#prior", "0")
    assert "needs a number above 1" in page.locator("#posterior").inner_text()
    assert complaints == []
    page.context.close()


def test_a_respondent_who_was_not_heard_is_said_not_to_have_been(reported: Of) -> None:
    said = "The respondent was not heard."
    silent = reported("silent")
    assert silent.statement
    assert said in Page(render_html(silent)).text
    assert json.loads(printed_data(silent))["unheard"] is True
    assert render_pdf(silent).startswith(b"%PDF-")
    for name in ("supported", "unanswered", "void"):  # answered; the window is open; nobody was asked
        assert said not in Page(render_html(reported(name))).text
