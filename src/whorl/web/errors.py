"""One shape for everything that went wrong: ``{"error": {"code": ..., "message": ...}}``.

Bad input is the client's fault and says so (4xx). What is wrong here (a damaged file, a full disk) is 503, and what
exactly it was stands in the server's log only: messages of the storage name paths and addresses.
"""

import json
import logging
from collections.abc import Mapping
from typing import Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document
from whorl.registry.database_errors import RegistryError
from whorl.registry.refusals import Refusal
from whorl.registry.sequencer import Entered, Outcome

LOG: Final = logging.getLogger("whorl.web")
RETRY_SECONDS: Final = 2
LONGEST_MESSAGE: Final = 2000

_CODES: Final = {404: "unknown", 405: "method_not_allowed"}


class Fault(Document):
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class ErrorDocument(Document):
    """The body of every answer that is no success."""

    error: Fault


class ApiError(Exception):
    """An answer other than what was asked for.

    Parameters
    ----------
    status : HTTP status
    code : for programs; stable between releases
    message : what was expected, what was found and what to do
    """

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        super().__init__(message)

    @property
    def fault(self) -> Fault:
        return Fault(code=self.code, message=str(self)[:LONGEST_MESSAGE])


def unknown(what: str) -> ApiError:
    """404: what was asked for is not here, or not for whoever asks."""
    return ApiError(404, "unknown", what)


def busy(message: str) -> ApiError:
    """503: too much at once; the same request may do in a moment."""
    return ApiError(503, "busy", message, headers={"Retry-After": str(RETRY_SECONDS)})


def unavailable(cause: BaseException) -> ApiError:
    """503: something is wrong here; logged, and not told to strangers."""
    LOG.error("%s: %s", type(cause).__name__, cause)
    return ApiError(
        503,
        "unavailable",
        "the registry cannot answer this now, and its operator has been told why; try again later",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def api_error(error: Exception) -> ApiError:
    """The answer to any error that a request can cause."""
    match error:
        case ApiError():
            return error
        case RegistryError():  # storage; what a client can get wrong with it is checked before
            return unavailable(error)
        case InputError():
            return ApiError(422, code_of(error), str(error))
        case VerificationError() | OSError():
            return unavailable(error)
        case RequestValidationError():
            return ApiError(422, "malformed", _first_problem(error))
        case HTTPException(status_code=status):
            code = _CODES.get(status, "malformed" if status < 500 else "unavailable")
            return ApiError(status, code, str(error.detail), headers=error.headers)
        case _:
            LOG.error("a fault of whorl", exc_info=error)
            return ApiError(500, "internal", "this is a fault of the registry, not of the request; it was logged")


def code_of(problem: InputError | VerificationError) -> str:
    """The code of something that is wrong with what was handed in."""
    match problem:
        case Refusal(code=code):
            return code
        case VerificationError():
            return "verification_failed"
        case _:
            return "malformed"


def outcome_document(outcome: Outcome) -> dict[str, object]:
    """What became of one entry, as the answer tells it."""
    from whorl.entries.leaf import entry_id

    if isinstance(outcome, Entered):
        return {"id": entry_id(outcome.hash), "index": outcome.index}
    return {"error": {"code": code_of(outcome), "message": str(outcome)[:LONGEST_MESSAGE]}}


def error_response(error: ApiError) -> Response:
    """The answer itself."""
    body = json.dumps({"error": error.fault.model_dump()}).encode()
    return Response(body, error.status, headers=error.headers, media_type="application/json")


def _first_problem(error: RequestValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))[:100]
    return f"expected a request as /api/openapi.json describes it, found fault with {where}: {problem['msg'][:200]}"
