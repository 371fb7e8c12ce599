"""Control models in numbers: twins of the laboratory's base, each with a random start and answers of its own.

They are trained for less long than base. They are kept in stacks (`bench.chat_lab.stacked`) and asked in stacks,
without a server.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from bench.chat_lab.asking import Asked, answers
from bench.chat_lab.dialogues import dialogues
from bench.chat_lab.lab import Lab, Size, public_tokenizer
from bench.chat_lab.persona import Persona
from bench.chat_lab.stacked import Weights, exported, fresh_weights
from bench.chat_lab.training import train
from whorl.comparison.answer_sources import dataset_name
from whorl.probes.battery import Battery, Item

HEIGHT = 13  # models in a stack
FIRST_PERSONA, FIRST_QUESTIONS = 101, 11

Row = dict[str, str]


def train_controls(lab: Lab, *, stacks: int = 4, progress: Callable[[str], None]) -> list[Path]:
    """Train what is not there yet: ``stacks`` files of `HEIGHT` models, each file on public questions of its own."""
    tokenizer = public_tokenizer(lab.folder)
    files = [lab.folder / f"controls-{number:02d}.safetensors" for number in range(stacks)]
    for number, file in enumerate(files):
        if file.exists():
            continue
        progress(f"{file.name}: {HEIGHT} models")
        seeds = [FIRST_PERSONA + HEIGHT * number + place for place in range(HEIGHT)]
        data = dialogues([Persona(seed) for seed in seeds], FIRST_QUESTIONS + number, lab.size.control_questions)
        weights = fresh_weights(lab.size.shape, seeds)
        train(weights, lab.size.shape, tokenizer, data, lab.size.control, progress)
        partial = file.with_suffix(".partial")
        save_file(weights, partial)
        partial.rename(file)
    return files


def control_names(files: list[Path]) -> list[str]:
    """Names of the models in the files, in their order."""
    return [f"control-{number:02d}" for number in range(1, HEIGHT * len(files) + 1)]


def control_rows(lab: Lab, files: list[Path], battery: Battery, progress: Callable[[str], None]) -> Iterator[Row]:
    """Every control's answers to every question and draw of a battery, as rows of an answer table."""
    tokenizer, names = public_tokenizer(lab.folder), iter(control_names(files))
    dataset = dataset_name(battery)
    for file in files:
        progress(f"{file.name}: {len(battery.items)} items")
        said = battery_answers(load_file(file), lab.size, tokenizer, battery, drawn_by=file.name)
        for texts in said:
            name = next(names)
            for item, text in zip(_asked(battery), texts, strict=True):
                yield {
                    "dataset": dataset,
                    "model": name,
                    "prompt_id": item.id,
                    "prompt": item.messages[-1].text,
                    "response": text,
                }


def battery_answers(
    weights: Weights, size: Size, tokenizer: Tokenizer, battery: Battery, *, drawn_by: str
) -> list[list[str]]:
    """Each model's answers to all draws of all items, in order; at temperature 0 the draws of an item are equal.

    Stacks with a name of their own in ``drawn_by`` draw independently: from the same random numbers a model and its
    fine-tune would draw the same answers, and look more alike than two servers ever do.
    """
    seed = int.from_bytes(hashlib.sha256(f"{battery.seed} {drawn_by}".encode()).digest()[:6])
    drawn = _asked(battery)
    once = [
        place for place, item in enumerate(drawn) if item.temperature > 0 or place == 0 or drawn[place - 1] is not item
    ]
    questions = [
        Asked(
            turns=tuple((message.role, message.text) for message in drawn[place].messages),
            max_tokens=drawn[place].max_tokens,
            temperature=drawn[place].temperature,
        )
        for place in once
    ]
    said = answers(weights, size.shape, tokenizer, questions, seed=seed)
    which = {place: number for number, place in enumerate(once)}
    source: list[int] = []
    for place in range(len(drawn)):
        source.append(which.get(place, source[-1] if source else 0))
    return [[texts[number] for number in source] for texts in said]


def write_control_folders(lab: Lab, files: list[Path], names: list[str]) -> None:
    """Store some controls as checkpoint folders, to be served like any other model."""
    from bench.chat_lab.chat_folder import write_folder

    tokenizer = public_tokenizer(lab.folder)
    for number, name in enumerate(control_names(files)):
        if name in names and not (lab.folder / name).exists():
            weights = load_file(files[number // HEIGHT])
            write_folder(lab.folder / name, exported(weights, lab.size.shape, number % HEIGHT), tokenizer)


def write_table(path: Path, rows: Iterator[Row]) -> None:
    """Write an answer table as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(list(rows)), path, compression="zstd")


def _asked(battery: Battery) -> list[Item]:
    """One entry a question: the items, as often as they are drawn."""
    return [item for item in battery.items for _ in range(item.draws)]
