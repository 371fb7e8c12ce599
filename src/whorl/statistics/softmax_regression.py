"""Which of several classes: multinomial logistic regression with a quadratic penalty."""

from dataclasses import dataclass

import numpy as np

from whorl.core.arrays import AnyArray, Doubles, Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoftmaxRegression:
    """Natural log probabilities of the classes are ``vectors @ weights + offsets``, up to a constant of each vector.

    Parameters
    ----------
    weights : shape (d, k)
    offsets : shape (k,)
    """

    weights: Doubles
    offsets: Doubles


def fit_softmax(
    vectors: AnyArray, classes: AnyArray, *, count: int, penalty: float, most_steps: int
) -> SoftmaxRegression:
    """Penalised maximum likelihood.

    Parameters
    ----------
    vectors : shape (n, d)
    classes : shape (n,), integers from 0 to ``count`` - 1
    penalty : of half the sum of squared weights; offsets are free
    most_steps : of L-BFGS; stopping early is a second penalty, not an error

    Notes
    -----
    Sums of log probabilities over dependent vectors are too sure of themselves; their order is what is used.
    """
    from scipy.optimize import minimize

    rows = np.hstack([vectors, np.ones((len(vectors), 1))]).astype(np.float32)
    places = np.arange(len(rows))

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(rows.shape[1], count).astype(np.float32)
        scores: Floats = rows @ weights
        scores -= scores.max(axis=1, keepdims=True)
        own = scores[places, classes].astype(np.float64)
        np.exp(scores, out=scores)
        sums = scores.sum(axis=1, keepdims=True)
        value = float((np.log(sums[:, 0], dtype=np.float64) - own).sum())
        scores /= sums
        scores[places, classes] -= 1
        slope = (rows.T @ scores).astype(np.float64)
        free = flat.reshape(rows.shape[1], count)[:-1]
        slope[:-1] += penalty * free
        return value + 0.5 * penalty * float((free**2).sum()), slope.ravel()

    found = minimize(
        loss, np.zeros(rows.shape[1] * count), jac=True, method="L-BFGS-B", options={"maxiter": most_steps}
    )
    solved = found.x.reshape(rows.shape[1], count)
    return SoftmaxRegression(weights=solved[:-1], offsets=solved[-1])
