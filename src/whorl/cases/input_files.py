"""Files that people write for a case, and an example of each to begin from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import Field, ValidationError

from whorl.cases.analysing import FINGERPRINT_COMPARISON
from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.events import (
    ALTERNATIVES,
    CHECKLIST,
    REQUIRED_ROLES,
    CheckedPoint,
    LineUp,
    Method,
    Proposition,
    Protocol,
    Treatment,
)
from whorl.entries.kinds import Digest, HashHex
from whorl.entries.names import Text

MAX_FILE_BYTES: Final = 1 << 20
_KEY: Final = "ed25519:BASE64, as `whorl registry key` prints it"

FileKind: TypeAlias = Literal["opening", "propositions", "protocol", "line-up", "checklist", "remarks"]
SomeDocument = TypeVar("SomeDocument", bound=Document)


class Propositions(Document):
    """What ``whorl case propose`` and ``respond --alternatives`` read."""

    propositions: Annotated[tuple[Proposition, ...], Field(min_length=1, max_length=40)]


class ProtocolPlan(Document):
    """What ``whorl case freeze`` reads: the protocol but for line-up and populations, which are files of their own."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=20)]
    treatments: Annotated[tuple[Treatment, ...], Field(max_length=len(ALTERNATIVES))]
    stop_rule: Text = Field(min_length=1)
    exclusions: Text
    alpha: Annotated[float, Field(gt=0, le=0.1)]

    def with_line_up(self, line_up: LineUp, commitment: HashHex, populations: tuple[Digest, ...]) -> Protocol:
        """The protocol, once the line-up was dealt and its code key committed to, and the populations are kept."""
        return Protocol(
            methods=self.methods,
            populations=populations,
            treatments=self.treatments,
            stop_rule=self.stop_rule,
            exclusions=self.exclusions,
            alpha=self.alpha,
            line_up=line_up,
            code_key_commitment=commitment,
        )


class ReviewFile(Document):
    """What ``whorl case review`` reads."""

    checklist: Annotated[tuple[CheckedPoint, ...], Field(max_length=60)]
    accepted: bool
    reasons: Text


def read_input(
    path: Path, kind: type[SomeDocument], *, what: str, template: str = "whorl case template"
) -> SomeDocument:
    """Read a file that somebody wrote.

    Parameters
    ----------
    what : what it should be, for the message
    template : the command that prints an example, for the message

    Raises
    ------
    InputError
        If it is none, naming the first fault.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    parse_json_object(data, what=str(path), max_bytes=MAX_FILE_BYTES)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"{path}: expected {what}, found fault with {first_fault(error)}; `{template}` prints an example"
        ) from None


def example(kind: FileKind) -> Mapping[str, Any]:
    """An example of a file, to be edited; well formed but for the keys and paths, which nobody else can know."""
    return _EXAMPLES[kind]()


def _opening() -> Mapping[str, Any]:
    roles = (*REQUIRED_ROLES, "replicator", "appeal_reviewer")
    return {
        "title": "Lark and Harrow",
        "question": "Do the weights of Lark descend from those of Harrow?",
        "parties": [{"name": f"Name of the {role.replace('_', ' ')}", "role": role, "keys": [_KEY]} for role in roles],
        "questioned": {"name": "Lark-0.3M", "digest": None},
        "reference": {"name": "Harrow-0.3M", "digest": None},
        "licence": "What the licence or the terms of the reference say, and where.",
        "window_days": 30,
        "funding": "Who pays for the analysis, and the analyst's relations to the parties.",
    }


def _propositions() -> Mapping[str, Any]:
    def one(number: int, side: str, alternative: str, statement: str) -> Mapping[str, str]:
        return {
            "id": f"h{number}",
            "level": "source",
            "side": side,
            "alternative": alternative,
            "statement": statement,
        }

    return {
        "propositions": [
            one(1, "complainant", "derived", "Lark was fine-tuned from Harrow."),
            one(2, "respondent", "independent", "Lark and Harrow were trained independently of each other."),
        ]
    }


def _protocol() -> Mapping[str, Any]:
    from whorl.comparison.population import shipped_population

    digest = shipped_population().digest
    return {
        "methods": [{"group": "weights", "method": FINGERPRINT_COMPARISON, "parameters": {"population": digest}}],
        "treatments": [
            {
                "alternative": one,
                "tested": one in ("independent", "same_seed"),
                "how": FINGERPRINT_COMPARISON if one in ("independent", "same_seed") else "Why it cannot be tested.",
            }
            for one in ALTERNATIVES
        ],
        "stop_rule": "Every member of the line-up once; nothing is repeated.",
        "exclusions": "None.",
        "alpha": 0.01,
    }


def _line_up() -> Mapping[str, Any]:
    def some(name: str, number: int) -> list[Mapping[str, str]]:
        return [{"name": f"{name} {one}", "path": f"models/{name}-{one}"} for one in range(1, number + 1)]

    return {
        "schema": "whorl.line-up-candidates/1",
        "questioned": {"name": "Lark-0.3M", "path": "models/lark"},
        "reference": {"name": "Harrow-0.3M", "path": "models/harrow"},
        "decoys": some("decoy", 5),
        "positive_controls": some("known-descendant", 2),
        "negative_controls": some("known-stranger", 2),
        "draw": {"decoys": 3, "positive_controls": 1, "negative_controls": 1},
    }


def _checklist() -> Mapping[str, Any]:
    return {
        "checklist": [{"point": point, "answer": "yes", "note": ""} for point in CHECKLIST],
        "accepted": True,
        "reasons": "Why the file may or may not be issued.",
    }


def _remarks() -> Mapping[str, Any]:
    return {
        "deviations": ["What was done otherwise than the protocol says, and why."],
        "limitations": ["What else limits the opinion, such as who made the population."],
    }


_EXAMPLES: Final[dict[FileKind, Callable[[], Mapping[str, Any]]]] = {
    "opening": _opening,
    "propositions": _propositions,
    "protocol": _protocol,
    "line-up": _line_up,
    "checklist": _checklist,
    "remarks": _remarks,
}
