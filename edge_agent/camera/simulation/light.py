"""Light and camera of the simulated line: what they are, and how they change over the parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Matrix = npt.NDArray[np.float64]
"""2x3: an affine map of pixel coordinates."""

Field = npt.NDArray[np.float32]
"""HxW: how much light falls where; 1.0 is nominal."""


def _meta(low: float, high: float, unit: str, text: str) -> Any:
    return msgspec.Meta(ge=low, le=high, description=text, extra={"unit": unit})


class Light(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The light on the parts, and how the camera looks at them. The defaults change nothing."""

    level: Annotated[float, _meta(0, 4, "x", "Brightness; 1 is nominal.")] = 1.0
    gradient_x: Annotated[
        float, _meta(-1.5, 1.5, "1", "Relative change of light from left to right edge.")
    ] = 0.0
    gradient_y: Annotated[
        float, _meta(-1.5, 1.5, "1", "Relative change of light from top to bottom edge.")
    ] = 0.0
    warmth: Annotated[
        float, _meta(-0.8, 4, "1", "Relative change of red against blue; green stays.")
    ] = 0.0
    flicker: Annotated[
        float, _meta(0, 1, "1", "Relative amplitude of a brightness that swings from part to part.")
    ] = 0.0
    flicker_hz: Annotated[
        float, _meta(0, 1000, "Hz", "How often it swings; mains is never exactly at its number.")
    ] = 100.7
    shift_x_px: Annotated[
        float, _meta(-40, 40, "px", "How far the image moved to the right, of 640 across.")
    ] = 0.0
    shift_y_px: Annotated[float, _meta(-40, 40, "px", "How far the image moved down, of 480.")] = (
        0.0
    )
    rotation_deg: Annotated[
        float, _meta(-10, 10, "deg", "How far the image turned about its centre, clockwise.")
    ] = 0.0
    defocus_px: Annotated[
        float, _meta(0, 8, "px", "Blur of the optics (sigma), of 640 across.")
    ] = 0.0


class LightChange(Light, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A light from one part on. Fields that are not given are nominal."""

    from_part: Annotated[
        int, msgspec.Meta(ge=1, description="First part that sees it.", extra={"unit": "parts"})
    ]
    ramp_parts: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Parts over which it comes, evenly; 0: at once.",
            extra={"unit": "parts"},
        ),
    ] = 0


NOMINAL = Light()


def light_at(schedule: Sequence[LightChange], number: int) -> Light:
    """Return the light that part `number` sees.

    A change with a ramp starts at the light that part `from_part - 1` saw, and is complete at
    part `from_part + ramp_parts`. A later change takes over wherever an earlier ramp has come to.

    Args:
        schedule: Changes, by ascending `from_part`.
        number: Part number, from 1.

    >>> dim = LightChange(from_part=11, ramp_parts=10, level=0.5)
    >>> [light_at([dim], n).level for n in (10, 16, 21, 99)]
    [1.0, 0.75, 0.5, 0.5]
    """
    light = NOMINAL
    for index, change in enumerate(schedule):
        if change.from_part > number:
            break
        following = schedule[index + 1].from_part - 1 if index + 1 < len(schedule) else number
        done = min(number, following) - change.from_part
        share = 1.0 if done >= change.ramp_parts else done / change.ramp_parts
        light = _between(light, change, share)
    return light


def _between(old: Light, new: Light, share: float) -> Light:
    values = {
        name: getattr(old, name) + (getattr(new, name) - getattr(old, name)) * share
        if share < 1
        else getattr(new, name)
        for name in Light.__struct_fields__
    }
    return Light(**values)


def pulse(light: Light, time_s: float) -> float:
    """Return the factor by which the light flickers at a time."""
    return 1.0 + light.flicker * math.sin(2.0 * math.pi * light.flicker_hz * time_s)


def channel_gains(light: Light) -> tuple[float, float, float]:
    """Return the factors for blue, green and red: level and warmth."""
    ratio = math.sqrt(1.0 + light.warmth)
    return light.level / ratio, light.level, light.level * ratio


def field(light: Light, width: int, height: int) -> Field:
    """Draw how the light falls on the frame: 1.0 in its centre, never negative."""
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(light.gradient_x)
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(light.gradient_y)
    result: Field = np.maximum(np.float32(1.0) + y[:, None] + x[None, :], np.float32(0.0))
    return result


def view(light: Light, *, width: int, height: int, scale: float) -> Matrix:
    """Return how the camera maps nominal frame pixels to those it gives."""
    turn = math.radians(light.rotation_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    tx = cx - cos * cx + sin * cy + light.shift_x_px * scale
    ty = cy - sin * cx - cos * cy + light.shift_y_px * scale
    return np.array([[cos, -sin, tx], [sin, cos, ty]])


def is_nominal_view(light: Light) -> bool:
    """Tell whether the camera stands where it stood when the line was set up."""
    return light.shift_x_px == 0.0 and light.shift_y_px == 0.0 and light.rotation_deg == 0.0
