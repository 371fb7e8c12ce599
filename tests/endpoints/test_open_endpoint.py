"""Addresses: what is an endpoint, what is refused, and which model is asked."""

import asyncio
import random
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from scripted_server import KEY, QUESTION, Received, Scripted, WoundClock, chat, http, opened, quick, scripted

from whorl.core.errors import InputError
from whorl.endpoints.address import address_of
from whorl.endpoints.exchange import EndpointError
from whorl.endpoints.keys import MARK, Key
from whorl.endpoints.opening import open_endpoint


def name_of(address: str, **settings: Any) -> Any:
    async def scenario() -> Any:
        endpoint = await open_endpoint(address, rng=random.Random(0), clock=WoundClock(), **settings)
        await endpoint.close()
        return endpoint.name

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("typed", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        ("HTTPS://API.Northwind.example", "https://api.northwind.example/v1"),
        ("https://northwind.example/anthropic", "https://northwind.example/anthropic/v1"),
        ("https://northwind.example/compatible-mode/v1", "https://northwind.example/compatible-mode/v1"),
        ("https://northwind.example/api/paas/v4", "https://northwind.example/api/paas/v4"),
        ("https://northwind.example/v1beta/openai/", "https://northwind.example/v1beta/openai"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("https://northwind.example/v1?api-version=2026-01-01#top", "https://northwind.example/v1"),
    ],
)
def test_a_url_names_its_endpoint_without_secrets(typed: str, base: str) -> None:
    name = name_of(typed, model="m")
    assert (name.kind, name.address, name.model) == ("openai_chat", base, "m")


def test_the_interface_is_chosen_by_name() -> None:
    kinds = [name_of("http://127.0.0.1", model="m", api=api).kind for api in ("openai", "completions", "anthropic")]
    assert kinds == ["openai_chat", "openai_completions", "anthropic"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://user:secret-word@northwind.example", "without user and password"),
        ("https://secret-word@northwind.example", "without user and password"),
        ("ftp://northwind.example", "expected http:// or https://"),
        ("file:///etc/passwd", "expected http:// or https://"),
        ("http://", "and a host"),
        ("http:///v1", "and a host"),
        ("http://a..b", "and a host"),
        (f"http://{'a' * 64}.example", "and a host"),
        ("http://[::1", "cannot be read"),
        ("http://[fe80::zz]", "cannot be read|and a host"),
        ("http://host:99999", "cannot be read"),
        ("http://user:secret-word", "cannot be read"),
        ("http://höst", "visible ASCII"),
        ("http://host/\n", "visible ASCII"),
        ("http://host/" + "a" * 3000, "at most 2000"),
        ("localhost:8080", "expected the http:// or https:// URL of a server, or a folder"),
        ("no-such-folder", "which is neither"),
        ("", "which is neither"),
        ("a\x00b", "which is neither"),
        ("x" * 5000, "which is neither"),
        (__file__, "which is neither"),
    ],
)
def test_any_other_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        name_of(address, model="m")
    assert "secret-word" not in str(caught.value)


def test_a_query_is_sent_but_kept_out_of_names_and_its_secrets_out_of_replies() -> None:
    secret = "0123456789abcdefghijkl"

    async def scenario() -> tuple[Any, Any, Scripted]:
        async with scripted(http(chat(f"{secret} 2026-01-01"))) as server:
            server.url += f"/v1?api-version=2026-01-01&code={secret}"
            endpoint = await opened(server)
            reply = await endpoint.ask(QUESTION)
            await endpoint.close()
            return endpoint.name, reply, server

    name, reply, server = asyncio.run(scenario())
    assert server.received[0].line.split()[1] == f"/v1/chat/completions?api-version=2026-01-01&code={secret}"
    assert "?" not in name.address
    assert reply.text == f"{MARK} 2026-01-01"
    assert secret not in reply.model_dump_json()
    assert secret not in repr(address_of(f"http://host?code={secret}"))


def choose(answer: bytes, **settings: Any) -> tuple[str, Scripted]:
    async def scenario() -> tuple[str, Scripted]:
        async with scripted(answer) as server:
            endpoint = await opened(server, model=None, **settings)
            await endpoint.close()
            return endpoint.name.model, server

    return asyncio.run(scenario())


def test_the_only_model_of_a_server_is_taken() -> None:
    listed = http({"object": "list", "data": [{"id": "northwind-1", "object": "model"}]})
    model, server = choose(listed, key=Key(KEY, origin="test"))
    assert model == "northwind-1"
    assert server.received[0].line == "GET /v1/models HTTP/1.1"
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http({"data": []}), "expected one model to ask: the server lists 0; name one"),
        (
            http({"data": [{"id": f"m{number}"} for number in range(30)]}),
            "lists 30, 'm0', .*'m7' and 22 more; name one",
        ),
        (http({"data": [{"id": "a\x1b[2J"}, {"id": "b"}]}), r"'a\\x1b\[2J', 'b'"),
        (http({"data": [{"name": "m"}]}), "does not list its models: name the one to ask"),
        (http(b"<html>", kind="text/html"), "does not list its models"),
        (http(b"", status=404), "does not list its models"),
    ],
)
def test_without_one_model_to_ask_the_user_is_told_to_name_it(answer: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        choose(answer)


@pytest.mark.parametrize(("status", "trouble"), [(401, "not_allowed"), (500, "broken")])
def test_a_server_that_cannot_be_asked_for_its_models_is_an_endpoint_error(status: int, trouble: str) -> None:
    with pytest.raises(EndpointError) as caught:
        choose(http(b"no", status=status), limits=quick(tries=2))
    assert caught.value.trouble == trouble
    assert "GET http://127.0.0.1" in caught.value.detail


def test_the_list_of_models_can_send_nobody_elsewhere() -> None:
    listed = http({"data": [{"id": "http://169.254.169.254/latest", "base_url": "http://169.254.169.254"}]})

    async def answering(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(listed if request.line.startswith("GET") else http(chat()))

    async def scenario() -> list[str]:
        async with scripted(answering) as server:
            endpoint = await opened(server, model=None)
            await endpoint.ask(QUESTION)
            await endpoint.close()
            return [request.line for request in server.received]

    assert asyncio.run(scenario()) == ["GET /v1/models HTTP/1.1", "POST /v1/chat/completions HTTP/1.1"]


def test_a_folder_is_a_local_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = types.ModuleType("whorl.endpoints.local")
    module.open_local = lambda folder, *, device: (folder, device)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whorl.endpoints.local", module)
    found = asyncio.run(open_endpoint(str(tmp_path), rng=random.Random(0), device="cuda"))
    assert found == (tmp_path, "cuda")
    with pytest.raises(InputError, match="no model's name beside a folder"):
        asyncio.run(open_endpoint(str(tmp_path), rng=random.Random(0), model="m"))


def test_importing_this_module_imports_no_http_client_and_no_framework() -> None:
    heavy = ("httpx2", "torch", "transformers")
    code = f"import sys, whorl.endpoints.opening; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
