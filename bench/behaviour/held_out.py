"""Every pair scored by models of other families than its two."""

import hashlib
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.behaviour.naive import naive_similarity
from bench.behaviour.realdata import RealData
from whorl.comparison import agreement as agreeing
from whorl.comparison.agreement import Agreement, agreement, groups_of
from whorl.comparison.answer_pairs import LEAST_CONTROL_MODELS
from whorl.comparison.answer_scores import (
    LEAST_MODELS_OF_A_SET,
    QUESTIONS,
    LabelledScores,
    PairScores,
    Ratio,
    Weighing,
    labelled_scores,
    score_pairs,
)
from whorl.core.arrays import AnyArray, Doubles
from whorl.fingerprints import answer_kernels as kernels
from whorl.fingerprints.answer_table import AnswerTable
from whorl.statistics.model_calibration import LEAST_CONTROLS

NAIVE = "naive"
NO_LABELLED = LabelledScores(pairs=(), controls=0)  # where there are too few controls for a ratio anyhow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPairs:
    """All pairs of one data set that have a score.

    Parameters
    ----------
    dataset, models, families : families are those of the models
    items : questions of the data set
    left, right : shape (n,), places of each pair's models
    relation : shape (n,), documented relation
    scores : question, or `NAIVE` -> shape (n,)
    p : shape (n,), NaN where the population has too few unrelated pairs
    log10_lr, central : shape (n,), the capped ratio and the one before shrinking and caps; NaN where there is none
    by_own_table : shape (n,), bool: fewer than 10 controls were left, and the reference is the table itself
    without_score : pairs with too few questions in common
    """

    dataset: str
    models: tuple[str, ...]
    families: tuple[str, ...]
    items: int
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    relation: NDArray[np.str_]
    scores: dict[str, Doubles]
    p: Doubles
    log10_lr: Doubles
    central: Doubles
    by_own_table: NDArray[np.bool_]
    without_score: int

    def chosen(self, *relations: str) -> AnyArray:
        """Which pairs stand in one of these relations."""
        return np.isin(self.relation, relations)


