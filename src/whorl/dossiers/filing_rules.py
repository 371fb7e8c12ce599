"""Rules of a case about what the parties file: propositions and documents, and how much of them.

As in `whorl.dossiers.preparing_rules`: the state before, the body, the state after or a refusal.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from whorl.core.errors import VerificationError
from whorl.dossiers.custody import Record
from whorl.dossiers.events import ALTERNATIVES, Acquired, Proposed, Proposition, Role
from whorl.dossiers.naming import require_plain
from whorl.dossiers.state import State, time_of
from whorl.dossiers.wording import require_fair

_SIDES: dict[Role, str] = {"complainant": "complainant", "respondent": "respondent"}
MAX_PROPOSITIONS: Final = 40
"""Of either side, in the whole case."""
MAX_DOCUMENTS: Final = 100
MAX_DOCUMENT_BYTES: Final = 1 << 28
"""Documents of one side or of the manager, and their bytes together: three times this fits into a dossier, with room
for the exhibits of a line-up, and nobody can use up the others' room."""


def propose(state: State, body: Proposed, record: Record) -> State:
    """Rules 7 and 8: each side speaks for itself, of sources only, in words that evidence can bear."""
    role = state.parties[record.actor].role
    for proposition in body.propositions:
        if _SIDES.get(role, proposition.side) != proposition.side:
            raise VerificationError(
                f"rule 7: expected propositions of the {role}'s own side, found {proposition.id!r} for the other side"
            )
    require_propositions(state, body.propositions)
    return replace(state, stage="proposed", propositions=(*state.propositions, *body.propositions))


def require_propositions(state: State, new: Iterable[Proposition]) -> None:
    """Rules 7 and 8 for propositions, whoever files them and whenever."""
    filed = [*state.propositions, *(one for response in state.responses for one in response.alternatives)]
    taken, sides = {one.id for one in filed}, Counter(one.side for one in filed)
    for proposition in new:
        if proposition.id in taken:
            raise VerificationError(
                f"rule 7: expected a new id for each proposition, found {proposition.id!r} again; choose another"
            )
        taken.add(proposition.id)
        sides[proposition.side] += 1
        if sides[proposition.side] > MAX_PROPOSITIONS:
            raise VerificationError(
                f"rule 7: expected at most {MAX_PROPOSITIONS} propositions of the {proposition.side}'s side, found more"
            )
        if (proposition.side == "respondent") != (proposition.alternative in ALTERNATIVES):
            raise VerificationError(
                f"rule 7: expected derived or learned_from on the complainant's side and an alternative to them on "
                f"the respondent's, found {proposition.alternative} of the {proposition.side} in {proposition.id!r}"
            )
        require_fair(proposition.statement, where=f"rule 8: proposition {proposition.id!r}")


def acquire_document(state: State, body: Acquired, record: Record) -> State:
    """Rule 12 for documents: filed by a party for itself or by the manager, within the window, and not too many."""
    role = state.parties[record.actor].role
    if role not in ("manager", "complainant", "respondent"):
        raise VerificationError(f"rule 12: expected documents filed by a party or the manager, found a {role}")
    if role in _SIDES and body.filed_by != role:
        raise VerificationError(f"rule 12: expected a document filed by the {role} to say so, found {body.filed_by}")
    if role in _SIDES and state.reply_until is not None and time_of(record.at) > state.reply_until:
        raise VerificationError(
            f"rule 12: expected documents of the parties until {state.reply_until:%Y-%m-%dT%H:%M:%SZ}, found one at "
            f"{record.at}; it can be part of an appeal"
        )
    if body.access != "document" or body.title is None or body.blob != body.digest:
        raise VerificationError(
            f"rule 12: expected the document {body.code} with a title and kept byte for byte, found otherwise"
        )
    require_plain(body.title, where=f"rule 8: title of {body.code}")  # which can come to stand in an opinion
    if again := [one.code for one in state.acquired if one.access == "document" and one.digest == body.digest]:
        raise VerificationError(
            f"rule 12: expected each exhibit once, found the document {again[0]} filed again as {body.code}; name "
            f"{again[0]} in the reply instead"
        )
    if body.size is None:
        raise VerificationError(f"rule 12: expected the size of the document {body.code}, found none")
    require_room(state, role, body.size)
    return replace(state, acquired=(*state.acquired, body), filed=(*state.filed, (role, body.size)), review=None)


def require_room(state: State, role: Role, size: int) -> None:
    """Rule 12: what one side files leaves room for the other, and for a dossier that can be opened.

    Parameters
    ----------
    role : of whoever files
    size : of the document, in bytes
    """
    theirs = [taken for who, taken in state.filed if who == role]
    if len(theirs) >= MAX_DOCUMENTS or sum(theirs) + size > MAX_DOCUMENT_BYTES:
        raise VerificationError(
            f"rule 12: expected at most {MAX_DOCUMENTS} documents of {MAX_DOCUMENT_BYTES >> 20} MiB together from the "
            f"{role}'s side, found more; file extracts, and the digests of what they are from"
        )
