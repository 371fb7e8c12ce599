"""What a statement is about, as in-toto names it: it follows from the body, so that nobody writes anything else there.

Programs that know in-toto and not Whorl show name and digest of the subject. If these were free, an entry could carry a
name, or somebody's digest, of which its body says nothing.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

from whorl.core.errors import InputError
from whorl.entries.kinds import BODIES, Body, Dataset, Fingerprint, Kind, Model, Notice, Organisation

KIND_OF: Final[dict[type, Kind]] = {body: kind for kind, body in BODIES.items()}


def subject_of(body: Body, stated: Mapping[str, Any]) -> tuple[str, str]:
    """Name and SHA-256 of what a statement is about: the content where the body names one, else the body itself.

    Parameters
    ----------
    stated : the body as the JSON that is signed; its digest is that of its canonical form (RFC 8785)

    Raises
    ------
    InputError
        If it has no canonical form.
    """
    match body:
        case Model(name=name, content=content):
            return name, _own(stated) if content is None else _hex(content)
        case Dataset(name=name, content=content):
            return name, _hex(content)
        case Fingerprint(method=method, blob=blob):
            return method, _hex(blob)
        case Organisation(name=name):
            return name, _own(stated)
        case Notice(title=title):
            return title, _own(stated)
        case _:
            return KIND_OF[type(body)], _own(stated)


def _own(stated: Mapping[str, Any]) -> str:
    try:
        return hashlib.sha256(rfc8785.dumps(dict(stated))).hexdigest()
    except rfc8785.CanonicalizationError as error:
        raise InputError(
            f"expected a body that has a canonical JSON form, found none: {error}; leave out infinities and integers "
            "from 2**53 on"
        ) from None


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
