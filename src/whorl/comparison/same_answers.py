"""Controls that are one of the models compared, under its own name or another: they answer as it does, to the letter.

Such a control is no stranger. As one it would stand beside the model as its best rival, or lie in what is taken for
chance.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from whorl.fingerprints.answer_table import AnswerTable

LEAST_COMMON: Final = 20
LEAST_EQUAL: Final = 0.98
"""Of at least so many answers, the share that is equal where two models are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SameModel:
    """A control that may be one of the models compared.

    Parameters
    ----------
    common : questions that both answered
    equal : those with equal answers
    """

    control: str
    equal: int
    common: int

    @property
    def to_the_letter(self) -> bool:
        """Whether the answers alone say that the two are one model."""
        return self.common >= LEAST_COMMON and self.equal >= LEAST_EQUAL * self.common


def same_models(
    controls: AnswerTable, asked: AnswerTable, model: str, *, named: Collection[str] = ()
) -> tuple[SameModel, ...]:
    """Controls that answer as a model does, to the letter, and those of given names, whatever they answer.

    Parameters
    ----------
    asked : holds the answers of ``model``
    """
    given = dict(zip(asked.items, asked.answers[:, asked.models.index(model)], strict=True))
    compared = [_compared(controls, place, given) for place in range(len(controls.models))]
    return tuple(one for one in compared if one.to_the_letter or one.control in named)


def _compared(controls: AnswerTable, place: int, given: Mapping[str, str | None]) -> SameModel:
    pairs = [
        (answer, given[item])
        for item, answer in zip(controls.items, controls.answers[:, place], strict=True)
        if answer is not None and given.get(item)
    ]
    equal = sum(one == other for one, other in pairs)
    return SameModel(control=controls.models[place], equal=equal, common=len(pairs))
