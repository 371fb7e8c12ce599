"""The pages as HTML: what stands on them in every state, that nothing hidden shows, that hostile text stays text."""

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import pytest
from page_registry import HOSTILE, PageRegistry, shared_registry
from page_server import BROWSER, Answer, Site, serving

from whorl.entries.kinds import Notice
from whorl.entries.leaf import parse_entry_id
from whorl.registry.database_view import DatabaseView
from whorl.registry.local import create_registry
from whorl.registry.refusals import Code
from whorl.web import page_wording
from whorl.web.errors import ApiError
from whorl.web.limits import Limits
from whorl.web.lineage_picture import Edge, Node, cut_to_width, draw
from whorl.web.notice_page import notice_page
from whorl.web.page_engine import CONTENT_POLICY, rendered, static_files
from whorl.web.page_wording import bound, times
from whorl.web.uploads import uploaded_file

FORBIDDEN = re.compile(
    r"\b(?:theft|thie\w+|stol\w+|steal\w*|cop(?:y|ies|ied|ying)|plagiar\w*|guilt\w*|owners?(?:hip)?|owned)\b", re.I
)
VOID = {"meta", "link", "input", "br", "hr", "img"}
BLOCKS = {"p", "li", "ul", "h1", "h2", "h3", "h4", "dl", "dt", "dd", "th", "td", "tr", "div", "section", "title", "pre"}
TAGS = {
    *BLOCKS,
    *(
        "html",
        "head",
        "meta",
        "link",
        "script",
        "body",
        "a",
        "header",
        "nav",
        "main",
        "footer",
        "span",
        "strong",
        "bdi",
    ),
    *("time", "form", "label", "input", "button", "ol", "details", "summary", "code", "table", "caption", "thead"),
    *("tbody", "figure", "figcaption", "noscript", "article", "sup", "svg", "path", "g", "rect", "text", "desc"),
}
SAID_IN_HIDDEN = (
    "tide-2 holds layers of lumen-1",
    "Twelve layers of tide-2",
    "orion-2 continues the weights",
    "All layers have counterparts",
    "What was tide-3 trained on?",
    "A question that says nothing",
    "Is tide-6 a merge?",
    "Which data did orion-4 see?",
    "Which tokenizer does tide-4 use?",
    "We stand by the findings",
    "We have asked the examiner",
    "Entered about the wrong model",
)


@pytest.fixture(scope="module")
def made() -> PageRegistry:
    return shared_registry()


@pytest.fixture(scope="module")
def site(made: PageRegistry) -> Iterator[Site]:
    with serving(made.bureau.registry) as found:
        yield found


@dataclass
class Page(HTMLParser):
    """A page that was parsed: its visible text, its tags with attributes, and what is wrong with its structure."""

    text: str = ""
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    @classmethod
    def of(cls, answer: Answer) -> "Page":
        page = cls()
        page.feed(answer.text)
        page.close()
        if page._open:
            page.problems.append(f"left open: {page._open}")
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " " if tag in BLOCKS else ""
        if len(dict(attrs)) < len(attrs):
            self.problems.append(f"an attribute of {tag} stands twice")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes another tag")

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def crawled(site: Site, made: PageRegistry) -> dict[str, Page]:
    """Every page that links lead to from the search and from all entries of the story."""
    waiting = ["/", "/?q=lumen", "/log?before=20", "/nothing-here"]
    waiting += [f"/entries/{entry}" for entry in made.ids.values()]
    seen: dict[str, Page] = {}
    while waiting:
        path = waiting.pop()
        if path in seen or path.startswith(("/api/", "/log/", "/static/")):
            continue
        seen[path] = Page.of(site.get(path))
        for attributes in seen[path].all("a"):
            target = (attributes["href"] or "").partition("#")[0]
            if target.startswith("/") and target not in seen:
                waiting.append(target)
    assert len(seen) > 100
    return seen


def page(site: Site, path: str) -> Page:
    return Page.of(site.get(path))


