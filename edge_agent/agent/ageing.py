"""The slow story of a station's light, kept over restarts, and what is forecast of it.

Invariants:
    - Nothing here is written on the path of a part: `look_after` is called by whoever supervises,
      and writes at most once an hour; `save` writes when the agent stops.
    - Each baseline has a history of its own; one that is new begins anew.
    - A history that cannot be read or written is told, and parts are judged as before.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path

from edge_agent.errors import UsageError
from edge_agent.files import write_durably
from edge_agent.lighting import Baseline, LightState
from edge_agent.lighting.forecast import Forecast, forecasts
from edge_agent.lighting.history import History

log = logging.getLogger(__name__)

_HISTORIES = 8
_FILES = 64
_SAVE_S = 3600.0
_LOOK_S = 600.0
_HOLD_S = 7200.0
"""An alarm stays so long after its forecast is gone: one that is just sure comes and goes."""

_SOON_AGAIN = 1.25
"""An alarm stays until its day is so many times farther off than it takes to raise it."""


class Ageing:
    """The light of one station over months. Thread-safe.

    Args:
        folder: Of the histories; made when the first is written.
        forecast_days: Days before the limit from which on it is an alarm; 0 for never.
    """

    def __init__(self, folder: Path, *, forecast_days: float) -> None:
        self._folder = folder
        self._forecast_days = forecast_days
        self._lock = threading.Lock()
        self._histories: dict[str, History] = {}  # by digest, the one in force last
        self._baseline: Baseline | None = None
        self._forecasts: tuple[Forecast, ...] = ()
        self._told = ""
        self._alarm = ""
        self._near_s = -math.inf  # when it was last so
        self._has_looked = False
        self._next_save = time.monotonic() + _SAVE_S
        self._next_look = time.monotonic()

    @property
    def forecasts(self) -> tuple[Forecast, ...]:
        """What is on its way to a limit, the nearest first, as it was last looked at."""
        return self._forecasts

    @property
    def alarm(self) -> str | None:
        """What is near its limit, in words; empty for nothing, None before the first look."""
        return self._alarm if self._has_looked else None

    def take(self, baseline: Baseline, state: LightState, at_ns: int) -> None:
        """Take what the watch said of a frame.

        Args:
            baseline: It was held against.
            state: As the watch said it.
            at_ns: Wall clock time of the frame.
        """
        with self._lock:
            if baseline is not self._baseline:
                self._adopt(baseline)
            self._histories[baseline.digest].take(state, at_ns)

    def look_after(self, now_s: float | None = None) -> None:
        """Look where the light goes, and keep the histories, each when it is time.

        Args:
            now_s: Wall time; None for now.
        """
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_S
            self.look(time.time() if now_s is None else now_s)
        if time.monotonic() >= self._next_save:
            self.save()

    def look(self, now_s: float) -> None:
        """Look where the light goes.

        Args:
            now_s: Wall time.
        """
        with self._lock:
            baseline = self._baseline
            buckets = self._histories[baseline.digest].buckets if baseline else ()
        if baseline is None:
            return
        found = forecasts(buckets, baseline, now_s)
        nearest = found[0] if found else None
        soon = self._forecast_days * (_SOON_AGAIN if self._alarm else 1.0)
        self._forecasts = found
        self._has_looked = True
        if nearest and nearest.days <= soon:
            self._alarm, self._near_s = nearest.text, now_s
        elif now_s - self._near_s >= _HOLD_S:
            self._alarm = ""
        told = nearest.statistic if nearest else ""
        if nearest and told != self._told:
            log.warning("%s", nearest.text)
        self._told = told

    def save(self) -> None:
        """Write the histories."""
        self._next_save = time.monotonic() + _SAVE_S
        with self._lock:
            known = {digest: each.buckets for digest, each in self._histories.items()}
        for digest, buckets in known.items():
            path = self._path(digest)
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_durably(path, History(digest, buckets).encode())
            except OSError as error:
                log.error("%s: cannot be written: %s", path, error.strerror)  # noqa: TRY400 - one line says it
                return
        kept = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for file in kept[:-_FILES]:
            file.unlink(missing_ok=True)

    def _adopt(self, baseline: Baseline) -> None:
        """Go on with the history of a baseline."""
        digest = baseline.digest
        known = self._histories.pop(digest, None)
        self._histories[digest] = known or self._read(digest)
        self._baseline = baseline
        self._next_look, self._near_s = 0.0, -math.inf
        while len(self._histories) > _HISTORIES:
            self._histories.pop(next(iter(self._histories)))

    def _read(self, digest: str) -> History:
        path = self._path(digest)
        try:
            return History.decode(path.read_bytes(), digest, str(path))
        except FileNotFoundError:
            pass
        except (OSError, UsageError) as error:
            log.error("%s: the story of the light begins anew", error)  # noqa: TRY400 - one line says it
        return History(digest)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest[:12] or 'none'}.json"
