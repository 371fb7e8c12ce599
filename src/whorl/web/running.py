"""Running the application on a socket, in this process, until it is told to stop."""

import resource
import signal
import socket
from dataclasses import replace
from typing import Final

import uvicorn
from fastapi import FastAPI

from whorl.core.errors import InputError
from whorl.web.connections import MAX_HEAD_BYTES, guarded_protocol
from whorl.web.limits import Limits

BACKLOG: Final = 1024
STOP_SECONDS: Final = 30
IDLE_SECONDS: Final = 20
_SPARE_FILES: Final = 128


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises
    ------
    InputError
        If there is no such address here, or the port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named: only then does asyncio switch off the waiting for more to send (TCP_NODELAY).
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        raise InputError(
            f"{host}:{port}: cannot listen there ({error.strerror}); choose another --host or --port"
        ) from None
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL of what listens on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_for(app: FastAPI, limits: Limits, *, trusted_proxy: str | None = None) -> uvicorn.Server:
    """A server for the application; ``run(sockets=[...])`` it.

    Parameters
    ----------
    trusted_proxy : address of the reverse proxy whose word on clients' addresses is taken; None if there is none
    """
    config = uvicorn.Config(
        app,
        http=guarded_protocol(_within_open_files(limits)),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",  # what strangers send that is no HTTP must not fill the log
        access_log=False,
        server_header=False,
        proxy_headers=trusted_proxy is not None,
        forwarded_allow_ips=trusted_proxy or "",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    return uvicorn.Server(config)


def run_until_told(server: uvicorn.Server, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun."""
    # uvicorn hands a signal on when it has stopped, which would end the process before the registry is closed.
    before = {number: signal.signal(number, _ignored) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[bound])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignored(number: int, frame: object) -> None:
    """The server has heard it."""


def _within_open_files(limits: Limits) -> Limits:
    """No more connections than this process may open files."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=min(limits.connections, max(16, allowed - _SPARE_FILES)))
