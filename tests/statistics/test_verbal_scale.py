"""Words stand only for bounded ratios, mirrored for the alternative, and always name their scale."""

from typing import Any

import pytest

from whorl.core.evidence import LikelihoodRatio
from whorl.statistics.verbal_scale import VerbalScale, shipped_scale, verbal_label


def ratio(log10_lr: float, central: float | None = None) -> LikelihoodRatio:
    """A ratio of which only the bounded value and the central one matter here."""
    middle = log10_lr if central is None else central
    return LikelihoodRatio(
        tier="T3",
        method="made_up/1",
        alternative="independent",
        log10_lr=log10_lr,
        central=middle,
        lower=middle - 1,
        upper=middle + 1,
        caps={"sampling": 9.0},
        families=(30, 40),
        population="sha256:00",
        statistic={},
        detail="made up",
    )


@pytest.mark.parametrize(
    ("log10_lr", "support"),
    [
        (1e-9, "weak support"),
        (0.999, "weak support"),
        (1.0, "moderate support"),
        (2.0, "moderately strong support"),
        (3.5, "strong support"),
        (4.0, "very strong support"),
        (5.999, "very strong support"),
        (6.0, "extremely strong support"),
        (9.0, "extremely strong support"),
    ],
)
def test_bands_and_their_mirror(log10_lr: float, support: str) -> None:
    label, mirrored = (verbal_label(ratio(sign * log10_lr), shipped_scale()) for sign in (1, -1))
    assert (label.support, label.favours) == (support, "first")
    assert (mirrored.support, mirrored.favours) == (support, "alternative")
    assert label.statement == f"The findings give {support} for the first proposition rather than the alternative."
    assert mirrored.statement == f"The findings give {support} for the alternative rather than the first proposition."
    assert label.scale == mirrored.scale == "afsp-enfsi/1"


def test_words_are_for_the_bounded_value() -> None:
    label = verbal_label(ratio(1.2, central=7.0), shipped_scale())
    assert label.support == "moderate support"
    silent = verbal_label(ratio(0.0, central=7.0), shipped_scale())
    assert (silent.support, silent.favours) == (None, "neither")


@pytest.mark.parametrize("plain", [3.0, 1000, "3", None])
def test_plain_numbers_have_no_words(plain: Any) -> None:
    with pytest.raises(TypeError, match="carries its caps"):
        verbal_label(plain, shipped_scale())


def test_scales_are_data() -> None:
    document = shipped_scale().model_dump()
    assert VerbalScale.model_validate_json(shipped_scale().model_dump_json()) == shipped_scale()
    other = VerbalScale.model_validate(
        document | {"id": "two", "bands": ({"above_log10": 0.0, "support": "schwach"},), "language": "de"}
    )
    assert verbal_label(ratio(5.0), other).support == "schwach"
    for changed in (
        {"bands": ({"above_log10": 1.0, "support": "strong"},)},
        {"bands": ({"above_log10": 0.0, "support": "a"}, {"above_log10": 0.0, "support": "b"})},
        {"first": "No words."},
        {"bands": ()},
        {"id": ""},
    ):
        with pytest.raises(ValueError, match="validation error"):
            VerbalScale.model_validate(document | changed)