def test_a_finding_that_nobody_vouches_for_is_counted_and_not_shown(made: PageRegistry, site: Site) -> None:
    text = " ".join(page(site, f"/models/{made.ids['orion-1']}").text.split())
    assert "2 unreviewed statements about this content are not shown" in text
    assert "Harbour Models found" not in text
    assert "Meridian AI found" not in text
    assert "First Examiner found that one shares trained weights with the other" in text
    assert "Findings that name it 2 By examiners whom a bureau verified" in text
    assert "10^12" not in text
    text = " ".join(page(site, f"/models/{made.ids['orion-4']}").text.split())
    assert "1 unreviewed statement about this content is not shown" in text
    assert "Findings that name it none" in text
    assert "First Examiner" not in text
    text = " ".join(page(site, f"/models/{made.ids['lumen-1']}").text.split())
    assert "3 unreviewed statements about this content are not shown" in text


def test_beside_a_finding_stands_that_a_notice_which_cites_it_was_annulled(made: PageRegistry, site: Site) -> None:
    for name, number in (("orion-2", 4), ("lumen-1", 4), ("orion-1", 0)):  # in the list and in the table
        text = page(site, f"/models/{made.ids[name]}").text
        assert text.count("A notice that cites it was annulled") == number


def test_every_page_is_whole_html_with_one_heading_and_known_tags_only(crawled: dict[str, Page]) -> None:
    for path, found in crawled.items():
        assert found.problems == [], path
        assert {tag for tag, _ in found.tags} <= TAGS, path
        assert len(found.all("h1")) == 1, path
        assert found.all("html") == [{"lang": "en"}], path
        ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        for _, attributes in found.tags:
            for name in (attributes.get("aria-labelledby") or "").split():
                assert name in ids, (path, name)


def test_headings_never_skip_a_level(crawled: dict[str, Page]) -> None:
    for path, found in crawled.items():
        levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1, path
        assert all(later <= earlier + 1 for earlier, later in pairwise(levels)), (path, levels)


def test_hostile_text_makes_no_tag_no_handler_no_style_and_no_link(crawled: dict[str, Page]) -> None:
    # Attack 25: markup in free text that is shown to people.
    for path, found in crawled.items():
        for tag, attributes in found.tags:
            assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcdoc")], path
            if tag == "script":
                assert set(attributes) == {"type", "src"}, path
                assert (attributes["src"] or "").startswith(f"/static/{static_files()[0]}/"), path
            if tag in ("link", "img"):
                assert (attributes.get("href") or "").startswith("/static/"), path
            if tag == "form":
                assert attributes.get("action") in ("/", "/search", "/log", None), path
            if tag == "a":
                require_own_link_or_a_declared_one(path, attributes)
        assert "window.hacked=1</script" not in found.text.replace("<script>window.hacked=1</script", ""), path


def require_own_link_or_a_declared_one(path: str, attributes: dict[str, str | None]) -> None:
    target = attributes["href"] or ""
    if target.startswith("https://"):
        assert attributes["rel"] == "nofollow noopener noreferrer", path
        assert path.startswith(("/models/", "/organisations/", "/bureaus")), path
    else:
        assert re.match(r"/(?![/\\])|#", target), (path, target)


def test_hostile_text_is_shown_as_it_is(site: Site, made: PageRegistry) -> None:
    for place, text in enumerate(HOSTILE):
        found = page(site, f"/models/{made.ids[f'hostile {place}']}")
        assert " ".join(text.split()) in found.words
    notice = page(site, f"/notices/{made.ids['hostile notice']}")
    for text in HOSTILE[:-1]:
        assert notice.words.count(" ".join(text.split())) >= 2  # in the notice and in the reply
    assert HOSTILE[0] in page(site, f"/organisations/{made.ids['hostile organisation']}").words


def test_templates_of_hostile_text_are_not_evaluated(site: Site, made: PageRegistry) -> None:
    found = page(site, f"/models/{made.ids['hostile 4']}")
    assert "{{7*7}}" in found.text
    assert "49" not in found.text.replace(made.ids["hostile 4"], "").split("index")[0]


