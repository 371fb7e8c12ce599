"""docs/validation-behaviour.md from the measured figures."""

from bench.behaviour.areas import MANY_ITEMS, TARGETS
from bench.behaviour.page_cases import cost_section, safety_section, teacher_section, trap_section
from bench.behaviour.page_tables import SPOKEN, Figures, between, percent, table

TOGETHER = ("macro mean", "pooled", "pooled, 100 items or more")


def page(results: Figures, ceiling: Figures) -> str:
    """The whole page."""
    lines = [
        "# Validation of behavioural scores on real answers",
        "",
        "Made by `make study-behaviour` (`python -m bench.behaviour.study REALDATA`) and written from "
        "`bench/behaviour/results.json`; do not edit. The answers are public; they are not in this repository.",
        "",
        *data_section(results["sets"]),
        *area_section(results["areas"], results["hits"]),
        *split_section(results["splits"]),
        *ceiling_section(ceiling),
        *rate_section(results["p"], results["p_of_splits"]),
        *ratio_section(results["ratios"]),
        *teacher_section(results["teachers"]),
        *safety_section(results["safety"]),
        *trap_section(results["traps"]),
        *cost_section(results["cost"], results["machine"], results["date"]),
        "",
        "Served models of known descent: [validation-live.md](validation-live.md). Identification from a few answers: "
        "[methods/identification.md](methods/identification.md).",
    ]
    return "\n".join(lines).rstrip() + "\n"


def beaten(row: Figures) -> str:
    """Whether the naive similarity is beaten, and whether the models suffice to show it."""
    if row["auc"] == row["naive"]:
        return "equal"
    word = "yes" if row["auc"] > row["naive"] else "no"
    shown = row["gain_lower"] > 0 or row["gain_upper"] < 0
    return f"{word}, {row['gain_lower']:+.3f} to {row['gain_upper']:+.3f}" + ("" if shown else ": not shown")


def data_section(sets: Figures) -> list[str]:
    """What was compared."""
    return [
        "## Data and rule",
        "",
        "Leave one family out: a pair is measured by models of other families than its two, and p and ratio rest on "
        "pairs of other families, as the program does it in any case. The units of a score are those of all unrelated "
        "pairs of the set. Where fewer than 10 models of other families are there, the program takes the table's own "
        "models as reference, relatives among them, and gives neither p nor ratio; the "
        "last column counts such pairs. Labels are what publishers documented; pairs of a student with another model "
        "of its teacher's family, with another student of its teacher, of wrappers, and of models of which nothing is "
        "documented are left out. Intervals are 95 % over resampled models, served variants of one model together. "
        "The scores were shaped while looking at these answers, so that the figures are optimistic for others.",
        "",
        *table(
            ("Data set", "Models", "Families", "Items", "Pairs with a score", "Without", "By the table's own models"),
            (
                (
                    name,
                    row["models"],
                    row["families"],
                    row["items"],
                    row["pairs"],
                    row["without_score"],
                    row["by_own_table"],
                )
                for name, row in sets.items()
            ),
        ),
    ]


def area_section(areas: Figures, hits: Figures) -> list[str]:
    """Area under the curve, relation by relation, beside the naive similarity."""
    lines = [
        "## How well related pairs are told from unrelated ones",
        "",
        "Area under the ROC curve. Naive: mean over items of the cosine of character 4-gram counts of the same "
        "normalised texts, on the same pairs. Beaten: whether the area is larger, with the interval of the difference; "
        '"not shown" where that holds 0.',
        "",
        *table(
            ("Relation", "Score", "Target", *(f"{name}: area" for name in TOGETHER), "Target reached"),
            (
                (
                    SPOKEN[relation],
                    found["score"],
                    TARGETS[relation],
                    *(between(found["rows"][name], "auc") for name in TOGETHER),
                    "yes" if found["rows"]["macro mean"]["auc"] >= TARGETS[relation] else "no",
                )
                for relation, found in areas.items()
            ),
        ),
    ]
    for relation, found in areas.items():
        lines += [f"### {SPOKEN[relation].capitalize()} (`score_{found['score']}`)", ""]
        lines += table(
            ("Data set", "Related", "Unrelated", "Models related", "Area", "Naive", "Naive beaten"),
            (
                (
                    name,
                    row.get("related", f"{row.get('sets')} sets"),
                    row.get("unrelated", ""),
                    row.get("models", ""),
                    between(row, "auc"),
                    f"{row['naive']:.3f}",
                    beaten(row),
                )
                for name, row in found["rows"].items()
            ),
        )
    lines += ["### Every score for every relation", "", "Mean over sets, and all pairs together after the slash.", ""]
    scores = list(next(iter(areas.values()))["by_every_score"])
    lines += table(
        ("Relation", *scores),
        (
            (
                SPOKEN[relation],
                *(f"{row['macro']:.3f} / {row['pooled']:.3f}" for row in found["by_every_score"].values()),
            )
            for relation, found in areas.items()
        ),
    )
    lines += [
        "### Found at 1 % false alarms",
        "",
        "Share of related pairs above the score that 1 % of all unrelated pairs reach, all sets together.",
        "",
        *table(
            ("Relation", "Pairs", "Whorl", "Naive"),
            (
                (SPOKEN[relation], row["related"], between(row["whorl"], "value"), between(row["naive"], "value"))
                for relation, row in hits.items()
            ),
        ),
    ]
    return lines + READING


