"""Engines in order of preference behind one: when the first keeps failing, the next takes over.

Invariants:
    - Every run gives the outputs of one engine, or raises.
    - An engine is given up only after `PATIENCE` runs failed one after another, and only when
      another one has taken over; a run that succeeds forgives those that failed before it.
    - One that was given up does not come back, and one that refuses to take over is not asked
      again. The last one is never given up: each part tries it anew.
    - `trouble` is empty until an engine was given up, and says so from then on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Choice, Engine, Outputs, Pixels

log = logging.getLogger(__name__)

PATIENCE = 3
"""Parts that an engine may fail on, one after another, before the next one takes over."""


class EngineChain:
    """An engine that gives way to the next choice when it keeps failing. One thread uses it.

    Args:
        choice: The choice that was made first.
        engine: That choice, loaded.
        rest: What may take over, the best first.
        succeed: Loads a choice that is to take over; raises EngineError where it may not.

    Attributes:
        choice: The choice that runs.
        trouble: Why it is not the first one; empty while it is.
    """

    def __init__(
        self,
        choice: Choice,
        engine: Engine,
        *,
        rest: Iterable[Choice],
        succeed: Callable[[Choice], Engine],
    ) -> None:
        self.choice = choice
        self.trouble = ""
        self._engine = engine
        self._rest = deque(rest)
        self._succeed = succeed
        self._failures = 0

    @property
    def name(self) -> str:
        """The name of the engine that runs."""
        return self._engine.name

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The shape that the engine takes: 1, height, width, channels."""
        return self._engine.input_shape

    def run(self, pixels: Pixels) -> Outputs:
        """Run the model once; see `Engine.run`.

        The run that makes another engine take over is done by that one, whole.
        """
        try:
            outputs = self._engine.run(pixels)
        except EngineError as error:
            self._failures += 1
            if self._failures < PATIENCE or not self._give_up(error):
                raise
            return self.run(pixels)
        self._failures = 0
        return outputs

    def close(self) -> None:
        """Let go of the model; nothing takes over any more."""
        self._rest.clear()
        self._engine.close()

    def _give_up(self, error: EngineError) -> bool:
        """Let the next choice that can take over; return whether one did."""
        while self._rest:
            choice = self._rest.popleft()
            try:
                engine = self._succeed(choice)
            except EngineError as refusal:
                log.warning("%s cannot take over: %s", choice, refusal)
                continue
            self.trouble = (
                f"{self.choice} failed on {self._failures} parts one after another ({error}); "
                f"{choice} judges in its place until the next reload"
            )
            log.error("%s", self.trouble)
            self._engine.close()
            self._engine, self.choice, self._failures = engine, choice, 0
            return True
        return False
