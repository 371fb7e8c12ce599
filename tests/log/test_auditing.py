"""An audit names what is wrong and where, goes on after it, and ends."""

from pathlib import Path

import pytest
from kept_logs import audited, flip, new_log, opened
from signing_parties import AT, LOG, ORIGIN, party, records, root_of

from whorl.core.errors import InputError
from whorl.log.auditing import LogReport, verify_folder, verify_log
from whorl.log.folder import LogFolder
from whorl.log.merkle import leaf_hash, root_of_leaves
from whorl.log.signing import sign_next
from whorl.log.tiles import encode_bundle
from whorl.log.tree_heads import TreeHead, sign_tree_head


@pytest.fixture
def log(tmp_path: Path) -> LogFolder:
    """1,000 entries, published at 700 and at the end."""
    log = new_log(tmp_path / "log", records(700))
    for size in (700, 1000):
        log.append(records(size)[log.size :])
        log.publish(sign_next(log, [LOG], last_signed=tmp_path / "last", now=AT).to_bytes())
    return log


def checked(log: LogFolder) -> tuple[str, ...]:
    return verify_log(log, open_head=opened).problems


def test_a_whole_log_has_no_problems_and_says_how_far_it_is(log: LogFolder) -> None:
    said: list[tuple[str, int, int]] = []
    report = verify_folder(log, open_head=opened, progress=lambda *step: said.append(step))
    assert (report.size, report.problems) == (1000, ())
    assert report.head is not None
    assert said == [("entries", done, 1000) for done in (256, 512, 768, 1000)]


@pytest.mark.parametrize(
    ("victim", "bit", "place"),
    [
        ("tile/entries/001", 20, "tile/0/001: hash 0 is not that of entry 256"),
        ("tile/0/001", 8 * 32 * 7, "tile/0/001: hash 7 is not that of entry 263"),
        ("tile/1/000.p/3", 8 * 64, "tile/1/000.p/3: hash 2 is not that of tile/0, number 2"),
        ("tile/entries/003.p/232", 20, "tile/0/003.p/232: hash 0 is not that of entry 768"),
        ("tile/entries/001", 0, "tile/entries/001: entry bundle: expected 256 whole entries"),
    ],
)
def test_one_flipped_bit_is_one_problem_with_its_place(log: LogFolder, victim: str, bit: int, place: str) -> None:
    flip(log.path / victim, bit)
    (problem,) = checked(log)
    assert problem.startswith(place)
    assert audited(log).problems == (problem,)


@pytest.mark.parametrize("victim", ["tile/entries/001", "tile/0/001", "tile/1/000.p/3", "tile/entries/003.p/232"])
def test_a_missing_file_is_one_problem_and_the_rest_is_looked_at(log: LogFolder, victim: str) -> None:
    (log.path / victim).unlink()
    flip(log.path / "tile/entries/002", 20)
    problems = checked(log)
    assert len(problems) == 2
    assert sum(victim in problem and "found none" in problem for problem in problems) == 1
    assert sum("tile/0/002" in problem for problem in problems) == 1


def test_a_bundle_and_its_tile_that_agree_are_held_against_the_tile_above(log: LogFolder) -> None:
    """Somebody altered an entry and made the level-0 tile anew."""
    entries = [b"another", *records(512)[257:]]
    (log.path / "tile/entries/001").write_bytes(encode_bundle(entries))
    (log.path / "tile/0/001").write_bytes(b"".join(leaf_hash(entry) for entry in entries))
    (problem,) = checked(log)
    assert problem.startswith("tile/1/000.p/3: hash 1 is not that of tile/0, number 1")
    # and the tile above as well: then the signed root is left
    tile = (log.path / "tile/1/000.p/3").read_bytes()
    (log.path / "tile/1/000.p/3").write_bytes(
        tile[:32] + root_of_leaves([leaf_hash(entry) for entry in entries]) + tile[64:]
    )
    (problem,) = checked(log)
    assert problem.startswith("checkpoint: the entries do not give its root, size 1000")


