"""The application: routes, documents, and what stands before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from whorl import __version__
from whorl.cases.held_cases import CASES_FOLDER, HeldCases
from whorl.core.evidence import Document
from whorl.registry.sealed_search import SealedSearch
from whorl.web import (
    account_routes,
    blob_routes,
    case_routes,
    entry_routes,
    health_routes,
    log_routes,
    sealed_routes,
    search_routes,
    witness_routes,
)
from whorl.web.case_documents import CaseEvent, LinkRequest
from whorl.web.documents import EntriesRequest, TokenRequest, VectorSearch
from whorl.web.errors import api_error, error_response
from whorl.web.guard import Buffers, Guard
from whorl.web.health_routes import Figures
from whorl.web.pages import add_pages
from whorl.web.requesters import Doorkeeper
from whorl.web.sealed_routes import SealedSearchRequest
from whorl.web.service import Service
from whorl.web.witness_routes import AnsweringWitness

OPENAPI: Final = "/api/openapi.json"
READING_THREADS: Final = 6  # they share one interpreter with the writer, whose turn must come often
SEARCHES: Final = 4
FILING: Final = 2  # one checks its event while the other waits for the disk; readers of cases have the other threads
COSIGNING: Final = 8  # these may wait for another bureau, so they have threads of their own

ROUTERS: Final[tuple[APIRouter, ...]] = (
    entry_routes.router,
    log_routes.router,
    search_routes.router,
    sealed_routes.router,
    blob_routes.router,
    case_routes.router,
    account_routes.router,
    witness_routes.router,
    health_routes.router,
)
_READ_BY_HAND: Final[tuple[type[Document], ...]] = (
    *(EntriesRequest, VectorSearch, SealedSearchRequest, TokenRequest),
    *(CaseEvent, LinkRequest),
)
_SECURITY: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "An access token; it signs nothing"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature-Input",
        "description": "A signed request (RFC 9421), as docs/specs/service.md describes it",
    },
}


def make_app(service: Service, *, witness: AnsweringWitness | None = None, needs_token: bool = False) -> FastAPI:
    """The application over a service that was begun; whoever calls ends the service after it.

    Parameters
    ----------
    witness : cosigns tree heads of other logs; None for a bureau that witnesses none
    needs_token : whether entries are taken from bearers of tokens and signers of requests only
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = READING_THREADS
        app.state.uploads = anyio.CapacityLimiter(service.limits.uploads)
        app.state.searches = anyio.CapacityLimiter(SEARCHES)
        app.state.filing = anyio.CapacityLimiter(FILING)
        app.state.cosigning = anyio.CapacityLimiter(COSIGNING)
        yield

    app = FastAPI(
        title="Whorl registry",
        version=__version__,
        summary="Signed entries in a witnessed public log.",
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    app.state.witness = witness
    app.state.needs_token = needs_token
    app.state.doorkeeper = Doorkeeper(service)
    app.state.buffers = Buffers(service.limits.buffered_bytes)
    app.state.figures = Figures(service)
    app.state.cases = HeldCases(service.registry.home.path / CASES_FOLDER, now=service.registry.now)
    app.state.sealed = SealedSearch(service.registry.database, service.leads)
    app.router.routes.append(Route(entry_routes.ENTRIES, entry_routes.HandIn(), methods=["POST"]))
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Guard, service=service)
    add_pages(app, service.registry)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    _complete_openapi(app)
    return app


async def _answer(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return error_response(api_error(error))


def _complete_openapi(app: FastAPI) -> None:
    """Describe also the bodies that routes read themselves, and how requests show who asks."""
    made = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            components = document.setdefault("components", {})
            components["securitySchemes"] = _SECURITY
            for model in _READ_BY_HAND:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                components["schemas"].update(schema.pop("$defs", {}))
                components["schemas"][model.__name__] = schema
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]
