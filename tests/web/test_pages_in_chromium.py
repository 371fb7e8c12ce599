"""The pages in a real Chromium: keyboard, axe, small and wide screens, print, and proofs checked in the browser."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_registry import PageRegistry, shared_registry
from page_server import Site, serving
from small_log import MODEL, Issuer, SmallLog, counting_bytes, issuer_public, organisation

from whorl.core.errors import VerificationError
from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import Key
from whorl.entries.leaf import Leaf, commitment, entry_id, parse_leaf
from whorl.log.keys import Signer, signer_from_bytes
from whorl.log.merkle import EMPTY_ROOT, leaf_hash, root_of_leaves, verify_consistency, verify_inclusion
from whorl.log.policy import Group, KnownWitness, Policy
from whorl.log.tree_heads import TreeHead, sign_tree_head
from whorl.web.page_engine import static_files

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip(f"no Chromium at {CHROMIUM}", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

ELSEWHERE = "registry.example"  # resolved to this machine: a page over plain http that is not local
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND",
)
DONE = "#verdict.held, #verdict.failed, #verdict.open"
PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 900}
VECTORS = Path(__file__).parents[1] / "log" / "vectors" / "merkle-proofs.json"


@pytest.fixture(scope="module")
def made() -> PageRegistry:
    return shared_registry()


@pytest.fixture(scope="module")
def site(made: PageRegistry) -> Iterator[Site]:
    with serving(made.bureau.registry) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield browser
        browser.close()


class Watched:
    """A page, and all that a browser has to complain of it."""

    def __init__(self, context: Any, site: Site) -> None:
        self.page = context.new_page()
        self.site = site
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.site.url, f"http://{ELSEWHERE}:")):
            self.complaints.append(f"request to {request.url}")

    def go(self, path: str) -> Any:
        self.page.goto(self.site.url + path)
        return self.page


@pytest.fixture
def open_page(browser: Any, site: Site) -> Iterator[Callable[..., Watched]]:
    contexts = []

    def make(**options: Any) -> Watched:
        contexts.append(browser.new_context(**{"viewport": WIDE, **options}))
        return Watched(contexts[-1], site)

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def watched(open_page: Callable[..., Watched]) -> Iterator[Watched]:
    found = open_page()
    yield found
    assert found.complaints == []


def paths(made: PageRegistry) -> dict[str, str]:
    ids = made.ids
    return {
        "search": "/",
        "results": "/?q=lumen",
        "model": f"/models/{ids['lumen-1']}",
        "mirrored model": f"/models/{ids['tide-2']}",
        "hostile model": f"/models/{ids['hostile 1']}",
        "published": f"/notices/{ids['published']}",
        "disputed": f"/notices/{ids['disputed']}",
        "annulled": f"/notices/{ids['annulled']}",
        "hostile notice": f"/notices/{ids['hostile notice']}",
        "log": "/log",
        "entry": f"/entries/{ids['lumen-1']}",
        "organisation": f"/organisations/{ids['Meridian AI']}",
        "statistics": "/statistics",
        "bureaus": "/bureaus",
    }


PAGES = (
    "search",
    "results",
    "model",
    "mirrored model",
    "hostile model",
    "published",
    "disputed",
    "annulled",
    "hostile notice",
    "log",
    "entry",
    "organisation",
    "statistics",
    "bureaus",
)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_fits_every_screen_and_stays_at_home(
    open_page: Callable[..., Watched], made: PageRegistry, name: str
) -> None:
    scheme = "dark" if name in ("model", "published", "entry") else "light"
    watched = open_page(color_scheme=scheme)
    page = watched.go(paths(made)[name])
    assert violations(page) == []
    for viewport in (WIDE, PHONE):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate("window.hacked") is None
    assert watched.complaints == []


def violations(page: Any) -> list[str]:
    found = axe_module.Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def test_axe_finds_what_is_wrong(watched: Watched) -> None:
    page = watched.go("/")
    page.evaluate("document.documentElement.removeAttribute('lang')")
    page.evaluate("document.getElementById('q').insertAdjacentElement('beforebegin', document.createElement('button'))")
    assert [one.partition(":")[0] for one in violations(page)] == ["button-name", "html-has-lang"]


def test_pages_after_an_action_are_accessible_too(watched: Watched, made: PageRegistry, tmp_path: Path) -> None:
    file = tmp_path / "model.whorl"
    file.write_bytes(made.searched)
    page = watched.go("/")
    page.set_input_files("#fingerprint", str(file))
    page.click("text=Find leads")
    page.get_by_role("heading", name="2 leads").wait_for()
    page.locator("summary").first.click()
    assert violations(page) == []
    page = watched.go(f"/entries/{made.ids['disputed']}")
    check(page)
    assert violations(page) == []


def test_the_error_page_is_accessible(open_page: Callable[..., Watched]) -> None:
    watched = open_page()
    page = watched.go("/nothing")
    assert page.get_by_role("heading", level=1).inner_text() == "There is no such page"
    assert violations(page) == []
    assert [one for one in watched.complaints if "404" not in one] == []


def test_keyboard_alone_finds_a_model(watched: Watched) -> None:
    page = watched.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = page.locator(".skip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("lumen")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="2 entries with this name").wait_for()
    for _ in range(3):  # over the field and its button
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith("Northwind Labs lumen-1"):
            break
    page.locator(":focus").press("Tab")
    page.keyboard.press("Shift+Tab")
    page.get_by_role("link", name="Northwind Labs lumen-1").press("Enter")
    page.get_by_role("heading", level=1, name="lumen-1").wait_for()


@pytest.mark.parametrize("name", ["search", "published", "entry"])
def test_focus_goes_through_the_page_in_its_order_and_is_seen(watched: Watched, made: PageRegistry, name: str) -> None:
    page = watched.go(paths(made)[name])
    order = """() => [...document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]')]
        .filter((one) => one.checkVisibility()).indexOf(document.activeElement)"""
    number = page.evaluate(order.replace("indexOf(document.activeElement)", "length"))
    seen = """() => { const style = getComputedStyle(document.activeElement);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; }"""
    places = []
    for _ in range(min(number, 14)):
        page.keyboard.press("Tab")
        places.append(page.evaluate(order))
        assert page.evaluate(seen), places
    assert places == list(range(min(number, 14)))


def test_without_scripts_everything_but_the_check_works(
    open_page: Callable[..., Watched], made: PageRegistry, tmp_path: Path
) -> None:
    watched = open_page(java_script_enabled=False)
    file = tmp_path / "model.whorl"
    file.write_bytes(made.searched)
    page = watched.go("/")
    page.set_input_files("#fingerprint", str(file))
    page.click("text=Find leads")
    page.get_by_role("heading", name="2 leads").wait_for()
    page = watched.go(f"/entries/{made.ids['lumen-1']}")
    assert not page.locator("#check-form").is_visible()
    assert "Scripts are switched off here" in page.inner_text("main")
    assert watched.complaints == []


def test_a_file_can_be_dropped(watched: Watched, made: PageRegistry) -> None:
    page = watched.go("/")
    data = base64.b64encode(made.searched).decode()
    drop = """(text) => { const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
        const dropped = new DataTransfer(); dropped.items.add(new File([bytes], 'model.whorl'));
        const event = new DragEvent('drop', {dataTransfer: dropped, cancelable: true});
        document.getElementById('drop').dispatchEvent(event); }"""
    page.evaluate(drop, data)
    page.get_by_role("heading", name="2 leads").wait_for()


def test_a_file_that_is_too_large_is_not_sent(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "large.whorl"
    file.write_bytes(b"x" * (5 << 20))
    page = watched.go("/")
    page.set_input_files("#fingerprint", str(file))
    page.click("text=Find leads")
    page.get_by_text("This file is too large for a fingerprint").wait_for()


def test_notice_and_reply_are_equally_wide_and_the_reply_comes_first_on_a_phone(
    watched: Watched, made: PageRegistry
) -> None:
    page = watched.go(f"/notices/{made.ids['published']}")
    notice, reply = (page.locator(f".sides > .{name}").first for name in ("notice-text", "reply"))
    left, right = notice.bounding_box(), reply.bounding_box()
    assert left["width"] == pytest.approx(right["width"], abs=1)
    assert left["y"] == pytest.approx(right["y"], abs=1)
    assert left["x"] < right["x"]
    page.set_viewport_size(PHONE)
    assert reply.bounding_box()["y"] < notice.bounding_box()["y"]


def test_a_page_can_be_printed(watched: Watched, made: PageRegistry) -> None:
    page = watched.go(f"/notices/{made.ids['published']}")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.get_by_text("What is left after counting all 4 tests").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000
    page = watched.go("/")
    page.emulate_media(media="print")
    assert not page.locator("form").first.is_visible()


# Proofs


def check(page: Any) -> list[tuple[str, str, str]]:
    """Press the button and wait; result, title and detail of each step."""
    page.get_by_role("button", name="Check now").press("Enter")
    page.locator(DONE).wait_for()
    lines = page.locator("#steps > li")
    return [
        tuple(lines.nth(place).locator(part).inner_text() for part in (".result", ".title", ".detail"))
        for place in range(lines.count())
    ]


@pytest.mark.parametrize("name", ["lumen-1", "published", "Northwind Labs", "orange"])
def test_the_proof_of_an_entry_holds(watched: Watched, made: PageRegistry, name: str) -> None:
    page = watched.go(f"/entries/{made.ids[name]}")
    steps = check(page)
    assert [result for result, _, _ in steps] == ["holds"] * 10
    assert page.inner_text("#verdict").startswith("All 10 steps hold")
    assert "bureau.example.east" in steps[5][2]
    assert "no browser can check" in steps[3][2]
    assert "Made from the bytes that were checked just now." in page.inner_text("#says-source")


def test_something_that_speaks_against_an_entry_is_said(watched: Watched, made: PageRegistry) -> None:
    page = watched.go(f"/entries/{made.ids['disputed']}")
    results = {title: (result, detail) for result, title, detail in check(page)}
    result, detail = results["Nothing speaks against it"]
    assert result == "against it"
    assert "speaks against it. Read that one too." in detail
    assert results["The leaf commits to what the entry says"][0] == "not checked"  # its content is not shown
    assert page.inner_text("#verdict") == "It is in the log as it stands here, and something speaks against it."


def flipped(text: str, place: int = 20) -> str:
    """Canonical base64 of the same bytes but one bit."""
    data = bytearray(base64.b64decode(text))
    data[place] ^= 1
    return base64.b64encode(data).decode()


def edited(document: dict[str, Any], *way: Any, change: Callable[[Any], Any]) -> dict[str, Any]:
    """A receipt with one value replaced."""
    changed = json.loads(json.dumps(document))
    inner = changed
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = change(inner[way[-1]])
    return changed


def in_line(number: int, change: Callable[[str], str]) -> Callable[[str], str]:
    """Change one line of a proof."""

    def apply(text: str) -> str:
        lines = text.split("\n")
        lines[number] = change(lines[number])
        return "\n".join(lines)

    return apply


def in_signature(number: int) -> Callable[[str], str]:
    """Flip a bit of a signature, counted over the signature lines of a proof."""

    def apply(text: str) -> str:
        lines = text.split("\n")
        places = [place for place, line in enumerate(lines) if line.startswith("— ")]
        head, _, blob = lines[places[number]].rpartition(" ")
        lines[places[number]] = f"{head} {flipped(blob, 40)}"
        return "\n".join(lines)

    return apply


def other_words(text: str) -> str:
    """An envelope that says another name, with the signatures of the true one."""
    envelope = json.loads(base64.b64decode(text))
    envelope["payload"] = base64.b64encode(
        base64.b64decode(envelope["payload"]).replace(b"lumen-1", b"lumen-7")
    ).decode()
    return base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()


def doubled_key(text: str) -> str:
    """An envelope in whose statement one key stands twice."""
    envelope = json.loads(base64.b64decode(text))
    payload = base64.b64decode(envelope["payload"]).replace(b'"body":{', b'"body":{"name":"x",')
    envelope["payload"] = base64.b64encode(payload).decode()
    return base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "a bit of the leaf": (lambda r: edited(r, "entry", "leaf", change=flipped), "The receipt is of this entry"),
    "what it says": (
        lambda r: edited(r, "entry", "envelope", change=other_words),
        "The leaf commits to what the entry says",
    ),
    "a key twice": (
        lambda r: edited(r, "entry", "envelope", change=doubled_key),
        "The leaf commits to what the entry says",
    ),
    "the salt": (
        lambda r: edited(r, "entry", "salt", change=lambda s: "ff" + s[2:]),
        "The leaf commits to what the entry says",
    ),
    "a hash of the path": (
        lambda r: edited(r, "entry", "proof", change=in_line(2, lambda s: flipped(s, 3))),
        "The leaf is in that tree",
    ),
    "a hash left out": (
        lambda r: edited(r, "entry", "proof", change=lambda s: "\n".join(s.split("\n")[:2] + s.split("\n")[3:])),
        "The leaf is in that tree",
    ),
    "the index": (
        lambda r: edited(r, "entry", "proof", change=in_line(1, lambda s: f"index {int(s[6:]) - 1}")),
        "The leaf is in that tree",
    ),
    "the log's signature": (
        lambda r: edited(r, "entry", "proof", change=in_signature(0)),
        "The log signed a tree head",
    ),
    "a witness's signature": (
        lambda r: edited(r, "entry", "proof", change=in_signature(2)),
        "The log signed a tree head",
    ),
    "without witnesses": (
        lambda r: edited(
            r, "entry", "proof", change=lambda s: "\n".join(x for x in s.split("\n") if "/east/" not in x)
        ),
        "Witnesses cosigned the tree head",
    ),
    "another size": (
        lambda r: edited(
            r, "entry", "proof", change=lambda s: s.replace("bureau.example/north\n1", "bureau.example/north\n2")
        ),
        "The log signed a tree head",
    ),
    "whose key it is": (
        lambda r: edited(r, "authority", 0, "envelope", change=lambda s: flipped(s, 400)),
        "The key belongs to an organisation",
    ),
    "no authority": (lambda r: edited(r, "authority", change=lambda _: []), "The key belongs to an organisation"),
    "a neighbour in the status map": (
        lambda r: edited(r, "status", "proof", "leaves", 0, "key", change=lambda s: "01" + s[2:]),
        "Nothing speaks against it",
    ),
    "one neighbour": (
        lambda r: edited(r, "status", "proof", "leaves", change=lambda s: s[:1]),
        "Nothing speaks against it",
    ),
    "the map's entry": (
        lambda r: edited(r, "status", "map", change=lambda _: r["entry"]),
        "Nothing speaks against it",
    ),
}


def test_what_was_altered_is_shown_as_failed(open_page: Callable[..., Watched], made: PageRegistry, site: Site) -> None:
    watched = open_page()
    address = f"/api/entries/{made.ids['lumen-1']}/receipt"
    receipt = json.loads(site.get(address, accept="*/*").text)
    answer: list[dict[str, Any]] = [receipt]
    watched.page.route(f"**{address}", lambda route: route.fulfill(json=answer[0]))
    page = watched.go(f"/entries/{made.ids['lumen-1']}")
    assert {result for result, _, _ in check(page)} == {"holds"}
    for name, (tamper, title) in TAMPERED.items():
        answer[0] = tamper(receipt)
        assert answer[0] != receipt, name
        steps = check(page)
        assert title in [one for result, one, _ in steps if result == "fails"], (name, steps)
        assert page.inner_text("#verdict").startswith("Does not hold"), name
    answer[0] = json.loads(site.get(f"/api/entries/{made.ids['published']}/receipt", accept="*/*").text)
    assert ("fails", "The receipt is of this entry") in [(result, title) for result, title, _ in check(page)]
    answer[0] = {}
    check(page)
    assert page.locator("#verdict").get_attribute("class") == "verdict-line failed"
    assert watched.complaints == []


def in_leaf(receipt: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A receipt whose leaf was made anew, so that it fits what is in it, or nearly."""
    leaf = replace(parse_leaf(base64.b64decode(receipt["entry"]["leaf"])), **changes)
    return edited(receipt, "entry", "leaf", change=lambda _: base64.b64encode(leaf.to_bytes()).decode())


