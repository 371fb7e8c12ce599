"""What an entry's blobs must say, and that nobody makes a registry look damaged by what they leave out."""

import hashlib
from pathlib import Path

import pytest
from bureaus import Clock, SmallBureau, make_bureau, new_writer
from finding_documents import finding_document
from test_admission import refused

from whorl.core.errors import InputError
from whorl.entries.kinds import Dataset, FindingEntry, Model
from whorl.registry.blob_contents import MAX_FINDING_BYTES, bears_figures, is_borne_out
from whorl.registry.blobs import BlobFolder
from whorl.registry.checking import check_registry

CONTENT = f"sha256:{'ab' * 32}"
SAID = FindingEntry(
    questioned=CONTENT,
    reference=f"sha256:{'cd' * 32}",
    relation="derived",
    log10_lr=3.5,
    log10_p=-41.5,
    blob=f"sha256:{'ef' * 32}",
    tool="whorl 0.1.0",
)


@pytest.fixture
def bureau(tmp_path: Path) -> SmallBureau:
    return make_bureau(tmp_path, "north", Clock(), first_random=1)


@pytest.mark.parametrize(
    "change",
    [
        {"questioned": SAID.reference, "reference": SAID.questioned},
        {"relation": "identical"},
        {"log10_lr": 12.0},
        {"log10_lr": None},
        {"log10_p": -300.0},
    ],
)
def test_a_document_bears_out_the_very_figures_of_an_entry(change: dict[str, object]) -> None:
    document = finding_document(SAID)
    assert bears_figures(document, SAID)
    assert not bears_figures(document, SAID.model_copy(update=change))
    assert not bears_figures(document + b" " * MAX_FINDING_BYTES, SAID)
    assert not bears_figures(document[:-1], SAID)


def test_a_ratio_is_stated_as_far_as_an_entry_may_state_it() -> None:
    document = finding_document(SAID.model_copy(update={"log10_lr": 77.0}))
    assert bears_figures(document, SAID.model_copy(update={"log10_lr": 30.0}))


def test_what_is_not_here_bears_nothing_out(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs")
    assert not is_borne_out(SAID, blobs)
    kept = blobs.put([finding_document(SAID)], max_bytes=1 << 20).digest
    assert is_borne_out(SAID.model_copy(update={"blob": kept}), blobs)


def test_what_an_entry_refers_to_comes_before_it(bureau: SmallBureau) -> None:
    registry = bureau.registry
    writer = new_writer(bureau, "Northwind Labs", first_random=9_000_000)
    model = writer.enter(Model(publisher="Northwind Labs", name="lumen-1", content=CONTENT))
    manifest = f"sha256:{hashlib.sha256(b'a manifest').hexdigest()}"
    data = Dataset(publisher="Northwind Labs", name="corpus", content=CONTENT, manifest=manifest)
    for body, target in ((data, None), (SAID, model)):
        outcome = writer.offer(body) if target is None else writer.offer(body, target=target)
        assert isinstance(outcome, InputError)
        with refused("blob_missing"):
            raise outcome
    other = registry.put_blob([finding_document(SAID.model_copy(update={"log10_lr": 1.0}))]).digest
    with refused("blob_differs"):
        writer.enter(SAID.model_copy(update={"blob": other}), target=model)
    registry.put_blob([b"a manifest"])
    writer.enter(data)
    own = registry.put_blob([finding_document(SAID)]).digest
    writer.enter(SAID.model_copy(update={"blob": own}), target=model)
    dossier = registry.put_blob([b"PK\x03\x04 a dossier"]).digest
    writer.enter(SAID.model_copy(update={"blob": dossier}), target=model)
    assert check_registry(registry).problems == ()
    registry.close()
