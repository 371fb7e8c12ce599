"""What is known of a dossier while its steps run one after the other, and how a step ends.

A step that finds what it should says so (`Passed`); one that lacks what it needs says what (`NotChecked`); one that
finds something else raises. No step stops those after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from whorl.dossiers.custody import Event, Kept
from whorl.dossiers.reading import Dossier
from whorl.dossiers.root import Root
from whorl.dossiers.state import State
from whorl.entries.keys import PublicKey
from whorl.log.policy import Policy

Outcome: TypeAlias = Literal["passed", "failed", "not_checked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of ``docs/specs/dossier.md`` and how it ended."""

    number: int
    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Passed:
    """The step found what it should; the detail says what that was."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotChecked:
    """The step could not run; the detail says what it lacked. It claims nothing."""

    detail: str


Found: TypeAlias = Passed | NotChecked


@dataclass(slots=True, kw_only=True)
class Examination:
    """The dossier, what its reader brought, and what the steps so far established.

    Parameters
    ----------
    now : the reader's clock
    policy : logs and witnesses that the reader trusts; None if none was given
    case : hex id of the case that the reader expects; None if any will do
    keys : keys of which the reader expects one to have issued the dossier; empty if any will do
    root : once step 4 has read it and its signatures hold
    kept, events : once step 5 has opened the chain
    state : once step 6 has found every event allowed
    """

    dossier: Dossier
    now: datetime
    policy: Policy | None
    case: str | None
    keys: Sequence[PublicKey]
    root: Root | None = field(default=None, init=False)
    kept: tuple[Kept, ...] | None = field(default=None, init=False)
    events: tuple[Event, ...] | None = field(default=None, init=False)
    state: State | None = field(default=None, init=False)
