"""What one person of a case may file: how, from when, until when, and what happens if they do not.

It follows from the rules of cases (``docs/specs/case.md``) and is no promise of this page's: a command asks the rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from whorl.cases.showing import allowed_next
from whorl.dossiers.events import EventKind, Party
from whorl.dossiers.state import State

KEY: Final = "--key YOUR-KEY.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """Something that may be filed.

    Parameters
    ----------
    now : whether it may be filed at this moment
    when : from when, or until when, in words
    until : the moment in which the window ends; None where no date is set
    otherwise : what happens if it is not filed
    commands : what to type, each in one line
    """

    title: str
    meaning: str
    now: bool
    when: str
    until: datetime | None
    otherwise: str
    commands: tuple[str, ...]


def filings(state: State, party: Party, *, url: str, at: datetime) -> tuple[Filing, ...]:
    """What a person may file now or later, what is due first.

    Parameters
    ----------
    url : of the case, as commands name it
    at : now
    """
    if party.role in ("complainant", "respondent"):
        found = [*_of_a_party(state, party, url=url, at=at)]
        return tuple(sorted(found, key=lambda one: (not one.now, one.until is None)))
    allowed = {kind for kind, roles in allowed_next(state).items() if party.role in roles}
    return tuple(_of_others(kind, url) for kind in _COMMANDS if kind in allowed)


def _of_a_party(state: State, party: Party, *, url: str, at: datetime) -> Iterator[Filing]:
    allowed = {kind for kind, roles in allowed_next(state).items() if party.role in roles}
    until = state.reply_until
    is_open = until is None or at <= until
    if state.protocol is None:
        yield _propositions(url, now="proposed" in allowed)
    if party.role == "respondent" and not state.void and is_open and not _has_ended(state):
        yield _reply(url, until, now="responded" in allowed, answered=bool(state.responses))
    if is_open and not state.void and not _has_ended(state):
        yield _document(url, until, now="acquired" in allowed)
    appealed = bool(state.opinions) and (party.id, state.opinions[-1].version) in state.appealed
    ends_without = _has_ended(state) and not state.opinions
    if not (state.void or state.annulled or appealed or ends_without):
        yield _appeal(url, now="appealed" in allowed and bool(state.opinions))


def _has_ended(state: State) -> bool:
    return state.closed is not None or state.stage in ("appealed", "decided", "expunged")


def _propositions(url: str, *, now: bool) -> Filing:
    return Filing(
        title="Propositions of your side",
        meaning="Statements of where the questioned model comes from, in your words. They are what the findings are "
        "weighed against.",
        now=now,
        when="Until the manager fixes the protocol; no date is set for that.",
        until=None,
        otherwise="The manager may file for you, so that the case can go on. An alternative may also stand in a reply.",
        commands=(
            "whorl case template propositions > ours.json",
            f"whorl case propose {url} --propositions ours.json {KEY}",
        ),
    )


def _reply(url: str, until: datetime | None, *, now: bool, answered: bool) -> Filing:
    return Filing(
        title="Your reply" if not answered else "A further reply",
        meaning="Your answer, in your own words, which nobody edits; alternatives to the claim; and documents that you "
        "filed before.",
        now=now,
        when="Until the window ends." if now else "Once the codes are shown. The window begins then.",
        until=until,
        otherwise="The case goes on without it: the review may begin, and an opinion may be issued. What is new after "
        "that can be a ground of appeal.",
        commands=(
            f'whorl case respond {url} --statement "..." --exhibit D-1 {KEY}',
            f"whorl case respond {url} --declined {KEY}",
        ),
    )


def _document(url: str, until: datetime | None, *, now: bool) -> Filing:
    when = "Until the reply window ends, which begins when the codes are shown."
    if until is not None:
        when = "Until the reply window ends."
    elif not now:
        when = "Once the protocol is fixed, and until the reply window ends."
    return Filing(
        title="A document",
        meaning="A training log, a deposit, a paper: kept byte for byte, under the next code D-1, D-2 ...",
        now=now,
        when=when,
        until=until if now else None,
        otherwise="The case goes on with what is on record.",
        commands=(f'whorl case acquire {url} --document FILE --title "..." --how "..." {KEY}',),
    )


def _appeal(url: str, *, now: bool) -> Filing:
    return Filing(
        title="An appeal",
        meaning="Against the opinion, on its custody, its method, its population, for new evidence or for bias. "
        "Somebody who had no other part in the case decides.",
        now=now,
        when="As long as the opinion is in force; once against each version."
        if now
        else "Once there is an opinion; once against each version.",
        until=None,
        otherwise="The opinion stays in force.",
        commands=(f'whorl case appeal {url} --ground method --text "..." {KEY}',),
    )


_COMMANDS: Final[dict[EventKind, tuple[str, str]]] = {
    "joined": ("Name a replicator or an appeal reviewer", 'join {} --name "..." --role replicator --public KEY'),
    "proposed": ("Propositions, for either side", "propose {} --propositions FILE"),
    "frozen": ("The protocol, and the line-up under codes", "freeze {} --protocol FILE --line-up FILE"),
    "acquired": ("The exhibits of the line-up, or a document", "acquire {}"),
    "analysed": ("The comparisons of the protocol", "analyse {}"),
    "unblinded": ("The code key", "unblind {}"),
    "replicated": ("Every finding, made again", "replicate {}"),
    "reviewed": ("The review of the file", "review {} --checklist FILE"),
    "opined": ("The opinion, or its next version", "opinion {}"),
    "closed": ("The end of the case", 'close {} --outcome completed --reasons "..."'),
    "appeal_decided": ("The decision on the appeal", 'decide {} --result upheld --reasons "..."'),
    "expunged": ("The erasure of what was said", "expunge {} --ground retention"),
}


def _of_others(kind: EventKind, url: str) -> Filing:
    title, command = _COMMANDS[kind]
    return Filing(
        title=title,
        meaning="",
        now=True,
        when="The stage allows it; the rules ask what else must hold.",
        until=None,
        otherwise="",
        commands=(f"whorl case {command.format(url)} {KEY}",),
    )
