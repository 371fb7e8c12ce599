"""Making the released copy of a checkpoint: the key's shuffle and dither, written tensor by tensor.

Start at `write_release`. Why the dither survives 16-bit storage: a step below half the distance of two stored numbers
would vanish if rounded to nearest, because the weights lie on stored numbers already. So every dithered weight is
rounded up or down at random, by draws from the key, such that its mean is exact.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats, Ints
from whorl.core.errors import UnsupportedError
from whorl.core.progress import Progress
from whorl.statistics.keyed_dither import Uint16s, keyed_draws, keyed_signs
from whorl.weights.anatomy import Anatomy
from whorl.weights.numbers import FORMATS, decode
from whorl.weights.opening import open_checkpoint
from whorl.weights.release_key import KEY_SCHEMA, ReleaseKey
from whorl.weights.release_plan import Dither, Plane, ReleasePlan, local_inputs, local_rows, plan_release
from whorl.weights.roles import anatomy_of
from whorl.weights.source import TensorMeta, TensorSource
from whorl.weights.stored import StoredSource
from whorl.weights.writing import (
    TensorToWrite,
    copy_companions,
    header_of,
    rows_per_block,
    unchanged,
    whole_folder,
    write_safetensors,
)

STORAGES: Final = ("F64", "F32", "F16", "BF16")
_INDEX: Final = "model.safetensors.index.json"


@dataclass(slots=True, kw_only=True)
class Moved:
    """What writing the dither did, summed over weights: of k times the change, of its square, of the weights' square.

    ``wanted`` is the sum of step times the number of weights.
    """

    along: float = 0.0
    wanted: float = 0.0
    change: float = 0.0
    weights: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What was written.

    Parameters
    ----------
    files : digest of every file of weights, by name
    neurons, heads : how many were given a place by the key
    dithered : how many weights carry the dither
    kept : mean of the change along the key, over the dither that was asked for; 1 up to chance
    relative_change : size of the change over that of the dithered weights (root mean square), rounding included
    left_out : names of files in the checkpoint's folder that were not copied
    """

    files: dict[str, str]
    neurons: int
    heads: int
    dithered: int
    kept: float
    relative_change: float
    left_out: tuple[str, ...]


def require_releasable(source: TensorSource) -> StoredSource:
    """The source, if a release can be made of it.

    Raises
    ------
    UnsupportedError
        If it is not a folder or file of safetensors in 16-bit numbers or wider, with no adapter and nothing packed.
    """
    suffixes = {source.meta(name).file.suffix for name in source.names()}
    if not isinstance(source, StoredSource) or suffixes != {".safetensors"}:
        raise UnsupportedError(
            f"{source.path}: expected plain safetensors weights to release, found {source.description}; a release is "
            "made of the original: convert it to safetensors, merge adapters and undo quantisation first, and derive "
            "other formats from the released copy"
        )
    return source


def write_release(path: Path, key: ReleaseKey, folder: Path, *, progress: Progress) -> Release:
    """Write the released copy of the checkpoint at ``path`` as a new folder.

    Tensor names, shapes, number formats, shards and index stay as they are. That the key was made for this very
    checkpoint is for the caller to check.

    Raises
    ------
    InputError
        If the checkpoint cannot be read or released, or something is at ``folder`` already; nothing is left there.
    """
    source = require_releasable(open_checkpoint(path))
    anatomy = anatomy_of(source)
    with whole_folder(folder) as partial_folder:
        plan = plan_release(anatomy, key.secret, key.dither)
        _require_storages(plan, source)
        beside = path if path.is_dir() else path.parent
        left = copy_companions(beside, partial_folder, forbidden=KEY_SCHEMA.encode())
        if path.is_file():
            (partial_folder / _INDEX).unlink(missing_ok=True)  # one file was named: what is written is that file only
        moved = Moved()
        files = _write_files(source, plan, key.secret, partial_folder, moved, progress)
        _read_back(partial_folder, anatomy)
    return Release(
        files=files,
        neurons=plan.neurons,
        heads=plan.heads,
        dithered=moved.count,
        kept=moved.along / moved.wanted if moved.wanted else 0.0,
        relative_change=math.sqrt(moved.change / moved.weights) if moved.weights else 0.0,
        left_out=left,
    )


