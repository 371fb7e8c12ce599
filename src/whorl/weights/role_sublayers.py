"""Attention, feed-forward blocks and norms of one layer, cut out of its tensors as the data file says."""

from dataclasses import dataclass, field

import numpy as np

from whorl.core.arrays import Floats, Ints
from whorl.weights.anatomy import Attention, Matrix, Mlp, Norm
from whorl.weights.role_config import Numbers
from whorl.weights.role_schema import AttentionNames, Layout, MlpNames
from whorl.weights.role_tensors import Plane, Rows, Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    """Sizes of one attention sublayer and the rows of its queries, keys and values."""

    heads: int
    kv_heads: int
    head_size: int
    query: Rows
    key: Rows
    value: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Sublayers:
    """Cuts sublayers out of the shelf. Every method takes the name prefix of one layer."""

    shelf: Shelf
    layout: Layout
    numbers: Numbers
    width: int
    _norms: dict[str, Norm] = field(default_factory=dict)

    def norm(self, names: list[str]) -> Norm | None:
        """The norm under the first name present; None where the architecture has none. One object per tensor."""
        if not names:
            return None
        name = self.shelf.require(names)
        if name not in self._norms:
            form = self.layout.norm
            gain = self.shelf.vector(name, (self.width,), "a norm's gain")
            bias = name.removesuffix(".weight") + ".bias"
            has_bias = form.kind == "layer" and bias in self.shelf.names
            self._norms[name] = Norm(
                kind=form.kind,
                gain=gain + np.float32(form.gain_offset),
                bias=self.shelf.vector(bias, (self.width,), "a norm's bias") if has_bias else None,
            )
        return self._norms[name]

    def attention(self, inside: str) -> Attention | None:
        """One attention sublayer; None where the architecture has no plain heads."""
        names = self.layout.attention
        if names is None:
            return None
        query, key, value = self._query_key_value(inside, names)
        sizes = self._fused_heads(query, names) if names.qkv else self._separate_heads(query, key, value)
        output = self.shelf.plane(self.shelf.require([inside + names.output]), transposed=names.transposed)
        self.shelf.check(output, outputs=self.width, inputs=sizes.heads * sizes.head_size, role="the attention output")
        # A share that was computed as size / head_size must give that size back: 15 / 22 * 22 is below 15 in floats.
        rotary_size = int(sizes.head_size * self.numbers.rotary_share + 1e-6)
        if rotary_size % 2:
            raise self.numbers.refuse(f"expected an even number of rotated coordinates per head, found {rotary_size}")
        order = self._rotary_order(sizes.head_size, rotary_size)
        query_rows, key_rows = _reordered(sizes.query, order), _reordered(sizes.key, order)
        return Attention(
            query=self.shelf.matrix(query, query_rows),
            key=self.shelf.matrix(key, key_rows),
            value=self.shelf.matrix(value, sizes.value),
            output=self.shelf.matrix(output),
            heads=sizes.heads,
            kv_heads=sizes.kv_heads,
            head_size=sizes.head_size,
            rotary_size=rotary_size,
            query_bias=self.shelf.bias(query, query_rows),
            key_bias=self.shelf.bias(key, key_rows),
            value_bias=self.shelf.bias(value, sizes.value),
            output_bias=self.shelf.bias(output),
            query_norm=self._head_norm(inside, names.query_norm, sizes.head_size, sizes.heads, order),
            key_norm=self._head_norm(inside, names.key_norm, sizes.head_size, sizes.kv_heads, order),
        )

    def _query_key_value(self, inside: str, names: AttentionNames) -> tuple[Plane, Plane, Plane]:
        def plane(name: str | None, role: str) -> Plane:
            found = self.shelf.plane(self.shelf.require([f"{inside}{name or names.qkv}"]), transposed=names.transposed)
            self.shelf.check(found, inputs=self.width, role=role)
            return found

        return plane(names.query, "queries"), plane(names.key, "keys"), plane(names.value, "values")

    def _separate_heads(self, query: Plane, key: Plane, value: Plane) -> _Heads:
        heads = self.numbers.heads
        if heads is None or query.outputs % heads:
            raise self.shelf.refuse(query.name, f"queries that split evenly over the configured {heads} heads")
        head_size = query.outputs // heads
        kv_heads = key.outputs // head_size
        if key.outputs % head_size or not kv_heads or heads % kv_heads:
            raise self.shelf.refuse(key.name, f"whole key heads of size {head_size}, shared evenly by {heads} heads")
        self.shelf.check(value, outputs=key.outputs, role="values")
        self._check_configured(query.name, kv_heads, head_size)
        return _Heads(
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            query=range(query.outputs),
            key=range(key.outputs),
            value=range(value.outputs),
        )

    def _fused_heads(self, fused: Plane, names: AttentionNames) -> _Heads:
        heads = self.numbers.heads
        head_size = self.numbers.head_size or (self.width // heads if heads else 0)
        kv_twice = fused.outputs // head_size - heads if heads and head_size else 0
        kv_heads = kv_twice // 2
        if heads is None or kv_heads < 1 or kv_twice % 2 or fused.outputs % head_size or heads % kv_heads:
            raise self.shelf.refuse(fused.name, f"queries, keys and values of {heads} heads of size {head_size}")
        self._check_configured(fused.name, kv_heads, head_size)
        if names.qkv_rows == "concatenated":
            keys, values = heads * head_size, (heads + kv_heads) * head_size
            query, key, value = range(keys), range(keys, values), range(values, fused.outputs)
            return _Heads(heads=heads, kv_heads=kv_heads, head_size=head_size, query=query, key=key, value=value)
        grid = np.arange(fused.outputs).reshape(kv_heads, heads // kv_heads + 2, head_size)
        return _Heads(
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            query=grid[:, :-2].reshape(-1),
            key=grid[:, -2].reshape(-1),
            value=grid[:, -1].reshape(-1),
        )

    def _check_configured(self, name: str, kv_heads: int, head_size: int) -> None:
        for key, said, found in (
            ("key heads", self.numbers.kv_heads, kv_heads),
            ("coordinates per head", self.numbers.head_size, head_size),
        ):
            if said not in (None, found):
                raise self.numbers.refuse(
                    f"expected {said} {key} as configured, found {found} by the shape of tensor {name!r}; "
                    "the configuration belongs to another model"
                )

    def _rotary_order(self, head_size: int, rotary_size: int) -> Ints | None:
        """Where each half-split coordinate of a head is stored; None where the storage is half-split already."""
        if self.layout.rotary.pairs != "interleaved":
            return None
        rotated = np.arange(rotary_size).reshape(-1, 2).T.reshape(-1)
        return np.concatenate([rotated, np.arange(rotary_size, head_size)])

    def _head_norm(
        self, inside: str, name: str | None, head_size: int, heads: int, order: Ints | None
    ) -> Floats | None:
        if name is None:
            return None
        gain = self.shelf.vector(
            self.shelf.require([inside + name]), (head_size, heads * head_size), "a query or key norm's gain"
        )
        gain += np.float32(self.layout.norm.gain_offset)
        return gain if order is None else np.take(gain, _reordered(range(len(gain)), order))

    def mlps(self, inside: str) -> tuple[tuple[Mlp, ...], Matrix | None]:
        """The layer's feed-forward blocks and its router: experts where it has a router, else one dense block."""
        layout, shelf = self.layout, self.shelf
        router_name = shelf.first([inside + name for name in layout.router])
        if router_name is None and layout.mlp:
            return (self._dense(inside, layout.mlp),), None
        router = shelf.plane(router_name or shelf.require([inside + name for name in layout.router]))
        experts = self._experts(inside)
        shelf.check(router, outputs=len(experts), inputs=self.width, role="the router")
        if self.numbers.experts not in (None, len(experts)):
            raise self.numbers.refuse(
                f"expected {self.numbers.experts} experts as configured, found {len(experts)} under {inside!r}"
            )
        shared = [self._dense(inside, layout.shared_expert)] if self._present(inside, layout.shared_expert) else []
        return (*experts, *shared), shelf.matrix(router)

    def _present(self, inside: str, alternatives: tuple[MlpNames, ...]) -> MlpNames | None:
        """The first alternative whose last matrix the layer has."""
        return next((a for a in alternatives if inside + a.down.replace("{expert}", "0") in self.shelf.names), None)

    def _dense(self, inside: str, alternatives: tuple[MlpNames, ...]) -> Mlp:
        names = self._present(inside, alternatives) or alternatives[0]
        return self._mlp(names, [self._plane(inside + name, names) for name in names.names])

    def _plane(self, name: str, names: MlpNames) -> Plane:
        return self.shelf.plane(self.shelf.require([name]), transposed=names.transposed)

    def _experts(self, inside: str) -> list[Mlp]:
        names = self._present(inside, self.layout.experts) or self.layout.experts[0]
        if names.stacked:
            stacks = [
                self.shelf.stack(self.shelf.require([inside + name]), transposed=names.transposed)
                for name in names.names
            ]
            for name, stack in zip(names.names, stacks, strict=True):
                if len(stack) != len(stacks[0]):
                    raise self.shelf.refuse(inside + name, f"{len(stacks[0])} experts")
            return [self._mlp(names, list(planes)) for planes in zip(*stacks, strict=True)]
        experts: list[Mlp] = []
        while not experts or (inside + names.down).replace("{expert}", str(len(experts))) in self.shelf.names:
            named = [(inside + name).replace("{expert}", str(len(experts))) for name in names.names]
            experts.append(self._mlp(names, [self._plane(name, names) for name in named]))
        return experts

    def _mlp(self, names: MlpNames, planes: list[Plane]) -> Mlp:
        """One block out of the planes of ``names.names``, in that order."""
        *into, down = planes
        neurons = down.inputs
        self.shelf.check(down, outputs=self.width, role="the way out of a feed-forward block")
        for plane in into:
            rows = 2 * neurons if names.gate_up else neurons
            self.shelf.check(plane, outputs=rows, inputs=self.width, role="the way into a feed-forward block")
        gate_rows, up_rows = None, None
        if names.gate_up:
            alternating = names.gate_up_rows == "alternating"
            gate_rows = range(0, 2 * neurons, 2) if alternating else range(neurons)
            up_rows = range(1, 2 * neurons, 2) if alternating else range(neurons, 2 * neurons)
        gate = into[0] if names.gate or names.gate_up else None
        return Mlp(
            gate=self.shelf.matrix(gate, gate_rows) if gate else None,
            up=self.shelf.matrix(into[-1], up_rows),
            down=self.shelf.matrix(down),
            gate_bias=self.shelf.bias(gate, gate_rows) if gate else None,
            up_bias=self.shelf.bias(into[-1], up_rows),
            down_bias=self.shelf.bias(down),
        )


def _reordered(rows: Rows, order: Ints | None) -> Rows:
    """Rows of several heads, each head's rows put into ``order``."""
    return rows if order is None else np.asarray(rows).reshape(-1, len(order))[:, order].reshape(-1)
