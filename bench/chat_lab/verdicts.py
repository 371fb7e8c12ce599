"""``python -m bench.chat_lab.verdicts FOLDER``: every verdict on the laboratory's models, over real HTTP.

Base and what was made of it are served by llama.cpp, base once more by ``transformers serve``; each is probed by the
command line, compared with base against the controls, identified, and checked for being what it claims. The result
goes to ``bench/results/live.json`` and into ``docs/validation-live.md``.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from bench.chat_lab.controls import control_rows, train_controls, write_table
from bench.chat_lab.lab import FULL, REDUCED, Lab, train_lab
from bench.chat_lab.relatives import lineage_csv, relative_rows, train_relatives
from whorl.comparison.answer_population import read_population
from whorl.probes.families import battery
from whorl.statistics.roc import auc

sys.path.append(str(Path(__file__).parents[2] / "tests" / "live"))
from served_models import Served, serve_llama_cpp, serve_transformers

STACKS = 4
RESULTS = Path(__file__).parents[1] / "results" / "live.json"
PAGE = Path(__file__).parents[2] / "docs" / "validation-live.md"
WHORL = Path(sys.executable).with_name("whorl")
QUESTIONED = ("fine_tune", "student", "twin", "prompted", "stranger")
RIGHT = {
    "fine_tune": {"weights-related": ("supported",), "line": ("base",)},
    "student": {"weights-related": ("inconclusive", "none_found"), "learned-from": ("candidates",)},
    "twin": {
        "endpoint": ("changed", "inconclusive"),
        "weights-related": ("none_found", "inconclusive"),
        "line": ("unknown",),
    },
    "prompted": {"endpoint": ("changed", "inconclusive"), "weights-related": ("supported",), "line": ("base",)},
    "stranger": {"endpoint": ("changed",), "weights-related": ("none_found", "inconclusive"), "line": ("unknown",)},
    "base_again": {"endpoint": ("same", "inconclusive"), "line": ("base",)},
    "base_transformers": {"endpoint": ("same", "inconclusive"), "line": ("base",)},
}
"""Outcomes that are right; what is not listed may be anything."""


def main() -> None:
    """Train what is missing, serve, probe, compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reduced", action="store_true", help="the small models of the tests")
    parser.add_argument("--battery", default="quick")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    started = time.monotonic()

    def progress(line: str) -> None:
        if "step" not in line:
            print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    lab = train_lab(arguments.folder, size=REDUCED if arguments.reduced else FULL, progress=progress)
    work = lab.folder / f"{arguments.battery}-{arguments.seed}"
    work.mkdir(exist_ok=True)
    transcripts = _transcripts(lab, arguments.battery, arguments.seed, work, progress)
    population = _population(lab, arguments.battery, arguments.seed, work, transcripts["base"], progress)
    document = {
        "command": " ".join(["python -m bench.chat_lab.verdicts", *sys.argv[1:]]).replace(str(arguments.folder), "LAB"),
        "battery": f"{arguments.battery}, seed {arguments.seed}",
        "models": lab.size.name,
        "told_apart": _told_apart(population),
        "compared": _judged(transcripts, population, progress),
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    PAGE.write_text(page(document))
    print(PAGE.read_text())


def _population(lab: Lab, name: str, seed: int, work: Path, base: Path, progress: Callable[[str], None]) -> Path:
    built, table = work / "controls.pop", work / "controls.parquet"
    if not table.exists():
        files = train_controls(lab, stacks=STACKS, progress=progress)
        relatives = train_relatives(lab, files[0], progress=progress)
        asked = battery(name, seed)
        write_table(
            table, iter([*control_rows(lab, files, asked, progress), *relative_rows(lab, relatives, asked, progress)])
        )
        (work / "lineage.csv").write_text(lineage_csv(files) + "base,base,,same_family\n")
    built.unlink(missing_ok=True)
    _whorl("population", "build", table, base, "-o", built, "-q")
    return built


def _transcripts(lab: Lab, name: str, seed: int, work: Path, progress: Callable[[str], None]) -> dict[str, Path]:
    folders = {
        "base": lab.base,
        "fine_tune": lab.fine_tune,
        "student": lab.student,
        "twin": lab.twin,
        "prompted": lab.prompted,
        "stranger": lab.strangers[0],
    }
    servers: dict[str, Callable[[], AbstractContextManager[Served]]] = {
        who: (lambda folder=folder: serve_llama_cpp(folder / "model.gguf")) for who, folder in folders.items()
    }
    servers["base_again"] = servers["base"]
    servers["base_transformers"] = lambda: serve_transformers(lab.base)
    found = {}
    for who, serve in servers.items():
        found[who] = work / f"{who}.jsonl"
        if found[who].exists():
            continue
        progress(f"probing {who}")
        with serve() as server:
            _whorl(
                "probe", server.v1, "--model", server.model, "--battery", name, "--seed", seed, "-o", found[who], "-q"
            )
    return found


def _judged(transcripts: dict[str, Path], population: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    compared: dict[str, Any] = {}
    for who in (*QUESTIONED, "base_again", "base_transformers"):
        progress(f"comparing {who}")
        document = _whorl("compare", transcripts[who], transcripts["base"], "-P", population, "--json", "-q")
        identified = _whorl("identify", transcripts[who], "-P", population, "--json", "-q")
        checked = _whorl("check-api", transcripts[who], "--claims", "base", "-P", population, "--json", "-q")
        compared[who] = {
            "verdicts": document["verdicts"],
            "identified": identified["verdicts"]["line"]["outcome"],
            "checked": checked["verdicts"]["endpoint"],
            "wrong": [
                verdict
                for verdict, outcomes in RIGHT[who].items()
                if document["verdicts"][verdict]["outcome"] not in outcomes
            ],
        }
    return compared


def _told_apart(population: Path) -> dict[str, float]:
    """How well the score of shared weights tells the controls' fine-tunes from their students, and both from others."""
    pairs = read_population(population).labelled.pairs
    scores = {
        truth: np.array([pair.score for pair in pairs if pair.truth == truth])
        for truth in ("shares_weights", "learned", "unrelated")
    }

    def area(one: str, other: str) -> float:
        values = np.concatenate([scores[one], scores[other]])
        return auc(values, np.arange(values.size) < scores[one].size)

    return {
        "fine_tunes": len(scores["shares_weights"]),
        "students": len(scores["learned"]),
        "unrelated": len(scores["unrelated"]),
        "fine_tunes_from_unrelated": area("shares_weights", "unrelated"),
        "students_from_unrelated": area("learned", "unrelated"),
        "fine_tunes_from_students": area("shares_weights", "learned"),
    }


def page(document: dict[str, Any]) -> str:
    """The results as a page."""
    lines = [
        "# Live: served models of known descent",
        "",
        f"Written by `{document['command']}` from `bench/results/live.json`: battery {document['battery']}, "
        f"{document['models']} models.",
        "",
        "Small chat models with guardrails, trained for this: a base, a fine-tune of it, a student of its answers,",
        "an independent twin, base under a hidden system prompt, a stranger; 52 control models, of which 13 have a",
        "fine-tune and a student. llama.cpp serves them all, `transformers serve` also base. Reference: base.",
        "",
        "| questioned | endpoint | line | weights-related | learned-from | identify | as it should be |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for who, one in document["compared"].items():
        verdicts = one["verdicts"]
        cells = [_cell(verdicts[name]) for name in ("endpoint", "line", "weights-related", "learned-from")]
        lines.append(f"| {who} | {' | '.join(cells)} | {one['identified']} | {', '.join(one['wrong']) or 'yes'} |")
    told = document["told_apart"]
    lines += [
        "",
        "The last column names the verdicts that are not as they should be.",
        "",
        f"Area under the ROC curve of `same_weights` among the controls: {told['fine_tunes']} fine-tunes against "
        f"{told['unrelated']} unrelated pairs {told['fine_tunes_from_unrelated']:.3f}, {told['students']} students "
        f"against unrelated pairs {told['students_from_unrelated']:.3f}, fine-tunes against students "
        f"{told['fine_tunes_from_students']:.3f}. A student of a model's answers answers much as a fine-tune does: "
        "where a ratio against `learned` does not exceed 1, the verdict is that the two are not independent, no more.",
        "",
    ]
    return "\n".join(lines)


def _cell(verdict: dict[str, Any]) -> str:
    figures = [
        f"{name} {verdict[key]:.3g}" for name, key in (("p", "p"), ("log10 LR", "log10_lr")) if verdict[key] is not None
    ]
    return f"{verdict['outcome']}{' (' + ', '.join(figures) + ')' if figures else ''}"


def _whorl(*words: object) -> dict[str, Any]:
    done = subprocess.run([WHORL, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"whorl {' '.join(map(str, words))}: {done.stderr}")
    return dict(json.loads(done.stdout)) if "--json" in words else {}


if __name__ == "__main__":
    main()
