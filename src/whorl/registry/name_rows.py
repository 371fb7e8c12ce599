"""Rows of `names`: the words of names that people read, and entries found by some of them.

Words are compared after NFKC and case folding; spellings of one name in several scripts stay different names.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, select, tuple_

from whorl.registry.bulk import padded
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import numbered_entries
from whorl.registry.stored_entry import StoredEntry
from whorl.registry.tables import names

PAGE: Final = 1000
_READ_AHEAD: Final = 32  # entries with all they say; a page of them would take megabytes
WORD_LENGTH: Final = 64
MAX_WORDS: Final = 8
MAX_SCANNED: Final = 20_000

_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_AFTER_EVERY_LETTER: Final = "\U0010ffff"  # no character, so in no name


@dataclass(frozen=True, slots=True)
class _Sought:
    word: str
    is_beginning: bool

    @property
    def condition(self) -> ColumnElement[bool]:
        if self.is_beginning:
            return and_(names.c.word >= self.word, names.c.word < self.word + _AFTER_EVERY_LETTER)
        return names.c.word == self.word


def words_of(name: str) -> list[str]:
    """The words of a name as they are stored and sought: letters, marks and digits, folded, each once.

    A word is cut after `WORD_LENGTH` characters.
    """
    folded = name.lower() if name.isascii() else _folded(name)
    if folded.isascii():
        words = _ASCII_WORD.findall(folded)
    else:
        words = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in folded).split()
    return list(dict.fromkeys(word[:WORD_LENGTH] for word in words))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def entries_named(connection: Connection, query: str) -> Iterator[StoredEntry]:
    """Entries whose names have all words of a query, the last of which may be the beginning of a word.

    They come in the order of the rarest word. Few of them are read ahead: whoever wants ten takes ten.

    Raises
    ------
    RegistryError
        If the query has no word or more than `MAX_WORDS`; and, when `MAX_SCANNED` names were looked at, if there are
        more: an answer that was cut off would look whole.
    """
    words = words_of(query)
    if not 1 <= len(words) <= MAX_WORDS:
        raise RegistryError(f"expected 1 to {MAX_WORDS} words of a name, found {len(words)}; give other words")
    sought = [_Sought(word, is_beginning=word is words[-1]) for word in words]
    rarest = min(sought, key=lambda one: _frequency(connection, one))
    others = [one for one in sought if one is not rarest]
    shown: set[int] = set()
    for scanned, page in enumerate(_pages(connection, rarest)):
        if scanned * PAGE >= MAX_SCANNED:
            raise RegistryError(f"expected rarer words than {query[:60]!a}; add a word, or more letters to the last")
        fresh = [number for number in page if number not in shown]
        shown.update(fresh)
        having = _having(connection, fresh, others)
        for first in range(0, len(having), _READ_AHEAD):
            yield from numbered_entries(connection, having[first : first + _READ_AHEAD]).values()


def _frequency(connection: Connection, sought: _Sought) -> int:
    """How many rows there are, as far as it takes to prefer another word."""
    some = select(names.c.entry).where(sought.condition).limit(PAGE).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _pages(connection: Connection, sought: _Sought) -> Iterator[list[int]]:
    place = tuple_(names.c.word, names.c.entry)
    rows = select(names).where(sought.condition).order_by(names.c.word, names.c.entry).limit(PAGE)
    page = connection.execute(rows).all()
    while page:
        yield list(dict.fromkeys(row.entry for row in page))
        page = connection.execute(rows.where(place > tuple_(page[-1].word, page[-1].entry))).all()


def _having(connection: Connection, numbers: list[int], others: list[_Sought]) -> list[int]:
    for one in others:
        rows = connection.execute(select(names.c.entry).where(names.c.entry.in_(padded(numbers)), one.condition))
        having = set(rows.scalars())
        numbers = [number for number in numbers if number in having]
    return numbers
