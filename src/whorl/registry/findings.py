"""Which findings bear out a notice, and which of them come from somebody independent."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from whorl.entries.kinds import FindingEntry, Notice, Relation
from whorl.entries.leaf import parse_entry_id
from whorl.entries.statement import Statement
from whorl.registry.parties import Parties, content_of, parties_of, persons_beside
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import acts_as, flaw_of, is_vouched_for

EVER: Final = datetime.min.replace(tzinfo=UTC)
FRESH: Final = timedelta(days=366)
EXAMINERS: Final = 2

# A finding of more bears out a claim of less. Findings speak of weights: none bears out that a model learned from
# another one's answers.
_BORNE_OUT_BY: Final[dict[Relation, frozenset[str]]] = {
    "same_weights": frozenset({"identical"}),
    "derived": frozenset({"identical", "derived"}),
    "shared_initialisation": frozenset({"identical", "derived", "shared_initialisation"}),
    "learned_from": frozenset(),
}


def cited(findings: Iterable[str], view: View) -> list[EntryFacts]:
    """The entries behind a list of ids, without those that are not known here."""
    found = (view.entry(parse_entry_id(text)) for text in dict.fromkeys(findings))
    return [entry for entry in found if entry is not None]


def pair_of(notice: Statement, view: View) -> tuple[str, str] | None:
    """Content digests of the accused model and of the one it is said to come from; None where one is not stated."""
    if not isinstance(notice.body, Notice) or notice.body.reference is None:
        return None
    accused, reference = (content_of(digest, view) for digest in (notice.target, parse_entry_id(notice.body.reference)))
    return None if accused is None or reference is None else (accused, reference)


def bears_out(finding: EntryFacts, notice: Statement, view: View) -> bool:
    """Whether a finding says of the same content what a red notice says; for another notice, whether it is about it."""
    body = None if finding.statement is None else finding.statement.body
    if not isinstance(body, FindingEntry) or not isinstance(notice.body, Notice):
        return False
    if notice.body.relation is None:
        return content_of(notice.target, view) in {body.questioned, body.reference}
    return (body.questioned, body.reference) == pair_of(notice, view) and body.relation in _BORNE_OUT_BY[
        notice.body.relation
    ]


def is_independent(finding: EntryFacts, parties: Parties, view: View) -> bool:
    """Whether a finding stands and is of an examiner that a bureau vouches for and that is no party."""
    return (
        finding.organisation is not None
        and finding.organisation not in parties.everyone
        and acts_as("examiner", finding, view)
        and is_vouched_for(finding, view)
        and flaw_of(finding, view) is None
    )


def independent_findings(notice: Statement, parties: Parties, view: View) -> dict[bytes, list[EntryFacts]]:
    """Cited findings that bear out a notice and are independent, by the examiner's organisation."""
    if not isinstance(notice.body, Notice):
        raise ValueError(f"a {notice.kind} cites no findings")
    by_examiner: dict[bytes, list[EntryFacts]] = {}
    for finding in cited(notice.body.findings, view):
        if bears_out(finding, notice, view) and is_independent(finding, parties, view):
            assert finding.organisation is not None
            by_examiner.setdefault(finding.organisation, []).append(finding)
    return by_examiner


def lowest_ratio(findings: Iterable[EntryFacts]) -> float | None:
    """The least of the log10 ratios that findings state; None if none states one."""
    bodies = [one.statement.body for one in findings if one.statement is not None]
    stated = [body.log10_lr for body in bodies if isinstance(body, FindingEntry) and body.log10_lr is not None]
    return min(stated, default=None)


def renews(finding: EntryFacts, notice: EntryFacts, view: View) -> bool:
    """Whether a finding, if it is at most `FRESH` old, can renew a notice: independent, and bearing it out."""
    if notice.statement is None:
        return False
    parties = parties_of(notice.organisation, notice.statement, view)
    return (
        bears_out(finding, notice.statement, view)
        and is_independent(finding, parties, view)
        and persons_beside([finding], parties.everyone, view) == 1
    )


def tests_shown(accuser: bytes, notice: Statement, view: View) -> int:
    """How many tests the log shows behind a red notice: the least number that it may state.

    Counted are the findings that it cites, all findings of the accuser's organisation on the same two contents, in
    either direction and on whichever entries, and all commitments of that organisation: whoever seals a thousand keys
    and opens the one that fits has made a thousand tests.
    """
    pair = pair_of(notice, view)
    assert pair is not None
    assert isinstance(notice.body, Notice)
    own = {
        entry.hash
        for content in pair
        for model in view.models(content)
        for entry in view.about(model.hash, "finding")
        if entry.organisation == accuser and _on_pair(entry, pair)
    }
    cited_hashes = {parse_entry_id(text) for text in notice.body.findings}
    return len(own | cited_hashes) + len(view.commitments(accuser, EVER))


def _on_pair(entry: EntryFacts, pair: tuple[str, str]) -> bool:
    body = None if entry.statement is None else entry.statement.body
    return isinstance(body, FindingEntry) and {body.questioned, body.reference} == set(pair)
