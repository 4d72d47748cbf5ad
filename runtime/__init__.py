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
    prefer: Sequence[str] = ("tensorrt", "cuda", "cpu"),
    threads: int | None = None,
    precision: str = "fp32",
    strict: bool = False,
    check: bool = True,
    require_signature: str | Path | None = None,
) -> Any:
    """Open an artifact's folder as the task it was exported for.

    Args:
        prefer: what to run on, in order: "tensorrt" (an engine of the artifact, else ONNX Runtime's TensorRT), "cuda", "cpu",
            or ONNX Runtime's own names. What is not listed is never taken: ("cuda",) is CUDA or an error. Each session's
            `report` says what was taken and why not what comes before it.
        threads: of one inference on the CPU; None takes one for each core.
        precision: "fp32", or a variant that was exported, such as "fp16" or "int8".
        strict: refuse an accelerator that leaves single nodes to the CPU, instead of reporting them.
        check: hold every file against its checksum; False for a folder that was verified before.
        require_signature: the PEM file of a public key; whatever its owner did not sign as it is now is refused.

    Returns:
        The task's object, such as tasks.zero_shot.ZeroShotClassifier; graphs are opened when first used.

    Raises:
        FileNotFoundError: there is no artifact, or a file of it is missing.
        ValueError: it is damaged, of a newer schema, of an unknown task, has no such precision, or is not signed as required.
    """
    from . import artifact, session, tasks

    folder = Path(path)
    if require_signature is not None:
        from .signature import verify

        verify(folder, Path(require_signature))
    found = artifact.read(folder, check=check)
    options = session.Options(tuple(prefer), threads, strict, trusted=require_signature is not None)
    return tasks.kind(found.task)(folder, found, options, precision)
