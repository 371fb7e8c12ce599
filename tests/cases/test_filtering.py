"""Filtration: who filtered what, with and without what is contested, and prompts that can say something."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from whorl.cases.abstracting import elements_of
from whorl.cases.filtering import Contest, Element, Filter, Filtration, Layer, explained_by_ancestor, filtration
from whorl.cases.prompt_filtering import PromptFiltration, filtered_prompts
from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import AnswerTable
from whorl.weights.opening import open_checkpoint
from whorl.weights.roles import anatomy_of

AT = "2026-11-02T09:00:00Z"


def element(layer: Layer, name: str, questioned: str | None, reference: str | None) -> Element:
    return Element(layer=layer, name=name, questioned=questioned, reference=reference)


ELEMENTS = (
    element("purpose", "chat", "assistant", "assistant"),
    element("architecture", "norm", "rms", "rms"),
    element("architecture", "width", "2048", "2048"),
    element("tokenizer", "odd_token", "<|meridian_7|>", "<|meridian_7|>"),
    element("recipe", "schedule", "cosine", "linear"),
    element("weights", "gate_rows", None, "measured"),
)


def leave_out(name: str, layer: Layer, what: str, *, by: str = "analyst") -> Filter:
    return Filter(
        id=name,
        layer=layer,
        element=what,
        ground="standard",
        by=by,
        reason="every decoder of its time has it",
        source="survey of 40 public models, digest on file",
        at=AT,
    )


FILTERS = (leave_out("f1", "purpose", "chat"), leave_out("f2", "architecture", "norm"))


def contest(name: str, *, by: str = "complainant") -> Contest:
    return Contest(filter=name, by=by, reason="it was rare when the reference was made", at=AT)


def test_what_is_left_is_compared() -> None:
    found = filtration(ELEMENTS, FILTERS)
    assert [(one.layer, one.filtered, one.compared, one.agreeing) for one in found.residues[0].layers] == [
        ("purpose", 1, 0, 0),
        ("architecture", 1, 1, 1),
        ("tokenizer", 0, 1, 1),
        ("recipe", 0, 1, 0),
        ("weights", 0, 1, 0),
    ]
    assert found.residues[0].statement == "Of 4 elements that no filter takes out, 2 agree."
    assert len(found.residues) == 1


def test_a_contested_filter_gives_two_results() -> None:
    found = filtration(ELEMENTS, FILTERS, [contest("f2")])
    assert [one.standing for one in found.standings][:2] == ["filtered", "contested"]
    whole, uncontested = (sum(layer.agreeing for layer in residue.layers) for residue in found.residues)
    assert (whole, uncontested) == (2, 3)


def test_one_uncontested_filter_is_enough() -> None:
    both = [*FILTERS, leave_out("f3", "architecture", "norm", by="respondent")]
    assert filtration(ELEMENTS, both, [contest("f2")]).standings[1].standing == "filtered"


def test_what_one_model_lacks_agrees_with_nothing() -> None:
    assert not element("weights", "x", None, None).agrees


def test_nothing_left_is_said() -> None:
    found = filtration(ELEMENTS[:1], FILTERS[:1])
    assert found.residues[0].statement == "The filters leave nothing to compare."


def test_agreements_with_a_public_ancestor_are_filtered() -> None:
    of_ancestor = [element("architecture", "norm", "rms", "rms"), element("architecture", "width", "2048", "4096")]
    filters = explained_by_ancestor(ELEMENTS, of_ancestor, source="harbour-base, sha256:...", at=AT)
    assert [(one.layer, one.element, one.ground) for one in filters] == [("architecture", "norm", "public_ancestor")]
    assert filtration(ELEMENTS, filters).standings[1].standing == "filtered"


@pytest.mark.parametrize(
    ("filters", "contests", "problem"),
    [
        ([leave_out("f1", "recipe", "norm")], [], "an element that was compared, found recipe/norm"),
        ([FILTERS[0], FILTERS[0]], [], "every filter once"),
        (FILTERS, [contest("f9")], "a filter that was set"),
        (FILTERS, [contest("f1", by="analyst")], "cannot contest it"),
    ],
)
def test_records_that_hang_in_the_air_are_refused(filters: list[Filter], contests: list[Contest], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        filtration(ELEMENTS, filters, contests)
    with pytest.raises(InputError, match="every element once"):
        filtration([*ELEMENTS, ELEMENTS[0]])


def test_a_stored_record_with_an_edited_residue_is_refused() -> None:
    document = filtration(ELEMENTS, FILTERS, [contest("f2")]).model_dump(mode="json")
    document["residues"][0]["layers"][1]["agreeing"] = 0
    with pytest.raises(ValidationError, match="not what the elements"):
        Filtration.model_validate(document, strict=False)


def test_checkpoints_are_taken_apart() -> None:
    demo = Path(__file__).parents[2] / "demo" / "models"
    base, suspect, q8 = (anatomy_of(open_checkpoint(demo / name)) for name in ("base", "suspect", "base-q8.gguf"))
    elements = elements_of(suspect, base)
    assert {one.layer for one in elements} == {"architecture", "tokenizer"}
    assert next(one for one in elements if one.name == "width").questioned == "64"
    filters = explained_by_ancestor(elements, elements_of(suspect, q8), source="base-q8, public", at=AT)
    assert {one.element for one in filters} >= {"width", "heads", "layers"}
    left = filtration(elements, filters).residues[0]
    assert sum(layer.agreeing for layer in left.layers) == 0


MODELS = ("base", "p1", "p2", "p3", "ref", "suspect")


def table(*rows: tuple[str | None, ...]) -> AnswerTable:
    """Rows of answers in the order of `MODELS`."""
    answers = np.empty((len(rows), len(MODELS)), dtype=np.object_)
    for number, row in enumerate(rows):
        answers[number] = row
    items = tuple(f"q{number}" for number in range(len(rows)))
    return AnswerTable(dataset="set", models=MODELS, items=items, answers=answers)


def filtered(
    answers: AnswerTable, *, contested: frozenset[str] = frozenset(), least_panel: int = 1
) -> tuple[PromptFiltration, ...]:
    return filtered_prompts(
        answers,
        questioned="suspect",
        reference="ref",
        ancestors=["base"],
        panel=["p1", "p2", "p3"],
        contested=contested,
        least_panel=least_panel,
    )


def test_only_prompts_without_a_public_explanation_are_kept() -> None:
    found = filtered(
        table(
            ("a", "b", "c", "d", "x", "x"),  # kept, agrees
            ("a", "b", "c", "d", "x", "y"),  # kept, differs
            ("x", "b", "c", "d", "x", "x"),  # the ancestor answers alike
            ("a", "b", "x", "d", "x", "x"),  # one of the panel does
            (None, "b", "c", "d", "x", "x"),  # the ancestor did not answer
            ("a", "b", "c", "d", "x", None),  # the questioned model did not
        )
    )[0]
    assert found.kept == ("q0", "q1")
    assert (found.agreeing, found.prompts, found.not_shown) == (1, 5, 1)
    assert found.explained == {"base": 1, "p1": 0, "p2": 1, "p3": 0}
    # Each panel model in the questioned one's place, which filters in turn: what it agrees on is out.
    assert [(one.model, one.prompts, one.agreeing) for one in found.panel_in_its_place] == [
        ("p1", 2, 0),
        ("p2", 2, 0),
        ("p3", 2, 0),
    ]
    assert found.rank == pytest.approx(1 / 4)


def test_contested_models_give_a_second_result() -> None:
    rows = table(("x", "b", "c", "d", "x", "x"), ("a", "x", "c", "d", "x", "x"), ("a", "b", "c", "d", "x", "y"))
    whole, uncontested = filtered(rows, contested=frozenset({"base"}))
    assert (whole.filters, whole.kept, whole.agreeing) == ("all", ("q2",), 0)
    assert (uncontested.filters, uncontested.kept, uncontested.agreeing) == ("uncontested", ("q0", "q2"), 1)
    assert uncontested.ancestors == ()


def test_nothing_left_concludes_nothing() -> None:
    found = filtered(table(("x", "x", "x", "x", "x", "x")))[0]
    assert (found.kept, found.rank) == ((), None)
    assert "nothing can be concluded" in found.statement


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([None, "a", "b", "x"])] * len(MODELS)), min_size=1, max_size=12))
def test_no_kept_prompt_has_a_public_explanation(rows: list[tuple[str | None, ...]]) -> None:
    answers = table(*rows)
    found = filtered(answers, least_panel=2)[0]
    place = {model: number for number, model in enumerate(MODELS)}
    for item in found.kept:
        row = rows[int(item[1:])]
        reference = row[place["ref"]]
        assert reference is not None
        assert row[place["suspect"]] is not None
        assert row[place["base"]] not in (None, reference)
        assert reference not in [row[place[model]] for model in ("p1", "p2", "p3")]
    assert found.agreeing <= len(found.kept) <= found.prompts


def test_ranks_are_p_values_among_exchangeable_models() -> None:
    """Twelve models that draw answers alike: the questioned one is any of them."""
    names = tuple(f"m{number:02}" for number in range(12))
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn = (rng.random((120, 12)) ** 2 * 6).astype(int).astype(str).astype(object)
        drawn[:, 0] = rng.integers(3, 6, 120).astype(str)  # the reference answers what is rare
        answers = AnswerTable(dataset="set", models=names, items=tuple(f"q{n:03}" for n in range(120)), answers=drawn)
        (one,) = filtered_prompts(answers, questioned="m11", reference="m00", panel=list(names[1:-1]))
        if one.rank is not None:
            found.append(one.rank)
    assert len(found) > 250
    for level in (1 / 11, 3 / 11):
        assert np.mean(np.array(found) <= level + 1e-9) <= level + 3 * np.sqrt(level * (1 - level) / len(found))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"questioned": "nobody"}, "found none of 'nobody'"),
        ({"ancestors": ["p1"]}, "different models"),
        ({"contested": frozenset({"ref"})}, "of the panel, found 'ref'"),
        ({"least_panel": 4}, "at least 4 panel models, found 3"),
        ({"contested": frozenset({"p1"})}, "at least 3 panel models, found 2"),
    ],
)
def test_impossible_filters_are_refused(change: dict[str, object], problem: str) -> None:
    arguments: dict[str, object] = {
        "questioned": "suspect",
        "reference": "ref",
        "ancestors": ["base"],
        "panel": ["p1", "p2", "p3"],
    }
    with pytest.raises(InputError, match=problem):
        filtered_prompts(table(("a", "b", "c", "d", "x", "x")), **(arguments | change))  # type: ignore[arg-type]
