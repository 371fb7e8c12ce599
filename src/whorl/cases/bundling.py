"""The files of a case as a dossier holds them, by their path in it."""

from collections.abc import Mapping
from typing import Final

from whorl.cases.case import CaseView
from whorl.cases.store import CaseStore
from whorl.dossiers.custody import write_chain
from whorl.dossiers.layout import CUSTODY
from whorl.dossiers.references import references

PROTOCOL_RECEIPT: Final = "data/registry/protocol.receipt.json"


def dossier_files(view: CaseView, store: CaseStore) -> Mapping[str, bytes]:
    """The chain and every exhibit that an event names; reports, exports and later receipts are added by their makers.

    Raises
    ------
    InputError
        If an exhibit is missing.
    VerificationError
        If one was altered.
    """
    files = {CUSTODY: write_chain(view.kept)}
    for reference in references(view.events):
        path = PROTOCOL_RECEIPT if reference.path is None else reference.path
        files[path] = store.get(f"sha256:{reference.digest}")
    return files
