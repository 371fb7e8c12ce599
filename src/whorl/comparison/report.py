"""A finding as one self-contained page: no scripts, nothing loaded from elsewhere, readable without colour or sight.

Names, digests and details come out of files that may be hostile: every value is escaped by the template engine, and
control and direction-changing characters are written out.
"""

import base64
import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from whorl.comparison import pictures
from whorl.comparison.wording import (
    HEADLINES,
    MEANINGS,
    NOT_A_RATIO_OF_DESCENT,
    TIER_QUESTIONS,
    TRANSFORMATIONS,
    at_most,
    bounded,
    caps_of,
    decimal,
    evidence_title,
    exact_meaning,
    is_posterior,
    layer_strength,
    least_favourable,
    method_title,
    no_answer,
    percent,
    population_name,
    powers,
    ranges,
    result,
    seen,
    sentence,
    three_shares,
    unrelated_level,
    visible,
    weighed_against,
    without_ratio,
)
from whorl.core.errors import InputError
from whorl.core.evidence import Finding, NotComparable, Power, Score

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

GENERATOR: Final = 'name="generator" content="Whorl'
LONGEST_TITLE_NAME: Final = 60

# A sign stays on the line of its two sides.
_RELATION_SIGNS: Final = {
    " &lt;= ": "\N{NO-BREAK SPACE}\N{LESS-THAN OR EQUAL TO}\N{NO-BREAK SPACE}",
    " &gt;= ": "\N{NO-BREAK SPACE}\N{GREATER-THAN OR EQUAL TO}\N{NO-BREAK SPACE}",
}
_POWER: Final = re.compile(r"10\^(-?\d+(?:\.\d+)?)")


def render_html(finding: Finding) -> str:
    """The page of one finding, as a complete HTML document.

    Raises
    ------
    InputError
        If the page's template engine is not installed.
    """
    environment = _environment()
    style, policy = page_style(environment, "finding.css")
    scores = [evidence for evidence in finding.evidence if isinstance(evidence, Score)]
    return environment.get_template("finding.html").render(
        finding=finding,
        style=style,
        policy=policy,
        picture=pictures.layer_picture(finding),
        strips=[(score, pictures.score_strip(score)) for score in scores if score.lower < score.upper],
        agreement=next((score for score in scores if score.tier == "T3"), None),
        unanswered=[e for e in finding.evidence if isinstance(e, NotComparable) and e not in without_ratio(finding)],
        forest=pictures.ratio_forest(finding),
        headline=least_favourable(finding),
        without_ratio=without_ratio(finding),
        powers=[e for e in finding.evidence if isinstance(e, Power)],
        strengths=[layer_strength(layer) for layer in finding.layers],
    )


def require_template_engine() -> None:
    """Raise `InputError` if no page can be made: to be asked before the work, not after it."""
    _environment()


def page_style(environment: "Environment", *sheets: str) -> tuple["Markup", str]:
    """The style sheets as one, and a content policy that allows this one and nothing else."""
    from markupsafe import Markup

    sheet = "".join(environment.get_template(name).render() for name in sheets)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return Markup(sheet), policy


@cache
def _environment() -> "Environment":
    return page_environment()


def page_environment() -> "Environment":
    """A template engine of its own for each kind of page: escapes, shows control characters, knows the vocabulary.

    Raises
    ------
    InputError
        If the template engine is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise InputError("the page needs the package jinja2; install it with: pip install 'whorl[report]'") from error
    environment = Environment(
        loader=PackageLoader("whorl.comparison"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "formula": _formula,
        "at_most": at_most,
        "bounded": bounded,
        "decimal": decimal,
        "evidence_title": evidence_title,
        "exact_meaning": exact_meaning,
        "method_title": method_title,
        "no_answer": no_answer,
        "percent": percent,
        "power_of_ten": powers,
        "ranges": ranges,
        "result": result,
        "seen": seen,
        "sentence": sentence,
        "unrelated_level": unrelated_level,
        "cut": _cut,
        "weighed_against": weighed_against,
    }
    environment.globals |= {
        "HEADLINES": HEADLINES,
        "MEANINGS": MEANINGS,
        "NOT_A_RATIO_OF_DESCENT": NOT_A_RATIO_OF_DESCENT,
        "TIER_QUESTIONS": TIER_QUESTIONS,
        "TRANSFORMATIONS": TRANSFORMATIONS,
        "caps_of": caps_of,
        "is_posterior": is_posterior,
        "layout": pictures,
        "population_name": population_name,
        "three_shares": three_shares,
    }
    return environment


def _shown(value: Any) -> Any:
    """What the engine prints for a value: plain text is made visible first, markup and numbers pass."""
    return visible(value) if type(value) is str else value


def _cut(text: str, longest: int = LONGEST_TITLE_NAME) -> str:
    return visible(text, longest)


def _formula(text: str) -> "Markup":
    """Escaped text in which ``10^-312`` and ``<=`` are set as a reader knows them from print."""
    from markupsafe import Markup, escape

    escaped = str(escape(visible(text)))
    for typed, printed in _RELATION_SIGNS.items():
        escaped = escaped.replace(typed, printed)
    return Markup(_POWER.sub(_superscript, escaped))


def _superscript(match: re.Match[str]) -> str:
    return f"10<sup>{match[1].replace('-', chr(0x2212))}</sup>"
