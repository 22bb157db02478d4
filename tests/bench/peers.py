"""Hold a commissioned model against anomalib's PaDiM and PatchCore on the same trunk.

    python tests/bench/peers.py FOLDER --python PYTHON --out OUT [--good 100] [--sets casting ...]

FOLDER holds image sets as SET/train/good and SET/test. PYTHON is that of another environment, with
anomalib, timm, torch, onnx, onnxscript and opencv: none of them enters this project's own. It fits
theirs to the very files that ours is commissioned on, and exports them to ONNX; scores, times and
memory of all three are then taken here, in ONNX Runtime on one thread. What lies in OUT from a run
before is used again. Prints tables in Markdown. Minutes a set.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 256
PEERS = ("padim", "patchcore")
MEAN, STD = 127 / 255, 128 / 255  # what the trunk was trained with
PADIM_FEATURES = 100  # anomalib's default for its small trunk
BATCH = 10
POOL = 2048
HEAD = """\
| set | model | AUROC | recall at 1 % | images a second | MiB grown | MiB in all | MiB at most |
|---|---|---|---|---|---|---|---|"""

RATIOS = """
| ours against | AUROC | recall | throughput, times | MiB grown, share | in all | at most |
|---|---|---|---|---|---|---|"""

_SETS = ("casting", "mtd", "screw", "aliens")
_ROOT = Path(__file__).resolve().parents[2]
_MEMORY = """
import json, sys
import numpy as np, onnxruntime as ort
def resident(field="VmRSS"):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024
options = ort.SessionOptions()
options.enable_cpu_mem_arena = False
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
before = resident()
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
(entry,) = session.get_inputs()
kind = np.uint8 if "uint8" in entry.type else np.float32
for number in range(5):
    session.run(None, {entry.name: np.full(entry.shape, number / 5, kind)})
print(json.dumps([resident() - before, resident(), resident("VmHWM")]))
"""
_TORCH = """
import json, sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests.bench.peers import planes
from tests.rigs.exports import _torch
torch = _torch()
import anomalib.models
def resident(field="VmRSS"):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024
torch.set_num_threads(1)
image = np.load(sys.argv[3])
planes(image)
before = resident()
model = torch.load(sys.argv[2], weights_only=False).eval()
times = []
with torch.inference_mode():
    for _ in range(20):
        begin = time.perf_counter()
        float(model(torch.from_numpy(planes(image))).pred_score)
        times.append(time.perf_counter() - begin)
