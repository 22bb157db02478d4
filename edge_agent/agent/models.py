"""The models of one station that stay loaded: the one that decides, and the way back.

Invariants:
    - What decides is the live bundle of the slots, run as it was tuned where that holds.
    - The model of the bundle that decided before stays loaded, so that going back takes no time;
      of one bundle there is one model.
    - A reload with nothing new changes nothing, except that an engine that had to give way is
      tried anew; where only the station's baseline file is new, only the light watch is made anew.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.config import Station
from edge_agent.inspection.engines import Choice
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.live import LiveModel, make_live
from edge_agent.rollout.slots import Slots
from edge_agent.rollout.tuning_file import tuned_choices

_Version = tuple[int, int, int] | None
_Tuned = dict[str, tuple[Choice, ...]]


class StationModels:
    """Load the models of one station. Not thread-safe: its owner holds a lock.

    Args:
        folder: Of the station's slots.
        config: Of the station.
    """

    def __init__(self, folder: Path, config: Station) -> None:
        self._folder = folder
        self._config = config
        self._loaded: dict[str, tuple[_Tuned, LiveModel]] = {}  # the newest first
        self._read: dict[str, _Version] = {}  # of the baseline file, by digest of the bundle

    def live(self) -> tuple[Bundle, LiveModel] | None:
        """Return the live bundle and its model, loaded if need be; None when none is installed.

        Raises:
            BundleError: It cannot be read or run.
            UsageError: The station's own baseline file cannot be used.
        """
        bundle = Slots(self._folder).live()
        if bundle is None:
            return None
        settings = self._config.inspection
        tuned = tuned_choices(self._folder, bundle.digest, settings.engine)
        choices, model = self._loaded.get(bundle.digest, ({}, None))
        own = self._config.lighting.baseline
        version = _version(own)
        if model is None or choices != tuned or model.trouble:
            model = make_live(
                bundle,
                settings.engine,
                settings,
                first=tuned,
                watch=self._config.lighting.watch == "on",
                baseline=Path(own) if own else None,
            )
        elif version != self._read.get(bundle.digest) and model.watch is not None:
            baseline = Baseline.read(Path(own))
            model = msgspec.structs.replace(model, watch=LightWatch(baseline), baseline=baseline)
        others = [each for each in self._loaded.items() if each[0] != bundle.digest]
        self._loaded = {bundle.digest: (tuned, model), **dict(others[:1])}
        self._read = {digest: self._read.get(digest) for digest in self._loaded}
        self._read[bundle.digest] = version
        return bundle, model


def _version(own: str) -> _Version:
    """Tell one content of a baseline file from another; None where there is none."""
    if not own:
        return None
    try:
        found = Path(own).stat()
    except OSError:
        return None  # whoever reads it says so
    return found.st_ino, found.st_size, found.st_mtime_ns
