"""Gauges: rewrites of a checkpoint that leave its function unchanged, so that evidence can be tried against them.

The symmetry group is that of a pre-norm decoder with rotary positions. Column vectors below: a linear layer computes
``W x + c``; R is orthogonal. Each part of the group can be drawn alone:

``neurons``       permute each MLP's hidden units.
``experts``       models with a router: permute experts and router rows; add one vector to every router row, which
                  adds one number to all of a token's router logits, and the softmax forgets it.
``heads``         permute key/value groups, and query heads inside each group.
``up_scale``      gated MLPs: up row times s, down column divided by s, any s of either sign.
``value_output``  per key/value group: V -> A V, O -> O A^-1 for an invertible A.
``query_key``     per key/value group and rotary frequency: q -> z q, k -> k / conj(z), z complex; on the coordinates
                  that are not rotated: Q -> B Q, K -> B^-T K. Where heads have norms of their own, see below.
``rotation``      residual stream x -> R^T x, every norm's gain folded into its readers and left at 1.
``dressing``      every norm's gain g replaced by a random positive g', its readers making up for it.

LayerNorm models. R must also fix the all-ones direction 1, because the norm removes the mean: R 1 = 1. Two more
freedoms belong to ``dressing``: writers may add any mean, x -> (1 + 1 s^T) x, since the norm forgets it, and folded
readers may be changed along 1, W diag(g) -> W diag(g) (1 + t 1^T), since they never see it. A norm's bias b is
replaced by any b' when all its readers have biases to make up for it, c -> c + W b - W' b'; otherwise (the
unembedding) it moves along, b' = g' R^T (b / g), and t = 0.

Head norms (Qwen3). A norm with one gain for all heads of a layer stands between the query or key matrix and the rotary
positions, so z must commute with it: for each frequency a quarter turn shared by the layer's heads, which swaps the
two gains, times a sign for each group. In return gains may move between the two norms: for each frequency, query gains
times s, key gains divided by s, of either sign. Coordinates that are not rotated are left alone.

Tied embeddings. Both ``rotation`` and ``dressing`` fold the final gain into the unembedding only, so that a tied
model comes out untied: ``lm_head.weight`` is added and ``tie_word_embeddings`` set to false.

Left out are scaling the whole residual stream and scaling single heads under head norms, which the norms' epsilon
makes inexact. All arithmetic is in float64; results are float32.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from whorl.core.arrays import Doubles, Ints
from whorl.weights.in_memory import Block, Checkpoint, Linear, Mlp, Model, Norm, Shape, from_checkpoint, to_checkpoint

Part: TypeAlias = Literal[
    "neurons", "experts", "heads", "up_scale", "value_output", "query_key", "rotation", "dressing"
]
Complexes: TypeAlias = NDArray[np.complex128]

ALL_PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dressing:
    """What one norm looks like afterwards: positive gain and bias, and the readers' change along 1; each (width,)."""

    gain: Doubles
    bias: Doubles
    along_ones: Doubles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockGauge:
    """The symmetries of one decoder layer. Query head ``heads[i]``, numbered group by group, becomes query head i.

    Shapes: ``neurons`` and ``up_scale`` (mlps, neurons), ``experts`` (mlps,), ``router`` (width,), what is added to
    each router row, ``groups`` (kv_heads,), ``heads`` (heads,), ``value_output`` (kv_heads, head_size, head_size),
    ``query_key`` (kv_heads, rotary_size / 2), ``query_key_rest`` (kv_heads, m, m) with m = head_size - rotary_size,
    ``head_gain`` (rotary_size / 2,), what query gains are multiplied by. Scales, matrices and the neurons of experts
    are numbered as before the permutations.
    """

    neurons: Ints
    up_scale: Doubles
    experts: Ints
    router: Doubles
    groups: Ints
    heads: Ints
    value_output: Doubles
    query_key: Complexes
    query_key_rest: Doubles
    head_gain: Doubles
    attention_dressing: Dressing
    mlp_dressing: Dressing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gauge:
    """One element of the symmetry group: what is drawn, apart from the weights it is applied to.

    ``renorms`` says whether norms are touched at all; without it rotation and dressings are identities and ignored.
    ``along_ones`` (width,) is the mean that writers add in LayerNorm models.
    """

    shape: Shape
    blocks: tuple[BlockGauge, ...]
    renorms: bool
    rotation: Doubles
    along_ones: Doubles
    final_dressing: Dressing


def rewrite(checkpoint: Checkpoint, rng: np.random.Generator, parts: Collection[Part] = ALL_PARTS) -> Checkpoint:
    """The same function in other weights: draw a random gauge of the given parts and apply it.

    Raises
    ------
    UnsupportedError
        If the architecture's symmetries are not known here.
    InputError
        If tensors are missing or do not fit the configuration.
    """
    model = from_checkpoint(checkpoint)
    return to_checkpoint(apply_gauge(model, draw_gauge(model.shape, rng, parts)), checkpoint)


