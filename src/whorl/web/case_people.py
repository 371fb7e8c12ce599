"""Who may see a case: whoever signs the request with a key that the case itself names. Nobody else learns of it."""

from anyio.to_thread import run_sync
from fastapi import Request

from whorl.cases.held_cases import HeldCase, HeldCases, UnknownCaseError
from whorl.core.errors import VerificationError
from whorl.web.errors import ApiError
from whorl.web.requesters import Doorkeeper


def cases_of(request: Request) -> HeldCases:
    """The cases that this service keeps."""
    cases: HeldCases = request.app.state.cases
    return cases


async def person_asking(request: Request, case: str, *, body_digest: bytes) -> tuple[HeldCase, str]:
    """The case, and the hex key id of the person in it who asks.

    Raises
    ------
    ApiError
        With status 401 without a signature that holds; with 404, the same for a case that is not here and for one that
        the key has no part in.
    """

    def ask() -> tuple[HeldCase, str]:
        try:
            held = cases_of(request).held(case)
        except UnknownCaseError:
            held = None
        doorkeeper: Doorkeeper = request.app.state.doorkeeper
        people = {} if held is None else held.people
        key = doorkeeper.signer(request, body_digest=body_digest, admits=lambda key: key.hex() in people, of="a case")
        assert held is not None
        return held, key.hex()

    return await run_sync(ask)


def refused(problem: VerificationError) -> ApiError:
    """422: a rule of cases, a signature or a hash does not hold of what was handed in."""
    return ApiError(422, "refused", str(problem))
