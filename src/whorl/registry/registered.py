"""The models of a registry whose fingerprints are at hand, in the order in which they were entered."""

from dataclasses import dataclass

from whorl.entries.kinds import Fingerprint, Model
from whorl.entries.leaf import entry_id
from whorl.entries.statement import open_entry
from whorl.registry.database_view import DatabaseView
from whorl.registry.entry_rows import PAGE, latest_entries
from whorl.registry.registry_reader import RegistryReader


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredFingerprint:
    """A fingerprint that a registry points to.

    Parameters
    ----------
    entry : id of the model's entry
    name : of the model, as its claimant gives it
    blob : digest under which the fingerprint is stored
    """

    entry: str
    name: str
    blob: str


def registered_fingerprints(registry: RegistryReader) -> list[RegisteredFingerprint]:
    """All fingerprints with the models they were entered for, the first entered first."""
    found: list[RegisteredFingerprint] = []
    before = None
    with registry.database.reading() as connection:
        view = DatabaseView(connection)
        while page := latest_entries(connection, "fingerprint", most=PAGE, before=before):
            before = page[-1][0]
            for _, entry in page:
                if entry.envelope is None:
                    continue
                statement = open_entry(entry.envelope).statement
                model = view.entry(statement.target)
                claim = None if model is None or model.statement is None else model.statement.body
                if isinstance(statement.body, Fingerprint) and isinstance(claim, Model):
                    found.append(
                        RegisteredFingerprint(
                            entry=entry_id(statement.target), name=claim.name, blob=statement.body.blob
                        )
                    )
    return found[::-1]
