"""Run an artifact on the device: NumPy at import, ONNX Runtime and OpenCV on first use, never torch. Copyable under any name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "load"]


def load(
    path: str | Path,
    *,
    providers: Sequence[str] = ("cpu",),
    threads: int | None = None,
    precision: str = "fp32",
    strict: bool = False,
    check: bool = True,
) -> Any:
    """Open an artifact's folder as the task it was exported for.

    Args:
        providers: execution providers in order of preference: "cpu", "cuda", "tensorrt", or ONNX Runtime's own names.
        threads: of one inference; None takes one for each core.
        precision: "fp32", or a variant that was exported, such as "fp16" or "int8".
        strict: raise instead of warning where a provider that was asked for is not given.
        check: hold every file against its checksum; False for a folder that was verified before.

    Returns:
        The task's object, such as tasks.zero_shot.ZeroShotClassifier; graphs are opened when first used.

    Raises:
        FileNotFoundError: there is no artifact, or a file of it is missing.
        ValueError: it is damaged, of a newer schema, of an unknown task, or has no such precision or provider.
    """
    from . import artifact, session, tasks

    folder = Path(path)
    found = artifact.read(folder, check=check)
    options = session.Options(tuple(providers), threads, strict)
    return tasks.kind(found.task)(folder, found, options, precision)