def test_what_somebody_searches_for_is_escaped_too(site: Site) -> None:
    found = page(site, "/?q=%3Cscript%3Ealert(1)%3C/script%3E%22onfocus=%22")
    assert found.problems == []
    (field_,) = [one for one in found.all("input") if one.get("name") == "q"]
    assert field_["value"] == '<script>alert(1)</script>"onfocus="'
    assert "onfocus" not in field_


def test_no_page_names_an_offence_a_share_of_blame_or_an_owner(crawled: dict[str, Page]) -> None:
    for path, found in crawled.items():
        assert FORBIDDEN.search(found.text) is None, (path, FORBIDDEN.search(found.text))
        if path.startswith("/notices/"):
            assert "%" not in found.text.replace("<%= 7*7 %>", "").replace("{%set x=1%}", ""), path


def test_scripts_say_nothing_else_either() -> None:
    for name, file in static_files()[1].items():
        assert FORBIDDEN.search(file.data.decode()) is None, name
        assert "innerHTML" not in file.data.decode(), name


def test_no_page_shows_what_a_hidden_notice_says_or_what_its_author_adds(crawled: dict[str, Page]) -> None:
    for path, found in crawled.items():
        for text in SAID_IN_HIDDEN:
            assert text not in found.words, (path, text)


def test_no_page_shows_what_its_handling_label_keeps_from_everybody(
    crawled: dict[str, Page], site: Site, made: PageRegistry
) -> None:
    entry = made.ids["restricted"]
    found = page(site, f"/models/{entry}")  # leads to the page of the entry
    assert "its handling label says who may read it" in found.words.lower()
    assert "tide-6" not in found.words
    assert not any(f"/models/{entry}" == link["href"] for one in crawled.values() for link in one.all("a"))
    answer = page(site, "/?q=tide-6")
    assert "Harbour Models" in answer.words
    assert "Northwind Labs" not in answer.words


def test_a_sealed_entry_shows_neither_kind_nor_maker(site: Site, made: PageRegistry) -> None:
    found = page(site, f"/entries/{made.ids['sealed']}")
    assert "Sealed entry" in found.words
    assert "Taken by the bureau Northern Bureau" in found.words
    assert "neither its kind nor who made it shows" in found.words
    assert "Northwind" not in found.text
    assert "tide-5" not in found.text


@pytest.mark.parametrize(
    ("name", "state", "shown", "says"),
    [
        ("filed", "Filed", False, "A bureau at home with neither side reviews it."),
        ("reviewed", "Reviewed", False, "There is time until 2026-04-03 11:40 UTC."),
        ("published", "Published", True, "It is shown until somebody whom it names disputes it"),
        ("orange", "Published", True, "An orange notice states no figures."),
        ("disputed", "Blocked", False, "Whoever filed it has answered. The chamber dismisses the dispute, or upholds"),
        ("upheld", "Upheld", True, "The chamber upheld it."),
        ("annulled", "Annulled", False, "The chamber annulled it."),
        ("silent", "Annulled", False, "The accuser did not answer a dispute in time."),
        ("withdrawn", "Withdrawn", False, "The accuser took it back."),
        ("refused", "Refused", False, "Reviewing bureaus refused it."),
    ],
)
def test_a_notice_says_its_state_and_what_comes_next(
    site: Site, made: PageRegistry, name: str, state: str, shown: bool, says: str
) -> None:
    found = page(site, f"/notices/{made.ids[name]}")
    assert f"{state} " in found.words
    assert says in found.words
    assert ("The text is not shown in this state." in found.words) != shown
    assert "How to reply or dispute" in found.words
    assert f"whorl notice dispute {made.ids[name]}" in found.words


