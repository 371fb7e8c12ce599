"""A backup gives the registry back, and nothing that was put back signs what was signed otherwise already."""

import io
import itertools
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import bureaus
import pytest
from sqlalchemy import select

from bench.registry_workload import ORIGIN, Clock, Writer, model, problems_after, work
from whorl.core.errors import InputError, VerificationError, WhorlError
from whorl.log.files import origin_hash
from whorl.log.keys import Signer, signer_from_bytes
from whorl.log.notes import parse_note
from whorl.log.tree_heads import TreeHead, parse_tree_head, sign_tree_head
from whorl.log.witnessing import Reply, Witness
from whorl.registry.backup import COPIED, back_up
from whorl.registry.checking import check_folder
from whorl.registry.cosigning import Cosigner, LocalWitness
from whorl.registry.database import open_database
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import entries_of_log
from whorl.registry.heads import newest_head
from whorl.registry.home import WitnessAddress, log_verifiers, open_home, write_settings
from whorl.registry.local import create_registry, open_registry
from whorl.registry.registry_reader import read_registry
from whorl.registry.restoring import restore_backup
from whorl.registry.rollback import RollbackError
from whorl.registry.tables import DERIVED
from whorl.registry.ustar import TarWriter

SIZE = 32


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    folder = tmp_path_factory.mktemp("template") / "registry"
    acknowledged: list[bytes] = []
    work(folder, acknowledged.append)
    return folder, acknowledged


