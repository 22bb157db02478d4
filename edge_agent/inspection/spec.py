"""What a model wants to see and how its outputs are read: the values that describe one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge_agent.camera.roi import Roi

Side = Annotated[int, msgspec.Meta(ge=8, le=8192)]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model looks at: the ROI of the frame, resized to height x width, uint8 BGR NHWC."""

    height: Side
    width: Side
    channels: Literal[3] = 3
    order: Literal["BGR"] = "BGR"
    roi: Roi = Roi()


class Anomaly(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the anomaly map becomes a score: the mean of its `top` largest values."""

    top: Annotated[int, msgspec.Meta(ge=1)]
