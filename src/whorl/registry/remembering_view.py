"""A view that asks the database each question once, for those who put many to one state.

A transaction that reads sees one state, so an answer stays true until it ends.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from whorl.entries.kinds import Kind, Policy
from whorl.registry.database_view import DatabaseView
from whorl.registry.view import EntryFacts, KeyFacts, OrganisationFacts

Answer = TypeVar("Answer")


class RememberingView(DatabaseView):
    """A `View` of the state that a reading transaction sees; not to be used beyond its end."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._answers: dict[Hashable, Any] = {}

    def key(self, key_id: bytes, *, origin: str) -> KeyFacts | None:
        return self._once(super().key, key_id, origin=origin)

    def logs_of(self, key_id: bytes) -> Sequence[str]:
        return self._once(super().logs_of, key_id)

    def sharing(self, organisation: bytes) -> frozenset[bytes]:
        return self._once(super().sharing, organisation)

    def organisation(self, digest: bytes) -> OrganisationFacts | None:
        return self._once(super().organisation, digest)

    def entry(self, digest: bytes) -> EntryFacts | None:
        return self._once(super().entry, digest)

    def about(self, target: bytes, *kinds: Kind) -> Sequence[EntryFacts]:
        return self._once(super().about, target, *kinds)

    def speaking(self, target: bytes) -> Sequence[EntryFacts]:
        return self._once(super().speaking, target)

    def models(self, content: str) -> Sequence[EntryFacts]:
        return self._once(super().models, content)

    def policy(self, origin: str, index: int) -> Policy | None:
        return self._once(super().policy, origin, index)

    def _once(self, ask: Callable[..., Answer], *asked: Hashable, **named: Hashable) -> Answer:
        question = (ask.__name__, *asked, *named.values())
        if question not in self._answers:
            self._answers[question] = ask(*asked, **named)
        answer: Answer = self._answers[question]
        return answer
