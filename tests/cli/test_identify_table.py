"""``whorl identify-table``, end to end on small tables."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from whorl.cli.main import app

WORDS = [f"{a}{b}{c}" for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "ni") for b in "mnrst" for c in "aeio"]
MODELS, ITEMS = 20, 50


def says(model: int, item: int) -> str:
    """Words of the question's topic, mixed with eight favourites that are the model's own."""
    rng = np.random.default_rng([model, item])
    topic = np.random.default_rng([8, item]).permutation(len(WORDS))[:12]
    mine = range(8 * model, 8 * model + 8)
    return " ".join(WORDS[rng.choice(mine if rng.random() < 0.4 else topic)] for _ in range(25))


def write_table(path: Path, models: range) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "model", "prompt_id", "prompt", "response"])
        for model in models:
            writer.writerows(["d", f"m{model}", f"p{item}", "?", says(model, item)] for item in range(ITEMS))
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    (tmp_path / "lineage.csv").write_text(
        "model,family,base,relation\n" + "".join(f"m{n},f{n},,same_family\n" for n in range(MODELS))
    )
    return write_table(tmp_path / "answers.csv", range(MODELS))


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["identify-table", *(str(word) for word in words), "-q"])
    return result.exit_code, result.stdout, result.stderr


def test_shares_and_rows_agree(answers: Path, tmp_path: Path) -> None:
    code, out, _ = run(answers, "--enrol", 20, "--probe", 5, "--json", "-o", tmp_path / "rows.parquet")
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == "whorl.identify-table/1"
    (found,) = document["datasets"]
    assert (found["design"], found["models"], found["lines"]) == ("other_prompts", MODELS, MODELS)
    assert found["right_model"]["value"] >= 0.9
    assert found["unknown_accepted"]["value"] <= 0.05
    rows = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert len(rows) == found["right_model"]["trials"] == MODELS * 6
    assert sum(row["right_model"] for row in rows) == found["right_model"]["hits"]
    assert sum(row["unknown_accepted"] for row in rows) == found["unknown_accepted"]["hits"]
    accepted = sum(row["known_accepted"] and row["right_line"] for row in rows)
    assert accepted == found["known_right_line"]["hits"]


def test_text_says_what_was_divided_and_how_it_came_out(answers: Path) -> None:
    code, out, _ = run(answers, "--enrol", 20, "--probe", 5)
    assert code == 0
    assert "d: 20 models of 20 lines, each known from 20 answers and questioned on other prompts" in out
    assert "unknown model taken for a stranger" in out


def test_few_lines_are_said_and_controls_help(answers: Path, tmp_path: Path) -> None:
    few = write_table(tmp_path / "few.csv", range(5))
    code, out, _ = run(few, "--enrol", 20, "--probe", 5)
    assert code == 0
    assert "unknown models were not tried: expected models of at least 8 lines, found 5" in out
    population = tmp_path / "controls.pop"
    built = CliRunner().invoke(app, ["population", "build", str(answers), "-o", str(population), "-q"])
    assert built.exit_code == 0
    _, out, _ = run(few, "--enrol", 20, "--probe", 5, "--population", population, "--json")
    (found,) = json.loads(out)["datasets"]
    assert (found["models"], found["controls"]) == (5, 15)
    assert found["open_set_problem"] is None


def test_a_table_that_is_too_small_says_so(answers: Path) -> None:
    code, out, _ = run(answers, "--enrol", 49, "--probe", 5)
    assert code == 0
    assert "not tried: expected at least 3 models with 49 answers to enrol and 5 to question, found 0" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.csv", "--enrol", 5], "expected a table of answers"),
        (["{answers}", "--enrol", 5, "--lineage", "missing.csv"], "found nothing there"),
        (["{answers}", "--enrol", 5, "-o", "{answers}"], "lies in the input itself"),
        (["{answers}", "--enrol", 1], "--enrol"),
        (["{answers}", "--enrol", 5, "--probe", 0], "--probe"),
    ],
)
def test_bad_usage_is_told_and_ends_with_2(answers: Path, words: list[object], message: str) -> None:
    code, _, err = run(*(str(word).replace("{answers}", str(answers)) for word in words))
    assert code == 2
    assert message in err
