"""Frames to scores: crop and resize into reused buffers, run the models, read their outputs.

In: a frame's image. Out: a `PartSeen`: for each stage its score (higher is worse), its maps, and
what it found and where; and why others did not look.
Promises: no frame is allocated or copied on the way; the pixels that the model sees are the
camera's own uint8, cropped and resized, nothing else; engines give the same scores within the
tolerance that the bundle states. Knows no threshold: what a score means is for `decision`.
"""
