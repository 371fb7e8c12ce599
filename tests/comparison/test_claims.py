"""What a finding claims: no more than its digests, its features, its population and its simulations carry."""

import re
from dataclasses import replace

import numpy as np
import pytest
from comparison_types import DEMO, Put
from generated_models import Sizes, drawn, edited

from whorl.comparison.comparing import compare, compare_fingerprints
from whorl.comparison.conclusion import CLAIMED_FROM, POSTERIOR, Order, claimed_order
from whorl.comparison.population import shipped_population
from whorl.comparison.wording import least_favourable
from whorl.core.evidence import Direction, Finding, LikelihoodRatio, Power
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


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {name: compare(DEMO / name, DEMO / "base", progress=silent) for name in ("suspect", "sibling", "twin")}


def test_every_finding_names_the_population_it_rests_on(findings: dict[str, Finding]) -> None:
    population = shipped_population()
    for name, finding in findings.items():
        [resting] = [limit for limit in finding.limits if population.name in limit]
        assert f"{population.families} families of small models trained for this project" in resting
        assert "no ratio is larger than so few families can show" in resting
        assert ("The line between derived and shared initialisation" in resting) == (name != "twin")
        assert finding.parameters["population"] == population.digest


def test_a_population_of_somebody_else_is_not_said_to_be_of_this_project() -> None:
    other = shipped_population().model_copy(update={"name": "Harrow zoo", "families": 9})
    finding = compare(DEMO / "twin", DEMO / "base", progress=silent, population=other, with_power=False)
    [resting] = [limit for limit in finding.limits if "Harrow zoo" in limit]
    assert "9 families of models, calibrated by somebody else" in resting
    assert "this project" not in " ".join(finding.limits)


def test_outdated_limits_are_gone_and_new_ones_say_what_is_known(findings: dict[str, Finding]) -> None:
    everything = " ".join(limit for finding in findings.values() for limit in finding.limits)
    assert "no calibrated error rate" not in everything
    assert "was not simulated" not in everything
    assert "A merge is named only where it shortened the weights or stacked layers." in findings["suspect"].limits
    assert any("Power, where it was simulated, is for the changes named there" in x for x in findings["twin"].limits)


def test_power_is_simulated_where_nothing_was_found_and_only_there(findings: dict[str, Finding]) -> None:
    simulated = {name: any(isinstance(e, Power) for e in found.evidence) for name, found in findings.items()}
    assert simulated == {"suspect": False, "sibling": False, "twin": True}


def test_the_headline_is_the_least_favourable_ratio_and_sentences_hold_no_ratio(findings: dict[str, Finding]) -> None:
    for finding in findings.values():
        ratios = [item for item in finding.evidence if isinstance(item, LikelihoodRatio)]
        # A common ancestor passes on trained weights, too: it is no alternative to sharing them.
        ratios = [ratio for ratio in ratios if ratio.alternative != "common_ancestor"]
        headline = least_favourable(finding)
        assert headline is not None
        assert finding.conclusion.log10_lr == headline.log10_lr == min(ratio.log10_lr for ratio in ratios)
        for sentence in (finding.conclusion.statement, finding.conclusion.direction_reason, *finding.limits):
            assert not re.search(r"10\^|%|probability of", sentence)


def test_a_posterior_is_given_for_descent_alone_and_names_its_prior(findings: dict[str, Finding]) -> None:
    derived = findings["suspect"].conclusion
    assert derived.direction is not None
    assert derived.direction_reason.endswith(POSTERIOR)
    assert "equally probable before" in POSTERIOR
    for name in ("sibling", "twin"):
        assert findings[name].conclusion.direction is None
        assert "no descent was established" in findings[name].conclusion.direction_reason


@pytest.mark.parametrize(
    ("forth", "back", "order"),
    [
        (0.9, 0.05, "questioned_from_reference"),
        (0.05, 0.9, "reference_from_questioned"),
        (CLAIMED_FROM * 0.02, 0.02, "questioned_from_reference"),
        (0.02, CLAIMED_FROM * 0.02, "reference_from_questioned"),
        (0.3, 0.1, None),
    ],
)
def test_an_order_is_claimed_from_the_measured_odds_on(forth: float, back: float, order: Order | None) -> None:
    shares = Direction(
        questioned_from_reference=forth, reference_from_questioned=back, common_ancestor=1 - forth - back
    )
    assert claimed_order(shares) == order
