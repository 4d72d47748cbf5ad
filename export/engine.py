"""One TensorRT engine, built in a process of its own: the builder can crash, and a failed build changes what it builds next.

`tensorrt` (11 and 10, which needs a GPU to build) and `tensorrt_rtx` (which builds without one) share their API; what differs is here.
This file runs by itself as the builder's process, which imports nothing of the project.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Shape = tuple[int, ...]
SDKS = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}  # what the command line says -> module
INSTALL = {"tensorrt": "pip install 'contrastrt[tensorrt]'", "tensorrt_rtx": "pip install 'contrastrt[rtx]'"}
FLAGS = {"version_compatible": "VERSION_COMPATIBLE", "refit": "REFIT", "stripped": "STRIP_PLAN"}
NODE = re.compile(r"Parsing node: (.+) \[(\w+)\]$")
NOISE = re.compile(
    r"\s*\[checkMacros\S* Error Code 1: Cuda Runtime .*cudaError 35.*"
)  # there is no driver: nothing to do with a node
PART = re.compile(r"(?:Computing costs for|Timing Runner:) \{ForeignNode\[(.+?)\]\}|Computing costs for (\S+)")


@dataclass(frozen=True)
class Probe:
    """What one SDK says of itself and of this machine, or in `error` why it cannot be used.

    Args:
        targets: that it builds for without a GPU; empty where it builds for the GPU that is present only.
        gpu: compute capability of the first GPU, such as "sm90"; empty where there is none, and `no_gpu` says why.
    """

    module: str
    version: str = ""
    targets: tuple[str, ...] = ()
    gpu: str = ""
    no_gpu: str = ""
    error: str = ""


@dataclass(frozen=True)
class Job:
    """One engine to build.

    Args:
        module: "tensorrt" or "tensorrt_rtx".
        targets: compute capabilities that one RTX engine is for; none: what its builder calls portable. Full TensorRT takes
            the GPU that is present.
        profiles: for each, input name -> smallest, usual and largest shape.
        options: of FLAGS.
        timing_cache: read before and written after the build, where the SDK has one.
    """

    module: str
    onnx: Path
    targets: tuple[str, ...] = ()
    profiles: tuple[dict[str, tuple[Shape, Shape, Shape]], ...] = ()
    options: tuple[str, ...] = ()
    timing_cache: Path | None = None


@dataclass(frozen=True)
class Built:
    """What was built; layers and profiles were read from the network before the build, since no engine opens without a driver.

    Args:
        layers: layer type -> how many the parsed network has.
        profiles: for each, input -> smallest, usual and largest shape as the builder has them.
    """

    version: str
    seconds: float
    layers: dict[str, int]
    profiles: tuple[dict[str, list[list[int]]], ...]


@dataclass(frozen=True)
class Node:
    """A node of the ONNX graph that the parser refused; `index` is its place in the graph, -1 where the parser does not know."""

    index: int
    name: str
    operator: str
    reason: str


class Refused(RuntimeError):
    """The SDK does not build this graph; `nodes` are those that it named, `crashed` says that its process died."""

    def __init__(self, message: str, nodes: Sequence[Node] = (), *, crashed: bool = False) -> None:
        self.nodes, self.crashed = tuple(nodes), crashed
        super().__init__(message)


def probe(module: str) -> Probe:
    """Import an SDK in a process of its own and ask it what it can do; ask the driver for the GPU."""
    from runtime.cuda import Unavailable, driver

    done = subprocess.run(_command("probe", module), capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return Probe(module, error=f"importing {module} ended its process ({_ending(done.returncode)})")
    try:
        found |= {"gpu": driver().devices[0].capability}
    except Unavailable as error:
        found |= {"no_gpu": str(error)}
    return Probe(**{**found, "targets": tuple(found["targets"])})


def build(job: Job, plan: Path) -> Built:
    """Build one engine in a process of its own and put it at `plan`.

    Raises:
        Refused: the SDK refused the graph or crashed on it.
    """
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        report = _run("build", job, folder)
        shutil.move(folder / "plan", plan)
        return Built(report["version"], report["seconds"], report["layers"], tuple(report["profiles"]))


def parse(job: Job) -> tuple[Node, ...]:
    """The nodes at which the parser stops; none where it takes the whole graph.

    Raises:
        Refused: it crashed.
    """
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        return tuple(Node(**node) for node in _run("parse", job, Path(name))["nodes"])


def _command(*arguments: str) -> list[str]:
    # -P: without it the folder of this file comes first on the path, and export/onnx.py would stand in for onnx.
    return [sys.executable, "-P", str(Path(__file__).resolve()), *arguments]


def _run(verb: str, job: Job, folder: Path) -> dict[str, Any]:
    """The child's report. It writes its messages to a file as they come, so that a crash leaves the last of them."""
    content = {
        **asdict(job),
        "onnx": str(job.onnx.resolve()),
        "timing_cache": job.timing_cache and str(job.timing_cache.resolve()),
    }
    (folder / "job.json").write_text(json.dumps(content), encoding="utf-8")
    done = subprocess.run(_command(verb, str(folder)), capture_output=True, text=True, errors="replace", check=False)
    if not (folder / "report.json").is_file():
        log = folder / "log.txt"
        said = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        raise Refused(crash(done.returncode, said, done.stderr), crashed=True)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if "refused" in report:
        raise Refused(report["refused"], [Node(**node) for node in report["nodes"]])
    return report


