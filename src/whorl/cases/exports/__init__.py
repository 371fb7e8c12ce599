"""A case in the words of others: the EU's form for models, a bill of materials, a graph of custody.

Start at `whorl.cases.exports.exporting`. An export never says more than the opinion in force, and says which of its
fields nobody here can know. Format: ``docs/specs/exports.md``.
"""
