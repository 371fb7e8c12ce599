"""The models that a server lists at ``/models``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from whorl.core.errors import InputError
from whorl.endpoints.address import Address
from whorl.endpoints.exchange import EndpointError
from whorl.endpoints.http import Http, Response
from whorl.endpoints.json_bodies import json_object, objects, required
from whorl.endpoints.quoting import shown
from whorl.endpoints.retrying import Failure, Patience, persist
from whorl.endpoints.statuses import failure_of, require_json, succeeded

_SHOWN: Final = 8


async def only_model(http: Http, address: Address, *, headers: Mapping[str, str], patience: Patience) -> str:
    """The name of the one model that a server lists.

    Raises
    ------
    InputError
        If it lists none or several, of which a few are named, or has no list.
    EndpointError
        If it cannot be asked.
    """
    try:
        names = await listed_models(http, address, headers=headers, patience=patience)
    except EndpointError as error:
        if error.trouble not in ("not_found", "malformed", "rejected"):
            raise
        raise InputError(f"the server does not list its models: name the one to ask ({error.detail})") from error
    if len(names) == 1:
        return names[0]
    some = "".join(f", '{shown(name, limit=80)}'" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise InputError(f"expected one model to ask: the server lists {len(names)}{some}{more}; name one")


async def listed_models(
    http: Http, address: Address, *, headers: Mapping[str, str], patience: Patience
) -> tuple[str, ...]:
    """The names of all models that a server lists, in its order.

    Raises
    ------
    EndpointError
        If there is no such list.
    """

    async def once(seconds: float) -> tuple[str, ...] | Failure:
        response = await http.send("GET", address.below("/models"), headers=headers, body=None, seconds=seconds)
        names = response if isinstance(response, Failure) else _read(response)
        if isinstance(names, Failure):
            return replace(names, detail=f"GET {address.base}/models: {names.detail}")
        return names

    names, _ = await persist(once, pace=_at_once, patience=patience)
    return names


async def _at_once() -> None:
    """Wait for nothing: a list of models is no question."""


def _read(response: Response) -> tuple[str, ...] | Failure:
    if not succeeded(response):
        return failure_of(response)
    try:
        require_json(response)
        entries = objects(required(json_object(response.body), "data", list), "the entries of 'data'")
        return tuple(required(entry, "id", str) for entry in entries)
    except EndpointError as error:
        return Failure(trouble=error.trouble, detail=error.detail, status=response.status, again=False)
