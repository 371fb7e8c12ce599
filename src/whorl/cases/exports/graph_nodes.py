"""Nodes of a CASE/UCO graph: each has a name of its own, none is blank, and the same thing is one node."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from whorl.core.digest import canonical_json
from whorl.dossiers.events import Role

EXAMINER_ROLES: Final[frozenset[Role]] = frozenset({"analyst", "replicator", "reviewer"})
"""Roles that CASE has a class for: whoever gives scientific evaluations of evidence."""
_PREFIX: Final = "sha256:"
_MODEL_HASH: Final = "SHA256 over the model's content as Whorl reads it"


class Graph:
    """Nodes by their names; what is added twice is there once."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, Any]] = {}

    def add(self, name: str, kind: str, properties: Mapping[str, Any]) -> str:
        """Add a node, or properties to one that is there; its name."""
        self._nodes.setdefault(name, {"@id": name, "@type": kind}).update(properties)
        return name

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes, by name."""
        return [self._nodes[name] for name in sorted(self._nodes)]

    def file(self, digest: str, *, name: str | None = None) -> str:
        """Stored bytes, by their ``sha256:`` digest."""
        value = digest.removeprefix(_PREFIX)
        return self.content(f"urn:whorl:sha256:{value}", {"SHA256": value}, name=name)

    def model(self, digest: str) -> str:
        """A model, by the ``sha256:`` digest of its content, which is no file's hash."""
        value = digest.removeprefix(_PREFIX)
        return self.content(f"urn:whorl:model:{value}", {_MODEL_HASH: value})

    def content(self, node: str, hashes: Mapping[str, str], *, name: str | None = None) -> str:
        """Something observed, with its hashes (hex) by method."""
        made = [
            self.add(
                f"{node}:hash:{number}",
                "uco-types:Hash",
                {
                    "uco-types:hashMethod": method,
                    "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": value.upper()},
                },
            )
            for number, (method, value) in enumerate(hashes.items(), start=1)
        ]
        facet = self.add(f"{node}:content", "uco-observable:ContentDataFacet", {"uco-observable:hash": links(made)})
        named = {} if name is None else {"uco-core:name": name}
        return self.add(node, "uco-observable:ObservableObject", {"uco-core:hasFacet": links([facet])} | named)

    def tool(self, name: str, version: str | None) -> str:
        """A program or a method, by its name and version."""
        address = hashlib.sha256(canonical_json([name, version])).hexdigest()
        said = {"uco-core:name": name} | ({} if version is None else {"uco-tool:version": version})
        return self.add(f"urn:whorl:tool:{address}", "uco-tool:AnalyticTool", said)


def links(names: Iterable[str]) -> list[dict[str, str]]:
    """References to nodes."""
    return [{"@id": name} for name in names]


def instant(at: str) -> dict[str, str]:
    """A time of the chain as a typed literal."""
    return {"@type": "xsd:dateTime", "@value": at}
