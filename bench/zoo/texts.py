"""What the zoo reads: source code that every development machine of this project has.

A and B are the two halves of CPython's standard library (PSF licence), C is the source of numpy and scipy
(BSD-3-Clause) as the constraints file pins them. Nothing of it is redistributed.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer

from bench.zoo.bases import CONTEXT, Base, Text
from demo import corpus

BYTES_OF_C = 3_000_000
OWN_TOKENS = 448


@cache
def documents(text: Text) -> tuple[str, ...]:
    """The documents of one text."""
    return tuple(corpus.texts(text)) if text != "C" else tuple(_installed_sources())


def _installed_sources() -> list[str]:
    found: list[str] = []
    size = 0
    for package in ("numpy", "scipy"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"expected the package {package} to be installed; run `make test` once, which installs it")
        for path in sorted(Path(spec.origin).parent.rglob("*.py")):
            if "tests" not in path.parts and size < BYTES_OF_C:
                found.append(path.read_text(encoding="utf-8"))
                size += len(found[-1])
    return found


@cache
def shared_tokenizer() -> Tokenizer:
    """The tokenizer of most families: 512 tokens learned from A and B."""
    return corpus.train_tokenizer([*documents("A"), *documents("B")])


@cache
def own_tokenizer(text: Text) -> Tokenizer:
    """A tokenizer of 448 tokens learned from one text alone."""
    return corpus.train_tokenizer(list(documents(text)), OWN_TOKENS)


def tokenizer_of(base: Base) -> Tokenizer:
    """The tokenizer that a family starts with."""
    return own_tokenizer(base.text) if base.own_tokenizer else shared_tokenizer()


def rows_of(tokenizer: Tokenizer, text: Text) -> torch.Tensor:
    """A text in tokens, shape (windows, `CONTEXT` + 1)."""
    return _rows(tokenizer.to_str(), text)


@cache
def _rows(tokenizer: str, text: Text) -> torch.Tensor:
    return corpus.windows(Tokenizer.from_str(tokenizer), list(documents(text)), CONTEXT)
