"""The page of a comparison of answers: whole, escaped, self-contained, four answers apart, and careful with words."""

import base64
import hashlib
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import sample_behaviours as samples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import Page

from whorl.cli.files import is_whorl_page
from whorl.comparison.behaviour_pictures import (
    BARS_HEIGHT,
    STRIP_MARGIN,
    STRIP_WIDTH,
    profile_pictures,
    strip,
)
from whorl.comparison.behaviour_report import render_behaviour
from whorl.comparison.behaviour_wording import (
    A_LEAD,
    QUESTIONS,
    SPEAKS_TO,
    bounded_ratio,
    class_words,
    headline,
    is_lead,
    largest,
    outcome_words,
    standing,
    verdicts_of,
)
from whorl.comparison.conduct_pictures import MOST_CLASSES, matrices
from whorl.core.behaviour import (
    Behaviour,
    ControlScores,
    EndpointOutcome,
    LearnedOutcome,
    RelatedOutcome,
    Verdict,
)

ROOT = Path(__file__).resolve().parents[2]
EVERY_SAMPLE = pytest.mark.parametrize("name", samples.ALL)
TAME = pytest.mark.parametrize("name", [name for name in samples.ALL if name != "hostile"])
NEVER = re.compile(
    r"theft|thief|stole|steal|guilt|fraud|clone|copied|copying|plagiar|pirat|infring|proof|\bprove|confirmed match"
)
BESIDE = "(not what was asked)"


def page(name: str) -> Page:
    return Page(render_behaviour(samples.ALL[name]()))


def section(name: str, which: str) -> str:
    return " ".join(page(name).sections.get(which, "").replace("\xa0", " ").split())


def panels(name: str) -> dict[str, str]:
    """The text of each of the four panels, by its question."""
    html = render_behaviour(samples.ALL[name]())
    found = {}
    for part in html.split('<div class="panel ')[1:]:
        asking = re.search(r'aria-labelledby="panel-([a-z-]+)"', part)
        assert asking is not None
        found[asking[1]] = Page("<section aria-labelledby='x'><div class='" + part.partition("</details>")[0]).text
    return found


def test_the_samples_cover_every_outcome() -> None:
    found = [make() for make in samples.ALL.values()]
    seen = {key: {verdicts_of(one.verdicts)[key].outcome for one in found} for key in QUESTIONS}
    assert seen["endpoint"] == set(get_args(EndpointOutcome))
    assert seen["weights-related"] == set(get_args(RelatedOutcome))
    assert seen["learned-from"] == set(get_args(LearnedOutcome))
    assert {"unknown", "inconclusive", samples.MERIDIAN} < seen["line"]
    assert {one.task for one in found} == {"compare", "identify", "check_api"}
    assert {one.population is None for one in found} == {True, False}


@EVERY_SAMPLE
def test_every_tag_is_closed_and_every_id_is_unique(name: str) -> None:
    shown = page(name)
    ids = shown.values("id")
    assert shown.open == []
    assert len(ids) == len(set(ids)) > 5
    for reference in " ".join(shown.values("aria-labelledby")).split():
        assert reference in ids
    for target in shown.values("href"):
        assert target.removeprefix("#") in ids


@EVERY_SAMPLE
def test_the_page_loads_nothing_and_runs_nothing(name: str) -> None:
    html = render_behaviour(samples.ALL[name]())
    shown = Page(html)
    assert not {tag for tag, _ in shown.tags} & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert not [key for _, attributes in shown.tags for key in attributes if key.startswith("on") or key == "style"]
    values = [value or "" for _, attributes in shown.tags for value in attributes.values()]
    assert not [value for value in values if re.search(r"://|url\((?!#)|javascript:|data:", value)]
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", style)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = [meta["content"] for meta in shown.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@EVERY_SAMPLE
def test_landmarks_language_and_headings_are_in_order(name: str) -> None:
    shown = page(name)
    tags = [tag for tag, _ in shown.tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert shown.of("html") == [{"lang": "en"}]
    assert (tags.count("main"), tags.count("header"), tags.count("footer")) == (1, 1, 1)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@EVERY_SAMPLE
def test_every_picture_is_named_or_hidden_and_every_table_has_a_caption(name: str) -> None:
    shown = page(name)
    for picture in shown.of("svg"):
        assert picture.get("aria-hidden") == "true" or (picture.get("role") == "img" and picture["aria-labelledby"])
    assert len(shown.of("table")) == len(shown.of("caption"))


def test_hostile_text_stays_text() -> None:
    shown = page("hostile")
    assert "<script>alert(1)</script>" in shown.text
    assert "<img src=x onerror=alert(2)>\"'" in shown.text
    assert not shown.of("script")
    assert not shown.of("img")


def test_control_and_direction_characters_are_written_out() -> None:
    html = render_behaviour(samples.hostile())
    assert "\\x1b[31mred\\x1b[0m \\u202egnitirw\\u202c \\x07" in html
    assert all(character.isprintable() or character in "\n\xa0" for character in html)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_adds_a_tag_or_an_attribute(one: str, other: str) -> None:
    def shape(first: str, second: str) -> list[tuple[str, tuple[str, ...]]]:
        quiet = samples.known_line()
        renamed = quiet.model_copy(
            update={
                "statement": first,
                "claimed": second,
                "questioned": quiet.questioned.model_copy(
                    update={"name": first, "address": second, "flags": (first,), "served_models": (second,)}
                ),
                "verdicts": quiet.verdicts.model_copy(
                    update={"line": quiet.verdicts.line.model_copy(update={"outcome": f"x{second}", "reason": first})}
                ),
                "limits": (second,),
                "conduct": tuple(row.model_copy(update={"of": first}) for row in quiet.conduct),
                "profiles": tuple(row.model_copy(update={"of": first}) for row in quiet.profiles),
            }
        )
        tags = Page(render_behaviour(renamed)).tags
        return [(tag, tuple(attributes)) for tag, attributes in tags if tag != "sup"]  # of a power of ten

    assert shape(one, other) == shape("a", "b")


def test_the_page_is_known_as_one_that_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_behaviour(samples.hostile()))
    assert is_whorl_page(path)


