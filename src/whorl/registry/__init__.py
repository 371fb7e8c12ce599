"""The registry: signed entries in a log, their content beside it, the rules they keep, and the search in them.

May import the rooms below it; the only room that speaks SQL. Start at `whorl.registry.local.LocalRegistry`, a registry
in a folder; `whorl.registry.admission` has the rules, `whorl.registry.sequencer` the one way in,
`whorl.registry.receipts` what a stranger checks, `whorl.registry.leads` the search, and
`whorl.registry.federation` how bureaus watch each other.

A search hit is a lead, never a finding: what counts is the pairwise comparison that follows.
"""
