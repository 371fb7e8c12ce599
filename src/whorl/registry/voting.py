"""Rules on votes: who may say of an entry that it is verified, reviewed, upheld, withdrawn, and the rest.

Nobody votes in their own case, and the same organisation never both files and reviews.
"""

from typing import Final

from whorl.entries.kinds import Status
from whorl.entries.leaf import entry_id
from whorl.registry.candidate import Candidate, readable_notice
from whorl.registry.findings import FRESH, cited, renews
from whorl.registry.parties import barred_from_ruling, parties_of
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts
from whorl.registry.votes import barrier_to_review, is_bureau, root_keys

_BARRIERS: Final = {
    "party": "a party to the case, and nobody rules on their own",
    "same_bureau": "at home with the accuser's or the accused's bureau",
    "no_peer": "no bureau that the policy of the notice's log names as a peer",
}


def require_admissible_vote(candidate: Candidate, target: EntryFacts) -> None:
    """Check a vote."""
    body = candidate.statement.body
    assert isinstance(body, Status)
    match body.state:
        case "verified":
            _require_verifier(candidate, target)
        case "withdrawn":
            _require_own(candidate, target)
        case "reviewed" | "refused":
            _require_reviewer(candidate, target)
        case "renewed":
            _require_own(candidate, target)
            _require_fresh_finding(candidate, body, target)
        case "dismissed" | "upheld" | "annulled":
            _require_judge(candidate, body, target)


def _require_verifier(candidate: Candidate, target: EntryFacts) -> None:
    if not is_bureau(candidate.organisation, candidate.index, candidate.view):
        raise Refusal(
            "not_the_bureau", f"expected a bureau to verify an organisation, found {candidate.organisation.name!r}"
        )
    if target.hash == candidate.organisation.hash or candidate.shares_a_key_with({target.hash}):
        raise Refusal("own_case", "expected a bureau to verify another organisation, found itself or one with its key")


def _require_own(candidate: Candidate, target: EntryFacts) -> None:
    if target.organisation != candidate.organisation.hash:
        raise Refusal(
            "not_own",
            f"expected {entry_id(target.hash)} to be an entry of {candidate.organisation.name!r}, found another's; "
            "only who entered it can take it back or renew it",
        )


def _require_reviewer(candidate: Candidate, target: EntryFacts) -> None:
    notice = readable_notice(target, candidate.view)
    policy = candidate.view.policy(notice.origin, notice.index)
    assert notice.statement is not None
    parties = parties_of(notice.organisation, notice.statement, candidate.view)
    barrier = (
        "no_peer"
        if policy is None
        else barrier_to_review(candidate.organisation, notice, parties.everyone, policy, candidate.view)
    )
    if barrier is None and candidate.shares_a_key_with(parties.everyone):
        barrier = "party"
    if barrier is not None:
        raise Refusal(
            "own_case" if barrier == "party" else "not_eligible",
            f"expected a review by a bureau of the federation that is no party and at home with neither side, found "
            f"{candidate.organisation.name!r}, which is {_BARRIERS[barrier]}; let another bureau review it",
        )


def _require_fresh_finding(candidate: Candidate, body: Status, notice: EntryFacts) -> None:
    for finding in cited(body.evidence, candidate.view):
        if candidate.at - finding.seen_at <= FRESH and renews(finding, notice, candidate.view):
            return
    raise Refusal(
        "old_evidence",
        "expected a renewal to cite an independent finding on the same content that is at most a year old, found none; "
        "have the models examined again",
    )


def _require_judge(candidate: Candidate, body: Status, target: EntryFacts) -> None:
    """The issuer is of the chamber and of no party; who signs beside it is for `chamber_signers` and `ruling`."""
    view = candidate.view
    # An erased notice can still be annulled; who was a party to it cannot be asked any more.
    case = target if body.state == "annulled" else readable_notice(target, view)
    policy = view.policy(case.origin, case.index)
    chamber = frozenset() if policy is None else frozenset(policy.chamber.keys)
    if candidate.statement.issuer.hex() not in chamber:
        raise Refusal(
            "not_eligible",
            f"expected a key of the chamber that the policy of {case.origin} named when the case began, found "
            f"{candidate.statement.issuer.hex()[:16]}...",
        )
    annulling = body.state == "annulled"
    barred = barred_from_ruling(case, view, annulling=annulling)
    own_keys = root_keys(barred, view)
    shares = not annulling and candidate.shares_a_key_with(barred)
    if candidate.organisation.hash in barred or candidate.statement.issuer in own_keys or shares:
        raise Refusal(
            "own_case",
            f"expected a chamber key of an organisation that is no party, found one of {candidate.organisation.name!r}",
        )
