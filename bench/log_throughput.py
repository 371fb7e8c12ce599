"""How fast a log is written, signed, proven, audited and witnessed: ``python -m bench.log_throughput [FOLDER]``.

Entries are of 140 bytes. Appending counts everything up to the last ``fsync``; FOLDER says on which disk (default: a
temporary folder). One process, one core. Prints one line per figure, with the calls to ``fsync`` of one batch.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from whorl.log.auditing import verify_log
from whorl.log.folder import LogFolder, create_log
from whorl.log.keys import Signer, signer_from_bytes
from whorl.log.merkle import (
    consistency_path,
    inclusion_path,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from whorl.log.notes import Note
from whorl.log.signing import sign_next
from whorl.log.tiles import TILE_WIDTH, hash_reader, parse_bundle, tile_width
from whorl.log.tree_heads import open_tree_head
from whorl.log.witness_requests import AddRequest
from whorl.log.witnessing import Witness

ORIGIN = "bureau.example/north"
ENTRY_BYTES = 140
BATCHES = {256: 100_000, 10_000: 200_000}  # entries of a batch, entries in all
PROOFS = 2_000
AT = 1_790_000_000
LOG = signer_from_bytes(ORIGIN, "ed25519", b"1" * 32)
LOG_PQ = signer_from_bytes(ORIGIN, "cosignature_mldsa44", b"2" * 32)
WITNESS = signer_from_bytes("bureau.example/east", "cosignature_ed25519", b"3" * 32)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        for batch, total in BATCHES.items():
            log = append(folder / str(batch), batch, total)
        sign(log, folder)
        prove(log)
        audit(log)
        cosign(log, folder)


def append(path: Path, batch: int, total: int) -> LogFolder:
    """Append all entries in batches."""
    draw = random.Random(1)
    entries = [draw.randbytes(ENTRY_BYTES) for _ in range(total)]
    log = create_log(path, origin=ORIGIN)
    with counted_syncs() as syncs, timed() as took:
        for start in range(0, total, batch):
            log.append(entries[start : start + batch])
    batches = -(-total // batch)
    report(f"append, batches of {batch}", total / took(), f"entries/s, {len(syncs) / batches:.1f} fsyncs a batch")
    with timed() as took:
        LogFolder(path, origin=ORIGIN).recover()
    report("  recover", 1000 * took(), "ms")
    return log


def sign(log: LogFolder, folder: Path) -> None:
    """Sign after more entries, as a log does once a second: what is new is read again from the disk."""
    last_signed = folder / "last-signed"
    publish(log, last_signed)
    draw = random.Random(2)
    for new in (256, 10_000):
        log.append([draw.randbytes(ENTRY_BYTES) for _ in range(new)])
        with timed() as took:
            note = sign_next(log, [LOG, LOG_PQ], last_signed=last_signed, now=AT)
        report(f"sign after {new} entries", 1000 * took(), "ms (Ed25519 and ML-DSA-44, re-hashed from the disk)")
        log.publish(note.to_bytes())


def publish(log: LogFolder, last_signed: Path) -> Note:
    """Sign and publish what is there."""
    note = sign_next(log, [LOG, LOG_PQ], last_signed=last_signed, now=AT)
    log.publish(note.to_bytes())
    return note


def prove(log: LogFolder) -> None:
    """Make and check inclusion proofs: of random entries, and of the newest ones as after a batch."""
    size, root = log.size, log.root
    draw = random.Random(3)
    newest = range(size - PROOFS, size)
    for what, indexes in (("random", draw.sample(range(size), PROOFS)), ("newest", list(newest))):
        read = hash_reader(log, size)
        with timed() as took:
            paths = [inclusion_path(read, index, size) for index in indexes]
        report(f"inclusion proofs, {what} entries", PROOFS / took(), "proofs/s made from the tiles")
    leaves = [leaf_hash(log_entry(log, index)) for index in newest]
    with timed() as took:
        for leaf, index, path in zip(leaves, newest, paths, strict=True):
            verify_inclusion(leaf, index, size, path, root)
    report("  check of one", 1e6 * took() / PROOFS, f"µs ({len(paths[0])} hashes)")
    old_roots = {old: root_at(log, old) for old in (size // 3, size - 1)}
    for old, old_root in old_roots.items():
        with timed() as took:
            path = consistency_path(hash_reader(log, size), old, size)
        verify_consistency(old, size, old_root, root, path)
        report(f"consistency proof from {old} to {size}", 1000 * took(), "ms, nothing cached")


def log_entry(log: LogFolder, index: int) -> bytes:
    """One entry, from its bundle."""
    number, place = divmod(index, TILE_WIDTH)
    width = tile_width(log.size, 0, number)
    return parse_bundle(log.bundle(number, width), width=width)[place]


def root_at(log: LogFolder, size: int) -> bytes:
    """Root of the first entries."""
    return tree_root(hash_reader(log, log.size), size)


def audit(log: LogFolder) -> None:
    """Derive every tile anew."""
    with timed() as took:
        keys = [LOG.verifier, LOG_PQ.verifier]
        found = verify_log(log, open_head=lambda note: open_tree_head(note, origin=ORIGIN, log_keys=keys))
    assert not found.problems, found.problems
    report("audit", found.size / took(), "entries/s")


def cosign(log: LogFolder, folder: Path) -> None:
    """Answer requests for the same tree head: verify, compare, sign, store with fsync, answer."""
    (folder / "witness").mkdir()
    for what, signers in {"Ed25519": [WITNESS], "Ed25519 and ML-DSA-44": [WITNESS, pq(WITNESS)]}.items():
        for file in (folder / "witness").iterdir():
            file.unlink()
        witness = Witness(folder / "witness", signers, {ORIGIN: [LOG.verifier, LOG_PQ.verifier]})
        note, size = log.tree_head(), log.size
        assert witness.add_checkpoint(AddRequest(old_size=0, proof=(), note=note).to_bytes(), at=AT).status == 200
        body = AddRequest(old_size=size, proof=(), note=note).to_bytes()
        with timed() as took:
            for _ in range(200):
                assert witness.add_checkpoint(body, at=AT).status == 200
        report(f"witness, {what}", 200 / took(), "requests/s")


def pq(signer: Signer) -> Signer:
    """A second key of the same witness."""
    return signer_from_bytes(signer.name, "cosignature_mldsa44", b"4" * 32)


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Seconds of the block, by the clock on the wall."""
    start = time.perf_counter()
    end = [0.0]
    yield lambda: end[0] - start
    end[0] = time.perf_counter()


@contextmanager
def counted_syncs() -> Iterator[list[int]]:
    """Every call to ``os.fsync`` in the block."""
    calls: list[int] = []
    fsync = os.fsync

    def counting(descriptor: int) -> None:
        calls.append(descriptor)
        fsync(descriptor)

    os.fsync = counting
    try:
        yield calls
    finally:
        os.fsync = fsync


def report(what: str, figure: float, unit: str) -> None:
    """One line."""
    print(f"{what:44} {figure:12,.1f} {unit}", flush=True)


if __name__ == "__main__":
    main()
