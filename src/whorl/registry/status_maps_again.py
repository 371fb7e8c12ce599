"""Status maps made again, each from the entries before it."""

from typing import Final

from sqlalchemy import Connection

from whorl.entries.kinds import Key, StatusMapHead
from whorl.entries.statement import SignedEntry
from whorl.entries.status_map import StatusMap
from whorl.registry.database_view import facts_of
from whorl.registry.spoken_against import covered_sizes, spoken_against
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.view import SPEAKING
from whorl.registry.votes import revoked_key

MAP_READS: Final = 2_000_000  # rows read for status maps, beyond which only the last one is made again


class StatusMapsAgain:
    """Status maps made again, each from what was told before it; one is good until something is said again."""

    def __init__(self, scratch: Connection, own: str) -> None:
        self._scratch = scratch
        self._own = own
        self._speaking = 0
        self._stolen: set[tuple[str, bytes]] = set()
        self._spoken_of: set[bytes] = set()
        self._read = 0
        self._last: tuple[str, int] | None = None

    def watch(self, entry: StoredEntry, signed: SignedEntry | None) -> None:
        """Notice an entry that may speak against others, or of which one spoke before it came."""
        if not entry.stands:
            return
        leaf = entry.read_leaf()
        body = None if signed is None else signed.statement.body
        revoking = entry.fault is None and isinstance(body, Key) and body.compromised_since is not None
        speaking = entry.kind in SPEAKING and bool(entry.signers)
        if speaking:
            self._spoken_of.add(leaf.target)
        if speaking or revoking or (entry.origin, leaf.issuer) in self._stolen:
            self._speaking += 1
            self._last = None
        if entry.hash in self._spoken_of:
            self._last = None
        if revoking:
            key_id = revoked_key(facts_of(entry))
            assert key_id is not None
            self._stolen.add((entry.origin, key_id))

    def made_again(self, body: StatusMapHead, held: dict[str, int], *, must: bool) -> tuple[str, int] | None:
        """Root and size of a map; None where it would be too much work.

        Parameters
        ----------
        held : sizes of the logs before the map
        must : make it in any case
        """
        sizes = covered_sizes(self._own, body)
        everything = sizes == held
        if everything and self._last is not None:
            return self._last
        if self._read + self._speaking > MAP_READS and not must:
            return None
        self._read += self._speaking
        status_map = StatusMap(spoken_against(self._scratch, until=sizes))
        made = status_map.root.hex(), status_map.size
        self._last = made if everything else None
        return made
