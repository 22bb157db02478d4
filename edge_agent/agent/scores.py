"""The output watches of one station: one for each model and product, their references on disk.

Invariants:
    - A reference is written once, when it was frozen, and read again after a restart.
    - Nothing here is written on the path of a part: `save` is called by whoever supervises.
    - A reference that cannot be read or written is told, and parts are judged as before.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

from edge_agent.decision.drift import OutputWatch, Reference
from edge_agent.errors import UsageError
from edge_agent.files import write_durably

log = logging.getLogger(__name__)

_WATCHES = 8
_FILES = 64


class ScoreWatches:
    """Hand out the output watch of a model and a product. Thread-safe.

    Args:
        folder: Of the references; made when the first is written.
        parts: How many parts a reference takes.
        quiet_days: At most one false alarm in so many days of running.
    """

    def __init__(self, folder: Path, *, parts: int, quiet_days: float) -> None:
        self._folder = folder
        self._parts = parts
        self._quiet_days = quiet_days
        self._lock = threading.Lock()
        self._watches: dict[tuple[str, str], OutputWatch] = {}  # the newest last
        self._unsaved: list[OutputWatch] = []

    def watch(self, model: str, part_number: str) -> OutputWatch:
        """Return the watch of a model (first 12 digits of its bundle's digest) and a product."""
        key = model, part_number
        with self._lock:
            watch = self._watches.pop(key, None) or self._make(model, part_number)
            self._watches[key] = watch
            while len(self._watches) > _WATCHES:
                self._watches.pop(next(iter(self._watches)))
            return watch

    def save(self) -> None:
        """Write the references that were frozen since the last call."""
        with self._lock:
            ready = [watch for watch in self._unsaved if watch.reference]
            self._unsaved = [watch for watch in self._unsaved if not watch.reference]
        for watch in ready:
            assert watch.reference is not None
            path = self._path(watch.model, watch.part_number)
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_durably(path, watch.reference.encode())
                self._make_room()
            except OSError as error:
                log.error("%s: cannot be written: %s", path, error.strerror)  # noqa: TRY400 - one line says it
            else:
                log.info("%s: scores of %d parts are the reference now", path, watch.gathered)

    def _make(self, model: str, part_number: str) -> OutputWatch:
        path = self._path(model, part_number)
        reference = None
        try:
            reference = Reference.decode(path.read_bytes(), str(path))
        except FileNotFoundError:
            pass
        except (OSError, UsageError) as error:
            log.error("%s; the next parts are the reference", error)  # noqa: TRY400 - one line says it
        watch = OutputWatch(
            model,
            part_number,
            reference=reference,
            parts=self._parts,
            quiet_days=self._quiet_days,
        )
        if reference is None:
            self._unsaved = [*self._unsaved[-_WATCHES + 1 :], watch]
        return watch

    def _path(self, model: str, part_number: str) -> Path:
        product = hashlib.sha256(part_number.encode()).hexdigest()[:12] if part_number else "any"
        return self._folder / f"{model}-{product}.json"

    def _make_room(self) -> None:
        """Forget the oldest references: those of models that are long gone."""
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[:-_FILES]:
            file.unlink(missing_ok=True)
