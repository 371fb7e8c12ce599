"""Questioned against reference: lay one over the other, test, conclude, show.

May import `fingerprints`, `weights`, `statistics` and `core`. Start at `whorl.comparison.comparing` (the main job),
then `alignment` (which layer and neuron is which), `positions` and `identity` (the exact tiers), `kinship` and
`changes` (what the relation is), `conclusion` (one sentence), `report` (the page).
"""
