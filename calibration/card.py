"""The card: what a model was made of, what it can do, and what it cannot. All of it measured."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import figures, memory
from calibration.figures import Share, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from calibration.projection import Floats
    from calibration.thresholds import Allowed
    from edge_agent.decision.verdict import Thresholds
    from edge_agent.inspection.spec import Input
    from edge_agent.rollout.bundle import Sample

_EDGES = (0.0, 8.0, 12.0, 16.0, 24.0, 32.0, np.inf)
_FEW = 10
_WHAT = (
    "An anomaly model: it learned what good parts look like and scores how far a part is from "
    "that, about 1 for a good part. It names no kind of defect."
)
_LIMITS = """## Limits

- It compares places: parts must lie as the parts lay that it was fitted on, unless the card says
  that they are turned.
- It knows one kind of part and one camera position; `baseline.json` guards light and camera.
- Good parts that vary as none did that it was shown (another supplier, another batch) score high.
- A defect that is fainter or smaller than the variation of good parts escapes.
- Licences: the weights in this bundle are under Apache-2.0; edge-inspection's models/NOTICE says
  whose they are and what was changed.
"""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the card tells of how the model was made; see `calibration.commission`."""

    name: str
    version: str
    about: str
    input: Input
    dims: int
    seed: int
    allowed: Allowed
    parts: int
    different: int
    top: int
    thresholds: Thresholds
    out_of_sample: Floats
    samples: Sequence[Sample]
    model_bytes: Mapping[str, int]
    notes: Sequence[str] = ()
    sections: Sequence[str] = ()


def write_card(facts: Facts, trial: Trial | None) -> str:
    """Write the card as Markdown."""
    lines = [
        f"# {facts.name} {facts.version}",
        "",
        _WHAT,
        "",
        *_fitted_on(facts),
        *_thresholds(facts),
        *(_measured(facts, trial) if trial else _not_measured()),
        *facts.sections,
        *_samples(facts),
        _LIMITS,
    ]
    return "\n".join(lines)


def _fitted_on(facts: Facts) -> Iterator[str]:
    spec, roi = facts.input, facts.input.roi
    yield "## Fitted on"
    yield ""
    if facts.about:
        yield f"- {facts.about}"
    yield f"- {facts.parts} good parts; no defective part was used."
    yield (
        f"- Looks at x {roi.x:.3f}, y {roi.y:.3f}, width {roi.width:.3f}, height {roi.height:.3f} "
        f"of the frame, resized to {spec.width} x {spec.height} pixels."
    )
    yield (
        "- Trunk: EfficientNet-Lite0 (ImageNet weights, Apache-2.0; models/NOTICE), int8 but for "
        "its first two layers, up to its fifth stage."
    )
    examples = memory.size_of(spec.height * spec.width // 256)
    yield (
        f"- Head: the nearest of {examples} examples of {facts.dims} dimensions for each of "
        f"{spec.height // 16} x {spec.width // 16} cells, and one Gaussian over the mean and the "
        f"spread of all cells; seed {facts.seed}."
    )
    if spec.level is not None:
        yield f"- The view is brought to a mean grey level of {spec.level} before it is looked at."
    yield f"- Score: mean of the {facts.top} highest of {spec.height * spec.width // 256} cells."
    sizes = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in facts.model_bytes.items())
    yield f"- Files: {sizes}."
    for note in facts.notes:
        yield f"- {note[:1].upper()}{note[1:]}{'' if note.endswith('.') else '.'}"
    yield ""


def _thresholds(facts: Facts) -> Iterator[str]:
    limits, promised = facts.thresholds, facts.allowed.by(facts.different)
    middle, high, top = np.quantile(facts.out_of_sample, [0.5, 0.99, 1.0])
    yield "## Thresholds"
    yield ""
    yield f"- `ng` from {limits.ng:.3f}, `review` from {limits.review:.3f}."
    yield (
        f"- Chosen so that at most {promised.false_rejects:.2%} of good parts come out `ng` and "
        f"{promised.reviews:.2%} `review` or `ng`: {facts.different} good parts cannot promise "
        f"less than about one in {facts.different} each."
    )
    yield (
        f"- Out-of-sample scores of the good parts: median {middle:.2f}, 99 % below {high:.2f}, "
        f"largest {top:.2f}."
    )
    above = figures.share_from(facts.out_of_sample, limits.ng)
    low, up = above.interval()
    yield (
        f"- Each by a fit without it, {above.hits} of {above.of} good parts come out `ng`: at 95 % "
        f"confidence the share of false rejects lies between {low:.1%} and {up:.1%}."
    )
    yield ""


