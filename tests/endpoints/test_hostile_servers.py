"""Whatever a server sends over a real socket, there is a reply or a clear error, soon, and nothing else happens."""

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from scripted_server import (
    KEY,
    QUESTION,
    Answering,
    Received,
    Scripted,
    WoundClock,
    chat,
    http,
    opened,
    quick,
    scripted,
)

from whorl.endpoints.exchange import EndpointError, Reply
from whorl.endpoints.keys import MARK, Key

Served = Answering | bytes | list[bytes]


def ask(answering: Served, **settings: Any) -> tuple[Reply, Scripted]:
    async def scenario() -> tuple[Reply, Scripted]:
        async with scripted(answering) as server:
            endpoint = await opened(server, **settings)
            try:
                return await endpoint.ask(QUESTION), server
            finally:
                await endpoint.close()

    return asyncio.run(scenario())


def error(answering: Served, **settings: Any) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        ask(answering, **settings)
    return caught.value


def test_a_plain_answer_is_kept_byte_for_byte() -> None:
    body = json.dumps(chat("Grüße"), ensure_ascii=False).encode()
    reply, server = ask(http(body, headers=("X-Request-Id: 17", "Set-Cookie: session=1", "Server: northwind")))
    assert reply.text == "Grüße"
    assert reply.response.encode() == body
    assert reply.request.encode() == server.received[0].body
    assert ("x-request-id", "17") in reply.headers
    assert not any("cookie" in name for name, _ in reply.headers)
    assert server.received[0].line == "POST /v1/chat/completions HTTP/1.1"
    assert reply.attempts == ()
    assert reply.started == "2026-11-26T12:00:00Z"


NOT_THE_PROMISED_JSON = {
    "a page": (http(b"<html><h1>Welcome</h1></html>", kind="text/html"), "content type 'text/html'"),
    "a stream": (http(b"data: {}\n\n", kind="text/event-stream"), "text/event-stream"),
    "a page that lies": (http(b"<html>"), "expected JSON, found '<html>'"),
    "nothing": (http(b""), "found nothing"),
    "a list": (http(b"[1, 2]"), r"expected a JSON object, found '\[1, 2\]'"),
    "no choices": (http({"id": "x"}), "'choices'"),
    "empty choices": (http(chat(choices=[])), "at least one choice"),
    "choices of another type": (http(chat(choices="none")), "'choices' to be a list"),
    "content of another type": (http(chat(choices=[{"message": {"content": 7}}])), "'content' to be a text"),
    "an error with HTTP 200": (http({"error": {"message": "busy"}}), "an object with 1 members .*'error'"),
    "NaN": (http(b'{"choices": NaN}'), "NaN is no number"),
    "infinity": (http(b'{"choices": 1e999}'), "too large for a number"),
    "a huge integer": (http(b'{"choices": ' + b"9" * 5000 + b"}"), "expected JSON"),
    "deep nesting": (http(b'{"a":' + b"[" * 40_000), "nested too deep"),
    "two members of one name": (http(b'{"model": "a", "model": "b"}'), "same name"),
    "bytes that are no UTF-8": (http(b'{"choices": "\xff\xfe"}'), "expected JSON"),
    "half a character": (http(chat("\ud800")), "half a character"),
    "a negative count": (http(chat(usage={"prompt_tokens": -1})), "'prompt_tokens' to be a count"),
    "a count that is a text": (http(chat(usage={"prompt_tokens": "5"})), "whole number"),
    "a count beyond 2**53": (http(chat(usage={"prompt_tokens": 2**60})), "to be a count"),
}


@pytest.mark.parametrize("name", NOT_THE_PROMISED_JSON)
def test_what_is_not_the_promised_json_is_malformed(name: str) -> None:
    answer, said = NOT_THE_PROMISED_JSON[name]
    failed = error(answer)
    assert failed.trouble == "malformed"
    failed_as_said = pytest.raises(EndpointError, match=said)
    with failed_as_said:
        raise failed
    assert len(failed.detail) < 1000
    assert len(failed.attempts) == 1


