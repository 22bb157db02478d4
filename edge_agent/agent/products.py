"""What a station makes: recipes by part number, and the one in force.

Invariants:
    - What is in force was told by a person or a PLC, and outlives a restart.
    - A part number without a recipe is taken all the same: the product on the line has changed,
      whether we know it or not. Nothing is then held against the baseline of another product.
    - An order that cannot be carried out changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_agent.config import Recipe
from edge_agent.errors import UsageError
from edge_agent.files import write_durably
from edge_agent.lighting import Baseline

log = logging.getLogger(__name__)

FILE = "product.json"
_LONGEST = 64


class Product(msgspec.Struct, frozen=True):
    """What is made.

    Attributes:
        part_number: As it was told.
        recipe: Name of its recipe; empty where there is none.
        baseline: Its own; None takes the station's where there is a recipe.
        code: What a PLC writes for it; 0 for none.
    """

    part_number: str
    recipe: str = ""
    baseline: Baseline | None = None
    code: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there is a recipe for it."""
        return bool(self.recipe)

    @property
    def text(self) -> str:
        """Say what the change means for the station."""
        if not self.is_known:
            return (
                f"part number {self.part_number} has no recipe here: parts are judged with the "
                f"live bundle, and only what is known of the fixed scene is watched, until there "
                f"is a baseline (edge-agent baseline learn) and a [[station.NAME.recipe]]"
            )
        own = f"baseline {self.baseline.digest[:12]}" if self.baseline else "the station's baseline"
        return f"part number {self.part_number}, recipe {self.recipe}: light is held against {own}"


class Products:
    """The recipes of one station. Not thread-safe: its owner holds a lock.

    Args:
        folder: Of the station's state.
        recipes: As configured.

    Attributes:
        current: What is made; None where nobody ever said.
    """

    def __init__(self, folder: Path, recipes: Sequence[Recipe]) -> None:
        self._path = folder / FILE
        self._recipes = {recipe.part_number: recipe for recipe in recipes}
        self._numbers = {recipe.code: recipe.part_number for recipe in recipes if recipe.code}
        self.current = self._restore()

    def change(self, part_number: str) -> Product:
        """Let a part number be in force, also after a restart.

        Raises:
            UsageError: It is no part number, its baseline cannot be used, or the disk refuses.
        """
        product = self._find(part_number)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, msgspec.json.encode({"part_number": part_number}))
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be written: {error.strerror}") from error
        self.current = product
        return product

    def number_of(self, code: int) -> str:
        """Return the part number that a PLC's code stands for; `#CODE` where there is none."""
        return self._numbers.get(code, f"#{code}")

    def _find(self, part_number: str) -> Product:
        shown = part_number[:_LONGEST]
        if not shown.strip() or shown != part_number or not part_number.isprintable():
            raise UsageError(
                f"part number {shown!r}: give 1 to {_LONGEST} characters that can be printed"
            )
        recipe = self._recipes.get(part_number)
        if recipe is None:
            return Product(part_number)
        baseline = Baseline.read(Path(recipe.baseline)) if recipe.baseline else None
        return Product(part_number, recipe.name or part_number, baseline, recipe.code)

    def _restore(self) -> Product | None:
        """Return what was in force before the restart."""
        try:
            told = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
            return self._find(told["part_number"])
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, KeyError, UsageError) as error:
            log.error("%s: what was made before is not known: %s", self._path, error)  # noqa: TRY400 - one line says it
            return None
