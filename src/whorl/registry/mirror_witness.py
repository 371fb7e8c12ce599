"""The witness of a bureau: cosigns another's tree head once its mirror holds and has checked what that covers."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.log.notes import parse_note
from whorl.log.tree_heads import parse_tree_head
from whorl.log.witness_requests import parse_add_request
from whorl.log.witnessing import Reply, Witness
from whorl.registry.mirroring import Followed, MirrorError, pull_all

_LOG: Final = logging.getLogger(__name__)


class MirrorWitness:
    """Answers ``add-checkpoint`` as `Witness` does, after mirroring.

    Parameters
    ----------
    followed : the logs that are mirrored, by origin; a log that is only witnessed is not among them
    alarm : told what a log was caught at
    """

    def __init__(
        self, witness: Witness, followed: Mapping[str, Followed], *, alarm: Callable[[str, str], None]
    ) -> None:
        self._witness = witness
        self._followed = followed
        self._alarm = alarm

    def add_checkpoint(self, body: bytes, *, at: int) -> Reply:
        """Answer one request; a log that breaks a rule is refused with status 422 and the rule."""
        try:
            note = parse_add_request(body).note
            origin = parse_tree_head(parse_note(note).text).origin
        except InputError:
            return self._witness.add_checkpoint(body, at=at)  # says what is wrong with it
        if origin in self._followed:
            try:
                pull_all(origin, self._followed, note=note)
            except MirrorError as problem:
                self._alarm(origin, str(problem))
                return Reply(status=422, body=f"{problem}\n".encode())
            except (InputError, VerificationError) as problem:
                _LOG.warning("the log %s was not cosigned: %s", origin, problem)
                return Reply(status=403, body=f"{problem}\n".encode())
        reply = self._witness.add_checkpoint(body, at=at)
        if reply.status == 422:
            self._alarm(origin, reply.body.decode(errors="replace").strip())
        return reply

    def latest(self, hashed_origin: str) -> Reply:
        """See `Witness.latest`."""
        return self._witness.latest(hashed_origin)
