"""What a battery would show, tried on simulated controls whose descent and habits are known."""

import pytest
from simulated_endpoints import Simulated, answers

from whorl.cli.probe_text import family_power, whole_power
from whorl.comparison.answer_population import AnswerPopulation, build_population
from whorl.comparison.answer_sources import dataset_name
from whorl.comparison.battery_power import BatteryPower, battery_power
from whorl.comparison.documented_lineage import DocumentedEdge, Lineage
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import answer_tables
from whorl.probes.families import battery

QUICK = battery("quick", 3)


def population(*, tilt: str | None = None, kept: float = 0.9) -> AnswerPopulation:
    """30 controls of a line each, five with a fine-tune; a common tilt makes all of them choose alike."""
    models: list[Simulated] = []
    edges: list[DocumentedEdge] = []
    for number in range(30):
        name = f"control-{number:02d}"
        models.append(Simulated(name, tilt=tilt))
        edges.append(DocumentedEdge(model=name, family=name, base="", relation="same_family"))
        if number < 5:
            models.append(Simulated(f"{name}-ft", base=name, kept=kept, tilt=tilt))
            edges.append(DocumentedEdge(model=f"{name}-ft", family=name, base=name, relation="finetune"))
    tables = answer_tables(answers(models, QUICK, dataset_name(QUICK)))
    return build_population(tables, Lineage(edges=tuple(edges)), batteries=(QUICK,))


@pytest.fixture(scope="module")
def found() -> BatteryPower:
    return battery_power(QUICK, population())


def test_models_that_choose_differently_and_kin_that_keeps_its_answers_are_seen(found: BatteryPower) -> None:
    assert found.swap is not None
    assert found.swap.probability > 0.9
    assert found.swap.models >= 25
    assert found.kin is not None
    assert found.kin.probability == 1.0
    assert found.kin.models == 5


def test_where_all_choose_alike_no_swap_is_seen_and_changed_kin_is_not_seen_either() -> None:
    alike = battery_power(QUICK, population(tilt="one taste", kept=0.0))
    assert alike.swap is not None
    assert alike.swap.probability < 0.2
    assert alike.kin is not None
    assert alike.kin.probability < 0.7


def test_each_family_says_what_it_alone_would_show(found: BatteryPower) -> None:
    assert family_power(found, "low_entropy").startswith("swap for another line seen 1.00 (")
    assert family_power(found, "wrong_answers").startswith("kin stands out ")
    assert family_power(found, "guardrails") == "says nothing of lineage"
    assert whole_power(found).endswith("n = 5)")


def test_another_battery_is_refused() -> None:
    with pytest.raises(InputError, match="no answers to the battery quick with seed 4"):
        battery_power(battery("quick", 4), population())
