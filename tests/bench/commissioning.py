"""What commissioning gives on real parts: how well defects are told, and what is promised.

    python tests/bench/commissioning.py FOLDER [--seeds 5] [--sets casting ...]

FOLDER holds image sets as SET/train/good and SET/test. Each seed fits to other nine tenths of the
good images (at most 300), as `edge-agent commission --false-rejects 1%` does, and judges the test
images with the graph that goes into the bundle. Then with ten good images; and, where meta.json
tells the exposure, fitted to exposures 1 to 3 and asked about 4 to 6. Half a minute a fit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from calibration import commission, figures, frames, viewing
from calibration.commission import Plan
from calibration.evaluation import sets
from calibration.projection import Floats
from calibration.thresholds import Allowed
from edge_agent.camera.images import read_image

_SETS = ("casting", "mtd", "screw", "aliens")
_MOST = 300
_FEW = 10
_ASKED = Allowed(false_rejects=0.01, reviews=0.02)


def _fit(files: Sequence[Path], seed: int) -> tuple[Plan, commission.Fitted]:
    """Fit to some good images as the command does."""
    images = [read_image(file) for file in files]
    plan = Plan(name="bench", allowed=_ASKED, seed=seed)
    some = images[:: max(1, len(images) // viewing.LOOKED_AT)][: viewing.LOOKED_AT]
    plan = msgspec.structs.replace(plan, input=viewing.choose(some, plan.input).input)
    good = commission.make_most(plan, commission.collect(images, plan))
    return plan, commission.fit(plan, good)


def _scores(plan: Plan, fitted: commission.Fitted, files: Sequence[Path]) -> Floats:
    judge = commission.inspector(plan, fitted, "onnx")
    found = np.array([judge.inspect(read_image(file)).score for file in files], np.float32)
    judge.close()
    return found


def _told(name: str, fits: Sequence[tuple[float, Floats, Floats]]) -> None:
    """Print the mean over seeds, and the least and the most."""
    rows = []
    for limit, good, bad in fits:
        ordered = np.sort(good)[::-1]
        recall = float((bad > ordered[int(0.01 * len(good))]).mean())
        false = float((good >= limit).mean())
        caught = float((bad >= limit).mean())
        rows.append((figures.auroc(good, bad), recall, false, caught))
    values = np.array(rows)
    cells = [
        f"{mean:.3f} ({low:.3f} to {high:.3f})"
        for mean, low, high in zip(
            values.mean(axis=0), values.min(axis=0), values.max(axis=0), strict=True
        )
    ]
    print("| " + " | ".join([name, *cells]) + " |", flush=True)  # noqa: T201 - its answer


def _trial(
    good: Sequence[Path], test: Sequence[tuple[Path, bool]], seed: int
) -> tuple[float, Floats, Floats]:
    plan, fitted = _fit(good, seed)
    scores = _scores(plan, fitted, [file for file, _ in test])
    bad = np.array([defective for _, defective in test])
    return fitted.thresholds.ng, scores[~bad], scores[bad]


def _set(folder: Path, seeds: int, take: Callable[[int], int], *, name: str) -> None:
    every = frames.good_files(folder / "train" / "good", limit=10_000)
    test = [(file, bool(truth.defect)) for file, truth in frames.labelled_files(folder / "test")]
    fits = []
    for seed in range(seeds):
        count = min(take(len(every)), len(every))
        chosen = np.random.default_rng(seed).choice(len(every), count, replace=False)
        fits.append(_trial([every[place] for place in sorted(chosen)], test, seed))
    _told(name, fits)


def _exposures(folder: Path) -> None:
    """Fit to exposures 1 to 3, ask about 4 to 6; and the same with a fit to all of them."""
    every = frames.good_files(folder / "train" / "good", limit=10_000)
    labelled = frames.labelled_files(folder / "test")
    levels = sets.labels_of([*every, *(file for file, _ in labelled)], folder, "exposure")
    seen = {"1", "2", "3"}
    low = [file for file, level in zip(every, levels, strict=False) if level in seen]
    high = [
        (file, bool(truth.defect))
        for (file, truth), level in zip(labelled, levels[len(every) :], strict=True)
        if level not in seen
    ]
    _told(f"{folder.name}, exposures 4 to 6, fitted to 1 to 3", [_trial(low, high, 0)])
    _told(f"{folder.name}, exposures 4 to 6, fitted to all", [_trial(every[:_MOST], high, 0)])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="*", default=_SETS)
    given = parser.parse_args()
    head = "set | image AUROC | recall at 1 % false rejects | false rejects, 1 % asked | caught"
    print(f"| {head} |\n|---|---|---|---|---|")  # noqa: T201 - its answer
    for name in given.sets:
        folder = given.folder / name
        _set(folder, given.seeds, lambda every: min(_MOST, round(0.9 * every)), name=name)
        _set(folder, given.seeds, lambda _: _FEW, name=f"{name}, {_FEW} good images")
        meta = folder / "meta.json"
        if meta.is_file() and "exposure" in next(iter(json.loads(meta.read_bytes()).values())):
            _exposures(folder)


if __name__ == "__main__":
    _main()
