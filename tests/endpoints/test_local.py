"""A checkpoint folder as an endpoint: the same answers as llama.cpp's server, and no trust in the folder."""

import asyncio
import json
import math
import os
import shutil
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.stats import chisquare

sys.path.insert(0, str(Path(__file__).parents[1] / "live"))  # served_models

from served_models import build_random_model, serve_llama_cpp

from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.endpoints.exchange import EndpointError, Message, Question, Reply
from whorl.endpoints.local import LocalEndpoint, open_local

WINDOW = 256
RAMBLES = "List the planets."  # the model answers this one at any length


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_random_model(tmp_path_factory.mktemp("local") / "northwind-tiny", context=WINDOW)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The folder, for a test to spoil."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> LocalEndpoint:
    return open_local(folder)


def question(text: str, system: str | None = None, **settings: Any) -> Question:
    messages = (Message(role="user", text=text),)
    if system is not None:
        messages = (Message(role="system", text=system), *messages)
    return Question(messages=messages, **({"max_tokens": 12, "temperature": 0.0} | settings))


def ask(endpoint: LocalEndpoint, *questions: Question) -> list[Reply]:
    async def all_at_once() -> list[Reply]:
        return await asyncio.gather(*(endpoint.ask(each) for each in questions))

    return asyncio.run(all_at_once())


def trouble(endpoint: LocalEndpoint, asked: Question) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        ask(endpoint, asked)
    return caught.value


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_answers_counts_and_logprobs_are_those_of_llama_cpp(folder: Path, endpoint: LocalEndpoint) -> None:
    asked = [question(f"Which city is number {n}?", "Be brief." if n % 2 else None, top_logprobs=3) for n in range(12)]
    found = ask(endpoint, *asked)
    with serve_llama_cpp(folder / "model.gguf", context=WINDOW) as served:
        for one, reply in zip(asked, found, strict=True):
            body = {
                "messages": [{"role": message.role, "content": message.text} for message in one.messages],
                "max_tokens": one.max_tokens,
                "temperature": 0,
                "logprobs": True,
                "top_logprobs": 3,
            }
            request = urllib.request.Request(f"{served.v1}/chat/completions", json.dumps(body).encode())
            with urllib.request.urlopen(request) as response:
                theirs = json.load(response)
            choice = theirs["choices"][0]
            assert (reply.text, reply.finish) == (choice["message"]["content"], choice["finish_reason"])
            assert reply.usage is not None
            assert reply.usage.prompt_tokens == theirs["usage"]["prompt_tokens"]
            assert reply.usage.completion_tokens == theirs["usage"]["completion_tokens"]
            assert reply.logprobs is not None
            for ours, other in zip(reply.logprobs, choice["logprobs"]["content"], strict=True):
                assert ours.token == (other["token"] or "<|end|>")
                # llama.cpp keeps its attention cache in half precision.
                assert ours.logprob == pytest.approx(other["logprob"], abs=2e-2)
                best = [entry["logprob"] for entry in other["top_logprobs"]]
                assert [value for _, value in ours.top] == pytest.approx(best, abs=2e-2)


def test_one_question_has_one_answer_and_each_draw_its_own(endpoint: LocalEndpoint) -> None:
    draws = [question("A colour?", temperature=1.0, draw=draw) for draw in range(8)]
    first, again = ask(endpoint, *draws), ask(endpoint, *reversed(draws))
    assert [reply.text for reply in first] == [reply.text for reply in reversed(again)]
    assert len({reply.text for reply in first}) == len(draws)


def test_a_seed_decides_the_draw(endpoint: LocalEndpoint) -> None:
    seven, other_draw, eight = ask(
        endpoint,
        question("A colour?", temperature=1.0, seed=7),
        question("A colour?", temperature=1.0, seed=7, draw=1),
        question("A colour?", temperature=1.0, seed=8),
    )
    assert seven.text == other_draw.text
    assert seven.text != eight.text


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution_that_the_logprobs_state(endpoint: LocalEndpoint, temperature: float) -> None:
    [shown] = ask(endpoint, question("An animal?", max_tokens=1, top_logprobs=20))
    assert shown.logprobs is not None
    top = {text: value for text, value in shown.logprobs[0].top if "\N{REPLACEMENT CHARACTER}" not in text}
    count = 600
    drawn = ask(
        endpoint, *(question("An animal?", max_tokens=1, temperature=temperature, draw=n) for n in range(count))
    )
    found = Counter(reply.text for reply in drawn)
    # Given that the draw is among the tokens shown, their shares are known without the rest of the distribution.
    weights = np.array([math.exp(value / temperature) for value in top.values()])
    observed = np.array([found[text] for text in top])
    assert observed.sum() > count / 8
    keep = weights / weights.sum() * observed.sum() > 4
    expected = weights[keep] / weights[keep].sum() * observed[keep].sum()
    assert chisquare(observed[keep], expected).pvalue > 1e-4


