"""`edge-agent inspect`: judge image files and folders offline."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_agent.agent.offline import Judged, judge_files
from edge_agent.camera.images import MASK_FOLDERS, list_images
from edge_agent.errors import UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.live import make_live

_SOME_UNREADABLE = 1


class EngineChoice(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    ONNX = "onnx"
    LITERT = "litert"
    OPENVINO = "openvino"


class LightChoice(StrEnum):
    """Whether the light is held against the bundle's baseline."""

    ON = "on"
    OFF = "off"


def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="The bundle to judge with.")],
    json_file: Annotated[
        str, typer.Option("--json", help="Write one JSON object a line to FILE, or - for stdout.")
    ] = "",
    overlay: Annotated[
        Path | None,
        typer.Option("--overlay", help="Write a picture of each part with its defect to DIR."),
    ] = None,
    engine: Annotated[EngineChoice, typer.Option(help="What runs the model.")] = EngineChoice.AUTO,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Processor threads.")] = 1,
    light: Annotated[
        LightChoice, typer.Option(help="Hold the light against the bundle's baseline.")
    ] = LightChoice.ON,
) -> None:
    """Judge image files and folders offline, with the same path as a station.

    A file that cannot be judged is `invalid`, with one line on standard error; the run goes on and
    ends with status 1.

    Example: edge-agent inspect photos/ -b models/simulated_line.bundle --overlay out/ --json -
    """
    loaded = read_bundle(bundle)
    settings = EngineSettings(threads=threads)
    model = make_live(loaded, engine.value, settings, watch=light is LightChoice.ON)
    files = [file for path in paths for file in list_images(path, skip=MASK_FOLDERS)]
    if not files:
        raise UsageError(f"{paths[0]}: no image files in it (png, jpg, bmp, tif, webp, gif)")
    verdicts: Counter[str] = Counter()
    errors = 0
    begin = time.monotonic()
    on_stdout = json_file in {"", "-"}
    with _writer(json_file) as write, _progress(len(files), results_on_stdout=on_stdout) as advance:
        for judged in judge_files(files, model):
            result = judged.result
            verdicts[result.verdict] += 1
            write(msgspec.json.encode(result).decode())
            if result.error:
                errors += 1
                print(result.error, file=sys.stderr)
            elif overlay is not None:
                _write_overlay(overlay, judged, loaded)
            advance()
    if not json_file:
        print()
    _summarize(verdicts, errors, time.monotonic() - begin, loaded)
    if errors:
        raise typer.Exit(_SOME_UNREADABLE)


@contextmanager
def _writer(json_file: str) -> Iterator[Callable[[str], None]]:
    """Give a function that writes a line of JSON to where it was asked for."""
    if json_file in {"", "-"}:
        yield print if json_file else _print_plain
        return
    try:
        with Path(json_file).open("w", encoding="utf-8") as file:
            yield lambda line: print(line, file=file)
    except OSError as error:
        raise UsageError(f"{json_file}: cannot be written: {error.strerror}") from error


def _print_plain(line: str) -> None:
    """Print a result for people."""
    result = msgspec.json.decode(line)
    score = "-" if result["score"] is None else f"{result['score']:.3f}"
    causes = "; ".join(cause["text"] for cause in result["causes"])
    print(f"{result['verdict']:8}{score:>9}  {result['path']}{'  ' + causes if causes else ''}")


@contextmanager
def _progress(total: int, *, results_on_stdout: bool) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error, unless it would mix with the results."""
    if not sys.stderr.isatty() or (results_on_stdout and sys.stdout.isatty()):
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("inspecting", total=total)
        yield lambda: bar.advance(task)


def _write_overlay(folder: Path, judged: Judged, bundle: Bundle) -> None:
    """Write a picture under the file's own name, with its folder before it so that none collide."""
    import cv2  # noqa: PLC0415 - heavy

    from edge_agent.inspection.overlay import draw_part  # noqa: PLC0415 - with cv2

    result = judged.result
    source = Path(result.path)
    name = f"{source.parent.name}_{source.stem}.png" if source.parent.name else f"{source.stem}.png"
    caption = f"{result.verdict}"
    if result.score is not None:
        of = f" {result.stage}" if len(bundle.manifest.stages) > 1 else ""
        caption += f" {of} {result.score:.2f} / {result.threshold:.2f}"
    if result.causes:
        caption += "  " + result.causes[0].text
    picture = draw_part(
        judged.image,
        judged.seen,
        thresholds=bundle.manifest.thresholds,
        verdict=result.verdict,
        caption=caption,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    except OSError as error:
        raise UsageError(f"{folder / name}: cannot be written: {error.strerror}") from error


def _summarize(verdicts: Counter[str], errors: int, took_s: float, bundle: Bundle) -> None:
    total = verdicts.total()
    parts = ", ".join(f"{verdicts[name]} {name}" for name in ("ok", "review", "ng", "invalid"))
    rate = total / max(took_s, 1e-9)
    print(f"{total} images: {parts}", file=sys.stderr, end="")
    print(f" (of these {errors} cannot be judged)" if errors else "", file=sys.stderr, end="")
    print(f"; {took_s:.1f} s, {rate:.0f} images/s; bundle {bundle.label}", file=sys.stderr)