class HeldOutScores:
    """Scores with families left out. Comparisons of answers are kept in a folder, for they take the time.

    A pair is measured by models of other families than its two in any case (`whorl.comparison.agreement`), and p and
    ratio leave both families out, so that one comparison of a table gives every pair without its families. Only what
    one of the two has in common with third models is weighed with the other's family among those that say what is
    usual; where both are unknown, as in `split_pairs`, it is not.
    """

    def __init__(self, data: RealData, kept: Path) -> None:
        self._data = data
        self._kept = kept
        self._pairs: dict[tuple[str, bytes | None], PairScores] = {}
        self._labelled: dict[frozenset[str], LabelledScores] = {}
        self._naive: dict[str, Doubles] = {}
        self._digests = {table.dataset: _digest(table) for table in data.tables}

    def left_out_pairs(self, table: AnswerTable) -> ScoredPairs:
        """Every pair of a table, each by the models of all other families."""
        families = [self._data.family(model) for model in table.models]
        sizes = Counter(families)
        left, right = np.nonzero(np.tril(np.ones((len(families), len(families)), bool), -1))
        controlled = np.array(
            [
                len(families) - sum(sizes[name] for name in {families[one], families[other]}) >= LEAST_CONTROL_MODELS
                for one, other in _places(left, right)
            ],
            dtype=bool,
        )
        return self._pairs_by(
            table, self.by_other_families(table), self._labelled_without(frozenset()), left, right, controlled
        )

    def split_pairs(self, table: AnswerTable, half: frozenset[str]) -> ScoredPairs | None:
        """The pairs within one half of the families, by the population of the other half; None where it is too small.

        So a stranger's table is scored: all of its pairs by one population that knows none of their families.
        """
        inside = np.array([self._data.family(model) in half for model in table.models])
        if np.count_nonzero(~inside) < LEAST_CONTROL_MODELS or np.count_nonzero(inside) < 2:
            return None
        left, right = np.nonzero(np.tril(np.outer(inside, inside), -1))
        scored = self._scored(table, ~inside)
        enough = np.count_nonzero(~inside) >= LEAST_CONTROLS
        labelled = self._labelled_without(half) if enough else NO_LABELLED
        return self._pairs_by(table, scored, labelled, left, right, np.ones(left.size, bool))

    def by_other_families(self, table: AnswerTable) -> PairScores:
        """All of a table's pairs, every model a reference for pairs of other families."""
        return self._scored(table, np.ones(len(table.models), bool))

    def _pairs_by(
        self,
        table: AnswerTable,
        found: PairScores,
        labelled: LabelledScores,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        controlled: NDArray[np.bool_],
    ) -> ScoredPairs:
        """Pairs at places; those without controls as the program scores them by the table itself."""
        own = found if controlled.all() else self._scored(table, None)
        places = (left, right)
        scores = {
            name: np.where(controlled, found.scores[name][places], own.scores[name][places]) for name in QUESTIONS
        }
        figures = {name: np.full(left.size, np.nan) for name in ("p", "log10_lr", "central")}
        weighing = Weighing(found, labelled)
        for number in np.flatnonzero(controlled & ~np.isnan(scores["same_weights"])):
            weighed = weighing.weigh(int(left[number]), int(right[number]))
            figures["p"][number] = np.nan if weighed.p is None else weighed.p
            if isinstance(weighed.ratio, Ratio):
                figures["log10_lr"][number] = weighed.ratio.log10_lr
                figures["central"][number] = weighed.ratio.central
        known = ~np.isnan(scores["same_weights"])
        names = [(table.models[one], table.models[other]) for one, other in _places(left, right)]
        relation = np.array([self._data.labels[table.dataset, *pair] for pair in names])
        scores[NAIVE] = self._naive_of(table)[left, right]
        return ScoredPairs(
            dataset=table.dataset,
            models=table.models,
            families=tuple(self._data.family(model) for model in table.models),
            items=len(table.items),
            left=left[known],
            right=right[known],
            relation=relation[known],
            scores={name: values[known] for name, values in scores.items()},
            p=figures["p"][known],
            log10_lr=figures["log10_lr"][known],
            central=figures["central"][known],
            by_own_table=~controlled[known],
            without_score=int(np.count_nonzero(~known)),
        )

    def _naive_of(self, table: AnswerTable) -> Doubles:
        if table.dataset not in self._naive:
            self._naive[table.dataset] = naive_similarity(table)
        return self._naive[table.dataset]

    def _scored(self, table: AnswerTable, reference: NDArray[np.bool_] | None) -> PairScores:
        """All of a table's pairs by some of its models; None: by all of them, relatives among them."""
        key = table.dataset, None if reference is None else reference.tobytes()
        if key not in self._pairs:
            groups = np.arange(len(table.models))
            if reference is not None:
                groups = groups_of(table.models, self._data.lineage)
            found = self._agreement(table, np.ones(len(groups), bool) if reference is None else reference, groups)
            self._pairs[key] = replace(score_pairs(found, self._data.lineage), agreement=replace(found, means={}))
        return self._pairs[key]

    def _labelled_without(self, families: frozenset[str]) -> LabelledScores:
        """The scores of known truth that a population without these families holds."""
        if families not in self._labelled:
            self._labelled[families] = labelled_scores(self._population(families), self._data.lineage)
        return self._labelled[families]

    def _population(self, families: frozenset[str]) -> Iterator[PairScores]:
        for table in self._data.tables:
            kept = np.array([self._data.family(model) not in families for model in table.models])
            if np.count_nonzero(kept) >= LEAST_MODELS_OF_A_SET:
                yield _among(self._scored(table, kept), kept)

    def _agreement(self, table: AnswerTable, reference: NDArray[np.bool_], groups: NDArray[np.int64]) -> Agreement:
        told = self._digests[table.dataset] + reference.tobytes() + groups.tobytes()
        name = hashlib.sha256(told).hexdigest()[:24]
        file = self._kept / f"{table.dataset}-{name}.npz"
        if file.is_file():
            with np.load(file, allow_pickle=False) as stored:
                means = {key: stored[key] for key in stored.files if key != "items"}
                return Agreement(models=table.models, reference=reference, items=stored["items"], means=means)
        print(f"comparing {table.dataset}, {np.count_nonzero(~reference)} of {len(reference)} left out", flush=True)
        found = agreement(table, reference, groups)
        self._kept.mkdir(parents=True, exist_ok=True)
        np.savez(file, items=found.items, **found.means)
        return found


def _among(pairs: PairScores, kept: NDArray[np.bool_]) -> PairScores:
    """The part of scores that is about these models."""
    block = np.ix_(kept, kept)
    found = pairs.agreement
    return PairScores(
        agreement=Agreement(
            models=tuple(np.array(found.models, object)[kept]),
            reference=found.reference[kept],
            items=found.items[block],
            means={},
        ),
        scores={name: values[block] for name, values in pairs.scores.items()},
        unrelated=pairs.unrelated[block],
        families=tuple(np.array(pairs.families, object)[kept]),
    )


def _places(left: AnyArray, right: AnyArray) -> Iterator[tuple[int, int]]:
    return zip(left.tolist(), right.tolist(), strict=True)


def _digest(table: AnswerTable) -> bytes:
    """What a kept comparison depends on: the answers, and how they are compared."""
    told = hashlib.sha256(table.dataset.encode())
    for module in (agreeing, kernels):
        told.update(inspect.getsource(module).encode())
    for part in (*table.models, *table.items, *(str(answer) for answer in table.answers.flat)):
        told.update(part.encode("utf-8", "surrogatepass") + b"\x00")
    return told.digest()
