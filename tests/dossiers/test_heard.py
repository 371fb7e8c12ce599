"""Analyses that a side filed: told in fixed words and figures, moving nothing, and never a sentence of theirs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.digest import digest_bytes
from whorl.dossiers.events import Acquired
from whorl.dossiers.heard import MAX_HEARD_BYTES, Heard, heard
from whorl.dossiers.wording import require_fair

MODELS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
SLUR = "stolen, 90 % copied, proven theft"


def filed(data: bytes, title: str = "Ancestor test") -> Acquired:
    return Acquired(
        code="D-1",
        access="document",
        digest=digest_bytes(data),
        blob=digest_bytes(data),
        how="handed in",
        acquired_at="2026-11-02T09:00:00Z",
        filed_by="respondent",
        title=title,
    )


def told(document: dict[str, Any] | bytes, models: tuple[str | None, str | None] = MODELS) -> Heard | None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return heard(filed(data), data, models=models)


def ancestor(**changed: object) -> dict[str, Any]:
    return {
        "schema": "whorl.ancestor/1",
        "statement": SLUR,
        "limits": [SLUR],
        "questioned": {"name": SLUR, "digest": MODELS[0]},
        "reference": {"name": SLUR, "digest": MODELS[1]},
        "reading": "common_ancestor",
        "ratios": [{"against": "common_ancestor", "log10_lr": -0.41, "central": -2.0}],
    } | changed


def filtration(**changed: object) -> dict[str, Any]:
    layer = {"layer": "architecture", "elements": 20, "filtered": 15, "compared": 5, "agreeing": 2}
    return {
        "schema": "whorl.filtration/1",
        "residues": [{"filters": "all", "statement": SLUR, "layers": [layer]}],
        "elements": [{"layer": "recipe", "name": "x", "questioned": SLUR, "reference": SLUR}],
    } | changed


def documents(**changed: object) -> dict[str, Any]:
    ratio = {"against": "independent", "lower": -1.25, "central": -0.5, "upper": 0.1, "tornado": [SLUR]}
    return {"schema": "whorl.documents/1", "ratios": [ratio], "remarks": [SLUR]} | changed


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (ancestor(), "the filer's log10 ratio against common ancestor -0.41"),
        (ancestor(reading=None, ratios=[]), "gave no figures"),
        (filtration(), "architecture: 2 of 5 left agree, 15 of 20 filtered"),
        (filtration(residues=[]), "Nothing was compared"),
        (documents(), "log10 ratio against independent between -1.25 and 0.10"),
        (documents(ratios=[]), "no ratio"),
    ],
)
def test_figures_are_told_and_no_sentence_of_a_side(document: dict[str, Any], says: str) -> None:
    found = told(document)
    assert found is not None
    assert says in found.says
    assert found.analysis == document["schema"]
    require_fair(found.says, where="opinion")


def test_whether_it_is_about_the_models_of_the_case() -> None:
    for models, about in ((MODELS, True), (MODELS[::-1], False), ((None, None), False)):
        found = told(ancestor(), models)
        assert found is not None
        assert found.about is about
    sides = {"questioned": {"digest": MODELS[0]}, "reference": {"digest": MODELS[1]}}
    for changed, about in (({}, None), (sides, True), (sides | {"reference": {"digest": MODELS[0]}}, False)):
        record = told(filtration(**changed))
        assert record is not None
        assert record.about is about


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"%PDF-1.7",
        b"[]",
        b"{",
        b'{"schema": "whorl.ancestor/1", "schema": "whorl.documents/1"}',
        json.dumps({"schema": "whorl.ancestor/2"}).encode(),
        json.dumps(ancestor(reading=SLUR)).encode(),
        json.dumps(ancestor(ratios=[{"against": "stolen", "log10_lr": 1.0}])).encode(),
        json.dumps(ancestor(ratios=[{"against": "same_data", "log10_lr": 1e300}])).encode(),
        json.dumps(ancestor(ratios=[{"against": "same_data", "log10_lr": float("nan")}])).encode(),
        json.dumps(filtration(residues=[{"filters": "all", "layers": [{"layer": "stolen"}]}])).encode(),
        json.dumps(documents(ratios=[{"against": "theft", "lower": 0.0, "upper": 1.0}])).encode(),
        json.dumps(documents(ratios=[{"against": "independent", "lower": 1.0, "upper": -1.0}])).encode(),
        json.dumps(documents(ratios=2 * documents()["ratios"])).encode(),
        json.dumps(ancestor(ratios=2 * ancestor()["ratios"])).encode(),
        json.dumps(ancestor(ratios=[{"against": "common_ancestor", "log10_lr": 999999.0}])).encode(),
        json.dumps(
            filtration(
                residues=[
                    {
                        "filters": "all",
                        "layers": [
                            {"layer": "recipe", "elements": 0, "filtered": 0, "compared": 1, "agreeing": 1000000}
                        ],
                    }
                ]
            )
        ).encode(),
        b'{"schema": "whorl.ancestor/1", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"schema": "whorl.documents/1", "x": "' + b"x" * MAX_HEARD_BYTES + b'"}',
    ],
    ids=range(19),
)
def test_what_is_no_such_analysis_stays_a_document_like_any_other(document: bytes) -> None:
    assert told(document) is None


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    told(data)
    told(b'{"schema": "whorl.ancestor/1",' + data)
