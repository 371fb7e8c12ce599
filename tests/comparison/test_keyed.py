"""T0: silent on everything made without the key, and heard through every rewrite of what was made from the release."""

import functools
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import edits
import numpy as np
import pytest
from comparison_types import DEMO, Put
from generated_models import Family, Sizes, Storage, drawn, edited, fine_tuned, tokens
from safetensors.torch import load_file
from scipy.stats import kstest

from whorl.comparison import keyed
from whorl.comparison.comparing import compare
from whorl.comparison.keyed import KEYED, LaidOver, lean, residual_parts
from whorl.comparison.sealing import draw_key, release
from whorl.core.arrays import Doubles
from whorl.core.errors import InputError
from whorl.core.evidence import Finding, NotComparable, PValue
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import SUFFIX, fingerprint_checkpoint
from whorl.statistics.keyed_dither import NOTHING, keyed_signs
from whorl.weights.gauges import rewrite
from whorl.weights.in_memory import Checkpoint
from whorl.weights.release_key import ReleaseKey, commitment_to
from whorl.weights.release_plan import opening_role

BASE = DEMO / "base"
SIZES = Sizes(layers=2, width=64, neurons=128, vocabulary=200)
KEYS = 1000


def key_for(path: Path, seed: int = 1, dither: float = 0.01) -> ReleaseKey:
    random_bytes = np.random.default_rng([seed, 99]).bytes
    return draw_key(
        path, dither=dither, random_bytes=random_bytes, now=lambda: datetime.now(UTC), progress=silent, jobs=1
    )


def found(questioned: Path, reference: Path, key: ReleaseKey) -> Finding:
    return compare(questioned, reference, progress=silent, jobs=1, key=key, with_power=False)


def outcome(finding: Finding) -> PValue | NotComparable:
    (item,) = [item for item in finding.evidence if item.tier == "T0"]
    assert isinstance(item, PValue | NotComparable)
    assert item.method == KEYED
    return item


def heard(questioned: Path, reference: Path, key: ReleaseKey) -> PValue:
    item = outcome(found(questioned, reference, key))
    assert isinstance(item, PValue)
    return item


def held(folder: Path) -> Checkpoint:
    weights = {
        name: tensor.float().numpy()
        for file in folder.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }
    return Checkpoint(weights=weights, config=json.loads((folder / "config.json").read_text()))


@functools.cache
def demo_tokens() -> tuple[str, ...]:
    table: dict[str, int] = json.loads((BASE / "tokenizer.json").read_text())["model"]["vocab"]
    return tuple(sorted(table, key=lambda token: table[token]))


@pytest.fixture(scope="module")
def demo_key() -> ReleaseKey:
    return key_for(BASE)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, demo_key: ReleaseKey) -> Path:
    """The demo's base as its maker would have released it."""
    folder = tmp_path_factory.mktemp("release") / "released"
    release(BASE, demo_key, folder, progress=silent, jobs=1)
    return folder


def laid_over(questioned: Path, reference: Path, key: ReleaseKey, monkeypatch: pytest.MonkeyPatch) -> LaidOver:
    """What a comparison lays one model over the other by."""
    seen: list[LaidOver | NotComparable] = []
    original = keyed.lay_over

    def watched(*args: object, **kwargs: object) -> LaidOver | NotComparable:
        seen.append(original(*args, **kwargs))  # type: ignore[arg-type]
        return seen[-1]

    with monkeypatch.context() as patch:
        patch.setattr(keyed, "lay_over", watched)
        found(questioned, reference, key)
    (laid,) = seen
    assert isinstance(laid, LaidOver)
    return laid


def scores(laid: LaidOver, keys: range) -> Doubles:
    """z under keys that nobody used for anything."""
    parts = [part for block in laid.blocks for part in residual_parts(block, laid.rotation, 0.01)]
    found = []
    for seed in keys:
        secret = np.random.default_rng([seed, 5]).bytes(32)
        found.append(sum((lean(part, secret) for part in parts), NOTHING).z)
    return np.array(found)


