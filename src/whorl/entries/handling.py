"""Handling labels: who may see an entry's content. A label may be narrowed on the way, and never widened.

The labels map to the Traffic Light Protocol: ``clear`` to CLEAR, ``bureaus`` to GREEN, ``named`` to AMBER, ``own`` to
RED. Recipients are named one by one; an empty list means nobody.
"""

from collections.abc import Collection
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from whorl.core.evidence import Document

MAX_RECIPIENTS: Final = 100
_WIDTH: Final = {"own": 0, "named": 1, "bureaus": 2, "clear": 3}


class Handling(Document):
    """Who may see what an entry says. Recipients are origins of bureaus or ids of root keys of organisations."""

    label: Literal["clear", "bureaus", "named", "own"] = "clear"
    recipients: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=MAX_RECIPIENTS)] = ()
    onward: bool = Field(default=True, description="whether a recipient may pass it on to others who may see it")

    @model_validator(mode="after")
    def _only_named_has_recipients(self) -> "Handling":
        if self.recipients and self.label != "named":
            raise ValueError("only the label `named` has recipients")
        return self


CLEAR: Final = Handling()


def may_see(handling: Handling, *, reader: str | None, issuer: str, is_bureau: bool) -> bool:
    """Whether a reader may see content under this label.

    Parameters
    ----------
    reader : the reader's own origin or root key id; None for somebody unknown
    issuer : the same of whoever issued the entry
    is_bureau : whether the reader is a bureau of the federation
    """
    if handling.label == "clear":
        return True
    if reader is None:
        return False
    match handling.label:
        case "bureaus":
            return is_bureau or reader == issuer
        case "named":
            return reader in handling.recipients or reader == issuer
        case "own":
            return reader == issuer


def narrows(later: Handling, earlier: Handling, *, bureaus: Collection[str]) -> bool:
    """Whether nobody may see content under the later label who could not under the earlier one.

    Parameters
    ----------
    bureaus : origins of the federation's bureaus; a recipient who is none of them was not among "all bureaus"
    """
    if _WIDTH[later.label] > _WIDTH[earlier.label] or (later.onward and not earlier.onward):
        return False
    if later.label != "named" or earlier.label == "clear":
        return True
    return set(later.recipients) <= set(earlier.recipients if earlier.label == "named" else bureaus)
