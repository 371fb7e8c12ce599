"""Rules on what an entry speaks of: that its target is known, of a kind that fits, and the issuer's to speak of."""

from datetime import timedelta
from typing import Final

from whorl.entries.kinds import (
    NEEDS_TARGET,
    Commitment,
    FindingEntry,
    Fingerprint,
    Key,
    Kind,
    Model,
    Opening,
    Policy,
    State,
    Status,
    StatusMapHead,
    parse_instant,
)
from whorl.entries.leaf import entry_id
from whorl.registry.accusing import require_admissible_notice
from whorl.registry.candidate import Candidate, readable_notice, require_possession, stated_keys, unreadable
from whorl.registry.parties import content_of, parties_of
from whorl.registry.refusals import Refusal
from whorl.registry.view import EntryFacts
from whorl.registry.votes import is_bureau

MONTH: Final = timedelta(days=30)

TARGETS: Final[dict[Kind, frozenset[Kind]]] = {
    "key": frozenset({"organisation"}),
    "fingerprint": frozenset({"model"}),
    "finding": frozenset({"model"}),
    "opening": frozenset({"commitment"}),
    "notice": frozenset({"model", "dataset"}),
    "response": frozenset({"notice", "dispute"}),
    "dispute": frozenset({"notice"}),
}
STATE_TARGETS: Final[dict[State, frozenset[Kind]]] = {
    "verified": frozenset({"organisation"}),
    "withdrawn": frozenset({"model", "dataset", "fingerprint", "finding", "commitment", "notice", "dispute"}),
    "reviewed": frozenset({"notice"}),
    "refused": frozenset({"notice"}),
    "dismissed": frozenset({"dispute"}),
    "upheld": frozenset({"notice"}),
    "annulled": frozenset({"model", "dataset", "fingerprint", "finding", "notice"}),
    "renewed": frozenset({"notice"}),
}


def known_target(candidate: Candidate) -> EntryFacts | None:
    """The entry that is spoken of; None for kinds that speak of none."""
    statement = candidate.statement
    if statement.kind not in NEEDS_TARGET:
        return None
    target = candidate.view.entry(statement.target)
    if target is None:
        raise Refusal(
            "unknown_target",
            f"expected a target that is in a log read here, found {entry_id(statement.target)}; enter it first, or "
            "wait until its log is mirrored",
        )
    body = statement.body
    fitting = STATE_TARGETS[body.state] if isinstance(body, Status) else TARGETS[statement.kind]
    opens_sealed = statement.kind == "opening" and target.kind is None
    if target.kind not in fitting and not opens_sealed:
        what = f"a {body.state} vote" if isinstance(body, Status) else f"an entry of kind {statement.kind}"
        raise Refusal(
            "wrong_target",
            f"expected {what} to speak of {' or '.join(sorted(fitting))}, found {target.kind or 'a sealed entry'}",
        )
    return target


def require_fitting_subject(candidate: Candidate, target: EntryFacts | None) -> None:
    """The rules of each kind but `status`, whose rules are in `whorl.registry.voting`."""
    body = candidate.statement.body
    match body:
        case Key():
            _require_key(candidate, body)
        case Policy():
            _require_policy(candidate, body)
        case StatusMapHead():
            _require_status_map(candidate, body)
        case Fingerprint():
            _require_claimed_content(candidate, target, body.model_content)
        case FindingEntry():
            _require_content(candidate, target, body.questioned)
        case Commitment():
            _require_few_commitments(candidate)
        case Opening():
            _require_opening(candidate, body, target)
        case _ if candidate.statement.kind == "notice":
            require_admissible_notice(candidate)
        case _ if candidate.statement.kind in ("response", "dispute"):
            _require_party(candidate, target)


def _require_key(candidate: Candidate, body: Key) -> None:
    organisation, view = candidate.organisation, candidate.view
    if not candidate.issuer.is_root:
        raise Refusal("role", "expected root keys to add or revoke a key, found another key; let the root keys sign")
    if candidate.statement.target != organisation.hash:
        raise Refusal(
            "not_own", "expected a key of the issuer's own organisation, found another organisation as the target"
        )
    keys = stated_keys(body.public)
    key_id = keys[0].id
    known = view.key(key_id, origin=candidate.origin)
    if body.action == "add":
        if known is not None:
            raise Refusal(
                "key_known", f"expected a new key, found {key_id.hex()[:16]}..., which is known; draw another"
            )
        require_possession(candidate.entry, [keys])
        return
    if known is None or known.organisation != organisation.hash or known.revoked_at is not None:
        raise Refusal(
            "key_unknown", f"expected a key in force of {organisation.name!r} to revoke, found {key_id.hex()[:16]}..."
        )
    if body.compromised_since is not None and body.compromised_since > candidate.index:
        raise Refusal(
            "wrong_target",
            f"expected a compromise since an index up to {candidate.index}, found {body.compromised_since}, which is "
            "still to come",
        )
    roots = [view.key(root, origin=candidate.origin) for root in organisation.roots]
    left = [key for key in roots if key is not None and key.revoked_at is None]
    if known.is_root and len(left) <= organisation.threshold:
        raise Refusal(
            "last_roots",
            f"expected {organisation.threshold} root keys to be left in force, found fewer: nobody could act for the "
            "organisation any more, and no root can be added to it. Draw a key (`whorl registry new-key FILE`) and "
            "enter the organisation anew with it and a spare (`whorl registry introduce --key FILE --root SPARE "
            "--claimant NAME`)",
        )


