"""python -m benchmarks.upscaling artifact/: tiles against the whole image, seams, speed and peak memory, beside ONNX Runtime and naive tiles."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from export.timing import Timing, interleaved
from runtime.pictures import write

EXAMPLES = """\
examples:
  python -m benchmarks.upscaling artifact/                                on a drawn scene of 256x256
  python -m benchmarks.upscaling artifact/ --image photo.png --tile 128 --threads 2 --json upscaling.json
  python -m benchmarks.upscaling artifact/ --model model.pt               also ONNX Runtime's error against torch at odd sizes
  python -m benchmarks.upscaling artifact/ --megapixels 48                also the peak memory of so large an image

naive tiles: as Real-ESRGAN's: each with 10 pixels around it, estimated for itself, pasted without blending
raw onnxruntime: both graphs on the whole image, without reading, tiles, guard or rounding
"""
SIZES = ((37, 50), (64, 64), (33, 61), (1, 1), (720, 1280))
PAD = 10  # Real-ESRGAN's tile_pad
WAYS = ("raw onnxruntime", "runtime, whole", "runtime, tiles", "naive tiles")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        if given.one:
            print(json.dumps(_peak(given)))
            return 0
        found = measure(given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_text(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.upscaling",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="of task super_resolver")
    parser.add_argument("--image", type=Path, help="a picture to enlarge (default: a drawn scene)")
    parser.add_argument("--size", type=int, default=256, help="side that is cut out of it (default 256)")
    parser.add_argument("--tile", type=int, default=128, help="side of a tile (default 128)")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--rounds", type=int, default=7, help="of timing (default 7)")
    parser.add_argument("--model", type=Path, help="the model.pt that the artifact was exported from")
    parser.add_argument("--megapixels", type=float, help="measure the peak memory of an image of this size too; takes long")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", choices=(*WAYS, "large"), help=argparse.SUPPRESS)  # what a child process measures
    return parser


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All figures as plain values."""
    ways = _ways(given)
    answers = {name: way() for name, way in ways.items()}
    whole = answers["runtime, whole"]
    seams = {name: _apart(answers[name], whole) for name in ("runtime, tiles", "naive tiles", "raw onnxruntime")}
    times = interleaved(ways, rounds=given.rounds, warm_up=1)
    found: dict[str, Any] = {
        "machine": describe().to_dict(),
        "size": given.size,
        "tile": given.tile,
        "threads": given.threads,
        "against_whole": seams,
        "milliseconds": {name: vars(value) for name, value in times.items()},
        "peak_mib": {name: _child(given, name)["peak_mib"] for name in WAYS},
        "onnx_against_torch": _parity(given) if given.model else {},
    }
    if given.megapixels:
        found["large"] = _child(given, "large")
    return found


def _ways(given: argparse.Namespace) -> dict[str, Callable[[], np.ndarray]]:
    """Each way from uint8 (h, w, 3) to uint8 (s h, s w, 3)."""
    import runtime

    task = runtime.load(given.artifact, threads=given.threads, prefer=["cpu"])
    image = _image(given)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)

    def graphs(part: np.ndarray) -> np.ndarray:
        code, degradation = task.session("estimator").run(["code", "degradation"], {"image": part, **_light(task, part)})
        inputs = {"image": part, "code": code, "degradation": degradation}
        return np.asarray(task.session("generator").run(["high"], inputs)[0])

    return {
        "raw onnxruntime": lambda: _pixels(graphs(planes)),
        "runtime, whole": lambda: task.upscale(image, tile=0).pixels,
        "runtime, tiles": lambda: task.upscale(image, tile=given.tile).pixels,
        "naive tiles": lambda: _pixels(_naive(planes, given.tile, task.scale, graphs)),
    }


def _light(task: Any, planes: np.ndarray) -> dict[str, np.ndarray]:
    """What the estimator takes beside the pixels, of float32 (1, 3, h, w) in 0..1."""
    ports = next(graph for graph in task.artifact.graphs if graph.name == "estimator").inputs
    known = {"mean": planes.mean(), "deviation": planes.std()}
    return {port.name: np.array([known[port.name]], np.float32) for port in ports if port.name in known}


