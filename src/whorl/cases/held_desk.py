"""Beside a case that a bureau keeps: who handed in how much, and who may read its page by a link.

A link is a secret of 256 random bits that shows one person's page of one case until it ends. Only its SHA-256 is kept.
It signs nothing and opens nothing else.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from whorl.core.errors import InputError
from whorl.dossiers.events import Party
from whorl.registry.accounts import LONGEST_LIFE, new_token_text

DESK: Final = "desk.sqlite"
MOST_OF_A_SIDE: Final = (256, 1 << 28)
MOST_OF_ONE: Final = (8000, 1 << 29)
"""Number and bytes of the exhibits of a side, and of a person who is no party: nobody uses up the others' room."""
MOST_LINKS: Final = 20
"""To the page of one person, at once."""

_BUSY_SECONDS: Final = 30
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS handed (digest TEXT PRIMARY KEY, person TEXT NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS links (digest TEXT PRIMARY KEY, person TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT;
"""


class Desk:
    """What is noted beside one case.

    Parameters
    ----------
    folder : of the case
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / DESK

    def reserve(self, digest: str, size: int, *, by: Party) -> bool:
        """Note an exhibit before it is received; whether it is new.

        Raises
        ------
        InputError
            If this side, or this person who is no party, handed in too much already.
        """
        is_side = by.role in ("complainant", "respondent")
        who, (most, most_bytes) = (by.role, MOST_OF_A_SIDE) if is_side else (by.id, MOST_OF_ONE)
        with self._writing() as connection:
            if connection.execute("SELECT 1 FROM handed WHERE digest = ?", (digest,)).fetchone():
                return False
            number, held = connection.execute(
                "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM handed WHERE person = ?", (who,)
            ).fetchone()
            if number >= most or held + size > most_bytes:
                raise InputError(
                    f"expected at most {most} exhibits of {most_bytes >> 20} MiB together from one side, or from one "
                    "person who is no party, found more; file extracts"
                )
            connection.execute("INSERT INTO handed VALUES (?, ?, ?)", (digest, who, size))
        return True

    def release(self, digest: str) -> None:
        """The exhibit did not come, or is gone."""
        if not self._file.is_file():
            return
        with self._writing() as connection:
            connection.execute("DELETE FROM handed WHERE digest = ?", (digest,))

    def issue_link(
        self, person: str, *, now: datetime, expires_at: datetime, random_bytes: Callable[[int], bytes]
    ) -> str:
        """The secret of a new link, which is shown once and not kept.

        Parameters
        ----------
        person : hex key id of whose page it shows

        Raises
        ------
        InputError
            If it would live for longer than a year or not at all, or there are too many.
        """
        if not now < expires_at <= now + LONGEST_LIFE:
            raise InputError(
                f"expected a link that ends within {LONGEST_LIFE.days} days, found {expires_at:%Y-%m-%d}; choose a day"
            )
        text = new_token_text(random_bytes)
        with self._writing() as connection:
            connection.execute("DELETE FROM links WHERE expires_at <= ?", (_seconds(now),))
            held = connection.execute("SELECT COUNT(*) FROM links WHERE person = ?", (person,))
            if held.fetchone()[0] >= MOST_LINKS:
                raise InputError(f"expected at most {MOST_LINKS} links to one page, found more; end them first")
            connection.execute("INSERT INTO links VALUES (?, ?, ?)", (_digest(text), person, _seconds(expires_at)))
        return text

    def open_link(self, text: str, *, now: datetime) -> tuple[str, datetime] | None:
        """Whose page a link shows, and until when; None if it shows none."""
        if not self._file.is_file():
            return None
        with self._writing() as connection:
            found = connection.execute(
                "SELECT person, expires_at FROM links WHERE digest = ? AND expires_at > ?",
                (_digest(text), _seconds(now)),
            ).fetchone()
        return None if found is None else (found[0], datetime.fromtimestamp(found[1], UTC))

    def end_links(self, person: str) -> int:
        """End all links of one person; how many there were."""
        with self._writing() as connection:
            return connection.execute("DELETE FROM links WHERE person = ?", (person,)).rowcount

    def forget(self) -> None:
        """Remove all of it, when the case is erased."""
        self._file.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self._file, isolation_level=None, timeout=_BUSY_SECONDS)
            try:
                connection.executescript(_SCHEMA)
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.close()  # without a commit nothing was changed
        except sqlite3.Error as error:
            raise OSError(f"{self._file}: cannot be read or written ({error})") from error


def default_expiry(now: datetime) -> datetime:
    """When a link ends unless whoever makes it says otherwise."""
    return now + timedelta(days=90)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
