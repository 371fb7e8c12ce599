"""``fsck`` says nothing of a sound registry, and names the place of every damage in another."""

import errno
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bench.registry_workload import ORIGIN, Clock, Writer, counting_bytes, model, work
from whorl.core.errors import InputError
from whorl.entries.kinds import Key, Status
from whorl.registry import status_maps_again
from whorl.registry.checking import Report, check_folder, check_registry
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import find_entry
from whorl.registry.home import open_home
from whorl.registry.local import LocalRegistry, create_registry, open_registry
from whorl.registry.public_keys import issuer_public
from whorl.registry.registry_reader import read_registry
from whorl.registry.replaying import erase_entry
from whorl.registry.writer_lock import RegistryBusyError, WriterLock

ENTRIES = 32  # of the workload: the bureau's own, 25 of a writer, and the status maps


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "registry"
    work(folder, lambda _: None)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A sound registry with a file of every sort."""
    return Path(shutil.copytree(template, tmp_path / "registry"))


@pytest.fixture
def registry(database_url: str, tmp_path: Path) -> Iterator[LocalRegistry]:
    """A new registry over both databases."""
    with create_registry(
        tmp_path / "registry",
        origin=ORIGIN,
        bureau_name="Harbour Bureau",
        jurisdiction="NL",
        database=database_url,
        now=Clock(),
        random_bytes=counting_bytes(1),
    ) as made:
        yield made


def only_problem(report: Report) -> str:
    (problem,) = report.problems
    return problem


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "registry.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_registry_has_no_problems(folder: Path) -> None:
    report = check_folder(folder)
    assert report.problems == ()
    assert report.counted == {
        "waiting": 0,
        "entries": ENTRIES,
        "mirrored": 0,
        "sealed": 0,
        "erased": 0,
        "unjudged": 0,
        "status_maps": 6,
        "maps_skipped": 0,
        "tree_heads": 7,
        "blobs": 1,
        "unreferenced": 0,
    }
    assert report.to_json() == {
        "schema": "whorl.registry-check/1",
        "origin": ORIGIN,
        "counted": dict(report.counted),
        "problems": [],
    }


def test_everything_that_rules_look_at_is_told_again(registry: LocalRegistry) -> None:
    # Over both databases: keys that are added and revoked, votes, an erased entry, an entry about another of its batch.
    writer = Writer(registry, lambda _: None)
    writer.introduce()
    signer = Writer(registry, lambda _: None, first_random=600_000)
    organisation = registry.organisation_of(writer.key.id)
    assert organisation is not None
    public = issuer_public(signer.key)
    added = Key(action="add", public=public, roles=("submitter",))
    writer.enter([added], target=organisation, cosigners=[signer.key])
    first, second = signer.enter([model("lumen-1"), model("lumen-2")])
    revoked = Key(action="revoke", public=public, compromised_since=registry.log.size - 1, reason="stolen")
    writer.enter([revoked], target=organisation)
    writer.enter([Status(state="withdrawn", reason="Entered by mistake.")], target=second)
    sealed = writer.sealed(model("secret"))
    erase_entry(registry.database, registry.blobs, first, at=registry.now())
    report = check_registry(registry)
    assert report.problems == ()
    assert (report.counted["erased"], report.counted["sealed"]) == (1, 1)
    assert report.counted["status_maps"] == 7  # those of the batches since there is a policy
    erase_entry(registry.database, registry.blobs, sealed, at=registry.now())
    assert (check_registry(registry).problems, check_registry(registry).counted["erased"]) == ((), 2)


def test_it_can_be_checked_while_it_is_written(registry: LocalRegistry) -> None:
    writer = Writer(registry, lambda _: None)
    writer.introduce()
    ended = threading.Event()
    faults: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(5):
                writer.enter([model(f"lumen-{number}-{one}") for one in range(40)])
        except BaseException as error:
            faults.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    checked = 0
    with read_registry(registry.home.path) as reader:
        while not ended.is_set() or checked == 0:
            assert check_registry(reader).problems == ()
            checked += 1
    thread.join()
    assert not faults


def test_what_a_crash_kept_from_the_log_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_registry(folder, now=Clock()) as registry:
        monkeypatch.setattr("whorl.registry.sequencer.append_rows", lambda *_: sys.exit("power cut"))
        with pytest.raises(SystemExit):
            Writer(registry, lambda _: None).enter([model("late")])
    monkeypatch.undo()
    before = check_folder(folder)
    assert (before.problems, before.counted["waiting"]) == ((), 2)
    open_registry(folder, now=Clock()).close()
    after = check_folder(folder)
    assert (after.problems, after.counted["waiting"]) == ((), 0)


BLOB = "1" * 64
DAMAGE = {
    "an organisation that signed": (
        "UPDATE entries SET organisation = zeroblob(32) WHERE idx = 5",
        "entry 5 of bureau.example/north: has another organisation",
    ),
    "who signed": (
        "UPDATE entries SET signers = zeroblob(32) WHERE idx = 5",
        "entry 5 of bureau.example/north: has another signers",
    ),
    "an envelope": (
        "UPDATE entries SET envelope = CAST(replace(envelope, 'sig', 'sog') AS BLOB) WHERE idx = 9",
        "entry 9 of bureau.example/north",
    ),
    "a leaf": (
        "UPDATE entries SET leaf = zeroblob(140), hash = zeroblob(32), issuer = zeroblob(32) WHERE idx = 9",
        "entry 9 of bureau.example/north: has another leaf in the database",
    ),
    "the last row": ("DELETE FROM entries WHERE idx = 31", "table logs, bureau.example/north: says that 32"),
    "a row in the middle": ("DELETE FROM entries WHERE idx = 30", "entry 31 of bureau.example/north: is not the next"),
    "whether an entry counts": (
        "UPDATE entries SET counts = NULL, fault = 'gap' WHERE idx = 31",
        "entry 31 of bureau.example/north: counts for nothing",
    ),
    "content that was not erased": (
        "UPDATE entries SET envelope = NULL, salt = NULL WHERE idx = 12",
        "entry 12 of bureau.example/north: breaks a rule of admission: its content is missing",
    ),
    "a key's roles": ("UPDATE keys SET roles = 'bureau'", "table keys: is not what follows"),
    "a threshold": ("UPDATE organisations SET threshold = 0", "table organisations: is not what follows"),
    "a word of a name": ("DELETE FROM names WHERE word = 'northwind'", "table names: is not what follows"),
    "a digest": (f"INSERT INTO digests VALUES (x'{BLOB}', 'content', 3)", "table digests: is not what follows"),
    "a tree head": (
        "UPDATE heads SET note = (SELECT note FROM heads WHERE size = 3) WHERE size = 5",
        "tree head 5 of bureau.example/north: is stored in the place of another",
    ),
    "a signature of a tree head": (
        "UPDATE heads SET note = CAST(replace(note, 'bureau', 'burial') AS BLOB) WHERE size = 5",
        "tree head 5 of bureau.example/north: ",
    ),
    "the newest tree head": (
        "UPDATE logs SET head = (SELECT note FROM heads WHERE size = 5)",
        "newest tree head of bureau.example/north: is of size 5, expected that of size 32",
    ),
    "a definition": (
        "CREATE INDEX entries_by_leaf ON entries (leaf)",
        "its tables are not those of a registry",
    ),
    "a condition": (
        "UPDATE sqlite_schema SET sql = replace(sql, '= 140', '= 141') WHERE name = 'entries'",
        "table or index entries: is not defined as this version defines it",
    ),
    "whose log it is": ("UPDATE logs SET own = 0", "table logs: does not name bureau.example/north"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_in_the_database_is_named(folder: Path, damage: str) -> None:
    statement, expected = DAMAGE[damage]
    change(folder, "PRAGMA ignore_check_constraints = ON", "PRAGMA writable_schema = ON", statement)
    problems = check_folder(folder).problems
    assert any(expected in problem for problem in problems), problems


def test_every_message_says_what_to_do(folder: Path) -> None:
    for name, (statement, _) in DAMAGE.items():
        if name != "a definition":  # then nothing else of the database is looked at
            change(folder, "PRAGMA ignore_check_constraints = ON", "PRAGMA writable_schema = ON", statement)
    (folder / "log/tile/entries/000.p/32").write_bytes(b"")
    problems = check_folder(folder).problems
    assert problems
    for problem in problems:
        assert any(word in problem for word in ("restore", "Restore", "copy", "store it again")), problem


def flip(path: Path, byte: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte % len(data)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("log/tile/entries/000.p/32", "tile/entries/000.p/32: entry bundle"),
        ("log/tile/0/000.p/32", "tile/0/000.p/32: hash 0"),
        ("log/tile/0/000.p/5", "tile/0/000.p/5: not what the wider one starts with"),
        ("log/checkpoint", "checkpoint: "),
        ("log/state", "state: "),
        ("signed/tree-head", "signed/tree-head: "),
        ("policy.txt", "policy.txt: is not the policy that follows"),
        ("keys/bureau.json", "keys/bureau.json: "),
    ],
)
def test_damage_in_a_file_is_named(folder: Path, file: str, expected: str) -> None:
    flip(folder / file)
    problems = check_folder(folder).problems
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("log/tile/0/000.p/5", "tree head 5 of bureau.example/north"),
        ("log/state", "log/state: expected a file, found none"),
        ("log/checkpoint", "checkpoint: expected a signed tree head, found none"),
        ("signed/tree-head", "signed/tree-head: expected the tree head that was signed last, found none"),
        ("policy.txt", "policy.txt: "),
        ("keys/log.json", "keys/log.json: expected the key file of this registry, found none"),
        ("registry.sqlite", "registry.sqlite: it cannot be opened"),
    ],
)
def test_a_missing_file_is_named(folder: Path, file: str, expected: str) -> None:
    (folder / file).unlink()
    problems = check_folder(folder).problems
    assert any(expected in problem for problem in problems), problems


def test_blobs_are_hashed_again_and_looked_for(folder: Path) -> None:
    (blob,) = (path for path in (folder / "blobs").rglob("*") if path.is_file())
    with open_registry(folder, now=Clock()) as registry:
        registry.put_blob([b"before its entry"])
    assert (check_folder(folder).problems, check_folder(folder).counted["unreferenced"]) == ((), 1)
    flip(blob, 17)
    assert "the file was damaged or altered" in only_problem(check_folder(folder))
    blob.unlink()
    assert "an entry refers to it and it is not here" in only_problem(check_folder(folder))


def test_what_can_be_read_is_checked_without_a_database(folder: Path) -> None:
    (folder / "registry.sqlite").write_bytes(b"no database" * 500)
    (blob,) = (path for path in (folder / "blobs").rglob("*") if path.is_file())
    flip(blob)
    flip(folder / "log/tile/0/000.p/5")
    problems = check_folder(folder).problems
    assert [problem.partition(": ")[0].removeprefix(f"{folder}/")[:8] for problem in problems] == [
        "registry",
        "log",
        "blob sha",
    ]


def test_a_wrong_status_map_that_was_signed_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_registry(folder, now=Clock()) as registry:
        monkeypatch.setattr("whorl.registry.sequencer.spoken_against", lambda *_, **__: {})
        Writer(registry, lambda _: None).enter([model("other")])
        monkeypatch.undo()
    assert "entry 33 of bureau.example/north: is a status map that does not follow" in only_problem(
        check_folder(folder)
    )


def test_the_last_status_map_is_compared_however_much_work_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_maps_again, "MAP_READS", -1)
    with open_registry(folder, now=Clock()) as registry:
        sound = check_registry(registry)
        assert (sound.problems, sound.counted["status_maps"], sound.counted["maps_skipped"]) == ((), 1, 5)
        monkeypatch.setattr("whorl.registry.sequencer.spoken_against", lambda *_, **__: {})
        Writer(registry, lambda _: None).enter([model("other")])
        assert "is a status map that does not follow" in only_problem(check_registry(registry))


def test_an_entry_that_should_not_have_been_admitted_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The bureau took an entry that another key signed.
    with open_registry(folder, now=Clock()) as registry:
        writer = Writer(registry, lambda _: None)
        thief = Writer(registry, lambda _: None, first_random=650_000)
        monkeypatch.setattr("whorl.entries.statement.Statement.sign", _signed_by(thief))
        monkeypatch.setattr("whorl.registry.candidate.require_issuer_signed", lambda _: None)
        monkeypatch.setattr("whorl.registry.admission.require_issuer_signed", lambda _: None)
        monkeypatch.setattr("whorl.registry.admission.root_signers", lambda _: frozenset({writer.key.id}))
        writer.enter([model("stolen")])
        monkeypatch.undo()
    assert "entry 32 of bureau.example/north: breaks a rule of admission" in check_folder(folder).problems[0]


def _signed_by(thief: Writer):  # type: ignore[no-untyped-def]
    from whorl.entries.envelope import sign_envelope

    def sign(statement, key, *, cosigners=()):  # type: ignore[no-untyped-def]
        keys = key.private_keys if statement.kind == "statusmap" else thief.key.private_keys
        return sign_envelope(statement.to_payload(), keys)

    return sign


def test_the_check_changes_nothing(folder: Path) -> None:
    def content() -> dict[str, bytes]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {str(path): path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}

    before = content()
    check_folder(folder)
    assert content() == before


def test_it_is_no_registry(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"found no registry\.json"):
        check_folder(tmp_path)


def test_a_second_writer_is_told_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.writer_lock.PATIENCE_SECONDS", 0.1)
    with open_registry(folder, now=Clock()) as registry:
        with pytest.raises(RegistryBusyError, match="end it first, or name its address with --registry URL"):
            open_registry(folder)
        program = (
            f"from pathlib import Path; from whorl.registry.local import open_registry as o; o(Path({str(folder)!r}))"
        )
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert "RegistryBusyError" in other.stderr
        with read_registry(folder) as reader:  # readers need no lock
            assert reader.receipt(registry.sequencer.enter_own([]) or _first(folder))
    open_registry(folder, now=Clock()).close()


def _first(folder: Path) -> bytes:
    with read_registry(folder) as reader, reader.database.reading() as connection:
        digest = connection.execute(text("SELECT hash FROM entries WHERE idx = 4")).scalar_one()
        assert find_entry(connection, digest) is not None
    return bytes(digest)


def test_a_writer_that_died_gives_the_lock_back(folder: Path) -> None:
    program = (
        "import os; from pathlib import Path; from whorl.registry.local import open_registry as o; "
        f"held = o(Path({str(folder)!r})); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    open_registry(folder, now=Clock()).close()


def test_the_lock_needs_a_folder_that_can_be_written(tmp_path: Path) -> None:
    from whorl.registry.writer_lock import WriterLock

    (tmp_path / ".writer").mkdir()
    with pytest.raises(RegistryError, match="cannot be locked for writing"):
        WriterLock(tmp_path)


def test_a_registry_that_was_not_finished_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whorl.registry.local.write_settings", lambda _: sys.exit("power cut"))
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(SystemExit):
        create_registry(tmp_path / "half", origin=ORIGIN, bureau_name="Harbour Bureau", jurisdiction="NL")
    monkeypatch.undo()
    with pytest.raises(RegistryError, match="remove the folder, then give that command again"):
        open_registry(tmp_path / "half")
    lock = WriterLock(tmp_path / "half")
    with pytest.raises(RegistryError, match="another process is making it") as caught:
        open_registry(tmp_path / "half")
    assert "remove the folder" not in str(caught.value)
    lock.release()


@pytest.mark.parametrize(
    "found", [(), ("model.safetensors",), ("keys", "blobs", "signed", "vectors", "witness", "mine")]
)
def test_nobody_is_told_to_remove_a_folder_of_their_own(tmp_path: Path, found: tuple[str, ...]) -> None:
    for name in found:
        (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "models").mkdir(exist_ok=True)
    for place in (tmp_path / "models", tmp_path / "nothing"):
        with pytest.raises(RegistryError, match="expected a registry's folder, found") as caught:
            open_registry(place)
        assert "remove the folder" not in str(caught.value)


def test_what_does_not_fit_is_said_before_anything_is_made(tmp_path: Path) -> None:
    for name, jurisdiction, said in (
        ("Harbour Bureau", "nl", "--jurisdiction: .*found 'nl'"),
        ("Harbour\u202eBureau", "NL", "--name: .*invisible"),
        ("x" * 201, "NL", "--name: .*at most 200"),
    ):
        with pytest.raises(InputError, match=said):
            create_registry(tmp_path / "r", origin=ORIGIN, bureau_name=name, jurisdiction=jurisdiction)
    with pytest.raises(InputError, match="--origin"):
        create_registry(tmp_path / "r", origin="with space", bureau_name="Harbour Bureau", jurisdiction="NL")
    assert not (tmp_path / "r").exists()


def test_a_full_disk_leaves_nothing_of_a_registry_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for place in ("whorl.registry.home.write_durably", "whorl.registry.sequencer.sign_next"):
        monkeypatch.setattr(place, full)
        with pytest.raises(RegistryError, match="no registry was made and nothing of it is left") as caught:
            create_registry(tmp_path / "r", origin=ORIGIN, bureau_name="Harbour Bureau", jurisdiction="NL")
        assert "finished first" not in str(caught.value)
        assert not (tmp_path / "r").exists()
        monkeypatch.undo()


@pytest.mark.parametrize("gone", ["idx > 8", "idx = 5"])
def test_nothing_is_signed_on_top_of_rows_that_are_gone(folder: Path, gone: str) -> None:
    with sqlite3.connect(folder / "registry.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"DELETE FROM entries WHERE {gone}")
    connection.close()
    with pytest.raises(RegistryError, match=r"expected the 32 entries .* Nothing was signed.* fsck"):
        open_registry(folder)


def test_one_database_holds_one_registry(registry: LocalRegistry, tmp_path: Path) -> None:
    url = open_home(registry.home.path).database_url
    with pytest.raises(InputError, match="one database holds one registry"):
        create_registry(
            tmp_path / "other", origin="bureau.example/other", bureau_name="Other", jurisdiction="NL", database=url
        )
    assert not (tmp_path / "other").exists()
