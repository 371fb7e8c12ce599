"""How an address becomes an endpoint. A transcript is opened by `whorl.probes.transcript.recorded`, not here."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

from whorl.core.errors import InputError
from whorl.endpoints.address import Address, address_of
from whorl.endpoints.clock import SYSTEM_CLOCK, Clock
from whorl.endpoints.exchange import Endpoint
from whorl.endpoints.keys import Key, Redaction
from whorl.endpoints.limits import Limits
from whorl.endpoints.quoting import shown
from whorl.endpoints.retrying import Patience, Waiting, unheard

Api: TypeAlias = Literal["openai", "completions", "anthropic"]
_FORMS: Final = "the http:// or https:// URL of a server, or a folder with a checkpoint"


async def open_endpoint(
    address: str,
    *,
    model: str | None = None,
    api: Api = "openai",
    key: Key | None = None,
    limits: Limits | None = None,
    rng: random.Random,
    clock: Clock = SYSTEM_CLOCK,
    on_wait: Callable[[Waiting], None] = unheard,
    device: str = "cpu",
) -> Endpoint:
    """The endpoint at an address. Sends nothing, but for a list of models where none is named.

    Parameters
    ----------
    address : URL of a server, with or without ``/v1``, or a checkpoint folder
    model : the name to ask for; None takes the only one that the server lists
    api : which interface is spoken; not used for a folder
    limits : bounds and rates; None for `Limits()`
    rng : for the jitter between tries
    device : where a checkpoint folder is loaded

    Raises
    ------
    InputError
        If the address has none of these forms, or no model is named and the server does not list exactly one.
    EndpointError
        If the server cannot be asked for its models.
    CheckpointError, UnsupportedError
        From a checkpoint folder.
    """
    if "://" in address:
        patience = Patience(limits=limits or Limits(), clock=clock, rng=rng, on_wait=on_wait)
        return await _open_url(address_of(address), model, api, key, patience)
    if not _is_folder(address):
        raise InputError(f"expected {_FORMS}; found '{shown(address)}', which is neither")
    if model is not None:
        raise InputError(f"expected no model's name beside a folder, which holds one; found '{shown(model)}'")
    from whorl.endpoints.local import open_local

    return open_local(Path(address), device=device)


async def _open_url(address: Address, model: str | None, api: Api, key: Key | None, patience: Patience) -> Endpoint:
    from whorl.endpoints.anthropic import ANTHROPIC
    from whorl.endpoints.client import HttpEndpoint
    from whorl.endpoints.http import Http
    from whorl.endpoints.model_list import only_model
    from whorl.endpoints.openai_chat import OPENAI_CHAT
    from whorl.endpoints.openai_completions import OPENAI_COMPLETIONS
    from whorl.endpoints.rates import Pace

    dialect = {"openai": OPENAI_CHAT, "completions": OPENAI_COMPLETIONS, "anthropic": ANTHROPIC}[api]
    secrets = (*(() if key is None else (key.reveal(),)), *address.secrets)
    http = Http(limits=patience.limits, redaction=Redaction(secrets), clock=patience.clock)
    try:
        if model is None:
            model = await only_model(http, address, headers=dialect.headers(key), patience=patience)
    except BaseException:
        await http.close()
        raise
    return HttpEndpoint(
        address=address,
        model=model,
        dialect=dialect,
        key=key,
        http=http,
        pace=Pace(patience.limits, patience.clock),
        patience=patience,
    )


def _is_folder(address: str) -> bool:
    try:
        return address != "" and Path(address).is_dir()
    except (OSError, ValueError):  # too long a name, a zero byte
        return False
