"""Training moves to a GPU where there is one; everything else about the zoo stays on the processor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized

import torch
from transformers import PreTrainedModel


@contextmanager
def on_accelerator(*models: PreTrainedModel) -> Iterator[None]:
    """Models on the GPU for the length of a block, back on the processor afterwards.

    Edits draw from generators of the processor and mix models, so that only training is worth the move.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for model in models:
        model.to(device)
    try:
        yield
    finally:
        for model in models:
            model.cpu()


def choose_device(left: "Synchronized[int]") -> None:
    """Give a worker the GPU while there are places: models this small leave it idle, and processors are idle beside."""
    with left.get_lock():
        left.value -= 1
        if left.value < 0:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
