"""Whorl: which model does this model come from, with evidence a stranger can check.

Start at `whorl.comparison` for the main job (two checkpoints in, one finding out), at `whorl.weights` for how
checkpoints are read, at `whorl.fingerprints` for what is remembered of a model, at `whorl.statistics` for the
null hypotheses. Imports run downwards only: cli, registry, comparison, fingerprints, weights, statistics, core.
"""

__version__ = "0.1.0"