def with_commitment(receipt: dict[str, Any]) -> dict[str, Any]:
    envelope, salt = base64.b64decode(receipt["entry"]["envelope"]), bytes.fromhex(receipt["entry"]["salt"])
    return in_leaf(receipt, commit=commitment(envelope, salt=salt))


def unsigned(text: str) -> str:
    envelope = json.loads(base64.b64decode(text))
    envelope["signatures"] = envelope["signatures"][1:]
    return base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()


def without_post_quantum(text: str) -> str:
    envelope = json.loads(base64.b64decode(text))
    envelope["signatures"] = envelope["signatures"][:1]
    return base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()


def test_a_forger_who_makes_a_leaf_that_fits_fails_at_the_signature_and_at_the_log(
    watched: Watched, made: PageRegistry, site: Site
) -> None:
    receipt = json.loads(site.get(f"/api/entries/{made.ids['lumen-1']}/receipt", accept="*/*").text)
    page = watched.go("/")
    run = """async ([folder, receipt, entry, policy]) => {
        const [receipts, proofs] = [await import(`${folder}/receipts.js`), await import(`${folder}/proofs.js`)];
        const steps = {};
        await receipts.checkReceipt(receipt, {entry, policy: await proofs.parsePolicy(policy), present: null,
            fetchTile: null, tell: ({title, result}) => { steps[title] = result; }});
        return steps; }"""
    policy = made.bureau.registry.home.policy().to_text()
    for change, fails in (
        (other_words, "The issuer signed it"),
        (unsigned, "The issuer signed it"),
        (without_post_quantum, "The issuer signed it"),
    ):
        forged = with_commitment(edited(receipt, "entry", "envelope", change=change))
        entry = entry_id(leaf_hash(base64.b64decode(forged["entry"]["leaf"])))
        steps = page.evaluate(run, [f"/static/{static_files()[0]}", forged, entry, policy])
        assert steps["The leaf commits to what the entry says"] == "held"
        assert steps["What it says gives this very leaf"] == "held"
        assert steps[fails] == "failed", change
        assert steps["The leaf is in that tree"] == "failed"
    moved = in_leaf(receipt, sequence=7)
    entry = entry_id(leaf_hash(base64.b64decode(moved["entry"]["leaf"])))
    steps = page.evaluate(run, [f"/static/{static_files()[0]}", moved, entry, policy])
    assert steps["What it says gives this very leaf"] == "failed"