print(json.dumps([1 / float(np.median(times)), resident() - before, resident(), resident("VmHWM")]))
"""


def fit_theirs(files: list[Path], out: Path, weights: dict[str, Any]) -> None:
    """Fit and export both; runs in the other environment.

    Args:
        files: Images of good parts.
        out: Where to.
        weights: The trunk's, by the names of their package.
    """
    rig = importlib.import_module("tests.rigs.exports")
    torch = rig._torch()
    cv2 = importlib.import_module("cv2")
    models = importlib.import_module("anomalib.models")
    processing = importlib.import_module("anomalib.pre_processing")
    transforms = importlib.import_module("torchvision.transforms.v2")
    greedy = importlib.import_module("anomalib.models.components.sampling.k_center_greedy")
    greedy.KCenterGreedy.select_coreset_idxs = _choose
    torch.set_num_threads(2)
    read = (cv2.imread(str(file)) for file in files)
    pixels = torch.tensor(np.concatenate([planes(image) for image in read]))
    normalise = transforms.Normalize(mean=[MEAN] * 3, std=[STD] * 3)
    shared = {
        "backbone": "tf_efficientnet_lite0", "layers": ["blocks.2", "blocks.4"],
        "pre_trained": False, "post_processor": False, "evaluator": False, "visualizer": False,
        "pre_processor": processing.PreProcessor(transform=normalise),
    }  # fmt: skip
    for name in PEERS:
        torch.manual_seed(0)
        begin = time.monotonic()
        if name == "padim":
            model = models.Padim(n_features=PADIM_FEATURES, **shared)
        else:
            model = models.Patchcore(**shared)
        _fill(model.model.feature_extractor.feature_extractor, weights, torch)
        model.model.train()
        with torch.no_grad():
            for start in range(0, len(pixels), BATCH):
                model.model(normalise(pixels[start : start + BATCH]))
            model.fit()
        model.eval()
        took = time.monotonic() - begin
        torch.save(model, out / f"{name}.pt")
        made = model.to_onnx(
            out / name, input_size=(SIDE, SIDE), opset_version=18, dynamic_shapes=None
        )  # one image at a time, as ours
        facts = {"file": str(made), "seconds": took, "good": len(files)}
        (out / f"{name}.json").write_text(json.dumps(facts))


def _fill(trunk: Any, weights: dict[str, Any], torch: Any) -> None:
    """Give timm's network the package's weights: other names, the same order."""
    state = trunk.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    for name, value in zip(names, weights.values(), strict=False):  # ours goes on to the last stage
        if state[name].shape != value.shape:
            raise ValueError(f"{name}: another shape than in the package")
        state[name] = torch.tensor(value)
    trunk.load_state_dict(state)


def _choose(self: Any) -> list[int]:
    """Choose a coreset: the same greedy k-centre, on the features themselves.

    anomalib first projects them at random: so small a trunk's 152 channels to some 285, which makes
    distances rough and each of ten thousand steps slow. Here each step looks only at a pool of the
    farthest rows, which is exact while the farthest of them is no nearer than all others were.
    """
    rows = self.embedding.numpy()
    squares = (rows * rows).sum(axis=1)
    nearest = np.full(len(rows), np.inf, np.float32)
    chosen = fresh = [int(np.random.default_rng(0).integers(len(rows)))]
    while True:
        for start in range(0, len(rows), POOL):
            some = slice(start, start + POOL)
            far = squares[some, None] + squares[fresh] - 2 * (rows[some] @ rows[fresh].T)
            nearest[some] = np.minimum(nearest[some], far.min(axis=1))
        nearest[chosen] = -1
        pool = np.argpartition(nearest, -POOL)[-POOL:]
        near, its, bound = nearest[pool], rows[pool], nearest[pool].min()
        fresh = []
        while len(fresh) < 64 and near.max() >= bound:
            if len(chosen) + len(fresh) == self.coreset_size:
                return chosen + fresh
            best = int(near.argmax())
            last = int(pool[best])
            np.minimum(near, squares[pool] + squares[last] - 2 * (its @ rows[last]), out=near)
            near[best] = -1
            fresh.append(last)
        chosen = chosen + fresh


def planes(image: Any) -> Any:
    """Turn a BGR image into what anomalib's models take: float32 (1, 3, H, W), RGB, 0 to 1."""
    cv2 = importlib.import_module("cv2")
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1), np.float32)[None] / 255


def _theirs(file: str) -> Callable[[Any], float]:
    """Load an export as its user would: ONNX Runtime's defaults, on one thread."""
    import onnxruntime as ort  # noqa: PLC0415 - heavy, and the other environment has no use for it

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name

    def score(image: Any) -> float:
        return float(
            np.ravel(session.run(["pred_score", "anomaly_map"], {entry: planes(image)})[0])[0]
        )

    return score


def _ours(file: Path) -> Callable[[Any], float]:
    """Load a bundle as a station would."""
    from edge_agent.inspection.engines import EngineSettings  # noqa: PLC0415 - as above
    from edge_agent.rollout.bundle import read_bundle  # noqa: PLC0415
    from edge_agent.rollout.loading import load_pipeline  # noqa: PLC0415

    pipeline = load_pipeline(read_bundle(file), "onnx", EngineSettings(threads=1))
    return lambda image: pipeline.inspect(image).stages[0].score


def _fit(folder: Path, out: Path, most: int, python: str) -> int:
    """Fit ours and theirs to the same files, where that was not done before."""
    files = sorted((folder / "train" / "good").iterdir())
    count = min(most, len(files))
    chosen = [files[number * len(files) // count] for number in range(count)]
    (out / "good").mkdir(parents=True, exist_ok=True)
    for file in chosen:
        link = out / "good" / file.name
        if not link.exists():
            link.symlink_to(file.resolve())
    bundle = out / "ours.bundle"
    if not bundle.exists():
        begin = time.monotonic()
        verb = [str(Path(sys.executable).with_name("edge-agent")), "commission"]
        subprocess.run(
            [*verb, "--good", str(out / "good"), "--name", folder.name, "--out", str(bundle)],
            check=True,
            stdout=sys.stderr,
        )
        print(f"commissioned in {time.monotonic() - begin:.0f} s", file=sys.stderr)  # noqa: T201 - how it goes
    if not all((out / f"{name}.json").exists() for name in PEERS):
        _write_weights(out / "weights.npz")
        code = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); "
        code += "from tests.bench.peers import _other; _other()"
        subprocess.run([python, "-c", code, str(out)], check=True, cwd=out, stdout=sys.stderr)
    return count


def _write_weights(file: Path) -> None:
    from models.weights import package_weights, read_weights  # noqa: PLC0415 - only here they are

    weights: dict[str, Any] = dict(read_weights(package_weights()))
    np.savez(file, **weights)


def _other() -> None:
    out = Path(sys.argv[1])
    with np.load(out / "weights.npz") as file:
        weights = {name: file[name] for name in file.files}
    fit_theirs(sorted((out / "good").iterdir()), out, weights)


def _memory(model: str) -> list[float]:
    """Return MiB that a bare process grows by, and its whole, then and at most."""
    command = [sys.executable, "-c", _MEMORY, model]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(value) for value in json.loads(ran.stdout)]


