"""What all pages share: the template engine, the files that they load, and the headers that keep a browser from more.

Everything that an entry says is hostile text. The engine escapes it, writes out control and direction-changing
characters, and never makes a link of it. A page loads style, script and its mark from here and nothing from elsewhere.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from whorl import __version__
from whorl.comparison.wording import visible
from whorl.entries.names import lookalike
from whorl.web import page_wording as wording
from whorl.web.asking import registry_of

_STATIC: Final = {
    "pages.css": "text/css; charset=utf-8",
    "mark.svg": "image/svg+xml",
    "search.js": "text/javascript; charset=utf-8",
    "merkle.js": "text/javascript; charset=utf-8",
    "proofs.js": "text/javascript; charset=utf-8",
    "receipts.js": "text/javascript; charset=utf-8",
    "checks.js": "text/javascript; charset=utf-8",
}
CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_POWER: Final = re.compile(r"10\^(-?\d+(?:\.\d+)?)")
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """A file that pages load."""

    data: bytes
    media_type: str


@cache
def static_files() -> tuple[str, Mapping[str, StaticFile]]:
    """All files that pages load, and a digest over them that stands in their addresses."""
    folder = files("whorl.web") / "static"
    found = {
        name: StaticFile(data=(folder / name).read_bytes(), media_type=media_type)
        for name, media_type in _STATIC.items()
    }
    joined = hashlib.sha256()
    for name, file in sorted(found.items()):
        joined.update(name.encode() + b"\0" + hashlib.sha256(file.data).digest())
    return joined.hexdigest()[:16], found


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page, of the values that its template asks for."""
    text = rendered(template, origin=registry_of(request).origin, **values)
    return HTMLResponse(text, status, headers=HEADERS)


def rendered(template: str, **values: Any) -> str:
    """The text of a page."""
    return _environment().get_template(template).render(static=f"/static/{static_files()[0]}", **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("whorl.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cut": visible,
        "day": _day,
        "iso": _iso,
        "minute": _minute,
        "paragraphs": _paragraphs,
        "abbreviated": _abbreviated,
        "formula": _formula,
    }
    environment.globals |= {"words": wording, "lookalike": lookalike, "version": __version__}
    return environment


def _shown(value: Any) -> Any:
    """What the engine prints for a value: plain text is made visible first, markup and numbers pass."""
    return visible(value) if type(value) is str else value


def _moment(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC)


def _iso(value: datetime | str) -> str:
    return _moment(value).strftime("%Y-%m-%dT%H:%M:%SZ")


def _minute(value: datetime | str) -> str:
    return _moment(value).strftime("%Y-%m-%d %H:%M UTC")


def _day(value: datetime | str) -> str:
    return _moment(value).strftime("%Y-%m-%d")


def _paragraphs(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _formula(text: str) -> Markup:
    """Escaped text in which ``10^-3.2`` is set as a reader knows it from print."""
    return Markup(_POWER.sub(_superscript, str(escape(visible(text)))))


def _superscript(match: re.Match[str]) -> str:
    return f"10<sup>{match[1].replace('-', chr(0x2212))}</sup>"


def _abbreviated(text: str, letters: int = 12) -> str:
    return text if len(text) <= letters else f"{text[:letters]}\N{HORIZONTAL ELLIPSIS}"
