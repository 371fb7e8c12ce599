"""Null hypotheses, exact bounds and intervals: plain functions, arrays in and numbers out.

Imports `core` and numpy, and scipy inside the functions that need it. Every function names its null hypothesis and
when that is invalid. Start at `whorl.statistics.coincidences`; why the bounds hold is written out in
``docs/methods``.

=====================  ============================================================================
`coincidences`         neurons and residual dimensions found at their own index (tier T2)
`subsequence`          matches that keep their order although the widths differ (tier T2)
`intervals`            shares with an interval, and binomial tails (tier T3)
`combine`              several p-values into one
`spectrum`             structure against noise in a matrix (tier T4)
`cosines`              unit rows and the cosines between them
`slopes`               who contains whom, from the regression of one on the other (tier T4)
=====================  ============================================================================
"""