def steps_of(page: Any, log: SmallLog, receipt: dict[str, Any], leaf: Leaf) -> dict[str, str]:
    """What becomes of each step of a receipt from a small log."""
    run = """async ([folder, receipt, entry, policy]) => {
        const [receipts, proofs] = [await import(`${folder}/receipts.js`), await import(`${folder}/proofs.js`)];
        const steps = {};
        await receipts.checkReceipt(receipt, {entry, policy: await proofs.parsePolicy(policy), present: null,
            fetchTile: null, tell: ({title, result}) => { steps[title] = result; }});
        return steps; }"""
    asked = [f"/static/{static_files()[0]}", receipt, entry_id(leaf.hash), log.policy().to_text()]
    found: dict[str, str] = page.evaluate(run, asked)
    return found


def test_the_key_of_somebody_who_did_not_sign_that_they_want_it_known_is_not_believed(watched: Watched) -> None:
    keys = [new_issuer_key(counting_bytes(20 * number), post_quantum=number != 2) for number in range(3)]
    root, spare, added = keys
    page = watched.go("/")
    for signing, by_root, by_added in (
        ([spare, added], "held", "held"),
        ([added], "failed", "failed"),
        ([spare], "held", "failed"),
    ):
        log, issuer, other = SmallLog(), Issuer(root), Issuer(added)
        made = log.enter(
            issuer, "organisation", organisation(root, spare), cosigners=[s for s in signing if s is spare]
        )
        body = Key(action="add", public=issuer_public(added), roles=("submitter",))
        log.enter(issuer, "key", body, target=made.hash, cosigners=[s for s in signing if s is added])
        for index, by, authority, expected in ((2, issuer, [0], by_root), (3, other, [0, 1], by_added)):
            leaf = log.enter(by, "model", MODEL)
            receipt = json.loads(log.receipt(index, authority=authority))
            assert steps_of(page, log, receipt, leaf)["The key belongs to an organisation"] == expected


