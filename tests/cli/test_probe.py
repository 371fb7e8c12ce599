"""``whorl probe`` as a user runs it, against a server on a real socket."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from answering_server import MODEL, AnsweringServer, answering
from typer.testing import Result

from whorl.core.errors import InputError
from whorl.endpoints.capabilities import CALLS
from whorl.endpoints.openai_chat import request
from whorl.probes.families import battery
from whorl.probes.planning import prompt_tokens_at_most
from whorl.probes.running import shuffled
from whorl.probes.transcript import question_of
from whorl.probes.transcript_file import continue_transcript
from whorl.probes.transcript_reading import read_transcript

Run = Callable[..., Result]

NAME = "quick"
SEED = 3
QUESTIONS = 294
KEY = "sk-meridian-0123456789abcdef"


def probed(server: AnsweringServer, path: Path, *more: object) -> list[str]:
    arguments = ("probe", server.url, "--battery", NAME, "--seed", SEED, "-o", path, "--model", MODEL, *more)
    return [str(argument) for argument in arguments]


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from whorl.cli.main import main; main()", *arguments]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def bodies(keys: "set[tuple[str, int]]") -> Counter[str]:
    """What has to be sent for these questions; the draws of one item look alike."""
    asked = battery(NAME, SEED)
    questions = [question_of(item, draw) for item, draw in shuffled(asked, SEED) if (item.id, draw) in keys]
    return Counter(json.dumps(request(question, MODEL), sort_keys=True) for question in questions)


def received(server: AnsweringServer, since: int = 0) -> Counter[str]:
    return Counter(json.dumps(document, sort_keys=True) for document in server.documents[since:])


def everything() -> "set[tuple[str, int]]":
    return {(item.id, draw) for item, draw in shuffled(battery(NAME, SEED), SEED)}


def test_everything_is_asked_and_kept(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        result = run(*probed(server, path, "--json"))
    assert result.exit_code == 0
    receipt = json.loads(result.stdout)
    read = read_transcript(path)
    assert receipt["schema"] == "whorl.probe-receipt/1"
    assert (receipt["digest"], receipt["ended"]) == (read.digest, "complete")
    assert (receipt["answered"], receipt["given_up"], receipt["questions"]) == (QUESTIONS, 0, QUESTIONS)
    assert receipt["taken"]["requests"] == len(server.bodies) == QUESTIONS + CALLS
    assert receipt["taken"]["prompt_tokens"] == 40 * (QUESTIONS + CALLS)
    assert receipt["battery_digest"] == battery(NAME, SEED).digest
    assert read.complete
    assert read.header.capabilities is not None
    assert read.header.endpoint.model == MODEL
    assert received(server, CALLS) == bodies(everything())


def test_the_text_says_what_was_done_and_what_is_odd(run: Run, tmp_path: Path) -> None:
    with answering() as server:
        result = run(*probed(server, tmp_path / "a.transcript"))
    assert result.exit_code == 0
    assert "Every question was asked" in result.stdout
    assert "294 of 294" in result.stdout
    assert "max_tokens was not kept to in" in result.stdout  # three words where one token was allowed
    assert str(tmp_path / "a.transcript") in result.stdout


def test_the_plan_comes_before_anything_is_sent(tmp_path: Path) -> None:
    with answering(seconds=5) as server:
        process = start(*probed(server, tmp_path / "a", "--price-in", "1", "--price-out", "2"))
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        assert len(server.bodies) <= 1  # the first one may be on its way by now, and waits for its answer
        process.kill()
        process.communicate(timeout=60)
    assert lines[0] == "Battery quick, seed 3: 294 requests, and 10 to see what the endpoint does\n"
    assert lines[2].startswith("Cost: 0.0")


def test_a_plan_needs_no_endpoint_and_sends_nothing(run: Run) -> None:
    alone = run("probe", "--plan", "--battery", NAME)
    named = run("probe", "http://127.0.0.1:9/v1", "--plan", "--battery", NAME)
    assert alone.exit_code == named.exit_code == 0
    assert alone.stdout == named.stdout
    assert "294 requests" in alone.stdout
    document = json.loads(run("probe", "--plan", "--battery", NAME, "--json", "--requests-per-minute", "42").stdout)
    assert document["schema"] == "whorl.probe-plan/1"
    assert document["total"]["requests"] == QUESTIONS
    assert document["minutes"] == 7.0


def test_quiet_is_silent(run: Run, tmp_path: Path) -> None:
    with answering() as server:
        assert run(*probed(server, tmp_path / "a", "--quiet")).stderr == ""


def test_the_same_command_again_sends_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        first = run(*probed(server, path, "--json"))
        before, sent = path.read_bytes(), len(server.bodies)
        again = run(*probed(server, path, "--json"))
        assert len(server.bodies) == sent
    with_server_gone = run(*probed(server, path, "--json"))
    assert again.exit_code == with_server_gone.exit_code == 0
    for result in (again, with_server_gone):
        receipt = json.loads(result.stdout)
        assert receipt["digest"] == json.loads(first.stdout)["digest"]
        assert (receipt["answered_now"], receipt["taken"]["requests"]) == (0, 0)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kill_at", [1, CALLS // 2, CALLS + 6, 150])
def test_kill_9_loses_no_answer_and_asks_none_twice(kill_at: int, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering(seconds=0.004) as server:
        process = start(*probed(server, path, "--concurrency", "5"))
        server.wait_for_answers(kill_at)
        process.kill()
        process.communicate(timeout=60)
        time.sleep(0.1)  # what was under way arrives at the server
        sent, answered = len(server.bodies), server.answered
        kept, answers = set(), {}
        if path.exists():
            cut_off = read_transcript(path)
            kept, answers = set(cut_off.answered), dict(cut_off.answered)
            assert cut_off.seal is None
            # What the server answered is kept, but for those still on their way to us.
            assert answered - CALLS - 5 <= len(kept) <= answered - CALLS
        result = run(*probed(server, path, "--json", "--concurrency", "5"))
        assert result.exit_code == 0
        again = received(server, sent if kept else sent + CALLS)
    read = read_transcript(path)
    assert read.complete
    assert json.loads(result.stdout)["answered_now"] == QUESTIONS - len(kept)
    assert again == bodies(everything() - kept)
    assert {key: read.answered[key] for key in kept} == answers


def test_two_kills_in_a_row(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering(seconds=0.004) as server:
        for kill_at in (80, 180):
            process = start(*probed(server, path))
            server.wait_for_answers(kill_at)
            process.kill()
            process.communicate(timeout=60)
        with path.open("ab") as file:
            file.write(b'{"chain":"sha256:0123')  # and a torn line
        assert run(*probed(server, path)).exit_code == 0
    assert read_transcript(path).complete
    answered_once = bodies(everything())
    for body, count in received(server, CALLS).items():
        assert count <= answered_once[body] + 16  # what was under way at the two kills, at most


def test_ctrl_c_seals_what_came(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "a.transcript"
    with answering(seconds=0.02) as server:
        process = start(*probed(server, path))
        server.wait_for_answers(60)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert stdout == ""
        assert stderr.endswith(
            "The answers so far are kept; the same command goes on from there.\nwhorl: interrupted\n"
        )
        assert "Traceback" not in stderr
        read = read_transcript(path)
        assert read.seal is not None
        assert read.seal.reason == "interrupted"
        assert 30 <= len(read.answered) < QUESTIONS
        assert run(*probed(server, path)).exit_code == 0
    assert read_transcript(path).complete


def test_ctrl_c_before_the_first_question_leaves_no_file(tmp_path: Path) -> None:
    with answering(seconds=5) as server:
        process = start(*probed(server, tmp_path / "a"))
        while not server.bodies:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.endswith("\nwhorl: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_ends_the_run_and_the_next_goes_on(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        result = run(*probed(server, path, "--max-requests", "100", "--json"))
        assert result.exit_code == 3
        assert len(server.bodies) == 100
        receipt = json.loads(result.stdout)
        assert (receipt["ended"], receipt["answered"], receipt["taken"]["requests"]) == ("budget", 100 - CALLS, 100)
        result = run(*probed(server, path, "--max-requests", "100"))
        assert result.exit_code == 3
        assert "Stopped by a limit" in result.stdout
        assert run(*probed(server, path)).exit_code == 0
        assert len(server.bodies) == QUESTIONS + CALLS


def test_money_is_never_exceeded(run: Run, tmp_path: Path) -> None:
    with answering(seconds=0.002) as server:
        limits = ("--max-cost", "0.01", "--price-in", "1", "--price-out", "10", "--concurrency", "32")
        result = run(*probed(server, tmp_path / "a", *limits, "--json"))
    assert result.exit_code == 3
    spent = len(server.bodies) * (40 * 1 + 1 * 10) / 1e6
    assert spent <= 0.01
    assert json.loads(result.stdout)["taken"]["cost"] == pytest.approx(spent)
    largest = max(prompt_tokens_at_most(item.messages) * 1 + item.max_tokens * 10 for item in battery(NAME, SEED).items)
    assert spent > 0.01 - largest / 1e6


def test_a_budget_too_small_for_anything_leaves_no_file(run: Run, tmp_path: Path) -> None:
    with answering() as server:
        result = run(*probed(server, tmp_path / "a", "--max-requests", "0"))
    assert result.exit_code == 2
    assert "within the budget" in result.stderr
    assert server.bodies == []
    assert list(tmp_path.iterdir()) == []


def test_a_wait_after_429_is_seen(run: Run, tmp_path: Path) -> None:
    def busy(number: int, body: object) -> tuple[int, tuple[str, ...]] | None:
        return (429, ("Retry-After: 0",)) if number in (20, 200) else None

    path = tmp_path / "a.transcript"
    with answering(refuse=busy) as server:
        result = run(*probed(server, path, "--json"))
    assert result.exit_code == 0
    assert "after 429, try 2 of 6" in result.stderr
    assert json.loads(result.stdout)["taken"]["requests"] == len(server.bodies) == QUESTIONS + CALLS + 2
    attempts = [attempt for reply in read_transcript(path).answered.values() for attempt in reply.attempts]
    assert [attempt.status for attempt in attempts] == [429, 429]


def test_retries_count_against_the_limit(run: Run, tmp_path: Path) -> None:
    def busy(number: int, body: object) -> tuple[int, tuple[str, ...]] | None:
        return (429, ("Retry-After: 0",)) if number == 25 else None

    with answering(refuse=busy) as server:
        result = run(*probed(server, tmp_path / "a", "--max-requests", "26", "--json"))
    assert result.exit_code == 3
    assert len(server.bodies) == 26


def test_a_server_that_wants_another_name_for_the_limit(run: Run, tmp_path: Path) -> None:
    """The first try is rejected and the question asked again at once; that try counts too."""

    def newer(number: int, body: dict[str, object]) -> tuple[int, tuple[str, ...]] | None:
        return (400, ()) if "max_tokens" in body else None

    with answering(refuse=newer) as server:
        run(*probed(server, tmp_path / "a", "--max-requests", "40"))
    assert len(server.bodies) <= 40


def test_no_key_is_ever_stored_or_shown(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORTHWIND_KEY", KEY)
    path = tmp_path / "a.transcript"
    with answering() as server:
        result = run(*probed(server, path, "--key-env", "NORTHWIND_KEY", "--json"))
    assert result.exit_code == 0
    assert all(f"Bearer {KEY}" in head for head in server.heads)
    for text in (path.read_text(), result.stdout, result.stderr):
        assert KEY not in text


def test_a_wrong_key_is_said_at_once_and_leaves_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORTHWIND_KEY", KEY)
    with answering(refuse=lambda _number, _body: (401, ())) as server:
        result = run(*probed(server, tmp_path / "a", "--key-env", "NORTHWIND_KEY"))
    assert result.exit_code == 2
    assert "check the key" in result.stderr
    assert KEY not in result.stderr
    assert len(server.bodies) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_stops_working_ends_the_run_with_2_and_keeps_what_came(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering(refuse=lambda number, _body: (401, ()) if number >= 100 else None) as server:
        result = run(*probed(server, path, "--concurrency", "1"))
    assert result.exit_code == 2
    assert "gave 90 answers and failed 20 questions" in result.stderr
    assert "does not answer any more" in result.stdout
    read = read_transcript(path)
    assert (len(read.answered), len(read.given_up)) == (90, 20)
    assert read.seal is not None
    assert read.seal.reason == "endpoint_lost"
    with answering(port=int(server.url.rsplit(":", 1)[1])) as back:
        assert run(*probed(back, path)).exit_code == 0
    assert read_transcript(path).complete


def test_a_transcript_can_be_asked_again(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.transcript", tmp_path / "b.transcript"
    with answering() as server:
        run(*probed(server, first))
    result = run("probe", first, "--battery", NAME, "--seed", SEED, "-o", second, "--json")
    assert result.exit_code == 0
    one, two = read_transcript(first), read_transcript(second)
    assert dict(one.answered) == dict(two.answered)
    assert two.header.capabilities == one.header.capabilities
    assert two.header.endpoint.kind == "recorded"
    assert two.header.endpoint.address == one.digest
    assert run("probe", first, "--battery", NAME, "--seed", SEED, "-o", second, "--model", "x").exit_code == 2


def test_a_transcript_of_another_battery_answers_what_it_was_asked(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.transcript", tmp_path / "b.transcript"
    with answering() as server:
        run(*probed(server, first))
    result = run("probe", first, "--battery", "low_entropy", "--seed", SEED, "-o", second, "--json")
    assert result.exit_code == 0
    receipt = json.loads(result.stdout)
    assert 0 < receipt["answered"] < receipt["questions"]
    assert receipt["given_up"] == receipt["questions"] - receipt["answered"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (("--seed", "4"), "battery and seed that it was started with"),
        (("--battery", "style"), "battery and seed that it was started with"),
        (("--model", "meridian-1"), "one transcript is of one endpoint"),
        (("--api", "completions"), "one transcript is of one endpoint"),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_another_endpoint_or_battery_is_not_mixed_in(
    changed: tuple[str, ...], expected: str, complete: bool, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        run(*probed(server, path, *(() if complete else ("--max-requests", "30"))))
        before, sent = path.read_bytes(), len(server.bodies)
        result = run(*probed(server, path, *changed))
        assert len(server.bodies) == sent
    assert result.exit_code == 2
    assert " ".join(result.stderr.split()).count(expected) == 1
    assert path.read_bytes() == before


def test_a_second_run_on_the_same_file_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        run(*probed(server, path, "--max-requests", "30"))
        with continue_transcript(path):
            result = run(*probed(server, path))
    assert result.exit_code == 2
    assert "another run is writing" in result.stderr


def test_a_damaged_transcript_is_refused_and_left_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        run(*probed(server, path, "--max-requests", "30"))
        damaged = path.read_bytes().replace(b"answer number 15", b"answer number 99", 1)
        path.write_bytes(damaged)
        sent = len(server.bodies)
        result = run(*probed(server, path))
        assert len(server.bodies) == sent
    assert result.exit_code == 2
    assert "a line was altered" in " ".join(result.stderr.split())
    assert path.read_bytes() == damaged
    with pytest.raises(InputError):
        read_transcript(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://127.0.0.1:9"], "expected ENDPOINT and -o TRANSCRIPT"),
        (["-o", "a"], "expected ENDPOINT and -o TRANSCRIPT"),
        (["http://127.0.0.1:9", "-o", "missing/a"], "does not exist"),
        (["http://127.0.0.1:9", "-o", "."], "not a regular file"),
        (["http://127.0.0.1:9", "-o", "file"], "line 1"),
        (["no-such-folder", "-o", "a"], "neither"),
        (["file", "-o", "a"], "neither"),
        (["http://user:password@127.0.0.1:9", "-o", "a"], "without user and password"),
        (["ftp://127.0.0.1", "-o", "a"], "expected http://"),
        (["http://127.0.0.1:9", "-o", "a", "--battery", "none"], "no battery is called"),
        (["http://127.0.0.1:9", "-o", "a", "--key-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (["http://127.0.0.1:9", "-o", "a", "--key-env", "HOME", "--keyring", "a/b"], "give one"),
        (["http://127.0.0.1:9", "-o", "a", "--keyring", "a"], "SERVICE/USER"),
        (["http://127.0.0.1:9", "-o", "a", "--max-cost", "1"], "--price-in and --price-out"),
        (["http://127.0.0.1:9", "-o", "a", "--price-in", "1"], "--price-in and --price-out"),
        (["http://127.0.0.1:9", "-o", "a", "--price-in", "nan", "--price-out", "1"], "--price-in"),
        (["http://127.0.0.1:9", "-o", "a", "--price-in", "inf", "--price-out", "1"], "plain numbers"),
        (["http://127.0.0.1:9", "-o", "a", "--timeout", "inf"], "plain numbers"),
        (["http://127.0.0.1:9", "-o", "a", "--requests-per-minute", "inf"], "plain numbers"),
        (["http://127.0.0.1:9", "-o", "a", "--seed", "9" * 30], "seed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    arguments: list[str], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("a text\n")
    more = [] if "--battery" in arguments else ["--battery", NAME]
    result = run("probe", *arguments, *more)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert Path("file").read_text() == "a text\n"


def test_the_transcript_that_answers_is_not_written_to(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with answering() as server:
        run(*probed(server, path))
    before = path.read_bytes()
    assert run("probe", path, "--battery", NAME, "--seed", SEED, "-o", path).exit_code == 2
    assert path.read_bytes() == before


def test_help_needs_no_http_library(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['whorl', 'probe', '--help']\n"
        "from whorl.cli.main import main\n"
        "try: main()\n"
        "finally: print([name for name in ('httpx2', 'numpy', 'asyncio', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("[]\n")


def test_a_plan_says_that_its_power_was_not_tried_and_how_to_try_it(run: Run, tmp_path: Path) -> None:
    plain = run("probe", "--plan", "--battery", NAME).stdout
    assert "Expected power: not tried; give --population FILE" in " ".join(plain.split())
    missing = run("probe", "--plan", "--battery", NAME, "-P", str(tmp_path / "none"))
    assert missing.exit_code == 2
    assert "whorl population build" in missing.stderr


def test_a_population_without_a_plan_is_refused_before_anything_is_sent(run: Run, tmp_path: Path) -> None:
    (tmp_path / "controls").write_bytes(b"")
    with answering() as server:
        result = run(*probed(server, tmp_path / "a", "-P", str(tmp_path / "controls")))
        assert server.bodies == []
    assert result.exit_code == 2
    assert "expected with --plan only" in result.stderr
