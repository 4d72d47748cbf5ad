"""Engines of an artifact's ONNX files: proven first, built one by one, added once all that can be built are."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import artifact as schema
from runtime.artifact import Artifact, Engine, Graph
from runtime.proof import prove
from runtime.session import Options

from . import engine, profiles, regions
from .engine import SDKS, Built, Job, Node, Probe, Refused
from .onnx import VerificationError, beside
from .profiles import Profile

PORTABLE = "portable"
PORTABLE_TARGETS = ("sm80+",)  # Ampere and later, in NVIDIA's words

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """An engine that the SDK did not build; `nodes` are those that it, or a search after a crash, named."""

    file: str
    reason: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Report:
    """What was built into an artifact and what was refused; `shapes` holds by engine the profiles as the builder had them.

    Args:
        engines: all that were asked for and are there now; those named in `kept` were built before from the same input.
    """

    path: Path
    engines: tuple[Engine, ...]
    kept: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    digests: dict[str, str]
    shapes: dict[str, tuple[dict[str, list[list[int]]], ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for --json."""
        found = [
            {
                **dataclasses.asdict(item),
                "sha256": self.digests[item.file],
                "shapes": self.shapes[item.file],
                "kept": item.file in self.kept,
            }
            for item in self.engines
        ]
        return {"path": str(self.path), "engines": found, "refused": [dataclasses.asdict(item) for item in self.refusals]}


def build(
    folder: Path,
    probe: Probe,
    wanted: Sequence[tuple[str, ...]],
    *,
    graphs: Sequence[str] | None = None,
    precisions: Sequence[str] = ("fp32",),
    given: Sequence[str] = (),
    options: Sequence[str] = (),
    timing_cache: Path | None = None,
    proven: bool = False,
    rebuild: bool = False,
    say: Callable[[str], None] = logger.debug,
) -> Report:
    """Build engines from an artifact's ONNX files and add them to it, once all that can be built are.

    Args:
        wanted: compute capabilities of each engine, as `targets` gives them.
        precisions: of PRECISIONS.
        given: profiles as texts, see profiles.parse.
        options: of engine.FLAGS.
        rebuild: also what is there already. The builder's bytes differ from run to run, so that without it the same artifact,
            SDK, targets, profiles and options leave the engine as it is.
        proven: the ONNX files were held against torch just now; otherwise they answer their golden inputs first.

    Raises:
        FileNotFoundError, ValueError: no such artifact, graph, file or profile.
        VerificationError: an ONNX file is out of the tolerance that it was exported with.
    """
    found = schema.read(folder)
    ranges = [profiles.parse(text, found.axes) for text in given]
    sources = onnx_files(found, folder, graphs, precisions)
    if not proven:
        check_proof(folder, set(sources))
    built: list[Engine] = []
    refusals: list[Refusal] = []
    shapes: dict[str, tuple[dict[str, list[list[int]]], ...]] = {}
    kept: list[str] = []
    present = {} if rebuild else {item.file: item for item in found.engines}
    culprits: dict[str, Node | None] = {}
    with beside(folder) as place:
        for source, (graph, precision) in sources.items():
            chosen = profiles.chosen(graph, found.axes, ranges)
            for group in wanted:
                name = file_name(graph.name, precision, probe.module, group, options)
                inputs = tuple(profiles.shapes(graph, profile) for profile in chosen)
                if (old := present.get(name)) and _same(old, probe, group, chosen, found.files[source]):
                    built.append(old)
                    kept.append(name)
                    shapes[name] = tuple({port: [*map(list, sizes)] for port, sizes in item.items()} for item in inputs)
                    say(f"{name}: kept, it was built from the same")
                    continue
                job = Job(probe.module, folder / source, group, inputs, tuple(options), timing_cache)
                try:
                    made = engine.build(job, place / name)
                except Refused as refused:
                    refusals.append(_refusal(name, refused, job, culprits, say))
                    say(f"{name}: refused, {refusals[-1].reason}")
                    continue
                entry = _entry(name, graph, precision, probe, group, chosen, found.files[source], place / name, made, options)
                built.append(entry)
                shapes[name] = made.profiles
                say(f"{name}: built in {made.seconds:.1f} s, {entry.size / 2**20:.2f} MiB")
        if new := [item for item in built if item.file not in kept]:
            found = _place(folder, found, new, place)
    digests = {item.file: found.files[item.file] for item in built}
    return Report(folder, tuple(built), tuple(kept), tuple(refusals), digests, shapes)


