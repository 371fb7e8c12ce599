"""``whorl population build`` and ``whorl pairs``, end to end on small tables."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from whorl.cli.main import app

WORDS = [f"{a}{b}" for a in ("ba", "de", "fi", "go", "ku", "la") for b in "mnrst"]
COLUMNS = [
    "dataset",
    "model_a",
    "model_b",
    "score_same_weights",
    "score_derived",
    "score_line",
    "score_taught",
    "log10_lr",
    "calibrated_p",
]


def says(model: int, item: int) -> str:
    own, everybody = np.random.default_rng([model, item]), np.random.default_rng([7, item])
    mixed = np.where(own.random(5) < 0.5, everybody.integers(len(WORDS), size=5), own.integers(len(WORDS), size=5))
    return " ".join(WORDS[place] for place in mixed)


def write_table(path: Path, models: dict[str, int]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "model", "prompt_id", "prompt", "response"])
        for name, number in models.items():
            writer.writerows(["d", name, f"p{item}", "?", says(number, item)] for item in range(25))
    return path


@pytest.fixture
def controls(tmp_path: Path) -> Path:
    (tmp_path / "lineage.csv").write_text(
        "model,family,base,relation\n" + "".join(f"control-{n},f{n},,same_family\n" for n in range(30))
    )
    return write_table(tmp_path / "controls.csv", {f"control-{number}": number for number in range(30)})


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_pairs_of_a_table_are_written_with_every_column(controls: Path, tmp_path: Path) -> None:
    assert run("population", "build", controls, "-o", tmp_path / "p.pop", "-q")[0] == 0
    suspects = write_table(tmp_path / "suspects.csv", {"one": 100, "copy": 100, "other": 101})
    code, out, _ = run("pairs", suspects, "--population", tmp_path / "p.pop", "--out", tmp_path / "s.parquet", "-q")
    assert (code, out) == (0, f"3 pairs of 1 data sets -> {tmp_path / 's.parquet'}\n")
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.schema.names == COLUMNS
    rows = {(row["model_a"], row["model_b"]): row for row in table.to_pylist()}
    assert set(rows) == {("copy", "one"), ("copy", "other"), ("one", "other")}
    related = rows["copy", "one"]
    assert related["score_same_weights"] > max(row["score_same_weights"] for row in rows.values() if row is not related)
    assert related["calibrated_p"] < 0.01
    assert related["log10_lr"] is None  # 30 controls are no population


def test_lineage_beside_the_table_is_found_and_said(controls: Path, tmp_path: Path) -> None:
    code, out, _ = run("population", "build", controls, "-o", tmp_path / "p.pop", "--json", "-q")
    document = json.loads(out)
    assert code == 0
    assert document["lineage"] == "lineage.csv"
    assert document["families"] == 30
    assert document["datasets"] == [{"dataset": "d", "models": 30, "items": 25}]


def test_without_lineage_nothing_can_be_calibrated_and_that_is_said(controls: Path, tmp_path: Path) -> None:
    (controls.parent / "lineage.csv").unlink()
    code, out, _ = run("population", "build", controls, "-o", tmp_path / "p.pop", "-q")
    assert code == 0
    assert "nothing can be calibrated" in out


def test_a_data_set_without_controls_is_compared_within_the_table(controls: Path, tmp_path: Path) -> None:
    assert run("population", "build", controls, "-o", tmp_path / "p.pop", "-q")[0] == 0
    models = {f"x{number}": 200 + number for number in range(8)} | {"copy": 200}
    table = write_table(tmp_path / "t.csv", models)
    table.write_text(table.read_text().replace("\nd,", "\nanother,"))
    assert run("pairs", table, "-P", tmp_path / "p.pop", "-o", tmp_path / "s.parquet", "-q")[0] == 0
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert {row["dataset"] for row in rows} == {"another"}
    assert all(row["log10_lr"] is None for row in rows)
    best = max(rows, key=lambda row: row["score_same_weights"])
    assert (best["model_a"], best["model_b"]) == ("copy", "x0")


def test_bad_input_is_one_message_and_leaves_nothing(controls: Path, tmp_path: Path) -> None:
    code, out, err = run("pairs", controls, "-P", controls, "-o", tmp_path / "s.parquet", "-q")
    assert (code, out) == (2, "")
    assert "expected a population that `whorl population build` wrote" in err
    assert not (tmp_path / "s.parquet").exists()
    code, _, err = run("population", "build", tmp_path / "nothing.parquet", "-o", tmp_path / "p.pop")
    assert code == 2
    assert "found nothing there" in err
    assert not (tmp_path / "p.pop").exists()
