"""The page of a case: who sees it, what it says to whom at which time, and what it never says."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from case_desks import People, past_first_second
from served import Served, new_registry, serving
from small_case import Steps, candidates, key_of, party_of

from whorl.cases import casework
from whorl.dossiers.events import Role
from whorl.web.case_page import CasePage, case_page, time_left

BROWSER = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
Pages = tuple[Served, People, str, dict[str, str]]


def fetch(url: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Accept": BROWSER})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def words(page: str) -> str:
    """What a reader sees, in one line."""
    inline = re.sub(r"</?(?:bdi|strong|time|code|span)\b[^>]*>", "", page)
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", inline).split()))


@pytest.fixture(scope="module")
def led(registry_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A case at a bureau with its codes shown, and what the respondent's page said at each step."""
    folder = tmp_path_factory.mktemp("pages")
    people, seen = People(folder / "people"), {}
    with serving(new_registry(folder / "registry", template=registry_template)) as served:
        past_first_second(served)
        people.introduce(served.url)
        url = people.open(served.url)
        link = people.manager.do("link", url, "--for", "The respondent")["link"]
        seen["opened"] = fetch(link)[1]
        people.propose(url)
        people.freeze(url)
        people.manager.do("acquire", url, "--quiet")
        people.analyst.do("analyse", url, "--quiet")
        seen["analysing"] = fetch(link)[1]
        people.manager.do("unblind", url)
        log = people.respondent.folder / "training.log"
        log.write_text("step 1 loss 5.3\n")
        people.respondent.do("acquire", url, "--document", log, "--title", "<b>Log</b>", "--how", "our own")
        people.respondent.do("respond", url, "--statement", "<script>window.hacked=1</script>", "--exhibit", "D-1")
        seen["answered"] = fetch(link)[1]
        yield served, people, link, seen


def test_before_the_protocol_a_party_reads_what_may_be_filed(led: Pages) -> None:
    text = words(led[3]["opened"])
    assert "This page is for The respondent, respondent" in text
    assert "Nothing on this page says that anybody did anything wrong." in text
    assert "Propositions of your side" in text
    assert re.search(r"whorl case propose http://127\.0\.0\.1:\d+/cases/[0-9a-f]{64} --propositions ours\.json", text)
    assert "Until when" not in text
    assert "Once the codes are shown. The window begins then." in text


def test_codes_alone_are_shown_before_the_code_key(led: Pages) -> None:
    text = words(led[3]["analysing"])
    assert "M-1" in text
    assert "known copy" not in text
    assert "stranger one" not in text
    assert re.search(r"M-\d is the reference\.", text)
    assert "Codes hide names, not weights" in text
    assert "in the signed events everybody in the case can read before that what was found, by code" in text
    assert "nobody but the manager knows" not in text
    assert "Compared with the reference" not in text
    assert "/exhibits/" not in led[3]["analysing"]


def test_then_the_page_says_what_is_said_what_was_found_and_until_when(led: Pages) -> None:
    served, _, _, seen = led
    text = words(seen["answered"])
    case = next(iter((served.registry.home.path / "cases").iterdir()))
    until = served.registry.now() + timedelta(days=29)
    assert "What is said of your model" in text
    assert "the questioned model descends from the reference" in text
    assert re.search(r"Reply until \d{4}-\d\d-\d\d \d\d:\d\d UTC: 29 days left\.", text)
    assert f"{until:%Y-%m}" in text or f"{until + timedelta(days=1):%Y-%m}" in text
    assert "known copy Positive control related" in text
    assert "known stranger Negative control not related" in text
    assert case.name in text


def test_no_figure_and_no_offence_is_on_the_page(led: Pages) -> None:
    for page in led[3].values():
        text = words(page)
        assert not re.search(r"10\^|log10|ratio of|\d %|percent", text)
        assert not re.search(r"theft|stole|infring|guilt|offence|piracy", text, re.I)


def test_strangers_words_are_only_words(led: Pages) -> None:
    page = led[3]["answered"]
    assert "<script>window" not in page
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;" in page
    assert "&lt;b&gt;Log&lt;/b&gt;" in page


def test_what_the_page_names_can_be_fetched_with_the_link_and_nothing_else(led: Pages) -> None:
    served, _, link, seen = led
    paths = [unescape(one) for one in re.findall(r'href="(/cases/[^"]+/exhibits/[^"]+)"', seen["answered"])]
    fetched = [fetch(served.url + path) for path in paths]
    assert {status for status, _ in fetched} == {200}
    assert "step 1 loss 5.3\n" in [body for _, body in fetched]
    held = next(iter((served.registry.home.path / "cases").iterdir())) / "exhibits"
    everything = {f"sha256:{file.parent.name}{file.name}" for file in held.rglob("*") if len(file.name) == 62}
    named = {path.partition("/exhibits/")[2].partition("?")[0] for path in paths}
    base, _, secret = link.partition("?")
    for hidden in everything - named:  # fingerprints of the line-up
        assert fetch(f"{base}/exhibits/{hidden}?{secret}")[0] == 404
    assert everything - named


