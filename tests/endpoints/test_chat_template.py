"""Chat templates are programs by strangers: rendered as transformers renders them, and stopped where they do harm."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from whorl.endpoints import chat_template
from whorl.endpoints.chat_template import MEMORY_BYTES, ChatTemplate
from whorl.endpoints.exchange import EndpointError

REAL = Path(__file__).resolve().parents[3] / "shared" / "realdata" / "chat_templates"
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A \N{ROBOT FACE} <b>?\n"}]
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = 1 %}{% endfor %}{% endfor %}"

HOSTILE = """
import json, resource, sys, time
from whorl.endpoints.chat_template import ChatTemplate
from whorl.endpoints.exchange import EndpointError

template = ChatTemplate(sys.argv[1], {}, seconds=1)
told = {}
for when in ("", "_again"):
    started = time.monotonic()
    try:
        template.render([{"role": "user", "content": "?"}])
    except EndpointError as error:
        told["trouble"], told["again" if when else "detail"] = error.trouble, error.detail
    told["seconds" + when] = time.monotonic() - started
told["peak"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps(told))
"""


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    words = WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>")
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.chat_template = template
    return made


def trouble(template: ChatTemplate) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        template.render(TURNS)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "{{ messages | tojson }}{{ eos_token }}",
        "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% if loop.first %}"
        "{% continue %}{% endif %}{{ '\n' }}{% endfor %}",
    ],
)
def test_a_conversation_is_rendered_as_transformers_renders_it(text: str) -> None:
    made = tokenizer(text)
    template = ChatTemplate(text, made.special_tokens_map)
    assert template.render(TURNS) == made.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    template.close()


@pytest.mark.skipif(not REAL.is_dir() or bool(os.environ.get("WHORL_NO_REAL")), reason="needs ../shared/realdata")
def test_templates_of_public_models_are_rendered_as_transformers_renders_them() -> None:
    files = sorted(REAL.glob("*.jinja"))[::12]
    rendered = 0
    for file in files:
        made = tokenizer(file.read_text())
        template = ChatTemplate(made.get_chat_template(), made.special_tokens_map)
        turns = TURNS[1:]
        try:
            expected = made.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception:  # several refuse what they were not made for
            expected = None
        if expected is None:
            assert trouble(template).trouble == "rejected"
        else:
            assert template.render(turns) == expected
            rendered += 1
        template.close()
    assert rendered > len(files) / 2


@pytest.mark.parametrize(
    ("text", "exceeded"),
    [
        (ENDLESS, "stopped"),
        ("{{ 9 ** (9 ** 9) }}", "stopped"),
        ("{{ 'x' * 100000000000 }}", "memory"),
        ("{% set n = namespace(t='x') %}{% for a in range(90) %}{% set n.t = n.t ~ n.t %}{% endfor %}", "memory"),
        ("{% set n = namespace(l=[]) %}{% for a in range(99) %}{% set n.l = n.l + [PART ~ a] %}{% endfor %}", ""),
        ("{% for a in range(99999) %}{{ 'x' * 100 }}{% endfor %}", "memory"),
    ],
    ids=["loops", "power", "product", "doubling", "list", "length"],
)
def test_a_hostile_template_ends_in_an_error_within_seconds_and_little_memory(text: str, exceeded: str) -> None:
    # In a process of its own: the peak that the system tells is the largest of all its children so far.
    run = subprocess.run(
        [sys.executable, "-c", HOSTILE, text.replace("PART", "'x' * 99999999")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    told = json.loads(run.stdout)
    assert told["seconds"] < 15
    assert told["trouble"] == "broken"
    assert "expected a chat template that takes at most 1 s of processor time, 512 MiB" in told["detail"]
    # Which limit a list of large texts meets first is a matter of the machine.
    limits = [exceeded] if exceeded else ["memory", "stopped"]
    assert any(f"({limit}); it is not run again" in told["detail"] for limit in limits)
    # A run asks thousands of questions.
    assert told["again"] == told["detail"]
    assert told["seconds_again"] < 0.5
    assert told["peak"] < MEMORY_BYTES + (256 << 20)


def test_a_refusal_by_the_template_costs_only_that_conversation() -> None:
    template = ChatTemplate(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}",
        {},
    )
    error = trouble(template)
    assert error.trouble == "rejected"
    assert "no system" in error.detail
    assert template.render(TURNS[1:]) == TURNS[1]["content"]
    template.close()


@pytest.mark.parametrize("text", ["{{ messages", "{{ ''.__class__.__mro__ }}", "{{ x() }}"])
def test_a_template_that_fails_or_reaches_out_is_refused(text: str) -> None:
    template = ChatTemplate(text, {})
    assert trouble(template).trouble == "rejected"
    template.close()


def test_no_key_is_in_the_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORTHWIND_API_KEY", "SECRET123")
    template = ChatTemplate("{{ messages[0].content }}", {})
    template.render(TURNS)
    assert template._process is not None
    assert b"SECRET123" not in Path(f"/proc/{template._process.pid}/environ").read_bytes()
    template.close()


def test_the_process_ends_with_the_endpoint_and_is_not_left_behind() -> None:
    template = ChatTemplate("{{ messages[0].content }}", {})
    template.render(TURNS)
    assert template._process is not None
    process = template._process.pid
    template.close()
    assert not Path(f"/proc/{process}").exists()


def test_a_process_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "worker.py"
    broken.write_text("raise SystemExit")
    monkeypatch.setattr(chat_template, "_WORKER", broken)
    error = trouble(ChatTemplate("", {}))
    assert error.trouble == "broken"
    assert "does not start" in error.detail
