"""Beside the path: are light and camera still what was commissioned?

In: every frame, and the station's frozen `Baseline`. Out: a `LightState`: its level, the causes in
plain words with size and unit, and the statistics they rest on.
Promises: the baseline never follows the fault; a frame outside it is said to be so, with what is
wrong and by how much; the whole costs well under a millisecond and allocates no frame.

    >>> import numpy as np
    >>> from edge_agent.lighting import Baseline, LightWatch
    >>> noise = np.random.default_rng(0)
    >>> frames = [noise.integers(90, 110, (120, 160, 3), np.uint8) for _ in range(20)]
    >>> watch = LightWatch(Baseline.learn(frames))
    >>> watch.update(frames[0]).level
    <LightLevel.NORMAL: 'normal'>
    >>> state = watch.update(frames[0] // 2)
    >>> state.level, state.causes[0].kind
    (<LightLevel.INVALID: 'invalid'>, 'brightness')
"""

from edge_agent.lighting.baseline import Baseline
from edge_agent.lighting.watch import LightCause, LightLevel, LightState, LightWatch

__all__ = ["Baseline", "LightCause", "LightLevel", "LightState", "LightWatch"]
