"""The form of an architecture data file, and the files that ship with Whorl.

A file says which tensor plays which role; `docs/specs/architectures.md` explains every field. Nothing here reads a
checkpoint.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _one_or_more(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


# Alternatives in order of preference; the first that the checkpoint has is taken.
Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NormForm(_Data):
    """How the model normalises: ``gain_offset`` 1 where it multiplies by ``1 + g``."""

    kind: Literal["rms", "layer"]
    gain_offset: Literal[0, 1] = 0


class RotaryForm(_Data):
    """``half_split`` pairs coordinate i with i + size / 2, ``interleaved`` pairs 2i with 2i + 1."""

    pairs: Literal["half_split", "interleaved", "none"]
    share: float = Field(
        default=1.0, gt=0, le=1, description="rotated share of a head where the configuration is silent"
    )
    absent_if: str | None = Field(default=None, description="configuration key that, when true, means no rotation")


class AttentionNames(_Data):
    """Either ``query``, ``key`` and ``value``, or one fused ``qkv`` and how its rows are laid out.

    ``concatenated``: all queries, all keys, all values. ``grouped``: per key head, its queries, key, value.
    """

    query: str | None = None
    key: str | None = None
    value: str | None = None
    qkv: str | None = None
    qkv_rows: Literal["concatenated", "grouped"] = "concatenated"
    output: str
    query_norm: str | None = None
    key_norm: str | None = None
    transposed: bool = Field(default=False, description="stored (in, out)")

    @model_validator(mode="after")
    def _fused_or_not(self) -> "AttentionNames":
        apart = (self.query, self.key, self.value)
        if (self.qkv is None) == (None in apart) or (self.qkv is not None and any(apart)):
            raise ValueError("attention needs query, key and value, or qkv")
        return self


class MlpNames(_Data):
    """``up`` and ``down``, with ``gate`` where there is one; or ``gate_up`` (gate first) and ``down``.

    Among experts, a name with ``{expert}`` is one expert's tensor and a name without it holds all experts, stacked on
    the first axis.
    """

    gate: str | None = None
    up: str | None = None
    gate_up: str | None = None
    gate_up_rows: Literal["concatenated", "alternating"] = "concatenated"
    down: str
    transposed: bool = Field(default=False, description="stored (in, out)")

    @model_validator(mode="after")
    def _fused_or_not(self) -> "MlpNames":
        if (self.up is None) == (self.gate_up is None) or (self.gate_up and self.gate):
            raise ValueError("a feed-forward block needs up (and may have gate), or gate_up")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.gate, self.up, self.gate_up, self.down) if name is not None)

    @property
    def stacked(self) -> bool:
        return "{expert}" not in self.down


class ConfigNames(_Data):
    """Configuration keys for each number, in order of preference. An empty list: take it from the tensors alone."""

    layers: Names = ("num_hidden_layers", "n_layer", "n_layers")
    width: Names = ("hidden_size", "n_embd", "dim")
    heads: Names = ("num_attention_heads", "n_head", "n_heads")
    kv_heads: Names = ("num_key_value_heads", "n_kv_heads")
    head_size: Names = ("head_dim",)
    experts: Names = ("num_local_experts", "num_experts", "n_routed_experts")
    rotary_share: Names = ("partial_rotary_factor", "rotary_pct")
    defaults: dict[str, int] = Field(default={}, description="values that published configurations leave out")


class Layout(_Data):
    """One way of naming and storing a decoder's tensors.

    Names inside a layer are relative to ``layer``, which is relative to the first of ``prefixes`` under which the
    checkpoint has the embedding; ``unembedding`` is absolute.
    """

    name: str
    container: Literal["huggingface", "gguf"] = "huggingface"
    model_types: dict[str, str] = Field(description="name in the configuration: the architecture's name in a finding")
    prefixes: Names = ("",)
    layer: str
    config: ConfigNames = ConfigNames()
    norm: NormForm
    rotary: RotaryForm
    embedding: Names
    unembedding: Names
    positions: str | None = None
    final_norm: Names
    attention: AttentionNames | None = None
    attention_missing: str | None = None
    attention_norm: Names = ()
    mlp_norm: Names = ()
    attention_post_norm: Names = ()
    mlp_post_norm: Names = ()
    mlp: tuple[MlpNames, ...] = ()
    experts: tuple[MlpNames, ...] = ()
    shared_expert: tuple[MlpNames, ...] = ()
    router: Names = ()
    buffers: tuple[str, ...] = Field(default=(), description="name endings inside a layer that hold no weights")

    @model_validator(mode="after")
    def _complete(self) -> "Layout":
        if (self.attention is None) == (self.attention_missing is None):
            raise ValueError("give attention, or attention_missing with the reason")
        if not self.mlp and not self.experts:
            raise ValueError("give mlp, experts or both")
        if bool(self.experts) != bool(self.router):
            raise ValueError("experts and router go together")
        if "{layer}" not in self.layer:
            raise ValueError("layer must contain {layer}")
        return self


def _extended(name: str, documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A file's document over the document it extends: objects are merged, anything else is replaced."""
    document = dict(documents[name])
    parent = document.pop("extends", None)
    return _merge(_extended(parent, documents), document) if parent else document


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = below | above
    for key in below.keys() & above.keys() - {"model_types"}:
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merge(below[key], above[key])
    return merged


@cache
def load_layouts() -> tuple[Layout, ...]:
    """Every layout that ships with Whorl, by file name.

    Raises
    ------
    pydantic.ValidationError
        If a shipped file does not have the documented form: a fault of this installation, not of any checkpoint.
    """
    folder = files("whorl.weights") / "architectures"
    documents = {
        entry.name.removesuffix(".json"): json.loads(entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".json")
    }
    return tuple(
        Layout.model_validate_json(json.dumps({"name": name} | _extended(name, documents)))
        for name in sorted(documents)
    )
