"""The archive: what was written is read, any ZIP tool unpacks it, and whatever else a ZIP file can be is refused."""

import io
import os
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_zip import Member, raw_zip

from whorl.core.errors import InputError
from whorl.dossiers import archive
from whorl.dossiers.archive import ArchiveWriter, name_problem, open_archive

FILES = {"dossier/a.txt": b"", "dossier/b/c.txt": b"first", "dossier/b/d.txt": bytes(range(256)) * 9}


def written(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    writer = ArchiveWriter(out.write)
    for name in sorted(files):
        writer.add(name, size=len(files[name]), crc=zlib.crc32(files[name]), pieces=[files[name]])
    writer.finish()
    return out.getvalue()


def opened(folder: Path, data: bytes) -> dict[str, bytes]:
    path = folder / "x.dossier"
    path.write_bytes(data)
    with open_archive(path) as found:
        return {name: found.read(name, most=1 << 20) for name in found.entries}


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        opened(folder, data)
    return str(caught.value)


def member(name: str = "dossier/a.txt", content: bytes = b"text", **changes: object) -> Member:
    return Member(name=name.encode(), content=content, **changes)  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,5}(/[a-z0-9]{1,4}){0,2}", fullmatch=True), st.binary(), min_size=1))
def test_what_was_written_is_read_here_and_by_another_reader(tmp_path: Path, files: dict[str, bytes]) -> None:
    files = {name: content for name, content in files.items() if name_problem(name) is None}
    if not files:
        return
    data = written(files)
    assert opened(tmp_path, data) == files
    with zipfile.ZipFile(io.BytesIO(data)) as peer:
        assert peer.testzip() is None
        assert {name: peer.read(name) for name in peer.namelist()} == files
        assert {entry.date_time for entry in peer.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_other_writer_of_these_tests_writes_the_same() -> None:
    members = [member(name, content) for name, content in sorted(FILES.items())]
    assert raw_zip(members) == written(FILES)


def test_every_flipped_bit_of_every_byte_is_found(tmp_path: Path) -> None:
    data = bytearray(written({"dossier/a.txt": b"abc"}))
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            with pytest.raises(InputError):
                opened(tmp_path, bytes(data))
            data[at] ^= 1 << bit


def test_every_shorter_or_longer_file_is_refused(tmp_path: Path) -> None:
    data = written(FILES)
    for size in [*range(0, len(data), 7), len(data) - 1]:
        refused(tmp_path, data[:size])
    refused(tmp_path, data + b"\0")
    refused(tmp_path, data + data)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("c:/x", "absolute"),
        ("dossier/../../x", "leaves its folder"),
        ("dossier/./x", "leaves its folder"),
        ("..", "leaves its folder"),
        ("dossier\\x", "backslash"),
        ("dossier//x", "other characters"),
        ("dossier/", "a folder"),
        ("dossier/Report.html", "other characters"),
        ("dossier/r\u00e9port", "other characters"),
        ("dossier/x ", "other characters"),
        ("dossier/x.", "begins or ends a part"),
        ("dossier/.x", "begins or ends a part"),
        ("dossier/x\0y", "other characters"),
        ("dossier/con", "device"),
        ("dossier/lpt1.txt", "device"),
        ("", "empty"),
        ("a" * 161, "longer"),
        ("a" * 60_000, "a directory of"),
    ],
)
def test_a_name_that_could_do_harm_is_refused(tmp_path: Path, name: str, why: str) -> None:
    assert why in refused(tmp_path, raw_zip([member(), Member(name=name.encode(), content=b"x")]))
    with pytest.raises(ValueError, match="the name"):
        ArchiveWriter(io.BytesIO().write).add(name, size=0, crc=0, pieces=[])


def test_one_name_on_any_file_system_cannot_stand_twice(tmp_path: Path) -> None:
    assert "a name twice" in refused(tmp_path, raw_zip([member(), member()]))
    assert "A.txt" in refused(tmp_path, raw_zip([member("dossier/A.txt"), member("dossier/a.txt")]))
    composed, apart = "dossier/\u00e9", "dossier/e\u0301"
    assert "other characters" in refused(tmp_path, raw_zip([member(composed), member(apart)]))