def split_section(splits: Figures) -> list[str]:
    """The same within halves of the families."""
    lines = [
        "## Families split in halves",
        "",
        "As a stranger's table is scored: one half of the families is the population, the pairs within the other half "
        "are scored, and all of them by one reference. Three ways to part the families; an area is the mean over the "
        "halves in which a set has such pairs.",
        "",
    ]
    for relation, found in splits.items():
        lines += table(
            (f"{SPOKEN[relation].capitalize()} (`score_{found['score']}`)", "Related", "Area", "Naive", "Naive beaten"),
            (
                (
                    name,
                    row.get("related", f"{row.get('sets')} sets"),
                    between(row, "auc"),
                    f"{row['naive']:.3f}",
                    beaten(row),
                )
                for name, row in found["rows"].items()
            ),
        )
    return lines


def ceiling_section(ceiling: Figures) -> list[str]:
    """What labels could gain."""
    return [
        "## What labels could gain",
        "",
        "Made by `python -m bench.behaviour.ceiling REALDATA`. All eight measures of agreement that the scores are "
        "made of, and the naive similarity, joined by a logistic regression. In sample: its weights are learned from "
        "the very pairs that it judges. Left out: for each family, from pairs that do not touch it; areas are means "
        "over the families' related pairs, against unrelated pairs that touch the family, and Whorl's own score, which "
        "learns nothing from labels, on the same pairs. Sets with at least 20 related pairs of at least 2 families.",
        "",
        *table(
            ("Data set", "Relation", "Related", "Families", "In sample", "Whorl", "Left out", "Whorl, the same pairs"),
            (
                (
                    row["set"],
                    SPOKEN[row["relation"]],
                    row["pairs"],
                    row["families"],
                    f"{row['in_sample']:.3f}",
                    f"{row['own']:.3f}",
                    "" if row["held_out"] is None else f"{row['held_out']:.3f}",
                    "" if row["own_held_out"] is None else f"{row['own_held_out']:.3f}",
                )
                for row in ceiling["rows"]
            ),
        ),
        "Areas near the targets are mostly reached in sample alone. Left out, what was learned helps for student and "
        "teacher and on alpaca_eval, and does worse than the plain scores on most other sets: the answers come from a "
        "handful of families, and what tells one family's relatives from strangers does not tell the next one's.",
        "",
    ]


def rate_section(rates: Figures, of_splits: Figures) -> list[str]:
    """False alarms of the calibrated p."""
    lines = [
        "## False alarms of `calibrated_p`",
        "",
        "Share of unrelated pairs with a p at or below the level; no family of a pair was in its population. Nominal: "
        "5 % and 1 %. Without: unrelated pairs for which the population had too few unrelated pairs for a p.",
        "",
    ]
    for title, found in (("Leave one family out", rates), ("Halves", of_splits)):
        lines += table(
            (title, "Pairs", "Without", "At 5 %", "Count", "At 1 %", "Count"),
            (
                (
                    name,
                    row["pairs"],
                    row.get("without_p", ""),
                    percent(row["0.05"]),
                    row["0.05"]["count"],
                    percent(row["0.01"]),
                    row["0.01"]["count"],
                )
                for name, row in (*found["sets"].items(), ("all", found["pooled"]))
                if row["pairs"]
            ),
        )
    lines += table(
        ("Related pairs, leave one family out", "Pairs with a p", "At 5 %", "At 1 %"),
        (
            (SPOKEN[relation], row["pairs"], f"{100 * row['0.05']:.1f} %", f"{100 * row['0.01']:.1f} %")
            for relation, row in rates["related"].items()
            if row["pairs"]
        ),
    )
    return lines


def ratio_section(ratios: Figures) -> list[str]:
    """What ratios say where there are any."""
    lines = [
        "## Ratios of shared weights against unrelated",
        "",
        "`log10_lr` as reported: the end of the interval nearer 0, after the caps. Ratios need 50 controls, so that "
        "most sets have none. E[LR] of unrelated pairs should not exceed 1. Before: the calibration's centre, before "
        "interval and caps, which is never reported.",
        "",
    ]
    for name, found in ratios.items():
        lines += table(
            (f"{name}", "Pairs", "Without", "E[LR]", "LR > 1", "LR >= 10", "Largest log10 LR", "E[LR] before"),
            (
                (
                    SPOKEN[relation],
                    row["pairs"],
                    row["without_ratio"],
                    f"{row['mean']:.2f}",
                    f"{row['above_1']['count']} ({100 * row['above_1']['rate']:.1f} %)",
                    row["above_10"]["count"],
                    f"{row['largest_log10']:.2f}",
                    f"{row['mean_central']:.2f}",
                )
                for relation, row in found["relations"].items()
            ),
        )
        if "cllr" in found:
            lines += [
                f"Cllr of {name}, same weights and derived against unrelated: {found['cllr']:.3f} as reported, "
                f"{found['cllr_central']:.3f} before (1 is the cost of saying nothing).",
                "",
            ]
    return lines


READING = [
    f"Sets with fewer than {MANY_ITEMS} items are in the first two columns of the first table and not in the third.",
    "",
]
