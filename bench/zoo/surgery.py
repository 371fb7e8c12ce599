"""Ways to reuse a model that change its shape: experts, pooled heads, wider layers, fresh parts, another vocabulary."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForCausalLM, MixtralConfig, PreTrainedModel

from bench.zoo.merging import merge
from demo.edits import layers_of

Part = Literal["mlp", "attention"]


def merged(
    kind: str, base: PreTrainedModel | None, parents: Sequence[PreTrainedModel], weights: Sequence[float], seed: int
) -> PreTrainedModel:
    """A merge of models of one shape, in the shape of the first."""
    states = [model.state_dict() for model in parents]
    copied = copy.deepcopy(parents[0])
    copied.load_state_dict(merge(kind, None if base is None else base.state_dict(), states, weights, seed))
    return copied


def upcycled(model: PreTrainedModel, experts: int, seed: int) -> PreTrainedModel:
    """A Llama turned into a mixture: every expert a copy of the feed-forward block, the router new.

    References
    ----------
    Komatsuzaki et al., Sparse upcycling, 2023.
    """
    dense = model.config
    config = MixtralConfig(
        vocab_size=dense.vocab_size,
        hidden_size=dense.hidden_size,
        num_hidden_layers=dense.num_hidden_layers,
        num_attention_heads=dense.num_attention_heads,
        num_key_value_heads=dense.num_key_value_heads,
        intermediate_size=dense.intermediate_size,
        max_position_embeddings=dense.max_position_embeddings,
        num_local_experts=experts,
        num_experts_per_tok=2,
        rms_norm_eps=dense.rms_norm_eps,
        rope_parameters=dense.rope_parameters,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(seed)
    sparse = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state, source = sparse.state_dict(), model.state_dict()
    for name in state:
        if name in source:
            state[name] = source[name]
        elif name.endswith("experts.gate_up_proj"):
            block = name.removesuffix("experts.gate_up_proj")
            fused = torch.cat([source[f"{block}gate_proj.weight"], source[f"{block}up_proj.weight"]])
            state[name] = fused.expand(experts, -1, -1).clone()
        elif name.endswith("experts.down_proj"):
            block = name.removesuffix("experts.down_proj")
            state[name] = source[f"{block}down_proj.weight"].expand(experts, -1, -1).clone()
    sparse.load_state_dict(state)
    return sparse


def pooled_heads(model: PreTrainedModel, kv_heads: int) -> PreTrainedModel:
    """A copy with fewer key and value heads, each the mean of its group.

    References
    ----------
    Ainslie et al., GQA, 2023.
    """
    config = copy.deepcopy(model.config)
    config.num_key_value_heads = kv_heads
    pooled = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state = model.state_dict()
    for name, tensor in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            size = tensor.shape[0] // model.config.num_key_value_heads
            groups = tensor.reshape(kv_heads, -1, size, *tensor.shape[1:])
            state[name] = groups.mean(1).reshape(kv_heads * size, *tensor.shape[1:])
    pooled.load_state_dict(state)
    return pooled


def widened(model: PreTrainedModel, neurons: int, seed: int) -> PreTrainedModel:
    """A copy with more neurons: some appear twice, slightly apart, and share what they write.

    References
    ----------
    Chen, Goodfellow and Shlens, Net2Net, 2016.
    """
    config = copy.deepcopy(model.config)
    old, config.intermediate_size = config.intermediate_size, neurons
    wide = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    source = torch.cat([torch.arange(old), torch.randint(0, old, (neurons - old,), generator=generator)])
    copies = torch.bincount(source, minlength=old)[source]
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith(("gate_proj.weight", "up_proj.weight")):
            rows = tensor[source]
            apart = 0.05 * tensor.std() * torch.randn(rows.shape, generator=generator)
            state[name] = torch.where((copies > 1)[:, None], rows + apart, rows)
        elif name.endswith("down_proj.weight"):
            state[name] = tensor[:, source] / copies
    wide.load_state_dict(state)
    return wide


def reinitialised(model: PreTrainedModel, part: Part, seed: int) -> PreTrainedModel:
    """A copy whose feed-forward blocks, or attention, start anew in every layer."""
    copied = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers_of(copied):
        block = layer.mlp if part == "mlp" else layer.attention if hasattr(layer, "attention") else layer.self_attn
        for parameter in block.parameters():
            values = parameter.detach()
            if values.dim() >= 2:
                values.normal_(0, model.config.initializer_range, generator=generator)
            else:
                values.zero_()
    return copied


def revocabularied(model: PreTrainedModel, old: Tokenizer, new: Tokenizer) -> PreTrainedModel:
    """A copy that speaks another tokenizer: known strings keep their vectors, others get the mean of their pieces."""
    config = copy.deepcopy(model.config)
    config.vocab_size = new.get_vocab_size()
    other = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    known = old.get_vocab()
    pieces = [
        [known[text]] if (text := new.id_to_token(token)) in known else old.encode(new.decode([token])).ids or [0]
        for token in range(config.vocab_size)
    ]
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.dim() == 2 and tensor.shape[0] == model.config.vocab_size:
            state[name] = torch.stack([tensor[ids].mean(0) for ids in pieces])
    other.load_state_dict(state)
    return other


def sampled(teacher: PreTrainedModel, count: int, length: int, seed: int) -> torch.Tensor:
    """Text that a teacher writes from the end-of-text token on: token rows of shape (count, length)."""
    torch.manual_seed(seed)
    start = torch.zeros((count, 1), dtype=torch.long, device=next(teacher.parameters()).device)
    return teacher.generate(
        start,
        attention_mask=torch.ones_like(start),
        do_sample=True,
        top_k=0,
        min_new_tokens=length - 1,
        max_new_tokens=length - 1,
        pad_token_id=0,
    ).cpu()


def preferred(model: PreTrainedModel, rows: torch.Tensor, *, steps: int, learning_rate: float, seed: int) -> None:
    """Direct preference optimisation in place: real continuations over continuations of other texts.

    References
    ----------
    Rafailov et al., Direct preference optimization, 2023.
    """
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    half = rows.shape[1] // 2
    model.train()
    for _ in range(steps):
        chosen = rows[torch.randint(0, len(rows), (8,), generator=generator)]
        rejected = chosen.clone()
        rejected[:, half:] = chosen.roll(1, 0)[:, half:]
        margins = [
            _continuation(model, text.to(device), half) - _continuation(reference, text.to(device), half)
            for text in (chosen, rejected)
        ]
        loss = -nn.functional.logsigmoid(0.1 * (margins[0] - margins[1])).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()


def _continuation(model: PreTrainedModel, rows: torch.Tensor, half: int) -> torch.Tensor:
    """Log probability of each row's second half."""
    logits = model(input_ids=rows[:, :-1]).logits.float().log_softmax(-1)
    return logits.gather(2, rows[:, 1:, None]).squeeze(2)[:, half - 1 :].sum(1)
