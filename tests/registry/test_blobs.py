"""Blobs: what goes in comes out or is refused, whatever clients, crashes and neighbours do."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import InputError, VerificationError
from whorl.registry import blobs as blobs_module
from whorl.registry.blobs import Blob, BlobFolder
from whorl.registry.database_errors import RegistryError

MAX = 1 << 20


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "registry" / "blobs")


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def file_of(blobs: BlobFolder, data: bytes) -> Path:
    name = hashlib.sha256(data).hexdigest()
    return blobs.path / name[:2] / name[2:]


def everything(blobs: BlobFolder) -> list[Path]:
    return [path for path in blobs.path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("pieces", [[], [b""], [b"a"], [b"ab", b"", b"cd"], [bytes(100_000)] * 3])
def test_what_goes_in_comes_out(blobs: BlobFolder, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    stored = blobs.put(iter(pieces), max_bytes=MAX)
    assert stored == Blob(digest=digest(data), size=len(data))
    assert blobs.get(stored.digest, max_bytes=len(data)) == data
    assert file_of(blobs, data).read_bytes() == data
    assert blobs.holds(stored.digest)
    assert list(blobs.digests()) == [stored.digest]
    assert everything(blobs) == [file_of(blobs, data)]


def test_a_folder_lists_and_deletes(blobs: BlobFolder) -> None:
    assert list(blobs.digests()) == []
    assert blobs.clear_partial() == 0
    stored = sorted(blobs.put([b"%d" % number], max_bytes=9).digest for number in range(300))
    assert list(blobs.digests()) == stored
    assert blobs.delete(stored[0])
    assert not blobs.delete(stored[0])
    assert not blobs.holds(stored[0])
    assert list(blobs.digests()) == stored[1:]
    with pytest.raises(InputError, match="found none with the digest"):
        blobs.get(stored[0], max_bytes=9)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "sha256:",
        "../../etc/passwd",
        "sha256:../../../../etc/passwd".ljust(71, "x"),
        f"sha256:{'0' * 63}",
        f"sha256:{'0' * 65}",
        f"sha256:{'0' * 64}\n",
        f"\nsha256:{'0' * 64}",
        f"sha256:{'A' * 64}",
        f"SHA256:{'0' * 64}",
        f"sha256:{'0' * 62}/.",
        f"sha256:{'٠' * 64}",
        f"sha256:{'0' * 32}\x00{'0' * 31}",
        f"sha512:{'0' * 64}",
        f"sha256:{'0' * 31} {'0' * 32}",
    ],
)
def test_what_is_no_digest_never_becomes_a_path(blobs: BlobFolder, name: str) -> None:
    blobs.put([b"x"], max_bytes=9)
    for ask in (lambda: blobs.get(name, max_bytes=9), lambda: blobs.holds(name), lambda: blobs.delete(name)):
        with pytest.raises(InputError, match="expected a digest such as sha256:9f86d0"):
            ask()
    with pytest.raises(InputError, match="expected a digest such as"):
        blobs.put([b"x"], max_bytes=9, expected=name)
    assert len(everything(blobs)) == 1


@given(st.text(max_size=80))
def test_no_text_is_a_path(name: str) -> None:
    with pytest.raises(InputError):
        BlobFolder(Path("/nonexistent")).holds(name)


def test_too_much_is_refused_before_it_is_stored(blobs: BlobFolder) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield bytes(1000)

    with pytest.raises(InputError, match="expected a blob of at most 4500 bytes, found more; nothing was stored"):
        blobs.put(endless(), max_bytes=4500)
    assert taken == 5000
    assert everything(blobs) == []


def test_another_content_than_expected_is_refused(blobs: BlobFolder) -> None:
    with pytest.raises(VerificationError, match=r"expected a blob with the digest sha256:.*; send it again"):
        blobs.put([b"this"], max_bytes=9, expected=digest(b"that"))
    assert everything(blobs) == []
    assert blobs.put([b"that"], max_bytes=9, expected=digest(b"that")).size == 4


def test_a_sender_who_breaks_off_leaves_nothing(blobs: BlobFolder) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionAbortedError("gone")

    with pytest.raises(RegistryError):
        blobs.put(broken(), max_bytes=99)
    assert everything(blobs) == []


@pytest.mark.parametrize("damage", [b"", b"conten", b"contenT", b"content and more"])
def test_a_damaged_file_is_noticed_and_healed_by_the_same_content(blobs: BlobFolder, damage: bytes) -> None:
    stored = blobs.put([b"content"], max_bytes=99)
    file_of(blobs, b"content").write_bytes(damage)
    with pytest.raises(VerificationError, match="the file was damaged or altered; store it again"):
        blobs.get(stored.digest, max_bytes=99)
    assert blobs.put([b"content"], max_bytes=99) == stored
    assert blobs.get(stored.digest, max_bytes=99) == b"content"


def test_a_blob_larger_than_asked_for_is_not_read(blobs: BlobFolder) -> None:
    stored = blobs.put([bytes(100)], max_bytes=100)
    with pytest.raises(InputError, match="expected at most 99 bytes, found 100"):
        blobs.get(stored.digest, max_bytes=99)


def test_links_and_devices_in_the_place_of_a_blob_are_not_followed(blobs: BlobFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    target = file_of(blobs, b"secret")
    target.parent.mkdir(parents=True)
    target.symlink_to(secret)
    with pytest.raises(RegistryError, match="cannot be read or stored"):
        blobs.get(digest(b"secret"), max_bytes=99)
    target.unlink()
    os.mkfifo(target)
    with pytest.raises(RegistryError, match="expected a file, found something else"):
        blobs.get(digest(b"secret"), max_bytes=99)
    target.unlink()
    target.mkdir()
    with pytest.raises(RegistryError, match="cannot be read or stored"):
        blobs.get(digest(b"secret"), max_bytes=99)


def test_many_who_store_the_same_at_once_store_it_once(blobs: BlobFolder) -> None:
    data = os.urandom(200_000)
    results: list[Blob] = []
    barrier = threading.Barrier(8)

    def store() -> None:
        barrier.wait(30)
        results.append(blobs.put([data[:1000], data[1000:]], max_bytes=MAX))

    threads = [threading.Thread(target=store) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [Blob(digest=digest(data), size=len(data))] * 8
    assert everything(blobs) == [file_of(blobs, data)]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_state(blobs: BlobFolder, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    kept = blobs.put([b"kept"], max_bytes=9)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(blobs_module.os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RegistryError, match=r"No space left on device.*check the disk, its free space"):
        blobs.put([b"lost"], max_bytes=9)
    monkeypatch.undo()
    assert not blobs.holds(digest(b"lost"))
    assert everything(blobs) == [file_of(blobs, b"kept")]
    assert blobs.get(kept.digest, max_bytes=9) == b"kept"


def test_what_a_crash_left_half_written_is_no_blob_and_is_cleared(blobs: BlobFolder) -> None:
    stored = blobs.put([b"whole"], max_bytes=9)
    (blobs.path / "partial" / "abcdef").write_bytes(b"half a blob")
    (blobs.path / "ab").mkdir(exist_ok=True)
    (blobs.path / "ab" / "notes.txt").write_text("somebody's")
    assert list(blobs.digests()) == [stored.digest]
    assert blobs.clear_partial() == 1
    assert blobs.clear_partial() == 0
    assert list(blobs.digests()) == [stored.digest]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RegistryError, match="blobs cannot be read or stored"):
        BlobFolder(tmp_path / "file" / "blobs").put([b"x"], max_bytes=9)
