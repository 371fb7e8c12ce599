"""The runner: everything is asked once, nothing waits without need, and every ending leaves a sealed transcript."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from small_batteries import Scripted, battery, failing, reply, started

from whorl.core.errors import InputError
from whorl.endpoints.exchange import EndpointError, Question, Reply
from whorl.probes import running
from whorl.probes.running import LOST_AFTER, REFUSED_AFTER, Run, run, shuffled
from whorl.probes.transcript import question_of, recorded
from whorl.probes.transcript_file import TranscriptFile, continue_transcript
from whorl.probes.transcript_reading import read_transcript


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.transcript"


def go(endpoint: Scripted, transcript: TranscriptFile, *, concurrency: int = 4, seed: int = 1) -> Run:
    with transcript:
        return asyncio.run(run(endpoint, transcript, concurrency=concurrency, order_seed=seed))


def test_every_draw_of_every_item_is_asked_once(path: Path) -> None:
    endpoint = Scripted()
    done = go(endpoint, started(path, battery(10, draws=3)))
    read = read_transcript(path)
    assert done.seal.reason == "complete"
    assert read.complete
    assert len(endpoint.asked) == 30
    expected = Counter(question_of(item, draw).digest for item, draw in shuffled(battery(10, draws=3), 0))
    assert Counter(question.digest for question in endpoint.asked) == expected
    assert all(reply.text for reply in read.answered.values())


def test_each_answer_is_kept_with_its_question(path: Path) -> None:
    go(Scripted(), started(path))
    read = read_transcript(path)
    for item, draw in shuffled(read.header.battery, 0):
        assert read.answered[item.id, draw].text == f"answer to {question_of(item, draw).digest[-12:]}"


def test_the_order_is_a_shuffle_by_the_seed() -> None:
    asked = battery(50, draws=2)
    order = [(item.id, draw) for item, draw in shuffled(asked, 1)]
    assert order == [(item.id, draw) for item, draw in shuffled(asked, 1)]
    assert order != [(item.id, draw) for item, draw in shuffled(asked, 2)]
    assert order != sorted(order)
    assert sorted(order) == sorted((item.id, draw) for item in asked.items for draw in range(2))


def test_the_order_is_the_same_everywhere() -> None:
    """As ``printf '5\\nlow_entropy/00000\\n0' | sha256sum`` and its like sort."""
    order = [(item.id[-1], draw) for item, draw in shuffled(battery(2, draws=2), 5)]
    assert order == [("1", 1), ("1", 0), ("0", 1), ("0", 0)]


def test_the_allowed_concurrency_is_used_and_never_exceeded(path: Path) -> None:
    endpoint = Scripted(seconds=0.01)
    go(endpoint, started(path, battery(40, draws=1)), concurrency=7)
    assert endpoint.most_under_way == 7


def test_no_more_places_than_questions(path: Path) -> None:
    endpoint = Scripted(seconds=0.01)
    go(endpoint, started(path, battery(3, draws=1)), concurrency=64)
    assert endpoint.most_under_way == 3


def test_a_slow_question_holds_up_no_other(path: Path) -> None:
    class SlowOnce(Scripted):
        async def ask(self, question: Question) -> Reply:
            if not self.asked:
                self.asked.append(question)
                while len(self.asked) < 40:  # it ends when all others are done
                    await asyncio.sleep(0.001)
                return reply("slow")
            return await super().ask(question)

    assert go(SlowOnce(), started(path, battery(40, draws=1)), concurrency=2).seal.reason == "complete"


def test_questions_set_out_one_after_the_other(path: Path) -> None:
    """Else those that are answered together stay together, and each waits until all others are dealt with."""

    class Timed(Scripted):
        async def ask(self, question: Question) -> Reply:
            times.append(asyncio.get_running_loop().time())
            return await super().ask(question)

    times: list[float] = []
    go(Timed(seconds=0.05), started(path, battery(60, draws=1)), concurrency=30)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 0.9 * running.SECONDS_BETWEEN_QUESTIONS


def test_concurrency_below_1_is_a_mistake(path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        go(Scripted(), started(path), concurrency=0)


# Going on.


def test_going_on_asks_only_what_is_missing(path: Path) -> None:
    def some(question: Question) -> Reply:
        if int(question.digest[-2:], 16) % 2:
            raise EndpointError("timed_out", "scripted")
        return reply()

    first = go(Scripted(some), started(path, battery(20)))
    before = read_transcript(path)
    assert 0 < len(before.answered) < 40
    assert first.given_up == len(before.given_up) == 40 - len(before.answered)
    endpoint = Scripted()
    second = go(endpoint, continue_transcript(path))
    assert second.seal.reason == "complete"
    assert (second.answered, second.given_up) == (first.given_up, 0)
    asked = {question.digest for question in endpoint.asked}
    answered = {
        question_of(item, draw).digest for item, draw in questions(before) if (item.id, draw) in before.answered
    }
    assert len(endpoint.asked) == len(asked) == 40 - len(answered)
    assert not asked & answered
    after = read_transcript(path)
    assert after.complete
    assert before.answered.items() <= after.answered.items()


def questions(transcript):  # type: ignore[no-untyped-def]
    return shuffled(transcript.header.battery, 0)


def test_everything_answered_sends_nothing_and_changes_nothing(path: Path) -> None:
    go(Scripted(), started(path))
    before = path.read_bytes()
    endpoint = Scripted(failing("broken"))
    done = go(endpoint, continue_transcript(path))
    assert endpoint.asked == []
    assert (done.seal.reason, done.answered, done.given_up) == ("complete", 0, 0)
    assert path.read_bytes() == before


def test_a_file_cut_off_after_the_last_answer_only_lacks_its_seal(path: Path) -> None:
    go(Scripted(), started(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    endpoint = Scripted()
    go(endpoint, continue_transcript(path))
    assert endpoint.asked == []
    assert path.read_bytes() == whole


def test_a_recorded_endpoint_gives_the_same_answers(path: Path, tmp_path: Path) -> None:
    go(Scripted(), started(path))
    again = tmp_path / "again"
    with started(again) as transcript:
        asyncio.run(run(recorded(read_transcript(path)), transcript, concurrency=3, order_seed=9))
    assert dict(read_transcript(again).answered) == dict(read_transcript(path).answered)


def test_questions_that_were_never_recorded_are_given_up_one_by_one(path: Path, tmp_path: Path) -> None:
    go(Scripted(), started(path, battery(2, draws=1)))
    again = tmp_path / "again"
    with started(again, battery(60, draws=1)) as transcript:
        done = asyncio.run(run(recorded(read_transcript(path)), transcript, concurrency=3, order_seed=9))
    assert done.seal.reason == "complete"
    assert (done.answered, done.given_up) == (2, 58)


# Endings.


@pytest.mark.parametrize(
    ("trouble", "asked"),
    [
        ("timed_out", LOST_AFTER),
        ("broken", LOST_AFTER),
        ("rate_limited", LOST_AFTER),
        ("malformed", LOST_AFTER),
        ("rejected", LOST_AFTER),
        ("not_allowed", REFUSED_AFTER),
        ("not_found", REFUSED_AFTER),
        ("redirected", REFUSED_AFTER),
    ],
)
def test_an_endpoint_that_never_answers_is_lost(trouble: str, asked: int, path: Path) -> None:
    endpoint = Scripted(failing(trouble))
    done = go(endpoint, started(path, battery(100)), concurrency=1)
    assert len(endpoint.asked) == asked
    assert done.seal.reason == "endpoint_lost"
    assert done.last_error is not None
    assert done.last_error.trouble == trouble
    read = read_transcript(path)
    assert not read.answered
    assert len(read.given_up) == asked


def after(count: int, then: Callable[[Question], Reply]) -> Callable[[Question], Reply]:
    seen = 0

    def answer(question: Question) -> Reply:
        nonlocal seen
        seen += 1
        return reply() if seen <= count else then(question)

    return answer


def test_a_refusal_after_answers_may_be_of_one_question(path: Path) -> None:
    """A gateway says 403 to a question that its filter dislikes; the endpoint is not lost for that."""
    endpoint = Scripted(after(5, failing("not_allowed")))
    done = go(endpoint, started(path, battery(100)), concurrency=1)
    assert done.seal.reason == "endpoint_lost"
    assert done.given_up == LOST_AFTER


def test_rejected_questions_among_answered_ones_lose_nothing(path: Path) -> None:
    done = go(Scripted(after(5, failing("rejected"))), started(path, battery(100, draws=1)), concurrency=1)
    assert done.seal.reason == "complete"
    assert (done.answered, done.given_up) == (5, 95)


def test_one_answer_starts_the_count_anew(path: Path) -> None:
    number = 0

    def mostly_broken(_: Question) -> Reply:
        nonlocal number
        number += 1
        if number % LOST_AFTER:
            raise EndpointError("broken", "scripted")
        return reply()

    done = go(Scripted(mostly_broken), started(path, battery(100, draws=1)), concurrency=1)
    assert done.seal.reason == "complete"
    assert (done.answered, done.given_up) == (5, 95)


def test_questions_under_way_are_broken_off_when_the_endpoint_is_lost(path: Path) -> None:
    class HangsAtLast(Scripted):
        async def ask(self, question: Question) -> Reply:
            if not self.asked:
                self.asked.append(question)
                await asyncio.sleep(3600)
            return await super().ask(question)

    endpoint = HangsAtLast(failing("broken"))
    assert go(endpoint, started(path, battery(100)), concurrency=2).seal.reason == "endpoint_lost"
    assert len(read_transcript(path).given_up) == LOST_AFTER


def test_cancelling_seals_as_interrupted_and_keeps_what_came(path: Path) -> None:
    async def cancelled(transcript: TranscriptFile) -> None:
        endpoint = Scripted(after(5, failing("timed_out")), seconds=0.001)
        task = asyncio.create_task(run(endpoint, transcript, concurrency=2, order_seed=1))
        while len(transcript.answered) < 5:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert endpoint.under_way == 0

    with started(path, battery(1000)) as transcript:
        asyncio.run(cancelled(transcript))
    read = read_transcript(path)
    assert read.seal is not None
    assert read.seal.reason == "interrupted"
    assert len(read.answered) == 5


def test_a_transcript_that_cannot_be_written_ends_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(entry: object) -> None:
        raise OSError(28, "No space left on device")

    endpoint = Scripted(seconds=0.001)
    transcript = started(path, battery(1000))
    monkeypatch.setattr(transcript, "add", full)
    with pytest.raises(OSError, match="No space left"):
        go(endpoint, transcript)
    assert len(endpoint.asked) <= 4
    assert endpoint.under_way == 0


def test_a_disk_that_fails_to_keep_ends_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_disk() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(running, "SYNC_SECONDS", 0.01)
    endpoint = Scripted(seconds=0.002)
    with started(path, battery(1000)) as transcript:
        monkeypatch.setattr(transcript, "sync", broken_disk)
        with pytest.raises(OSError, match="Input/output"):
            asyncio.run(run(endpoint, transcript, concurrency=4, order_seed=1))
        monkeypatch.undo()
    assert len(endpoint.asked) < 2000


def test_answers_reach_the_disk_while_the_run_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(running, "SYNC_SECONDS", 0.01)
    transcript = started(path, battery(100, draws=1))
    sync = transcript.sync
    monkeypatch.setattr(transcript, "sync", lambda: (synced.append(len(transcript.answered)), sync()))
    go(Scripted(seconds=0.005), transcript, concurrency=2)
    assert len(synced) > 5
    assert len(synced) < 100  # not for every answer
    assert synced[-1] == 100


def test_progress_counts_answers_of_earlier_runs(path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    go(Scripted(after(5, failing("rejected"))), started(path, battery(10, draws=1)), concurrency=1)
    with continue_transcript(path) as transcript:
        tell = lambda what, done, total: told.append((what, done, total))  # noqa: E731
        asyncio.run(run(Scripted(), transcript, concurrency=1, order_seed=1, progress=tell))
    assert told == [("asking", done, 10) for done in range(6, 11)]


def test_a_line_limit_that_is_reached_ends_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whorl.probes import transcript_reading

    monkeypatch.setattr(transcript_reading, "LINES_PER_QUESTION", 1)
    for _ in range(2):
        transcript = continue_transcript(path) if path.exists() else started(path, battery(3, draws=1))
        if transcript.given_up:
            with pytest.raises(InputError, match="over and over"):
                go(Scripted(failing("timed_out")), transcript)
        else:
            go(Scripted(failing("timed_out")), transcript)
    assert len(read_transcript(path).given_up) == 3
