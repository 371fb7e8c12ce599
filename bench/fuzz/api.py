"""Requests made up from the service's own OpenAPI document: ``python -m bench.fuzz.api SECONDS [SEED]``.

A registry with a few entries is served in a process of its own. Of each route, requests that fit its description and
requests that do not are sent in turn, until the time is over. An answer of 500 or above, one that the document does not
describe, or a service that ended, is a failure; what was sent is then printed.
"""

import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bench.registry_writes import ORIGIN, served, sign
from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import Model, Organisation
from whorl.entries.leaf import entry_id
from whorl.registry.local import create_registry, entered
from whorl.registry.public_keys import issuer_public

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CONTENT = "sha256:" + "1" * 64
AT_ONCE = 50


def main() -> None:
    seconds = float(sys.argv[1])
    number = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"seed {number}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "registry"
        known = fill(folder)
        with served(folder, "--entries-per-hour=0", "--reads-per-second=0") as (url, process):
            counted = fuzz(url, known, until=time.monotonic() + seconds, number=number)
            if process.poll() is not None:
                raise SystemExit(f"the service ended with status {process.returncode}")
    print(f"{sum(counted.values())} requests, by status: {dict(sorted(counted.items()))}")


def fill(folder: Path) -> dict[str, str]:
    """A registry with an organisation and a model; the names that its routes know them by."""
    key = new_issuer_key(secrets.token_bytes)
    roots = (issuer_public(key),)
    organisation = Organisation(name="Northwind Labs", jurisdiction="NL", roots=roots)
    first, end = sign(organisation, key, None)
    model, _ = sign(Model(publisher="Northwind Labs", name="lumen-1", content=CONTENT), key, end)
    with create_registry(folder, origin=ORIGIN, bureau_name="Harbour Bureau", jurisdiction="NL") as made:
        entries = [entered(outcome) for outcome in made.enter([first, model])]
    return {
        "entry_id": entry_id(entries[1].hash),
        "organisation": entry_id(entries[0].hash),
        "key": key.id.hex(),
        "digest": CONTENT,
        "address": "0/000.p/3",
    }


def fuzz(url: str, known: dict[str, str], *, until: float, number: int) -> Counter[int]:
    """Try every route again and again; how many answers had which status."""
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    counted: Counter[int] = Counter()
    while time.monotonic() < until:
        number += 1
        for operation in operations:
            for mode in GenerationMode:
                if time.monotonic() < until:
                    try_route(operation, mode, known, counted, number)
    return counted


def try_route(operation: Any, mode: GenerationMode, known: dict[str, str], counted: Counter[int], number: int) -> None:
    """Send some requests to a route."""

    @seed(number)
    @settings(
        max_examples=AT_ONCE,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        for name in [None, *(set(case.path_parameters or {}) & set(known))]:
            if name is not None:
                case.path_parameters[name] = known[name]
            answer = case.call(timeout=60)
            counted[answer.status_code] += 1
            if answer.status_code != 429:
                case.validate_response(answer, checks=CHECKS)

    try:
        check()
    except Unsatisfiable:  # of this route no request is wrong
        return


if __name__ == "__main__":
    main()