def crash(status: int, said: Sequence[str], errors: str = "") -> str:
    """A sentence from what a process that died had reported: what it was doing, and at which node or part of the graph."""
    stage = next((line.removeprefix("stage: ") for line in reversed(said) if line.startswith("stage: ")), "starting")
    where = ""
    for line in reversed(said):
        if stage == "parsing" and (match := NODE.search(line)):
            where = f" node {match[1]!r} ({match[2]})"
            break
        if stage == "building" and (match := PART.search(line)):
            where = f" the part {match[1] or match[2]!r}"
            break
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
    more = f"; its last words: {last.strip()}" if last and status > 0 else ""
    return f"the builder's process ended ({_ending(status)}) while {stage}{where}{more}"


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


# ---- what follows runs in the builder's process ----


@dataclass
class _Child:
    """Writes stage and messages to log.txt as they come; keeps the errors."""

    folder: Path
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = (self.folder / "log.txt").open("w", encoding="utf-8", buffering=1)

    def stage(self, name: str) -> None:
        self.log.write(f"stage: {name}\n")

    def report(self, content: dict[str, Any]) -> None:
        temporary = self.folder / "report.tmp"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.folder / "report.json")

    def refuse(self, message: str, nodes: Sequence[Node] = ()) -> None:
        self.report({"refused": " ".join(message.split()), "nodes": [asdict(node) for node in nodes]})

    def logger(self, sdk: Any) -> Any:
        child = self

        class Log(sdk.ILogger):  # type: ignore[misc]
            """Every message on a line of its own; what the parser says of a node comes through its errors."""

            def __init__(self) -> None:
                sdk.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                child.log.write(" ".join(message.split()) + "\n")
                if severity in (sdk.ILogger.ERROR, sdk.ILogger.INTERNAL_ERROR):
                    child.errors.append(" ".join(message.split()))

        return Log()


def _probe(module: str) -> Probe:
    try:
        sdk = importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        return Probe(module, error=f"{module} is not installed" if missing else f"{module}: {error}")
    targets: tuple[str, ...] = ()
    if module == "tensorrt_rtx":
        targets = tuple(name.lower() for name in sdk.ComputeCapability.__members__ if name.startswith("SM"))
    return Probe(module, sdk.__version__, targets)


