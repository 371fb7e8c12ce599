"""Rules on notices: what somebody must bring before they may accuse, and that a claim is not made twice."""

from itertools import chain

from whorl.entries.kinds import Notice
from whorl.entries.leaf import entry_id, parse_entry_id
from whorl.registry.candidate import Candidate, unreadable
from whorl.registry.findings import (
    EXAMINERS,
    bears_out,
    cited,
    independent_findings,
    lowest_ratio,
    pair_of,
    tests_shown,
)
from whorl.registry.notices import OPEN, notice_standing
from whorl.registry.parties import claim_about, parties_of, persons_beside
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts


def require_admissible_notice(candidate: Candidate) -> None:
    """The rules of a notice; a red one needs more."""
    body = candidate.statement.body
    assert isinstance(body, Notice)
    _require_known_entries(candidate, body)
    if body.colour == "red":
        _require_accusable(candidate)
    _require_readable(candidate, body)
    if body.colour == "red":
        _require_contents(candidate)
    _require_findings_that_bear_out(candidate, body)
    if body.colour == "red":
        _require_evidence(candidate, body)
    _require_new_claim(candidate, body)


def _require_known_entries(candidate: Candidate, body: Notice) -> None:
    named = [*body.also_named, *([] if body.reference is None else [body.reference])]
    for text, fitting in [
        *((text, ("model", "dataset")) for text in named),
        *((f, ("finding",)) for f in body.findings),
    ]:
        entry = candidate.view.entry(parse_entry_id(text))
        if entry is None:
            raise Refusal(
                "unknown_entry",
                f"expected entries that are in a log read here, found {text}; wait until its log is mirrored",
            )
        if entry.kind not in fitting:
            raise Refusal(
                "wrong_evidence" if "finding" in fitting else "wrong_target",
                f"expected {text} to be a {' or '.join(fitting)}, found {entry.kind or 'a sealed entry'}",
            )


def _require_accusable(candidate: Candidate) -> None:
    target = candidate.view.entry(candidate.statement.target)
    owner = None if target is None else target.organisation
    if owner is not None and (owner == candidate.organisation.hash or candidate.shares_a_key_with({owner})):
        raise Refusal("own_model", "expected a red notice on somebody else's model, found the accuser's own")


def _require_readable(candidate: Candidate, body: Notice) -> None:
    """What a notice leans on is here: both models of a red one, the findings, and the model that they are about."""
    models = [candidate.statement.target] if body.colour == "red" or body.findings else []
    if body.colour == "red" and body.reference is not None:
        models.append(parse_entry_id(body.reference))
    for digest in (*models, *map(parse_entry_id, body.findings)):
        entry = candidate.view.entry(digest)
        if entry is None or entry.statement is None:
            raise unreadable(digest, entry)


def _require_contents(candidate: Candidate) -> None:
    if pair_of(candidate.statement, candidate.view) is None:
        raise Refusal(
            "no_content",
            "expected two models that state the digests of their contents, found one that states none; enter the "
            "models as they were examined",
        )


def _require_findings_that_bear_out(candidate: Candidate, body: Notice) -> None:
    for finding in cited(body.findings, candidate.view):
        if not bears_out(finding, candidate.statement, candidate.view):
            raise Refusal(
                "wrong_evidence",
                f"expected findings that say what the notice says, of the very contents it names, found "
                f"{entry_id(finding.hash)}, which does not; leave it out, or state what was found",
            )


def _require_evidence(candidate: Candidate, body: Notice) -> None:
    statement, view, accuser = candidate.statement, candidate.view, candidate.organisation.hash
    parties = parties_of(accuser, statement, view)
    independent = independent_findings(statement, parties, view)
    # Who shares keys with whom is for the bureau that takes the notice: `Candidate.shares_a_key_with`.
    findings = chain.from_iterable(independent.values())
    examiners = len(independent) if candidate.replaying else persons_beside(findings, parties.everyone, view)
    if examiners < EXAMINERS:
        raise Refusal(
            "examiners",
            f"expected findings of {EXAMINERS} organisations that are no party, that a bureau verified and that share "
            f"no key with each other or with a party, found {examiners}; ask further examiners",
        )
    # Not of those alone that are independent or stand: which these are can differ from one bureau to another.
    lowest = lowest_ratio(cited(body.findings, view))
    stated, least = body.log10_lr, body.log10_lr_least_favourable
    assert stated is not None
    assert least is not None
    if lowest is None or least > min(stated, lowest):
        raise Refusal(
            "overstated",
            f"expected a least favourable log10 ratio of at most the stated one, {stated}, and the lowest that a cited "
            f"finding states, {'which none does' if lowest is None else lowest}, found {least}; state the lowest that "
            "the findings give",
        )
    if lowest_ratio(one for found in independent.values() for one in found) is None:
        raise Refusal("examiners", "expected a log10 ratio in a finding of an independent examiner, found none")
    shown = tests_shown(accuser, statement, view)
    if body.tests_run is None or body.tests_run < shown:
        raise Refusal(
            "multiplicity",
            f"expected tests_run to be at least {shown}, as the log shows that many findings and commitments behind "
            f"this notice, found {body.tests_run}; state all tests",
        )


def _require_new_claim(candidate: Candidate, body: Notice) -> None:
    """One open notice per claim and accuser; and a claim that is over is made again only openly and with something new.

    Of others' notices those count that were annulled: whoever was overruled, or somebody in their place, does not get
    the same claim back into the log under another key.
    """
    view, accuser = candidate.view, candidate.organisation.hash
    accused = [candidate.statement.target, *map(parse_entry_id, body.also_named)]
    claims = dict.fromkeys(claim_about(one, body, view) for one in accused)
    made = [notice for claim in claims for notice in view.notices(claim)]
    own = [notice for notice in made if notice.organisation == accuser]
    for notice in own:
        standing = notice_standing(notice, view, at=candidate.at)
        if standing.state in OPEN:
            raise Refusal(
                "claim_stands",
                f"expected a new claim, found that {entry_id(notice.hash)} makes the same one and is {standing.state}; "
                "withdraw that notice, or let it run its course",
            )
    others = [
        notice
        for notice in made
        if notice.organisation != accuser
        and _says_the_same(notice, body)
        and notice_standing(notice, view, at=candidate.at).state == "annulled"
    ]
    earlier = [*own, *others]
    if not earlier:
        return
    new = {
        finding.hash for finding in cited(body.findings, view) if not any(_had(notice, finding) for notice in earlier)
    }
    if body.cites_annulled not in {entry_id(notice.hash) for notice in earlier} or not new:
        raise Refusal(
            "claim_made_before",
            f"expected a claim that was made before, and is over, to name the earlier notice "
            f"{entry_id(earlier[-1].hash)} in cites_annulled and to cite a finding which no earlier one cited, found "
            f"{'no such finding' if body.cites_annulled else 'no such notice'}",
        )


def _says_the_same(notice: EntryFacts, body: Notice) -> bool:
    """Whether somebody else's notice with the same claim says what this one does.

    A red one does, unless its findings are new. Others have none: somebody may ask what somebody else asked in vain, in
    words of their own.
    """
    said = None if notice.statement is None else notice.statement.body
    return body.colour == "red" or (isinstance(said, Notice) and said.text == body.text)


def _had(notice: EntryFacts, finding: EntryFacts) -> bool:
    """Whether a notice cited a finding; if it was erased, whether it could have."""
    if notice.statement is None:
        return finding.seen_at <= notice.seen_at
    return isinstance(notice.statement.body, Notice) and entry_id(finding.hash) in notice.statement.body.findings
