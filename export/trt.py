"""python -m export.trt model.pt|artifact/: TensorRT engines from the ONNX files of an artifact, which stay as fallback and truth."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime import artifact as schema

from . import engine, profiles, quantize, regions, verify
from .engine import FLAGS, INSTALL, SDKS, Probe
from .engines import PORTABLE, build, onnx_files, table
from .onnx import VerificationError, check_options, check_out, from_model, names
from .regions import Explained

PRECISIONS = {
    "fp32": "fp32",
    "fp16": "fp16",
    "fp16-products": "fp16-products",
    "int8": "int8-trt",
}  # what is asked for -> which ONNX file it is built from

# Without a GPU the builder of TensorRT-RTX fails on these, and says:
NEEDS_GPU = {
    "version_compatible": "Unable to load library: libnvinfer_lean.so.1",
    "refit": "graph_jit.cpp:278: CHECK(status == CUDA_SUCCESS) failed",
    "stripped": "graph_jit.cpp:278: CHECK(status == CUDA_SUCCESS) failed",
}

EXAMPLES = f"""examples:
  python -m export.trt model.pt --target sm86                     artifact/ beside model.pt, then an engine of every graph
  python -m export.trt artifact/ --target sm86,sm120 --precision fp32,fp16 --graphs closed
  python -m export.trt artifact/ --target sm80+sm86+sm89          one engine for several (TensorRT-RTX)
  python -m export.trt artifact/ --profile batch=1 --profile batch=1:8:64,classes=1:100:1024
  python -m export.trt artifact/ --explain                        which nodes the parser does not take, and where they stand
  python -m export.trt model.pt --precision fp16,int8 --data photos/    int8 is calibrated on the training part of the images

SDKs:
  rtx       TensorRT-RTX: needs no GPU, builds for the targets that are named; none named: {PORTABLE}, for Ampere and later
  tensorrt  builds on the GPU that the engine is for, with the timing cache kept beside the artifact

profiles: without --profile an engine is built for the axes of the artifact. Where an axis reaches {profiles.WIDE} times its usual size
or more, a profile that ends there comes first: kernels and memory of usual requests need not hold for the largest.