def _network(sdk: Any, logger: Any) -> tuple[Any, Any]:
    """Builder and an empty strongly typed network; TensorRT 10 has to be asked for that, later ones know no other."""
    builder = sdk.Builder(logger)
    typed = 1 << int(sdk.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if sdk.__version__.startswith("10.") else 0
    return builder, builder.create_network(typed)


def _reason(text: str) -> str:
    reason = NOISE.sub("", " ".join(text.split()))
    return "there is no importer for this operator" if reason == "false" else reason


def _parse(sdk: Any, network: Any, logger: Any, onnx: str) -> tuple[Any, list[Node]]:
    parser = sdk.OnnxParser(network, logger)
    parsed = parser.parse_from_file(onnx)
    errors = [parser.get_error(at) for at in range(parser.num_errors)]
    found = [Node(error.node(), error.node_name(), error.node_operator(), _reason(error.desc())) for error in errors]
    if not parsed and not found:
        found = [Node(-1, "", "", "the parser gave no reason")]
    return parser, found  # the network needs its parser to live as long as it does


def _configure(sdk: Any, builder: Any, network: Any, job: dict[str, Any]) -> tuple[Any, list[dict[str, list[list[int]]]]]:
    """The builder's configuration, and the profiles as it has them."""
    config, profiles = builder.create_builder_config(), []
    inputs = [network.get_input(at).name for at in range(network.num_inputs)]
    for given in job["profiles"]:
        profile = builder.create_optimization_profile()
        for name in inputs:
            profile.set_shape(name, *(tuple(shape) for shape in given[name]))
        if config.add_optimization_profile(profile) < 0:
            raise ValueError(f"the builder does not take the profile {given}")
        profiles.append({name: [list(shape) for shape in profile.get_shape(name)] for name in inputs})
    for option in job["options"]:
        config.set_flag(getattr(sdk.BuilderFlag, FLAGS[option]))
    if job["module"] == "tensorrt_rtx" and job["targets"]:
        config.num_compute_capabilities = len(job["targets"])
        for at, target in enumerate(job["targets"]):
            if not config.set_compute_capability(getattr(sdk.ComputeCapability, target.upper()), at):
                raise ValueError(f"the builder does not take the target {target}")
    return config, profiles


def _build(child: _Child, job: dict[str, Any]) -> None:
    child.stage("importing the SDK")
    sdk = importlib.import_module(job["module"])
    logger = child.logger(sdk)
    builder, network = _network(sdk, logger)
    child.stage("parsing")
    parser, nodes = _parse(sdk, network, logger, job["onnx"])
    if nodes:
        shown = "; ".join(f"node {node.name!r} ({node.operator}): {node.reason}" for node in nodes)
        return child.refuse(f"the parser refused {shown}", nodes)
    layers = Counter(network.get_layer(at).type.name.lower() for at in range(network.num_layers))
    child.stage("configuring")
    config, profiles = _configure(sdk, builder, network, job)
    path, cache = job["timing_cache"] and Path(job["timing_cache"]), None
    if path is not None:
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    child.stage("building")
    start = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - start
    if plan is None:
        return child.refuse(child.errors[-1] if child.errors else "the builder gave no engine and no reason")
    (child.folder / "plan").write_bytes(plan)
    if path is not None and cache is not None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(cache.serialize())
        temporary.replace(path)
    del parser
    return child.report(
        {"version": sdk.__version__, "seconds": round(seconds, 3), "layers": dict(sorted(layers.items())), "profiles": profiles}
    )


def _look(child: _Child, job: dict[str, Any]) -> None:
    child.stage("importing the SDK")
    sdk = importlib.import_module(job["module"])
    logger = child.logger(sdk)
    _builder, network = _network(sdk, logger)
    child.stage("parsing")
    _parser, nodes = _parse(sdk, network, logger, job["onnx"])
    child.report({"nodes": [asdict(node) for node in nodes]})


def main(arguments: Sequence[str]) -> int:
    """`probe MODULE` prints a Probe; `build FOLDER` and `parse FOLDER` read job.json there and write report.json."""
    verb, what = arguments
    if verb == "probe":
        print(json.dumps(asdict(_probe(what))))
        return 0
    child = _Child(Path(what))
    job = json.loads((child.folder / "job.json").read_text(encoding="utf-8"))
    try:
        {"build": _build, "parse": _look}[verb](child, job)
    except (ImportError, ValueError, TypeError, RuntimeError, AttributeError) as error:  # of the SDK's bindings
        child.refuse(child.errors[-1] if child.errors else f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
