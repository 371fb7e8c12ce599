"""Measured pairs: kept as they come, never measured twice, and no damaged ledger is believed."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from comparison_types import DEMO, Demo
from zoos import family, zoo

from whorl.comparison import measuring
from whorl.comparison.figures import MeasuredPair, figures_of
from whorl.comparison.measuring import measure_pairs
from whorl.comparison.zoo import Pair, planned_pairs
from whorl.core.errors import CheckpointError, InputError
from whorl.core.evidence import Access, Finding
from whorl.core.progress import silent

Calls = list[tuple[str, str]]


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, demo: Demo) -> Calls:
    """Every comparison asked for; each answers with the same finding, the demo's student against its base."""
    asked: Calls = []
    finding = demo("student", "base", "weights")

    def compare(questioned: Path, reference: Path, **_: object) -> Finding:
        asked.append((questioned.name, reference.name))
        return finding

    monkeypatch.setattr(measuring, "compare", compare)
    return asked


def plan() -> list[Pair]:
    models = {name.replace("/", "-"): member for name, member in (family("a", 6) | family("b", 6)).items()}
    renamed = {
        name: member.model_copy(update={"parents": {old.replace("/", "-"): 1.0 for old in member.parents}})
        for name, member in models.items()
    }
    pairs = planned_pairs(zoo(renamed), seed=1)
    assert len(pairs) > 40
    return pairs


def measured(pairs: list[Pair], ledger: Path, executor: Executor, access: Access = "weights") -> list[MeasuredPair]:
    return measure_pairs(ledger.parent, pairs, ledger, access=access, executor=executor, progress=silent)


def test_every_pair_is_measured_once_and_a_second_run_measures_nothing(
    tmp_path: Path, executor: Executor, calls: Calls
) -> None:
    pairs, ledger = plan(), tmp_path / "pairs.jsonl"
    rows = measured(pairs, ledger, executor)
    assert sorted(calls) == sorted((pair.questioned, pair.reference) for pair in pairs)
    assert [(row.questioned, row.reference, row.truth, row.older) for row in rows] == [
        (pair.questioned, pair.reference, pair.truth, pair.older) for pair in pairs
    ]
    assert all("two_view_agreement/1.matched" in row.figures for row in rows)
    calls.clear()
    assert measured(pairs, ledger, executor) == rows
    assert calls == []


def test_only_what_a_plan_adds_is_measured(tmp_path: Path, executor: Executor, calls: Calls) -> None:
    pairs, ledger = plan(), tmp_path / "pairs.jsonl"
    measured(pairs[:10], ledger, executor)
    calls.clear()
    assert len(measured(pairs[5:15], ledger, executor)) == 10
    assert len(calls) == 5


def test_a_run_that_was_interrupted_keeps_what_was_measured(tmp_path: Path, executor: Executor, calls: Calls) -> None:
    pairs, ledger = plan(), tmp_path / "pairs.jsonl"

    def interrupted(what: str, done: int, total: int, /) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_pairs(tmp_path, pairs, ledger, access="weights", executor=executor, progress=interrupted)
    kept = len(ledger.read_text().splitlines())
    assert 0 < kept < len(pairs)
    executor.submit(int).result()  # what was under way has ended
    calls.clear()
    assert len(measured(pairs, ledger, executor)) == len(pairs)
    assert len(calls) == len(pairs) - kept


@pytest.mark.parametrize("end", ['{"questioned":"a', "{}"])
def test_a_last_line_that_was_cut_short_is_measured_again_and_does_no_lasting_harm(
    tmp_path: Path, executor: Executor, calls: Calls, end: str
) -> None:
    pairs, ledger = plan(), tmp_path / "pairs.jsonl"
    rows = measured(pairs[:4], ledger, executor)
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:3]) + end)
    calls.clear()
    assert measured(pairs[:4], ledger, executor) == rows
    assert len(calls) == 1
    calls.clear()
    assert measured(pairs[:5], ledger, executor)[:4] == rows
    assert len(calls) == 1


@pytest.mark.parametrize("damage", [b"not JSON\n", b"{}\n", b"\xff\xfe\n", b"\n"])
@pytest.mark.parametrize("place", [1, 4])
def test_a_damaged_line_is_refused_and_the_ledger_left_alone(
    tmp_path: Path, executor: Executor, calls: Calls, damage: bytes, place: int
) -> None:
    pairs, ledger = plan(), tmp_path / "pairs.jsonl"
    measured(pairs[:4], ledger, executor)
    lines = ledger.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:place], damage, *lines[place:]])
    ledger.write_bytes(damaged)
    calls.clear()
    with pytest.raises(InputError, match=f"line {place + 1}; move the file away"):
        measured(pairs, ledger, executor)
    assert calls == []
    assert ledger.read_bytes() == damaged


def test_a_corrected_description_counts_for_pairs_that_were_measured_before(
    tmp_path: Path, executor: Executor, calls: Calls
) -> None:
    ledger = tmp_path / "pairs.jsonl"
    pair = Pair(questioned="x", reference="y", truth="independent", families=("a", "b"), older=None, whole=True)
    measured([pair], ledger, executor)
    calls.clear()
    corrected = Pair(
        questioned="x", reference="y", truth="derived", families=("a", "a"), older="reference", whole=False
    )
    (row,) = measured([corrected], ledger, executor)
    assert (row.truth, row.families, row.older, row.whole) == ("derived", ("a", "a"), "reference", False)
    assert calls == []


def test_weights_and_fingerprints_are_measured_apart_and_hold_the_figures_of_their_findings(
    tmp_path: Path, executor: Executor, demo: Demo
) -> None:
    for name in ("base", "student"):
        (tmp_path / name).symlink_to(DEMO / name)
    pair = Pair(
        questioned="student", reference="base", truth="independent", families=("s", "b"), older=None, whole=True
    )
    ledger = tmp_path / "pairs.jsonl"
    (weights,) = measured([pair], ledger, executor)
    (fingerprint,) = measured([pair], ledger, executor, "fingerprint")
    assert (weights.access, fingerprint.access) == ("weights", "fingerprint")
    assert weights.figures != fingerprint.figures
    assert len(ledger.read_text().splitlines()) == 2
    assert measured([pair], ledger, executor) == [weights]
    assert weights.figures == figures_of(demo("student", "base", "weights").evidence)
    assert fingerprint.figures == figures_of(demo("student", "base", "fingerprint").evidence)
    assert (weights.relation, weights.layers) == ("none_found", (0, 4))


@pytest.mark.parametrize("access", ["weights", "fingerprint"])
def test_a_model_that_cannot_be_read_is_named_also_from_another_process(tmp_path: Path, access: Access) -> None:
    """An error of a checkpoint carries a file, which does not travel between processes as it is."""
    broken = Path(shutil.copytree(DEMO / "base", tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"\0" * 64)
    (tmp_path / "base").symlink_to(DEMO / "base")
    with pytest.raises(CheckpointError):
        measuring.compare(broken, DEMO / "base", progress=silent, jobs=1)  # so that this test tries what it says
    pair = Pair(questioned="broken", reference="base", truth="derived", families=("a", "a"), older=None, whole=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(InputError, match="broken"):
        measured([pair], tmp_path / "pairs.jsonl", pool, access)
    assert (tmp_path / "pairs.jsonl").read_bytes() == b""
