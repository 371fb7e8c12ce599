"""What a response says before its body is read as an answer: its status and the kind of its body."""

from typing import Final

from whorl.endpoints.exchange import Trouble
from whorl.endpoints.http import Response
from whorl.endpoints.json_bodies import malformed
from whorl.endpoints.quoting import excerpt
from whorl.endpoints.retrying import Failure

_ADVICE: Final[dict[Trouble, str]] = {
    "not_allowed": "; check the key, and that it may use this model",
    "not_found": "; check the address and the model's name",
    "rejected": "; the endpoint does not take this question as it is",
    "rate_limited": "; ask at a lower rate",
    "broken": "; the fault is the server's",
}


def succeeded(response: Response) -> bool:
    """Whether the status announces an answer."""
    return 200 <= response.status < 300


def failure_of(response: Response) -> Failure:
    """What a status other than success means, with the beginning of what the server said."""
    trouble, again = _trouble_of(response.status)
    return Failure(
        trouble=trouble,
        detail=f"HTTP {response.status}: {excerpt(response.body)}{_ADVICE.get(trouble, '')}",
        status=response.status,
        again=again,
        retry_after=response.header("retry-after"),
    )


def require_json(response: Response) -> None:
    """Refuse a body that is declared to be something else than JSON; one that is not declared may be JSON.

    Raises
    ------
    EndpointError
        ``malformed``
    """
    declared = response.header("content-type")
    if declared is None:
        return
    kind = declared.partition(";")[0].strip().lower()
    if kind not in ("application/json", "text/json") and not kind.endswith("+json"):
        raise malformed(
            f"expected JSON, found content type '{kind}' and {excerpt(response.body)}; "
            "is this the base URL of the interface?"
        )


def _trouble_of(status: int) -> tuple[Trouble, bool]:
    """The trouble, and whether another try may help."""
    match status:
        case 401 | 403:
            return "not_allowed", False
        case 404:
            return "not_found", False
        case 408:
            return "timed_out", True
        case 429:
            return "rate_limited", True
        case _ if status >= 500:  # 529, Anthropic's "overloaded", among them
            return "broken", True
        case _:
            return "rejected", False
