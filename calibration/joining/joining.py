"""Join bundles into one: models, samples judged anew, one lighting baseline, card, provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from calibration import samples
from calibration.joining.card import Told, write_card
from calibration.joining.trying import Chosen, Frame, Group, Kind, choose
from calibration.joining.wiring import GOOD, Piece, Wiring, name_pieces, sees_whole, wire
from edge_agent import __version__
from edge_agent.errors import UsageError
from edge_agent.inspection.order import finds_boxes
from edge_agent.inspection.pipeline import overran
from edge_agent.lighting import Baseline
from edge_agent.lighting.baseline import MIN_FRAMES
from edge_agent.rollout.bundle import Bundle, Manifest, write_bundle
from edge_agent.rollout.loading import read_baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.camera.frame import Image
    from edge_agent.inspection.spec import Stage

_BASELINE = "baseline.json"

Named = tuple[str, "Image"]
"""What a frame shows, or its file's name, and the image."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of the whole scene that came with the order to join.

    Attributes:
        good: Of good parts: golden samples in place of those of the bundles; five or more can
            teach the light.
        ng: Of bad parts: challenge samples beside those of the bundles.
    """

    good: Sequence[Named] = ()
    ng: Sequence[Named] = ()


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        bundle: As it was written.
        light: Where its lighting baseline is from, in words.
        notes: What a person should know, a sentence each.
        slow: Which stage took longer than its budget on a sample here; empty for none.
    """

    bundle: Bundle
    light: str
    notes: tuple[str, ...]
    slow: str


def join(
    path: Path,
    given: Sequence[tuple[str, Bundle]],
    wiring: Wiring,
    scene: Scene,
    *,
    name: str,
    version: str,
    baseline_from: str = "",
    step: Callable[[str], None] = lambda _what: None,
) -> Joined:
    """Make one bundle of several.

    Args:
        path: Where to.
        given: Names, empty where none was given, and bundles, in the order in which they look.
        wiring: How their stages hang together.
        scene: Frames of the whole scene.
        name: Of the new bundle.
        version: Of the new bundle.
        baseline_from: Whose lighting baseline is kept, `good` for one learned from `scene`; empty
            for the first that has one and looks at whole frames, else from `scene`.
        step: Told what is begun.

    Raises:
        UsageError: They cannot be joined like that; the text says what to do.
        BundleError: The pipeline cannot be run here, or the bundle cannot be written.
    """
    step("Putting the stages in order")
    pieces = name_pieces(given)
    stages = wire(pieces, wiring)
    whole = [piece for piece in pieces if sees_whole(piece, stages)]
    step("Learning the light")
    baseline, light = _light(pieces, whole, scene, baseline_from)
    files = _models(pieces)
    draft = Manifest(name=name, version=version, stages=stages)
    step("Judging the samples")
    chosen = choose(
        Bundle(draft, "", files),
        _groups(whole, scene),
        baseline,
        tolerance=max(piece.bundle.manifest.tolerance for piece in pieces),
    )
    notes = (*_notes(pieces, whole, stages, baseline_light=light), *chosen.notes)
    told = Told(
        name=name, version=version, stages=stages, samples=chosen.entries,
        tolerance=chosen.tolerance, light=light, notes=notes,
    )  # fmt: skip
    files |= {**chosen.files, "card.md": write_card(told, pieces).encode()}
    if baseline is not None:
        files[_BASELINE] = baseline.encode()
    step("Packing")
    manifest = msgspec.structs.replace(
        draft,
        runtime=max(piece.bundle.manifest.runtime for piece in pieces),
        samples=chosen.entries,
        tolerance=chosen.tolerance,
        baseline=_BASELINE if _BASELINE in files else "",
        card="card.md",
        provenance=_provenance(pieces, light),
    )
    return Joined(
        bundle=write_bundle(path, manifest, files),
        light=light,
        notes=notes,
        slow=_slow(stages, chosen),
    )


def _models(pieces: Sequence[Piece]) -> dict[str, bytes]:
    """Gather the models by their members of the new bundle."""
    return {
        piece.file(file): piece.bundle.files[file]
        for piece in pieces
        for stage in piece.bundle.manifest.stages
        for file in stage.models.values()
    }


def _light(
    pieces: Sequence[Piece], whole: Sequence[Piece], scene: Scene, wanted: str
) -> tuple[Baseline | None, str]:
    """Choose the lighting baseline; return it, and in words where it is from.

    Raises:
        UsageError: The one that is wanted is not to be had.
    """
    if wanted == GOOD:
        if len(scene.good) < MIN_FRAMES:
            raise UsageError(
                f"--baseline-from good: {len(scene.good)} frames in --good: learning the light "
                f"takes {MIN_FRAMES} at least, better 50"
            )
        return _learned(scene)
    if wanted:
        return _kept(pieces, whole, wanted)
    for piece in whole:
        if (baseline := read_baseline(piece.bundle)) is not None:
            return baseline, f"the baseline of {piece.name}"
    if len(scene.good) >= MIN_FRAMES:
        return _learned(scene)
    return None, "no baseline: learn one at the station"


