"""Two endpoints and the controls on the same questions, brought into one form for every statistic."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from whorl.comparison.answer_population import AnswerPopulation
from whorl.core.behaviour import AskedModel
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import LONGEST_ANSWER, AnswerTable, item_name, prompt_of
from whorl.probes.battery import Battery, Family, Item
from whorl.probes.normalising import normalise
from whorl.probes.scored import is_no_answer
from whorl.probes.scoring import COUNTS, score, score_reply
from whorl.probes.transcript import Transcript, questions_of

LINEAGE_FAMILIES: Final[tuple[Family, ...]] = ("wrong_answers", "low_entropy", "border_inputs", "bias_pairs", "style")
"""Families whose answers may speak of lineage. Guardrails, principles and failures follow regulation and system
prompts; context handling and tokenizers belong to gateway and recipe."""


_CLOSED: Final = ("letter/1", "named_option/1", "one_word/1", "short_answer/1")
_REPEATED: Final = 4
_LEAST_CONSTANT, _CONSTANT = 4, 0.8
_SEVERAL_STRATA: Final[Mapping[str, int]] = MappingProxyType({"short_answer/1": 5, "style": 3})
"""So many strata (a year, a town, a colour; a letter, a recipe, a plan) have no answer in common. Words that are drawn
at will may be the same in all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """Answers of one model to a battery.

    Parameters
    ----------
    about : who was asked, for the document
    known_as : the model's name in the population's lineage; None where nothing is known
    texts : normalised answers by item and draw, the draws in their order
    labels : likewise, what the items' scorers read in them
    incomplete : why some answers may be missing, where the run did not come to its end
    """

    about: AskedModel
    known_as: str | None
    texts: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, tuple[str, ...]]
    incomplete: str | None = None


def from_transcript(transcript: Transcript, *, name: str, known_as: str | None = None) -> Asked:
    """What a transcript holds."""
    battery = transcript.header.battery
    items = {item.id: item for item in battery.items}
    given: dict[str, list[str]] = {}
    counted: dict[str, list[str]] = {}
    for (item, _), reply in sorted(transcript.answered.items()):
        given.setdefault(item, []).append(_plain(reply.text))
        if items[item].scorer == COUNTS:
            counted.setdefault(item, []).append(score_reply(items[item], reply).label)
    texts = {item: tuple(answers) for item, answers in given.items()}
    served = sorted({reply.served_model for reply in transcript.answered.values() if reply.served_model})
    return Asked(
        about=AskedModel(
            name=name,
            transcript=transcript.digest,
            address=transcript.header.endpoint.address,
            served_models=tuple(served[:20]),
            answered=len(transcript.answered),
            asked=questions_of(battery),
            flags=transcript.flags,
        ),
        known_as=known_as,
        texts=texts,
        # By the text alone, as a population's answers are read: by how an answer ended, which a population does not
        # keep, the same behaviour would be labelled in two ways. Counts of tokens are in no text.
        labels=labels_of(battery, texts) | {item: tuple(found) for item, found in counted.items()},
        incomplete=_incomplete(transcript),
    )


def _incomplete(transcript: Transcript) -> str | None:
    seal, counts = transcript.seal, f"{len(transcript.answered)} of {questions_of(transcript.header.battery)} questions"
    if seal is None:
        return f"incomplete: {counts}, no seal. The run goes on or was cut off, or the file lacks its end"
    if seal.reason == "complete":
        return None
    return f"incomplete: {counts}, sealed as {seal.reason}. The run ended before its last question"


def _plain(text: str) -> str:
    return normalise(text[: 4 * LONGEST_ANSWER])[:LONGEST_ANSWER]


def from_population(population: AnswerPopulation, battery: Battery, table: AnswerTable, model: str) -> Asked:
    """A control model's answers to the battery.

    Raises
    ------
    InputError
        If the population has no answers of the model to these questions.
    """
    if model not in table.models:
        known = ", ".join(table.models[:10])
        raise InputError(
            f"the population has no answers of {model!r} to the battery {battery.name}; it has {known}"
            f"{', ...' if len(table.models) > 10 else ''}: name one of them, or give a transcript as reference"
        )
    texts = texts_of(table, table.models.index(model))
    return Asked(
        about=AskedModel(
            name=model,
            transcript=population.digest,
            address="population",
            served_models=(),
            answered=sum(map(len, texts.values())),
            asked=questions_of(battery),
            flags=(),
        ),
        known_as=model,
        texts=texts,
        labels=labels_of(battery, texts),
    )


