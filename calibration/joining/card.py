"""The card of a pipeline: how its stages hang together, and the cards of what it is made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from edge_agent.inspection.spec import Stage
from edge_agent.rollout.bundle import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from calibration.joining.wiring import Piece


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a card tells.

    Attributes:
        name: Of the new bundle.
        version: Of the new bundle.
        stages: In order.
        samples: As in the manifest.
        tolerance: As in the manifest.
        light: Where the lighting baseline is from, in words.
        notes: What a person should know, a sentence each.
    """

    name: str
    version: str
    stages: Sequence[Stage]
    samples: Sequence[Sample]
    tolerance: float
    light: str
    notes: Sequence[str]


def write_card(told: Told, pieces: Sequence[Piece]) -> str:
    """Write the card as Markdown."""
    what = (
        f"A pipeline of {len(told.stages)} stages, joined from {len(pieces)} bundles; the verdict "
        "is the worst of the stages that decide."
    )
    return "\n".join([
        f"# {told.name} {told.version}", "", what, "",
        *_stages(told, pieces), *_samples(told), *_unknown(told),
        *(line for piece in pieces for line in _own_card(piece)),
    ])  # fmt: skip


def _stages(told: Told, pieces: Sequence[Piece]) -> Iterator[str]:
    whence = {new: piece for piece in pieces for new in piece.names.values()}
    yield "## Stages"
    yield ""
    yield "| stage | from | looks at | only when | review, ng | budget |"
    yield "|---|---|---|---|---|---|"
    for stage in told.stages:
        limits = stage.thresholds
        decides = f"{limits.review:.4g}, {limits.ng:.4g}" if limits else "decides nothing"
        budget = f"{stage.budget_ms:g} ms" if stage.budget_ms else "-"
        yield (
            f"| {stage.name} | {whence[stage.name].bundle.label} | {looks_at(stage)} | "
            f"{_when(stage)} | {decides} | {budget} |"
        )
    yield ""
    yield f"Light: {told.light}."
    yield ""


def looks_at(stage: Stage) -> str:
    """Say where a stage looks."""
    source = stage.source
    if source is None:
        return "the frame"
    what = " or ".join(source.labels) or "each thing"
    return (
        f"{what} that {source.stage} found, at most {source.limit}, with {source.margin:g} of its "
        "longer side around it"
    )


def _when(stage: Stage) -> str:
    when = stage.when
    if when is None:
        return "always"
    what = f"{when.label} of {when.stage}" if when.label else when.stage
    below = "" if when.below is None else f" and below {when.below:g}"
    return f"{what} is at least {when.at_least:g}{below}"


def _samples(told: Told) -> Iterator[str]:
    yield "## Samples in this bundle"
    yield ""
    yield (
        "Each was judged by the whole pipeline when it was joined; scores may differ by "
        f"{told.tolerance:g} of `ng` elsewhere."
    )
    yield ""
    for sample in told.samples:
        scores = ", ".join(f"{name} {score:.4g}" for name, score in sample.scores.items())
        truth = f", {sample.truth}" if sample.truth else ""
        yield f"- {sample.file}: {sample.kind}{truth}; {scores or 'no stage looked'}"
    yield ""


def _unknown(told: Told) -> Iterator[str]:
    yield "## What is not known"
    yield ""
    yield (
        "- How good the whole is: the figures below are those of each model alone, on what it was "
        "measured on. What one stage does not find, the next never sees. `edge-agent evaluate` "
        "says it on frames of known truth."
    )
    for note in told.notes:
        yield f"- {note}"
    yield ""


def _own_card(piece: Piece) -> Iterator[str]:
    """Give the card that a bundle brought, its headings two deeper."""
    manifest = piece.bundle.manifest
    yield f"## {piece.name}: {manifest.name} {manifest.version}"
    yield ""
    yield f"- Digest {piece.bundle.digest}"
    for old, new in piece.names.items():
        yield f"- Its stage {old} is {new} here"
    for sample in manifest.samples:
        scores = ", ".join(f"{value:.4g}" for value in sample.scores.values())
        yield f"- Its {sample.kind} sample {sample.file} scored {scores} when it was made"
    yield ""
    text = piece.bundle.files[manifest.card].decode(errors="replace") if manifest.card else ""
    yield re.sub(r"^(#{1,4}) ", r"##\1 ", text.strip(), flags=re.MULTILINE) or "It brought no card."
    yield ""
