"""What is asked of an endpoint and what comes back: the values that every dialect is translated to and from.

They are stored in transcripts, hence documents: frozen, strict, closed.
"""

from typing import Literal, Protocol, TypeAlias

from pydantic import Field

from whorl.core.digest import digest_document
from whorl.core.errors import WhorlError
from whorl.core.evidence import Document

Role: TypeAlias = Literal["system", "user", "assistant"]
Finish: TypeAlias = Literal["stop", "length", "filtered", "other"]
Trouble: TypeAlias = Literal[
    "refused_connection",  # nobody listens, or the name is unknown
    "timed_out",
    "not_allowed",  # 401 and 403
    "not_found",  # 404: no such model or path
    "rejected",  # another 4xx: the endpoint does not take this question
    "rate_limited",  # 429 after every try
    "broken",  # 5xx after every try
    "malformed",  # not the promised JSON, too large, never ending, cut short
    "redirected",  # a redirect, which is never followed
    "unknown_question",  # a recorded endpoint was asked what it was never asked
    "out_of_budget",
]


class Message(Document):
    """One turn of a conversation."""

    role: Role
    text: str


class Question(Document):
    """One request, in no dialect.

    ``draw`` numbers repetitions of one question: two draws differ in nothing that is sent, and are two questions.
    """

    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    temperature: float = Field(ge=0, le=2)
    seed: int | None = Field(default=None, ge=0)
    top_logprobs: int = Field(default=0, ge=0, le=20)
    draw: int = Field(default=0, ge=0)

    @property
    def digest(self) -> str:
        """Identity of the question, by which a recorded endpoint looks it up."""
        return digest_document("whorl.question/1", self.model_dump(mode="json"))


class Usage(Document):
    """Token counts as the endpoint reports them; None where it reports none."""

    prompt_tokens: int | None = Field(ge=0)
    completion_tokens: int | None = Field(ge=0)


class TokenLogprob(Document):
    """One generated token with the alternatives that were shown for its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Attempt(Document):
    """One try that did not bring an answer."""

    trouble: Trouble
    status: int | None = Field(description="HTTP status; None where there was no response")
    detail: str
    waited_seconds: float = Field(ge=0, description="how long the client then waited before the next try")


class Reply(Document):
    """An answer as it was read, and the bytes it was read from."""

    text: str
    finish: Finish
    reasoning: str | None = Field(default=None, description="text of a separate reasoning field, where there is one")
    served_model: str | None = Field(description="the model's name as the endpoint reports it")
    system_fingerprint: str | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    status: int
    headers: tuple[tuple[str, str], ...] = Field(default=(), description="response headers worth keeping, never a key")
    request: str = Field(description="the request's body as it was sent, decoded as UTF-8")
    response: str = Field(description="the response's body as it came, decoded as UTF-8 with surrogate escapes escaped")
    started: str = Field(description="when the successful try was sent, RFC 3339 UTC")
    seconds: float = Field(ge=0)
    attempts: tuple[Attempt, ...] = Field(default=(), description="the tries that failed before this one")


class EndpointError(WhorlError):
    """An endpoint gave no usable answer. Never cached as one."""

    def __init__(self, trouble: Trouble, detail: str, *, attempts: tuple[Attempt, ...] = ()) -> None:
        self.trouble: Trouble = trouble
        self.detail = detail
        self.attempts = attempts
        super().__init__(detail)


class EndpointName(Document):
    """What is known of an endpoint without asking it. Holds no key."""

    kind: Literal["openai_chat", "openai_completions", "anthropic", "local", "recorded"]
    address: str = Field(description="base URL without user, password, query; or the name of a folder or file")
    model: str = Field(description="the model's name as it is asked for; empty where there is none to choose")


class Capabilities(Document):
    """What an endpoint was seen to do, not what it accepts. None: could not be told."""

    logprobs: bool | None
    seed: bool | None = Field(description="the same seed at temperature 1 gave the same text, another seed another")
    system_prompt: bool | None = Field(description="an instruction in the system prompt changed the answer")
    usage: bool | None = Field(description="token counts are reported and grow with the question")
    max_tokens: bool | None = Field(description="an answer is cut at the limit and says so")
    temperature: bool | None = Field(description="temperature 1 gave different texts, temperature 0 the same")
    notes: tuple[str, ...] = ()


class Endpoint(Protocol):
    """Something that can be asked. Safe to ask concurrently from one event loop."""

    @property
    def name(self) -> EndpointName:
        """What it is."""

    async def ask(self, question: Question) -> Reply:
        """The reply to one question.

        Raises
        ------
        EndpointError
            If there was no usable answer within the allowed tries and time.
        """

    async def close(self) -> None:
        """Release connections and memory; further questions are a programming mistake."""
