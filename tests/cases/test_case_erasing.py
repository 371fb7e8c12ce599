"""Expungement: what was said is gone from the disk, the chain still holds, and a crash in between is made good."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_case import Steps, candidates, key_of

from whorl.cases import casework, erasing
from whorl.cases.bundling import dossier_files
from whorl.cases.case import Case, CaseView
from whorl.cases.erasing import expunge, named_exhibits
from whorl.cases.line_up import SECRET_FILE
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.building import build_dossier
from whorl.dossiers.case_facts import facts_of
from whorl.dossiers.custody import write_chain
from whorl.dossiers.verifying import verify_dossier

CaseAfter = Callable[[str], Steps]


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_a_whole_case(case_after: CaseAfter) -> None:
    steps = case_after("close")
    before = steps.case.read()
    salts = [one.salt for one in before.kept]
    after = expunge(steps.case, key_of("manager"), ground="retention")
    assert (after.id, after.state.stage, after.state.opened) == (before.id, "expunged", None)
    assert [one.record for one in after.kept[:-1]] == [one.record for one in before.kept]
    assert steps.case.read().kept == after.kept
    left = everything(steps.path)
    assert not any(salt in left for salt in salts if salt)
    for words in (b"Northwind", b"Lark", b"known copy", b"whorl.finding/1", b"Ben Analyst"):
        assert words not in left
    assert not (steps.path / SECRET_FILE).exists()
    assert b"Northwind" not in write_chain(after.kept)
    with pytest.raises(InputError, match="nothing left"):
        expunge(steps.case, key_of("manager"), ground="retention")
    with pytest.raises(VerificationError, match="unknown key"):
        steps.respond()


def test_one_document(case_after: CaseAfter) -> None:
    steps = case_after("unblind")
    for title in ("Log", "Letter"):
        view = casework.acquire_document(
            steps.case, title.encode() * 50, title=title, how="by post", filed_by=None, key=key_of("respondent")
        )
    log, letter = (one for one in view.state.acquired if one.access == "document")
    number = len(view.events) - 2
    after = expunge(steps.case, key_of("manager"), ground="court_order", events=[number])
    assert after.events[number].body is None
    with pytest.raises(InputError, match="erased or lost"):
        steps.case.store.get(log.digest)
    assert steps.case.store.get(letter.digest) == b"Letter" * 50
    assert after.state.tombstones[0].blobs == (log.digest,)
    assert after.state.opened is not None


@pytest.mark.parametrize("kind", ["frozen", "unblinded"])
def test_the_line_up_goes_with_any_event_that_tells_it(case_after: CaseAfter, kind: str) -> None:
    steps = case_after("close")
    number = next(event.record.sequence for event in steps.case.read().events if event.record.kind == kind)
    expunge(steps.case, key_of("manager"), ground="court_order", events=[4])
    assert (steps.path / SECRET_FILE).exists()
    expunge(steps.case, key_of("manager"), ground="court_order", events=[number])
    assert not (steps.path / SECRET_FILE).exists()


@pytest.mark.parametrize("whole", [True, False])
def test_that_a_run_was_void_is_known_once_its_unblinding_is_gone(case_after: CaseAfter, whole: bool) -> None:
    steps = replace(case_after("propose"), candidates=candidates(positive="twin", decoy="student"))
    for step in ("freeze", "acquire", "analyse", "unblind"):
        view = getattr(steps, step)()
    assert view.state.void
    number = view.events[-1].record.sequence
    casework.close(steps.case, key_of("manager"), outcome="void", reasons="A control failed.")
    after = expunge(steps.case, key_of("manager"), ground="court_order", events=None if whole else [number, number + 1])
    assert after.state.void
    assert steps.case.read().state.void
    out = steps.path.with_name("x.dossier")
    files = dossier_files(after, steps.case.store)
    build_dossier(files, facts=facts_of(files), key=key_of("manager"), out=out)
    found = verify_dossier(out, now=steps.clock())
    assert (found.failed, found.void, found.verdict) == ((), True, None)
    assert "the run is void, nothing in it counts: a tombstone says so" in found.steps[5].detail


def test_an_exhibit_that_another_event_names_stays(case_after: CaseAfter) -> None:
    steps = case_after("close")
    view = steps.case.read()
    digest = view.state.analysed[0].document
    number = {kind: view.state.kinds.index(kind) for kind in ("analysed", "replicated")}
    after = expunge(steps.case, key_of("manager"), ground="court_order", events=[number["analysed"]])
    assert digest not in after.state.tombstones[0].blobs
    assert b"whorl.finding/1" in steps.case.store.get(digest)  # the second analyst's event names it too
    expunge(steps.case, key_of("manager"), ground="court_order", events=[number["replicated"]])
    with pytest.raises(InputError, match="erased or lost"):
        steps.case.store.get(digest)


def test_a_crash_between_the_events_and_the_exhibits(case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = case_after("close")

    real, calls = erasing._finish, []

    def crash(case: Case, view: CaseView) -> None:
        calls.append(view)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(case, view)

    monkeypatch.setattr(erasing, "_finish", crash)
    with pytest.raises(KeyboardInterrupt):
        expunge(steps.case, key_of("manager"), ground="retention")
    monkeypatch.undo()
    assert b"whorl.finding/1" in everything(steps.path)
    view = steps.case.read()
    assert view.state.stage == "expunged"
    with pytest.raises(InputError, match="nothing left"):
        expunge(steps.case, key_of("manager"), ground="retention")
    assert b"whorl.finding/1" not in everything(steps.path)
    assert not (steps.path / SECRET_FILE).exists()


def test_an_exhibit_that_no_event_names_goes_with_whatever_is_erased(case_after: CaseAfter) -> None:
    steps = case_after("close")
    unused = steps.case.store.put(b"put, and never filed")
    view = steps.case.read()
    expunge(steps.case, key_of("manager"), ground="court_order", events=[1])
    with pytest.raises(InputError, match="erased or lost"):
        steps.case.store.get(unused)
    for named in named_exhibits(view):
        assert steps.case.store.get(named)


@pytest.mark.parametrize("ground", ["annulment", "withdrawal"])
def test_a_ground_that_the_case_does_not_show(case_after: CaseAfter, ground: str) -> None:
    steps = case_after("close")
    before = everything(steps.path)
    with pytest.raises(VerificationError, match="rule 29"):
        expunge(steps.case, key_of("manager"), ground=ground)  # type: ignore[arg-type]
    assert everything(steps.path) == before


def test_nobody_but_the_manager_erases(case_after: CaseAfter) -> None:
    steps = case_after("close")
    for role in ("respondent", "analyst", "stranger"):
        with pytest.raises(VerificationError):
            expunge(steps.case, key_of(role), ground="court_order")
    assert json.loads((steps.path / SECRET_FILE).read_text())["schema"] == "whorl.line-up/1"
