"""A whole case on the demo's models, step by step: who takes part, what is proposed, and how far it goes."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path

from whorl.cases import casework
from whorl.cases.analysing import FINGERPRINT_COMPARISON
from whorl.cases.case import Case, CaseView
from whorl.cases.input_files import ProtocolPlan
from whorl.cases.line_up import Candidate, Candidates
from whorl.comparison.population import shipped_population
from whorl.dossiers.events import (
    ALTERNATIVES,
    CHECKLIST,
    CheckedPoint,
    Method,
    Model,
    Opened,
    Party,
    Proposition,
    Role,
    Treatment,
)
from whorl.entries.keys import IssuerKey, PrivateKey, encode_public

POPULATION = files("whorl.comparison").joinpath("population.json").read_bytes()
MODELS = Path(__file__).parents[2] / "demo" / "models"
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def model_at(name: str) -> Path:
    """A model of the demo, or one that only its cases need."""
    return next(path for path in (MODELS / name, MODELS.with_name("case_models") / name) if path.exists())


NAMES: dict[Role, str] = {
    "manager": "Ada Manager",
    "complainant": "Northwind Labs",
    "respondent": "Meridian AI",
    "analyst": "Ben Analyst",
    "replicator": "Cleo Replicator",
    "reviewer": "Dan Reviewer",
    "appeal_reviewer": "Eve Appeals",
}


@cache
def key_of(name: str) -> IssuerKey:
    """A key that is always the same for one name."""

    def seed(part: str) -> bytes:
        return hashlib.sha256(f"{name} {part}".encode()).digest()

    return IssuerKey(
        ed25519=PrivateKey(algorithm="ed25519", seed=seed("ed25519")),
        mldsa44=PrivateKey(algorithm="mldsa44", seed=seed("mldsa44")),
    )


def party_of(role: Role) -> Party:
    return Party(name=NAMES[role], role=role, keys=tuple(map(encode_public, key_of(role).public_keys)))


@dataclass
class Clock:
    """A clock that moves on by a minute whenever it is looked at."""

    at: datetime = START

    def __call__(self) -> datetime:
        self.at += timedelta(minutes=1)
        return self.at


def opening(*, window_days: int = 30, questioned: str = "suspect") -> Opened:
    return Opened(
        title="Lark and Harrow",
        question="Do the weights of Lark descend from those of Harrow?",
        parties=tuple(map(party_of, NAMES)),
        questioned=Model(name=questioned, digest=None),
        reference=Model(name="base", digest=None),
        licence="Harrow may be used for research; section 4 asks to be named.",
        window_days=window_days,
        funding="Paid by the bureau; the analyst has no relation to either party.",
    )


def propositions() -> tuple[Proposition, ...]:
    ours = Proposition(
        id="h1", level="source", side="complainant", alternative="derived", statement="Lark was fine-tuned from Harrow."
    )
    theirs = Proposition(
        id="h2",
        level="source",
        side="respondent",
        alternative="independent",
        statement="Lark and Harrow were trained independently of each other.",
    )
    return ours, theirs


def method() -> Method:
    return Method(
        group="weights", method=FINGERPRINT_COMPARISON, parameters={"population": shipped_population().digest}
    )


def plan() -> ProtocolPlan:
    return ProtocolPlan(
        methods=(method(),),
        treatments=tuple(
            Treatment(alternative=one, tested=one in ("independent", "same_seed"), how="by fingerprint_comparison/1")
            for one in ALTERNATIVES
        ),
        stop_rule="Each member of the line-up once.",
        exclusions="None.",
        alpha=0.01,
    )


def candidates(
    *, questioned: str = "suspect", positive: str = "base-q8.gguf", negative: str = "stranger", decoy: str = "twin"
) -> Candidates:
    def one(name: str, file: str) -> Candidate:
        return Candidate(name=name, path=str(model_at(file)))

    return Candidates(
        schema_="whorl.line-up-candidates/1",
        questioned=one(questioned, questioned),
        reference=one("base", "base"),
        decoys=(one("decoy one", decoy), one("decoy two", "passerby")),
        positive_controls=(one("known copy", positive),),
        negative_controls=(one("known stranger", negative),),
    )


def checklist() -> tuple[CheckedPoint, ...]:
    return tuple(CheckedPoint(point=point, answer="yes") for point in CHECKLIST)


def opinion_saying(verdict: str) -> bytes:
    """As much of an opinion as the case looks at."""
    return json.dumps({"schema": "test", "verdict": verdict}).encode()


@dataclass
class Steps:
    """The steps of a case in their order; each may be replaced by the test that is about it."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    window_days: int = 30
    candidates: Candidates = field(default_factory=candidates)
    random_bytes: Callable[[int], bytes] = os.urandom

    @property
    def case(self) -> Case:
        return Case(self.path, now=self.clock, random_bytes=self.random_bytes)

    def open(self) -> CaseView:
        return casework.new_case(
            self.path,
            opening(window_days=self.window_days, questioned=self.candidates.questioned.name),
            key_of("manager"),
            now=self.clock,
            random_bytes=self.random_bytes,
        )

    def propose(self) -> CaseView:
        ours, theirs = propositions()
        casework.propose(self.case, [ours], key_of("complainant"))
        return casework.propose(self.case, [theirs], key_of("respondent"))

    def freeze(self) -> CaseView:
        return casework.freeze(
            self.case, plan=plan(), candidates=self.candidates, populations=[POPULATION], key=key_of("manager")
        )

    def acquire(self) -> CaseView:
        return casework.acquire_line_up(self.case, key_of("manager"))

    def analyse(self) -> CaseView:
        return casework.analyse(self.case, key_of("analyst"))

    def unblind(self) -> CaseView:
        return casework.unblind(self.case, key_of("manager"))

    def respond(self) -> CaseView:
        return casework.respond(self.case, key_of("respondent"), statement="We trained Lark from random weights.")

    def replicate(self) -> CaseView:
        return casework.replicate(self.case, key_of("replicator"))

    def review(self) -> CaseView:
        return casework.review(
            self.case, key_of("reviewer"), checklist=checklist(), accepted=True, reasons="The file is complete."
        )

    def opine(self) -> CaseView:
        return casework.opine(self.case, opinion_saying("inconclusive"), key_of("analyst"), headline_log10=0.19)

    def close(self) -> CaseView:
        return casework.close(self.case, key_of("manager"), outcome="completed", reasons="The opinion was issued.")

    def until(self, last: str) -> CaseView:
        """Every step up to this one."""
        for name in ORDER:
            view: CaseView = getattr(self, name)()
            if name == last:
                return view
        raise AssertionError(last)


ORDER = (
    "open",
    "propose",
    "freeze",
    "acquire",
    "analyse",
    "unblind",
    "respond",
    "replicate",
    "review",
    "opine",
    "close",
)
