"""Whether an organisation claims a content: asked of one index, however many others claim it too."""

from typing import Final

from sqlalchemy import Connection, bindparam, select

from whorl.registry.stored_entry import raw_digest
from whorl.registry.tables import digests, entries

_CLAIM: Final = (
    select(digests.c.entry)
    .join_from(digests, entries, digests.c.entry == entries.c.id)
    .where(
        digests.c.digest == bindparam("digest"),
        digests.c.role == "content",
        entries.c.organisation == bindparam("organisation"),
        entries.c.counts == 1,
    )
    .limit(1)
)


def claims_content(connection: Connection, organisation: bytes, content: str) -> bool:
    """Whether an organisation, by the leaf hash of its entry, entered a model or data set with a content."""
    parameters = {"digest": raw_digest(content), "organisation": organisation}
    return connection.execute(_CLAIM, parameters).first() is not None
