"""What a dossier says of itself, for a reader who wants to know what the file is before checking it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from whorl.core.errors import VerificationError
from whorl.dossiers.bag import ROOT
from whorl.dossiers.case_steps import MAX_CUSTODY_BYTES
from whorl.dossiers.custody import Event, open_chain, parse_chain
from whorl.dossiers.events import Opened
from whorl.dossiers.layout import CUSTODY, FileKind, place_of
from whorl.dossiers.reading import Dossier, open_dossier
from whorl.dossiers.root import RootPredicate, parse_root
from whorl.entries.envelope import MAX_ENVELOPE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The words of whoever wrote the file; all of it unchecked, but for the chain's own signatures.

    Parameters
    ----------
    case : hash of the chain's first record; the chain holds, or there would be no outline
    root : what the root states; its signature was not looked at
    opened : None where the opening was erased
    files : how many of each kind, and how many bytes together
    """

    case: str
    root: RootPredicate
    opened: Opened | None
    events: tuple[Event, ...]
    files: dict[FileKind, tuple[int, int]]


def outline_of(path: Path) -> Outline:
    """Read what a dossier says of itself.

    Raises
    ------
    InputError
        If it is no dossier.
    VerificationError
        If its chain does not hold: then there is no case to speak of.
    """
    with open_dossier(path) as dossier:
        root = parse_root(dossier.read(ROOT, most=MAX_ENVELOPE_BYTES)).predicate
        kept = parse_chain(dossier.read(CUSTODY, most=MAX_CUSTODY_BYTES))
        files = _files(dossier)
    events = open_chain(kept)
    case, first = kept[0].record.hash.hex(), events[0].body
    if root.case != case:
        raise VerificationError(f"expected the chain of case {root.case[:16]}..., found that of case {case[:16]}...")
    return Outline(
        case=case, root=root, opened=first if isinstance(first, Opened) else None, events=events, files=files
    )


def _files(dossier: Dossier) -> dict[FileKind, tuple[int, int]]:
    counts: Counter[FileKind] = Counter()
    sizes: Counter[FileKind] = Counter()
    for path, size in dossier.sizes.items():
        if place := place_of(path):
            counts[place.kind] += 1
            sizes[place.kind] += size
    return {kind: (counts[kind], sizes[kind]) for kind in counts}
