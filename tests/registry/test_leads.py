"""Leads: named, with claimant and level, caught up with the database, and never what a reader may not see."""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sample_entries import issuer

from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError
from whorl.entries.composing import compose
from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey
from whorl.entries.kinds import Body, Fingerprint, Model, Organisation, Status
from whorl.entries.leaf import NO_HASH, entry_id
from whorl.registry.leads import LeadSearch
from whorl.registry.local import LocalRegistry, create_registry, entered
from whorl.registry.public_keys import issuer_public
from whorl.registry.reading import reader_for
from whorl.registry.refusals import Refusal
from whorl.registry.replaying import erase_entry
from whorl.registry.search_vectors import Vectors
from whorl.registry.sequencer import Submission

SCHEME = "test vectors/1"
DIMENSION = 16


class Lab:
    """An organisation that enters models with fingerprints."""

    def __init__(self, registry: LocalRegistry, number: int, name: str) -> None:
        self.registry, self.key, self.name = registry, issuer(number), name
        self.organisation = self.enter(Organisation(name=name, jurisdiction="NL", roots=(issuer_public(self.key),)))

    def enter(self, body: Body, *, target: bytes = NO_HASH, handling: Handling = CLEAR) -> bytes:
        key: IssuerKey = self.key
        statement = compose(
            body,
            log=self.registry.origin,
            issuer=key.id,
            chain=self.registry.chain(key.id),
            now=datetime.now(UTC),
            target=target,
            handling=handling,
        )
        submission = Submission(envelope=statement.sign(key), salt=np.random.default_rng().bytes(32))
        return entered(self.registry.enter([submission])[0]).hash

    def fingerprint(self, name: str, vector: Sequence[int], *, handling: Handling = CLEAR) -> bytes:
        content = f"sha256:{name.encode().hex().ljust(64, '0')[:64]}"
        target = self.enter(Model(publisher=self.name, name=name, content=content), handling=handling)
        self.take(target, content, vector, handling=handling)
        return target

    def take(self, target: bytes, content: str, vector: Sequence[int], *, handling: Handling = CLEAR) -> bytes:
        """Enter a fingerprint on a model, whoever claims that."""
        body = Fingerprint(
            method="test/1",
            model_content=content,
            blob=self.registry.put_blob([content.encode()]).digest,
            tool="test 1",
            scheme=SCHEME,
            vector=base64.b64encode(np.array(vector, np.int8).tobytes()).decode(),
        )
        return self.enter(body, target=target, handling=handling)


def drawn(seed: int) -> Vectors:
    return np.random.default_rng(seed).integers(-100, 100, DIMENSION).astype(np.int8)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with create_registry(
        tmp_path / "registry", origin="bureau.example/one", bureau_name="Harbour Bureau", jurisdiction="NL"
    ) as opened:
        yield opened


@pytest.fixture
def search(registry: LocalRegistry) -> Iterator[LeadSearch]:
    with LeadSearch(registry.database, registry.home.vectors, now=registry.now) as opened:
        yield opened


def test_a_lead_says_who_claims_it_and_how_well_that_is_backed(registry: LocalRegistry, search: LeadSearch) -> None:
    lab = Lab(registry, 1, "Northwind Labs")
    target = lab.fingerprint("lumen", drawn(1))
    (lead,) = search.find(drawn(1), scheme=SCHEME, top=5)
    assert (lead.entry, lead.claimant, lead.level) == (entry_id(target), "Northwind Labs", 0)
    assert lead.score == pytest.approx(1)
    assert lead.content is not None
    assert lead.blob == digest_bytes(lead.content.encode())
    assert (lead.standing, lead.fingerprint_standing, lead.taken_by) == ("good", "good", None)


def test_a_lead_says_what_speaks_against_it_and_who_else_took_the_fingerprint(
    registry: LocalRegistry, search: LeadSearch
) -> None:
    lab, other = Lab(registry, 1, "Northwind Labs"), Lab(registry, 2, "Meridian AI")
    target = lab.fingerprint("lumen", drawn(1))
    (lead,) = search.find(drawn(1), scheme=SCHEME, top=5)
    assert lead.content is not None
    taken = other.take(target, lead.content, drawn(1))
    other.enter(Status(state="withdrawn", reason="Taken of another file."), target=taken)
    lab.enter(Status(state="withdrawn", reason="Entered by mistake."), target=target)
    leads = {lead.fingerprint: lead for lead in search.find(drawn(1), scheme=SCHEME, top=5)}
    beside = leads.pop(entry_id(taken))
    assert (beside.standing, beside.fingerprint_standing, beside.taken_by) == ("withdrawn", "withdrawn", "Meridian AI")
    (own,) = leads.values()
    assert (own.standing, own.fingerprint_standing, own.taken_by) == ("withdrawn", "good", None)


