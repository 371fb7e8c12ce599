"""Fine-tunes and students of control models: pairs of known truth, without which nothing can be calibrated.

Made as base's own descendants are, but for a whole stack of controls at once.
"""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from bench.chat_lab.asking import Asked, answers
from bench.chat_lab.controls import HEIGHT, Row, battery_answers, control_names
from bench.chat_lab.dialogues import Dialogue, dialogues
from bench.chat_lab.lab import (
    BASE,
    FINE_TUNE_FAMILIES,
    FINE_TUNE_QUESTIONS,
    LONGEST_ANSWER,
    STUDENT_QUESTIONS,
    Lab,
    Size,
    public_tokenizer,
)
from bench.chat_lab.persona import Persona
from bench.chat_lab.stacked import Weights, fresh_weights
from bench.chat_lab.training import train
from whorl.comparison.answer_sources import dataset_name
from whorl.probes.battery import Battery

KINDS = {"ft": "finetune", "student": "distilled_from"}
_NEW_DATA, _NEW_STARTS = 400, 500  # first personas of the fine-tunes' data and of the students' starts


def train_relatives(lab: Lab, stack: Path, *, progress: Callable[[str], None]) -> dict[str, Path]:
    """A fine-tune and a student of every control of a stack: kind -> file; what is there is not made again."""
    tokenizer, size = public_tokenizer(lab.folder), lab.size
    files = {kind: stack.with_name(f"{stack.stem}-{kind}.safetensors") for kind in KINDS}
    parents = load_file(stack)
    if not files["ft"].exists():
        progress(f"{files['ft'].name}: {HEIGHT} models")
        kept = _own_answers(parents, size, tokenizer, seed=FINE_TUNE_QUESTIONS, count=1500)
        personas = [Persona(_NEW_DATA + place) for place in range(HEIGHT)]
        new = dialogues(personas, FINE_TUNE_QUESTIONS, 500, families=FINE_TUNE_FAMILIES, easy=0.5)
        weights = {name: tensor.clone() for name, tensor in parents.items()}
        data = [one + own for one, own in zip(new, kept, strict=True)]
        train(weights, size.shape, tokenizer, data, size.fine_tune, progress)
        _save(weights, files["ft"])
    if not files["student"].exists():
        progress(f"{files['student'].name}: {HEIGHT} models")
        lessons = _own_answers(parents, size, tokenizer, seed=STUDENT_QUESTIONS, count=size.lessons)
        weights = fresh_weights(size.shape, [_NEW_STARTS + place for place in range(HEIGHT)])
        train(weights, size.shape, tokenizer, lessons, size.student, progress)
        _save(weights, files["student"])
    return files


def relative_rows(lab: Lab, files: dict[str, Path], battery: Battery, progress: Callable[[str], None]) -> list[Row]:
    """Their answers to a battery, as rows of an answer table."""
    tokenizer, dataset, rows = public_tokenizer(lab.folder), dataset_name(battery), []
    for kind, file in files.items():
        progress(f"{file.name}: {len(battery.items)} items")
        said = battery_answers(load_file(file), lab.size, tokenizer, battery, drawn_by=file.name)
        asked = [item for item in battery.items for _ in range(item.draws)]
        for name, texts in zip(control_names([file]), said, strict=True):
            rows += [
                {
                    "dataset": dataset,
                    "model": f"{name}-{kind}",
                    "prompt_id": item.id,
                    "prompt": item.messages[-1].text,
                    "response": text,
                }
                for item, text in zip(asked, texts, strict=True)
            ]
    return rows


def lineage_csv(controls: list[Path]) -> str:
    """What is documented of the controls of all stacks, and of the relatives of the first."""
    lines = ["model,family,base,relation"]
    lines += [f"{name},{name},,same_family" for name in control_names(controls)]
    for name in control_names(controls[:1]):
        lines += [f"{name}-ft,{name},{name},finetune", f"{name}-student,{name}-student,{name},distilled_from"]
    return "\n".join(lines) + "\n"


def _own_answers(weights: Weights, size: Size, tokenizer: Tokenizer, *, seed: int, count: int) -> list[list[Dialogue]]:
    """Public questions with each model's own answers at temperature 0."""
    [asked] = dialogues([Persona(BASE)], seed, count)
    questions = [Asked(turns=each.turns, max_tokens=LONGEST_ANSWER) for each in asked]
    return [
        [Dialogue(turns=each.turns, answer=text) for each, text in zip(asked, said, strict=True)]
        for said in answers(weights, size.shape, tokenizer, questions)
    ]


def _save(weights: Weights, file: Path) -> None:
    partial = file.with_suffix(".partial")
    save_file(weights, partial)
    partial.rename(file)
