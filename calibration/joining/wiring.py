"""How the stages of a pipeline hang together: their names, where each looks, and when.

Rules without IO: bundles and what a person says of them, in; stages, out.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import UsageError
from edge_agent.inspection.order import finds_boxes, what_is_wrong
from edge_agent.inspection.spec import MAX_STAGES, Source, Stage, When
from edge_agent.rollout.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LONGEST = 32
_STAGE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""What a stage may be called."""

GOOD = "good"
"""Names no bundle of a pipeline: it stands for the frames given with --good."""


class Piece(msgspec.Struct, frozen=True):
    """One of the bundles that are joined.

    Attributes:
        name: What it is called here.
        bundle: The bundle.
        names: What its stages are called here, by their own names.
    """

    name: str
    bundle: Bundle
    names: dict[str, str]

    def file(self, name: str) -> str:
        """Return what a member of it is called in the new bundle."""
        return f"{self.name}/{name}"


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of the stages, by their names in the new bundle.

    Attributes:
        sources: Where a stage looks.
        margins: Around each box, as a share of its longer side.
        limits: Boxes that it looks at, at most.
        rules: When it looks.
        budgets_ms: The time that it may take.
        silent: Those whose score is to decide nothing.
    """

    sources: dict[str, Source] = {}
    margins: dict[str, float] = {}
    limits: dict[str, int] = {}
    rules: dict[str, When] = {}
    budgets_ms: dict[str, float] = {}
    silent: tuple[str, ...] = ()


def name_pieces(given: Sequence[tuple[str, Bundle]]) -> tuple[Piece, ...]:
    """Give every bundle, and every stage of the pipeline, a name of its own.

    The one stage of a bundle is called as the bundle is; several keep their names, with that of
    the bundle before them where it was given or where two would be the same.

    Args:
        given: Names, empty where none was given, and bundles, in order.

    Raises:
        UsageError: A name cannot be one, or is given twice; or there are too many stages.
    """
    if len(given) < 2:
        raise UsageError("give two bundles or more to join, in the order in which they look")
    chosen = [name for name, _ in given if name]
    for name in chosen:
        _check_name(name)
        if chosen.count(name) > 1:
            raise UsageError(f"{name}= is given to two bundles: give each a name of its own")
    count = sum(len(bundle.manifest.stages) for _, bundle in given)
    if count > MAX_STAGES:
        raise UsageError(
            f"they hold {count} stages together, and a bundle holds {MAX_STAGES} at most: leave "
            "some out"
        )
    taken = {*chosen, GOOD}
    stages: set[str] = set(chosen)
    pieces = []
    for name, bundle in given:
        if not name:
            taken.add(own := _free(_plain(bundle.manifest.name), taken))
        names = _stage_names(bundle, name or own, stages, is_given=bool(name))
        stages.update(names.values())
        pieces.append(Piece(name or own, bundle, names))
    return tuple(pieces)


def wire(pieces: Sequence[Piece], wiring: Wiring) -> tuple[Stage, ...]:
    """Make the stages of a pipeline.

    Raises:
        UsageError: They cannot hang together like that; the text says what to do.
    """
    stages = [_renamed(piece, stage) for piece in pieces for stage in piece.bundle.manifest.stages]
    _check_known(wiring, [stage.name for stage in stages])
    wired = tuple(_wired(stage, wiring) for stage in stages)
    order = [stage.name for stage in wired]
    for stage in wired:
        _check_links(stage, order, {each.name: each for each in wired})
    if not any(stage.thresholds for stage in wired):
        raise UsageError(
            "no stage would decide anything: leave --no-verdict away from one, or add a bundle "
            "with thresholds"
        )
    if wrong := what_is_wrong(wired):
        raise UsageError(f"{wrong}: change --source or --when")
    return wired


def sees_whole(piece: Piece, stages: Sequence[Stage]) -> bool:
    """Tell whether a bundle still looks at whole frames: then its samples are such frames.

    The first one always does: a stage looks at the boxes of an earlier one.
    """
    now = {stage.name: stage.source for stage in stages}
    return any(
        now[piece.names[stage.name]] is None
        for stage in piece.bundle.manifest.stages
        if stage.source is None
    )


# --- names ---------------------------------------------------------------------------------------


def _stage_names(bundle: Bundle, name: str, taken: set[str], *, is_given: bool) -> dict[str, str]:
    own = [stage.name for stage in bundle.manifest.stages]
    if len(own) == 1:
        return {own[0]: name if is_given else _free(name, taken)}
    names: dict[str, str] = {}
    for each in own:
        wanted = f"{name}-{each}" if is_given or each in taken else each
        if len(wanted) > _LONGEST:
            raise UsageError(
                f"stage {wanted}: its name is longer than {_LONGEST} letters: give the bundle a "
                f"shorter one, NAME={bundle.manifest.name}"
            )
        names[each] = _free(wanted, {*taken, *names.values()})
    return names


def _plain(name: str) -> str:
    """Make what a bundle is called into what a stage may be called."""
    letters = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
    return (letters if letters[:1].isalpha() else f"stage-{letters}")[:_LONGEST].rstrip("-_")


def _free(name: str, taken: Iterable[str]) -> str:
    """Number a name if it is taken."""
    number, found = 2, name
    while found in taken:
        tail = f"-{number}"
        found, number = name[: _LONGEST - len(tail)] + tail, number + 1
    return found


def _check_name(name: str) -> None:
    if not _STAGE.fullmatch(name) or name == GOOD:
        why = " (it stands for the frames of --good)" if name == GOOD else ""
        raise UsageError(
            f"{name}=: no bundle can be called that here{why}: a small letter first, then small "
            f"letters, digits, - and _, {_LONGEST} at most"
        )


# --- links ---------------------------------------------------------------------------------------


def _renamed(piece: Piece, stage: Stage) -> Stage:
    """Return a stage as it is called here, and so all that it speaks of."""
    source, when = stage.source, stage.when
    if source is not None:
        source = msgspec.structs.replace(source, stage=piece.names[source.stage])
    if when is not None:
        when = msgspec.structs.replace(when, stage=piece.names[when.stage])
    return msgspec.structs.replace(
        stage,
        name=piece.names[stage.name],
        models={form: piece.file(file) for form, file in stage.models.items()},
        source=source,
        when=when,
    )


def _wired(stage: Stage, wiring: Wiring) -> Stage:
    name = stage.name
    source = wiring.sources.get(name, stage.source)
    for option, values in (("margin", wiring.margins), ("limit", wiring.limits)):
        if name not in values:
            continue
        if source is None:
            raise UsageError(
                f"--{option} {name}={values[name]:g}: stage {name} looks at the whole frame: give "
                f"--source {name}=STAGE too"
            )
        source = msgspec.structs.replace(source, **{option: values[name]})
    return msgspec.structs.replace(
        stage,
        source=source,
        when=wiring.rules.get(name, stage.when),
        budget_ms=wiring.budgets_ms.get(name, stage.budget_ms),
        thresholds=None if name in wiring.silent else stage.thresholds,
    )


def _check_known(wiring: Wiring, names: Sequence[str]) -> None:
    """Refuse options for stages that are not there."""
    spoken: tuple[tuple[str, Iterable[str]], ...] = (
        ("--source", [*wiring.sources, *(each.stage for each in wiring.sources.values())]),
        ("--margin", wiring.margins),
        ("--limit", wiring.limits),
        ("--when", [*wiring.rules, *(each.stage for each in wiring.rules.values())]),
        ("--budget-ms", wiring.budgets_ms),
        ("--no-verdict", wiring.silent),
    )
    for option, some in spoken:
        for name in some:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                meant = f"; was {near[0]} meant?" if near else ""
                raise UsageError(
                    f"{option}: there is no stage {name}: the stages are {', '.join(names)} "
                    f"(NAME=BUNDLE names them){meant}"
                )


def _check_links(stage: Stage, order: Sequence[str], known: Mapping[str, Stage]) -> None:
    """Refuse links to stages that come later, or that find no boxes or no such label."""
    for option, link in (("--source", stage.source), ("--when", stage.when)):
        if link is not None and order.index(link.stage) >= order.index(stage.name):
            raise UsageError(
                f"{option} {stage.name}={link.stage}: {link.stage} must look before {stage.name}: "
                "give its bundle first"
            )
    source = stage.source
    if source is None:
        return
    before = known[source.stage]
    if not finds_boxes(before.task) and before.source is None:
        kind = type(before.task).__name__.lower()
        raise UsageError(
            f"--source {stage.name}={before.name}: {before.name} finds no boxes ({kind}): only a "
            "detector, or a segmentation that gives boxes, can say where to look"
        )
