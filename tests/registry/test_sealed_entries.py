"""Sealed entries: nobody can tell what they are, and the maker can show it later."""

from pathlib import Path

import pytest
from bureaus import Clock, SmallBureau, Writer, make_bureau, new_writer

from whorl.core.errors import InputError
from whorl.entries.composing import compose
from whorl.entries.kinds import Model, Status
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.registry.checking import check_registry
from whorl.registry.database_view import DatabaseView
from whorl.registry.local import LocalRegistry, entered, open_registry
from whorl.registry.sequencer import Outcome, Submission
from whorl.registry.tallies import entries_by_kind

MODEL = Model(publisher="Northwind Labs", name="lumen-1", content=f"sha256:{'ab' * 32}")


@pytest.fixture
def bureau(tmp_path: Path) -> SmallBureau:
    return make_bureau(tmp_path, "north", Clock(), first_random=1_000_000)


def _seal(writer: Writer, body: Model | Status = MODEL, *, chained: bool = False, target: bytes = bytes(32)) -> Outcome:
    registry = writer.bureau.registry
    chain = registry.chain(writer.key.id) if chained else None
    statement = compose(
        body, log=registry.origin, issuer=writer.key.id, chain=chain, now=writer.bureau.clock(), target=target
    )
    submission = Submission(envelope=statement.sign(writer.key), salt=writer.random(32), sealed=True)
    return registry.enter([submission])[0]


def test_the_maker_can_show_what_was_sealed(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    sealed = entered(_seal(writer))
    found = verify_receipt(
        parse_receipt(bureau.registry.receipt(sealed.hash), origin="receipt"), bureau.registry.home.policy()
    )
    assert (found.sealed, found.statement.body, found.claimant.name) == (True, MODEL, "Northwind Labs")


def test_neither_kind_nor_issuer_shows(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    sealed = entered(_seal(writer))
    with bureau.registry.database.reading() as connection:
        facts = DatabaseView(connection).entry(sealed.hash)
        assert DatabaseView(connection).models(MODEL.content or "") == []
    assert facts is not None
    assert (facts.kind, facts.statement, facts.issuer) == (None, None, bureau.registry.home.bureau_key().id)
    assert bureau.registry.contents(sealed.index, sealed.index + 1, reader=None, is_bureau=True) == [None]


def test_the_makers_own_chain_has_no_gap(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    before = bureau.registry.chain(writer.key.id)
    entered(_seal(writer))
    assert bureau.registry.chain(writer.key.id) == before
    writer.enter(MODEL)


def test_a_registry_with_sealed_entries_is_sound(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    entered(_seal(writer))
    writer.enter(MODEL)
    assert check_registry(bureau.registry).problems == ()


def _sealed(writer: Writer, body: Model = MODEL) -> Submission:
    statement = compose(body, log=writer.bureau.origin, issuer=writer.key.id, chain=None, now=writer.bureau.clock())
    return Submission(envelope=statement.sign(writer.key), salt=writer.random(32), sealed=True)


def test_what_is_handed_in_again_is_entered_once(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    registry, one, other = bureau.registry, _sealed(writer), _sealed(writer)
    first = entered(registry.enter([one])[0])
    size = registry.log.size
    assert registry.enter([one]) == [first]
    assert registry.log.size == size
    again, second, twin = map(entered, registry.enter([one, other, other]))
    assert (again, twin) == (first, second)
    assert second.hash != first.hash


def test_what_is_handed_in_again_after_a_restart_is_entered_once(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    one = _sealed(writer)
    first = entered(bureau.registry.enter([one])[0])
    bureau.registry.close()
    with open_registry(bureau.registry.home.path, now=bureau.clock) as registry:
        size = registry.log.size
        assert registry.enter([one]) == [first]
        assert registry.log.size == size


@pytest.mark.parametrize("failing", ["_append_rows", "_publish"])
def test_what_failed_on_the_way_is_entered_once(
    bureau: SmallBureau, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows were written, and nothing was acknowledged; whoever tries again must not find it twice."""
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    registry, earlier, one = bureau.registry, _sealed(writer), _sealed(writer)
    entered(registry.enter([earlier])[0])

    def fail() -> None:
        raise OSError(28, "No space left on device", "log")

    with monkeypatch.context() as patched:
        patched.setattr(registry.sequencer, failing, fail)
        for _ in range(2):
            with pytest.raises(InputError, match="disk"):
                registry.enter([one])
    found = entered(registry.enter([one])[0])
    published = registry.log.published()
    assert published is not None
    assert found.index < published.size
    assert entries_by_kind_of(registry)["sealed"] == 2
    assert (
        verify_receipt(
            parse_receipt(registry.receipt(found.hash), origin="receipt"), registry.home.policy()
        ).statement.body
        == MODEL
    )


def entries_by_kind_of(registry: LocalRegistry) -> dict[str, int]:
    with registry.database.reading() as connection:
        return {kind: number for (_, kind), number in entries_by_kind(connection).items()}


def test_what_cannot_be_sealed_is_refused(bureau: SmallBureau) -> None:
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(MODEL)
    with pytest.raises(InputError, match="no chain"):
        entered(_seal(writer, chained=True))
    with pytest.raises(InputError, match="can be sealed"):
        entered(_seal(writer, Status(state="withdrawn", reason="x"), target=model))
    stranger = Writer(bureau, new_writer(bureau, "Meridian AI", first_random=8_000_000).key, writer.random)
    forged = compose(MODEL, log=bureau.origin, issuer=writer.key.id, chain=None, now=bureau.clock())
    from whorl.entries.envelope import sign_envelope

    envelope = sign_envelope(forged.to_payload(), stranger.key.private_keys)
    with pytest.raises(InputError, match="every key of the issuer"):
        entered(bureau.registry.enter([Submission(envelope=envelope, salt=bytes(32), sealed=True)])[0])
