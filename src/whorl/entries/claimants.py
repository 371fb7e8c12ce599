"""Whose key signed an entry: the organisation that entered it, as far as the log can tell.

An organisation introduces its root keys in its own entry and adds signing keys by further ones, signed by a threshold
of its roots. Each key signs the entry that makes it known, too: nobody puts the key of somebody else under their name.
That shows who signed, under the name they gave themselves; it does not show that the name is theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whorl.core.errors import InputError, VerificationError
from whorl.entries.envelope import signed_by
from whorl.entries.keys import PublicKey, parse_public
from whorl.entries.kinds import IssuerPublic, Key, Organisation, Role
from whorl.entries.leaf import NO_HASH, entry_id
from whorl.entries.statement import SignedEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenStatement:
    """A statement whose leaf is proven to be in a log, at an index."""

    hash: bytes
    origin: str
    index: int
    entry: SignedEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who signed an entry.

    Parameters
    ----------
    organisation : id of the organisation's entry
    keys : those of the issuer, all of which must have signed
    roles : what the key may sign for; None for a root key, which may sign for everything
    """

    organisation: str
    name: str
    jurisdiction: str
    keys: tuple[PublicKey, ...]
    roles: tuple[Role, ...] | None


def issuer_keys(public: IssuerPublic) -> tuple[PublicKey, ...]:
    """The keys of an issuer as an entry states them.

    Raises
    ------
    InputError
        If one is malformed, or of another algorithm than its field says.
    """
    keys = tuple(parse_public(text) for text in (public.ed25519, public.mldsa44) if text is not None)
    expected = ("ed25519", "mldsa44")[: len(keys)]
    if tuple(key.algorithm for key in keys) != expected:
        raise InputError("expected an Ed25519 key and beside it an ML-DSA-44 key, found other algorithms")
    return keys


def require_roots(entry: SignedEntry, organisation: Organisation) -> frozenset[bytes]:
    """Check that a threshold of an organisation's roots signed, each with all of its keys; give the roots' ids.

    Raises
    ------
    VerificationError
        If fewer did.
    """
    complete = complete_signers(entry, map(issuer_keys, organisation.roots))
    if len(complete) < organisation.threshold:
        raise VerificationError(
            f"expected signatures of {organisation.threshold} root keys of {organisation.name!r}, found "
            f"{len(complete)} that are complete"
        )
    return complete


def require_possession(entry: SignedEntry, introduced: Sequence[IssuerPublic]) -> None:
    """Check that every key which an entry makes known signed it: all roots of an organisation, a key that is added.

    Raises
    ------
    VerificationError
        If one did not, with its ML-DSA-44 key too where it has one.
    """
    missing = len(introduced) - len(complete_signers(entry, map(issuer_keys, introduced)))
    if missing:
        raise VerificationError(
            f"expected every key that an entry makes known to sign it, found {missing} of {len(introduced)} that did "
            "not: whoever entered it may not have had them"
        )


def complete_signers(entry: SignedEntry, issuers: Iterable[Sequence[PublicKey]]) -> frozenset[bytes]:
    """Ids of those issuers who signed with all of their keys: leaving out the ML-DSA-44 one is a downgrade.

    Raises
    ------
    VerificationError
        If one of the keys is named with a signature that is not its own.
    """
    wanted = list(issuers)
    signed = signed_by(entry.envelope, [key for keys in wanted for key in keys])
    return frozenset(keys[0].id for keys in wanted if all(key.id in signed for key in keys))


def claimant_of(proven: ProvenStatement, authority: Sequence[ProvenStatement]) -> Claimant:
    """Whose key issued an entry.

    Parameters
    ----------
    authority : the organisation's entry, and the entry of the key, if that is no root key; none are needed for an
        organisation's own entry

    Raises
    ------
    VerificationError
        If no organisation among them introduced the key before the entry was made, in the same log.
    """
    statement = proven.entry.statement
    candidates = (proven, *authority) if isinstance(statement.body, Organisation) else tuple(authority)
    for one in candidates:
        body = one.entry.statement.body
        if not isinstance(body, Organisation) or not _may_vouch(one, proven):
            continue
        require_possession(one.entry, body.roots)
        found = _root(body, statement.issuer)
        roles: tuple[Role, ...] | None = None
        if found is not None and one is not proven and body.threshold > 1:
            require_roots(proven.entry, body)
        if found is None:
            added = _added(statement.issuer, one, body, proven, authority)
            found, roles = (None, None) if added is None else added
        if found is not None:
            return Claimant(
                organisation=entry_id(one.hash),
                name=body.name,
                jurisdiction=body.jurisdiction,
                keys=found,
                roles=roles,
            )
    raise VerificationError(
        f"step 3: expected the entries that introduce the key {statement.issuer.hex()[:16]}... and its organisation, "
        "found none; fetch the receipt again"
    )


def _may_vouch(one: ProvenStatement, proven: ProvenStatement) -> bool:
    """Authority stands in the same log and before the entry; an organisation's entry vouches for itself."""
    if one is proven:
        return one.entry.statement.target == NO_HASH
    return one.index < proven.index and one.origin == proven.origin


def _root(body: Organisation, issuer: bytes) -> tuple[PublicKey, ...] | None:
    return _with_id(issuer, (issuer_keys(root) for root in body.roots))


def _added(
    issuer: bytes,
    organisation: ProvenStatement,
    body: Organisation,
    proven: ProvenStatement,
    authority: Sequence[ProvenStatement],
) -> tuple[tuple[PublicKey, ...], tuple[Role, ...]] | None:
    for one in authority:
        key = one.entry.statement.body
        if (
            isinstance(key, Key)
            and key.action == "add"
            and one.entry.statement.target == organisation.hash
            and _may_vouch(one, proven)
            and (found := _with_id(issuer, [issuer_keys(key.public)])) is not None
        ):
            require_roots(one.entry, body)
            require_possession(one.entry, [key.public])
            return found, key.roles
    return None


def _with_id(issuer: bytes, candidates: Iterable[tuple[PublicKey, ...]]) -> tuple[PublicKey, ...] | None:
    return next((keys for keys in candidates if keys[0].id == issuer), None)
