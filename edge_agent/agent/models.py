"""The models of one station that stay loaded: the one that decides, and the way back.

Invariants:
    - What decides is the live bundle of the slots, run as it was tuned where that holds.
    - The model of the bundle that decided before stays loaded, so that going back takes no time;
      of one bundle there is one model.
    - A reload with nothing new changes nothing, except that an engine that had to give way is
      tried anew.
"""

from __future__ import annotations

from pathlib import Path

from edge_agent.config import Station
from edge_agent.inspection.engines import Choice
from edge_agent.rollout.bundle import Bundle
from edge_agent.rollout.live import LiveModel, make_live
from edge_agent.rollout.slots import Slots
from edge_agent.rollout.tuning_file import tuned_choices

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
        if model is None or choices != tuned or model.trouble:
            own = self._config.lighting.baseline
            model = make_live(
                bundle,
                settings.engine,
                settings,
                first=tuned,
                watch=self._config.lighting.watch == "on",
                baseline=Path(own) if own else None,
            )
        others = [each for each in self._loaded.items() if each[0] != bundle.digest]
        self._loaded = {bundle.digest: (tuned, model), **dict(others[:1])}
        return bundle, model
