"""The page of a finding: whole, escaped, self-contained, in order, and careful with words."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import pytest
import sample_findings as samples

from whorl.comparison.report import GENERATOR, render_html
from whorl.core.evidence import Evidence, Relation, Transformation

VOID = frozenset({"meta", "br", "link", "img", "input", "hr", "path", "rect", "circle"})
ACCUSATIONS = re.compile(r"theft|thief|stole|steal|guilt|fraud|clone|copied|plagiar|pirat|infring|confirmed match")
EVERY_SAMPLE = pytest.mark.parametrize("name", samples.ALL)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def page(name: str) -> Page:
    return Page(render_html(samples.ALL[name]()))


def test_the_samples_cover_every_relation_and_every_kind_of_evidence() -> None:
    findings = [make() for make in samples.ALL.values()]
    assert {finding.conclusion.relation for finding in findings} == set(get_args(Relation))
    kinds = get_args(get_args(Evidence)[0])
    assert {type(evidence) for finding in findings for evidence in finding.evidence} == set(kinds)


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
    html = render_html(samples.ALL[name]())
    shown = Page(html)
    assert not {tag for tag, _ in shown.tags} & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert not [key for _, attributes in shown.tags for key in attributes if key.startswith("on") or key == "style"]
    assert not re.search(r"https?:|url\((?!#)|@import|javascript:|data:", html)
    [policy] = [meta["content"] for meta in shown.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


@EVERY_SAMPLE
def test_landmarks_language_and_headings_are_in_order(name: str) -> None:
    shown = page(name)
    tags = [tag for tag, _ in shown.tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert shown.of("html") == [{"lang": "en"}]
    assert (tags.count("main"), tags.count("header"), tags.count("footer"), tags.count("title") > 0) == (1, 1, 1, True)
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
    html = render_html(samples.hostile())
    assert "\\x1b[31mred\\x1b[0m \\u202egnitirw\\u202c \\x07" in html
    assert all(character.isprintable() or character in "\n\xa0" for character in html)


def test_names_cannot_turn_the_text_around_them() -> None:
    shown = page("hostile")
    isolated = [tag for tag, _ in shown.tags].count("bdi")
    assert isolated >= 8
    assert "متجر 🤖" in shown.text


@pytest.mark.parametrize("name", [name for name in samples.ALL if name != "hostile"])
def test_the_words_accuse_nobody_and_give_no_share_of_copying(name: str) -> None:
    text = page(name).text.lower()
    assert not re.search(
        r"theft|thief|stole|steal|guilt|fraud|clone|copied|plagiar|pirat|infring|confirmed match", text
    )
    assert "%" not in text
    assert "what this does not show" in text
    assert "it does not say how anyone obtained a model" in text


def test_the_headline_figures_are_there_with_real_superscripts() -> None:
    html = render_html(samples.derived())
    assert "p\xa0≤\xa010<sup>−312</sup>" in html
    shown = Page(html)
    assert "22 of 22 Layers of the questioned model. In 20 of them at least half" in shown.text
    assert "Reference layers without a counterpart: 7, 15." in shown.text
    assert "e-value\xa0≥\xa010<sup>288</sup>" in html
    assert GENERATOR.encode() in html.encode()[:4096]


def test_null_hypothesis_and_assumptions_can_be_opened() -> None:
    shown = page("derived")
    assert samples.INDEPENDENCE in shown.text
    assert "neurons of one layer are exchangeable before training" in shown.text
    assert len(shown.of("details")) == len(shown.of("summary")) >= 7


@pytest.mark.parametrize("name", ["derived", "none_found", "identical", "deep"])
def test_the_table_holds_what_the_picture_shows(name: str) -> None:
    finding = samples.ALL[name]()
    shown = page(name)
    links = re.search(r"(\d+) questioned layers, (\d+) of them linked", shown.text)
    assert links is not None
    mapped = [layer for layer in finding.layers if layer.reference is not None]
    assert (int(links[1]), int(links[2])) == (len(finding.layers), len(mapped))
    rows = [attributes for attributes in shown.of("th") if attributes.get("scope") == "row"]
    assert len(rows) >= len(finding.layers)


def test_unmatched_layers_are_drawn_on_both_sides() -> None:
    none = [a for a in page("deep").of("rect") if a.get("class") == "none"]
    dropped = [a for a in page("derived").of("rect") if a.get("class") == "none"]
    legend = 1
    assert len(dropped) == 2 + legend
    assert len(none) == 2 + 2 + legend  # two boxes on the questioned rail and their two bars


def test_what_could_not_run_says_why() -> None:
    text = page("inconclusive").text
    assert "Index coincidences (T2): the shapes differ." in text
    assert "3 tokens in common; at least 64 are needed" in text
    assert "The layers were not compared one by one" in text


def test_changes_are_named_with_what_established_them() -> None:
    text = page("derived").text
    assert "Layers removed layers_dropped Reference layers 7 and 15 have no counterpart." in text
    assert len(get_args(Transformation)) == 14


def test_the_page_is_the_same_on_every_run() -> None:
    assert render_html(samples.deep()) == render_html(samples.deep())
