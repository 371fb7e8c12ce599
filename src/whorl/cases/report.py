"""The report of a case: one page that needs nothing else, and one document to be printed, from the same words.

What parties and analysts wrote is hostile text. The page escapes it; the printed document gets it as data and never as
markup. Same report, same bytes.
"""

import base64
import hashlib
import json
import re
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, Final

from whorl.cases import report_pictures as pictures
from whorl.cases import report_trust_pictures as trust_pictures
from whorl.cases import report_wording as words
from whorl.cases.report_document import CaseReport, ScoreLine
from whorl.cases.report_reading import read_report
from whorl.cases.report_trust import entropy_rows, entropy_words, tippett_rows, trust_words
from whorl.comparison.report import page_environment
from whorl.comparison.wording import decimal, visible
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["PRINTED", "picture_alone", "printed_data", "read_report", "render_html", "render_pdf"]

_FONT: Final = '"Libertinus Serif"'
_FAMILY: Final = re.compile(r"system-ui[^;]*")
_PALETTE: Final = {
    "paper": "#ffffff",
    "sheet": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#4a525b",
    "rule": "#d9d6cf",
    "strong": "#17557d",
    "weak": "#96430a",
    "weak-ground": "#fbe9d7",
    "accent": "#17557d",
}
# What the typeface of the printed document has; all else is written out, as \N would be in a program.
_PRINTABLE: Final = (
    *range(0x20, 0x7F),
    *range(0xA1, 0xAD),
    *range(0xAE, 0x180),
    *range(0x391, 0x3A2),
    *range(0x3A3, 0x3CA),
    *range(0x410, 0x450),
    *map(ord, "\u2010\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e\u2026\u2022\u00a0\u2212\u20ac\u0401\u0451"),
)
PRINTED: Final = frozenset(map(chr, _PRINTABLE))


def render_html(report: CaseReport) -> str:
    """The report as one self-contained page; all of it can be read without its script.

    Raises
    ------
    InputError
        If the page's template engine is not installed.
    """
    from markupsafe import Markup

    environment = _environment()
    sheet = "".join(
        environment.get_template(name).render() for name in ("finding.css", "case_pictures.css", "case.css")
    )
    script = environment.get_template("case.js").render()
    policy = (
        f"default-src 'none'; style-src '{_digest(sheet)}'; script-src '{_digest(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return environment.get_template("case.html").render(
        report=report,
        untested=untested_by_reason(report),
        style=Markup(sheet),
        script=Markup(script),
        policy=policy,
        wide=pictures.wide_forest(report.ratios, report.untested),
        narrow=pictures.narrow_forest(report.ratios, report.untested),
        curves=[(line, pictures.score_curve(line)) for line in report.scores],
        trusted=[
            (line, trust_pictures.tippett_picture(line), trust_pictures.entropy_picture(line)) for line in report.trust
        ],
    )


def untested_by_reason(report: CaseReport) -> list[tuple[str, str]]:
    """Alternatives without a ratio, those of one reason together: what is said seven times is read once."""
    named: dict[str, list[str]] = {}
    for name, reason in report.untested:
        named.setdefault(reason, []).append(name)
    return [
        (", ".join([names[0], *(name[:1].lower() + name[1:] for name in names[1:])]), reason)
        for reason, names in named.items()
    ]


def render_pdf(report: CaseReport) -> bytes:
    """The report as a tagged PDF for print (PDF/UA-1).

    Raises
    ------
    InputError
        If the typesetter is not installed.
    """
    try:
        import typst
    except ImportError as error:
        raise InputError(
            "the printed report needs the package typst; install it with: pip install 'whorl[report]'"
        ) from error
    with as_file(files("whorl.cases").joinpath("templates", "case.typ")) as template:
        made = typst.compile(
            template,
            format="pdf",
            ignore_system_fonts=True,
            sys_inputs={"report": printed_data(report)},
            pdf_standards=["ua-1"],
        )
    assert isinstance(made, bytes)
    return made


