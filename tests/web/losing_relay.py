"""A relay before a service that loses answers: what was asked is done, and who asked never hears of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

_HOP: frozenset[str] = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@dataclass
class Relay:
    """What it is to lose: the answers to requests of this method whose path begins so.

    Parameters
    ----------
    loses : method and beginning of the path; None for nothing
    lost : how many answers were lost, each to a request that the service had answered
    """

    to: str
    url: str = ""
    loses: tuple[str, str] | None = None
    lost: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def relaying(to: str) -> Iterator[Relay]:
    relay = Relay(to=to)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            found = httpx2.request(
                self.command, relay.to + self.path, content=body or None, headers=headers, trust_env=False, timeout=30
            )
            loses = relay.loses
            if loses is not None and self.command == loses[0] and self.path.startswith(loses[1]):
                with relay.lock:
                    relay.lost += 1
                self.close_connection = True
                return
            self.send_response(found.status_code)
            for name, value in found.headers.items():
                if name.lower() not in _HOP | {"date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    relay.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
