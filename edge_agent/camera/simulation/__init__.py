"""A drawn inspection line: parts, fixture, light, optics and sensor.

`parts` says what part number n is, `light` what the light and the camera do: pure values. `scene`,
`face` and `marks` draw, `sensor` turns linear light into pixels, `render` puts them together.

Lengths are pixels of a 640x480 frame (nominal pixels) until `render` scales them to the frame.
Brightness is linear: 1.0 is what saturates the sensor.
"""
