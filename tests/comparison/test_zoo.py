"""A population with known ancestry: what is true of two of its models, and which pairs a calibration compares."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from zoos import family, member, zoo

from whorl.comparison.zoo import PairClass, ancestors, planned_pairs, read_zoo, relation_of
from whorl.core.errors import InputError

MODELS = {
    "a/base": member("a", start="one", recipe="first"),
    "a/tuned": member("a", "a/base"),
    "a/tuned twice": member("a", "a/tuned"),
    "a/pruned": member("a", "a/base"),
    "b/base": member("b", start="one", recipe="second"),
    "b/tuned": member("b", "b/base"),
    "c/base": member("c", start="three", recipe="first"),
    "c/tuned": member("c", "c/base"),
    "d/base": member("d", start="four", recipe="fourth"),
    "d/tuned": member("d", "d/base"),
    "d/pruned": member("d", "d/base"),
    "pupil/base": member("pupil", start="five", recipe="fifth", teacher="a/tuned"),
    "pupil/tuned": member("pupil", "pupil/base"),
    "a/merged": member("a", "a/tuned", "d/tuned"),
    "a/merged, tuned": member("a", "a/merged"),
}


@pytest.mark.parametrize(
    ("one", "other", "truth"),
    [
        ("a/tuned", "a/base", "derived"),
        ("a/tuned twice", "a/base", "derived"),
        ("a/tuned", "a/pruned", "common_ancestor"),
        ("a/tuned twice", "a/pruned", "common_ancestor"),
        ("a/base", "b/base", "same_seed"),
        ("a/tuned", "b/tuned", "same_seed"),
        ("a/base", "c/base", "same_data"),
        ("a/tuned", "c/tuned", "same_data"),
        ("a/tuned", "pupil/base", "same_data"),
        ("a/tuned twice", "pupil/base", "same_data"),
        ("a/base", "pupil/base", "same_data"),
        ("a/tuned", "pupil/tuned", "same_data"),
        ("b/base", "pupil/base", "independent"),
        ("a/base", "d/base", "independent"),
        ("b/tuned", "d/tuned", "independent"),
        ("b/base", "c/base", "independent"),
        ("a/merged", "a/base", "derived"),
        ("a/merged", "d/tuned", "derived"),
        ("a/merged, tuned", "d/base", "derived"),
        ("a/merged", "a/pruned", "common_ancestor"),
        ("a/merged", "d/pruned", "common_ancestor"),
        ("a/merged", "b/tuned", "same_seed"),
        ("a/merged", "c/base", "same_data"),
        ("pupil/tuned", "pupil/base", "derived"),
    ],
)
def test_two_models_are_related_as_their_ancestry_says(one: str, other: str, truth: PairClass) -> None:
    described = zoo(MODELS)
    assert relation_of(described, one, other) == truth
    assert relation_of(described, other, one) == truth


def test_a_model_carries_the_weights_of_all_its_ancestors_and_of_no_teacher() -> None:
    carried = {"a/merged, tuned", "a/merged", "a/tuned", "a/base", "d/tuned", "d/base"}
    assert ancestors(MODELS, "a/merged, tuned") == carried
    assert ancestors(MODELS, "a/merged, tuned", strict=True) == carried - {"a/merged, tuned"}
    assert ancestors(MODELS, "pupil/base", strict=True) == set()


def test_planned_pairs_hold_the_truth_and_every_pair_that_no_draw_may_miss() -> None:
    described = zoo(MODELS)
    pairs = planned_pairs(described, seed=1)
    unordered = Counter(frozenset((pair.questioned, pair.reference)) for pair in pairs)
    assert set(unordered.values()) == {1}
    assert all(len(both) == 2 for both in unordered)
    for name in MODELS:
        lineage = ancestors(MODELS, name, strict=True)
        assert all(frozenset((name, ancestor)) in unordered for ancestor in lineage)
    for both in (("pupil/base", "a/tuned"), ("a/base", "b/base"), ("a/base", "c/base")):
        assert frozenset(both) in unordered
    for pair in pairs:
        assert pair.truth == relation_of(described, pair.questioned, pair.reference)
        assert pair.families == (MODELS[pair.questioned].family, MODELS[pair.reference].family)
        older = {"reference": pair.reference, "questioned": pair.questioned}
        if pair.older is not None:
            younger = ({pair.questioned, pair.reference} - {older[pair.older]}).pop()
            assert older[pair.older] in ancestors(MODELS, younger, strict=True)
        assert (pair.older is not None) == (pair.truth == "derived")


def test_parts_started_anew_are_told_of_a_model_and_of_what_is_made_of_it() -> None:
    models = family("a", 1) | {
        "a/fresh": member("a", "a/base", whole=False),
        "a/fresh, tuned": member("a", "a/fresh"),
    }
    pairs = planned_pairs(zoo(models), seed=1)
    for pair in pairs:
        assert pair.whole == (not any("fresh" in name for name in (pair.questioned, pair.reference)))


def big_zoo(families: int) -> dict[str, Any]:
    models = {}
    for number in range(families):
        models |= family(f"f{number:02}", 4)
    return models


def test_planned_pairs_are_the_same_on_every_run_and_do_not_tell_the_truth_by_their_order() -> None:
    described = zoo(big_zoo(30))
    pairs = planned_pairs(described, seed=5)
    assert planned_pairs(described, seed=5) == pairs
    shuffled = zoo(dict(reversed(described.models.items())))
    assert planned_pairs(shuffled, seed=5) == pairs
    assert planned_pairs(described, seed=6) != pairs
    derived = [pair.older for pair in pairs if pair.truth == "derived"]
    assert 0.3 < derived.count("reference") / len(derived) < 0.7
    assert {pair.truth for pair in pairs} == {"derived", "common_ancestor", "independent"}


def test_a_zoo_that_grows_keeps_the_pairs_within_its_families_and_their_order() -> None:
    before, after = (planned_pairs(zoo(big_zoo(count)), seed=5) for count in (20, 21))
    akin = [pair for pair in before if pair.truth != "independent"]
    assert akin
    assert set(akin) <= set(after)
    # Strangers are drawn from all runs and may change; those in both zoos stay in their order.
    both = {frozenset((pair.questioned, pair.reference)) for pair in before} & {
        frozenset((pair.questioned, pair.reference)) for pair in after
    }
    assert len(both) == len(set(before) & set(after))
    assert len(both) > len(before) / 2


def written(folder: Path, document: object) -> Path:
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "zoo.json").write_text(text)
    return folder


def described(**models: dict[str, Any]) -> dict[str, Any]:
    usual = {"family": "a", "start": "s", "recipe": "r", "parents": {}, "teacher": None, "whole": True, "changes": []}
    return {"schema": "whorl.zoo/1", "models": {name: usual | entries for name, entries in models.items()}}


def test_a_description_is_read(tmp_path: Path) -> None:
    folder = written(tmp_path, described(base={}, child={"parents": {"base": 1}}))
    assert relation_of(read_zoo(folder), "child", "base") == "derived"


NO_CHANGES = described(base={})
del NO_CHANGES["models"]["base"]["changes"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "whorl.zoo/1"),
        ("[]", "whorl.zoo/1"),
        (described(base={}) | {"schema": "whorl.zoo/2"}, "schema"),
        (described(base={}) | {"more": 1}, "more"),
        (NO_CHANGES, "changes"),
        (described(base={"parents": ["base"]}), "parents"),
        (described(base={"whole": "yes"}), "whole"),
        (described(base={"parents": {"nowhere": 1}}), "'nowhere' of 'base'"),
        (described(base={}, child={"teacher": "nobody"}), "'nobody' of 'child'"),
        (described(child={"parents": {"base": 1}}, base={"parents": {"nowhere": 1}}), "'nowhere' of 'base'"),
        (described(base={"parents": {"base": 1}}), "'base' below itself"),
        (described(a={"parents": {"b": 1}}, b={"parents": {"c": 1}}, c={"parents": {"a": 1}}), "below itself"),
        (described(base={}).__repr__().replace("True", "NaN"), "whorl.zoo/1"),
    ],
    ids=[
        "not JSON",
        "not an object",
        "another version",
        "unknown field",
        "missing field",
        "parents are no shares",
        "text for a truth value",
        "unknown parent",
        "unknown teacher",
        "unknown parent further up",
        "its own parent",
        "cycle",
        "not a number",
    ],
)
def test_a_malformed_description_is_refused(tmp_path: Path, document: object, said: str) -> None:
    with pytest.raises(InputError, match="expected") as caught:
        read_zoo(written(tmp_path, document))
    assert said in str(caught.value)
    assert str(tmp_path / "zoo.json") in str(caught.value)


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"docs/specs/population\.md"):
        read_zoo(tmp_path)
