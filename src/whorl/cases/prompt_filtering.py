"""Prompts that can say something: those where every public ancestor and the panel disagree with the reference.

On such prompts, agreement of the questioned model with the reference has no public explanation at hand. How often a
model agrees there that has nothing to do with the reference is read off the panel itself: each of its models in turn
changes places with the questioned model, which then is one of those that filter.
"""

from collections.abc import Sequence, Set
from typing import Final, Literal

import numpy as np
from pydantic import Field

from whorl.core.arrays import AnyArray
from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.fingerprints.answer_table import AnswerTable

LEAST_PANEL: Final = 3


class Stood(Document):
    """A model in the questioned model's place: agreements with the reference on the prompts left for it."""

    model: str
    prompts: int = Field(ge=0)
    agreeing: int = Field(ge=0)


class PromptFiltration(Document):
    """What was filtered, and what the rest says."""

    filters: Literal["all", "uncontested"]
    dataset: str
    questioned: str
    reference: str
    ancestors: tuple[str, ...]
    panel: tuple[str, ...]
    prompts: int = Field(ge=0, description="answered by questioned model and reference")
    not_shown: int = Field(ge=0, description="left out: an ancestor or too much of the panel did not answer")
    explained: dict[str, int] = Field(description="for each ancestor and panel model, prompts where it agrees with V")
    kept: tuple[str, ...] = Field(description="prompts that are left")
    agreeing: int = Field(ge=0)
    panel_in_its_place: tuple[Stood, ...]
    rank: float | None = Field(
        ge=0,
        le=1,
        description="share of panel models, the questioned one counted in, that agree at least as often; a p-value if "
        "the questioned model stands to the reference as the panel's models do",
    )
    statement: str


def filtered_prompts(
    table: AnswerTable,
    *,
    questioned: str,
    reference: str,
    ancestors: Sequence[str] = (),
    panel: Sequence[str],
    contested: Set[str] = frozenset(),
    least_panel: int = LEAST_PANEL,
) -> tuple[PromptFiltration, ...]:
    """Filter a table's prompts and compare the residue; twice where models are contested as filters.

    A prompt is kept if every ancestor answered it and disagrees with the reference, at least ``least_panel`` of the
    panel answered it, and all of those disagree. Answers agree if their normalised texts are equal.

    Parameters
    ----------
    contested : ancestors and panel models whose use as a filter a side objects to
    least_panel : at least 1; panel models that must have answered

    Raises
    ------
    InputError
        If a model is not in the table, has two parts, or the panel is smaller than ``least_panel``.
    """
    others = [*ancestors, *panel]
    _require(table, questioned, reference, others, contested)
    runs: list[tuple[Literal["all", "uncontested"], Set[str]]] = [("all", frozenset())]
    if contested:
        runs.append(("uncontested", contested))
    found = []
    for name, out in runs:
        left = [model for model in panel if model not in out]
        if len(left) < max(1, least_panel):
            raise InputError(
                f"expected at least {max(1, least_panel)} panel models, found {len(left)} once those contested are "
                "left out; name more models that have nothing to do with either side"
            )
        found.append(
            _filtered(
                table,
                name,
                questioned=questioned,
                reference=reference,
                ancestors=[model for model in ancestors if model not in out],
                panel=left,
                least_panel=least_panel,
            )
        )
    return tuple(found)


def _require(table: AnswerTable, questioned: str, reference: str, others: Sequence[str], contested: Set[str]) -> None:
    everyone = [questioned, reference, *others]
    unknown = sorted(set(everyone) - set(table.models))
    if unknown:
        raise InputError(f"data set {table.dataset}: expected answers of every model, found none of {unknown[0]!r}")
    if len(set(everyone)) < len(everyone):
        raise InputError("expected questioned model, reference, ancestors and panel to be different models")
    stray = sorted(contested - set(others))
    if stray:
        raise InputError(f"expected contested models to be ancestors or of the panel, found {stray[0]!r}")


def _filtered(
    table: AnswerTable,
    name: Literal["all", "uncontested"],
    *,
    questioned: str,
    reference: str,
    ancestors: Sequence[str],
    panel: Sequence[str],
    least_panel: int,
) -> PromptFiltration:
    places = {model: place for place, model in enumerate(table.models)}
    answered = table.answered
    target = table.answers[:, places[reference]]
    agrees = answered & (table.answers == target[:, None]) & answered[:, [places[reference]]]

    def kept_for(model: str, judges: Sequence[str]) -> tuple[AnyArray, AnyArray]:
        both = answered[:, places[model]] & answered[:, places[reference]]
        origins, others = [places[one] for one in ancestors], [places[one] for one in judges]
        shown = answered[:, origins].all(axis=1) & (answered[:, others].sum(axis=1) >= min(least_panel, len(others)))
        explained = agrees[:, origins].any(axis=1) | agrees[:, others].any(axis=1)
        return both & shown & ~explained, both & ~shown

    kept, hidden = kept_for(questioned, panel)
    both = answered[:, places[questioned]] & answered[:, places[reference]]
    stood = []
    for model in panel:
        judges = [questioned, *(other for other in panel if other != model)]
        own, _ = kept_for(model, judges)
        stood.append(Stood(model=model, prompts=int(own.sum()), agreeing=int((own & agrees[:, places[model]]).sum())))
    agreeing = int((kept & agrees[:, places[questioned]]).sum())
    rank = _rank(agreeing, int(kept.sum()), stood)
    return PromptFiltration(
        filters=name,
        dataset=table.dataset,
        questioned=questioned,
        reference=reference,
        ancestors=tuple(ancestors),
        panel=tuple(panel),
        prompts=int(both.sum()),
        not_shown=int(hidden.sum()),
        explained={model: int((both & agrees[:, places[model]]).sum()) for model in [*ancestors, *panel]},
        kept=tuple(item for item, is_kept in zip(table.items, kept, strict=True) if is_kept),
        agreeing=agreeing,
        panel_in_its_place=tuple(stood),
        rank=rank,
        statement=_statement(agreeing, int(kept.sum()), stood),
    )


def _rank(agreeing: int, prompts: int, stood: Sequence[Stood]) -> float | None:
    """None where the questioned model or every one of the panel has no prompt left."""
    rates = [one.agreeing / one.prompts for one in stood if one.prompts]
    if not prompts or not rates:
        return None
    return float((1 + np.count_nonzero(np.array(rates) >= agreeing / prompts)) / (1 + len(rates)))


def _statement(agreeing: int, prompts: int, stood: Sequence[Stood]) -> str:
    if not prompts:
        return "No prompt is left on which agreement would have no public explanation: nothing can be concluded."
    compared = sum(one.prompts > 0 for one in stood)
    most = max((one.agreeing / one.prompts for one in stood if one.prompts), default=0.0)
    return (
        f"On {prompts} prompts without a public explanation at hand the questioned model gives the reference's answer "
        f"{agreeing} times; {compared} models of the panel in its place do so at a rate of at most {most:.3f}."
    )
