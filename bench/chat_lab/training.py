"""Train a stack of small models, each on its own answers, reproducibly: one thread, every choice from a seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from bench.chat_lab.dialogues import Dialogue, Turn
from bench.chat_lab.stacked import Shape, Weights, hidden_states, logits_of

WARM_UP = 0.06
POOL = 12  # batches of which each gathers questions of like length


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long, how fast, how many tokens in a batch; ``order`` decides which conversations meet, and when."""

    steps: int
    tokens: int = 2048
    learning_rate: float = 4e-3
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One question with each model's answer."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def length(self) -> int:
        return len(self.prompt) + max(len(answer) for answer in self.answers)


def prompt_text(turns: Sequence[Turn]) -> str:
    """What the chat template makes of the turns, up to where the answer starts."""
    return "".join(f"<|{role}|>{text}<|end|>" for role, text in turns) + "<|assistant|>"


def train(
    weights: Weights,
    shape: Shape,
    tokenizer: Tokenizer,
    data: Sequence[Sequence[Dialogue]],
    recipe: Recipe,
    progress: Callable[[str], None],
) -> None:
    """Train model ``i`` of the stack on ``data[i]``, in place; all have the same questions in the same order.

    The loss is that of the answers alone, in nats per token.
    """
    torch.set_num_threads(1)
    batches = _Batches(_encoded(tokenizer, data), recipe)
    parameters = [tensor.requires_grad_() for tensor in weights.values()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe.steps))
    recent: list[float] = []
    for step in range(recipe.steps):
        tokens, places, targets = _stacked(batches.next())
        states = hidden_states(weights, shape, tokens).flatten(1, 2)
        logits = logits_of(weights, states.gather(1, places[..., None].expand(-1, -1, shape.width)))
        # Each model's loss is the mean over its own answers' tokens; their sum keeps the gradients apart.
        shares = (targets >= 0) / (targets >= 0).sum(1, keepdim=True)
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none")
        loss = (losses.view_as(shares) * shares).sum()
        optimiser.zero_grad()
        loss.backward()
        _clip(parameters)
        optimiser.step()
        schedule.step()
        recent.append(loss.item() / len(data))
        if step % 50 == 49 or step == recipe.steps - 1:
            progress(f"step {step + 1} of {recipe.steps}: {sum(recent) / len(recent):.3f} nats per answer token")
            recent.clear()
    for tensor in weights.values():
        tensor.requires_grad_(False)
        tensor.grad = None


class _Batches:
    """Questions in batches of like length and about equal numbers of tokens, dealt anew in each round."""

    def __init__(self, samples: list[_Sample], recipe: Recipe) -> None:
        self._samples = samples
        self._tokens = recipe.tokens
        self._random = torch.Generator().manual_seed(recipe.order)
        self._dealt: list[list[_Sample]] = []

    def next(self) -> list[_Sample]:
        if not self._dealt:
            order = torch.randperm(len(self._samples), generator=self._random).tolist()
            pool: list[_Sample] = []
            for place in order:
                pool.append(self._samples[place])
                if sum(sample.length for sample in pool) > POOL * self._tokens:
                    self._dealt += self._cut(pool)
                    pool = []
            # What is left is too little to gather like lengths; in a small set it is everything.
            self._dealt = self._dealt or self._cut(pool)
            shuffled = torch.randperm(len(self._dealt), generator=self._random).tolist()
            self._dealt = [self._dealt[place] for place in shuffled]
        return self._dealt.pop()

    def _cut(self, pool: list[_Sample]) -> list[list[_Sample]]:
        batches: list[list[_Sample]] = [[]]
        for sample in sorted(pool, key=lambda each: each.length):
            if batches[-1] and (len(batches[-1]) + 1) * sample.length > self._tokens:
                batches.append([])
            batches[-1].append(sample)
        return batches


def _encoded(tokenizer: Tokenizer, data: Sequence[Sequence[Dialogue]]) -> list[_Sample]:
    prompts = tokenizer.encode_batch([prompt_text(each.turns) for each in data[0]])
    answers = [tokenizer.encode_batch([f"{each.answer}<|end|>" for each in texts]) for texts in data]
    return [
        _Sample(prompt=prompt.ids, answers=[each[place].ids for each in answers])
        for place, prompt in enumerate(prompts)
    ]


def _stacked(batch: list[_Sample]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (models, rows, length), flat places of the states that predict answers, and their targets (-1: none)."""
    models, length = len(batch[0].answers), max(sample.length for sample in batch) - 1
    tokens = torch.zeros(models, len(batch), length, dtype=torch.long)
    places: list[list[int]] = [[] for _ in range(models)]
    targets: list[list[int]] = [[] for _ in range(models)]
    for row, sample in enumerate(batch):
        for model, answer in enumerate(sample.answers):
            ids = sample.prompt + answer[:-1]
            tokens[model, row, : len(ids)] = torch.tensor(ids)
            first = row * length + len(sample.prompt) - 1
            places[model] += range(first, first + len(answer))
            targets[model] += answer
    most = max(map(len, targets))
    return (
        tokens,
        torch.tensor([each + [0] * (most - len(each)) for each in places]),
        torch.tensor([each + [-1] * (most - len(each)) for each in targets]),
    )


def _clip(parameters: list[Tensor]) -> None:
    """Scale each model's gradient to a norm of at most 1."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    scale = (1 / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient *= scale.view(-1, *[1] * (gradient.dim() - 1))


def _rate(step: int, steps: int) -> float:
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up))) / 2
