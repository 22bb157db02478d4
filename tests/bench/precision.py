"""What int8 costs on real parts: the same fit on float features, on int8 ones, and by LiteRT.

    python tests/bench/precision.py FOLDER [--good 300] [--sets casting ...]

FOLDER holds image sets as SET/train/good and SET/test.
Prints image AUROC and recall at 1 % false rejects for each set, the drop from float to int8 with a
paired bootstrap interval, and what a head that was fitted to int8 features says of float ones.
Then how long the trunks take, in turn, on one thread. Minutes a set.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration import anomaly, features, figures, frames, marks, tflite, viewing
from calibration.precision import float_trunk_file
from edge_agent.camera.images import read_image
from edge_agent.inspection.engines import EngineSettings, Outputs, Pixels, load_engine
from edge_agent.inspection.spec import Input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.projection import Floats
    from edge_agent.camera.frame import Image

_SETS = ("casting", "mtd", "screw", "aliens")
_SIDE = 256
_DRAWS = 1000


class _Turned:
    """The int8 trunk in LiteRT, whose outputs have their channels last."""

    name = "litert"

    def __init__(self, spec: Input) -> None:
        model = tflite.convert(features.load_trunk(spec.height, spec.width))
        self._engine = load_engine("litert", model, EngineSettings())
        self.input_shape = self._engine.input_shape

    def run(self, pixels: Pixels) -> Outputs:
        outputs = self._engine.run(pixels)
        return {
            name: np.ascontiguousarray(value.transpose(0, 3, 1, 2))
            for name, value in outputs.items()
        }

    def close(self) -> None:
        self._engine.close()


class _Flat(features.Extractor):
    """Features from LiteRT, fed by the same preprocessing."""

    def __init__(self, spec: Input) -> None:
        super().__init__(spec)
        self._engine = _Turned(spec)


def _look(extractor: features.Extractor, images: Sequence[Image]) -> Floats:
    return np.stack([extractor.features(image) for image in images])


def _figures(good: Floats, bad: Floats) -> tuple[float, float]:
    recall = float((bad > np.quantile(good, 0.99)).mean())
    return figures.auroc(good, bad), recall


def _drop(
    one: tuple[Floats, Floats], two: tuple[Floats, Floats], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of how far the AUROC falls from one to two, on the same parts."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_DRAWS):
        good = rng.integers(0, len(one[0]), len(one[0]))
        bad = rng.integers(0, len(one[1]), len(one[1]))
        before = figures.auroc(one[0][good], one[1][bad])
        found.append(before - figures.auroc(two[0][good], two[1][bad]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _set(folder: Path, most: int) -> None:
    good = [read_image(file) for file in frames.good_files(folder / "train" / "good", limit=most)]
    labelled = frames.labelled_files(folder / "test")
    truths = np.array([bool(truth.defect) for _, truth in labelled])
    tests = [read_image(file) for file, _ in labelled]
    trunk = float_trunk_file()
    some = good[:: max(1, len(good) // viewing.LOOKED_AT)]
    spec = viewing.choose(some, Input(height=_SIDE, width=_SIDE)).input
    ways = {
        "float": (features.Extractor(spec, trunk=trunk), marks.changes(good, spec, trunk=trunk)),
        "int8": (features.Extractor(spec), marks.changes(good, spec)),
        "LiteRT": (_Flat(spec), None),
    }
    heads, scores = {}, {}
    seen: dict[str, Floats] = {}
    for name, (extractor, changes) in ways.items():
        seen[name] = _look(extractor, tests)
        if changes is not None:
            material = anomaly.Material.of(_look(extractor, good), spec.height // 16, changes)
            heads[name] = anomaly.fit(material, anomaly.leave_one_out(material).weights())
    top = anomaly.top_of(seen["float"].shape[1])
    fits = {"float": ("float", "float"), "int8": ("int8", "int8"), "LiteRT": ("int8", "LiteRT"),
            "crossed": ("int8", "float")}  # fmt: skip
    for name, (head, of) in fits.items():
        values = anomaly.scores(heads[head].map(seen[of]), top)
        scores[name] = (values[~truths], values[truths])
    cells = []
    for good_scores, bad_scores in scores.values():
        area, recall = _figures(good_scores, bad_scores)
        cells.append(f"{area:.4f} / {recall:.2f}")
    low, high = _drop(scores["float"], scores["int8"])
    fall = figures.auroc(*scores["float"]) - figures.auroc(*scores["int8"])
    name = f"{folder.name} ({len(good)} good)"
    drop = f"{fall:+.4f} ({low:+.4f} to {high:+.4f})"
    print("| " + " | ".join([name, *cells, drop]) + " |", flush=True)  # noqa: T201 - its answer


def _speed(rounds: int = 300) -> None:
    """Time the trunks in turn, on one thread; minima are what the processor can do."""
    int8 = features.load_trunk(_SIDE, _SIDE)
    models = {
        "float, ONNX Runtime": ("onnx", _bytes(float_trunk_file())),
        "int8, ONNX Runtime": ("onnx", int8.SerializeToString()),
        "int8, LiteRT": ("litert", tflite.convert(int8)),
    }
    settings = EngineSettings(threads=1)
    engines = {name: load_engine(kind, data, settings) for name, (kind, data) in models.items()}
    pixels = np.random.default_rng(0).integers(0, 256, (1, _SIDE, _SIDE, 3), np.uint8)
    best = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds):
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.run(pixels)
            best[name] = min(best[name], time.perf_counter() - start)
    for name, seconds in best.items():
        ratio = best["float, ONNX Runtime"] / seconds
        print(f"| {name} | {1e3 * seconds:.2f} ms | {ratio:.2f} |")  # noqa: T201 - its answer


def _bytes(trunk: Path) -> bytes:
    data: bytes = features.load_trunk(_SIDE, _SIDE, path=trunk).SerializeToString()
    return data


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--good", type=int, default=300)
    parser.add_argument("--sets", nargs="*", default=_SETS)
    given = parser.parse_args()
    print("| set | float | int8 | int8, LiteRT | int8 head on float features | drop |")  # noqa: T201 - its answer
    print("|---|---|---|---|---|---|")  # noqa: T201 - its answer
    for name in given.sets:
        _set(given.folder / name, given.good)
    print("| trunk, 256 px, one thread | minimum | float / it |\n|---|---|---|")  # noqa: T201 - its answer
    _speed()


if __name__ == "__main__":
    _main()
