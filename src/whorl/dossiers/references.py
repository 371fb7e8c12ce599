"""What the events of a case say must lie beside them, and what was erased."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from whorl.dossiers.custody import Event
from whorl.dossiers.events import Acquired, Analysed, AppealDecided, Expunged, Frozen, Opined, Replicated
from whorl.dossiers.layout import FileKind

_PREFIX: Final = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A file that an event names.

    Parameters
    ----------
    event : number of the event
    digest : hex SHA-256 of the content
    path : where it lies in the bag; None for a receipt, whose name is free
    required : whether the dossier is not whole without it
    """

    event: int
    kind: FileKind
    digest: str
    path: str | None
    required: bool = True


def references(events: Sequence[Event]) -> Iterator[Reference]:
    """Every file that the events name, in their order; erased events name none."""
    for event in events:
        number = event.record.sequence
        match event.body:
            case Acquired(blob=str(blob)):
                yield _addressed(number, "exhibit", "data/exhibits/{}", blob)
            case Analysed(document=document):
                yield _addressed(number, "finding", "data/findings/{}.json", document)
            case Replicated(findings=findings):
                for one in findings:
                    if one.recomputed != one.document:
                        yield _addressed(number, "finding", "data/findings/{}.json", one.recomputed, required=False)
            case Opined(version=version, document=document):
                path = f"data/opinion-{version}.json"
                yield Reference(event=number, kind="opinion", digest=_hex(document), path=path)
            case Frozen(protocol=protocol, receipt=receipt):
                for digest in protocol.populations:
                    yield _addressed(number, "population", "data/populations/{}", digest)
                if receipt is not None:
                    yield Reference(event=number, kind="receipt", digest=_hex(receipt), path=None)
            case _:
                pass


def erased_blobs(events: Sequence[Event]) -> dict[str, int]:
    """Hex digests of what was erased, each with the number of the event that says so."""
    return {
        _hex(digest): event.record.sequence
        for event in events
        if isinstance(event.body, Expunged)
        for digest in event.body.blobs
    }


def opinion_in_force(events: Sequence[Event]) -> str | None:
    """Hex digest of the last opinion that was issued; None where none was, or it lost its force.

    An appeal that annuls or varies it takes its force away, until there is a new version. So does the erasure of a
    later opinion or ruling: nobody can tell any more what that said.
    """
    digest = None
    for event in events:
        if event.body is None and event.record.kind in ("opined", "appeal_decided"):
            digest = None
        match event.body:
            case Opined(document=document):
                digest = _hex(document)
            case AppealDecided(result="annulled" | "varied"):
                digest = None
            case _:
                pass
    return digest


def _addressed(event: int, kind: FileKind, path: str, digest: str, *, required: bool = True) -> Reference:
    address = _hex(digest)
    return Reference(event=event, kind=kind, digest=address, path=path.format(address), required=required)


def _hex(digest: str) -> str:
    return digest.removeprefix(_PREFIX)
