"""The page of a finding: whole, escaped, self-contained, in order, and careful with words."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import pytest
import sample_findings as samples

from whorl.comparison.pictures import FOREST_GUTTER, FOREST_WIDTH, ratio_forest
from whorl.comparison.report import GENERATOR, render_html
from whorl.comparison.wording import ALTERNATIVES
from whorl.core.evidence import Evidence, LikelihoodRatio, Power, Relation, Transformation

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
        self.sections: dict[str, str] = {}
        self._section = ""
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
        if tag == "section":
            self._section = dict(attrs)["aria-labelledby"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.sections[self._section] += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
            self.sections[self._section] = self.sections.get(self._section, "") + data


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
    shown = page(name)
    assert not ACCUSATIONS.search(shown.text.lower())
    assert "what this does not show" in shown.text.lower()
    assert "it does not say how anyone obtained a model" in shown.text.lower()
    # Percents are probabilities under a named prior, power, or the level of an interval: nowhere else.
    changes = [item.change for item in samples.ALL[name]().evidence if isinstance(item, Power)]
    for section, text in shown.sections.items():
        if section in ("direction", "power"):
            continue
        for expected in ("95\xa0% interval", "95 % interval", *changes):
            text = text.replace(expected, "")
        assert "%" not in text, section


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


def section(name: str, which: str) -> str:
    return " ".join(page(name).sections.get(which, "").replace("\xa0", " ").split())


def test_a_ratio_stands_beside_its_alternative_interval_caps_families_and_population() -> None:
    text = section("derived", "weight")
    row = "independent training at least 100.8 106.0 105.6 to 106.4 sampling 101.2, process 101.1 61 / 47"
    assert row in text
    assert "Calibrated on the population Meridian population 3, sha256:5a175a175a17." in text
    assert "Least favourable ratio: 1 not excluded, against a common start alone." in text


@pytest.mark.parametrize("name", ["derived", "none_found", "shared_initialisation", "hostile"])
def test_no_ratio_is_shown_anywhere_without_what_bounds_it(name: str) -> None:
    finding = samples.ALL[name]()
    evidence = section(name, "evidence")
    ratios = [item for item in finding.evidence if isinstance(item, LikelihoodRatio)]
    assert ratios
    assert len(re.findall(r"ratio (?:at \w+ 10.?[\d.]+|1 not excluded|about 1) against", evidence)) == len(ratios)
    pattern = r"against [a-z ]+ \(central 10\S+, 95 % interval 10\S+ to 10[^;]+; cap 10[^;]+; population \S"
    assert len(re.findall(pattern, evidence)) == len(ratios)
    assert not re.search(r"log(10)? ?LR", page(name).text)


def test_opposing_and_vanishing_ratios_say_so_and_there_is_no_negative_zero() -> None:
    text = section("none_found", "weight")
    assert "Least favourable ratio: at most 10−0.5, against independent training." in text
    assert "independent training on the same data about 1 10−1.2" in text
    assert "process 10−0.8" in text
    assert "No ratio against a common start alone: no layers correspond." in text
    for name in samples.ALL:
        assert not re.search("[-−]0\\.0(?![0-9])", page(name).text), name


def test_alternatives_without_a_ratio_are_told_where_none_has_one() -> None:
    text = section("inconclusive", "weight")
    assert "No ratio against independent training: no layers correspond." in text
    assert "Least favourable" not in text
    assert not [a for a in page("inconclusive").of("svg") if a.get("class") == "forest"]
    assert "population_ratio" not in section("inconclusive", "unanswered")


@pytest.mark.parametrize("name", ["derived", "none_found", "shared_initialisation", "hostile"])
def test_the_forest_draws_every_ratio_inside_its_frame(name: str) -> None:
    finding = samples.ALL[name]()
    picture = ratio_forest(finding)
    assert picture is not None
    for row in picture.rows:
        places = (row.lower, row.central, row.upper, row.claimed, *row.walls, *row.barred, picture.zero)
        assert all(FOREST_GUTTER <= place <= FOREST_WIDTH for place in places)
        assert row.lower <= row.central <= row.upper
        # What is claimed never reaches into what is barred.
        assert not row.barred[0] + 0.01 < row.claimed < row.barred[1] - 0.01
        assert (row.barred[0] >= picture.zero) == (row.ratio.central >= 0)
    assert [row.headline for row in picture.rows].count(True) == 1
    assert min(row.ratio.log10_lr for row in picture.rows) == next(
        row.ratio.log10_lr for row in picture.rows if row.headline
    )
    [drawn] = [a for a in page(name).of("svg") if a.get("class") == "forest"]
    assert drawn["aria-labelledby"] == "forest-title forest-text"
    for row in picture.rows:
        assert f"The ratio against {ALTERNATIVES[row.ratio.alternative]}" in page(name).text


def test_a_picture_without_ratios_is_not_drawn() -> None:
    assert ratio_forest(samples.inconclusive()) is None


def test_direction_is_three_shares_under_a_named_prior() -> None:
    text = section("derived", "direction")
    assert "The questioned model descends from the reference 66 %" in text
    assert "The reference descends from the questioned model <1 %" in text
    assert "Both descend from a third model 33 %" in text
    assert "depends on the prior: all three readings count as equally probable before" in text


def test_a_direction_that_a_key_settles_is_no_probability() -> None:
    text = section("deep", "direction")
    assert "The questioned model descends from the reference. The key's dither" in text
    assert "%" not in text
    assert "Posterior" not in text


def test_power_is_given_for_every_simulated_change() -> None:
    text = section("none_found", "power")
    assert "fine-tuned for half as long as pre-training 100 % [78 %, 100 %] 80" in text
    assert "with 60 % of the weights set to zero 6 % [<1 %, 42 %] 80" in text
    assert "power" not in page("derived").values("id")
    assert "no drift of real children was measured" in section("inconclusive", "evidence").lower()
