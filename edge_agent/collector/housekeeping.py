"""What the collector does by itself once an hour: drop what is old, prepare days to come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_agent.errors import StoreError

if TYPE_CHECKING:
    from edge_agent.collector.store import Store

log = logging.getLogger(__name__)

EVERY_S = 3600.0
_AGAIN_S = 60.0
_BREATH_S = 0.2


@contextmanager
def housekeeping(store: Store, *, every_s: float = EVERY_S) -> Iterator[None]:
    """Tidy a store now and every hour, until this is left."""
    stopping = threading.Event()

    def work() -> None:
        pause_s = 0.0
        while not stopping.wait(pause_s):
            pause_s = every_s
            try:
                if not store.tidy(time.time_ns()).is_done:
                    pause_s = _BREATH_S
            except StoreError as error:
                log.warning("the store is not tidied, trying again: %s", error)
                pause_s = min(every_s, _AGAIN_S)

    thread = threading.Thread(target=work, name="collector-housekeeping")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
