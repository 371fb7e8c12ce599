"""Write a trained model as a Hugging Face folder."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel


def write_folder(
    folder: Path, model: PreTrainedModel, tokenizer: Tokenizer, finish: Callable[[Path], None] = lambda _: None
) -> None:
    """Write bfloat16 safetensors, config.json and tokenizer.json, whole or not at all.

    ``finish`` is given the folder before it gets its name, to add to it.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    model.to(torch.bfloat16).save_pretrained(partial)
    (partial / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(partial / "tokenizer.json"))
    finish(partial)
    partial.rename(folder)
