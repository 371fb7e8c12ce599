"""Ask a whole stack of models many questions at once, without a server: the answers of control populations."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from bench.chat_lab.dialogues import Turn
from bench.chat_lab.stacked import CONTEXT, Cache, Shape, Weights, hidden_states, logits_of
from bench.chat_lab.training import prompt_text

ENDS = (0, 1)
TOKENS = 100_000  # in one multiplication, over all models: what bounds the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question for every model of a stack."""

    turns: tuple[Turn, ...]
    max_tokens: int
    temperature: float = 0.0


@torch.inference_mode()
def answers(
    weights: Weights, shape: Shape, tokenizer: Tokenizer, questions: Sequence[Asked], seed: int = 0
) -> list[list[str]]:
    """The answers, one list for each model in the order of the questions.

    Questions of like length, limit and temperature go through the stack together. A question that leaves no room in
    the window is answered with the empty text.
    """
    torch.set_num_threads(1)
    encoded = tokenizer.encode_batch([prompt_text(question.turns) for question in questions])
    groups: dict[tuple[int, int, float], list[int]] = defaultdict(list)
    for place, (question, prompt) in enumerate(zip(questions, encoded, strict=True)):
        groups[len(prompt.ids), question.max_tokens, question.temperature].append(place)
    models = len(weights["embed"])
    found = [[""] * len(questions) for _ in range(models)]
    random = torch.Generator().manual_seed(seed)
    for (length, limit, temperature), members in groups.items():
        room = min(limit, CONTEXT - length)
        rows = max(1, TOKENS // (models * length))
        for start in range(0, len(members) if room > 0 else 0, rows):
            chunk = members[start : start + rows]
            prompts = torch.tensor([encoded[place].ids for place in chunk]).expand(models, -1, -1)
            generated = _generated(weights, shape, prompts, room, temperature, random)
            for model, said in enumerate(generated.tolist()):
                texts = tokenizer.decode_batch([_spoken(row) for row in said])
                for place, text in zip(chunk, texts, strict=True):
                    found[model][place] = text
    return found


def _generated(
    weights: Weights, shape: Shape, prompts: Tensor, room: int, temperature: float, random: torch.Generator
) -> Tensor:
    cache: Cache = []
    states = hidden_states(weights, shape, prompts, cache)[:, :, -1]
    tokens: list[Tensor] = []
    ended = torch.zeros(prompts.shape[:2], dtype=torch.bool)
    while True:
        logits = logits_of(weights, states)
        if temperature > 0:
            shares = (logits / temperature).softmax(-1).flatten(0, 1)
            token = torch.multinomial(shares, 1, generator=random).view(prompts.shape[:2])
        else:
            token = logits.argmax(-1)
        tokens.append(token.masked_fill(ended, 0))
        ended |= torch.isin(token, torch.tensor(ENDS))
        if len(tokens) == room or bool(ended.all()):
            return torch.stack(tokens, -1)
        states = hidden_states(weights, shape, tokens[-1][..., None], cache)[:, :, 0]


def _spoken(row: list[int]) -> list[int]:
    return row[: next((place for place, token in enumerate(row) if token in ENDS), len(row))]
