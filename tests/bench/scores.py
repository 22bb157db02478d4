"""How output drift is told: false alarms, delays and cost, beside the charts of the textbook.

    python -m tests.bench.scores [PARTS]

Scores as an anomaly model gives them (skewed; 0.3 % ng, 1 % review), one part a second, in four
kinds of line: parts alone, neighbours alike (AR(1), 0.5), lots of 200 and of 500 whose mean
differs by 0.3 of the spread. Beside `edge_agent.decision.drift` the same parts go to a p-chart of
ng (samples of 50), an x-bar chart of the scores (samples of 50) and Kolmogorov-Smirnov (windows
of 100), each with the same reference, at the limits they are usually given: 3 sigma, 3 sigma, p <
0.001.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from edge_agent.clock import Stamp
from edge_agent.decision.drift import Light, OutputWatch
from edge_agent.decision.verdict import Verdict

Floats = npt.NDArray[np.float64]
Detector = Callable[[Floats, Floats], "Iterator[bool]"]

REFERENCE = 2000
RUN = 50_000
SAMPLE, WINDOW = 50, 100
TRIALS = 10
AFTER = 6000


def alone(rng: np.random.Generator, count: int) -> Floats:
    """Make parts that have nothing to do with each other."""
    return rng.normal(size=count)


def alike(rng: np.random.Generator, count: int) -> Floats:
    """Make parts of which each is like the one before."""
    steps = rng.normal(size=count) * math.sqrt(0.75)
    for place in range(1, count):
        steps[place] += 0.5 * steps[place - 1]
    return steps


def lots_of(size: int) -> Callable[[np.random.Generator, int], Floats]:
    """Return what makes parts in lots."""

    def lots(rng: np.random.Generator, count: int) -> Floats:
        means = np.repeat(rng.normal(size=count // size + 1) * 0.3, size)[:count]
        return rng.normal(size=count) + means

    return lots


LINES = {"alone": alone, "alike": alike, "lots of 200": lots_of(200), "lots of 500": lots_of(500)}
CHANGES: dict[str, Callable[[Floats], Floats]] = {
    "up 0.5": lambda values: values + 0.5,
    "up 1": lambda values: values + 1.0,
    "up 2": lambda values: values + 2.0,
    "down 1": lambda values: values - 1.0,
    "wider x2": lambda values: values * 2.0,
    "5% ng": lambda values: np.where(np.arange(len(values)) % 20 == 0, 4.0, values),
    "always the same": lambda values: values * 0.0,
}


def scores_of(values: Floats) -> Floats:
    """Make scores of normal values; 1 is the ng threshold."""
    return 0.5 * np.exp(0.25 * values)


def ours(reference: Floats, parts: Floats) -> Iterator[bool]:
    """Tell after each part whether the output watch says something."""
    watch = OutputWatch("bench", parts=len(reference))
    both = np.concatenate([reference, parts])
    for number, score in enumerate(both.tolist()):
        verdict = Verdict.NG if score >= 1 else Verdict.REVIEW if score >= 0.9 else Verdict.OK
        at = Stamp(number * 10**9, number * 10**9)
        said = watch.update(score, verdict, light=Light.AS_BEFORE, at=at)
        if number >= len(reference):
            yield bool(said)


def p_chart(reference: Floats, parts: Floats) -> Iterator[bool]:
    """Tell after each part whether its sample's share of ng was beyond three sigma."""
    share = float((reference >= 1).mean())
    limit = share + 3 * math.sqrt(share * (1 - share) / SAMPLE)
    yield from _by_sample(parts, SAMPLE, lambda sample: float((sample >= 1).mean()) > limit)


def x_bar(reference: Floats, parts: Floats) -> Iterator[bool]:
    """Tell after each part whether its sample's mean was beyond three sigma."""
    middle, reach = float(reference.mean()), 3 * float(reference.std()) / math.sqrt(SAMPLE)
    yield from _by_sample(parts, SAMPLE, lambda sample: abs(float(sample.mean()) - middle) > reach)


def kolmogorov(reference: Floats, parts: Floats) -> Iterator[bool]:
    """Tell after each part whether its window lies beyond Kolmogorov and Smirnov's limit."""
    ordered = np.sort(reference)
    limit = math.sqrt(-math.log(0.001 / 2) / 2 * (1 / WINDOW + 1 / len(ordered)))

    def is_out(window: Floats) -> bool:
        below = np.searchsorted(ordered, np.sort(window), side="right") / len(ordered)
        steps = np.arange(1, WINDOW + 1) / WINDOW
        return float(np.abs(steps - below).max()) > limit

    yield from _by_sample(parts, WINDOW, is_out)


def _by_sample(parts: Floats, size: int, is_out: Callable[[Floats], bool]) -> Iterator[bool]:
    out = False
    for number in range(1, len(parts) + 1):
        if number % size == 0:
            out = is_out(parts[number - size : number])
        yield out


DETECTORS: dict[str, Detector] = {
    "edge-agent": ours, "p-chart": p_chart, "x-bar": x_bar, "KS p<0.001": kolmogorov,
}  # fmt: skip


def false_alarms(detector: Detector, line: str, parts: int) -> tuple[float, float]:
    """Return alarms that began, per 100,000 parts without a change, and microseconds a part."""
    begun, took, seen = 0, 0.0, 0
    for run in range(max(1, parts // RUN)):
        values = scores_of(LINES[line](np.random.default_rng([1, run]), REFERENCE + RUN))
        begin, before = time.perf_counter(), False
        for now in detector(values[:REFERENCE], values[REFERENCE:]):
            begun += now and not before
            before = now
        took += time.perf_counter() - begin
        seen += RUN
    return begun / seen * 1e5, took / seen * 1e6


def delay(detector: Detector, line: str, change: str) -> str:
    """Return the median delay in parts over some trials, and how many were found if not all."""
    found = []
    for trial in range(TRIALS):
        values = LINES[line](np.random.default_rng([2, trial]), REFERENCE + AFTER)
        values[REFERENCE:] = CHANGES[change](values[REFERENCE:])
        scores = scores_of(values)
        said = detector(scores[:REFERENCE], scores[REFERENCE:])
        first = next((number for number, now in enumerate(said, 1) if now), None)
        if first is not None:
            found.append(first)
    if not found:
        return "-"
    missed = f" ({len(found)}/{TRIALS})" if len(found) < TRIALS else ""
    return f"{np.median(found):.0f}{missed}"


def main(parts: int) -> None:
    """Print both tables."""
    print(f"False alarms per 100,000 parts, over {parts} parts of each line")  # noqa: T201 - its result
    for line in LINES:
        cells = []
        for name, detector in DETECTORS.items():
            rate, cost = false_alarms(detector, line, parts)
            cells.append(f"{name} {rate:8.1f} ({cost:.1f} us)")
        print(f"  {line:12}", "; ".join(cells), flush=True)  # noqa: T201 - as above
    print(f"Median delay in parts (of {TRIALS} trials, {AFTER} parts each)")  # noqa: T201 - as above
    for line in ("alone", "lots of 200"):
        for change in CHANGES:
            told = "; ".join(
                f"{name} {delay(each, line, change)}" for name, each in DETECTORS.items()
            )
            print(f"  {line:12} {change:16} {told}", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
