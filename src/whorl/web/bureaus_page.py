"""What the page of the bureaus shows: who they are, how far each mirror is, and what was caught."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.entries.kinds import Policy
from whorl.log.keys import parse_vkey
from whorl.log.tree_heads import open_tree_head
from whorl.registry.database_view import DatabaseView
from whorl.registry.federation import BureauCard, forks_of, peers_of
from whorl.registry.local import LocalRegistry
from whorl.registry.log_rows import StoredLog, stored_logs

_NOW: Final = 2**62  # beyond every index: the policy in force now


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorCard:
    """A bureau and this one's mirror of its log.

    Parameters
    ----------
    held, signed : entries that are held, and those under its newest tree head that was checked; None where none was
    signed_at : the time that its log states in that tree head
    """

    card: BureauCard
    held: int
    signed: int | None
    signed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BureausPage:
    """All that the page shows."""

    own: str
    own_size: int
    peers: tuple[MirrorCard, ...]
    policy: Policy | None
    witnesses: int
    quorum: int
    alarms: tuple[tuple[str, str], ...]
    forks: tuple[tuple[str, int], ...]


def bureaus_page(registry: LocalRegistry, *, alarms: Sequence[tuple[str, str]]) -> BureausPage:
    """Gather what this bureau knows of the others.

    Parameters
    ----------
    alarms : origins of logs that were caught since the service began, and what with
    """
    with registry.database.reading() as connection:
        held = {log.origin: log for log in stored_logs(connection)}
        policy = DatabaseView(connection).policy(registry.origin, _NOW)
    own = held.get(registry.origin)
    settings = registry.home.settings
    return BureausPage(
        own=registry.origin,
        own_size=0 if own is None else own.size,
        peers=tuple(_mirror(card, held.get(card.origin)) for card in peers_of(registry)),
        policy=policy,
        witnesses=len(settings.witnesses),
        quorum=settings.quorum,
        alarms=tuple(alarms),
        forks=tuple((name, len(proof)) for name, proof in forks_of(registry).items()),
    )


def _mirror(card: BureauCard, log: StoredLog | None) -> MirrorCard:
    bare = MirrorCard(card=card, held=0 if log is None else log.size, signed=None, signed_at=None)
    if log is None or log.head is None:
        return bare
    try:
        head = open_tree_head(log.head, origin=card.origin, log_keys=[parse_vkey(key) for key in card.log_keys])
    except (InputError, VerificationError):
        return bare
    stated = [one.at for one in head.signed if one.at is not None]
    at = datetime.fromtimestamp(max(stated), UTC) if stated else None
    return MirrorCard(card=card, held=bare.held, signed=head.head.size, signed_at=at)