def draw_gauge(shape: Shape, rng: np.random.Generator, parts: Collection[Part] = ALL_PARTS) -> Gauge:
    """Draw the given parts at random, the others as identities.

    Permutations are uniform and rotations Haar; scales are log-normal (0.3 in natural log, signs fair), invertible
    matrices have condition numbers up to 4. ``up_scale`` of an ungated MLP is no symmetry and stays the identity.
    """
    return Gauge(
        shape=shape,
        blocks=tuple(_draw_block(shape, rng, parts) for _ in range(shape.layers)),
        renorms="rotation" in parts or "dressing" in parts,
        rotation=_draw_rotation(shape, rng) if "rotation" in parts else np.eye(shape.width),
        along_ones=_draw_along_ones(shape, rng, parts),
        final_dressing=_draw_dressing(shape, rng, parts),
    )


def apply_gauge(model: Model, gauge: Gauge) -> Model:
    """Apply the gauge; a pure function.

    Raises
    ------
    ValueError
        If the gauge was drawn for another shape.
    UnsupportedError
        If a LayerNorm has a zero gain under a bias that its readers cannot absorb.
    """
    if gauge.shape != model.shape:
        raise ValueError(f"the gauge is for {gauge.shape}, the model is {model.shape}")
    blocks = zip(model.blocks, gauge.blocks, strict=True)
    rewritten = replace(model, blocks=tuple(_apply_inside(block, drawn, model.shape) for block, drawn in blocks))
    return _apply_residual(rewritten, gauge) if gauge.renorms else rewritten


