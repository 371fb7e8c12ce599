"""Control models answer like members that are served, and their answers make a population."""

from pathlib import Path

import pytest

from bench.chat_lab.controls import (
    HEIGHT,
    battery_answers,
    control_names,
    control_rows,
    train_controls,
    write_control_folders,
    write_table,
)
from bench.chat_lab.lab import Lab, load, public_tokenizer
from bench.chat_lab.stacked import imported
from whorl.comparison.answer_sources import dataset_name, read_sources
from whorl.probes.battery import Battery
from whorl.probes.families import battery


@pytest.fixture(scope="module")
def asked() -> Battery:
    """Questions of a quick battery whose prompts and answers are short."""
    whole = battery("quick", 99)
    long = ("context_window", "guardrails", "failure_transfer", "style")
    return Battery(name="some", seed=99, items=tuple(item for item in whole.items if item.family not in long))


@pytest.mark.timeout(900)  # one stack is trained, and the laboratory where it is not there yet
def test_controls_answer_a_battery_as_one_table(chat_lab: Lab, asked: Battery, tmp_path: Path) -> None:
    files = train_controls(chat_lab, stacks=1, progress=lambda _: None)
    names = control_names(files)
    assert len(names) == HEIGHT
    write_table(tmp_path / "controls.parquet", control_rows(chat_lab, files, asked, lambda _: None))
    [table] = read_sources([tmp_path / "controls.parquet"]).tables
    assert table.dataset == dataset_name(asked)
    assert table.models == tuple(names)
    assert len(table.items) == sum(item.draws for item in asked.items)
    assert table.answered.mean() > 0.99

    write_control_folders(chat_lab, files, ["control-03"])
    alone = imported(load(chat_lab.folder / "control-03"))
    cold = Battery(name="cold", seed=0, items=tuple(item for item in asked.items if item.temperature == 0))
    [served] = battery_answers(alone, chat_lab.size, public_tokenizer(chat_lab.folder), cold, drawn_by="alone")
    rows = [
        row["response"] for row in control_rows(chat_lab, files, cold, lambda _: None) if row["model"] == "control-03"
    ]
    same = [a == b for a, b in zip(served, rows, strict=True)]
    assert sum(same) >= 0.99 * len(same)
