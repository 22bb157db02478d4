"""What a station makes: the invariants of `edge_agent.agent.products`, each by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.agent.products import FILE, Products
from edge_agent.config import Recipe
from edge_agent.errors import UsageError
from edge_agent.lighting import Baseline

NOISE = np.random.default_rng(0)
FRAMES = [NOISE.integers(90, 110, (96, 128, 3)).astype(np.uint8) for _ in range(8)]


def recipes(tmp_path: Path) -> tuple[Recipe, ...]:
    own = tmp_path / "b.baseline"
    own.write_bytes(Baseline.learn(FRAMES).encode())
    return (
        Recipe(part_number="4711-A", name="bracket", code=1),
        Recipe(part_number="4711-B", code=2, baseline=str(own)),
        Recipe(part_number="4711-C", code=3, baseline=str(tmp_path / "gone.baseline")),
    )


def test_what_was_told_outlives_a_restart(tmp_path: Path) -> None:
    first = Products(tmp_path / "press", recipes(tmp_path))
    at_first = first.current
    assert at_first is None
    told = first.change("4711-B")
    assert first.current is told
    assert Products(tmp_path / "press", recipes(tmp_path)).current == told


def test_a_recipe_says_what_light_is_held_against(tmp_path: Path) -> None:
    products = Products(tmp_path, recipes(tmp_path))
    without, own = products.change("4711-A"), products.change("4711-B")
    assert (without.recipe, without.baseline, without.is_known) == ("bracket", None, True)
    assert "recipe bracket: light is held against the station's baseline" in without.text
    assert own.baseline is not None
    assert f"against baseline {own.baseline.digest[:12]}" in own.text


def test_a_part_number_without_a_recipe_is_taken_and_said(tmp_path: Path) -> None:
    product = Products(tmp_path, recipes(tmp_path)).change("0815")
    assert (product.part_number, product.recipe, product.is_known) == ("0815", "", False)
    assert "has no recipe here" in product.text


@pytest.mark.parametrize("number", ["", "  ", "x" * 65, "a\nb", "4711-C"])
def test_an_order_that_cannot_be_carried_out_changes_nothing(tmp_path: Path, number: str) -> None:
    products = Products(tmp_path, recipes(tmp_path))
    before = products.change("4711-A")
    with pytest.raises(UsageError, match=r"part number|gone\.baseline"):
        products.change(number)
    assert products.current is before
    assert Products(tmp_path, recipes(tmp_path)).current == before


def test_a_plcs_code_stands_for_a_part_number(tmp_path: Path) -> None:
    products = Products(tmp_path, recipes(tmp_path))
    assert [products.number_of(code) for code in (1, 2, 9)] == ["4711-A", "4711-B", "#9"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"part_number": "4711-C"}', b"\xff"])
def test_what_is_damaged_is_told_and_nothing_is_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    (tmp_path / FILE).write_bytes(data)
    assert Products(tmp_path, recipes(tmp_path)).current is None
    assert "what was made before is not known" in caplog.text
