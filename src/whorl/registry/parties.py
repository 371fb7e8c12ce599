"""Who is a party to a notice, and which claim a notice makes.

Accusing a model accuses everybody who claims its content, whichever of their entries the notice names: nobody loses
the right to reply because the accuser picked the entry of somebody else.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from whorl.entries.kinds import Dataset, Model, Notice
from whorl.entries.leaf import NO_HASH, entry_id, parse_entry_id
from whorl.entries.statement import Statement
from whorl.registry.view import EntryFacts, View

_CLAIM_TAG: Final = "whorl/claim/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Organisations that a notice concerns, by the leaf hashes of their entries.

    Parameters
    ----------
    accuser : who entered the notice; None where that is not known
    accused : whose entries are spoken of, and who else claims the same content; never the accuser
    by_entry : the accuser and the organisations of all entries that the notice names. These never change
    everyone : all of them. Later claims on the same content can add to these
    """

    accuser: bytes | None
    accused: frozenset[bytes]
    by_entry: frozenset[bytes]
    everyone: frozenset[bytes]

    @property
    def named(self) -> frozenset[bytes]:
        """Who may respond, dispute, and be wronged by the notice: everyone but the accuser."""
        return self.everyone - {self.accuser}


def parties_of(accuser: bytes | None, notice: Statement, view: View) -> Parties:
    """Who is a party to a notice.

    Parameters
    ----------
    accuser : leaf hash of the organisation that entered it, or wants to
    """
    body = notice.body
    if not isinstance(body, Notice):
        raise ValueError(f"a {notice.kind} has no parties")
    spoken_of = [notice.target, *map(parse_entry_id, body.also_named)]
    accused = {_organisation(digest, view) for digest in spoken_of}
    reference = set() if body.reference is None else {_organisation(parse_entry_id(body.reference), view)}
    content = content_of(notice.target, view)
    models = () if content is None else view.models(content)
    twins = {twin.organisation for twin in models if twin.organisation is not None}
    itself = set() if accuser is None else {accuser}
    return Parties(
        accuser=accuser,
        accused=frozenset((accused | twins) - itself),
        by_entry=frozenset(accused | reference | itself),
        everyone=frozenset(accused | twins | reference | itself),
    )


def owners_of(key_ids: Iterable[bytes], view: View) -> frozenset[bytes]:
    """Organisations that registered one of some keys, each in its log, whatever they said of it since.

    That a key was stolen ends what it says of two organisations, and not of what it signed itself: or else its holder
    would be two persons, or no party, as soon as they say so.
    """
    known = (view.key(key_id, origin=log) for key_id in set(key_ids) for log in view.logs_of(key_id))
    return frozenset(key.organisation for key in known if key is not None)


def with_sharing(organisations: Iterable[bytes], view: View) -> frozenset[bytes]:
    """Some organisations, and those that share a key with one of them."""
    own = frozenset(organisations)
    return own.union(*map(view.sharing, own))


def behind(entry: EntryFacts, view: View) -> frozenset[bytes]:
    """Organisations that can be who entered something: its own, those with a key of it, and whose keys signed it."""
    own = frozenset() if entry.organisation is None else frozenset({entry.organisation})
    return with_sharing(own, view) | owners_of({entry.issuer, *entry.signers}, view)


def persons_beside(entries: Iterable[EntryFacts], parties: frozenset[bytes], view: View) -> int:
    """How many persons can have made some entries, those left out that a party can be, too.

    Organisations of two logs that share a key are one person, also where a third one does with both; and what one key
    signed in two logs is by one person.
    """
    persons: list[frozenset[bytes]] = []
    for entry in entries:
        same = behind(entry, view)
        joined = [known for known in persons if not known.isdisjoint(same)]
        persons = [known for known in persons if known.isdisjoint(same)] + [same.union(*joined)]
    beside = with_sharing(parties, view)
    return sum(person.isdisjoint(beside) for person in persons)


def barred_from_ruling(case: EntryFacts, view: View, *, annulling: bool) -> frozenset[bytes]:
    """Whose chamber keys do not count in a case.

    For annulment these are only the organisations whose entries the notice names. They never change: nobody can undo
    an annulment by entering a claim that makes one of its judges a party.
    """
    if case.statement is not None and isinstance(case.statement.body, Notice):
        parties = parties_of(case.organisation, case.statement, view)
        return parties.by_entry if annulling else parties.everyone
    return frozenset() if case.organisation is None else frozenset({case.organisation})


def content_of(digest: bytes, view: View) -> str | None:
    """Content digest of a model or data set, by the hash of its entry; None where it states none."""
    entry = view.entry(digest)
    body = None if entry is None or entry.statement is None else entry.statement.body
    return body.content if isinstance(body, Model | Dataset) else None


def claim_digest(notice: EntryFacts, view: View) -> bytes:
    """What a notice claims: who is accused, and of what. Claims made twice have one digest, whoever makes them.

    The accused one is the content of the model, where its entry states it: another entry of the same model makes no
    other claim. Nor does another accuser: a name and a key are soon had.
    """
    if notice.statement is None or not isinstance(notice.statement.body, Notice):
        raise ValueError("only a notice that can be read makes a claim")
    return claim_about(notice.statement.target, notice.statement.body, view)


def claim_about(accused: bytes, notice: Notice, view: View) -> bytes:
    """Digest of the claim that a notice makes, or would make, about one entry."""
    subject = content_of(accused, view) or entry_id(accused)
    parts = (_CLAIM_TAG, subject, notice.relation or notice.colour)
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _organisation(digest: bytes, view: View) -> bytes:
    """Whose entry it is. Somebody unknown never replies, so that nobody's silence is taken for an answer."""
    entry = view.entry(digest)
    return NO_HASH if entry is None or entry.organisation is None else entry.organisation
