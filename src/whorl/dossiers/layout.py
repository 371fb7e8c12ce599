"""Which files a dossier may hold, and what each is: nothing has a place in it that is not in this table."""

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

CRATE: Final = "data/ro-crate-metadata.json"
CUSTODY: Final = "data/custody.jsonl"
REPORT: Final = "data/report.html"
PRINTED_REPORT: Final = "data/report.pdf"
POLICY: Final = "data/policy.txt"
RECEIPT_SUFFIX: Final = ".receipt.json"
PROTOCOL_RECEIPT: Final = f"data/registry/protocol{RECEIPT_SUFFIX}"

FileKind: TypeAlias = Literal[
    "crate", "custody", "exhibit", "finding", "population", "opinion", "report", "receipt", "export", "policy"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One kind of file.

    Parameters
    ----------
    name : how a catalogue calls it; the same words for every file of the kind, so that nobody's claim stands in it
    media : its media type (RFC 6838)
    addressed : whether the first group of the pattern is the SHA-256 of the content
    """

    kind: FileKind
    pattern: re.Pattern[str]
    name: str
    media: str
    addressed: bool = False


_DIGEST: Final = r"([0-9a-f]{64})"


def _place(kind: FileKind, pattern: str, name: str, media: str, *, addressed: bool = False) -> Place:
    return Place(kind=kind, pattern=re.compile(pattern), name=name, media=media, addressed=addressed)


PLACES: Final = (
    _place("crate", re.escape(CRATE), "Catalogue of the dossier", "application/ld+json"),
    _place("custody", re.escape(CUSTODY), "Signed chain of the case's events", "application/jsonl"),
    _place("exhibit", f"data/exhibits/{_DIGEST}", "Exhibit", "application/octet-stream", addressed=True),
    _place("finding", rf"data/findings/{_DIGEST}\.json", "Finding", "application/json", addressed=True),
    _place("population", f"data/populations/{_DIGEST}", "Population", "application/octet-stream", addressed=True),
    _place("opinion", r"data/opinion-([1-9][0-9]{0,3})\.json", "Opinion", "application/json"),
    _place("report", re.escape(REPORT), "Report to be read", "text/html"),
    _place("report", re.escape(PRINTED_REPORT), "Report to be printed", "application/pdf"),
    _place("receipt", r"data/registry/([a-z0-9][a-z0-9._-]{0,63})\.receipt\.json", "Receipt", "application/json"),
    _place("export", r"data/exports/([a-z0-9][a-z0-9._-]{0,63})\.json", "Export", "application/json"),
    _place("policy", re.escape(POLICY), "Policy of the issuer, for information", "text/plain"),
)


ADDED_KINDS: Final[frozenset[FileKind]] = frozenset({"report", "receipt", "export", "policy"})
"""Kinds of file that no event has to name."""


def place_of(path: str) -> Place | None:
    """What the file at this path of the bag is; None if no such file has a place in a dossier."""
    return next((place for place in PLACES if place.pattern.fullmatch(path)), None)


def address_of(path: str) -> str | None:
    """The hex SHA-256 that the path promises of its content; None if it promises none."""
    for place in PLACES:
        if place.addressed and (found := place.pattern.fullmatch(path)):
            return found.group(1)
    return None