@TAME
def test_the_words_accuse_nobody_and_give_no_share(name: str) -> None:
    shown = page(name)
    assert not NEVER.search(shown.text.lower())
    assert "%" not in shown.text
    assert "What this does not show" in shown.text
    assert "It does not say how anyone obtained a model or whether that was allowed." in shown.text


@TAME
def test_four_answers_stand_apart_each_with_its_own_figures(name: str) -> None:
    found = samples.ALL[name]()
    shown = panels(name)
    verdicts = verdicts_of(found.verdicts)
    assert list(shown) == list(verdicts) == list(QUESTIONS)
    for asking, verdict in verdicts.items():
        text = shown[asking]
        assert QUESTIONS[asking] in text
        assert outcome_words(asking, verdict) in text
        assert verdict.reason.partition("10^")[0].strip() in text
        for figure, label in ((verdict.p, "p at most"), (verdict.log10_lr, "ratio"), (verdict.power, "power")):
            assert re.search(rf"\b{label} (?:at|[\d.])", text) is not None if figure is not None else True
            assert figure is not None or verdict.candidates or f"{label} " not in text.partition("Null hypothesis")[0]
        for candidate in verdict.candidates:
            assert candidate.name in text
        others = {outcome_words(key, one) for key, one in verdicts.items() if key != asking}
        assert not [words for words in others - {outcome_words(asking, verdict)} if words in text]


@pytest.mark.parametrize("name", ["supported", "known_line", "no_difference", "teacher"])
def test_a_line_and_a_candidate_are_called_leads(name: str) -> None:
    verdicts = verdicts_of(samples.ALL[name]().verdicts)
    named = [asking for asking, verdict in verdicts.items() if is_lead(asking, verdict)]
    assert named
    for asking, text in panels(name).items():
        assert ("A lead, not a finding." in text) == (asking in named)


def test_the_end_user_is_told_what_would_have_been_seen() -> None:
    shown = page("no_difference")
    assert headline(samples.no_difference()) == "No difference found"
    assert f"{samples.SWAP} 0.98" in section("no_difference", "headline")
    assert BESIDE not in panels("no_difference")["endpoint"]
    assert all(BESIDE in panels("no_difference")[key] for key in ("line", "weights-related", "learned-from"))
    assert "Said to serve Meridian AI Instruct 7B" in shown.text.replace("\n", " ")
    assert "a copy that is served with other answers is not seen" in section("no_difference", "limits")


def test_warnings_stand_before_any_answer() -> None:
    html = render_behaviour(samples.known_line())
    assert "1733 of 2506 questions, no seal" in section("known_line", "warnings")
    assert html.index('id="warnings"') < html.index('id="verdicts"')
    assert 'id="warnings"' not in render_behaviour(samples.supported())


def test_equal_verdicts_are_not_mistaken_for_each_other() -> None:
    quiet = samples.inconclusive("The same words.")
    same = samples.known_line().model_copy(update={"verdicts": samples.verdicts(quiet, quiet, quiet, quiet)})
    text = Page(render_behaviour(same)).text
    # The verdicts are one object here: all count as asked. Apart, two do.
    apart = samples.known_line().model_copy(
        update={"verdicts": samples.verdicts(*(samples.inconclusive("The same words.") for _ in range(4)))}
    )
    assert text.count(BESIDE) == 0
    assert Page(render_behaviour(apart)).text.count(BESIDE) == 2