@pytest.fixture(scope="module")
def backup(template: tuple[Path, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup with keys."""
    output = tmp_path_factory.mktemp("backup") / "registry.tar"
    make_backup(template[0], output)
    return output


@pytest.fixture
def folder(template: tuple[Path, list[bytes]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(template[0], tmp_path / "registry"))


def make_backup(folder: Path, output: Path, *, with_keys: bool = True) -> None:
    with read_registry(folder) as reader:
        back_up(reader, output, with_keys=with_keys)


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    database = open_database(url, create=False)
    with database.reading() as connection:
        found = {table.name: sorted(map(tuple, connection.execute(select(table)))) for table in (*COPIED, *DERIVED)}
    database.close()
    return found


def write_more(folder: Path, name: str = "late", *, cosigners: tuple[Cosigner, ...] = ()) -> int:
    """Enter something, and give the size of the log then."""
    with open_registry(folder, now=Clock(), cosigners=cosigners) as registry:
        Writer(registry, lambda _: None).enter([model(name)])
        return registry.log.size


# What comes back


def test_a_registry_comes_back_whole(template: tuple[Path, list[bytes]], backup: Path, tmp_path: Path) -> None:
    original, acknowledged = template
    restored = restore_backup(backup, tmp_path / "back", keys=None, nobody_saw_more=True)
    assert (restored.origin, restored.size) == (ORIGIN, SIZE)
    assert rows(open_home(tmp_path / "back").database_url) == rows(open_home(original).database_url)
    for name in ("log/state", "log/checkpoint", "signed/tree-head", "policy.txt", "keys/log.json", "registry.json"):
        assert (tmp_path / "back" / name).read_bytes() == (original / name).read_bytes(), name
    assert check_folder(tmp_path / "back").problems == ()
    assert problems_after(tmp_path / "back", acknowledged) == []
    assert [path.name for path in tmp_path.iterdir()] == ["back"]


def test_a_backup_moves_a_registry_between_databases(
    template: tuple[Path, list[bytes]], backup: Path, database_url: str, tmp_path: Path
) -> None:
    # From SQLite to this one and back: the way in which one goes over to a server.
    there, back = tmp_path / "there", tmp_path / "back"
    restore_backup(backup, there, keys=None, database=database_url, nobody_saw_more=True)
    assert open_home(there).settings.database == database_url
    assert check_folder(there).problems == ()
    write_more(there)
    make_backup(there, tmp_path / "second.tar")
    assert b"correct horse" not in (tmp_path / "second.tar").read_bytes()  # the server's password
    restore_backup(tmp_path / "second.tar", back, keys=None, nobody_saw_more=True)
    assert rows(open_home(back).database_url) == rows(database_url)
    assert problems_after(back, template[1]) == []


def test_a_database_that_holds_something_is_left_alone(backup: Path, database_url: str, tmp_path: Path) -> None:
    create_registry(
        tmp_path / "other", origin="b.example", bureau_name="Other", jurisdiction="NL", database=database_url
    ).close()
    before = rows(database_url)
    with pytest.raises(RegistryError, match="expected an empty database"):
        restore_backup(backup, tmp_path / "back", keys=None, database=database_url, nobody_saw_more=True)
    assert rows(database_url) == before
    assert not (tmp_path / "back").exists()


def test_a_backup_is_of_one_moment_however_much_is_written(folder: Path, tmp_path: Path) -> None:
    made: list[Path] = []
    with open_registry(folder, now=Clock()) as registry:
        writer = Writer(registry, lambda _: None)
        thread = threading.Thread(target=lambda: [writer.enter([model(f"busy-{n}")]) for n in range(12)])
        thread.start()
        while thread.is_alive() or not made:
            made.append(tmp_path / f"{len(made)}.tar")
            make_backup(folder, made[-1])
        thread.join()
    for number, backup in enumerate((made[0], made[len(made) // 2], made[-1])):
        restored = restore_backup(backup, tmp_path / f"back{number}", keys=None, nobody_saw_more=True)
        report = check_folder(tmp_path / f"back{number}")
        assert (report.problems, report.counted["entries"]) == ((), restored.size)


def test_partial_tiles_of_older_tree_heads_come_back(folder: Path, tmp_path: Path) -> None:
    # Receipts of entries that came under them need these; and full tiles are there once, as in the original.
    with open_registry(folder, now=Clock()) as registry:
        writer = Writer(registry, lambda _: None)
        known = [writer.enter([model(f"{size}-{n}") for n in range(size)])[-1] for size in (100, 120, 40, 30)]
    make_backup(folder, tmp_path / "registry.tar")
    restore_backup(tmp_path / "registry.tar", tmp_path / "back", keys=None, nobody_saw_more=True)

    def tiles(place: Path) -> set[str]:
        return {str(path.relative_to(place)) for path in place.glob("log/tile/**/*") if path.is_file()}

    assert tiles(tmp_path / "back") == tiles(folder)
    with read_registry(tmp_path / "back") as reader:
        for digest in known:
            reader.receipt(digest)


# What is refused


def test_keys_are_needed_and_must_be_the_right_ones(folder: Path, tmp_path: Path) -> None:
    make_backup(folder, tmp_path / "bare.tar", with_keys=False)
    secret = (folder / "keys/log.json").read_text().partition('"ed25519": "')[2][:64]
    assert secret.encode() not in (tmp_path / "bare.tar").read_bytes()
    with pytest.raises(InputError, match="holds no private keys; name the folder"):
        restore_backup(tmp_path / "bare.tar", tmp_path / "back", keys=None, nobody_saw_more=True)
    create_registry(tmp_path / "other", origin=ORIGIN, bureau_name="Other", jurisdiction="NL").close()
    with pytest.raises(RegistryError, match=r"expected the keys that registry\.json names, found others"):
        restore_backup(tmp_path / "bare.tar", tmp_path / "back", keys=tmp_path / "other/keys", nobody_saw_more=True)
    mixed = Path(shutil.copytree(folder / "keys", tmp_path / "mixed"))
    shutil.copy(tmp_path / "other/keys/bureau.json", mixed)
    with pytest.raises(InputError, match="found one it does not know"):
        restore_backup(tmp_path / "bare.tar", tmp_path / "back", keys=mixed, nobody_saw_more=True)
    assert not (tmp_path / "back").exists()
    restore_backup(tmp_path / "bare.tar", tmp_path / "back", keys=folder / "keys", nobody_saw_more=True)
    assert problems_after(tmp_path / "back", []) == []


def test_its_witness_gets_new_keys(template: tuple[Path, list[bytes]], backup: Path, tmp_path: Path) -> None:
    # One that was put back has forgotten what it promised under the old ones.
    restore_backup(backup, tmp_path / "back", keys=None, nobody_saw_more=True)
    old, new = (open_home(folder).witness_signers() for folder in (template[0], tmp_path / "back"))
    assert [signer.name for signer in new] == [signer.name for signer in old]
    assert not {signer.verifier.public for signer in new} & {signer.verifier.public for signer in old}


def test_a_folder_that_holds_something_is_left_alone(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine").write_text("mine")
    with pytest.raises(RegistryError, match="found something in it"):
        restore_backup(backup, tmp_path / "back", keys=None, nobody_saw_more=True)
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["mine"]


def refused(backup: Path, folder: Path) -> str:
    """The message with which a backup is refused; nothing of it stays."""
    with pytest.raises(WhorlError) as caught:
        restore_backup(backup, folder, keys=None, nobody_saw_more=True)
    assert not folder.exists()
    assert not list(folder.parent.glob(f".{folder.name}-*"))
    return str(caught.value)


def test_a_backup_that_was_cut_off_is_refused(backup: Path, tmp_path: Path) -> None:
    data = backup.read_bytes()
    for end in [0, 1, 511, 512, *range(600, len(data), len(data) // 23), len(data) - 1024, len(data) - 1]:
        cut = tmp_path / "cut.tar"
        cut.write_bytes(data[:end])
        assert "copy it again" in refused(cut, tmp_path / "back")


def test_a_flipped_bit_anywhere_is_noticed(backup: Path, tmp_path: Path) -> None:
    data = backup.read_bytes()
    when = data.index(b'"made_at"')  # for people; nothing rests on it
    for place in range(40, len(data), len(data) // 61):
        if when <= place < when + 40:
            continue
        bent = tmp_path / "bent.tar"
        bent.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert refused(bent, tmp_path / "back")


def members(backup: Path) -> dict[str, bytes]:
    with tarfile.open(backup) as tar:
        found = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


def packed(path: Path, *parts: tuple[str, bytes]) -> Path:
    with path.open("wb") as file:
        writer = TarWriter(file)
        for name, data in parts:
            writer.add(name, len(data), [data])
        writer.finish()
    return path


def _moved(name: str) -> Callable[[dict[str, bytes]], list[tuple[str, bytes]]]:
    return lambda parts: [("../../outside" if key == name else key, data) for key, data in parts.items()]


BENT: dict[str, tuple[Callable[[dict[str, bytes]], list[tuple[str, bytes]]], str]] = {
    "a way out": (_moved("registry.json"), "outside"),
    "an absolute name": (lambda parts: [("/etc/passwd", b"x"), *parts.items()], "/etc/passwd"),
    "a name of its own": (lambda parts: [*parts.items(), ("keys/other.json", b"{}")], "keys/other.json"),
    "two of one name": (lambda parts: [*list(parts.items())[:1], *parts.items()], "registry.json"),
    "another order": (lambda parts: list(reversed(parts.items())), "in their order"),
    "no manifest": (lambda parts: list(parts.items())[:-1], "without its manifest"),
    "no rows": (lambda parts: [pair for pair in parts.items() if pair[0] != "registry.sqlite"], "its manifest"),
    "a blob less": (lambda parts: [pair for pair in parts.items() if not pair[0].startswith("blobs")], "its manifest"),
    "a blob of another name": (
        lambda parts: [("blobs/" + "a" * 64 if "blobs" in name else name, data) for name, data in parts.items()],
        "another digest than its name",
    ),
    "a large setting": (
        lambda parts: [(name, data + b" " * (1 << 20) * ("json" in name)) for name, data in parts.items()],
        "possible sizes",
    ),
    "a manifest of tomorrow": (
        lambda parts: [(name, data.replace(b"backup/1", b"backup/2")) for name, data in parts.items()],
        "a newer whorl may read it",
    ),
    "a manifest that counts otherwise": (
        lambda parts: [(name, data.replace(b'"size": 32', b'"size": 31')) for name, data in parts.items()],
        "not those that its manifest speaks of",
    ),
    "a manifest that is none": (lambda parts: [*list(parts.items())[:-1], ("manifest.json", b"[]")], "JSON object"),
}  # fmt: skip


@pytest.mark.parametrize("how", BENT)
def test_a_backup_that_was_put_together_is_refused(backup: Path, tmp_path: Path, how: str) -> None:
    bend, expected = BENT[how]
    parts = members(backup)
    assert packed(tmp_path / "same.tar", *parts.items()).read_bytes() == backup.read_bytes()
    assert expected in refused(packed(tmp_path / "bent.tar", *bend(parts)), tmp_path / "back")
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_a_tar_file_of_another_make_is_refused(backup: Path, tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        member = tarfile.TarInfo("registry.json")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
        for name, data in members(backup).items():
            plain = tarfile.TarInfo(name)
            plain.size = len(data)
            tar.addfile(plain, io.BytesIO(data))
    assert "a header that no backup has" in refused(tmp_path / "other.tar", tmp_path / "back")


def test_a_size_that_lies_is_refused_without_allocating(backup: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with pytest.raises(InputError):
        TarWriter(buffer).add("registry.sqlite", 1 << 50, [b"small"])
    (tmp_path / "huge.tar").write_bytes(buffer.getvalue())
    assert "its end in the middle" in refused(tmp_path / "huge.tar", tmp_path / "back")


def test_what_comes_after_the_end_is_refused(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "long.tar").write_bytes(backup.read_bytes() + b"more")
    assert "something else at its end" in refused(tmp_path / "long.tar", tmp_path / "back")


def test_other_rows_than_the_log_signed_are_refused(folder: Path, tmp_path: Path) -> None:
    # Whoever has the keys of nothing can make a backup with a manifest that fits, but not entries that fit a signature.
    connection = sqlite3.connect(folder / "registry.sqlite")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    first, second = (connection.execute("SELECT * FROM entries WHERE idx = ?", (idx,)).fetchone() for idx in (9, 10))
    for idx in (10, 9):
        connection.execute("DELETE FROM digests WHERE entry = ?", (idx + 1,))
        connection.execute("DELETE FROM names WHERE entry = ?", (idx + 1,))
    connection.execute("DELETE FROM entries WHERE idx IN (9, 10)")
    marks = ", ".join("?" * len(first))
    connection.execute(f"INSERT INTO entries VALUES ({marks})", (10, first[1], 9, *second[3:]))
    connection.execute(f"INSERT INTO entries VALUES ({marks})", (11, first[1], 10, *first[3:]))
    connection.commit()
    connection.close()
    make_backup(folder, tmp_path / "swapped.tar")
    assert "found other entries" in refused(tmp_path / "swapped.tar", tmp_path / "back")


def test_a_damaged_blob_is_not_backed_up(folder: Path, tmp_path: Path) -> None:
    (blob,) = (path for path in (folder / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"other")
    with pytest.raises(VerificationError, match="the file was damaged or altered"):
        make_backup(folder, tmp_path / "registry.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry"]


# What was signed since


@pytest.fixture
def witnessed(folder: Path, tmp_path: Path) -> "SmallWitnesses":
    """The registry with two witnesses, which have cosigned its tree head."""
    witnesses = SmallWitnesses(folder, tmp_path / "witnesses")
    witnesses.configure(folder)
    write_more(folder, "witnessed", cosigners=witnesses.cosigners())
    return witnesses


class SmallWitnesses:
    """Two witnesses in this process, each of which can be away."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self.names = ("east.example", "west.example")
        self.away: set[str] = set()
        self.silent: set[str] = set()
        keys = {ORIGIN: log_verifiers(open_home(folder))}
        self.signers = {
            name: signer_from_bytes(name, "cosignature_ed25519", bytes([number]) * 32)
            for number, name in enumerate(self.names, 1)
        }
        self.witnesses = {}
        for name, signer in self.signers.items():
            (memory / name).mkdir(parents=True)
            self.witnesses[name] = Witness(memory / name, [signer], keys)

    def configure(self, folder: Path) -> None:
        home = open_home(folder)
        addresses = tuple(
            WitnessAddress(name=name, keys=(signer.verifier.vkey,), url=f"https://{name}/")
            for name, signer in self.signers.items()
        )
        write_settings(home.with_settings(home.settings.model_copy(update={"witnesses": addresses, "quorum": 1})))

    def cosigners(self) -> tuple[Cosigner, ...]:
        return tuple(self._cosigner(name) for name in self.names)

    def _cosigner(self, name: str) -> Cosigner:
        witness = self.witnesses[name]

        def answer(body: bytes) -> Reply:
            if name in self.away:
                raise OSError(111, "Connection refused")
            return witness.add_checkpoint(body, at=1_800_000_000)

        def latest() -> Reply:
            if name in self.away | self.silent:
                raise OSError(111, "Connection refused")
            return witness.latest(origin_hash(ORIGIN))

        return LocalWitness(name, [self.signers[name].verifier], answer, latest)

    def size(self, name: str) -> int:
        return parse_tree_head(parse_note(self.witnesses[name].latest(origin_hash(ORIGIN)).body).text).size


def test_the_operator_answers_for_a_registry_without_witnesses(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="say so with --nobody-saw-more"):
        restore_backup(backup, tmp_path / "back", keys=None)
    assert not (tmp_path / "back").exists()


def test_it_signs_nothing_before_every_witness_was_asked(
    witnessed: SmallWitnesses, folder: Path, tmp_path: Path
) -> None:
    make_backup(folder, tmp_path / "registry.tar")
    restored = restore_backup(tmp_path / "registry.tar", tmp_path / "back", keys=None)
    assert restored.witnesses == witnessed.names
    size = restored.size
    for cosigners, away in (((), set()), (witnessed.cosigners()[:1], set()), (witnessed.cosigners(), {"west.example"})):
        witnessed.away = away
        with pytest.raises(VerificationError, match="not all of its witnesses") as caught:
            write_more(tmp_path / "back", cosigners=tuple(cosigners))
        assert "Nothing was signed" in str(caught.value)
    with open_registry(tmp_path / "back") as registry, pytest.raises(VerificationError, match="not all of"):
        registry.sequencer.refresh()
    with read_registry(tmp_path / "back") as reader:  # it can be read meanwhile, and nothing piled up
        assert reader.log.size == size
    witnessed.away = set()
    assert write_more(tmp_path / "back", cosigners=witnessed.cosigners()) == size + 2
    assert not (tmp_path / "back/signed/restored").exists()
    assert check_folder(tmp_path / "back").problems == ()


def test_a_tree_head_without_its_quorum_is_named(witnessed: SmallWitnesses, folder: Path) -> None:
    assert check_folder(folder).problems == ()
    write_more(folder, "alone")
    (problem,) = check_folder(folder).problems
    assert "log/checkpoint: tree head of 'bureau.example/north', size 36: expected the quorum" in problem
    assert "`whorl serve` signs it anew" in problem


def test_it_signs_nothing_if_a_witness_knows_more(witnessed: SmallWitnesses, folder: Path, tmp_path: Path) -> None:
    make_backup(folder, tmp_path / "old.tar")
    write_more(folder, "one", cosigners=witnessed.cosigners())
    write_more(folder, "two", cosigners=witnessed.cosigners())
    restored = restore_backup(tmp_path / "old.tar", tmp_path / "back", keys=None)
    before = (tmp_path / "back/signed/tree-head").read_bytes()
    witnessed.away = {"east.example"}  # one that knows more is enough
    with pytest.raises(RollbackError, match=r"4 are missing.*a bureau that mirrors this log has the missing entries"):
        open_registry(tmp_path / "back", cosigners=witnessed.cosigners())
    assert (tmp_path / "back/signed/tree-head").read_bytes() == before
    assert (tmp_path / "back/signed/restored").exists()
    assert restored.size + 4 == witnessed.size("west.example")


def test_the_operators_word_does_not_silence_a_witness(witnessed: SmallWitnesses, folder: Path, tmp_path: Path) -> None:
    make_backup(folder, tmp_path / "old.tar")
    write_more(folder, "one", cosigners=witnessed.cosigners())
    restore_backup(tmp_path / "old.tar", tmp_path / "back", keys=None, nobody_saw_more=True)
    with pytest.raises(RollbackError, match="2 are missing"):
        open_registry(tmp_path / "back", cosigners=witnessed.cosigners())


def test_a_whole_folder_put_back_is_noticed_by_a_witness(
    witnessed: SmallWitnesses, folder: Path, tmp_path: Path
) -> None:
    # No backup of ours: a snapshot of the disk, so nothing in the folder knows.
    shutil.copytree(folder, tmp_path / "snapshot")
    write_more(folder, "one", cosigners=witnessed.cosigners())
    signed = (tmp_path / "snapshot/signed/tree-head").read_bytes()
    with pytest.raises(RollbackError, match=r"known to the witness east\.example"):
        open_registry(tmp_path / "snapshot", cosigners=witnessed.cosigners())
    assert (tmp_path / "snapshot/signed/tree-head").read_bytes() == signed


@pytest.mark.parametrize("entries", [1, 9])
def test_a_witness_that_only_cosigns_keeps_a_fork_from_being_published(
    witnessed: SmallWitnesses, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    # It does not say what it cosigned last before we sign; after that it names a larger size, or finds another tree.
    shutil.copytree(folder, tmp_path / "snapshot")
    write_more(folder, "one", cosigners=witnessed.cosigners())
    published = (tmp_path / "snapshot/log/checkpoint").read_bytes()
    witnessed.silent = set(witnessed.names)
    with open_registry(tmp_path / "snapshot", now=Clock(), cosigners=witnessed.cosigners()) as registry:
        if entries > 1:
            witnessed.silent = set()
        writer = Writer(registry, lambda _: None)
        expected = "does not show its tree head" if entries == 1 else "known to the witness"
        bodies = [model(f"fork-{number}") for number in range(entries)]
        if entries == 1:  # without its status map, the tree is smaller than what the witness has cosigned
            monkeypatch.setattr(registry.sequencer, "_enter_status_map", lambda _: None)
        with pytest.raises(RollbackError, match=expected):
            writer.enter(bodies)
    assert (tmp_path / "snapshot/log/checkpoint").read_bytes() == published


def test_a_witness_that_contradicts_itself_stops_nobody(
    witnessed: SmallWitnesses, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    honest = witnessed.cosigners()
    liar = LocalWitness(
        "liar.example",
        [signer_from_bytes("liar.example", "cosignature_ed25519", b"9" * 32).verifier],
        lambda _: Reply(status=409, body=b"1000000\n"),
        lambda: Reply(status=404, body=b""),
    )
    assert write_more(folder, "more", cosigners=(*honest, liar)) == SIZE + 4
    assert "liar.example did not cosign: it states that it cosigned size 1000000" in caplog.text


def test_a_tree_head_that_nobody_signed_stops_nobody(witnessed: SmallWitnesses, folder: Path) -> None:
    other = signer_from_bytes(ORIGIN, "ed25519", b"8" * 32)
    liar = LocalWitness(
        "liar.example",
        [signer_from_bytes("liar.example", "cosignature_ed25519", b"9" * 32).verifier],
        lambda _: Reply(status=422, body=b"no\n"),
        lambda: Reply(status=200, body=_forged(other)),
    )
    assert write_more(folder, "more", cosigners=(*witnessed.cosigners(), liar)) == SIZE + 4


def _forged(signer: Signer) -> bytes:
    return sign_tree_head(TreeHead(origin=ORIGIN, size=10**6, root=bytes(32)), [signer], at=1).to_bytes()


# Parts that were put back

PARTS = {"database": ("registry.sqlite",), "log": ("log",), "signed": ("signed",)}
EXPECTED = {
    ("database",): "an older database was put back",
    ("database", "signed"): "an older database was put back",
    ("database", "log"): "2 are missing",
    ("signed",): "expected the tree head that was signed last, found one of size 32, though one of size 34",
    ("log",): None,  # the rows give exactly the tree that was signed: it is made again
    ("log", "signed"): None,
}


def put_back(folder: Path, old: Path, parts: tuple[str, ...]) -> None:
    for name in itertools.chain.from_iterable(PARTS[part] for part in parts):
        target = folder / name
        if target.is_dir():
            shutil.rmtree(target)
            shutil.copytree(old / name, target)
        else:
            shutil.copy(old / name, target)


@pytest.mark.parametrize("parts", EXPECTED)
def test_an_older_part_is_noticed_before_anything_is_signed(
    template: tuple[Path, list[bytes]], folder: Path, parts: tuple[str, ...]
) -> None:
    assert write_more(folder) == SIZE + 2
    put_back(folder, template[0], parts)
    before = {name: (folder / name).read_bytes() for name in ("log/checkpoint", "signed/tree-head")}
    expected = EXPECTED[parts]
    if expected is None:
        assert write_more(folder, "afterwards") == SIZE + 4
        assert problems_after(folder, []) == []
        return
    assert check_folder(folder).problems  # named by fsck as well
    for _ in range(2):  # trying again does not help, and piles nothing up
        with pytest.raises(VerificationError, match=expected) as caught:
            write_more(folder, "afterwards")
        assert "Nothing was signed" in str(caught.value)
        assert any(word in str(caught.value) for word in ("Restore", "restore", "Copy"))
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_an_older_database_that_went_on_is_noticed(template: tuple[Path, list[bytes]], folder: Path) -> None:
    # Log and database older, with other entries since, until they are more than those that were signed.
    write_more(folder, "first")
    newer = (folder / "signed/tree-head").read_bytes()
    put_back(folder, template[0], ("database", "log", "signed"))
    write_more(folder, "other")
    write_more(folder, "another")
    (folder / "signed/tree-head").write_bytes(newer)
    with pytest.raises(VerificationError, match="found one of size 34, though one of size 36 is published"):
        write_more(folder, "afterwards")
    (folder / "log/checkpoint").write_bytes(newer)
    with pytest.raises(RollbackError, match="put back and went on"):
        write_more(folder, "afterwards")


def test_a_lost_tree_head_can_be_copied_back(folder: Path) -> None:
    (folder / "signed/tree-head").unlink()
    with pytest.raises(VerificationError, match="Copy there"):
        open_registry(folder)
    shutil.copy(folder / "log/checkpoint", folder / "signed/tree-head")
    assert write_more(folder) == SIZE + 2


def test_the_database_of_another_registry_is_refused(folder: Path, tmp_path: Path) -> None:
    create_registry(tmp_path / "other", origin="b.example", bureau_name="Other", jurisdiction="NL").close()
    shutil.copy(tmp_path / "other/registry.sqlite", folder / "registry.sqlite")
    with pytest.raises(RegistryError, match=r"found one in which b\.example is the own log"):
        open_registry(folder)


def test_a_tree_head_that_was_not_recorded_is_recorded_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_registry(folder, now=Clock()) as registry:
        monkeypatch.setattr("whorl.registry.sequencer.record_head", lambda *_: (_ for _ in ()).throw(OSError(5, "EIO")))
        with pytest.raises(RegistryError, match="what was begun is finished first"):
            Writer(registry, lambda _: None).enter([model("late")])
        monkeypatch.undo()
    with open_registry(folder, now=Clock()) as registry, registry.database.reading() as connection:
        assert newest_head(connection, ORIGIN) == registry.log.tree_head()


def test_mirrored_logs_come_back_with_it(tmp_path: Path) -> None:
    clock = bureaus.Clock()
    three = [
        bureaus.make_bureau(tmp_path, name, clock, first_random=number * 1_000_000)
        for number, name in enumerate(("north", "south", "east"), start=1)
    ]
    bureaus.federate(three)
    for number, bureau in enumerate(three):
        bureaus.new_writer(bureau, "Northwind Labs", first_random=(7 + number) * 1_000_000).enter(model("lumen-1"))
    bureaus.sync(three)
    north = three[0]
    with north.registry.database.reading() as connection:
        other = next(entries_of_log(connection, "east.example/log")).hash
    with pytest.raises(InputError, match=r"found one of east\.example/log, which is mirrored here"):
        north.registry.receipt(other)
    north.registry.close()
    make_backup(north.folder, tmp_path / "north.tar")
    restore_backup(tmp_path / "north.tar", tmp_path / "back", keys=None, nobody_saw_more=True)
    assert rows(open_home(tmp_path / "back").database_url) == rows(open_home(north.folder).database_url)
    report = check_folder(tmp_path / "back")
    assert (report.problems, report.counted["mirrored"] > 10) == ((), True)
    assert report.counted["tree_heads"] > 5  # of all three logs


def test_damage_in_a_mirrored_log_is_named(tmp_path: Path) -> None:
    clock = bureaus.Clock()
    two = [
        bureaus.make_bureau(tmp_path, name, clock, first_random=number * 1_000_000)
        for number, name in enumerate(("north", "south"), start=1)
    ]
    bureaus.federate(two)
    bureaus.new_writer(two[1], "Northwind Labs", first_random=9_000_000).enter(model("lumen-1"))
    bureaus.sync(two)
    two[0].registry.close()
    connection = sqlite3.connect(two[0].folder / "registry.sqlite")
    connection.execute("UPDATE heads SET note = CAST(replace(note, 'A', 'B') AS BLOB) WHERE log = 2")
    connection.commit()
    connection.close()
    problems = check_folder(two[0].folder).problems
    assert problems
    assert all("of south.example/log: " in problem for problem in problems)
