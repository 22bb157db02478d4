"""The one place that sees every stage: build, run, drain, stop.

`path` is the path of a part, as one call; `station` puts threads around it; `app` builds
all stations, spool and uplink, runs them, and stops them in order; `control` is the socket by
which the commands on this device speak to the running agent.

Promises: a verdict leaves only after its record is in the spool; a part whose image or model
fails gets a verdict all the same (`invalid`); a stage that fails is restarted, counted, logged and
alarmed, and never takes another one with it.
"""
