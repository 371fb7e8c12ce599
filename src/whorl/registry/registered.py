"""The models of a registry whose fingerprints are at hand, in the order in which they were entered."""

from dataclasses import dataclass
from datetime import datetime

from whorl.core.errors import VerificationError
from whorl.entries.kinds import Fingerprint, Model
from whorl.entries.leaf import entry_id
from whorl.registry.database_view import DatabaseView, facts_of
from whorl.registry.entry_rows import PAGE, latest_entries
from whorl.registry.leads import taker_beside
from whorl.registry.registry_reader import RegistryReader
from whorl.registry.standing import Standing, entry_standing
from whorl.registry.view import EntryFacts, View


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredFingerprint:
    """A fingerprint that a registry points to.

    Parameters
    ----------
    entry : id of the model's entry
    name : of the model, as its claimant gives it
    content : digest of the model's content, as its claimant gives it; None where the entry states none
    standing, fingerprint_standing : of the model's entry, and of the fingerprint's
    taken_by : name of the organisation that entered the fingerprint, where it is not the claimant
    fingerprint, blob : id of the fingerprint's entry, and the digest under which it is stored
    """

    entry: str
    name: str
    content: str | None
    standing: Standing
    fingerprint_standing: Standing
    taken_by: str | None
    fingerprint: str
    blob: str


def registered_fingerprints(registry: RegistryReader) -> list[RegisteredFingerprint]:
    """All fingerprints with the models they were entered for, the first entered first.

    Whoever reads one compares the content that it was taken of with the model's: only then it says anything of it.
    """
    found: list[RegisteredFingerprint] = []
    before = None
    with registry.database.reading() as connection:
        view = DatabaseView(connection)
        while page := latest_entries(connection, "fingerprint", most=PAGE, before=before):
            before = page[-1][0]
            for _, entry in page:
                registered = _registered(facts_of(entry), view, at=registry.now())
                if registered is not None:
                    found.append(registered)
    return found[::-1]


def _registered(taken: EntryFacts, view: View, *, at: datetime) -> RegisteredFingerprint | None:
    model = None if taken.statement is None else view.entry(taken.statement.target)
    body = None if taken.statement is None else taken.statement.body
    claim = None if model is None or model.statement is None else model.statement.body
    if model is None or not isinstance(body, Fingerprint) or not isinstance(claim, Model):
        return None
    return RegisteredFingerprint(
        entry=entry_id(model.hash),
        name=claim.name,
        content=claim.content,
        standing=entry_standing(model, view, at=at).standing,
        fingerprint_standing=entry_standing(taken, view, at=at).standing,
        taken_by=taker_beside(taken, model, view),
        fingerprint=entry_id(taken.hash),
        blob=body.blob,
    )


def require_own_content(registered: RegisteredFingerprint, content: str) -> None:
    """Check that a fingerprint was taken of the content that the model's entry claims.

    Parameters
    ----------
    content : digest of the content that it was taken of, worked out from it

    Raises
    ------
    VerificationError
        If it was not.
    """
    if content != registered.content:
        by = "" if registered.taken_by is None else f" by {registered.taken_by}"
        claimed = "none" if registered.content is None else f"{registered.content[:23]}..."
        raise VerificationError(
            f"expected a fingerprint of the content {claimed} that entry {registered.entry} claims, found that entry "
            f"{registered.fingerprint}{by} is one of {content[:23]}...: it says nothing of this model"
        )


def remark_on(registered: RegisteredFingerprint) -> str | None:
    """What a reader must know of the entries: standing, and who took the fingerprint; None if there is nothing."""
    remarks = []
    if registered.standing != "good":
        remarks.append(f"the entry is {registered.standing}")
    if registered.fingerprint_standing != "good":
        remarks.append(f"its fingerprint's entry is {registered.fingerprint_standing}")
    if registered.taken_by is not None:
        remarks.append(f"fingerprint entered by {registered.taken_by}, not by the claimant")
    return "; ".join(remarks) or None
