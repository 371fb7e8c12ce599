"""The catalogue: RO-Crate 1.2 metadata that name each file of the payload with its size, digest and media type.

It is a function of the files, the case and the time: no claim of anybody stands in it, and a reader makes it again.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from whorl.core.errors import InputError
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.archive import Measured
from whorl.dossiers.bag import PAYLOAD
from whorl.dossiers.layout import CRATE, Place, place_of

MAX_CRATE_BYTES: Final = 16 << 20
_VERSION: Final = "https://w3id.org/ro/crate/1.2"
_DESCRIPTOR: Final = CRATE.removeprefix(PAYLOAD)
_TERMS: Final = "#terms"


def write_crate(measured: Mapping[str, Measured], *, case: str, built_at: str) -> bytes:
    """The bytes of ``ro-crate-metadata.json``.

    Parameters
    ----------
    measured : every file of the payload but the catalogue itself, by its path in the bag
    case : hex
    built_at : ``YYYY-MM-DDTHH:MM:SSZ``

    Raises
    ------
    InputError
        If a file has no place in a dossier.
    """
    files = [_file(path, measured[path]) for path in sorted(measured)]
    document = {
        "@context": f"{_VERSION}/context",
        "@graph": [
            {
                "@id": _DESCRIPTOR,
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": {"@id": _VERSION},
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "datePublished": built_at,
                "description": "A case about the origin of a model, with what is needed to check it offline.",
                "hasPart": [{"@id": file["@id"]} for file in files],
                "identifier": f"urn:whorl:case:{case}",
                "license": {"@id": _TERMS},
                "name": "Dossier of a case",
            },
            {"@id": _TERMS, "@type": "CreativeWork", "name": "Terms that the first event of the case states"},
            *files,
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def require_crate(data: bytes, measured: Mapping[str, Measured], *, case: str, built_at: str) -> None:
    """Refuse a catalogue that is not the one of these files.

    Raises
    ------
    InputError
        Naming the first file that it leaves out, adds or describes otherwise.
    """
    expected = write_crate(measured, case=case, built_at=built_at)
    if data == expected:
        return
    graph = parse_json_object(data, what=CRATE, max_bytes=MAX_CRATE_BYTES, max_depth=6).get("@graph")
    described = {name: entity for entity in _objects(graph) if isinstance(name := entity.get("@id"), str)}
    wanted = {str(entity["@id"]): entity for entity in _objects(json.loads(expected)["@graph"])}
    for name in sorted(wanted.keys() | described.keys(), key=lambda name: (name == "./", name)):
        if wanted.get(name) != described.get(name):
            problem = "none" if name not in described else "another" if name in wanted else "one of no file"
            raise InputError(f"{CRATE}: expected a description of {name[:200]!a} that follows from it, found {problem}")
    raise InputError(f"{CRATE}: expected the catalogue as the format spells it, found another spelling")


def _objects(graph: object) -> list[dict[str, Any]]:
    return [entity for entity in graph if isinstance(entity, dict)] if isinstance(graph, list) else []


def _file(path: str, measured: Measured) -> dict[str, str]:
    place = require_place(path)
    return {
        "@id": path.removeprefix(PAYLOAD),
        "@type": "File",
        "contentSize": str(measured.size),
        "encodingFormat": place.media,
        "name": place.name,
        "sha256": measured.digest,
    }


def require_place(path: str) -> Place:
    """What the file at this path is.

    Raises
    ------
    InputError
        If no such file has a place in a dossier.
    """
    place = place_of(path)
    if place is None:
        raise InputError(f"expected only files that the format names, found {path[:200]!a}; see docs/specs/dossier.md")
    return place
