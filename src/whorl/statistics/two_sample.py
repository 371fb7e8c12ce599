"""Do two endpoints give answers of one distribution? A kernel two-sample test, permuted within prompts.

Null: for every prompt, the answers of both endpoints are independent draws from one distribution. Permuting which
answers of a prompt belong to whom then gives an exact p-value for any kernel, any prompts and unequal numbers of
answers. It is about the *endpoint*: weights, system prompt, sampling settings and server together. Not rejecting is no
proof of sameness: it is worth what `swap_power` says. Method page: ``docs/methods/same_endpoint.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whorl.core.arrays import AnyArray, Doubles
from whorl.statistics.detection_power import DetectionPower, detection_power
from whorl.statistics.not_testable import NotTestable

LEAST_ANSWERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptGram:
    """Similarities of all answers to one prompt.

    Parameters
    ----------
    gram : shape (n, n), symmetric, finite; the reference's answers first
    reference : how many of them are the reference's
    """

    gram: Doubles
    reference: int

    def __post_init__(self) -> None:
        gram = self.gram
        if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not 0 <= self.reference <= len(gram):
            raise ValueError(f"expected a square matrix holding {self.reference} reference answers, got {gram.shape}")
        if not np.isfinite(gram).all() or not np.allclose(gram, gram.T, atol=1e-9):
            raise ValueError("similarities must be finite and symmetric")

    @property
    def questioned(self) -> int:
        """How many answers are the questioned endpoint's."""
        return len(self.gram) - self.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSampleTest:
    """Answers of two endpoints compared prompt by prompt.

    Parameters
    ----------
    prompts : prompts with at least 2 answers of each endpoint
    answers : answers to them, of both
    mmd2 : unbiased squared maximum mean discrepancy, mean over prompts; about 0 under the null, also below
    p : (1 + permutations at least as large) / (1 + permutations)
    """

    prompts: int
    answers: int
    mmd2: float
    p: float


def two_sample_test(
    prompts: Sequence[PromptGram], *, permutations: int, rng: np.random.Generator
) -> TwoSampleTest | NotTestable:
    """Sum over prompts of the unbiased MMD^2, each prompt's answers permuted among themselves.

    Parameters
    ----------
    prompts : prompts with fewer than 2 answers of an endpoint are left out
    permutations : 999 or more; p is never below 1 / (1 + permutations)

    Notes
    -----
    Pooling all answers and permuting them across prompts, as is common, tests something else: that would mix
    differences between prompts into the null.

    References
    ----------
    Gretton et al., Journal of Machine Learning Research 13, 2012. Phipson and Smyth, Statistical Applications in
    Genetics and Molecular Biology 9(1), 2010 (the added 1).
    """
    if permutations < 1:
        raise ValueError(f"expected at least 1 permutation, got {permutations}")
    used = [prompt for prompt in prompts if min(prompt.reference, prompt.questioned) >= LEAST_ANSWERS]
    if not used:
        return NotTestable(
            reason="too_few_items",
            detail=f"expected a prompt with at least {LEAST_ANSWERS} answers of each endpoint, found none of "
            f"{len(prompts)}; draw more answers",
        )
    if all(np.ptp(prompt.gram) <= 1e-12 for prompt in used):
        return NotTestable(
            reason="no_variation",
            detail=f"all answers to each of {len(used)} prompts are the same; the test has nothing to permute",
        )
    drawn = np.zeros(permutations + 1)
    for prompt in used:
        drawn += unbiased_mmd2(prompt.gram, _memberships(prompt, permutations, rng))
    # The observed split among the permuted ones gives the same sum up to rounding, and is a tie.
    margin = 1e-12 * max(1.0, float(np.abs(drawn).max())) * len(used)
    return TwoSampleTest(
        prompts=len(used),
        answers=sum(len(prompt.gram) for prompt in used),
        mmd2=float(drawn[0]) / len(used),
        p=int(np.count_nonzero(drawn >= drawn[0] - margin)) / (1 + permutations),
    )


def unbiased_mmd2(gram: Doubles, reference: AnyArray) -> Doubles:
    """Mean similarity within both samples, without each answer's with itself, less twice that between them.

    Parameters
    ----------
    gram : shape (n, n)
    reference : shape (m, n), bool or 0 and 1: m ways to split the answers, at least 2 on each side

    Returns
    -------
    shape (m,)
    """
    ours = np.asarray(reference, np.float64)
    theirs = 1 - ours
    sizes = ours.sum(axis=1), theirs.sum(axis=1)
    diagonal = np.diagonal(gram)
    toward = ours @ gram
    within = [(ours * toward).sum(axis=1) - ours @ diagonal]
    between = (theirs * toward).sum(axis=1)
    within.append(gram.sum() - (ours * toward).sum(axis=1) - 2 * between - theirs @ diagonal)
    means = [total / (size * (size - 1)) for total, size in zip(within, sizes, strict=True)]
    return np.asarray(means[0] + means[1] - 2 * between / (sizes[0] * sizes[1]))


def swap_power(
    models: Sequence[Sequence[PromptGram]],
    *,
    answers: int,
    level: float,
    permutations: int,
    trials: int,
    rng: np.random.Generator,
) -> DetectionPower:
    """How probably a swap of the reference for another model would have been seen, tried on models that were asked.

    In each trial, ``answers`` of a model's answers per prompt are taken without replacement and tested against the
    reference's. With replacement, the model's sampling noise would count as a difference and the power would be too
    high.

    Parameters
    ----------
    models : per model of the population and prompt, the reference's answers with that model's
    answers : per prompt, of the questioned endpoint; a prompt with fewer of a model uses them all
    level : a p-value at or below rejects
    trials : per model; 1 where models gave no more answers than ``answers``

    Returns
    -------
    mean over models, with an interval that counts models and not trials
    """
    if min(answers, trials) < 1 or not 1 / (1 + permutations) <= level < 1:
        raise ValueError("expected answers and trials, and permutations enough to reach the level")
    shares = []
    for prompts in models:
        hits = 0
        for _ in range(trials):
            taken = [_fewer(prompt, answers, rng) for prompt in prompts]
            found = two_sample_test(taken, permutations=permutations, rng=rng)
            hits += isinstance(found, TwoSampleTest) and found.p <= level
        shares.append(hits / trials)
    return detection_power(shares)


def _memberships(prompt: PromptGram, permutations: int, rng: np.random.Generator) -> AnyArray:
    """The observed split and as many random ones of the same sizes, shape (1 + permutations, n)."""
    observed = np.arange(len(prompt.gram)) < prompt.reference
    return np.concatenate([observed[None], rng.permuted(np.tile(observed, (permutations, 1)), axis=1)])


def _fewer(prompt: PromptGram, answers: int, rng: np.random.Generator) -> PromptGram:
    taken = prompt.reference + rng.permutation(prompt.questioned)[:answers]
    kept = np.concatenate([np.arange(prompt.reference), np.sort(taken)])
    return PromptGram(gram=prompt.gram[np.ix_(kept, kept)], reference=prompt.reference)
