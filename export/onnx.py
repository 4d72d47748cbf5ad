"""python -m export.onnx model.pt: the graphs of a trained method as an artifact that the runtime loads, verified first."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact as schema
from runtime.artifact import Artifact, Axis, Graph
from train.contract import Exportable

from . import quantize, verify
from .card import card
from .graph import OPSETS, build, save
from .quantize import PRECISIONS, Cost, RealImages
from .verify import Parity, Tolerance

CARD = "card.md"
GOLDEN_ROWS = 8  # rows of samples that travel with the artifact
BATCH = "batch"

logger = logging.getLogger(__name__)

EXAMPLES = """examples:
  python -m export.onnx model.pt                                     all graphs, fp32, into artifact/ beside model.pt
  python -m export.onnx model.pt --graphs closed --precision fp16,int8 --data photos/
  python -m export.onnx model.pt --out device/ --static-batch 1      for engines that want fixed sizes

precisions:
""" + "\n".join(f"  {name:<13} {what}" for name, what in PRECISIONS.items())


class VerificationError(RuntimeError):
    """Some file is out of tolerance; nothing was written."""

    def __init__(self, parities: Sequence[Parity], message: str = "") -> None:
        self.parities = tuple(parities)
        super().__init__(message or "\n".join(failure for parity in parities for failure in parity.failures))


@dataclass(frozen=True)
class Report:
    """What was written, how far it is from torch, and what each precision costs; `seconds` by graph."""

    path: Path
    artifact: Artifact
    parities: tuple[Parity, ...]
    costs: tuple[Cost, ...]
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for --json."""
        return {
            "path": str(self.path),
            "files": self.artifact.files,
            "parity": {parity.file: parity.to_dict() for parity in self.parities},
            "costs": [cost.to_dict() for cost in self.costs],
            "seconds": self.seconds,
        }


def export(
    exportable: Exportable,
    out: Path,
    *,
    graphs: Sequence[str] | None = None,
    precisions: Sequence[str] = ("fp32",),
    opset: int = 20,
    static_batch: int | None = None,
    real: RealImages | None = None,
    metrics: Mapping[str, float] | None = None,
    tolerances: Mapping[str, Tolerance] = verify.TOLERANCES,
    force: bool = False,
    say: Callable[[str], None] = logger.debug,
) -> Report:
    """Write an artifact: every graph in every precision, held against torch before anything appears at `out`.

    Args:
        graphs: names to export; None is all that the method has.
        precisions: of quantize.PRECISIONS; fp32 is always written, since the others are made from it.
        static_batch: make the axis `batch` a constant of this size.
        real: images of the user's data; without them int8 is calibrated on the method's own samples.
        metrics: what training measured, for the model card.
        force: also replace a folder that is not an artifact; it is kept beside as `<name>.before`.
        say: takes progress lines; the log, unless told otherwise.

    Raises:
        ValueError: an option that the method or torch does not offer.
        FileExistsError: `out` holds something else than an artifact.
        VerificationError: a file is out of tolerance; what was at `out` is untouched.
    """
    check_options(precisions, opset, static_batch)
    check_out(out, force=force)
    chosen = _select(exportable, graphs)
    if static_batch is not None:
        chosen = _fix_batch(chosen, static_batch)
    identity = {"method": chosen.artifact.method, "task": chosen.artifact.task}
    wanted = tuple(dict.fromkeys(("fp32", *precisions)))
    parities: list[Parity] = []
    costs: list[Cost] = []
    seconds: dict[str, float] = {}
    with beside(out) as folder:
        golden: dict[str, np.ndarray] = {f"image_{at}": image for at, image in enumerate(chosen.images[:GOLDEN_ROWS])}
        golden |= {f"cloud_{at}": cloud for at, cloud in enumerate(chosen.clouds[:GOLDEN_ROWS])}
        golden |= {f"chip_{at}": chip for at, chip in enumerate(chosen.chips[:GOLDEN_ROWS])}
        for graph in chosen.artifact.graphs:
            start = time.perf_counter()
            module, samples, axes = chosen.modules[graph.name].eval(), chosen.samples[graph.name], chosen.artifact.axes
            files = {precision: folder / schema.graph_file(graph.name, precision) for precision in wanted}
            calibration = {**samples, real.port: real.calibration} if real is not None and real.port in samples else samples
            save(build(module, graph, axes, samples, opset=opset, identity={**identity, "precision": "fp32"}), files["fp32"])
            say(f"{graph.name}: exported in {time.perf_counter() - start:.1f} s")
            for precision in wanted[1:]:
                began = time.perf_counter()
                quantize.write(precision, files["fp32"], files[precision], graph, axes, calibration)
                say(f"{graph.name}: {precision} made in {time.perf_counter() - began:.1f} s")
            began = time.perf_counter()
            expected = verify.references(module, graph, axes, samples)
            parities += [verify.verify(files[name], graph, name, expected, tolerances[name]) for name in wanted]
            say(f"{graph.name}: held against torch in {time.perf_counter() - began:.1f} s")
            if len(wanted) > 1:
                costs += quantize.costs(files, graph, axes, samples, real)
            golden |= _golden(graph, axes, module, samples)
            seconds[graph.name] = round(time.perf_counter() - start, 3)
        if any(parity.failures for parity in parities):
            raise VerificationError(parities)
        _write_rest(folder, chosen, golden, parities, opset, metrics or {})
        written = schema.write(chosen.artifact, folder)
        _replace(folder, out)
    return Report(out, written, tuple(parities), tuple(costs), seconds)


