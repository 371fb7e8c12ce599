"""Artificial worlds of models that answer items: shared difficulty and public factors, and copies of known strength."""

import numpy as np

from whorl.core.arrays import Doubles, Ints

DIFFICULTY_SD, FACTORS, IDIOSYNCRATIC_SD = 1.6, 4, 1.0


def latent_world(rng: np.random.Generator, *, models: int, items: int, shared: float = 0.0) -> Doubles:
    """How strongly each model tends to fail each item, shape (models, items).

    Difficulty (sd 1.6) counts by the model's discrimination; four public factors touch a fifth of the items each, and
    every model to its own degree; then the model's own stable effects.

    Parameters
    ----------
    shared : correlation of the own effects of models 0 and 1: 0 independent, 0.5 distilled, 0.8 copied
    """
    difficulty = rng.normal(0, DIFFICULTY_SD, items)
    public = rng.normal(0, 1.5, (FACTORS, items)) * (rng.random((FACTORS, items)) < 0.2)
    ability, discrimination = rng.normal(0, 0.8, models), rng.lognormal(0, 0.2, models)
    own = rng.normal(0, IDIOSYNCRATIC_SD, (models, items))
    own[1] = shared * own[0] + np.sqrt(1 - shared**2) * own[1]
    loadings = rng.normal(0.5, 0.5, (models, FACTORS))
    return np.asarray(discrimination[:, None] * difficulty - ability[:, None] + loadings @ public + own)


def failures(latent: Doubles) -> Doubles:
    """Outcomes at temperature 0: 1 where the model fails the item."""
    return (latent > 0).astype(np.float64)


def option_world(
    rng: np.random.Generator, *, models: int, items: int, options: int = 4, shared: float = 0.0
) -> tuple[Ints, Ints]:
    """Multiple choice: codes of shape (models, items), and the key.

    Who fails an item picks the wrong option with the largest attraction, partly common to all models and partly the
    model's own; models 0 and 1 share the given correlation of both kinds of own effects.
    """
    latent = latent_world(rng, models=models, items=items, shared=shared)
    key = rng.integers(0, options, items)
    own = rng.gumbel(size=(models, items, options))
    copied = rng.random((items, options)) < shared
    own[1] = np.where(copied, own[0], own[1])
    attraction = rng.normal(0, 1.0, (items, options)) + own
    attraction[:, np.arange(items), key] = -np.inf
    return np.where(latent > 0, attraction.argmax(axis=2), key).astype(np.int64), key
