"""How batches are entered when something goes wrong: nobody pays for somebody else's entry, and nothing is lost."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from served import (
    UNLIMITED,
    Claimant,
    Served,
    SteppedClock,
    digest,
    entry_body,
    error_of,
    leaf_hash_of,
    model,
    serving,
    wait_for,
)

from whorl.core.errors import VerificationError
from whorl.entries.kinds import Fingerprint
from whorl.registry.accounts import audit_trail
from whorl.registry.database_errors import RegistryError
from whorl.registry.sequencer import Entered, Submission
from whorl.registry.tallies import REFUSE
from whorl.web.audit import AuditTrail
from whorl.web.errors import ApiError
from whorl.web.limits import Limits, Rates, who_at


class Stumbling:
    """A registry's `enter` that fails as it is told."""

    def __init__(self, served: Served, problem: Exception, *, poison: bytes | None = None, times: int = 10**6) -> None:
        self._enter = served.registry.enter
        self._problem = problem
        self._poison = poison
        self._times = times
        served.registry.enter = self  # type: ignore[assignment,method-assign]

    def __call__(self, submissions: Sequence[Submission]) -> Any:
        poisoned = self._poison is None or any(one.envelope == self._poison for one in submissions)
        if poisoned and self._times:
            self._times -= 1
            raise self._problem
        return self._enter(submissions)