def _learned(scene: Scene) -> tuple[Baseline, str]:
    frames = [image for _, image in scene.good]
    return Baseline.learn(frames), f"learned from {len(frames)} frames of --good"


def _kept(pieces: Sequence[Piece], whole: Sequence[Piece], wanted: str) -> tuple[Baseline, str]:
    names = ", ".join(piece.name for piece in pieces)
    piece = next((each for each in pieces if each.name == wanted), None)
    if piece is None:
        raise UsageError(f"--baseline-from {wanted}: the bundles are {names}; or good")
    if piece not in whole:
        raise UsageError(
            f"--baseline-from {wanted}: {wanted} looks at boxes, and its baseline knows only "
            "those: take that of a bundle that looks at the frame, or good with --good DIR"
        )
    baseline = read_baseline(piece.bundle)
    if baseline is None:
        raise UsageError(
            f"--baseline-from {wanted}: {piece.bundle.label} brings none: name another bundle, or "
            "good with --good DIR"
        )
    return baseline, f"the baseline of {piece.name}"


def _groups(whole: Sequence[Piece], scene: Scene) -> list[Group]:
    """Gather what may become samples: frames of the whole scene, none of one box."""
    groups = [] if not scene.good else [_of_folder("--good", "golden", scene.good)]
    for kind in ("golden", "challenge"):
        if kind == "challenge" or not scene.good:
            groups += [_of_bundle(piece, kind) for piece in whole]
    if scene.ng:
        groups.append(_of_folder("--ng", "challenge", scene.ng))
    return groups


def _of_folder(option: str, kind: Kind, named: Sequence[Named]) -> Group:
    def take(number: int) -> Frame:
        truth, image = named[number]
        data = samples.encode(image)
        return Frame(
            file=f"{kind}-{number + 1}.jpg",
            data=data,
            image=samples.decode(data),
            truth=truth if kind == "challenge" else "",
        )

    return Group(option, kind, len(named), take)


def _of_bundle(piece: Piece, kind: Kind) -> Group:
    own = [sample for sample in piece.bundle.manifest.samples if sample.kind == kind]

    def take(number: int) -> Frame:
        sample = own[number]
        data, image = piece.bundle.files[sample.file], piece.bundle.image(sample)
        return Frame(file=piece.file(sample.file), data=data, image=image, truth=sample.truth)

    return Group(piece.name, kind, len(own), take)


def _notes(
    pieces: Sequence[Piece], whole: Sequence[Piece], stages: Sequence[Stage], *, baseline_light: str
) -> list[str]:
    """Say what a person should know of how the bundles go together."""
    notes = [
        f"The samples and the light of {piece.name} are left out: it looks at boxes now, and they "
        "show its own frames."
        for piece in pieces
        if piece not in whole
    ]
    notes += [
        f"The baseline of {piece.name} is left out: the light is held against "
        f"{baseline_light.removeprefix('learned from ')}."
        for piece in whole
        if piece.bundle.manifest.baseline and baseline_light != f"the baseline of {piece.name}"
    ]
    sizes = {
        piece.name: "{1} x {0}".format(*piece.bundle.image(piece.bundle.manifest.samples[0]).shape)
        for piece in whole
        if piece.bundle.manifest.samples
    }
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        finders = [stage.name for stage in stages if finds_boxes(stage.task)]
        meant = f", or was --source STAGE={finders[0]} meant" if finders else ""
        notes.append(
            f"Their frames are not of one size ({told}): are they of the same camera{meant}?"
        )
    forms = [set(stage.models) for stage in stages]
    if not set.intersection(*forms):
        told = ", ".join(f"{stage.name} {'/'.join(sorted(stage.models))}" for stage in stages)
        notes.append(f"No single engine runs all stages ({told}): leave inspection.engine at auto.")
    return notes


def _provenance(pieces: Sequence[Piece], light: str) -> dict[str, str]:
    found = {"tool": f"edge-inspection {__version__}, edge-agent bundle join", "light": light}
    for piece in pieces:
        manifest = piece.bundle.manifest
        found[piece.name] = f"{manifest.name} {manifest.version}, digest {piece.bundle.digest}"
        if manifest.created:
            found[f"{piece.name}.created"] = manifest.created
        found |= {f"{piece.name}.{key}": text for key, text in manifest.provenance.items()}
    return found


def _slow(stages: Sequence[Stage], chosen: Chosen) -> str:
    return next((told for seen in chosen.seen if (told := overran(stages, seen))), "")
