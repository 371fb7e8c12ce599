"""What is called odd, and what is not."""

from collections.abc import Sequence

import pytest
from small_batteries import battery, reply

from whorl.endpoints.exchange import Reply, Usage
from whorl.probes.oddities import Oddities
from whorl.probes.transcript import Answered


def flags(replies: Sequence[Reply], *, asked_for: str = "northwind-7b", draws: int = 1) -> tuple[str, ...]:
    oddities = Oddities(battery(max(1, len(replies)), draws=draws), asked_for=asked_for)
    for number, each in enumerate(replies):
        oddities.add(Answered(item=f"low_entropy/{number // draws:05}", draw=number % draws, reply=each))
    return oddities.flags()


def texts(count: int) -> list[str]:
    return [f"answer {number}" for number in range(count)]


PLAIN = [reply(text) for text in texts(20)]


def with_one(**changes: object) -> list[Reply]:
    return [*PLAIN[:-1], PLAIN[-1].model_copy(update=changes)]


def test_ordinary_replies_raise_no_flag() -> None:
    assert flags(PLAIN) == ()
    assert flags([]) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"served_model": "meridian-1"}, "2 names of the served model: 'northwind-7b' (19), 'meridian-1' (1)"),
        ({"served_model": None}, "2 names of the served model: 'northwind-7b' (19), none (1)"),
        ({"system_fingerprint": "fp_2"}, "2 system fingerprints: none (19), 'fp_2' (1)"),
        ({"usage": None}, "token counts are missing from 1 of 20 answers (5.0%)"),
        (
            {"usage": Usage(prompt_tokens=12, completion_tokens=None)},
            "token counts are missing from 1 of 20 answers (5.0%)",
        ),
        (
            {"usage": Usage(prompt_tokens=0, completion_tokens=3)},
            "token counts are 0 where there was text in 1 of 20 answers (5.0%)",
        ),
        (
            {"usage": Usage(prompt_tokens=12, completion_tokens=0)},
            "token counts are 0 where there was text in 1 of 20 answers (5.0%)",
        ),
        (
            {"usage": Usage(prompt_tokens=12, completion_tokens=9)},
            "max_tokens was not kept to in 1 of 20 answers (5.0%)",
        ),
        (
            {"text": "one two three four five six seven eight nine"},
            "max_tokens was not kept to in 1 of 20 answers (5.0%)",
        ),
        ({"finish": "filtered"}, "a filter ended 1 of 20 answers (5.0%)"),
        ({"text": ""}, "no text in 1 of 20 answers (5.0%)"),
        ({"text": "", "reasoning": "hm"}, "no text in 1 of 20 answers (5.0%), 1 of them with reasoning only"),
    ],
)
def test_one_odd_reply_raises_its_flag_and_no_other(changes: dict[str, object], expected: str) -> None:
    assert flags(with_one(**changes)) == (expected,)


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "\n"},  # one token of white space is an answer
        {"finish": "filtered", "text": ""},
        {"finish": "length", "usage": Usage(prompt_tokens=12, completion_tokens=8)},
        {"text": "one two three four five six seven eight"},
        {"text": "", "usage": Usage(prompt_tokens=12, completion_tokens=0)},
    ],
)
def test_what_may_happen_is_not_called_something_else(changes: dict[str, object]) -> None:
    found = flags(with_one(**changes))
    assert not [flag for flag in found if "max_tokens" in flag or "are 0" in flag]
    if changes.get("finish") == "filtered" or "text" not in changes or changes["text"]:
        assert not [flag for flag in found if "no text" in flag]


def test_a_name_that_is_not_the_one_asked_for() -> None:
    assert flags(PLAIN, asked_for="northwind-70b") == ("asked for 'northwind-70b', served 'northwind-7b'",)
    assert flags(PLAIN, asked_for="") == ()  # a folder has no names to choose from
    assert flags([each.model_copy(update={"served_model": None}) for each in PLAIN]) == ()


def test_the_same_question_counted_differently() -> None:
    replies = [
        reply(text, usage=Usage(prompt_tokens=12 + (number == 7), completion_tokens=3))
        for number, text in enumerate(texts(20))
    ]
    assert flags(replies, draws=5) == ("the same question had another prompt token count in 1 of 20 answers (5.0%)",)
    assert flags(replies) == ()  # different questions may differ


def test_one_text_for_all_is_canned() -> None:
    assert flags([reply("I am Northwind.")] * 20) == ("the same text for all 20 items that have a text",)
    assert flags([reply("I am Northwind.")] * 9) == ()  # few questions may have one answer
    assert flags([reply("I am Northwind.")] * 40, draws=10) == ()  # 4 items only
    assert flags([*[reply("I am Northwind.")] * 19, reply("Hm.")]) == ()


def test_names_of_strangers_are_cut_and_counted() -> None:
    replies = [reply(text, served_model=f"{number}" * 500) for number, text in enumerate(texts(20))]
    (flag,) = flags(replies)
    assert flag.startswith("20 names of the served model: ")
    assert flag.endswith("and 16 more")
    assert len(flag) < 500


def test_flags_do_not_depend_on_the_order() -> None:
    names = ("meridian-1", "northwind-7b", None)
    replies = [reply(text, served_model=names[number % 3]) for number, text in enumerate(texts(18))]
    assert flags(replies) == flags(replies[::-1])
