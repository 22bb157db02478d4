"""Fuzz: `python -m tests.fuzz --inputs 1000000 --seed 1`; exit status 1 at the first fault.

Each input is made from the seed and its number alone: `--from N --inputs 1` makes number N again.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import time
import warnings
from collections import Counter

from tests.fuzz.targets import SHARES, TARGETS

HANG_S = 20
_ROUND = 20_000
_GROWTH_KB = 96 * 1024
_SETTLED = 100_000


class Hung(Exception):  # noqa: N818 - what happened, not a mistake of ours
    """An input took too long."""


def fuzz(inputs: int, *, seed: int, first: int = 0, seconds: float = 0.0) -> Counter[str]:
    """Feed inputs to the targets; return how many each got.

    Args:
        inputs: How many.
        seed: Of all of them.
        first: Number of the first.
        seconds: Stop after this long; 0 for never.

    Raises:
        AssertionError: A target did what it must not; the text says how to see it again.
    """
    names = [name for name in TARGETS for _ in range(SHARES.get(name, 10))]
    fed: Counter[str] = Counter()
    settled_kb, end = 0, time.monotonic() + (seconds or float("inf"))
    draw = random.Random()
    previous = signal.signal(signal.SIGALRM, _hang)
    try:
        for number in range(first, first + inputs):
            draw.seed(seed << 40 | number)
            name = draw.choice(names)
            if number % 64 == 0:
                signal.alarm(HANG_S)
            try:
                TARGETS[name](draw)
            except Exception as error:
                said = f"{name}: {type(error).__name__}: {error}; --seed {seed} --from {number}"
                raise AssertionError(said) from error
            fed[name] += 1
            if number % _ROUND == 0:
                settled_kb = _watch(number - first, settled_kb)
                if time.monotonic() >= end:
                    break
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return fed


def _hang(_number: int, _frame: object) -> None:
    raise Hung(f"more than {HANG_S} s")


def _watch(done: int, settled_kb: int) -> int:
    """Compare memory with what it was once everything had been loaded and met."""
    used_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if done <= _SETTLED:
        return used_kb
    if used_kb > settled_kb + _GROWTH_KB:
        raise AssertionError(f"memory grew from {settled_kb} to {used_kb} KB in {done} inputs")
    return settled_kb


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after this long")
    parser.add_argument("--seed", type=int, default=random.randrange(2**20))
    parser.add_argument("--from", dest="first", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    warnings.simplefilter("error")
    try:
        fed = fuzz(options.inputs, seed=options.seed, first=options.first, seconds=options.seconds)
    except AssertionError as error:
        sys.exit(f"fault: {error}")
    took_s = time.monotonic() - began
    used_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = sum(fed.values())
    lines = [f"{count:>12,}  {name}" for name, count in sorted(fed.items())]
    lines.append(
        f"{total:>12,}  in {took_s:.0f} s, seed {options.seed}, {used_kb // 1024} MiB at most"
    )
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
