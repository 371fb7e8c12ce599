"""The zoo's jobs: every member after those it is made of, behind any executor, resumed from what is there."""

import json
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.zoo import building
from bench.zoo.bases import Base, bases

FAMILY = ["llama64-0", "llama64-0-twin"]


@pytest.fixture
def executor() -> Executor:
    return ThreadPoolExecutor(4)


def make_as(made: list[str], broken: str | None = None) -> Callable[[Path, Base, str], str]:
    """A stand-in for training: it checks that what a member is made of is there."""

    def make(folder: Path, base: Base, member: str) -> str:
        name = f"{base.name}/{member}"
        assert all((folder / need).exists() for need in building.planned_jobs(bases())[name].needs), name
        if name == broken:
            raise RuntimeError("out of memory")
        (folder / name).mkdir(parents=True)
        record = {"family": base.name, "member": member, "parent": "base", "parents": {}, "carries": "weights"}
        root = {"seed": 1, "shape": {"width": 64}, "text": "A", "order": 0, "recipe": {}, "own_tokenizer": False}
        extra = {"parent": None, **root} if member == "base" else {"changes": []}
        (folder / name / "record.json").write_text(json.dumps(record | extra))
        made.append(name)
        return name

    return make


def test_every_member_is_planned_once_and_all_that_it_needs_is_planned() -> None:
    jobs = building.planned_jobs(bases())
    assert len(bases()) == sum(not job.needs for job in jobs.values())
    assert {need for job in jobs.values() for need in job.needs} <= set(jobs)
    order: set[str] = set()
    while ready := {name for name, job in jobs.items() if job.needs <= order} - order:
        order |= ready
    assert order == set(jobs)


def test_members_wait_for_their_parents_and_what_is_there_is_not_made_again(
    tmp_path: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(building, "make_member", make_as(made))
    building.build(tmp_path, executor, lambda _: None, FAMILY)
    planned = building.planned_jobs([base for base in bases() if base.name in FAMILY])
    assert sorted(made) == sorted(planned)
    (tmp_path / "llama64-0/cpt/record.json").unlink()
    (tmp_path / "llama64-0/cpt").rmdir()
    made.clear()
    building.build(tmp_path, executor, lambda _: None, FAMILY)
    assert made == ["llama64-0/cpt"]
    assert len(json.loads((tmp_path / "zoo.json").read_text())["models"]) == len(planned)


def test_a_member_that_fails_is_told_with_all_that_needs_it_and_the_others_are_made(
    tmp_path: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    told: list[str] = []
    monkeypatch.setattr(building, "make_member", make_as(made, broken="llama64-0/cpt"))
    with pytest.raises(SystemExit, match="out of memory") as error:
        building.build(tmp_path, executor, told.append, FAMILY)
    lost = {"llama64-0/cpt", "llama64-0/cpt_child", "llama64-0/cpt+rewritten", "llama64-0/cpt+rewritten+int4"}
    assert str(error.value).startswith(f"{len(lost)} members are missing")
    planned = building.planned_jobs([base for base in bases() if base.name in FAMILY])
    assert set(made) == set(planned) - lost
    assert sum(line.startswith("FAILED") for line in told) == 1