def _in_torch(python: str, out: Path, name: str) -> list[float]:
    """Return images a second in torch on one thread, then the same as `_memory`."""
    command = [python, "-c", _TORCH, str(_ROOT), str(out / f"{name}.pt"), str(out / "image.npy")]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=out)
    return [float(value) for value in json.loads(ran.stdout.splitlines()[-1])]


def _set(folder: Path, out: Path, most: int, python: str) -> dict[str, list[float]]:
    """Measure one set; AUROC, recall, images a second, MiB grown, MiB in all, of each model."""
    from calibration import figures, frames  # noqa: PLC0415 - as above
    from edge_agent.camera.images import read_image  # noqa: PLC0415
    from edge_agent.rollout.bundle import read_bundle  # noqa: PLC0415

    count = _fit(folder, out, most, python)
    bundle = read_bundle(out / "ours.bundle")
    (model,) = (data for name, data in bundle.files.items() if name.endswith(".onnx"))
    (out / "ours.onnx").write_bytes(model)
    files = {"ours": str(out / "ours.onnx")}
    judges = {"ours": _ours(out / "ours.bundle")}
    for name in PEERS:
        files[name] = json.loads((out / f"{name}.json").read_text())["file"]
        judges[name] = _theirs(files[name])
    labelled = frames.labelled_files(folder / "test")
    bad = np.array([bool(truth.defect) for _, truth in labelled])
    images = [_colour(read_image(file)) for file, _ in labelled]
    scores: dict[str, list[float]] = {name: [] for name in judges}
    times: dict[str, list[float]] = {name: [] for name in judges}
    for start in range(0, len(images), BATCH):  # in turn, but each with its own caches warm
        for name, judge in judges.items():
            for image in images[start : start + BATCH]:
                begin = time.perf_counter()
                scores[name].append(judge(image))
                times[name].append(time.perf_counter() - begin)
    found = {}
    np.save(out / "image.npy", images[0])
    label = f"{folder.name} ({count} good)"
    for name, values in scores.items():
        each = np.array(values, np.float32)
        recall = float((each[bad] > np.quantile(each[~bad], 0.99)).mean())
        accuracy = [figures.auroc(each[~bad], each[bad]), recall]
        found[name] = [*accuracy, 1 / float(np.median(times[name])), *_memory(files[name])]
        print(_row(label, name, found[name]), flush=True)  # noqa: T201 - its answer
    for name in PEERS:  # the same scores, whatever runs it
        kind = f"{name}, torch"
        found[kind] = [*found[name][:2], *_in_torch(python, out, name)]
        print(_row(label, kind, found[kind]), flush=True)  # noqa: T201 - its answer
    return found


def _colour(image: Any) -> Any:
    """Give a grey image three channels, before any time is taken: theirs take nothing else."""
    return np.ascontiguousarray(
        np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))
    )


def _row(label: str, name: str, row: Iterable[float]) -> str:
    area, recall, *others = row
    rest = " | ".join(f"{each:.0f}" for each in others)
    return f"| {label} | {name} | {area:.3f} | {recall:.2f} | {rest} |"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--sets", nargs="*", default=_SETS)
    given = parser.parse_args()
    print(HEAD)  # noqa: T201 - its answer
    out = given.out.resolve()
    found = [_set(given.folder / name, out / name, given.good, given.python) for name in given.sets]
    means = {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}
    for name, mean in means.items():
        print(_row("mean", name, mean))  # noqa: T201 - its answer
    print(RATIOS)  # noqa: T201 - its answer
    for name in list(means)[1:]:
        area, recall = means["ours"][:2] - means[name][:2]
        speed, *memory = means["ours"][2:] / means[name][2:]
        shares = " | ".join(f"{each:.2f}" for each in memory)
        print(f"| {name} | {area:+.3f} | {recall:+.2f} | {speed:.1f} | {shares} |")  # noqa: T201 - its answer


if __name__ == "__main__":
    _main()
