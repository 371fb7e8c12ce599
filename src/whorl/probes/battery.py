"""A battery: questions generated from a seed, each with what its scorer needs to read the answer.

Generation is deterministic, so a seed that nobody knows yet can be committed by the battery's digest before it is
used, and a battery that became known can be replaced by another seed's.
"""

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from whorl.core.digest import digest_document
from whorl.core.evidence import Document, StoredDocument
from whorl.endpoints.exchange import Message

Family: TypeAlias = Literal[
    "wrong_answers",
    "low_entropy",
    "border_inputs",
    "tokenizer",
    "context_window",
    "guardrails",
    "constitution",
    "failure_transfer",
    "style",
    "bias_pairs",
]


class Item(Document):
    """One question of a battery, asked ``draws`` times."""

    id: str = Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_.-]+)+$", description="family/name, unique within the battery")
    family: Family
    stratum: str = Field(description="the part of the family within which items are alike: a topic, a position, a cell")
    wrapper: Literal["bare", "neutral", "long"] = Field(description="what stands around the item: `families.WRAPPERS`")
    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    temperature: float = Field(ge=0, le=2)
    top_logprobs: int = Field(default=0, ge=0, le=20)
    draws: int = Field(ge=1)
    scorer: str = Field(description="name/version of the scorer, a key of `scoring.SCORERS`")
    key: dict[str, str | float | tuple[str, ...]] = Field(
        description="what the scorer needs, e.g. the options in order"
    )


class Battery(StoredDocument):
    """Items in a fixed order."""

    schema_: Literal["whorl.battery/1"] = Field(default="whorl.battery/1", alias="schema")
    name: str
    seed: int = Field(ge=0)
    items: tuple[Item, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Battery":
        if len({item.id for item in self.items}) != len(self.items):
            raise ValueError("two items of a battery share an id")
        return self

    @property
    def digest(self) -> str:
        """Identity: the same name, seed and items give the same digest everywhere."""
        return digest_document("whorl.battery/1", self.model_dump(mode="json"))