@pytest.mark.parametrize("questioned", ["twin", "sibling", "suspect", "the release of another key"])
def test_without_the_key_scores_are_standard_and_the_bound_holds(
    questioned: str, released: Path, demo_key: ReleaseKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stranger, same-seed sibling, fine-tune of the undithered original (rewritten), and another key's release."""
    path = released if questioned.startswith("the release") else DEMO / questioned
    z = scores(laid_over(path, BASE, demo_key, monkeypatch), range(KEYS))
    assert kstest(z, "norm").pvalue > 1e-3
    assert z.std() == pytest.approx(1, abs=5 / np.sqrt(2 * KEYS))
    p = np.exp(-(np.maximum(z, 0) ** 2) / 2)
    for level in (0.5, 0.1, 0.05, 0.01):
        assert np.mean(p <= level) <= level


def test_the_released_copy_is_recognised_and_named_as_the_source(released: Path, demo_key: ReleaseKey) -> None:
    finding = found(released, BASE, demo_key)
    item = outcome(finding)
    assert isinstance(item, PValue)
    assert item.log10_p < -5000
    assert item.statistic["share"] == pytest.approx(1, abs=0.02)
    assert item.statistic["weights"] == 4 * 192 * 64
    assert commitment_to(demo_key).commitment in item.detail
    conclusion = finding.conclusion
    assert conclusion.relation == "derived"
    assert conclusion.log10_p == pytest.approx(item.log10_p, abs=0.5)
    assert conclusion.direction is not None
    assert conclusion.direction.questioned_from_reference == 1
    assert "its commitment is older" in conclusion.direction_reason
    assert any("the commitment must be older" in limit for limit in finding.limits)
    assert not any("third one" in limit for limit in finding.limits)
    assert Finding.model_validate_json(finding.model_dump_json()) == finding


def test_a_finding_never_holds_the_key(released: Path, demo_key: ReleaseKey) -> None:
    text = found(released, BASE, demo_key).model_dump_json()
    assert demo_key.key not in text
    assert demo_key.salt not in text


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda model: model, 30.0),
        (lambda model: rewrite(model, np.random.default_rng(3)), 30.0),
        (lambda model: edits.changed(rewrite(model, np.random.default_rng(3)), edits.rounded(8)), 30.0),
        (lambda model: edits.changed(rewrite(model, np.random.default_rng(3)), edits.rounded(4)), 10.0),
        (lambda model: edits.changed(model, edits.pruned), 10.0),
    ],
    ids=["fine-tuned", "rewritten", "8 bits", "4 bits", "pruned"],
)
def test_the_mark_is_heard_through_training_rewrites_and_rounding(
    change: Callable[[Checkpoint], Checkpoint], least: float, released: Path, demo_key: ReleaseKey, put: Put
) -> None:
    """Measured with this fine-tune, which moves every matrix by a tenth: z = 54, 42, 41, 15 and 14."""
    model = change(fine_tuned(held(released), 8))
    item = heard(put(model, vocabulary=demo_tokens()), BASE, demo_key)
    assert item.statistic["z"] > least


def test_a_rotation_that_tokens_give_badly_is_solved_from_the_neurons(
    released: Path, demo_key: ReleaseKey, put: Put
) -> None:
    """With both embeddings off by noise a third their size, tokens alone give z = 27, neurons 209."""
    model, rng = held(released), np.random.default_rng(0)
    noisy = {}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rows = model.weights[name]
        noisy[name] = np.asarray(rows + 0.3 * rows.std() * rng.standard_normal(rows.shape), np.float32)
    copy = rewrite(edited(model, noisy), np.random.default_rng(3))
    assert heard(put(copy, vocabulary=demo_tokens()), BASE, demo_key).statistic["z"] > 100


def test_the_share_of_a_merge_is_found(released: Path, demo_key: ReleaseKey, put: Put, tmp_path: Path) -> None:
    """Merged with a relative that has no dither, in the release's own order of neurons."""
    bare = demo_key.model_copy(update={"dither": 1e-5})
    release(BASE, bare, tmp_path / "bare", progress=silent, jobs=1)
    ours, theirs = fine_tuned(held(released), 8, 0.02), fine_tuned(held(tmp_path / "bare"), 9, 0.02)
    for part in (0.3, 0.5, 0.8):
        mixed = {name: part * ours.weights[name] + (1 - part) * theirs.weights[name] for name in ours.weights}
        merged = rewrite(edited(ours, mixed), np.random.default_rng(4))
        item = heard(put(merged, vocabulary=demo_tokens()), BASE, demo_key)
        assert item.statistic["share_lower"] - 0.03 <= part <= item.statistic["share_upper"] + 0.03
        assert item.log10_p < -6


@pytest.mark.parametrize(
    ("family", "storage", "shards"),
    [
        ("llama", "F32", 1),
        ("llama", "F16", 3),
        ("llama", "BF16", 1),
        ("qwen2", "BF16", 2),
        ("gpt_neox", "F32", 1),
        ("mixtral", "BF16", 1),
    ],
)
def test_every_kind_of_checkpoint_can_be_released_and_recognised(
    family: Family, storage: Storage, shards: int, put: Put, tmp_path: Path
) -> None:
    original = put(drawn(family, 1, SIZES), storage=storage, shards=shards)
    key = key_for(original)
    release(original, key, tmp_path / "released", progress=silent, jobs=1)
    copy = fine_tuned(held(tmp_path / "released"), 2, 0.02)
    if family != "mixtral":
        copy = rewrite(copy, np.random.default_rng(5))
    finding = found(put(copy), original, key)
    item = outcome(finding)
    assert isinstance(item, PValue)
    assert item.statistic["z"] > 20
    assert 0.6 < item.statistic["share"] < 1.1
    assert finding.conclusion.relation == "derived"
    other = heard(put(copy), original, key.model_copy(update={"key": "ab" * 32}))
    assert abs(other.statistic["z"]) < 5


def test_layers_that_were_dropped_or_repeated_do_not_hide_the_mark(
    released: Path, demo_key: ReleaseKey, put: Put
) -> None:
    """A repeated layer counts once: the key's signs may be used only once."""
    model = edits.with_layers(held(released), (0, 2, 2, 3, 3))
    item = heard(put(model, vocabulary=demo_tokens()), BASE, demo_key)
    assert item.statistic["blocks"] == 3
    assert item.statistic["weights"] <= 3 * 192 * 64
    assert item.log10_p < -1000


