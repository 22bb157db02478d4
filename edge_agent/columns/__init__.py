"""Records in columns: how a batch of much the same lines of JSON becomes small, and lines again.

In: records, each one line of bytes. Out: bytes without redundancy that zstd can find no better, and
the records again. Every room may use it, as it may use the errors: it knows no record, does no IO
and keeps nothing. docs/wire.md has every byte of it.

What it promises:

- What is read is what was written, byte for byte, whatever the records hold: values are kept as
  they are written, and a form that was not foreseen is kept as text.
- No bytes do more than raise `WireError`, in bounded time and memory.
"""
