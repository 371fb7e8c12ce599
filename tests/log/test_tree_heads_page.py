"""The example of the specification page is one that the code accepts, byte for byte."""

import re
from pathlib import Path

from whorl.log.policy import parse_policy
from whorl.log.proofs import parse_proof, verify_proof

PAGE = Path(__file__).resolve().parents[2] / "docs" / "specs" / "tree-heads-and-proofs.md"


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_is_verified() -> None:
    policy, proof = parse_policy(block("policy")), parse_proof(block("proof"))
    assert proof.to_text() == block("proof")
    verified = verify_proof(proof, b"record 3", policy)
    assert (verified.index, verified.size, verified.origin) == (3, 5, "bureau.example/north")
    assert verified.cosigned_at == (("east", 1_790_000_001), ("south", 1_790_000_002))
    assert verified.quorum_at == 1_790_000_002
