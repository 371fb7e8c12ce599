"""Signed tree heads: the first one of every size for the time, the newest one for the standing."""

import pytest

from whorl.log.keys import Signer
from whorl.log.tree_heads import TreeHead, sign_tree_head
from whorl.registry.database import Database
from whorl.registry.heads import first_head, newest_head, record_head
from whorl.registry.log_rows import add_log

ORIGIN = "bureau.example/north"
SIGNERS = [Signer.generate(ORIGIN, "ed25519"), Signer.generate(ORIGIN, "cosignature_mldsa44")]


def note(size: int, *, at: int = 1) -> bytes:
    head = TreeHead(origin=ORIGIN, size=size, root=bytes(32))
    return sign_tree_head(head, SIGNERS, at=at).to_bytes()


def test_the_first_head_that_has_an_entry_and_the_newest_are_found(database: Database) -> None:
    early, later, renewed = note(3), note(7), note(7, at=99)
    assert later != renewed
    with database.writing() as connection:
        add_log(connection, ORIGIN, own=True)
        assert newest_head(connection, ORIGIN) is None
        assert first_head(connection, ORIGIN, 0) is None
        for one in (early, later, renewed):
            record_head(connection, ORIGIN, one)
    with database.reading() as connection:
        assert newest_head(connection, ORIGIN) == renewed
        found = [first_head(connection, ORIGIN, index) for index in range(8)]
        assert found == [early] * 3 + [later] * 4 + [None]
        assert newest_head(connection, "elsewhere") is None
        assert first_head(connection, "elsewhere", 0) is None


def test_a_log_does_not_shrink(database: Database) -> None:
    with database.writing() as connection:
        add_log(connection, ORIGIN, own=False)
        seven = note(7)
        record_head(connection, ORIGIN, seven)
        with pytest.raises(ValueError, match="has a larger tree head than one of size 6 already"):
            record_head(connection, ORIGIN, note(6))
        with pytest.raises(ValueError, match="is not held here"):
            record_head(connection, "bureau.example/south", note(9))
        assert newest_head(connection, ORIGIN) == seven