BOMB = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB_DATA = BOMB.compress(bytes(10 << 20)) + BOMB.flush()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (raw_zip([member(content=bytes(10 << 20), stored=BOMB_DATA, method=8)]), "compressed"),
        (raw_zip([member(method=8)]), "compressed"),
        (raw_zip([member(method=12)]), "method 12"),
        (raw_zip([member(method=99)]), "method 99"),
        (raw_zip([member(stored=b"x", size=1 << 31)]), "compressed"),
        (raw_zip([member(flags=1)]), "encrypted"),
        (raw_zip([member(flags=0x40)]), "encrypted"),
        (raw_zip([member(flags=8)]), "not as Whorl writes it"),
        (raw_zip([member(flags=0x800)]), "not as Whorl writes it"),
        (raw_zip([member(date=0x5B7B)]), "not as Whorl writes it"),
        (raw_zip([member(attributes=0o120777 << 16)]), "a link"),
        (raw_zip([member(attributes=0o040755 << 16)]), "a folder"),
        (raw_zip([member(attributes=0o100755 << 16)]), "plain file"),
        (raw_zip([member(comment=b"look")]), "a comment"),
        (raw_zip([member(extra=b"\x01\x00\x08\x00" + bytes(8))]), "extra fields or ZIP64"),
        (raw_zip([member(extra=b"\x75\x70\x06\x00\x01" + bytes(5))]), "extra fields or ZIP64"),
        (raw_zip([member(size=0xFFFFFFFF, stored_size=0xFFFFFFFF)]), "ZIP64"),
        (raw_zip([member()], before=b"#!/bin/sh\n"), "at its start"),
        (raw_zip([member()], before=raw_zip([member()])), "an overlap, or a gap"),
        (raw_zip([member(after=b"hidden"), member("dossier/b.txt")]), "an overlap, or a gap"),
        (raw_zip([member(after=b"hidden")]), "belong to none"),
        (raw_zip([member()], between=b"hidden"), "belong to none"),
        (raw_zip([member()], after=b"hidden"), "no end of a directory"),
        (raw_zip([member()], comment=b"hidden"), "no end of a directory"),
        (raw_zip([member()], comment=raw_zip([member()])), "before, between or after"),
        (raw_zip([member(), member("dossier/b.txt", offset=0)]), "an overlap, or a gap"),
        (raw_zip([member(), member("dossier/b.txt", size=400, stored_size=400)]), "reaching into the directory"),
        (raw_zip([member(local_name=b"dossier/z.txt")]), "differs from the directory"),
        (raw_zip([member(local={"size": 3})]), "differs from the directory"),
        (raw_zip([member(local={"stored_size": 3})]), "differs from the directory"),
        (raw_zip([member(local={"method": 8})]), "differs from the directory"),
        (raw_zip([member(local={"flags": 1})]), "differs from the directory"),
        (raw_zip([member(local={"crc": 1})]), "differs from the directory"),
        (raw_zip([member("dossier/b.txt"), member("dossier/a.txt")]), "out of order"),
        (raw_zip([member()], count=2), "fewer files"),
        (raw_zip([member(), member("dossier/b.txt")], count=1), "for 1 files|belong to none"),
        (raw_zip([member()], count=0), "0 files"),
        (raw_zip([member()], count=0xFFFF), "65535 files"),
        (raw_zip([member()], disk=1), "several disks"),
        (raw_zip([]), "at its start"),
        (b"", "0 bytes"),
        (b"%PDF-1.7" + bytes(40), "at its start"),
    ],
)
def test_what_is_not_as_whorl_writes_it_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    message = refused(tmp_path, data)
    assert any(one in message for one in why.split("|")), message


def test_caps_are_asked_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(FILES)
    for name, value, why in (
        ("MAX_ENTRIES", 2, "3 files"),
        ("MAX_ENTRY_BYTES", 100, "found more"),
        ("MAX_ARCHIVE_BYTES", len(data) - 1, f"{len(data)} bytes"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(archive, name, value)
            assert why in refused(tmp_path, data)
            if name != "MAX_ARCHIVE_BYTES":
                with pytest.raises(InputError, match="found more"):
                    written(FILES)
    assert opened(tmp_path, data) == FILES


def test_a_whole_file_is_read_within_its_cap_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.dossier"
    path.write_bytes(written(FILES))
    with open_archive(path) as found, pytest.raises(InputError, match="at most 4 bytes, found 5"):
        found.read("dossier/b/c.txt", most=4)


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", Path("a\0b")):
        with pytest.raises(InputError), open_archive(path):
            pass


def test_a_content_that_changed_since_it_was_measured_is_not_written() -> None:
    writer = ArchiveWriter(io.BytesIO().write)
    with pytest.raises(InputError, match="it changed"):
        writer.add("dossier/a", size=3, crc=zlib.crc32(b"abc"), pieces=[b"abd"])
    writer = ArchiveWriter(io.BytesIO().write)
    writer.add("b", size=0, crc=0, pieces=[])
    with pytest.raises(ValueError, match="names must ascend"):
        writer.add("a", size=0, crc=0, pieces=[])
