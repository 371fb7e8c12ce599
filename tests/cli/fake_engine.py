"""Stands in for the rooms below the command line: answers at once, in a way chosen beforehand.

A "fingerprint" is the bytes of the model file; two of them compare as ``answer`` says.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from whorl.core.digest import digest_bytes
from whorl.core.evidence import Finding
from whorl.core.progress import Progress
from whorl.fingerprints.weight_fingerprint import SEARCH_DIMENSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFingerprint:
    name: str
    data: bytes

    @property
    def digest(self) -> str:
        return digest_bytes(self.data)

    def to_bytes(self) -> bytes:
        return self.data

    def view(self) -> "FakeFingerprint":
        return self

    def search_vector(self) -> NDArray[np.int8]:
        seed = int.from_bytes(self.data[:8].ljust(8, b"\0"), "big")
        return np.random.default_rng(seed).integers(-127, 128, SEARCH_DIMENSIONS).astype(np.int8)


def modules(answer: Finding | BaseException | dict[bytes, Finding]) -> dict[str, ModuleType]:
    """Modules to put into ``sys.modules``; a table of answers goes by the bytes of the reference."""

    def say(key: bytes) -> Finding:
        found = answer[key] if isinstance(answer, dict) else answer
        if isinstance(found, BaseException):
            raise found
        return found

    def fingerprint_of(path: Path, *, progress: Progress) -> FakeFingerprint:
        progress("reading", 1, 2)
        if isinstance(answer, BaseException):
            raise answer
        return FakeFingerprint(name=path.stem, data=path.read_bytes())

    def compare(
        questioned: Path, reference: Path, *, progress: Progress, key: object = None, population: object = None
    ) -> Finding:
        progress("comparing", len(questioned.read_bytes()), 100)
        return say(reference.read_bytes())

    def compare_fingerprints(
        questioned: FakeFingerprint, reference: FakeFingerprint, *, with_power: bool = True
    ) -> Finding:
        return say(reference.data if questioned.data else b"")

    comparing = ModuleType("whorl.comparison.comparing")
    comparing.__dict__["compare"] = compare
    comparing.__dict__["compare_fingerprints"] = compare_fingerprints
    subjects = ModuleType("whorl.comparison.subjects")
    subjects.__dict__["fingerprint_of"] = fingerprint_of
    subjects.__dict__["content_digest"] = lambda view: digest_bytes(b"content of " + view.data)
    fingerprints = ModuleType("whorl.fingerprints.weight_fingerprint")
    fingerprints.__dict__["fingerprint_checkpoint"] = fingerprint_of
    fingerprints.__dict__["parse_fingerprint"] = lambda data, *, origin: FakeFingerprint(name=origin, data=data)
    fingerprints.__dict__["SCHEMA"] = "whorl.weight_fingerprint/1"
    fingerprints.__dict__["SEARCH_SCHEME"] = "whorl.weight_fingerprint/1 search vector"
    fingerprints.__dict__["SUFFIX"] = ".whorl"
    return {module.__name__: module for module in (comparing, subjects, fingerprints)}
