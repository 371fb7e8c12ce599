"""A registry's folder: what lies where, its keys, and whom it asks to witness.

::

    registry.json      origin, database, witnesses
    policy.txt         C2SP tlog-policy with which a stranger checks this registry's receipts
    registry.sqlite    entries and their content, unless registry.json names a server
    blobs/             what entries point to, by digest
    log/               tiles, as they are served
    keys/              private keys, readable by the owner alone
    signed/            the last signed tree head, kept apart from the log so that an old backup is noticed; after a
                       restoration also the mark ``restored``, until the witnesses were asked
    vectors/           search index, made again from the database at any time
    witness/           what this bureau's witness remembers of other logs
    .writer            locked by the process that writes
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from whorl.core.durable_files import sync_folder, write_durably
from whorl.core.errors import InputError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.entries.keys import IssuerKey, new_issuer_key, parse_key_file, write_key_file
from whorl.log.keys import Signer, Verifier, parse_vkey, signer_from_bytes
from whorl.log.policy import NONE, Group, KnownLog, KnownWitness, Policy
from whorl.registry.database import sqlite_url
from whorl.registry.database_errors import RegistryError
from whorl.registry.writer_lock import is_written

SCHEMA: Final = "whorl.registry/1"
_HOME_FILE: Final = "registry.json"
_MAX_BYTES: Final = 1 << 18
_QUORUM_GROUP: Final = "quorum"
_FOLDERS: Final = ("blobs", "keys", "signed", "vectors", "witness")
_MADE_LATER: Final = (
    *("log", "policy.txt", ".writer"),
    *(f"registry.sqlite{end}" for end in ("", "-wal", "-shm", "-journal")),
)


class WitnessAddress(Document):
    """A witness that is asked to cosign: its name in the policy, its verifier keys and where it answers."""

    name: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,100}$")]
    keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=2, description="C2SP verifier keys")]
    url: Annotated[str, Field(pattern=r"^https?://[\x21-\x7e]{1,300}$")]


class HomeFile(StoredDocument):
    """``registry.json``."""

    schema_: Literal["whorl.registry/1"] = Field(default="whorl.registry/1", alias="schema")
    origin: str
    log_keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=4)]
    database: str | None = Field(default=None, description="SQLAlchemy URL; null: the SQLite file in this folder")
    witnesses: Annotated[tuple[WitnessAddress, ...], Field(max_length=32)] = ()
    quorum: Annotated[int, Field(ge=0, le=32)] = Field(default=0, description="how many witnesses make the quorum")


class LogKeyFile(StoredDocument):
    """Secret seeds of keys that sign notes: those of a log, or of a witness."""

    schema_: Literal["whorl.note-key/1"] = Field(default="whorl.note-key/1", alias="schema")
    name: str
    ed25519: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    mldsa44: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """An existing registry folder; ``settings`` are those of its ``registry.json``."""

    path: Path
    settings: HomeFile

    @property
    def origin(self) -> str:
        return self.settings.origin

    @property
    def database_url(self) -> str:
        return self.settings.database or sqlite_url(self.path / "registry.sqlite")

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def vectors(self) -> Path:
        return self.path / "vectors"

    @property
    def last_signed(self) -> Path:
        return self.path / "signed" / "tree-head"

    @property
    def policy_file(self) -> Path:
        return self.path / "policy.txt"

    def log_signers(self) -> tuple[Signer, ...]:
        """The keys that the log signs its tree heads with."""
        return _note_signers(self.path / "keys" / "log.json", "ed25519")

    def witness_signers(self) -> tuple[Signer, ...]:
        """The keys that this bureau's witness cosigns with."""
        return _note_signers(self.path / "keys" / "witness.json", "cosignature_ed25519")

    def bureau_key(self) -> IssuerKey:
        """The key under which the bureau itself makes entries."""
        return read_issuer_key(self.path / "keys" / "bureau.json")

    def with_settings(self, settings: HomeFile) -> "Home":
        """The same folder with other settings, which `write_settings` keeps."""
        return replace(self, settings=settings)

    def policy(self) -> Policy:
        """With which tree heads of this registry are checked: its log, its witnesses, its quorum."""
        return policy_of([self.settings])


