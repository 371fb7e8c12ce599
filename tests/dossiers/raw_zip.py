"""ZIP files of any shape, lies included: what a hostile sender can write."""

import struct
import zlib
from dataclasses import dataclass, field

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")


@dataclass(kw_only=True)
class Member:
    """One file; whatever is left at None follows from the content."""

    name: bytes
    content: bytes = b""
    stored: bytes | None = None
    method: int = 0
    flags: int = 0
    size: int | None = None
    stored_size: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    attributes: int = 0o100644 << 16
    date: int = 0x21
    offset: int | None = None
    local_name: bytes | None = None
    local: dict[str, int] = field(default_factory=dict)
    after: bytes = b""


def raw_zip(
    members: list[Member],
    *,
    before: bytes = b"",
    between: bytes = b"",
    after: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    disk: int = 0,
) -> bytes:
    """The bytes of an archive with these members, in this order."""
    body, directory = bytearray(before), bytearray()
    for member in members:
        stored = member.content if member.stored is None else member.stored
        at = len(body) if member.offset is None else member.offset
        size = len(member.content) if member.size is None else member.size
        stored_size = len(stored) if member.stored_size is None else member.stored_size
        crc = zlib.crc32(member.content)
        local_name = member.name if member.local_name is None else member.local_name
        body += LOCAL.pack(
            b"PK\x03\x04",
            10,
            member.local.get("flags", member.flags),
            member.local.get("method", member.method),
            0,
            member.local.get("date", member.date),
            member.local.get("crc", crc),
            member.local.get("stored_size", stored_size),
            member.local.get("size", size),
            len(local_name),
            len(member.extra),
        )
        body += local_name + member.extra + stored + member.after
        directory += CENTRAL.pack(
            b"PK\x01\x02", (3 << 8) | 10, 10, member.flags, member.method, 0, member.date, crc, stored_size, size,
            len(member.name), len(member.extra), len(member.comment), 0, 0, member.attributes, at,
        )  # fmt: skip
        directory += member.name + member.extra + member.comment
    number = len(members) if count is None else count
    end = END.pack(b"PK\x05\x06", disk, 0, number, number, len(directory), len(body) + len(between), len(comment))
    return bytes(body) + between + bytes(directory) + end + comment + after
