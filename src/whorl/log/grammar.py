"""The rules of writing that all formats here share: lines, names, decimals, base64, the three lines of a tree head.

Every rule accepts one spelling of a value and no other, so that what is read and rendered again is the same bytes. All
raise `InputError`; ``what`` names the thing at fault, for the message.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final

from whorl.core.errors import InputError
from whorl.log.merkle import HASH_BYTES

MAX_NOTE_BYTES: Final = 1 << 20
MAX_NAME_BYTES: Final = 255
"""Of an origin and of a key name: what the ML-DSA-44 ``cosigned_message`` can hold."""
MAX_SIZE: Final = 2**63 - 1
"""Of a tree, and of a POSIX time: what tlog-cosignature allows."""
MAX_PATH: Final = 63
"""Hashes of a proof in a tree of at most `MAX_SIZE` records."""
MAX_EXTENSIONS: Final = 64

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SHOWN: Final = 80


def shown(text: str) -> str:
    """A stranger's text for a message: quoted, escaped and cut."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def decoded_text(data: bytes, *, what: str, max_bytes: int) -> str:
    """Text of lines: UTF-8 without control characters other than newline."""
    if len(data) > max_bytes:
        raise InputError(f"{what}: expected at most {max_bytes} bytes, found {len(data)}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{what}: expected UTF-8, found byte 0x{data[error.start]:02x} at {error.start}") from None
    check_text(text, what=what)
    return text


def encoded_text(text: str, *, what: str) -> bytes:
    """UTF-8 of a text that may come from a JSON document, where it can hold what UTF-8 cannot."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what}: expected Unicode text, found half of a surrogate pair at {error.start}") from None


def check_text(text: str, *, what: str) -> None:
    """Refuse control characters other than newline, and what UTF-8 cannot hold."""
    encoded_text(text, what=what)
    if found := _CONTROL.search(text):
        raise InputError(
            f"{what}: expected no control characters but newline, found {found[0]!r} at {found.start()}; "
            "it was written by another program or altered on the way"
        )


def check_line(text: str, *, what: str) -> None:
    """Refuse what is no non-empty line."""
    check_text(text, what=what)
    if not text or "\n" in text:
        raise InputError(f"{what}: expected one line that is not empty, found {shown(text)}")


def check_name(name: str, *, what: str) -> None:
    """Key names (signed-note): not empty, without Unicode spaces, plus signs and control characters."""
    check_line(name, what=what)
    if "+" in name or any(character.isspace() for character in name):
        raise InputError(
            f"{what}: expected a name without spaces and plus signs such as 'log.example/1', found {shown(name)}"
        )


def check_length(name: str, *, what: str) -> None:
    """Refuse names that an ML-DSA-44 cosignature could not commit to."""
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InputError(f"{what}: expected at most {MAX_NAME_BYTES} bytes, found {len(name.encode())}")


def parse_decimal(text: str, *, what: str) -> int:
    """An ASCII decimal of at most `MAX_SIZE`, without sign and leading zeros."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise InputError(f"{what}: expected a decimal from 0 to {MAX_SIZE} without leading zeros, found {shown(text)}")
    return int(text)


def parse_base64(text: str, *, what: str) -> bytes:
    """RFC 4648 section 4 base64: padded, without white space, with the unused bits zero."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if base64_of(data) != text:
        raise InputError(f"{what}: expected standard base64 with padding, found {shown(text)}")
    return data


def base64_of(data: bytes) -> str:
    """RFC 4648 section 4 base64."""
    return base64.b64encode(data).decode()


def parse_hash(text: str, *, what: str) -> bytes:
    """One SHA-256 hash in base64."""
    data = parse_base64(text, what=what)
    if len(data) != HASH_BYTES:
        raise InputError(f"{what}: expected base64 of {HASH_BYTES} bytes, found {len(data)} bytes")
    return data


def parse_path(lines: list[str], *, what: str) -> tuple[bytes, ...]:
    """The hashes of a proof, one a line; counted before any is read."""
    if len(lines) > MAX_PATH:
        raise InputError(f"{what}: expected at most {MAX_PATH} hashes, found {len(lines)}")
    return tuple(parse_hash(line, what=f"{what}, hash {number}") for number, line in enumerate(lines, 1))


def check_path(path: Sequence[bytes], *, what: str) -> None:
    """Refuse a path that `parse_path` would not give."""
    if len(path) > MAX_PATH or any(len(one) != HASH_BYTES for one in path):
        raise InputError(f"{what}: expected at most {MAX_PATH} hashes of {HASH_BYTES} bytes")


def check_number(number: int, *, what: str) -> None:
    """Refuse a number that `parse_decimal` would not give."""
    if not 0 <= number <= MAX_SIZE:
        raise InputError(f"{what}: expected a number from 0 to {MAX_SIZE}, found {number}")


def check_extensions(extensions: Sequence[str]) -> None:
    """Refuse more extension lines than `parse_tree_head_lines` would give."""
    if len(extensions) > MAX_EXTENSIONS:
        raise InputError(f"tree head: expected at most {MAX_EXTENSIONS} extension lines, found {len(extensions)}")


def split_note(text: str, *, what: str) -> tuple[list[str], bytes]:
    """Lines, an empty line, and the signed note below it, byte for byte; of the lines a few more than `MAX_PATH`."""
    above, blank, note = text.partition("\n\n")
    if not blank:
        raise InputError(f"{what}: expected lines, an empty line and a signed tree head, found {shown(text)}")
    return above.split("\n", MAX_PATH + 3), note.encode()


def parse_tree_head_lines(text: str) -> tuple[str, int, bytes, tuple[str, ...]]:
    """Origin, size, root and extension lines of a tree head (tlog-checkpoint, "Note text").

    The one reading of that text: what an ML-DSA-44 signature covers and what a caller sees come from here.
    """
    lines = text.split("\n", 3 + MAX_EXTENSIONS)
    if len(lines) < 4 or lines[-1]:
        raise InputError(
            f"tree head: expected origin, size, root and at most {MAX_EXTENSIONS} further lines, each with a newline, "
            f"found {shown(text)}"
        )
    origin, size, root, *extensions = lines[:-1]
    for line in (origin, *extensions):
        check_line(line, what="tree head")
    check_length(origin, what="tree head, origin")
    return (
        origin,
        parse_decimal(size, what="tree head, size"),
        parse_hash(root, what="tree head, root"),
        tuple(extensions),
    )
