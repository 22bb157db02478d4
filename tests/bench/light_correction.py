"""What correcting the light is worth: scores of parts in other light, as they are and corrected.

    python -m tests.bench.light_correction BUNDLE TRAIN_GOOD TEST_GOOD TEST_DEFECTIVE

The light of real images is changed by `calibration.lights.in_light` (linear light, clipping, the
camera's noise). What a station's watch and corrector make of it is said (`a station undoes`); parts
that fill the frame hide small changes from the watch, which then undoes nothing. The figures beside
it are of the true light undone, so that they say what correction can do at best.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from calibration import figures
from calibration.lights import in_light, undo
from edge_agent.camera.frame import Image
from edge_agent.camera.images import read_image
from edge_agent.inspection.engines import EngineSettings
from edge_agent.lighting import Baseline, LightWatch
from edge_agent.lighting.correction import Correct, Correction, Corrector
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.live import LiveModel, make_live

LIGHTS = (0.8, 0.85, 0.9, 0.95, 1.05, 1.1)
_PARTS = 60
_WARM = 60
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})

Floats = npt.NDArray[np.float32]


def main() -> None:
    """Print a table: by light, how far scores moved, verdicts that turned, AUROC; both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "train", "good", "defective"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    model = make_live(bundle, "onnx", EngineSettings(), watch=False)
    train, good, bad = (_images(each) for each in (given.train, given.good, given.defective))
    baseline = Baseline.learn(train)
    ng = next(iter(model.thresholds.values())).ng
    usual = _scores(model, good), _scores(model, bad)
    table = Table(title=f"as it is: AUROC {figures.auroc(*usual):.4f}; `ng` from {ng:.3f}")
    for title in ("light", "a station undoes", "scores moved", "corrected", "good ng", "corrected",
                  "AUROC", "corrected"):  # fmt: skip
        table.add_column(title)
    for light in LIGHTS:
        rng = np.random.default_rng(0)
        corrector, by = _told(baseline, train, light)
        found = []
        for images in (good, bad):
            shown = [in_light(image, light, rng) for image in images]
            found.append(
                (_scores(model, shown), _scores(model, [undo(each, light) for each in shown]))
            )
        (raw, fixed), (raw_bad, fixed_bad) = found
        both = np.concatenate(usual)
        moved = np.abs(np.concatenate([raw, raw_bad]) - both).mean() / ng
        moved_fixed = np.abs(np.concatenate([fixed, fixed_bad]) - both).mean() / ng
        table.add_row(
            f"{light:.2f}",
            f"{by.level:+.1f} %" if by else f"nothing: {corrector.why_not}",
            f"{moved:.1%}",
            f"{moved_fixed:.1%}",
            f"{(raw >= ng).mean():.1%}",
            f"{(fixed >= ng).mean():.1%}",
            f"{figures.auroc(raw, raw_bad):.4f}",
            f"{figures.auroc(fixed, fixed_bad):.4f}",
        )
    Console(width=150).print(table)


def _images(folder: Path) -> list[Image]:
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in _SUFFIXES)
    step = max(1, len(files) // _PARTS)
    return [read_image(file) for file in files[::step][:_PARTS]]


def _scores(model: LiveModel, images: list[Image]) -> Floats:
    return np.array(
        [model.pipeline.inspect(image).scores["anomaly"] for image in images], np.float32
    )


def _told(
    baseline: Baseline, train: list[Image], light: float
) -> tuple[Corrector, Correction | None]:
    """Show a station's watch parts in a light, and return what its corrector makes of it."""
    rng = np.random.default_rng(1)
    watch, corrector = LightWatch(baseline), Corrector(baseline, Correct.GAIN)
    by: Correction | None = None
    for turn in range(_WARM):
        frame = in_light(train[turn % len(train)], light, rng)
        by = corrector.correct(frame, watch.update(frame))
    return corrector, by


if __name__ == "__main__":
    main()
