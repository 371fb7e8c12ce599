"""A bureau among others: its card, the peers it knows, and one look at all of them.

Each bureau mirrors every other one and cosigns what it has checked (`whorl.registry.mirroring`). Nothing is pushed:
a peer that wants a cosignature is looked at first, so an annulment is held by every peer that cosigned it before
whoever entered it has a receipt. What a bureau shows to others is compared too, through the tree heads that they
cosigned.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.entries.kinds import Bureau, HashHex, Jurisdiction, Origin, Policy
from whorl.entries.names import Name
from whorl.log.keys import Verifier, parse_vkey
from whorl.log.monitoring import Monitor, SplitViewError
from whorl.log.witnessing import Witness
from whorl.registry.database_view import DatabaseView
from whorl.registry.home import HomeFile, WitnessAddress, write_settings
from whorl.registry.key_rows import find_organisation
from whorl.registry.local import LocalRegistry, entered
from whorl.registry.log_rows import stored_log
from whorl.registry.mirror_witness import MirrorWitness
from whorl.registry.mirroring import Followed, Mirror, MirrorError, Peer, pull_all
from whorl.registry.registry_reader import RegistryReader

_CARDS: Final = "peers.json"
_MAX_BYTES: Final = 1 << 20
_LOG: Final = logging.getLogger(__name__)


class BureauCard(StoredDocument):
    """What a bureau tells others of itself; they decide whether to believe it, by another way than this file."""

    schema_: Literal["whorl.bureau-card/1"] = Field(default="whorl.bureau-card/1", alias="schema")
    origin: Origin
    name: Name
    jurisdiction: Jurisdiction
    url: Annotated[str, Field(pattern=r"^https?://[\x21-\x7e]{1,300}$", description="where its service answers")]
    log_keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=4)]
    witness_keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]
    organisation: HashHex = Field(description="id of the first root key of the organisation that runs it")

    def as_bureau(self) -> Bureau:
        """How a policy names it."""
        return Bureau(
            origin=self.origin,
            jurisdiction=self.jurisdiction,
            log_keys=self.log_keys,
            organisation=self.organisation,
        )

    def verifiers(self) -> list[Verifier]:
        """The keys of its log."""
        return [parse_vkey(key) for key in self.log_keys]


class Cards(StoredDocument):
    """``peers.json``: the bureaus that this one knows."""

    schema_: Literal["whorl.peers/1"] = Field(default="whorl.peers/1", alias="schema")
    peers: Annotated[tuple[BureauCard, ...], Field(max_length=64)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of looking at one peer.

    Parameters
    ----------
    size : entries of its log that are held and checked
    problem : why it could not be followed; None if it could
    caught : whether the problem is one that the peer has to answer for
    """

    origin: str
    size: int
    problem: str | None = None
    caught: bool = False


def card_of(registry: LocalRegistry, *, url: str) -> BureauCard:
    """This bureau's own card.

    Parameters
    ----------
    url : where its service answers
    """
    key = registry.home.bureau_key()
    with registry.database.reading() as connection:
        known = DatabaseView(connection).key(key.id, origin=registry.origin)
        found = None if known is None else find_organisation(connection, known.organisation)
    assert found is not None
    return BureauCard(
        origin=registry.origin,
        name=found.name,
        jurisdiction=found.jurisdiction,
        url=url,
        log_keys=registry.home.settings.log_keys,
        witness_keys=tuple(signer.verifier.vkey for signer in registry.home.witness_signers()),
        organisation=key.id.hex(),
    )


def parse_card(data: bytes, *, origin: str) -> BureauCard:
    """Read a card.

    Raises
    ------
    InputError
        If it is none.
    """
    parse_json_object(data, what=origin, max_bytes=_MAX_BYTES)
    try:
        card = BureauCard.model_validate_json(data)
    except ValidationError as error:
        raise InputError(f"{origin}: expected a bureau's card, found fault with {first_fault(error)}") from None
    for key in (*card.log_keys, *card.witness_keys):
        parse_vkey(key)
    return card


def peers_of(registry: RegistryReader) -> tuple[BureauCard, ...]:
    """The bureaus that this one knows."""
    path = registry.home.path / _CARDS
    if not path.exists():
        return ()
    data = path.read_bytes()
    parse_json_object(data, what=str(path), max_bytes=_MAX_BYTES)
    try:
        return Cards.model_validate_json(data).peers
    except ValidationError:
        raise InputError(f"{path}: expected the cards of peers, found something else; restore it") from None


