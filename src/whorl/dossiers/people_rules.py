"""Rules of a case about who takes part, under which names, and what is said before anything is examined.

As in `whorl.dossiers.preparing_rules`: the state before, the body, the state after or a refusal.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from whorl.core.errors import VerificationError
from whorl.dossiers.custody import Record
from whorl.dossiers.events import LATER_ROLES, REQUIRED_ROLES, Joined, Opened, Party
from whorl.dossiers.naming import reads_like, require_drawn, require_plain, twins
from whorl.dossiers.state import State
from whorl.dossiers.wording import require_fair


def open_case(state: State, body: Opened, record: Record) -> State:
    """Rules 3 to 5: every role that a case needs, one person and one key for each, opened by the manager."""
    roles = Counter(party.role for party in body.parties)
    if missing := [role for role in REQUIRED_ROLES if not roles[role]]:
        raise VerificationError(
            f"rule 3: expected somebody in every role a case needs, found no {missing[0]}; name one"
        )
    if roles["manager"] > 1:
        raise VerificationError(f"rule 3: expected one manager, found {roles['manager']}; choose one")
    _require_one_role_each(body.parties)
    parties = {party.id: party for party in body.parties}
    opener = parties.get(record.actor)
    if opener is None or opener.role != "manager":
        raise VerificationError("rule 5: expected a case opened with the manager's key, found another; use theirs")
    for party in body.parties:
        require_plain(party.name, where=f"rule 8: name of the {party.role}")
    _require_fair_opening(body)
    return replace(state, stage="opened", manager=record.actor, parties=parties, opened=body)


def join(state: State, body: Joined, _record: Record) -> State:
    """Rules 3 and 4, for those who come later."""
    party = body.party
    if party.role not in LATER_ROLES:
        raise VerificationError(
            f"rule 3: expected a {' or '.join(LATER_ROLES)} to join later, found a {party.role}; those in the other "
            "roles are named when the case is opened"
        )
    require_plain(party.name, where=f"rule 8: name of the {party.role}")
    _require_one_role_each((*state.parties.values(), party))
    return replace(state, parties={**state.parties, party.id: party})


def _require_fair_opening(body: Opened) -> None:
    """Rule 8: whatever is said before anything was examined."""
    for where, text in (
        ("title", body.title),
        ("question", body.question),
        ("facts of licence", body.licence),
        ("funding", body.funding),
    ):
        require_fair(text, where=f"rule 8: {where}")
    require_drawn(body.title, where="rule 8: title")
    for where, model in (("questioned", body.questioned), ("reference", body.reference)):
        require_plain(model.name, where=f"rule 8: name of the {where} model")
    if twins((body.questioned.name, body.reference.name)):
        raise VerificationError(
            "rule 8: expected two models whose names can be told apart, found two that read alike; add a version"
        )


def _require_one_role_each(parties: Iterable[Party]) -> None:
    """Rule 4: one person, one role, one set of keys."""
    names: set[str] = set()
    keys: set[str] = set()
    for party in parties:
        name = reads_like(party.name)
        if name in names or not keys.isdisjoint(party.keys):
            raise VerificationError(
                f"rule 4: expected one role for each person and each key, found {party.name!r} or a key of theirs "
                "twice; an analyst is no manager, party or reviewer of the same case"
            )
        names.add(name)
        keys.update(party.keys)
