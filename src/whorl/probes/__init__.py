"""Questions worth asking, and the runner that turns an endpoint into a transcript.

Imports `core`, `statistics` and `endpoints`. Start at `whorl.probes.battery` for what a battery is,
`whorl.probes.families` for those that exist, `whorl.probes.running` for the runner, `whorl.probes.transcript` for what
it leaves. Async stops here: everything that reads a transcript is synchronous, offline and repeatable.
"""
