"""A whole case, from its opening to its opinion: its signed events, the files beside them, and its dossier."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from pathlib import Path

from whorl.core.evidence import Conclusion, Finding, LikelihoodRatio, Relation, Subject
from whorl.dossiers.building import Built, build_dossier
from whorl.dossiers.case_facts import facts_of
from whorl.dossiers.codes import code_key_commitment
from whorl.dossiers.composing import CaseDocuments, compose_opinion
from whorl.dossiers.custody import Kept, open_chain, sign_event, write_chain
from whorl.dossiers.events import (
    ALTERNATIVES,
    CHECKLIST,
    Acquired,
    Analysed,
    Body,
    CheckedPoint,
    CodedMember,
    Frozen,
    LineUp,
    Method,
    Model,
    Opened,
    Opined,
    Party,
    Proposed,
    Proposition,
    Protocol,
    Repetition,
    Replicated,
    Responded,
    Reviewed,
    Role,
    Summary,
    Treatment,
    Unblinded,
)
from whorl.dossiers.opinion import Opinion, Remarks, Verdict
from whorl.dossiers.proceeding import proceed
from whorl.entries.keys import IssuerKey, PrivateKey, encode_public, write_key_file
from whorl.statistics.ratio_population import Population, ratio_of

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ROLES: tuple[Role, ...] = ("complainant", "respondent", "manager", "analyst", "replicator", "reviewer")
NAMES = ("Harbour Models", "Northwind Labs", "Casey Manager", "Ada Analyst", "Remy Replicator", "Rowan Reviewer")
MEMBERS = ("questioned", "reference", "decoy", "decoy", "positive_control", "negative_control")
MODELS = {"questioned": "lumen-1", "reference": "harbour-7b"}
CODE_SALT = b"\x07" * 32


def issuer_key(number: int, *, post_quantum: bool = False) -> IssuerKey:
    """A key of a fixed seed."""
    second = PrivateKey(algorithm="mldsa44", seed=bytes([number]) * 32) if post_quantum else None
    return IssuerKey(ed25519=PrivateKey(algorithm="ed25519", seed=bytes([number]) * 32), mldsa44=second)


def digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


@dataclass
class SampleCase:
    """Events as they came, and the files that lie beside them."""

    first_key: int = 1
    post_quantum: bool = False
    kept: list[Kept] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    at: datetime = START

    def key(self, role: Role) -> IssuerKey:
        return issuer_key(self.first_key + ROLES.index(role), post_quantum=self.post_quantum)

    def party(self, role: Role) -> Party:
        keys = tuple(encode_public(key) for key in self.key(role).public_keys)
        return Party(name=NAMES[ROLES.index(role)], role=role, keys=keys)

    def add(self, role: Role, body: Body, *, at: datetime | None = None) -> None:
        """Sign one more event, ten minutes after the one before."""
        self.at = self.at + timedelta(minutes=10) if at is None else at
        last = self.kept[-1].record if self.kept else None
        self.kept.append(
            sign_event(
                body,
                case=self.kept[0].record.hash if self.kept else None,
                sequence=len(self.kept),
                previous=None if last is None else last.hash,
                key=self.key(role),
                at=self.at,
                salt=sha256(b"salt %d" % len(self.kept)).digest(),
            )
        )

    def file(self, path: str, content: bytes) -> str:
        """Put a file beside the chain; ``{}`` in the path becomes its digest, which is given back with its prefix."""
        self.files[path.format(sha256(content).hexdigest())] = content
        return digest(content)

    def dossier_files(self) -> dict[str, bytes]:
        return self.files | {"data/custody.jsonl": write_chain(self.kept)}

    def build(self, out: Path, *, key: IssuerKey | None = None, **facts: object) -> Built:
        """Build a dossier; ``facts`` replace those of the case, true or not."""
        files = self.dossier_files()
        stated = facts_of(files)
        changed = {name: facts.get(name, getattr(stated, name)) for name in stated.__slots__}
        return build_dossier(files, facts=type(stated)(**changed), key=key or self.key("manager"), out=out)


def open_case(case: SampleCase, *, title: str = "Origin of lumen-1") -> None:
    case.add(
        "manager",
        Opened(
            title=title,
            question="Do the weights of lumen-1 descend from those of harbour-7b?",
            parties=tuple(case.party(role) for role in ROLES),
            questioned=Model(name="lumen-1", digest=None),
            reference=Model(name="harbour-7b", digest=None),
            licence="harbour-7b was released under terms that ask for attribution.",
            window_days=30,
            funding="Paid by the registry. The analyst has no relation to either party.",
        ),
    )
    claim = Proposition(
        id="claim",
        level="source",
        side="complainant",
        alternative="derived",
        statement="The weights of lumen-1 descend from those of harbour-7b.",
    )
    case.add("complainant", Proposed(propositions=(claim,)))
    others = tuple(
        Proposition(
            id=name.replace("_", "-"),
            level="source",
            side="respondent",
            alternative=name,
            statement=f"The two models agree for another reason: {name.replace('_', ' ')}.",
        )
        for name in ALTERNATIVES
    )
    case.add("respondent", Proposed(propositions=others))


def coded_members() -> tuple[CodedMember, ...]:
    return tuple(
        CodedMember(code=f"M-{n}", role=role, name=MODELS.get(role, f"model {n}"), digest=digest(b"content %d" % n))
        for n, role in enumerate(MEMBERS, start=1)
    )


POPULATION = resources.files("whorl.comparison").joinpath("population.json").read_bytes()
CALIBRATED = Population.model_validate_json(POPULATION)


def freeze(case: SampleCase, *, populations: Sequence[bytes] = (POPULATION,), receipt: str | None = None) -> None:
    treatments = tuple(Treatment(alternative=name, tested=True, how="by the ratio against it") for name in ALTERNATIVES)
    protocol = Protocol(
        methods=(Method(group="weights", method="neuron_agreement/1", parameters={"neurons": 512}),),
        populations=tuple(case.file("data/populations/{}", one) for one in populations),
        treatments=treatments,
        stop_rule="All members are compared once.",
        exclusions="None.",
        alpha=0.05,
        line_up=LineUp(decoys=2, positive_controls=1, negative_controls=1, reference="M-2"),
        code_key_commitment=code_key_commitment(CODE_SALT, coded_members()),
    )
    case.add("manager", Frozen(protocol=protocol, receipt=receipt))


def acquire(case: SampleCase, exhibits: Sequence[bytes] = ()) -> None:
    for member in coded_members():
        number = int(member.code[2:])
        blob = exhibits[number - 1] if number <= len(exhibits) else b"fingerprint of %d" % number
        acquired = Acquired(
            code=member.code,
            access="fingerprint",
            digest=member.digest,
            blob=case.file("data/exhibits/{}", blob),
            how="fingerprint taken from the files that the party handed over",
            acquired_at=f"{case.at:%Y-%m-%dT%H:%M:%SZ}",
            filed_by="analyst",
        )
        case.add("analyst", acquired)


def finding_of(member: CodedMember, reference: CodedMember) -> tuple[Finding, Summary]:
    """A finding with one ratio, from the shipped population: 5 for copies, -5 for all others."""
    related = member.role in ("questioned", "positive_control")
    relation: Relation = "derived" if related else "none_found"
    cell = CALIBRATED.cell("fingerprint", "independent")
    assert cell is not None
    score = 5.0 if related else -5.0
    ratio = ratio_of(cell, [score])
    caps = cell.supporting if ratio.central >= 0 else cell.opposing
    evidence = LikelihoodRatio(
        tier="T3",
        method="population_ratio/1",
        alternative="independent",
        log10_lr=ratio.bounded,
        central=ratio.central,
        lower=ratio.lower,
        upper=ratio.upper,
        caps={"sampling": caps.sampling, "process": caps.process},
        families=cell.families,
        population=CALIBRATED.digest,
        statistic={"agreement": score},
        detail="agreement of neurons",
    )
    finding = Finding(
        schema_="whorl.finding/1",
        whorl_version="0.1.0",
        questioned=Subject(name=member.code, digest=member.digest, description="Llama", access="fingerprint"),
        reference=Subject(name=reference.code, digest=reference.digest, description="Llama", access="fingerprint"),
        conclusion=Conclusion(
            relation=relation,
            statement="See the ratio.",
            log10_p=None,
            log10_lr=ratio.bounded,
            direction=None,
            direction_reason="not asked",
            transformations=(),
        ),
        evidence=(evidence,),
        layers=(),
        unmatched_reference_layers=(),
        transformations=(),
        limits=("It says nothing of training data.",),
        parameters={},
    )
    return finding, Summary(outcome="related" if related else "not_related", relation=relation, log10_lr=ratio.bounded)


def analyse(case: SampleCase) -> None:
    members = coded_members()
    for member in members:
        if member.role == "reference":
            continue
        finding, summary = finding_of(member, members[1])
        analysed = Analysed(
            group="weights",
            method="neuron_agreement/1",
            questioned=member.code,
            reference="M-2",
            document=case.file("data/findings/{}.json", finding.model_dump_json().encode()),
            schema_name="whorl.finding/1",
            summary=summary,
        )
        case.add("analyst", analysed)


LOG = b"training log of Northwind Labs"


def answer(case: SampleCase, documents: Sequence[bytes] = (LOG,)) -> None:
    case.add("manager", Unblinded(salt=CODE_SALT.hex(), members=coded_members()))
    for number, content in enumerate(documents, start=1):
        document = case.file("data/exhibits/{}", content)
        acquired = Acquired(
            code=f"D-{number}",
            access="document",
            digest=document,
            blob=document,
            how="handed over by the respondent",
            acquired_at=f"{case.at:%Y-%m-%dT%H:%M:%SZ}",
            filed_by="respondent",
            title=f"Training log {number}",
            size=len(content),
        )
        case.add("respondent", acquired)
    codes = tuple(f"D-{number}" for number in range(1, min(len(documents), 100) + 1))
    case.add("respondent", Responded(declined=False, statement="We trained it ourselves.", exhibits=codes))


def replicate(case: SampleCase) -> None:
    """A second analyst who gets the very same findings."""
    analysed = proceed(open_chain(case.kept)).analysed
    again = tuple(
        Repetition(document=one.document, recomputed=one.document, largest_difference=0.0, differences=())
        for one in analysed
    )
    case.add("replicator", Replicated(tool="whorl 0.1.0", tolerance=1e-6, findings=again))


def review(case: SampleCase) -> None:
    checklist = tuple(CheckedPoint(point=point, answer="yes") for point in CHECKLIST)
    case.add("reviewer", Reviewed(checklist=checklist, accepted=True, reasons="In order."))


def opinion_on(case: SampleCase, *, limitations: Sequence[str] = ()) -> Opinion:
    """The opinion that follows from the case as it stands."""
    state = proceed(open_chain(case.kept))
    return compose_opinion(
        state,
        CaseDocuments(
            findings={digest(content): content for content in case.files.values()},
            filed={},
            populations={CALIBRATED.digest: CALIBRATED},
        ),
        case=case.kept[0].record.hash.hex(),
        protocol_sequence=3,
        remarks=Remarks(limitations=tuple(limitations)),
    )


def opine(case: SampleCase, opinion: Opinion, *, verdict: Verdict | None = None) -> None:
    """Issue an opinion, whatever it says; its event states ``verdict``, or the opinion's own."""
    opined = Opined(
        version=1,
        document=case.file("data/opinion-1.json", opinion.model_dump_json().encode()),
        supersedes=None,
        headline_log10=None if opinion.headline is None else opinion.headline.log10_lr,
        verdict=verdict or opinion.verdict,
        cause="first",
    )
    case.add("analyst", opined)


