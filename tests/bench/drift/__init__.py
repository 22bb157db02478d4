"""Measure the drift watch over light and camera: `python -m tests.bench.drift`.

Real images are put under simulated light, optics and camera, and then something changes. In the
order of the light's way: `images` (decoded to linear light), `scenes` (what is fixed in view),
`parts` (what is not), `light` (lamps and their noise), `optics` (view, blur, dirt), `sensor`
(noise, response, 8 bits), `stations` (kinds of station), `traffic` (which part when, hands, empty
frames), `changes` (what goes wrong, and what it must be called), `stream` (all of it, frame by
frame). `watching` runs the watch, `peers` other detectors on the same frames, `scoring` and
`tables` say how they did, and `replay` shows one stream frame by frame.
"""
