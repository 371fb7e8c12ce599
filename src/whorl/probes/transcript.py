"""Everything that was asked of one endpoint and everything it answered, in one append-only file.

Format: ``docs/specs/transcript.md``. One JSON document a line: a header, then one line for each question that was
answered or given up, then a seal. Lines are chained by digest, so nothing can be dropped, added or reordered without
every later digest changing. `whorl.probes.transcript_reading` reads the file, `whorl.probes.transcript_file` writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from whorl.core.evidence import Document, StoredDocument
from whorl.endpoints.exchange import Capabilities, EndpointName, Question, Reply, Trouble
from whorl.probes.battery import Battery, Item

if TYPE_CHECKING:
    from whorl.endpoints.recorded import Recorded

Asked: TypeAlias = tuple[str, int]
"""One question of a battery: the item's id and the number of the draw."""

Ending: TypeAlias = Literal["complete", "budget", "interrupted", "endpoint_lost"]


class Header(StoredDocument):
    """First line: what is asked of whom. Holds the whole battery, so that the file can be re-analysed alone."""

    schema_: Literal["whorl.transcript/1"] = Field(default="whorl.transcript/1", alias="schema")
    whorl_version: str
    endpoint: EndpointName
    battery: Battery
    capabilities: Capabilities | None
    started: str


class Answered(Document):
    """One question that was answered."""

    kind: Literal["answered"] = "answered"
    item: str
    draw: int = Field(ge=0)
    reply: Reply


class GivenUp(Document):
    """One question without an answer. A later run asks it again."""

    kind: Literal["given_up"] = "given_up"
    item: str
    draw: int = Field(ge=0)
    trouble: Trouble
    detail: str


class Seal(Document):
    """Last line: how the run ended. A resumed run removes it and writes another."""

    kind: Literal["seal"] = "seal"
    reason: Ending
    answered: int = Field(ge=0)
    given_up: int = Field(ge=0, description="questions that have no answer and were given up at least once")
    flags: tuple[str, ...] = Field(description="what was odd about the endpoint, for people: 'two model names: ...'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A transcript as it was read and checked.

    Parameters
    ----------
    answered : replies by item and draw, in the order in which they came
    given_up : questions that have no answer, with why they were last given up
    seal : how the run ended; None where it is still going on or was cut off, which leaves a usable partial result
    digest : chain value of the last line; of a sealed transcript it is the content address
    flags : what is odd about the endpoint, computed from the replies (not taken from the seal)
    """

    header: Header
    answered: Mapping[Asked, Reply]
    given_up: Mapping[Asked, GivenUp]
    seal: Seal | None
    digest: str
    flags: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every question of the battery has an answer."""
        return len(self.answered) == questions_of(self.header.battery)


def question_of(item: Item, draw: int) -> Question:
    """What is asked for one draw of an item.

    No seed is sent: a server that honours one would give the same answer to every draw.
    """
    return Question(
        messages=item.messages,
        max_tokens=item.max_tokens,
        temperature=item.temperature,
        top_logprobs=item.top_logprobs,
        draw=draw,
    )


def questions_of(battery: Battery) -> int:
    """How many questions a battery asks: the draws of all items."""
    return sum(item.draws for item in battery.items)


def recorded(transcript: Transcript) -> "Recorded":
    """An endpoint that answers from the transcript; what it was not asked, or gave up, is an error.

    It is named after the transcript's digest, and asked for the model that was asked then.
    """
    from whorl.endpoints.recorded import Recorded

    header = transcript.header
    items = {item.id: item for item in header.battery.items}
    replies = {question_of(items[item], draw).digest: reply for (item, draw), reply in transcript.answered.items()}
    name = EndpointName(kind="recorded", address=transcript.digest, model=header.endpoint.model)
    return Recorded(replies, name=name)
