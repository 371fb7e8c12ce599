"""Null hypotheses, exact bounds and intervals: plain functions, arrays in and numbers out.

Imports `core` and numpy, and scipy inside the functions that need it. Every function names its null hypothesis and
when that is invalid. Start at `whorl.statistics.coincidences`; why the bounds hold is written out in
``docs/methods``.

========================  ================================================================================
`coincidences`            neurons and residual dimensions found at their own index (tier T2)
`subsequence`             matches that keep their order although the widths differ (tier T2)
`intervals`               shares with an interval, and binomial tails (tier T3)
`combine`                 several p-values into one
`spectrum`                structure against noise in a matrix (tier T4)
`cosines`                 unit rows and the cosines between them
`student`                 quantiles of Student's t
`labelled_pairs`          scored pairs of known truth, the family as the unit
`calibration`             from scores to likelihood ratios, held out by family, with a family jackknife
`ratio_population`        a reference population as stored, and a case's ratio from it
`ratio_caps`              how large a ratio may be claimed
`ratio_cost`              Cllr, Tippett, empirical cross-entropy, misleading rates
`ratio_checks`            are ratios too large? E[min(LR, c)] against 1
`fusion`                  several groups of evidence into one ratio, fitted on joint families
`weight_of_evidence`      a case's groups: fused, their mean, and the best alone; never a product
`verbal_scale`            words for bounded ratios
`sequential`              e-processes for agreement: stop early, plan questions
`screening`               one against many: e-BH
`shares`                  how much of each candidate a merge holds
`keyed_dither`            the key's mark in released weights (tier T0)
`slopes`                  who contains whom, from the regression of one on the other (tier T4)
`cell_choices`            low-entropy choices of two endpoints, cell by cell (behaviour)
`two_sample`              same distribution of answers? permuted within prompts (behaviour)
`text_kernels`            similarity of short texts for it
`detection_power`         how probably a test rejects, the model as the unit
`answer_model`            how an unrelated model answers each item (behaviour)
`copying_indices`         matches beyond it: GBT, omega, both wrong, rare matches
`poisson_binomial`        exact tails of unequal trials
`residual_agreement`      outcomes that go together beyond what controls reveal of the items
`stratified_permutation`  agreement within strata, permuted
`model_calibration`       scores held against control models; refusal below 50
`score_ratios`            capped ratios from labelled scores
`roc`                     AUC and hit rates with intervals over models
`not_testable`            why a behavioural statistic has no value
========================  ================================================================================
"""
