"""Small batteries, replies, and an endpoint that follows a script."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from whorl.endpoints.exchange import EndpointError, EndpointName, Message, Question, Reply, Usage
from whorl.probes.battery import Battery, Item
from whorl.probes.transcript import Header
from whorl.probes.transcript_file import TranscriptFile, start_transcript

NAME = EndpointName(kind="openai_chat", address="http://127.0.0.1:1/v1", model="northwind-7b")


def item(number: int, *, draws: int = 1, max_tokens: int = 8, text: str | None = None) -> Item:
    return Item(
        id=f"low_entropy/{number:05}",
        family="low_entropy",
        stratum="colours",
        wrapper="bare",
        messages=(Message(role="user", text=f"Question {number}: name a colour." if text is None else text),),
        max_tokens=max_tokens,
        temperature=1.0,
        draws=draws,
        scorer="one_word/1",
        key={},
    )


def battery(items: int = 6, *, draws: int = 2, max_tokens: int = 8) -> Battery:
    made = tuple(item(number, draws=draws, max_tokens=max_tokens) for number in range(items))
    return Battery(name="small", seed=7, items=made)


USUAL = Usage(prompt_tokens=12, completion_tokens=3)


def reply(text: str = "blue", *, usage: Usage | None = USUAL, **more: object) -> Reply:
    told = {"finish": "stop", "served_model": "northwind-7b", "status": 200, "request": "{}", "response": "{}"}
    return Reply(**{"text": text, "usage": usage, "started": "2026-11-26T12:00:00Z", "seconds": 0.1} | told | more)


def header(asked: Battery | None = None, name: EndpointName = NAME) -> Header:
    return Header(
        whorl_version="0.1.0",
        endpoint=name,
        battery=battery() if asked is None else asked,
        capabilities=None,
        started="2026-11-26T12:00:00Z",
    )


def started(path: Path, asked: Battery | None = None) -> TranscriptFile:
    return start_transcript(path, header(asked))


class Scripted:
    """Answers each question as a function says, and counts what was asked and how much at once."""

    def __init__(self, answer: Callable[[Question], Reply] | None = None, *, seconds: float = 0.0) -> None:
        self._answer = answer or (lambda question: reply(f"answer to {question.digest[-12:]}"))
        self._seconds = seconds
        self.asked: list[Question] = []
        self.under_way = 0
        self.most_under_way = 0

    @property
    def name(self) -> EndpointName:
        return NAME

    async def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self._seconds)
            return self._answer(question)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        pass


def failing(trouble: str) -> Callable[[Question], Reply]:
    def answer(question: Question) -> Reply:
        raise EndpointError(trouble, f"scripted {trouble}")  # type: ignore[arg-type]

    return answer
