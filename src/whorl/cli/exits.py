"""How a run ends: every error becomes one message on standard error and one exit status."""

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import ParamSpec

import typer

from whorl.core.errors import VerificationError, WhorlError

Parameters = ParamSpec("Parameters")


EXTRAS = {
    "scipy": "weights",
    "threadpoolctl": "weights",
    "gguf": "weights",
    "jinja2": "report",
    "typst": "report",
    "httpx2": "probes",
    "pyarrow": "probes",
    "rfc3161_client": "time",
    "sqlalchemy": "registry",
    "alembic": "registry",
    "pg8000": "registry",
    "fastapi": "service",
    "uvicorn": "service",
    "limits": "service",
    "prometheus_client": "service",
    "python_multipart": "service",
    "pyagrum": "cases",
    "torch": "local",
    "transformers": "local",
}
LONGEST_MESSAGE = 4000  # a message may quote a hostile file


class Exit(IntEnum):
    """Exit statuses; the last three follow the conventions of the shell and of ``sysexits.h``."""

    DONE = 0
    VERIFICATION_FAILED = 1
    BAD_INPUT = 2
    INCONCLUSIVE = 3
    INTERNAL_ERROR = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def exits(command: Callable[Parameters, Exit]) -> Callable[Parameters, None]:
    """Turn a command that returns its status, or fails, into one that exits with it."""

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            status = command(*args, **kwargs)
            sys.stdout.flush()
        except typer.Exit:
            raise
        except BaseException as error:
            status = _explain(error)
        raise typer.Exit(status)

    return run


def _explain(error: BaseException) -> Exit:
    match error:
        case KeyboardInterrupt():
            _complain("interrupted")
            return Exit.INTERRUPTED
        case BrokenPipeError():
            _discard_output()
            return Exit.BROKEN_PIPE
        case VerificationError():
            _complain(str(error))
            return Exit.VERIFICATION_FAILED
        case WhorlError():
            _complain(str(error))
            return Exit.BAD_INPUT
        case ModuleNotFoundError(name=name) if name in EXTRAS:
            _complain(f"{name} is needed for this and not installed; run: pip install 'whorl[{EXTRAS[name]}]'")
            return Exit.BAD_INPUT
        case OSError():
            _complain(f"{error.filename or 'the operating system'}: {error.strerror or error}")
            return Exit.BAD_INPUT
        case Exception():
            _apologise(error)
            return Exit.INTERNAL_ERROR
        case _:
            raise error


def _complain(message: str) -> None:
    from whorl.comparison.wording import visible

    lines = [visible(line) for line in message[:LONGEST_MESSAGE].splitlines()]
    typer.echo("whorl: " + "\n       ".join(lines), err=True)


def _apologise(error: Exception) -> None:
    if os.environ.get("WHORL_DEBUG") == "1":
        traceback.print_exception(error)
    _complain(
        f"sorry, this is a fault in Whorl and not in your input: {type(error).__name__}: {str(error)[:500]}\n"
        "Run it again with WHORL_DEBUG=1 and report what it prints, with `whorl --version`."
    )


def _discard_output() -> None:
    """Let what is still buffered for a reader who has gone fall silently into nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
