"""Sections of docs/validation-behaviour.md on teachers, safety failures, known traps and cost."""

from bench.behaviour.page_tables import SPOKEN, Figures, between, optional, percent, table


def teacher_section(teachers: Figures) -> list[str]:
    """Who taught whom."""
    return [
        "## Teacher attribution",
        "",
        "Students with a documented teacher among the models of their set; candidates are all models of other "
        "families, ranked by `score_taught`. Named: the first "
        "candidate's score is above what 5 % of models of other families reach with any unrelated candidate; below "
        'it the answer is "none of these". Chance: teachers among the candidates. Unrelated named: share of all models '
        "for which an unrelated candidate would be named if only unrelated ones were there.",
        "",
        *table(
            (
                "Data set",
                "Students",
                "Families",
                "Candidates",
                "Chance",
                "Teacher first",
                "Teacher's family first",
                "Named",
                "Named, right family",
                "Named, wrong family",
                "Unrelated named",
            ),
            (
                (
                    name,
                    row["students"],
                    row["families"],
                    f"{row['candidates']:.0f}",
                    f"{100 * row['chance']:.1f} %",
                    f"{row['first']['count']}: {percent(row['first'])}",
                    f"{row['first_of_family']['count']}: {percent(row['first_of_family'])}",
                    row["named"]["count"],
                    row["named_family_right"]["count"],
                    row["named_wrong"]["count"],
                    f"{100 * row['without_teacher']['named']:.1f} % of {row['without_teacher']['models']}",
                )
                for name, row in teachers.items()
            ),
        ),
    ]


def safety_section(safety: Figures) -> list[str]:
    """How little safety failures say of lineage."""
    rows = []
    for name, found in safety.items():
        for kind, spoken in (("lineage", "common weights"), ("family", "same family or common weights")):
            figures = found[kind]
            if figures:
                one = next(iter(figures.values()))
                shown = [between(figures[score], "auc") if score in figures else "none" for score in SCORES]
                rows.append((name, spoken, f"{one['related']} / {one['unrelated']}", *shown))
    silent = [name for name, found in safety.items() if not found["lineage"] and not found["family"]]
    return [
        "## Safety failures",
        "",
        "Judged answers (complied, evaded, refused, harmful, ...). Area under the ROC curve against unrelated pairs: "
        "of raw agreement; of agreement of residuals once the items are taken away (z); of the answer-copying index. "
        "Controls are the models of all other families, of which these sets have 1 to 11. `whorl compare` asks for 8, "
        "and never lets this figure support a statement about lineage.",
        "",
        *table(("Data set", "Told apart", "Related / unrelated", "Agreement", "Residual z", "Copying index"), rows),
        f"Nothing to tell apart: {', '.join(silent)}." if silent else "",
        "",
    ]


SCORES = ("agreement", "z", "matches")


def trap_section(traps: Figures) -> list[str]:
    """Cases that stay tests: `tests/comparison/test_real_answers.py`."""
    return [
        "## Known traps",
        "",
        "Each is a test in `tests/comparison/test_real_answers.py`: none of them may become a claim.",
        "",
        *_guard_prompt(traps["guard_prompt"]),
        *_regulation(traps["regulation"]),
        *_lost_guardrails(traps["lost_guardrails"]),
        *_inline_reasoning(traps["inline_reasoning"]),
        *_templates(traps["templates"]),
    ]


def _guard_prompt(rows: Figures) -> list[str]:
    return [
        "### A stranger under a safety prompt (XSTest)",
        "",
        "Two open models of different makers, each with and without a safety prompt.",
        "",
        *table(
            (
                "Pair",
                "Judged alike",
                "Residual z",
                "Controls",
                "score_derived",
                "Share of unrelated pairs below",
                "calibrated_p",
                "log10_lr",
            ),
            (
                (
                    name,
                    f"{row['agreement']:.2f}",
                    optional(row["z"]),
                    row["controls"],
                    f"{row['score_derived']:.1f}",
                    f"{row['above_unrelated']:.2f}",
                    optional(row["p"]),
                    optional(row["log10_lr"]),
                )
                for name, row in rows.items()
            ),
        ),
    ]


