"""A case on models that are only asked: coded transcripts, ranks among control models, and what must not be said."""

import json
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from small_case import Clock, Steps, key_of, opening, plan, propositions

import cases as known
from whorl.cases import casework, opining
from whorl.cases.analysing import ANSWER_COMPARISON
from whorl.cases.bundling import dossier_files
from whorl.cases.case import CaseView
from whorl.cases.coded_transcript import coded_transcript, read_recording, readable
from whorl.cases.line_up import Candidates
from whorl.comparison.answer_population import read_population
from whorl.core.behaviour import Behaviour
from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.answers_again import answer_relation
from whorl.dossiers.building import build_dossier
from whorl.dossiers.case_facts import facts_of
from whorl.dossiers.custody import Record
from whorl.dossiers.events import AskedAt, Method, Model
from whorl.dossiers.opinion import Opinion, Remarks
from whorl.dossiers.preparing_rules import acquire
from whorl.dossiers.recorded import parse_found, require_recorded
from whorl.dossiers.state import State
from whorl.dossiers.verifying import Verification, verify_dossier
from whorl.probes.transcript_reading import read_transcript

KNOWN = known.CASES["student-answers"]
LINE_UP = Candidates.model_validate_json(json.dumps(known.line_up(KNOWN)))


@cache
def controls() -> bytes:
    return (known.CHAT / "controls.pop").read_bytes()


@cache
def method() -> Method:
    population = read_population(known.CHAT / "controls.pop")
    parameters: dict[str, int | float | str] = {
        "population": population.digest,
        "models": len(population.models),
        "battery": population.batteries[0].digest,
    }
    return Method(group="behaviour", method=ANSWER_COMPARISON, parameters=parameters)


@dataclass
class AskedSteps(Steps):
    """The steps of a case whose models are behind endpoints; it begins after they were recorded."""

    clock: Clock = field(default_factory=lambda: Clock(at=datetime(2026, 12, 1, 9, 0, tzinfo=UTC)))
    candidates: Candidates = field(default_factory=lambda: LINE_UP)

    def open(self) -> CaseView:
        opened = opening(questioned=self.candidates.questioned.name).model_copy(
            update={"reference": Model(name=self.candidates.reference.name, digest=None)}
        )
        return casework.new_case(self.path, opened, key_of("manager"), now=self.clock, random_bytes=self.random_bytes)

    def propose(self) -> CaseView:
        ours, theirs = propositions()
        statement = known.CLAIMS["learned_from"].format(KNOWN.questioned, KNOWN.reference)
        claim = ours.model_copy(update={"alternative": "learned_from", "statement": statement})
        casework.propose(self.case, [claim], key_of("complainant"))
        return casework.propose(self.case, [theirs], key_of("respondent"))

    def freeze(self) -> CaseView:
        return casework.freeze(
            self.case,
            plan=plan().model_copy(update={"methods": (method(),), "alpha": 0.02}),
            candidates=self.candidates,
            populations=[controls()],
            key=key_of("manager"),
        )


@dataclass(frozen=True)
class Played:
    steps: AskedSteps
    opinion: Opinion
    verification: Verification


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("asked")
    steps = AskedSteps(path=folder / "case")
    for name in ("open", "propose", "freeze", "acquire", "analyse", "unblind", "respond", "replicate", "review"):
        getattr(steps, name)()
    opinion = opining.composed(steps.case, Remarks())
    opining.issue(steps.case, key_of("analyst"), remarks=Remarks())
    files = dossier_files(steps.close(), steps.case.store)
    out = folder / "case.dossier"
    build_dossier(files, facts=facts_of(files), key=key_of("manager"), out=out)
    return Played(steps=steps, opinion=opinion, verification=verify_dossier(out, now=steps.clock() + timedelta(days=1)))