def onnx_files(
    found: Artifact, folder: Path, graphs: Sequence[str] | None, precisions: Sequence[str]
) -> dict[str, tuple[Graph, str]]:
    """ONNX file -> its graph and precision, for what is to be built. ValueError says what the artifact lacks."""
    known = {graph.name: graph for graph in found.graphs}
    for name in graphs or ():
        if name not in known:
            raise ValueError(f"{folder} has no graph {name!r}; it has {', '.join(known)}.")
    chosen: dict[str, tuple[Graph, str]] = {}
    for graph in known.values():
        for precision in precisions:
            file = schema.graph_file(graph.name, precision)
            if graphs is not None and graph.name not in graphs:
                continue
            if file not in found.files:
                raise ValueError(
                    f"{folder} has no {file}, from which this engine is built; make it with "
                    f"`python -m export.onnx model.pt --precision {','.join(precisions)} --data photos/`, or give model.pt here."
                )
            chosen[file] = (graph, precision)
    return chosen


def check_proof(folder: Path, files: set[str]) -> None:
    """Each file answers its golden inputs in ONNX Runtime within its tolerance. VerificationError names those that do not."""
    failed = [item for item in prove(folder, Options(("cpu",))).agreements if item.file in files and not item.passed]
    if failed:
        raise VerificationError(
            (),
            "\n".join(
                f"{item.file}, output {item.output!r}: cosine {item.cosine:.6f} and error {item.max_abs:.2e} on the golden inputs, "
                f"at least {item.limit_cosine:g} and at most {item.limit_abs:.2e} expected"
                for item in failed
            ),
        )


def file_name(graph: str, precision: str, module: str, group: Sequence[str], options: Sequence[str]) -> str:
    """`closed.fp16.rtx.sm86.engine`, with the options that it was built with before the end."""
    sdk = next(name for name, known in SDKS.items() if known == module)
    return ".".join([graph, precision, sdk, "-".join(group) or PORTABLE, *sorted(options), "engine"])


def _entry(
    name: str,
    graph: Graph,
    precision: str,
    probe: Probe,
    group: Sequence[str],
    chosen: Sequence[Profile],
    digest: str,
    plan: Path,
    made: Built,
    options: Sequence[str],
) -> Engine:
    return Engine(
        file=name,
        graph=graph.name,
        precision=precision,
        sdk=probe.module,
        sdk_version=made.version,
        targets=tuple(group) or PORTABLE_TARGETS,
        profiles=tuple(chosen),
        onnx_sha256=digest,
        size=plan.stat().st_size,
        seconds=made.seconds,
        layers=made.layers,
        options=tuple(options),
    )


def _same(old: Engine, probe: Probe, group: Sequence[str], chosen: Sequence[Profile], digest: str) -> bool:
    """Whether an engine was built of the same ONNX file by the same SDK for the same; its name holds graph, precision and options."""
    made = (old.onnx_sha256, old.sdk, old.sdk_version, old.targets, old.profiles)
    return made == (digest, probe.module, probe.version, tuple(group) or PORTABLE_TARGETS, tuple(chosen))


def _refusal(name: str, refused: Refused, job: Job, culprits: dict[str, Node | None], say: Callable[[str], None]) -> Refusal:
    """After a crash the node is searched for, once for each ONNX file."""
    if not refused.crashed:
        return Refusal(name, str(refused), refused.nodes)
    if job.onnx.name not in culprits:
        culprits[job.onnx.name] = regions.narrow(job, say)
    node = culprits[job.onnx.name]
    if node is None:
        return Refusal(name, f"{refused}; no single node was found", ())
    reason = f"{refused}; up to node {node.index} {node.name!r} ({node.operator}) it crashes, without that node it does not"
    return Refusal(name, reason, (node,))


def _place(folder: Path, found: Artifact, built: Sequence[Engine], place: Path) -> Artifact:
    """Move engines into the artifact. At any moment its manifest lists whole files only: an engine that is replaced leaves it first."""
    new = {item.file for item in built}
    kept = tuple(item for item in found.engines if item.file not in new)
    files = set(found.files) - new
    if new & set(found.files):
        found = schema.write(dataclasses.replace(found, engines=kept), folder, files)
    for item in built:
        with (place / item.file).open("rb") as file:
            os.fsync(file.fileno())
        (place / item.file).replace(folder / item.file)
    return schema.write(dataclasses.replace(found, engines=(*kept, *built)), folder, files | new)


def table(report: Report) -> str:
    """What was built as text, a line per engine, then what was refused."""
    lines = [f"{'engine':<44} {'size':>10} {'build':>8} {'layers':>7} {'profiles':>9}  sha256"]
    for item in report.engines:
        size, layers = f"{item.size / 2**20:.2f} MiB", sum(item.layers.values())
        seconds = "kept" if item.file in report.kept else f"{item.seconds:.1f} s"
        start = f"{item.file:<44} {size:>10} {seconds:>8} {layers:>7} {len(item.profiles):>9}"
        lines.append(f"{start}  {report.digests[item.file][:16]}")
    lines += [f"refused: {item.file}: {item.reason}" for item in report.refusals]
    return "\n".join(lines)
