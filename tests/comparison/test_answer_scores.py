"""Scores of pairs and what a population makes of them: on simulated models, so that the truth is known."""

from functools import cache
from itertools import product

import numpy as np
import pytest

from whorl.comparison.agreement import agreement, groups_of
from whorl.comparison.answer_scores import PairScores, Ratio, Weighing, labelled_scores, score_pairs
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.fingerprints.answer_table import Answer, answer_tables
from whorl.statistics.model_calibration import TooFewControls

WORDS = [f"{a}{b}" for a in ("ba", "de", "fi", "go", "ku", "la") for b in ("m", "n", "r", "s", "t", "x", "z")]
ITEMS = 60
CONTROLS = 60
QUESTIONED = 50


def says(model: int, item: int, *, shared: float = 0.6) -> str:
    """Six words, most of them those that everybody says to this item: shared difficulty, shared data."""
    everybody = np.random.default_rng([7, item]).integers(len(WORDS), size=6)
    own = np.random.default_rng([model, item])
    mixed = np.where(own.random(6) < shared, everybody, own.integers(len(WORDS), size=6))
    return " ".join(WORDS[place] for place in mixed)


@cache
def world() -> tuple[PairScores, Weighing, Lineage]:
    """60 controls of a family each, of which 12 have a fine-tune and 4 a student; 50 unrelated questioned models."""
    rows: list[Answer] = []
    edges: list[DocumentedEdge] = []
    reference: set[str] = set()

    def add(name: str, text: list[str]) -> None:
        rows.extend(
            Answer(dataset="d", model=name, prompt_id=f"p{item:02d}", response=said) for item, said in enumerate(text)
        )

    for model in range(CONTROLS):
        name = f"control-{model:02d}"
        own = [says(model, item) for item in range(ITEMS)]
        add(name, own)
        reference.add(name)
        edges.append(DocumentedEdge(model=name, family=name, base="", relation="same_family"))
        for suffix, kept, relation, family in (
            ("ft", 0.8, "finetune", name),
            ("student", 0.15, "distilled_from", f"{name}-student"),
        ):
            if model < (12 if suffix == "ft" else 4):
                keep = np.random.default_rng([9, model, len(suffix)]).random(ITEMS) < kept
                child = [
                    own[item] if keep[item] else says(1000 + 10 * model + len(suffix), item) for item in range(ITEMS)
                ]
                add(f"{name}-{suffix}", child)
                reference.add(f"{name}-{suffix}")
                edges.append(DocumentedEdge(model=f"{name}-{suffix}", family=family, base=name, relation=relation))  # type: ignore[arg-type]
    for model in range(QUESTIONED):
        add(f"questioned-{model:02d}", [says(5000 + model, item) for item in range(ITEMS)])
    (table,) = answer_tables(rows)
    lineage = Lineage(edges=tuple(edges))
    measured = agreement(table, np.isin(table.models, sorted(reference)), groups_of(table.models, lineage))
    found = score_pairs(measured, lineage)
    return found, Weighing(found, labelled_scores([found], lineage)), lineage


def questioned() -> list[int]:
    return [place for place, name in enumerate(world()[0].agreement.models) if name.startswith("questioned")]


def test_p_values_of_unrelated_models_hold_their_level() -> None:
    """1,225 pairs of models of families that the population has never seen."""
    _, weighing, _ = world()
    places = questioned()
    found = [weighing.weigh(one, other).p for number, one in enumerate(places) for other in places[:number]]
    values = np.array([p for p in found if p is not None])
    assert len(values) == 1225
    for level in (0.01, 0.05, 0.2):
        rate = float((values <= level).mean())
        assert rate <= 1.2 * level + 2 * np.sqrt(level * (1 - level) / len(values)), (level, rate)
    # Not merely small rates: the p-values are spread over the whole interval.
    assert 0.4 < float(np.median(values)) < 0.6


def test_descendants_stand_out_and_have_a_ratio_in_favour() -> None:
    found, weighing, _ = world()
    places = {name: place for place, name in enumerate(found.agreement.models)}
    for model in range(12):
        weighed = weighing.weigh(places[f"control-{model:02d}"], places[f"control-{model:02d}-ft"])
        assert weighed.p is not None
        assert weighed.p < 0.01
        assert isinstance(weighed.ratio, Ratio)
        assert weighed.ratio.log10_lr > 0


def test_ratios_of_unrelated_models_do_not_mislead() -> None:
    """E[LR | unrelated] <= 1, and nothing beyond the caps."""
    _, weighing, _ = world()
    places = questioned()
    ratios = [weighing.weigh(one, other).ratio for number, one in enumerate(places) for other in places[:number]]
    values = np.array([ratio.log10_lr for ratio in ratios if isinstance(ratio, Ratio)])
    assert len(values) == 1225
    assert float((10**values).mean()) <= 1
    assert all(abs(ratio.log10_lr) <= min(ratio.caps) + 1e-9 for ratio in ratios if isinstance(ratio, Ratio))