def add_peers(registry: LocalRegistry, cards: Sequence[BureauCard], *, quorum: int) -> None:
    """Know further bureaus: as witnesses of this log, as logs to mirror, and as peers in a new policy entry.

    Parameters
    ----------
    quorum : how many witnesses a tree head of this log needs from now on

    Raises
    ------
    InputError
        If one is this bureau itself, or the quorum is larger than the number of witnesses.
    """
    known = {card.origin: card for card in (*peers_of(registry), *cards)}
    if registry.origin in known:
        raise InputError(f"expected other bureaus, found the card of {registry.origin}, which is this one")
    if quorum > len(known):
        raise InputError(f"expected a quorum of at most {len(known)} witnesses, found {quorum}")
    chosen = tuple(known[origin] for origin in sorted(known))
    change_policy(registry, {"peers": tuple(card.as_bureau().model_dump() for card in chosen)})
    cards_file = json.dumps(json.loads(Cards(peers=chosen).model_dump_json()), indent=1, ensure_ascii=False)
    write_durably(registry.home.path / _CARDS, cards_file.encode() + b"\n")
    witnesses = tuple(
        WitnessAddress(
            name=card.origin.replace("/", "."), keys=card.witness_keys, url=f"{card.url.rstrip('/')}/witness"
        )
        for card in chosen
    )
    settings = registry.home.settings.model_copy(update={"witnesses": witnesses, "quorum": quorum})
    registry.home = registry.home.with_settings(HomeFile.model_validate(settings.model_dump(by_alias=True)))
    write_settings(registry.home)


def change_policy(registry: LocalRegistry, changes: Mapping[str, object]) -> None:
    """Enter a new policy that differs from the present one in some fields.

    Raises
    ------
    InputError
        If it is no policy then, or the rules refuse it.
    """
    with registry.database.reading() as connection:
        log = stored_log(connection, registry.origin)
        assert log is not None
        policy = DatabaseView(connection).policy(registry.origin, log.size)
    assert policy is not None
    try:
        changed = Policy.model_validate(policy.model_dump() | dict(changes))
    except ValidationError as error:
        raise InputError(f"expected a policy, found fault with {first_fault(error)}") from None
    entered(registry.sequencer.enter_own([changed])[0])


class Federation:
    """This bureau's mirrors of others, its witness, and its memory of what they showed.

    Parameters
    ----------
    connect : opens a peer by its card
    latest : fetches the tree head of a log that a peer cosigned last: (the peer's card, origin of the log) -> note
    """

    def __init__(
        self,
        registry: LocalRegistry,
        *,
        connect: Callable[[BureauCard], Peer],
        latest: Callable[[BureauCard, str], bytes | None],
    ) -> None:
        self._registry = registry
        self._latest = latest
        self._cards = {card.origin: card for card in peers_of(registry)}
        folder = registry.home.path
        (folder / "seen").mkdir(exist_ok=True)
        keys = {origin: card.verifiers() for origin, card in self._cards.items()}
        self._followed = {
            origin: Followed(mirror=self._mirror(folder / "mirrors", card), peer=connect(card))
            for origin, card in self._cards.items()
        }
        self._monitors = {
            origin: Monitor(folder / "seen", origin=origin, log_keys=keys[origin]) for origin in self._cards
        }
        self.alarms: list[tuple[str, str]] = []
        self.witness = MirrorWitness(
            Witness(folder / "witness", registry.home.witness_signers(), keys), self._followed, alarm=self._alarm
        )

    def mirror(self, origin: str) -> Mirror | None:
        """The mirror of a log; None for one that is not followed."""
        followed = self._followed.get(origin)
        return None if followed is None else followed.mirror

    def sync(self) -> list[Look]:
        """Look at every peer: hold what is new, check it, and compare what they show with what they showed others."""
        return [self._look(origin) for origin in self._cards]

    def _look(self, origin: str) -> Look:
        followed = self._followed[origin]
        try:
            self._monitors[origin].observe(followed.peer.log)
            for other, card in self._cards.items():
                if other != origin and (note := self._shown_to(card, origin)) is not None:
                    self._monitors[origin].consider(note, followed.peer.log)
            pull_all(origin, self._followed)
        except (MirrorError, SplitViewError) as problem:
            self._alarm(origin, str(problem))
            return Look(origin=origin, size=followed.mirror.log.size, problem=str(problem), caught=True)
        except (InputError, VerificationError, OSError) as problem:
            _LOG.warning("the bureau %s could not be followed: %s", origin, problem)
            return Look(origin=origin, size=followed.mirror.log.size, problem=str(problem))
        return Look(origin=origin, size=followed.mirror.log.size)

    def _shown_to(self, card: BureauCard, origin: str) -> bytes | None:
        try:
            return self._latest(card, origin)
        except (InputError, VerificationError, OSError) as problem:
            _LOG.warning("the bureau %s does not say what it cosigned: %s", card.origin, problem)
            return None

    def _alarm(self, origin: str, problem: str) -> None:
        _LOG.error("the bureau %s was caught: %s", origin, problem)
        if (origin, problem) not in self.alarms:
            self.alarms.append((origin, problem))

    def _mirror(self, folder: Path, card: BureauCard) -> Mirror:
        return Mirror(
            self._registry.database,
            folder,
            self._registry.blobs,
            origin=card.origin,
            log_keys=card.verifiers(),
            own_origin=self._registry.origin,
            now=self._registry.now,
        )


def forks_of(registry: LocalRegistry) -> Mapping[str, bytes]:
    """The proofs of forks that this bureau holds, by file name; anybody can check them."""
    folders = (registry.home.path / "seen", registry.home.path / "witness")
    proofs = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("fork-*.proof"))]
    return {path.name: path.read_bytes() for path in proofs}