def test_a_student_stands_near_and_nobody_is_said_to_have_taught_it(played: Played) -> None:
    opinion = played.opinion
    assert (opinion.claim, opinion.verdict, opinion.headline) == ("learned_from", KNOWN.verdict, None)
    (found,) = opinion.answers
    assert (found.relation, found.weights_related, found.learned_from) == (
        "not_independent",
        "inconclusive",
        "candidates",
    )
    assert found.p == pytest.approx(1 / 79)
    assert (found.controls, found.recorded_early) == (78, True)
    for words in ("shared weights, learning from the other's answers", "recorded before the protocol was fixed"):
        assert words in opinion.statement
    assert all(control.behaved for control in opinion.controls)
    assert all(one.outcome == "untested" for one in opinion.treated)


def test_whose_controls_they_are_stays_a_question(played: Played) -> None:
    verification = played.verification
    assert not verification.failed
    numbers = next(step for step in verification.steps if step.name == "numbers")
    assert numbers.outcome == "not_checked"
    assert method().parameters["population"][:19] in numbers.detail  # type: ignore[index]


def test_a_second_analyst_finds_the_same_to_the_letter(played: Played) -> None:
    (replication,) = played.steps.case.read().state.replications
    assert replication.agrees
    assert all(one.document == one.recomputed for one in replication.findings)


def test_no_exhibit_names_a_model_or_an_endpoint(played: Played) -> None:
    case = played.steps.case
    taken = [one for one in case.read().state.acquired if one.access == "api"]
    assert len(taken) == 6
    stored = b"".join(case.store.get(str(one.blob)) for one in taken)
    for candidate in (LINE_UP.questioned, LINE_UP.reference, *LINE_UP.decoys):
        assert candidate.endpoint is not None
        assert candidate.endpoint.address.encode() not in stored
        assert f'"{candidate.endpoint.model}"'.encode() not in stored
    assert b"http" not in stored.partition(b'"kind":"answered"')[2]


def test_a_coded_transcript_has_every_answer_and_is_always_the_same() -> None:
    path, endpoint = Path(str(LINE_UP.questioned.transcript)), LINE_UP.questioned.endpoint
    assert endpoint is not None
    transcript, recording = read_recording(path, endpoint)
    assert recording.digest == digest_bytes(path.read_bytes())
    made = [coded_transcript(transcript, "M-3") for _ in range(2)]
    assert made[0] == made[1]
    with readable(made[0][0], name="coded") as file:
        again = read_transcript(file)
    assert again.digest == made[0][1]
    assert {asked: reply.text for asked, reply in again.answered.items()} == {
        asked: reply.text for asked, reply in transcript.answered.items()
    }
    assert set(again.given_up) == set(transcript.given_up)
    assert {reply.served_model for reply in again.answered.values()} == {"M-3"}


def edited(document: dict[str, Any], what: str) -> dict[str, Any]:
    """A finding that somebody made better than it was."""
    weights, learned = document["verdicts"]["weights-related"], document["verdicts"]["learned-from"]
    agreement, phrases = document["similarities"]
    match what:
        case "a smaller rank":
            weights["p"] = 1e-4
        case "a smaller rank of phrasing":
            learned["p"] = 1e-4
        case "a higher score":
            agreement["value"] += 1.0
        case "controls left out":
            agreement["controls"] = agreement["controls"][:10]
            weights["p"] = 1 / 11
        case "no scores at all":
            document["similarities"] = []
        case "scores twice":
            document["similarities"] = [agreement, agreement, phrases]
        case "another claim":
            document["claimed"] = "heron"
        case "no population":
            document["population"] = None
        case "another population":
            document["population"]["digest"] = "sha256:" + "0" * 64
        case "more control models":
            document["population"]["models"] = 5000
            agreement["controls"] = agreement["reference_controls"] = [0.0] * 4999
            weights["p"] = 1 / 5000
        case "another battery":
            document["battery"] = "quick sha256:" + "0" * 64
        case "support beyond its rank":
            weights |= {"outcome": "supported", "p": weights["p"]}
    return document


