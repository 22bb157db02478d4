"""A verdict to what is kept: the record says everything needed to know later why it was given.

In: a frame's ids and times, what the stages saw, the decision, the light. Out: the bytes of a
record, JSON as in docs/wire.md. Promises: fields are only ever added; what was measured is kept as
it was measured; images are evidence, never part of a record.
"""