exit status: 0 all engines were built; 1 some were refused and the others written, or a precision is out of tolerance and
nothing was; 2 a mistake in what was given, or no engine could be built.
"""


def choose(sdk: str | None) -> Probe:
    """The SDK to build with; without a name full TensorRT where it and a GPU are there, else TensorRT-RTX.

    Raises:
        ValueError: it is not installed, does not start, or there is no GPU for it.
    """
    found = {name: engine.probe(SDKS[name]) for name in ((sdk,) if sdk else SDKS)}
    for name, probe in found.items():
        if not probe.error and (name == "rtx" or probe.gpu):
            return probe
    if not sdk and all("not installed" in probe.error for probe in found.values()):
        raise ValueError(
            f"No TensorRT SDK is installed. For engines made on this machine or any other without a GPU: {INSTALL['tensorrt_rtx']}. "
            f"For full TensorRT, on the machine with the GPU: {INSTALL['tensorrt']}."
        )
    for probe in found.values():
        if not probe.error:
            raise ValueError(
                f"TensorRT builds on the GPU that an engine is for, and there is none here ({probe.no_gpu}). Build on the device, "
                f"or without a GPU: {INSTALL['tensorrt_rtx']} and --sdk rtx."
            )
    raise ValueError(" ".join(f"{probe.error}; install it with: {INSTALL[probe.module]}." for probe in found.values()))


def targets(given: str | None, probe: Probe) -> tuple[tuple[str, ...], ...]:
    """Read `sm86,sm80+sm89`: the compute capabilities of each engine; () is a portable one.

    Raises:
        ValueError: the SDK does not build for one of them.
    """
    if probe.module == "tensorrt":
        if given not in (None, probe.gpu):
            raise ValueError(
                f"--target {given} was given, and TensorRT builds for the GPU that is present, {probe.gpu}; leave --target out, or "
                f"build for others with TensorRT-RTX: {INSTALL['tensorrt_rtx']} and --sdk rtx."
            )
        return ((probe.gpu,),)
    found: list[tuple[str, ...]] = []
    for item in names(given or PORTABLE):
        group = () if item == PORTABLE else tuple(dict.fromkeys(item.split("+")))
        for name in group:
            if name not in probe.targets:
                raise ValueError(
                    f"TensorRT-RTX {probe.version} has no target {name!r}; expected some of {', '.join(probe.targets)}, or {PORTABLE}. "
                    f"For another GPU build on its machine: {INSTALL['tensorrt']} and --sdk tensorrt."
                )
        found.append(group)
    if not found:
        raise ValueError(f"--target {given!r} names none; expected some of {', '.join(probe.targets)}, or {PORTABLE}.")
    return tuple(dict.fromkeys(found))


def check_flags(options: Sequence[str], probe: Probe) -> None:
    """Refuse what the SDK cannot do on this machine."""
    for option in options:
        if probe.module == "tensorrt_rtx" and not probe.gpu:
            raise ValueError(
                f"--{option.replace('_', '-')}: TensorRT-RTX {probe.version} does not do it without a GPU (its builder ends with "
                f"`{NEEDS_GPU[option]}`); leave it out, or build on a machine with one."
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except VerificationError as failed:
        if failed.parities:
            print(verify.table(failed.parities), file=sys.stderr)
        print(f"error: {failed}\nNo engine was built.", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    precisions = tuple(dict.fromkeys(PRECISIONS.get(name, name) for name in names(options.precision)))
    for name in precisions:
        if name not in PRECISIONS.values():
            raise ValueError(f"There is no precision {name!r} for engines; expected some of {', '.join(PRECISIONS)}.")
    if not precisions:
        raise ValueError(f"--precision names none; expected some of {', '.join(PRECISIONS)}.")
    graphs = None if options.graphs is None else names(options.graphs)
    flags = tuple(name for name in FLAGS if getattr(options, name))
    probe = choose(options.sdk)
    wanted = targets(options.target, probe)
    check_flags(flags, probe)
    folder = options.source
    if not folder.is_dir():
        folder = options.out or options.source.parent / "artifact"
        _export(options, folder, graphs, precisions)
    elif options.out is not None or options.data is not None:
        raise ValueError(f"--out and --data go with model.pt; the engines of {folder} are added to it, from its own files.")
    if options.explain:
        return _explain(options, folder, probe, graphs, precisions)
    report = build(
        folder,
        probe,
        wanted,
        graphs=graphs,
        precisions=precisions,
        given=options.profile,
        options=flags,
        timing_cache=_timing_cache(options, folder, probe),
        proven=not options.source.is_dir(),
        rebuild=options.rebuild,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(json.dumps(report.to_dict(), indent=1) if options.json else table(report))
    if len(report.kept) < len(report.engines) and (folder / schema.SIGNATURE).exists():
        print(
            f"note: {schema.SIGNATURE} does not cover the new engines; sign again with `python -m export.sign`", file=sys.stderr
        )
    if not report.engines:
        print(f"error: no engine could be built; {folder} stays as it is, and its ONNX files run without.", file=sys.stderr)
        return 2
    return 1 if report.refusals else 0


def _export(options: argparse.Namespace, folder: Path, graphs: Sequence[str] | None, precisions: Sequence[str]) -> None:
    check_options(precisions, options.opset, None)
    check_out(folder, force=options.force)
    report = from_model(
        options.source,
        folder,
        graphs=graphs,
        precisions=precisions,
        data=options.data,
        opset=options.opset,
        force=options.force,
    )
    costs = f"\n{quantize.table(report.costs)}\n" if report.costs else ""
    print(f"{verify.table(report.parities)}\n{costs}\nwritten to {folder}", file=sys.stderr)


def _explain(
    options: argparse.Namespace, folder: Path, probe: Probe, graphs: Sequence[str] | None, precisions: Sequence[str]
) -> int:
    files = onnx_files(schema.read(folder), folder, graphs, precisions)
    found: list[Explained] = [regions.explain(folder / name, probe.module) for name in files]
    if options.json:
        print(json.dumps([dataclasses.asdict(item) for item in found], indent=1))
    else:
        print(f"{probe.module} {probe.version}")
        print("\n".join(str(item) for item in found))
    return 1 if any(item.regions or item.rest for item in found) else 0


def _timing_cache(options: argparse.Namespace, folder: Path, probe: Probe) -> Path | None:
    """Where timings of kernels are kept: beside the artifact, since a device has no use for them."""
    if probe.module == "tensorrt_rtx":
        if options.timing_cache is not None:
            print("note: TensorRT-RTX times no kernels when it builds, so that --timing-cache has no effect", file=sys.stderr)
        return None
    folder = folder.resolve()
    return Path(options.timing_cache or folder.with_name(f"{folder.name}.{probe.gpu}.timing-cache"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.trt", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="model.pt, which is exported first, or an artifact's folder")
    parser.add_argument("--sdk", choices=tuple(SDKS), help="default: tensorrt where it and a GPU are there, else rtx")
    parser.add_argument("--target", help="compute capabilities, an engine for each; joined by +, one for all of them")
    parser.add_argument("--precision", default="fp32", help=f"of {', '.join(PRECISIONS)}, separated by commas (default: fp32)")
    parser.add_argument("--graphs", help="names separated by commas (default: all)")
    parser.add_argument("--profile", action="append", default=[], help="sizes, as in batch=1:8:64,classes=100; repeatable")
    parser.add_argument("--version-compatible", action="store_true", help="engines that later versions of TensorRT run")
    parser.add_argument("--refit", action="store_true", help="engines whose weights can be replaced")
    parser.add_argument("--stripped", action="store_true", help="engines without weights, which are refitted from the ONNX file")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="default: beside the artifact; TensorRT only")
    parser.add_argument("--rebuild", action="store_true", help="also engines that are there, built of the same by the same SDK")
    parser.add_argument("--explain", action="store_true", help="build nothing; list the nodes that the parser does not take")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    exporting = parser.add_argument_group("of model.pt only, as in export.onnx")
    exporting.add_argument("--out", type=Path, help="folder of the artifact (default: artifact/ beside model.pt)")
    exporting.add_argument("--data", nargs="?", const="", metavar="PATH", help="labelled images; int8 is calibrated on them")
    exporting.add_argument("--opset", type=int, default=20, help="default: 20; from 23 on attention is one node, refused in fp32")
    exporting.add_argument("--force", action="store_true", help="set a folder that is not an artifact aside")
    return parser


if __name__ == "__main__":
    sys.exit(main())