def test_a_notice_that_expired_is_hidden(made: PageRegistry) -> None:
    with made.bureau.registry.database.reading() as connection:
        facts = DatabaseView(connection).entry(parse_entry_id(made.ids["published"]))
        assert facts is not None
        late = made.clock() + timedelta(days=3000)
        shown = notice_page(connection, facts, policy=None, at=late)
    assert (shown.state, shown.body, shown.strength, shown.findings) == ("expired", None, None, ())
    text = rendered(
        "notice.html", origin="o", notice=shown, is_own=True, log_origin="o", index=1, base="https://registry.example"
    )
    assert "Its text is not shown any more." in text
    assert "orion-1 continues" not in text
    assert "We ask the examiners for their seeds." in text  # what the accused says may always be shown


def test_the_reply_stands_first_and_beside_the_notice(site: Site, made: PageRegistry) -> None:
    found = page(site, f"/notices/{made.ids['published']}")
    classes = [one.get("class") or "" for one in found.all("div")]
    sides = [one for one in classes if one.startswith("side ")]
    assert sides == ["side reply", "side notice-text"]
    assert "sides has-reply" in classes
    without = page(site, f"/notices/{made.ids['orange']}")
    assert [one.get("class") for one in without.all("div") if (one.get("class") or "").startswith("side ")] == [
        "side notice-text",
        "side reply",
    ]
    assert "Nobody whom it names has replied." in without.words


def test_a_red_notice_states_what_is_left_after_counting_all_tests(site: Site, made: PageRegistry) -> None:
    words = page(site, f"/notices/{made.ids['published']}").words
    for text in (
        "about 4,000 times",  # 10^3.6
        "about 250 times",  # 10^2.4, the least favourable
        "at most 1 in 1,000",
        "What is left after counting all 4 tests: a ratio of about 63 times",  # 10^2.4 / 4
        "a false-positive bound of at most 4 in 1,000",
        "None of these figures is the probability that the notice is right.",
        "independent, verified by a bureau",
    ):
        assert text in words


def test_a_model_page_puts_competing_claims_side_by_side(site: Site, made: PageRegistry) -> None:
    found = page(site, f"/models/{made.ids['lumen-1']}")
    for text in (
        "Claims on it 2 They stand side by side below; none wins.",
        "L2: somebody else took a fingerprint of the claimed content",
        "mixes Cyrillic and Latin letters",
        "Northwind Labs claims it.",
        f"whorl registry receipt {made.ids['lumen-1']} --registry {site.url} -o entry.receipt.json",
        "whorl verify entry.receipt.json --policy policy.txt",
        "Not after 2026-02-02 09:00 UTC",
    ):
        assert text in found.words
    first, second = (found.words.index(name) for name in ("Northwind Labs lumen-1", "Hаrbour Models lumen-1"))
    assert first < second  # the earliest evidence first
    downloads = [one["href"] for one in found.all("a") if "download" in one]
    assert f"/api/entries/{made.ids['lumen-1']}/receipt" in downloads


def test_both_claims_show_each_other(site: Site, made: PageRegistry) -> None:
    # Attack 5: somebody registers the same content; both stand there, with their levels.
    found = page(site, f"/models/{made.ids['twin']}")
    assert "Look closely at “Hаrbour Models”" in found.words
    assert any(one["href"] == f"/models/{made.ids['lumen-1']}" for one in found.all("a"))


def test_a_lineage_picture_has_the_same_as_a_list(site: Site, made: PageRegistry) -> None:
    found = page(site, f"/models/{made.ids['tide-2']}")
    for text in (
        "tide-2 is merged from orion-1 : so says Harbour Models.",
        "tide-2 is trained on an open corpus (not an entry that is shown here)",
        "orion-1 is fine-tuned from tide-base",
        "lumen-1 and tide-2: First Examiner found that one shares trained weights with the other",
    ):
        assert text.replace(" :", ":") in found.words
    (picture,) = [one for one in found.all("svg") if one.get("role") == "img"]
    assert picture["aria-labelledby"] == "lineage-title lineage-text"
    assert len(found.all("rect")) >= 5


