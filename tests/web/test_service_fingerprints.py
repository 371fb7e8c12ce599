"""A stored fingerprint handed to the search: the model that it was taken of is found, and its fingerprint fetched."""

import base64
import sys
from pathlib import Path

import pytest
from served import Claimant, Served, entered_hash

sys.path.insert(0, str(Path(__file__).parents[1] / "fingerprints"))  # generated_models

from generated_models import drawn, fine_tuned, write

from whorl.comparison.subjects import content_digest
from whorl.core.progress import silent
from whorl.entries.kinds import Fingerprint, Model
from whorl.entries.leaf import entry_id
from whorl.fingerprints.weight_fingerprint import (
    SCHEMA,
    SEARCH_SCHEME,
    WeightFingerprint,
    fingerprint_checkpoint,
    parse_fingerprint,
)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WeightFingerprint]:
    """Fingerprints of a model, of its fine-tune, and of another model."""
    folder = tmp_path_factory.mktemp("models")
    lumen = drawn("llama", 1)
    models = {"lumen": lumen, "orion": fine_tuned(lumen, 2), "tide": drawn("llama", 3)}
    for name, model in models.items():
        write(folder / name, model)
    return {name: fingerprint_checkpoint(folder / name, progress=silent, jobs=1) for name in models}


def test_a_stored_fingerprint_finds_the_model_it_may_come_from(
    served: Served, taken: dict[str, WeightFingerprint]
) -> None:
    claimant = Claimant.new()
    targets = {}
    with served.remote(key=claimant.key) as remote:
        claimant.register(remote)
        for name in ("lumen", "tide"):
            content = content_digest(taken[name].view())
            targets[name] = entered_hash(
                remote, claimant.sign(Model(publisher="Northwind Labs", name=name, content=content))
            )
            blob = remote.put_blob([taken[name].to_bytes()], expected=taken[name].digest)
            body = Fingerprint(
                method=SCHEMA,
                model_content=content,
                blob=blob.digest,
                tool="test 1",
                scheme=SEARCH_SCHEME,
                vector=base64.b64encode(taken[name].search_vector().tobytes()).decode(),
            )
            entered_hash(remote, claimant.sign(body, target=targets[name]))
        (lead,) = remote.find_leads(taken["orion"].to_bytes(), top=1)
        assert lead.entry == entry_id(targets["lumen"])
        assert len(remote.find_leads(taken["orion"].to_bytes(), top=10)) == 2
        fetched = parse_fingerprint(remote.blob(lead.blob), origin="the registry")
    assert fetched.digest == taken["lumen"].digest