def _require_policy(candidate: Candidate, body: Policy) -> None:
    if not candidate.issuer.is_root:
        raise Refusal("role", "expected root keys of the bureau to set its policy, found another key")
    _require_bureau(candidate)
    bureau = body.bureau
    if bureau.origin != candidate.origin or bureau.organisation != candidate.organisation.roots[0].hex():
        raise Refusal(
            "wrong_policy",
            f"expected a policy whose bureau is {candidate.origin} and the organisation that signs it, found "
            f"{bureau.origin} and {bureau.organisation[:16]}...",
        )
    if any(peer.origin == candidate.origin for peer in body.peers):
        raise Refusal("wrong_policy", f"expected peers other than {candidate.origin} itself, found it among them")


def _require_status_map(candidate: Candidate, body: StatusMapHead) -> None:
    _require_bureau(candidate)
    if body.log_size > candidate.index or candidate.origin in body.covers:
        raise Refusal(
            "wrong_status_map",
            f"expected a status map of at most the {candidate.index} entries before it, and its own log not among the "
            f"others, found {body.log_size} entries",
        )


def _require_bureau(candidate: Candidate) -> None:
    """The issuer is the bureau that runs the log; until there is a policy, that is whoever made its first entry."""
    view, organisation = candidate.view, candidate.organisation
    if view.policy(candidate.origin, candidate.index) is None:
        first = view.entry(organisation.hash)
        fits = first is not None and first.index == 0
    else:
        fits = is_bureau(organisation, candidate.index, view)
    if not fits:
        raise Refusal(
            "not_the_bureau",
            f"expected an entry of the bureau that runs {candidate.origin}, found one of {organisation.name!r}",
        )


def _require_content(candidate: Candidate, target: EntryFacts | None, content: str) -> None:
    """A bureau can ask what the model says; a mirror may be shown less, and leaves it to the bureau then."""
    if target is None or target.statement is None:
        if not candidate.replaying:
            raise unreadable(candidate.statement.target, target)
        return
    claimed = content_of(candidate.statement.target, candidate.view)
    if claimed is not None and claimed != content:
        raise Refusal(
            "other_content",
            f"expected an entry on the content {claimed[:23]}... that its target claims, found {content[:23]}...; "
            "enter the model that was examined and name it",
        )


def _require_claimed_content(candidate: Candidate, target: EntryFacts | None, content: str) -> None:
    """Whoever enters a fingerprint on a model makes it a lead under that model's name: only its own content may be."""
    claim = None if target is None or target.statement is None else target.statement.body
    if isinstance(claim, Model) and claim.content is None:
        raise Refusal(
            "no_content",
            "expected a fingerprint of a model that states the digest of its content, found one that states none; its "
            "claimant enters the model with its content first",
        )
    _require_content(candidate, target, content)


def _require_few_commitments(candidate: Candidate) -> None:
    """A monthly cap: sealing many secrets to open the one that fits costs something. Only the own bureau counts it."""
    if candidate.replaying:
        return
    most = candidate.policy().commitments_per_month
    found = len(candidate.view.commitments(candidate.organisation.hash, candidate.at - MONTH))
    if found >= most:
        raise Refusal(
            "too_many_commitments",
            f"expected at most {most} commitments of an organisation in 30 days, found {found} before this one; wait, "
            "or seal several secrets in one list",
        )


def _require_opening(candidate: Candidate, body: Opening, target: EntryFacts | None) -> None:
    assert target is not None
    if target.kind is None:  # a sealed entry: the envelope in the blob says whose it is, and proves it
        return
    if target.organisation != candidate.organisation.hash:
        raise Refusal("not_own", "expected an opening of the organisation's own commitment, found another's")
    commitment = None if target.statement is None else target.statement.body
    if not isinstance(commitment, Commitment):
        raise unreadable(target.hash, target)
    expires = parse_instant(commitment.expires)
    if candidate.at > expires:
        raise Refusal(
            "expired",
            f"expected a commitment to be opened by {expires:%Y-%m-%d %H:%M:%S} UTC, as it says itself, found a later "
            "opening; what it shows counts for nothing",
        )
    if any(not 0 <= member < commitment.count for member in body.members):
        raise Refusal(
            "wrong_members",
            f"expected members 0 to {commitment.count - 1} of the commitment, found {body.members[:20]}",
        )


def _require_party(candidate: Candidate, target: EntryFacts | None) -> None:
    """Responses are for the parties of a notice, disputes for those it names."""
    assert target is not None
    view, kind = candidate.view, candidate.statement.kind
    notice = readable_notice(target, view)
    assert notice.statement is not None
    parties = parties_of(notice.organisation, notice.statement, view)
    if candidate.organisation.hash not in (parties.named if kind == "dispute" else parties.everyone):
        raise Refusal(
            "not_a_party",
            f"expected a {kind} of an organisation that the notice names or whose content it speaks of"
            f"{'' if kind == 'dispute' else ', or of its accuser'}, found one of {candidate.organisation.name!r}; who "
            "is concerned enters the model concerned first",
        )
