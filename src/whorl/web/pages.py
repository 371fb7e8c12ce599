"""Pages for people: what is here, what speaks of it, and how anybody checks it without believing this service.

Pages are for everybody: they show what a stranger may see, whoever asks. Each is gathered by a function of its own
(`whorl.web.model_page` and so on) and set by a template. Addresses of other registries' entries are the same here.
"""

from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response

from whorl.core.errors import InputError
from whorl.entries.kinds import Model
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.log.policy import Policy
from whorl.registry.database_view import facts_of
from whorl.registry.entry_rows import entries_of_log, find_entry
from whorl.registry.federation import forks_of, peers_of
from whorl.registry.leads import search_vector_of
from whorl.registry.local import LocalRegistry
from whorl.registry.remembering_view import RememberingView
from whorl.registry.stored_entry import StoredEntry
from whorl.web import case_pages
from whorl.web.asking import base_of, buffers_of, registry_of, service_of
from whorl.web.bureaus_page import bureaus_page
from whorl.web.error_pages import ErrorPages
from whorl.web.errors import ApiError, unknown
from whorl.web.guard import address_of
from whorl.web.health_routes import Figures
from whorl.web.log_page import entry_page, log_page
from whorl.web.model_page import model_page
from whorl.web.notice_page import notice_page
from whorl.web.organisation_page import organisation_page
from whorl.web.page_engine import page, static_files
from whorl.web.page_reading import is_shown
from whorl.web.search_page import hits, lead_lines, lines_naming, sought_digest, sought_entry
from whorl.web.search_routes import TOP, find_digest, find_entries
from whorl.web.statistics_page import Delays, statistics_page
from whorl.web.uploads import uploaded_file

COST: Final = 10  # reads of the API that a page counts as
UPLOAD: Final = "/search"

_OWN_PAGES: Final = {"model": "/models", "notice": "/notices", "organisation": "/organisations"}


def _count(request: Request) -> None:
    service_of(request).rates.take("reads", address_of(request.scope), cost=COST)


router = APIRouter(include_in_schema=False, dependencies=[Depends(_count)])
_static = APIRouter(include_in_schema=False)


def add_pages(app: FastAPI, registry: LocalRegistry) -> None:
    """Add the pages to an application; before it serves.

    What ``app.state.alarms`` holds is shown on the page of the bureaus: pairs of an origin and what it was caught with.
    """
    app.state.delays = Delays(registry)
    app.state.alarms = []
    app.include_router(router)
    app.include_router(case_pages.router, dependencies=[Depends(_count)])
    app.include_router(_static)
    app.add_middleware(ErrorPages, origin=registry.origin)


@router.get("/")
def search(request: Request, q: Annotated[str | None, Query(max_length=500)] = None) -> Response:
    """Search by words of a name, by a digest or by an entry's id."""
    text = (q or "").strip()
    if not text:
        return page(request, "search.html", q="", hits=None, problem=None, digest=None, is_whole=True)
    found = sought_entry(text)
    if found is not None:
        return _see(f"/entries/{found}")
    digest = sought_digest(text)
    problem, is_whole = None, True
    try:
        if digest is not None:
            document = find_digest(request, digest)
            lines, is_whole = lines_naming(document), document.is_whole
        else:
            listed = find_entries(request, q=text)
            lines, is_whole = list(listed.entries), listed.next is None
    except ApiError as error:
        if error.status != 422:
            raise
        lines, problem = [], str(error)
    registry = registry_of(request)
    with registry.database.reading() as connection:
        shown = hits(connection, lines, at=registry.now())
    return page(request, "search.html", q=text, hits=shown, problem=problem, digest=digest, is_whole=is_whole)


@router.post(UPLOAD)
async def search_by_fingerprint(request: Request) -> Response:
    """Leads for a stored fingerprint, which is read in memory and not kept."""
    service = service_of(request)
    service.rates.take("searches", address_of(request.scope))
    async with buffers_of(request).body(request) as body:
        data = uploaded_file(request.headers.get("content-type", ""), body, field="fingerprint")

        def find() -> Response:
            if not data:
                raise ApiError(400, "malformed", "expected a stored fingerprint, found no file; choose one")
            try:
                scheme, vector = search_vector_of(data, origin="the file")
            except InputError as error:
                raise ApiError(400, "malformed", str(error)) from None
            leads = service.leads.find(vector, scheme=scheme, top=TOP)
            with service.registry.database.reading() as connection:
                lines = lead_lines(connection, leads)
            return page(request, "leads.html", leads=lines, base=base_of(request))

        return await run_sync(find, limiter=request.app.state.searches)


@router.get(UPLOAD)
def no_upload() -> Response:
    """Whoever comes back to the address of the results begins anew."""
    return _see("/")


