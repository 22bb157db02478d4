"""Orders over Modbus TCP: the agent is the server, the PLC writes a holding register.

Each station has three holding registers from its `modbus_register` on:

| register | who writes | holds |
|---|---|---|
| +0 | PLC | the code of the product that comes (`code` of its recipe); 0 orders nothing |
| +1 | agent | the code of the product in force; 0 for none, or one without a code |
| +2 | agent | what became of the order: 0 none yet, 1 taken, 2 taken without a recipe, 3 refused |

Invariants:
    - The answer to a write comes after the order was carried out: what is read next is true.
    - Writing the same code again and again, as a PLC does each cycle, orders once; only another
      code, or 0 in between, orders anew. A refused order is tried again with each write.
    - Whatever comes over the net, the server answers the next request.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_agent.decision.orders import InForce, Outcome, Tell
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pymodbus.simulator import SimDevice

log = logging.getLogger(__name__)

REGISTERS = 3
_PATIENCE_S = 10.0
_WRITES = frozenset({6, 16, 22, 23})
"""Function codes that write holding registers."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a PLC tells stations what to make, over Modbus TCP (the extra `modbus`)."""

    listen: Annotated[
        Literal["off", "on"],
        Meta(description="Whether there is a server. Modbus knows neither passwords nor secrecy."),
    ] = "off"
    host: Annotated[
        str,
        Meta(description="Address to listen on: that of the PLC's own network, and no other."),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="Port; the usual 502 needs a right of its own.")
    ] = 1502
    unit: Annotated[int, Meta(ge=1, le=247, description="Unit id that the PLC addresses.")] = 1


class Driver:
    """Listen for a PLC.

    Args:
        settings: Where.
        registers: First register of each station.
        tell: Carries an order out.
        in_force: Tells which product is in force.

    Attributes:
        port: Where it listens, once started.
    """

    def __init__(
        self, settings: Settings, registers: Mapping[str, int], tell: Tell, in_force: InForce
    ) -> None:
        self.port = settings.port
        self._settings = settings
        self._stations = {first: name for name, first in registers.items()}
        self._tell = tell
        self._in_force = in_force
        self._ready = threading.Event()
        self._error = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="modbus", daemon=True)

    def start(self) -> None:
        """Begin to listen; see `Orders.start`."""
        import pymodbus  # noqa: F401, PLC0415 - an extra: said here, not on the thread

        self._thread.start()
        self._ready.wait(_PATIENCE_S)
        if self._error or not self._ready.is_set():
            raise ConfigError(
                f"modbus: cannot listen on {self._settings.host}:{self._settings.port}: "
                f"{self._error or 'no answer'}: check modbus.host and modbus.port"
            )

    def is_alive(self) -> bool:
        """Tell whether it still listens; see `Orders.is_alive`."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop listening; see `Orders.close`."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (OSError, RuntimeError) as error:
            self._error = str(error)
            log.error("modbus: %s", error)  # noqa: TRY400 - one line says it
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from pymodbus.server import ModbusTcpServer  # noqa: PLC0415 - an extra

        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = ModbusTcpServer(self._device(), address=(self._settings.host, self._settings.port))
        await server.serve_forever(background=True)
        self.port = _port_of(server)
        self._ready.set()
        log.info("modbus: a PLC may tell what to make on port %d", self.port)
        await self._stopping.wait()
        await server.shutdown()

    def _device(self) -> SimDevice:
        from pymodbus.simulator import DataType, SimData, SimDevice  # noqa: PLC0415 - an extra

        data = []
        for first, name in sorted(self._stations.items()):
            data.append(SimData(first, values=0, datatype=DataType.REGISTERS))
            shown = [self._in_force(name), int(Outcome.NONE)]
            data.append(
                SimData(first + 1, values=shown, datatype=DataType.REGISTERS, readonly=True)
            )
        return SimDevice(id=self._settings.unit, simdata=data, action=self._on_request)

    async def _on_request(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> Any:
        """Serve a request before its registers are read or written; None lets it go on."""
        for first, name in self._stations.items():
            place = first - start
            if values and function in _WRITES and address <= first < address + count:
                code = int(values[first - address])
                is_news = code != registers[place]
                if is_news or (code and registers[place + 2] == Outcome.REFUSED):
                    await self._order(name, code, registers, place)
            elif not values:
                registers[place + 1] = self._in_force(name)

    async def _order(self, name: str, code: int, registers: list[int], place: int) -> None:
        if code == 0:
            registers[place + 2] = int(Outcome.NONE)
            return
        # A baseline is read from the disk: other requests are answered meanwhile.
        told = await asyncio.get_running_loop().run_in_executor(None, self._tell, name, code)
        registers[place + 1], registers[place + 2] = told.code, int(told.outcome)


def check_registers(registers: Mapping[str, int]) -> None:
    """Refuse stations whose registers overlap.

    Raises:
        ConfigError: Naming both.
    """
    ordered = sorted(registers.items(), key=lambda each: each[1])
    for (one, first), (other, second) in pairwise(ordered):
        if second < first + REGISTERS:
            raise ConfigError(
                f"station.{other}.modbus_register: {second} overlaps the {REGISTERS} registers of "
                f"station {one} from {first} on: give it {first + REGISTERS} or more"
            )


def _port_of(server: Any) -> int:
    """Return the port that a server listens on, which the system chose where 0 was asked for."""
    sockets = server.transport.sockets
    port: int = sockets[0].getsockname()[1]
    return port
