"""What people do in a case, on real models: what is kept, what is seen by whom, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from small_case import (
    MODELS,
    POPULATION,
    Steps,
    candidates,
    key_of,
    opinion_saying,
    party_of,
    plan,
    propositions,
)

from whorl.cases import acquiring, analysing, casework
from whorl.cases.analysing import examine, read_tools, tools_of
from whorl.cases.bundling import dossier_files
from whorl.cases.case import Case
from whorl.cases.line_up import SECRET_FILE
from whorl.cases.showing import allowed_next, case_document
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Finding
from whorl.dossiers.custody import open_chain, parse_chain
from whorl.dossiers.events import Method, Proposed, Protocol
from whorl.dossiers.proceeding import proceed
from whorl.dossiers.state import time_of
from whorl.fingerprints.weight_fingerprint import parse_fingerprint

CaseAfter = Callable[[str], Steps]


def test_a_case_led_to_its_end(case_after: CaseAfter) -> None:
    view = case_after("close").case.read()
    state = view.state
    assert state.stage == "closed"
    names = {one.code: one.name for one in state.unblinded.members}  # type: ignore[union-attr]
    relations = {names[one.questioned]: one.summary.relation for one in state.analysed}
    assert relations == {
        "suspect": "derived",
        "known copy": "derived",
        "known stranger": "none_found",
        "decoy one": "none_found",
        "decoy two": "none_found",
    }
    assert state.replications[0].agrees
    assert state.replications[0].findings[0].largest_difference < casework.TOLERANCE


def test_nothing_that_an_analyst_reads_names_a_model(case_after: CaseAfter) -> None:
    steps = case_after("analyse")
    view = steps.case.read()
    for one in view.state.acquired:
        assert one.blob is not None
        assert parse_fingerprint(steps.case.store.get(one.blob), origin="test").name == one.code
    for made in view.state.analysed:
        finding = Finding.model_validate_json(steps.case.store.get(made.document))
        assert (finding.questioned.name, finding.reference.name) == (made.questioned, made.reference)
    shown = json.dumps(case_document(view, now=steps.clock()))
    assert not any(name in shown for name in ("decoy one", "known copy", "known stranger", str(MODELS)))


def test_an_analysis_without_the_code_key(case_after: CaseAfter) -> None:
    """The analyst's and the replicator's commands work where no code key is, so they do not open it."""
    steps = case_after("acquire")
    (steps.path / SECRET_FILE).unlink()
    assert steps.analyse().state.stage == "analysing"
    with pytest.raises(InputError, match="only who froze the protocol has it"):
        steps.unblind()


def test_every_finding_is_entered_as_soon_as_it_is_made(case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = case_after("acquire")
    made = []

    def interrupted(*arguments: object, **options: object) -> object:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(examine(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(casework, "examine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        steps.analyse()
    monkeypatch.undo()
    before = steps.case.read().state
    assert len(before.analysed) == 2
    with pytest.raises(VerificationError, match="rule 15"):
        steps.unblind()
    after = steps.analyse().state
    assert (len(after.analysed), after.analysed[:2]) == (5, before.analysed)
    assert steps.unblind().state.stage == "unblinded"


def test_asked_before_long_work(case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> object:
        raise AssertionError("work began")

    steps = case_after("propose")
    monkeypatch.setattr(casework, "examine", never)
    monkeypatch.setattr(casework, "fingerprint", never)
    monkeypatch.setattr(casework, "repeat", never)
    for verb in ("acquire", "analyse", "unblind", "replicate"):
        with pytest.raises(VerificationError, match="rule 6"):
            getattr(steps, verb)()
    with pytest.raises(VerificationError, match="rule 2"):
        casework.freeze(
            steps.case, plan=plan(), candidates=candidates(), populations=[POPULATION], key=key_of("analyst")
        )


def test_an_analysis_waits_for_the_whole_line_up(case_after: CaseAfter) -> None:
    steps = case_after("freeze")
    with pytest.raises(VerificationError, match="rule 6"):
        steps.analyse()
    real = acquiring.fingerprint
    taken = []

    def three(path: Path, progress: object) -> object:
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(path)
        return real(path, progress)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acquiring, "fingerprint", three)
        with pytest.raises(KeyboardInterrupt):
            steps.acquire()
    with pytest.raises(VerificationError, match="rule 13"):
        steps.analyse()
    assert len(steps.acquire().state.acquired) == 6
    assert len(steps.analyse().state.analysed) == 5


def test_a_model_that_changed_after_the_freezing(case_after: CaseAfter, tmp_path: Path) -> None:
    model = shutil.copytree(MODELS / "suspect", tmp_path / "suspect")
    stated = candidates()
    moved = stated.model_copy(update={"questioned": stated.questioned.model_copy(update={"path": str(model)})})
    steps = replace(case_after("propose"), candidates=moved)
    steps.freeze()
    shutil.rmtree(model)
    shutil.copytree(MODELS / "twin", model)
    with pytest.raises(VerificationError, match="found another content: it was changed since"):
        steps.acquire()


def test_a_protocol_that_this_release_cannot_follow(case_after: CaseAfter) -> None:
    steps = case_after("propose")
    usable = plan()
    other = usable.methods[0].model_copy(update={"method": "astrology/1"})
    elsewhere = usable.methods[0].model_copy(update={"group": "behaviour"})
    for method in (other, elsewhere):
        with pytest.raises(InputError, match="expected one of the methods"):
            casework.freeze(
                steps.case,
                plan=usable.model_copy(update={"methods": (method,)}),
                candidates=candidates(),
                populations=[POPULATION],
                key=key_of("manager"),
            )
    for populations, message in (([], "expected the population"), ([b"{}"], "expected a calibrated population")):
        with pytest.raises(InputError, match=message):
            casework.freeze(
                steps.case, plan=usable, candidates=candidates(), populations=populations, key=key_of("manager")
            )
    assert not (steps.path / SECRET_FILE).exists()
    assert steps.freeze().state.stage == "frozen"


def test_a_freezing_that_is_refused_leaves_no_line_up(case_after: CaseAfter) -> None:
    steps = case_after("open")
    casework.propose(steps.case, propositions()[:1], key_of("complainant"))
    with pytest.raises(VerificationError, match="rule 9"):
        steps.freeze()
    assert not (steps.path / SECRET_FILE).exists()


def test_a_freezing_that_did_not_finish_is_begun_anew(case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = case_after("propose")

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Case, "enter", crash)
    with pytest.raises(KeyboardInterrupt):
        steps.freeze()
    monkeypatch.undo()
    left = (steps.path / SECRET_FILE).read_bytes()
    assert steps.freeze().state.stage == "frozen"
    (aside,) = steps.path.glob("line-up-*.json")
    assert aside.read_bytes() == left
    assert steps.acquire().state.stage == "acquiring"


def test_the_code_key_that_was_exchanged(case_after: CaseAfter) -> None:
    steps = case_after("analyse")
    file = steps.path / SECRET_FILE
    document = json.loads(file.read_text())
    roles = {"decoy": "questioned", "questioned": "decoy"}
    document["members"] = [one | {"role": roles.get(one["role"], one["role"])} for one in document["members"]]
    file.write_text(json.dumps(document))
    with pytest.raises(VerificationError, match="expected the code key that was committed to"):
        steps.unblind()


CONTROLS = {
    "a positive control that shows nothing": candidates(positive="twin", decoy="student"),
    "a negative control that shows something": candidates(negative="sibling"),
    "a decoy that shows something": candidates(decoy="sibling"),
}


@pytest.mark.parametrize("why", CONTROLS)
def test_a_control_that_fails_voids_the_run(case_after: CaseAfter, why: str) -> None:
    steps = replace(case_after("propose"), candidates=CONTROLS[why])
    for step in ("freeze", "acquire", "analyse"):
        getattr(steps, step)()
    state = steps.unblind().state
    assert (state.stage, len(state.failed_controls)) == ("void", 1)
    for step in ("respond", "review"):
        with pytest.raises(VerificationError, match="rule 6"):
            getattr(steps, step)()


def test_a_replication_that_finds_something_else(case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = case_after("respond")
    group, real = analysing._METHODS[analysing.FINGERPRINT_COMPARISON]

    def other(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        statement = f"{found.conclusion.statement} Or so."
        conclusion = found.conclusion.model_copy(update={"statement": statement})
        return found.model_copy(update={"conclusion": conclusion, "layers": found.layers[1:]})

    monkeypatch.setitem(analysing._METHODS, analysing.FINGERPRINT_COMPARISON, (group, other))
    state = steps.replicate().state
    assert not state.replications[0].agrees
    assert "finding.conclusion.statement" in " ".join(state.replications[0].findings[0].differences)
    steps.review()
    with pytest.raises(VerificationError, match="rule 23"):
        steps.opine()


@pytest.mark.parametrize(("change", "agrees"), [(1 + 1e-9, True), (1.01, False)])
def test_a_replication_with_other_figures(
    case_after: CaseAfter, monkeypatch: pytest.MonkeyPatch, change: float, agrees: bool
) -> None:
    steps = case_after("respond")
    group, real = analysing._METHODS[analysing.FINGERPRINT_COMPARISON]

    def other(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        changed = found.conclusion.model_copy(update={"log10_lr": found.conclusion.log10_lr * change})
        return found.model_copy(update={"conclusion": changed})

    monkeypatch.setitem(analysing._METHODS, analysing.FINGERPRINT_COMPARISON, (group, other))
    assert steps.replicate().state.replications[0].agrees is agrees


def test_documents_are_kept_byte_for_byte(case_after: CaseAfter) -> None:
    steps = case_after("unblind")
    for number, data in enumerate((b"step 1\n", b"\0\xff")):
        view = casework.acquire_document(
            steps.case, data, title=f"Log {number}", how="by e-mail", filed_by=None, key=key_of("respondent")
        )
        one = view.state.acquired[-1]
        assert (one.code, one.filed_by) == (f"D-{number + 1}", "respondent")
        assert steps.case.store.get(one.digest) == data
    view = casework.acquire_document(
        steps.case, b"for them", title="Letter", how="by post", filed_by="complainant", key=key_of("manager")
    )
    assert view.state.acquired[-1].filed_by == "complainant"
    with pytest.raises(VerificationError, match="rule 12"):
        casework.acquire_document(
            steps.case, b"mine", title="Note", how="written", filed_by=None, key=key_of("analyst")
        )


def test_versions_of_an_opinion(case_after: CaseAfter) -> None:
    steps = case_after("opine")
    with pytest.raises(VerificationError, match="rule 6"):
        steps.opine()
    steps.review()
    again = opinion_saying("not_answerable")
    view = casework.opine(steps.case, again, key_of("analyst"), cause="calibration", text="More families.")
    first, second = view.state.opinions
    assert (second.version, second.supersedes, second.cause) == (2, first.document, "calibration")
    assert steps.case.store.get(second.document) == again
    assert [one.verdict for one in view.state.opinions] == ["inconclusive", "not_answerable"]
    steps.review()
    for nothing in (b"{}", b'{"verdict": "guilty"}', b'{"verdict": 1}'):
        with pytest.raises(InputError, match="expected an opinion with one of the verdicts"):
            casework.opine(steps.case, nothing, key_of("analyst"))


def test_an_appeal_reviewer_who_joins(case_after: CaseAfter) -> None:
    steps = case_after("close")
    casework.appeal(steps.case, key_of("complainant"), grounds=["bias"], text="The analyst knows them.")
    with pytest.raises(VerificationError, match="rule 2"):
        casework.decide(steps.case, key_of("reviewer"), result="upheld", reasons="No.")
    again = party_of("appeal_reviewer").model_copy(update={"name": "Somebody else"})
    with pytest.raises(VerificationError, match="rule 4"):
        casework.join(steps.case, again, key_of("manager"))
    assert (
        casework.decide(steps.case, key_of("appeal_reviewer"), result="upheld", reasons="No.").state.stage == "decided"
    )


def test_a_clock_that_runs_behind(case_after: CaseAfter) -> None:
    """Clocks differ: an event after one that lies a little ahead is signed at the same time, and never much ahead."""
    steps = case_after("unblind")
    last = steps.case.store.kept()[-1].record.at
    steps.clock.at = time_of(last) - timedelta(minutes=9)
    view = casework.acquire_document(
        steps.case, b"a log", title="Log", how="sent", filed_by=None, key=key_of("respondent")
    )
    assert (view.kept[-1].record.at, view.state.acquired[-1].acquired_at) == (last, last)
    assert steps.respond().kept[-1].record.at == last
    steps.clock.at = time_of(last) - timedelta(minutes=15)
    ours, _ = propositions()
    with pytest.raises(VerificationError, match="rule 1: expected a time not before the last event's"):
        steps.case.enter(Proposed(propositions=(ours,)), key_of("complainant"))


def test_a_clock_that_runs_behind_at_the_freezing(case_after: CaseAfter) -> None:
    steps = case_after("freeze")
    last = steps.case.store.kept()[-1].record.at
    steps.clock.at = time_of(last) - timedelta(minutes=9)
    assert steps.acquire().state.acquired[0].acquired_at == last


def test_an_event_that_is_dated_ahead(case_after: CaseAfter) -> None:
    """A reviewer who says that a month has passed: everybody else sees that it has not."""
    steps = case_after("unblind")
    now = steps.clock.at
    steps.clock.at += timedelta(days=31)
    steps.review()
    steps.clock.at = now
    for verb in ("opine", "respond"):
        with pytest.raises(VerificationError, match=r"after your clock|rule 1"):
            getattr(steps, verb)()
    with pytest.raises(VerificationError, match="after your clock"):
        steps.case.read()


def test_the_files_of_a_dossier(case_after: CaseAfter) -> None:
    steps = case_after("close")
    view = steps.case.read()
    files = dossier_files(view, steps.case.store)
    assert proceed(open_chain(parse_chain(files["data/custody.jsonl"]))) == view.state
    folders = sorted(path.split("/")[1] for path in files)
    assert folders == ["custody.jsonl", *["exhibits"] * 6, *["findings"] * 5, "opinion-1.json", "populations"]


def test_a_receipt_of_the_protocol(case_after: CaseAfter) -> None:
    steps, told = case_after("propose"), []

    def commit(protocol: Protocol) -> bytes:
        told.append(protocol)
        return b"a receipt"

    view = casework.freeze(
        steps.case,
        plan=plan(),
        candidates=candidates(),
        populations=[POPULATION],
        key=key_of("manager"),
        commit=commit,
    )
    assert told == [view.state.protocol]
    assert dossier_files(view, steps.case.store)["data/registry/protocol.receipt.json"] == b"a receipt"


def test_nobody_is_told_of_a_protocol_that_a_rule_refuses(case_after: CaseAfter) -> None:
    steps = case_after("open")
    casework.propose(steps.case, propositions()[:1], key_of("complainant"))

    def never(_: Protocol) -> bytes:
        raise AssertionError("committed to")

    with pytest.raises(VerificationError, match="rule 9"):
        casework.freeze(
            steps.case,
            plan=plan(),
            candidates=candidates(),
            populations=[POPULATION],
            key=key_of("manager"),
            commit=never,
        )


BAD_NAMES = [
    ("the stolen weights", VerificationError, "rule 8: line-up"),
    ("known\u3164copy", VerificationError, r"found U\+3164"),
    ("DECOY ONE", InputError, "names can be told apart"),
]


@pytest.mark.parametrize(("name", "error", "message"), BAD_NAMES)
def test_names_of_the_line_up_are_looked_at_before_it_is_dealt(
    case_after: CaseAfter, name: str, error: type[Exception], message: str
) -> None:
    stated = candidates()
    renamed = stated.positive_controls[0].model_copy(update={"name": name})
    steps = replace(case_after("propose"), candidates=stated.model_copy(update={"positive_controls": (renamed,)}))
    with pytest.raises(error, match=message):
        steps.freeze()
    assert not (steps.path / SECRET_FILE).exists()
    assert steps.case.read().state.stage == "proposed"


def test_what_may_come_next(case_after: CaseAfter) -> None:
    state = case_after("acquire").case.read().state
    assert "analysed" in allowed_next(state)
    assert "unblinded" not in allowed_next(state)


def test_what_may_come_after_the_unblinding(case_after: CaseAfter) -> None:
    following = allowed_next(case_after("unblind").case.read().state)
    assert following["responded"] == {"respondent"}
    assert not {"frozen", "analysed", "opined"} & set(following)


def test_populations_come_from_the_case_itself(case_after: CaseAfter) -> None:
    steps = case_after("freeze")
    tools = tools_of(steps.case.read().state, steps.case.store)
    assert tools == read_tools([POPULATION])
    method = Method(group="weights", method=analysing.FINGERPRINT_COMPARISON, parameters={"population": "sha256:0"})
    with pytest.raises(InputError, match="expected the population"):
        analysing.require_usable([method], tools)
