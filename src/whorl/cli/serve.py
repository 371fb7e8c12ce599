"""``whorl serve``: a registry's folder over HTTP, until it is told to stop."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit
from whorl.cli.registry_access import DEFAULT_REGISTRY
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.log.keys import Verifier
    from whorl.log.witnessing import Witness
    from whorl.registry.home import Home

DEFAULT_PORT = 8420


def serve(
    registry: Annotated[
        Path, typer.Option("--registry", metavar="FOLDER", envvar="WHORL_REGISTRY", help="The registry's folder.")
    ] = Path(DEFAULT_REGISTRY),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = DEFAULT_PORT,
    witness_for: Annotated[
        list[str] | None,
        typer.Option("--witness-for", metavar="ORIGIN=VKEY", help="Cosign this log, by this key; may be repeated."),
    ] = None,
    entries_per_hour: Annotated[
        int,
        typer.Option("--entries-per-hour", min=0, help="Most entries of one organisation or address; 0: no limit."),
    ] = 3600,
    reads_per_second: Annotated[
        int, typer.Option("--reads-per-second", min=0, help="Most reads of the API from one address; 0: no limit.")
    ] = 200,
    needs_token: Annotated[
        bool, typer.Option("--needs-token", help="Take entries from bearers of tokens and signed requests only.")
    ] = False,
    trusted_proxy: Annotated[
        str | None,
        typer.Option("--trusted-proxy", metavar="ADDRESS", help="Reverse proxy that says where clients come from."),
    ] = None,
) -> Exit:
    """Serve a registry: its log, its API, and a witness for other logs.

    One process serves a folder and is its only writer; it also follows the bureaus that were added as peers. It ends on
    SIGTERM or Ctrl-C, after what was handed in is entered. TLS is for a reverse proxy.
    """
    from whorl.registry.client import open_federation
    from whorl.registry.federation import peers_of
    from whorl.registry.home import open_home
    from whorl.registry.local import open_registry
    from whorl.registry.remote_witness import witnesses_of
    from whorl.web.app import make_app
    from whorl.web.following import Following
    from whorl.web.limits import LEAST_ENTRIES, Limits
    from whorl.web.running import address_of, bound_socket, run_until_told, server_for
    from whorl.web.service import Service
    from whorl.web.witness_routes import AnsweringWitness, Witnesses

    logging.basicConfig(format="whorl: %(message)s", level=logging.WARNING)
    if 0 < entries_per_hour < LEAST_ENTRIES:
        raise InputError(
            f"--entries-per-hour: expected 0 for no limit, or at least {LEAST_ENTRIES}, found {entries_per_hour}; "
            "everybody must be able to dispute what is said of them"
        )
    home = open_home(registry)
    limits = Limits(entries_per_hour=entries_per_hour, reads_per_second=reads_per_second)
    answering: list[AnsweringWitness] = [_witness(home, witness_for)] if witness_for else []
    with ExitStack() as stack:
        bound = stack.enter_context(bound_socket(host, port))
        cosigners = [stack.enter_context(witness) for witness in witnesses_of(home)]
        opened = stack.enter_context(open_registry(registry, cosigners=cosigners))
        federation = open_federation(opened) if peers_of(opened) else None
        if federation is not None:
            answering.append(federation.witness)
            stack.enter_context(Following(federation))
        service = stack.enter_context(Service(opened, limits=limits))
        app = make_app(service, witness=Witnesses(*answering), needs_token=needs_token)
        app.state.alarms = [] if federation is None else federation.alarms
        if federation is not None:
            app.state.alarms = federation.alarms
        typer.echo(f"whorl: {opened.origin} is served at {address_of(bound)}", err=True)
        run_until_told(server_for(app, limits, trusted_proxy=trusted_proxy), bound)
    return Exit.DONE


def _witness(home: "Home", known: list[str]) -> "Witness":
    """The bureau's witness, for logs that were named with their keys; a log with two keys is named twice."""
    from whorl.log.keys import parse_vkey
    from whorl.log.witnessing import Witness

    logs: dict[str, list[Verifier]] = {}
    for text in known:
        origin, equals, vkey = text.partition("=")
        if not equals:
            raise InputError(f"--witness-for: expected ORIGIN=VKEY, found {text[:100]!a}")
        verifier = parse_vkey(vkey)
        if verifier.name != origin:
            raise InputError(f"--witness-for: expected a key of {origin[:100]!a}, found one of {verifier.name[:100]!a}")
        logs.setdefault(origin, []).append(verifier)
    return Witness(home.path / "witness", home.witness_signers(), logs)
