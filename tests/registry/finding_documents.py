"""Findings as `whorl compare --json` prints them, with figures as wished."""

from whorl.core.evidence import Conclusion, Finding, Subject
from whorl.entries.kinds import FindingEntry


def finding_document(body: FindingEntry) -> bytes:
    """A document that says what an entry says; the blob that the entry names is not looked at."""
    subjects = [
        Subject(name=name, digest=digest, description="llama, 4 layers x 64", access="fingerprint")
        for name, digest in (("questioned", body.questioned), ("reference", body.reference))
    ]
    conclusion = Conclusion(
        relation=body.relation,
        statement="As an examiner found.",
        log10_p=body.log10_p,
        log10_lr=body.log10_lr,
        direction=None,
        direction_reason="not asked",
        transformations=(),
    )
    finding = Finding(
        schema="whorl.finding/1",
        whorl_version="0.1.0",
        questioned=subjects[0],
        reference=subjects[1],
        conclusion=conclusion,
        evidence=(),
        layers=(),
        unmatched_reference_layers=(),
        transformations=(),
        limits=("Speaks of weights only.",),
        parameters={},
    )
    return finding.model_dump_json(by_alias=True).encode()
