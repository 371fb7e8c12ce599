"""The tree of a set of models: who continues whom, which are merges, and where an unseen ancestor must have been.

May import `comparison` and everything below it. Start in `inferring`: models in, one `Lineage` document out. The
geometry that it rests on is made in `common_gauge` (from weights) and `stored_gauge` (from fingerprints); the inference
on it, which knows nothing of checkpoints, is in `tree` and `rooting`.
"""
