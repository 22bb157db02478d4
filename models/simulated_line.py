"""The recipe of the reference bundle: good parts of the simulated line, under its normal light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from calibration import commission, frames, lights, trials, viewing
from calibration.samples import CHALLENGE, Planted
from calibration.thresholds import Allowed
from edge_agent.camera.drivers.simulated import Settings
from edge_agent.camera.roi import Roi
from edge_agent.inspection.spec import Input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from calibration.commission import Fitted, Plan
    from edge_agent.camera.frame import Frame, Image, Truth
    from edge_agent.rollout.bundle import Bundle

# Seeds that no default and no demonstration uses: fresh parts must be fresh.
_SEED_GOOD = 910_001
_SEED_FRESH = 910_002
_SEED_BAD = 910_003
_SEED_CHALLENGE = 910_004

ROI = Roi(148 / 640, 68 / 480, 344 / 640, 344 / 480)
"""The part's circle with its play, square in pixels: x 148 to 492, y 68 to 412 of 640x480."""


class Counts(msgspec.Struct, frozen=True):
    """How many parts are drawn: to fit, and to measure."""

    good: int = 600
    fresh: int = 1000
    bad: int = 2000


def plan(seed: int = 0) -> Plan:
    """Say what is to be made."""
    return commission.Plan(
        name="simulated-line",
        version="1",
        about='Parts of the simulated line (`camera.driver = "simulated"`), normal light.',
        input=Input(height=256, width=256, roi=ROI),
        seed=seed,
        allowed=Allowed(false_rejects=0.006, reviews=0.012),
    )


def make(
    out: Path, counts: Counts, track: Callable[[Iterable[Frame], str, int], Iterable[Frame]]
) -> Bundle:
    """Fit, measure and pack the reference bundle.

    Args:
        out: The bundle to write.
        counts: How many parts.
        track: Shows progress over an iterable: (frames, what they are, how many).
    """
    settings = Settings(takt_ms=0, seed=_SEED_GOOD, parts=counts.good, defect_rate=0.0)
    some = msgspec.structs.replace(settings, parts=min(counts.good, viewing.LOOKED_AT))
    wanted = plan()
    shown = [frame.image.copy() for frame in frames.simulated_parts(some)]
    wanted = msgspec.structs.replace(wanted, input=viewing.choose(shown, wanted.input).input)
    good = track(frames.simulated_parts(settings), "Good parts", counts.good)
    lot = commission.collect((frame.image for frame in good), wanted)
    unseen = commission.leave_one_out(wanted, lot)
    fitted = commission.fit(wanted, lot, unseen=unseen)
    light = lights.measure(wanted, lot, unseen, fitted)
    about = (
        f"{counts.fresh} good and {counts.bad} defective parts of the simulated line with other "
        "seeds, normal light; every kind of defect, sizes spread evenly over 4 to 48 px."
    )
    trial = trials.try_out(wanted, fitted, _fresh(counts, track), about=about)
    return commission.pack(
        out,
        wanted,
        lot,
        fitted,
        challenges=_challenges(wanted, fitted),
        trial=trial,
        light=(light.darkest, light.brightest),
        sections=lights.card_lines(light),
        provenance={"tool": "python -m models", "parts": f"simulated line, seed {_SEED_GOOD}"},
    )


def _fresh(
    counts: Counts, track: Callable[[Iterable[Frame], str, int], Iterable[Frame]]
) -> Iterator[tuple[Image, Truth]]:
    """Draw good parts, then defective ones."""
    good = Settings(takt_ms=0, seed=_SEED_FRESH, parts=counts.fresh, defect_rate=0.0)
    bad = Settings(
        takt_ms=0, seed=_SEED_BAD, parts=counts.bad, defect_rate=1.0, defect_size_px_min=4.0
    )
    for settings, what in ((good, "Fresh good parts"), (bad, "Fresh defective parts")):
        for frame in track(frames.simulated_parts(settings), what, settings.parts):
            assert frame.truth is not None, "the simulated line knows its parts"
            yield frame.image, frame.truth


def _challenges(wanted: Plan, fitted: Fitted) -> list[Planted]:
    """Take the first part of each of some kinds of defect that is clearly caught."""
    judge = commission.inspector(wanted, fitted, "onnx")
    found: dict[str, Planted] = {}
    line = Settings(takt_ms=0, seed=_SEED_CHALLENGE, parts=200, defect_rate=1.0)
    for frame in frames.simulated_parts(line):
        truth = frame.truth
        assert truth is not None, "the simulated line knows its parts"
        clear = judge.inspect(frame.image).score >= 1.2 * fitted.thresholds.ng
        if clear and truth.defect not in found:
            words = f"{truth.defect.replace('_', ' ')}, {truth.size_px:.0f} px"
            found[truth.defect] = Planted(frame.image.copy(), words)
        if len(found) == CHALLENGE:
            break
    judge.close()
    return list(found.values())
