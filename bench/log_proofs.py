"""Size of a proof and time to check it: ``python -m bench.log_proofs``.

A record of a log of ten million, with the log's signature and those of three witnesses: Ed25519 alone, and with
ML-DSA-44 beside each. The path is random and the root computed from it: a real tree would give the same figures.
Times are of the processor, so that other work on the machine does not count.
"""

import json
import random
import statistics
import time
from itertools import starmap

from whorl.log.keys import Algorithm, Signer, signer_from_bytes
from whorl.log.merkle import leaf_hash, root_from_inclusion
from whorl.log.notes import Note
from whorl.log.policy import Group, KnownLog, KnownWitness, Policy
from whorl.log.proofs import Proof, parse_proof, verify_proof
from whorl.log.tree_heads import TreeHead, sign_tree_head

SIZE, INDEX, REPEATS = 10_000_000, 9_999_998 // 2, 200
ORIGIN = "bureau.example/north"
COSIGNERS = ("bureau.example/east", "bureau.example/south", "bureau.example/west")
RECORD = bytes(140)


def measured(log: list[Signer], witnesses: list[Signer]) -> dict[str, float]:
    """Bytes of the proof, and milliseconds to read and check it."""
    draw = random.Random(1)
    path = tuple(draw.randbytes(32) for _ in range(24))
    root = root_from_inclusion(leaf_hash(RECORD), INDEX, SIZE, path)
    note = sign_tree_head(TreeHead(origin=ORIGIN, size=SIZE, root=root), log, at=1_790_000_000)
    cosigned = (witness.sign(note.text.encode(), at=1_790_000_001) for witness in witnesses)
    note = Note(text=note.text, signatures=(*note.signatures, *cosigned))
    text = Proof(index=INDEX, path=path, tree_head_note=note.to_bytes()).to_text()
    policy = Policy(
        logs=tuple(KnownLog(verifier=signer.verifier) for signer in log),
        witnesses=tuple(KnownWitness(name=str(n), verifier=one.verifier) for n, one in enumerate(witnesses)),
        groups=(Group(name="all", threshold=len(witnesses), members=tuple(map(str, range(len(witnesses))))),),
        quorum="all",
    )
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        verify_proof(parse_proof(text), RECORD, policy)
        times.append(1000 * (time.process_time() - began))
    return {
        "signatures": len(note.signatures),
        "bytes": len(text.encode()),
        "cpu_ms_median": round(statistics.median(times), 3),
        "cpu_ms_p95": round(statistics.quantiles(times, n=20)[-1], 3),
    }


def keys(*wanted: tuple[str, Algorithm]) -> list[Signer]:
    """Keys of fixed seeds."""
    seeds = (bytes([number]) * 32 for number in range(1, 9))
    return list(starmap(signer_from_bytes, ((*one, seed) for one, seed in zip(wanted, seeds, strict=False))))


def main() -> None:
    ed = keys((ORIGIN, "ed25519"), *((name, "cosignature_ed25519") for name in COSIGNERS))
    pq = keys(*((name, "cosignature_mldsa44") for name in (ORIGIN, *COSIGNERS)))
    report = {
        "ed25519": measured(ed[:1], ed[1:]),
        "ed25519_and_mldsa44": measured([ed[0], pq[0]], [*ed[1:], *pq[1:]]),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
