"""Frames to scores: crop and resize into a reused buffer, run the model, read its outputs.

In: a frame's image. Out: an `Inspection`, with scores (higher is worse) and the anomaly map.
Promises: no frame is allocated or copied on the way; the pixels that the model sees are the
camera's own uint8, cropped and resized, nothing else; engines give the same scores within the
tolerance that the bundle states. Knows no threshold: what a score means is for `decision`.
"""
