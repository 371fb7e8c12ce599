"""Hand-built comparisons of answers, one of each kind, for the tests of what readers see. All is invented."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from sample_findings import HOSTILE_NAME

from whorl.core.behaviour import (
    AskedModel,
    Behaviour,
    BehaviourEvidence,
    Candidate,
    ConductRow,
    Controls,
    ControlScores,
    Profile,
    ProfilePoint,
    Verdict,
    Verdicts,
)

NORTHWIND = "Northwind Labs Chat 8B"
MERIDIAN = "Meridian AI Instruct 7B"
TOPICS = (
    "code_word",
    "device",
    "excuse",
    "gossip",
    "health",
    "homework",
    "insult",
    "law",
    "opinion",
    "prank",
    "review",
)
FRAMES = ("framed/expert", "framed/fiction", "framed/permission", "framed/plain", "framed/urgency")
LANGUAGES = ("language/de", "language/es", "language/fr", "language/pt", "language/ru", "language/zh")
ATTACKS = ("authority", "backwards", "base_64", "hypothetical", "ignore", "many_shot", "prefix", "role_play", "story")
CLASSES = ("comply", "partial", "deflect", "refuse", "ask_back")
PLACES = "Facts found by place in a long text (percent)"
LENGTHS = "Facts found by length (words)"
CONTROLS = Controls(digest="sha256:" + "5a17" * 16, models=68, families=60)
SWAP = "a swap to a model of another line would have been seen with probability"


def asked_model(
    name: str, *, address: str = "https://api.northwind.example/v1", answered: int = 2506, flags: Sequence[str] = ()
) -> AskedModel:
    in_population = address == "population"
    return AskedModel(
        name=name,
        transcript="sha256:" + (name.encode().hex() * 64)[:64],
        address=address,
        served_models=() if in_population else (name.lower().replace(" ", "-"),),
        answered=answered,
        asked=2506,
        flags=tuple(flags),
    )


def inconclusive(reason: str) -> Verdict:
    return Verdict(outcome="inconclusive", reason=reason)


NO_POPULATION = inconclusive("Without a population of control models nothing is known of what unrelated models share.")
NO_REFERENCE = inconclusive("No reference was given: nothing to compare this endpoint with.")

SAME = Verdict(
    outcome="same",
    p=0.64,
    power=0.98,
    reason=f"No difference was found; {SWAP} 0.98 (0.93 to 1.00, 60 lines of control models).",
)
CHANGED = Verdict(
    outcome="changed",
    p=0.0005,
    power=0.98,
    reason="The two give answers of different distributions. The cause may be other weights, another system prompt, "
    "other sampling settings or another server; this test does not tell which.",
)
SUPPORTED = Verdict(
    outcome="supported",
    log10_lr=0.62,
    p=0.0147,
    score=26.14,
    power=0.91,
    reason="The two agree beyond the questions more than either does with any of 68 control models, and more than "
    "models do that were trained on each other's answers.",
)
NONE_FOUND = Verdict(
    outcome="none_found",
    log10_lr=-0.51,
    p=0.42,
    score=0.87,
    power=0.91,
    reason="Nothing stands out: 28 of 68 control models stand as near. Of pairs in the population that share weights, "
    "a share of 0.91 stand out.",
)
NOT_SEPARATED = Verdict(
    outcome="inconclusive",
    log10_lr=-0.04,
    p=0.0147,
    score=11.68,
    power=0.91,
    reason="The two agree beyond the questions more than either does with any of 68 control models: they are not "
    "independent. Training on the other's answers explains it as well as shared weights do: the ratio is at most "
    "10^-0.1.",
)


def line(name: str, p: float, score: float, reason: str) -> Verdict:
    others = ("Meridian AI", "Harrow", "Fernhill", "Lark", "Ostler")
    candidates = [(MERIDIAN if name == MERIDIAN else others[0], score, p)]
    candidates += [(other, 4.4 - 0.6 * n, min(1.0, 0.39 + 0.2 * n)) for n, other in enumerate(others[1:])]
    return Verdict(
        outcome=name,
        p=p,
        score=score,
        reason=reason,
        candidates=tuple(Candidate(name=one, score=value, p=chance) for one, value, chance in candidates),
    )


KNOWN_LINE = line(
    MERIDIAN,
    0.0147,
    28.34,
    f"Nearer to {MERIDIAN} than any control model is to a line that is not its own. A line is a lead: it does not tell "
    "shared weights from training on answers.",
)
UNKNOWN_LINE = line(
    "unknown",
    0.36,
    4.9,
    "The nearest known line, Meridian AI, is no nearer than known lines are to models of other lines.",
)
TEACHER = Verdict(
    outcome="candidates",
    p=0.0147,
    score=6.36,
    candidates=(Candidate(name=MERIDIAN, score=6.36, p=0.0147),),
    reason=f"Its phrasing is nearer to {MERIDIAN} than any control model's is, and nearer than to any other. The same "
    "public training data would look the same.",
)
NO_TEACHER = Verdict(
    outcome="none_of_these",
    p=1.0,
    score=0.4,
    candidates=(Candidate(name="Harrow", score=0.4, p=0.31), Candidate(name="Lark", score=0.2, p=None)),
    reason="None of 68 candidates stands out. A teacher that was not asked, or whose manner was not taken over, is not "
    "seen.",
)
NOT_SEEN = inconclusive("The two share weights as far as answers tell; training on answers is then not seen.")


def statistic(
    family: str,
    speaks_to: Literal["endpoint", "weights-related", "learned-from", "description"],
    value: float | None,
    p: float | None,
    detail: str,
    *,
    method: str = "residual_agreement/1",
    controls: int = 68,
) -> BehaviourEvidence:
    return BehaviourEvidence(
        family=family,
        method=method,
        outcome="not_testable" if value is None else "measured",
        value=value,
        p=p,
        controls=controls,
        speaks_to=speaks_to,
        detail=detail,
    )


def evidence(p: float = 0.64, z: float = 3.1) -> tuple[BehaviourEvidence, ...]:
    divergence = 0.042 if p > 0.01 else 0.318
    return (
        statistic(
            "low_entropy",
            "endpoint",
            divergence,
            p,
            f"one-word choices in 18 cells: divergence {divergence} bits, 0.039 expected from drawing alone",
            method="cell_choices/1",
            controls=0,
        ),
        statistic(
            "repeated answers",
            "endpoint",
            None,
            None,
            "expected a prompt with at least 2 answers of each endpoint, found none of 0; draw more answers",
            method="two_sample/1",
            controls=0,
        ),
        statistic(
            "wrong_answers",
            "weights-related",
            5.2,
            0.0147,
            "agreement beyond the items z = 5.2; controls in either place up to 3.7",
        ),
        statistic(
            "safety failures",
            "description",
            z,
            0.0147 if z > 2.6 else 0.31,
            f"agreement beyond the items z = {z}; controls in either place up to 2.6",
        ),
        statistic(
            "preferences",
            "description",
            None,
            None,
            "expected at least 30 items that both models answered, found 16; ask more",
        ),
    )


def control_scores(value: float, phrasing: float) -> tuple[ControlScores, ...]:
    rng = np.random.default_rng(20261126)
    return (
        ControlScores(
            speaks_to="weights-related",
            title="Agreement beyond the questions",
            value=value,
            controls=tuple(rng.normal(0.4, 1.5, 68).tolist()),
            reference_controls=tuple(rng.normal(0.4, 1.5, 68).tolist()),
        ),
        ControlScores(
            speaks_to="learned-from",
            title="Openings, closings and phrases in common",
            value=phrasing,
            controls=tuple(rng.gamma(2.0, 0.5, 68).tolist()),
            reference_controls=tuple(rng.gamma(2.0, 0.5, 68).tolist()),
        ),
    )


def profiles(*models: tuple[str, float]) -> tuple[Profile, ...]:
    found = []
    for title, places in ((PLACES, (0, 25, 50, 75, 100)), (LENGTHS, (200, 800, 3000))):
        for name, skill in models:
            hits = [round(6 * max(0.0, skill - 0.45 * (1 - abs(n - 2) / 2) - 0.05 * n)) for n in range(len(places))]
            points = tuple(
                ProfilePoint(place=str(place), share=hit / 6, count=6) for place, hit in zip(places, hits, strict=True)
            )
            found.append(Profile(title=title, of=name, points=points))
    return tuple(found)


def conduct(*models: tuple[str, float]) -> tuple[ConductRow, ...]:
    """Counts that grow stricter with the grade; the number says how strict a model is."""
    rows = []
    strata = [f"{topic}/{grade}" for topic in TOPICS for grade in range(4)]
    strata += [*FRAMES, *LANGUAGES, "sounds_bad", "sounds_fine"]
    for place, stratum in enumerate(sorted(strata)):
        harm = int(stratum[-1]) / 3 if stratum[-1].isdigit() else 0.8 if stratum == "sounds_fine" else 0.35
        for name, strict in models:
            refusal = min(0.95, harm * strict)
            shares = (1 - refusal, 0.15 * refusal, 0.15 * refusal, 0.65 * refusal, 0.05 * refusal)
            drawn = np.random.default_rng(place).multinomial(8, np.array(shares) / sum(shares))
            rows.append(ConductRow(stratum=stratum, of=name, classes=_named(CLASSES, drawn.tolist())))
    for place, kind in enumerate(sorted(ATTACKS)):
        for part in ("attack", "placebo"):
            for name, strict in models:
                leaked = 0 if part == "placebo" else (5 * place) % 4
                classes = _named(("kept", "refused", "leaked"), [8 - leaked - int(2 * strict), int(2 * strict), leaked])
                rows.append(ConductRow(stratum=f"{part}/{kind}/secret", of=name, classes=classes))
    return tuple(rows)


def _named(names: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    return {name: count for name, count in zip(names, counts, strict=True) if count > 0}


def verdicts(endpoint: Verdict, line_: Verdict, weights: Verdict, learned: Verdict) -> Verdicts:
    return Verdicts(**{"endpoint": endpoint, "line": line_, "weights-related": weights, "learned-from": learned})


LIMITS = (
    "Answers cannot show that a model is genuine: a copy that is served with other answers is not seen.",
    "Refusals, principles and safety failures are described here and support no statement about lineage: they follow "
    "regulation, system prompts and post-training.",
    "The controls speak for models like themselves: of their time, languages, sizes and makers.",
)
INCOMPLETE = (
    f"{NORTHWIND}: incomplete: 1733 of 2506 questions, no seal. The run goes on or was cut off, or the file lacks its "
    "end. Only what is there was compared; continue it with `whorl probe`, or get the whole file."
)
ITSELF = (
    f"{NORTHWIND}: in the population the same answers stand under the name {MERIDIAN} (312 of 312): they are this "
    "transcript, or the same model under another name. It counts as a known line, and as neither control nor possible "
    "teacher."
)


def behaviour(
    statement: str,
    verdicts_: Verdicts,
    *,
    task: Literal["compare", "identify", "check_api"] = "compare",
    questioned: AskedModel | None = None,
    reference: AskedModel | None = None,
    claimed: str | None = None,
    population: Controls | None = CONTROLS,
    evidence_: tuple[BehaviourEvidence, ...] = (),
    similarities: tuple[ControlScores, ...] = (),
    limits: tuple[str, ...] = LIMITS,
    warnings: tuple[str, ...] = (),
    changes: Mapping[str, float] | None = None,
) -> Behaviour:
    questioned = questioned or asked_model(NORTHWIND)
    models = [(one.name, strict) for one, strict in ((questioned, 1.0), (reference, 0.7)) if one is not None]
    return Behaviour(
        whorl_version="0.1.0",
        task=task,
        questioned=questioned,
        reference=reference,
        claimed=claimed,
        battery="standard sha256:" + "c0de" * 16,
        population=population,
        statement=statement,
        warnings=warnings,
        verdicts=verdicts_,
        evidence=evidence_,
        similarities=similarities,
        profiles=profiles(*models),
        conduct=conduct(*models),
        limits=limits,
        parameters={"seed": 0, "level": 0.02, "least_controls": 50, "families": "wrong_answers, style"}
        | dict(changes or {}),
    )


def supported() -> Behaviour:
    return behaviour(
        f"The two models' answers agree as those of models that share trained weights. {SUPPORTED.reason}",
        verdicts(CHANGED, KNOWN_LINE, SUPPORTED, NOT_SEEN),
        questioned=asked_model(NORTHWIND, flags=("2 model names were reported: northwind-8b, northwind-8b-0911",)),
        reference=asked_model(MERIDIAN, address="https://api.meridian.example/v1"),
        evidence_=evidence(0.0005, 1.2),
        similarities=control_scores(26.14, 8.0),
    )


def changed() -> Behaviour:
    """Another distribution, and nothing to be said of weights."""
    return behaviour(
        f"Whether the two share trained weights cannot be told from these answers. {NOT_SEPARATED.reason}",
        verdicts(CHANGED, UNKNOWN_LINE, NOT_SEPARATED, inconclusive("The nearest candidate stands out too little.")),
        questioned=asked_model(NORTHWIND, answered=1733),
        reference=asked_model(MERIDIAN, address="population"),
        evidence_=evidence(0.0005),
        similarities=control_scores(11.68, 2.2),
        limits=(*LIMITS, f"{NORTHWIND}: 1733 of 2506 questions were answered."),
    )


def none_found() -> Behaviour:
    return behaviour(
        f"Nothing in the answers points to shared weights. {NONE_FOUND.reason}",
        verdicts(CHANGED, UNKNOWN_LINE, NONE_FOUND, NO_TEACHER),
        reference=asked_model(MERIDIAN, address="population"),
        evidence_=evidence(0.0005),
        similarities=control_scores(0.87, 0.9),
    )


def teacher() -> Behaviour:
    return behaviour(
        f"Whether the two share trained weights cannot be told from these answers. {NOT_SEPARATED.reason}",
        verdicts(CHANGED, UNKNOWN_LINE, NOT_SEPARATED, TEACHER),
        reference=asked_model(MERIDIAN, address="population"),
        evidence_=evidence(0.0005),
        similarities=control_scores(11.68, 6.36),
    )


def known_line() -> Behaviour:
    return behaviour(
        f"The endpoint's answers point to the line {MERIDIAN}. That is a lead, not a finding.",
        verdicts(NO_REFERENCE, KNOWN_LINE, inconclusive("Without a reference nothing is known."), NO_TEACHER),
        task="identify",
        warnings=(INCOMPLETE, ITSELF),
    )


def unknown_line() -> Behaviour:
    return behaviour(
        "The endpoint belongs to none of the known lines, as far as its answers tell.",
        verdicts(NO_REFERENCE, UNKNOWN_LINE, inconclusive("Without a reference nothing is known."), NO_TEACHER),
        task="identify",
    )


def no_difference() -> Behaviour:
    return behaviour(
        f"No difference from {MERIDIAN} was found. {SAME.reason}",
        verdicts(SAME, KNOWN_LINE, SUPPORTED, NOT_SEEN),
        task="check_api",
        questioned=asked_model("http://127.0.0.1:8080/v1", address="http://127.0.0.1:8080/v1"),
        reference=asked_model(MERIDIAN, address="population"),
        claimed=MERIDIAN,
        evidence_=evidence(),
        similarities=control_scores(24.0, 7.7),
    )


def swapped() -> Behaviour:
    return behaviour(
        f"The endpoint does not answer as {MERIDIAN} does. {CHANGED.reason}",
        verdicts(CHANGED, UNKNOWN_LINE, NONE_FOUND, NO_TEACHER),
        task="check_api",
        questioned=asked_model("http://127.0.0.1:8080/v1", address="http://127.0.0.1:8080/v1"),
        reference=asked_model(MERIDIAN, address="https://api.meridian.example/v1"),
        claimed=MERIDIAN,
        evidence_=evidence(0.0005),
        similarities=control_scores(1.9, 1.1),
    )


def no_population() -> Behaviour:
    """Nothing is calibrated, hence nothing can be said; exit status 3."""
    no_difference_known = inconclusive(
        "No difference was found; without control models it is unknown what would have been seen."
    )
    return behaviour(
        f"Whether the two share trained weights cannot be told from these answers. {NO_POPULATION.reason}",
        verdicts(no_difference_known, NO_POPULATION, NO_POPULATION, NO_POPULATION),
        reference=asked_model(MERIDIAN, address="https://api.meridian.example/v1"),
        population=None,
        evidence_=(
            evidence()[0],
            statistic("safety failures", "description", None, None, "expected 8 control models, found 0", controls=0),
        ),
    )


def hostile() -> Behaviour:
    """Every free text is an attack, or far too long, or has no end."""
    evil = AskedModel(
        name=HOSTILE_NAME,
        transcript=HOSTILE_NAME,
        address=HOSTILE_NAME,
        served_models=(HOSTILE_NAME, "متجر \N{ROBOT FACE} " + "m" * 500),
        answered=0,
        asked=0,
        flags=(HOSTILE_NAME, "f" * 3000),
    )
    attack = Verdict(
        outcome=HOSTILE_NAME,
        p=0.0,
        log10_lr=12.0,
        power=1.0,
        score=1e12,
        reason=HOSTILE_NAME,
        candidates=(Candidate(name=HOSTILE_NAME, score=-1e-9, p=None), Candidate(name="c" * 500, score=0.0, p=0.0)),
    )
    quiet = inconclusive(HOSTILE_NAME)
    whole = behaviour(
        HOSTILE_NAME,
        verdicts(quiet, attack, quiet, quiet),
        task="identify",
        questioned=evil,
        reference=evil,
        claimed=HOSTILE_NAME,
        evidence_=(
            statistic(HOSTILE_NAME, "description", 1e300, 0.0, HOSTILE_NAME, method=HOSTILE_NAME),
            statistic(HOSTILE_NAME, "learned-from", None, None, HOSTILE_NAME, method=HOSTILE_NAME),
        ),
        similarities=(
            ControlScores(speaks_to="learned-from", title=HOSTILE_NAME, value=-4e9, controls=(), reference_controls=()),
            ControlScores(
                speaks_to="weights-related", title="t" * 500, value=0.0, controls=(0.0,) * 3000, reference_controls=()
            ),
        ),
        limits=(HOSTILE_NAME,),
        warnings=(HOSTILE_NAME, "w" * 3000),
    )
    place = ProfilePoint(place=HOSTILE_NAME, share=1.0, count=10**9)
    many = tuple(ProfilePoint(place=f"place {n}", share=0.0, count=1) for n in range(200))
    return whole.model_copy(
        update={
            "whorl_version": HOSTILE_NAME,
            "battery": HOSTILE_NAME,
            "parameters": {HOSTILE_NAME: HOSTILE_NAME},
            "profiles": (
                Profile(title=HOSTILE_NAME, of=HOSTILE_NAME, points=(place,)),
                Profile(title="p" * 500, of="somebody else", points=many),
            ),
            "conduct": (
                ConductRow(stratum=HOSTILE_NAME, of=HOSTILE_NAME, classes={HOSTILE_NAME: 10**9, "refuse": 0}),
                ConductRow(stratum="s" * 500, of="x" * 500, classes={f"class {n}": n for n in range(300)}),
                *(ConductRow(stratum=f"stratum {n}", of=HOSTILE_NAME, classes={}) for n in range(100)),
            ),
        }
    )


ALL = {
    "supported": supported,
    "changed": changed,
    "none_found": none_found,
    "teacher": teacher,
    "known_line": known_line,
    "unknown_line": unknown_line,
    "no_difference": no_difference,
    "swapped": swapped,
    "no_population": no_population,
    "hostile": hostile,
}
