"""JSON bodies, read by the documents that describe them."""

from typing import TypeVar

from pydantic import ValidationError

from whorl.core.evidence import Document
from whorl.web.errors import ApiError

SomeDocument = TypeVar("SomeDocument", bound=Document)


def read_document(model: type[SomeDocument], body: bytes) -> SomeDocument:
    """Read a body as a document.

    Raises
    ------
    ApiError
        With status 422, if it is none.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))[:100] or "the body"
        message = f"expected a body as /api/openapi.json describes it, found fault with {where}: {problem['msg'][:200]}"
        raise ApiError(422, "malformed", message) from None