def test_nearly_cold_is_greedy(endpoint: LocalEndpoint) -> None:
    cold, greedy = ask(endpoint, question("A number?", temperature=1e-300), question("A number?"))
    assert cold.text == greedy.text


def test_a_limit_cuts_and_says_so(endpoint: LocalEndpoint) -> None:
    short, long = ask(endpoint, question(RAMBLES, max_tokens=3), question(RAMBLES, max_tokens=9))
    assert long.text.startswith(short.text)
    assert (short.finish, long.finish) == ("length", "length")
    assert short.usage is not None
    assert short.usage.completion_tokens == 3
    assert short.logprobs is None


def test_an_end_token_stops_and_is_not_part_of_the_text(copy: Path, endpoint: LocalEndpoint) -> None:
    [whole] = ask(endpoint, question(RAMBLES))
    tokens = json.loads(whole.response)["tokens"]
    edit(copy / "generation_config.json", eos_token_id=[tokens[4], "?"])
    [reply] = ask(open_local(copy), question(RAMBLES))
    said = tokens.index(tokens[4])
    assert reply.finish == "stop"
    assert json.loads(reply.response)["tokens"] == tokens[: said + 1]
    [before] = ask(endpoint, question(RAMBLES, max_tokens=said))
    assert reply.text == before.text


def test_a_system_prompt_reaches_the_model(endpoint: LocalEndpoint) -> None:
    bare, told = ask(endpoint, question("A number?"), question("A number?", "Answer in capital letters."))
    assert bare.text != told.text
    assert "<|system|>Answer in capital letters.<|end|>" in json.loads(told.request)["prompt"]


def test_the_folders_own_sampling_settings_are_not_used(copy: Path, endpoint: LocalEndpoint) -> None:
    edit(copy / "generation_config.json", num_beams=4, repetition_penalty=3.0, do_sample=True, min_new_tokens=8)
    ours, theirs = ask(open_local(copy), question("A number?")), ask(endpoint, question("A number?"))
    assert ours[0].text == theirs[0].text


def test_without_a_chat_template_the_name_says_how_turns_are_joined(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    plain = open_local(copy)
    assert plain.name.address == "copy (no chat template: turns joined by line breaks)"
    [reply] = ask(plain, question("A number?", "Be brief."))
    assert json.loads(reply.request)["prompt"] == "Be brief.\nA number?\n"


def test_the_name_holds_no_path(endpoint: LocalEndpoint) -> None:
    assert endpoint.name.model_dump() == {"kind": "local", "address": "northwind-tiny", "model": ""}


def test_the_event_loop_stays_free_and_cancelling_frees_the_model(endpoint: LocalEndpoint) -> None:
    async def run() -> tuple[int, float]:
        long = asyncio.create_task(endpoint.ask(question(RAMBLES, max_tokens=200)))
        ticks = 0
        while ticks < 20 and not long.done():
            await asyncio.sleep(0.001)
            ticks += 1
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        before = time.monotonic()
        await endpoint.ask(question("A number?", max_tokens=1))
        return ticks, time.monotonic() - before

    ticks, waited = asyncio.run(run())
    assert ticks == 20
    [whole] = ask(endpoint, question(RAMBLES, max_tokens=200))
    assert waited < whole.seconds / 2


def test_a_question_beyond_the_window_is_refused_and_an_answer_ends_at_it(endpoint: LocalEndpoint) -> None:
    error = trouble(endpoint, question("zq " * WINDOW))
    assert error.trouble == "rejected"
    assert f"1 to {WINDOW} tokens" in error.detail
    [reply] = ask(endpoint, question("zq" * 100, max_tokens=1000))
    assert reply.finish == "length"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens is not None
    assert reply.usage.completion_tokens == WINDOW - reply.usage.prompt_tokens


def test_a_template_that_refuses_a_role_rejects_the_question(copy: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% endfor %}"
    )
    (copy / "chat_template.jinja").write_text(template + "Hello")
    endpoint = open_local(copy)
    assert trouble(endpoint, question("A number?", "Be brief.")).trouble == "rejected"
    assert len(ask(endpoint, question("A number?"))) == 1


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_template_that_loops_for_ever_ends_in_an_error(copy: Path, place: str) -> None:
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}"
    if place == "chat_template.jinja":
        (copy / place).write_text(loops)
    else:
        (copy / "chat_template.jinja").unlink()
        edit(copy / place, chat_template=loops)
    endpoint = open_local(copy)
    started = time.monotonic()
    error = trouble(endpoint, question("A number?"))
    assert time.monotonic() - started < 25
    assert error.trouble == "broken"
    assert "it is not run again" in error.detail
    asyncio.run(endpoint.close())


