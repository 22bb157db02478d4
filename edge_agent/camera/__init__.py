"""Light to frames.

In: the settings of one camera driver, a station's name, a trigger. Out: frames, as
`edge_agent.camera.frame` writes them.

What every driver promises, and tests/contract/test_cameras.py holds it to:

- `read` returns within its time: a frame, or None. It raises `CameraError` when the camera is
  gone and `EndOfFrames` when there will be no more.
- Images are uint8, C-contiguous, HxWx3 BGR or HxW grey: the camera's own pixels. A frame stays
  valid until `buffers - 1` further frames were read.
- `sequence` only grows. A hole in it is a frame that was lost, so that a loss can be counted.
- A part whose image cannot be had is a frame with its `fault` set, never a missing frame.
- `captured` is when the light was taken, not when the frame was fetched, and never goes back.
- With the software trigger each call of `trigger` gives exactly one frame.
- `close` may be called twice and from another thread; a `read` that waits then returns soon.

`registry` knows the drivers, one line each, and imports none before it is used. `images` reads
image files, for the drivers and for offline work.
"""
