"""``whorl verify``: the exit status is the answer, and a failed check never looks like a passed one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "entries"))  # small_log

from small_log import MODEL, Issuer, SmallLog, counting_bytes, organisation

from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import Notice
from whorl.entries.leaf import entry_id

ROOT = new_issuer_key(counting_bytes())
Run = Callable[..., Result]


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    made, root = SmallLog(), Issuer(ROOT)
    made.enter(root, "organisation", organisation(ROOT))
    made.enter(root, "model", MODEL)
    good = made.enter_map(root, {})
    (tmp_path / "good.json").write_bytes(made.receipt(1, status=good))
    (tmp_path / "no-status.json").write_bytes(made.receipt(1))
    annulled = made.enter_map(root, {made.leaves[1].hash: b"\x05" * 32})
    (tmp_path / "annulled.json").write_bytes(made.receipt(1, status=annulled))
    (tmp_path / "policy.txt").write_text(made.policy().to_text())
    return made


def test_a_good_receipt_exits_with_0(run: Run, log: SmallLog, tmp_path: Path) -> None:
    done = run("verify", tmp_path / "good.json", "--policy", tmp_path / "policy.txt")
    assert done.exit_code == 0
    for text in ("Verified", "Northwind Labs (NL), as they call themselves", "nothing speaks against it", "w0, w1, w2"):
        assert text in done.stdout
    assert "owner" not in done.stdout.lower()


def test_json_says_the_same(run: Run, log: SmallLog, tmp_path: Path) -> None:
    done = run("verify", tmp_path / "good.json", "--policy", tmp_path / "policy.txt", "--json")
    found = json.loads(done.stdout)
    assert found["entry"] == entry_id(log.leaves[1].hash)
    assert found["claimant"]["name"] == "Northwind Labs"
    assert found["log"] == {"origin": "bureau.example/one", "index": 1}
    assert found["standing"]["good"] is True
    assert found["time"]["not_before"] is None


def test_an_annulled_entry_exits_with_1_and_does_not_say_verified(run: Run, log: SmallLog, tmp_path: Path) -> None:
    done = run("verify", tmp_path / "annulled.json", "--policy", tmp_path / "policy.txt")
    assert done.exit_code == 1
    assert "Verified" not in done.stdout
    assert "NOT in good standing" in done.stdout
    assert entry_id(b"\x05" * 32) in done.stderr


def test_without_a_status_it_exits_with_3(run: Run, log: SmallLog, tmp_path: Path) -> None:
    done = run("verify", tmp_path / "no-status.json", "--policy", tmp_path / "policy.txt")
    assert done.exit_code == 3
    assert "Verified" not in done.stdout


def test_what_somebody_says_of_a_model_is_not_verified(run: Run, log: SmallLog, tmp_path: Path) -> None:
    # Only that it was said. A layman must not read an accusation under the word "Verified".
    root = Issuer(ROOT, sequence=4, previous=log.leaves[-1].hash)
    notice = Notice(colour="blue", title="Lumen continues ours", text="Compare the two.")
    log.enter(root, "notice", notice, target=log.leaves[1].hash)
    good = log.enter_map(root, {})
    (tmp_path / "notice.json").write_bytes(log.receipt(4, status=good))
    done = run("verify", tmp_path / "notice.json", "--policy", tmp_path / "policy.txt")
    assert done.exit_code == 0
    assert "Verified" not in done.stdout
    assert "a notice, as somebody entered it" in done.stdout
    assert "not that it is so" in " ".join(done.stdout.split())


def test_without_a_mirror_the_log_itself_says_that_nothing_speaks_against_it(
    run: Run, log: SmallLog, tmp_path: Path
) -> None:
    policy = replace(log.policy(), witnesses=(), groups=(), quorum="none")
    (tmp_path / "alone.txt").write_text(policy.to_text())
    done = run("verify", tmp_path / "good.json", "--policy", tmp_path / "alone.txt")
    assert done.exit_code == 0
    shown = " ".join(done.stdout.split())
    assert "by the word of the log alone" in shown
    assert "the policy asks for no mirror that checked it" in shown


def test_every_failed_step_exits_with_1_and_prints_no_result(run: Run, log: SmallLog, tmp_path: Path) -> None:
    whole = json.loads((tmp_path / "good.json").read_text())
    other = json.loads(log.receipt(0, authority=[]))
    policies = {
        "policy.txt": log.policy(),
        "stricter.txt": log.policy(quorum=3),
        "strange.txt": SmallLog(origin="x").policy(),
    }
    for name, policy in policies.items():
        (tmp_path / name).write_text(policy.to_text())
    for change, policy in (
        ({"entry": whole["entry"] | {"proof": other["entry"]["proof"]}}, "policy.txt"),
        ({"entry": whole["entry"] | {"envelope": other["entry"]["envelope"]}}, "policy.txt"),
        ({"authority": []}, "policy.txt"),
        ({}, "strange.txt"),
    ):
        (tmp_path / "changed.json").write_text(json.dumps(whole | change))
        done = run("verify", tmp_path / "changed.json", "--policy", tmp_path / policy)
        assert (done.exit_code, done.stdout) == (1, "")
    assert run("verify", tmp_path / "good.json", "--policy", tmp_path / "stricter.txt").exit_code == 0


@pytest.mark.parametrize(
    ("receipt", "policy"), [("missing.json", "policy.txt"), ("good.json", "missing.txt"), ("policy.txt", "policy.txt")]
)
def test_bad_input_exits_with_2(run: Run, log: SmallLog, tmp_path: Path, receipt: str, policy: str) -> None:
    done = run("verify", tmp_path / receipt, "--policy", tmp_path / policy)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("whorl: ")


def test_a_name_of_mixed_letters_is_pointed_out(run: Run, tmp_path: Path) -> None:
    made, root = SmallLog(), Issuer(ROOT)
    made.enter(root, "organisation", organisation(ROOT, name="Nоrthwind Labs"))  # a Cyrillic о
    (tmp_path / "receipt.json").write_bytes(made.receipt(0, authority=[], status=made.enter_map(root, {})))
    (tmp_path / "policy.txt").write_text(made.policy().to_text())
    done = run("verify", tmp_path / "receipt.json", "--policy", tmp_path / "policy.txt")
    assert "Look twice" in done.stdout


def test_the_verifier_needs_the_base_install_alone(log: SmallLog, tmp_path: Path) -> None:
    # What the extras bring is made impossible to import; model-signing 1.0.1 printed success on a failed check, so the
    # exit status is that of a real process.
    extras = [
        "torch",
        "transformers",
        "scipy",
        "httpx2",
        "sqlalchemy",
        "sqlite3",
        "fastapi",
        "jinja2",
        "rfc3161_client",
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({extras})); from whorl.cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHORL_")}
    for receipt, status in (("good.json", 0), ("annulled.json", 1), ("no-status.json", 3), ("policy.txt", 2)):
        command = [sys.executable, "-c", code, "verify", str(tmp_path / receipt), "-p", str(tmp_path / "policy.txt")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert done.returncode == status, done.stderr