def test_an_advisory_shows_on_the_models_that_are_related(site: Site, made: PageRegistry) -> None:
    for name in ("orion-1", "tide-2"):
        words = page(site, f"/models/{made.ids[name]}").words
        assert "Advisory by Northwind Labs on lumen-1" in words
        assert "Ignores refusals after long prompts" in words


def test_names_digests_and_ids_are_found(site: Site, made: PageRegistry) -> None:
    by_name = page(site, "/?q=lumen")
    assert "2 entries with this name" in by_name.words
    assert "A name is what a claimant typed" in by_name.words
    digest = next(
        one["href"]
        for one in page(site, f"/models/{made.ids['lumen-1']}").all("a")
        if (one["href"] or "").startswith("/?q=sha256")
    )
    assert digest is not None
    assert "2 entries with this digest" in page(site, digest).words
    assert made.ids["lumen-1"] in page(site, f"/?q={made.ids['lumen-1']}").words
    assert "That shows only that nobody entered it here." in page(site, "/?q=nobody-has-this-name").words
    assert "expected 1 to 8 words" in page(site, "/?q=---").words.lower()


def form(data: bytes, *, field: str = "fingerprint") -> dict[str, object]:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="a.whorl"\r\n\r\n'
    return {"data": head.encode() + data + b"\r\n--b--\r\n", "Content_Type": "multipart/form-data; boundary=b"}


def test_a_fingerprint_gives_leads_and_is_not_kept(site: Site, made: PageRegistry) -> None:
    blobs = sorted(made.bureau.registry.blobs.path.rglob("*"))
    before = set(Path(tempfile.gettempdir()).iterdir())
    answer = site.get("/search", **form(made.searched))  # type: ignore[arg-type]
    found = Page.of(answer)
    for text in (
        "2 leads",
        "A lead is a reason to compare two models, and nothing more.",
        "Claimed by Northwind Labs",
        "L2 Somebody independent took a fingerprint of this very content.",
        "Score 1.00, the best of 2 fingerprints of it",
        "whorl compare YOURS.whorl lead-1.whorl",
    ):
        assert text in found.words
    assert "%" not in found.words
    assert sorted(made.bureau.registry.blobs.path.rglob("*")) == blobs
    assert {path for path in Path(tempfile.gettempdir()).iterdir() if path.suffix == ".whorl"} <= before


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        (form(b""), 400, "choose one"),
        (form(b"not a fingerprint"), 400, "expected"),
        (form(b"x", field="other"), 400, "the field fingerprint"),
        ({"data": b"x", "Content_Type": "text/plain"}, 400, "a form with a file"),
        ({"data": b"--b\r\nbroken", "Content_Type": "multipart/form-data; boundary=b"}, 400, "the field fingerprint"),
        ({"data": b"--b", "Content_Type": "multipart/form-data"}, 400, "a form with a file"),
    ],
)
def test_what_is_no_fingerprint_gives_a_page_that_says_so(
    site: Site, request_: dict[str, object], status: int, says: str
) -> None:
    answer = site.get("/search", **request_)  # type: ignore[arg-type]
    assert answer.status == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert says in Page.of(answer).words


def test_a_file_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    connection = HTTPConnection(site.url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/search")
    for name, value in (("Accept", BROWSER), ("Content-Length", "5000000"), ("Content-Type", "multipart/form-data")):
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "That is too large" in answer.read().decode()
    connection.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/models/nothing", 404),
        ("/models/" + "a" * 52, 404),
        ("/notices/%3Cscript%3E", 404),
        ("/organisations/" + "a" * 52, 404),
        ("/entries/..%2F..%2Fetc", 404),
        ("/bureaus/forks/..%2F..%2Fkeys%2Flog.json", 404),
        ("/log?index=999999", 404),
        ("/log?index=-1", 422),
        ("/log?index=word", 422),
    ],
)
def test_errors_are_pages_for_browsers_and_json_for_programs(site: Site, path: str, status: int) -> None:
    answer = site.get(path)
    assert answer.status == status
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    found = Page.of(answer)
    assert found.problems == []
    assert "Go to the search" in found.words
    program = site.get(path, accept="application/json")
    assert program.status == status
    assert set(json.loads(program.text)["error"]) == {"code", "message"}


