"""Beside the path: are light and camera still what was commissioned?

In: every frame, and the station's frozen `Baseline`. Out: a `LightState`: its level, the causes in
plain words with size and unit, and the statistics they rest on.
Promises: the baseline never follows the fault; a frame outside it is said to be so, with what is
wrong and by how much; the whole costs well under a millisecond and allocates no frame.

    >>> import numpy as np
    >>> from edge_agent.lighting import Baseline, LightWatch
    >>> noise = np.random.default_rng(0)
    >>> scene = noise.integers(60, 180, (120, 160, 3)).astype(np.float64)
    >>> def frame(light: float = 1.0) -> np.ndarray:
    ...     return (scene * light ** (1 / 2.2) + noise.normal(0, 1, scene.shape)).astype(np.uint8)
    >>> watch = LightWatch(Baseline.learn([frame() for _ in range(60)]))
    >>> watch.update(frame()).level
    <LightLevel.NORMAL: 'normal'>
    >>> state = [watch.update(frame(0.95)) for _ in range(10)][-1]
    >>> state.level, state.causes[0].kind, round(state.causes[0].size)
    (<LightLevel.DRIFTED: 'drifted'>, 'brightness', -5)
    >>> state = watch.update(frame(0.5))
    >>> state.level, state.causes[0].text[:45] + "..."
    (<LightLevel.INVALID: 'invalid'>, 'light down 50 %: check lamps, their supply...')
"""

from edge_agent.lighting.baseline import Baseline
from edge_agent.lighting.state import LightCause, LightLevel, LightState
from edge_agent.lighting.watch import LightWatch

__all__ = ["Baseline", "LightCause", "LightLevel", "LightState", "LightWatch"]
