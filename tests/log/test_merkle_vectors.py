"""Public vectors: proofs of transparency-dev/merkle, and a whole log written by Tessera. Origins: vectors/NOTICE."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from whorl.core.errors import VerificationError
from whorl.log.auditing import verify_log
from whorl.log.keys import parse_vkey
from whorl.log.merkle import (
    consistency_path,
    inclusion_path,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from whorl.log.monitoring import Monitor
from whorl.log.served_folder import ServedFolder
from whorl.log.tiles import hash_reader, parse_bundle
from whorl.log.tree_heads import open_tree_head

VECTORS = Path(__file__).parent / "vectors"
PROOFS: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "merkle-proofs.json").read_text())

# The other 322 vectors of that collection are of proofs for subtrees that are no tree of a tree head
# (draft-ietf-plants-merkle-tree-certs). Nothing here signs or verifies such subtrees.
COUNTS = {"inclusion": 98, "consistency": 98}

# The one vector that asks for another answer than ours gives it "roots" of 12 bytes; ours are hashes of 32.
SHORT_ROOTS = "additional/sizes-are-equal-one-and-proof-is-empty"

LOG_KEY = parse_vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")


def octets(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def named(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in PROOFS[kind]]


def test_no_vector_was_lost() -> None:
    assert {kind: len(vectors) for kind, vectors in PROOFS.items()} == COUNTS


@pytest.mark.parametrize("vector", named("inclusion"))
def test_inclusion(vector: dict[str, Any]) -> None:
    def verify() -> None:
        path = [octets(one) for one in vector["proof"]]
        verify_inclusion(
            octets(vector["leafHash"]), vector["leafIdx"], vector["treeSize"], path, octets(vector["root"])
        )

    expect(verify, refusal=vector["wantErr"])


@pytest.mark.parametrize("vector", named("consistency"))
def test_consistency(vector: dict[str, Any]) -> None:
    def verify() -> None:
        path = [octets(one) for one in vector["proof"]]
        verify_consistency(vector["size1"], vector["size2"], octets(vector["root1"]), octets(vector["root2"]), path)

    expect(verify, refusal=vector["wantErr"] or vector["name"] == SHORT_ROOTS)


def expect(verify: Any, *, refusal: bool) -> None:
    if not refusal:
        verify()
        return
    with pytest.raises(VerificationError):
        verify()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tessera")
    for name, content in json.loads((VECTORS / "tessera-log.json").read_text()).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets(content))
    return folder


class AtSize(ServedFolder):
    """The golden log as it was under one of its earlier tree heads."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(path)
        self.size = size

    def tree_head(self) -> bytes:
        return (self.path / f"checkpoint.{self.size}").read_bytes()


def opened(data: bytes) -> Any:
    return open_tree_head(data, origin=LOG_KEY.name, log_keys=[LOG_KEY])


@pytest.mark.parametrize("size", range(16))
def test_a_log_written_by_another_program_passes_the_audit(golden: Path, size: int) -> None:
    report = verify_log(AtSize(golden, size), open_head=opened)
    assert (report.problems, report.size) == ((), size)
    assert report.head is not None


def test_the_golden_log_as_published_passes_and_with_one_bit_flipped_fails(golden: Path, tmp_path: Path) -> None:
    assert verify_log(ServedFolder(golden), open_head=opened).problems == ()
    broken = tmp_path / "tile/entries/000.p/15"
    broken.parent.mkdir(parents=True)
    data = bytearray((golden / "tile/entries/000.p/15").read_bytes())
    data[20] ^= 1
    broken.write_bytes(data)
    for name in ("checkpoint", "tile/0/000.p/15"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((golden / name).read_bytes())
    (problem,) = verify_log(ServedFolder(tmp_path), open_head=opened).problems
    assert problem.startswith("tile/0/000.p/15: hash 3 is not that of entry 3")


def test_the_golden_log_only_grew(golden: Path, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, origin=LOG_KEY.name, log_keys=[LOG_KEY])
    growth = [monitor.observe(AtSize(golden, size)).growth for size in range(16)]
    assert growth == ["first", *["grown"] * 15]


def test_proofs_from_the_golden_tiles_hold(golden: Path) -> None:
    heads = [opened(AtSize(golden, size).tree_head()).head for size in range(16)]
    entries = parse_bundle(ServedFolder(golden).bundle(0, 15), width=15)
    assert entries[:2] == (b"one", b"two")
    for new in range(1, 16):
        read = hash_reader(AtSize(golden, new), new)
        for index in range(new):
            path = inclusion_path(read, index, new)
            verify_inclusion(leaf_hash(entries[index]), index, new, path, heads[new].root)
        for old in range(1, new + 1):
            verify_consistency(old, new, heads[old].root, heads[new].root, consistency_path(read, old, new))
