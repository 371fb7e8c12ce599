"""Filtered prompts and documents, measured: ``python -m bench.case_evidence``; the figures of their method pages."""

import time

import numpy as np

from whorl.cases.document_net import weigh_documents
from whorl.cases.documents import Alibi, DatedDocument, Exhibits, Range
from whorl.cases.prompt_filtering import filtered_prompts
from whorl.fingerprints.answer_table import AnswerTable

RUNS = 1000
PANEL = 19
PROMPTS = 300


def answers(rng: np.random.Generator, models: int, copy: float) -> AnswerTable:
    """Models that draw answers by each prompt's own habits; the last one copies the first with a probability."""
    habits = rng.dirichlet(np.full(6, 0.35), PROMPTS)
    drawn = (rng.random((PROMPTS, models, 1)) > habits.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
    copied = rng.random(PROMPTS) < copy
    drawn[copied, -1] = drawn[copied, 0]
    names = tuple(f"m{number:02}" for number in range(models))
    items = tuple(f"q{number:03}" for number in range(PROMPTS))
    return AnswerTable(dataset="drawn", models=names, items=items, answers=drawn.astype(str).astype(object))


def ranks(copy: float, runs: int) -> list[float]:
    """Ranks of the questioned model among a panel, over repeated draws."""
    found = []
    for seed in range(runs):
        table = answers(np.random.default_rng([seed, int(100 * copy)]), PANEL + 2, copy)
        (one,) = filtered_prompts(
            table, questioned=table.models[-1], reference=table.models[0], panel=list(table.models[1:-1])
        )
        if one.rank is not None:
            found.append(one.rank)
    return found


def exhibits(documents: int) -> Exhibits:
    """A deposit, and so many logs of one party with wide ranges."""

    def between(lower: float, upper: float) -> Range:
        return Range(lower=lower, upper=upper)

    logs = tuple(
        DatedDocument(
            code=f"D-{number}",
            kind="training_log",
            filed_by="respondent",
            says="the model was trained from random weights",
            true_under=("independent", "shared_data", "shared_teacher", "published_idea"),
            kept=between(0.5, 0.9),
            genuine_passes=between(0.8, 0.99),
            attempted=between(0.3, 1.0),
            forged_passes=between(0.02, 0.3),
            grounds="for measuring",
        )
        for number in range(1, documents + 1)
    )
    alibi = Alibi(
        code="D-9",
        filed_by="respondent",
        existed_by="2025-03-01T00:00:00Z",
        reference_reachable_from="2025-06-01T00:00:00Z",
        early_access=between(0.0, 0.02),
        failure=between(0.003, 0.01),
        grounds="for measuring",
    )
    return Exhibits(documents=logs, alibis=(alibi,), willing={"respondent": between(0.05, 0.3)})


def main() -> None:
    """Print both tables."""
    print("| Questioned model copies | Runs with prompts left | Rank at its least | Rank <= 0.1 |")
    print("| --- | --- | --- | --- |")
    for copy in (0.0, 0.05, 0.2):
        found = np.array(ranks(copy, RUNS))
        least = np.isclose(found, 1 / (PANEL + 1))
        print(f"| {copy:.0%} | {len(found)} of {RUNS} | {least.mean():.1%} | {(found <= 0.1).mean():.1%} |")
    print("\n| Documents beside a deposit | log10 against independent | against same seed | exact | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for count in (0, 1, 2, 3, 4):
        start = time.perf_counter()
        weight = weigh_documents(exhibits(count))
        took = time.perf_counter() - start
        shown = {one.against: f"{one.lower:.2f} to {one.upper:.2f}" for one in weight.ratios}
        exact = "yes" if all(one.exact for one in weight.ratios) else "no"
        print(f"| {count} | {shown['independent']} | {shown['same_seed']} | {exact} | {took:.1f} |")


if __name__ == "__main__":
    main()
