"""A case as a stranger can check it: its signed chain, the rules it was led by, and the one file it ends in."""
