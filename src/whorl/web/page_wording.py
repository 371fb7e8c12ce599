"""The registry's pages in words: one vocabulary, which says no more than the entries do.

A claim has a claimant. A search hit is a lead. A notice is what somebody says of a model, never a verdict of this
registry; nothing here names an offence or gives a share of anybody's blame.
"""

import math
from typing import Final

from whorl.comparison.wording import HEADLINES as FINDINGS
from whorl.comparison.wording import MEANINGS as FINDING_MEANINGS
from whorl.entries.kinds import Colour, Kind, Relation, Role, State
from whorl.registry.notices import NoticeState
from whorl.registry.refusals import Code
from whorl.registry.standing import Standing
from whorl.web.page_reading import Hidden

__all__ = ["FINDINGS", "FINDING_MEANINGS"]

LEVELS: Final[dict[int, str]] = {
    0: "The claimant says so.",
    1: "A bureau checked who the claimant is.",
    2: "Somebody independent took a fingerprint of this very content.",
    3: "Two independent parties, at home with different bureaus, took fingerprints of this very content.",
    4: "The content was sealed here before its release and before anybody else claimed it, and opened since.",
}
KINDS: Final[dict[Kind, str]] = {
    "organisation": "Organisation",
    "key": "Key",
    "policy": "Policy",
    "model": "Model",
    "dataset": "Data set",
    "fingerprint": "Fingerprint",
    "finding": "Finding",
    "commitment": "Sealed commitment",
    "opening": "Opening of a commitment",
    "notice": "Notice",
    "response": "Reply",
    "dispute": "Dispute",
    "status": "Vote",
    "statusmap": "Status map",
}
ROLES: Final[dict[Role, str]] = {
    "submitter": "enters models and notices",
    "examiner": "enters findings and fingerprints",
    "reviewer": "reviews notices",
    "chamber": "rules on disputes",
    "bureau": "acts for a bureau",
}
STANDINGS: Final[dict[Standing, str]] = {
    "good": "Nothing speaks against it.",
    "annulled": "It was annulled.",
    "withdrawn": "Whoever entered it took it back.",
    "doubted": "It is in doubt: its key may have been in other hands when it was signed, or its grounds do not stand.",
    "refused": "Reviewing bureaus refused it.",
    "disputed": "Somebody whom it names disputes it.",
    "expired": "Its time is over.",
}
WITHHELD: Final[dict[Hidden, str]] = {
    "sealed": "It is sealed: neither its kind nor who made it shows.",
    "not_here": "What it says is not held here: it was erased, or never came to this bureau.",
    "handling": "Its handling label says who may read it, and these pages are for everybody.",
    "notice_not_published": "It is a notice that is not published. What it says is for the parties and for bureaus.",
    "of_hidden_notice": "Whoever filed a notice that is hidden says it of that notice. It is hidden with it.",
}
DECLARED: Final[dict[str, str]] = {
    "finetune": "fine-tuned from",
    "adapter": "adapter for",
    "merge": "merged from",
    "quantised": "quantised from",
    "distilled": "distilled from",
    "trained_on": "trained on",
}
FOUND: Final[dict[str, str]] = {
    "identical": "same weights as",
    "derived": "shares trained weights with",
    "shared_initialisation": "same starting weights as",
}
COLOURS: Final[dict[Colour, str]] = {
    "red": "Red: it says that one model comes from another.",
    "blue": "Blue: it asks for information.",
    "orange": "Orange: it reports a safety failure that descendants may share.",
}
CLAIMED: Final[dict[Relation, str]] = {
    "derived": "continues the weights of",
    "shared_initialisation": "started from the same random weights as",
    "same_weights": "has the same weights as",
    "learned_from": "learned from the answers of",
}
VOTES: Final[dict[State, str]] = {
    "verified": "verified it",
    "withdrawn": "took it back",
    "reviewed": "reviewed it and let it pass",
    "refused": "refused it in review",
    "dismissed": "dismissed the dispute",
    "upheld": "upheld it",
    "annulled": "annulled it",
    "renewed": "renewed it",
}
NOTICE_STATES: Final[dict[NoticeState, str]] = {
    "filed": "Filed",
    "reviewed": "Reviewed",
    "published": "Published",
    "blocked": "Blocked",
    "upheld": "Upheld",
    "annulled": "Annulled",
    "withdrawn": "Withdrawn",
    "expired": "Expired",
    "refused": "Refused",
}
NOTICE_MEANINGS: Final[dict[NoticeState, str]] = {
    "filed": "No other bureau has reviewed it yet. Its text is not shown.",
    "reviewed": "A bureau at home with neither side let it pass. Whom it names has time to reply before it is shown.",
    "published": "It was reviewed, and whom it names had time to reply. This registry does not say that it is true.",
    "blocked": "Its text is not shown as long as what speaks against it is open.",
    "upheld": "It was disputed or examined, and the chamber let it stand.",
    "annulled": "It counts for nothing. Its text is not shown any more.",
    "withdrawn": "Whoever filed it took it back. Its text is not shown any more.",
    "expired": "The time for which it is kept is over. Its text is not shown any more.",
    "refused": "Bureaus that reviewed it refused it. Its text is not shown.",
}
REFUSALS: Final[dict[Code | str, str]] = {
    "leaf_mismatch": "the leaf does not fit what was signed",
    "unknown_issuer": "the key is not known here",
    "malformed_key": "a key is malformed",
    "bad_signature": "a signature does not hold",
    "missing_signature": "a key that must sign did not",
    "too_few_roots": "too few root keys signed",
    "key_expired": "the key had expired",
    "key_revoked": "the key was revoked",
    "role": "the key may not sign this",
    "wrong_log": "the organisation is at home elsewhere",
    "replay": "it was entered before",
    "equivocation": "the issuer signed two entries with one number",
    "wrong_previous": "it does not follow the issuer's last entry",
    "gap": "an entry of the issuer is missing before it",
    "from_the_future": "it is dated ahead of the clock",
    "no_policy": "the log has no policy yet",
    "not_the_bureau": "only the bureau may enter this",
    "wrong_policy": "the policy does not fit this log",
    "wrong_status_map": "the status map does not fit the log",
    "key_known": "the key is known already",
    "key_unknown": "the key is not one of the organisation",
    "last_roots": "too few root keys would be left",
    "unknown_target": "what it speaks of is not known here",
    "wrong_target": "it cannot speak of that kind of entry",
    "not_readable": "what it speaks of cannot be read here",
    "not_yet_readable": "what it speaks of waits for other logs",
    "not_own": "it speaks of somebody else's entry",
    "other_content": "it is about other content than its target claims",
    "too_many_commitments": "too many commitments in a month",
    "expired": "the time for it is over",
    "wrong_members": "it opens what was not sealed",
    "own_case": "nobody votes in their own case",
    "not_a_party": "the organisation is no party",
    "not_eligible": "the organisation may not vote on this",
    "unknown_entry": "an entry that it names is not known here",
    "wrong_evidence": "the evidence does not bear it out",
    "old_evidence": "the evidence is too old",
    "own_model": "a notice on one's own model",
    "no_content": "a model states no digest of its content",
    "examiners": "fewer than two independent examiners",
    "overstated": "it states more than its findings give",
    "multiplicity": "it counts fewer tests than the log shows",
    "claim_stands": "the same claim stands already",
    "claim_made_before": "a claim that was over was made again without naming it, or without new evidence",
    "sealed_kind": "an entry of this kind cannot be sealed",
    "sealed_chain": "what is to be sealed stands in no chain",
    "not_public": "an entry of this kind is for everybody to read",
    "blob_missing": "what it refers to was not handed in",
    "blob_differs": "what it refers to says something else",
    "malformed": "it is malformed",
    "verification_failed": "something in it does not hold",
    "sealed_not_taken": "sealed entries are not taken over HTTP",
    "too_many": "more than one organisation may enter in an hour",
}


def times(log10: float) -> str:
    """A ratio of probabilities in words: about 250 times, or 10^7.2 times where that says more."""
    if log10 > 6 or log10 < 0:
        return f"10^{round(log10, 1) + 0.0:.1f} times"
    return f"about {_two_digits(10**log10)} times"


def bound(probability: float) -> str:
    """An upper bound of a small probability, rounded up: at most 4 in 1,000."""
    if probability >= 1:
        return "no bound below 1"
    places = math.ceil(-math.log10(probability))
    for shown in (places, places + 1):
        count = round(probability * 10**shown, 6)
        if count == round(count):
            break
    return f"at most {math.ceil(count):,} in {10**shown:,}"


def _two_digits(value: float) -> str:
    digits = 1 - math.floor(math.log10(value))
    rounded = round(value, digits)
    return f"{rounded:,.0f}" if digits <= 0 else f"{rounded:g}"