def test_what_was_signed_for_another_log_is_shown_as_failed(watched: Watched) -> None:
    page = watched.go("/")
    log, issuer = SmallLog(), Issuer(new_issuer_key(counting_bytes()))
    log.enter(issuer, "organisation", organisation(issuer.key))
    for index, (signed_for, expected) in enumerate(((log.origin, "held"), ("bureau.example/two", "failed")), start=1):
        issuer.log = signed_for
        leaf = log.enter(issuer, "model", MODEL)
        steps = steps_of(page, log, json.loads(log.receipt(index)), leaf)
        assert steps["The leaf is in that tree"] == expected
        assert steps["What it says gives this very leaf"] == "held"


def test_only_the_newest_status_map_of_its_bureau_says_that_nothing_speaks_against_an_entry(watched: Watched) -> None:
    page, title = watched.go("/"), "Nothing speaks against it"
    log, bureau, other = (
        SmallLog(),
        Issuer(new_issuer_key(counting_bytes())),
        Issuer(new_issuer_key(counting_bytes(50))),
    )
    log.enter(bureau, "organisation", organisation(bureau.key))
    log.enter(other, "organisation", organisation(other.key, name="Meridian AI"))
    leaf = log.enter(other, "model", MODEL)
    empty = log.enter_map(bureau, {})

    def standing(map_index: int, authority: int = 0) -> str:
        receipt = json.loads(log.receipt(2, authority=[1], status=empty, map_index=map_index))
        receipt["status"]["authority"] = [json.loads(log.receipt(authority, authority=[]))["entry"]]
        return steps_of(page, log, receipt, leaf)[title]

    assert standing(3) == "held"
    log.enter(other, "model", MODEL)  # of which that map says nothing
    assert standing(3) == "failed"
    log.enter_map(other, {})
    assert standing(5, authority=1) == "failed"
    log.enter_map(bureau, {})
    assert standing(6) == "held"


