"""The service against its own OpenAPI document: made-up requests never give a 5xx, and answers are as described.

``python -m bench.fuzz.api SECONDS`` does the same for longer.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import UNLIMITED, Claimant, Served, entered_hash, model, new_registry, serving

from whorl.entries.leaf import entry_id
from whorl.log.keys import Signer
from whorl.log.witnessing import Witness

EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROUTES = [
    "GET /api/audit",
    "GET /api/blobs/{digest}",
    "PUT /api/blobs/{digest}",
    "POST /api/cases",
    "GET /api/cases/{case}/events",
    "POST /api/cases/{case}/events",
    "GET /api/cases/{case}/exhibits/{digest}",
    "PUT /api/cases/{case}/exhibits/{digest}",
    "POST /api/cases/{case}/links",
    "DELETE /api/cases/{case}/links/{person}",
    "GET /api/contents",
    "GET /api/digests/{digest}",
    "GET /api/entries",
    "POST /api/entries",
    "GET /api/entries/{entry_id}",
    "GET /api/entries/{entry_id}/receipt",
    "GET /api/issuers/{key}",
    "GET /api/organisations/{organisation}",
    "POST /api/sealed-search",
    "POST /api/search",
    "GET /api/statistics",
    "GET /api/tokens",
    "POST /api/tokens",
    "DELETE /api/tokens/{token_id}",
    "GET /healthz",
    "GET /healthz/ready",
    "GET /log/checkpoint",
    "GET /log/policy",
    "GET /log/tile/{address}",
    "GET /metrics",
    "POST /witness/add-checkpoint",
    "GET /witness/{origin_hash}/checkpoint",
]


@pytest.fixture(scope="module")
def filled(
    registry_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, dict[str, str]]]:
    """A service with some entries, and names that it knows."""
    folder = new_registry(tmp_path_factory.mktemp("schema") / "registry", template=registry_template)
    log = Signer.generate("log.example/other", "ed25519")
    witness_key = Signer.generate("bureau.example/w", "cosignature_ed25519")
    witness = Witness(folder / "witness", [witness_key], {log.name: [log.verifier]})
    claimant = Claimant.new()
    body = model()
    with serving(folder, limits=UNLIMITED, witness=witness) as served:
        with served.remote() as remote:
            organisation = claimant.register(remote)
            entered = entered_hash(remote, claimant.sign(body))
        known = {
            "entry_id": entry_id(entered),
            "organisation": entry_id(organisation),
            "key": claimant.key.id.hex(),
            "digest": str(body.content),
            "address": "0/000.p/3",
        }
        yield served, known


def test_every_route_of_the_document_is_tried(filled: tuple[Served, dict[str, str]]) -> None:
    with filled[0].client() as client:
        paths = client.get("/api/openapi.json").json()["paths"]
    assert sorted(f"{method.upper()} {path}" for path, item in paths.items() for method in item) == sorted(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_made_up_requests_are_answered_as_described(filled: tuple[Served, dict[str, str]], route: str) -> None:
    served, known = filled
    schema = schemathesis.openapi.from_url(f"{served.url}/api/openapi.json")
    method, path = route.split()
    operation = schema[path][method]
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.validate_response(case.call(timeout=30), checks=CHECKS)
            for name in set(case.path_parameters or {}) & set(known):  # what there is, asked for in the same odd way
                case.path_parameters[name] = known[name]
                case.validate_response(case.call(timeout=30), checks=CHECKS)

        with contextlib.nullcontext() if mode == GenerationMode.POSITIVE else contextlib.suppress(Unsatisfiable):
            check()  # of some routes no request is wrong
