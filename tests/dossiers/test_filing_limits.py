"""How much may be filed: never so much that the other side has no room, or that no dossier holds it."""

from datetime import timedelta

import played_case as played
import pytest
from played_case import Play

from whorl.cases.store import MAX_CASE_BYTES, MAX_EXHIBITS
from whorl.core.errors import VerificationError
from whorl.dossiers.archive import MAX_ARCHIVE_BYTES, MAX_ENTRIES
from whorl.dossiers.filing_rules import MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_PROPOSITIONS
from whorl.dossiers.issuing_rules import MAX_REPLIES


def document(case: Play, number: int, *, size: int | None = 1, **changed: object) -> object:
    return played.acquired(f"D-{number}", case.at, digest=played.digest(str(number)), blob=played.digest(str(number)),
                           size=size, **changed)  # fmt: skip


def test_documents_of_one_side_are_counted() -> None:
    case = Play().until("unblinded")
    for number in range(1, MAX_DOCUMENTS + 1):
        case.do("respondent", document(case, number), after=timedelta(0))  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match="rule 12: expected at most 100 documents of 256 MiB together"):
        case.do("respondent", document(case, MAX_DOCUMENTS + 1))  # type: ignore[arg-type]
    for role in ("complainant", "manager"):  # what one side files takes nothing from another
        number = len(case.state.acquired)
        case.do(role, document(case, number, filed_by=role))  # type: ignore[arg-type]


def test_bytes_of_one_side_are_counted() -> None:
    case = Play().until("unblinded")
    case.do("respondent", document(case, 1, size=MAX_DOCUMENT_BYTES - 5))  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match="rule 12: expected at most"):
        case.do("respondent", document(case, 2, size=6))  # type: ignore[arg-type]
    case.do("respondent", document(case, 2, size=5))  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match="rule 12: expected the size of the document D-3"):
        case.do("manager", document(case, 3, size=None, filed_by="manager"))  # type: ignore[arg-type]


def test_what_the_manager_files_for_somebody_takes_no_room_of_theirs() -> None:
    case = Play().until("unblinded")
    case.do("manager", document(case, 1, size=MAX_DOCUMENT_BYTES))  # type: ignore[arg-type]
    case.do("respondent", document(case, 2, size=MAX_DOCUMENT_BYTES))  # type: ignore[arg-type]


def test_propositions_and_answers_are_counted() -> None:
    case = Play().until("opened")
    for number in range(1, MAX_PROPOSITIONS + 1):
        case.do("complainant", played.proposed(played.proposition(number)))
    with pytest.raises(VerificationError, match="rule 7: expected at most 40 propositions of the complainant's side"):
        case.do("complainant", played.proposed(played.proposition(MAX_PROPOSITIONS + 1)))
    case.do("respondent", played.proposed(played.theirs(99)))
    answers = Play().until("unblinded")
    for _ in range(MAX_REPLIES):
        answers.do("respondent", played.responded())
    with pytest.raises(VerificationError, match="rule 18: expected at most 10 answers"):
        answers.do("respondent", played.responded())


def test_a_case_that_is_full_still_fits_into_a_dossier() -> None:
    beside = 512 << 20  # chain, catalogue, manifest, report and exports
    assert MAX_CASE_BYTES + beside <= MAX_ARCHIVE_BYTES
    assert 3 * MAX_DOCUMENT_BYTES <= MAX_CASE_BYTES // 2
    assert MAX_EXHIBITS + 4000 <= MAX_ENTRIES