def _require_storages(plan: ReleasePlan, source: StoredSource) -> None:
    for name in {name for name, _ in plan.planes} | set(plan.biases):
        meta = source.meta(name)
        if meta.storage not in STORAGES:
            raise UnsupportedError(
                f"{meta.file}: tensor {name!r}: expected numbers of 16 bits or more ({', '.join(STORAGES)}), found "
                f"{meta.storage}; release the unquantised original and quantise the released copy"
            )


def _write_files(
    source: StoredSource, plan: ReleasePlan, secret: bytes, folder: Path, moved: Moved, progress: Progress
) -> dict[str, str]:
    total = sum(source.meta(name).nbytes for name in source.names())
    done = 0
    digests = {}
    for file in sorted({source.meta(name).file for name in source.names()}):
        metadata, names = header_of(file)
        tensors = []
        for name in names:
            meta = source.meta(name)
            blocks = partial(_changed, source, plan, secret, meta, moved)
            tensors.append(TensorToWrite(name=name, storage=meta.storage, shape=meta.shape, blocks=blocks))
            done += meta.nbytes
        digests[file.name] = write_safetensors(folder / file.name, tensors, metadata)
        progress("writing", done, total)
    return digests


def _read_back(folder: Path, anatomy: Anatomy) -> None:
    """The copy opens, and every part has the role and shape it had."""
    copy = anatomy_of(open_checkpoint(folder))
    if (copy.architecture, copy.width, len(copy.layers)) != (anatomy.architecture, anatomy.width, len(anatomy.layers)):
        raise UnsupportedError(f"{anatomy.source.path}: the copy reads as another model; report this with its names")