@TAME
def test_every_statistic_stands_under_what_it_speaks_to(name: str) -> None:
    found = samples.ALL[name]()
    text = section(name, "evidence")
    described = [item for item in found.evidence if item.speaks_to == "description"]
    assert text.count("description only") == len(described)
    assert ("Description only: supports none of the four answers, whatever its figure" in text) == bool(described)
    silent = [item for item in found.evidence if item.outcome == "not_testable"]
    rows, _, listed = text.partition("What could not run")
    assert rows.count("could not run") == len(silent)
    assert all(item.detail[1:] in rows and item.detail[1:] in listed for item in silent)
    for speaks_to, title in SPEAKS_TO.items():
        own = rows.partition(title)[2]
        for other in SPEAKS_TO.values():
            own = own.partition(other)[0]
        assert [item.detail[1:] in own for item in found.evidence] == [
            item.speaks_to == speaks_to for item in found.evidence
        ]
    if not found.evidence:
        assert "No statistic of two models was asked for." in text


def test_who_was_asked_stands_there_with_what_was_odd_and_what_is_missing() -> None:
    asked = section("supported", "asked")
    assert "https://api.northwind.example/v1" in asked
    assert "northwind-labs-chat-8b" in asked
    assert "2 model names were reported" in asked
    assert "68 models of 60 lines" in asked
    assert "1733 of 2506 questions" in section("changed", "asked")
    assert "not asked now: the population holds its answers" in section("changed", "asked")
    assert "None: nothing is known of what unrelated models give" in section("no_population", "asked")


@EVERY_SAMPLE
def test_the_command_asks_for_what_the_document_holds(name: str) -> None:
    found = samples.ALL[name]()
    text = section(name, "recompute")
    assert ("--population" in text) == (found.population is not None)
    assert f"whorl {found.task.replace('_', '-')} QUESTIONED" in text


def test_the_strip_draws_every_control_and_the_two_beyond_them() -> None:
    for scores in samples.supported().similarities:
        drawn = strip(scores)
        xs = [float(x) for x in re.findall(r"M([\d.]+) ", drawn.dots)]
        assert len(xs) == len(scores.controls)
        assert drawn.as_near == 0
        assert STRIP_MARGIN - 6 <= min(xs) <= max(xs) < drawn.value <= STRIP_WIDTH - STRIP_MARGIN
    text = section("none_found", "similarity")
    scores = samples.none_found().similarities[0]
    near = sum(control >= scores.value for control in scores.controls)
    assert 0 < near < len(scores.controls)
    assert f"68 control models: -2.79 to 3.22. {near} of them stand as near." in text


numbers = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))


@settings(max_examples=200, deadline=None)
@given(numbers, st.lists(numbers, max_size=30))
def test_every_strip_stays_in_its_frame_and_has_round_ticks(value: float, controls: list[float]) -> None:
    drawn = strip(
        ControlScores(speaks_to="learned-from", title="t", value=value, controls=tuple(controls), reference_controls=())
    )
    xs = [float(x) for x in re.findall(r"M([\d.]+) ", drawn.dots)]
    assert len(xs) == len(controls)
    assert all(STRIP_MARGIN - 6 <= x <= STRIP_WIDTH - STRIP_MARGIN + 6 for x in (*xs, drawn.value))
    assert 2 <= len(drawn.ticks) <= 11
    marks = [float(words) for _, words in drawn.ticks]
    assert 0.0 in marks
    assert all(after > before for before, after in pairwise(marks))


@EVERY_SAMPLE
def test_a_matrix_counts_every_answer_once(name: str) -> None:
    """The law of the picture: cells of a model add up to its rows, however they are grouped."""
    found = samples.ALL[name]()
    drawn = matrices(found)
    assert len(drawn) == (1 if name == "hostile" else 2)
    counted = sum(cell.count for one in drawn for row in one.rows for panel in row.panels for cell in panel)
    assert counted == sum(sum(row.classes.values()) for row in found.conduct)
    for one in drawn:
        assert len(one.classes) <= MOST_CLASSES * len(one.panels)
        for row in one.rows:
            for panel in row.panels:
                whole = max(1, sum(cell.count for cell in panel))
                assert all(math.isclose(cell.shade, 0.6 * cell.count / whole, abs_tol=1e-3) for cell in panel)