@pytest.mark.parametrize(
    "what",
    [
        "a smaller rank",
        "a smaller rank of phrasing",
        "a higher score",
        "controls left out",
        "no scores at all",
        "scores twice",
        "another claim",
        "support beyond its rank",
        "no population",
        "another population",
        "more control models",
        "another battery",
    ],
)
def test_a_finding_that_was_edited_is_refused(played: Played, what: str) -> None:
    case = played.steps.case
    state = case.read().state
    stranger = next(one for one in state.analysed if one.summary.relation == "none_found")
    document = edited(json.loads(case.store.get(stranger.document)), what)
    with pytest.raises(VerificationError, match=r"refuse it|under codes|that the protocol names"):
        require_recorded(state, stranger, json.dumps(document).encode())


def test_what_was_found_is_what_was_recorded(played: Played) -> None:
    case = played.steps.case
    state = case.read().state
    for one in state.analysed:
        data = case.store.get(one.document)
        assert require_recorded(state, one, data) == parse_found(
            data, group="behaviour", schema="whorl.behaviour/1", what="finding"
        )
    with pytest.raises(InputError, match=r"expected whorl.finding/1"):
        parse_found(data, group="weights", schema="whorl.behaviour/1", what="finding")


# Before anything is fixed, and while exhibits are taken


def changed(**candidate: object) -> Candidates:
    """The line-up with something else said of the questioned model."""
    return LINE_UP.model_copy(update={"questioned": LINE_UP.questioned.model_copy(update=candidate)})


def after(steps: AskedSteps, last: str) -> AskedSteps:
    steps.until(last)
    return steps


def test_weights_and_answers_must_be_named_where_they_are_compared(tmp_path: Path) -> None:
    weights = {"path": str(known.member("suspect")["path"]), "transcript": None, "endpoint": None}
    steps = AskedSteps(path=tmp_path / "case", candidates=changed(**weights))
    with pytest.raises(InputError, match="expected answers"):
        steps.until("freeze")
    assert steps.case.read().state.protocol is None


@pytest.mark.parametrize("spelled", ["{}", "{}/", "{} ", "HTTP{}"])
def test_one_endpoint_does_not_stand_for_two_models(tmp_path: Path, spelled: str) -> None:
    endpoint = LINE_UP.reference.endpoint
    assert endpoint is not None
    rest = endpoint.address.removeprefix("http") if spelled.startswith("HTTP") else endpoint.address
    other = endpoint.model_copy(update={"address": spelled.format(rest).replace("127.0.0.1", "LOCALHOST")})
    steps = AskedSteps(path=tmp_path / "case", candidates=changed(endpoint=other))
    with pytest.raises(InputError, match="another endpoint"):
        steps.until("freeze")


def test_a_level_that_no_rank_can_reach_makes_nobody_stand_out(played: Played) -> None:
    """The protocol's own level counts: 1 in 79 is above 0.01."""
    case = played.steps.case
    state = case.read().state
    (student,) = (one for one in state.analysed if one.document == played.opinion.findings[0].document)
    found = parse_found(case.store.get(student.document), group="behaviour", schema="whorl.behaviour/1", what="finding")
    assert isinstance(found, Behaviour)
    assert answer_relation(found, alpha=0.02) == "not_independent"
    assert answer_relation(found, alpha=0.01) == "inconclusive"
    stranger = next(one for one in state.analysed if one.summary.relation == "none_found")
    quiet = parse_found(
        case.store.get(stranger.document), group="behaviour", schema="whorl.behaviour/1", what="finding"
    )
    assert isinstance(quiet, Behaviour)
    wrapped = quiet.questioned.model_copy(
        update={"flags": ("max_tokens was not kept to in 53 of 284 answers (18.7%)",)}
    )
    assert answer_relation(quiet.model_copy(update={"questioned": wrapped}), alpha=0.02) == "inconclusive"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"population": "sha256:" + "0" * 64}, "control models' answers"),
        ({"battery": "sha256:" + "0" * 64}, "battery that the control models were asked"),
        ({"models": 5000}, "number of control models"),
    ],
)
def test_a_protocol_that_cannot_be_followed_is_not_fixed(
    tmp_path: Path, parameters: dict[str, object], message: str
) -> None:
    steps = after(AskedSteps(path=tmp_path / "case"), "propose")
    other = method().model_copy(update={"parameters": method().parameters | parameters})
    with pytest.raises(InputError, match=message):
        casework.freeze(
            steps.case,
            plan=plan().model_copy(update={"methods": (other,)}),
            candidates=steps.candidates,
            populations=[controls()],
            key=key_of("manager"),
        )