def test_weights_that_are_not_numbers_give_an_error_and_no_text(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"] = np.full_like(weights["model.norm.weight"], np.nan)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert trouble(open_local(copy), question("A number?")).trouble == "broken"


def test_a_closed_endpoint_answers_no_more(copy: Path) -> None:
    endpoint = open_local(copy)

    async def close_while_asked() -> None:
        pending = asyncio.create_task(endpoint.ask(question(RAMBLES, max_tokens=200)))
        await asyncio.sleep(0.01)
        await endpoint.close()
        with pytest.raises(EndpointError, match="no longer wanted"):
            await pending

    asyncio.run(close_while_asked())
    with pytest.raises(RuntimeError, match="closed"):
        ask(endpoint, question("A number?"))


def _without(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def _config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **values)


def _written(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def _tokenizer(**values: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "chat_template.jinja").unlink()
        edit(folder / "tokenizer_config.json", **values)

    return spoil


def _endless_file(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.truncate(1 << 30)

    return spoil


def _pipe(name: str) -> Callable[[Path], None]:
    return lambda folder: os.mkfifo(folder / name)


def _cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _pickle_only(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _larger_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zzz"] = 10**6
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (shutil.rmtree, InputError, "found nothing"),
        (_without("config.json"), CheckpointError, "get the whole folder"),
        (_written("config.json", b"[1]"), CheckpointError, "found list"),
        (_written("config.json", b"[" * 100_000), CheckpointError, "JSON object"),
        (_written("config.json", b"{" + b" " * (1 << 21) + b"}"), CheckpointError, "at most"),
        (_config(model_type="meridian"), UnsupportedError, "no model type 'meridian'"),
        (_config(hidden_size="wide"), CheckpointError, "settings of a llama model"),
        (_config(hidden_size=10**12), CheckpointError, "a model that loads"),
        (_config(num_attention_heads=0), CheckpointError, "settings of a llama model"),
        (_config(num_hidden_layers=10**9), CheckpointError, "hold 21 tensors"),
        (_config(num_hidden_layers="many"), CheckpointError, "is 'many'"),
        (_config(num_hidden_layers=3), CheckpointError, "9 tensors missing"),
        (_config(num_hidden_layers=1), CheckpointError, "9 tensors without a place"),
        (_config(attn_implementation="meridian/kernel"), UnsupportedError, "never run"),
        (_config(quantization_config={"quant_method": "gptq", "bits": 4}), UnsupportedError, "not installed"),
        (_without("model.safetensors"), CheckpointError, "found none"),
        (_cut_weights, CheckpointError, "a model that loads"),
        (_written("model.safetensors", b"\xff" * 64), CheckpointError, "safetensors header"),
        (_pickle_only, UnsupportedError, "pickled weights"),
        (_written("adapter_config.json", b"{}"), UnsupportedError, "adapter"),
        (_without("tokenizer.json"), CheckpointError, "tokenizer"),
        (_written("tokenizer.json", b'{"model": {}}'), CheckpointError, "tokenizer"),
        (_larger_vocabulary, CheckpointError, "largest is 1000000"),
        (_written("chat_template.jinja", b"x" * (1 << 20)), CheckpointError, "a chat template of at most 262144 char"),
        (_tokenizer(chat_template=[{"name": "other", "template": "x"}]), CheckpointError, "one chat template"),
        (_tokenizer(chat_template=5), CheckpointError, "found int"),
        (_endless_file("tokenizer_config.json"), CheckpointError, "at most 134217728 bytes"),
        (_endless_file("vocab.txt"), CheckpointError, "at most 134217728 bytes"),
        (_pipe("added_tokens.json"), CheckpointError, "a regular file"),
    ],
)
def test_a_broken_folder_is_refused_in_words(
    copy: Path, spoil: Callable[[Path], None], kind: type[InputError], message: str
) -> None:
    spoil(copy)
    with pytest.raises(kind, match=message) as caught:
        open_local(copy)
    assert type(caught.value) is kind


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_is_never_run(copy: Path, tmp_path: Path, file: str) -> None:
    marker = tmp_path / "ran"
    (copy / "modeling_meridian.py").write_text(f"open({str(marker)!r}, 'w')\nclass Meridian: ...\n")
    own: dict[str, Any] = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM"), "modeling_meridian.Meridian")
    if file == "tokenizer_config.json":
        own = {"AutoTokenizer": ["modeling_meridian.Meridian", None]}
    edit(copy / file, auto_map=own, model_type="meridian", tokenizer_class="Meridian")
    with pytest.raises(UnsupportedError, match="code of its own"):
        open_local(copy)
    assert not marker.exists()


def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="found 'abacus'"):
        open_local(folder, device="abacus")
