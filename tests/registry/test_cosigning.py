"""A witness's word on the size that it knows is read by the law of C2SP tlog-witness, and by no other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bureaus import Clock
from small_log import counting_bytes

from whorl.log.keys import signer_from_bytes
from whorl.log.tree_heads import parse_tree_head
from whorl.log.witnessing import Reply
from whorl.registry.cosigning import TRIES, Cosigning, LocalWitness
from whorl.registry.home import log_verifiers
from whorl.registry.local import create_registry

WITNESS = signer_from_bytes("witness.example", "cosignature_ed25519", b"9" * 32)


@pytest.mark.parametrize(
    ("body", "asked", "problem"),
    [
        (b"2\n", TRIES, "another size each time"),
        (b"2", 1, "expected a size and a newline"),
        (b" 2 \n", 1, "size"),
        (b"02\n", 1, "size"),
        ("\u0662\n".encode(), 1, "size"),
        (b"9" * 29 + b"\n", 1, "size"),
        (b"2\n" * 1000, 1, "bytes"),
        (b"", 1, "expected a size and a newline"),
    ],
)
def test_only_a_size_is_a_size(tmp_path: Path, body: bytes, asked: int, problem: str) -> None:
    requests: list[bytes] = []

    def answer(request: bytes) -> Reply:
        requests.append(request)
        return Reply(status=409, body=body)

    with (
        create_registry(
            tmp_path / "north",
            origin="north.example/log",
            bureau_name="Bureau north",
            jurisdiction="NL",
            now=Clock(),
            random_bytes=counting_bytes(1),
        ) as registry,
        ThreadPoolExecutor(1) as executor,
    ):
        witness = LocalWitness("witness.example", [WITNESS.verifier], answer)
        cosigning = Cosigning([witness], executor, seconds=5, log_keys=log_verifiers(registry.home))
        note = registry.sequencer.refresh()
        cosigned = cosigning.gather(note, registry.log)
    assert cosigned.note == note
    ((name, found),) = cosigned.failures
    assert name == "witness.example"
    assert problem in found
    assert len(requests) == asked
    assert parse_tree_head(note.text).size == 3
