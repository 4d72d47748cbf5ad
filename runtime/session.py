"""One graph, ready to run; reports the provider that it really got."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


@dataclass(frozen=True)
class Options:
    """How sessions are opened.

    Args:
        providers: in order of preference.
        threads: of one inference; None: one for each core.
        strict: an error instead of a warning where a provider that was asked for is not given.
        optimise: ONNX Runtime's graph optimisations.
    """

    providers: tuple[str, ...] = ("cpu",)
    threads: int | None = None
    strict: bool = False
    optimise: bool = True


class Session(Protocol):
    """What tasks need of an engine. Calls may come from several threads at once."""

    providers: tuple[str, ...]

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Name -> array of the inputs; the outputs named, in that order."""


class OrtSession:
    """An ONNX file in ONNX Runtime.

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
        ValueError: a provider's name is unknown here, `strict` and not given, or the file is no valid graph.
    """

    def __init__(self, path: Path, options: Options | None = None) -> None:
        options = options or Options()
        try:
            import onnxruntime
        except ImportError as error:
            raise ModuleNotFoundError(
                f"onnxruntime is needed to run {path.name} and cannot be imported ({error}): "
                "pip install 'contrastrt[cpu]', or 'contrastrt[gpu]' for CUDA, never both",
                name="onnxruntime",
            ) from error
        wanted = _known(options.providers, onnxruntime.get_available_providers(), strict=options.strict)
        if options.threads is not None and options.threads < 1:
            raise ValueError(f"threads={options.threads} was given; expected 1 or more, or None")
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors: what the user must know is said below
        settings.inter_op_num_threads = 1
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        if not options.optimise:
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(str(path), settings, providers=wanted)
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise ValueError(f"{path} cannot be opened by ONNX Runtime {onnxruntime.__version__}: {error}") from error
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        missing = [name for name in wanted if name not in self.providers]
        if missing:
            _say(
                f"{', '.join(missing)} was asked for and ONNX Runtime did not give it; {path.name} runs on {self.providers[0]}",
                options.strict,
            )

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Name -> array of the inputs; the outputs named, in that order."""
        return self._session.run(outputs, inputs)  # type: ignore[no-any-return]


def _known(given: Sequence[str], available: Sequence[str], *, strict: bool) -> list[str]:
    """ONNX Runtime's names of the providers that this installation has."""
    names = [_NAMES.get(name.lower(), name) for name in given]
    if not names:
        raise ValueError("no provider was given; expected at least one, such as cpu")
    for name in names:
        if name not in available:
            if name not in _NAMES.values():
                raise ValueError(
                    f"there is no provider {name!r}; this installation has {', '.join(available)}, "
                    f"and short names are {', '.join(_NAMES)}"
                )
            _say(f"{name} was asked for, but this installation of onnxruntime has only {', '.join(available)}", strict)
    return [name for name in names if name in available] or ["CPUExecutionProvider"]


def _say(sentence: str, strict: bool) -> None:
    if strict:
        raise ValueError(sentence)
    warnings.warn(sentence, RuntimeWarning, stacklevel=4)


def rows(count: int, size: int) -> list[slice]:
    """Cut `count` rows into parts of at most `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def finite(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Refuse an answer that is no number: reduced precision can overflow."""
    if not np.isfinite(values).all():
        raise ValueError(f"the graph's output {name!r} is not finite; use precision fp32, and report the input if it persists")
    return values
