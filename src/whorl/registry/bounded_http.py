"""Asking a service of another machine: bounded answers, no redirect, no compression, in time, again where that is safe.

Requests are tried again only where doing them twice is doing them once; who asks says so by asking here.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx2

from whorl.core.errors import InputError

TRIES: Final = 5
SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 180.0
_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 10.0
AGAIN: Final = frozenset({429, 502, 503, 504})
_CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; ``content_type`` without parameters, in lower case."""

    status: int
    content_type: str
    body: bytes
    retry_after: float | None = None


class NoAnswerError(InputError):
    """A service gave no answer that can be used; whether it did what was asked is not known."""


class BoundedHttp:
    """Asks one service; a context manager. Any number of threads may use it.

    Parameters
    ----------
    url : prefix of all that is asked
    transport : how requests go out; None for the network
    sleep : waits so many seconds, before a request is tried again
    seconds : how long to wait for the service to say something
    """

    def __init__(
        self,
        url: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        seconds: float = SECONDS,
        tries: int = TRIES,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputError(f"expected the URL of a service, such as https://registry.example, found {url[:100]!a}")
        if parts.username is not None or parts.password is not None:
            raise InputError("expected a URL without user and password, found one with them; give a token instead")
        self.url = url.rstrip("/")
        self.path = parts.path.rstrip("/")
        self._sleep = sleep
        self._tries = tries
        self._client = httpx2.Client(
            transport=transport,
            timeout=httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            headers={"Accept-Encoding": "identity", "User-Agent": "whorl"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        most: int,
        body: bytes = b"",
        headers: Callable[[], Mapping[str, str]] = dict,
        again: Callable[[Answer], bool] = lambda answer: answer.status in AGAIN,
    ) -> Answer:
        """Ask, and ask again a few times if there is no answer or the service is busy.

        Parameters
        ----------
        path : below the prefix, percent-encoded, with its query
        most : bytes of the answer
        headers : made anew for each try
        again : whether an answer means that the request should be tried again

        Raises
        ------
        NoAnswerError
            If there is none, it is too long, or it takes too long.
        """
        problem = ""
        wait = 0.0
        for number in range(self._tries):
            if number:
                self._sleep(max(wait, _FIRST_WAIT * 2 ** (number - 1)))
            try:
                answer = self._once(method, f"{self.url}{path}", most, body, headers())
            except (httpx2.HTTPError, httpx2.StreamError) as error:
                problem, wait = f"{type(error).__name__}: {error}"[:300], 0.0
                continue
            if not again(answer) or number == self._tries - 1:
                return answer
            wait = answer.retry_after or 0.0
            if wait > _LONGEST_WAIT:
                return answer
        raise NoAnswerError(
            f"{self.url}{path[:100]}: expected an answer, found none in {self._tries} tries ({problem}); check the "
            "address and try again"
        )

    def _once(self, method: str, address: str, most: int, body: bytes, headers: Mapping[str, str]) -> Answer:
        began = time.monotonic()
        read = bytearray()
        with self._client.stream(method, address, content=body or None, headers=dict(headers)) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise NoAnswerError(f"{address[:200]}: expected an answer without compression, found another")
            for piece in response.iter_raw():
                read += piece
                if len(read) > most:
                    raise NoAnswerError(
                        f"{address[:200]}: expected an answer of at most {most} bytes, found a longer one"
                    )
                if time.monotonic() - began > ANSWER_SECONDS:
                    raise NoAnswerError(
                        f"{address[:200]}: expected an answer within {ANSWER_SECONDS:.0f} s, found none"
                    )
        return Answer(
            status=response.status_code,
            content_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
            body=bytes(read),
            retry_after=_seconds(response.headers.get("retry-after", "")),
        )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None
