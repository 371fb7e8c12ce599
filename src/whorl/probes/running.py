"""The runner: asks an endpoint every question of a battery that has no answer yet, and writes down what comes."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from whorl.core.progress import Progress, silent
from whorl.endpoints.exchange import Endpoint, EndpointError, Trouble
from whorl.probes.battery import Battery, Item
from whorl.probes.transcript import Answered, Ending, GivenUp, Seal, question_of
from whorl.probes.transcript_file import TranscriptFile

LOST_AFTER: Final = 20
REFUSED_AFTER: Final = 3
SYNC_SECONDS: Final = 1.0
# Questions that set out together are sent together, that is, when the last of them is ready; and where each answer
# takes as long, their answers come together too, and so on. One after the other, each is on its way before the next.
SECONDS_BETWEEN_QUESTIONS: Final = 0.001

_REFUSALS: Final[frozenset[Trouble]] = frozenset({"not_allowed", "not_found", "redirected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run ended.

    Parameters
    ----------
    answered, given_up : by this run
    last_error : of the last question that was given up
    """

    seal: Seal
    answered: int
    given_up: int
    last_error: EndpointError | None


async def run(
    endpoint: Endpoint,
    transcript: TranscriptFile,
    *,
    concurrency: int,
    order_seed: int,
    progress: Progress = silent,
) -> Run:
    """Ask what is missing, ``concurrency`` questions at a time, and seal the transcript.

    The order is a shuffle of all questions, so that an endpoint that changes meanwhile changes for every family
    alike. A slow question holds up one of the ``concurrency`` places and nothing else. The run stops early if

    - the endpoint answers ``out_of_budget`` (see `whorl.probes.budget.Budgeted`): questions under way are waited for;
    - it is lost: `LOST_AFTER` questions in a row fail, or `REFUSED_AFTER` are refused for the key, the address or the
      model's name before any is answered: questions under way are broken off.

    An error is never kept as an answer: the question is written down as given up, and a later run asks it again.

    Parameters
    ----------
    concurrency : at least 1
    order_seed : of the shuffle

    Raises
    ------
    CancelledError
        If the task is cancelled, after the transcript was sealed as interrupted.
    OSError, InputError
        If the transcript cannot be written.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    state = _State(endpoint, transcript, progress, _missing(transcript, order_seed))
    if not state.left:
        return Run(seal=transcript.end("complete"), answered=0, given_up=0, last_error=None)
    syncing = asyncio.create_task(_sync_now_and_then(transcript))
    places = [asyncio.create_task(state.ask_on()) for _ in range(min(concurrency, len(state.left)))]
    try:
        await _until_over(places, syncing)
    except asyncio.CancelledError:
        transcript.end("interrupted")
        raise
    except _LostError:
        state.ending = "endpoint_lost"
    seal = transcript.end(state.ending)
    return Run(seal=seal, answered=state.answered, given_up=state.given_up, last_error=state.last_error)


def shuffled(battery: Battery, order_seed: int) -> list[tuple[Item, int]]:
    """Every item and draw of a battery in the order of SHA-256 of seed, item and draw: the same everywhere."""

    def place(question: tuple[Item, int]) -> bytes:
        item, draw = question
        return hashlib.sha256(f"{order_seed}\n{item.id}\n{draw}".encode()).digest()

    return sorted(((item, draw) for item in battery.items for draw in range(item.draws)), key=place)


def _missing(transcript: TranscriptFile, order_seed: int) -> deque[tuple[Item, int]]:
    everything = shuffled(transcript.header.battery, order_seed)
    return deque((item, draw) for item, draw in everything if (item.id, draw) not in transcript.answered)


async def _until_over(places: Iterable["asyncio.Task[None]"], syncing: "asyncio.Task[None]") -> None:
    """Return when all places are done; raise what the first failing task raises. No task is left behind."""
    asking = asyncio.gather(*places)
    try:
        both: set[asyncio.Future[Any]] = {asking, syncing}
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*places, syncing):
            task.cancel()
        await asyncio.gather(*places, asking, syncing, return_exceptions=True)


async def _sync_now_and_then(transcript: TranscriptFile) -> None:
    while True:
        await asyncio.sleep(SYNC_SECONDS)
        await asyncio.to_thread(transcript.sync)  # a busy disk must not hold up the questions


class _LostError(Exception):
    """The endpoint does not answer any more."""


@dataclass(slots=True)
class _State:
    """What the places share."""

    endpoint: Endpoint
    transcript: TranscriptFile
    progress: Progress
    left: deque[tuple[Item, int]]
    answered: int = 0
    given_up: int = 0
    failed_in_a_row: int = 0
    ending: Ending = "complete"
    last_error: EndpointError | None = None
    setting_out: asyncio.Lock = field(default_factory=asyncio.Lock)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = len(self.transcript.answered) + len(self.left)

    async def ask_on(self) -> None:
        """One place: ask question after question until none is left or the run stops."""
        while await self._may_set_out():
            item, draw = self.left.popleft()
            try:
                reply = await self.endpoint.ask(question_of(item, draw))
            except EndpointError as error:
                self._fail(item, draw, error)
            else:
                self._keep(Answered(item=item.id, draw=draw, reply=reply))
            self.progress("asking", len(self.transcript.answered) + self.given_up, self.total)

    async def _may_set_out(self) -> bool:
        await self.setting_out.acquire()
        asyncio.get_running_loop().call_later(SECONDS_BETWEEN_QUESTIONS, self.setting_out.release)
        return bool(self.left) and self.ending == "complete"

    def _keep(self, entry: Answered) -> None:
        written = self.transcript.add(entry)
        self.answered += isinstance(written, Answered)
        self.given_up += isinstance(written, GivenUp)
        self.failed_in_a_row = 0

    def _fail(self, item: Item, draw: int, error: EndpointError) -> None:
        if error.trouble == "out_of_budget":
            self.ending = "budget"
            return
        self.last_error = error
        self.transcript.add(GivenUp(item=item.id, draw=draw, trouble=error.trouble, detail=error.detail))
        self.given_up += 1
        if error.trouble == "unknown_question" or (error.trouble == "rejected" and self.transcript.answered):
            return  # says nothing of the next question
        self.failed_in_a_row += 1
        refused = error.trouble in _REFUSALS and not self.transcript.answered
        if self.failed_in_a_row >= (REFUSED_AFTER if refused else LOST_AFTER):
            raise _LostError