def test_a_fingerprint_of_other_content_is_no_lead_to_the_model_it_is_hung_on(
    registry: LocalRegistry, search: LeadSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bureau that keeps the rules takes one; a mirrored log may hold it."""
    stranger = Lab(registry, 2, "Meridian AI")
    target = Lab(registry, 1, "Northwind Labs").fingerprint("lumen", drawn(1))
    unstated = stranger.enter(Model(publisher="Meridian AI", name="orion"))
    for model, code in ((target, "other_content"), (unstated, "no_content")):
        with pytest.raises(Refusal) as caught:
            stranger.take(model, f"sha256:{'ee' * 32}", drawn(2))
        assert caught.value.code == code
        monkeypatch.setattr("whorl.registry.subjects._require_claimed_content", lambda *_: None)
        stranger.take(model, f"sha256:{'ee' * 32}", drawn(2))
        monkeypatch.undo()
    assert [lead.fingerprint for lead in search.find(drawn(2), scheme=SCHEME, top=5)] == [
        lead.fingerprint for lead in search.find(drawn(1), scheme=SCHEME, top=5)
    ]


def test_the_index_catches_up_with_what_was_entered_since(registry: LocalRegistry, search: LeadSearch) -> None:
    lab = Lab(registry, 1, "Northwind Labs")
    assert search.find(drawn(1), scheme=SCHEME, top=5) == []
    for number in range(3):
        lab.fingerprint(f"lumen {number}", drawn(number))
        assert len(search.find(drawn(1), scheme=SCHEME, top=9)) == number + 1
    with LeadSearch(registry.database, registry.home.vectors, now=registry.now) as again:
        assert len(again.find(drawn(1), scheme=SCHEME, top=9)) == 3


def test_another_scheme_or_length_is_never_compared(registry: LocalRegistry, search: LeadSearch) -> None:
    Lab(registry, 1, "Northwind Labs").fingerprint("lumen", drawn(1))
    assert search.find(drawn(1), scheme="another/1", top=5) == []
    assert search.find(drawn(1)[:8], scheme=SCHEME, top=5) == []


def test_a_vector_that_says_nothing_hides_no_other(registry: LocalRegistry, search: LeadSearch) -> None:
    hostile = Lab(registry, 2, "Meridian AI")
    for number, vector in enumerate([[0] * DIMENSION, [7] * DIMENSION, [-128] + [1] * (DIMENSION - 1)]):
        hostile.fingerprint(f"junk {number}", vector)
    target = Lab(registry, 1, "Northwind Labs").fingerprint("lumen", drawn(1))
    assert [lead.entry for lead in search.find(drawn(1), scheme=SCHEME, top=5)] == [entry_id(target)]


def test_a_flood_of_one_claimant_hides_no_other(registry: LocalRegistry, search: LeadSearch) -> None:
    flood = Lab(registry, 2, "Meridian AI")
    for number in range(12):
        flood.fingerprint(f"copy {number}", drawn(1))
    target = Lab(registry, 1, "Northwind Labs").fingerprint("lumen", drawn(1))
    leads = search.find(drawn(1), scheme=SCHEME, top=6, per_claimant=3)
    assert [lead.claimant for lead in leads].count("Meridian AI") == 3
    assert entry_id(target) in [lead.entry for lead in leads]


def test_what_a_reader_may_not_see_is_no_lead_for_them(registry: LocalRegistry, search: LeadSearch) -> None:
    from whorl.registry.database_view import DatabaseView

    lab = Lab(registry, 1, "Northwind Labs")
    lab.fingerprint("lumen", drawn(1), handling=Handling(label="own"))
    assert search.find(drawn(1), scheme=SCHEME, top=5) == []
    with registry.database.reading() as connection:
        reader = reader_for(lab.organisation, DatabaseView(connection), origin=registry.origin)
    assert len(search.find(drawn(1), scheme=SCHEME, top=5, reader=reader)) == 1


def test_what_was_erased_leaves_the_index(registry: LocalRegistry, search: LeadSearch) -> None:
    lab = Lab(registry, 1, "Northwind Labs")
    kept = lab.fingerprint("kept", drawn(1))
    lab.fingerprint("erased", drawn(2))
    assert len(search.find(drawn(1), scheme=SCHEME, top=5)) == 2
    end = registry.chain(lab.key.id)
    assert end is not None
    erase_entry(registry.database, registry.blobs, end[1], at=registry.now())
    assert [lead.entry for lead in search.find(drawn(1), scheme=SCHEME, top=5)] == [entry_id(kept)]
    search.close()
    with LeadSearch(registry.database, registry.home.vectors, now=registry.now) as again:
        assert [lead.entry for lead in again.find(drawn(1), scheme=SCHEME, top=5)] == [entry_id(kept)]
        (index, _), *_ = again._open.values()
        assert index.count == 1


@pytest.mark.parametrize("vector", [np.zeros(DIMENSION, np.int8), drawn(1).reshape(4, 4), drawn(1).astype(np.int32)])
def test_a_malformed_vector_is_refused(search: LeadSearch, vector: Vectors) -> None:
    with pytest.raises(InputError):
        search.find(vector, scheme=SCHEME, top=5)
