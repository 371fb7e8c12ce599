"""What is remembered of a model: one streaming pass, no other model needed.

May import `weights`, `statistics` and `core`. Extraction never sees the other model, except through a basis that both
share. Start at `whorl.fingerprints.weight_fingerprint` (what is stored), then `extraction` (the pass), `frame` (why a
rotation of the residual stream changes nothing), `neurons` and `heads` (what is taken of a layer).
"""
