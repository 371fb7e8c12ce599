"""The log, exactly as C2SP tlog-tiles has it below a prefix: signed tree head, tiles, bundles of entries."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from whorl.core.errors import InputError
from whorl.log.folder import LogFolder
from whorl.log.grammar import shown
from whorl.log.tiles import TileAddress, parse_tile_path
from whorl.web.asking import registry_of
from whorl.web.documents import ERRORS, NOT_FOUND
from whorl.web.errors import unavailable, unknown

_FOREVER: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_BRIEFLY: Final = {"Cache-Control": "no-cache", "Cross-Origin-Resource-Policy": "cross-origin"}
_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"

router = APIRouter(tags=["log"])


@router.get(
    "/log/checkpoint",
    response_class=Response,
    responses={**ERRORS, **NOT_FOUND, 200: {"content": {_TEXT: {"schema": {"type": "string"}}}}},
)
def checkpoint(request: Request) -> Response:
    """The signed tree head that is published now (C2SP tlog-checkpoint)."""
    log = registry_of(request).log
    try:
        return Response(log.tree_head(), media_type=_TEXT, headers=_BRIEFLY)
    except InputError as error:
        raise unavailable(error) from error


@router.get(
    "/log/policy",
    response_class=Response,
    responses={**ERRORS, 200: {"content": {_TEXT: {"schema": {"type": "string"}}}}},
)
def policy(request: Request) -> Response:
    """With which keys this registry says its receipts are checked (C2SP tlog-policy); trust your own copy instead."""
    return Response(registry_of(request).home.policy().to_text(), media_type=_TEXT, headers=_BRIEFLY)


@router.get(
    "/log/tile/{address:path}",
    response_class=Response,
    responses={
        **ERRORS,
        **NOT_FOUND,
        200: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}},
    },
)
def tile(
    request: Request,
    address: Annotated[str, Path(description="such as 0/x001/234, entries/007.p/8", examples=["0/000.p/1"])],
) -> Response:
    """A tile of hashes or a bundle of entries; what is at an address never changes."""
    log = registry_of(request).log
    try:
        wanted = parse_tile_path(f"tile/{address}")
    except InputError as error:
        raise unknown(str(error)) from None
    return Response(_read(log, wanted), media_type=_BYTES, headers=_FOREVER)


def _read(log: LogFolder, wanted: TileAddress) -> bytes:
    """A tile or bundle; from a tree that may grow meanwhile, whose partial tiles full ones replace."""
    full = TileAddress(level=wanted.level, index=wanted.index)
    for is_last in (False, True):
        try:
            if wanted.level is None:
                return log.bundle(wanted.index, wanted.width)
            return log.tile(wanted.level, wanted.index, wanted.width)
        except InputError as error:
            if not (log.path / wanted.path).exists() and not (log.path / full.path).exists():
                raise unknown(f"expected a tile of this log, found {shown(wanted.path)}, which is none") from None
            if is_last:
                raise unavailable(error) from error
    raise AssertionError("one of two tries ends it")
