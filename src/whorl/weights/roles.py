"""Which tensor plays which role: a reader's tensors and an architecture data file make an `Anatomy`.

Start at `anatomy_of`. Every shape is checked against the others and against the configuration before anything is
believed; tensor shapes decide, the configuration only says what shapes cannot (how many heads, how many layers).
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from whorl.core.errors import InputError, UnsupportedError
from whorl.weights.anatomy import Anatomy, Layer, Matrix, Norm
from whorl.weights.role_config import config_file, read_numbers, text_config
from whorl.weights.role_schema import Layout, load_layouts
from whorl.weights.role_sublayers import Sublayers
from whorl.weights.role_tensors import Shelf
from whorl.weights.source import TensorSource

MOST_WIDTH = 1 << 16
MOST_LAYERS = 1 << 10


def anatomy_of(source: TensorSource) -> Anatomy:
    """Give every tensor of a checkpoint its role.

    The architecture is the one that the configuration names. Where no data file knows that name, every data file is
    tried, and the reading is accepted if all that fit agree, nothing inside a layer stays unexplained and gains are
    plain; `Anatomy.architecture` then says so. Reads headers, norms and biases, no matrix.

    Raises
    ------
    CheckpointError
        If a tensor is missing, has another shape than its role needs, or the configuration is absurd or lies.
    UnsupportedError
        If no data file fits, or several fit in different ways.
    """
    config = text_config(source.config)
    container = "gguf" if "gguf_architecture" in source.config else "huggingface"
    layouts = [layout for layout in load_layouts() if layout.container == container]
    for stated in _stated_types(source.config, container):
        for layout in layouts:
            if stated in layout.model_types:
                return _assemble(source, layout, _common_name(source.config, layout.model_types[stated]), config)
    return _guess(source, layouts, config)


def _stated_types(config: Mapping[str, Any], container: str) -> list[str]:
    """What the configuration calls the architecture, most specific first."""
    if container == "gguf":
        stated = [config.get("gguf_architecture")]
    else:
        stated = [text_config(config).get("model_type"), config.get("model_type")]
    return [name for name in stated if isinstance(name, str)]


def _common_name(config: Mapping[str, Any], otherwise: str) -> str:
    """One name for one architecture, whatever the container: GGUF calls Mixtral and Llama the same."""
    known = {key: name for layout in load_layouts() for key, name in layout.model_types.items()}
    return next((known[name] for name in _stated_types(config, "huggingface") if name in known), otherwise)


def _assemble(source: TensorSource, layout: Layout, architecture: str, config: Mapping[str, Any]) -> Anatomy:
    numbers = read_numbers(config, layout, config_file(source.path, layout))
    names = frozenset(source.names())
    shelf = Shelf(source, names)
    prefix = _prefix(layout, names)
    embedding = shelf.plane(shelf.require([prefix + name for name in layout.embedding]))
    if numbers.width not in (None, embedding.inputs):
        raise numbers.refuse(
            f"expected the configured width {numbers.width} to be that of the embedding, found {embedding.inputs} "
            f"columns in tensor {embedding.name!r}; the configuration belongs to another model"
        )
    if embedding.inputs > MOST_WIDTH or numbers.layers > MOST_LAYERS:
        raise numbers.refuse(
            f"expected at most {MOST_LAYERS} layers of width {MOST_WIDTH}, found {numbers.layers} of "
            f"{embedding.inputs}; "
            "no real model comes near, the file lies"
        )
    sublayers = Sublayers(shelf=shelf, layout=layout, numbers=numbers, width=embedding.inputs)
    vocabulary = source.vocabulary
    return Anatomy(
        source=source,
        architecture=architecture,
        width=embedding.inputs,
        embedding=shelf.matrix(embedding),
        unembedding=_unembedding(shelf, layout, embedding.outputs, embedding.inputs),
        positions=_positions(shelf, layout, prefix, embedding.inputs),
        final_norm=sublayers.norm([prefix + name for name in layout.final_norm]),
        layers=tuple(_layer(sublayers, prefix, index) for index in range(numbers.layers)),
        vocabulary=None if vocabulary is None else tuple(vocabulary[: embedding.outputs]),
        leftover=tuple(sorted(name for name in names - shelf.used if not name.endswith(layout.buffers))),
    )


def _prefix(layout: Layout, names: frozenset[str]) -> str:
    """The prefix under which the checkpoint has the embedding; the preferred one where it has none."""
    fitting = (p for p in layout.prefixes if any(p + name in names for name in layout.embedding))
    return next(fitting, layout.prefixes[0])


def _unembedding(shelf: Shelf, layout: Layout, vocabulary: int, width: int) -> Matrix | None:
    name = shelf.first(layout.unembedding)
    if name is None:
        return None
    plane = shelf.plane(name)
    shelf.check(plane, outputs=vocabulary, inputs=width, role="the unembedding")
    return shelf.matrix(plane)


def _positions(shelf: Shelf, layout: Layout, prefix: str, width: int) -> Matrix | None:
    if layout.positions is None:
        return None
    plane = shelf.plane(shelf.require([prefix + layout.positions]))
    shelf.check(plane, inputs=width, role="learned positions")
    return shelf.matrix(plane)


def _layer(sublayers: Sublayers, prefix: str, index: int) -> Layer:
    layout = sublayers.layout
    inside = prefix + layout.layer.replace("{layer}", str(index))

    def norm(names: tuple[str, ...]) -> Norm | None:
        return sublayers.norm([inside + name for name in names])

    mlps, router = sublayers.mlps(inside)
    return Layer(
        attention=sublayers.attention(inside),
        attention_missing=layout.attention_missing,
        mlps=mlps,
        router=router,
        attention_norm=norm(layout.attention_norm),
        mlp_norm=norm(layout.mlp_norm),
        attention_post_norm=norm(layout.attention_post_norm),
        mlp_post_norm=norm(layout.mlp_post_norm),
    )


def _guess(source: TensorSource, layouts: list[Layout], config: Mapping[str, Any]) -> Anatomy:
    """Read a checkpoint of an unknown architecture by names and shapes, if only one reading is possible."""
    found: list[tuple[Layout, Anatomy]] = []
    for layout in layouts:
        if layout.norm.gain_offset:
            continue  # names cannot show that gains are stored less one: such an architecture must be known
        try:
            anatomy = _assemble(source, layout, layout.name, config)
        except InputError:
            continue
        if not _unexplained(layout, anatomy):
            found.append((layout, anatomy))
    if not found or not all(_agree(found[0][1], anatomy) for _, anatomy in found[1:]):
        raise _unknown(source, layouts[0].container, [layout.name for layout, _ in found])
    layout, anatomy = found[0]
    stated = next(iter(_stated_types(source.config, layout.container)), "unnamed")
    return replace(anatomy, architecture=f"{stated[:80]}, read as {layout.name}")


def _unexplained(layout: Layout, anatomy: Anatomy) -> bool:
    """Whether a layer holds a tensor without a role: then the architecture has a part that this layout misses."""
    prefix = _prefix(layout, frozenset(anatomy.source.names()))
    inside = prefix + layout.layer.partition("{layer}")[0]
    return any(name.startswith(inside) for name in anatomy.leftover)


def _agree(one: Any, other: Any) -> bool:
    """Whether two readings of the same checkpoint say the same of every tensor."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_agree, one, other))
    if is_dataclass(one) and type(one) is type(other):
        told = {field.name for field in fields(one)} - {"source", "architecture", "vocabulary", "leftover"}
        return all(_agree(getattr(one, name), getattr(other, name)) for name in told)
    return bool(one == other)


def _unknown(source: TensorSource, container: str, fitting: list[str]) -> UnsupportedError:
    stated = next(iter(_stated_types(source.config, container)), None)
    names = source.names()
    shown = ", ".join(repr(name[:80]) for name in names[:4]) or "none"
    if not source.config:
        advice = "no configuration was found; put the model's config.json beside the weights"
    elif fitting:
        advice = f"the data files {', '.join(fitting)} all fit and disagree; say which in `model_types`"
    else:
        advice = "no data file fits; add one as docs/specs/architectures.md describes"
    seen = f"model type {'not stated' if stated is None else repr(stated[:80])}, {len(names)} tensors such as {shown}"
    return UnsupportedError(f"{source.path}: unknown architecture, {seen}: {advice}")
