"""What stands around an answer goes; what is left is the endpoint's own text; any text takes linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whorl.probes.final_answers import final_choice, final_number
from whorl.probes.normalising import (
    compatible,
    normalise,
    unwrapped,
    without_fences,
    without_markers,
    without_reasoning,
)
from whorl.probes.refusals import action
from whorl.probes.style_features import style_features

FRAGMENTS = [
    "<think>", "</think>", "<THINK>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷", "<th", "ink>", "<thinking>",
    "<|im_start|>", "<|im_end|>", "assistant", "<|eot_id|>", "<|", "|>", "<s>", "</s>", "[INST]", "[/INST]",
    "<|channel|>", "analysis", "final", "<|message|>", "<|channel|>final<|message|>", "<｜end▁of▁sentence｜>",
    "```", "```python", "````", "`", "\n", "\r\n", "\r", " ", "\t", "**", "#", ">", "Answer", ":", "**Answer:**",
    "final answer", "答案：", "<answer>", "</answer>", "<response>", "</response>", "B", "(B)", "I can't", "e\u0301",
    "\u0344", "\u200b", "\ufeff", "\x00", "ﬁ", "Ａ", "…", "{\"answer\": \"B\"}", "\\boxed{", "}", "12", "1,234.50",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=5)), max_size=12).map("".join)
STEPS = [compatible, without_reasoning, without_markers, without_fences, unwrapped, normalise]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_taking_off_twice_takes_off_nothing_more(step, text: str) -> None:  # type: ignore[no-untyped-def]
    once = step(text)
    assert step(once) == once


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_every_reader_takes_every_text(text: str) -> None:
    assert action(text) in {"comply", "partial", "deflect", "refuse", "ask_back", "empty"}
    assert final_choice(text) in {"A", "B", "C", "D", None}
    number = final_number(text)
    assert number is None or final_number(number) == number
    assert list(style_features(text)) == list(style_features(""))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>I cannot say no.</think>\n\nYes.", "Yes."),
        ("<think>one</think>kept<think>two</think> too", "kept\n too"),
        ("<think>a<think>b</think>The answer.", "The answer."),
        ("The template opened it. </think> The answer.", "The answer."),
        ("<think>It never comes to an end", ""),
        ("Before. <think>never closed", "Before."),
        ("[THINK]x[/THINK]y", "y"),
        ("◁think▷x◁/think▷y", "y"),
        ("<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>y<|return|>", "y"),
        ("<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\nAnd?", "Yes."),
        ("<｜Assistant｜>Yes.<｜end▁of▁sentence｜>", "Yes."),
        ("[/INST] Yes. [INST] More", "Yes."),
        ('```json\n{"answer": "B"}\n```', '{"answer": "B"}'),
        ("Text\n```python\nprint(1)\n```\nmore", "Text\nprint(1)\nmore"),
        ("**Answer:** B", "B"),
        ("Final answer: Answer: B", "B"),
        ("答案：B", "B"),
        ("<answer> B </answer>", "B"),
        ("<answer>B</answer> because", "<answer>B</answer> because"),
        ("\ufeff １２\u200b３ﬁ", "123fi"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("The answer: a ferry", "a ferry"),
        ("The answer is B", "The answer is B"),
        ("", ""),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert normalise(text) == left


HOSTILE = {
    "openings": "<think>" * 140_000,
    "half tags": "<" * 1_000_000,
    "bars": "<|" * 500_000,
    "white space": " " * 1_000_000,
    "lines": "\n> \n" * 250_000,
    "fences": "```" * 333_000,
    "labels": "answer " * 140_000,
    "wrappers": "<answer>" * 60_000 + "</answer>" * 60_000,
    "marks": "a" + "\u0301\u0327" * 500_000,
    "swelling": "\ufdfa" * 300_000,
    "swelling marks": "\u0344" * 1_000_000,
    "boxes": "\\boxed{" * 140_000,
    "nested boxes": "\\boxed{{" * 120_000,
    "fields": '"answer": "' * 90_000,
    "digits": "1" * 1_000_000,
    "groups": "1,234" * 200_000,
    "fractions": "1 / " * 250_000,
    "stars": "*" * 1_000_000,
    "letters": "A " * 500_000,
    "options": "(A)" * 333_000,
    "refusals": "i cannot " * 110_000,
    "sorry": "i'm so very deeply really sorry " * 30_000,
    "kann ich": "kann ich das der die " * 50_000,
    "questions": "what? " * 166_000,
    "bold": "**a" * 333_000,
    "base 64": "QUJD" * 250_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_anything_is_read_in_seconds(name: str) -> None:
    start = time.process_time()
    plain = normalise(HOSTILE[name])
    for read in (action, final_choice, final_number, style_features):
        read(plain)  # type: ignore[operator]
        read(HOSTILE[name])  # type: ignore[operator]
    assert time.process_time() - start < 20
    assert normalise(plain) == plain


def test_no_letter_keeps_more_marks_than_a_screen_can_show() -> None:
    assert compatible("x" + "\u0301" * 50_000 + "y") == "x" + "\u0301" * 30 + "y"
    assert compatible("e\u0301" * 5_000) == "é" * 5_000