def texts_of(table: AnswerTable, place: int) -> dict[str, tuple[str, ...]]:
    """One model's answers by item, draws in their order."""
    found: dict[str, list[str]] = {}
    for item, answer in zip(table.items, table.answers[:, place], strict=True):
        if answer is not None:
            found.setdefault(prompt_of(item), []).append(answer)
    return {item: tuple(texts) for item, texts in found.items()}


def labels_of(
    battery: Battery, texts: Mapping[str, Sequence[str]], *, families: Iterable[Family] | None = None
) -> dict[str, tuple[str, ...]]:
    """What the items' scorers read in stored answers, of which only the text was kept."""
    wanted = None if families is None else frozenset(families)
    return {
        item.id: tuple(score(item, text, "stop").label for text in texts[item.id])
        for item in battery.items
        if item.id in texts and (wanted is None or item.family in wanted)
    }


def items_of(battery: Battery, families: Iterable[Family]) -> tuple[Item, ...]:
    """The battery's items of some families."""
    wanted = frozenset(families)
    return tuple(item for item in battery.items if item.family in wanted)


def lineage_table(dataset: str, battery: Battery, asked: Mapping[str, Asked]) -> AnswerTable:
    """Answers to the items that may speak of lineage, under the names given, as a table beside the controls'.

    Where an item's answer is one of a few (a letter, one word, a name), what the scorer read in it stands for it:
    whether a model writes "B" or "The answer is B." is manner, and manner is common.
    """
    items = items_of(battery, LINEAGE_FAMILIES)
    return _table(
        dataset,
        {name: _compared(items, one.texts, one.labels) for name, one in asked.items()},
        (item.id for item in items),
    )


def lineage_controls(table: AnswerTable, battery: Battery) -> AnswerTable:
    """The controls' answers to the items that may speak of lineage, read in the same way."""
    items = items_of(battery, LINEAGE_FAMILIES)
    texts = {model: texts_of(table, place) for place, model in enumerate(table.models)}
    compared = {
        model: _compared(items, given, labels_of(battery, given, families=LINEAGE_FAMILIES))
        for model, given in texts.items()
    }
    return _table(table.dataset, compared, (item.id for item in items))


def _compared(
    items: Sequence[Item], texts: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Texts to compare; a label is repeated, so that n-grams of words and letters see equality and nothing else.

    Where nothing was answered (`is_no_answer`), or the same whatever was asked, the text is empty: two models that both
    say nothing do not agree.
    """
    asked = [item for item in items if item.id in texts]
    given = {item.id: labels[item.id] if item.scorer in _CLOSED else texts[item.id] for item in asked}
    constant = _constant(asked, given)
    return {
        item.id: tuple(
            ""
            if (item.scorer in _CLOSED and is_no_answer(answer)) or (_kind(item), answer) in constant
            else _spoken(item, answer)
            for answer in given[item.id]
        )
        for item in asked
    }


def _kind(item: Item) -> str:
    return item.scorer if item.scorer in _CLOSED else item.family


def _spoken(item: Item, answer: str) -> str:
    return " ".join([answer.replace(" ", "_")] * _REPEATED) if item.scorer in _CLOSED else answer


def _constant(asked: Iterable[Item], given: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """What a model answers to nearly all questions of a kind, or to questions that have no answer in common."""
    items: dict[tuple[str, str], set[str]] = {}
    strata: dict[tuple[str, str], set[str]] = {}
    of_kind: dict[str, set[str]] = {}
    for item in asked:
        kind = _kind(item)
        for answer in set(given[item.id]):
            if item.scorer in _CLOSED and is_no_answer(answer):
                continue
            of_kind.setdefault(kind, set()).add(item.id)
            items.setdefault((kind, answer), set()).add(item.id)
            strata.setdefault((kind, answer), set()).add(item.stratum)
    return {
        (kind, answer)
        for (kind, answer), places in items.items()
        if (len(places) >= _LEAST_CONSTANT and len(places) > _CONSTANT * len(of_kind[kind]))
        or len(strata[kind, answer]) >= _SEVERAL_STRATA.get(kind, math.inf)
    }


def _table(dataset: str, texts: Mapping[str, Mapping[str, Sequence[str]]], kept: Iterable[str]) -> AnswerTable:
    wanted = frozenset(kept)
    models = tuple(sorted(texts))
    items = sorted(
        {
            (item, draw)
            for found in texts.values()
            for item in found
            if item in wanted
            for draw in range(len(found[item]))
        }
    )
    answers = np.full((len(items), len(models)), None, dtype=np.object_)
    for column, model in enumerate(models):
        for row, (item, draw) in enumerate(items):
            given = texts[model].get(item, ())
            if draw < len(given):
                answers[row, column] = given[draw]
    return AnswerTable(
        dataset=dataset,
        models=models,
        items=tuple(item_name(item, draw) for item, draw in items),
        answers=answers,
    )
