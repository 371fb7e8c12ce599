"""A recorded endpoint answers what it was asked and nothing else."""

import asyncio

import pytest
from scripted_server import QUESTION

from whorl.endpoints.exchange import EndpointError, EndpointName, Reply
from whorl.endpoints.recorded import Recorded

NAME = EndpointName(kind="recorded", address="monday.jsonl", model="northwind-1")
REPLY = Reply(
    text="Yes.",
    finish="stop",
    served_model="northwind-1",
    status=200,
    request="{}",
    response="{}",
    started="2026-11-26T12:00:00Z",
    seconds=0.5,
)


def test_what_was_asked_is_answered_as_then() -> None:
    endpoint = Recorded({QUESTION.digest: REPLY}, name=NAME)
    assert endpoint.name == NAME
    assert asyncio.run(endpoint.ask(QUESTION)) == REPLY
    asyncio.run(endpoint.close())


@pytest.mark.parametrize("change", [{"draw": 1}, {"temperature": 1.0}, {"max_tokens": 9}, {"seed": 0}])
def test_any_other_question_is_unknown(change: dict[str, float]) -> None:
    endpoint = Recorded({QUESTION.digest: REPLY}, name=NAME)
    with pytest.raises(EndpointError, match="one of the 1 recorded questions, found sha256:") as caught:
        asyncio.run(endpoint.ask(QUESTION.model_copy(update=change)))
    assert caught.value.trouble == "unknown_question"