def test_the_api_keeps_json_for_everybody(site: Site) -> None:
    answer = site.get("/api/entries/nothing")
    assert answer.headers["content-type"] == "application/json"
    assert site.get("/log/tile/nothing").headers["content-type"] == "application/json"


def test_too_many_pages_are_refused_with_a_page_that_says_when(tmp_path: Path) -> None:
    registry = create_registry(tmp_path / "r", origin="bureau.example/few", bureau_name="Few", jurisdiction="NL")
    with registry, serving(registry, limits=Limits(reads_per_second=20, searches_per_second=1)) as few:
        answers = [few.get("/bureaus") for _ in range(12)]
        refused = [one for one in answers if one.status == 429]
        assert refused
        assert "Try again in 1 seconds." in Page.of(refused[0]).words
        assert refused[0].headers["retry-after"] == "1"


def test_a_new_registry_has_pages_too(tmp_path: Path) -> None:
    registry = create_registry(tmp_path / "r", origin="bureau.example/new", bureau_name="New", jurisdiction="NL")
    with registry, serving(registry) as new:
        for path in ("/", "/log", "/bureaus", "/statistics", "/log?index=0"):
            assert new.get(path).status == 200
        assert "this registry is one bureau alone" in page(new, "/bureaus").words
        assert "asks for no witness" in page(new, "/log").words


def test_every_page_has_a_policy_that_lets_nothing_in(site: Site, made: PageRegistry) -> None:
    for path in ("/", "/log", f"/models/{made.ids['lumen-1']}", "/nothing"):
        answer = site.get(path)
        assert answer.headers["content-security-policy"] == CONTENT_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in CONTENT_POLICY
    assert CONTENT_POLICY.startswith("default-src 'none'")
    assert "http" not in CONTENT_POLICY


def test_static_files_stay_the_same_at_their_address(site: Site) -> None:
    version, files = static_files()
    for name, file in files.items():
        answer = site.get(f"/static/{version}/{name}")
        assert (answer.status, answer.text.encode()) == (200, file.data)
        assert "immutable" in answer.headers["cache-control"]
        assert b"http" not in file.data.replace(b"http://www.w3.org/2000/svg", b"").replace(b"https", b"")
    assert site.get(f"/static/{version}/..%2Fpages.py").status == 404
    assert site.get("/static/old/pages.css").status == 404


def test_figures_of_all_bureaus_are_counted(site: Site) -> None:
    words = page(site, "/statistics").words
    for text in ("bureau.example/north", "bureau.example/south", "Annulled 2", "Blocked 1", "From filing to the first"):
        assert text in words


def test_the_bureaus_page_shows_mirrors_alarms_and_fork_proofs(site: Site, made: PageRegistry) -> None:
    words = page(site, "/bureaus").words
    for text in ("Eastern Bureau EE", "a tree head of", "No bureau was caught", "2 of 3 keys rule on disputes"):
        assert text in words
    proof = made.bureau.registry.home.path / "seen" / "fork-test.proof"
    proof.parent.mkdir(exist_ok=True)
    proof.write_text('{"schema": "whorl.log-fork/1"}')
    site.alarms.append(("bureau.example/<b>east</b>", "two roots for one tree"))
    try:
        found = page(site, "/bureaus")
        assert "bureau.example/<b>east</b> two roots for one tree" in found.words
        answer = site.get("/bureaus/forks/fork-test.proof")
        assert (answer.status, answer.text) == (200, '{"schema": "whorl.log-fork/1"}')
        assert "attachment" in answer.headers["content-disposition"]
    finally:
        site.alarms.clear()
        proof.unlink()