def create_home(
    path: Path, *, origin: str, database: str | None, random_bytes: Callable[[int], bytes], witness_name: str
) -> Home:
    """Make a registry's folder with fresh keys. Log, database and first entries are for the caller to make.

    Only then comes `write_settings`: a folder without settings is no registry, so one that a crash left half made is
    not taken for a whole one.

    Parameters
    ----------
    origin : the log's name, a schemeless URL such as ``bureau.example/log``
    database : URL of a server's database; None for the SQLite file in the folder
    random_bytes : gives that many unpredictable bytes, such as `secrets.token_bytes`
    witness_name : name under which this bureau's witness cosigns

    Raises
    ------
    RegistryError
        If something is there already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RegistryError(f"{path}: expected a new or empty folder for the registry, found something in it")
    keys = path / "keys"
    try:
        make_folders(path)
        write_note_key(keys / "log.json", origin, random_bytes)
        write_note_key(keys / "witness.json", witness_name, random_bytes)
        write_durably(keys / "bureau.json", write_key_file(new_issuer_key(random_bytes)), mode=0o600)
        signers = _note_signers(keys / "log.json", "ed25519")
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)  # it was made here
        raise
    settings = HomeFile(origin=origin, log_keys=tuple(signer.verifier.vkey for signer in signers), database=database)
    return Home(path=path, settings=settings)


def write_note_key(path: Path, name: str, random_bytes: Callable[[int], bytes]) -> None:
    """Draw the keys with which a log, or a witness, signs notes."""
    seeds = LogKeyFile(name=name, ed25519=random_bytes(32).hex(), mldsa44=random_bytes(32).hex())
    write_durably(path, seeds.model_dump_json(indent=2).encode() + b"\n", mode=0o600)


def make_folders(path: Path) -> None:
    """Make the folder of a registry and those in it."""
    path.mkdir(parents=True, exist_ok=True)
    for name in _FOLDERS:
        (path / name).mkdir(mode=0o700 if name in ("keys", "signed", "witness") else 0o755)
    sync_folder(path)
    sync_folder(path.absolute().parent)


def is_home(path: Path) -> bool:
    """Whether a folder is that of a registry."""
    return (path / _HOME_FILE).is_file()


def open_home(path: Path) -> Home:
    """Open an existing registry folder.

    Raises
    ------
    RegistryError
        If there is none.
    """
    file = path / _HOME_FILE
    if not file.is_file():
        raise RegistryError(f"{path}: expected a registry's folder, found {_instead(path)}")
    return Home(path=path, settings=parse_settings(_bounded(file), what=str(file)))


def _instead(path: Path) -> str:
    """What is there that is no registry, and what to do. Only what a registry is made of may be said to be removed."""
    if not path.is_dir():
        what = "something else" if path.exists() else "nothing there"
        return f"{what}; check the path, or make a registry with `whorl registry create`"
    if is_written(path):
        return f"no {_HOME_FILE} in it yet: another process is making it; wait until it is done"
    found = {file.name for file in path.iterdir()}
    if set(_FOLDERS) <= found <= {*_FOLDERS, *_MADE_LATER}:
        return (
            f"no {_HOME_FILE} in it: making or restoring a registry began here and was not finished. If no other "
            "process is at it, remove the folder, then give that command again"
        )
    return f"no {_HOME_FILE} in it; check the path, or make a registry elsewhere with `whorl registry create`"


def parse_settings(data: bytes, *, what: str) -> HomeFile:
    """Read the content of a ``registry.json``.

    Raises
    ------
    InputError
        If it is none.
    """
    parse_json_object(data, what=what, max_bytes=_MAX_BYTES)
    try:
        return HomeFile.model_validate_json(data)
    except ValidationError as error:
        raise RegistryError(f"{what}: expected a registry's settings, found fault with {first_fault(error)}") from None


def write_settings(home: Home) -> None:
    """Write settings and the policy that follows from them."""
    write_durably(home.policy_file, home.policy().to_text().encode())
    settings = json.loads(home.settings.model_dump_json())
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    write_durably(home.path / _HOME_FILE, text.encode() + b"\n", mode=0o600)  # may hold the password of a database


def policy_of(logs: Sequence[HomeFile]) -> Policy:
    """One policy for several logs: all of their keys, and the witnesses and quorum of the first."""
    witnesses: list[KnownWitness] = []
    groups: list[Group] = []
    names: list[str] = []
    for witness in logs[0].witnesses:
        members = tuple(
            KnownWitness(name=f"{witness.name}{suffix}", verifier=parse_vkey(key), url=witness.url)
            for key, suffix in zip(witness.keys, ("", "+pq"), strict=False)
        )
        witnesses.extend(members)
        if len(members) > 1:  # one witness counts once, by either of its keys
            groups.append(Group(name=f"any-{witness.name}", threshold=1, members=tuple(one.name for one in members)))
        names.append(groups[-1].name if len(members) > 1 else members[0].name)
    if names:
        groups.append(Group(name=_QUORUM_GROUP, threshold=max(1, logs[0].quorum), members=tuple(names)))
    return Policy(
        logs=tuple(KnownLog(verifier=parse_vkey(key)) for log in logs for key in log.log_keys),
        witnesses=tuple(witnesses),
        groups=tuple(groups),
        quorum=_QUORUM_GROUP if names and logs[0].quorum else NONE,
    )


def log_verifiers(home: Home) -> tuple[Verifier, ...]:
    """The keys that this registry's tree heads are signed with."""
    return tuple(parse_vkey(key) for key in home.settings.log_keys)


