"""Carry sealed batches to the collector over MQTT 5, and live messages beside them.

In: a `BatchSource` (the spool, by shape: this room knows bytes only), retained birth and death,
live messages that may be lost. Out: MQTT messages as docs/wire.md says.

What it promises:

- A batch is offered again until the collector acknowledged it; the source forgets it only then
  (or on the broker's word, where that is asked for).
- Of each lane the oldest goes first, urgent lanes go before others, also on a slow link.
- What a collector misses is sent again at once, or said to be gone.
- A byte budget is kept by all but what is urgent.
- No caller ever waits: `publish_live` hands over and returns; what does not fit is counted.
- The link may come and go: it is tried again with growing, random pauses, forever; at once when
  the network or the clock has changed.

`uplink` is the thread, `batches` decides what goes when, by the rules in `window`, `budget` and
`backoff`. `client.py` is the only file that imports the MQTT library.
"""
