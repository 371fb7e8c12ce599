"""From an address and a battery to a transcript: open, find out what the endpoint does, ask, seal; or go on with it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from whorl import __version__
from whorl.core.errors import InputError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.progress import Progress
from whorl.endpoints.address import address_of
from whorl.endpoints.capabilities import detect
from whorl.endpoints.exchange import Capabilities, EndpointName
from whorl.endpoints.keys import Key
from whorl.endpoints.limits import Limits
from whorl.endpoints.opening import Api, open_endpoint
from whorl.endpoints.retrying import Waiting
from whorl.probes.battery import Battery
from whorl.probes.budget import Budget, Budgeted, Spent
from whorl.probes.running import Run, run
from whorl.probes.transcript import Ending, Header, questions_of, recorded
from whorl.probes.transcript_file import TranscriptFile, continue_transcript, is_unwritten, start_transcript
from whorl.probes.transcript_reading import is_transcript, read_transcript

_KINDS: Final[dict[Api, Literal["openai_chat", "openai_completions", "anthropic"]]] = {
    "openai": "openai_chat",
    "completions": "openai_completions",
    "anthropic": "anthropic",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask, and how hard.

    Parameters
    ----------
    address : URL of a server, a checkpoint folder, or a transcript, whose answers are then given again
    model : the name to ask for; None where the server has one only, and for a folder or a transcript
    concurrency : questions at a time
    """

    address: str
    model: str | None = None
    api: Api = "openai"
    key: Key | None = None
    limits: Limits = field(default_factory=Limits)
    concurrency: int = 8

    @property
    def is_url(self) -> bool:
        """Whether there is a server to ask."""
        return "://" in self.address


class Taken(Document):
    """What one run took from the endpoint, by its own count; the most it can be where it reports none."""

    requests: int = Field(ge=0, description="retries and the questions about capabilities included")
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    cost: float | None = Field(description="None without prices")


class Receipt(StoredDocument):
    """What a run left: the transcript's state, and what this run did."""

    schema_: Literal["whorl.probe-receipt/1"] = Field(default="whorl.probe-receipt/1", alias="schema")
    file: str
    digest: str = Field(description="content address of the sealed transcript")
    endpoint: EndpointName
    capabilities: Capabilities | None
    battery: str
    seed: int
    battery_digest: str
    ended: Ending
    questions: int
    answered: int
    given_up: int
    answered_now: int = Field(description="by this run")
    given_up_now: int
    taken: Taken
    flags: tuple[str, ...]
    last_error: str | None = Field(description="of the last question that this run gave up")


async def take(
    target: Target,
    battery: Battery,
    path: Path,
    *,
    budget: Budget,
    seed: int,
    now: Callable[[], datetime],
    on_wait: Callable[[Waiting], None],
    progress: Progress,
) -> Receipt:
    """Ask a battery, or what an earlier run left of it, and seal the transcript at ``path``.

    Where everything is answered, nothing is sent and the file stays as it is.

    Parameters
    ----------
    seed : of the order of questions and of those about capabilities

    Raises
    ------
    InputError
        If ``path`` holds something else than a transcript of this battery and endpoint, or is being written to.
    EndpointError
        If the endpoint cannot be opened or answers nothing at all; then no file was made.
    """
    asking = _Asking(target, budget, seed, now, on_wait, progress)
    if is_unwritten(path):
        return await asking.start(path, battery)
    with continue_transcript(path) as transcript:
        _require_battery(transcript, battery)
        return await asking.go_on(transcript)