def witness_verifiers(witness: WitnessAddress) -> tuple[Verifier, ...]:
    """The keys that a witness cosigns with."""
    return tuple(parse_vkey(key) for key in witness.keys)


def read_issuer_key(path: Path) -> IssuerKey:
    """Read an issuer's private key file.

    Raises
    ------
    InputError
        If it is none, or others than its owner can read it.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a key file, found none; check the path")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise InputError(
            f"{path}: expected a key file that only its owner can read, found one that others can; run chmod 600 on "
            "it, and think about whether it was read already"
        )
    return parse_key_file(_bounded(path), origin=str(path))


def clear_unfinished(home: Home) -> None:
    """Remove what a crash left half written, while nobody else writes: next to keys it would be half a secret."""
    for folder in (home.path, home.path / "keys", home.path / "signed"):
        for file in folder.glob(".*.partial"):
            file.unlink(missing_ok=True)


def require_own_keys(home: Home) -> None:
    """Raise `RegistryError` unless the private keys of the log are those whose public halves the settings name."""
    found = {signer.verifier.vkey for signer in home.log_signers()}
    if not found <= set(home.settings.log_keys):
        raise RegistryError(
            f"{home.path / 'keys' / 'log.json'}: expected the keys that {_HOME_FILE} names, found others; one of the "
            "two files was damaged or is of another registry. Restore it from a backup"
        )


def _note_signers(path: Path, first: Literal["ed25519", "cosignature_ed25519"]) -> tuple[Signer, ...]:
    if not path.is_file():
        raise RegistryError(f"{path}: expected the key file of this registry, found none; restore it from a backup")
    try:
        parse_json_object(_bounded(path), what=str(path), max_bytes=_MAX_BYTES)
        seeds = LogKeyFile.model_validate_json(_bounded(path))
    except ValidationError:
        raise RegistryError(f"{path}: expected a note-signing key file, found something else; restore it") from None
    return (
        signer_from_bytes(seeds.name, first, bytes.fromhex(seeds.ed25519)),
        signer_from_bytes(seeds.name, "cosignature_mldsa44", bytes.fromhex(seeds.mldsa44)),
    )


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise RegistryError(f"{path}: expected at most {_MAX_BYTES} bytes, found more; check the path")
    return data
