"""The page of a case in a real Chromium: axe at every stage, on small and wide screens, nothing fetched elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from case_desks import People, past_first_second
from served import new_registry, serving

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip(f"no Chromium at {CHROMIUM}", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 900}
PICTURES = os.environ.get("WHORL_PICTURES")  # a folder, to look at the pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield browser
        browser.close()


def look(browser: Any, link: str, name: str, *, scheme: str) -> None:
    """Open a page as its reader does, and complain of whatever a browser or axe complains of."""
    context = browser.new_context(viewport=WIDE, color_scheme=scheme)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: one.url.startswith(link.partition("/cases/")[0]) or complaints.append(one.url))
    page.goto(link)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = axe_module.Axe().run(page).response["violations"]
    assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found] == []
    for viewport in (WIDE, PHONE):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{viewport['width']}.png", full_page=True)
    assert page.evaluate("window.hacked") is None
    assert complaints == []
    context.close()


def test_the_page_is_accessible_at_every_stage_and_for_every_reader(
    browser: Any, registry_template: Path, tmp_path: Path
) -> None:
    people = People(tmp_path / "people")
    with serving(new_registry(tmp_path / "registry", template=registry_template)) as served:
        past_first_second(served)
        people.introduce(served.url)
        url = people.open(served.url, licence="<img src=x onerror=window.hacked=1> Harrow may be used for research.")
        link = {
            role: people.manager.do("link", url, "--for", f"The {role}")["link"]
            for role in ("respondent", "complainant", "analyst")
        }
        look(browser, link["respondent"], "opened", scheme="light")
        people.until_unblinded(url)
        look(browser, link["respondent"], "unblinded", scheme="light")
        log = people.respondent.folder / "training.log"
        log.write_text("step 1 loss 5.3\n")
        people.respondent.do("acquire", url, "--document", log, "--title", "Training log " + "x" * 180, "--how", "own")
        people.respondent.do("respond", url, "--statement", "We trained Lark ourselves.", "--exhibit", "D-1")
        people.reviewer.do(
            "review", url, "--checklist", people.reviewer.file("list", people.reviewer.template("checklist"))
        )
        look(browser, link["complainant"], "reviewed", scheme="dark")
        look(browser, link["analyst"], "analyst", scheme="light")
