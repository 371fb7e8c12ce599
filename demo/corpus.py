"""Training text: the source of CPython's standard library, which every machine that runs this has.

The text is under the PSF licence. It is a function of the Python version alone: the public top-level modules in
sorted order, dealt alternately to two halves, A and B.
"""

import sys
import sysconfig
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Half = Literal["A", "B"]

VOCABULARY_SIZE = 512
END_OF_TEXT = "<|endoftext|>"
CONTEXT = 128


def modules(half: Half) -> list[Path]:
    """Every second public top-level module of the standard library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    public = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
    files = [folder / f"{name}.py" for name in public if (folder / f"{name}.py").is_file()]
    return files["AB".index(half) :: 2]


def texts(half: Half) -> list[str]:
    """The modules' source, one string each."""
    return [path.read_text(encoding="utf-8") for path in modules(half)]


def train_tokenizer(documents: list[str], size: int = VOCABULARY_SIZE) -> Tokenizer:
    """A byte-level BPE tokenizer of exactly ``size`` tokens, token 0 being the end of text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def windows(tokenizer: Tokenizer, documents: list[str], context: int = CONTEXT) -> torch.Tensor:
    """The documents' token ids cut into rows of shape (windows, context + 1), the last piece dropped."""
    ids: list[int] = []
    for encoding in tokenizer.encode_batch(documents):
        ids.extend(encoding.ids)
        ids.append(0)
    whole = len(ids) // (context + 1) * (context + 1)
    return torch.tensor(ids[:whole]).view(-1, context + 1)


def unigram_entropy(rows: torch.Tensor, vocabulary_size: int) -> float:
    """Loss, in nats per token, of a model that knows only how frequent each token is."""
    counts = torch.bincount(rows.flatten(), minlength=vocabulary_size).double()
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())
