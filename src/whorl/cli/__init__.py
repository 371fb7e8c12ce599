"""The command line: one file per verb; parse, call, print.

May import every room below it. Nothing heavier than typer is imported before a command runs.
Start at `whorl.cli.main` (the verbs), then `whorl.cli.exits` (how a run ends), `whorl.cli.summary` (what is printed).
"""