@router.get("/models/{entry}")
def model(request: Request, entry: str) -> Response:
    """A model: the claims on it side by side, and what speaks of it."""
    registry = registry_of(request)
    stored = _entry(request, entry)
    with registry.database.reading() as connection:
        facts = facts_of(stored) if stored.fault is None and stored.kind == "model" else None
        statement = None if facts is None else facts.statement
        if facts is None or statement is None or not is_shown(facts, RememberingView(connection), at=registry.now()):
            return _see(f"/entries/{entry}")
        assert isinstance(statement.body, Model)
        policy = _policy(registry, stored)
        shown = model_page(connection, facts, registry.blobs, policy=policy, at=registry.now())
    return page(request, "model.html", model=shown, **_place(request, stored))


@router.get("/notices/{entry}")
def notice(request: Request, entry: str) -> Response:
    """A notice beside the reply to it, its state, and what it rests on."""
    registry = registry_of(request)
    stored = _entry(request, entry)
    if stored.fault is not None or stored.kind != "notice":
        return _see(f"/entries/{entry}")
    with registry.database.reading() as connection:
        shown = notice_page(connection, facts_of(stored), policy=_policy(registry, stored), at=registry.now())
    return page(request, "notice.html", notice=shown, **_place(request, stored))


@router.get("/organisations/{entry}")
def organisation(request: Request, entry: str) -> Response:
    """An organisation, its keys, and what it entered last."""
    registry = registry_of(request)
    with registry.database.reading() as connection:
        facts = RememberingView(connection).organisation(_digest(entry))
        if facts is None:
            raise unknown(f"expected an organisation of this registry, found {entry[:80]}, which is none")
        shown = organisation_page(connection, facts, origin=registry.origin, at=registry.now())
    return page(request, "organisation.html", organisation=shown)


@router.get("/log")
def log(
    request: Request,
    index: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """The log: its tree head, its latest entries, and any entry by its index."""
    registry = registry_of(request)
    if index is not None:
        with registry.database.reading() as connection:
            found = next(iter(entries_of_log(connection, registry.origin, start=index, stop=index + 1)), None)
        if found is None:
            raise unknown(f"expected the index of an entry of this log, found {index}, which is beyond its end")
        return _see(f"/entries/{entry_id(found.hash)}")
    return page(request, "log.html", log=log_page(registry, before=before, at=registry.now()), before=before)


@router.get("/entries/{entry}")
def one_entry(request: Request, entry: str) -> Response:
    """An entry in full, and the check of its proof in the browser."""
    registry = registry_of(request)
    stored = _entry(request, entry)
    with registry.database.reading() as connection:
        shown = entry_page(
            connection, stored, origin=registry.origin, policy=_policy(registry, stored), at=registry.now()
        )
    own_page = _OWN_PAGES.get(stored.kind or "")
    if shown.hidden is not None and stored.kind == "model":
        own_page = None
    return page(request, "entry.html", entry=shown, own_page=own_page, **_place(request, stored))


@router.get("/statistics")
def statistics(request: Request) -> Response:
    """Public figures."""
    figures: Figures = request.app.state.figures
    delays: Delays = request.app.state.delays
    return page(request, "statistics.html", statistics=statistics_page(figures.now(), delays.now()))


@router.get("/bureaus")
def bureaus(request: Request) -> Response:
    """The bureaus of the federation, as this one knows them."""
    shown = bureaus_page(registry_of(request), alarms=request.app.state.alarms)
    return page(request, "bureaus.html", bureaus=shown)


@router.get("/bureaus/forks/{name}")
def fork(request: Request, name: str) -> Response:
    """The proof that a log showed two trees; anybody checks it with ``whorl log verify``."""
    proof = forks_of(registry_of(request)).get(name)
    if proof is None:
        raise unknown(f"expected a proof of a fork that is held here, found {name[:80]}, which is none")
    return Response(
        proof, media_type="application/json", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@_static.get("/static/{version}/{name}")
async def static(version: str, name: str) -> Response:
    """A file that pages load; what is at an address never changes."""
    present, files = static_files()
    if version != present or name not in files:
        raise unknown(f"expected a file of the pages, found {name[:80]}; load the page again")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(files[name].data, media_type=files[name].media_type, headers=headers)


def _see(address: str) -> Response:
    return RedirectResponse(address, 303)


def _digest(entry: str) -> bytes:
    try:
        return parse_entry_id(entry)
    except InputError as error:
        raise unknown(str(error)) from None


def _entry(request: Request, entry: str) -> StoredEntry:
    with registry_of(request).database.reading() as connection:
        found = find_entry(connection, _digest(entry))
    if found is None:
        raise unknown(f"expected an entry of this registry, found {entry}, which is none; check the id")
    return found


def _policy(registry: LocalRegistry, stored: StoredEntry) -> Policy | None:
    return registry.home.policy() if stored.origin == registry.origin else None


def _place(request: Request, stored: StoredEntry) -> dict[str, Any]:
    """Where an entry is, and where the service of its log answers."""
    registry = registry_of(request)
    is_own = stored.origin == registry.origin
    peer = None if is_own else next((one for one in peers_of(registry) if one.origin == stored.origin), None)
    base = base_of(request) if is_own else None if peer is None else peer.url.rstrip("/")
    return {"is_own": is_own, "log_origin": stored.origin, "index": stored.index, "base": base}
