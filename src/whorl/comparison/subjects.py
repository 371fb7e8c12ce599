"""What the user named: a checkpoint, or a fingerprint that was stored earlier."""

from dataclasses import dataclass
from pathlib import Path

from whorl.core.digest import digest_document
from whorl.core.evidence import Subject
from whorl.core.progress import Progress
from whorl.fingerprints.contents import describe, name_of
from whorl.fingerprints.model_view import ModelView
from whorl.fingerprints.weight_fingerprint import (
    SUFFIX,
    WeightFingerprint,
    fingerprint_anatomy,
    fingerprint_checkpoint,
    read_fingerprint,
)
from whorl.weights.anatomy import Anatomy
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSubject:
    """A model whose weights are at hand."""

    name: str
    anatomy: Anatomy


def open_subject(path: Path) -> CheckpointSubject | WeightFingerprint:
    """Open what lies at ``path``: a stored fingerprint by its suffix, else a checkpoint.

    Raises
    ------
    InputError
        If it is neither, or broken.
    """
    if path.suffix == SUFFIX and not path.is_dir():
        return read_fingerprint(path)
    return CheckpointSubject(name=name_of(path), anatomy=anatomy_of(open_checkpoint(path)))


def fingerprint_of(path: Path, *, progress: Progress) -> WeightFingerprint:
    """The stored fingerprint at ``path``, or a new one of the checkpoint there."""
    if path.suffix == SUFFIX and not path.is_dir():
        return read_fingerprint(path)
    return fingerprint_checkpoint(path, progress=progress)


def as_fingerprint(subject: CheckpointSubject | WeightFingerprint, *, progress: Progress) -> WeightFingerprint:
    """The subject's fingerprint, made now where it is a checkpoint."""
    if isinstance(subject, WeightFingerprint):
        return subject
    return fingerprint_anatomy(subject.anatomy, name=subject.name, progress=progress)


def checkpoint_record(subject: CheckpointSubject, view: ModelView) -> Subject:
    """How a finding names a model that was compared by its weights."""
    return Subject(
        name=subject.name, digest=content_digest(view), description=describe(subject.anatomy), access="weights"
    )


def fingerprint_record(fingerprint: WeightFingerprint, view: ModelView) -> Subject:
    """How a finding names a model that was compared by its stored fingerprint."""
    return Subject(
        name=fingerprint.name,
        digest=content_digest(view),
        description=fingerprint.header.description,
        access="fingerprint",
    )


def content_digest(view: ModelView) -> str:
    """Identity of a model's content: every matrix and vector in its role, and the vocabulary; not the file layout."""
    return digest_document(
        "whorl.model_content/1",
        {
            "matrices": {
                role: [record.storage, list(record.shape), record.digest] for role, record in view.records.items()
            },
            "vectors": dict(view.vectors),
            "vocabulary": [view.vocabulary.size, view.vocabulary.ordered],
        },
    )
