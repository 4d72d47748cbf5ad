"""A video frame by frame through OpenCV; sound is left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .prepare import _opencv

if TYPE_CHECKING:
    from .tasks.super_resolver import Degradation, SuperResolver

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
CODECS = {".avi": "MJPG", ".webm": "VP80"}  # the others: mp4v


@dataclass(frozen=True)
class Written:
    """What became of a video: frames written, frames that its header announces (0: it does not say), (height, width)."""

    frames: int
    announced: int
    size: tuple[int, int]


def upscale_video(
    task: SuperResolver,
    source: Path,
    out: Path,
    *,
    smooth: float = 0.9,
    outscale: float | None = None,
    tile: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Enlarge every frame under a degradation code that changes slowly, so that the picture does not flicker.

    The result appears at `out` when the last frame is written; if anything goes wrong, nothing is left.

    Args:
        smooth: part of the code that is kept from frame to frame, 0 to less than 1.
        progress: called with frames done and frames announced.

    Raises:
        FileNotFoundError, ValueError: it is no video that OpenCV reads, or has no frame.
        OSError: the result cannot be written.
    """
    cv2 = _opencv()
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} to write {out.name} to")
    reader: Any = cv2.VideoCapture(str(source))
    temporary = out.with_name(f".{out.stem}.{os.getpid()}.tmp{out.suffix}")  # OpenCV chooses the container by the suffix
    writer: Any = None
    try:
        if not reader.isOpened():
            raise ValueError(f"{source} is not a video that OpenCV reads, or it is damaged")
        announced = max(int(reader.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        rate = float(reader.get(cv2.CAP_PROP_FPS)) or 25.0
        code: Degradation | None = None
        frames, size = 0, (0, 0)
        while True:
            good, frame = reader.read()
            if not good:
                break
            image = np.ascontiguousarray(frame[:, :, ::-1])
            own = task.estimate(image)
            code = own if code is None else _mixed(code, own, smooth)
            high = task.upscale(image, degradation=code, outscale=outscale, tile=tile).pixels
            if writer is None:
                size = high.shape[:2]
                kind = cv2.VideoWriter.fourcc(*CODECS.get(out.suffix.lower(), "mp4v"))
                writer = cv2.VideoWriter(str(temporary), kind, rate, (size[1], size[0]))
                if not writer.isOpened():
                    raise OSError(f"OpenCV cannot write {out}: the folder is not writable, or it has no codec for {out.suffix}")
            writer.write(np.ascontiguousarray(high[:, :, ::-1]))
            frames += 1
            if progress:
                progress(frames, announced)
        if not frames:
            raise ValueError(f"{source} has no frame that can be read")
        writer.release()
        writer = None
        temporary.replace(out)
        return Written(frames, announced, size)
    finally:
        reader.release()
        if writer is not None:
            writer.release()
        temporary.unlink(missing_ok=True)


def _mixed(before: Degradation, own: Degradation, smooth: float) -> Degradation:
    """The blur is linear in the code, so that it may be mixed alike."""
    mixed = (smooth * before.code + (1 - smooth) * own.code).astype(np.float32)
    return replace(own, code=mixed, blur=smooth * before.blur + (1 - smooth) * own.blur)
