"""The good parts of a folder: read, copies left out, and what is odd about them said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from calibration import commission, frames, sifting
from edge_agent.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from calibration.anomaly import Floats
    from calibration.commission import Good, Plan
    from calibration.sifting import Odd
    from edge_agent.camera.frame import Image


class Lot(msgspec.Struct, frozen=True):
    """Good parts from a folder, ready to be fitted to.

    Attributes:
        good: What is known of them.
        files: Of each part.
        scores: float32 (parts,): of each part by a fit without it.
        odd: Those unlike the others, strangest first.
        notes: What was found out about them, a sentence each; empty where all is well.
    """

    good: Good
    files: list[Path]
    scores: Floats
    odd: list[Odd]
    notes: list[str]


def read_lot(folder: Path, plan: Plan, track: Callable[[list[Path]], Iterator[Path]]) -> Lot:
    """Read the good parts of a folder and sift them.

    Args:
        folder: Images, in sub-folders too.
        plan: What is to be made.
        track: Shows progress over files.

    Raises:
        UsageError: There are too few, or they are all the same.
        ImageError: There is no such folder.
    """
    files: list[Path] = []
    unreadable: list[str] = []
    wanted = track(frames.good_files(folder))
    try:
        good = commission.collect(_readable(wanted, files, unreadable), plan.input)
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
    notes += sifting.kinds_note(good.shapes)
    scores = commission.leave_one_out(plan, good)
    odd = sifting.odd_ones(scores)
    if sifting.is_mixed(scores, len(odd)):
        notes.append(
            "the scores of these parts look as if a good share of them were not good, or of "
            "another kind: look through them (--report shows the highest) and sort such parts "
            "out, as no threshold holds otherwise"
        )
    return Lot(good, files, scores, odd, notes)


def drop_odd(lot: Lot, plan: Plan) -> Lot:
    """Leave the odd parts out; scores are measured anew."""
    numbers = {odd.number for odd in lot.odd}
    good = lot.good.without(numbers)
    files = [file for number, file in enumerate(lot.files) if number not in numbers]
    named = _few([lot.files[odd.number].name for odd in lot.odd])
    scores = commission.leave_one_out(plan, good)
    return Lot(good, files, scores, [], [*lot.notes, f"left out as odd: {named}"])


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