def whole_case(
    *,
    opinion: bool = True,
    title: str = "Origin of lumen-1",
    exhibits: Sequence[bytes] = (),
    documents: Sequence[bytes] = (LOG,),
    receipt: bytes | None = None,
    first_key: int = 1,
    replicated: bool = True,
) -> SampleCase:
    """The case that nothing is wrong with.

    Parameters
    ----------
    exhibits : what is kept of the models of the line-up, where it shall be something else than the usual few bytes
    documents : what the respondent files
    receipt : a registry's, of a commitment to the protocol
    replicated : whether a second analyst makes the findings again
    """
    case = SampleCase(first_key=first_key)
    open_case(case, title=title)
    named = None if receipt is None else case.file("data/registry/protocol.receipt.json", receipt)
    freeze(case, receipt=named)
    acquire(case, exhibits)
    analyse(case)
    answer(case, documents)
    if replicated:
        replicate(case)
    review(case)
    if opinion:
        opine(case, opinion_on(case))
        case.files["data/report.html"] = b"<!doctype html><html lang=en><title>Report</title><p>See the opinion.</html>"
    case.files["data/policy.txt"] = b"quorum none\n"
    return case


def write_folder(case: SampleCase, folder: Path, *, key: Path) -> None:
    """The files laid out as a dossier's payload, and the manager's key file."""
    for path, content in case.dossier_files().items():
        file = folder / path.removeprefix("data/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    key.write_bytes(write_key_file(case.key("manager")))
    key.chmod(0o600)