def printed_data(report: CaseReport) -> str:
    """What the printed document is made of, as JSON: every text a string in it, and nothing markup."""
    data = _printable(asdict(replace(report, layers=None)))
    data["untested"] = [[_shown(names), _shown(reason)] for names, reason in untested_by_reason(report)]
    forest = pictures.printed_forest(report.ratios, report.untested)
    data["pictures"] = {
        "forest": picture_alone("forest", forest, "forest-print", report=report),
        "layers": picture_alone("layers", report.layers, "layers", report=report),
        "layer_words": _layer_words(report),
        "forest_words": _shown(_forest_words(report)),
        "curves": [
            {
                "svg": picture_alone("curve", pictures.score_curve(line), f"curve-{number}"),
                "words": _shown(_curve_words(line)),
            }
            for number, line in enumerate(report.scores)
        ],
        "trust": [
            {
                "shares": picture_alone("shares", trust_pictures.tippett_picture(line), f"shares-{number}"),
                "entropy": picture_alone("entropy", trust_pictures.entropy_picture(line), f"entropy-{number}"),
                "words": _shown(trust_words(line)),
                "entropy_words": _shown(entropy_words(line)),
            }
            for number, line in enumerate(report.trust)
        ],
    }
    data["pictures"]["limits"] = [_shown(_limit_words(line)) for line in report.scores]
    data["words"] = {
        "not_said": words.NOT_SAID,
        "readers_task": words.READERS_TASK,
        "glossary": words.GLOSSARY,
    }
    return json.dumps(data)


def picture_alone(
    macro: str, picture: Any, name: str, *, report: CaseReport | None = None, font: str = _FONT
) -> str | None:
    """A picture that stands alone, with its colours and typeface in it.

    Parameters
    ----------
    macro : of the template ``case_pictures.html``
    picture : laid out for it; None where there is nothing to draw
    name : prefix of the identifiers in it
    """
    if picture is None:
        return None
    environment = _environment()
    module = environment.get_template("case_pictures.html").make_module({"report": report})
    drawn = str(getattr(module, macro)(picture, name))
    style = "".join(environment.get_template(name).render() for name in ("case_pictures.css", "case_layers.css"))
    for colour, value in _PALETTE.items():
        style = style.replace(f"var(--{colour})", value)
    return drawn.replace("<title", f"<style>{_FAMILY.sub(font, style)}</style><title", 1)


@cache
def _environment() -> "Environment":
    environment = page_environment()
    from jinja2 import ChoiceLoader, PackageLoader

    environment.loader = ChoiceLoader([PackageLoader("whorl.cases"), PackageLoader("whorl.comparison")])
    environment.filters |= {
        "forest_words": _forest_words,
        "curve_words": _curve_words,
        "layer_words": _layer_words,
        "limit_words": _limit_words,
        "trust_words": trust_words,
        "entropy_words": entropy_words,
        "tippett_rows": tippett_rows,
        "entropy_rows": entropy_rows,
        "paragraphs": _paragraphs,
    }
    environment.globals |= {
        "places": pictures,
        "trust": trust_pictures,
        "NOT_SAID": words.NOT_SAID,
        "READERS_TASK": words.READERS_TASK,
        "GLOSSARY": words.GLOSSARY,
    }
    return environment


def _forest_words(report: CaseReport) -> str:
    """What the picture of the ratios shows, for who does not see it."""
    said = [
        f"Against {one.alternative.lower()}: {one.bounded}, central value {one.central}, 95 % interval {one.interval}"
        f"{', the headline' if one.headline else ''}."
        for one in report.ratios
    ]
    said += [f"Against {name.lower()}: not tested." for name, _ in report.untested]
    return " ".join(said)


def _layer_words(report: CaseReport) -> str:
    """What the map of the layers shows."""
    if report.layers is None:
        return ""
    found = len(report.layers.links)
    return (
        f"{found} of {len(report.layers.questioned)} layers of the questioned model have a counterpart among the "
        f"{len(report.layers.reference)} layers of the reference."
    )


def _curve_words(line: ScoreLine) -> str:
    """What the picture of a score shows."""
    return (
        f"The case has {decimal(line.value)}; the population holds {decimal(line.low)} to {decimal(line.high)}, from "
        f"{line.families[0]} families with descendants and {line.families[1]} families of this alternative. Ratio: "
        f"{line.ratio}. {line.limit}"
    )


def _limit_words(line: ScoreLine) -> str:
    return f"{line.name}, against {line.alternative.lower()}: found {decimal(line.value)}. {line.limit}"


def _paragraphs(text: str) -> list[str]:
    return [part for part in text.splitlines() if part.strip()]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _printable(value: Any) -> Any:
    """The same document with every text as the printed typeface can show it."""
    match value:
        case str():
            return _shown(value)
        case dict():
            return {name: _printable(member) for name, member in value.items()}
        case list() | tuple():
            return [_printable(member) for member in value]
        case _:
            return value


def _shown(text: str) -> str:
    return "".join(one if one in PRINTED else one.encode("unicode_escape").decode("ascii") for one in visible(text))
