"""The issuer's side: a key, a memory of how far its chain has come, and the next signed entry.

The memory lies beside the key. A registry that names an earlier end of the chain than this issuer remembers has lost
an entry that it acknowledged, or shows somebody an older state: nothing is signed then, for the next entry would be a
second one with the same number, which anybody can hold against the issuer.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.entries.composing import compose
from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey, new_issuer_key, write_key_file
from whorl.entries.kinds import Body, IssuerPublic, Model, Organisation
from whorl.entries.leaf import NO_HASH, SALT_BYTES
from whorl.entries.statement import open_entry
from whorl.entries.stating import stated
from whorl.registry.blobs import Blob
from whorl.registry.home import read_issuer_key
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Entered, Outcome, Submission

UNNAMED: Final = "Unnamed claimant"

_MEMORY_BYTES: Final = 1 << 16


class RegistryAccess(Protocol):
    """A registry to write to: a folder here, or a service elsewhere."""

    @property
    def origin(self) -> str:
        """Origin of the registry's log."""

    def chain(self, issuer: bytes) -> tuple[int, bytes] | None:
        """Sequence number and leaf hash of an issuer's last entry, as the registry tells it."""

    def organisation_of(self, issuer: bytes) -> bytes | None:
        """Leaf hash of the organisation that a key belongs to; None where the key is not known."""

    def claimant_of(self, issuer: bytes) -> str | None:
        """Name of the organisation that a key belongs to; None where the key is not known."""

    def enter(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Enter signed envelopes, in their order."""

    def same_entry(self, body: Model, *, issuer: bytes) -> bytes | None:
        """Leaf hash of the entry by which a key made the same claim about a model already."""

    def put_blob(self, pieces: Iterable[bytes], *, expected: str | None = None) -> Blob:
        """Store what an entry will point to, before it is entered."""

    def receipt(self, digest: bytes) -> bytes:
        """The receipt of an entry, as a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """Something to be entered: what it says, about which entry, and who may see it.

    Parameters
    ----------
    target : leaf hash of the entry that it speaks of
    about : instead of that, the place among the entries issued together of the one that it speaks of
    sealed : enter it so that neither kind nor issuer shows; it stands in no chain then
    """

    body: Body
    target: bytes = NO_HASH
    about: int | None = None
    sealed: bool = False
    handling: Handling = CLEAR


class Issuer:
    """Signs entries with one key, in one chain.

    Parameters
    ----------
    key_file : private key; its memory is the file beside it that ends in ``.chain``
    now, random_bytes : the issuer's clock, and where salts come from
    """

    def __init__(self, key_file: Path, *, now: Callable[[], datetime], random_bytes: Callable[[int], bytes]) -> None:
        self.key: IssuerKey = read_issuer_key(key_file)
        self._memory = key_file.with_name(f"{key_file.name}.chain")
        self._now = now
        self._random_bytes = random_bytes

    def introduce(
        self, registry: RegistryAccess, *, name: str | None, jurisdiction: str, spare: Sequence[IssuerKey] = ()
    ) -> tuple[str, bool]:
        """Enter the organisation whose first root key this is, unless the registry knows the key.

        Parameters
        ----------
        name : of the organisation; None for the one that the key belongs to, or else for `UNNAMED`
        spare : further root keys, each of which may act for it alone: with one of them this one can be revoked. They
            sign this entry, and are not needed afterwards

        Returns
        -------
        the name under which this key signs there, and whether it is new

        Raises
        ------
        InputError, VerificationError
            If the key belongs to an organisation of another name, or the registry refuses it.
        """
        known = registry.claimant_of(self.key.id)
        if known is not None:
            if name not in (None, known):
                raise InputError(
                    f"--claimant: expected {known!a}, as this key's organisation is called in {registry.origin}, found "
                    f"{name!a}; leave it out, or sign with a key of the organisation that you mean (--key)"
                )
            return known, False
        roots = tuple(map(issuer_public, (self.key, *spare)))
        body = new_organisation(name=name or UNNAMED, jurisdiction=jurisdiction, roots=roots)
        self.issue(registry, [Issue(body=body)], cosigners=spare)
        return body.name, True

    def issue(
        self,
        registry: RegistryAccess,
        issues: Sequence[Issue],
        *,
        cosigners: Sequence[IssuerKey] = (),
        before_sending: Callable[[Sequence[Submission]], None] | None = None,
    ) -> list[Entered]:
        """Sign and enter, in order.

        Parameters
        ----------
        cosigners : further keys that sign each of them: of a threshold, or that an entry makes known
        before_sending : is given what was signed; see `whorl.registry.issuing_once`

        Raises
        ------
        InputError, VerificationError
            If the registry refuses one, or names an earlier end of the chain than was acknowledged. Those before it are
            entered.
        """
        submissions, ends = self._signed(registry, issues, cosigners)
        if before_sending is not None:
            before_sending(submissions)
        entered = []
        for outcome, submission, end in zip(registry.enter(submissions), submissions, ends, strict=True):
            if isinstance(outcome, InputError | VerificationError):
                raise outcome
            if not submission.sealed:
                self._remember(registry.origin, end)
            entered.append(outcome)
        return entered

    def sign(self, registry: RegistryAccess, issue: Issue, *, cosigners: Sequence[IssuerKey] = ()) -> Submission:
        """Sign the next entry of this key's chain without entering it, for others to sign it, too.

        Raises
        ------
        VerificationError
            If the registry names an earlier end of the chain than was acknowledged.
        """
        return self._signed(registry, [issue], cosigners)[0][0]

    def _signed(
        self, registry: RegistryAccess, issues: Sequence[Issue], cosigners: Sequence[IssuerKey]
    ) -> tuple[list[Submission], list[tuple[int, bytes]]]:
        chain = self._chain(registry)
        submissions: list[Submission] = []
        ends: list[tuple[int, bytes]] = []
        for one in issues:
            statement = compose(
                one.body,
                log=registry.origin,
                issuer=self.key.id,
                chain=None if one.sealed else chain,
                now=self._now(),
                target=one.target if one.about is None else ends[one.about][1],
                handling=one.handling,
            )
            envelope, salt = statement.sign(self.key, cosigners=cosigners), self._random_bytes(SALT_BYTES)
            end = (statement.sequence, open_entry(envelope).leaf(salt).hash)
            submissions.append(Submission(envelope=envelope, salt=salt, sealed=one.sealed))
            ends.append(end)
            chain = chain if one.sealed else end
        return submissions, ends

    def _chain(self, registry: RegistryAccess) -> tuple[int, bytes] | None:
        told, remembered = registry.chain(self.key.id), self._remembered(registry.origin)
        if remembered is not None and (
            told is None or told[0] < remembered[0] or (told[0] == remembered[0] and told[1] != remembered[1])
        ):
            found = "none" if told is None else f"number {told[0]}"
            raise VerificationError(
                f"{registry.origin}: expected entry number {remembered[0]} of this key, which it acknowledged, found "
                f"{found}: the registry lost entries, or shows an older state. Nothing was signed. Ask its operator; "
                f"{self._memory} holds what was acknowledged"
            )
        return told

    def _remembered(self, origin: str) -> tuple[int, bytes] | None:
        ends = self._ends()
        if origin not in ends:
            return None
        try:
            sequence, digest = ends[origin]
            return int(sequence), bytes.fromhex(str(digest))
        except (TypeError, ValueError):
            raise InputError(f"{self._memory}: expected the ends of chains, found something else; restore it") from None

    def _remember(self, origin: str, end: tuple[int, bytes]) -> None:
        ends = self._ends() | {origin: [end[0], end[1].hex()]}
        write_durably(self._memory, json.dumps(ends, indent=1).encode() + b"\n", mode=0o600)

    def _ends(self) -> dict[str, list[int | str]]:
        if not self._memory.exists():
            return {}
        return parse_json_object(self._memory.read_bytes(), what=str(self._memory), max_bytes=_MEMORY_BYTES)


def new_organisation(*, name: str, jurisdiction: str, roots: Sequence[IssuerPublic]) -> Organisation:
    """What the entry of an organisation says, all of whose root keys sign it."""
    fields = {"name": name, "jurisdiction": jurisdiction, "roots": tuple(roots)}
    return stated(Organisation, fields, options={"name": "--claimant", "roots": "--root"})


def new_key_file(path: Path, random_bytes: Callable[[int], bytes]) -> IssuerKey:
    """Draw an issuer's keys into a new file that only its owner can read.

    Raises
    ------
    InputError
        If something is there already.
    """
    if path.exists():
        raise InputError(f"{path}: exists already and was left alone; choose another place for a new key")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = new_issuer_key(random_bytes)
    write_durably(path, write_key_file(key), mode=0o600)
    return key
