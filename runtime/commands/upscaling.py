"""Larger images on the command line: of a file, a folder or a video, with a picture that compares before and after."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pictures import lanczos, read, write
from ..prepare import SUFFIXES
from ..video import VIDEOS, upscale_video
from .inputs import Progress, report_error, rooted

if TYPE_CHECKING:
    from ..tasks.super_resolver import SuperResolver, Upscaled

TITLE = "super-resolution (super_resolver)"
SHARED = ("out",)
GAP = 8  # white pixels between before and after


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument("--outscale", type=float, help="the result's size over the input's (default: the network's)")
    parser.add_argument("--tile", type=int, help="side of a tile in pixels of the input; 0: the image whole (default 256)")
    parser.add_argument("--compare", type=Path, metavar="OUT", help="also write before and after side by side, as --out")
    parser.add_argument("--estimate", action="store_true", help="only print the blur that each image has")
    parser.add_argument("--smooth", type=float, default=0.9, help="of a video: part of the code that is kept from frame to frame")


@dataclass(frozen=True)
class _Job:
    """One image and where its results go."""

    source: Path
    out: Path | None
    compare: Path | None


def answer(task: SuperResolver, given: argparse.Namespace) -> int:
    """Upscale everything; returns the exit status: 1 where an image could not be used and the others were."""
    if given.out is None and not given.estimate:
        raise ValueError("nothing was said about where to write; give -o OUT, or --estimate to only read the degradation")
    if not 0 <= given.smooth < 1:
        raise ValueError(f"--smooth {given.smooth} was given; expected 0 or more, and less than 1")
    if len(given.inputs) == 1 and Path(given.inputs[0]).suffix.lower() in VIDEOS:
        return _video(task, Path(given.inputs[0]), given)
    jobs = list(_jobs(given))
    status = 0
    with Progress(len(jobs), always=True) as progress:
        for job in jobs:
            try:
                _image(task, job, given, alone=len(jobs) == 1)
            except (ValueError, OSError, MemoryError) as error:
                status = 1
                report_error(job.source, error, as_json=given.json)
            progress.advance()
    return status


def _jobs(given: argparse.Namespace) -> Iterator[_Job]:
    """Every image with its own place below --out; what would be written over an input or another result is refused."""
    found = list(rooted(given.inputs))
    folder = len(found) > 1 or Path(given.inputs[0]).is_dir()
    taken: dict[Path, Path] = {}
    for source, place in found:
        if source.suffix.lower() in VIDEOS:
            raise ValueError(f"{source} is a video among several inputs; give it alone")
        targets = [_target(path, place, folder, given) for path in (given.out, given.compare)]
        for target in filter(None, targets):
            if target.exists() and target.resolve() == source.resolve():
                raise ValueError(f"{target} is the input itself; give another --out")
            if target in taken:
                raise ValueError(f"{source} and {taken[target]} would both be written to {target}; give them one by one")
            taken[target] = source
        yield _Job(source, *targets)


def _target(path: Path | None, place: Path, folder: bool, given: argparse.Namespace) -> Path | None:
    if path is None or given.estimate:
        return None
    if folder or path.is_dir() or path.suffix == "":
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file and there are several images; give a folder")
        return path / place
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} has the suffix {path.suffix!r}; expected one of {', '.join(SUFFIXES)}, or a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    return path


def _image(task: SuperResolver, job: _Job, given: argparse.Namespace, *, alone: bool) -> None:
    began = time.perf_counter()
    picture = read(job.source)
    if given.estimate:
        found = task.estimate(picture)
        line = {"path": str(job.source), "blur": round(found.blur, 3), "code": found.code.tolist()}
        print(json.dumps(line) if given.json else f"{job.source}: blur {found.blur:.2f} pixels of the enlarged image")
        return
    assert job.out is not None
    for target in filter(None, (job.out, job.compare)):
        target.parent.mkdir(parents=True, exist_ok=True)
    bar: Progress | None = None

    def tick(_done: int, total: int) -> None:
        nonlocal bar
        bar = bar or Progress(total, always=True)
        bar.advance()

    done = task.upscale(
        picture, outscale=given.outscale, tile=given.tile, progress=tick if alone and sys.stderr.isatty() else None
    )
    if bar is not None:
        bar.__exit__()
    write(job.out, done.pixels)
    if job.compare is not None:
        write(job.compare, side_by_side(picture.joined(), done.pixels))
    _say(job.source, job.out, done, time.perf_counter() - began, as_json=given.json)


def side_by_side(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The input enlarged by Lanczos alone, a white line, and the result, (h, w + GAP + w, c)."""
    first, second = (image[:, :, None] if image.ndim == 2 else image for image in (before, after))
    if first.shape[2] == 1 < second.shape[2]:
        first = np.repeat(first, second.shape[2], axis=2)
    plain = lanczos(first, (second.shape[0], second.shape[1]))
    line = np.full((second.shape[0], GAP, second.shape[2]), np.iinfo(second.dtype).max, second.dtype)
    return np.concatenate([plain, line, second], axis=1)


def _video(task: SuperResolver, source: Path, given: argparse.Namespace) -> int:
    if given.estimate or given.compare is not None:
        raise ValueError("--estimate and --compare are for images; save a frame of the video and give that")
    if given.out.suffix.lower() not in VIDEOS:
        raise ValueError(f"{given.out} is no name of a video; expected one of {', '.join(VIDEOS)}")
    if given.out.exists() and given.out.resolve() == source.resolve():
        raise ValueError(f"{given.out} is the input itself; give another --out")
    bar: Progress | None = None

    def tick(_done: int, total: int) -> None:
        nonlocal bar
        bar = bar or Progress(total, always=True)
        bar.advance()

    done = upscale_video(task, source, given.out, smooth=given.smooth, outscale=given.outscale, tile=given.tile, progress=tick)
    if bar is not None:
        bar.__exit__()
    missing = max(done.announced - done.frames, 0)
    if given.json:
        line = {"path": str(source), "out": str(given.out), "frames": done.frames, "announced": done.announced, "audio": False}
        print(json.dumps(line))
    else:
        print(f"{source}: {done.frames} frames of {done.size[1]}x{done.size[0]} in {given.out}; sound is not carried over")
    if missing:
        print(f"{source} ends early: it announces {done.announced} frames and {done.frames} could be read", file=sys.stderr)
    return 1 if missing else 0


def _say(source: Path, out: Path, done: Upscaled, seconds: float, *, as_json: bool) -> None:
    h, w = done.pixels.shape[:2]
    if as_json:
        line = {
            "path": str(source),
            "out": str(out),
            "size": [h, w],
            "blur": round(done.degradation.blur, 3),
            "tiles": done.tiles,
            "repeated": done.repeated,
            "seconds": round(seconds, 3),
        }
        print(json.dumps(line, ensure_ascii=False))
    else:
        print(f"{source}: {w}x{h} in {out}, blur {done.degradation.blur:.2f}, {done.tiles} tiles, {seconds:.1f} s")
