"""A registry of fingerprints in one SQLite file, and the search for leads in it.

May import the rooms below it; the only room that speaks SQL. Start at `whorl.registry.storage.Registry`;
`whorl.registry.search` is the ranking, without a database.

A search hit is a lead, never a finding: what counts is the pairwise comparison that follows.
"""
