"""Files that either side writes for the analyses of alternatives, and an example of each to begin from.

What they say is printed and filed, so that their words keep to the same rules as an opinion's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from whorl.cases.documents import MOST_ALIBIS, NODES, Exhibits, StatedDeposit
from whorl.cases.filtering import MOST_ELEMENTS, Contest, Element, Filter, ModelContest
from whorl.cases.input_files import read_input
from whorl.core.errors import InputError
from whorl.core.evidence import StoredDocument
from whorl.dossiers.wording import wording_faults

TemplateKind: TypeAlias = Literal["filters", "documents"]


class FiltersFile(StoredDocument):
    """What a side enters, filters and contests."""

    schema_: Literal["whorl.filters/1"] = Field(alias="schema")
    elements: Annotated[tuple[Element, ...], Field(max_length=MOST_ELEMENTS)] = ()
    filters: Annotated[tuple[Filter, ...], Field(max_length=MOST_ELEMENTS)] = ()
    contests: Annotated[tuple[Contest, ...], Field(max_length=MOST_ELEMENTS)] = ()
    model_contests: Annotated[tuple[ModelContest, ...], Field(max_length=MOST_ELEMENTS)] = Field(
        default=(), description="contests of ancestors and of models of the panel, with all that they filter"
    )


class ExhibitsFile(StoredDocument):
    """Documents of both sides with their ranges, and what a side states of a deposit whose receipt is checked."""

    schema_: Literal["whorl.exhibits/1"] = Field(alias="schema")
    exhibits: Exhibits
    deposit: StatedDeposit | None = None

    @model_validator(mode="after")
    def _only_stated(self) -> "ExhibitsFile":
        stated = [one.code for one in self.exhibits.alibis if one.attested is not None]
        if stated:
            raise ValueError(
                f"alibi {stated[0]} says itself that a receipt was verified; leave `attested` out, or state it as the "
                "deposit and give its receipt"
            )
        if self.deposit is None:
            return self
        codes = (*(one.code for one in self.exhibits.documents), *(one.code for one in self.exhibits.alibis), *NODES)
        if self.deposit.code in codes or len(self.exhibits.alibis) == MOST_ALIBIS:
            raise ValueError(f"expected a code of its own for the deposit, and {MOST_ALIBIS} alibis with it at most")
        return self


def read_filters(path: Path) -> FiltersFile:
    """Read what a side filters and contests; raises `InputError` where it is none."""
    stated = read_input(path, FiltersFile, what="filters and contests", template="whorl alternatives template filters")
    _require_fair(path, _words_of_filters(stated))
    return stated


def read_exhibits(path: Path) -> ExhibitsFile:
    """Read exhibits; raises `InputError` where there are none."""
    stated = read_input(
        path, ExhibitsFile, what="exhibits with their ranges", template="whorl alternatives template documents"
    )
    found = stated.exhibits
    if not (found.documents or found.alibis or stated.deposit or found.similarity):
        raise InputError(f"{path}: expected at least one document, alibi or deposit, found none")
    _require_fair(path, _words_of_exhibits(stated))
    return stated


def example(kind: TemplateKind) -> Mapping[str, Any]:
    """An example of a file, to be edited."""
    return _FILTERS if kind == "filters" else _EXHIBITS


def _words_of_filters(stated: FiltersFile) -> Iterator[tuple[str, str]]:
    for element in stated.elements:
        yield f"element {element.layer}/{element.name}", element.name
    for one in stated.filters:
        yield from ((f"filter {one.id}", text) for text in (one.id, one.by, one.reason, one.source))
    contests = [(one.by, one.reason) for some in (stated.contests, stated.model_contests) for one in some]
    for by, reason in contests:
        yield from ((f"contest by {by}", text) for text in (by, reason))


def _words_of_exhibits(stated: ExhibitsFile) -> Iterator[tuple[str, str]]:
    for one in stated.exhibits.documents:
        yield from ((f"document {one.code}", text) for text in (one.code, one.filed_by, one.says, one.grounds))
    for alibi in (*stated.exhibits.alibis, *([stated.deposit] if stated.deposit else [])):
        yield from ((f"alibi {alibi.code}", text) for text in (alibi.code, alibi.filed_by, alibi.grounds))


def _require_fair(path: Path, words: Iterator[tuple[str, str]]) -> None:
    for where, text in words:
        if faults := wording_faults(text.replace("_", " ")):
            raise InputError(f"{path}: {where}: {faults[0]}; write it anew")


_AT: Final = "2026-11-02T09:00:00Z"
_FILTERS: Final[Mapping[str, Any]] = {
    "schema": "whorl.filters/1",
    "elements": [
        {"layer": "recipe", "name": "schedule", "questioned": "cosine", "reference": "cosine"},
        {"layer": "weights", "name": "change_from_base", "questioned": "beta 0.44", "reference": None},
    ],
    "filters": [
        {
            "id": "respondent-1",
            "layer": "recipe",
            "element": "schedule",
            "ground": "published_paper",
            "by": "respondent",
            "reason": "the schedule was the usual one when both were trained",
            "source": "Harbour Models, training notes, 2024-05-01",
            "at": _AT,
        }
    ],
    "contests": [
        {
            "filter": "respondent-1",
            "by": "complainant",
            "reason": "the warm-up of 137 steps is in no paper that was public then",
            "at": _AT,
        }
    ],
    "model_contests": [],
}
_EXHIBITS: Final[Mapping[str, Any]] = {
    "schema": "whorl.exhibits/1",
    "exhibits": {
        "documents": [
            {
                "code": "D-1",
                "kind": "training_log",
                "filed_by": "respondent",
                "says": "Meridian AI trained the questioned model from random weights in February 2025.",
                "true_under": ["independent", "shared_data", "shared_teacher", "published_idea"],
                "true_otherwise": {"lower": 0.0, "upper": 0.01},
                "kept": {"lower": 0.5, "upper": 0.9},
                "genuine_passes": {"lower": 0.8, "upper": 0.99},
                "attempted": {"lower": 0.3, "upper": 1.0},
                "forged_passes": {"lower": 0.02, "upper": 0.3},
                "grounds": "The auditor's trials with 40 logs, 20 of them made up.",
            },
            {
                "code": "D-2",
                "kind": "access_record",
                "filed_by": "complainant",
                "says": "Somebody at Meridian AI fetched the reference on 4 March 2025.",
                "true_under": "access",
                "kept": {"lower": 0.6, "upper": 0.95},
                "genuine_passes": {"lower": 0.9, "upper": 0.99},
                "attempted": {"lower": 0.1, "upper": 0.5},
                "forged_passes": {"lower": 0.05, "upper": 0.3},
                "grounds": "Judgement of the manager; neither side agreed to narrower ranges.",
            },
        ],
        "alibis": [
            {
                "code": "D-3",
                "filed_by": "respondent",
                "existed_by": "2025-03-01T12:00:00Z",
                "reference_reachable_from": "2025-06-01T00:00:00Z",
                "early_access": {"lower": 0.0, "upper": 0.02},
                "failure": {"lower": 0.0001, "upper": 0.003},
                "grounds": "1,000 blind trials of the procedure without a failure.",
            }
        ],
        "willing": {"respondent": {"lower": 0.05, "upper": 0.3}, "complainant": {"lower": 0.05, "upper": 0.3}},
        "access": {"lower": 0.2, "upper": 1.0},
        "similarity": {},
    },
    "deposit": None,
}
