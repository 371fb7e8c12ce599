"""Fuzz what reads a log's files and a witness's requests: ``python -m bench.fuzz.log_tiles SECONDS [TARGET]``.

Bytes that are read must be written again as they were; whatever is refused must be refused with a `WhorlError`; a
witness answers any body with a status of the specification and never forgets what it cosigned. Coverage-guided, by
atheris; each target runs in a process of its own, for so many seconds, from a few good examples.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["whorl.log", "base64"]):
    from whorl.core.errors import WhorlError
    from whorl.log.auditing import verify_log
    from whorl.log.forks import Fork, parse_fork, verify_fork
    from whorl.log.keys import signer_from_bytes
    from whorl.log.merkle import consistency_path, leaf_hash, verify_consistency, verify_inclusion
    from whorl.log.notes import parse_signature_lines
    from whorl.log.small_tree import SmallTree
    from whorl.log.tiles import encode_bundle, parse_bundle, parse_tile_path
    from whorl.log.tree_heads import TreeHead, open_tree_head, sign_tree_head
    from whorl.log.witness_requests import AddRequest
    from whorl.log.witnessing import Witness

LOG = signer_from_bytes("log.example", "ed25519", b"1" * 32)
WITNESS = signer_from_bytes("w.example", "cosignature_ed25519", b"2" * 32)
TREE = SmallTree([leaf_hash(bytes([number])) for number in range(20)])
TREES = {size: SmallTree([TREE.read(0, index) for index in range(size)]).root for size in range(21)}


def note(size: int) -> bytes:
    """The signed tree head of an honest log."""
    return sign_tree_head(TreeHead(origin=LOG.name, size=size, root=TREES[size]), [LOG], at=1).to_bytes()


def request(old: int, new: int) -> bytes:
    """What an honest log sends to a witness."""
    path = consistency_path(TREE.read, old, new) if old else ()
    return AddRequest(old_size=old, proof=path, note=note(new)).to_bytes()


def tile_path(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    assert parse_tile_path(text).path == text


def bundle(data: bytes) -> None:
    width = data[0] + 1 if data else 1
    assert encode_bundle(parse_bundle(data[1:], width=width)) == data[1:]


def proof(data: bytes) -> None:
    """No proof but the true one holds between two trees that were signed."""
    sizes, path = data[:2], [data[at : at + 32] for at in range(2, len(data), 32)]
    if len(sizes) == 2:
        old, new = sorted(one % 20 + 1 for one in sizes)
        verify_consistency(old, new, TREES[old], TREES[new], path)
        assert tuple(path) == consistency_path(TREE.read, old, new)


def inclusion(data: bytes) -> None:
    if len(data) < 2:
        return
    size, index, path = data[0], data[1], [data[at : at + 32] for at in range(2, len(data), 32)]
    verify_inclusion(leaf_hash(b"never logged"), index, size % 21, path, TREES[size % 21])
    raise AssertionError("an entry that is not in the log was proven to be")


def fork(data: bytes) -> None:
    read = parse_fork(data)
    assert parse_fork(read.to_bytes()) == read
    verify_fork(data, log_keys=[LOG.verifier])
    raise AssertionError("an honest log was accused")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class _Witness:
    """A witness over one folder for all requests of a run."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.witness = Witness(Path(self.folder), [WITNESS], {LOG.name: [LOG.verifier]}, write=_write)
        self.size = 0

    def __call__(self, data: bytes) -> None:
        reply = self.witness.add_checkpoint(data, at=1)
        assert reply.status in {200, 400, 403, 404, 409, 422}, reply
        if reply.status == 409:
            assert reply.body == b"%d\n" % self.size
        if reply.status == 200:
            parse_signature_lines(reply.body)
            head = open_tree_head(data.partition(b"\n\n")[2], origin=LOG.name, log_keys=[LOG.verifier]).head
            assert head.size >= self.size
            assert head.root == TREES[head.size]
            self.size = head.size


class _Served:
    """A log whose every tile and bundle is the fuzzer's, under a tree head that the log signed."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def tree_head(self) -> bytes:
        return note(20)

    def tile(self, _level: int, _index: int, _width: int) -> bytes:
        return self.data[: 20 * 32]

    def bundle(self, _index: int, _width: int) -> bytes:
        return self.data[20 * 32 :]


def audit(data: bytes) -> None:
    def opened(text: bytes):
        return open_tree_head(text, origin=LOG.name, log_keys=[LOG.verifier])

    served = _Served(data)
    if not verify_log(served, open_head=opened).problems:
        assert parse_bundle(served.bundle(0, 20), width=20) == tuple(bytes([number]) for number in range(20))


_HASHES = b"".join(TREE.read(0, index) for index in range(20))
_ENTRIES = encode_bundle([bytes([number]) for number in range(20)])
_FORK = Fork(smaller=note(4), larger=note(9), path=(bytes(32),) * 3)
TARGETS: dict[str, tuple[Callable[[], Callable[[bytes], None]], list[bytes]]] = {
    "tile_path": (lambda: tile_path, [b"tile/0/x001/x234/067.p/8", b"tile/entries/000"]),
    "bundle": (lambda: bundle, [b"\x01\x00\x01a\x00\x00", b"\x00\x00\x02ab"]),
    "proof": (lambda: proof, [bytes([6, 12]) + b"".join(consistency_path(TREE.read, 7, 13))]),
    "inclusion": (lambda: inclusion, [bytes([7, 3]) + bytes(96)]),
    "fork": (lambda: fork, [_FORK.to_bytes()]),
    "witness": (_Witness, [request(0, 3), request(3, 7), request(7, 7), request(7, 20)]),
    "audit": (lambda: audit, [_HASHES + _ENTRIES]),
}


def _fuzz(name: str, seconds: int) -> None:
    make, examples = TARGETS[name]
    check = make()

    def once(data: bytes) -> None:
        with contextlib.suppress(WhorlError):
            check(data)

    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(examples):
            Path(folder, str(number)).write_bytes(example)
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=8192", "-verbosity=1", folder], once)
        atheris.Fuzz()


def main() -> int:
    """Run one target here, or each in a process of its own; the first failure's status."""
    seconds = int(sys.argv[1])
    if len(sys.argv) > 2:
        _fuzz(sys.argv[2], seconds)
    for name in TARGETS:
        print(f"{name}: {seconds} s", flush=True)
        ended = subprocess.run([sys.executable, "-m", "bench.fuzz.log_tiles", str(seconds), name], check=False)
        if ended.returncode != 0:
            print(f"{name}: failed")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
