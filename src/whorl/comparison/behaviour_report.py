"""A comparison of answers as one self-contained page, by the rules of `whorl.comparison.report`.

Endpoints choose their names, addresses, flags and the words in their answers, and may be hostile: every value is
escaped by the template engine, and control and direction-changing characters are written out.
"""

from functools import cache
from typing import TYPE_CHECKING, Final

from whorl.comparison import behaviour_pictures as pictures
from whorl.comparison import behaviour_wording as wording
from whorl.comparison import conduct_pictures
from whorl.comparison.report import page_environment, page_style
from whorl.core.behaviour import Behaviour, ConductRow, Profile

if TYPE_CHECKING:
    from jinja2 import Environment

STANDINGS: Final[dict[wording.Standing, str]] = {"found": "found", "nothing": "nothing-found", "open": "open"}
"""Classes of the style sheet."""


def render_behaviour(behaviour: Behaviour) -> str:
    """The page of one comparison of answers, as a complete HTML document.

    Raises
    ------
    InputError
        If the page's template engine is not installed.
    """
    environment = _environment()
    style, policy = page_style(environment, "finding.css", "behaviour.css")
    return environment.get_template("behaviour.html").render(
        behaviour=behaviour,
        style=style,
        policy=policy,
        headline=wording.headline(behaviour),
        leading=wording.leading(behaviour),
        verdicts=wording.verdicts_of(behaviour.verdicts),
        strips=[pictures.strip(scores) for scores in behaviour.similarities],
        matrices=conduct_pictures.matrices(behaviour),
        profiles=pictures.profile_pictures(behaviour),
        conduct=_conduct_rows(behaviour),
        profile_rows=_profile_rows(behaviour),
    )


def _conduct_rows(behaviour: Behaviour) -> list[tuple[ConductRow, str]]:
    """Every row of conduct with the side it is of, those of one kind of request together."""
    return [
        (row, side)
        for rows in conduct_pictures.by_stratum(behaviour.conduct).values()
        for row, side in zip(rows, pictures.sides([row.of for row in rows], behaviour), strict=True)
    ]


def _profile_rows(behaviour: Behaviour) -> list[tuple[Profile, str]]:
    return [
        (profile, side)
        for profiles in pictures.by_title(behaviour.profiles).values()
        for profile, side in zip(profiles, pictures.sides([one.of for one in profiles], behaviour), strict=True)
    ]


@cache
def _environment() -> "Environment":
    environment = page_environment()
    environment.filters |= {
        "class_words": wording.class_words,
        "family_title": wording.family_title,
        "largest": wording.largest,
        "measured": wording.measured,
        "rounded": wording.rounded,
    }
    environment.globals |= {
        "A_LEAD": wording.A_LEAD,
        "CANDIDATES": wording.CANDIDATES,
        "FROM_POPULATION": wording.FROM_POPULATION,
        "NOT_TOLD": wording.NOT_TOLD,
        "NULLS": wording.NULLS,
        "QUESTIONS": wording.QUESTIONS,
        "SPEAKS_TO": wording.SPEAKS_TO,
        "STANDINGS": STANDINGS,
        "TITLES": wording.TITLES,
        "command": wording.command,
        "figures": wording.figures,
        "is_asked": wording.is_asked,
        "is_lead": wording.is_lead,
        "layout": pictures,
        "matrix_layout": conduct_pictures,
        "outcome_words": wording.outcome_words,
        "standing": wording.standing,
    }
    return environment