def test_a_page_is_for_whoever_has_its_link_and_for_nobody_else(led: Pages) -> None:
    served, people, link, _ = led
    url, _, secret = link.partition("?link=")
    nowhere = f"{served.url}/cases/{'0' * 64}"
    answers = [fetch(one) for one in (url, f"{url}?link=whorl_none", f"{nowhere}?link={secret}", nowhere)]
    assert {status for status, _ in answers} == {404}
    assert len({body for _, body in answers}) == 1
    with served.client(headers={"Authorization": f"Bearer {secret}"}) as client:  # it is no token of the registry
        assert client.get("/api/audit").status_code == 401
        assert client.get(f"/api/cases/{url.rpartition('/')[2]}/events").status_code == 401
    # Others make links for themselves alone, and a stranger none.
    own = people.reviewer.do("link", url)["link"]
    assert "This page is for The reviewer" in words(fetch(own)[1])
    refused = people.reviewer.run("case", "link", url, "--for", "The respondent")
    assert (refused.exit_code, "for somebody else" in refused.stderr) == (2, True)
    assert people.stranger.run("case", "link", url).exit_code == 2


def test_a_link_ends_by_itself_or_when_it_is_ended(led: Pages) -> None:
    served, people, link, _ = led
    url = link.partition("?")[0]
    too_long = people.manager.run("case", "link", url, "--until", f"{datetime.now(UTC) + timedelta(days=400):%Y-%m-%d}")
    assert (too_long.exit_code, "within 366 days" in too_long.stderr) == (2, True)
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    short = people.complainant.do("link", url, "--until", tomorrow)["link"]
    assert fetch(short)[0] == 200
    people.complainant.do("link", url, "--end")
    assert fetch(short)[0] == 404
    assert fetch(link)[0] == 200
    again = people.complainant.do("link", url, "--until", tomorrow)["link"]
    now = served.registry.now
    served.registry.now = lambda: now() + timedelta(days=2)  # type: ignore[method-assign]
    try:
        assert fetch(again)[0] == 404
    finally:
        served.registry.now = now  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=29, hours=23), "29 days left"),
        (timedelta(days=2), "2 days left"),
        (timedelta(days=1, hours=1), "25 hours left"),
        (timedelta(hours=1, minutes=59), "1 hour left"),
        (timedelta(minutes=59), "less than an hour left"),
        (timedelta(0), "less than an hour left"),
        (timedelta(seconds=-1), None),
    ],
)
def test_time_left_is_never_overstated(left: timedelta, said: str | None) -> None:
    assert time_left(left) == said


def shown_to(steps: Steps, role: Role, *, at: datetime) -> CasePage:
    view = steps.case.read()
    return case_page(view, view.state.parties[party_of(role).id], url="https://bureau.example/cases/1", ends=at, at=at)


def titles(page: CasePage, *, now: bool) -> set[str]:
    return {one.title for one in page.filings if one.now is now}


def test_the_window_closes_and_the_page_says_so(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "case")
    until = steps.until("unblind").state.reply_until
    assert until is not None
    for moment, left, may in ((until, "less than an hour left", True), (until + timedelta(seconds=1), None, False)):
        page = shown_to(steps, "respondent", at=moment)
        assert page.window is not None
        assert page.window.left == left
        assert ("Your reply" in titles(page, now=True), "A document" in titles(page, now=True)) == (may, may)
        assert titles(page, now=False) == {"An appeal"}
    assert "Your reply" not in titles(shown_to(steps, "complainant", at=until), now=True)
    assert titles(shown_to(steps, "reviewer", at=until), now=True) == {"The review of the file"}
    assert [step.name for step in page.steps if step.progress == "now"] == ["Reply"]


def test_in_a_void_run_nothing_is_due_and_no_window_is_shown(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "case", candidates=candidates(negative="base-q8.gguf", positive="stranger"))
    view = steps.until("unblind")
    assert view.state.void
    page = shown_to(steps, "respondent", at=steps.clock())
    assert (page.window, page.filings) == (None, ())
    assert "now" not in {step.progress for step in page.steps}
    assert "for or against anybody" in " ".join(page.next)


def test_of_a_case_that_was_withdrawn_nothing_is_filed_any_more(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "case")
    steps.until("propose")
    casework.close(steps.case, key_of("manager"), outcome="withdrawn", reasons="They settled.")
    page = shown_to(steps, "respondent", at=steps.clock())
    assert [one for one in page.filings if one.now] == []
    assert "An appeal" not in titles(page, now=False)