def test_a_tree_head_by_a_stranger_ends_the_audit(log: LogFolder) -> None:
    stranger = party(ORIGIN, "ed25519", 5)
    note = sign_tree_head(TreeHead(origin=ORIGIN, size=1000, root=log.root), [stranger], at=AT)
    (log.path / "checkpoint").write_bytes(note.to_bytes())
    report = verify_log(log, open_head=opened)
    assert (report.head, report.size) == (None, 0)
    (problem,) = report.problems
    assert problem.startswith("checkpoint: ")


def test_a_folder_is_checked_beyond_what_is_published(log: LogFolder) -> None:
    log.append(records(1010)[1000:])
    assert audited(log).problems == ()
    newest = log.path / "tile/entries/003.p/242"
    flip(newest, 8 * newest.stat().st_size - 1)
    assert checked(log) == ()
    assert len(audited(log).problems) == 1


def test_partial_files_of_earlier_tree_heads_are_checked(log: LogFolder) -> None:
    log.append(records(1010)[1000:])
    for name in ("tile/0/003.p/232", "tile/1/000.p/2", "tile/entries/003.p/232"):
        flip(log.path / name, 9)
    problems = audited(log).problems
    assert [one.split(":")[0] for one in sorted(problems)] == [
        "tile/0/003.p/232",
        "tile/1/000.p/2",
        "tile/entries/003.p/232",
    ]


def test_a_folder_without_state_or_with_an_older_one_is_told_so(log: LogFolder, tmp_path: Path) -> None:
    state = (log.path / "state").read_bytes()
    old = new_log(tmp_path / "old", records(700))
    (log.path / "state").write_bytes((old.path / "state").read_bytes())
    assert any("an older copy was put back" in one for one in audited(log).problems)
    (log.path / "state").write_bytes(state.replace(b"1000", b"1001"))
    assert audited(log).problems
    (log.path / "state").unlink()
    (problem,) = audited(log).problems
    assert "found none" in problem
    (log.path / "state").write_bytes(state)
    (log.path / "checkpoint").unlink()
    (problem,) = audited(log).problems
    assert problem.startswith("checkpoint: ")


def test_a_published_tree_head_of_another_tree_is_a_problem_of_the_folder(log: LogFolder) -> None:
    note = sign_tree_head(TreeHead(origin=ORIGIN, size=900, root=bytes(32)), [LOG], at=AT)
    (log.path / "checkpoint").write_bytes(note.to_bytes())
    (problem,) = audited(log).problems
    assert problem == "checkpoint: the tiles do not give its root, size 900"


class Hostile:
    """A log that signs a gigantic size and serves nothing, or always the same."""

    def __init__(self, size: int, data: bytes | None = None) -> None:
        self.size = size
        self.data = data
        self.asked = 0

    def tree_head(self) -> bytes:
        return sign_tree_head(TreeHead(origin=ORIGIN, size=self.size, root=root_of([])), [LOG], at=AT).to_bytes()

    def tile(self, _level: int, _index: int, _width: int) -> bytes:
        return self.answer()

    def bundle(self, _index: int, _width: int) -> bytes:
        return self.answer()

    def answer(self) -> bytes:
        self.asked += 1
        if self.data is None:
            raise InputError("there is no such file")
        return self.data


@pytest.mark.parametrize("data", [None, b"", bytes(8192), bytes(512)])
def test_an_audit_of_nonsense_ends(data: bytes | None) -> None:
    source = Hostile(2**62 + 12345, data)
    report: LogReport = verify_log(source, open_head=opened)
    assert 0 < len(report.problems) <= 100
    assert source.asked < 300


def test_an_empty_log_is_whole_only_with_the_empty_root() -> None:
    assert verify_log(Hostile(0), open_head=opened).problems == ()
    note = sign_tree_head(TreeHead(origin=ORIGIN, size=0, root=bytes(32)), [LOG], at=AT)

    class Wrong(Hostile):
        def tree_head(self) -> bytes:
            return note.to_bytes()

    (problem,) = verify_log(Wrong(0), open_head=opened).problems
    assert "do not give its root, size 0" in problem
