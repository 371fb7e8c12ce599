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
    TIER_QUESTIONS,
    TRANSFORMATIONS,
    at_most,
    decimal,
    exact_meaning,
    layer_strength,
    method_title,
    no_answer,
    ranges,
    result,
    sentence,
    unrelated_level,
    visible,
)
from whorl.core.errors import InputError
from whorl.core.evidence import Finding, NotComparable, Score

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
_POWER: Final = re.compile(r"10\^(-?\d+)")


def render_html(finding: Finding) -> str:
    """The page of one finding, as a complete HTML document.

    Raises
    ------
    InputError
        If the page's template engine is not installed.
    """
    environment = _environment()
    style, policy = _style(environment)
    scores = [evidence for evidence in finding.evidence if isinstance(evidence, Score)]
    return environment.get_template("finding.html").render(
        finding=finding,
        style=style,
        policy=policy,
        picture=pictures.layer_picture(finding),
        strips=[(score, pictures.score_strip(score)) for score in scores if score.lower < score.upper],
        agreement=next((score for score in scores if score.tier == "T3"), None),
        unanswered=[e for e in finding.evidence if isinstance(e, NotComparable)],
        strengths=[layer_strength(layer) for layer in finding.layers],
    )


def require_template_engine() -> None:
    """Raise `InputError` if no page can be made: to be asked before the work, not after it."""
    _environment()


def _style(environment: "Environment") -> tuple["Markup", str]:
    """The style sheet, and a content policy that allows this sheet and nothing else."""
    from markupsafe import Markup

    sheet = environment.get_template("finding.css").render()
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return Markup(sheet), policy


@cache
def _environment() -> "Environment":
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
        "decimal": decimal,
        "exact_meaning": exact_meaning,
        "method_title": method_title,
        "no_answer": no_answer,
        "ranges": ranges,
        "result": result,
        "sentence": sentence,
        "unrelated_level": unrelated_level,
        "cut": _cut,
    }
    environment.globals |= {
        "HEADLINES": HEADLINES,
        "MEANINGS": MEANINGS,
        "TIER_QUESTIONS": TIER_QUESTIONS,
        "TRANSFORMATIONS": TRANSFORMATIONS,
        "layout": pictures,
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