def _naive(planes: np.ndarray, tile: int, scale: int, graphs: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    h, w = planes.shape[2:]
    out = np.empty((1, 3, scale * h, scale * w), np.float32)
    for top in range(0, h, tile):
        for left in range(0, w, tile):
            bottom, right = min(top + tile, h), min(left + tile, w)
            first, start = max(top - PAD, 0), max(left - PAD, 0)
            part = np.ascontiguousarray(planes[:, :, first : bottom + PAD, start : right + PAD])
            y, x = scale * (top - first), scale * (left - start)
            high = graphs(part)[:, :, y : y + scale * (bottom - top), x : x + scale * (right - left)]
            out[:, :, scale * top : scale * bottom, scale * left : scale * right] = high
    return out


def _pixels(high: np.ndarray) -> np.ndarray:
    return np.rint(high[0].clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _image(given: argparse.Namespace) -> np.ndarray:
    """uint8 (size, size, 3): the middle of the picture, or a scene."""
    if given.image is None:
        from train.data.photos import open_photos

        return open_photos(None, count=12, size=given.size).test["scenes"].read(0)
    from runtime.prepare import decode

    image = decode(given.image)
    if min(image.shape[:2]) < given.size:
        raise ValueError(f"{given.image} has {image.shape[1]}x{image.shape[0]} pixels; give a smaller --size than {given.size}")
    top, left = ((side - given.size) // 2 for side in image.shape[:2])
    return image[top : top + given.size, left : left + given.size]


def _apart(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """PSNR in dB over all channels (100 where equal) and the largest difference in grey levels."""
    gap = one.astype(float) - other
    square = float(np.square(gap).mean())
    return {"psnr": 10 * float(np.log10(255**2 / square)) if square else 100.0, "largest": float(np.abs(gap).max())}


def _parity(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The largest error of ONNX Runtime against torch at sizes that are no multiples of anything, and milliseconds of both."""
    import torch

    import runtime
    from train import checkpoint

    torch.set_num_threads(given.threads)
    method: Any = checkpoint.restore(given.model)
    task = runtime.load(given.artifact, threads=given.threads, prefer=["cpu"])
    found = {}
    for h, w in SIZES:
        image = np.random.default_rng(h).random((1, 3, h, w)).astype(np.float32)
        with torch.no_grad():
            expected = method.super_resolve(torch.from_numpy(image)).numpy()
        code, degradation = task.session("estimator").run(["code", "degradation"], {"image": image, **_light(task, image)})
        high = task.session("generator").run(["high"], {"image": image, "code": code, "degradation": degradation})[0]
        found[f"{h}x{w}"] = {"largest": float(np.abs(high - expected).max())}
    return found


def _child(given: argparse.Namespace, name: str) -> dict[str, float]:
    """Run one way in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.upscaling", str(given.artifact), "--one", name, "--size", str(given.size)]
    command += ["--tile", str(given.tile), "--threads", str(given.threads)]
    command += ["--megapixels", str(given.megapixels)] if given.megapixels else []
    with tempfile.TemporaryDirectory() as folder:  # a file, so that the child need not load what draws scenes
        write(Path(folder) / "image.png", _image(given))
        command += ["--image", str(Path(folder) / "image.png")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"the child process for {name} failed: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _peak(given: argparse.Namespace) -> dict[str, float]:
    if given.one == "large":
        import runtime

        task = runtime.load(given.artifact, threads=given.threads, prefer=["cpu"])
        side = int(np.sqrt(given.megapixels * 1e6))
        image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        spent: list[float] = []
        done = _timed(lambda: task.upscale(image), spent)
        sizes = {"input_mib": image.nbytes / 2**20, "result_mib": done.pixels.nbytes / 2**20, "seconds": spent[0]}
        return {**sizes, "tiles": done.tiles, "peak_mib": _resident()}
    _ways(given)[given.one]()
    return {"peak_mib": _resident()}


def _timed(call: Callable[[], Any], spent: list[float]) -> Any:
    import time

    began = time.perf_counter()
    found = call()
    spent.append(time.perf_counter() - began)
    return found


def _resident() -> float:
    """Peak MiB of this process; getrusage's would still hold the parent's, from before the program was replaced."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _text(found: dict[str, Any]) -> str:
    size, tile = found["size"], found["tile"]
    lines = [f"    {line}" for line in str(describe()).splitlines()]
    lines += [
        "",
        f"{size}x{size} pixels, tiles of {tile}, {found['threads']} threads: milliseconds (median, 10th to 90th percentile), peak",
    ]
    lines += ["memory of the process, and how far the picture is from the runtime's of the whole image."]
    lines += ["", "| | ms | | peak MiB | PSNR to whole, dB | largest difference, grey levels |", "|---|---|---|---|---|---|"]
    for name, spent in found["milliseconds"].items():
        own: Timing = Timing(**spent)
        apart = found["against_whole"].get(name)
        cells = f"{apart['psnr']:.1f} | {apart['largest']:.0f}" if apart else " | "
        lines.append(f"| {name} | {own.median:.0f} | {own.p10:.0f} to {own.p90:.0f} | {found['peak_mib'][name]:.0f} | {cells} |")
    if found["onnx_against_torch"]:
        parts = ", ".join(f"{name} {value['largest']:.1e}" for name, value in found["onnx_against_torch"].items())
        lines += ["", f"ONNX Runtime against torch, largest error of values about 0..1: {parts}."]
    if "large" in found:
        large = found["large"]
        sizes = f"{large['input_mib']:.0f} MiB of input, {large['result_mib']:.0f} MiB of result, {large['tiles']:.0f} tiles"
        lines += ["", f"{sizes}: peak {large['peak_mib']:.0f} MiB, {large['seconds']:.0f} s."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