def spoiled(tmp_path: Path, how: str) -> Candidates:
    """The line-up, in which the questioned model's transcript is something else than it should be."""
    original = Path(str(LINE_UP.questioned.transcript))
    path = tmp_path / "given.jsonl"
    match how:
        case "missing":
            pass
        case "of another endpoint":
            path.write_bytes(Path(str(LINE_UP.reference.transcript)).read_bytes())
        case "without its end":
            path.write_bytes(b"".join(original.read_bytes().splitlines(keepends=True)[:-1]))
        case "changed":
            path.write_bytes(original.read_bytes().replace(b"colour", b"coloor", 1))
    return changed(transcript=str(path))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "found none; ask the model first"),
        ("of another endpoint", "found those of another"),
        ("without its end", "without a seal"),
        ("changed", "line"),
    ],
)
def test_a_transcript_that_is_none_of_the_models_is_not_acquired(tmp_path: Path, how: str, message: str) -> None:
    steps = after(AskedSteps(path=tmp_path / "case", candidates=spoiled(tmp_path, how)), "freeze")
    with pytest.raises(InputError, match=message):
        steps.acquire()
    assert [code for code, _ in steps.case.read().state.not_acquired()]


@pytest.fixture(scope="module")
def acquired(tmp_path_factory: pytest.TempPathFactory) -> AskedSteps:
    return after(AskedSteps(path=tmp_path_factory.mktemp("taken") / "case"), "acquire")


def test_only_codes_are_in_the_chain_before_the_unblinding(acquired: AskedSteps) -> None:
    state = acquired.case.read().state
    recorded = [one.recording for one in state.acquired]
    assert len({one.digest for one in recorded if one is not None}) == 6
    assert all(one is not None and datetime.fromisoformat(one.started) < datetime.now(UTC) for one in recorded)
    kept = json.dumps([one.model_dump(mode="json") for one in state.acquired])
    assert "127.0.0.1" not in kept
    assert "siskin" not in kept


def test_rules_of_recordings(tmp_path: Path) -> None:
    """Rule 12: each its own, all to the same questions, and none without."""
    steps = after(AskedSteps(path=tmp_path / "case"), "acquire")
    state: State = steps.case.read().state
    (*earlier, last) = state.acquired
    record = Record(
        sequence=state.events,
        previous="0" * 64,
        kind="acquired",
        actor=key_of("manager").id.hex(),
        at=last.acquired_at,
        commitment="0" * 64,
    )
    assert last.recording is not None
    assert earlier[0].recording is not None
    before = replace(state, acquired=tuple(earlier))
    assert acquire(before, last, record).acquired == state.acquired
    for update, message in (
        ({"recording": None}, "recording of M-6 to be named"),
        ({"recording": earlier[0].recording}, "a recording of its own"),
        ({"recording": last.recording.model_copy(update={"battery": "sha256:" + "0" * 64})}, "the same questions"),
        ({"recording": last.recording.model_copy(update={"started": "2099-01-01T00:00:00Z"})}, "began before"),
    ):
        with pytest.raises(VerificationError, match=message):
            acquire(before, last.model_copy(update=update), record)


def test_an_endpoint_is_named_as_a_transcript_names_it() -> None:
    path = Path(str(LINE_UP.questioned.transcript))
    with pytest.raises(InputError, match="found those of another"):
        read_recording(path, AskedAt(address="https://api.example/v1", model="siskin"))
