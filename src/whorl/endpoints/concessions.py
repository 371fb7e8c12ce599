"""What a server may talk us out of: two forms of a request that many models of today reject with HTTP 400.

A concession is made only when the server asks for it, holds for the rest of the endpoint's life, and is seen in every
reply: in ``request`` as it was sent, and in the attempt that failed. Without a temperature the model samples as it
likes, which `whorl.endpoints.capabilities` finds out.
"""

from typing import Literal, TypeAlias

from whorl.endpoints.json_bodies import JsonObject

Concession: TypeAlias = Literal["other_limit_name", "no_temperature"]


def concession_wanted(body: bytes) -> Concession | None:
    """What the body of an HTTP 400 asks for, if it is one of these.

    A limit that is only too large, or a temperature out of range, asks for nothing: the question is rejected.
    """
    said = body.lower()
    if b"max_tokens" in said and b"max_completion_tokens" in said:
        return "other_limit_name"
    if b"temperature" in said and any(word in said for word in (b"deprecated", b"not support", b"unsupported")):
        return "no_temperature"
    return None


def conceding(body: JsonObject, concessions: frozenset[Concession]) -> JsonObject:
    """The request with these concessions made."""
    changed = dict(body)
    if "no_temperature" in concessions:
        del changed["temperature"]
    if "other_limit_name" in concessions:
        changed["max_completion_tokens"] = changed.pop("max_tokens")
    return changed
