"""The questioned model as a sum of others: models put into one frame, rows gathered, shares fitted and tested."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from whorl.comparison.common_frame import (
    Kind,
    Link,
    Placed,
    RowPairs,
    merged_gains,
    own_rotation,
    paired_rows,
    refined_rotation,
    rows_at,
    same_coordinates,
)
from whorl.core.arrays import AnyArray, Doubles, Floats
from whorl.fingerprints.neurons import NeuronSignatures
from whorl.statistics.shares import LayerProducts, ShareFit, fit_shares, layer_products, shuffled_rows_p
from whorl.weights.anatomy import Anatomy

DRAWS: Final = 1999
ONE_TEST: Final = 0.001
ROUNDING: Final = 4e-6  # of the sum of squares; rounding to bf16 changes 3e-6 at most
RELATED: Final = 0.5  # cosine with the base from which a candidate counts as made from it
HELD: Final = 0.05  # share from which a layer tells of a candidate at all


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A model whose weights are at hand, and its signatures as stored."""

    anatomy: Anatomy
    neurons: tuple[NeuronSignatures, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """One candidate in the sum.

    Parameters
    ----------
    candidate : its number
    change : whether its change from the base is the term, instead of its weights
    p : of shuffled rows; None where the pairing of neurons was chosen by this candidate
    cosine : of the term with the questioned rows (with their change, where a base is taken off)
    rest : length of what the sum leaves over, in lengths of this term
    pairing : how its neurons were paired with the questioned ones; "with_another" by another candidate's link
    present : per questioned layer, whether it has a counterpart
    """

    candidate: int
    change: bool
    p: float | None
    cosine: float
    rest: float
    pairing: Kind | Literal["with_another"]
    present: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What the sum says of one candidate, layer by layer: the questioned rows less the other terms' parts, and its own.

    A change comes on top of the base, and is held together with it: ``candidate`` is then the base's part and its own.
    Norm gains are mixed as merging mixes them, apart from matrices. Layers that hold nothing of it are left out.
    ``left_over`` is the sum of squares that the whole sum leaves over, in sums of squares of this term's part of it;
    infinite where it has none.
    """

    questioned: tuple[Floats, ...]
    candidate: tuple[Floats, ...]
    left_over: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergeSum:
    """The fitted sum.

    Parameters
    ----------
    terms : one per candidate in the sum
    parts : one per term, which tell whether it is trained weights that are shared
    unchanged : candidates that are the base itself, up to rounding: they have no change to be a term
    fit : one share per term and, where a base is in the sum, the base's own as the last
    has_base : whether one is
    unexplained : share of the questioned rows' sum of squares that is left over where every layer takes its own shares;
        with a base, of what the base does not explain
    """

    terms: tuple[Term, ...]
    parts: tuple[Part, ...]
    unchanged: tuple[int, ...]
    fit: ShareFit
    has_base: bool
    unexplained: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Placing:
    """A candidate in the frame: by the hub's link, or by its own (None), and whether that chose the pairing."""

    placed: Placed
    own: Link | None
    chose_pairing: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """One layer: questioned rows (n, k), the terms' rows (terms, n, k), and which of those are there (terms, n)."""

    questioned: Floats
    terms: Floats
    there: AnyArray


def merge_sum(
    questioned: Model,
    others: Sequence[Model],
    links: Sequence[Link | None],
    *,
    base: Model | None,
    base_link: Link | None,
    basis: Floats | None,
    generator: np.random.Generator,
) -> MergeSum | None:
    """Fit the questioned model as a sum of the others; None where none of them can be laid over it.

    Parameters
    ----------
    links : how each of the others lies over the questioned model, None where that was not found
    base, base_link : the common ancestor and its link; None for none
    basis : shape (width, k) through which rows are seen; None for whole rows
    """
    hub, hub_link = (base, base_link) if base is not None else _strongest(others, links)
    if hub is None or hub_link is None:
        return None
    at_hub = Placed(anatomy=hub.anatomy, rotation=None, pairs=hub_link.pairs)

    def rows_under(rotation: Floats | None, placed: Sequence[Placed]) -> list[_Rows]:
        last = [at_hub] if base is not None else []
        return _gather(questioned.anatomy, rotation, [*placed, *last], basis)

    placings: dict[int, _Placing] = {}
    for number, (other, own) in enumerate(zip(others, links, strict=True)):
        found = _placing(questioned, hub, hub_link, at_hub, other, own, basis, generator)
        if found is not None:
            placings[number] = found
    rotation = hub_link.rotation
    rows = rows_under(rotation, [placing.placed for placing in placings.values()])
    change = _changes(rows, base is not None)
    rows = _less_base(rows, change)
    unchanged = _unchanged(rows, change)
    numbers = [number for place, number in enumerate(placings) if place not in unchanged]
    gone = tuple(number for place, number in enumerate(placings) if place in unchanged)
    change = [is_change for place, is_change in enumerate(change) if place not in unchanged]
    rows = [_kept(layer, unchanged) for layer in rows]
    p_values = [
        None if placings[number].chose_pairing else _p_value(rows, place, generator)
        for place, number in enumerate(numbers)
    ]
    placed = [placings[number].placed for number in numbers]
    if rotation is not None:
        carried = [placings[number].placed for number in numbers if placings[number].own is None]
        rotation = refined_rotation(questioned.anatomy, rotation, [at_hub, *carried])
        placed = [_turned(questioned, placings[number], rotation) for number in numbers]
        rows = _less_base(rows_under(rotation, placed), change)
    fit = fit_shares([_products(layer) for layer in rows])
    # Once more, now that it is known which norm gains the sum must have.
    in_sum, weights = placed if base is None else [*placed, at_hub], _model_weights(fit, change)
    if rotation is not None and len(in_sum) > 1 and all(model.rotation is None for model in in_sum):
        rotation = refined_rotation(questioned.anatomy, rotation, in_sum, weights)
    rows = _less_base(_gather(questioned.anatomy, rotation, in_sum, basis, weights), change)
    fit = fit_shares([_products(layer) for layer in rows])
    cosines, rests, unexplained = _quality(rows, fit, base is not None)
    return MergeSum(
        terms=tuple(
            Term(
                candidate=number,
                change=change[place],
                p=p_values[place],
                cosine=cosines[place],
                rest=rests[place],
                pairing=_pairing(placings[number], hub_link, at_hub),
                present=tuple(bool(layer.there[place].any()) for layer in rows),
            )
            for place, number in enumerate(numbers)
        ),
        parts=_parts(rows, fit, change),
        unchanged=gone,
        fit=fit,
        has_base=base is not None,
        unexplained=unexplained,
    )


def _placing(
    questioned: Model,
    hub: Model,
    hub_link: Link,
    at_hub: Placed,
    other: Model,
    own: Link | None,
    basis: Floats | None,
    generator: np.random.Generator,
) -> _Placing | None:
    """Where a candidate goes: along with the hub if it belongs there or has no link of its own, else by its own."""
    if other is hub:
        return _Placing(placed=at_hub, own=None, chose_pairing=hub_link.kind != "as_stored")
    along = _along(at_hub, hub, other)
    if along is not None and (
        own is None or _belongs(questioned, hub_link, at_hub, along, hub, other, basis, generator)
    ):
        return _Placing(placed=along, own=None, chose_pairing=False)
    if own is None:
        return None
    rotation = own_rotation(questioned.anatomy, other.anatomy, own, hub_link.rotation)
    placed = Placed(anatomy=other.anatomy, rotation=rotation, pairs=own.pairs)
    return _Placing(placed=placed, own=own, chose_pairing=own.kind != "as_stored")


def _pairing(placing: _Placing, hub_link: Link, at_hub: Placed) -> Kind | Literal["with_another"]:
    if placing.own is not None:
        return placing.own.kind
    return hub_link.kind if placing.placed is at_hub or hub_link.kind == "as_stored" else "with_another"


def _turned(questioned: Model, placing: _Placing, rotation: Floats) -> Placed:
    """The candidate after the questioned model's rotation into the frame was made better."""
    if placing.own is None:
        return placing.placed
    own = own_rotation(questioned.anatomy, placing.placed.anatomy, placing.own, rotation)
    return replace(placing.placed, rotation=own)


def _strongest(others: Sequence[Model], links: Sequence[Link | None]) -> tuple[Model | None, Link | None]:
    found = [(place, link) for place, link in enumerate(links) if link is not None]
    if not found:
        return None, None
    place, best = max(found, key=lambda item: (item[1].matched, -item[0]))
    return others[place], best


def _along(at_hub: Placed, hub: Model, other: Model) -> Placed | None:
    """The other model's rows at the hub's positions; None where it has no such layers."""
    pairs: list[RowPairs | None] = []
    for pair in at_hub.pairs:
        same = (
            pair is not None
            and pair.layer < len(other.neurons)
            and other.neurons[pair.layer].blocks == hub.neurons[pair.layer].blocks
        )
        pairs.append(pair if same else None)
    return Placed(anatomy=other.anatomy, rotation=None, pairs=tuple(pairs)) if any(pairs) else None


def _belongs(
    questioned: Model,
    hub_link: Link,
    at_hub: Placed,
    along: Placed,
    hub: Model,
    other: Model,
    basis: Floats | None,
    generator: np.random.Generator,
) -> bool:
    """Whether the other model lies in the hub's coordinates: as its relative, or as part of the same sum."""
    if same_coordinates(hub.neurons, other.neurons, generator=generator):
        return True
    rows = _gather(questioned.anatomy, hub_link.rotation, [along, at_hub], basis)
    return _p_value(rows, 0, generator) <= ONE_TEST


def _gather(
    questioned: Anatomy,
    rotation: Floats | None,
    placed: Sequence[Placed],
    basis: Floats | None,
    weights: Doubles | None = None,
) -> list[_Rows]:
    """Rows of every layer; with ``weights``, of shape (layers, models), under the norm gains that their sum has."""
    layers = []
    for layer in range(len(questioned.layers)):
        models = placed if weights is None else merged_gains(placed, layer, weights[layer])
        positions, rows, there = paired_rows(models, layer, basis)
        layers.append(
            _Rows(
                questioned=rows_at(questioned, layer, positions, rotation, basis),
                terms=rows,
                there=there,
            )
        )
    return layers


def _model_weights(fit: ShareFit, change: Sequence[bool]) -> Doubles:
    """How much of each model's weights, not changes, every layer holds: shape (layers, models), the base's last."""
    weights = fit.layers.copy()
    if any(change):
        weights[:, -1] -= weights[:, np.array(change)].sum(axis=1)
    return weights


def _changes(rows: Sequence[_Rows], has_base: bool) -> list[bool]:
    """Which terms are made from the base (the last one), so that their change from it is what counts."""
    count = len(rows[0].terms)
    if not has_base:
        return [False] * count
    found = []
    for place in range(count):
        both = [layer.there[place] & layer.there[-1] for layer in rows]
        ours = np.concatenate([layer.terms[place][b].ravel() for layer, b in zip(rows, both, strict=True)])
        base = np.concatenate([layer.terms[-1][b].ravel() for layer, b in zip(rows, both, strict=True)])
        lengths = float(np.linalg.norm(ours)) * float(np.linalg.norm(base))
        found.append(place < count - 1 and lengths > 0 and float(ours @ base) / lengths >= RELATED)
    return found


def _less_base(rows: Sequence[_Rows], change: Sequence[bool]) -> list[_Rows]:
    taken_off = []
    for layer in rows:
        terms, there = layer.terms.copy(), layer.there.copy()
        for place, is_change in enumerate(change):
            if is_change:
                there[place] &= layer.there[-1]
                terms[place] = np.where(there[place][:, None], layer.terms[place] - layer.terms[-1], 0)
        taken_off.append(_Rows(questioned=layer.questioned, terms=terms, there=there))
    return taken_off


def _unchanged(rows: Sequence[_Rows], change: Sequence[bool]) -> set[int]:
    """Terms whose change from the base is no more than another rounding of it."""
    squares = np.sum([np.einsum("ink,ink->i", layer.terms, layer.terms) for layer in rows], axis=0)
    return {place for place, is_change in enumerate(change) if is_change and squares[place] < ROUNDING * squares[-1]}


def _kept(layer: _Rows, gone: set[int]) -> _Rows:
    kept = [place for place in range(len(layer.terms)) if place not in gone]
    return _Rows(questioned=layer.questioned, terms=layer.terms[kept], there=layer.there[kept])


def _p_value(rows: Sequence[_Rows], place: int, generator: np.random.Generator) -> float:
    used = [(layer, np.flatnonzero(layer.there[place])) for layer in rows]
    others = [number for number in range(len(rows[0].terms)) if number != place]
    return shuffled_rows_p(
        [layer.questioned[at] for layer, at in used],
        [layer.terms[place][at] for layer, at in used],
        [[layer.terms[number][at] for layer, at in used] for number in others],
        draws=DRAWS,
        generator=generator,
    )


def _products(layer: _Rows) -> LayerProducts:
    return layer_products(
        layer.questioned,
        [rows if there.any() else None for rows, there in zip(layer.terms, layer.there, strict=True)],
    )


def _quality(rows: Sequence[_Rows], fit: ShareFit, has_base: bool) -> tuple[list[float], list[float], float]:
    """Of each term: cosine with the questioned rows less the base, and how many times as long as it the rest is.

    The third is how much of those rows' sum of squares the rest is. Every layer takes its own shares.
    """
    count = len(rows[0].terms)
    inner, squares = np.zeros(count), np.zeros(count)
    whole = left = 0.0
    slope = _slope_on_base(rows) if has_base else 0.0
    for layer, shares in zip(rows, fit.layers, strict=True):
        ours, terms = layer.questioned.astype(np.float64), layer.terms.astype(np.float64)
        change = ours - slope * terms[-1] if has_base else ours
        whole += float(np.vdot(change, change))
        rest = ours - np.tensordot(shares, terms, axes=1)
        left += float(np.vdot(rest, rest))
        inner += np.einsum("ink,nk->i", terms, change)
        squares += np.einsum("ink,ink->i", terms, terms)
    sizes = np.sqrt(np.where(squares > 0, squares, np.inf))
    cosines = inner / (sizes * np.sqrt(whole)) if whole > 0 else np.zeros(count)
    unexplained = float(np.clip(left / whole, 0, 1)) if whole > 0 else 0.0
    return cosines.tolist(), (np.sqrt(left) / sizes).tolist(), unexplained


def _parts(rows: Sequence[_Rows], fit: ShareFit, change: Sequence[bool]) -> tuple[Part, ...]:
    """The part of every term; of the base, which is the last one if there is one, it is not asked for."""
    found: list[tuple[list[Floats], list[Floats]]] = [([], []) for _ in change]
    squares = np.zeros((len(change), 2))  # of the rest, and of the term's part
    for layer, shares in zip(rows, fit.layers, strict=True):
        parts = shares.astype(np.float32)[:, None, None] * layer.terms
        rest = layer.questioned - parts.sum(axis=0)
        for place, (left, own) in enumerate(found):
            if shares[place] < HELD and not change[place]:
                continue
            held = parts[place] + parts[-1] if change[place] else parts[place]
            at = layer.there[place]
            left.append((rest + held)[at])
            own.append((held if change[place] else layer.terms[place])[at])
            squares[place] += np.vdot(rest[at], rest[at]), np.vdot(parts[place], parts[place])
    return tuple(
        Part(questioned=tuple(left), candidate=tuple(own), left_over=rest / part if part > 0 else float("inf"))
        for (left, own), (rest, part) in zip(found, squares.tolist(), strict=True)
    )


def _slope_on_base(rows: Sequence[_Rows]) -> float:
    inner = sum(float(np.vdot(layer.questioned, layer.terms[-1])) for layer in rows)
    square = sum(float(np.vdot(layer.terms[-1], layer.terms[-1])) for layer in rows)
    return inner / square if square > 0 else 0.0
