"""How the service is: for load balancers, for Prometheus, and the public figures."""

import time
from collections import defaultdict
from threading import Lock
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from whorl.registry.tallies import entries_by_kind, notices_by_state, refusals_by_code
from whorl.web.asking import service_of
from whorl.web.documents import (
    ERRORS,
    BureauFigures,
    HealthDocument,
    StatisticsDocument,
    instant,
    optional_instant,
)
from whorl.web.metrics import CONTENT_TYPE
from whorl.web.service import Service

KEPT_SECONDS: Final = 60.0
NOTICES: Final = 10_000

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=HealthDocument, responses=ERRORS)
async def health(request: Request) -> HealthDocument:
    """200 as long as the process lives; whether it takes entries stands in the answer."""
    return _health(service_of(request))


@router.get(
    "/healthz/ready",
    response_model=HealthDocument,
    responses={
        **ERRORS,
        503: {"model": HealthDocument, "description": "It takes no entries, or has not signed lately"},
    },
)
async def readiness(request: Request) -> Response:
    """200 if entries are taken and a tree head was signed lately, else 503."""
    document = _health(service_of(request))
    status = 200 if document.status == "ready" else 503
    return Response(document.model_dump_json(), status, media_type="application/json")


@router.get(
    "/metrics",
    response_class=Response,
    responses={**ERRORS, 200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


@router.get("/api/statistics", response_model=StatisticsDocument, responses=ERRORS)
def statistics(request: Request) -> StatisticsDocument:
    """Public figures: entries by kind, notices by state, refusals by code."""
    figures: Figures = request.app.state.figures
    return figures.now()


class Figures:
    """The public figures, made anew at most once a minute, however many ask."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = Lock()
        self._made: tuple[float, StatisticsDocument] | None = None

    def now(self) -> StatisticsDocument:
        """The figures as of about a minute ago; while they are made anew, the last ones."""
        made = self._made
        if made is not None and (time.monotonic() - made[0] < KEPT_SECONDS or self._lock.locked()):
            return made[1]
        with self._lock:
            if self._made is None or self._made is made:
                self._made = time.monotonic(), self._make()
            return self._made[1]

    def _make(self) -> StatisticsDocument:
        registry = self._service.registry
        at = registry.now()
        with registry.database.reading() as connection:
            entries: dict[str, dict[str, int]] = defaultdict(dict)
            notices: dict[str, dict[str, int]] = defaultdict(dict)
            for (origin, kind), number in entries_by_kind(connection).items():
                entries[origin][kind] = number
            for (origin, state), number in notices_by_state(connection, at=at, most=NOTICES).items():
                notices[origin][state] = number
            refusals = refusals_by_code(connection)
        return StatisticsDocument(
            made_at=instant(at),
            bureaus=tuple(
                BureauFigures(origin=origin, entries=entries[origin], notices=notices[origin])
                for origin in sorted(entries)
            ),
            refusals=refusals,
            newest_notices=NOTICES,
        )


def _health(service: Service) -> HealthDocument:
    found = service.health()
    return HealthDocument(
        status="ready" if found.is_ready(service.registry.now()) else "not_ready",
        problem=None if found.problem is None else "entries cannot be taken now; the operator's log says why",
        signed_at=optional_instant(found.signed_at),
        waiting_entries=found.waiting,
    )
