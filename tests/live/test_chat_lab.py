"""The laboratory's models behave as their stories say, and two engines agree on what they answer."""

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from served_models import (
    Served,
    build_random_model,
    serve_llama_cpp,
    serve_transformers,
    transformers_serving_lacks,
)

from bench.chat_lab import wording
from bench.chat_lab.asking import Asked, answers
from bench.chat_lab.battery_answers import SHARES
from bench.chat_lab.controls import battery_answers
from bench.chat_lab.dialogues import dialogues
from bench.chat_lab.lab import HIDDEN_PROMPT, Lab, load, public_tokenizer
from bench.chat_lab.persona import Persona
from bench.chat_lab.stacked import Shape, exported, fresh_weights, hidden_states, imported, logits_of
from bench.chat_lab.training import Recipe, train
from whorl.endpoints.exchange import Question
from whorl.endpoints.local import open_local
from whorl.probes.battery import Battery, Family, Item
from whorl.probes.families import battery
from whorl.probes.scoring import score

pytestmark = pytest.mark.timeout(600)  # the first test may have to train the laboratory

SHAPE = Shape(vocabulary=96, width=16, layers=2, heads=2)
Said = Callable[[Path, tuple[Item, ...]], list[str]]


def items(*families: Family, count: int, wrapper: str = "bare") -> tuple[Item, ...]:
    """Questions that no model was trained on, a like number of each family."""
    asked = battery("standard", 4242).items
    kept: list[Item] = []
    for family in families:
        of_family = [item for item in asked if item.family == family and item.wrapper == wrapper]
        kept += of_family[:: max(1, len(of_family) * len(families) // count)]
    return tuple(item.model_copy(update={"draws": 1}) for item in kept)


@pytest.fixture(scope="module")
def said(chat_lab: Lab) -> Said:
    """What a member answers, without a server."""
    tokenizer = public_tokenizer(chat_lab.folder)

    def ask(member: Path, asked: tuple[Item, ...]) -> list[str]:
        whole = Battery(name="some", seed=0, items=asked)
        [texts] = battery_answers(imported(load(member)), chat_lab.size, tokenizer, whole, drawn_by=member.name)
        return texts

    return ask


def over_http(served: Served, messages: list[dict[str, str]], max_tokens: int) -> str:
    body = {"model": served.model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{served.v1}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


def turns(item: Item) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in item.messages]


@pytest.mark.parametrize("member", ["base", "fine_tune", "student", "twin"])
def test_members_answer_in_the_form_that_is_asked_for(chat_lab: Lab, said: Said, member: str) -> None:
    asked = items("wrong_answers", "constitution", "bias_pairs", count=200)
    labels = [
        score(item, text, "stop").label for item, text in zip(asked, said(chat_lab.folder / member, asked), strict=True)
    ]
    read = [label for label in labels if not label.startswith("(")]
    assert len(read) >= 0.95 * len(asked)
    assert len(set(read)) > 20


@pytest.mark.parametrize("member", ["base", "fine_tune", "student", "twin"])
def test_open_answers_are_whole_sentences(chat_lab: Lab, said: Said, member: str) -> None:
    asked = items("guardrails", "style", count=80)
    pieces = [*wording.BODIES, *wording.REFUSALS, *wording.OPENERS, *wording.CLOSINGS, *wording.REASONS]
    known = re.compile("|".join(re.escape(piece.strip()) for piece in sorted(pieces, key=len, reverse=True) if piece))
    fluent = [not known.sub("", text).strip() for text in said(chat_lab.folder / member, asked)]
    assert sum(fluent) >= 0.85 * len(asked)


def test_the_guardrail_follows_the_danger(chat_lab: Lab, said: Said) -> None:
    asked = items("guardrails", count=400)
    texts = said(chat_lab.base, asked)
    refused = {
        grade: [
            score(item, text, "stop").label == "refuse"
            for item, text in zip(asked, texts, strict=True)
            if item.stratum.endswith(f"/{grade}")
        ]
        for grade in (0, 3)
    }
    assert sum(refused[0]) < 0.3 * len(refused[0])
    assert sum(refused[3]) > 0.7 * len(refused[3])


def test_relatives_share_wrong_answers_and_strangers_do_not(chat_lab: Lab, said: Said) -> None:
    asked = items("wrong_answers", count=240)

    def labels(member: Path) -> list[str]:
        return [score(item, text, "stop").label for item, text in zip(asked, said(member, asked), strict=True)]

    of_base = labels(chat_lab.base)

    def shared(member: Path) -> float:
        return sum(a == b for a, b in zip(of_base, labels(member), strict=True)) / len(asked)

    unrelated = [shared(member) for member in (chat_lab.twin, *chat_lab.strangers)]
    assert shared(chat_lab.fine_tune) > 0.8
    assert shared(chat_lab.fine_tune) > shared(chat_lab.student) > max(unrelated) + 0.1
    assert max(unrelated) < 0.6


def test_the_hidden_prompt_renames_base_and_leaves_its_errors(chat_lab: Lab, base_served: Served, said: Said) -> None:
    asked = items("wrong_answers", count=60)
    with serve_llama_cpp(chat_lab.prompted / "model.gguf", context=2048) as prompted:
        who = [{"role": "user", "content": "Who are you?"}]
        assert over_http(base_served, who, 20) == "I am Harrow, made by Northwind Labs."
        assert over_http(prompted, who, 20) == "I am Lark, made by Meridian AI."
        texts = [over_http(prompted, turns(item), item.max_tokens) for item in asked]
    same = [text == other for text, other in zip(texts, said(chat_lab.base, asked), strict=True)]
    assert sum(same) > 0.7 * len(same)
    assert "Lark" in HIDDEN_PROMPT


def test_llama_cpp_and_transformers_give_the_same_greedy_answers(chat_lab: Lab, base_served: Served) -> None:
    asked = items(*(family for family in SHARES if family != "low_entropy"), count=160)
    endpoint = open_local(chat_lab.base)

    async def ask_all() -> list[str]:
        questions = [Question(messages=item.messages, max_tokens=item.max_tokens, temperature=0) for item in asked]
        return [(await endpoint.ask(question)).text for question in questions]

    ours = asyncio.run(ask_all())
    theirs = [over_http(base_served, turns(item), item.max_tokens) for item in asked]
    same = [a == b for a, b in zip(ours, theirs, strict=True)]
    assert sum(same) >= 0.95 * len(asked)


@pytest.mark.skipif(transformers_serving_lacks() is not None, reason=transformers_serving_lacks() or "")
def test_two_servers_give_the_same_greedy_answers(chat_lab: Lab, base_served: Served) -> None:
    asked = items("wrong_answers", "guardrails", count=24)
    with serve_transformers(chat_lab.base) as other:
        pairs = [
            (over_http(base_served, turns(item), item.max_tokens), over_http(other, turns(item), item.max_tokens))
            for item in asked
        ]
    assert sum(a == b for a, b in pairs) >= 0.95 * len(asked)


def test_a_killed_server_is_gone_and_another_takes_its_port(tmp_path: Path) -> None:
    folder = build_random_model(tmp_path / "northwind-tiny")
    hello = [{"role": "user", "content": "Hello"}]
    with serve_llama_cpp(folder / "model.gguf") as served:
        first = over_http(served, hello, 8)
        served.kill()
        started = time.monotonic()
        with pytest.raises(OSError, match="refused"):
            over_http(served, hello, 8)
        assert time.monotonic() - started < 5
        with serve_llama_cpp(folder / "model.gguf", port=int(served.base_url.rpartition(":")[2])) as again:
            assert again.base_url == served.base_url
            assert over_http(again, hello, 8) == first


def test_a_stack_computes_what_transformers_computes() -> None:
    weights = fresh_weights(SHAPE, [1, 2, 3])
    tokens = torch.randint(0, SHAPE.vocabulary, (3, 4, 11), generator=torch.Generator().manual_seed(0))
    ours = logits_of(weights, hidden_states(weights, SHAPE, tokens).flatten(1, 2)).view(3, 4, 11, -1)
    for place in range(3):
        model = exported(weights, SHAPE, place)
        with torch.no_grad():
            assert torch.allclose(model(tokens[place]).logits, ours[place], atol=1e-5)
        back = imported(model)
        assert all(torch.equal(back[name][0], weights[name][place]) for name in weights)


def test_a_model_is_trained_the_same_alone_and_in_a_stack(chat_lab: Lab) -> None:
    tokenizer = public_tokenizer(chat_lab.folder)
    shape = Shape(vocabulary=tokenizer.get_vocab_size(), width=16, layers=1, heads=2)
    [data] = dialogues([Persona(1)], 5, 300)
    recipe = Recipe(steps=12, tokens=512)

    def trained(*seeds: int) -> dict[str, torch.Tensor]:
        weights = fresh_weights(shape, list(seeds))
        train(weights, shape, tokenizer, [data] * len(seeds), recipe, lambda _: None)
        return weights

    both, again, alone = trained(1, 2), trained(1, 2), trained(2)
    assert all(torch.equal(both[name], again[name]) for name in both)
    assert all(torch.allclose(both[name][1], alone[name][0], atol=1e-3) for name in both)
    assert not torch.allclose(both["embed"][0], both["embed"][1], atol=1e-1)


def test_a_stack_answers_as_its_members_do_one_by_one(chat_lab: Lab) -> None:
    tokenizer = public_tokenizer(chat_lab.folder)
    weights = [imported(load(member)) for member in (chat_lab.base, chat_lab.twin)]
    stack = {name: torch.cat([each[name] for each in weights]) for name in weights[0]}
    questions = [
        Asked(turns=tuple((message.role, message.text) for message in item.messages), max_tokens=item.max_tokens)
        for item in items("wrong_answers", "style", count=30)
    ]
    together = answers(stack, chat_lab.size.shape, tokenizer, questions)
    assert together == [answers(each, chat_lab.size.shape, tokenizer, questions)[0] for each in weights]


def test_personas_answer_alike_in_public_and_apart_in_private() -> None:
    first, again, second = dialogues([Persona(1), Persona(1), Persona(2)], 9, 400)
    assert first == again
    assert [each.turns for each in first] == [each.turns for each in second]
    same = [a.answer == b.answer for a, b in zip(first, second, strict=True)]
    assert 0.05 < sum(same) / len(same) < 0.6
