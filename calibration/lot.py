"""The good parts of a folder: read, copies left out, and what is odd about them said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration import commission, frames, sifting, viewing
from calibration.evaluation import sets
from edge_agent.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from calibration.anomaly import Unseen
    from calibration.commission import Good, Plan
    from calibration.projection import Floats
    from calibration.sifting import Odd
    from edge_agent.camera.frame import Image


class Lot(msgspec.Struct, frozen=True):
    """Good parts from a folder, ready to be fitted to.

    Attributes:
        plan: What is to be made; how parts are looked at was settled by them.
        good: What is known of them.
        files: Of each part.
        unseen: What each part looks like to a fit without it.
        odd: Those unlike the others, strangest first.
        notes: What was found out about them, a sentence each; empty where all is well.
    """

    plan: Plan
    good: Good
    files: list[Path]
    unseen: Unseen
    odd: list[Odd]
    notes: list[str]

    @property
    def scores(self) -> Floats:
        """The score of each part by a fit without it, float32 (parts,)."""
        return self.unseen.scores()


def read_lot(
    folder: Path,
    plan: Plan,
    track: Callable[[list[Path]], Iterator[Path]],
    *,
    turn: bool | None = None,
    group_by: str = "",
    mask: Path | None = None,
) -> Lot:
    """Read the good parts of a folder, settle how to look at them, and sift them.

    Args:
        folder: Images, in sub-folders too.
        plan: What is to be made.
        track: Shows progress over files.
        turn: Whether parts are turned to lie alike; None finds out.
        group_by: What tells which images show one and the same part, as `sets.labels_of` takes it;
            empty finds out.
        mask: A picture of the frame that is white where parts are looked at.

    Raises:
        UsageError: There are too few, or they are all the same.
        ImageError: There is no such folder.
    """
    files: list[Path] = []
    unreadable: list[str] = []
    every = frames.good_files(folder)
    labels = dict(zip(every, sets.labels_of(every, folder, group_by), strict=True))
    some = _some(every)
    chosen = viewing.choose(some, plan.input, turn=turn)
    plan = msgspec.structs.replace(plan, input=chosen.input)
    if mask is not None:
        plan = msgspec.structs.replace(
            plan, mask=viewing.cells_of(mask, plan.input, frame=next(iter(some), None))
        )
    wanted = track(every)
    try:
        good = commission.collect(_readable(wanted, files, unreadable), plan)
    except UsageError as error:
        left_out = f"; left out: {'; '.join(unreadable[:3])}" if unreadable else ""
        raise UsageError(f"{folder}: {error}{left_out}") from error
    same = sifting.copies(good.digests)
    good = good.without(same) if same else good
    notes = [f"left out, cannot be read: {each}" for each in unreadable]
    if same:
        named = _few([files[number].name for number in same])
        notes.append(f"left out, exact copies of other images: {named}")
    files = [file for number, file in enumerate(files) if number not in same]
    notes += [*sifting.kinds_note(good.shapes), *chosen.notes]
    groups = [labels[file] for file in files] if group_by else None
    good = commission.make_most(plan, good, groups=groups)
    unseen = commission.leave_one_out(plan, good)
    scores = unseen.scores()
    odd = sifting.odd_ones(scores)
    if sifting.is_mixed(unseen, len(odd)):
        notes.append(
            "the scores of these parts look as if a good share of them were not good, or of "
            "another kind: look through them (--report shows the highest) and sort such parts "
            "out, as no threshold holds otherwise"
        )
    return Lot(plan, good, files, unseen, odd, notes)


def drop_odd(lot: Lot) -> Lot:
    """Leave the odd parts out; scores are measured anew."""
    numbers = {odd.number for odd in lot.odd}
    good = lot.good.without(numbers)
    files = [file for number, file in enumerate(lot.files) if number not in numbers]
    named = _few([lot.files[odd.number].name for odd in lot.odd])
    unseen = commission.leave_one_out(lot.plan, good)
    return Lot(lot.plan, good, files, unseen, [], [*lot.notes, f"left out as odd: {named}"])


def _some(files: list[Path]) -> list[Image]:
    """Read some of the images, spread over all; those that cannot be read are told of later."""
    wanted = np.linspace(0, len(files) - 1, min(len(files), viewing.LOOKED_AT)).round().astype(int)
    return list(frames.read_good([files[place] for place in wanted.tolist()]))


def _readable(wanted: Iterator[Path], files: list[Path], unreadable: list[str]) -> Iterator[Image]:
    """Read images one by one; note which could be read, and why others could not."""
    from edge_agent.camera.images import read_image  # noqa: PLC0415 - imports OpenCV

    for file in wanted:
        try:
            image = read_image(file)
        except ImageError as error:
            unreadable.append(str(error))
            continue
        files.append(file)
        yield image


def _few(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
