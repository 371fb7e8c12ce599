"""What Whorl writes into a log, and how a stranger checks it: leaf, envelope, statement, status map, receipt.

May import `whorl.log` and `whorl.core`, and nothing heavier than `cryptography` and `pydantic`: this is the part that
verifies offline. Start at `whorl.entries.receipt.verify_receipt`; `whorl.entries.kinds` lists what can be entered.
"""
