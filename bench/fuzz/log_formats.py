"""Fuzz every parser of `whorl.log`'s formats: ``python -m bench.fuzz.log_formats SECONDS [PARSER]``.

Bytes that a parser takes must be rendered again as they were; whatever it refuses it must refuse with a `WhorlError`.
Coverage-guided, by atheris; each parser runs in a process of its own, for so many seconds, from a few good examples.
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
    from whorl.log.keys import Signer, parse_vkey, signer_from_bytes
    from whorl.log.notes import Note, open_note, parse_note, parse_signature_lines, signature_lines
    from whorl.log.policy import check_tree_head, parse_policy
    from whorl.log.proofs import Proof, parse_proof, verify_proof
    from whorl.log.tree_heads import TreeHead, parse_tree_head, sign_tree_head
    from whorl.log.witness_requests import AddRequest, parse_add_request, parse_size_body, size_body

LOG = signer_from_bytes("log.example", "ed25519", b"1" * 32)
WITNESS = signer_from_bytes("w.example", "cosignature_ed25519", b"2" * 32)
POLICY_TEXT = (
    f"# whose signatures count\nlog {LOG.verifier.vkey} https://log.example/\nwitness w1 {WITNESS.verifier.vkey}\n"
    "group g any w1\nquorum g\n"
)
POLICY = parse_policy(POLICY_TEXT)


def _cosigned() -> Note:
    head = TreeHead(origin=LOG.name, size=3, root=bytes(32), extensions=("more",))
    note = sign_tree_head(head, [LOG], at=1)
    return Note(text=note.text, signatures=(*note.signatures, WITNESS.sign(note.text.encode(), at=1)))


NOTE = _cosigned()
PROOF = Proof(index=1, path=(bytes(32), bytes(32)), tree_head_note=NOTE.to_bytes(), extra=b"x")
REQUEST = AddRequest(old_size=2, proof=(bytes(32), bytes(32)), note=NOTE.to_bytes())


def vkey(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    assert parse_vkey(text).vkey == text


def signature_line(data: bytes) -> None:
    assert signature_lines(parse_signature_lines(data)) == data


def note(data: bytes) -> None:
    read = parse_note(data)
    assert read.to_bytes() == data
    assert open_note(read, [LOG.verifier, WITNESS.verifier]).text == NOTE.text  # nobody else's text is signed


def tree_head(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    assert parse_tree_head(text).to_text() == text


def signed_tree_head(data: bytes) -> None:
    assert check_tree_head(data, POLICY).head.to_text() == NOTE.text


def policy(data: bytes) -> None:
    read = parse_policy(data)
    assert parse_policy(read.to_text()) == read


def proof(data: bytes) -> None:
    read = parse_proof(data)
    assert read.to_text().encode() == data
    verify_proof(read, b"", POLICY)
    raise AssertionError("no record is under a root of zeros")


def witness_request(data: bytes) -> None:
    assert parse_add_request(data).to_bytes() == data


def size(data: bytes) -> None:
    assert size_body(parse_size_body(data)) == data


def _keys(signers: list[Signer]) -> list[bytes]:
    return [signer.verifier.vkey.encode() for signer in signers]


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "vkey": (vkey, _keys([LOG, WITNESS, signer_from_bytes("log.example", "cosignature_mldsa44", b"3" * 32)])),
    "signature_line": (signature_line, [signature_lines(NOTE.signatures)]),
    "note": (note, [NOTE.to_bytes(), "a\n\nb\n\n— w YWJjZHg=\n".encode()]),
    "tree_head": (tree_head, [NOTE.text.encode()]),
    "signed_tree_head": (signed_tree_head, [NOTE.to_bytes()]),
    "policy": (policy, [POLICY_TEXT.encode(), b"quorum none\n"]),
    "proof": (proof, [PROOF.to_text().encode()]),
    "witness_request": (witness_request, [REQUEST.to_bytes()]),
    "size": (size, [b"0\n", b"20852163\n"]),
}


def _fuzz(name: str, seconds: int) -> None:
    check, examples = TARGETS[name]

    def once(data: bytes) -> None:
        with contextlib.suppress(WhorlError):
            check(data)

    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(examples):
            Path(folder, str(number)).write_bytes(example)
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=8192", "-verbosity=1", folder], once)
        atheris.Fuzz()


def main() -> int:
    """Run one parser here, or each in a process of its own; the first failure's status."""
    seconds = int(sys.argv[1])
    if len(sys.argv) > 2:
        _fuzz(sys.argv[2], seconds)
    for name in TARGETS:
        print(f"{name}: {seconds} s", flush=True)
        ended = subprocess.run([sys.executable, "-m", "bench.fuzz.log_formats", str(seconds), name], check=False)
        if ended.returncode != 0:
            print(f"{name}: failed")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
