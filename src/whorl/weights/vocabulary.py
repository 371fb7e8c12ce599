"""Token strings by id, from whatever tokenizer file a folder has."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError
from whorl.weights.files import read_bounded, read_json_object, shown

MAX_TOKENS: Final = 1 << 21  # the largest published vocabularies have about 260,000
_TIKTOKEN_LINE: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")

Entries = Iterable[tuple[Any, Any]]  # (token, id) as found, not yet checked


def read_vocabulary(folder: Path) -> tuple[str, ...] | None:
    """Token strings by id, spelled as the tokenizer stores them; "" for an id that no token has.

    Reads the first that is present of ``tokenizer.json``, ``vocab.json``, ``vocab.txt`` and a SentencePiece
    ``tokenizer.model``, the last three together with ``added_tokens.json``. Where two tokens claim one id, the later
    one holds, as in the tokenizers themselves. A ``tokenizer.model`` that holds tiktoken ranks is not read.

    Returns
    -------
    None if the folder has none of these files.

    Raises
    ------
    CheckpointError
        If the file is broken or its ids are not small whole numbers.
    """
    readers: dict[str, Callable[[Path], Entries]] = {
        "tokenizer.json": _tokenizer_json,
        "vocab.json": _token_to_id,
        "vocab.txt": _vocab_txt,
        "tokenizer.model": _sentencepiece,
    }
    for name, read in readers.items():
        file = folder / name
        if not os.path.lexists(file) or (read is _sentencepiece and _TIKTOKEN_LINE.match(read_bounded(file))):
            continue
        tokens = _by_id(read(file), file)
        added = folder / "added_tokens.json"
        if read is not _tokenizer_json and os.path.lexists(added):
            tokens |= _by_id(_token_to_id(added), added)
        if not tokens:
            raise CheckpointError("expected a tokenizer with tokens, found none", file=file)
        return tuple(tokens.get(position, "") for position in range(max(tokens) + 1))
    return None


def _by_id(entries: Entries, file: Path) -> dict[int, str]:
    tokens: dict[int, str] = {}
    for token, position in entries:
        if not isinstance(token, str) or type(position) is not int or not 0 <= position < MAX_TOKENS:
            problem = f"expected tokens as text with ids from 0 to {MAX_TOKENS - 1}"
            raise CheckpointError(f"{problem}, found {shown(token)} with id {shown(position)}", file=file)
        tokens[position] = token
    return tokens


def _token_to_id(file: Path) -> Entries:
    return read_json_object(file).items()


def _tokenizer_json(file: Path) -> Entries:
    document = read_json_object(file)
    model, added = document.get("model"), document.get("added_tokens") or []
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from vocabulary.items()
    elif isinstance(vocabulary, list):  # Unigram: [token, score], by id
        for position, entry in enumerate(vocabulary):
            yield (entry[0] if isinstance(entry, list) and entry else None), position
    else:
        raise CheckpointError("expected model.vocab, a dictionary or list, found neither", file=file)
    if not isinstance(added, list) or not all(isinstance(entry, dict) for entry in added):
        raise CheckpointError("expected added_tokens as a list of objects, found something else", file=file)
    for entry in added:
        yield entry.get("content"), entry.get("id")


def _vocab_txt(file: Path) -> Entries:
    data = read_bounded(file)
    if data.count(b"\n") > MAX_TOKENS:
        raise CheckpointError(f"expected at most {MAX_TOKENS} lines, found more", file=file)
    lines = _text(data, file).split("\n")
    if lines[-1] == "":  # the end of the last line, not a token
        lines.pop()
    return ((line.removesuffix("\r"), position) for position, line in enumerate(lines))


def _sentencepiece(file: Path) -> Entries:
    """The pieces of a SentencePiece ``ModelProto``: its field 1, each with its text in field 1."""
    pieces = (value for field, value in _fields(read_bounded(file), file) if field == 1 and isinstance(value, bytes))
    for position, piece in enumerate(pieces):
        texts = [value for field, value in _fields(piece, file) if field == 1 and isinstance(value, bytes)]
        yield _text(texts[-1], file) if texts else "", position


def _fields(message: bytes, file: Path) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one message in the protocol-buffer wire format: numbers as int, everything else as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at, file)
        match tag & 7:
            case 0:
                number, at = _varint(message, at, file)
                yield tag >> 3, number
                continue
            case 1:
                length = 8
            case 2:
                length, at = _varint(message, at, file)
            case 5:
                length = 4
            case other:
                raise CheckpointError(f"expected a SentencePiece model, found wire type {other}", file=file)
        if length > len(message) - at:
            problem = f"expected a field of {length} bytes, found {len(message) - at}; the file is cut short or broken"
            raise CheckpointError(problem, file=file)
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int, file: Path) -> tuple[int, int]:
    """A number of up to ten groups of seven bits, lowest first, and the position after it."""
    number = 0
    for shift, byte in enumerate(message[at : at + 10]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, at + shift + 1
    raise CheckpointError("expected a SentencePiece model, found an endless or cut-off number", file=file)


def _text(data: bytes, file: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"expected text in UTF-8, found {error}", file=file) from error