def test_a_log_that_does_not_grow_is_shown_as_failed(open_page: Callable[..., Watched], made: PageRegistry) -> None:
    watched = open_page()
    watched.page.route("**/log/tile/0/**", lambda route: route.fulfill(body=bytes(32) * 64))
    page = watched.go(f"/entries/{made.ids['lumen-1']}")
    results = {title: result for result, title, _ in check(page)}
    assert results.pop("The log has only grown since") == "fails"
    assert set(results.values()) == {"holds"}


def test_the_log_page_remembers_and_finds_a_rewritten_log(watched: Watched, made: PageRegistry) -> None:
    page = watched.go("/log")
    first = check(page)
    assert [result for result, _, _ in first] == ["holds", "holds", "not checked"]
    assert "remembers this one now" in first[2][2]
    again = check(page)
    assert [result for result, _, _ in again] == ["holds"] * 3
    made.clock.move(minutes=1)
    key = f"whorl tree head of {made.bureau.origin}"
    for size in (3, 8, 30):
        other = TreeHead(origin=made.bureau.origin, size=size, root=EMPTY_ROOT)
        page.evaluate("([key, note]) => localStorage.setItem(key, note)", [key, signed(made, other)])
        result, _, detail = check(page)[2]
        assert (result, "is not the beginning" in detail) == ("fails", True)
    page.evaluate("(key) => localStorage.setItem(key, 'no note')", key)
    assert check(page)[2][0] == "fails"


