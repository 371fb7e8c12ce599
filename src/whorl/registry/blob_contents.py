"""What the blobs of an entry say, beside what the entry says of them.

An entry states figures and digests; the blob is what they come from. Where the blob is at hand, nobody has to believe
the entry: a fingerprint shows the content that it was taken of, and a finding's document its figures.
"""

from typing import Final

from pydantic import ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Finding
from whorl.entries.kinds import FindingEntry, Fingerprint, Kind
from whorl.entries.statement import Statement
from whorl.registry.blobs import BlobFolder
from whorl.registry.derived_rows import blobs_of
from whorl.registry.refusals import Refusal
from whorl.registry.registry_reader import MAX_BLOB_BYTES

MAX_FINDING_BYTES: Final = 1 << 20
LARGEST_LOG10: Final = 30.0  # what a finding's entry may state
_WITH_BLOBS: Final[frozenset[Kind]] = frozenset({"dataset", "fingerprint", "finding", "opening", "response", "dispute"})


def fingerprinted_content(fingerprint: bytes, *, origin: str) -> str:
    """Digest of the content that a stored fingerprint was taken of, worked out from it.

    Parameters
    ----------
    origin : where the bytes came from, for messages

    Raises
    ------
    FingerprintError
        If it is none.
    """
    from whorl.comparison.subjects import content_digest
    from whorl.fingerprints.weight_fingerprint import parse_fingerprint

    return content_digest(parse_fingerprint(fingerprint, origin=origin).view())


def is_weight_fingerprint(body: Fingerprint) -> bool:
    """Whether an entry's blob is a fingerprint that this version reads, or is found as one."""
    from whorl.fingerprints.weight_fingerprint import SCHEMA, SEARCH_SCHEME

    return body.method == SCHEMA or body.scheme == SEARCH_SCHEME


def stated_log10(log10: float | None) -> float | None:
    """A finding's log10 ratio as its entry states it."""
    return None if log10 is None else max(-LARGEST_LOG10, min(LARGEST_LOG10, log10))


def bears_figures(document: bytes, body: FindingEntry) -> bool:
    """Whether a document is a finding that says what its entry says: contents, relation and figures."""
    if len(document) > MAX_FINDING_BYTES:
        return False
    try:
        found = Finding.model_validate_json(document)
    except ValidationError:
        return False
    return (
        found.questioned.digest,
        found.reference.digest,
        found.conclusion.relation,
        stated_log10(found.conclusion.log10_lr),
        found.conclusion.log10_p,
    ) == (body.questioned, body.reference, body.relation, body.log10_lr, body.log10_p)


def is_borne_out(body: FindingEntry, blobs: BlobFolder) -> bool:
    """Whether the finding's document is here and says what its entry says."""
    try:
        return bears_figures(blobs.get(body.blob, max_bytes=MAX_FINDING_BYTES), body)
    except (InputError, VerificationError):  # it is not here, too large for a finding, or damaged
        return False


def require_brought(statement: Statement, blobs: BlobFolder) -> None:
    """Check what only the bureau that takes an entry can: that its blobs are here, and say what it says of them.

    A finding's blob that is no JSON is a dossier, which is not opened here; pages show nothing of such a finding.

    Raises
    ------
    Refusal
        If a blob was not handed in, or says something else.
    """
    if statement.kind not in _WITH_BLOBS:
        return
    for digest in sorted(blobs_of(statement)):
        if not blobs.holds(digest):
            raise Refusal(
                "blob_missing",
                f"expected what the entry refers to, {digest}, to be stored before it, found no such blob; hand it in, "
                "then enter this again",
            )
    body = statement.body
    if isinstance(body, Fingerprint) and is_weight_fingerprint(body):
        _require_content(body, blobs)
    if isinstance(body, FindingEntry):
        _require_figures(body, blobs)


def _require_content(body: Fingerprint, blobs: BlobFolder) -> None:
    try:
        content = fingerprinted_content(blobs.get(body.blob, max_bytes=MAX_BLOB_BYTES), origin=f"blob {body.blob}")
    except InputError as error:
        raise Refusal("blob_differs", f"expected a stored fingerprint of {body.method}, found none: {error}") from None
    if content != body.model_content:
        raise Refusal(
            "blob_differs",
            f"expected a fingerprint of the content {body.model_content[:23]}... that the entry names, found one of "
            f"{content[:23]}...; enter it on the model that it was taken of",
        )


def _require_figures(body: FindingEntry, blobs: BlobFolder) -> None:
    document = blobs.get(body.blob, max_bytes=MAX_BLOB_BYTES)
    if document.lstrip()[:1] == b"{" and not bears_figures(document, body):
        raise Refusal(
            "blob_differs",
            "expected a finding whose document says what the entry says of contents, relation and figures, found "
            "another; enter what `whorl compare --json` printed",
        )
