"""A notice and everything that its state follows from: who voted what, which disputes are open, what the clock says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from whorl.entries.kinds import Dispute, Policy, State, Status
from whorl.entries.leaf import parse_entry_id
from whorl.registry.findings import FRESH, cited, renews
from whorl.registry.parties import Parties, behind, parties_of, with_sharing
from whorl.registry.view import EntryFacts, View
from whorl.registry.votes import Ruling, acts_as, barrier_to_review, doubted, ruling, takes_back, votes


@dataclass(frozen=True, kw_only=True)
class NoticeCase:
    """A notice and everything its state follows from.

    Parameters
    ----------
    parties : of a notice that was erased only the accuser is known
    about : entries about the notice that count, in the order of time. What shows it is looked for among these
    speaking : statuses and disputes about it that keep the rules of their own logs, in the order of time; what hides
        it is looked for among these, so that no mirror shows what another bureau hides (`View.speaking`)
    """

    notice: EntryFacts
    parties: Parties
    policy: Policy
    about: Sequence[EntryFacts]
    speaking: Sequence[EntryFacts]
    view: View
    at: datetime

    def votes(self, state: State) -> list[EntryFacts]:
        return votes(self.about, state)

    def ruling(self, ballots: Sequence[EntryFacts], *, annulling: bool = False) -> Ruling | None:
        """A decision of the chamber. A doubted vote may hide the notice and never show it."""
        barred = self.parties.by_entry if annulling else self.parties.everyone
        return ruling(ballots, self.policy, self.view, barred=barred, even_doubted=annulling)

    @cached_property
    def annulled(self) -> Ruling | None:
        return self.ruling(votes(self.speaking, "annulled"), annulling=True)

    @cached_property
    def latest(self) -> datetime:
        """The time, or that of the last entry in the case if the clock was set back since."""
        in_disputes = [entry.seen_at for dispute in self.disputes for entry in self.view.about(dispute.hash)]
        return max([self.at, *(entry.seen_at for entry in (*self.about, *self.speaking)), *in_disputes])

    @cached_property
    def disputes(self) -> list[EntryFacts]:
        """Disputes by others than the accuser.

        That they are parties the bureaus checked that took them. Not everybody can tell: the claim that makes
        somebody a party can be hidden, or erased since.
        """
        disputes = [entry for entry in self.speaking if entry.kind == "dispute"]
        return [entry for entry in disputes if entry.organisation != self.parties.accuser]

    @cached_property
    def withdrawals(self) -> list[EntryFacts]:
        """Votes by which the accuser took the notice back."""
        return [vote for vote in votes(self.speaking, "withdrawn") if takes_back(vote, self.notice)]

    @cached_property
    def expires(self) -> datetime:
        """End of retention: counted from the first sight of the notice, or from a renewal that came before the end."""
        retention = timedelta(seconds=self.policy.retention_seconds)
        end = self.notice.seen_at + retention
        for vote in self.votes("renewed"):
            own = vote.organisation == self.notice.organisation and not doubted(vote, self.view)
            if own and vote.seen_at <= end and _is_fresh(vote, self.notice, self.view):
                end = max(end, vote.seen_at + retention)
        return end

    def settled(self, dispute: EntryFacts) -> datetime | None:
        """Since when a dispute is over: taken back, dismissed, or decided by a ruling that upholds the notice."""
        about = self.view.about(dispute.hash)
        ends = [
            vote.seen_at
            for vote in votes(about, "withdrawn")
            if vote.organisation == dispute.organisation and not doubted(vote, self.view)
        ]
        brought = _blobs(dispute)
        known = brought is not None and self._decided_evidence.issuperset(brought)
        decisions = (
            self.ruling(votes(about, "dismissed")),
            self._listed(dispute),
            self.upheld if known else None,
        )
        ends += [decision.at for decision in decisions if decision is not None]
        return min(ends, default=None)

    @cached_property
    def upheld(self) -> Ruling | None:
        return self.ruling(self.votes("upheld"))

    @cached_property
    def _decided_evidence(self) -> frozenset[str]:
        """Blobs of the disputes that a ruling lists as decided: a later one that brings no others is decided too."""
        return frozenset(blob for one in self.disputes if self._listed(one) is not None for blob in _blobs(one) or ())

    def _listed(self, dispute: EntryFacts) -> Ruling | None:
        return self.ruling([vote for vote in self.votes("upheld") if _lists(vote, dispute)])

    def answered(self, dispute: EntryFacts, deadline: datetime) -> bool:
        return any(
            entry.kind == "response" and entry.organisation == self.parties.accuser and entry.seen_at <= deadline
            for entry in self.view.about(dispute.hash)
        )

    @cached_property
    def pending(self) -> list[EntryFacts]:
        """Disputes that are not over."""
        return [dispute for dispute in self.disputes if self.settled(dispute) is None]

    @cached_property
    def silent_from(self) -> datetime | None:
        """When the accuser's time to answer runs out, in the first dispute that waits for it."""
        waiting = [one for one in self.pending if not self.answered(one, self.deadline(one))]
        return None if self.withdrawals else min(map(self.deadline, waiting), default=None)

    @cached_property
    def ends(self) -> datetime:
        """When the notice expires or is annulled, if nothing more is entered."""
        return self.expires if self.silent_from is None else min(self.silent_from, self.expires)

    def deadline(self, dispute: EntryFacts) -> datetime:
        return dispute.seen_at + timedelta(seconds=self.policy.answer_seconds)

    def reviewers(self, state: Literal["reviewed", "refused"]) -> dict[bytes, bytes]:
        """Bureaus that may review the notice and voted so, and the first entry in which each did.

        From refusing are barred only those whose entries the notice names: a claim that makes a bureau a party can be
        entered later, or be hidden from some, and nobody is to undo a refusal by it.
        """
        found: dict[bytes, bytes] = {}
        passing = state == "reviewed"
        parties = self.parties.everyone if passing else self.parties.by_entry
        taken = with_sharing(parties, self.view)
        for vote in votes(self.about if passing else self.speaking, state):
            organisation = None if vote.organisation is None else self.view.organisation(vote.organisation)
            if organisation is None or not acts_as("reviewer", vote, self.view):
                continue
            if barrier_to_review(organisation, self.notice, parties, self.policy, self.view) is not None:
                continue
            # Who stole a key, and registers it as a party's, undoes no refusal: its owner says so.
            same = behind(vote, self.view) if passing else with_sharing([organisation.hash], self.view)
            if not same.isdisjoint(taken):
                continue  # a party, or a bureau that has voted, under whatever name
            if not passing or not doubted(vote, self.view):
                found[organisation.hash] = vote.hash
                taken |= same
        return found


