"""The page of a case, for whoever has a link to it: read only, for one person, until the link ends."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from whorl.cases import report_wording
from whorl.cases.held_cases import HeldCase, UnknownCaseError
from whorl.dossiers.events import Party
from whorl.web.asking import base_of, service_of
from whorl.web.audit import DENY
from whorl.web.case_page import case_page, downloads
from whorl.web.case_people import cases_of
from whorl.web.case_routes import exhibit_response
from whorl.web.errors import unknown
from whorl.web.guard import address_of
from whorl.web.page_engine import page

router = APIRouter(include_in_schema=False)

Link = Annotated[str, Query(max_length=200)]


@router.get("/cases/{case}")
def one_case(request: Request, case: str, link: Link = "") -> Response:
    """What one person of a case is told."""
    held, you, ends = _shown_to(request, case, link)
    shown = case_page(
        held.view,
        you,
        url=f"{base_of(request)}/cases/{case}",
        ends=ends,
        at=service_of(request).registry.now(),
    )
    answer = page(
        request, "case.html", case=shown, told=report_wording, link=link, may_fetch=downloads(held.view.state)
    )
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


@router.get("/cases/{case}/exhibits/{digest}")
def one_exhibit(request: Request, case: str, digest: str, link: Link = "") -> Response:
    """A document, a finding or an opinion that the page names."""
    held, _, _ = _shown_to(request, case, link)
    if digest not in downloads(held.view.state):
        raise unknown("expected an exhibit that the page of the case names, found another; go back to the page")
    return exhibit_response(request, held, digest)


def _shown_to(request: Request, case: str, link: str) -> tuple[HeldCase, Party, datetime]:
    """The case, whose page the link shows, and when it ends; 404 for everybody else, whether there is a case or not."""
    service = service_of(request)
    try:
        held = cases_of(request).held(case)
        found = held.desk.open_link(link, now=service.registry.now())
    except UnknownCaseError:
        found = None
    you = None if found is None else held.view.state.parties.get(found[0])
    subject = f"GET {request.url.path}"
    if found is None or you is None:
        service.audit.note(actor=address_of(request.scope), action=DENY, subject=subject, outcome="unknown")
        raise unknown(
            "expected a link to a case that is in force, found another; ask the manager of your case for a new one, or "
            "use `whorl case show` with your key"
        )
    service.audit.note(actor=f"case link of key {you.id}", action="ask", subject=subject, outcome="allowed")
    return held, you, found[1]