def test_a_pairs_own_families_take_no_part_in_its_weighing() -> None:
    """Were they left in, a family's own pairs would vouch for it."""
    found, weighing, _ = world()
    places = {name: place for place, name in enumerate(found.agreement.models)}
    stranger, member = questioned()[0], places["control-00"]
    whole, without = weighing.weigh(stranger, stranger + 1), weighing.weigh(stranger, member)
    assert without.controls == whole.controls - 2  # control-00 and its fine-tune


def test_no_ratio_below_fifty_controls() -> None:
    rows = [
        Answer(dataset="d", model=f"m{model:02d}", prompt_id=f"p{item}", response=says(model, item))
        for model in range(49)
        for item in range(20)
    ]
    (table,) = answer_tables(rows)
    lineage = Lineage(
        edges=tuple(
            DocumentedEdge(model=f"m{model:02d}", family=f"f{model}", base="", relation="same_family")
            for model in range(49)
        )
    )
    found = score_pairs(agreement(table, np.ones(49, dtype=bool)), lineage)
    weighed = Weighing(found, labelled_scores([found], lineage)).weigh(0, 1)
    assert isinstance(weighed.ratio, TooFewControls)
    assert weighed.ratio.needed == 50
    assert weighed.p is not None


def test_scores_do_not_depend_on_the_order_of_models() -> None:
    names = ["delta", "alpha", "charlie", "bravo", "echo"]
    scores = []
    for order in (names, names[::-1]):
        rows = [
            Answer(dataset="d", model=name, prompt_id=f"p{item}", response=says(names.index(name), item))
            for name in order
            for item in range(12)
        ]
        (table,) = answer_tables(rows)
        scores.append(score_pairs(agreement(table, np.ones(5, dtype=bool)), Lineage()).scores)
    for question, values in scores[0].items():
        assert np.allclose(values, scores[1][question], equal_nan=True), question


@pytest.mark.parametrize("question", ["same_weights", "derived", "line"])
def test_a_copy_is_nearer_than_any_stranger(question: str) -> None:
    rows = [
        Answer(dataset="d", model=f"m{model}", prompt_id=f"p{item}", response=says(0 if model == 1 else model, item))
        for model in range(12)
        for item in range(15)
    ]
    (table,) = answer_tables(rows)
    values = score_pairs(agreement(table, np.ones(12, dtype=bool)), Lineage()).scores[question]  # type: ignore[index]
    places = {name: place for place, name in enumerate(table.models)}
    pair = values[places["m0"], places["m1"]]
    values[places["m0"], places["m1"]] = values[places["m1"], places["m0"]] = np.nan
    assert pair > np.nanmax(values)


def test_relatives_among_the_controls_do_not_make_strangers_stand_out() -> None:
    """Controls have siblings, questioned models have none: measured among siblings, controls would look less alike."""
    rows: list[Answer] = []
    edges: list[DocumentedEdge] = []

    def add(name: str, text: list[str]) -> None:
        rows.extend(
            Answer(dataset="d", model=name, prompt_id=f"p{item:02d}", response=said) for item, said in enumerate(text)
        )

    for family, member in product(range(12), range(5)):
        name = f"f{family:02d}-{member}"
        kept = np.random.default_rng([3, family, member]).random(40) < 0.5
        add(
            name,
            [says(100 + family if kept[item] else 1000 + 10 * family + member, item, shared=0.4) for item in range(40)],
        )
        edges.append(
            DocumentedEdge(model=f"f{family:02d}-{member}", family=f"f{family:02d}", base="", relation="same_family")
        )
    for model in range(40):
        add(f"questioned-{model:02d}", [says(5000 + model, item, shared=0.4) for item in range(40)])
    (table,) = answer_tables(rows)
    lineage = Lineage(edges=tuple(edges))
    reference = np.array([name.startswith("f") for name in table.models])

    def rates(groups: np.ndarray | None) -> tuple[float, float]:
        weighing = Weighing(score_pairs(agreement(table, reference, groups), lineage), labelled_scores([], lineage))
        places = np.flatnonzero(~reference).tolist()
        found = [weighing.weigh(one, other).p for number, one in enumerate(places) for other in places[:number]]
        values = np.array(found, np.float64)
        assert len(values) == 780
        return float((values <= 0.01).mean()), float((values <= 0.05).mean())

    by_lines = rates(groups_of(table.models, lineage))
    assert by_lines[0] <= 0.012 + 2 * np.sqrt(0.01 * 0.99 / 780)
    assert by_lines[1] <= 0.06 + 2 * np.sqrt(0.05 * 0.95 / 780)
    assert rates(None)[1] > 0.075  # the mistake that the groups are there to avoid
