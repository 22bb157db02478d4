from __future__ import annotations

import math

import msgspec
import pytest

from edge_agent.camera.simulation.light import (
    NOMINAL,
    Light,
    LightChange,
    channel_gains,
    field,
    is_nominal_view,
    light_at,
    pulse,
    view,
)


def levels(schedule: list[LightChange], numbers: list[int]) -> list[float]:
    return [light_at(schedule, number).level for number in numbers]


def test_without_a_schedule_the_light_is_nominal() -> None:
    assert light_at((), 1_000_000) == NOMINAL


def test_a_change_lasts_until_the_next() -> None:
    schedule = [LightChange(from_part=5, level=0.5), LightChange(from_part=8)]
    assert levels(schedule, [4, 5, 7, 8, 99]) == [1.0, 0.5, 0.5, 1.0, 1.0]


def test_a_ramp_is_even_and_complete() -> None:
    schedule = [LightChange(from_part=11, ramp_parts=4, level=0.6, shift_x_px=8)]
    assert levels(schedule, [10, 11, 13, 15, 16]) == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.6])
    assert light_at(schedule, 12).shift_x_px == pytest.approx(2.0)


def test_a_change_takes_over_from_a_ramp_that_is_under_way() -> None:
    schedule = [
        LightChange(from_part=1, ramp_parts=10, level=0.0),
        LightChange(from_part=7, ramp_parts=10, level=1.5),
    ]
    assert levels(schedule, [6, 7, 12, 17]) == pytest.approx([0.5, 0.5, 1.0, 1.5])


def test_a_completed_change_is_the_light_itself() -> None:
    change = LightChange(from_part=1, ramp_parts=3, level=0.3, warmth=0.1, flicker=0.2)
    expected = Light(level=0.3, warmth=0.1, flicker=0.2)
    assert light_at([change], 4) == expected


def test_warmth_is_the_change_of_red_against_blue() -> None:
    blue, green, red = channel_gains(Light(level=0.8, warmth=0.21))
    assert red / blue == pytest.approx(1.21)
    assert green == 0.8


def test_a_gradient_goes_from_edge_to_edge_and_never_below_dark() -> None:
    falls = field(Light(gradient_x=0.4, gradient_y=-0.2), 101, 51)
    assert falls.shape == (51, 101)
    assert falls[25, 100] - falls[25, 0] == pytest.approx(0.4)
    assert falls[50, 50] - falls[0, 50] == pytest.approx(-0.2)
    assert falls[25, 50] == pytest.approx(1.0)
    assert field(Light(gradient_x=1.5, gradient_y=1.5), 9, 9).min() == 0.0


def test_flicker_swings_about_the_level() -> None:
    light = Light(flicker=0.1, flicker_hz=2.0)
    assert pulse(light, 0.125) == pytest.approx(1.1)
    assert pulse(light, 0.375) == pytest.approx(0.9)
    assert pulse(NOMINAL, 0.3) == 1.0


def test_a_moved_camera_maps_the_frame() -> None:
    still = view(NOMINAL, width=640, height=480, scale=1.0)
    assert still.tolist() == [pytest.approx([1, 0, 0]), pytest.approx([0, 1, 0])]
    moved = view(Light(shift_x_px=3, shift_y_px=-2), width=320, height=240, scale=0.5)
    assert moved.tolist() == [pytest.approx([1, 0, 1.5]), pytest.approx([0, 1, -1])]
    turned = view(Light(rotation_deg=90 / 9), width=101, height=101, scale=1.0)
    assert (turned @ [50, 50, 1]).tolist() == pytest.approx([50, 50])
    assert (turned @ [100, 50, 1])[1] == pytest.approx(50 + 50 * math.sin(math.radians(10)))
    assert is_nominal_view(Light(level=0.1, defocus_px=3))
    assert not is_nominal_view(Light(rotation_deg=0.1))


def test_a_light_out_of_range_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"level"):
        msgspec.convert({"level": -1}, Light)
    with pytest.raises(msgspec.ValidationError, match=r"brightnes"):
        msgspec.convert({"from_part": 1, "brightnes": 1}, LightChange)
