"""The transparency log: C2SP formats and RFC 6962 trees, as pure functions and one store of files.

A log is a growing list of records under one Merkle root. A **tree head** (the C2SP pages say *checkpoint*) is the
signed statement "this log has n records and this root"; a **witness** cosigns it only if the log grew by appending.

Imports `whorl.core` and ``cryptography``; no HTTP, no SQL, no numpy. It knows nothing of what the records mean.

Start at `whorl.log.proofs` for how a stranger checks that a record is in a log, `whorl.log.policy` for whose signatures
count, `whorl.log.tree_heads` for what is signed, `whorl.log.merkle` for the hashes. `whorl.log.folder` is the store,
`whorl.log.signing`, `whorl.log.witnessing`, `whorl.log.monitoring` and `whorl.log.auditing` are the parts people play.
"""
