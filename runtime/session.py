"""One graph, ready to run; reports what it really runs on."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .cuda import Unavailable

CPU = "CPUExecutionProvider"
SHORT = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
ON_NVIDIA = (SHORT["cuda"], SHORT["tensorrt"])
PREFER = ("tensorrt", "cuda", "cpu")


@dataclass(frozen=True)
class Options:
    """How sessions are opened.

    Args:
        prefer: in order of preference, "tensorrt", "cuda", "cpu", "openvino" or ONNX Runtime's own names. What is not listed is
            never taken: without "cpu" nothing falls back to the CPU.
        threads: of one inference on the CPU; None: one for each core.
        strict: refuse an accelerator that leaves single nodes to the CPU, instead of reporting them.
        optimise: ONNX Runtime's graph optimisations.
        trusted: the artifact's signature was verified; engines that carry code are opened.
        stream: handle of a CUDA stream for ONNX Runtime to work in; None: one of its own.
        cache: folder for the engines that ONNX Runtime's TensorRT provider builds; None: the user's cache folder.
    """

    prefer: tuple[str, ...] = PREFER
    threads: int | None = None
    strict: bool = False
    optimise: bool = True
    trusted: bool = False
    stream: int | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class Report:
    """What a graph runs on and why not on something else.

    Args:
        picked: such as "cpu", "cuda" or "tensorrt (tensorrt_rtx 1.7.1.116, sm86)".
        file: the ONNX file or engine that is run.
        refused: what was preferred and could not be had, with the sentence that says why, in order.
        nodes: provider -> how many of the graph's nodes it runs, where ONNX Runtime says so.
        on_cpu: operators that an accelerator's session leaves to the CPU.
    """

    graph: str
    file: str
    picked: str
    refused: tuple[tuple[str, str], ...] = ()
    nodes: dict[str, int] = field(default_factory=dict)
    on_cpu: tuple[str, ...] = ()

    def __str__(self) -> str:
        left = f", {', '.join(self.on_cpu)} on the cpu" if self.on_cpu else ""
        lines = [f"{self.graph} runs {self.file} on {self.picked}{left}"]
        return "\n".join(lines + [f"  not on {name}: {reason}" for name, reason in self.refused])


class Session(Protocol):
    """What tasks need of an engine. Calls may come from several threads at once."""

    providers: tuple[str, ...]
    report: Report

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Name -> array of the inputs; the outputs named, in that order."""