def signed(made: PageRegistry, head: TreeHead) -> str:
    signers: tuple[Signer, ...] = made.bureau.registry.home.log_signers()
    return sign_tree_head(head, signers, at=int(made.clock().timestamp())).to_bytes().decode()


def test_a_policy_of_ones_own_is_used(watched: Watched, made: PageRegistry, tmp_path: Path) -> None:
    page = watched.go(f"/entries/{made.ids['lumen-1']}")
    policy = made.bureau.registry.home.policy().to_text()
    other = tmp_path / "policy.txt"
    other.write_text(policy.replace("group quorum 2", "group quorum 1"))
    page.set_input_files("#policy-file", str(other))
    assert {result for result, _, _ in check(page)} == {"holds"}
    stranger = made.others[0].registry.home.policy().to_text()
    other.write_text(stranger)
    page.set_input_files("#policy-file", str(other))
    results = {title: (result, detail) for result, title, detail in check(page)}
    assert results["The log signed a tree head"][0] == "fails"
    assert "No known key of the log" in results["The log signed a tree head"][1]
    other.write_text("no policy at all\n")
    page.set_input_files("#policy-file", str(other))
    check(page)
    assert "expected a line of a C2SP tlog-policy" in page.inner_text("#verdict")


def test_a_page_without_cryptography_says_so(open_page: Callable[..., Watched], made: PageRegistry, site: Site) -> None:
    watched = open_page()
    page = watched.page
    page.goto(f"{site.url.replace('127.0.0.1', ELSEWHERE)}/entries/{made.ids['lumen-1']}")
    assert page.evaluate("globalThis.isSecureContext") is False
    assert check(page) == []
    assert "Nothing was checked." in page.inner_text("#verdict")
    assert page.locator("#verdict").get_attribute("class") == "verdict-line open"


def test_a_browser_without_ed25519_says_so(open_page: Callable[..., Watched], made: PageRegistry) -> None:
    watched = open_page()
    watched.page.add_init_script(
        "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('no', 'NotSupportedError'); };"
    )
    page = watched.go(f"/entries/{made.ids['lumen-1']}")
    assert check(page) == []
    assert "does not know Ed25519 signatures. Nothing was checked." in page.inner_text("#verdict")