def check_options(precisions: Sequence[str], opset: int, static_batch: int | None) -> None:
    """Refuse what no method can be exported with."""
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(f"There is no precision {precision!r}; expected some of {', '.join(PRECISIONS)}.")
    if opset not in OPSETS:
        raise ValueError(f"Opset {opset} is not supported; expected {OPSETS[0]} to {OPSETS[-1]} (20 is the most widely read).")
    if static_batch is not None and static_batch < 1:
        raise ValueError(f"--static-batch is {static_batch}; expected 1 or more.")


def check_out(out: Path, *, force: bool) -> None:
    """Refuse to replace what is not an artifact."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; --out must be a folder for the artifact.")
    if out.is_dir() and any(out.iterdir()) and not (out / schema.MANIFEST).is_file():
        if not force:
            raise FileExistsError(f"{out} is not empty and not an artifact; give another --out, or --force to set it aside.")
        if _before(out).exists():
            raise FileExistsError(f"{out} would be kept as {_before(out)}, which exists already; remove it first.")


def _before(out: Path) -> Path:
    return out.with_name(f"{out.name}.before")


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A folder on the same disk, removed at the end unless it has been moved."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(folder: Path, out: Path) -> None:
    """Move the finished folder to `out`. An artifact there is removed after that; if the move fails it is put back."""
    foreign = out.is_dir() and any(out.iterdir()) and not (out / schema.MANIFEST).is_file()
    aside = _before(out) if foreign else out.with_name(f".{out.name}.{os.getpid()}.old")
    existed = out.exists()
    if existed:
        out.rename(aside)
    try:
        folder.rename(out)
    except OSError:
        if existed:
            aside.rename(out)
        raise
    if existed and not foreign:
        shutil.rmtree(aside)


def _select(exportable: Exportable, names: Sequence[str] | None) -> Exportable:
    """Keep the graphs that were asked for and the axes that they use."""
    known = [graph.name for graph in exportable.artifact.graphs]
    assert all("." not in name and name in exportable.modules and name in exportable.samples for name in known)
    for name in names or ():
        if name not in known:
            raise ValueError(f"{exportable.artifact.method} has no graph {name!r}; it has {', '.join(known)}.")
    graphs = tuple(graph for graph in exportable.artifact.graphs if names is None or graph.name in names)
    if not graphs:
        raise ValueError(f"No graph was chosen; {exportable.artifact.method} has {', '.join(known)}.")
    used = {size for graph in graphs for port in graph.inputs for size in port.shape if isinstance(size, str)}
    axes = {name: axis for name, axis in exportable.artifact.axes.items() if name in used}
    return dataclasses.replace(exportable, artifact=dataclasses.replace(exportable.artifact, graphs=graphs, axes=axes))


def _fix_batch(exportable: Exportable, rows: int) -> Exportable:
    """Leave the axis `batch` one size, which makes it a constant in the graphs."""
    if BATCH not in exportable.artifact.axes:
        raise ValueError(f"--static-batch was given, and {exportable.artifact.method} has no axis {BATCH!r}.")
    axes = {**exportable.artifact.axes, BATCH: Axis(rows, rows, rows)}
    return dataclasses.replace(exportable, artifact=dataclasses.replace(exportable.artifact, axes=axes))


def _golden(graph: Graph, axes: Mapping[str, Axis], module: Any, samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first rows of the samples and torch's answers, under `<graph>/<port>`."""
    inputs = next(quantize.batches(graph, axes, samples, GOLDEN_ROWS))
    found = {**inputs, **verify.answer(module, graph, inputs)}
    return {f"{graph.name}/{name}": value for name, value in found.items()}