def _changed(
    source: StoredSource, plan: ReleasePlan, secret: bytes, meta: TensorMeta, moved: Moved
) -> Iterator[AnyArray]:
    """The tensor's stored codes after the release, row block by row block."""
    if meta.name in plan.biases:
        flat = plan.biases[meta.name]
        codes = source.read_raw(meta.name, 0, meta.rows).reshape(-1)
        yield _signed(codes[flat.source], flat.signs, meta.storage)
        return
    if (meta.name, 0) not in plan.planes:
        yield from unchanged(meta, partial(source.read_raw, meta.name))
        return
    height = meta.shape[-2]
    for sheet in range(meta.rows // height):
        yield from _changed_plane(source, plan.planes[meta.name, sheet], secret, meta, sheet * height, moved)


def _changed_plane(
    source: StoredSource, plane: Plane, secret: bytes, meta: TensorMeta, first: int, moved: Moved
) -> Iterator[AnyArray]:
    step = rows_per_block(meta)
    moves = plane.changes_places
    turned = {dither.role: _all_signs(dither, secret) for dither in plane.dithers if dither.matrix.transposed}
    for start in range(0, len(plane.rows), step):
        block = range(start, min(start + step, len(plane.rows)))
        wanted = plane.rows[start : block.stop]
        codes = _gather(source, meta.name, first + wanted)
        if moves:
            signs = plane.row_signs[start : block.stop, None] * plane.column_signs
            codes = _signed(codes[:, plane.columns], signs, meta.storage)
        for dither in plane.dithers:
            rows, columns = _place(dither, block)
            if len(rows):
                signs_here = _signs(dither, secret, block, turned.get(dither.role))
                at = np.ix_(rows, columns)
                draws = keyed_draws(
                    secret, "rounding", meta.name, range(first + start, first + block.stop), meta.columns
                )
                codes[at] = _dithered(codes[at], signs_here, draws[at], dither.step, meta.storage, moved)
        yield codes


def _gather(source: StoredSource, name: str, wanted: Ints) -> AnyArray:
    """Stored rows in any order; neighbours by one read."""
    if (np.diff(wanted) == 1).all():
        return source.read_raw(name, int(wanted[0]), int(wanted[-1]) + 1)
    return np.concatenate([source.read_raw(name, int(row), int(row) + 1) for row in wanted])


def _signed(codes: AnyArray, signs: Doubles, storage: str) -> AnyArray:
    """Codes of the values times +1 or -1, exactly, zeros included."""
    number = FORMATS[storage].codes
    bits = np.dtype(f"<u{number.itemsize}")
    top = bits.type(1 << (8 * number.itemsize - 1))
    flipped: AnyArray = codes.view(bits) ^ np.where(signs < 0, top, bits.type(0))
    return flipped.astype(bits, copy=False).view(number)


def _place(dither: Dither, block: range) -> tuple[Ints, Ints]:
    """Which rows of a block of stored rows, and which stored columns, the dithered matrix covers."""
    if dither.matrix.transposed:
        inputs = local_inputs(dither.matrix)
        return inputs[(inputs >= block.start) & (inputs < block.stop)] - block.start, dither.matrix.rows_at
    rows = local_rows(dither.matrix)
    here = np.sort(rows[(rows >= block.start) & (rows < block.stop)]) - block.start
    return here, np.arange(dither.matrix.columns_at.start, dither.matrix.columns_at.stop)


def _signs(dither: Dither, secret: bytes, block: range, turned: Floats | None) -> Floats:
    """The key's signs for what `_place` names, in its order."""
    width = dither.matrix.shape[1]
    if turned is not None:
        inputs = local_inputs(dither.matrix)
        return turned[(inputs >= block.start) & (inputs < block.stop)]
    rows = local_rows(dither.matrix)
    position = np.argsort(rows)
    here = position[(rows[position] >= block.start) & (rows[position] < block.stop)]
    return keyed_signs(secret, dither.role, dither.order[here], width)


def _all_signs(dither: Dither, secret: bytes) -> Floats:
    """All signs of a matrix that is stored (in, out), the same way round."""
    return np.ascontiguousarray(keyed_signs(secret, dither.role, dither.order, dither.matrix.shape[1]).T)


def _dithered(codes: AnyArray, signs: Floats, draws: Uint16s, step: float, storage: str, moved: Moved) -> AnyArray:
    before = _values(codes, storage)
    stored = round_at_random(before + step * signs.astype(np.float64), draws, storage)
    change = _values(stored, storage) - before
    moved.along += float(np.vdot(signs, change))
    moved.wanted += step * change.size
    moved.change += float(np.vdot(change, change))
    moved.weights += float(np.vdot(before, before))
    moved.count += change.size
    return stored


def _values(codes: AnyArray, storage: str) -> Doubles:
    if storage == "F64":
        return codes.astype(np.float64)
    values = np.empty(codes.shape, np.float32)
    decode(storage, np.ascontiguousarray(codes).reshape(-1), values.reshape(-1))
    return values.astype(np.float64)


def round_at_random(values: Doubles, draws: Uint16s, storage: str) -> AnyArray:
    """Codes of one of each value's two stored neighbours, the nearer one more often: the mean is the value itself.

    Parameters
    ----------
    draws : uniform 16-bit numbers of the same shape
    storage : F64 and F32 are rounded to nearest instead; their steps are far below any dither

    Notes
    -----
    The probability of a neighbour is exact up to 2**-16.
    """
    if storage == "F64":
        return values.astype("<f8")
    if storage == "F32":
        return values.astype("<f4")
    if storage == "F16":
        nearest = values.astype("<f2")
        exact = nearest.astype(np.float64)
        other = np.nextafter(nearest, np.where(values > exact, np.inf, -np.inf).astype("<f2"))
        gap = other.astype(np.float64) - exact
        away = np.where(gap != 0, (values - exact) / np.where(gap != 0, gap, 1), 0)
        taken = np.where(draws < away * (1 << 16), other, nearest)
        return np.where(np.isfinite(taken), taken, nearest).astype("<f2")
    # A bfloat16 is the upper half of a float32: adding 16 random bits below it and cutting them off rounds away from
    # zero with the right probability, across powers of two as well.
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + draws) >> np.uint32(16)).astype("<u2")
