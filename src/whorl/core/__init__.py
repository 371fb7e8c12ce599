"""Nouns shared by every room: digests, canonical JSON, evidence, errors.

Imports nothing of the other rooms, and no torch, transformers, HTTP, SQL or web framework.
Start at `whorl.core.evidence` for what a comparison may say, `whorl.core.errors` for how it may fail.
"""