def _write_rest(
    folder: Path,
    chosen: Exportable,
    golden: Mapping[str, np.ndarray],
    parities: Sequence[Parity],
    opset: int,
    metrics: Mapping[str, float],
) -> None:
    np.savez_compressed(folder / schema.GOLDEN, allow_pickle=False, **golden)
    (folder / schema.PARITY).write_text(json.dumps(verify.parity_json(parities, opset), indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card(chosen.artifact, metrics, parities, opset), encoding="utf-8")
    for name, content in chosen.files.items():
        assert Path(name).name == name and not (folder / name).exists(), f"{name} is taken"
        (folder / name).write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 written, 1 out of tolerance, 2 a mistake in what was given."""
    parser = _parser()
    options = parser.parse_args(arguments)
    precisions, out = names(options.precision), options.out or options.model.parent / "artifact"
    try:
        check_options(precisions, options.opset, options.static_batch)
        check_out(out, force=options.force)
        report = from_model(
            options.model,
            out,
            graphs=None if options.graphs is None else names(options.graphs),
            precisions=precisions,
            data=options.data,
            opset=options.opset,
            static_batch=options.static_batch,
            force=options.force,
        )
    except VerificationError as failed:
        print(verify.table(failed.parities), file=sys.stderr)
        print(f"error: {failed}\nNothing was written to {out}.", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report.to_dict(), indent=1))
        return 0
    print(verify.table(report.parities))
    if report.costs:
        print(f"\n{quantize.table(report.costs)}")
    print(f"\nwritten to {report.path}: {', '.join(sorted(report.artifact.files))}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.onnx", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model.pt that `python -m train.run` wrote")
    parser.add_argument("--out", type=Path, help="folder of the artifact (default: artifact/ beside model.pt)")
    parser.add_argument("--graphs", help="names separated by commas (default: all that the method has)")
    parser.add_argument("--precision", default="fp32", help="separated by commas, see below (default: fp32)")
    parser.add_argument(
        "--data",
        nargs="?",
        const="",
        metavar="PATH",
        help="labelled images, whose training part calibrates int8 and the rest measures accuracy; no PATH: the embedded scenes",
    )
    parser.add_argument("--opset", type=int, default=20, help=f"{OPSETS[0]} to {OPSETS[-1]} (default: 20)")
    parser.add_argument("--static-batch", type=int, metavar="N", help="a fixed batch instead of a variable one")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--force", action="store_true", help="set a folder that is not an artifact aside, as <name>.before")
    return parser


def from_model(
    model: Path,
    out: Path,
    *,
    graphs: Sequence[str] | None = None,
    precisions: Sequence[str] = ("fp32",),
    data: str | None = None,
    opset: int = 20,
    static_batch: int | None = None,
    force: bool = False,
) -> Report:
    """Export a model.pt, telling progress on stderr. `data` is a path of labelled images, "" the embedded scenes."""
    from train import checkpoint

    metrics = checkpoint.load(model).metrics
    exportable = checkpoint.restore(model).exportable()
    real = None if data is None else quantize.read_images(Path(data) if data else None, exportable.artifact)
    return export(
        exportable,
        out,
        graphs=graphs,
        precisions=precisions,
        opset=opset,
        static_batch=static_batch,
        real=real,
        metrics=metrics,
        force=force,
        say=lambda line: print(line, file=sys.stderr),
    )


def names(given: str) -> tuple[str, ...]:
    """The parts of a text with commas."""
    return tuple(name.strip() for name in given.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
