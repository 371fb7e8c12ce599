"""Makes a dossier: the same files and facts give the same bytes, on any machine and on any day."""

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from whorl.core.errors import InputError
from whorl.dossiers.archive import PIECE, ArchiveWriter, Measured, measure
from whorl.dossiers.bag import (
    BASE,
    DECLARATION,
    DECLARATION_TEXT,
    INFO,
    MANIFEST,
    ROOT,
    TAG_MANIFEST,
    BagInfo,
    write_manifest,
)
from whorl.dossiers.crate import require_place, write_crate
from whorl.dossiers.layout import CRATE, CUSTODY, address_of
from whorl.dossiers.root import RootPredicate, key_texts, root_payload, sign_root

if TYPE_CHECKING:
    from whorl.entries.keys import IssuerKey

Source: TypeAlias = bytes | Path
"""A file's content, or where it lies."""
_FILE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the issuer signs beside the files.

    Parameters
    ----------
    case, head : hex: the case, and the hash of the last record of its chain
    events : number of records
    opinion : hex SHA-256 of the opinion in force, None where there is none
    built_at : ``YYYY-MM-DDTHH:MM:SSZ``, not before the last event; the time of the last event, where the dossier is to
        depend on the case alone
    tool : name and version of the program, as in ``whorl 0.1.0``
    """

    case: str
    head: str
    events: int
    opinion: str | None
    built_at: str
    tool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was written: hex SHA-256 of the file, and its root, to be kept for the next build of the same files."""

    digest: str
    size: int
    root: bytes


def build_dossier(
    files: Mapping[str, Source], *, facts: Facts, key: "IssuerKey", out: Path, kept_root: bytes | None = None
) -> Built:
    """Write a dossier; ``out`` appears whole or not at all, and replaces what was there.

    Parameters
    ----------
    files : by path in the bag (``data/custody.jsonl`` ...), without the catalogue, which is made here
    key : the issuer's, who manages the case
    kept_root : the root of an earlier build; used again where it states the very same, so that the bytes are the same
        though an ML-DSA-44 signature differs each time

    Raises
    ------
    InputError
        If a file has no place in a dossier, is not what its name promises, or changed while it was copied.
    OSError
        If a file cannot be read or ``out`` cannot be written.
    """
    payload, measured = _payload(files, facts)
    tags = _tags(measured, facts)
    tag_manifest = write_manifest({name: _measure(data).digest for name, data in tags.items()})
    predicate = RootPredicate(
        case=facts.case,
        head=facts.head,
        events=facts.events,
        opinion=facts.opinion,
        built_at=facts.built_at,
        tool=facts.tool,
        keys=key_texts(key.public_keys),
    )
    root = sign_root(root_payload(_measure(tag_manifest).digest, predicate), key, kept=kept_root)
    tags |= {TAG_MANIFEST: tag_manifest, ROOT: root}
    measured |= {name: _measure(data) for name, data in tags.items()}
    digest, size = _write(payload | tags, measured, out)
    return Built(digest=digest, size=size, root=root)


def _payload(files: Mapping[str, Source], facts: Facts) -> tuple[dict[str, Source], dict[str, Measured]]:
    """The files with their catalogue, and what a pass over each gave."""
    if CUSTODY not in files or CRATE in files:
        raise InputError(f"expected the files of a case with {CUSTODY} and without {CRATE}, found others")
    measured = {}
    for path, source in files.items():
        require_place(path)
        measured[path] = _measure(source)
        promised = address_of(path)
        if promised not in (None, measured[path].digest):
            raise InputError(f"{path}: expected the content that its name promises, found {measured[path].digest}")
    crate = write_crate(measured, case=facts.case, built_at=facts.built_at)
    return {**files, CRATE: crate}, measured | {CRATE: _measure(crate)}


def _tags(measured: Mapping[str, Measured], facts: Facts) -> dict[str, Source]:
    info = BagInfo(
        agent=facts.tool,
        date=facts.built_at[:10],
        case=facts.case,
        payload_bytes=sum(one.size for one in measured.values()),
        payload_files=len(measured),
    )
    manifest = write_manifest({path: one.digest for path, one in measured.items()})
    return {DECLARATION: DECLARATION_TEXT, INFO: info.to_bytes(), MANIFEST: manifest}


def _write(files: Mapping[str, Source], measured: Mapping[str, Measured], out: Path) -> tuple[str, int]:
    """Write the archive beside ``out``, flush it, and move it into place."""
    partial = out.with_name(f".whorl-{secrets.token_hex(8)}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
        with os.fdopen(descriptor, "wb") as file:
            hashing = _Hashing(file)
            writer = ArchiveWriter(hashing.write)
            for name in sorted(files):
                one = measured[name]
                writer.add(BASE + name, size=one.size, crc=one.crc, pieces=_pieces(files[name]))
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return hashing.digest(), hashing.size


class _Hashing:
    """Passes bytes on to a file and digests them on their way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._running = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._running.update(data)
        self.size += len(data)

    def digest(self) -> str:
        return self._running.hexdigest()


def _measure(source: Source) -> Measured:
    return measure(_pieces(source))


def _pieces(source: Source) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from (source[at : at + PIECE] for at in range(0, len(source), PIECE))
        return
    with source.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
