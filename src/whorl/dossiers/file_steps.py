"""Steps 1 to 4: the archive, the bag, the catalogue, and who signed the list of files."""

from datetime import datetime, timedelta
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.bag import (
    DECLARATION,
    DECLARATION_TEXT,
    INFO,
    LISTED_TAGS,
    MANIFEST,
    MAX_INFO_BYTES,
    MAX_MANIFEST_BYTES,
    ROOT,
    TAG_MANIFEST,
    parse_info,
    parse_manifest,
    require_listed,
    require_tag_files,
)
from whorl.dossiers.crate import MAX_CRATE_BYTES, require_crate
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.layout import CRATE
from whorl.dossiers.root import parse_root
from whorl.entries.envelope import MAX_ENVELOPE_BYTES
from whorl.entries.keys import encode_public
from whorl.entries.kinds import parse_instant

CLOCK_ALLOWANCE: Final = timedelta(minutes=10)
"""How far a time may lie after the reader's clock: clocks differ by so much without anybody lying."""


def archive_step(examination: Examination) -> Found:
    """The archive is as Whorl writes them (asked when it was opened), and no content is damaged."""
    dossier = examination.dossier
    if damaged := dossier.damaged():
        raise VerificationError(
            f"expected every file with the CRC-32 of its header, found {damaged[0]!r} damaged"
            f" ({len(damaged)} of {len(dossier.sizes)} files); get the dossier again"
        )
    return Passed(f"{len(dossier.sizes)} files, {sum(dossier.sizes.values())} bytes, each stored once and undamaged")


def bag_step(examination: Examination) -> Found:
    """Every file is listed once with its SHA-256, and nothing is listed that is not there."""
    dossier = examination.dossier
    require_tag_files(dossier.sizes)
    if dossier.read(DECLARATION, most=MAX_INFO_BYTES) != DECLARATION_TEXT:
        raise VerificationError(f"{DECLARATION}: expected the declaration of BagIt 1.0 in UTF-8, found another")
    tags = parse_manifest(dossier.read(TAG_MANIFEST, most=MAX_INFO_BYTES), what=TAG_MANIFEST)
    require_listed(tags, {name: dossier.measured[name] for name in LISTED_TAGS}, what=TAG_MANIFEST)
    payload = dossier.payload
    listed = parse_manifest(dossier.read(MANIFEST, most=MAX_MANIFEST_BYTES), what=MANIFEST)
    require_listed(listed, payload, what=MANIFEST)
    info = parse_info(dossier.read(INFO, most=MAX_INFO_BYTES))
    found = (sum(one.size for one in payload.values()), len(payload))
    if (info.payload_bytes, info.payload_files) != found:
        raise VerificationError(f"{INFO}: expected a Payload-Oxum of {found[0]}.{found[1]}, found another")
    return Passed(f"{len(payload)} files of the payload, each listed with its SHA-256; none unlisted, none missing")


def crate_step(examination: Examination) -> Found:
    """Each file is one that the format names, and the catalogue describes it."""
    dossier = examination.dossier
    described = {path: one for path, one in dossier.payload.items() if path != CRATE}
    try:
        predicate = parse_root(dossier.read(ROOT, most=MAX_ENVELOPE_BYTES)).predicate
    except InputError:
        return NotChecked("the root, whose case and time stand in the catalogue, could not be read: see step 4")
    data = dossier.read(CRATE, most=MAX_CRATE_BYTES)
    require_crate(data, described, case=predicate.case, built_at=predicate.built_at)
    return Passed(f"{len(described)} files described by kind, size and SHA-256 (RO-Crate 1.2)")


def root_step(examination: Examination) -> Found:
    """The root signs this very list of files, with the keys that it states and the reader expects."""
    dossier = examination.dossier
    root = parse_root(dossier.read(ROOT, most=MAX_ENVELOPE_BYTES))
    found = dossier.measured.get(TAG_MANIFEST)
    if found is None or found.digest != root.tag_manifest:
        raise VerificationError(
            f"{ROOT}: expected a statement about this dossier's {TAG_MANIFEST}, found one about another: "
            "files were changed after it was signed"
        )
    root.require_signed()
    _require_agreement(examination, case=root.predicate.case, date=root.predicate.built_at[:10])
    require_past(parse_instant(root.predicate.built_at), now=examination.now, what="the dossier was built at")
    examination.root = root
    issuer = encode_public(root.keys[0])
    if not examination.keys:
        return Passed(
            f"signed at {root.predicate.built_at} by {issuer}, by the issuer's own clock; no key was given that you "
            "expect, so this says that nothing was changed since, not who the issuer is"
        )
    expected = {key.id for key in examination.keys}
    if not expected & {key.id for key in root.keys}:
        raise VerificationError(
            f"expected a dossier signed by the key that you gave, found one signed by {issuer}: "
            "it was signed anew by somebody else"
        )
    return Passed(f"signed at {root.predicate.built_at} by the key that you gave, {issuer}")


def _require_agreement(examination: Examination, *, case: str, date: str) -> None:
    """The bag's own note must name the same case and day as the signed root."""
    info = parse_info(examination.dossier.read(INFO, most=MAX_INFO_BYTES))
    if (info.case, info.date) != (case, date):
        raise VerificationError(f"{INFO}: expected case {case} and date {date}, as the root says, found others")


def require_past(at: datetime, *, now: datetime, what: str) -> None:
    """Refuse a time that lies after the reader's clock.

    Raises
    ------
    VerificationError
        If it is more than `CLOCK_ALLOWANCE` later.
    """
    if at > now + CLOCK_ALLOWANCE:
        raise VerificationError(
            f"{what} {at:%Y-%m-%dT%H:%M:%SZ}, which is after your clock ({now:%Y-%m-%dT%H:%M:%SZ}): "
            "set your clock, or the time was made up"
        )
