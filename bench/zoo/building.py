"""Build the zoo: one job per pre-training run, then one per family of descendants, behind any `Executor`.

Every member is a folder that appears under its name only when it is whole; what is there is not made again, so the
folders themselves are the ledger. ``record.json`` beside a member's weights says how it was made and what it cost.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.zoo.bases import Base, bases, configuration
from bench.zoo.children import Bench, Child, Made, children, other_text, repeats
from bench.zoo.texts import rows_of, tokenizer_of
from demo import corpus
from demo.folders import write_folder
from demo.gguf_copy import write_q8_0
from demo.training import evaluate, fresh_model, train

Record = dict[str, Any]


def build(folder: Path, executor: Executor, report: Callable[[str], None], wanted: list[str] | None = None) -> None:
    """Make every member that is not there yet; strangers and repeats before descendants, which may need them."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [base for base in bases() if not wanted or base.name in wanted]
    failures: list[str] = []
    for stage in (make_base, make_descendants):
        # Every shape once before any twice: a zoo that is interrupted is still a mixed one.
        jobs = [executor.submit(stage, folder, base) for base in sorted(chosen, key=lambda base: base.seed)]
        for done, job in enumerate(as_completed(jobs), 1):
            # A family that fails is told and the others go on; the next run tries it again.
            if (error := job.exception()) is not None:
                failures.append(str(error))
                report(f"[{stage.__name__} {done}/{len(jobs)}] FAILED: {error}")
                continue
            for line in job.result():
                report(f"[{stage.__name__} {done}/{len(jobs)}] {line}")
    write_truth(folder)
    if failures:
        raise SystemExit(f"{len(failures)} families are not whole: {'; '.join(failures)}")


def make_base(folder: Path, base: Base) -> list[str]:
    """Train one founder."""
    _quiet()
    target = folder / base.name / "base"
    if target.exists():
        return []
    started = time.monotonic()
    tokenizer = tokenizer_of(base)
    rows = rows_of(tokenizer, base.text)
    model = fresh_model(configuration(base.shape, tokenizer.get_vocab_size()), base.seed).to(_device())
    train(model, rows, replace(base.recipe, order=base.order))
    record = {"family": base.name, "member": "base", "parent": None, **asdict(base)}
    return [_store(target, Made(model=model, tokenizer=tokenizer), record, rows, started)]


def make_descendants(folder: Path, base: Base) -> list[str]:
    """Make everything that descends from one founder."""
    _quiet()
    wanted = children(base) if base.children else repeats(base) if base.kin else []
    return [line for child in wanted for line in _make_child(folder, base, child)]


def _make_child(folder: Path, base: Base, child: Child) -> Iterator[str]:
    family = folder / base.name
    target = family / child.name
    if target.exists():
        return
    started = time.monotonic()

    def member(name: str) -> Made:
        path = folder / name if "/" in name else family / name
        return Made(model=_load(path).to(_device()), tokenizer=Tokenizer.from_file(str(path / "tokenizer.json")))

    bench = Bench(base=base, other_text=other_text(base), member=member)
    made = member(child.parent)
    for step in child.steps:
        made = step(made, bench)
        made.model.to(_device())
    record = {
        "family": base.name,
        "member": child.name,
        "parent": child.parent,
        "parents": child.parents,
        "changes": child.changes,
        "carries": child.carries,
    }
    yield _store(target, made, record, rows_of(made.tokenizer, base.text), started)


def _store(target: Path, made: Made, record: Record, rows: torch.Tensor, started: float) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    model = made.model.cpu().eval()
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


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _quiet() -> None:
    """Library chatter off; arithmetic on one thread, since the families are what runs side by side."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers.utils import logging as library

    library.disable_progress_bar()
    library.set_verbosity_error()
    torch.set_num_threads(1)