def _measured(facts: Facts, trial: Trial) -> Iterator[str]:
    limits = facts.thresholds
    low, high = figures.auroc_interval(trial.good, trial.bad)
    yield "## Measured on parts it was not fitted on"
    yield ""
    yield trial.about
    yield ""
    yield "| | share | 95 % interval | parts |"
    yield "|---|---|---|---|"
    yield _row("good parts `ng` (false rejects)", figures.share_from(trial.good, limits.ng))
    yield _row("good parts `review` or `ng`", figures.share_from(trial.good, limits.review))
    yield _row("defective parts `ng`", figures.share_from(trial.bad, limits.ng))
    yield _row("defective parts `review` or `ng`", figures.share_from(trial.bad, limits.review))
    yield ""
    caught = figures.share_from(trial.bad, float(np.quantile(trial.good, 0.99)))
    yield (
        f"Image AUROC {figures.auroc(trial.good, trial.bad):.4f} ({low:.4f} to {high:.4f}). At the "
        f"threshold that 1 % of these good parts reach, {caught.value:.1%} of the defective parts "
        "are caught."
    )
    if trial.engines_differ:
        yield ""
        yield (
            f"Scores of the ONNX and the TFLite model differ by at most {trial.engines_differ:.3f} "
            f"({trial.engines_differ / limits.ng:.1%} of the `ng` threshold)."
        )
    yield ""
    if any(truth.size_px for truth in trial.truths):
        yield from _by_size(trial, limits.ng)
    else:
        yield from _by_kind(trial, limits.ng)
    yield ""


def _by_size(trial: Trial, ng: float) -> Iterator[str]:
    misses = figures.missed(trial.bad, trial.truths, ng)
    size = figures.named_size(misses)
    above = sum(truth.size_px > size for truth in trial.truths)
    _, escape = Share(0, above).interval()
    yield (
        f"**Every planted defect above {size} px was caught** ({above} of {above}; at 95 % "
        f"confidence at most {escape:.2%} of such defects escape), under the light it was fitted "
        f"under, at {figures.share_from(trial.good, ng).value:.2%} false rejects. Sizes are the "
        "longer side in pixels of the frame."
    )
    if misses:
        worst = misses[0].truth
        kind = worst.defect.replace("_", " ")
        yield f"The largest defect that was missed: {kind}, {worst.size_px:.1f} px."
    yield ""
    bands = list(itertools.pairwise(_EDGES))
    head = " | ".join(
        f"{low:.0f} to {high:.0f} px" if np.isfinite(high) else f"over {low:.0f} px"
        for low, high in bands
    )
    yield f"| caught as `ng` | {head} | largest missed |"
    yield "|---" * (len(bands) + 2) + "|"
    for kind in sorted({truth.defect for truth in trial.truths}):
        mine = np.array([truth.defect == kind for truth in trial.truths])
        sizes = np.array([truth.size_px for truth in trial.truths])
        cells = []
        for low, high in bands:
            chosen = mine & (sizes >= low) & (sizes < high)
            cells.append(_cell(figures.share_from(trial.bad[chosen], ng)))
        own = [miss for miss in misses if miss.truth.defect == kind]
        cells.append(f"{own[0].truth.size_px:.0f} px" if own else "none")
        yield f"| {kind.replace('_', ' ')} | " + " | ".join(cells) + " |"


def _by_kind(trial: Trial, ng: float) -> Iterator[str]:
    yield "| defect | caught as `ng` | 95 % interval | parts |"
    yield "|---|---|---|---|"
    for kind in sorted({truth.defect for truth in trial.truths}):
        mine = np.array([truth.defect == kind for truth in trial.truths])
        yield _row(kind.replace("_", " "), figures.share_from(trial.bad[mine], ng))


def _not_measured() -> Iterator[str]:
    yield "## Not measured"
    yield ""
    yield (
        "No defective parts were given: how many defects this model catches is not known. Show it "
        "known bad parts before it decides alone."
    )
    yield ""


def _samples(facts: Facts) -> Iterator[str]:
    yield "## Samples in this bundle"
    yield ""
    for sample in facts.samples:
        what = f", {sample.truth}" if sample.truth else ""
        (score,) = sample.scores.values()
        yield f"- {sample.file}: {sample.kind}{what}; score {score:.3f}"
    yield ""


def _row(name: str, share: Share) -> str:
    low, high = share.interval()
    return f"| {name} | {share.value:.2%} | {low:.2%} to {high:.2%} | {share.hits} of {share.of} |"


def _cell(share: Share) -> str:
    if not share.of:
        return "-"
    if share.of < _FEW:
        return f"{share.hits} of {share.of}"
    return f"{share.value:.0%} of {share.of}"
