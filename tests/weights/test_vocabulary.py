"""Token strings by id, from every kind of tokenizer file."""

from pathlib import Path
from typing import Any

import pytest
from checkpoint_bytes import sentencepiece_bytes, wire_field, write_folder
from tokenizers import Tokenizer, models, trainers

from whorl.core.errors import CheckpointError
from whorl.weights.vocabulary import read_vocabulary

CORPUS = ["the cat sat on the mat", "the dog sat on the log", "▁ is not _"]
TRAINED: dict[str, tuple[Any, Any]] = {
    "BPE": (models.BPE(), trainers.BpeTrainer(vocab_size=60, special_tokens=["<s>"], show_progress=False)),
    "WordPiece": (models.WordPiece(), trainers.WordPieceTrainer(vocab_size=60, show_progress=False)),
    "Unigram": (models.Unigram(), trainers.UnigramTrainer(vocab_size=60, show_progress=False)),
    "WordLevel": (models.WordLevel(), trainers.WordLevelTrainer(vocab_size=60, show_progress=False)),
}


@pytest.mark.parametrize("kind", TRAINED)
def test_a_trained_tokenizer_gives_the_library_s_own_strings(tmp_path: Path, kind: str) -> None:
    model, trainer = TRAINED[kind]
    tokenizer = Tokenizer(model)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    assert size >= 4
    assert read_vocabulary(tmp_path) == tuple(tokenizer.id_to_token(position) for position in range(size))


@pytest.mark.parametrize(("files", "expected"), [
    ({"vocab.json": {"a": 1, "b": 0}}, ("b", "a")),
    ({"vocab.json": {"a": 0}, "added_tokens.json": {"<x>": 3}}, ("a", "", "", "<x>")),
    ({"vocab.txt": b"[PAD]\nthe\r\n##s\n"}, ("[PAD]", "the", "##s")),
    ({"tokenizer.model": sentencepiece_bytes("<s>", "▁the", "")}, ("<s>", "▁the", "")),
    ({"tokenizer.json": {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 0, "content": "<a>"}]}}, ("<a>",)),
    ({"tokenizer.json": {"model": {"vocab": [["x", -1.5], ["y", 0]]}}, "vocab.txt": b"z"}, ("x", "y")),
    ({"tokenizer.model": b"IQ== 0\nIg== 1\n"}, None),
    ({"README.md": b""}, None),
])  # fmt: skip
def test_known_files(tmp_path: Path, files: dict[str, Any], expected: tuple[str, ...] | None) -> None:
    assert read_vocabulary(write_folder(tmp_path / "model", files)) == expected


BROKEN = [
    ("tokenizer.json", b"{", "expected JSON in UTF-8"),
    ("tokenizer.json", b"[]", "expected a JSON object, found list"),
    ("tokenizer.json", b'{"model": {"vocab": {"a": -1}}}', "found 'a' with id -1"),
    ("tokenizer.json", b'{"model": {"vocab": {"a": 4000000000}}}', "ids from 0 to 2097151"),
    ("tokenizer.json", b'{"model": {"vocab": {"a": true}}}', "found 'a' with id True"),
    ("tokenizer.json", b'{"model": {"vocab": [[["a"], 0]]}}', "found list with id 0"),
    ("tokenizer.json", b'{"model": {"vocab": [7]}}', "found None with id 0"),
    ("tokenizer.json", b'{"model": {"vocab": {"\\ud800": 0}}}', "expected JSON in UTF-8"),
    ("tokenizer.json", b'{"model": {"vocab": {}}, "added_tokens": 4}', "added_tokens as a list of objects"),
    ("tokenizer.json", b'{"model": {"vocab": {}}, "added_tokens": [4]}', "added_tokens as a list of objects"),
    ("tokenizer.json", b'{"model": {"vocab": {}}}', "a tokenizer with tokens, found none"),
    ("tokenizer.json", b'{"model": 3}', "expected model.vocab"),
    ("tokenizer.json", b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ("tokenizer.json", b'{"model": [' + b"0," * 3_000_000 + b"0]}", "at most 3000000 JSON values"),
    ("vocab.json", b'{"a": {}}', "found 'a' with id dict"),
    ("vocab.txt", b"\xff\n", "expected text in UTF-8"),
    ("vocab.txt", b"\n" * (1 + (1 << 21)), "at most 2097152 lines"),
    ("vocab.txt", b"", "a tokenizer with tokens, found none"),
    ("tokenizer.model", wire_field(1, b"\x0a\x7fabc"), "expected a field of 127 bytes, found 3"),
    ("tokenizer.model", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "endless or cut-off number"),
    ("tokenizer.model", b"\x0a\x80", "endless or cut-off number"),
    ("tokenizer.model", b"\x0b", "found wire type 3"),
    ("tokenizer.model", wire_field(1, wire_field(1, b"\xff")), "expected text in UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "match"), BROKEN, ids=[f"{case[0]} {case[2]}" for case in BROKEN])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as refusal:
        read_vocabulary(write_folder(tmp_path / "model", {name: content}))
    assert refusal.value.file.name == name


def test_an_oversized_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 40)  # a hole: no disk is used
    with pytest.raises(CheckpointError, match="expected at most 134217728 bytes, found 1099511627776"):
        read_vocabulary(tmp_path)