def _draw_block(shape: Shape, rng: np.random.Generator, parts: Collection[Part]) -> BlockGauge:
    per_group = shape.heads // shape.kv_heads
    rest = shape.head_size - shape.rotary_size
    groups, inside = np.arange(shape.kv_heads), np.tile(np.arange(per_group), (shape.kv_heads, 1))
    if "heads" in parts:
        groups, inside = rng.permutation(groups), rng.permuted(inside, axis=1)
    up_scale = "up_scale" in parts and shape.gated
    turn = _draw_query_key(shape, rng)
    free = "query_key" in parts and not shape.head_norms
    experts = "experts" in parts and shape.experts > 0
    places = np.arange(shape.neurons)
    return BlockGauge(
        neurons=np.stack([rng.permutation(places) if "neurons" in parts else places for _ in range(shape.mlps)]),
        up_scale=np.stack(
            [_draw_signed(shape.neurons, rng) if up_scale else np.ones(shape.neurons) for _ in range(shape.mlps)]
        ),
        experts=rng.permutation(shape.mlps) if experts else np.arange(shape.mlps),
        router=rng.normal(scale=shape.width**-0.5, size=shape.width) if experts else np.zeros(shape.width),
        groups=groups,
        heads=(groups[:, None] * per_group + inside).ravel(),
        value_output=_draw_maps(shape.kv_heads, shape.head_size, rng if "value_output" in parts else None),
        query_key=turn if "query_key" in parts else np.ones_like(turn),
        query_key_rest=_draw_maps(shape.kv_heads, rest, rng if free else None),
        head_gain=(
            _draw_signed(shape.rotary_size // 2, rng)
            if "query_key" in parts and shape.head_norms
            else np.ones(shape.rotary_size // 2)
        ),
        attention_dressing=_draw_dressing(shape, rng, parts),
        mlp_dressing=_draw_dressing(shape, rng, parts),
    )


def _draw_query_key(shape: Shape, rng: np.random.Generator) -> Complexes:
    """The factor z of each key/value group and rotary frequency; under head norms quarter turns and signs."""
    frequencies = (shape.kv_heads, shape.rotary_size // 2)
    if not shape.head_norms:
        turn: Complexes = np.exp(1j * rng.uniform(0, 2 * np.pi, frequencies)) * _draw_scale(frequencies, rng)
        return turn
    quarters: Complexes = rng.choice([1, 1j], frequencies[1]) * rng.choice([-1, 1], frequencies)
    return quarters


def _draw_dressing(shape: Shape, rng: np.random.Generator, parts: Collection[Part]) -> Dressing:
    if "dressing" not in parts:
        return Dressing(gain=np.ones(shape.width), bias=np.zeros(shape.width), along_ones=np.zeros(shape.width))
    return Dressing(
        gain=_draw_scale((shape.width,), rng),
        bias=rng.normal(scale=0.1, size=shape.width),
        along_ones=_draw_along_ones(shape, rng, parts),
    )


def _draw_along_ones(shape: Shape, rng: np.random.Generator, parts: Collection[Part]) -> Doubles:
    if not (shape.centred and "dressing" in parts):
        return np.zeros(shape.width)
    return rng.normal(scale=shape.width**-0.5, size=shape.width)


def _draw_scale(size: tuple[int, ...], rng: np.random.Generator) -> Doubles:
    return rng.lognormal(sigma=0.3, size=size)


def _draw_signed(size: int, rng: np.random.Generator) -> Doubles:
    signs: Doubles = rng.choice([-1.0, 1.0], size)
    return _draw_scale((size,), rng) * signs


def _draw_orthogonal(count: int, size: int, rng: np.random.Generator) -> Doubles:
    q, r = np.linalg.qr(rng.normal(size=(count, size, size)))
    haar: Doubles = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return haar


def _draw_maps(count: int, size: int, rng: np.random.Generator | None) -> Doubles:
    """Invertible matrices of shape (count, size, size); identities without a generator."""
    if rng is None:
        return np.tile(np.eye(size), (count, 1, 1))
    singular = np.exp(rng.uniform(-np.log(2), np.log(2), (count, 1, size)))
    maps: Doubles = np.matmul(_draw_orthogonal(count, size, rng) * singular, _draw_orthogonal(count, size, rng))
    return maps


def _draw_rotation(shape: Shape, rng: np.random.Generator) -> Doubles:
    if not shape.centred:
        return _draw_orthogonal(1, shape.width, rng).reshape(shape.width, shape.width)
    # A reflection takes the first axis to the ones direction; the rotation acts on the other axes only.
    towards = np.full(shape.width, shape.width**-0.5)
    towards[0] -= 1.0
    mirror = np.eye(shape.width) - 2 * np.outer(towards, towards) / (towards @ towards)
    inner = np.eye(shape.width)
    inner[1:, 1:] = _draw_orthogonal(1, shape.width - 1, rng)[0]
    rotation: Doubles = mirror @ inner @ mirror
    return rotation


def _apply_inside(block: Block, drawn: BlockGauge, shape: Shape) -> Block:
    """Everything that stays inside one sublayer: head spaces, then head order, then neurons."""
    group_of_head = np.repeat(np.arange(shape.kv_heads), shape.heads // shape.kv_heads)
    query_map, key_map = _query_key_maps(drawn, shape)
    query_rows, key_rows = _head_rows(drawn.heads, shape), _head_rows(drawn.groups, shape)
    undo = np.linalg.inv(drawn.value_output).astype(np.float64)[group_of_head]
    return replace(
        block,
        query=_map_heads(block.query, query_map[group_of_head]).rows(query_rows),
        key=_map_heads(block.key, key_map).rows(key_rows),
        value=_map_heads(block.value, drawn.value_output).rows(key_rows),
        output=replace(block.output, weight=_map_head_columns(block.output.weight, undo)[:, query_rows]),
        query_gain=_map_gain(block.query_gain, drawn, drawn.head_gain),
        key_gain=_map_gain(block.key_gain, drawn, 1 / drawn.head_gain),
        router=None if block.router is None else _map_router(block.router, drawn),
        mlps=tuple(
            _map_neurons(block.mlps[expert], drawn.neurons[expert], drawn.up_scale[expert]) for expert in drawn.experts
        ),
    )


def _map_neurons(mlp: Mlp, neurons: Ints, up_scale: Doubles) -> Mlp:
    scaled = up_scale[neurons]
    return Mlp(
        gate=None if mlp.gate is None else mlp.gate.rows(neurons),
        up=mlp.up.rows(neurons).times(scaled),
        down=replace(mlp.down, weight=mlp.down.weight[:, neurons] / scaled),
    )


def _map_router(router: Linear, drawn: BlockGauge) -> Linear:
    rows = router.rows(drawn.experts)
    return replace(rows, weight=rows.weight + drawn.router)


def _map_gain(gain: Doubles | None, drawn: BlockGauge, factor: Doubles) -> Doubles | None:
    """Gains of a norm inside the heads: pairs that a quarter turn swaps are swapped, then multiplied."""
    if gain is None:
        return None
    pairs = gain[: 2 * len(factor)].reshape(2, -1)
    turned = drawn.query_key[0].imag != 0
    return np.concatenate([(np.where(turned, pairs[::-1], pairs) * factor).ravel(), gain[2 * len(factor) :]])


def _query_key_maps(drawn: BlockGauge, shape: Shape) -> tuple[Doubles, Doubles]:
    """Real matrices (kv_heads, head_size, head_size) of q -> z q and k -> k / conj(z), and of the un-rotated rest."""
    half, rotary = shape.rotary_size // 2, shape.rotary_size
    maps = []
    rests = (drawn.query_key_rest, np.linalg.inv(drawn.query_key_rest).transpose(0, 2, 1))
    for factor, rest in zip((drawn.query_key, 1 / drawn.query_key.conj()), rests, strict=True):
        matrix = np.zeros((shape.kv_heads, shape.head_size, shape.head_size))
        i = np.arange(half)
        matrix[:, i, i] = matrix[:, i + half, i + half] = factor.real
        matrix[:, i, i + half], matrix[:, i + half, i] = -factor.imag, factor.imag
        matrix[:, rotary:, rotary:] = rest
        maps.append(matrix)
    return maps[0], maps[1]


def _head_rows(heads: Ints, shape: Shape) -> Ints:
    return (heads[:, None] * shape.head_size + np.arange(shape.head_size)).ravel()


def _map_heads(linear: Linear, maps: Doubles) -> Linear:
    heads, size, _ = maps.shape
    weight = (maps @ linear.weight.reshape(heads, size, -1)).reshape(linear.weight.shape)
    bias = None if linear.bias is None else (maps @ linear.bias.reshape(heads, size, 1)).ravel()
    return Linear(weight=weight, bias=bias)


def _map_head_columns(weight: Doubles, maps: Doubles) -> Doubles:
    heads, size, _ = maps.shape
    split = weight.reshape(-1, heads, size).transpose(1, 0, 2)
    return (split @ maps).transpose(1, 0, 2).reshape(weight.shape)


def _apply_residual(model: Model, gauge: Gauge) -> Model:
    """Rotate the residual stream and dress every norm."""
    # x -> R^T (1 + 1 s^T) x for everything that is written to the stream
    written = gauge.rotation.T + np.outer(np.ones(model.shape.width), gauge.along_ones)
    blocks = []
    for block, drawn in zip(model.blocks, gauge.blocks, strict=True):
        readers = (block.query, block.key, block.value)
        attention_norm, (query, key, value) = _dress(block.attention_norm, readers, drawn.attention_dressing, gauge)
        mlp_norm, router, mlps = _dress_mlps(block, drawn, gauge)
        blocks.append(
            replace(
                block,
                attention_norm=attention_norm,
                mlp_norm=mlp_norm,
                query=query,
                key=key,
                value=value,
                output=block.output.then(written),
                router=router,
                mlps=tuple(replace(mlp, down=mlp.down.then(written)) for mlp in mlps),
            )
        )
    final, (unembedding,) = _dress(model.final_norm, (model.unembedding,), gauge.final_dressing, gauge)
    embedding = model.embedding @ written.T
    return replace(
        model, blocks=tuple(blocks), embedding=embedding, final_norm=final, unembedding=unembedding, tied=False
    )


def _dress_mlps(block: Block, drawn: BlockGauge, gauge: Gauge) -> tuple[Norm, Linear | None, list[Mlp]]:
    """The norm before the feed-forward blocks and all its readers: router, gates and ups."""
    readers = [linear for mlp in block.mlps for linear in (mlp.gate, mlp.up) if linear is not None]
    routers = [] if block.router is None else [block.router]
    norm, dressed = _dress(block.mlp_norm, (*routers, *readers), drawn.mlp_dressing, gauge)
    remaining = iter(dressed)
    router = None if block.router is None else next(remaining)
    mlps = [replace(mlp, gate=None if mlp.gate is None else next(remaining), up=next(remaining)) for mlp in block.mlps]
    return norm, router, mlps


def _dress(norm: Norm, readers: tuple[Linear, ...], drawn: Dressing, gauge: Gauge) -> tuple[Norm, list[Linear]]:
    """Fold the norm's gain into its readers, rotate them, and put on the drawn gain and bias."""
    absorbs = all(reader.bias is not None for reader in readers)
    change = np.eye(len(drawn.gain))
    if absorbs:
        change += np.outer(drawn.along_ones, np.ones(len(drawn.gain)))
    fold = norm.gain[:, None] * gauge.rotation @ change / drawn.gain
    if norm.bias is None:
        return Norm(gain=drawn.gain), [replace(reader, weight=reader.weight @ fold) for reader in readers]
    if not absorbs:
        bias = drawn.gain * (gauge.rotation.T @ norm.bias_over_gain())
        return Norm(gain=drawn.gain, bias=bias), [replace(reader, weight=reader.weight @ fold) for reader in readers]
    dressed = []
    for reader in readers:
        weight = reader.weight @ fold
        made_up = reader.weight @ norm.bias - weight @ drawn.bias
        dressed.append(Linear(weight=weight, bias=made_up if reader.bias is None else reader.bias + made_up))
    return Norm(gain=drawn.gain, bias=drawn.bias), dressed
