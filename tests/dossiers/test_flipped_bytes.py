"""One changed byte anywhere in a dossier is found: in its structure every byte, in its contents a sample."""

import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_case import whole_case

from whorl.core.errors import InputError
from whorl.dossiers.archive import Archive, open_archive
from whorl.dossiers.verifying import verify_dossier

NOW = datetime(2026, 11, 27, tzinfo=UTC)
HEADER_BYTES = 30


@pytest.fixture(scope="module")
def dossier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flipped") / "x.dossier"
    whole_case().build(out)
    return out


@pytest.fixture
def flipped(dossier: Path) -> Iterator[Callable[[int, int], None]]:
    """Change one byte of the file in its place; called again with the same, it changes it back."""
    before = dossier.read_bytes()
    descriptor = os.open(dossier, os.O_RDWR)

    def flip(at: int, change: int) -> None:
        os.pwrite(descriptor, bytes([os.pread(descriptor, 1, at)[0] ^ change]), at)

    yield flip
    os.close(descriptor)
    assert dossier.read_bytes() == before


def damaged(archive: Archive) -> bool:
    return any(archive.measure(name).crc != entry.crc for name, entry in archive.entries.items())


def test_every_byte_of_the_structure(dossier: Path, flipped: Callable[[int, int], None]) -> None:
    """Headers, directory and end: whatever is no content."""
    with open_archive(dossier) as archive:
        entries = list(archive.entries.values())
    structure = [at for one in entries for at in range(one.offset, one.offset + HEADER_BYTES + len(one.name))]
    structure += range(entries[-1].end, dossier.stat().st_size)
    draw = random.Random(1)
    for at in structure:
        change = draw.randrange(1, 256)
        flipped(at, change)
        with pytest.raises(InputError):
            _read_whole(dossier)
        flipped(at, change)
    assert not _read_whole(dossier)


def _read_whole(path: Path) -> None:
    with open_archive(path) as archive:
        if damaged(archive):
            raise InputError("damaged")


def test_a_sample_of_all_bytes_by_the_whole_verification(dossier: Path, flipped: Callable[[int, int], None]) -> None:
    draw = random.Random(2)
    size = dossier.stat().st_size
    for at in (*draw.sample(range(size), 150), 0, size - 1):
        change = draw.randrange(1, 256)
        flipped(at, change)
        assert verify_dossier(dossier, now=NOW).failed[0].number == 1, at
        flipped(at, change)
    assert not verify_dossier(dossier, now=NOW).failed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pieces_cut_out_copied_or_overwritten_never_raise_and_never_pass(
    dossier: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = dossier.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    gone = data.draw(st.integers(0, 400))
    piece = data.draw(st.one_of(st.binary(max_size=60), st.integers(0, len(whole)).map(lambda n: whole[n : n + 100])))
    changed = whole[:at] + piece + whole[at + gone :]
    if changed == whole:
        return
    path = tmp_path / "y.dossier"
    path.write_bytes(changed)
    assert verify_dossier(path, now=NOW).failed
