"""A pipeline of bundles: its samples, light, card and provenance."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from calibration.joining.joining import Joined, Named, Scene, join
from calibration.joining.wiring import Wiring
from edge_agent.camera.frame import Image
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.inspection.spec import Detect, Source, Thresholds, When
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.selftest import judge_samples, what_fails
from tests.tiny import png, tiny_onnx
from tests.tiny_tasks import LABELS, detector, spot
from tests.unit.calibration.joining.pieces import light, locator, looker, scene, sorter

AT_BOXES = Wiring(sources={"look": Source(stage="find", labels=("green",), margin=0.0)})
GOOD: list[Named] = [(f"good-{level}", scene(level)) for level in (200, 205, 210, 215, 220)]
BAD: list[Named] = [("bright", scene(255))]


def make(
    path: Path,
    *given: tuple[str, Bundle],
    wiring: Wiring = AT_BOXES,
    good: list[Named] | None = None,
    ng: list[Named] | None = None,
    baseline_from: str = "",
) -> Joined:
    return join(
        path / "line.bundle",
        given or [("find", locator()), ("look", looker())],
        wiring,
        Scene(good=good or [], ng=ng or []),
        name="line", version="1", baseline_from=baseline_from,
    )  # fmt: skip


def test_a_joined_bundle_holds_on_its_own_samples(tmp_path: Path) -> None:
    joined = make(tmp_path, ng=BAD)
    bundle = read_bundle(tmp_path / "line.bundle")
    assert bundle.digest == joined.bundle.digest
    assert [stage.name for stage in bundle.manifest.stages] == ["find", "look"]
    results = judge_samples(bundle, "onnx", EngineSettings())
    assert what_fails(results) == ""
    assert {each.file: each.verdict.value for each in results} == {
        "find/golden-1.png": "ok", "find/golden-2.png": "ok",
        "find/challenge-1.png": "ng", "find/challenge-2.png": "ng", "challenge-1.jpg": "ng",
    }  # fmt: skip
    scores = {sample.file: sample.scores for sample in bundle.manifest.samples}
    assert scores["find/golden-1.png"] == {"find": 0.0, "look": 200.0}
    assert set(scores["find/challenge-1.png"]) == {"find"}  # there is nothing green in it
    assert bundle.manifest.tolerance == 0.2


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name, good=GOOD, ng=BAD)
    first, second = (tmp_path / name / "line.bundle" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_frames_of_a_folder_take_the_place_of_golden_samples(tmp_path: Path) -> None:
    joined = make(tmp_path, good=GOOD)
    files = [sample.file for sample in joined.bundle.manifest.samples]
    assert files == ["golden-1.jpg", "golden-2.jpg", "golden-4.jpg", "golden-5.jpg",
                     "find/challenge-1.png", "find/challenge-2.png"]  # fmt: skip
    assert any("No challenge sample is caught by look" in note for note in joined.notes)


def test_a_frame_given_twice_is_one_sample(tmp_path: Path) -> None:
    joined = make(tmp_path, ng=[("a", scene(255)), ("b", scene(255))])
    assert len(joined.bundle.manifest.samples) == 5


def test_card_and_provenance_name_all_that_went_in(tmp_path: Path) -> None:
    joined = make(tmp_path, ng=BAD)
    card = joined.bundle.files["card.md"].decode()
    for part in (
        "| find | Green-Things 3 (dddddddddddd) | the frame | always | 0.6, 0.7 | - |",
        "green that find found, at most 16",
        "find/golden-1.png: golden; find 0, look 200",
        "challenge-1.jpg: challenge, bright; find 0, look 25",
        "## find: Green-Things 3", "### Green-Things 3", "#### Figures",
        "Its stage detect is find here", "Light: the baseline of find.", f"Digest {'d' * 64}",
    ):  # fmt: skip
        assert part in card
    told = joined.bundle.manifest.provenance
    assert told["find"] == f"Green-Things 3, digest {'d' * 64}"
    assert told["find.seed"] == "7"
    assert told["tool"].endswith("edge-agent bundle join")
    assert any("samples and the light of look are left out" in note for note in joined.notes)


def test_bundles_that_look_at_the_same_frame_share_their_samples(tmp_path: Path) -> None:
    whole = looker(thresholds=Thresholds(140.0, 145.0))  # the thing fills no point of it
    joined = make(tmp_path, ("find", locator()), ("look", whole), wiring=Wiring())
    files = {sample.file for sample in joined.bundle.manifest.samples}
    assert files == {
        f"{whose}/{each}"
        for whose, each in (
            ("find", "golden-1.png"), ("find", "golden-2.png"), ("look", "golden.png"),
            ("find", "challenge-1.png"), ("find", "challenge-2.png"), ("look", "challenge.png"),
        )
    }  # fmt: skip
    assert joined.notes == ()


def test_samples_that_another_stage_rejects_are_left_out_and_told_of(tmp_path: Path) -> None:
    strict = looker(thresholds=Thresholds(215.0, 218.0))
    joined = make(tmp_path, ("find", locator()), ("look", strict))
    golden = [each.file for each in joined.bundle.manifest.samples if each.kind == "golden"]
    assert golden == ["find/golden-1.png"]
    assert any("1 golden frames of find were left out" in note for note in joined.notes)
    assert any("look scores 220, review from 215, ng from 218" in note for note in joined.notes)


def test_without_samples_it_says_what_to_give(tmp_path: Path) -> None:
    bare = locator()
    manifest = msgspec.structs.replace(bare.manifest, samples=())
    given = (("find", msgspec.structs.replace(bare, manifest=manifest)), ("look", looker()))
    with pytest.raises(
        UsageError, match=r"no golden sample: .* give --good DIR with frames of the"
    ):
        make(tmp_path, *given)
    with pytest.raises(UsageError, match=r"no challenge sample: .* give --ng DIR with frames of"):
        make(tmp_path, *given, good=GOOD)
    assert not (tmp_path / "line.bundle").exists()


def test_a_locator_that_rejects_all_it_finds_is_found_out(tmp_path: Path) -> None:
    greedy = locator(task=Detect(labels=LABELS, defects=LABELS, layout="yolo", confidence=0.5))
    given = (("find", greedy), ("look", looker()))
    with pytest.raises(
        UsageError, match=r"none of 2 golden .*--no-verdict find if it only"
    ) as told:
        make(tmp_path, *given)
    assert "--baseline-from" not in str(told.value)  # nothing is wrong with the light
    wiring = msgspec.structs.replace(AT_BOXES, silent=("find",))
    joined = make(tmp_path, *given, wiring=wiring, ng=BAD)
    assert joined.bundle.manifest.thresholds.keys() == {"look"}
    # In these nothing green is found, so that nothing decides: `invalid` is not `ok` either.
    challenge = [each.file for each in joined.bundle.manifest.samples if each.kind == "challenge"]
    assert challenge == ["find/challenge-1.png", "find/challenge-2.png", "challenge-1.jpg"]


def test_challenge_frames_that_pass_are_refused(tmp_path: Path) -> None:
    harmless = locator(task=Detect(labels=LABELS, expected={"green": 1}, layout="yolo"))
    manifest = msgspec.structs.replace(
        harmless.manifest,
        samples=tuple(each for each in harmless.manifest.samples if each.kind == "golden"),
    )
    given = (("find", msgspec.structs.replace(harmless, manifest=manifest)), ("look", looker()))
    with pytest.raises(UsageError, match=r"none of 5 challenge frames .*the first, --ng: ok: look"):
        make(tmp_path, *given, ng=GOOD)


def test_the_light_is_kept_of_the_first_that_looks_at_the_frame(tmp_path: Path) -> None:
    joined = make(tmp_path)
    assert joined.light == "the baseline of find"
    assert joined.bundle.files["baseline.json"] == light().encode()
    again = make(tmp_path, good=GOOD, baseline_from="good")
    assert again.light == "learned from 5 frames of --good"
    assert any("The baseline of find is left out" in note for note in again.notes)
    baseline = Baseline.decode(again.bundle.files["baseline.json"], "it")
    assert baseline.frames == 5


def test_light_that_is_not_to_be_had_is_refused(tmp_path: Path) -> None:
    for wanted, text in (
        ("good", "0 frames in --good: learning the light takes 5 at least"),
        ("lok", "--baseline-from lok: the bundles are find, look; or good"),
        ("look", "look looks at boxes, and its baseline knows only those"),
    ):
        with pytest.raises(UsageError, match=text):
            make(tmp_path, baseline_from=wanted)
    given = (("find", locator()), ("look", looker()))
    with pytest.raises(UsageError, match=r"things 1 \(dddddddddddd\) brings none: name another"):
        make(tmp_path, *given, wiring=Wiring(), baseline_from="look")


def test_golden_frames_in_another_light_are_not_taken(tmp_path: Path) -> None:
    def dim(image: Image) -> Image:
        return image // 2 + 100

    other: list[Named] = [(name, dim(image)) for name, image in GOOD]
    with pytest.raises(
        UsageError, match=r"none of 5 golden frames .*--baseline-from good to learn"
    ):
        make(tmp_path, good=other)


def test_one_bundle_must_look_at_the_frame(tmp_path: Path) -> None:
    inner = looker(name="look")
    stages = (
        *locator().manifest.stages,
        msgspec.structs.replace(inner.manifest.stages[0], source=Source(stage="detect")),
    )
    stages = tuple(
        msgspec.structs.replace(stage, models={"onnx": f"{stage.name}.onnx"}) for stage in stages
    )
    models = {"detect.onnx": detector(), "look.onnx": tiny_onnx()}
    files = {**locator().files, **models}
    both = Bundle(msgspec.structs.replace(locator().manifest, stages=stages), "e" * 64, files)
    joined = make(tmp_path, ("line", both), ("last", looker()), wiring=Wiring(
        sources={"last": Source(stage="line-detect", labels=("green",))},
        rules={"last": When(stage="line-look", at_least=100.0)},
    ))  # fmt: skip
    assert [stage.name for stage in joined.bundle.manifest.stages] == [
        "line-detect", "line-look", "last",
    ]  # fmt: skip


def test_models_in_different_formats_are_told_of(tmp_path: Path) -> None:
    only = looker(models={"litert": "model.tflite"})
    joined = make(tmp_path, ("find", locator()), ("look", only))
    assert any("No single engine runs all stages (find onnx, look litert)" in note
               for note in joined.notes)  # fmt: skip
    assert what_fails(judge_samples(joined.bundle, "auto", EngineSettings())) == ""


def test_frames_of_two_sizes_are_asked_about(tmp_path: Path) -> None:
    larger = scene().repeat(2, axis=1)
    spot(larger, "green", 0.5, 0.5)
    other = looker()
    files = {**other.files, "golden.png": png(larger)}
    joined = make(
        tmp_path, ("find", locator()), ("look", msgspec.structs.replace(other, files=files)),
        wiring=Wiring(),
    )  # fmt: skip
    [note] = [each for each in joined.notes if "not of one size" in each]
    assert "find 64 x 64, look 128 x 64" in note
    assert "or was --source STAGE=find meant?" in note


def test_a_stage_that_is_too_slow_here_is_told_of(tmp_path: Path) -> None:
    joined = make(tmp_path, wiring=msgspec.structs.replace(AT_BOXES, budgets_ms={"look": 1e-6}))
    assert joined.slow.startswith("stage look took")
    assert joined.bundle.manifest.stages[1].budget_ms == 1e-6


def test_a_sorter_may_come_first(tmp_path: Path) -> None:
    wiring = Wiring(rules={"find": When(stage="sort", label="blue", below=0.9)})
    joined = make(tmp_path, ("sort", sorter()), ("find", locator()), wiring=wiring)
    assert joined.light == "the baseline of find"
    assert {"sort", "find"} == set(joined.bundle.manifest.samples[0].scores)


def test_samples_near_a_limit_are_taken_only_for_want_of_better_ones(tmp_path: Path) -> None:
    near, clear = ("near", scene(248)), ("clear", scene(255))
    given = (("find", locator()), ("look", looker(thresholds=Thresholds(240.0, 250.0))))
    for ng, truth in (([near, clear], "clear"), ([near, near], "near"), ([near], "near")):
        joined = make(tmp_path, *given, ng=ng)
        named = [each for each in joined.bundle.manifest.samples if "/" not in each.file]
        assert [each.truth for each in named] == [truth]
