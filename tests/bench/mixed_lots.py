"""How often a lot with defects among its good parts is told from one without.

    python tests/bench/mixed_lots.py ../shared/data

Lots of 60 parts (36 where there are fewer), drawn with ten seeds from each set's `train/good` and
`test`, with 0, 10, 30 and 50 % of defects.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from calibration import commission, frames, sifting, viewing
from calibration.commission import Plan
from edge_agent.inspection.spec import Input

SETS = ("aliens", "casting", "mtd", "screw")
SHARES = (0.0, 0.1, 0.3, 0.5)
LOTS = 10
PARTS = 60


def look(plan: Plan, files: list[Path]) -> tuple[bool, float]:
    """Look at one lot as commissioning does; return whether it is mixed, and the agreement."""
    good = commission.make_most(plan, commission.collect(frames.read_good(files), plan))
    unseen = commission.leave_one_out(plan, good)
    odd = len(sifting.odd_ones(unseen.scores()))
    return sifting.is_mixed(unseen, odd), sifting.agreement(unseen)


def measure(folder: Path) -> None:
    """Print the share of lots called mixed, by the share of defects in them."""
    good = frames.good_files(folder / "train/good")
    bad = [file for file, _ in frames.bad_files(folder / "test")]
    parts = PARTS if len(good) > PARTS else 36
    rng = np.random.default_rng(0)
    some = [good[place] for place in rng.permutation(len(good))[: viewing.LOOKED_AT]]
    chosen = viewing.choose(list(frames.read_good(some)), Input(height=256, width=256))
    plan = Plan(name="lot", input=chosen.input)
    for share in SHARES:
        defects = round(share * parts)
        found = []
        for _ in range(LOTS):
            files = [good[place] for place in rng.permutation(len(good))[: parts - defects]]
            files += [bad[place] for place in rng.permutation(len(bad))[:defects]]
            found.append(look(plan, [files[place] for place in rng.permutation(parts)]))
        mixed, agreed = zip(*found, strict=True)
        spread = ", ".join(f"{value:.4f}" for value in np.quantile(agreed, [0, 0.5, 1]))
        told = f"{folder.name}: {share:.0%} defects: {sum(mixed)} of {LOTS}; {spread}"
        print(told, flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    for each in sys.argv[2:] or SETS:
        measure(Path(sys.argv[1]) / each)
