"""Changeover: a station is told that another product comes from the next part on.

Told by a person (`edge-agent changeover`), over MQTT, or by a PLC over Modbus; all come here. Each
is an event: it is logged, and kept as a health record.

Invariants:
    - The change holds from the next part on, between two parts.
    - Whoever tells gets an answer: what is in force now, and what that means.
    - What cannot be carried out changes nothing, and is an event too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import msgspec

from edge_agent import clock
from edge_agent.agent.path import PartPath
from edge_agent.agent.products import Product, Products
from edge_agent.decision.orders import Outcome, Told
from edge_agent.errors import EdgeError, SpoolError, UsageError

log = logging.getLogger(__name__)

EVENT = "changeover"


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a changeover did.

    Attributes:
        station: Where.
        part_number: What is in force now.
        recipe: Name of its recipe; empty where there is none.
        baseline: First 12 digits of its own baseline's digest; empty where it has none of its own.
        text: What that means, in plain words.
    """

    station: str
    part_number: str
    recipe: str
    baseline: str
    text: str


class Changeovers:
    """Carry out changeovers at all stations. Thread-safe.

    Args:
        paths: By station.
        products: By station.
        keep: Takes the health record of an event; may raise SpoolError.
    """

    def __init__(
        self,
        paths: Mapping[str, PartPath],
        products: Mapping[str, Products],
        keep: Callable[[bytes], object],
    ) -> None:
        self._paths = paths
        self._products = products
        self._keep = keep
        self._lock = threading.Lock()
        for name, path in paths.items():  # what was made before the restart is made still
            path.product = products[name].current

    def change(self, station: str, part_number: str, *, by: str) -> Changed:
        """Let a station make another product from the next part on.

        Args:
            station: Where.
            part_number: What comes.
            by: Who tells: `cli`, `mqtt`, `modbus`.

        Raises:
            UsageError: There is no such station, or its baseline cannot be used.
        """
        if station not in self._paths:
            raise UsageError(f"station {station!r}: unknown; there are {', '.join(self._paths)}")
        with self._lock:
            try:
                product = self._products[station].change(part_number)
            except EdgeError as error:
                self._note(station, part_number, by, f"refused: {error}", known=False)
                raise
            self._paths[station].product = product
        self._note(station, part_number, by, product.text, known=product.is_known)
        return Changed(
            station=station,
            part_number=product.part_number,
            recipe=product.recipe,
            baseline=product.baseline.digest[:12] if product.baseline else "",
            text=product.text,
        )

    def tell_code(self, station: str, code: int) -> Told:
        """Let a station make the product that a PLC's code stands for; raises nothing."""
        try:
            changed = self.change(station, self._products[station].number_of(code), by="modbus")
        except EdgeError:
            return Told(Outcome.REFUSED, self.code(station))
        known = bool(changed.recipe)
        return Told(Outcome.TAKEN if known else Outcome.NO_RECIPE, self.code(station))

    def code(self, station: str) -> int:
        """Return the code of the product in force; 0 for none, or one without."""
        product = self.product(station)
        return product.code if product else 0

    def product(self, station: str) -> Product | None:
        """Return what is in force at a station; None where nobody ever told."""
        return self._products[station].current

    def _note(self, station: str, part_number: str, by: str, text: str, *, known: bool) -> None:
        level = logging.INFO if known else logging.WARNING
        log.log(level, "station %s: changeover told by %s: %s", station, by, text)
        stamp = clock.now()
        record = {
            "time": clock.iso(stamp.wall_ns), "wall_ns": stamp.wall_ns, "mono_ns": stamp.mono_ns,
            "boot": clock.boot_id(),
            "event": {
                "kind": EVENT, "station": station, "part_number": part_number, "by": by,
                "known": known, "text": text,
            },
        }  # fmt: skip
        try:
            self._keep(msgspec.json.encode(record))
        except SpoolError as error:
            log.error("the changeover at station %s is not on record: %s", station, error)  # noqa: TRY400 - one line says it
