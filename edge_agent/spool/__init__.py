"""Keep every record until the collector has it.

In: records as bytes, each on a lane. Out: sealed batches, oldest first, until they are
acknowledged. The room knows bytes only: no record, no network.

What it promises:

- A record whose `append` returned survives `kill -9` at once, and a power cut after at most
  `sync_ms` (plus the time of the commit that may be under way).
- Each lane has a stream id, and numbers its records 1, 2, 3, ... and its batches 1, 2, 3, ...
  without holes. A sealed batch never changes.
- Disk is bounded by `quota_bytes`. What is evicted or found damaged is counted, and the next batch
  of the lane carries the notice in its header (`lost`).
- `append` costs one write to a journal: no sync, no database, no waiting for either. With `sync_ms`
  0 it syncs too.
- While the disk is full, read-only or gone, records wait in memory, at most `memory_bytes`, and
  have no number (`append` returns 0). Once it works they are written in order.
- A damaged file keeps nobody from opening: it is set aside, what holds is saved, what is gone told.
"""
