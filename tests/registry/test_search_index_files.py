"""The index's folder: durable, whole or said not to be, free of what was removed, never of two schemes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from search_population import population, rows_of

from whorl.registry.search_index import SearchIndex
from whorl.registry.search_vectors import Hit, SearchIndexError, VectorRow, scheme_id

DIMENSION = 64
SCHEME = scheme_id("fingerprint/1", DIMENSION)
ROWS = rows_of(population(np.random.default_rng(1), families=50, members=10, dimension=DIMENSION).vectors)


def opened(folder: Path, **other: object) -> SearchIndex:
    """Files of 100 rows, finished ones with sketches."""
    options = {"scheme": SCHEME, "dimension": DIMENSION, "exact_bytes": 0, "segment_bytes": 100 * DIMENSION} | other
    return SearchIndex.open(folder, **options)


def filled(folder: Path, count: int = 250) -> Path:
    with opened(folder) as index:
        index.add(ROWS[:count])
    return folder


def answers(index: SearchIndex) -> list[list[Hit]]:
    return [index.search(ROWS[row].vector, top=5, per_group=1) for row in (0, 77, 150, 249)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def holds_any_of(folder: Path, row: VectorRow) -> bool:
    """Whether some eight numbers of the vector in a row are in one of the files."""
    vector = row.vector.tobytes()
    windows = [vector[start : start + 8] for start in range(len(vector) - 7)]
    return any(window in path.read_bytes() for path in folder.iterdir() for window in windows)


def test_what_was_added_is_there_when_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        assert index.add(ROWS[:130]) == 130
        assert index.add(ROWS[120:250]) == 120
        before = answers(index)
    with opened(tmp_path) as index:
        assert index.needs_rebuild is None
        assert index.count == 250
        assert index.keys().tolist() == list(range(250))
        assert answers(index) == before
        assert [hits[0].key for hits in before] == [0, 77, 150, 249]
    assert names(tmp_path) == [
        "index.json",
        "lock",
        *(f"rows-00000{number}.bin" for number in range(3)),
        *(f"sketches-00000{number}.bin" for number in range(2)),
    ]


def test_a_row_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        assert index.add(ROWS[:150]) == 150
        assert index.add(ROWS[:150]) == 0
        assert index.add([ROWS[3], ROWS[160], ROWS[160], ROWS[149]]) == 1
        for other in (
            VectorRow(key=3, group=4, vector=ROWS[3].vector),
            VectorRow(key=3, group=3, vector=ROWS[5].vector),
        ):
            with pytest.raises(SearchIndexError, match=r"row 3: expected what the index holds under this key"):
                index.add([ROWS[200], other])
        with pytest.raises(SearchIndexError, match=r"row 300: expected one vector and one claimant, found two"):
            index.add([ROWS[300], VectorRow(key=300, group=7, vector=ROWS[300].vector)])
        assert index.count == 151


def test_rows_come_in_any_order(tmp_path: Path) -> None:
    mixed = [ROWS[place] for place in np.random.default_rng(2).permutation(250)]
    with opened(tmp_path / "mixed") as left, opened(filled(tmp_path / "in order")) as right:
        for start in range(0, 250, 50):
            left.add(mixed[start : start + 50])
        assert left.add(ROWS[:250]) == 0
        assert left.keys().tolist() == right.keys().tolist()
        left.rebuild(mixed)
        right.rebuild(ROWS[:250])
        for one, other in zip(answers(left), answers(right), strict=True):
            assert [hit.key for hit in one] == [hit.key for hit in other]


@pytest.mark.parametrize("removed", [[7], [249], [7, 60, 110, 249], list(range(100)), list(range(200, 250))])
def test_nothing_of_a_removed_row_is_left_in_the_folder(tmp_path: Path, removed: list[int]) -> None:
    filled(tmp_path)
    assert all(holds_any_of(tmp_path, ROWS[key]) for key in removed)
    with opened(tmp_path) as index:
        assert index.remove([*removed, 4000, 2**70, -1]) == len(removed)
        assert not any(holds_any_of(tmp_path, ROWS[key]) for key in removed)
        left = [key for key in range(250) if key not in removed]
        assert index.keys().tolist() == left
        assert not {hit.key for hit in index.search(ROWS[removed[0]].vector, top=250, per_group=1)} & set(removed)
        shown = answers(index)
    with opened(tmp_path) as index:
        assert index.needs_rebuild is None
        assert answers(index) == shown
        assert index.add([ROWS[key] for key in removed]) == len(removed)
        assert index.search(ROWS[removed[0]].vector, top=1, per_group=1)[0].key == removed[0]


def test_removing_rows_takes_them_out_of_the_mean(tmp_path: Path) -> None:
    with opened(filled(tmp_path)) as index:
        before = index._shown().mean
        assert before.voices
        index.remove(range(240))
        assert index._shown().mean.voices == 0
        index.remove(range(250))
        assert index.count == 0
        assert index.search(ROWS[0].vector, top=1, per_group=1) == []


def test_the_mean_is_frozen_until_the_rows_have_doubled(tmp_path: Path) -> None:
    estimated_at = []
    with opened(tmp_path) as index:
        for row in ROWS[:170]:
            index.add([row])
            estimated_at.append(index._shown().mean.rows if index._shown().mean.voices else 0)
    assert sorted(set(estimated_at)) == [0, 20, 40, 80, 160]
    assert estimated_at[18:20] == [0, 20]


@pytest.mark.parametrize(
    "other",
    [
        {"scheme": "fingerprint/2;64;int8"},
        {"scheme": "fingerprint/1;32;int8", "dimension": 32},
        {"dimension": 32},
    ],
)
def test_schemes_are_never_mixed(tmp_path: Path, other: dict[str, object]) -> None:
    filled(tmp_path)
    with pytest.raises(SearchIndexError, match=r"expected vectors of .* found an index of 'fingerprint/1;64;int8'"):
        opened(tmp_path, **other)
    with opened(tmp_path) as index:
        assert index.count == 250


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "rows-000002.bin"
    whole = path.read_bytes()
    record = len(whole) // 50
    for left in (len(whole) - 1, len(whole) - record + 5, len(whole) - 3 * record, 7, 0):
        path.write_bytes(whole[:left])
        expected = 200 + left // record
        with opened(tmp_path) as index:
            assert index.needs_rebuild is None
            assert index.keys().tolist() == list(range(expected))
            assert index.add(ROWS[:250]) == 250 - expected
        assert path.read_bytes() == whole
    path.write_bytes(whole + bytes(5 * record))  # more was torn than is added next
    with opened(tmp_path) as index:
        assert index.add(ROWS[:251]) == 1
    assert path.stat().st_size == len(whole) + record
    path.write_bytes(whole[:-record] + bytes(record))  # the file had grown, but its content was not yet on the disk
    with opened(tmp_path) as index:
        assert index.count == 249
        assert index.add(ROWS[:252]) == 3


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the list": lambda folder: flip(folder / "index.json", 40),
    "no list": lambda folder: (folder / "index.json").unlink(),
    "an empty list": lambda folder: (folder / "index.json").write_bytes(b""),
    "a list of another format": lambda folder: (folder / "index.json").write_bytes(b'{"content":{},"sha256":"00"}'),
    "a bit of a finished file": lambda folder: flip(folder / "rows-000000.bin", 4000),
    "a bit of a key": lambda folder: flip(folder / "rows-000001.bin", 0),
    "a short finished file": lambda folder: os.truncate(folder / "rows-000001.bin", 100),
    "no finished file": lambda folder: (folder / "rows-000000.bin").unlink(),
    "a bit of a growing file": lambda folder: flip(folder / "rows-000002.bin", 100),
    "no growing file": lambda folder: (folder / "rows-000002.bin").unlink(),
    "a bit of the sketches": lambda folder: flip(folder / "sketches-000001.bin", -1),
    "no sketches": lambda folder: (folder / "sketches-000000.bin").unlink(),
    "another segment's file": lambda folder: shutil.copy(folder / "rows-000000.bin", folder / "rows-000001.bin"),
    "an earlier growing file": lambda folder: shutil.copy(folder / "rows-000000.bin", folder / "rows-000002.bin"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_index_says_so_and_can_be_rebuilt(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(filled(tmp_path))
    with opened(tmp_path) as index:
        if index.needs_rebuild is None:  # records that belong to another file are no rows: all of them were torn off
            assert index.keys().tolist() == list(range(200))
            return
        for refused in (
            lambda: index.search(ROWS[0].vector, top=1, per_group=1),
            lambda: index.add(ROWS[:1]),
            lambda: index.remove([1]),
            lambda: index.hubness(1, sample=1, generator=np.random.default_rng(0)),
            lambda: index.count,
            index.keys,
        ):
            with pytest.raises(SearchIndexError, match=r"expected a whole search index, found that .*; rebuild it"):
                refused()
        index.rebuild(ROWS[:250])
        assert index.needs_rebuild is None
        assert index.count == 250
        rebuilt = answers(index)
        index.add(ROWS[250:260])
    with opened(tmp_path) as index:
        assert index.needs_rebuild is None
        assert index.count == 260
        assert [hits[0].key for hits in rebuilt] == [0, 77, 150, 249]


def test_damage_while_the_index_is_open_is_mended(tmp_path: Path) -> None:
    with opened(filled(tmp_path)) as index:
        flip(tmp_path / "index.json", 40)
        with pytest.raises(SearchIndexError, match=r"index\.json does not fit its checksum; rebuild it"):
            index.add(ROWS[250:260])
        index.rebuild(ROWS[:260])
        assert index.count == 260
    with opened(tmp_path) as index:
        flip(tmp_path / "index.json", 40)
        index.rebuild(ROWS[:270])
        assert index.count == 270
    with opened(tmp_path) as index:
        assert index.count == 270


def test_a_list_with_a_right_checksum_is_still_checked(tmp_path: Path) -> None:
    from whorl.core.digest import canonical_json, digest_bytes

    path = filled(tmp_path) / "index.json"
    content = json.loads(path.read_bytes())["content"]
    for changed in (
        {"segments": content["segments"][::-1]},
        {"origin": "AAAA"},
        {"dimension": 0},
        {"format": "whorl.search_index/2"},
        {"unknown": 1},
        {"segments": [{**content["segments"][0], "rows": 10**15}]},
    ):
        body = content | changed
        sha256 = digest_bytes(canonical_json(body)).removeprefix("sha256:")
        path.write_bytes(canonical_json({"content": body, "sha256": sha256}))
        with opened(tmp_path) as index:
            assert index.needs_rebuild is not None


def test_left_over_files_are_deleted(tmp_path: Path) -> None:
    """What a crash leaves between writing a new list and deleting the old files holds removed rows."""
    filled(tmp_path)
    before = names(tmp_path)
    for name in ("rows-000077.bin", "sketches-000077.bin", ".0123456789abcdef.partial"):
        shutil.copy(tmp_path / "rows-000000.bin", tmp_path / name)
    with opened(tmp_path) as index:
        assert names(tmp_path) == before
        assert index.count == 250


def test_a_failed_rebuild_leaves_the_old_index(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path) as index:
        before = answers(index)
        bad = VectorRow(key=9999, group=1, vector=np.zeros(DIMENSION, np.int8))
        for rows in ([*ROWS[:240], bad], [*ROWS * 9, ROWS[3]]):
            with pytest.raises(SearchIndexError, match=r"row 9999: expected a vector|row \d+: expected each key once"):
                index.rebuild(rows)
            assert answers(index) == before
        assert index.add(ROWS[250:260]) == 10
        assert index.count == 260
        assert len(names(tmp_path)) == 7


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    with opened(tmp_path) as index:
        index.add(ROWS[:90])
        before = answers_of(index, 90)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), refuse)
            for change in (lambda: index.add(ROWS[90:250]), lambda: index.rebuild(ROWS), lambda: index.remove([5])):
                with pytest.raises(SearchIndexError, match="No space left on device; free some space"):
                    change()
            assert answers_of(index, 90) == before
        index.add(ROWS[:250])
        assert index.keys().tolist() == list(range(250))
        shown = answers(index)
    with opened(tmp_path) as index:
        assert index.keys().tolist() == list(range(250))
        assert answers(index) == shown


def answers_of(index: SearchIndex, count: int) -> list[list[Hit]]:
    return [index.search(ROWS[row].vector, top=5, per_group=1) for row in range(0, count, 20)]


def test_two_processes_add_to_one_index(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; import test_search_index_files as files;"
        "index = files.opened(Path(sys.argv[2]));"
        "[index.add(files.ROWS[start : start + 5]) for start in range(int(sys.argv[3]), 250, 10)]"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)]
    with opened(tmp_path) as index:
        processes = [subprocess.Popen([*command, first]) for first in ("0", "5")]
        assert [process.wait() for process in processes] == [0, 0]
        assert index.count == 0  # as it was when opened
        assert index.add(ROWS[250:251]) == 1
        assert index.keys().tolist() == list(range(251))
        assert [hits[0].key for hits in answers(index)] == [0, 77, 150, 249]


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SearchIndexError, match=r"expected a folder for the search index"):
        opened(tmp_path / "file")
