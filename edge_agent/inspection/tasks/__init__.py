"""Tasks: what a model does with a part, and how its outputs are read. One file each."""

from __future__ import annotations

from typing import Protocol

from edge_agent.camera.frame import Image
from edge_agent.inspection.seen import Inspection


class Inspector(Protocol):
    """What every task is to the rest: an image in, an inspection out."""

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""

    def inspect(self, image: Image) -> Inspection:
        """Look at one image.

        Args:
            image: HxWx3 BGR or HxW grey, uint8; neither changed nor kept; a view is fine.

        Raises:
            EngineError: The engine failed, or the image cannot be looked at.
        """

    def close(self) -> None:
        """Let go of the model."""