def test_an_odd_host_does_not_get_into_a_command(site: Site, made: PageRegistry) -> None:
    answer = site.get(f"/models/{made.ids['lumen-1']}", Host="registry.example;rm -rf ~")
    assert "rm -rf" not in answer.text
    assert "--registry https://REGISTRY" in Page.of(answer).words


def test_an_entry_of_another_bureau_is_proven_there(site: Site, made: PageRegistry) -> None:
    found = page(site, f"/entries/{made.ids['orion-1']}")
    assert "This entry is in the log of another bureau, bureau.example/south" in found.words
    assert "--registry https://bureau.example/south" in found.words
    assert "Check the proof in this browser" not in found.words


@pytest.mark.parametrize(
    ("log10", "words"),
    [(3.6, "about 4,000 times"), (0.0, "about 1 times"), (7.21, "10^7.2 times"), (-0.5, "10^-0.5 times")],
)
def test_ratios_in_words(log10: float, words: str) -> None:
    assert times(log10) == words


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.001, "at most 1 in 1,000"),
        (0.004, "at most 4 in 1,000"),
        (0.0123, "at most 13 in 1,000"),
        (0.5, "at most 5 in 10"),
        (1.0, "no bound below 1"),
    ],
)
def test_bounds_in_words_are_never_below_the_bound(probability: float, words: str) -> None:
    assert bound(probability) == words


def test_everything_that_can_be_shown_has_words() -> None:
    from typing import get_args

    from whorl.entries.kinds import KINDS, Role, State
    from whorl.registry.notices import NoticeState
    from whorl.registry.standing import Standing

    assert set(get_args(Code)) <= set(page_wording.REFUSALS)
    assert set(KINDS.values()) == set(page_wording.KINDS)
    assert set(get_args(State)) == set(page_wording.VOTES)
    assert set(get_args(Role)) == set(page_wording.ROLES)
    assert set(get_args(NoticeState)) == set(page_wording.NOTICE_STATES) == set(page_wording.NOTICE_MEANINGS)
    assert set(get_args(Standing)) == set(page_wording.STANDINGS)
    assert set(Notice.model_fields["colour"].annotation.__args__) == set(page_wording.COLOURS)  # type: ignore[union-attr]


def test_a_picture_has_room_for_all_of_it() -> None:
    nodes = [Node(key=str(n), rank=n % 3 - 1, name="名" * 40, claimant="c", entry=None) for n in range(12)]
    edges = [
        Edge(above="0", below=str(n), words="merged from", said_by="x", source="declared", by="e") for n in (1, 4, 7)
    ]
    picture = draw(nodes, edges)
    assert all(box.x >= 0 and box.x + 164 <= picture.width for box in picture.boxes)
    assert all(box.y >= 0 and box.y + 46 <= picture.height for box in picture.boxes)
    assert len({(box.x, box.y) for box in picture.boxes}) == len(nodes)
    assert len(picture.lines) == 3


@pytest.mark.parametrize(("text", "cut"), [("short", "short"), ("名" * 20, "名" * 9 + "…"), ("a" * 30, "a" * 19 + "…")])
def test_labels_are_cut_by_their_width(text: str, cut: str) -> None:
    assert cut_to_width(text, 20) == cut


@pytest.mark.parametrize(
    "body", [b"", b"--b", b"--b\r\n\r\n", b"--b\r\nA: b\r\n" * 20, b"\x00" * 100, b"--b--", b"--b\r\n" + b"x" * 9000]
)
def test_malformed_forms_are_refused(body: bytes) -> None:
    with pytest.raises(ApiError):
        uploaded_file("multipart/form-data; boundary=b", body, field="fingerprint")


def test_a_file_comes_out_of_a_form_byte_for_byte() -> None:
    data = bytes(range(256)) * 40 + b"\r\n--c\r\n--"
    body = form(data)["data"]
    assert isinstance(body, bytes)
    assert uploaded_file("multipart/form-data; boundary=b", body, field="fingerprint") == data