@dataclass(frozen=True, slots=True)
class _Asking:
    """What stays the same while a transcript is taken."""

    target: Target
    budget: Budget
    seed: int
    now: Callable[[], datetime]
    on_wait: Callable[[Waiting], None]
    progress: Progress

    async def start(self, path: Path, battery: Battery) -> Receipt:
        """Find out what the endpoint does, then ask everything."""
        endpoint, capabilities = await self._opened()
        try:
            header = Header(
                whorl_version=__version__,
                endpoint=endpoint.name,
                battery=battery,
                capabilities=await detect(endpoint, seed=self.seed) if capabilities is None else capabilities,
                started=self.now().isoformat().replace("+00:00", "Z"),
            )
            with start_transcript(path, header) as transcript:
                return await self._ask(endpoint, transcript)
        finally:
            await endpoint.close()

    async def go_on(self, transcript: TranscriptFile) -> Receipt:
        """Ask what has no answer yet."""
        if len(transcript.answered) == questions_of(transcript.header.battery):
            _require_endpoint(transcript, _named(self.target, transcript.header.endpoint))
            sealed = Run(seal=transcript.end("complete"), answered=0, given_up=0, last_error=None)
            return self._receipt(transcript, sealed, Spent())
        endpoint, _ = await self._opened()
        try:
            _require_endpoint(transcript, endpoint.name)
            return await self._ask(endpoint, transcript)
        finally:
            await endpoint.close()

    async def _opened(self) -> tuple[Budgeted, Capabilities | None]:
        """The endpoint within its budget; what it does where an earlier transcript says so."""
        target = self.target
        if not target.is_url and is_transcript(Path(target.address)):
            if target.model is not None:
                raise InputError("expected no model's name beside a transcript, which holds one; leave it out")
            earlier = read_transcript(Path(target.address))
            return Budgeted(recorded(earlier), self.budget), earlier.header.capabilities
        budgeted: Budgeted | None = None

        def told(waiting: Waiting) -> None:
            if budgeted is not None:
                budgeted.another_try(waiting.trouble)
            self.on_wait(waiting)

        endpoint = await open_endpoint(
            target.address,
            model=target.model,
            api=target.api,
            key=target.key,
            limits=target.limits,
            rng=random.Random(),  # jitter between tries: of many clients no two may wait alike
            on_wait=told,
        )
        # A chat server that wants another name for the limit rejects one try, of which nobody is told.
        budgeted = Budgeted(endpoint, self.budget, extra_tries=int(target.is_url and target.api == "openai"))
        return budgeted, None

    async def _ask(self, endpoint: Budgeted, transcript: TranscriptFile) -> Receipt:
        done = await run(
            endpoint,
            transcript,
            concurrency=self.target.concurrency,
            order_seed=self.seed,
            progress=self.progress,
        )
        return self._receipt(transcript, done, endpoint.spent)

    def _receipt(self, transcript: TranscriptFile, done: Run, spent: Spent) -> Receipt:
        header, prices = transcript.header, self.budget.prices
        return Receipt(
            file=str(transcript.path),
            digest=transcript.digest,
            endpoint=header.endpoint,
            capabilities=header.capabilities,
            battery=header.battery.name,
            seed=header.battery.seed,
            battery_digest=header.battery.digest,
            ended=done.seal.reason,
            questions=questions_of(header.battery),
            answered=len(transcript.answered),
            given_up=len(transcript.given_up),
            answered_now=done.answered,
            given_up_now=done.given_up,
            taken=Taken(
                requests=spent.requests,
                prompt_tokens=spent.prompt_tokens,
                completion_tokens=spent.completion_tokens,
                cost=None if prices is None else spent.cost(prices),
            ),
            flags=transcript.flags,
            last_error=None if done.last_error is None else done.last_error.detail,
        )


def _named(target: Target, like: EndpointName) -> EndpointName:
    """The name of an endpoint that is not opened; what only opening would tell is taken from ``like``."""
    model = like.model if target.model is None else target.model
    if target.is_url:
        return EndpointName(kind=_KINDS[target.api], address=address_of(target.address).base, model=model)
    path = Path(target.address)
    if is_transcript(path):
        return EndpointName(kind="recorded", address=read_transcript(path).digest, model=model)
    folder = path.resolve().name
    return EndpointName(kind="local", address=like.address if like.address.startswith(folder) else folder, model=model)


def _require_battery(transcript: TranscriptFile, battery: Battery) -> None:
    found = transcript.header.battery
    if found.digest != battery.digest:
        raise InputError(
            f"{transcript.path}: expected a transcript of battery {battery.name}, seed {battery.seed} "
            f"({battery.digest[:19]}), found one of {found.name}, seed {found.seed} ({found.digest[:19]}); give the "
            "battery and seed that it was started with, or choose another place"
        )


def _require_endpoint(transcript: TranscriptFile, name: EndpointName) -> None:
    found = transcript.header.endpoint
    if found != name:
        raise InputError(
            f"{transcript.path}: expected answers of {_told(name)}, found those of {_told(found)}; one transcript "
            "is of one endpoint: name that one, or choose another place"
        )


def _told(name: EndpointName) -> str:
    model = f", model {name.model!r}" if name.model else ""
    return f"{name.kind} at {name.address}{model}"
