"""Who may read what an entry says: its handling label, and for a notice whether it is published.

A leaf, a place in the log and a standing are for everybody. What an entry says is for whoever its label allows; what a
notice says, as long as it is not published, for the parties and for bureaus, who must judge it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from whorl.entries.handling import may_see
from whorl.entries.statement import open_entry
from whorl.registry.notices import notice_standing
from whorl.registry.parties import parties_of
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import EntryFacts, KeyFacts, View

Withheld: TypeAlias = Literal["sealed", "not_here", "handling", "notice_not_published"]
"""Why content is not shown: sealed; erased or not held; not for this reader; a notice that is not published."""

_NOW: Final = 2**62  # beyond every index: the policy in force now


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who asks.

    Parameters
    ----------
    organisation : leaf hash of the organisation that was shown to ask; None for somebody unknown
    names : how handling labels name it: ids of its root keys and, for a bureau, its log's origin
    is_bureau : whether the policy in force names it as this registry's bureau or as a peer
    """

    organisation: bytes | None = None
    names: frozenset[str] = frozenset()
    is_bureau: bool = False


ANYBODY: Final = Reader()


def reader_for(organisation: bytes, view: View, *, origin: str) -> Reader:
    """The reader that an organisation is, by all its root keys, each of which signed that it is one.

    A root key names it no more once another organisation, in another log, says that this key was stolen from it.

    Parameters
    ----------
    origin : this registry's log, whose policy says who is a bureau
    """
    facts = view.organisation(organisation)
    if facts is None:
        return ANYBODY
    policy = view.policy(origin, _NOW)
    bureaus = () if policy is None else (policy.bureau, *policy.peers)
    is_bureau = any((one.origin, one.organisation) == (facts.origin, facts.roots[0].hex()) for one in bureaus)
    own = {root.hex() for root in facts.roots if not _is_stolen_elsewhere(root, facts.origin, view)}
    names = own | ({facts.origin} if is_bureau else set())
    return Reader(organisation=facts.hash, names=frozenset(names), is_bureau=is_bureau)


def peer_reader(key_id: bytes, view: View, *, origin: str) -> Reader | None:
    """The reader that a peer is, by the id of its first root key, before its log is mirrored here; None if it is none.

    Parameters
    ----------
    origin : this registry's log, whose policy names its peers
    """
    policy = view.policy(origin, _NOW)
    for peer in () if policy is None else policy.peers:
        if peer.organisation == key_id.hex():
            return Reader(names=frozenset({peer.organisation, peer.origin}), is_bureau=True)
    return None


def requesting_key(key_id: bytes, view: View, *, origin: str) -> KeyFacts | None:
    """The key under which a request is signed: one of this registry's log, or else of one that is mirrored here.

    Where a key is known in several logs it asks for one organisation alone, with the rights of that one: this
    registry's own log goes before others, and those in order. Whether the key is in force is asked of that log.

    Parameters
    ----------
    origin : this registry's own log
    """
    found = [(log, view.key(key_id, origin=log)) for log in view.logs_of(key_id)]
    known = [(log, key) for log, key in found if key is not None]
    peer = peer_reader(key_id, view, origin=origin)
    if peer is not None:  # a peer's key asks for the peer, whether its log is mirrored here already or not
        known = [(log, key) for log, key in known if log in peer.names]
    return min(known, key=lambda one: one[0] != origin, default=(origin, None))[1]


def _is_stolen_elsewhere(key_id: bytes, origin: str, view: View) -> bool:
    """Whether somebody in another log says that a key was stolen from them: a thief must not read what is for them."""
    known = (view.key(key_id, origin=log) for log in view.logs_of(key_id) if log != origin)
    return any(key is not None and key.compromised_since is not None for key in known)


_ADDING: Final = frozenset({"response", "status"})


def withheld(entry: EntryFacts, reader: Reader, view: View, *, at: datetime) -> Withheld | None:
    """Why a reader may not see what an entry says; None if they may."""
    statement = entry.statement
    if statement is None:
        return "sealed" if entry.kind is None else "not_here"
    own = reader.organisation is not None and reader.organisation == entry.organisation
    readers: set[str | None] = {None, *reader.names}
    if not own and not any(
        may_see(statement.handling, reader=name, issuer=statement.issuer.hex(), is_bureau=reader.is_bureau)
        for name in readers
    ):
        return "handling"
    notice = entry if entry.kind == "notice" else _added_to(entry, view)
    if notice is None or own or reader.is_bureau or notice_standing(notice, view, at=at).may_show_text:
        return None
    if notice.statement is None:
        return "notice_not_published"
    parties = parties_of(notice.organisation, notice.statement, view)
    return None if reader.organisation in parties.everyone else "notice_not_published"


def _added_to(entry: EntryFacts, view: View) -> EntryFacts | None:
    """The notice to which its own author says more: an answer to a dispute, a reason for taking it back."""
    if entry.kind not in _ADDING or entry.statement is None:
        return None
    about = view.entry(entry.statement.target)
    if about is not None and about.kind == "dispute" and about.statement is not None:
        about = view.entry(about.statement.target)
    if about is None or about.kind != "notice" or about.organisation != entry.organisation:
        return None
    return about


def has_sealed(stored: StoredEntry, reader: Reader, view: View) -> bool:
    """Whether a reader is who had a sealed entry sealed, which its leaf does not show."""
    if stored.kind is not None or stored.envelope is None or reader.organisation is None:
        return False
    key = view.key(open_entry(stored.envelope).statement.issuer, origin=stored.origin)
    return key is not None and key.organisation == reader.organisation