def test_topics_of_one_grade_and_aims_of_one_attack_are_one_row() -> None:
    requests, attacks = matrices(samples.known_line())
    labels = [row.label for row in requests.rows]
    assert labels[:4] == [f"all topics, grade {grade}" for grade in range(4)]
    assert "language: de" in labels
    whole = Counter[str]()
    for row in samples.known_line().conduct:
        if row.stratum.endswith("/2"):
            whole.update(row.classes)
    [cells] = requests.rows[2].panels
    assert sum(cell.count for cell in cells) == whole.total() == 8 * len(samples.TOPICS)
    assert [row.label for row in attacks.rows][:2] == ["authority: attack", "authority: placebo"]


def test_the_table_of_conduct_holds_every_row() -> None:
    found = samples.supported()
    text = section("supported", "conduct")
    for row in found.conduct:
        words = ", ".join(f"{class_words(name)} {count}" for name, count in row.classes.items())
        assert f"{row.stratum} {'Questioned' if row.of == samples.NORTHWIND else 'Reference'}: {row.of} {words}" in text


def test_bars_are_as_high_as_shares_and_say_their_counts() -> None:
    found = samples.supported()
    for drawn in profile_pictures(found):
        own = [profile for profile in found.profiles if profile.title == drawn.title]
        assert [side for side, _ in drawn.models] == ["Questioned", "Reference"]
        for place, group in enumerate(drawn.bars):
            for bar, profile in zip(group, own, strict=True):
                point = profile.points[place]
                assert bar is not None
                assert bar.height == pytest.approx(BARS_HEIGHT * point.share, abs=0.1)
                assert bar.words == f"{round(6 * point.share)}/6"


def test_two_sides_of_one_name_stay_apart() -> None:
    """Two transcripts may be called the same: the rows of the questioned one come first."""
    one = samples.behaviour(
        "s",
        samples.supported().verdicts,
        questioned=samples.asked_model("run"),
        reference=samples.asked_model("run", address="https://api.meridian.example/v1"),
    )
    for drawn in matrices(one):
        assert [panel.side for panel in drawn.panels] == ["Questioned", "Reference"]
    rows = [row for row in one.conduct if row.stratum == "language/de"]
    label = next(row for row in matrices(one)[0].rows if row.label == "language: de")
    for panel, row in zip(label.panels, rows, strict=True):
        assert sum(cell.count for cell in panel) == sum(row.classes.values())
        assert panel[0].count == row.classes.get("comply", 0)


def test_without_a_reference_there_is_no_similarity_and_one_panel() -> None:
    shown = page("unknown_line")
    assert "similarity" not in shown.values("id")
    assert [len(one.panels) for one in matrices(samples.unknown_line())] == [1, 1]
    assert "compared with" not in section("unknown_line", "headline")


@pytest.mark.parametrize("asking", QUESTIONS)
def test_inconclusive_is_said_of_every_question_and_is_no_lead(asking: str) -> None:
    verdict = Verdict(outcome="inconclusive", reason="r")
    key = next(one for one in QUESTIONS if one == asking)
    assert outcome_words(key, verdict) == "It cannot be told"
    assert standing(key, verdict) == "open"
    assert not is_lead(key, verdict)


@given(st.floats(-6, 6))
def test_a_ratio_is_never_rounded_away_from_one(log10_lr: float) -> None:
    words = bounded_ratio(log10_lr)
    if log10_lr == 0:
        assert words == "1: speaks for neither side"
        return
    number = float(words.rpartition(" ")[2].replace("10^", "1e"))
    assert words.startswith("at least" if log10_lr > 0 else "at most")
    tolerance = 1 + 1e-9
    assert number <= 10**log10_lr * tolerance if log10_lr > 0 else number >= 10**log10_lr / tolerance


@given(st.floats(1e-9, 1))
def test_a_chance_is_never_rounded_down(p: float) -> None:
    assert float(largest(p).replace("10^", "1e")) >= p * (1 - 1e-9)


def test_the_page_is_the_same_on_every_run() -> None:
    assert render_behaviour(samples.supported()) == render_behaviour(samples.supported())


def test_the_example_of_the_format_is_one() -> None:
    text = (ROOT / "docs/specs/behaviour.md").read_text()
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    found = Behaviour.model_validate_json(example.group(1))
    assert A_LEAD.partition(",")[0] in found.verdicts.line.reason
    assert render_behaviour(found).startswith("<!DOCTYPE html>")


def test_every_field_of_the_document_is_in_its_format() -> None:
    text = (ROOT / "docs/specs/behaviour.md").read_text()
    names = set(Behaviour.model_json_schema(by_alias=True)["properties"])
    for part in Behaviour.model_json_schema(by_alias=True)["$defs"].values():
        names |= set(part["properties"])
    assert not [name for name in sorted(names) if f"`{name}`" not in text and f".{name}`" not in text]