def test_an_entry_that_breaks_the_writer_breaks_nobody_elses(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    claimants = [Claimant.new(f"Lab {number}") for number in range(5)]
    signed = [one.sign(one.organisation) for one in claimants]
    Stumbling(served, ValueError("something secret"), poison=signed[2].envelope)
    with served.service._changed:  # all of them wait together
        futures = [served.service.enter([one], actor="test") for one in signed]
    for place, future in enumerate(futures):
        if place == 2:
            with pytest.raises(ApiError) as refused:
                future.result(30)
            assert (refused.value.status, refused.value.code) == (500, "internal")
            assert "secret" not in str(refused.value)
        else:
            assert isinstance(future.result(30)[0], Entered)
    assert served.service.health().problem is None
    assert caplog.records


@pytest.mark.parametrize(
    "problem",
    [
        RegistryError("/secret/registry.sqlite: the disk is full; nothing was written; free some space and try again"),
        VerificationError("/secret/log: the tree was rewritten. Nothing was signed."),
        OSError(5, "Input/output error", "/secret/log/tile"),
    ],
    ids=["disk", "log", "os"],
)
def test_trouble_here_is_503_and_tells_no_paths(
    served: Served, caplog: pytest.LogCaptureFixture, problem: Exception
) -> None:
    claimant = Claimant.new()
    Stumbling(served, problem, times=2)
    with served.client() as client:
        body = entry_body(claimant.sign(claimant.organisation))
        answer = client.post("/api/entries", content=body)
        assert error_of(answer) == (503, "unavailable")
        assert "secret" not in answer.text
        assert "retry-after" in answer.headers
        ready = client.get("/healthz/ready")
        assert ready.status_code == 503
        assert "secret" not in ready.text
        assert client.post("/api/entries", content=body).status_code == 503
        assert client.post("/api/entries", content=body).status_code == 201  # once it is over
        assert client.get("/healthz/ready").status_code == 200
    assert "secret" in caplog.text


def test_an_entry_that_was_written_and_not_published_is_finished(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    claimant = Claimant.new()
    submission = claimant.sign(claimant.organisation)
    sequencer = served.registry.sequencer
    publish = sequencer._publish

    def fail() -> None:
        sequencer._publish = publish  # type: ignore[method-assign]
        raise RegistryError("the disk is full")

    sequencer._publish = fail  # type: ignore[method-assign]
    with served.client() as client:
        assert client.post("/api/entries", content=entry_body(submission)).status_code == 503
        answer = client.post("/api/entries", content=entry_body(submission))
        assert answer.status_code == 201
    with served.remote() as remote:
        assert remote.checked_receipt(leaf_hash_of(submission), served.policy).index >= 0


def test_the_tree_head_is_signed_anew_when_it_grows_old(folder: Path) -> None:
    clock = SteppedClock()
    with serving(folder, now=clock) as served:
        wait_for(lambda: served.service.health().problem is None)
        first = served.registry.log.tree_head()
        clock.at += timedelta(minutes=11)
        wait_for(lambda: served.registry.log.tree_head() != first)
        assert served.service.health().is_ready(clock.at)


def test_blobs_that_nothing_refers_to_are_removed_after_a_day(folder: Path) -> None:
    clock = SteppedClock()
    claimant = Claimant.new()
    with serving(folder, limits=UNLIMITED, now=clock) as served, served.remote(key=claimant.key) as remote:
        claimant.register(served.registry)
        clock.at += timedelta(seconds=2)
        kept, forgotten = remote.put_blob([b"kept"]), remote.put_blob([b"forgotten"])
        content = digest()
        (entered,) = remote.enter([claimant.sign(model(content=content))])
        assert isinstance(entered, Entered)
        body = Fingerprint(method="test/1", model_content=content, blob=kept.digest, tool="test 1")
        remote.enter([claimant.sign(body, target=entered.hash)])
        assert served.service.sweep() == 0
        clock.at += timedelta(days=1, seconds=5)
        assert served.service.sweep() == 1
        assert list(served.registry.blobs.digests()) == [kept.digest]
        assert not served.registry.blobs.holds(forgotten.digest)


def test_other_work_of_the_writer_that_fails_is_told_to_who_asked(served: Served) -> None:
    def fail(connection: object) -> None:
        raise ValueError("this work")

    with pytest.raises(ValueError, match="this work"):
        served.service.write(fail).result(10)
    assert served.service.write(lambda _: 7).result(10) == 7


def test_only_so_many_refusals_are_told_one_by_one() -> None:
    clock = SteppedClock()
    trail = AuditTrail(clock, refusals_per_minute=3)
    for number in range(10):
        trail.note(actor="a", action=REFUSE, subject=str(number), outcome="gap")
    trail.note(actor="a", action="enter", subject="one", outcome="entered")
    assert [(line.action, line.subject) for line in trail.take()] == [
        (REFUSE, "0"),
        (REFUSE, "1"),
        (REFUSE, "2"),
        ("enter", "one"),
    ]
    clock.at += timedelta(minutes=1)
    (summary,) = trail.take()
    assert summary.subject.startswith("7 refusals")
    trail.note(actor="a", action=REFUSE, subject="again", outcome="gap")
    lines = trail.take()
    assert len(lines) == 1
    trail.give_back(lines)
    assert trail.take() == lines


def test_the_audit_trail_is_written_in_order(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote:
        claimant.register(remote)
        remote.enter(claimant.models(3))
    with served.registry.database.reading() as connection:
        lines = audit_trail(connection)
    assert [line.action for line in lines] == ["enter", "enter"]
    assert [line.number for line in lines] == [2, 1]
    assert lines[0].subject.startswith("3 entries")
    assert lines[0].actor == "address 127.0.0.1"


def test_counts_begin_anew_with_each_window_and_strangers_push_out_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    rates = Rates(Limits(searches_per_second=2), monotonic=lambda: now[0])
    rates.take("searches", "a")
    rates.take("searches", "a")
    with pytest.raises(ApiError) as refused:
        rates.take("searches", "a")
    assert refused.value.headers == {"Retry-After": "1"}
    rates.take("searches", "b")
    now[0] += 1.0
    rates.take("searches", "a")
    monkeypatch.setattr("whorl.web.limits._COUNTERS", 10)
    for number in range(50):
        rates.take("searches", f"stranger {number}")
    assert len(rates._counters._held) == 10


def test_no_limit_keeps_anybody_from_disputing() -> None:
    with pytest.raises(ValueError, match="dispute"):
        Limits(entries_per_hour=5)


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.7", "address 192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::/64"),
        ("fe80::1%eth0", "address fe80::/64"),
        ("::ffff:192.0.2.7", "address 192.0.2.7"),
        (None, "address unknown"),
        ("a pipe", "address unknown"),
    ],
)
def test_somebody_unknown_is_counted_by_address(address: str | None, who: str) -> None:
    assert who_at(address) == who