def test_trees_are_checked_in_the_browser_as_they_are_here(watched: Watched) -> None:
    vectors = json.loads(VECTORS.read_text())
    page = watched.go("/")
    outcomes = """async ([module, cases]) => { const merkle = await import(module);
        const bytes = (text) => Uint8Array.from(atob(text ?? ''), (one) => one.charCodeAt(0));
        const outcomes = [];
        for (const one of cases) {
            const path = (one.proof ?? []).map(bytes);
            try {
                if (one.leaf !== undefined) {
                    await merkle.verifyInclusion(bytes(one.leaf), one.index, one.size, path, bytes(one.root));
                } else await merkle.verifyConsistency(one.size1, one.size2, bytes(one.root1), bytes(one.root2), path);
                outcomes.push(true);
            } catch (error) { outcomes.push(error instanceof merkle.CheckError ? false : `${error}`); }
        }
        return outcomes; }"""
    cases = list(cases_of(vectors))
    assert len(cases) >= 190
    found = page.evaluate(outcomes, [f"/static/{static_files()[0]}/merkle.js", [case for case, _ in cases]])
    assert found == [holds for _, holds in cases]
    assert {True, False} <= set(found)


def cases_of(vectors: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The public vectors, each with what our own verifier says of it; numbers beyond a browser's are left out."""

    def raw(text: str | None) -> bytes:
        return base64.b64decode(text or "")

    for one in vectors["inclusion"]:
        case = {"leaf": one["leafHash"], "index": one["leafIdx"], "size": one["treeSize"], "root": one["root"]}
        case |= {"proof": one["proof"] or []}
        if max(case["index"], case["size"]) < 2**53:
            yield (
                case,
                holds(
                    lambda c=case: verify_inclusion(
                        raw(c["leaf"]), c["index"], c["size"], [raw(p) for p in c["proof"]], raw(c["root"])
                    )
                ),
            )
    for one in vectors["consistency"]:
        case = {"size1": one["size1"], "size2": one["size2"], "root1": one["root1"], "root2": one["root2"]}
        case |= {"proof": one["proof"] or []}
        if max(case["size1"], case["size2"]) < 2**53:
            yield (
                case,
                holds(
                    lambda c=case: verify_consistency(
                        c["size1"], c["size2"], raw(c["root1"]), raw(c["root2"]), [raw(p) for p in c["proof"]]
                    )
                ),
            )


def holds(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except VerificationError:
        return False
    return True


def test_growth_is_proven_out_of_tiles_for_every_pair_of_sizes(watched: Watched) -> None:
    leaves = [leaf_hash(bytes([n % 256, n // 256])) for n in range(600)]
    page = watched.go("/")
    script = """async ([module, leaves, heads]) => { const merkle = await import(module);
        const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
        const rows = [leaves.map(bytes)];
        const full = rows[0].length - (rows[0].length % 256);
        rows.push([]);
        for (let at = 0; at < full; at += 256) {
            let row = rows[0].slice(at, at + 256);
            while (row.length > 1) {
                const above = [];
                for (let one = 0; one < row.length; one += 2) above.push(await merkle.nodeHash(row[one], row[one + 1]));
                row = above;
            }
            rows[1].push(row[0]);
        }
        const fetchTile = async (path) => {
            const [, level, number, partial] = /^tile\\/(\\d)\\/(\\d{3})(?:\\.p\\/(\\d+))?$/.exec(path);
            const first = Number(number) * 256;
            return merkle.join(...rows[Number(level)].slice(first, first + Number(partial ?? 256)));
        };
        let checked = 0;
        for (const [oldSize, oldRoot, newSize, newRoot] of heads) {
            const path = await merkle.consistencyPath(merkle.hashReader(fetchTile, newSize), oldSize, newSize);
            await merkle.verifyConsistency(oldSize, newSize, bytes(oldRoot), bytes(newRoot), path);
            checked += 1;
        }
        return checked; }"""

    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    roots = {size: text(root_of_leaves(leaves[:size])) for size in (1, 2, 3, 7, 255, 256, 257, 300, 512, 513, 600)}
    heads = [[a, roots[a], b, roots[b]] for a in roots for b in roots if a <= b]
    module = f"/static/{static_files()[0]}/merkle.js"
    assert page.evaluate(script, [module, [text(leaf) for leaf in leaves], heads]) == len(heads)


def test_a_leaf_is_read_in_the_browser_as_it_is_here(watched: Watched, made: PageRegistry, site: Site) -> None:
    page = watched.go("/")
    receipt = json.loads(site.get(f"/api/entries/{made.ids['published']}/receipt", accept="*/*").text)
    script = """async ([module, text]) => { const proofs = await import(module);
        return proofs.parseLeaf(proofs.fromBase64(text)); }"""
    found = page.evaluate(script, [f"/static/{static_files()[0]}/proofs.js", receipt["entry"]["leaf"]])
    leaf = parse_leaf(base64.b64decode(receipt["entry"]["leaf"]))
    assert (found["issuer"], found["sequence"], found["target"]) == (
        leaf.issuer.hex(),
        leaf.sequence,
        leaf.target.hex(),
    )
    assert (found["kind"], found["sealed"], found["commit"]) == ("notice", False, leaf.commit.hex())


IDENTITY = bytes([1]) + bytes(31)  # a point of order 1: for it anybody makes signatures


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("isSignedBy(new Uint8Array(arguments[0]), new Uint8Array(arguments[1]), utf8('x'))", False),
        ("fromBase64('AB==')", "expected canonical base64"),
        ("fromBase64('A A=')", "expected canonical base64"),
        ("fromHex('0G')", "expected hex digits"),
        ('parseJson(\'{"a": {"b": 1, "\\\\u0062": 2}}\')', "found b twice"),
        ('parseJson(\'{"a": [{"b": 1}, {"b": 2}], "c": "{"}\').c', "{"),
        ("parseJson('nothing')", "expected JSON"),
        ("parseNote('text\\n')", "expected a signed note"),
        ("parseNote('text\\n\\nno signature\\n')", "expected signature lines"),
        ("parseVkey('a+00000000+ATMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMz')", "its ID is that of another key"),
        ("parsePolicy('quorum none\\n')", "expected a log and a quorum line"),
        ("parsePolicy('group g 3 a b\\nquorum g\\n')", "no group needs 3"),
        ("parseProof('c2sp.org/tlog-proof@v1\\nindex 01\\n\\n')", "expected the index"),
        ("parseLeaf(new Uint8Array(139))", "expected a leaf"),
        ("parseLeaf(new Uint8Array(140))", "expected a leaf"),
    ],
)
def test_what_is_malformed_is_refused_in_the_browser(watched: Watched, call: str, expected: object) -> None:
    page = watched.go("/")
    script = f"""async ([module, ...bytes]) => {{
        const {{ isSignedBy, utf8, fromBase64, fromHex, parseJson, parseNote, parseVkey, parsePolicy, parseProof,
            parseLeaf }} = await import(module);
        const run = async function () {{ return {call}; }};
        try {{ return await run(...bytes); }} catch (error) {{ return error.message; }} }}"""
    module = f"/static/{static_files()[0]}/proofs.js"
    found = page.evaluate(script, [module, list(IDENTITY), list(IDENTITY + bytes(32))])
    assert expected in found if isinstance(expected, str) else found == expected


def test_a_quorum_is_reached_in_the_browser_when_it_is_here(watched: Watched) -> None:
    names = ("a", "b", "c", "d")
    witnesses = [
        KnownWitness(name=name, verifier=signer_from_bytes(name, "cosignature_ed25519", bytes([place]) * 32).verifier)
        for place, name in enumerate(names, start=1)
    ]
    groups = (
        Group(name="two", threshold=2, members=("a", "b", "c")),
        Group(name="all", threshold=2, members=("two", "d")),
    )
    policy = Policy(logs=(), witnesses=tuple(witnesses), groups=groups, quorum="all")
    log = signer_from_bytes("log.example", "ed25519", bytes([9]) * 32).verifier.vkey
    page = watched.go("/")
    script = """async ([module, text, cases]) => { const proofs = await import(module);
        const policy = await proofs.parsePolicy(text);
        return cases.map((times) => proofs.quorumAt(policy, new Map(Object.entries(times)))); }"""
    cases = [
        {name: 10 + 3 * place for place, name in enumerate(names) if chosen & 1 << place} for chosen in range(1 << 4)
    ]
    text = f"log {log}\n{policy.to_text()}"
    found = page.evaluate(script, [f"/static/{static_files()[0]}/proofs.js", text, cases])
    assert found == [policy.quorum_at(times) for times in cases]
    assert {None} < set(found)
