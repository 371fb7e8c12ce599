"""Everything that was asked of one endpoint and everything it answered, in one append-only file.

Format: ``docs/specs/transcript.md``. One JSON document a line: a header, then one line for each question that was
answered or given up, then a seal. Lines are chained by digest, so nothing can be dropped, added or reordered without
the seal failing.
"""

from typing import Literal

from pydantic import Field

from whorl.core.evidence import Document, StoredDocument
from whorl.endpoints.exchange import Capabilities, EndpointName, Reply, Trouble
from whorl.probes.battery import Battery


class Header(StoredDocument):
    """First line: what is asked of whom. Holds the whole battery, so that the file can be re-analysed alone."""

    schema_: Literal["whorl.transcript/1"] = Field(default="whorl.transcript/1", alias="schema")
    whorl_version: str
    endpoint: EndpointName
    battery: Battery
    capabilities: Capabilities | None
    started: str


class Answered(Document):
    """One question that was answered."""

    kind: Literal["answered"] = "answered"
    item: str
    draw: int = Field(ge=0)
    reply: Reply


class GivenUp(Document):
    """One question without an answer. A later run asks it again."""

    kind: Literal["given_up"] = "given_up"
    item: str
    draw: int = Field(ge=0)
    trouble: Trouble
    detail: str


class Seal(Document):
    """Last line: how the run ended. A resumed run removes it and writes another."""

    kind: Literal["seal"] = "seal"
    reason: Literal["complete", "budget", "interrupted", "endpoint_lost"]
    answered: int = Field(ge=0)
    given_up: int = Field(ge=0)
    flags: tuple[str, ...] = Field(description="what was odd about the endpoint, for people: 'two model names: ...'")
    chain: str = Field(description="digest of every line before this one")
