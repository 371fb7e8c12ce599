"""``whorl probe``, ``compare`` and ``check-api`` against real servers of trained models."""

import json
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from served_models import Served, serve_llama_cpp
from typer.testing import CliRunner

from bench.chat_lab.lab import Lab
from whorl.cli.main import app
from whorl.probes.transcript_reading import read_transcript

pytestmark = pytest.mark.timeout(600)  # the first test may have to train the laboratory

BATTERY = ("--battery", "tokenizer", "--seed", "11")
QUESTIONS = 360


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return int(result.exit_code), result.stdout, result.stderr


def probe(server: Served, path: Path, *more: object) -> tuple[int, str, str]:
    return run("probe", server.v1, *BATTERY, "-o", path, "-q", *more)


def _kill_half_way(server: Served, path: Path) -> None:
    while not path.exists() or path.read_bytes().count(b"\n") < QUESTIONS // 3:
        time.sleep(0.01)
    server.kill()


def test_a_server_killed_half_way_loses_and_repeats_nothing(chat_lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "base.jsonl"
    with serve_llama_cpp(chat_lab.base / "model.gguf") as server:
        killer = threading.Thread(target=_kill_half_way, args=(server, path))
        killer.start()
        code, _, err = probe(server, path, "--timeout", 5, "--max-requests", 170)
        killer.join()
        port = int(server.base_url.rsplit(":", 1)[1])
    assert code in (2, 3), err
    kept = dict(read_transcript(path).answered)
    assert 0 < len(kept) < QUESTIONS
    with serve_llama_cpp(chat_lab.base / "model.gguf", port=port) as server:
        code, out, err = probe(server, path, "--json")
    receipt = json.loads(out)
    found = read_transcript(path)
    assert code == 0, err
    assert receipt["answered_now"] == receipt["answered"] - len(kept)
    assert found.complete or receipt["given_up"] > 0
    assert all(found.answered[asked] == reply for asked, reply in kept.items())
    lines = Counter(
        (entry["item"], entry["draw"])
        for line in path.read_text().splitlines()
        if (entry := json.loads(line)["entry"]).get("kind") == "answered"
    )
    assert set(lines.values()) == {1}


def test_a_swap_is_seen_and_the_same_model_on_the_same_server_is_not_accused(chat_lab: Lab, tmp_path: Path) -> None:
    """Letters at temperature 0 are compared elsewhere; here the numbers that are drawn at temperature 1."""
    low_entropy = ("--battery", "low_entropy", "--seed", "11", "-q")
    paths = {}
    for name, folder in (("base", chat_lab.base), ("again", chat_lab.base), ("twin", chat_lab.twin)):
        paths[name] = tmp_path / f"{name}.jsonl"
        with serve_llama_cpp(folder / "model.gguf") as server:
            code, _, err = run("probe", server.v1, *low_entropy, "-o", paths[name])
            assert code == 0, err
    verdicts = {}
    for name in ("again", "twin"):
        code, out, err = run("check-api", paths[name], "--claims", "base", "--reference", paths["base"], "--json", "-q")
        assert code in (0, 3), err
        verdicts[name] = json.loads(out)["verdicts"]["endpoint"]
    assert verdicts["twin"]["outcome"] == "changed"
    assert verdicts["again"]["outcome"] == "inconclusive"  # nothing found, and no controls to say what would have been
    assert verdicts["again"]["p"] > 0.01