class OrtSession:
    """An ONNX file in ONNX Runtime, on one provider.

    An accelerator is never replaced by the CPU: ONNX Runtime's fallbacks, at the start and while running, are off. Single nodes that
    it leaves to the CPU, such as arithmetic on shapes, are reported, or refused where `strict`.

    `session` is ONNX Runtime's own object, for what this class does not offer, such as bound buffers.

    Args:
        provider: a short name or ONNX Runtime's own.
        settings: the provider's own options.

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
        Unavailable: this installation or machine does not have the provider.
        ValueError: the provider's name is unknown, or the file is no valid graph.
    """

    def __init__(
        self, path: Path, provider: str = "cpu", options: Options | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        options = options or Options()
        if options.threads is not None and options.threads < 1:
            raise ValueError(f"threads={options.threads} was given; expected 1 or more, or None")
        onnxruntime = _onnxruntime(path)
        name = _known(provider, onnxruntime.get_available_providers())
        if name in ON_NVIDIA and hasattr(onnxruntime, "preload_dlls"):
            with redirect_stdout(io.StringIO()):  # it prints each library that it does not find
                onnxruntime.preload_dlls()  # of CUDA and cuDNN, where pip installed them
        try:
            self.session = _open(onnxruntime, path, name, options, settings or {}, alone=name != CPU)
        except Exception as error:  # ONNX Runtime's errors share no public base class
            if name == CPU:
                raise ValueError(f"{path} cannot be opened by ONNX Runtime {onnxruntime.__version__}: {error}") from error
            if options.strict or "assigned to the default CPU EP" not in str(error):
                raise _refusal(path, provider, error) from error
            try:
                self.session = _open(onnxruntime, path, name, options, settings or {}, alone=False)
            except Exception as again:
                raise _refusal(path, provider, again) from again
        self.session.disable_fallback()  # or a failing run would be repeated on the CPU, from then on
        self.providers: tuple[str, ...] = tuple(self.session.get_providers())
        nodes = _nodes(self.session) if name != CPU else {}
        if self.providers[0] != name:
            raise Unavailable(
                f"ONNX Runtime {onnxruntime.__version__} gives {self.providers[0]} where {name} was asked for: "
                "its libraries (for CUDA those of CUDA and cuDNN, for TensorRT its own too) are not found or do not start"
            )
        if nodes and not nodes.get(name):
            raise Unavailable(f"{name} runs none of the nodes of {path.name}; the cpu would run all")
        on_cpu = tuple(sorted(nodes.get(CPU, ())))
        counts = {given: sum(kinds.values()) for given, kinds in nodes.items()}
        self.report = Report(path.stem, path.name, provider, nodes=counts, on_cpu=on_cpu)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Name -> array of the inputs; the outputs named, in that order. RuntimeError: ONNX Runtime or the device fails."""
        try:
            return self.session.run(outputs, inputs)  # type: ignore[no-any-return]
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise RuntimeError(f"{self.report.file} fails on {self.report.picked}: {_first_line(error)}") from error


def _onnxruntime(path: Path) -> Any:
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018  absent where two of its packages overwrote each other
    except (ImportError, AttributeError) as error:
        raise ModuleNotFoundError(
            f"onnxruntime is needed to run {path.name} and cannot be imported ({error}): "
            "pip install 'contrastrt[cpu]', or 'contrastrt[gpu]' for CUDA, never both",
            name="onnxruntime",
        ) from error
    return onnxruntime


def _known(given: str, available: Sequence[str]) -> str:
    """ONNX Runtime's name of a provider that this installation has."""
    name = SHORT.get(given.lower(), given)
    if name in available:
        return name
    if name not in SHORT.values():
        raise ValueError(
            f"there is no provider {given!r}; this installation has {', '.join(available)}, and short names are {', '.join(SHORT)}"
        )
    raise Unavailable(f"this installation of onnxruntime has only {', '.join(available)}")


def exact(path: Path) -> dict[str, str]:
    """ONNX Runtime's settings for a file: int8-trt is for TensorRT, and on a CPU its products are taken in float, as TensorRT's do not overflow."""
    return {"session.disable_quant_qdq": "1"} if path.name.endswith(".int8-trt.onnx") else {}


def _open(onnxruntime: Any, path: Path, name: str, options: Options, own: Mapping[str, str], *, alone: bool) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors: what the user must know is said by an exception
    settings.inter_op_num_threads = 1
    if options.threads is not None:
        settings.intra_op_num_threads = options.threads
    if not options.optimise:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in exact(path).items():
        settings.add_session_config_entry(key, value)
    if name != CPU:
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if alone:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(str(path), settings, providers=[(name, dict(own))], enable_fallback=0)


def _nodes(session: Any) -> dict[str, Counter[str]]:
    """Provider -> operator -> nodes; empty where this ONNX Runtime does not say."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counts: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        counts.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return counts


def _refusal(path: Path, provider: str, error: Exception) -> Unavailable:
    return Unavailable(f"ONNX Runtime does not run {path.name} on {provider}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def rows(count: int, size: int) -> list[slice]:
    """Cut `count` rows into parts of at most `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def finite(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Refuse an answer that is no number: reduced precision can overflow."""
    if not np.isfinite(values).all():
        raise ValueError(f"the graph's output {name!r} is not finite; use precision fp32, and report the input if it persists")
    return values
