"""One bit turned over anywhere in a registry's folder: named by fsck, or it changes nothing that is stored.

In either case: no traceback, no receipt that does not hold, and no tree head over other entries than were there.
"""

import random
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.registry_workload import Clock, Writer, model, work
from whorl.core.errors import WhorlError
from whorl.entries.leaf import NO_HASH
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.log.folder import LogFolder
from whorl.log.merkle import consistency_path, verify_consistency
from whorl.log.policy import Policy, parse_policy
from whorl.log.tiles import hash_reader
from whorl.registry.checking import check_folder
from whorl.registry.home import open_home
from whorl.registry.local import open_registry
from whorl.registry.registry_reader import read_registry

BITS_OF_DATABASE = 24
BATCH = 4


@dataclass(frozen=True)
class Sound:
    """A registry that is whole, what is known of it outside, and what is stored in it."""

    folder: Path
    entries: tuple[bytes, ...]
    policy: Policy
    rows: object


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    folder = tmp_path_factory.mktemp("sound") / "registry"
    acknowledged: list[bytes] = []
    work(folder, acknowledged.append, batch=BATCH)
    return Sound(
        folder=folder,
        entries=tuple(digest for digest in acknowledged if digest != NO_HASH),
        policy=parse_policy((folder / "policy.txt").read_text()),
        rows=stored(folder),
    )


def stored(folder: Path) -> object:
    """Everything in the tables, or None where the database cannot be read."""
    connection = sqlite3.connect(folder / "registry.sqlite")
    try:
        tables = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return tables, [sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in sorted(names)]
    except (sqlite3.Error, UnicodeDecodeError):  # SQLite quotes what is damaged
        return None
    finally:
        connection.close()


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def consequences(sound: Sound, folder: Path) -> str:
    """What became of it: ``named``, or ``harmless``. Raises what a registry must never raise."""
    try:
        problems = check_folder(folder).problems
    except WhorlError as error:  # registry.json itself
        problems = (str(error),)
    same = stored(folder) == sound.rows
    require_true_receipts(sound, folder)
    try:
        with open_registry(folder, now=Clock()) as registry:
            for digest in Writer(registry, lambda _: None).enter([model("afterwards")]):
                receipt = registry.receipt(digest)
                assert verify_receipt(parse_receipt(receipt, origin="receipt"), sound.policy).statement
    except WhorlError as error:
        problems = (*problems, str(error))
    require_append_only(sound, folder)
    assert problems or same, "another content was taken for the true one"
    return "named" if problems else "harmless"


def require_true_receipts(sound: Sound, folder: Path) -> None:
    """A receipt holds, or none is given."""
    try:
        reader = read_registry(folder)
    except WhorlError:
        return
    with reader:
        for digest in sound.entries:
            try:
                receipt = reader.receipt(digest)
            except WhorlError:
                continue
            assert verify_receipt(parse_receipt(receipt, origin="receipt"), sound.policy).statement


def require_append_only(sound: Sound, folder: Path) -> None:
    """Whatever was signed since is a larger tree that starts with what was there: nobody was shown a fork."""
    origin = open_home(sound.folder).origin
    before = LogFolder(sound.folder / "log", origin=origin).state()
    try:
        log = LogFolder(folder / "log", origin=origin)
        after = log.published()
    except WhorlError:
        return
    if after is not None and after.size > before.size:
        path = consistency_path(hash_reader(log, after.size), before.size, after.size)
        verify_consistency(before.size, after.size, before.root, after.root, path)


def files(folder: Path) -> list[str]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size)
    return [str(path.relative_to(folder)) for path in found]


def test_a_bit_in_any_file_is_named(sound: Sound, tmp_path: Path) -> None:
    draw = random.Random(1)
    names = [name for name in files(sound.folder) if name not in ("registry.sqlite", "keys/witness.json")]
    assert {name.split("/")[0] for name in names} == {"blobs", "keys", "log", "policy.txt", "registry.json", "signed"}
    for name in names:
        folder = Path(shutil.copytree(sound.folder, tmp_path / "registry"))
        bit = draw.randrange(8 * (folder / name).stat().st_size)
        flip(folder / name, bit)
        assert consequences(sound, folder) == "named", (name, bit)
        shutil.rmtree(folder)


def test_a_bit_in_the_database_is_named_or_harmless(sound: Sound, tmp_path: Path) -> None:
    draw = random.Random(2)
    outcomes = []
    for _ in range(BITS_OF_DATABASE):
        folder = Path(shutil.copytree(sound.folder, tmp_path / "registry"))
        flip(folder / "registry.sqlite", draw.randrange(8 * (folder / "registry.sqlite").stat().st_size))
        outcomes.append(consequences(sound, folder))
        shutil.rmtree(folder)
    assert outcomes.count("named") > BITS_OF_DATABASE / 3  # most others are in space that nothing uses
