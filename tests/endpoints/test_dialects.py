"""Dialects: what is sent for a question, and what is read from bodies as servers write them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.endpoints.anthropic import ANTHROPIC
from whorl.endpoints.dialect import Answer, Dialect, finish_of
from whorl.endpoints.exchange import EndpointError, Message, Question, Usage
from whorl.endpoints.keys import Key
from whorl.endpoints.openai_chat import OPENAI_CHAT
from whorl.endpoints.openai_completions import OPENAI_COMPLETIONS

USER = Message(role="user", text="Why?")
SYSTEM = Message(role="system", text="Be brief.")
DIALECTS = (OPENAI_CHAT, OPENAI_COMPLETIONS, ANTHROPIC)


def question(*messages: Message, **members: Any) -> Question:
    return Question(messages=messages or (USER,), **({"max_tokens": 9, "temperature": 0.5} | members))


def read(dialect: Dialect, document: dict[str, Any]) -> Answer:
    return dialect.answer(json.dumps(document).encode())


def chat_body(message: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"choices": [{"message": message} | choice]}


def test_a_chat_question_becomes_its_request() -> None:
    full = question(SYSTEM, USER, Message(role="assistant", text="Because."), USER, seed=7, top_logprobs=5)
    assert OPENAI_CHAT.request(full, "northwind-1") == {
        "model": "northwind-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Because."},
            {"role": "user", "content": "Why?"},
        ],
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 5,
    }


def test_what_was_not_asked_for_is_not_sent() -> None:
    for dialect in DIALECTS:
        assert not {"seed", "logprobs", "top_logprobs", "system"} & set(dialect.request(question(), "m"))


def test_two_draws_of_a_question_send_the_same() -> None:
    for dialect in DIALECTS:
        assert dialect.request(question(draw=0), "m") == dialect.request(question(draw=1), "m")


def test_a_completion_continues_one_user_message_and_nothing_else() -> None:
    sent = OPENAI_COMPLETIONS.request(question(top_logprobs=3, seed=1), "m")
    assert sent == {"model": "m", "prompt": "Why?", "max_tokens": 9, "temperature": 0.5, "seed": 1, "logprobs": 3}
    for messages in ((SYSTEM, USER), (USER, USER), (SYSTEM,)):
        with pytest.raises(EndpointError, match="expected a single user message, found") as caught:
            OPENAI_COMPLETIONS.request(question(*messages), "m")
        assert caught.value.trouble == "rejected"


def test_anthropic_takes_the_system_prompt_apart() -> None:
    sent = ANTHROPIC.request(question(SYSTEM, USER, Message(role="system", text="In French.")), "m")
    assert sent["system"] == "Be brief.\n\nIn French."
    assert sent["messages"] == [{"role": "user", "content": "Why?"}]
    assert set(ANTHROPIC.request(question(seed=1, top_logprobs=2), "m")) == {
        "model",
        "messages",
        "max_tokens",
        "temperature",
    }
    with pytest.raises(EndpointError, match="nothing but a system prompt"):
        ANTHROPIC.request(question(SYSTEM), "m")


def test_each_dialect_sends_a_key_its_own_way() -> None:
    key = Key("sk-northwind-1", origin="test")
    assert OPENAI_CHAT.headers(key) == OPENAI_COMPLETIONS.headers(key) == {"Authorization": "Bearer sk-northwind-1"}
    assert ANTHROPIC.headers(key) == {"x-api-key": "sk-northwind-1", "anthropic-version": "2023-06-01"}
    assert OPENAI_CHAT.headers(None) == {}


CONTENTS = [
    ({"content": "Hi."}, "Hi."),
    ({"content": None}, ""),
    ({}, ""),
    ({"content": None, "refusal": "I will not."}, "I will not."),
    ({"content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "."}]}, "Hi."),
    ({"content": [{"type": "output_text", "text": "Hi."}, {"type": "image_url", "image_url": {}}]}, "Hi."),
    ({"content": [{"type": "refusal", "refusal": "No."}]}, "No."),
    ({"content": []}, ""),
    ({"content": "", "tool_calls": [{}]}, ""),
]


@pytest.mark.parametrize(("message", "text"), CONTENTS)
def test_chat_content_in_all_its_forms(message: dict[str, Any], text: str) -> None:
    assert read(OPENAI_CHAT, chat_body(message)).text == text


def test_missing_fields_are_unknown_and_not_made_up() -> None:
    assert read(OPENAI_CHAT, chat_body({"content": "Hi."})) == Answer(text="Hi.", finish="other")
    assert read(OPENAI_COMPLETIONS, {"choices": [{"text": "Hi."}]}) == Answer(text="Hi.", finish="other")
    assert read(ANTHROPIC, {"content": []}) == Answer(text="", finish="other")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart(name: str) -> None:
    answer = read(OPENAI_CHAT, chat_body({"content": "4", name: "2 + 2"}))
    assert (answer.text, answer.reasoning) == ("4", "2 + 2")
    assert read(OPENAI_CHAT, chat_body({"content": "4", "reasoning_content": None, "reasoning": "r"})).reasoning == "r"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("eos_token", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "filtered"),
        ("refusal", "filtered"),
        ("tool_calls", "other"),
        ("pause_turn", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_reasons_to_finish(reason: str | None, finish: str) -> None:
    assert finish_of(reason) == finish
    assert read(OPENAI_CHAT, chat_body({"content": ""}, finish_reason=reason)).finish == finish
    assert read(OPENAI_COMPLETIONS, {"choices": [{"text": "", "finish_reason": reason}]}).finish == finish
    assert read(ANTHROPIC, {"content": [], "stop_reason": reason}).finish == finish


def test_names_and_counts_are_read() -> None:
    more = {
        "model": "northwind-1",
        "system_fingerprint": "fp_1",
        "usage": {"prompt_tokens": 3, "completion_tokens": 12.0, "total_tokens": "many"},
    }
    for answer in (
        read(OPENAI_CHAT, chat_body({"content": ""}) | more),
        read(OPENAI_COMPLETIONS, {"choices": [{"text": ""}]} | more),
    ):
        assert answer.served_model == "northwind-1"
        assert answer.system_fingerprint == "fp_1"
        assert answer.usage == Usage(prompt_tokens=3, completion_tokens=12)
    partly = read(OPENAI_CHAT, chat_body({"content": ""}) | {"usage": {"prompt_tokens": None}})
    assert partly.usage == Usage(prompt_tokens=None, completion_tokens=None)


def test_log_probabilities_of_a_chat() -> None:
    content = [
        {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [{"token": "Hi", "logprob": -0.5}]},
        {"token": "!", "logprob": -1, "top_logprobs": []},
        {"token": "?", "logprob": -9999.0},
    ]
    for held in ({"content": content}, {"content": None, "refusal": content}):
        logprobs = read(OPENAI_CHAT, chat_body({"content": "Hi!"}, logprobs=held)).logprobs
        assert logprobs is not None
        assert [(each.token, each.logprob) for each in logprobs] == [("Hi", -0.5), ("!", -1.0), ("?", -9999.0)]
        assert [each.top for each in logprobs] == [(("Hi", -0.5),), (), ()]
    for empty in (None, {}, {"content": None}):
        assert read(OPENAI_CHAT, chat_body({"content": ""}, logprobs=empty)).logprobs is None


def test_log_probabilities_of_a_completion_in_both_forms() -> None:
    legacy = {
        "tokens": ["Hi", "!"],
        "token_logprobs": [-0.5, -1.5],
        "top_logprobs": [{"Hi": -0.5, "Ho": -2.5}, None],
        "text_offset": [0, 2],
    }
    logprobs = read(OPENAI_COMPLETIONS, {"choices": [{"text": "Hi!", "logprobs": legacy}]}).logprobs
    assert logprobs is not None
    assert [(each.token, each.logprob, each.top) for each in logprobs] == [
        ("Hi", -0.5, (("Hi", -0.5), ("Ho", -2.5))),
        ("!", -1.5, ()),
    ]
    without = read(
        OPENAI_COMPLETIONS, {"choices": [{"text": "", "logprobs": {"tokens": ["a"], "token_logprobs": [0]}}]}
    )
    assert without.logprobs is not None
    assert without.logprobs[0].top == ()
    modern = {"content": [{"token": "Hi", "logprob": -0.5, "top_logprobs": []}]}
    found = read(OPENAI_COMPLETIONS, {"choices": [{"text": "Hi", "logprobs": modern}]}).logprobs
    assert found is not None
    assert found[0].token == "Hi"


def test_blocks_of_an_anthropic_answer() -> None:
    answer = read(
        ANTHROPIC,
        {
            "model": "meridian-2",
            "stop_reason": "max_tokens",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                {"type": "redacted_thinking", "data": "y"},
                {"type": "text", "text": "One"},
                {"type": "tool_use", "id": "1"},
                {"type": "text", "text": " two"},
            ],
            "usage": {
                "input_tokens": 2,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 400,
                "output_tokens": 5,
            },
        },
    )
    assert answer == Answer(
        text="One two",
        finish="length",
        reasoning="Hm.",
        served_model="meridian-2",
        usage=Usage(prompt_tokens=432, completion_tokens=5),
    )
    without_cache = {"content": [], "usage": {"input_tokens": 2, "cache_read_input_tokens": None, "output_tokens": 0}}
    assert read(ANTHROPIC, without_cache).usage == Usage(prompt_tokens=2, completion_tokens=0)


LEGACY = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}]}
WRONG = [
    (OPENAI_CHAT, chat_body({"content": "x"}, logprobs=[1]), "'logprobs' to be an object"),
    (OPENAI_CHAT, chat_body({"content": "x"}, logprobs={"content": [1]}), "to be objects"),
    (OPENAI_CHAT, chat_body({"content": "x"}, logprobs={"content": [{"logprob": 0}]}), "'token'"),
    (OPENAI_CHAT, chat_body({"content": "x"}, logprobs={"content": [{"token": "a"}]}), "'logprob' to be a number"),
    (OPENAI_CHAT, chat_body({"content": [{"type": "text"}]}), "'text'"),
    (OPENAI_CHAT, chat_body({"content": ["x"]}), "to be objects"),
    (OPENAI_CHAT, chat_body({"content": "x", "reasoning": {}}), "'reasoning' to be a text"),
    (OPENAI_CHAT, chat_body({"content": "x"}, finish_reason=3), "'finish_reason' to be a text"),
    (OPENAI_CHAT, chat_body({"content": "x"}) | {"usage": 3}, "'usage' to be an object"),
    (OPENAI_CHAT, chat_body({"content": "x"}) | {"usage": {"prompt_tokens": 1.5}}, "whole number"),
    (OPENAI_CHAT, chat_body({"content": "x"}) | {"usage": {"prompt_tokens": True}}, "whole number"),
    (OPENAI_CHAT, chat_body({"content": "x"}) | {"model": ["m"]}, "'model' to be a text"),
    (OPENAI_CHAT, {"choices": [{}]}, "'message'"),
    (OPENAI_CHAT, {"choices": [["message"]]}, "to be objects"),
    (OPENAI_COMPLETIONS, {"choices": [{}]}, "'text'"),
    (OPENAI_COMPLETIONS, {"choices": [{"text": "a", "logprobs": LEGACY | {"tokens": ["a", "b"]}}]}, "2 tokens"),
    (OPENAI_COMPLETIONS, {"choices": [{"text": "a", "logprobs": LEGACY | {"tokens": [1]}}]}, "to be texts"),
    (OPENAI_COMPLETIONS, {"choices": [{"text": "a", "logprobs": LEGACY | {"token_logprobs": [None]}}]}, "a number"),
    (OPENAI_COMPLETIONS, {"choices": [{"text": "a", "logprobs": LEGACY | {"top_logprobs": [[1]]}}]}, "to be objects"),
    (OPENAI_COMPLETIONS, {"choices": [{"text": "a", "logprobs": LEGACY | {"top_logprobs": [{"b": "x"}]}}]}, "a number"),
    (ANTHROPIC, {"content": "Hi."}, "'content' to be a list"),
    (ANTHROPIC, {"content": [{"type": "text", "text": 1}]}, "'text' to be a text"),
    (ANTHROPIC, {"type": "error", "error": {}}, "'content'"),
]


@pytest.mark.parametrize(("dialect", "document", "said"), WRONG)
def test_a_body_of_another_shape_is_malformed(dialect: Dialect, document: dict[str, Any], said: str) -> None:
    with pytest.raises(EndpointError, match=said) as caught:
        read(dialect, document)
    assert caught.value.trouble == "malformed"


def test_nesting_just_below_what_the_reader_stands_is_described_without_falling() -> None:
    for depth in range(1, 3000, 97):
        body = b'{"choices": ' + b"[" * depth + b"]" * depth + b"}"
        with pytest.raises(EndpointError) as caught:
            OPENAI_CHAT.answer(body)
        assert caught.value.trouble == "malformed"


MEMBERS = st.sampled_from(
    ("choices", "message", "content", "text", "type", "usage", "prompt_tokens", "input_tokens", "logprobs", "tokens")
) | st.sampled_from(
    ("token", "logprob", "top_logprobs", "token_logprobs", "finish_reason", "model", "reasoning", "thinking", "error")
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(["text"])
BODIES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=5),
    max_leaves=25,
)


@given(st.sampled_from(DIALECTS), BODIES, BODIES)
@settings(deadline=None, max_examples=400)
def test_any_json_is_an_answer_or_malformed(dialect: Dialect, one: Any, other: Any) -> None:
    shapes = (
        one,
        {"choices": [{"message": one, "text": "a", "logprobs": other}], "usage": other},
        {"choices": [{"message": {"content": one}, "text": one}], "model": other},
        {"content": [one, other], "usage": one},
    )
    for document in shapes:
        found = read_or_refuse(dialect, document)
        if isinstance(found, EndpointError):
            assert found.trouble == "malformed"
            assert len(found.detail) < 1000
        else:
            assert found.text.encode().decode() == found.text


def read_or_refuse(dialect: Dialect, document: Any) -> Answer | EndpointError:
    try:
        return dialect.answer(json.dumps(document).encode())
    except EndpointError as error:
        return error


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_malformed(body: bytes) -> None:
    with pytest.raises(EndpointError):
        OPENAI_CHAT.answer(body)
