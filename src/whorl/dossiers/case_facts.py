"""What the issuer's root says, taken from the case's own files."""

from collections.abc import Mapping
from pathlib import Path

from whorl import __version__
from whorl.core.errors import InputError
from whorl.dossiers.building import Facts, Source
from whorl.dossiers.case_steps import MAX_CUSTODY_BYTES
from whorl.dossiers.custody import open_chain, parse_chain
from whorl.dossiers.layout import CUSTODY
from whorl.dossiers.references import opinion_in_force


def facts_of(files: Mapping[str, Source]) -> Facts:
    """Facts for `build_dossier`; the time is that of the last event, so that the same case gives the same bytes.

    Parameters
    ----------
    files : by path in the bag; only the chain is read

    Raises
    ------
    InputError
        If there is no chain.
    VerificationError
        If the chain does not hold: no dossier is made of it.
    """
    if CUSTODY not in files:
        raise InputError(f"expected the file {CUSTODY} among the case's files, found none; is it the folder of a case?")
    kept = parse_chain(_content(files[CUSTODY]))
    events = open_chain(kept)
    return Facts(
        case=kept[0].record.hash.hex(),
        head=kept[-1].record.hash.hex(),
        events=len(kept),
        opinion=opinion_in_force(events),
        built_at=kept[-1].record.at,
        tool=f"whorl {__version__}",
    )


def _content(source: Source) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            source = file.read(MAX_CUSTODY_BYTES + 1)
    if len(source) > MAX_CUSTODY_BYTES:
        raise InputError(f"{CUSTODY}: expected at most {MAX_CUSTODY_BYTES} bytes, found more")
    return source
