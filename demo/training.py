"""Train small language models, reproducibly: one thread, every choice from a seed."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

Architecture = Literal["llama", "qwen2", "gpt_neox"]

WARM_UP = 0.06  # share of the steps
# 0.02 at width 4096 is 1.28 / sqrt(width); the same ratio keeps a narrow model's start as visible as a real one's.
INITIALISER_RANGE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long, how fast, in which order of the data, and with how much weight decay."""

    steps: int = 1000
    learning_rate: float = 5e-3
    order: int = 0
    batch: int = 16
    decay: float = 0.1


def configuration(architecture: Architecture, vocabulary_size: int) -> PreTrainedConfig:
    """About 0.26 million parameters: width 64, 4 layers, 4 heads."""
    shared: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "max_position_embeddings": 256,
        "initializer_range": INITIALISER_RANGE,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    match architecture:
        case "llama":
            return LlamaConfig(**shared, num_key_value_heads=2, tie_word_embeddings=False)
        case "qwen2":
            return Qwen2Config(**shared, num_key_value_heads=2, tie_word_embeddings=True)
        case "gpt_neox":
            return GPTNeoXConfig(**shared, rotary_pct=0.25, use_parallel_residual=True, tie_word_embeddings=False)


def fresh_model(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """An untrained model whose every weight follows from the seed."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def train(
    model: PreTrainedModel, rows: torch.Tensor, recipe: Recipe, *, teacher: PreTrainedModel | None = None
) -> float:
    """Train in place and return the mean loss over the last tenth of the steps, in nats per token.

    With a teacher, the loss is the Kullback-Leibler divergence from the teacher's predictions: distillation.
    """
    torch.set_num_threads(1)
    torch.manual_seed(recipe.order)
    device = next(model.parameters()).device
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": recipe.decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe.steps))
    order = torch.Generator().manual_seed(recipe.order)
    model.train()
    losses: list[float] = []
    for step in range(recipe.steps):
        start = step * recipe.batch % (len(rows) - len(rows) % recipe.batch)
        if start == 0:
            shuffled = rows[torch.randperm(len(rows), generator=order)]
        loss = _loss(model, shuffled[start : start + recipe.batch].to(device), teacher)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    tail = losses[-max(1, recipe.steps // 10) :]
    return sum(tail) / len(tail)


@torch.no_grad()
def evaluate(model: PreTrainedModel, rows: torch.Tensor, count: int = 64) -> float:
    """Mean loss on evenly spaced windows, in nats per token."""
    torch.set_num_threads(1)
    picked = rows[torch.linspace(0, len(rows) - 1, count).long()]
    return _loss(model, picked, None).item()


def _rate(step: int, steps: int) -> float:
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up))) / 2


def _loss(model: PreTrainedModel, batch: torch.Tensor, teacher: PreTrainedModel | None) -> torch.Tensor:
    logits = model(input_ids=batch[:, :-1]).logits.float().flatten(0, 1)
    if teacher is None:
        return functional.cross_entropy(logits, batch[:, 1:].flatten())
    with torch.no_grad():
        wanted = teacher(input_ids=batch[:, :-1]).logits.float().flatten(0, 1)
    return functional.kl_div(logits.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="batchmean")
