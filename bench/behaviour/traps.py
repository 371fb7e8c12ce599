"""Where agreement misleads: cases that were accusations waiting to be made, measured on real answers."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from bench.behaviour.held_out import NAIVE, ScoredPairs
from bench.behaviour.naive import naive_similarity
from bench.behaviour.realdata import RealData
from bench.behaviour.safety import Judged, SafetyPair, read_judged, safety_pairs
from whorl.comparison.agreement import agreement
from whorl.comparison.answer_scores import score_pairs
from whorl.core.arrays import AnyArray
from whorl.fingerprints.answer_table import Answer, AnswerTable, answer_tables
from whorl.statistics.roc import auc

GUARDED: Final = "mistral-7b-instruct-v0.1@guard-prompt"
UNGUARDED: Final = "mistral-7b-instruct-v0.1"
STRANGER: Final = "llama-2-70b-chat@no-system-prompt"
STRANGER_PROMPTED: Final = "llama-2-70b-chat@orig-system-prompt"
ANCESTOR: Final = "deepseek-r1"
LOST_GUARDRAILS: Final = ("r1-1776", "mai-ds-r1")
REGULATED: Final = ("deepseek", "glm")
CHINESE_QUESTIONS: Final = "zh_china_criticism"


def traps(data: RealData, scored: Sequence[ScoredPairs]) -> dict[str, Any]:
    """All of them."""
    judged = {one.dataset: one for one in read_judged(data)}
    by_set = {one.dataset: one for one in scored}
    return {
        "guard_prompt": guard_prompt(data, judged["xstest_v2"], by_set["xstest_v2"]),
        "regulation": regulation(data, judged["speechmap"], by_set["speechmap"]),
        "lost_guardrails": lost_guardrails(data, judged["speechmap"], by_set["speechmap"]),
        "inline_reasoning": inline_reasoning(data),
        "templates": {name: templates(data, by_set[name]) for name in ("humaneval_2023", "can_ai_code")},
    }


def place_of(pairs: ScoredPairs, one: str, other: str) -> int:
    """Where a pair stands among a set's pairs."""
    names = {pairs.models.index(one), pairs.models.index(other)}
    return next(number for number, both in enumerate(_places(pairs)) if set(both) == names)


