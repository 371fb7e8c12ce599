"""What somebody with a dossier, a text editor and some keys can do to it: unpack, change, list anew, sign anew."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from whorl.dossiers.archive import ArchiveWriter, measure
from whorl.dossiers.bag import INFO, LISTED_TAGS, MANIFEST, ROOT, TAG_MANIFEST, BagInfo, parse_info, write_manifest
from whorl.dossiers.crate import write_crate
from whorl.dossiers.layout import CRATE
from whorl.dossiers.root import key_texts, parse_root, root_payload, sign_root
from whorl.entries.keys import IssuerKey


def unpacked(path: Path) -> dict[str, bytes]:
    """The bag's files by their paths in it."""
    with zipfile.ZipFile(path) as archive:
        return {name.removeprefix("dossier/"): archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes], out: Path, *, base: str = "dossier/") -> Path:
    """Write a dossier of these very files; nothing in them is made to fit."""
    with out.open("wb") as file:
        writer = ArchiveWriter(file.write)
        for name in sorted(base + name for name in files):
            content = files[name.removeprefix(base)]
            writer.add(name, size=len(content), crc=zlib.crc32(content), pieces=[content])
        writer.finish()
    return out


def listed_anew(files: Mapping[str, bytes], *, built_at: str | None = None) -> dict[str, bytes]:
    """The same files with catalogue, manifest, note and tag manifest made to fit them; the root is as it was."""
    stated, old = parse_root(files[ROOT]).predicate, parse_info(files[INFO])
    at = built_at or stated.built_at
    payload = {name: content for name, content in files.items() if name.startswith("data/") and name != CRATE}
    measured = {name: measure([content]) for name, content in payload.items()}
    payload[CRATE] = write_crate(measured, case=stated.case, built_at=at)
    measured[CRATE] = measure([payload[CRATE]])
    info = BagInfo(
        agent=old.agent,
        date=at[:10],
        case=stated.case,
        payload_bytes=sum(map(len, payload.values())),
        payload_files=len(payload),
    )
    tags = {
        name: content for name, content in files.items() if not name.startswith("data/") and name != TAG_MANIFEST
    } | {
        INFO: info.to_bytes(),
        MANIFEST: write_manifest({name: one.digest for name, one in measured.items()}),
    }
    tag_digests = {name: measure([tags[name]]).digest for name in LISTED_TAGS}
    return payload | tags | {TAG_MANIFEST: write_manifest(tag_digests)}


def signed_anew(files: Mapping[str, bytes], key: IssuerKey, **changes: object) -> dict[str, bytes]:
    """The same files with a root by this key over their tag manifest; ``changes`` are what it says else."""
    predicate = parse_root(files[ROOT]).predicate
    stated = predicate.model_copy(update={"keys": key_texts(key.public_keys)} | changes)
    payload = root_payload(measure([files[TAG_MANIFEST]]).digest, stated)
    return {**files, ROOT: sign_root(payload, key)}


def forged(
    files: Mapping[str, bytes], key: IssuerKey, *, built_at: str | None = None, **changes: object
) -> dict[str, bytes]:
    """Files listed and signed anew."""
    at = {} if built_at is None else {"built_at": built_at}
    return signed_anew(listed_anew(files, built_at=built_at), key, **at, **changes)
