"""Thresholds, samples, baseline and card of an imported model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from calibration.importing import eight_bits
from calibration.importing.bundling import Images, Imported, Named, pack
from calibration.importing.convert import convert
from calibration.importing.facts import Given
from calibration.importing.reading import read_model
from edge_agent.camera.roi import Roi
from edge_agent.errors import BundleError, UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.spec import Thresholds
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.selftest import check_samples, judge_samples, what_fails
from tests.unit.calibration.importing import made

GOOD: list[Named] = [(f"good-{seed}.png", made.photo(seed, 96)) for seed in range(12)]
BAD: list[Named] = [(f"spot-{seed}.png", made.photo(seed, 96, spot=24)) for seed in range(6)]


def darkest(*, threshold: float | None = None) -> onnx.ModelProto:
    """A model whose map says how dark each point is: 0 to 1; of anomalib where it has a limit."""
    net = made.Net((1, 3, made.SIDE, made.SIDE))
    grey = net.add("ReduceMean", "images", axes=[1], keepdims=1)
    one = net.constant(np.float32(1.0))
    dark = net.add("Sub", one, grey, to="dark")
    if threshold is None:
        net.add("Identity", dark, to="out")
        return net.model({"out": (TensorProto.FLOAT, (1, 1, made.SIDE, made.SIDE))})
    score = net.add("ReduceMax", dark, axes=[1, 2, 3], keepdims=0)
    moved = net.add("Div", net.add("Sub", score, net.constant(np.float32(threshold))), one)
    half = net.add("Add", moved, net.constant(np.float32(0.5)))
    net.add("Clip", half, net.constant(np.float32(0.0)), one, to="pred_score")
    net.add("Identity", dark, to="anomaly_map")
    return net.model({
        "pred_score": (TensorProto.FLOAT, (1,)),
        "anomaly_map": (TensorProto.FLOAT, (1, 1, made.SIDE, made.SIDE)),
    })  # fmt: skip


def _pack(
    folder: Path, model: onnx.ModelProto, images: Images, given: Given | None = None
) -> Imported:
    file = read_model(made.save(model, folder / "net.onnx"))
    given = given or Given(scale=1 / 255)
    converted = convert(file, given)
    return pack(folder / "out.bundle", file, converted, given, images, name="net", version="2")


def test_an_imported_bundle_passes_its_own_test(tmp_path: Path) -> None:
    made_of = _pack(tmp_path, darkest(threshold=0.7), Images(golden=GOOD, challenge=BAD))
    bundle = read_bundle(tmp_path / "out.bundle")
    assert bundle.digest == made_of.bundle.digest
    assert bundle.manifest.thresholds == {"anomaly": Thresholds(review=0.65, ng=0.7)}
    results = judge_samples(bundle, "onnx", EngineSettings())
    assert what_fails(results) == ""
    assert [result.kind for result in results] == ["golden"] * 4 + ["challenge"] * 4
    assert bundle.manifest.baseline == "baseline.json"
    assert made_of.notes == ()


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _pack(tmp_path / name, darkest(threshold=0.7), Images(golden=GOOD, challenge=BAD))
        written.append((tmp_path / name / "out.bundle").read_bytes())
    assert written[0] == written[1]


def test_provenance_and_card_name_the_file_and_what_was_done(tmp_path: Path) -> None:
    bundle = _pack(tmp_path, darkest(), Images(golden=GOOD, challenge=BAD)).bundle
    told = bundle.manifest.provenance
    digest = read_model(tmp_path / "net.onnx").digest
    assert told["model"] == f"net.onnx, sha256 {digest}"
    assert told["source"] == "pytorch 2.13.0"
    assert told["opset"] == "ai.onnx 17; IR 8"
    card = bundle.files["card.md"].decode()
    for part in (digest, "pixels 0 to 1", "learned from 12 golden images", "spot-0.png"):
        assert part in card


def test_thresholds_of_an_anomaly_model_are_chosen_on_good_images(tmp_path: Path) -> None:
    imported = _pack(tmp_path, darkest(), Images(golden=GOOD, challenge=BAD))
    assert imported.stage.thresholds is not None
    assert 0.4 < imported.stage.thresholds.ng < 0.9
    assert any("from 12 images taken for good parts" in note for note in imported.notes)


def test_thresholds_given_are_taken(tmp_path: Path) -> None:
    given = Given(scale=1 / 255, ng=0.8, review=0.6)
    imported = _pack(tmp_path, darkest(threshold=0.7), Images(), given)
    assert imported.stage.thresholds == Thresholds(review=0.6, ng=0.8)
    given = Given(scale=1 / 255, ng=0.8, review=0.9)
    with pytest.raises(UsageError, match=r"--review 0.9 --threshold 0.8: 0 < review <= threshold"):
        _pack(tmp_path, darkest(threshold=0.7), Images(), given)


def test_a_threshold_that_nothing_says_is_called_a_guess(tmp_path: Path) -> None:
    imported = _pack(tmp_path, darkest(), Images())
    assert imported.stage.thresholds == Thresholds(review=0.4, ng=0.5)
    assert any("0.5 is a guess" in note for note in imported.notes)


def test_without_samples_it_says_that_install_will_refuse(tmp_path: Path) -> None:
    imported = _pack(tmp_path, darkest(threshold=0.7), Images(golden=GOOD))
    note = imported.notes[-1]
    assert "no challenge samples, so edge-agent install will refuse it" in note
    assert "--challenge DIR" in note
    with pytest.raises(BundleError, match="holds no challenge sample"):
        check_samples(imported.bundle)


def test_samples_that_come_out_wrong_are_left_out_and_counted(tmp_path: Path) -> None:
    mixed: list[Named] = [*BAD[:3], *GOOD]
    imported = _pack(tmp_path, darkest(threshold=0.7), Images(golden=mixed, challenge=BAD))
    kinds = [sample.kind for sample in imported.bundle.manifest.samples]
    assert kinds.count("golden") == 4
    assert any("golden images did not come out as they should" in note for note in imported.notes)
    with pytest.raises(UsageError, match=r"--golden: none of 6 images comes out as it should"):
        _pack(tmp_path, darkest(threshold=0.7), Images(golden=BAD, challenge=BAD))


def test_int8_is_compared_with_float_and_chosen(tmp_path: Path) -> None:
    given = Given(labels=("good", "chip", "dent"), scale=1 / 255)
    imported = _pack(tmp_path, made.classifier(), Images(calibrate=[*GOOD, *BAD]), given)
    assert imported.int8.startswith("int8: on 18 calibration images 0 verdicts changed")
    model = onnx.load_from_string(imported.bundle.files["model.onnx"])
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    assert imported.bundle.manifest.provenance["precision"] == imported.int8


def test_int8_gives_equal_bytes_too(tmp_path: Path) -> None:
    given = Given(labels=("good", "chip", "dent"), scale=1 / 255)
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _pack(tmp_path / name, made.classifier(), Images(calibrate=GOOD), given)
        written.append((tmp_path / name / "out.bundle").read_bytes())
    assert written[0] == written[1]


def test_verdicts_at_a_threshold_may_be_rounded_over_it() -> None:
    def compared(changed: int, largest: float) -> eight_bits.Compared:
        return eight_bits.Compared(
            images=100, changed=changed, largest=largest, mean=0.0, highest=1.0, ng=0.5,
            float_ms=1.0, int8_ms=1.0,
        )  # fmt: skip

    assert compared(2, 0.4).good
    assert compared(9, 0.01).good
    assert not compared(3, 0.011).good


def test_int8_that_changes_verdicts_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eight_bits, "MOST_CHANGED", -1.0)  # as if one verdict too many changed
    monkeypatch.setattr(eight_bits, "ROUNDING", -1.0)
    given = Given(labels=("good", "chip", "dent"), scale=1 / 255)
    imported = _pack(tmp_path, made.classifier(), Images(calibrate=GOOD), given)
    assert imported.int8.startswith("float: int8 differs too much (on 12 calibration images")
    model = onnx.load_from_string(imported.bundle.files["model.onnx"])
    assert "QuantizeLinear" not in {node.op_type for node in model.graph.node}


def test_what_cannot_be_quantized_stays_as_it_is_and_says_so(tmp_path: Path) -> None:
    imported = _pack(tmp_path, darkest(threshold=0.7), Images(calibrate=GOOD))
    assert imported.int8.startswith("as in the file: the model has no layers with weights")


def test_images_of_mixed_sizes_and_colours_are_taken(tmp_path: Path) -> None:
    grey = made.photo(50, 80)[..., 0].copy()
    mixed: list[Named] = [("grey.png", grey), ("small.png", made.photo(51, 64)), *GOOD]
    imported = _pack(tmp_path, darkest(threshold=0.7), Images(golden=mixed, challenge=BAD))
    results = judge_samples(imported.bundle, "onnx", EngineSettings())
    assert what_fails(results) == ""


def test_a_region_of_the_frame_may_be_all_that_is_looked_at(tmp_path: Path) -> None:
    corner = Roi(0.0, 0.0, 0.25, 0.25)
    given = Given(scale=1 / 255, roi=corner)
    imported = _pack(tmp_path, darkest(threshold=0.7), Images(golden=GOOD), given)
    assert imported.stage.input.roi == corner
