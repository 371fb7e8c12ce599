"""What people do to a released model besides training it: prune, quantise, cut, stack, change the vocabulary.

Each edit takes a trained model and gives a new one; the original is untouched. `width_pruned` and `with_low_rank`
need a gated feed-forward block under Llama's names.
"""

import copy
import json
from collections.abc import Collection, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from whorl.weights.gauges import ALL_PARTS, Part, rewrite
from whorl.weights.in_memory import Checkpoint


def with_layers(model: PreTrainedModel, order: Sequence[int]) -> PreTrainedModel:
    """A copy made of the given layers, in the given order, repeats allowed."""
    copied = copy.deepcopy(model)
    stack = layers_of(copied)
    copied.base_model.layers = nn.ModuleList(copy.deepcopy(stack[index]) for index in order)
    copied.config.num_hidden_layers = len(order)
    if getattr(model.config, "layer_types", None):
        copied.config.layer_types = [model.config.layer_types[index] for index in order]
    for index, layer in enumerate(layers_of(copied)):
        attention = layer.attention if hasattr(layer, "attention") else layer.self_attn
        attention.layer_idx = index
    return copied


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The model's decoder layers, first to last."""
    return model.base_model.layers


def magnitude_pruned(model: PreTrainedModel, share: float) -> PreTrainedModel:
    """A copy whose smallest weights, ``share`` of every matrix inside the layers, are zero."""
    copied = copy.deepcopy(model)
    for weight in _layer_matrices(copied):
        threshold = weight.abs().flatten().kthvalue(round(share * weight.numel())).values
        weight.masked_fill_(weight.abs() <= threshold, 0.0)
    return copied


def width_pruned(model: PreTrainedModel, keep: int) -> PreTrainedModel:
    """A copy with the ``keep`` heaviest neurons of every feed-forward block, in their old order."""
    copied = copy.deepcopy(model)
    copied.config.intermediate_size = keep
    with torch.no_grad():
        for layer in layers_of(copied):
            mlp = layer.mlp
            weight = (
                mlp.gate_proj.weight.norm(dim=1) * mlp.up_proj.weight.norm(dim=1) * mlp.down_proj.weight.norm(dim=0)
            )
            kept = weight.topk(keep).indices.sort().values
            for linear in (mlp.gate_proj, mlp.up_proj):
                linear.weight = nn.Parameter(linear.weight[kept].clone())
                linear.out_features = keep
            mlp.down_proj.weight = nn.Parameter(mlp.down_proj.weight[:, kept].clone())
            mlp.down_proj.in_features = keep
            mlp.intermediate_size = keep
    return copied


def rounded(model: PreTrainedModel, bits: int, group: int = 32) -> PreTrainedModel:
    """A copy whose layer matrices hold 2**bits levels per group: rounded to nearest, stored unquantised."""
    copied = copy.deepcopy(model)
    largest = 2 ** (bits - 1) - 1
    for weight in _layer_matrices(copied):
        groups = weight.view(-1, group)
        scale = (groups.abs().amax(dim=1, keepdim=True) / largest).clamp_min(torch.finfo(torch.float32).tiny)
        groups.copy_((groups / scale).round().clamp(-largest - 1, largest) * scale)
    return copied


def noisy(model: PreTrainedModel, share: float, seed: int) -> PreTrainedModel:
    """A copy with Gaussian noise of ``share`` of each layer matrix's standard deviation added."""
    copied = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for weight in _layer_matrices(copied):
        weight += share * weight.std() * torch.randn(weight.shape, generator=generator)
    return copied


def vocabulary_permuted(
    model: PreTrainedModel, tokenizer: Tokenizer, permutation: torch.Tensor
) -> tuple[PreTrainedModel, Tokenizer]:
    """Row ``i`` of both embeddings becomes old row ``permutation[i]``, and the tokenizer's ids follow."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in _embeddings(copied):
            weight.copy_(weight[permutation].clone())
    new_id = {int(old): new for new, old in enumerate(permutation)}
    document = json.loads(tokenizer.to_str())
    document["model"]["vocab"] = {token: new_id[old] for token, old in document["model"]["vocab"].items()}
    for added in document["added_tokens"]:
        added["id"] = new_id[added["id"]]
    copied.config.bos_token_id = copied.config.eos_token_id = new_id[0]
    return copied, Tokenizer.from_str(json.dumps(document))


def vocabulary_extended(
    model: PreTrainedModel, tokenizer: Tokenizer, count: int, seed: int
) -> tuple[PreTrainedModel, Tokenizer]:
    """``count`` new tokens whose rows are the mean row plus a little noise, as is usual before a fine-tune."""
    copied = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    before = copied.config.vocab_size
    copied.resize_token_embeddings(before + count, mean_resizing=False)
    with torch.no_grad():
        for weight in _embeddings(copied):
            old = weight[:before]
            weight[before:] = old.mean(0) + 0.1 * old.std() * torch.randn(count, old.shape[1], generator=generator)
    extended = Tokenizer.from_str(tokenizer.to_str())
    extended.add_tokens([f"<|reserved_{index}|>" for index in range(count)])
    return copied, extended


def rewritten(model: PreTrainedModel, rng: np.random.Generator, parts: Collection[Part] = ALL_PARTS) -> PreTrainedModel:
    """A copy that computes the same from other weights; any architecture that `whorl.weights.gauges` knows."""
    weights = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    changed = rewrite(Checkpoint(weights=weights, config=model.config.to_dict()), rng, parts)
    config = copy.deepcopy(model.config)
    config.tie_word_embeddings = changed.config["tie_word_embeddings"]
    copied = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    tensors = {name: torch.from_numpy(array) for name, array in changed.weights.items()}
    copied.load_state_dict(tensors, strict=not config.tie_word_embeddings)
    return copied


class LowRank(nn.Module):
    """A frozen linear layer plus a trained update of low rank (LoRA)."""

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        start = torch.randn(rank, linear.in_features, generator=generator) / linear.in_features**0.5
        self.down = nn.Parameter(start)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The frozen layer's output plus the update's."""
        return self.linear(inputs) + inputs @ self.down.T @ self.up.T

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One linear layer that computes the same."""
        self.linear.weight += self.up @ self.down
        return self.linear


def with_low_rank(model: PreTrainedModel, rank: int, seed: int) -> PreTrainedModel:
    """A frozen copy with a trainable low-rank update on every linear layer inside the blocks."""
    copied = copy.deepcopy(model).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers_of(copied):
        for parent in (layer.self_attn, layer.mlp):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, LowRank(child, rank, generator))
    return copied


def merge_low_rank(model: PreTrainedModel) -> PreTrainedModel:
    """Fold every `LowRank` into its linear layer, in place."""
    for layer in layers_of(model):
        for parent in (layer.self_attn, layer.mlp):
            for name, child in list(parent.named_children()):
                if isinstance(child, LowRank):
                    setattr(parent, name, child.merged())
    return model


def _layer_matrices(model: PreTrainedModel) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in layers_of(model).parameters() if parameter.dim() >= 2]


def _embeddings(model: PreTrainedModel) -> list[torch.Tensor]:
    """Input and output embedding, once where they are tied."""
    both = (model.get_input_embeddings().weight, model.get_output_embeddings().weight)
    return list({id(weight): weight for weight in both}.values())
