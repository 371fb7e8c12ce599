"""The service over a real socket, in a thread of this process, and a plain client for its pages."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPMessage

from whorl.registry.local import LocalRegistry
from whorl.web.app import make_app
from whorl.web.limits import Limits
from whorl.web.running import address_of, bound_socket, server_for
from whorl.web.service import Service

BROWSER = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
NO_RATES = Limits(reads_per_second=0, searches_per_second=0)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    text: str


@dataclass(frozen=True)
class Site:
    """Where the pages are."""

    url: str
    alarms: list[tuple[str, str]]

    def get(self, path: str, *, accept: str = BROWSER, data: bytes | None = None, **headers: str) -> Answer:
        """Fetch a page as a browser asks for it; redirections to other pages are followed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, {"Accept": accept, **named})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())


@contextmanager
def serving(registry: LocalRegistry, *, limits: Limits = NO_RATES) -> Iterator[Site]:
    """Serve a registry until the end of the block."""
    with ExitStack() as stack:
        bound = stack.enter_context(bound_socket("127.0.0.1", 0))
        service = stack.enter_context(Service(registry, limits=limits))
        app = make_app(service)
        server = server_for(app, limits)
        thread = threading.Thread(target=lambda: server.run(sockets=[bound]), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(lambda: setattr(server, "should_exit", True))
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield Site(address_of(bound), app.state.alarms)
