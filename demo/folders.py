"""Write a trained model as a Hugging Face folder."""

import os
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel


def write_folder(folder: Path, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Write bfloat16 safetensors, config.json and tokenizer.json, whole or not at all."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    model.to(torch.bfloat16).save_pretrained(partial)
    (partial / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(partial / "tokenizer.json"))
    partial.rename(folder)
