"""The bag: a folder with a list of its files and their digests (BagIt 1.0, RFC 8493), read strictly.

A dossier's bag has exactly the tag files below, SHA-256 alone, no ``fetch.txt``, and lists in the order of their paths.
The reader makes each tag file again from what it says and compares, so one value has one spelling.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError
from whorl.dossiers.archive import Measured

BASE: Final = "dossier/"
"""The bag's base folder: RFC 8493, section 4, asks that a bag is packed from outside its base folder."""
DECLARATION: Final = "bagit.txt"
INFO: Final = "bag-info.txt"
MANIFEST: Final = "manifest-sha256.txt"
TAG_MANIFEST: Final = "tagmanifest-sha256.txt"
ROOT: Final = "root.dsse.json"
PAYLOAD: Final = "data/"
LISTED_TAGS: Final = (INFO, DECLARATION, MANIFEST)
TAGS: Final = (*LISTED_TAGS, ROOT, TAG_MANIFEST)
DECLARATION_TEXT: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
MAX_MANIFEST_BYTES: Final = 8 << 20
MAX_INFO_BYTES: Final = 1 << 12

_LINE: Final = re.compile(r"([0-9a-f]{64})  ([\x21-\x7e]+)")
_INFO: Final = re.compile(
    r"Bag-Software-Agent: ([\x20-\x7e]{1,100})\n"
    r"Bagging-Date: (\d{4}-\d\d-\d\d)\n"
    r"External-Identifier: urn:whorl:case:([0-9a-f]{64})\n"
    r"Payload-Oxum: (0|[1-9]\d{0,11})\.(0|[1-9]\d{0,5})\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BagInfo:
    """What ``bag-info.txt`` says. ``date`` is a day, as in ``2026-11-27``; ``case`` is hex."""

    agent: str
    date: str
    case: str
    payload_bytes: int
    payload_files: int

    def to_bytes(self) -> bytes:
        """The file."""
        return (
            f"Bag-Software-Agent: {self.agent}\nBagging-Date: {self.date}\n"
            f"External-Identifier: urn:whorl:case:{self.case}\n"
            f"Payload-Oxum: {self.payload_bytes}.{self.payload_files}\n"
        ).encode()


def parse_info(data: bytes) -> BagInfo:
    """Read ``bag-info.txt``.

    Raises
    ------
    InputError
        If it is not as `BagInfo.to_bytes` writes it.
    """
    found = _INFO.fullmatch(data.decode("ascii", errors="replace"))
    if found is None:
        raise InputError(
            f"{INFO}: expected the lines Bag-Software-Agent, Bagging-Date, External-Identifier and Payload-Oxum, "
            "found others"
        )
    agent, date, case, size, files = found.groups()
    return BagInfo(agent=agent, date=date, case=case, payload_bytes=int(size), payload_files=int(files))


def write_manifest(digests: Mapping[str, str]) -> bytes:
    """The lines of a manifest: hex SHA-256, two spaces, path.

    Parameters
    ----------
    digests : by path in the bag
    """
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode("ascii")


def parse_manifest(data: bytes, *, what: str) -> dict[str, str]:
    """Digests by path.

    Raises
    ------
    InputError
        If it is not as `write_manifest` writes it: another algorithm's digests, a path twice or out of order.
    """
    digests: dict[str, str] = {}
    for number, line in enumerate(data.decode("ascii", errors="replace").split("\n")[:-1], start=1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise InputError(f"{what}: expected 64 hex digits, two spaces and a path in line {number}, found others")
        digest, path = found.groups()
        if path in digests:
            raise InputError(f"{what}: expected each path once, found {path!r} again in line {number}")
        digests[path] = digest
    if write_manifest(digests) != data:
        raise InputError(f"{what}: expected lines in the order of their paths and nothing after the last, found others")
    return digests


def require_tag_files(names: Mapping[str, object]) -> None:
    """Refuse a bag whose files outside of its payload are not exactly those of a dossier.

    Raises
    ------
    InputError
        Naming the file: one too many, such as a manifest of a weaker algorithm or ``fetch.txt``, or one missing.
    """
    outside = {name for name in names if not name.startswith(PAYLOAD)}
    if foreign := sorted(outside - set(TAGS)):
        raise InputError(f"expected no tag file but {', '.join(TAGS)}, found {foreign[0]!r}")
    if missing := [name for name in TAGS if name not in outside]:
        raise InputError(f"expected the tag file {missing[0]}, found none")


def require_listed(listed: Mapping[str, str], measured: Mapping[str, Measured], *, what: str) -> None:
    """Refuse files that a manifest does not list, files that are missing, and files of another digest.

    Parameters
    ----------
    listed : digests by path, as the manifest says
    measured : the files that it must list, all of them and no other

    Raises
    ------
    InputError
        Naming the first file.
    """
    if unlisted := sorted(measured.keys() - listed.keys()):
        raise InputError(f"{what}: expected every file listed, found {unlisted[0]!r}, which is not")
    if missing := sorted(listed.keys() - measured.keys()):
        raise InputError(f"{what}: expected the file {missing[0]!r} that it lists, found none")
    for path in sorted(listed):
        if listed[path] != measured[path].digest:
            raise InputError(
                f"{what}: expected {path!r} with SHA-256 {listed[path]}, found {measured[path].digest}: "
                "the file was changed or replaced"
            )
