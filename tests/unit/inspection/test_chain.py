"""Engines behind one another: the invariants of `edge_agent.inspection.chain`, each by its name."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from edge_agent.errors import EngineError
from edge_agent.inspection.chain import PATIENCE, EngineChain
from edge_agent.inspection.engines import Choice, Engine, EngineSettings, Pixels, load_engine
from tests.tiny import SHAPE, fragile_onnx, tiny_tflite

GOOD: Pixels = np.full(SHAPE, 20, np.uint8)
BRIGHT: Pixels = np.full(SHAPE, 250, np.uint8)
FRAGILE, SOUND, LAST = Choice("onnx", 2), Choice("litert"), Choice("onnx")


def chain(*rest: Choice, refused: tuple[Choice, ...] = ()) -> EngineChain:
    """Make a chain whose first engine really fails on bright pictures."""

    def succeed(choice: Choice) -> Engine:
        if choice in refused:
            raise EngineError(f"engine {choice.engine}: refuses the model")
        bytes_ = tiny_tflite() if choice.engine == "litert" else fragile_onnx()
        return load_engine(choice.engine, bytes_, EngineSettings())

    first = load_engine("onnx", fragile_onnx(), EngineSettings())
    return EngineChain(FRAGILE, first, rest=rest, succeed=succeed)


def fail(engines: EngineChain, times: int) -> None:
    for _ in range(times):
        with pytest.raises(EngineError, match="engine onnx: "):
            engines.run(BRIGHT)


def test_an_engine_is_given_up_only_after_so_many_failures_one_after_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engines = chain(SOUND)
    for _ in range(3):
        fail(engines, PATIENCE - 1)
        assert engines.run(GOOD)["map"].max() == 20.0  # forgives those before it
    assert (engines.choice, engines.trouble, engines.name) == (FRAGILE, "", "onnx")
    fail(engines, PATIENCE - 1)
    assert engines.run(BRIGHT)["map"].max() == 250.0  # the run that tips it is done by the next
    assert (engines.choice, engines.name) == (SOUND, "litert")
    assert engines.input_shape == SHAPE
    assert engines.trouble.startswith("onnx, 2 threads failed on 3 parts one after another (engine")
    assert engines.trouble.endswith("; litert, 1 thread judges in its place until the next reload")
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


def test_one_that_was_given_up_does_not_come_back() -> None:
    engines = chain(SOUND, LAST)
    fail(engines, PATIENCE - 1)
    for pixels in (BRIGHT, GOOD, BRIGHT, GOOD):
        assert engines.run(pixels)["map"].max() == pixels.max()
        assert engines.choice == SOUND


def test_one_that_refuses_is_passed_over_and_not_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engines = chain(LAST, SOUND, refused=(LAST,))
    fail(engines, PATIENCE - 1)
    assert engines.run(BRIGHT)["map"].max() == 250.0
    assert engines.choice == SOUND
    assert "onnx, 1 thread cannot take over: engine onnx: refuses the model" in caplog.text
    alone = chain(SOUND, refused=(SOUND,))
    fail(alone, 3 * PATIENCE)
    assert caplog.text.count("litert, 1 thread cannot take over") == 1


def test_the_last_one_is_never_given_up() -> None:
    engines = chain()
    fail(engines, 3 * PATIENCE)
    assert (engines.choice, engines.trouble) == (FRAGILE, "")
    assert engines.run(GOOD)["map"].max() == 20.0


def test_a_successor_that_fails_too_has_its_own_patience() -> None:
    engines = chain(LAST, SOUND)
    fail(engines, PATIENCE)  # the last of them failed on both
    assert engines.choice == LAST
    fail(engines, PATIENCE - 2)
    assert engines.run(BRIGHT)["map"].max() == 250.0
    assert engines.choice == SOUND


def test_a_closed_chain_asks_nobody_to_take_over() -> None:
    engines = chain(SOUND)
    engines.close()
    with pytest.raises(AttributeError):
        engines.run(GOOD)
    assert engines.choice == FRAGILE
