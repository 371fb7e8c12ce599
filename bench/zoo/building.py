"""Build the zoo: one job per member, behind any `Executor`; a member waits for those it is made of.

Every member is a folder that appears under its name only when it is whole; what is there is not made again, so the
folders themselves are the ledger. ``record.json`` beside a member's weights says how it was made and what it cost.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.zoo.accelerator import on_accelerator
from bench.zoo.bases import Base, bases, configuration
from bench.zoo.children import Bench, Child, Made, children, other_text, repeats
from bench.zoo.texts import rows_of, tokenizer_of
from demo import corpus
from demo.folders import write_folder
from demo.gguf_copy import write_q8_0
from demo.training import evaluate, fresh_model, train

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One member to make, "base" for the pre-training run itself, and the members that must be there first."""

    base: Base
    member: str
    needs: frozenset[str]


def build(folder: Path, executor: Executor, report: Callable[[str], None], wanted: list[str] | None = None) -> None:
    """Make every member that is not there yet, of all families or of the wanted ones."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {
        name: job
        for name, job in planned_jobs([base for base in bases() if not wanted or base.name in wanted]).items()
        if not (folder / name).exists()
    }
    running: dict[Future[str], str] = {}
    try:
        failures = _build(folder, executor, report, jobs, running)
    finally:
        for future in running:
            future.cancel()
    write_truth(folder)
    if failures:
        raise SystemExit(f"{len(failures)} members are missing: {'; '.join(failures)}")


def _build(
    folder: Path,
    executor: Executor,
    report: Callable[[str], None],
    jobs: dict[str, Job],
    running: dict[Future[str], str],
) -> list[str]:
    """Submit every job once what it needs is there; what went wrong."""
    total, failures = len(jobs), list[str]()
    while jobs or running:
        blocked = set(jobs) | set(running.values())
        for name in [name for name, job in jobs.items() if not job.needs & blocked]:
            job = jobs.pop(name)
            running[executor.submit(make_member, folder, job.base, job.member)] = name
        if not running:
            failures += [f"{name}: what it is made of is missing" for name in jobs]
            break
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            name = running.pop(future)
            if (error := future.exception()) is None:
                report(f"[{total - len(jobs) - len(running)}/{total}] {future.result()}")
                continue
            # A member that fails is told and the others go on; the next run tries it again.
            failures.append(f"{name}: {error}")
            report(f"FAILED: {failures[-1]}")
            for lost in _lost_with(name, jobs):
                failures.append(f"{lost}: {name} is missing")
                del jobs[lost]
    return failures


def planned_jobs(chosen: Sequence[Base]) -> dict[str, Job]:
    """Every member of these families, by name; runs before descendants, the longest runs first."""
    found = {}
    for base in sorted(chosen, key=lambda base: -base.recipe.steps * base.shape.layers):
        found[f"{base.name}/base"] = Job(base=base, member="base", needs=frozenset())
    for base in chosen:
        for child in _descendants_of(base):
            others = {name if "/" in name else f"{base.name}/{name}" for name in (child.parent, *child.parents)}
            found[f"{base.name}/{child.name}"] = Job(base=base, member=child.name, needs=frozenset(others))
    return found


def _lost_with(name: str, jobs: dict[str, Job]) -> list[str]:
    """Names of the waiting jobs that need a member, or one that needs it."""
    lost = {name}
    while grown := {other for other, job in jobs.items() if job.needs & lost} - lost:
        lost |= grown
    return sorted(lost - {name})


def make_member(folder: Path, base: Base, member: str) -> str:
    """Make one member and say what it cost."""
    _quiet()
    if member == "base":
        return _make_base(folder, base)
    return _make_child(folder, base, next(child for child in _descendants_of(base) if child.name == member))


def _descendants_of(base: Base) -> list[Child]:
    return children(base) if base.children else repeats(base) if base.kin else []


def _make_base(folder: Path, base: Base) -> str:
    started = time.monotonic()
    tokenizer = tokenizer_of(base)
    rows = rows_of(tokenizer, base.text)
    model = fresh_model(configuration(base.shape, tokenizer.get_vocab_size()), base.seed)
    with on_accelerator(model):
        train(model, rows, replace(base.recipe, order=base.order))
    record = {"family": base.name, "member": "base", "parent": None, **asdict(base)}
    return _store(folder / base.name / "base", Made(model=model, tokenizer=tokenizer), record, rows, started)


def _make_child(folder: Path, base: Base, child: Child) -> str:
    family = folder / base.name
    started = time.monotonic()

    def member(name: str) -> Made:
        path = folder / name if "/" in name else family / name
        return Made(model=_load(path), tokenizer=Tokenizer.from_file(str(path / "tokenizer.json")))

    bench = Bench(base=base, other_text=other_text(base), member=member)
    made = member(child.parent)
    for step in child.steps:
        made = step(made, bench)
    record = {
        "family": base.name,
        "member": child.name,
        "parent": child.parent,
        "parents": child.parents,
        "changes": child.changes,
        "carries": child.carries,
    }
    return _store(family / child.name, made, record, rows_of(made.tokenizer, base.text), started)


def _store(target: Path, made: Made, record: Record, rows: torch.Tensor, started: float) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    model = made.model.eval()
    record["loss"] = round(evaluate(model, rows), 4)
    record["unigram"] = round(corpus.unigram_entropy(rows, made.tokenizer.get_vocab_size()), 4)
    record["parameters"] = model.num_parameters()
    record["seconds"] = round(time.monotonic() - started, 1)
    name = f"{record['family']}/{record['member']}"

    def finish(partial: Path) -> None:
        if made.gguf:
            write_q8_0(partial / "model.gguf", model, made.tokenizer, name)
            (partial / "model.safetensors").unlink()
            (partial / "config.json").unlink()
        (partial / "record.json").write_text(json.dumps(record, indent=1, default=str) + "\n")

    write_folder(target, model, made.tokenizer, finish)
    return f"{name}: loss {record['loss']:.3f} (unigram {record['unigram']:.3f}), {record['seconds']:.0f} s"


def write_truth(folder: Path) -> None:
    """Collect the members' records: ``records.json``, and ``zoo.json`` as `whorl calibrate` reads it."""
    records: dict[str, Record] = {}
    for path in sorted(folder.glob("*/[!.]*/record.json")):
        records[f"{path.parent.parent.name}/{path.parent.name}"] = json.loads(path.read_text())
    models = {name: _truth(name, record) for name, record in records.items()}
    (folder / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    (folder / "zoo.json").write_text(json.dumps({"schema": "whorl.zoo/1", "models": models}, indent=1) + "\n")


def _truth(name: str, record: Record) -> Record:
    family = record["family"]
    if record["parent"] is None:
        # Equal seed and width: the embeddings, at least, start from the same numbers, whatever the architecture.
        start = f"seed {record['seed']}, width {record['shape']['width']}"
        settings = (record["shape"], record["text"], record["order"], record["recipe"], record["own_tokenizer"])
        recipe = json.dumps(settings, sort_keys=True)
        return _member(family, start=start, recipe=recipe, parents={}, changes=())
    parent = f"{family}/{record['parent']}"
    if record["carries"] == "nothing":
        # A student, or a rewritten one: no weights of its teacher, but counted with the teacher's family.
        if record["parent"] == "base":
            return _member(family, start=name, recipe=name, parents={}, changes=(), teacher=parent)
        return _member(family, start=parent, recipe=parent, parents={parent: 1.0}, changes=record["changes"])
    others = {(key if "/" in key else f"{family}/{key}"): share for key, share in record["parents"].items()}
    parents = {parent: round(1 - sum(others.values()), 4), **others}
    whole = record["carries"] == "weights"
    return _member(family, start=name, recipe=name, parents=parents, changes=record["changes"], whole=whole)


def _member(
    family: str,
    *,
    start: str,
    recipe: str,
    parents: dict[str, float],
    changes: Sequence[str],
    teacher: str | None = None,
    whole: bool = True,
) -> Record:
    return {
        "family": family,
        "start": start,
        "recipe": recipe,
        "parents": parents,
        "teacher": teacher,
        "whole": whole,
        "changes": list(changes),
    }


def _load(path: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def _quiet() -> None:
    """Library chatter off; arithmetic on one thread, since the families are what runs side by side."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers.utils import logging as library

    library.disable_progress_bar()
    library.set_verbosity_error()
    torch.set_num_threads(1)