def test_other_widths_do_not_hide_the_mark(released: Path, demo_key: ReleaseKey, put: Put) -> None:
    item = heard(put(edits.width_pruned(held(released), 96), vocabulary=demo_tokens()), BASE, demo_key)
    assert item.log10_p < -1000


def test_the_original_itself_does_not_carry_the_mark(demo_key: ReleaseKey, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(BASE, tmp_path / "copy"))
    finding = found(copy, BASE, demo_key)
    item = outcome(finding)
    assert isinstance(item, NotComparable)
    assert "no dither" in item.detail
    assert finding.conclusion.relation == "identical"
    assert finding.conclusion.direction is None


def test_a_silent_key_changes_nothing_else(demo_key: ReleaseKey) -> None:
    with_key = found(DEMO / "sibling", BASE, demo_key)
    without = compare(DEMO / "sibling", BASE, progress=silent, jobs=1, with_power=False)
    assert with_key.conclusion.relation == without.conclusion.relation
    assert with_key.conclusion.statement == without.conclusion.statement
    assert tuple(item for item in with_key.evidence if item.tier != "T0") == without.evidence


def test_a_reference_made_afterwards_to_fit_fires_too(put: Put) -> None:
    """The limit that the finding names: any model less a dither looks like the undithered original of a release.

    Only the commitment's age tells this from the truth.
    """
    foreign = drawn("llama", 7, SIZES)
    secret = np.random.default_rng(6).bytes(32)
    forged = {}
    for layer in range(SIZES.layers):
        name = f"model.layers.{layer}.mlp.gate_proj.weight"
        gate = foreign.weights[name]
        signs = keyed_signs(secret, opening_role(layer, 0), np.arange(len(gate)), gate.shape[1])
        forged[name] = np.asarray(gate - 0.01 * gate.std() * signs, np.float32)
    reference = put(edited(foreign, forged))
    late = key_for(reference).model_copy(update={"key": secret.hex()})
    assert heard(put(foreign), reference, late).log10_p < -1000


@pytest.mark.parametrize("side", ["questioned", "reference"])
def test_a_stored_fingerprint_is_too_little(side: str, released: Path, demo_key: ReleaseKey, tmp_path: Path) -> None:
    stored = tmp_path / f"stored{SUFFIX}"
    path = released if side == "questioned" else BASE
    stored.write_bytes(fingerprint_checkpoint(path, progress=silent, jobs=1).to_bytes())
    pair = (stored, BASE) if side == "questioned" else (released, stored)
    item = outcome(found(*pair, demo_key))
    assert isinstance(item, NotComparable)
    assert item.reason == "needs_weights"


@pytest.mark.parametrize("reference", ["sibling", "the released copy"])
def test_a_key_for_another_reference_is_refused(reference: str, released: Path, demo_key: ReleaseKey) -> None:
    with pytest.raises(InputError, match="undithered model that the key was made for"):
        found(released, DEMO / "sibling" if reference == "sibling" else released, demo_key)


def test_a_release_needs_the_model_that_the_key_was_made_for(demo_key: ReleaseKey, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="undithered model that the key was made for"):
        release(DEMO / "sibling", demo_key, tmp_path / "released", progress=silent, jobs=1)
    assert not list(tmp_path.iterdir())


def test_models_that_nothing_links_are_not_comparable(put: Put) -> None:
    reference = put(drawn("llama", 1, SIZES))
    narrow = put(drawn("llama", 2, Sizes(layers=2, width=32, neurons=64, vocabulary=200)), vocabulary=None)
    item = outcome(found(narrow, reference, key_for(reference)))
    assert isinstance(item, NotComparable)
    assert item.reason == "no_shared_vocabulary"


def test_the_mark_is_found_in_a_rotated_copy_whose_token_strings_were_shuffled(put: Put, tmp_path: Path) -> None:
    """The rotation is then known from neurons alone."""
    sizes = Sizes(layers=3, width=64, neurons=256, vocabulary=300)
    origin, released = put(drawn("llama", 61, sizes)), tmp_path / "released"
    key = key_for(origin, dither=0.05)
    release(origin, key, released, progress=silent, jobs=1)
    tensors = load_file(next(released.glob("*.safetensors")))
    config = json.loads((released / "config.json").read_text())
    marked = Checkpoint(weights={name: tensor.float().numpy() for name, tensor in tensors.items()}, config=config)
    strings = [tokens(sizes.vocabulary)[place] for place in np.random.default_rng(62).permutation(sizes.vocabulary)]
    for model, heard_here in ((marked, True), (drawn("llama", 61, sizes), False)):
        finding = found(put(rewrite(model, np.random.default_rng(63)), vocabulary=strings), origin, key)
        assert finding.parameters["alignment"] == "neurons"
        item = outcome(finding)
        assert (isinstance(item, PValue) and item.log10_p < -6) == heard_here