def text_figures(pairs: ScoredPairs, one: str, other: str) -> dict[str, Any]:
    """What the answers' texts say of a pair: scores, p and ratio, None where there is none."""
    number = place_of(pairs, one, other)
    unrelated = pairs.scores["derived"][pairs.chosen("unrelated")]
    return {
        "score_derived": float(pairs.scores["derived"][number]),
        "above_unrelated": float((unrelated < pairs.scores["derived"][number]).mean()),
        "p": _number(pairs.p[number]),
        "log10_lr": _number(pairs.log10_lr[number]),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def judged_figures(found: Sequence[SafetyPair], one: str, other: str) -> dict[str, Any]:
    """What the judged answers say of a pair."""
    pair = next(pair for pair in found if {pair.one, pair.other} == {one, other})
    return {"relation": pair.relation, "agreement": pair.agreement, "z": pair.z, "controls": pair.controls}


def guard_prompt(data: RealData, judged: Judged, texts: ScoredPairs) -> dict[str, Any]:
    """A stranger under a comparable safety prompt refuses more alike than the same weights without one."""
    found = safety_pairs(data, judged)
    return {
        name: {**judged_figures(found, *pair), **text_figures(texts, *pair)}
        for name, pair in {
            "stranger, both refuse much": (GUARDED, STRANGER),
            "stranger with its own system prompt": (GUARDED, STRANGER_PROMPTED),
            "same weights with and without guard prompt": (GUARDED, UNGUARDED),
            "same weights, two system prompts": (STRANGER, STRANGER_PROMPTED),
        }.items()
    }


def regulation(data: RealData, judged: Judged, texts: ScoredPairs) -> dict[str, Any]:
    """Models of two makers under one regulation, unrelated as far as is documented."""
    found = safety_pairs(data, judged)
    between = [
        pair
        for pair in found
        if pair.relation == "unrelated" and {data.family(pair.one), data.family(pair.other)} == set(REGULATED)
    ]
    others = [pair for pair in found if pair.relation == "unrelated" and pair not in between and pair.z is not None]
    chinese = safety_pairs(data, _only(data, judged, CHINESE_QUESTIONS))
    nearest = max((pair for pair in chinese if pair.z is not None), key=lambda pair: pair.z or 0.0)
    numbers = [place_of(texts, pair.one, pair.other) for pair in between]
    return {
        "pairs": len(between),
        "median_z": float(np.median([pair.z for pair in between if pair.z is not None])),
        "largest_z": max(pair.z for pair in between if pair.z is not None),
        "median_z_of_other_strangers": float(np.median([pair.z for pair in others])),
        "with_a_ratio_above_1": int(np.count_nonzero(texts.log10_lr[numbers] > 0)),
        "with_a_ratio": int(np.count_nonzero(~np.isnan(texts.log10_lr[numbers]))),
        "nearest_on_chinese_questions": {
            "relation": nearest.relation,
            "families": sorted({data.family(nearest.one), data.family(nearest.other)}),
            "z": nearest.z,
        },
    }


def _only(data: RealData, judged: Judged, part: str) -> Judged:
    rows = pq.read_table(data.folder / "safety_matrix.parquet", columns=["dataset", "prompt_id"]).to_pylist()
    items = sorted({row["prompt_id"] for row in rows if row["dataset"] == judged.dataset})
    kept = [place for place, item in enumerate(items) if part in item]
    return Judged(dataset=judged.dataset, models=judged.models, classes=judged.classes, codes=judged.codes[:, kept])


def lost_guardrails(data: RealData, judged: Judged, texts: ScoredPairs) -> dict[str, Any]:
    """Descendants that were trained to answer what their ancestor refuses."""
    found = safety_pairs(data, judged)
    unrelated = np.array([pair.agreement for pair in found if pair.relation == "unrelated"])
    rows = {}
    for model in LOST_GUARDRAILS:
        figures = judged_figures(found, ANCESTOR, model)
        rows[model] = {
            **figures,
            "unrelated_pairs_that_agree_more": float((unrelated > figures["agreement"]).mean()),
            **text_figures(texts, ANCESTOR, model),
        }
    return rows


def inline_reasoning(data: RealData) -> dict[str, Any]:
    """Reasoning put back in front of the answers of models that gave it inline, in tags and bare."""
    rows = pq.read_table(data.folder / "speechmap.parquet").to_pylist()
    heads = [json.loads(row["extra"]).get("reasoning_head") for row in rows]
    reasoning = sorted({row["model"] for row, head in zip(rows, heads, strict=True) if head})
    tagged, bare = (
        _table(rows, [form.format(head=head) if head else "" for head in heads])
        for form in ("<think>\n{head}\n</think>\n\n", "{head}\n\n")
    )
    plain = _table(rows, [""] * len(rows))
    found: dict[str, Any] = {
        "answers": sum(head is not None and head != "" for head in heads),
        "models": len(reasoning),
        "texts_changed_by_tagged_reasoning": int(np.count_nonzero(tagged.answers != plain.answers)),
    }
    for name, table in (("taken off", plain), ("left in", bare)):
        found[name] = _reasoning_figures(data, table, reasoning)
    return found


def _table(rows: Sequence[dict[str, str]], before: Sequence[str]) -> AnswerTable:
    return answer_tables(
        Answer(
            dataset=row["dataset"],
            model=row["model"],
            prompt_id=row["prompt_id"],
            response=head + row["response"],
        )
        for row, head in zip(rows, before, strict=True)
    )[0]


def _reasoning_figures(data: RealData, table: AnswerTable, reasoning: Sequence[str]) -> dict[str, Any]:
    found = score_pairs(agreement(table, np.ones(len(table.models), bool)), data.lineage).scores["line"]
    naive = naive_similarity(table)
    inline = np.isin(table.models, reasoning)
    left, right = np.nonzero(np.tril(np.ones_like(found, dtype=bool), -1))
    relation = np.array(
        [data.labels[table.dataset, table.models[a], table.models[b]] for a, b in zip(left, right, strict=True)]
    )
    within = inline[left] & inline[right]
    across = (inline[left] != inline[right]) & np.isin(relation, ["derived", "siblings"])
    used = np.isin(relation, ["derived", "siblings", "unrelated"])
    return {
        name: {
            "both_reason_inline": float(values[left, right][within].mean()),
            "one_of_two_relatives_does": float(values[left, right][across].mean()),
            "auc_of_lineage": auc(values[left, right][used], relation[used] != "unrelated"),
        }
        for name, values in (("line", found), (NAIVE, naive))
    }


def templates(data: RealData, pairs: ScoredPairs) -> dict[str, Any]:
    """Pairs asked through one prompt template, and through two, each told from unrelated pairs asked through one."""
    asked = _templates_of(data, pairs)
    same = np.array([asked[pairs.models[a]] == asked[pairs.models[b]] for a, b in _places(pairs)], bool)
    strangers = pairs.chosen("unrelated") & same
    found: dict[str, Any] = {}
    for relation in ("same_weights", "derived", "siblings", "unrelated"):
        for name, alike in (("one template", same), ("two templates", ~same)):
            chosen = pairs.chosen(relation) & alike
            if chosen.any():
                found.setdefault(relation, {})[name] = _template_figures(pairs, chosen, strangers)
    return found


def _template_figures(pairs: ScoredPairs, chosen: AnyArray, strangers: AnyArray) -> dict[str, Any]:
    scores, p = pairs.scores["same_weights"], pairs.p[chosen]
    both, ratios = chosen | strangers, pairs.log10_lr[chosen]
    told = strangers.any() and not (chosen & strangers).any()
    return {
        "pairs": int(chosen.sum()),
        "median_score": float(np.median(scores[chosen])),
        "auc_against_strangers_of_one_template": auc(scores[both], chosen[both]) if told else None,
        "naive_auc": auc(pairs.scores[NAIVE][both], chosen[both]) if told else None,
        "p_at_most_5_percent": None if np.isnan(p).all() else float((p[~np.isnan(p)] <= 0.05).mean()),
        "ratios_above_1": int(np.count_nonzero(ratios > 0)),
    }


def _templates_of(data: RealData, pairs: ScoredPairs) -> dict[str, frozenset[str]]:
    """Templates by model; where none is recorded, the variant's name tells it."""
    rows = pq.read_table(data.folder / f"{pairs.dataset}.parquet", columns=["model", "extra"]).to_pylist()
    found: dict[str, set[str]] = {}
    for row in rows:
        told = json.loads(row["extra"])
        variant = re.sub(r"^gptq\+|_starplus_\d+$", "", row["model"].partition("@")[2])
        found.setdefault(row["model"], set()).add(f"{told.get('template', variant)} {told.get('greedy', '')}")
    return {model: frozenset(names) for model, names in found.items()}


def _places(pairs: ScoredPairs) -> Iterator[tuple[int, int]]:
    return zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
