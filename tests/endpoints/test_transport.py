"""What a transport may throw at us, and what only TLS shows."""

import asyncio
from typing import Any

import httpx2
import pytest
from scripted_server import QUESTION, Scripted, WoundClock, opened, quick

from whorl.endpoints.exchange import EndpointError
from whorl.endpoints.http import Http, Response
from whorl.endpoints.keys import Redaction
from whorl.endpoints.limits import Limits
from whorl.endpoints.retrying import Failure


def send(answer: Any, url: str = "http://127.0.0.1/v1/models") -> Response | Failure:
    async def scenario() -> Response | Failure:
        http = Http(
            limits=Limits(),
            redaction=Redaction(["sk-northwind-1"]),
            clock=WoundClock(),
            transport=httpx2.MockTransport(answer),
        )
        return await http.send("GET", url, headers={}, body=None, seconds=5)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("thrown", "trouble", "again"),
    [
        (httpx2.ConnectError, "refused_connection", True),
        (httpx2.ConnectTimeout, "timed_out", True),
        (httpx2.WriteTimeout, "timed_out", True),
        (httpx2.ReadError, "malformed", True),
        (httpx2.WriteError, "malformed", True),
        (httpx2.RemoteProtocolError, "malformed", True),
        (httpx2.LocalProtocolError, "malformed", False),
        (httpx2.ProxyError, "malformed", False),
    ],
)
def test_what_a_transport_throws_is_told_without_keys(
    thrown: type[httpx2.TransportError], trouble: str, again: bool
) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise thrown("near sk-northwind-1\x1b[2J")

    failure = send(answer)
    assert isinstance(failure, Failure)
    assert (failure.trouble, failure.again) == (trouble, again)
    assert thrown.__name__ in failure.detail
    assert "northwind" not in failure.detail
    assert failure.detail.isprintable()


def test_connections_are_kept_over_tls_only() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=httpx2.ByteStream(request.headers["connection"].encode()))

    kept, closed = send(answer, "https://northwind.example/v1/models"), send(answer)
    assert isinstance(kept, Response)
    assert isinstance(closed, Response)
    assert (kept.body, closed.body) == (b"keep-alive", b"close")


def test_a_server_that_does_not_speak_tls_is_a_refused_connection() -> None:
    async def scenario() -> EndpointError:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        endpoint = await opened(Scripted(url=f"https://127.0.0.1:{port}"), limits=quick(tries=1))
        with pytest.raises(EndpointError) as caught:
            await endpoint.ask(QUESTION)
        await endpoint.close()
        listening.close()
        return caught.value

    failed = asyncio.run(scenario())
    assert failed.trouble == "refused_connection"
    assert "SSL" in failed.detail
