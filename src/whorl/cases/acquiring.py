"""Taking what a protocol needs of a model of the line-up, under the model's code.

Of weights it is the stored fingerprint, of answers the coded transcript.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from whorl import __version__
from whorl.cases.line_up import DealtMember
from whorl.core.errors import InputError, VerificationError
from whorl.core.progress import Progress
from whorl.dossiers.events import Access, Acquired

if TYPE_CHECKING:
    from whorl.fingerprints.weight_fingerprint import WeightFingerprint

TOOL: Final = f"whorl {__version__}"


def acquisition(
    member: DealtMember, access: Access, *, keep: Callable[[bytes], str], at: datetime, progress: Progress
) -> Acquired:
    """Take one model's exhibit.

    Parameters
    ----------
    keep : puts what was taken into the case, and gives its digest
    at : when, for the chain

    Raises
    ------
    VerificationError
        If the model is another than when the protocol was frozen.
    InputError
        If the model or its transcript is missing, is not whole, or somebody else was asked.
    """
    return _answers(member, keep, at) if access == "api" else _weights(member, keep, at, progress)


def _weights(member: DealtMember, keep: Callable[[bytes], str], at: datetime, progress: Progress) -> Acquired:
    found = fingerprint(_named(member.path, member, "weights"), progress)
    content = content_of(found)
    if content != member.digest:
        raise VerificationError(
            f"{member.code}: expected the model that was there when the protocol was frozen, found another content: it "
            "was changed since; put the first one back"
        )
    coded = type(found)(header=found.header.model_copy(update={"name": member.code}), arrays=found.arrays)
    return Acquired(
        code=member.code,
        access="fingerprint",
        digest=content,
        blob=keep(coded.to_bytes()),
        how=f"{found.header.schema_} of the model, taken by {TOOL} under its code",
        acquired_at=instant(at),
        filed_by="manager",
    )


def _answers(member: DealtMember, keep: Callable[[bytes], str], at: datetime) -> Acquired:
    from whorl.cases.coded_transcript import coded_transcript, read_recording

    path = _named(member.transcript, member, "a transcript")
    assert member.endpoint is not None  # a candidate has both or neither
    transcript, recording = read_recording(path, member.endpoint)
    coded, digest = coded_transcript(transcript, member.code)
    return Acquired(
        code=member.code,
        access="api",
        digest=digest,
        blob=keep(coded),
        how=f"{transcript.header.schema_} of the endpoint, under its code by {TOOL}",
        acquired_at=instant(at),
        filed_by="manager",
        recording=recording,
    )


def _named(place: str | None, member: DealtMember, what: str) -> Path:
    if place is None:
        raise InputError(f"{member.code}: expected {what} in the line-up, found none; a new case can name it")
    return Path(place)


def require_places(members: Sequence[DealtMember], accesses: Collection[Access]) -> None:
    """Everything that the methods need of a model is named before the protocol is fixed."""
    for member in members:
        for access, place, what in (
            ("fingerprint", member.path, "weights (path)"),
            ("api", member.transcript, "answers (transcript and endpoint)"),
        ):
            if access in accesses and place is None:
                raise InputError(
                    f"line-up: expected {what} of every model, which a method of the protocol compares, found a "
                    f"{member.role} without; name them"
                )


def fingerprint(path: Path, progress: Progress) -> "WeightFingerprint":
    """The stored fingerprint of a model, or of a file that is one."""
    from whorl.comparison.subjects import fingerprint_of

    return fingerprint_of(path, progress=progress)


def content_of(fingerprint: "WeightFingerprint") -> str:
    """Digest of the content that a fingerprint was taken of."""
    from whorl.comparison.subjects import content_digest

    return content_digest(fingerprint.view())


def instant(at: datetime) -> str:
    """A time as events state it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
