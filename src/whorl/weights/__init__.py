"""Checkpoints on disk: readers that stream, canonical roles, gauges.

May import `statistics` and `core`. A reader knows one file format and nothing of architectures; an architecture is a
data file that says which tensor plays which role; a gauge is a rewrite that leaves the function unchanged.
Start at `whorl.weights.source` (what a reader offers), then `whorl.weights.anatomy` (what a model is made of).
"""
