"""Digests that claim equality, held against the features that stand beside them."""

from dataclasses import replace

import numpy as np
from comparison_types import DEMO, Put
from generated_models import Sizes, drawn, edited

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.core.progress import silent
from whorl.fingerprints.weight_fingerprint import fingerprint_checkpoint


def test_a_fingerprint_with_pasted_digests_is_not_identical() -> None:
    honest = fingerprint_checkpoint(DEMO / "base", progress=silent)
    stranger = fingerprint_checkpoint(DEMO / "twin", progress=silent)
    forged = replace(honest, arrays={**honest.arrays, "neuron_bits": stranger.arrays["neuron_bits"]})
    assert compare_fingerprints(honest, honest).conclusion.relation == "identical"
    finding = compare_fingerprints(forged, honest)
    assert finding.conclusion.relation == "inconclusive"
    assert "altered" in finding.conclusion.statement


def test_equal_models_are_identical_even_where_neurons_cannot_be_told_apart(put: Put) -> None:
    model = drawn("llama", 31, Sizes())
    doubled = {
        name: np.repeat(weight[:1], len(weight), 0)
        if "up_proj" in name
        else np.repeat(weight[:, :1], weight.shape[1], 1)
        for name, weight in model.weights.items()
        if "up_proj" in name or "down_proj" in name
    }
    one, other = (put(edited(model, doubled)) for _ in range(2))
    assert compare(one, other, progress=silent).conclusion.relation == "identical"
    stored = (fingerprint_checkpoint(path, progress=silent) for path in (one, other))
    assert compare_fingerprints(*stored).conclusion.relation == "identical"
