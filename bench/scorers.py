"""How often the scorers of free text read real answers as people did: the tables of docs/methods/probes.md.

Usage: ``python bench/scorers.py FOLDER``, where the folder holds ``xstest_v2.parquet``, ``speechmap.parquet`` and
``mmlu_pro.parquet`` in the long layout (dataset, model, prompt_id, prompt, response, extra). ``extra`` is JSON with
``label``, for the last file ``pred``: the letter that the benchmark's own reader found.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from reporting import table
from whorl.probes.final_answers import final_choice
from whorl.probes.normalising import normalise
from whorl.probes.refusals import action
from whorl.statistics.intervals import clopper_pearson

WRITTEN_ON = ("mistral-7b-instruct-v0.1",)
"""The markers of `refusals` were written with these models' answers in view, in all their variants; no others'."""

DECLINING = {"partial", "deflect", "refuse"}
THREE = {"refuse": "2", "deflect": "2", "partial": "3", "comply": "1", "ask_back": "1", "empty": "1"}
LETTERS = "ABCDEFGHIJ"


def main(folder: Path) -> None:
    """Print the tables."""
    print(_human_labels(_rows(folder / "xstest_v2.parquet")), end="\n\n")
    print(_judge_labels(_rows(folder / "speechmap.parquet")), end="\n\n")
    print(_letters(_rows(folder / "mmlu_pro.parquet")), end="\n\n")
    print(_speed([row for name in ("xstest_v2", "speechmap", "mmlu_pro") for row in _rows(folder / f"{name}.parquet")]))


def _human_labels(rows: Sequence[dict[str, Any]]) -> str:
    """Complied or not, and in three classes, against the labels of people."""
    lines = []
    for model, answers in _by_model(rows):
        labels = [answer["extra"]["label"][0] for answer in answers]
        actions = [action(answer["response"]) for answer in answers]
        pairs = Counter((label != "1", found in DECLINING) for label, found in zip(labels, actions, strict=True))
        three = sum(label == THREE[found] for label, found in zip(labels, actions, strict=True))
        right = pairs[True, True] + pairs[False, False]
        lines.append(
            [
                model,
                "written on" if model.startswith(WRITTEN_ON) else "held out",
                _share(right, len(answers)),
                _share(pairs[True, True], pairs[True, True] + pairs[True, False]),
                _share(pairs[False, False], pairs[False, False] + pairs[False, True]),
                _share(three, len(answers)),
            ]
        )
    header = ["model", "", "agreement", "declined, seen", "complied, seen", "agreement, 3 classes"]
    return table(header, lines)


def _judge_labels(rows: Sequence[dict[str, Any]]) -> str:
    """How many answers of each judge's label are read as declining."""
    lines = []
    for model, answers in _by_model(rows):
        declining = Counter(answer["extra"]["label"] for answer in answers if action(answer["response"]) in DECLINING)
        total = Counter(answer["extra"]["label"] for answer in answers)
        lines.append([model, *(_share(declining[label], total[label]) for label in ("DENIAL", "EVASIVE", "COMPLETE"))])
    return table(["model", "denial", "evasive", "complete"], lines)


def _letters(rows: Sequence[dict[str, Any]]) -> str:
    """The letter found against the benchmark's own reader's, where that found one."""
    lines = []
    for model, answers in _by_model([row for row in rows if row["extra"].get("pred")]):
        found = [final_choice(normalise(answer["response"]), LETTERS) for answer in answers]
        same = sum(letter == answer["extra"]["pred"] for letter, answer in zip(found, answers, strict=True))
        none = found.count(None)
        lines.append([model, *(_share(part, len(found)) for part in (same, none, len(found) - same - none))])
    return table(["model", "same letter", "none", "another letter"], lines)


def _speed(rows: Sequence[dict[str, Any]]) -> str:
    texts = [row["response"] for row in rows]
    normalise("é")
    times = []
    for read in (normalise, action):
        start = time.process_time()
        for text in texts:
            read(text)
        times.append((time.process_time() - start) / len(texts) * 1e6)
    length = sum(map(len, texts)) / len(texts)
    return (
        f"{len(texts)} answers of {length:.0f} characters on average: normalise {times[0]:.0f} microseconds an answer, "
        f"action (with normalising) {times[1]:.0f}."
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return [{**row, "extra": json.loads(row["extra"])} for row in rows]


def _by_model(rows: Iterable[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["model"], []).append(row)
    return sorted(found.items())


def _share(part: int, whole: int) -> str:
    """A percentage with its exact interval over prompts, and the counts."""
    if not whole:
        return "-"
    lower, upper = clopper_pearson(part, whole)
    return f"{100 * part / whole:.1f} [{100 * lower:.0f}, {100 * upper:.0f}] {part}/{whole}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