def test_an_excerpt_holds_nothing_a_terminal_acts_on() -> None:
    failed = error(http("\x1b[2J\u202e\x00evil\n".encode(), kind="text/plain"))
    assert failed.detail.isprintable()
    assert r"\x1b[2J\u202e\x00evil\n" in failed.detail


async def _flood(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    while True:
        writer.write(chunk)
        await writer.drain()


async def _trickle(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _slow_headers(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(f"X-{number}: 1\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.02)


async def _endless_interim(_request: Received, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


async def _silence(_request: Received, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def test_an_endless_flood_ends_at_the_size() -> None:
    began = time.monotonic()
    failed = error(_flood, limits=quick(exchange_seconds=20))
    assert failed.trouble == "malformed"
    assert "at most 100000 bytes" in failed.detail
    assert time.monotonic() - began < 5


def test_an_endless_trickle_ends_at_the_time() -> None:
    began = time.monotonic()
    failed = error(_trickle)
    assert failed.trouble == "malformed"
    assert "still coming after" in failed.detail
    assert time.monotonic() - began < 3
    assert len(failed.attempts) == 1  # it would trickle again


@pytest.mark.parametrize("answering", [_slow_headers, _endless_interim, _silence])
def test_headers_that_never_end_are_a_time_out(answering: Answering) -> None:
    failed = error(answering, limits=quick(exchange_seconds=0.2, tries=2))
    assert failed.trouble == "timed_out"
    assert [attempt.trouble for attempt in failed.attempts] == ["timed_out"] * 2


def test_a_huge_declared_body_is_not_waited_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    assert error(head + b" " * 200_000).trouble == "malformed"


def test_compressed_bodies_are_read() -> None:
    body = json.dumps(chat("packed")).encode()
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        reply, server = ask(http(packed, headers=(f"Content-Encoding: {encoding}",)))
        assert reply.text == "packed"
        assert reply.response.encode() == body
    assert server.received[0].headers["accept-encoding"] == "identity"


def test_a_gzip_bomb_ends_at_the_size() -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    assert len(bomb) < 200_000
    tracemalloc.start()
    failed = error(http(bomb, headers=("Content-Encoding: gzip",)), limits=quick(exchange_seconds=20, body_bytes=2**20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "at most 1048576 bytes" in failed.detail
    assert peak < 20_000_000  # one chunk off the wire holds 60 MB of it


async def _endless_name(_request: Received, writer: asyncio.StreamWriter) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\n\r\n"
    writer.write(head + b"\x1f\x8b\x08\x08" + bytes(6))  # RFC 1952: the name of a file follows
    while True:
        writer.write(b"a" * 8192)
        await writer.drain()


def test_compressed_bytes_that_unpack_to_nothing_end_at_the_size_too() -> None:
    failed = error(_endless_name, limits=quick(exchange_seconds=20))
    assert "at most 100000 bytes" in failed.detail


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (b"plain", "gzip", "found other bytes"),
        (gzip.compress(b"{}", mtime=0)[:-6], "gzip", "cut short"),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", "more bytes after it"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip, gzip", "encoding 'gzip, gzip'"),
        (b"{}", "br", "encoding 'br'"),
    ],
)
def test_broken_compression_is_malformed(body: bytes, encoding: str, said: str) -> None:
    failed = error(http(body, headers=(f"Content-Encoding: {encoding}",)))
    assert failed.trouble == "malformed"
    assert said in failed.detail


def test_a_redirect_is_not_followed_and_its_secrets_are_not_shown() -> None:
    target = "http://admin:hunter22@169.254.169.254/latest/meta-data?token=abcdef"
    failed = error(http(b"", status=307, headers=(f"Location: {target}",)))
    assert failed.trouble == "redirected"
    assert "http://169.254.169.254/latest/meta-data" in failed.detail
    assert "hunter22" not in failed.detail
    assert "abcdef" not in failed.detail


def test_a_redirect_to_ourselves_brings_no_second_request() -> None:
    async def scenario() -> int:
        async with scripted(http(b"", status=302, headers=("Location: /v1/elsewhere",))) as server:
            endpoint = await opened(server)
            with pytest.raises(EndpointError, match="redirect to /v1/elsewhere"):
                await endpoint.ask(QUESTION)
            await endpoint.close()
            return len(server.received)

    assert asyncio.run(scenario()) == 1


@pytest.mark.parametrize("location", ["http://[::1", "http://host:99999/", "\x7f", ""])
def test_a_redirect_to_nowhere_is_an_error_like_any(location: str) -> None:
    answer = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: " + location.encode() + b"\r\n\r\n"
    assert error(answer, limits=quick(tries=1)).trouble in ("redirected", "malformed")


BROKEN_OFF = {
    "closes at once": b"",
    "closes within the status": b"HTTP/1.1 20",
    "closes within the body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
    "speaks no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "sends control characters in a header": b"HTTP/1.1 200 OK\r\nServer: a\x00b\x1b[2J\r\n\r\n",
    "sends 100,000 headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 100_000 + b"\r\n",
    "sends one endless header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 2_000_000,
    "sends a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_what_breaks_off_is_asked_again_and_then_malformed(name: str) -> None:
    async def answering(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(BROKEN_OFF[name])
        await writer.drain()
        writer.close()

    failed = error(answering, limits=quick(tries=3))
    assert failed.trouble == "malformed"
    assert len(failed.attempts) == 3
    assert failed.detail.isprintable()


def test_nobody_listening_is_a_refused_connection() -> None:
    async def scenario() -> EndpointError:
        async with scripted(b"") as server:
            pass
        endpoint = await opened(server, limits=quick(tries=2))
        with pytest.raises(EndpointError) as caught:
            await endpoint.ask(QUESTION)
        await endpoint.close()
        return caught.value

    failed = asyncio.run(scenario())
    assert failed.trouble == "refused_connection"
    assert len(failed.attempts) == 2


STATUSES = {400: "rejected", 401: "not_allowed", 403: "not_allowed", 404: "not_found", 422: "rejected"}


@pytest.mark.parametrize("status", STATUSES)
def test_a_question_that_is_turned_down_is_not_asked_again(status: int) -> None:
    failed = error(http({"error": {"message": "no such thing"}}, status=status))
    assert failed.trouble == STATUSES[status]
    assert "no such thing" in failed.detail
    assert len(failed.attempts) == 1
    assert failed.attempts[0].waited_seconds == 0


def test_a_server_that_gives_up_waiting_for_us_is_asked_again() -> None:
    reply, _ = ask([http(b"slow", status=408), http(chat())])
    assert [attempt.trouble for attempt in reply.attempts] == ["timed_out"]


def test_full_and_broken_servers_are_asked_again_and_counted_apart() -> None:
    answers = [http(b"full", status=429), http(b"down", status=503), http(b"over", status=529), http(chat("at last"))]
    clock = WoundClock()
    waits: list[str] = []
    reply, server = ask(answers, clock=clock, on_wait=lambda waiting: waits.append(str(waiting)))
    assert reply.text == "at last"
    assert [(attempt.trouble, attempt.status) for attempt in reply.attempts] == [
        ("rate_limited", 429),
        ("broken", 503),
        ("broken", 529),
    ]
    assert [attempt.waited_seconds for attempt in reply.attempts] == clock.slept
    assert waits[0] == f"waiting {clock.slept[0]:.0f} s after 429, try 2 of 6"
    assert len({request.body for request in server.received}) == 1
    failed = error([*answers[:3], http(b"", status=500)], limits=quick(tries=4))
    assert failed.trouble == "broken"
    assert "1 times rate limited, 3 times broken" in failed.detail


def test_retry_after_is_obeyed_in_both_forms_and_bounded() -> None:
    for asked in ("30", "Thu, 26 Nov 2026 12:00:30 GMT"):
        clock = WoundClock()
        ask([http(b"", status=429, headers=(f"Retry-After: {asked}",)), http(chat())], clock=clock)
        assert 30 <= clock.slept[0] <= 31
    clock = WoundClock()
    failed = error(http(b"", status=429, headers=("Retry-After: 31536000",)), clock=clock)
    assert failed.trouble == "rate_limited"
    assert "asks to wait 3153600" in failed.detail
    assert clock.slept == []


ECHOES = {
    "as it is": KEY,
    "in JSON": json.dumps(KEY)[1:-1],
    "in JSON within JSON": json.dumps(json.dumps(KEY))[1:-1],
    "in escapes": "".join(f"\\u{ord(character):04X}" for character in KEY),
    "in a URL": "".join(f"%{ord(character):02x}" for character in KEY),
}


@pytest.mark.parametrize("form", ECHOES)
@pytest.mark.parametrize("api", ["openai", "completions", "anthropic"])
def test_a_key_that_is_echoed_is_removed_from_a_reply(form: str, api: str) -> None:
    echoed = ECHOES[form]
    if form in ("as it is", "in a URL"):
        echoed = json.dumps(echoed)[1:-1]
    body = (
        '{"model": "%s", "choices": [{"message": {"content": "you are %s"}, "text": "you are %s"}],'
        ' "content": [{"type": "text", "text": "you are %s"}]}' % ((echoed,) * 4)
    )
    headers = (f"X-Request-Id: {KEY}", f"X-Model-{ECHOES['in a URL']}: 1")
    reply, server = ask(http(body.encode(), headers=headers), api=api, key=Key(KEY, origin="test"))
    sent = server.received[0].headers
    assert KEY in (sent.get("x-api-key", ""), sent.get("authorization", "").removeprefix("Bearer "))
    assert reply.text.replace('"', "") == f"you are {MARK}"
    assert reply.served_model is not None
    assert reply.served_model.replace('"', "") == MARK
    stored = reply.model_dump_json()
    assert "meridian" not in stored.lower()
    assert "0123456789" not in stored
    assert ECHOES[form] not in stored
    assert "sk-" not in json.loads(stored)["response"]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
def test_a_key_that_is_echoed_is_removed_from_errors_and_logs(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    answer = http(
        f"you said {KEY}".encode(), status=status, headers=(f"Location: http://x.invalid/{KEY}", f"X-Request-Id: {KEY}")
    )
    failed = error(answer, key=Key(KEY, origin="test"), limits=quick(tries=2))
    _nowhere(failed, caplog)


def test_a_key_is_removed_from_what_we_asked_from_names_of_headers_and_from_broken_bodies() -> None:
    key = Key("sk-northwind-42", origin="test")
    message = QUESTION.messages[0].model_copy(update={"text": f"Is {key.reveal()} a key?"})
    asked = QUESTION.model_copy(update={"messages": (message,)})

    async def scenario() -> Reply:
        async with scripted(http(chat(), headers=(f"X-Model-{key.reveal()}: 1",))) as server:
            endpoint = await opened(server, key=key)
            reply = await endpoint.ask(asked)
            await endpoint.close()
            return reply

    reply = asyncio.run(scenario())
    assert f"Is {MARK} a key?" in reply.request
    assert ("x-model-[key removed]", "1") in reply.headers
    too_long = error(http(f"{key.reveal()} ".encode() * 10_000), key=key)
    assert too_long.detail.count(MARK) > 3
    assert "northwind-4" not in too_long.detail


@pytest.mark.parametrize("junk", ["X: \x00", "bad header {KEY}", "Content-Encoding: {KEY}"])
def test_a_key_in_broken_http_is_removed(junk: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    answer = f"HTTP/1.1 200 {KEY}\r\nX-Request-Id: {KEY}\r\n{junk.replace('{KEY}', KEY)}\r\n\r\n".encode()
    _nowhere(error(answer, key=Key(KEY, origin="test"), limits=quick(tries=1)), caplog)


def _nowhere(failed: EndpointError, caplog: pytest.LogCaptureFixture) -> None:
    import traceback

    everything = [
        str(failed),
        failed.detail,
        *(attempt.model_dump_json() for attempt in failed.attempts),
        *traceback.format_exception(failed),
        caplog.text,
    ]
    assert not any("meridian" in text.lower() or "0123456789" in text for text in everything)


def test_a_model_that_changes_its_name_is_recorded_as_it_says() -> None:
    async def scenario() -> list[str | None]:
        async with scripted([http(chat(model="northwind-1")), http(chat(model="meridian-2"))]) as server:
            endpoint = await opened(server)
            replies = [await endpoint.ask(QUESTION) for _ in range(2)]
            await endpoint.close()
            return [reply.served_model for reply in replies]

    assert asyncio.run(scenario()) == ["northwind-1", "meridian-2"]


def test_kept_headers_are_few_short_and_printable() -> None:
    many = tuple(f"X-RateLimit-{number}: {'9' * 5000}" for number in range(15))
    reply, _ = ask(
        http(chat(), headers=(*many, "Server: caf\xe9 \x85end", "X-Model-Authorization: yes", "X-Cache-Api-Key: yes"))
    )
    assert len(reply.headers) <= 64
    assert all(len(value) <= 310 and value.isprintable() for _, value in reply.headers)
    assert ("server", r"café \x85end") in reply.headers
    assert not any("authoriz" in name or "api-key" in name for name, _ in reply.headers)


@pytest.mark.parametrize(
    "error_document",
    [
        {"error": {"code": "content_filter", "message": "The response was filtered"}},
        {"error": {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}},
        {"code": "DataInspectionFailed", "message": "x"},
        {"error": {"code": "invalid_request_error", "message": "Content Exists Risk"}},
        {"detail": "Content Exists Risk"},
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
        },
    ],
)
def test_a_block_by_the_providers_filter_is_a_reply(error_document: dict[str, Any]) -> None:
    reply, _ = ask(http(error_document, status=400))
    assert reply.finish == "filtered"
    assert reply.text == ""
    assert reply.status == 400
    assert json.loads(reply.response) == error_document


@pytest.mark.parametrize(
    "error_document",
    [
        {"error": {"code": "invalid_request_error", "message": "messages: Content Exists Risk is no role"}},
        {"error": {"message": "set content_filter to true or false"}},
        {"error": {"code": "content_filter_option_unknown"}},
    ],
)
def test_another_rejection_is_no_block(error_document: dict[str, Any]) -> None:
    assert error(http(error_document, status=400)).trouble == "rejected"


NO_TEMPERATURE = [
    "`temperature` is deprecated for this model.",
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    "Unsupported parameter: 'temperature' is not supported with this model.",
]


def test_what_a_server_asks_for_is_conceded_once_and_remembered() -> None:
    limit = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

    async def answering(request: Received, writer: asyncio.StreamWriter) -> None:
        objections = [
            message
            for name, message in (("max_tokens", limit), ("temperature", NO_TEMPERATURE[1]))
            if name in request.document
        ]
        writer.write(http({"error": {"message": objections[0]}}, status=400) if objections else http(chat()))

    async def scenario() -> tuple[Reply, Reply, list[Received]]:
        async with scripted(answering) as server:
            endpoint = await opened(server)
            first, second = await endpoint.ask(QUESTION), await endpoint.ask(QUESTION)
            await endpoint.close()
            return first, second, server.received

    first, second, received = asyncio.run(scenario())
    assert [(attempt.status, attempt.waited_seconds) for attempt in first.attempts] == [(400, 0.0), (400, 0.0)]
    assert second.attempts == ()
    assert len(received) == 4
    asked = json.loads(second.request)
    assert asked["max_completion_tokens"] == QUESTION.max_tokens
    assert not {"max_tokens", "temperature"} & set(asked)


@pytest.mark.parametrize("message", NO_TEMPERATURE)
@pytest.mark.parametrize("api", ["openai", "completions", "anthropic"])
def test_every_interface_can_leave_the_temperature_out(api: str, message: str) -> None:
    good = chat() | {"content": [], "choices": [{"message": {}, "text": ""}]}
    reply, server = ask([http({"error": {"message": message}}, status=400), http(good)], api=api)
    assert ["temperature" in request.document for request in server.received] == [True, False]
    assert "temperature" not in json.loads(reply.request)


@pytest.mark.parametrize("message", [NO_TEMPERATURE[0], "'max_tokens': use 'max_completion_tokens'"])
def test_a_server_that_asks_for_the_same_again_gets_no_third_try(message: str) -> None:
    failed = error(http({"error": {"message": message}}, status=400))
    assert failed.trouble == "rejected"
    assert len(failed.attempts) == 2


@pytest.mark.parametrize("message", ["max_tokens is too large: at most 4", "temperature must be at most 1"])
def test_a_value_out_of_range_is_no_reason_for_another_form(message: str) -> None:
    failed = error(http({"error": {"message": message}}, status=400))
    assert failed.trouble == "rejected"
    assert len(failed.attempts) == 1


def test_sixty_four_questions_at_once_keep_their_answers() -> None:
    in_flight = [0, 0]

    async def answering(request: Received, writer: asyncio.StreamWriter) -> None:
        in_flight[0] += 1
        in_flight[1] = max(in_flight)
        await asyncio.sleep(0.05)
        in_flight[0] -= 1
        writer.write(http(chat(request.document["messages"][0]["content"])))

    async def scenario() -> list[tuple[str, str]]:
        async with scripted(answering) as server:
            endpoint = await opened(server, limits=quick(exchange_seconds=20))
            places = asyncio.Semaphore(64)

            async def one(text: str) -> tuple[str, str]:
                message = QUESTION.messages[0].model_copy(update={"text": text})
                async with places:
                    reply = await endpoint.ask(QUESTION.model_copy(update={"messages": (message,)}))
                return text, reply.text

            pairs = await asyncio.gather(*(one(f"question {number}") for number in range(192)))
            await endpoint.close()
            # A kept connection would hold a thread of a server that has few.
            assert {request.headers["connection"] for request in server.received} == {"close"}
            return pairs

    assert all(text == answer for text, answer in asyncio.run(scenario()))
    assert in_flight[1] > 32


def test_a_cancelled_question_leaves_the_endpoint_usable() -> None:
    async def scenario() -> str:
        async def answering(request: Received, writer: asyncio.StreamWriter) -> None:
            if request.document["max_tokens"] == 1:
                await asyncio.sleep(3600)
            writer.write(http(chat()))

        async with scripted(answering) as server:
            endpoint = await opened(server, limits=quick(exchange_seconds=20))
            hanging = asyncio.create_task(endpoint.ask(QUESTION.model_copy(update={"max_tokens": 1})))
            await asyncio.sleep(0.05)
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            reply = await endpoint.ask(QUESTION)
            await endpoint.close()
            with pytest.raises(ValueError, match="closed"):
                await endpoint.ask(QUESTION)
            return str(reply.text)

    assert asyncio.run(scenario()) == "Hello."


def test_proxies_cookies_and_passwords_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def scenario() -> list[Received]:
        async with scripted(http(chat(), headers=("Set-Cookie: id=1; Path=/",))) as server:
            endpoint = await opened(server)
            for _ in range(2):
                await endpoint.ask(QUESTION)
            await endpoint.close()
            return server.received

    for request in asyncio.run(scenario()):
        assert "cookie" not in request.headers
        assert "authorization" not in request.headers
