"""What a person sees of a lighting baseline: `edge-agent baseline show --out PNG`.

The verb finds `draw` by the entry-point group `edge_agent.pictures`: `edge_agent` imports nothing
of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.lighting import Baseline


def draw(baseline: Baseline, path: Path) -> None:
    """Draw a baseline.

    Args:
        baseline: What was learned.
        path: The PNG to write.

    Raises:
        UsageError: It cannot be drawn.
    """
    raise UsageError(f"{path}: baseline {baseline.digest[:12]} cannot be drawn yet")