def open_case(notice: EntryFacts, view: View, *, at: datetime) -> NoticeCase | None:
    """The case of a notice; None if its log had no policy then."""
    policy = view.policy(notice.origin, notice.index)
    if policy is None:
        return None
    accuser = frozenset() if notice.organisation is None else frozenset({notice.organisation})
    return NoticeCase(
        notice=notice,
        parties=parties_of(notice.organisation, notice.statement, view)
        if notice.statement is not None
        else Parties(accuser=notice.organisation, accused=frozenset(), by_entry=accuser, everyone=accuser),
        policy=policy,
        about=_in_time(view.about(notice.hash)),
        speaking=_in_time(view.speaking(notice.hash)),
        view=view,
        at=at,
    )


def _in_time(entries: Iterable[EntryFacts]) -> list[EntryFacts]:
    return sorted(entries, key=lambda entry: (entry.seen_at, entry.hash))


def _is_fresh(vote: EntryFacts, notice: EntryFacts, view: View) -> bool:
    body = None if vote.statement is None else vote.statement.body
    findings = cited(body.evidence, view) if isinstance(body, Status) else []
    return any(vote.seen_at - finding.seen_at <= FRESH and renews(finding, notice, view) for finding in findings)


def _lists(vote: EntryFacts, dispute: EntryFacts) -> bool:
    body = None if vote.statement is None else vote.statement.body
    return isinstance(body, Status) and dispute.hash in map(parse_entry_id, body.evidence)


def _blobs(dispute: EntryFacts) -> tuple[str, ...] | None:
    body = None if dispute.statement is None else dispute.statement.body
    return body.blobs if isinstance(body, Dispute) else None
