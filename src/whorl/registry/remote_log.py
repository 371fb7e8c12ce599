"""A log on another machine, read by C2SP tlog-tiles: bounded answers, no redirect, nothing else is asked."""

from types import TracebackType
from typing import Final, Self

import httpx2

from whorl.core.errors import InputError
from whorl.log.grammar import MAX_NOTE_BYTES
from whorl.log.tiles import MAX_BUNDLE_BYTES, MAX_TILE_BYTES, TILE_WIDTH, TileAddress

SECONDS: Final = 30.0


class RemoteLog:
    """A `TileSource` over HTTP; a context manager.

    Parameters
    ----------
    url : prefix of the log, under which ``checkpoint`` and ``tile/`` lie
    transport : how requests go out; None for the network
    """

    def __init__(self, url: str, *, transport: httpx2.BaseTransport | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url[:100]!a}: expected the URL of a log, found something else")
        self.url = url.rstrip("/")
        self._client = httpx2.Client(transport=transport, timeout=SECONDS, follow_redirects=False, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def tree_head(self) -> bytes:
        """See `TileSource.tree_head`."""
        return self._get("checkpoint", MAX_NOTE_BYTES)

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """See `TileSource.tile`."""
        return self._get(TileAddress(level=level, index=index, width=width).path, MAX_TILE_BYTES)

    def bundle(self, index: int, width: int = TILE_WIDTH) -> bytes:
        """See `TileSource.bundle`."""
        return self._get(TileAddress(level=None, index=index, width=width).path, MAX_BUNDLE_BYTES)

    def _get(self, path: str, most: int) -> bytes:
        address = f"{self.url}/{path}"
        body = bytearray()
        try:
            with self._client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.status_code != 200:
                    raise InputError(f"{address}: expected a file of a log, found status {answer.status_code}")
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > most:
                        raise InputError(f"{address}: expected at most {most} bytes, found more")
        except httpx2.HTTPError as error:
            raise InputError(
                f"{address}: cannot be had ({error or type(error).__name__}); check the address"
            ) from error
        return bytes(body)