def _regulation(row: Figures) -> list[str]:
    nearest = row["nearest_on_chinese_questions"]
    return [
        "### One regulation, two makers (SpeechMap)",
        "",
        f"{row['pairs']} pairs of a DeepSeek and a GLM model, unrelated as far as is documented: median residual z "
        f"{row['median_z']:.2f}, largest {row['largest_z']:.2f}; other unrelated pairs: median "
        f"{row['median_z_of_other_strangers']:.2f}. On the questions in Chinese the nearest pair of all is "
        f"{SPOKEN.get(nearest['relation'], nearest['relation'])}, of {' and '.join(nearest['families'])} "
        f"(z {nearest['z']:.2f}). Ratios given for these pairs: {row['with_a_ratio']}, above 1: "
        f"{row['with_a_ratio_above_1']}.",
        "",
    ]


def _lost_guardrails(rows: Figures) -> list[str]:
    return [
        "### Guardrails trained away (SpeechMap)",
        "",
        "Descendants of deepseek-r1 that were trained to answer what it refuses. Judged answers say that most "
        "unrelated pairs are nearer; the texts say what they descend from.",
        "",
        *table(
            (
                "Descendant",
                "Judged alike",
                "Unrelated pairs judged alike more often",
                "Residual z",
                "Share of unrelated pairs below, score_derived",
                "calibrated_p",
            ),
            (
                (
                    name,
                    f"{row['agreement']:.2f}",
                    f"{100 * row['unrelated_pairs_that_agree_more']:.0f} %",
                    optional(row["z"]),
                    f"{row['above_unrelated']:.2f}",
                    optional(row["p"], ".3f"),
                )
                for name, row in rows.items()
            ),
        ),
    ]


def _inline_reasoning(found: Figures) -> list[str]:
    return [
        "### Inline reasoning (SpeechMap)",
        "",
        f"The beginning of the reasoning (800 characters, what was kept) put back in front of {found['answers']} "
        f"answers of {found['models']} models. In `<think>` tags it changes "
        f"{found['texts_changed_by_tagged_reasoning']} of the normalised texts. Left in without tags, this happens "
        "(all models as reference, relatives among them):",
        "",
        *table(
            ("Score", "Reasoning", "Mean, both reason inline", "Mean, one of two relatives does", "Area for lineage"),
            (
                (
                    score,
                    state,
                    f"{row['both_reason_inline']:.2f}",
                    f"{row['one_of_two_relatives_does']:.2f}",
                    f"{row['auc_of_lineage']:.3f}",
                )
                for state in ("taken off", "left in")
                for score, row in found[state].items()
            ),
        ),
    ]


def _templates(sets: Figures) -> list[str]:
    lines = [
        "### Prompt templates",
        "",
        "Pairs asked through one template and through two; the area is against unrelated pairs of one template.",
        "",
    ]
    for name, relations in sets.items():
        lines += table(
            (name, "Template", "Pairs", "Median score", "Area", "Naive", "p at most 5 %", "Ratios above 1"),
            (
                (
                    SPOKEN[relation],
                    alike,
                    row["pairs"],
                    f"{row['median_score']:.2f}",
                    optional(row["auc_against_strangers_of_one_template"], ".3f"),
                    optional(row["naive_auc"], ".3f"),
                    "none" if row["p_at_most_5_percent"] is None else f"{100 * row['p_at_most_5_percent']:.1f} %",
                    row["ratios_above_1"],
                )
                for relation, rows in relations.items()
                for alike, row in rows.items()
            ),
        )
    return lines


def cost_section(cost: Figures, machine: Figures, date: str) -> list[str]:
    """Time and memory, as measured."""
    return [
        "## Cost",
        "",
        f"{cost['tables']} tables, {cost['answers']:,} answers; the population: {cost['population_megabytes']} MB.",
        "",
        *table(
            ("Command", "Seconds", "of them computing", "Peak memory, MB"),
            (
                (f"`{command}`", row["wall_seconds"], row["cpu_seconds"], row["peak_megabytes"])
                for command, row in cost["commands"].items()
            ),
        ),
        f"Measured on {date}, {machine['cores']} cores ({machine['processor']}), load {machine['load_before']} before "
        f"the study, Python {machine['python']}, numpy {machine['numpy']}.",
        "",
    ]
